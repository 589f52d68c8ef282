/* SPDX-License-Identifier: MIT */
/* The request: one stanza in flight, and answers to it. */
#include "router/rq.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "net/backlog.h"
#include "router/account.h"
#include "router/copies.h"
#include "router/host.h"
#include "xml/elem.h"
#include "xml/writer.h"
#include "xmpp/ns.h"

struct comity_rq *rq_new(struct router *r, struct comity_stanza **st, struct comity_jid *from, struct comity_jid *to)
{
	struct comity_rq *rq = pool_take_zeroed(sizeof(*rq));

	rq->refs = 1;
	rq->router = r;
	rq->st = *st;
	*st = NULL;
	rq->from = comity_jid_ref(from);
	rq->to = comity_jid_ref(to);
	rq->received_us = r->server->env->wall_us(r->server->env);
	list_init(&rq->link);
	rq->counted_as = TALLY_STANZAS;
	rq->bytes = sizeof(*rq) + stanza_memory(rq->st);
	tally_add(&r->worker->tally, rq->counted_as, (ptrdiff_t)rq->bytes);
	if (r->current != NULL) {
		rq->safe = safe_ref(r->current->safe);
		rq->copies = copies_ref(r->current->copies);
		rq->cause = r->current->cause;
		/* That this one is safe does not say so of the other. */
		rq->cause.number = 0;
		rq->is_repeat = r->current->is_repeat;
	}
	/* Its sender may know none, but on its way to a session and from there to storage it must not become two. */
	if (rq->st->kind == COMITY_MESSAGE && rq->cause.key == 0)
		rq->cause = (struct cause){ r->messages, ++r->message_serial, 0 };
	return rq;
}

void rq_set_session(struct comity_rq *rq, struct comity_session *s)
{
	session_unref(rq->session);
	rq->session = s != NULL ? session_ref(s) : NULL;
}

void rq_set_account(struct comity_rq *rq, struct comity_account *a)
{
	if (a != NULL)
		comity_account_ref(a);
	comity_account_unref(rq->account);
	rq->account = a;
}

void rq_set_safe(struct comity_rq *rq, struct safe *safe)
{
	safe_unref(rq->safe, rq->router);
	rq->safe = safe;
}

void rq_set_conn(struct comity_rq *rq, struct conn *c, unsigned max)
{
	if (rq->st->kind == COMITY_IQ && (rq->st->type == COMITY_TYPE_GET || rq->st->type == COMITY_TYPE_SET))
		rq->backlog = backlog_join(c, max);
}

void rq_count_as(struct comity_rq *rq, enum tally_kind kind)
{
	struct tally *t = &rq->router->worker->tally;

	tally_add(t, rq->counted_as, -(ptrdiff_t)rq->bytes);
	rq->counted_as = kind;
	tally_add(t, kind, (ptrdiff_t)rq->bytes);
}

void rq_detach(struct comity_rq *rq)
{
	rq_set_session(rq, NULL);
	rq_set_account(rq, NULL);
	copies_unref(rq->copies);
	rq->copies = NULL;
	rq->host = NULL;
	rq->next_hook = 0;
}

struct comity_rq *comity_rq_hold(struct comity_rq *rq)
{
	rq->refs++;
	return rq;
}

static void let_go_on(struct c2s *c)
{
	if (c != NULL && c->conn != NULL)
		conn_resume(c->conn, CONN_STOP_ASKED);
	c2s_unref(c);
}

void comity_rq_release(struct comity_rq *rq)
{
	struct c2s *stream;

	if (rq == NULL || --rq->refs != 0)
		return;
	stream = rq->stream;
	if (rq->seen != 0)
		fed_note_reach(rq);
	rq_detach(rq);
	backlog_leave(&rq->backlog);
	comity_stanza_unref(rq->st);
	comity_jid_unref(rq->from);
	comity_jid_unref(rq->to);
	xml_doc_free(rq->stamps);
	safe_unref(rq->safe, rq->router);
	tally_add(&rq->router->worker->tally, rq->counted_as, -(ptrdiff_t)rq->bytes);
	pool_give(rq, sizeof(*rq));
	let_go_on(stream);
}

void comity_rq_continue(struct comity_rq *rq)
{
	deliver_continue(rq);
}

const struct comity_stanza *comity_rq_stanza(const struct comity_rq *rq)
{
	return rq->st;
}

enum comity_kind comity_rq_kind(const struct comity_rq *rq)
{
	return rq->st->kind;
}

enum comity_type comity_rq_type(const struct comity_rq *rq)
{
	return rq->st->type;
}

const struct comity_elem *comity_rq_root(const struct comity_rq *rq)
{
	return rq->st->doc->root;
}

const struct comity_elem *comity_rq_payload(const struct comity_rq *rq)
{
	return comity_elem_first(rq->st->doc->root);
}

const char *comity_rq_id(const struct comity_rq *rq)
{
	return rq->st->id;
}

struct comity_jid *comity_rq_from(const struct comity_rq *rq)
{
	return rq->from;
}

struct comity_jid *comity_rq_to(const struct comity_rq *rq)
{
	return rq->to;
}

struct comity_session *comity_rq_session(const struct comity_rq *rq)
{
	return rq->session;
}

struct comity_account *comity_rq_account(const struct comity_rq *rq)
{
	return rq->account;
}

int64_t comity_rq_received_us(const struct comity_rq *rq)
{
	return rq->received_us;
}

unsigned comity_rq_parts(const struct comity_rq *rq)
{
	return comity_stanza_parts(rq->st);
}

