/* SPDX-License-Identifier: MIT */
/* What the writing thread of the store does with a group of requests. */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include <stdbool.h>

#include "base/list.h"

struct ahead;
struct driver_conn;
struct log_ctx;
struct store_driver;

struct writer {
	const struct store_driver *driver;
	struct driver_conn *conn;
	struct log_ctx *log;
	struct ahead *ahead;
	bool is_open;           /* a transaction is under way */
	bool is_failing;
};

/* Makes all of them durable, by one sync of the log and, for what cannot wait there, one commit; each has its
 * status then. */
void writer_run_group(struct writer *w, struct list *group);
/* Puts what is in the log into the database. Returns false when it cannot be written. */
bool writer_move(struct writer *w);

#endif
