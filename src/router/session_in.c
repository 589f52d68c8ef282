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
/* The client is read no further when so many wait, until fewer do than WINDOW_LOW. Others may have it read meanwhile,
 * a stanza at a time: it fails before numbers in sm->done meet. */
#define WINDOW_HIGH (SM_WINDOW / 4 * 3)
#define WINDOW_LOW (SM_WINDOW / 2)
/* What may come again is known of so many, the newest. There are more than wait only while the journal cannot be
 * written. */
#define KNOWN_MAX ((size_t)4 * SM_WINDOW)

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

static uint32_t count_waiting(const struct session_sm *sm)
{
	return sm->received - sm->in + sm->before_count;
}

static bool has_room(const struct session_sm *sm)
{
	return count_waiting(sm) < WINDOW_LOW;
}

static void check_room(struct session_sm *sm)
{
	struct c2s *c = sm->session->stream;

	if (count_waiting(sm) < WINDOW_HIGH || c == NULL || c->conn == NULL)
		return;
	sm->is_stopped = true;
	conn_stop(c->conn, CONN_STOP_UNSAFE);
	journal_hurry(sm->session->account->router);
	if (count_waiting(sm) >= SM_WINDOW)
		c2s_fail(c, STREAM_RESOURCE_CONSTRAINT, "too many stanzas are not handled yet");
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
			conn_resume(sm->session->stream->conn, CONN_STOP_UNSAFE);
	}
}

static void add_known(struct image_handled **items, size_t *count, size_t *room, const struct image_handled *item)
{
	if (*count >= KNOWN_MAX)
		memmove(*items, *items + 1, --*count * sizeof(**items));
	if (*count == *room) {
		*room = *room != 0 ? 2 * *room : 4;
		*items = mem_resize(*items, *room * sizeof(**items));
	}
	(*items)[(*count)++] = *item;
}

void session_in_counted(struct session_sm *sm)
{
	size_t kept = 0;

	for (size_t i = 0; i < sm->ahead_count; i++)
		if ((int32_t)(sm->ahead[i].number - sm->told) > 0)
			sm->ahead[kept++] = sm->ahead[i];
	sm->ahead_count = kept;
}

/* Who resumes waits for all of it; what it was stopped for does not matter then. */
static void wake(struct session_sm *sm)
{
	if (sm->resuming != NULL ? sm->in == sm->received : sm->is_stopped && has_room(sm)) {
		sm->soon.fire = on_soon;
		worker_timer_start(sm->session->account->router->worker, &sm->soon, 0);
	}
}

static void mark_done(struct session_sm *sm, const struct image_handled *item)
{
	/* Until the journal has a count that covers it, it may come again. */
	if (item->hash != 0)
		add_known(&sm->ahead, &sm->ahead_count, &sm->ahead_room, item);
	sm->done[item->number % SM_WINDOW / 64] |= UINT64_C(1) << (item->number % 64);
	while (sm->in != sm->received && take_bit(sm, sm->in + 1))
		sm->in++;
	if (sm->in - sm->told >= COUNT_AT)
		journal_count(sm);
	pay(sm);
	wake(sm);
}

/* ---- when it is safe ---- */

/* The client is back and may say it again, perhaps with another number. */
static void mark_done_before(struct session_sm *sm, const struct image_handled *item)
{
	sm->before_count--;
	if (item->hash != 0)
		add_known(&sm->handled, &sm->handled_count, &sm->handled_room, item);
	wake(sm);
}

bool session_in_is_message(const struct image_handled *item)
{
	return (item->hash & 1) != 0;
}

static void on_released(struct safe *safe, struct router *r)
{
	const struct sm_in *in = LIST_ENTRY(safe, struct sm_in, safe);

	if (!session_in_is_message(&in->first))
		return;
	if (safe_is_shared(safe))
		journal_handled_early(r, in->key, &in->first);
	else
		journal_handled(r, in->key, &in->first);
}

static void on_done(struct safe *safe, struct router *r, bool was_away)
{
	struct sm_in *in = LIST_ENTRY(safe, struct sm_in, safe);

	/* The other worker's journal may be replaced before this count is written anywhere; and what was said again has
	 * another number. */
	if (session_in_is_message(&in->last) && (was_away || in->last.number != in->first.number))
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

/* What a stanza that comes again has in common with its first coming. Without an id each number makes it another one:
 * the same words may be meant twice. */
struct saying {
	uint64_t hash;
	bool has_id, is_message;
};

static struct saying saying_of(const struct comity_stanza *st)
{
	const struct comity_elem *body = st->kind == COMITY_MESSAGE ?
		comity_elem_find(st->doc->root, NS_CLIENT, "body") : NULL;
	const char *text = body != NULL ? comity_elem_text(body) : st->doc->inner;
	size_t len = body != NULL ? strlen(text) : st->doc->inner_len;
	const char *const attrs[] = { st->id, comity_elem_attr(st->doc->root, "to"),
		                      st->kind == COMITY_MESSAGE ? NULL : comity_elem_attr(st->doc->root, "type") };
	struct saying said = { st->kind, st->id != NULL, st->kind == COMITY_MESSAGE };

	for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++)
		if (attrs[i] != NULL)
			said.hash = hash_bytes(attrs[i], strlen(attrs[i]), said.hash);
	said.hash = hash_bytes(text != NULL ? text : "", text != NULL ? len : 0, said.hash);
	return said;
}

