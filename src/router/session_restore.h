/* SPDX-License-Identifier: MIT */
/* Sessions that a restart has left: they sleep as they were read from the journal until their account is used
 * or their time is over. */
#ifndef ROUTER_SESSION_RESTORE_H
#define ROUTER_SESSION_RESTORE_H

#include "router/account.h"
#include "router/image.h"

/* On the worker: takes over a session whose home it is, before there is any traffic; consumes it. */
void dormant_adopt(struct router *r, struct image *i);
/* All workers have theirs: those whose time is over may wake, and send to others. */
void dormant_begin(struct router *r);
/* That of a full address cannot be resumed any more, and ends in a moment; false: it does not sleep. */
bool dormant_end(struct router *r, const struct comity_jid *full);
/* Writes all of them to the journal. */
void dormant_write(struct router *r);
/* The account has been loaded: its sessions come back. */
void dormant_wake(struct comity_account *a);
/* The address is nobody's any more. */
void dormant_drop(struct router *r, const struct comity_jid *bare);
void dormant_free(struct router *r);
/* Calls each for every session that sleeps. */
void dormant_each(const struct router *r, void (*each)(void *arg, const struct image *i), void *arg);

#endif
