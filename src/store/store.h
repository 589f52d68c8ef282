/* SPDX-License-Identifier: MIT */
/* The store contract: maps and archives, all calls asynchronous, answers on the caller's worker. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "comity/store.h"

struct comity_env;
struct store;
struct worker;

typedef void store_read_cb(void *arg, const struct store_result *result);
typedef void store_write_cb(void *arg, int status);
typedef void store_append_cb(void *arg, int status, uint64_t id);
typedef void store_entries_cb(void *arg, const struct store_entries *entries);
typedef void store_count_cb(void *arg, int status, uint64_t count);

/* Where the store lies and how it works. */
struct store_conf {
	const char *path;          /* of the database file */
	unsigned readers;          /* reader threads */
	unsigned commit_ms;        /* longest wait for company in a commit */
	unsigned commit_rows;      /* writes that make a commit go at once */
	unsigned lazy_ms;          /* longest wait of store_map_put_lazily */
	size_t log_bytes;          /* of the log that appended entries lie in first; 0: they do not */
	unsigned log_ms;           /* longest time that they lie there */
	bool by_hand;              /* with env->inline_jobs: nothing is done before store_step() */
};

/* Opens or creates the database, checks and migrates its schema (a backup is taken before a
 * migration). A damaged or newer one is refused and left untouched: -ERR_CORRUPT, -ERR_NEWER. */
int store_open(struct comity_env *env, const struct store_conf *conf, struct store **store, struct err_text *et);
/* Commits what waits, answers what is under way with its result or -ERR_CLOSED, ends the threads. */
void store_close(struct store **store);
/* Leaves everything as a process that is killed would leave it once it has answered all. */
void store_abandon(struct store **store);

/* Entries with ids up to this one have been appended, and who asked for it has the answer in his mailbox. */
uint64_t store_answered(const struct store *s);
/* Tokens of entries of archives with greater ids (and perhaps of others), as they were when the store was opened: for the
 * time before anything is asked of it. Calls back before it returns. */
int store_each_token(struct store *s, uint64_t after_id, void (*each)(void *arg, const char *token), void *arg);

/* By hand: commits a group of writes (or, without any, empties the log), or does the next read. False: there is none that may run. */
bool store_step(struct store *s, bool writes);

/* In all calls: owner is a bare JID (or a host), names are ASCII; arguments are copied before the
 * call returns; the callback runs exactly once, on worker w (through its mailbox), never inside the
 * call. A NULL callback is allowed for writes. Writes of one caller are applied in order, and a read
 * issued after a write of the same caller on the same owner sees it. */

/* All rows of the named maps of one owner; key order within each map. names ends with NULL. */
void store_map_load(struct store *s, struct worker *w, const char *owner, const char *const *names,
                    store_read_cb *cb, void *arg);
/* The same, before other reads for the worker: what logins and addresses wait for. */
void store_map_load_first(struct store *s, struct worker *w, const char *owner, const char *const *names,
                          store_read_cb *cb, void *arg);
/* One row; -ERR_NOT_FOUND as status when it is not there. */
void store_map_get(struct store *s, struct worker *w, const char *owner, const char *name, const char *key,
                   store_read_cb *cb, void *arg);
/* All in one transaction; a row with value NULL is removed. */
void store_map_put(struct store *s, struct worker *w, const char *owner, const struct store_row *rows,
                   size_t count, store_write_cb *cb, void *arg);
/* The same for what nobody waits for, and a crash may take back: it goes with other writes, or after lazy_ms. */
void store_map_put_lazily(struct store *s, struct worker *w, const char *owner, const struct store_row *rows,
                          size_t count);
/* As store_map_put, but fails with -ERR_EXISTS, writing nothing, if the owner already has a row
 * in the map of the first row. This is how an account is created without a race. */
void store_map_create(struct store *s, struct worker *w, const char *owner, const struct store_row *rows,
                      size_t count, store_write_cb *cb, void *arg);
/* Removes every map and archive of the owner. */
void store_remove_owner(struct store *s, struct worker *w, const char *owner, store_write_cb *cb, void *arg);
/* The owners that have rows in a map and end with suffix ("@example.org"), in order, after the given
 * one ("" at first), at most limit; each comes back as a row's key. */
void store_map_owners(struct store *s, struct worker *w, const char *name, const char *suffix, const char *after,
                      size_t limit, store_read_cb *cb, void *arg);

/* Appends; fails with -ERR_LIMIT, storing nothing, when max_entries is not 0 and as many are there, or there would be
 * more bytes than the entry's max_bytes (counted in the same transaction). entry->id is ignored; the answer gives the new one. */
void store_archive_append(struct store *s, struct worker *w, const char *owner, const char *name,
                          const struct store_entry *entry, uint64_t max_entries, store_append_cb *cb, void *arg);

void store_archive_query(struct store *s, struct worker *w, const char *owner, const char *name,
                         const struct store_query *query, store_entries_cb *cb, void *arg);
void store_archive_count(struct store *s, struct worker *w, const char *owner, const char *name,
                         store_count_cb *cb, void *arg);
/* Deletes entries with from_id <= id <= to_id. */
void store_archive_delete(struct store *s, struct worker *w, const char *owner, const char *name, uint64_t from_id,
                          uint64_t to_id, store_write_cb *cb, void *arg);
/* Keeps the newest keep entries that are not older than since_us. */
void store_archive_trim(struct store *s, struct worker *w, const char *owner, const char *name, uint64_t keep,
                        int64_t since_us, store_write_cb *cb, void *arg);

/* Copies the whole database, consistent, to a new file while running. -ERR_EXISTS when it is there. */
void store_backup(struct store *s, struct worker *w, const char *path, store_write_cb *cb, void *arg);

/* Commits what waits now, though nobody waits for it. */
void store_hurry(struct store *s);

/* Figures for comityctl stats. */
struct store_stats {
	uint64_t commits, writes, reads, failures;
	uint64_t waiting;   /* calls not answered yet */
	uint64_t waiting_bytes;  /* what these were asked with; answers are counted in worker->answer_bytes */
};
void store_get_stats(struct store *s, struct store_stats *stats);

#endif
