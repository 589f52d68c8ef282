/* SPDX-License-Identifier: MIT */
/* What waits on a link, what was sent and is not acknowledged, and how it goes back to its senders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/fed.h"
#include "router/rq.h"
#include "xmpp/stanza.h"

struct fed_item {
	struct list link;
	struct comity_rq *rq;
	uint64_t since;
	size_t size;
	struct quota_holder *of;   /* for whom it is counted; NULL: it is not */
	unsigned losses;           /* of streams that it was sent on */
};

/* What a queued stanza costs beside its bytes. */
#define ITEM_COST 512
/* Of the bytes that may wait for all domains, anybody may have those that are in the first half; of the rest, who has
 * this part of all gets no more, so that nobody's messages keep those of others from new domains. Who has nothing there
 * has one stanza, however large. */
#define USER_PART 8
/* How often what was sent gets its time again because the stream was lost. */
#define RENEWALS 3

static void free_item(struct fed_item *item)
{
	quota_return_many(&item->rq->router->fed->queued_for, &item->of, item->size);
	comity_rq_release(item->rq);
	free(item);
}

void link_drop_queue(struct fed_link *l)
{
	for (struct list *i; (i = list_shift(&l->queue)) != NULL;)
		free_item(LIST_ENTRY(i, struct fed_item, link));

	for (struct fed_item *item; l->suspended != NULL && (item = sm_shift(l->suspended)) != NULL;)
		free_item(item);
	sm_free(l->suspended);
	l->suspended = NULL;
}

/* What waits, and what was sent and is not acknowledged, is all in one account. */
static void uncount_item(struct fed_link *l, struct fed_item *item)
{
	quota_return_many(&l->fed->queued_for, &item->of, item->size);
	l->queue_bytes -= item->size;
	l->fed->queued_bytes -= item->size;
	l->queue_count--;
}

static void count_item(struct fed_link *l, struct fed_item *item)
{
	item->of = quota_take_many(&l->fed->queued_for, fed_owner_of(item->rq), item->size);
	l->queue_bytes += item->size;
	l->queue_count++;
	l->fed->queued_bytes += item->size;
}

void link_bounce(struct fed_link *l, struct comity_rq *rq, enum comity_cond cond, const char *text)
{
	l->bounced++;
	metrics_add(&link_worker(l)->metrics, METRIC_S2S_BOUNCED, 1);
	rq_refuse(rq, cond, text);
	comity_rq_release(rq);
}

/* Returns to their senders what has waited since before a moment. A bounce may come back here as another
 * stanza, so the queue is looked at anew each time. */
void link_bounce_before(struct fed_link *l, uint64_t moment)
{
	char why[sizeof(l->why)];
	enum comity_cond cond = s2s_cause_cond(l->cause);

	snprintf(why, sizeof(why), "%s", l->cause != S2S_CAUSE_NONE ? l->why : "the server of the domain was not reached in time");
	for (;;) {
		struct fed_item *item = list_empty(&l->queue) ? NULL : LIST_ENTRY(l->queue.next, struct fed_item, link);
		struct comity_rq *rq;

		if (item == NULL || item->since > moment)
			return;
		rq = item->rq;
		rq_count_as(rq, TALLY_STANZAS);
		list_remove(&item->link);
		uncount_item(l, item);
		free(item);
		link_bounce(l, rq, cond, why);
	}
}

/* What was sent on a stream that is lost goes back in front of the queue, in its order. */
void link_requeue_suspended(struct fed_link *l)
{
	struct list items;

	list_init(&items);
	for (struct fed_item *item; l->suspended != NULL && (item = sm_shift(l->suspended)) != NULL;)
		list_append(&items, &item->link);
	list_splice(&items, &l->queue);
	list_splice(&l->queue, &items);
	sm_free(l->suspended);
	l->suspended = NULL;
}

bool link_has_bidi(const struct fed_link *l)
{
	return l->bidi != NULL && s2s_is_open(l->bidi);
}

bool link_awaits_acks(const struct fed_link *l)
{
	return link_has_unacked(l) || (l->out != NULL && l->out->sm != NULL && l->out->sm->unacked_count != 0);
}

bool link_can_write(const struct fed_link *l)
{
	return l->state == LINK_READY || (link_has_bidi(l) && !link_awaits_acks(l));
}

/* Where what is sent is acknowledged, if that is possible; nothing goes another way meanwhile, and so nothing overtakes. */
static struct s2s *stream_of(const struct fed_link *l)
{
	if (l->state == LINK_READY && l->out != NULL && l->out->sm != NULL)
		return l->out;
	return l->bidi != NULL && (l->out == NULL || s2s_is_open(l->bidi)) ? l->bidi : l->out;
}

static bool write_to(struct s2s *s, const struct comity_rq *rq)
{
	return s2s_write(s, rq->st, comity_jid_text(rq->from), comity_jid_text(rq->to),
	                 rq->stamps != NULL ? rq->stamps->root : NULL);
}

static void note_written(struct fed_link *l, struct fed_item *item)
{
	struct s2s *s = stream_of(l);

	l->sent++;
	if (s->sm == NULL || !s->is_outgoing) {
		free_item(item);
		return;
	}
	count_item(l, item);
	sm_note_sent(s, item);
	if (l->queue_bytes > link_settings(l)->queue_bytes)
		s2s_give_up(s, S2S_LOST, "%s acknowledges nothing: %zu bytes wait", l->remote, l->queue_bytes);
}

