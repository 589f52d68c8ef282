/* SPDX-License-Identifier: MIT */
/* One call of the store, from its asking to its answer. */
#ifndef STORE_REQUEST_H
#define STORE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "net/worker.h"
#include "store/driver.h"
#include "store/store.h"

enum request_op {
	OP_LOAD, OP_GET, OP_OWNERS, OP_QUERY, OP_COUNT, OP_BACKUP,                  /* go to readers */
	/* Go to the writer. OP_SETTLE: what the log has of the owner goes into the database. */
	OP_PUT, OP_CREATE, OP_REMOVE_OWNER, OP_APPEND, OP_DELETE, OP_TRIM, OP_SETTLE
};

/* Made by the caller, owned by the queue it waits in, freed after its callback. */
struct request {
	struct mail mail;
	struct list link;           /* in the queue it waits in */
	struct worker *worker;      /* where the answer goes */
	enum request_op op;
	uint64_t serial;            /* of a write; for a read: the write that must be committed before */
	struct arena arena;         /* all that it was given and all that it found */
	size_t bytes;               /* of what it was given, once it waits, and then of its answer */

	/* What was asked; owner is NULL when it concerns all. */
	const char *owner, *name, *key, *suffix;
	const char **names;
	struct store_row *rows;
	size_t count;
	struct store_entry entry;
	struct store_query query;
	uint64_t from_id, to_id, limit;
	int64_t since_us;

	struct request *read;       /* what OP_SETTLE is for; it waits for that */
	bool is_urgent;             /* a read that goes before others for its worker */
	bool is_lazy;               /* a write that nobody waits for */

	/* What came of it. */
	bool is_logged;             /* it is in the log, and not yet in the database */
	int status;
	uint64_t number;            /* id or count */
	struct driver_rows found;
	struct driver_entries entries;

	union {
		store_read_cb *read;
		store_write_cb *write;
		store_append_cb *append;
		store_entries_cb *entries;
		store_count_cb *count;
	} cb;
	void *arg;
};

/* owner and name are copied; they may be NULL. */
struct request *request_new(struct worker *w, enum request_op op, const char *owner, const char *name, void *arg);
bool request_is_write(const struct request *r);
/* Does it and fills in the result; returns its status. A write must be inside a transaction. */
int request_run(struct request *r, const struct store_driver *d, struct driver_conn *c);
/* Its worker has yet to take many bytes of answers. */
bool request_is_ahead(const struct request *r);
/* Sends the result to the worker, or forgets it when nobody waits; takes ownership. */
void request_answer(struct request *r);

/* Takes over a request that is filled in (store.c). */
void store_submit(struct store *s, struct request *r);

#endif
