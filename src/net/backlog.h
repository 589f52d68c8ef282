/* SPDX-License-Identifier: MIT */
/* What came on a connection and is not dealt with yet: when that is too much, the connection is read no further. */
#ifndef NET_BACKLOG_H
#define NET_BACKLOG_H

struct backlog;
struct conn;

/* One more. With max of them (always the same for a connection) it is read no further before less than half are left.
 * On its worker; what is returned goes to backlog_leave(). */
struct backlog *backlog_join(struct conn *c, unsigned max);
/* It is dealt with, on any worker; NULL is allowed, and is what is left. */
void backlog_leave(struct backlog **b);

/* For the connection, on its worker: it is gone, or goes to another worker. */
void backlog_part(struct conn *c);

#endif
