/* SPDX-License-Identifier: MIT */
/* Between the files of mod_blocking. */
#ifndef MODULES_BLOCKING_H
#define MODULES_BLOCKING_H

#include <comity/module.h>

#define NS_BLOCKING "urn:xmpp:blocking"
#define NS_BLOCKING_ERRORS "urn:xmpp:blocking:errors"
#define STORE_BLOCKING "blocking"

struct blocking_conf {
	int64_t max_blocked;
	uint64_t max_size;
};

/* Addresses, sorted by their text, each once. */
struct blocklist {
	struct comity_jid **jids;
	size_t count;
	size_t written;                  /* bytes of their items, as a client is sent them */
};

/* A request to change the list, which waits for its turn or for its commit. */
struct change {
	struct change *next;
	struct comity_rq *rq;
	struct comity_account *account;
	struct blocklist asked;          /* empty: unblock all */
	struct blocklist effective;      /* of those, what changes the list */
	bool is_block;
};

/* The list of one account, in memory while the account is. */
struct blocking {
	struct blocklist list;
	struct change *saving;           /* being committed; belongs to that, not to this */
	struct change *first, *last;     /* waiting; so each is checked against what is on disk */
	size_t waiting;
};

struct blocking_session {
	bool is_interested;              /* asked for the list: gets pushes (XEP-0191 3.3) */
};

/* ---- lists (list.c) ---- */

/* Keeps a reference; false when the address is there already. */
bool blocklist_add(struct blocklist *l, struct comity_jid *jid);
/* For many at once: adds without a look at the order, in which blocklist_sort() puts them. */
void blocklist_append(struct blocklist *l, struct comity_jid *jid);
void blocklist_sort(struct blocklist *l);
void blocklist_remove(struct blocklist *l, const struct comity_jid *jid);
bool blocklist_has(const struct blocklist *l, const struct comity_jid *jid);
/* Whether an address of the list means this one: itself, its bare address, or its domain (XEP-0191 5). */
bool blocklist_covers(const struct blocklist *l, const struct comity_jid *jid);
/* Bytes of memory. */
size_t blocklist_memory(const struct blocklist *l);
void blocklist_clear(struct blocklist *l);

/* ---- presence (seen.c) ---- */

/* Those of the change that see the user, and are not blocked now, see all resources leave. */
void blocking_hide(struct comity_mod *m, const struct change *c);
/* Those of the change that may see the user, and are not blocked any more, see what is so now; contacts among them
 * are asked for their presence. */
void blocking_show(struct comity_mod *m, const struct change *c);

/* ---- the account (mod_blocking.c) ---- */

bool blocking_is_blocked(struct comity_mod *m, struct comity_account *a, const struct comity_jid *other);

#endif
