/* SPDX-License-Identifier: MIT */
/* Stream management of clients. */
#include "router/session_sm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"
#include "xml/elem.h"
#include "xml/writer.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

/* An acknowledgement is asked for after so many stanzas, or so long after the first of them. */
#define ASK_COUNT 10
#define ASK_MS 1000
/* What an item costs beside the bytes of its stanza. */
#define ITEM_COST 256

static struct worker *worker_of(const struct comity_session *s)
{
	return s->account->router->worker;
}

static const struct settings *settings_of(const struct comity_session *s)
{
	return s->account->router->settings;
}

/* ---- items ---- */

static void item_free(struct sm_item *item)
{
	comity_stanza_unref(item->st);
	comity_jid_unref(item->from);
	comity_jid_unref(item->to);
	free(item);
}

static struct sm_item *shift_item(struct session_sm *sm)
{
	struct list *l = list_shift(&sm->unacked);
	struct sm_item *item = l != NULL ? LIST_ENTRY(l, struct sm_item, link) : NULL;

	if (item != NULL) {
		sm->unacked_count--;
		sm->unacked_bytes -= item->size;
	}
	return item;
}

static void send_text(const struct comity_session *s, const char *text)
{
	if (s->stream != NULL)
		c2s_send_text(s->stream, text);
}

static void ask(struct session_sm *sm)
{
	worker_timer_stop(worker_of(sm->session), &sm->ask);
	if (sm->is_asked || sm->session->stream == NULL)
		return;
	sm->is_asked = true;
	send_text(sm->session, "<r xmlns='" NS_SM "'/>");
	worker_timer_start(worker_of(sm->session), &sm->ask, settings_of(sm->session)->sm_ack_ms);
}

/* It is time to ask, or the client has not answered. */
static void on_ask(struct worker *w, struct timer *t)
{
	struct session_sm *sm = LIST_ENTRY(t, struct session_sm, ask);

	(void)w;
	if (!sm->is_asked)
		ask(sm);
	else if (sm->session->stream != NULL && sm->session->stream->conn != NULL)
		conn_abort(sm->session->stream->conn, "stanzas were not acknowledged in time");
}

static bool is_over_limit(const struct session_sm *sm)
{
	const struct settings *s = settings_of(sm->session);

	return sm->unacked_count > s->sm_unacked || sm->unacked_bytes > s->limits.out_bytes;
}

bool session_sm_sent(struct comity_session *s, const struct comity_rq *rq)
{
	struct session_sm *sm = s->sm;
	struct sm_item *item;

	if (sm == NULL)
		return true;
	item = mem_new(sizeof(*item));
	item->size = ITEM_COST;
	if (rq != NULL) {
		item->st = comity_rq_flatten(rq);
		item->from = comity_jid_ref(rq->from);
		item->to = comity_jid_ref(rq->to);
		item->received_us = rq->received_us;
		item->size += stanza_weight(item->st);
	}
	list_append(&sm->unacked, &item->link);
	sm->unacked_count++;
	sm->unacked_bytes += item->size;
	if (is_over_limit(sm)) {
		if (s->stream != NULL)
			c2s_fail(s->stream, STREAM_RESOURCE_CONSTRAINT, "too many stanzas are not acknowledged");
		session_end(s);
		return false;
	}
	if (sm->unacked_count >= ASK_COUNT)
		ask(sm);
	else if (!sm->is_asked && !timer_is_running(&sm->ask))
		worker_timer_start(worker_of(s), &sm->ask, ASK_MS);
	return true;
}

