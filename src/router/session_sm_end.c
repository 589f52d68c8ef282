/* SPDX-License-Identifier: MIT */
/* The end of a session with stream management: what its client has not acknowledged finds another way. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/copies.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_sm.h"

/* A session that has ended stays in the journal until all it had for its client is safe elsewhere. */
struct ending {
	struct safe safe;
	struct list link;     /* in router->endings */
	uint64_t key;
	struct buf image;     /* as it was */
	uint32_t *passed;     /* places of those that have arrived elsewhere */
	size_t passed_count, passed_room;
};

/* A stanza on its way there. Its sender waits for that no longer than for the journal, as before: while other sessions
 * have copies of it, it may go nowhere for minutes. */
struct passing {
	struct safe safe;
	struct sm_item *sender;   /* stands for the item in router->unsynced */
	struct safe *ending;
	uint32_t place;       /* in the queue */
};

static void on_ending_done(struct safe *safe, struct router *r, bool was_away)
{
	struct ending *e = LIST_ENTRY(safe, struct ending, safe);

	(void)was_away;
	journal_ended(r, e->key);
	list_remove(&e->link);
	buf_deinit(&e->image);
	free(e->passed);
	free(e);
}

/* Until the last has arrived: after a crash the others go on, and this one may have been got by a client whose session
 * is over as well. */
static void note_passed(struct ending *e, struct router *r, uint32_t place)
{
	if (!safe_is_shared(&e->safe) || buf_size(&e->image) == 0)
		return;
	if (e->passed_count == e->passed_room) {
		e->passed_room = e->passed_room != 0 ? 2 * e->passed_room : 8;
		e->passed = mem_resize(e->passed, e->passed_room * sizeof(*e->passed));
	}
	e->passed[e->passed_count++] = place;
	journal_passed(r, e->key, place);
}

static void on_passing_done(struct safe *safe, struct router *r, bool was_away)
{
	struct passing *p = LIST_ENTRY(safe, struct passing, safe);

	(void)was_away;
	sm_item_free(p->sender, r);
	note_passed(LIST_ENTRY(p->ending, struct ending, safe), r, p->place);
	safe_unref(p->ending, r);
	free(p);
}

static struct ending *ending_new(struct comity_session *s)
{
	struct router *r = s->account->router;
	struct ending *e = mem_new(sizeof(*e));

	safe_init(&e->safe, r->worker, on_ending_done);
	e->key = s->sm->key;
	if (s->sm->unacked_count != 0) {
		s->sm->can_resume = false;
		e->image = journal_image_of(s);
		journal_over(r, e->key);
	}
	list_append(&r->endings, &e->link);
	return e;
}

void endings_write(struct router *r)
{
	LIST_EACH(l, next, &r->endings) {
		const struct ending *e = LIST_ENTRY(l, struct ending, link);

		if (buf_size(&e->image) == 0)
			continue;
		buf_add(journal_begin(r->journal, RECORD_SESSION), buf_bytes(&e->image), buf_size(&e->image));
		journal_end(r->journal);
		for (size_t i = 0; i < e->passed_count; i++)
			journal_passed(r, e->key, e->passed[i]);
	}
}

static struct safe *passing_new(struct sm_item *item, struct router *r, struct safe *ending, uint32_t place)
{
	struct passing *p = mem_new(sizeof(*p));

	safe_init(&p->safe, r->worker, on_passing_done);
	p->sender = sm_item_new(NULL, NULL, NULL);
	p->sender->safe = item->safe;
	p->sender->place = item->place;
	if (!list_empty(&item->unsynced))
		list_prepend(&item->unsynced, &p->sender->unsynced);
	list_remove(&item->unsynced);
	p->ending = safe_ref(ending);
	p->place = place;
	item->safe = NULL;
	return &p->safe;
}

/* Messages find another session, offline storage or their sender; requests get an error. Presence has no other place. */
static void pass_on(struct comity_session *s, struct sm_item *item, struct safe *ending, uint32_t place)
{
	struct router *r = s->account->router;
	struct comity_rq *rq;

	if (item->st == NULL || item->st->kind == COMITY_PRESENCE || item->from == NULL) {
		sm_item_free(item, r);
		return;
	}
	item->safe = passing_new(item, r, ending, place);
	item = copies_leave(item);
	if (item == NULL)
		return;
	rq = rq_new(r, &item->st, item->from, item->to != NULL ? item->to : s->account->jid);
	rq->received_us = item->received_us;
	rq->cause = item->cause;
	rq->stored = item->stored;
	rq->is_again = true;
	rq->is_repeat = true;
	rq_set_safe(rq, item->safe);
	item->safe = NULL;
	sm_item_free(item, r);
	route(rq);
}

void session_pass_on(struct comity_rq *rq)
{
	if (rq->st->kind == COMITY_PRESENCE || rq->from == NULL || copies_is_carbon(rq->st, rq->from)) {
		comity_rq_release(rq);
		return;
	}
	rq->is_again = true;
	route(rq);
}

static void note_ended(struct router *r, const struct session_sm *sm)
{
	struct ended_session *e = &r->ended[r->ended_next++ % ENDED_MAX];

	memcpy(e->id, sm->id, sizeof(e->id));
	e->account = comity_jid_hash(sm->session->account->jid);
	e->count = sm->in;
}

static void free_sm(struct session_sm *sm)
{
	struct worker *w = sm->session->account->router->worker;

	worker_timer_stop(w, &sm->ask);
	worker_timer_stop(w, &sm->expire);
	list_remove(&sm->telling);
	list_remove(&sm->changed);
	session_in_deinit(sm);
	session_count(sm->session, -(ptrdiff_t)(sizeof(*sm) + sm->seen_room * sizeof(*sm->seen)));
	free(sm->seen);
	free(sm);
}

void session_sm_end(struct comity_session *s)
{
	struct session_sm *sm = s->sm;
	uint32_t place = 0;
	struct ending *e;

	if (sm == NULL)
		return;
	if (sm->can_resume)
		note_ended(s->account->router, sm);
	e = ending_new(s);
	s->sm = NULL;
	for (struct sm_item *item; (item = session_sm_shift(sm)) != NULL;)
		pass_on(s, item, &e->safe, place++);
	safe_unref(&e->safe, s->account->router);
	free_sm(sm);
}

void session_sm_forget(struct comity_session *s)
{
	struct session_sm *sm = s->sm;

	if (sm == NULL)
		return;
	s->sm = NULL;
	for (struct sm_item *item; (item = session_sm_shift(sm)) != NULL;)
		sm_item_free(item, s->account->router);
	free_sm(sm);
}
