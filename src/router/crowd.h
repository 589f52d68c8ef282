/* SPDX-License-Identifier: MIT */
/* One stanza for many accounts: what goes to another worker goes there in few mails. */
#ifndef ROUTER_CROWD_H
#define ROUTER_CROWD_H

#include <stdbool.h>
#include <stddef.h>

struct comity_jid;
struct comity_session;
struct comity_stanza;
struct router;

/* Sends it to each of the addresses, as by route(), and charges the session for it that asked for that; NULL: the one
 * whose stanza is being handled. */
void crowd_send(struct router *r, const struct comity_session *source, const struct comity_stanza *st,
                struct comity_jid *from, struct comity_jid *const *to, size_t count);

#endif
