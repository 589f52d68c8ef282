/* SPDX-License-Identifier: MIT */
/* Writes that wait for the thread that writes, in order. */
#ifndef STORE_WRITES_H
#define STORE_WRITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct request;

struct writes {
	unsigned most;       /* that go together; as many do not wait for others */
	unsigned lazy_ms;    /* longest wait of those that nobody waits for */
	struct list waiting;
	size_t count;
	bool is_awaited;     /* somebody waits for one of them */
	uint64_t due_ms;     /* when they go though nobody does, by the monotonic clock */
};

void writes_init(struct writes *w, unsigned most, unsigned lazy_ms);
bool writes_empty(const struct writes *w);
bool writes_full(const struct writes *w);
/* They go now. */
bool writes_due(const struct writes *w, uint64_t now_ms);
/* Returns whether that changes when they go. */
bool writes_add(struct writes *w, struct request *r, uint64_t now_ms);
/* Somebody waits for what is there now; false: nothing is. */
bool writes_hurry(struct writes *w);
/* Moves the first ones to group, which is empty; returns the serial of the last; there must be one. */
uint64_t writes_take(struct writes *w, struct list *group);

#endif
