/* SPDX-License-Identifier: MIT */
/* A worker without its loop: mailbox, timers, and the order of a turn. */
#include "net/worker.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/worker_loop.h"

static void describe_worker(const struct log_ctx *ctx, struct buf *out)
{
	(void)ctx;
	(void)out;
}

void worker_init(struct worker *w, unsigned id, struct comity_env *env, struct worker *const *peers, unsigned count,
                 size_t mailbox_limit)
{
	memset(w, 0, sizeof(*w));
	w->id = id;
	w->env = env;
	w->peers = peers;
	w->peer_count = count;
	w->mailbox.limit = mailbox_limit;
	log_ctx_init(&w->log, NULL, describe_worker);
	w->log.log = env->log;
	list_init(&w->dirty);
	list_init(&w->paused);
	for (int i = 0; i < CONN_LANES; i++)
		list_init(&w->lanes[i]);
	list_init(&w->conns);
}

void worker_deinit(struct worker *w)
{
	worker_loop_free(w->loop);
	w->loop = NULL;
	free(w->heap);
	w->heap = NULL;
}

uint64_t worker_now(const struct worker *w)
{
	return w->env->mono_ms(w->env);
}

/* ---- mailbox: producers push on a stack, the consumer takes it whole and reverses it ---- */

void worker_post(struct worker *to, struct mail *mail)
{
	struct mail *head = atomic_load_explicit(&to->mailbox.newest, memory_order_relaxed);

	atomic_fetch_add_explicit(&to->mailbox.depth, 1, memory_order_relaxed);
	do {
		mail->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&to->mailbox.newest, &head, mail, memory_order_acq_rel,
	                                                memory_order_relaxed));
	/* Whoever makes it non-empty wakes the worker: one wake-up per batch. */
	if (head == NULL && to->loop != NULL)
		worker_loop_wake(to->loop);
}

bool worker_is_full(const struct worker *w)
{
	return atomic_load_explicit(&w->mailbox.depth, memory_order_relaxed) > w->mailbox.limit;
}

struct room_mail {
	struct mail mail;
};

static void run_room(struct worker *w, struct mail *mail)
{
	free(mail);
	worker_resume_paused(w);
}

static void tell_waiters(struct worker *w)
{
	uint64_t bits;

	if (atomic_load_explicit(&w->mailbox.waiters, memory_order_relaxed) == 0)
		return;
	if (atomic_load_explicit(&w->mailbox.depth, memory_order_relaxed) > w->mailbox.limit / 2)
		return;
	bits = atomic_exchange(&w->mailbox.waiters, 0);
	for (unsigned i = 0; i < w->peer_count; i++) {
		struct room_mail *m;

		/* More workers than bits share them; a resume too many does no harm. */
		if ((bits & (UINT64_C(1) << (i % 64))) == 0)
			continue;
		m = mem_new(sizeof(*m));
		m->mail.run = run_room;
		worker_post(w->peers[i], &m->mail);
	}
}

void worker_await_room(struct worker *to, struct worker *from)
{
	atomic_fetch_or(&to->mailbox.waiters, UINT64_C(1) << (from->id % 64));
	/* It may have drained in between: an empty letter makes it look again. */
	if (!worker_is_full(to)) {
		struct room_mail *m = mem_new(sizeof(*m));

		m->mail.run = run_room;
		worker_post(from, &m->mail);
	}
}

static bool run_mail(struct worker *w)
{
	struct mail *m = atomic_exchange_explicit(&w->mailbox.newest, NULL, memory_order_acq_rel);
	struct mail *first = NULL, *next;
	bool any = m != NULL;

	atomic_fetch_add_explicit(&w->deliveries, 1, memory_order_release);
	for (; m != NULL; m = next) {
		next = m->next;
		m->next = first;
		first = m;
	}
	for (m = first; m != NULL; m = next) {
		next = m->next;
		atomic_fetch_sub_explicit(&w->mailbox.depth, 1, memory_order_relaxed);
		m->run(w, m);
	}
	tell_waiters(w);
	return any;
}

/* ---- timers: a binary heap ---- */

static void heap_set(struct worker *w, size_t i, struct timer *t)
{
	w->heap[i] = t;
	t->place = i + 1;
}

static void sift_up(struct worker *w, size_t i, struct timer *t)
{
	while (i > 0 && w->heap[(i - 1) / 2]->due > t->due) {
		heap_set(w, i, w->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(w, i, t);
}

static void sift_down(struct worker *w, size_t i, struct timer *t)
{
	size_t child;

	while ((child = 2 * i + 1) < w->timers) {
		if (child + 1 < w->timers && w->heap[child + 1]->due < w->heap[child]->due)
			child++;
		if (w->heap[child]->due >= t->due)
			break;
		heap_set(w, i, w->heap[child]);
		i = child;
	}
	heap_set(w, i, t);
}

void worker_timer_stop(struct worker *w, struct timer *t)
{
	struct timer *last;
	size_t i;

	if (t->place == 0)
		return;
	i = t->place - 1;
	/* It runs on another worker: better no server than one whose memory is wrong. */
	if (i >= w->timers || w->heap[i] != t)
		abort();
	t->place = 0;
	last = w->heap[--w->timers];
	if (last == t)
		return;
	if (i > 0 && w->heap[(i - 1) / 2]->due > last->due)
		sift_up(w, i, last);
	else
		sift_down(w, i, last);
}

void worker_timer_start(struct worker *w, struct timer *t, uint64_t delay_ms)
{
	worker_timer_stop(w, t);
	t->due = worker_now(w) + delay_ms;
	if (w->timers == w->timers_cap) {
		w->timers_cap = w->timers_cap != 0 ? w->timers_cap * 2 : 16;
		w->heap = mem_resize(w->heap, w->timers_cap * sizeof(*w->heap));
	}
	sift_up(w, w->timers++, t);
}

bool timer_is_running(const struct timer *t)
{
	return t->place != 0;
}

uint64_t worker_next_due(const struct worker *w)
{
	for (int i = 0; i < CONN_LANES; i++)
		if (!list_empty(&w->lanes[i]))
			return worker_now(w);
	return w->timers != 0 ? w->heap[0]->due : UINT64_MAX;
}

static bool run_timers(struct worker *w)
{
	uint64_t now = worker_now(w);
	bool any = false;

	while (w->timers != 0 && w->heap[0]->due <= now) {
		struct timer *t = w->heap[0];

		worker_timer_stop(w, t);
		t->fire(w, t);
		any = true;
	}
	return any;
}

void worker_before_flush(struct worker *w)
{
	if (w->before_flush != NULL)
		w->before_flush(w);
}

bool worker_turn(struct worker *w)
{
	bool any = run_mail(w);

	any |= run_timers(w);
	worker_before_flush(w);
	any |= worker_flush_dirty(w);
	return any;
}
