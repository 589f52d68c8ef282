/* SPDX-License-Identifier: MIT */
/* A message that several sessions of one account got: when one of their clients has it, the others need not
 * find another way for theirs once their session ends (RFC 6121 8.5.2.1, XEP-0198 8, XEP-0280). */
#ifndef ROUTER_COPIES_H
#define ROUTER_COPIES_H

#include "router/account.h"

struct sm_item;

struct copies {
	unsigned refs;
	struct comity_account *account;   /* borrowed: its sessions are gone before it is */
	struct list items;                /* struct sm_item that no client has acknowledged */
	bool is_settled;                  /* a client has it */
	struct sm_item *original;         /* of a session that has ended, while the others may still take theirs */
};

struct copies *copies_new(struct comity_account *a);
/* c may be NULL in both. */
struct copies *copies_ref(struct copies *c);
void copies_unref(struct copies *c);
/* The item is one of them. */
void copies_join(struct copies *c, struct sm_item *item);
/* It was made for one session (XEP-0280), and is of no use to others. */
bool copies_is_carbon(const struct comity_stanza *st, const struct comity_jid *from);
/* A client has it. */
void copies_settle(struct copies *c);
/* The item leaves without having been acknowledged, as its session ends. Returns what has to find another way
 * now: the item itself, the original of another session, or NULL. Takes the item. */
struct sm_item *copies_leave(struct sm_item *item);
/* Of sessions that were restored, those items that are copies of one message belong together again. */
void copies_restore(struct comity_account *a);

#endif
