/* SPDX-License-Identifier: MIT */
/* The order of calls: a read sees the writes to its owner that came before it. */
#ifndef STORE_ORDER_H
#define STORE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"

struct request;

struct order {
	uint64_t last_serial, committed;   /* of writes; committed: done with, well or badly */
	struct map owners;                 /* those with writes that are not in the database yet */
	struct list logged;                /* those of them of whom the log may have entries */
	struct list held;                  /* reads about all owners that wait for a commit, in order */
};

void order_init(struct order *o);
void order_deinit(struct order *o);

/* Gives the write its place. */
void order_note_write(struct order *o, struct request *r);
/* Whether something that the read must see may not be in the database. */
bool order_is_behind(const struct order *o, const struct request *r);
/* Keeps a read until what came before it is committed; false: it may run. */
bool order_hold_read(struct order *o, struct request *r);
/* A group of writes is done with, up to that serial: moves the reads that may run to ready. */
void order_end_group(struct order *o, const struct list *group, uint64_t last, struct list *ready);
/* All that was in the log is in the database. */
void order_end_move(struct order *o);

#endif
