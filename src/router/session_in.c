/* SPDX-License-Identifier: MIT */
/* What a client with stream management sends: the count that it is told covers a stanza once that is safe. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/pool.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_sm.h"
#include "xml/elem.h"
#include "xmpp/ns.h"

/* A client that asks is answered after this time at the latest, with what is safe by then. */
#define OWE_MS 1000
/* The journal takes a count after so many stanzas, if the client has not asked before. */
#define COUNT_AT 64

/* A stanza of the client until it is safe. */
struct sm_in {
	struct safe safe;
	struct comity_session *session;
	struct list link;              /* in sm->coming or sm->before */
	bool is_before;
	uint64_t key;
	struct image_handled last;     /* as it was said last */
	struct image_handled first;    /* this never changes: other workers read it */
};

/* ---- the count ---- */

static bool take_bit(struct session_sm *sm, uint32_t number)
{
	uint64_t *word = &sm->done[number % SM_WINDOW / 64], bit = UINT64_C(1) << (number % 64);
	bool is_set = (*word & bit) != 0;

	*word &= ~bit;
	return is_set;
}

static void pay(struct session_sm *sm)
{
	if (!sm->is_owed || (int32_t)(sm->in - sm->owed_for) < 0)
		return;
	sm->is_owed = false;
	worker_timer_stop(sm->session->account->router->worker, &sm->owe);
	if (sm->session->stream != NULL)
		session_sm_say_count(sm, sm->session->stream, "a", NULL);
}

static void on_owe(struct worker *w, struct timer *t)
{
	struct session_sm *sm = LIST_ENTRY(t, struct session_sm, owe);

	if (sm->resuming != NULL) {
		session_resume_now(sm);
	} else if (sm->session->stream != NULL) {
		session_sm_say_count(sm, sm->session->stream, "a", NULL);
		journal_hurry(router_of(w));
	}
}

static void start_owe(struct session_sm *sm)
{
	struct router *r = sm->session->account->router;

	sm->owe.fire = on_owe;
	worker_timer_start(r->worker, &sm->owe, OWE_MS);
	journal_hurry(r);
}

static bool has_room(const struct session_sm *sm)
{
	return sm->received - sm->in + sm->before_count < SM_WINDOW / 2;
}

static void on_soon(struct worker *w, struct timer *t)
{
	struct session_sm *sm = LIST_ENTRY(t, struct session_sm, soon);

	(void)w;
	if (sm->resuming != NULL) {
		session_resume_now(sm);
	} else if (sm->is_stopped && has_room(sm)) {
		sm->is_stopped = false;
		if (sm->session->stream != NULL && sm->session->stream->conn != NULL)
			conn_resume(sm->session->stream->conn);
	}
}

/* Of what a client may say again only so much is known, the newest. */
static void drop_oldest(struct image_handled *items, size_t *count)
{
	if (*count >= SM_WINDOW)
		memmove(items, items + 1, --*count * sizeof(*items));
}

/* What is safe is known until the journal has a count that covers it. */
static void note_ahead(struct session_sm *sm, const struct image_handled *item)
{
	if (item->hash == 0)
		return;
	drop_oldest(sm->ahead, &sm->ahead_count);
	if (sm->ahead_count == sm->ahead_room) {
		sm->ahead_room = sm->ahead_room != 0 ? 2 * sm->ahead_room : 4;
		sm->ahead = mem_resize(sm->ahead, sm->ahead_room * sizeof(*sm->ahead));
	}
	sm->ahead[sm->ahead_count++] = *item;
}

void session_in_counted(struct session_sm *sm)
{
	size_t kept = 0;

	for (size_t i = 0; i < sm->ahead_count; i++)
		if ((int32_t)(sm->ahead[i].number - sm->told) > 0)
			sm->ahead[kept++] = sm->ahead[i];
	sm->ahead_count = kept;
}

static void go_on(struct session_sm *sm)
{
	/* Who resumes waits for all of it; what it was stopped for does not matter then. */
	if (sm->resuming != NULL ? sm->in == sm->received : sm->is_stopped && has_room(sm)) {
		sm->soon.fire = on_soon;
		worker_timer_start(sm->session->account->router->worker, &sm->soon, 0);
	}
}

