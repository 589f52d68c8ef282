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

/* A stanza of the client until it is safe. */
struct sm_in {
	struct safe safe;
	struct comity_session *session;
	uint64_t key, hash;
	uint32_t number;
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
	return sm->received - sm->in < SM_WINDOW / 2;
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

/* The journal must not forget them when its file is replaced. */
static void note_ahead(struct session_sm *sm, uint32_t number, uint64_t hash)
{
	if (hash == 0 || number == sm->in + 1)
		return;
	if (sm->ahead_count == sm->ahead_room) {
		sm->ahead_room = sm->ahead_room != 0 ? 2 * sm->ahead_room : 4;
		sm->ahead = mem_resize(sm->ahead, sm->ahead_room * sizeof(*sm->ahead));
	}
	sm->ahead[sm->ahead_count++] = (struct image_handled){ number, false, hash };
}

static void forget_ahead(struct session_sm *sm)
{
	size_t kept = 0;

	for (size_t i = 0; i < sm->ahead_count; i++)
		if ((int32_t)(sm->ahead[i].number - sm->in) > 0)
			sm->ahead[kept++] = sm->ahead[i];
	sm->ahead_count = kept;
}

/* hash: of a message; 0: none. */
static void mark_done(struct session_sm *sm, uint32_t number, uint64_t hash)
{
	note_ahead(sm, number, hash);
	sm->done[number % SM_WINDOW / 64] |= UINT64_C(1) << (number % 64);
	while (sm->in != sm->received && take_bit(sm, sm->in + 1))
		sm->in++;
	if (sm->ahead_count != 0)
		forget_ahead(sm);
	pay(sm);
	/* Who resumes waits for all of it; what it was stopped for does not matter then. */
	if (sm->resuming != NULL ? sm->in == sm->received : sm->is_stopped && has_room(sm)) {
		sm->soon.fire = on_soon;
		worker_timer_start(sm->session->account->router->worker, &sm->soon, 0);
	}
}

static void on_released(struct safe *safe, struct router *r)
{
	const struct sm_in *in = LIST_ENTRY(safe, struct sm_in, safe);

	if (in->hash != 0 && safe_is_shared(safe))
		journal_handled_early(r, in->key, in->number, in->hash);
	else if (in->hash != 0)
		journal_handled(r, in->key, in->number, in->hash);
}

static void on_done(struct safe *safe, struct router *r, bool was_away)
{
	struct sm_in *in = LIST_ENTRY(safe, struct sm_in, safe);

	/* The other worker's journal may be replaced before this count is written anywhere. */
	if (was_away && in->hash != 0)
		journal_handled(r, in->key, in->number, in->hash);
	if (in->session->sm != NULL)
		mark_done(in->session->sm, in->number, in->hash);
	session_unref(in->session);
	pool_give(in, sizeof(*in));
}

/* ---- what came before ---- */

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

/* ---- coming in ---- */

static void hold(struct session_sm *sm, struct comity_rq *rq, uint64_t hash)
{
	struct sm_in *in = pool_take_zeroed(sizeof(*in));

	safe_init(&in->safe, rq->router->worker, on_done);
	in->safe.released = on_released;
	in->session = session_ref(sm->session);
	in->key = sm->key;
	in->hash = hash;
	in->number = sm->received;
	rq_set_safe(rq, &in->safe);
}

bool session_in_take(struct comity_session *s, struct comity_rq *rq)
{
	struct session_sm *sm = s->sm;
	uint64_t hash = 0;

	if (sm == NULL)
		return true;
	if (sm->repeats != 0) {
		sm->repeats--;
		return false;
	}
	sm->received++;
	if (sm->key != 0 && rq->st->kind == COMITY_MESSAGE) {
		hash = hash_message(rq->st, sm->received);
		if (sm->handled_count != 0 && was_handled(sm, hash)) {
			journal_handled(rq->router, sm->key, sm->received, hash);
			mark_done(sm, sm->received, hash);
			return false;
		}
		rq->cause = (struct cause){ sm->key, hash, sm->received };
		rq->is_repeat = sm->is_restored;
	}
	hold(sm, rq, hash);
	if (sm->received - sm->in >= SM_WINDOW - 1 && s->stream != NULL && s->stream->conn != NULL) {
		sm->is_stopped = true;
		conn_stop(s->stream->conn);
		journal_hurry(rq->router);
	}
	return true;
}

void session_in_count(struct session_sm *sm)
{
	if (sm->repeats != 0)
		sm->repeats--;
	else
		mark_done(sm, ++sm->received, 0);
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

/* XEP-0198 5: the client sends again what the count does not cover, first and in order. There is something only
 * when it takes very long to be safe, or the disk is full. */
void session_in_resume(struct session_sm *sm)
{
	worker_timer_stop(sm->session->account->router->worker, &sm->owe);
	sm->is_owed = sm->is_stopped = false;
	sm->repeats = sm->received - sm->told;
	if (sm->handled_count == 0)
		return;
	for (size_t i = 0; i < sm->handled_count; i++)
		sm->handled[i].is_stale = true;
	journal_session(sm->session);
}

void session_in_deinit(struct session_sm *sm)
{
	worker_timer_stop(sm->session->account->router->worker, &sm->owe);
	worker_timer_stop(sm->session->account->router->worker, &sm->soon);
	if (sm->resuming != NULL) {
		c2s_fail(sm->resuming, STREAM_RESET, "the session has ended");
		c2s_unref(sm->resuming);
	}
	free(sm->handled);
	free(sm->ahead);
}
