/* SPDX-License-Identifier: MIT */
/* Reads that may run: queues of the workers that wait for them, which take turns. */
#ifndef STORE_READS_H
#define STORE_READS_H

#include <stdbool.h>

#include "base/list.h"

struct request;

struct reads {
	struct read_queue **queues;   /* by the id of the worker; NULL: nothing has been read for it */
	unsigned count;
	struct list busy;             /* those with reads, whose turn it is first */
};

void reads_init(struct reads *reads);
/* They must be empty. */
void reads_deinit(struct reads *reads);
/* Behind those of the same worker, or the urgent ones of them if this is urgent. */
void reads_add(struct reads *reads, struct request *r);
bool reads_empty(const struct reads *reads);
/* The next of the workers that have taken most of what was read for them, or (for_all) of any; NULL: there is none. */
struct request *reads_take(struct reads *reads, bool for_all);

#endif
