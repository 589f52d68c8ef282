/* SPDX-License-Identifier: MIT */
/* Stream management of clients. */
#include "router/session_sm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/pool.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_written.h"
#include "xml/elem.h"
#include "xml/writer.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

/* An acknowledgement is asked for after so many stanzas, or SM_ASK_MS after the first of them. */
#define ASK_COUNT 10
/* A session whose end has to wait is looked at again. */
#define EXPIRE_LATER_MS 1000
/* What an item costs beside the bytes of its stanza. */
#define ITEM_COST 256
/* Who is sent a burst cannot acknowledge it within a round trip: a client that may yet answer, as it has been asked for
 * no longer than this, or is not read, may leave so many times the limits unacknowledged. */
#define ANSWER_MS 5000
#define BURST_TIMES 3

static struct worker *worker_of(const struct comity_session *s)
{
	return s->account->router->worker;
}

static const struct settings *settings_of(const struct comity_session *s)
{
	return s->account->router->settings;
}

/* ---- items ---- */

struct sm_item *sm_item_new(const struct comity_stanza *st, struct comity_jid *from, struct comity_jid *to)
{
	struct sm_item *item = pool_take_zeroed(sizeof(*item));

	list_init(&item->link);
	list_init(&item->unsynced);
	list_init(&item->copy);
	item->size = ITEM_COST;
	item->bytes = sizeof(*item);
	if (st == NULL)
		return item;
	item->st = comity_stanza_ref(st);
	item->from = comity_jid_ref(from);
	item->to = comity_jid_ref(to);
	item->size += stanza_weight(st);
	item->bytes += stanza_memory(st);
	return item;
}

void sm_item_free(struct sm_item *item, struct router *r)
{
	if (item->sm != NULL)
		tally_add(&r->worker->tally, TALLY_UNACKED, -(ptrdiff_t)item->bytes);
	list_remove(&item->unsynced);
	list_remove(&item->copy);
	copies_unref(item->copies);
	safe_unref(item->safe, r);
	comity_stanza_unref(item->st);
	comity_jid_unref(item->from);
	comity_jid_unref(item->to);
	pool_give(item, sizeof(*item));
}

void session_sm_uncount(struct session_sm *sm, const struct sm_item *item)
{
	sm->unacked_count--;
	sm->unacked_bytes -= item->bytes;
	sm->stored_count -= item->is_stored;
	if (item->is_unlimited)
		return;
	sm->limited_count--;
	sm->limited_bytes -= item->size;
}

struct sm_item *session_sm_shift(struct session_sm *sm)
{
	struct list *l = list_shift(&sm->unacked);
	struct sm_item *item = l != NULL ? LIST_ENTRY(l, struct sm_item, link) : NULL;

	if (item != NULL)
		session_sm_uncount(sm, item);
	return item;
}

void session_sm_add(struct session_sm *sm, struct sm_item *item)
{
	item->sm = sm;
	list_append(&sm->unacked, &item->link);
	sm->unacked_count++;
	sm->unacked_bytes += item->bytes;
	sm->stored_count += item->is_stored;
	tally_add(&worker_of(sm->session)->tally, TALLY_UNACKED, (ptrdiff_t)item->bytes);
	if (item->is_unlimited)
		return;
	sm->limited_count++;
	sm->limited_bytes += item->size;
}

static void send_text(const struct comity_session *s, const char *text)
{
	if (s->stream != NULL)
		c2s_send_text(s->stream, text);
}

void session_sm_ask(struct session_sm *sm)
{
	worker_timer_stop(worker_of(sm->session), &sm->ask);
	if (sm->is_asked || sm->session->stream == NULL || sm->unacked_count == sm->unwritten)
		return;
	sm->is_asked = true;
	sm->asked_at = worker_now(worker_of(sm->session));
	send_text(sm->session, "<r xmlns='" NS_SM "'/>");
	worker_timer_start(worker_of(sm->session), &sm->ask, settings_of(sm->session)->sm_ack_ms);
}

