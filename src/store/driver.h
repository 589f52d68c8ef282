/* SPDX-License-Identifier: MIT */
/* What a storage engine implements: synchronous calls on a connection, used by one thread at a time. */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/store.h"

struct driver_conn;

/* Where reads put what they find; all text and bytes are copied into the arena. */
struct driver_rows {
	struct arena *arena;
	struct store_row *rows;
	size_t count, room;
};

struct driver_entries {
	struct arena *arena;
	struct store_entry *entries;
	size_t count, room;
	uint64_t total;
};

/* store is borrowed and must live as long as the rows. */
void driver_add_row(struct driver_rows *rows, const char *store, const char *key, const void *value, size_t len);
void driver_add_entry(struct driver_entries *entries, const struct store_entry *entry);
/* Turns around what was found newest first. */
void driver_reverse_entries(struct driver_entries *entries);

/* All functions return 0 or minus an enum err: -ERR_NO_SPACE, -ERR_IO, -ERR_CORRUPT and what is named.
 * Order of owners and keys is that of their bytes. */
struct store_driver {
	const char *name;
	/* Makes or checks what lies at path, and migrates it; called once, before any connection. *lock is
	 * kept until unlock, and keeps out other processes. -ERR_CORRUPT and -ERR_NEWER leave the data as
	 * they are; -ERR_DENIED when it is in use. */
	int (*prepare)(const char *path, int *lock, struct err_text *et);
	void (*unlock)(int lock);
	/* There is one writer; readers never write, and see what is committed. */
	int (*connect)(const char *path, bool is_writer, struct driver_conn **c, struct err_text *et);
	void (*disconnect)(struct driver_conn *c);

	/* A transaction of the writer is durable when commit returned 0. One of a reader is a steady view. */
	int (*begin)(struct driver_conn *c);
	int (*commit)(struct driver_conn *c);
	void (*rollback)(struct driver_conn *c);
	/* A part of a transaction: after mark, either keep it or undo it alone. undo fails when the whole
	 * transaction is lost. */
	int (*mark)(struct driver_conn *c);
	int (*keep)(struct driver_conn *c);
	int (*undo)(struct driver_conn *c);

	/* Adds the rows of one map, in order of key. */
	int (*map_load)(struct driver_conn *c, const char *owner, const char *name, struct driver_rows *rows);
	/* -ERR_NOT_FOUND. */
	int (*map_get)(struct driver_conn *c, const char *owner, const char *name, const char *key,
	               struct driver_rows *rows);
	int (*map_put)(struct driver_conn *c, const char *owner, const struct store_row *rows, size_t count);
	/* -ERR_EXISTS when the owner has a row in the map. */
	int (*map_check_free)(struct driver_conn *c, const char *owner, const char *name);
	/* limit 0: all. */
	int (*map_owners)(struct driver_conn *c, const char *name, const char *suffix, const char *after, size_t limit,
	                  struct driver_rows *rows);
	int (*remove_owner)(struct driver_conn *c, const char *owner);
	/* With the id that the entry has, which must be greater than all before. */
	int (*append)(struct driver_conn *c, const char *owner, const char *name, const struct store_entry *entry,
	              uint64_t *id);
	/* Tokens of entries with greater ids. */
	int (*each_token)(struct driver_conn *c, uint64_t after_id, void (*each)(void *arg, const char *token), void *arg);
	/* The greatest id that was ever appended, or that settled knows, as not every id has an entry; 0: none. */
	int (*last_id)(struct driver_conn *c, uint64_t *id);
	/* Up to which id entries of a log have been appended for an owner (0: none), or for all ("", which forgets
	 * those of single owners). */
	int (*settled)(struct driver_conn *c, const char *owner, uint64_t *id);
	int (*set_settled)(struct driver_conn *c, const char *owner, uint64_t id);
	int (*query)(struct driver_conn *c, const char *owner, const char *name, const struct store_query *query,
	             struct driver_entries *entries);
	/* bytes: of values; may be NULL. */
	int (*count)(struct driver_conn *c, const char *owner, const char *name, uint64_t *count, uint64_t *bytes);
	int (*delete_range)(struct driver_conn *c, const char *owner, const char *name, uint64_t from_id, uint64_t to_id);
	int (*trim)(struct driver_conn *c, const char *owner, const char *name, uint64_t keep, int64_t since_us);
	/* On a reader: a whole, consistent copy in a new file, mode 0600, on disk when it returns; -ERR_EXISTS. */
	int (*backup)(struct driver_conn *c, const char *path);
};

extern const struct store_driver sqlite_driver;

/* store_open with an engine of the caller's choice. */
int store_open_driver(struct comity_env *env, const struct store_conf *conf, const struct store_driver *driver,
                      struct store **store, struct err_text *et);

#endif
