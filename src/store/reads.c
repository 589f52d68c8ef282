/* SPDX-License-Identifier: MIT */
/* Reads that may run: queues of the workers that wait for them, which take turns. */
#include "store/reads.h"

#include <stdlib.h>
#include <string.h>

#include "base/lanes.h"
#include "base/mem.h"
#include "store/request.h"

struct read_queue {
	struct list busy;             /* in reads->busy, while it has any */
	struct lanes lanes;           /* requests */
};

void reads_init(struct reads *reads)
{
	*reads = (struct reads){ 0 };
	list_init(&reads->busy);
}

void reads_deinit(struct reads *reads)
{
	for (unsigned i = 0; i < reads->count; i++)
		free(reads->queues[i]);
	free(reads->queues);
}

static struct read_queue *queue_of(struct reads *reads, unsigned id)
{
	struct read_queue *q;

	if (id >= reads->count) {
		reads->queues = mem_resize(reads->queues, (id + 1) * sizeof(struct read_queue *));
		memset(reads->queues + reads->count, 0, (id + 1 - reads->count) * sizeof(struct read_queue *));
		reads->count = id + 1;
	}
	if (reads->queues[id] == NULL) {
		q = reads->queues[id] = mem_new(sizeof(*q));
		list_init(&q->busy);
		lanes_init(&q->lanes);
	}
	return reads->queues[id];
}

void reads_add(struct reads *reads, struct request *r)
{
	struct read_queue *q = queue_of(reads, r->worker->id);

	lanes_append(&q->lanes, &r->link, r->is_urgent);
	if (list_empty(&q->busy))
		list_append(&reads->busy, &q->busy);
}

bool reads_empty(const struct reads *reads)
{
	return list_empty(&reads->busy);
}

struct request *reads_take(struct reads *reads, bool for_all)
{
	LIST_EACH(l, next, &reads->busy) {
		struct read_queue *q = LIST_ENTRY(l, struct read_queue, busy);
		struct request *r = LIST_ENTRY(lanes_first(&q->lanes), struct request, link);

		if (!for_all && request_is_ahead(r))
			continue;
		lanes_shift(&q->lanes);
		list_remove(&q->busy);
		if (!lanes_empty(&q->lanes))
			list_append(&reads->busy, &q->busy);
		return r;
	}
	return NULL;
}