/* It is time to ask, or the client has not answered. */
static void on_ask(struct worker *w, struct timer *t)
{
	struct session_sm *sm = LIST_ENTRY(t, struct session_sm, ask);
	struct conn *conn = sm->session->stream != NULL ? sm->session->stream->conn : NULL;

	if (!sm->is_asked)
		session_sm_ask(sm);
	else if (conn != NULL && !conn_is_read(conn))
		worker_timer_start(w, t, CONN_READ_MS);   /* the answer may be there */
	else if (conn != NULL)
		conn_abort(conn, "stanzas were not acknowledged in time");
}

static bool may_yet_answer(const struct session_sm *sm)
{
	const struct c2s *c = sm->session->stream;

	if (c == NULL || c->conn == NULL)
		return false;
	return !sm->is_asked || !conn_is_read(c->conn) || worker_now(c->conn->worker) - sm->asked_at <= ANSWER_MS;
}

static bool is_over(const struct session_sm *sm, size_t times)
{
	const struct settings *s = settings_of(sm->session);

	return sm->limited_count > times * s->sm_unacked || sm->limited_bytes > times * s->limits.out_bytes;
}

static bool is_over_limit(const struct session_sm *sm)
{
	return is_over(sm, 1) && (!may_yet_answer(sm) || is_over(sm, BURST_TIMES));
}

/* Not at once: who writes may be on the way through the sessions of an account, and what is passed on would overtake
 * what is yet to be written. */
static void end_soon(struct session_sm *sm)
{
	struct comity_session *s = sm->session;

	if (s->stream != NULL)
		c2s_fail(s->stream, STREAM_RESOURCE_CONSTRAINT, "too many stanzas are not acknowledged");
	else
		worker_timer_start(worker_of(s), &sm->expire, 0);
}

/* What is sent and is yet to be safe: only messages are kept for anyone (DESIGN, section 7). */
static struct sm_item *make_item(const struct comity_rq *rq)
{
	struct comity_stanza *st = comity_rq_flatten(rq);
	struct sm_item *item = sm_item_new(st, rq->from, rq->to);

	item->received_us = rq->received_us;
	item->is_repeat = rq->is_repeat;
	item->is_stored = rq->is_stored;
	item->is_unlimited = rq->is_stored || rq->is_again;
	if (st->kind == COMITY_MESSAGE) {
		item->safe = safe_ref(rq->safe);
		item->cause = rq->cause;
		item->stored = rq->stored;
	}
	comity_stanza_unref(st);
	return item;
}

bool session_sm_sent(struct comity_session *s, const struct comity_rq *rq, struct sent_text *text)
{
	struct session_sm *sm = s->sm;
	struct sent_text written = { 0 };
	struct sm_item *item;

	if (sm == NULL)
		return true;
	item = make_item(rq);
	if (rq->copies != NULL && rq->copies->account == s->account)
		copies_join(rq->copies, item);
	session_sm_add(sm, item);
	item->is_written = s->stream != NULL && sm->unwritten == 0;
	written.bytes = journal_sent(sm, item, &written.len);
	if (text != NULL)
		*text = written;
	if (is_over_limit(sm)) {
		end_soon(sm);
		return false;
	}
	if (sm->unacked_count >= ASK_COUNT)
		session_sm_ask(sm);
	else if (!sm->is_asked && !timer_is_running(&sm->ask))
		worker_timer_start(worker_of(s), &sm->ask, SM_ASK_MS);
	return true;
}

/* ---- acknowledgements ---- */

static bool read_count(const struct comity_elem *e, uint32_t *h)
{
	const char *text = comity_elem_attr(e, "h");
	char *end;
	unsigned long n;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	n = strtoul(text, &end, 10);
	*h = (uint32_t)n;
	return *end == '\0' && n <= UINT32_MAX;
}