/* With this number; the lowest bits say that there is one, and whether it is a message. */
static struct image_handled numbered(const struct saying *said, uint32_t number)
{
	uint64_t hash = said->has_id ? said->hash : hash_bytes(&number, sizeof(number), said->hash);

	return (struct image_handled){ number, (hash & ~UINT64_C(3)) | (said->is_message ? 1 : 2) };
}

/* A client sends again in order, though perhaps not all: what has a lower number than this stanza does not come
 * any more, and what looks like it is meant anew. */
static bool is_late(const struct session_sm *sm, const struct image_handled *item)
{
	return (int32_t)(item->number - sm->received) < 0;
}

static bool is_same(const struct saying *said, const struct image_handled *item)
{
	return numbered(said, item->number).hash == item->hash;
}

/* True when it is among those that are safe, the first of them that is like it: it is not handled again. */
static bool take_handled(struct session_sm *sm, const struct saying *said)
{
	size_t kept = 0, found = SIZE_MAX;

	for (size_t i = 0; i < sm->handled_count; i++) {
		struct image_handled item = sm->handled[i];

		if (is_late(sm, &item))
			continue;
		if (is_same(said, &item) && (found == SIZE_MAX || (int32_t)(item.number - sm->handled[found].number) < 0))
			found = kept;
		sm->handled[kept++] = item;
	}
	sm->handled_count = kept;
	if (found == SIZE_MAX)
		return false;
	memmove(sm->handled + found, sm->handled + found + 1, (kept - found - 1) * sizeof(*sm->handled));
	sm->handled_count--;
	return true;
}

/* The same of what is still to be safe: then this counts as soon as that is. */
static bool take_before(struct session_sm *sm, const struct saying *said)
{
	LIST_EACH(l, next, &sm->before) {
		struct sm_in *in = LIST_ENTRY(l, struct sm_in, link);

		if (in->last.hash == 0 || is_late(sm, &in->last) || !is_same(said, &in->last))
			continue;
		list_remove(&in->link);
		list_append(&sm->coming, &in->link);
		sm->before_count--;
		in->is_before = false;
		in->last = numbered(said, sm->received);
		return true;
	}
	return false;
}

/* ---- coming in ---- */

static void hold(struct session_sm *sm, struct comity_rq *rq, const struct image_handled *item)
{
	struct sm_in *in = pool_take_zeroed(sizeof(*in));

	safe_init(&in->safe, rq->router->worker, on_done);
	in->safe.released = on_released;
	in->session = session_ref(sm->session);
	in->key = sm->key;
	in->first = in->last = *item;
	list_append(&sm->coming, &in->link);
	rq_set_safe(rq, &in->safe);
}

/* False: it has come before. */
static bool take(struct session_sm *sm, struct comity_rq *rq)
{
	struct saying said = saying_of(rq->st);
	struct image_handled item = numbered(&said, sm->received);

	if (sm->handled_count != 0 && take_handled(sm, &said)) {
		if (said.is_message)
			journal_handled(rq->router, sm->key, &item);
		mark_done(sm, &item);
		return false;
	}
	if (sm->before_count != 0 && take_before(sm, &said))
		return false;
	if (said.is_message) {
		rq->cause = (struct cause){ sm->key, item.hash, sm->received };
		rq->is_repeat = sm->is_restored;
	}
	hold(sm, rq, &item);
	return true;
}

bool session_in_take(struct comity_session *s, struct comity_rq *rq)
{
	struct session_sm *sm = s->sm;
	bool is_new = true;

	if (sm == NULL)
		return true;
	sm->received++;
	/* The last presence counts: what comes again is as good as new. */
	if (sm->key != 0 && rq->st->kind != COMITY_PRESENCE)
		is_new = take(sm, rq);
	else
		hold(sm, rq, &(struct image_handled){ .number = sm->received });
	check_room(sm);
	return is_new;
}

void session_in_ask(struct session_sm *sm)
{
	if (sm->in == sm->received) {
		session_sm_say_count(sm, sm->session->stream, "a", NULL);
		return;
	}
	sm->owed_for = sm->received;
	if (sm->is_owed && timer_is_running(&sm->owe)) {
		journal_hurry(sm->session->account->router);
		return;
	}
	sm->is_owed = true;
	start_owe(sm);
}

bool session_in_settled(struct session_sm *sm, struct c2s *c)
{
	/* What the old stream has asked for does not matter any more. */
	sm->is_owed = false;
	if (sm->in == sm->received)
		return true;
	sm->resuming = c2s_ref(c);
	start_owe(sm);
	return false;
}

/* XEP-0198 5: the client sends again what the count does not cover, in order, though perhaps not all, so that each may
 * have another number now. There is something only when it takes long to be safe, or the disk is full. */
void session_in_resume(struct session_sm *sm)
{
	bool is_covered = sm->received == sm->told;

	worker_timer_stop(sm->session->account->router->worker, &sm->owe);
	sm->is_owed = sm->is_stopped = false;
	LIST_EACH(l, next, &sm->coming) {
		LIST_ENTRY(l, struct sm_in, link)->is_before = true;
		sm->before_count++;
	}
	list_splice(&sm->before, &sm->coming);
	for (size_t i = 0; i < sm->ahead_count; i++)
		add_known(&sm->handled, &sm->handled_count, &sm->handled_room, &sm->ahead[i]);
	sm->ahead_count = 0;
	memset(sm->done, 0, sizeof(sm->done));
	sm->received = sm->in = sm->told;
	if (!is_covered)
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
