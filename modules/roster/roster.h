/* SPDX-License-Identifier: MIT */
/* Between the files of mod_roster. */
#ifndef MODULES_ROSTER_H
#define MODULES_ROSTER_H

#include <comity/module.h>
#include <comity/roster.h>

#define NS_ROSTER "jabber:iq:roster"
#define STORE_ROSTER "roster"

struct roster_conf {
	int64_t max_items, max_groups, max_requests;
	uint64_t max_size, max_name, max_request_size, max_requests_size;
};

/* What one item takes, or all of a roster. */
struct roster_sizes {
	size_t memory;
	size_t written;                    /* to a client, at most; 0: not listed */
	size_t request;
};

/* The roster of one account, in memory while the account is. */
struct roster {
	struct comity_roster_item **items; /* in no order */
	size_t count;
	uint64_t version;                  /* grows with every change that clients see */
	uint64_t pushed;                   /* all changes up to this one have been pushed */
	unsigned saving;                   /* changes that are pushed once they are saved */
	struct roster_sizes sizes;         /* of the items, as each was counted last */
	size_t told;                       /* bytes of memory that the account knows of */
};

struct roster_session {
	bool is_interested;                /* asked for the roster: gets pushes (RFC 6121 2.1.6) */
	bool is_showing;                   /* pending requests are on their way to it */
};

/* ---- items (item.c) ---- */

struct roster *roster_of(struct comity_mod *m, struct comity_account *a);
struct comity_roster_item *roster_find(const struct roster *r, const struct comity_jid *contact);
/* Takes the item, whose address is not in the roster. */
void roster_add(struct roster *r, struct comity_roster_item *item);
/* The item, made when there is none; not listed and without subscription then. */
struct comity_roster_item *roster_get(struct roster *r, struct comity_jid *contact);
/* How many items clients see; the rest are requests that wait for an answer. */
size_t roster_count_listed(const struct roster *r);
/* The limit that forbids clients to see a contact with such a name and such groups, in a sentence for them; NULL when
 * there is room. item is what there is of the contact, NULL: nothing. What does not grow has room in any roster. */
const char *roster_find_limit(const struct roster *r, const struct roster_conf *conf,
                              const struct comity_roster_item *item, const struct comity_roster_item *wanted);
/* Gives the item (may be NULL) and the roster a new version. What a crash makes undone does not use up
 * a version that clients have seen, so versions follow the clock. */
uint64_t roster_touch(struct comity_mod *m, struct roster *r, struct comity_roster_item *item);
void roster_drop(struct roster *r, struct comity_roster_item *item);
/* A copy that owns all, and its end. */
struct comity_roster_item *roster_item_copy(const struct comity_roster_item *item);
void roster_item_free(struct comity_roster_item *item);
void roster_item_set(struct comity_roster_item *item, const char *name, char **groups, size_t group_count);
/* No subscription in any direction, and none asked for. */
void roster_item_reset(struct comity_roster_item *item);
/* Makes the roster from rows, and frees it. */
void roster_load(struct roster *r, const struct store_row *rows, size_t count);
void roster_unload(struct roster *r);
/* Lets the account know how much memory the items take. */
void roster_tell_bytes(struct comity_account *a, struct roster *r);
/* Writes the item as it is now (or removes it) together with the version. cb as in comity_map_put. */
void roster_save(struct comity_mod *m, struct comity_account *a, const struct comity_jid *contact,
                 comity_write_cb *cb, void *arg);
/* <item/> as clients see it. */
void roster_item_write(struct comity_elem *query, const struct comity_roster_item *item);
/* Pushes the item to all interested sessions; NULL item: it was removed. */
void roster_push(struct comity_mod *m, struct comity_account *a, const struct comity_jid *contact,
                 const struct comity_roster_item *item);

/* ---- subscriptions (subscription.c) ---- */

/* Hooks for presence of the subscribe family. */
int roster_on_outgoing(struct comity_mod *m, struct comity_rq *rq);
int roster_on_incoming(struct comity_mod *m, struct comity_rq *rq);
/* Ends all subscription with a contact whose item is about to be removed (RFC 6121 2.5.2). */
void roster_end_subscription(struct comity_mod *m, struct comity_account *a, const struct comity_roster_item *item);
/* Sends the pending requests to a session that became available (RFC 6121 3.1.3). */
void roster_on_presence(struct comity_mod *m, struct comity_session *s, bool was_available);

#endif
