/* SPDX-License-Identifier: MIT */
/* The log of what was appended to archives: durable at once, by one write and one sync for many of them, and put
 * into the database later, in large groups. It belongs to the thread that writes. */
#ifndef STORE_AHEAD_H
#define STORE_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct ahead;
struct comity_env;
struct driver_conn;
struct log_ctx;
struct store_driver;
struct store_entry;

struct ahead_conf {
	const char *path;          /* of its file */
	size_t bytes;              /* of the file; 0: nothing is taken */
	unsigned delay_ms;         /* for which an entry stays out of the database */
};

/* Reads what an earlier process left and puts it into the database, if that can be written. conn is the writer's
 * and must live as long as the log. -ERR_IO, -ERR_CORRUPT and what the driver says. */
int ahead_open(struct comity_env *env, const struct ahead_conf *conf, const struct store_driver *driver,
               struct driver_conn *conn, struct log_ctx *log, struct ahead **a, struct err_text *et);
/* Tokens of what could not be put into the database then; on any thread. */
void ahead_each_left(const struct ahead *a, void (*each)(void *arg, const char *token), void *arg);
/* Leaves the file to the next process, unless all that is in it has been moved. */
void ahead_close(struct ahead *a);

/* Whether an entry of this size may be added now. */
bool ahead_takes(const struct ahead *a, const char *owner, const char *name, const struct store_entry *entry);
/* Gives the entry its id and takes a copy; it is durable after ahead_sync. -ERR_LIMIT when max_entries (not 0) are
 * there, or it would be over its max_bytes. */
int ahead_add(struct ahead *a, const char *owner, const char *name, struct store_entry *entry, uint64_t max_entries);
/* Makes durable what was added since the last call, or forgets it: -ERR_NO_SPACE, -ERR_IO. */
int ahead_sync(struct ahead *a);

/* The greatest id so far. */
uint64_t ahead_last_id(const struct ahead *a);
/* The id of an entry that goes straight to the database. */
uint64_t ahead_next_id(struct ahead *a);
/* As ahead_add checks it, for such an entry; when there is room, it is counted as there. */
int ahead_check_room(struct ahead *a, const char *owner, const char *name, const struct store_entry *entry,
                     uint64_t max_entries);

/* Whether the owner (NULL: anybody) has entries that are not in the database. */
bool ahead_has(const struct ahead *a, const char *owner);
/* Puts the owner's entries (NULL: all) into the database, in a transaction that the writer has begun. */
int ahead_settle(struct ahead *a, const char *owner);
/* The number of the owner's entries in the database becomes another. */
void ahead_forget_count(struct ahead *a, const char *owner);
/* That transaction has ended. */
void ahead_settled(struct ahead *a, bool is_committed);

/* When all should be moved: milliseconds of the monotonic clock; 0: there is nothing. */
uint64_t ahead_due_ms(const struct ahead *a);
/* Puts all into the database, in a transaction of its own, and begins the file anew. */
int ahead_move(struct ahead *a);

#endif