void session_sm_handled(struct comity_session *s)
{
	if (s->sm != NULL)
		s->sm->in++;
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

static bool take_ack(struct session_sm *sm, uint32_t h)
{
	uint32_t count = h - sm->acked;

	if (count > sm->unacked_count)
		return false;
	sm->acked = h;
	while (count-- != 0)
		item_free(shift_item(sm));
	return true;
}

/* XEP-0198 4: a client that acknowledges what it was never sent is lost. */
static void fail_count(struct c2s *c, const struct session_sm *sm, uint32_t h)
{
	char text[96];

	snprintf(text, sizeof(text), "acknowledged %lu stanzas, but %lu were sent", (unsigned long)h,
	         (unsigned long)(uint32_t)(sm->acked + sm->unacked_count));
	c2s_fail(c, STREAM_UNDEFINED_CONDITION, text);
}

static void on_ack(struct c2s *c, struct session_sm *sm, const struct comity_elem *e)
{
	uint32_t h = 0;

	if (!read_count(e, &h) || !take_ack(sm, h)) {
		fail_count(c, sm, h);
		return;
	}
	sm->is_asked = false;
	worker_timer_stop(worker_of(sm->session), &sm->ask);
	if (sm->unacked_count >= ASK_COUNT)
		ask(sm);
	else if (sm->unacked_count != 0)
		worker_timer_start(worker_of(sm->session), &sm->ask, ASK_MS);
}

static void send_count(struct c2s *c, const struct session_sm *sm, const char *name, const char *previd)
{
	struct buf out = { 0 };

	buf_printf(&out, "<%s xmlns='" NS_SM "' h='%lu'", name, (unsigned long)sm->in);
	if (previd != NULL)
		xml_write_attr(&out, "previd", previd);
	buf_add(&out, "/>", 3);
	c2s_send_text(c, buf_bytes(&out));
	buf_deinit(&out);
}

/* ---- enabling ---- */

static void refuse(struct c2s *c, const char *cond)
{
	struct buf out = { 0 };

	buf_printf(&out, "<failed xmlns='" NS_SM "'><%s xmlns='" NS_STANZA_ERRORS "'/></failed>", cond);
	buf_add(&out, "", 1);
	c2s_send_text(c, buf_bytes(&out));
	buf_deinit(&out);
}

static void on_expire(struct worker *w, struct timer *t)
{
	struct session_sm *sm = LIST_ENTRY(t, struct session_sm, expire);

	(void)w;
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

static void on_enable(struct c2s *c, struct comity_session *s, const struct comity_elem *e)
{
	struct session_sm *sm;
	struct buf out = { 0 };

	if (s->sm != NULL) {
		refuse(c, "unexpected-request");
		return;
	}
	sm = s->sm = mem_new(sizeof(*sm));
	sm->session = s;
	sm->ask.fire = on_ask;
	sm->expire.fire = on_expire;
	list_init(&sm->unacked);
	sm->max_ms = choose_max(s, e);
	sm->can_resume = is_true(comity_elem_attr(e, "resume")) && sm->max_ms != 0 && !c->is_anonymous;
	c->is_managed = true;
	buf_add_str(&out, "<enabled xmlns='" NS_SM "'");
	if (sm->can_resume) {
		make_id(s->account->router, sm->id);
		buf_printf(&out, " id='%s' resume='true' max='%llu'", sm->id, (unsigned long long)(sm->max_ms / 1000));
	}
	buf_add(&out, "/>", 3);
	c2s_send_text(c, buf_bytes(&out));
	buf_deinit(&out);
}

/* ---- elements ---- */

static void on_bound_sm(struct c2s *c, struct comity_session *s, const struct comity_elem *e)
{
	if (comity_elem_is(e, NULL, "enable"))
		on_enable(c, s, e);
	else if (comity_elem_is(e, NULL, "r") && s->sm != NULL)
		send_count(c, s->sm, "a", NULL);
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

/* ---- resuming ---- */

bool session_suspend(struct comity_session *s)
{
	struct session_sm *sm = s->sm;

	if (sm == NULL || !sm->can_resume)
		return false;
	worker_timer_stop(worker_of(s), &sm->ask);
	worker_timer_start(worker_of(s), &sm->expire, sm->max_ms);
	sm->is_asked = false;
	log_info(&s->account->host->log, "session %s waits to be resumed, %u stanzas are not acknowledged",
	         comity_jid_text(s->jid), sm->unacked_count);
	return true;
}

static struct comity_session *find(struct comity_account *a, const char *id)
{
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
		if (s->sm != NULL && s->sm->can_resume && strcmp(s->sm->id, id) == 0)
			return s;
	return NULL;
}

static void write_again(struct comity_session *s)
{
	LIST_EACH(l, next, &s->sm->unacked) {
		const struct sm_item *item = LIST_ENTRY(l, struct sm_item, link);

		if (item->st != NULL && s->stream != NULL)
			c2s_write(s->stream, item->st, item->from != NULL ? comity_jid_text(item->from) : NULL,
			          item->to != NULL ? comity_jid_text(item->to) : NULL, NULL);
	}
	if (s->sm->unacked_count != 0)
		ask(s->sm);
}

/* Stanzas without content only counted for the old stream; the client has no use for them now. */
static void drop_empty(struct session_sm *sm)
{
	LIST_EACH(l, next, &sm->unacked) {
		struct sm_item *item = LIST_ENTRY(l, struct sm_item, link);

		if (item->st != NULL)
			continue;
		list_remove(&item->link);
		sm->unacked_count--;
		sm->unacked_bytes -= item->size;
		item_free(item);
	}
}

void session_resume(struct comity_account *a, struct c2s *c)
{
	struct comity_session *s = a != NULL && a->state == ACCOUNT_ACTIVE ? find(a, c->resume_id) : NULL;
	struct session_sm *sm;
	struct c2s *old;

	if (s == NULL) {
		refuse(c, "item-not-found");
		c2s_resume_failed(c);
		return;
	}
	sm = s->sm;
	if (!take_ack(sm, c->resume_h)) {
		fail_count(c, sm, c->resume_h);
		return;
	}
	/* The old stream may not have noticed that it is dead. */
	old = s->stream;
	if (old != NULL) {
		old->session = NULL;
		c2s_fail(old, STREAM_CONFLICT, "the session was resumed on another stream");
		c2s_unref(old);
	}
	worker_timer_stop(worker_of(s), &sm->expire);
	drop_empty(sm);
	sm->is_asked = false;
	s->stream = c2s_ref(c);
	c->is_managed = true;
	send_count(c, sm, "resumed", sm->id);
	c2s_resumed(c, s->jid, s);
	write_again(s);
}

/* ---- the end ---- */

/* Messages find another session, offline storage or their sender; requests get an error. */
static void pass_on(struct comity_session *s, struct sm_item *item)
{
	struct comity_rq *rq;

	if (item->st == NULL || item->st->kind == COMITY_PRESENCE || item->from == NULL) {
		item_free(item);
		return;
	}
	rq = rq_new(s->account->router, &item->st, item->from, item->to != NULL ? item->to : s->account->jid);
	rq->received_us = item->received_us;
	item_free(item);
	route(rq);
}

void session_sm_end(struct comity_session *s)
{
	struct session_sm *sm = s->sm;

	if (sm == NULL)
		return;
	s->sm = NULL;
	worker_timer_stop(worker_of(s), &sm->ask);
	worker_timer_stop(worker_of(s), &sm->expire);
	for (struct sm_item *item; (item = shift_item(sm)) != NULL;)
		pass_on(s, item);
	free(sm);
}