static void forget_acked(struct session_sm *sm, struct sm_item *item)
{
	/* While others are yet to have it, its sender may say it again after a crash, and an ended session is in the
	 * journal with its copy; what has come again may be on yet another way. */
	bool may_come = safe_is_shared(item->safe) || item->is_repeat || (item->copies != NULL &&
	                                                                  item->copies->original != NULL);

	if (item->copies != NULL)
		copies_settle(item->copies);
	if (may_come)
		session_note_seen(sm, &item->cause);
	/* This session may be over when it comes again. What was made of it says nothing of the message itself. */
	if (item->cause.number != 0)
		safe_note(item->safe, sm->session->account->router);
	if (safe_is_shared(item->safe))
		session_note_seen(sm, &item->stored);
	sm_item_free(item, sm->session->account->router);
}

bool session_sm_take_ack(struct session_sm *sm, uint32_t h)
{
	uint32_t count = h - sm->acked;

	if (count > sm->unacked_count - sm->unwritten)
		return false;
	sm->acked = h;
	if (count != 0)
		journal_acked(sm);
	while (count-- != 0)
		forget_acked(sm, session_sm_shift(sm));
	return true;
}

/* XEP-0198 4: a client that acknowledges what it was never sent is lost. */
void session_sm_fail_count(struct c2s *c, const struct session_sm *sm, uint32_t h)
{
	char text[96];

	snprintf(text, sizeof(text), "acknowledged %lu stanzas, but %lu were sent", (unsigned long)h,
	         (unsigned long)(uint32_t)(sm->acked + sm->unacked_count));
	c2s_fail(c, STREAM_UNDEFINED_CONDITION, text);
}

static void on_ack(struct c2s *c, struct session_sm *sm, const struct comity_elem *e)
{
	uint32_t h = 0;

	if (!read_count(e, &h) || !session_sm_take_ack(sm, h)) {
		session_sm_fail_count(c, sm, h);
		return;
	}
	sm->is_asked = false;
	worker_timer_stop(worker_of(sm->session), &sm->ask);
	if (sm->unacked_count >= ASK_COUNT)
		session_sm_ask(sm);
	else if (sm->unacked_count != 0)
		worker_timer_start(worker_of(sm->session), &sm->ask, SM_ASK_MS);
	session_acked(sm->session);
}

void session_sm_say_count(struct session_sm *sm, struct c2s *c, const char *name, const char *previd)
{
	struct buf out = { 0 };

	journal_count(sm);
	sm->was_said = !list_empty(&sm->telling);
	buf_printf(&out, "<%s xmlns='" NS_SM "' h='%lu'", name, (unsigned long)sm->told);
	if (previd != NULL)
		xml_write_attr(&out, "previd", previd);
	buf_add(&out, "/>", 3);
	c2s_send_text(c, buf_bytes(&out));
	buf_deinit(&out);
}

/* ---- enabling ---- */

/* count: what is known of a session that is over; NULL: nothing. */
void session_sm_refuse(struct c2s *c, const char *cond, const uint32_t *count)
{
	struct buf out = { 0 };

	buf_add_str(&out, "<failed xmlns='" NS_SM "'");
	if (count != NULL)
		buf_printf(&out, " h='%lu'", (unsigned long)*count);
	buf_printf(&out, "><%s xmlns='" NS_STANZA_ERRORS "'/></failed>", cond);
	buf_add(&out, "", 1);
	c2s_send_text(c, buf_bytes(&out));
	buf_deinit(&out);
}

static void refuse(struct c2s *c, const char *cond)
{
	session_sm_refuse(c, cond, NULL);
}

static void on_expire(struct worker *w, struct timer *t)
{
	struct session_sm *sm = LIST_ENTRY(t, struct session_sm, expire);
	const struct journal *j = router_of(w)->journal;

	/* While the disk is full its messages would find no other place. */
	if (j != NULL && journal_is_failing(j))
		worker_timer_start(w, t, EXPIRE_LATER_MS);
	else
		session_end(sm->session);
}

