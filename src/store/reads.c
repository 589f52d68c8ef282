/* SPDX-License-Identifier: MIT */
/* Reads that may run: queues of the workers that wait for them, which take turns. */
#include "store/reads.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/request.h"

/* So many urgent ones go before one of the others, which must not wait for ever. */
#define OVERTAKE_MAX 16

struct read_queue {
	struct list busy;             /* in reads->busy, while it has any */
	struct list urgent, others;   /* requests, in order */
	unsigned overtaken;           /* how often the first of others was */
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
		list_init(&q->urgent);
		list_init(&q->others);
	}
	return reads->queues[id];
}

void reads_add(struct reads *reads, struct request *r)
{
	struct read_queue *q = queue_of(reads, r->worker->id);

	list_append(r->is_urgent ? &q->urgent : &q->others, &r->link);
	if (list_empty(&q->busy))
		list_append(&reads->busy, &q->busy);
}

bool reads_empty(const struct reads *reads)
{
	return list_empty(&reads->busy);
}

static bool is_empty(const struct read_queue *q)
{
	return list_empty(&q->urgent) && list_empty(&q->others);
}

static struct request *first_of(const struct read_queue *q)
{
	bool is_urgent = !list_empty(&q->urgent) && (list_empty(&q->others) || q->overtaken < OVERTAKE_MAX);

	return LIST_ENTRY(is_urgent ? q->urgent.next : q->others.next, struct request, link);
}

static void take(struct reads *reads, struct read_queue *q, struct request *r)
{
	q->overtaken = r->is_urgent && !list_empty(&q->others) ? q->overtaken + 1 : 0;
	list_remove(&r->link);
	list_remove(&q->busy);
	if (!is_empty(q))
		list_append(&reads->busy, &q->busy);
}

struct request *reads_take(struct reads *reads, bool for_all)
{
	LIST_EACH(l, next, &reads->busy) {
		struct read_queue *q = LIST_ENTRY(l, struct read_queue, busy);
		struct request *r = first_of(q);

		if (!for_all && request_is_ahead(r))
			continue;
		take(reads, q, r);
		return r;
	}
	return NULL;
}
