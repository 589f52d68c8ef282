/* SPDX-License-Identifier: MIT */
/* Counters, one set per worker, summed when read. */
#include "base/metrics.h"

#include <stdatomic.h>

#define METRICS_NAME(ID, NAME, HELP) NAME,
#define METRICS_HELP(ID, NAME, HELP) HELP,

static const char *const names[] = { METRICS(METRICS_NAME) };
static const char *const helps[] = { METRICS(METRICS_HELP) };

void metrics_add(struct metrics *m, enum metric metric, uint64_t n)
{
	/* One writer: a plain load and store is enough, and cheaper than a locked addition. */
	uint64_t old = atomic_load_explicit(&m->values[metric], memory_order_relaxed);

	atomic_store_explicit(&m->values[metric], old + n, memory_order_relaxed);
}

uint64_t metrics_get(const struct metrics *m, enum metric metric)
{
	return atomic_load_explicit(&m->values[metric], memory_order_relaxed);
}

const char *metric_name(enum metric metric)
{
	return names[metric];
}

const char *metric_help(enum metric metric)
{
	return helps[metric];
}