static void add_handled(struct session_sm *sm, const struct image_handled *item)
{
	drop_oldest(sm->handled, &sm->handled_count);
	sm->handled = mem_resize(sm->handled, (sm->handled_count + 1) * sizeof(*sm->handled));
	sm->handled[sm->handled_count++] = *item;
}

static void mark_done(struct session_sm *sm, const struct image_handled *item)
{
	note_ahead(sm, item);
	sm->done[item->number % SM_WINDOW / 64] |= UINT64_C(1) << (item->number % 64);
	while (sm->in != sm->received && take_bit(sm, sm->in + 1))
		sm->in++;
	if (sm->in - sm->told >= COUNT_AT)
		journal_count(sm);
	pay(sm);
	go_on(sm);
}

/* ---- when it is safe ---- */

/* The client is back and may say it again, perhaps with another number. */
static void mark_done_before(struct session_sm *sm, const struct image_handled *item)
{
	sm->before_count--;
	if (item->hash != 0)
		add_handled(sm, item);
	go_on(sm);
}

static void on_released(struct safe *safe, struct router *r)
{
	const struct sm_in *in = LIST_ENTRY(safe, struct sm_in, safe);

	if (in->first.hash != 0 && safe_is_shared(safe))
		journal_handled_early(r, in->key, &in->first);
	else if (in->first.hash != 0)
		journal_handled(r, in->key, &in->first);
}

static void on_done(struct safe *safe, struct router *r, bool was_away)
{
	struct sm_in *in = LIST_ENTRY(safe, struct sm_in, safe);

	/* The other worker's journal may be replaced before this count is written anywhere; and what was said again has
	 * another number. */
	if (in->last.hash != 0 && (was_away || in->last.returns != in->first.returns))
		journal_handled(r, in->key, &in->last);
	list_remove(&in->link);
	if (in->session->sm != NULL && in->is_before)
		mark_done_before(in->session->sm, &in->last);
	else if (in->session->sm != NULL)
		mark_done(in->session->sm, &in->last);
	session_unref(in->session);
	pool_give(in, sizeof(*in));
}

/* ---- what came before ---- */

/* The stanza that has come last; hash: of a message, or 0. */
static struct image_handled saying(const struct session_sm *sm, uint64_t hash)
{
	return (struct image_handled){ sm->received, sm->returns, hash };
}

/* What a message that is sent again has in common with its first coming; never 0. Without an id that is its place
 * among those of the session: the same words may be meant twice. */
static uint64_t hash_message(const struct comity_stanza *st, uint32_t number)
{
	const struct comity_elem *body = comity_elem_find(st->doc->root, NS_CLIENT, "body");
	const char *text = body != NULL ? comity_elem_text(body) : st->doc->inner;
	size_t len = body != NULL ? strlen(text) : st->doc->inner_len;
	const char *to = comity_elem_attr(st->doc->root, "to");
	uint64_t seed = st->id != NULL ? hash_bytes(st->id, strlen(st->id), 0) : hash_bytes(&number, sizeof(number), 1);

	if (to != NULL)
		seed = hash_bytes(to, strlen(to), seed);
	return hash_bytes(text != NULL ? text : "", text != NULL ? len : 0, seed) | 1;
}

/* A client sends again in order, though perhaps not all: what has a lower number than this stanza does not come
 * any more, and what looks like it is meant anew. */
static bool was_handled(struct session_sm *sm, uint64_t hash)
{
	for (size_t i = 0; i < sm->handled_count;) {
		bool is_late = (int32_t)(sm->handled[i].number - sm->received) < 0;
		bool is_same = !is_late && sm->handled[i].hash == hash;

		if (is_late || is_same)
			sm->handled[i] = sm->handled[--sm->handled_count];
		else
			i++;
		if (is_same)
			return true;
	}
	return false;
}

/* The same of what is still to be safe: then this counts as soon as that is. */
static bool is_coming(struct session_sm *sm, uint64_t hash)
{
	LIST_EACH(l, next, &sm->before) {
		struct sm_in *in = LIST_ENTRY(l, struct sm_in, link);

		if (in->last.hash != hash || (int32_t)(in->last.number - sm->received) < 0)
			continue;
		list_remove(&in->link);
		list_append(&sm->coming, &in->link);
		sm->before_count--;
		in->is_before = false;
		in->last = saying(sm, hash);
		return true;
	}
	return false;
}

