/* SPDX-License-Identifier: MIT */
/* Where a stanza goes: checks on what clients send, then routing by address (RFC 6120 8.1, 10). */
#include <string.h>

#include "base/mem.h"
#include "router/account.h"
#include "router/ask.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_sm.h"
#include "xmpp/ns.h"

/* Of a client, that are yet to be answered here. */
#define REQUESTS_MAX 64

struct worker *home_of(const struct server *server, const struct comity_jid *jid)
{
	return server->workers[comity_jid_hash(comity_jid_bare(jid)) % server->worker_count];
}

struct host *router_find_host(const struct router *r, const char *name)
{
	return map_find(&r->hosts, name, strlen(name));
}

/* ---- iqs for the host ---- */

static void route_to_host(struct host *h, struct comity_rq *rq)
{
	int verdict = COMITY_PASS;

	struct comity_rq *outer = rq_begin(rq);

	if (ask_take(h->router, rq)) {
		rq_end(h->router, outer);
		return;
	}
	rq->host = h;
	if (rq->st->kind == COMITY_IQ && (rq->st->type == COMITY_TYPE_GET || rq->st->type == COMITY_TYPE_SET))
		verdict = iq_dispatch(h, rq, COMITY_TO_HOST);
	if (verdict < 0)
		rq_refuse(rq, (enum comity_cond)-verdict, NULL);
	else if (verdict == COMITY_PASS && rq->st->kind != COMITY_PRESENCE)
		rq_refuse(rq, COMITY_SERVICE_UNAVAILABLE, NULL);
	rq_end(h->router, outer);
	comity_rq_release(rq);
}

/* Whose data a handler may ask for: those of the account that it is for, or of who asks the host. */
static bool is_served(const struct comity_mod *m, const struct comity_rq *rq)
{
	const struct comity_account *a = rq->account;

	if (a == NULL && rq->session != NULL && rq->session->account->host == m->host)
		a = rq->session->account;
	return a == NULL || mod_serves(m, a);
}

int iq_dispatch(struct host *h, struct comity_rq *rq, unsigned to)
{
	const struct comity_elem *payload = comity_rq_payload(rq);
	unsigned type = rq->st->type == COMITY_TYPE_GET ? COMITY_GET : COMITY_SET;
	bool known = false;
	const char *ns;
	int verdict;

	if (payload == NULL)
		return -COMITY_BAD_REQUEST;
	ns = comity_elem_ns(payload);
	for (struct iq_row *row = map_find(&h->iqs, ns, strlen(ns)); row != NULL; row = row->next) {
		if ((row->iq->to & to) == 0 || (row->iq->name != NULL && !comity_elem_is(payload, NULL, row->iq->name)))
			continue;
		if (!is_served(row->mod, rq))
			continue;
		known = true;
		if ((row->iq->types & type) == 0)
			continue;
		verdict = row->iq->handle(row->mod, rq);
		if (verdict != COMITY_PASS)
			return verdict;
	}
	/* The payload is understood, but not to be set, or only to be set. */
	return known ? -COMITY_NOT_ALLOWED : COMITY_PASS;
}

/* ---- by address ---- */

/* The connection that feeds what is sent; NULL: none does. */
static struct c2s *find_source(const struct router *r, const struct comity_session *s)
{
	/* What a module sends for a client has no session of its own. */
	if (s == NULL && r->current != NULL && r->current->point == COMITY_OUTGOING)
		s = r->current->session;
	return s != NULL && s->stream != NULL && s->stream->conn != NULL ? s->stream : NULL;
}

void route_relieve(struct router *r, const struct comity_session *s, struct worker *home)
{
	struct c2s *source = find_source(r, s);

	if (source != NULL && worker_is_full(home))
		conn_pause_for(source->conn, home);
}

void route_charge(struct router *r, const struct comity_session *s, size_t count, size_t bytes)
{
	struct c2s *source = find_source(r, s);

	if (source != NULL)
		c2s_charge(source, count, bytes);
}

static void arrive(struct worker *w, struct mail *mail)
{
	struct comity_rq *rq = LIST_ENTRY(mail, struct comity_rq, mail);

	rq->router = router_of(w);
	route(rq);
}

static void route_to_account(struct host *h, struct comity_rq *rq)
{
	struct router *r = rq->router;
	struct worker *home = home_of(r->server, rq->to);
	struct comity_account *a;

	if (home != r->worker) {
		route_relieve(r, rq->session, home);
		rq_detach(rq);
		rq->mail.run = arrive;
		worker_post(home, &rq->mail);
		return;
	}
	a = account_get(r, h, comity_jid_bare(rq->to));
	if (a->state == ACCOUNT_LOADING)
		account_wait(a, rq);
	else
		deliver_to_account(a, rq);
	comity_account_unref(a);
}

void route(struct comity_rq *rq)
{
	struct host *h;

	if (rq->to == NULL) {
		comity_rq_release(rq);
		return;
	}
	h = router_find_host(rq->router, comity_jid_domain(rq->to));
	if (h == NULL) {
		fed_route(rq->router, rq);
	} else if (!comity_jid_has_local(rq->to)) {
		route_to_host(h, rq);
	} else {
		route_to_account(h, rq);
	}
}

/* ---- from a session ---- */

/* RFC 6120 8.1.2.1: what a client says of itself must be true. */
static bool is_own_from(struct comity_session *s, const struct comity_stanza *st)
{
	const char *text = comity_elem_attr(st->doc->root, "from");
	struct comity_jid *from;
	bool ok;

	if (text == NULL || strcmp(text, comity_jid_text(s->jid)) == 0)
		return true;
	from = comity_jid_parse(text);
	ok = from != NULL && (comity_jid_equal(from, s->jid) || comity_jid_equal(from, s->account->jid));
	comity_jid_unref(from);
	return ok;
}