/* The sender's session may end meanwhile; errors find their way by its address. */
static struct fed_item *make_item(struct fed_link *l, struct comity_rq *rq)
{
	struct fed_item *item = mem_new(sizeof(*item));

	rq_detach(rq);
	rq_count_as(rq, TALLY_REMOTE);
	item->rq = rq;
	item->size = ITEM_COST + stanza_weight(rq->st);
	item->since = worker_now(link_worker(l));
	list_init(&item->link);
	return item;
}

static bool has_his_part(const struct fed_link *l, const struct comity_rq *rq, size_t size)
{
	size_t held = quota_held(&l->fed->queued_for, fed_owner_of(rq));

	return held != 0 && held + size > link_settings(l)->total_bytes / USER_PART;
}

/* Why a stanza cannot wait; NULL: it can. */
static const char *find_limit(const struct fed_link *l, const struct comity_rq *rq)
{
	const struct fed_settings *s = link_settings(l);
	size_t size = ITEM_COST + stanza_weight(rq->st), all = l->fed->queued_bytes + size;

	if (l->queue_bytes + size > s->queue_bytes || l->queue_count >= s->queue_stanzas || all > s->total_bytes)
		return "too much waits already for the server of this domain";
	if (all > s->total_bytes / 2 && has_his_part(l, rq, size))
		return "too much of yours waits already for other servers";
	return NULL;
}

void link_enqueue(struct fed_link *l, struct comity_rq *rq)
{
	const char *limit = find_limit(l, rq);
	struct fed_item *item;

	if (l->fed->is_over) {
		comity_rq_release(rq);
		return;
	}
	if (limit != NULL) {
		link_bounce(l, rq, COMITY_RESOURCE_CONSTRAINT, limit);
		return;
	}
	item = make_item(l, rq);
	list_append(&l->queue, &item->link);
	count_item(l, item);
}

void link_flush(struct fed_link *l)
{
	while (!list_empty(&l->queue) && link_can_write(l)) {
		struct fed_item *item = LIST_ENTRY(l->queue.next, struct fed_item, link);

		if (!write_to(stream_of(l), item->rq))
			return;
		list_remove(&item->link);
		uncount_item(l, item);
		note_written(l, item);
	}
}

bool link_has_unacked(const struct fed_link *l)
{
	return l->suspended != NULL && l->suspended->unacked_count != 0;
}

static uint64_t oldest_unacked(const struct fed_link *l)
{
	return ((struct fed_item *)LIST_ENTRY(l->suspended->unacked.next, struct s2s_sm_item, link)->token)->since;
}

uint64_t link_oldest(const struct fed_link *l)
{
	uint64_t oldest = list_empty(&l->queue) ? UINT64_MAX : LIST_ENTRY(l->queue.next, struct fed_item, link)->since;

	return link_has_unacked(l) && oldest_unacked(l) < oldest ? oldest_unacked(l) : oldest;
}

void link_bounce_old(struct fed_link *l)
{
	uint64_t now = worker_now(link_worker(l)), age = link_settings(l)->queue_age_ms;

	if (now < age)
		return;
	if (link_has_unacked(l) && oldest_unacked(l) <= now - age)
		link_requeue_suspended(l);
	link_bounce_before(l, now - age);
}

void link_return_all(struct fed_link *l, const char *text)
{
	if (l->cause == S2S_CAUSE_NONE) {
		l->cause = S2S_CLOSED_BY_US;
		link_set_why(l, text);
	}
	link_requeue_suspended(l);
	link_bounce_before(l, UINT64_MAX);
	link_schedule(l);
}

bool link_write(struct fed_link *l, struct comity_rq *rq)
{
	if (!write_to(stream_of(l), rq))
		return false;
	note_written(l, make_item(l, rq));
	return true;
}

void link_on_acked(struct fed_link *l, void *token)
{
	uncount_item(l, token);
	free_item(token);
}

/* Called for the oldest first, so that each goes behind the one before it. */
void link_on_unacked(struct fed_link *l, void *token)
{
	struct fed_item *item = token;

	list_append(&l->returned, &item->link);
}

void link_rewrite(struct fed_link *l, void *token)
{
	const struct fed_item *item = token;

	write_to(l->out, item->rq);
}

void link_take_back(struct fed_link *l)
{
	list_splice(&l->returned, &l->queue);
	list_splice(&l->queue, &l->returned);
}

/* What was not acknowledged has the full time again to arrive, but not for ever: the peer may end each stream because
 * of it. */
static void renew(struct fed_item *item, uint64_t now)
{
	if (item->losses++ < RENEWALS)
		item->since = now;
}

void link_keep_managed(struct fed_link *l, struct s2s *s)
{
	link_take_back(l);
	if (s->sm == NULL)
		return;
	l->suspended = s->sm;
	s->sm = NULL;
	LIST_EACH(p, next, &l->suspended->unacked)
		renew(LIST_ENTRY(p, struct s2s_sm_item, link)->token, worker_now(link_worker(l)));
	if (l->suspended->id == NULL)
		link_requeue_suspended(l);
}