/* ---- coming in ---- */

static void hold(struct session_sm *sm, struct comity_rq *rq, uint64_t hash)
{
	struct sm_in *in = pool_take_zeroed(sizeof(*in));

	safe_init(&in->safe, rq->router->worker, on_done);
	in->safe.released = on_released;
	in->session = session_ref(sm->session);
	in->key = sm->key;
	in->first = in->last = saying(sm, hash);
	list_append(&sm->coming, &in->link);
	rq_set_safe(rq, &in->safe);
}

bool session_in_take(struct comity_session *s, struct comity_rq *rq)
{
	struct session_sm *sm = s->sm;
	uint64_t hash = 0;

	if (sm == NULL)
		return true;
	sm->received++;
	if (sm->key != 0 && rq->st->kind == COMITY_MESSAGE) {
		hash = hash_message(rq->st, sm->received);
		if (sm->handled_count != 0 && was_handled(sm, hash)) {
			struct image_handled item = saying(sm, hash);

			journal_handled(rq->router, sm->key, &item);
			mark_done(sm, &item);
			return false;
		}
		if (sm->before_count != 0 && is_coming(sm, hash))
			return false;
		rq->cause = (struct cause){ sm->key, hash, sm->received };
		rq->is_repeat = sm->is_restored;
	}
	hold(sm, rq, hash);
	if (sm->received - sm->in + sm->before_count >= SM_WINDOW - 1 && s->stream != NULL && s->stream->conn != NULL) {
		sm->is_stopped = true;
		conn_stop(s->stream->conn);
		journal_hurry(rq->router);
	}
	return true;
}

void session_in_count(struct session_sm *sm)
{
	struct image_handled item;

	sm->received++;
	item = saying(sm, 0);
	mark_done(sm, &item);
}

void session_in_ask(struct session_sm *sm)
{
	if (sm->in == sm->received) {
		session_sm_say_count(sm, sm->session->stream, "a", NULL);
		return;
	}
	sm->owed_for = sm->received;
	if (sm->is_owed) {
		journal_hurry(sm->session->account->router);
		return;
	}
	sm->is_owed = true;
	start_owe(sm);
}

bool session_in_settled(struct session_sm *sm, struct c2s *c)
{
	if (sm->in == sm->received)
		return true;
	sm->resuming = c2s_ref(c);
	start_owe(sm);
	return false;
}

/* XEP-0198 5: the client sends again what the count does not cover, in order, though perhaps not all, so that each may
 * have another number now, for the next reader of the journal too. There is something only when it takes long to be
 * safe, or the disk is full. Messages are known when they come again; what else was not covered is handled once more. */
void session_in_resume(struct session_sm *sm)
{
	bool any = sm->received != sm->told;

	worker_timer_stop(sm->session->account->router->worker, &sm->owe);
	sm->is_owed = sm->is_stopped = false;
	LIST_EACH(l, next, &sm->coming) {
		LIST_ENTRY(l, struct sm_in, link)->is_before = true;
		sm->before_count++;
	}
	list_splice(&sm->before, &sm->coming);
	for (size_t i = 0; i < sm->handled_count; i++)
		any |= sm->handled[i].returns == sm->returns;
	for (size_t i = 0; i < sm->ahead_count; i++)
		add_handled(sm, &sm->ahead[i]);
	sm->ahead_count = 0;
	memset(sm->done, 0, sizeof(sm->done));
	sm->received = sm->in = sm->told;
	if (!any)
		return;
	sm->returns++;
	journal_session(sm->session);
}

void session_in_init(struct session_sm *sm)
{
	list_init(&sm->coming);
	list_init(&sm->before);
}

void session_in_deinit(struct session_sm *sm)
{
	worker_timer_stop(sm->session->account->router->worker, &sm->owe);
	worker_timer_stop(sm->session->account->router->worker, &sm->soon);
	if (sm->resuming != NULL) {
		c2s_fail(sm->resuming, STREAM_RESET, "the session has ended");
		c2s_unref(sm->resuming);
	}
	LIST_EACH(l, next, &sm->coming)
		list_remove(l);
	LIST_EACH(l, next, &sm->before)
		list_remove(l);
	free(sm->handled);
	free(sm->ahead);
}