bool comity_rq_is_again(const struct comity_rq *rq)
{
	return rq->is_again;
}

bool comity_rq_is_followed(const struct comity_rq *rq)
{
	return rq->seen != 0;
}

void comity_rq_set_unasked(struct comity_rq *rq)
{
	rq->is_unasked = true;
}

const char *comity_rq_address(const struct comity_rq *rq)
{
	return rq->stream != NULL && rq->stream->conn != NULL ? rq->stream->conn->address : "";
}

/* Enough for what is usually added. */
#define STAMPS_ROOM 700

struct comity_elem *comity_rq_stamp(struct comity_rq *rq, const char *ns, const char *name)
{
	if (rq->stamps == NULL) {
		rq->stamps = xml_doc_new_sized(STAMPS_ROOM);
		rq->stamps->root = xml_elem_new(&rq->stamps->arena, NS_CLIENT, "stamps");
	}
	return comity_elem_add(rq->stamps->root, ns, name);
}

static const struct comity_elem *stamps_of(const struct comity_rq *rq)
{
	return rq->stamps != NULL ? rq->stamps->root : NULL;
}

const struct comity_elem *comity_rq_find_stamp(const struct comity_rq *rq, const char *ns, const char *name)
{
	const struct comity_elem *found = rq->stamps != NULL ? comity_elem_find(rq->stamps->root, ns, name) : NULL;

	return found != NULL ? found : stanza_find_stamp(rq->st, ns, name);
}

void comity_rq_strip(struct comity_rq *rq, bool (*drop)(void *arg, const struct comity_elem *child), void *arg)
{
	struct comity_stanza *st = stanza_without(rq->st, drop, arg);

	comity_stanza_unref(rq->st);
	rq->st = st;
}

struct comity_stanza *comity_rq_forward(const struct comity_rq *rq, const char *ns, const char *name)
{
	return stanza_forward(rq->st, rq->from != NULL ? comity_jid_text(rq->from) : NULL,
	                      rq->to != NULL ? comity_jid_text(rq->to) : NULL, stamps_of(rq), ns, name);
}

struct comity_stanza *comity_rq_flatten(const struct comity_rq *rq)
{
	/* It stays the same in another form, which costs nothing to who asks next. */
	struct comity_rq *same = (struct comity_rq *)(uintptr_t)rq;

	if (same->stamps != NULL)
		same->st = stanza_with_stamps(&same->st, &same->stamps);
	return comity_stanza_ref(rq->st);
}

char *comity_rq_to_xml(const struct comity_rq *rq, size_t *len)
{
	struct buf out = { 0 };

	stanza_write(&out, rq->st, rq->from != NULL ? comity_jid_text(rq->from) : NULL,
	             rq->to != NULL ? comity_jid_text(rq->to) : NULL, stamps_of(rq));
	if (len != NULL)
		*len = buf_size(&out);
	return buf_take(&out);
}

/* ---- answers ---- */

/* Sends an answer back the way the request came. */
static void answer(struct comity_rq *rq, struct comity_stanza **st)
{
	struct comity_jid *from = rq->is_to_implied ? NULL : rq->to;
	struct comity_rq *back;

	if (rq->stream != NULL) {
		c2s_write(rq->stream, *st, rq->host != NULL ? rq->host->name : NULL, NULL, NULL);
		comity_stanza_unref(*st);
		*st = NULL;
		return;
	}
	if (rq->from == NULL) {
		comity_stanza_unref(*st);
		*st = NULL;
		return;
	}
	back = rq_new(rq->router, st, from, rq->from);
	/* Also when it comes later, from a store that has no room: nothing is safe before its error is. */
	if (back->safe != rq->safe)
		rq_set_safe(back, safe_ref(rq->safe));
	/* The error for a message takes the way of a message, so that hooks see it wherever it was made. What the sender's
	 * own hooks refuse is told to the sender alone. */
	if (rq->session != NULL && (back->st->kind != COMITY_MESSAGE || from == NULL || rq->point == COMITY_OUTGOING)) {
		session_deliver(rq->session, back);
		comity_rq_release(back);
		return;
	}
	route(back);
}

struct comity_stanza *comity_reply_new(const struct comity_rq *rq)
{
	struct comity_stanza *st = comity_stanza_new(rq->st->kind, COMITY_TYPE_RESULT);

	if (rq->st->id != NULL)
		comity_stanza_set_id(st, rq->st->id);
	return st;
}

int comity_reply_with(struct comity_rq *rq, struct comity_stanza **st)
{
	answer(rq, st);
	return COMITY_DONE;
}

int comity_reply(struct comity_rq *rq)
{
	struct comity_stanza *st = comity_reply_new(rq);

	return comity_reply_with(rq, &st);
}

int comity_reply_error_with(struct comity_rq *rq, enum comity_cond cond, const char *text, const char *ns,
                            const char *name)
{
	struct comity_stanza *error;

	if (!stanza_wants_error(rq->st))
		return COMITY_DONE;
	error = stanza_make_error(rq->st, cond, text, ns, name);
	answer(rq, &error);
	return COMITY_DONE;
}

int comity_reply_error(struct comity_rq *rq, enum comity_cond cond, const char *text)
{
	return comity_reply_error_with(rq, cond, text, NULL, NULL);
}

void rq_refuse(struct comity_rq *rq, enum comity_cond cond, const char *text)
{
	comity_reply_error_with(rq, cond, text, NULL, NULL);
}