static unsigned count_children(const struct comity_elem *e)
{
	unsigned n = 0;

	for (const struct comity_elem *c = comity_elem_first(e); c != NULL; c = comity_elem_next(c))
		n++;
	return n;
}

/* RFC 6120 8.2.3: an id, a type, exactly one child in a request, at most one in a result. */
static bool is_sound(const struct comity_stanza *st)
{
	unsigned children;

	if (st->type == COMITY_TYPE_NONE)
		return false;
	if (st->kind != COMITY_IQ)
		return true;
	children = count_children(st->doc->root);
	if (st->id == NULL)
		return false;
	if (st->type == COMITY_TYPE_RESULT)
		return children <= 1;
	return st->type == COMITY_TYPE_ERROR || children == 1;
}

static bool is_subscription(const struct comity_stanza *st)
{
	return st->kind == COMITY_PRESENCE && (st->type == COMITY_TYPE_SUBSCRIBE || st->type == COMITY_TYPE_SUBSCRIBED ||
	                                       st->type == COMITY_TYPE_UNSUBSCRIBE ||
	                                       st->type == COMITY_TYPE_UNSUBSCRIBED);
}

static bool run_outgoing(struct comity_rq *rq)
{
	struct host *h = rq->session->account->host;
	struct comity_rq *outer = rq_begin(rq);
	int verdict = COMITY_PASS;

	rq->host = h;
	rq->point = COMITY_OUTGOING;
	while (verdict == COMITY_PASS && rq->next_hook < h->hook_count[COMITY_OUTGOING]) {
		const struct hook_row *row = &h->hooks[COMITY_OUTGOING][rq->next_hook++];

		if ((row->hook->kinds & rq->st->kind) != 0 && mod_serves(row->mod, rq->session->account))
			verdict = row->hook->handle(row->mod, rq);
	}
	if (verdict < 0)
		rq_refuse(rq, (enum comity_cond)-verdict, NULL);
	rq_end(h->router, outer);
	return verdict == COMITY_PASS;
}

static void send_out(struct comity_rq *rq)
{
	if (!run_outgoing(rq)) {
		comity_rq_release(rq);
		return;
	}
	rq->point = 0;
	rq->next_hook = 0;
	rq_set_account(rq, NULL);
	route(rq);
}

/* What is asked of the stream itself: a second resource (RFC 6120 7.1 has one for each), or the session of RFC 3921,
 * which begins with the resource. */
static bool answer_for_stream(struct comity_rq *rq)
{
	const struct comity_elem *payload;

	if (rq->st->kind != COMITY_IQ || rq->st->type != COMITY_TYPE_SET ||
	    (!rq->is_to_implied && !comity_jid_equal(rq->to, rq->session->account->host->jid)))
		return false;
	payload = comity_rq_payload(rq);
	if (comity_elem_is(payload, NS_SESSION, "session"))
		comity_reply(rq);
	else if (comity_elem_is(payload, NS_BIND, "bind"))
		rq_refuse(rq, COMITY_NOT_ALLOWED, "a resource is bound already");
	else
		return false;
	comity_rq_release(rq);
	return true;
}

void route_from_session(struct comity_session *s, struct comity_stanza *st)
{
	const char *to_text = comity_elem_attr(st->doc->root, "to");
	struct router *r = s->account->router;
	struct comity_jid *to = NULL;
	struct comity_rq *rq;

	if (!is_own_from(s, st)) {
		c2s_fail(s->stream, STREAM_INVALID_FROM, NULL);
		comity_stanza_unref(st);
		return;
	}
	if (to_text != NULL)
		to = jid_cache_get(r->worker->jids, to_text, strlen(to_text));
	rq = rq_new(r, &st, is_subscription(st) ? s->account->jid : s->jid, to);
	comity_jid_unref(to);
	rq_set_session(rq, s);
	rq_set_account(rq, s->account);
	if (s->stream != NULL && s->stream->conn != NULL)
		rq_set_conn(rq, s->stream->conn, REQUESTS_MAX);
	if (!session_in_take(s, rq)) {
		comity_rq_release(rq);
		return;
	}
	if (to_text != NULL && rq->to == NULL) {
		rq->is_to_implied = true;
		rq_refuse(rq, COMITY_JID_MALFORMED, "'to' is not an address");
		comity_rq_release(rq);
		return;
	}
	/* RFC 6120 10.3: without 'to' it is for the own account; presence is for all contacts. */
	if (rq->to == NULL && rq->st->kind != COMITY_PRESENCE) {
		rq->to = comity_jid_ref(s->account->jid);
		rq->is_to_implied = true;
	}
	if (!is_sound(rq->st)) {
		rq_refuse(rq, COMITY_BAD_REQUEST, NULL);
		comity_rq_release(rq);
		return;
	}
	if (!answer_for_stream(rq) && !shed_stanza(rq, false))
		send_out(rq);
}

void route_from_remote(struct comity_rq *rq)
{
	if (is_sound(rq->st)) {
		if (!shed_stanza(rq, true))
			route(rq);
		return;
	}
	rq_refuse(rq, COMITY_BAD_REQUEST, NULL);
	comity_rq_release(rq);
}

/* A hook of COMITY_OUTGOING that held the request lets it go on. */
static void continue_outgoing(struct comity_rq *rq)
{
	if (rq->session == NULL)
		comity_rq_release(rq);
	else
		send_out(rq);
}

void deliver_continue(struct comity_rq *rq)
{
	if (rq->point == COMITY_OUTGOING)
		continue_outgoing(rq);
	else if (rq->account != NULL)
		deliver_to_account(rq->account, rq);
	else
		comity_rq_release(rq);
}