static void make_id(struct router *r, char id[SM_ID_SIZE])
{
	unsigned char random[(SM_ID_SIZE - 1) / 2];

	r->server->env->random(r->server->env, random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(id + 2 * i, 3, "%02x", random[i]);
}

static bool is_true(const char *value)
{
	return value != NULL && (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
}

/* The client may want less time than it could have. */
static uint64_t choose_max(const struct comity_session *s, const struct comity_elem *e)
{
	const char *text = comity_elem_attr(e, "max");
	uint64_t most = settings_of(s)->sm_resume_ms, wish = text != NULL ? strtoull(text, NULL, 10) : 0;

	return wish != 0 && wish < most / 1000 ? wish * 1000 : most;
}

struct session_sm *session_sm_new(struct comity_session *s)
{
	struct session_sm *sm = mem_new(sizeof(*sm));

	sm->session = s;
	sm->ask.fire = on_ask;
	sm->expire.fire = on_expire;
	list_init(&sm->unacked);
	list_init(&sm->telling);
	list_init(&sm->changed);
	session_in_init(sm);
	s->sm = sm;
	session_count(s, (ptrdiff_t)sizeof(*sm));
	return sm;
}

void session_sm_watch_expiry(struct session_sm *sm, uint64_t ms)
{
	worker_timer_start(worker_of(sm->session), &sm->expire, ms);
}

/* The journal knows a session by a hash of its id. */
static void make_key(struct session_sm *sm)
{
	sm->key = hash_bytes(sm->id, strlen(sm->id), 0) | 1;
}

static void on_enable(struct c2s *c, struct comity_session *s, const struct comity_elem *e)
{
	const char *location = settings_of(s)->sm_location;
	struct session_sm *sm;
	struct buf out = { 0 };

	if (s->sm != NULL) {
		refuse(c, "unexpected-request");
		return;
	}
	sm = session_sm_new(s);
	sm->max_ms = choose_max(s, e);
	sm->can_resume = is_true(comity_elem_attr(e, "resume")) && sm->max_ms != 0 && !c->is_anonymous;
	make_id(s->account->router, sm->id);
	c->is_managed = true;
	buf_add_str(&out, "<enabled xmlns='" NS_SM "'");
	if (sm->can_resume) {
		buf_printf(&out, " id='%s' resume='true' max='%llu'", sm->id, (unsigned long long)(sm->max_ms / 1000));
		if (location != NULL)
			xml_write_attr(&out, "location", location);
	}
	buf_add(&out, "/>", 3);
	c2s_send_text(c, buf_bytes(&out));
	buf_deinit(&out);
	if (c->is_anonymous)
		return;
	make_key(sm);
	journal_session(s);
}

/* ---- elements ---- */

static void on_bound_sm(struct c2s *c, struct comity_session *s, const struct comity_elem *e)
{
	if (comity_elem_is(e, NULL, "enable"))
		on_enable(c, s, e);
	else if (comity_elem_is(e, NULL, "r") && s->sm != NULL)
		session_in_ask(s->sm);
	else if (comity_elem_is(e, NULL, "a") && s->sm != NULL)
		on_ack(c, s->sm, e);
	else if (comity_elem_is(e, NULL, "r") || comity_elem_is(e, NULL, "a"))
		c2s_fail(c, STREAM_UNSUPPORTED_STANZA_TYPE, "stream management is not enabled");
	else
		refuse(c, "unexpected-request");
}

void session_on_sm(struct c2s *c, const struct comity_elem *e)
{
	const char *previd = comity_elem_attr(e, "previd");
	uint32_t h;

	if (c->session != NULL) {
		on_bound_sm(c, c->session, e);
	} else if (!comity_elem_is(e, NULL, "resume") || c->phase != C2S_LOGGED_IN) {
		refuse(c, "unexpected-request");
	} else if (previd == NULL || !read_count(e, &h)) {
		refuse(c, "bad-request");
	} else {
		c->resume_h = h;
		c2s_await_resume(c, previd);
	}
}
