/* SPDX-License-Identifier: MIT */
/* What is kept on disk, as modules see it: maps and archives per owner. */
#ifndef COMITY_STORE_H
#define COMITY_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)

struct comity_jid;
struct comity_mod;

/* Values of status in answers that a module may want to tell apart; 0 is success, others are failures. */
enum comity_store_status {
	COMITY_STORE_NOT_FOUND = -3,
	COMITY_STORE_EXISTS = -4,
	COMITY_STORE_NO_SPACE = -6,
	COMITY_STORE_LIMIT = -12,
};

/* A value and its key; the bytes are borrowed in calls and owned by the result in answers. */
struct store_row {
	const char *store;  /* name of the map the row lies in */
	const char *key;
	const void *value;  /* NULL in a write: the key is removed */
	size_t len;
};

/* What a read found; freed by the store after the callback returns. */
struct store_result {
	int status;                    /* 0 or minus an enum err */
	size_t count;
	const struct store_row *rows;
};

/* An entry of an archive. */
struct store_entry {
	uint64_t id;          /* grows within (owner, store); given by the driver */
	int64_t when_us;      /* microseconds since 1970 */
	const char *with;     /* the other party, may be "" */
	const void *value;
	size_t len;
	/* What tells it from others of the archive (NULL: nothing). In a write: whether it may have been appended
	 * before, as the number of bytes of the token that it is known by (0: it has not). Nothing is stored when
	 * an entry is there whose token is these, or begins with these and "/". */
	const char *token;
	size_t may_be_there;
	/* In a write: it is the message that is handled, kept for its recipient, who gets it from here. Once it is stored
	 * its sender is told that it is safe, and a session that passed it on has no part in it any more. */
	bool is_message;
	/* In a write: most bytes of values that the archive may have with it; 0: no limit. */
	uint64_t max_bytes;
};

struct store_entries {
	int status;
	size_t count;
	const struct store_entry *entries;
	uint64_t total;       /* entries in the archive that match, before the limit */
};

/* A page of an archive. Zeroed: everything, oldest first. */
struct store_query {
	uint64_t after_id, before_id;    /* exclusive; 0: no bound */
	int64_t start_us, end_us;        /* inclusive; 0: no bound */
	const char *with;                /* NULL: anyone */
	size_t limit;                    /* 0: no limit */
	uint64_t max_bytes;              /* of values; the first comes in any case; 0: no limit */
	int backwards;                   /* the newest page; entries still come oldest first */
};

/* All answers come later, on the worker of the call, exactly once. owner is a bare address. cb may be
 * NULL for writes. What is passed in is copied. The results are borrowed for the length of the call. */
typedef void comity_read_cb(struct comity_mod *m, void *arg, const struct store_result *result);
typedef void comity_write_cb(struct comity_mod *m, void *arg, int status);
typedef void comity_entries_cb(struct comity_mod *m, void *arg, const struct store_entries *entries);

/* All rows of one map of the owner. */
void comity_map_load(struct comity_mod *m, const struct comity_jid *owner, const char *store, comity_read_cb *cb,
                     void *arg);
/* One row. */
void comity_map_get(struct comity_mod *m, const struct comity_jid *owner, const char *store, const char *key,
                    comity_read_cb *cb, void *arg);
/* Rows of one owner in one transaction; a row with value NULL is removed. */
void comity_map_put(struct comity_mod *m, const struct comity_jid *owner, const struct store_row *rows, size_t count,
                    comity_write_cb *cb, void *arg);
/* The same for what nobody waits for, not even whoever sent the stanza: with other writes, or after some time
 * (store_lazy_delay). A crash may take it back until then. */
void comity_map_put_lazily(struct comity_mod *m, const struct comity_jid *owner, const struct store_row *rows,
                           size_t count);
/* Fails with COMITY_STORE_LIMIT when max_entries (0: no limit) are there, or the entry would be over its max_bytes.
 * What is appended while a message is handled gets its token from that: a message that its sender repeats after a
 * crash of the server is stored once. */
void comity_archive_append(struct comity_mod *m, const struct comity_jid *owner, const char *store,
                           const struct store_entry *entry, uint64_t max_entries, comity_write_cb *cb, void *arg);
/* While some of it cannot be read, as the disk is full or fails, it is tried again, and cb waits for that.
 * What is yet to be deleted is not among it. */
void comity_archive_query(struct comity_mod *m, const struct comity_jid *owner, const char *store,
                          const struct store_query *query, comity_entries_cb *cb, void *arg);
/* Deletes entries with from_id <= id <= to_id. While the disk is full it is tried again, and cb waits for
 * that. */
void comity_archive_delete(struct comity_mod *m, const struct comity_jid *owner, const char *store, uint64_t from_id,
                           uint64_t to_id, comity_write_cb *cb, void *arg);
void comity_archive_trim(struct comity_mod *m, const struct comity_jid *owner, const char *store, uint64_t keep,
                         int64_t since_us, comity_write_cb *cb, void *arg);

#pragma GCC visibility pop

#endif
