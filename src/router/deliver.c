/* SPDX-License-Identifier: MIT */
/* Delivery to a local account: hooks by phase, then the rules of RFC 6121 8.5. */
#include <string.h>

#include "net/backlog.h"
#include "router/account.h"
#include "router/copies.h"
#include "router/host.h"
#include "router/rq.h"

/* What the rules say about a stanza that has found no session. */
enum outcome {
	DELIVERED,
	IGNORE,
	KEEP,      /* offline storage, or an error when nobody stores it */
	REFUSE
};

/* RFC 6121 4.2.1: one that can get what is for all. */
static bool hears(const struct comity_session *s)
{
	return s->presence != NULL && !session_is_deaf(s);
}

static int best_priority(const struct comity_account *a)
{
	int best = -1;

	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
		if (s->priority > best && hears(s))
			best = s->priority;
	return best;
}

/* A session may end while it is written to (its queue is over the limit), so the next one is found first. */
static void send_to_available(struct comity_account *a, struct comity_rq *rq, int least)
{
	for (struct comity_session *s = comity_account_first_session(a), *next; s != NULL; s = next) {
		next = comity_session_next(s);
		if (s->priority >= least && hears(s))
			session_deliver(s, rq);
	}
}

/* Where a message goes: to one session, or to all available ones from a priority on. */
struct way {
	struct comity_session *only;
	int least;
};

/* RFC 6121 8.5.2: to the bare address. */
static enum outcome plan_for_bare(const struct comity_account *a, enum comity_type type, struct way *way)
{
	switch (type) {
	case COMITY_TYPE_ERROR:
		return IGNORE;
	case COMITY_TYPE_GROUPCHAT:
		return REFUSE;
	case COMITY_TYPE_HEADLINE:
		way->least = 0;
		return DELIVERED;
	default:
		/* To the most available: all with the highest priority that is not negative. */
		way->least = best_priority(a);
		return way->least < 0 ? KEEP : DELIVERED;
	}
}

/* RFC 6121 8.5.3.2.1: to a full address that nobody has bound. */
static enum outcome plan_for_gone(const struct comity_account *a, enum comity_type type, struct way *way)
{
	switch (type) {
	case COMITY_TYPE_CHAT:
		return plan_for_bare(a, type, way);
	case COMITY_TYPE_NORMAL:
	case COMITY_TYPE_GROUPCHAT:
		return REFUSE;
	default:
		return IGNORE;
	}
}

static struct comity_session *find_addressee(const struct comity_account *a, const struct comity_rq *rq)
{
	const char *resource = comity_jid_resource(rq->to);
	struct comity_session *s = resource != NULL ? comity_account_find_session(a, resource) : NULL;

	return s != NULL && !session_is_deaf(s) ? s : NULL;
}

static enum outcome plan_message(const struct comity_account *a, const struct comity_rq *rq, struct way *way)
{
	way->only = find_addressee(a, rq);
	if (way->only != NULL)
		return DELIVERED;
	return comity_jid_is_bare(rq->to) ? plan_for_bare(a, rq->st->type, way) : plan_for_gone(a, rq->st->type, way);
}

bool comity_rq_reaches(const struct comity_rq *rq, const struct comity_session *s)
{
	struct way way;

	if (plan_message(rq->account, rq, &way) != DELIVERED)
		return false;
	return way.only != NULL ? s == way.only : s->priority >= way.least && hears(s);
}

bool comity_rq_is_refused(const struct comity_rq *rq)
{
	struct way way;
	enum outcome outcome = plan_message(rq->account, rq, &way);

	return outcome == REFUSE || outcome == IGNORE;
}

static enum outcome deliver_message(struct comity_account *a, struct comity_rq *rq)
{
	struct way way;
	enum outcome outcome = plan_message(a, rq, &way);

	if (outcome == DELIVERED && way.only != NULL)
		session_deliver(way.only, rq);
	else if (outcome == DELIVERED)
		send_to_available(a, rq, way.least);
	return outcome;
}

static enum outcome deliver_presence(struct comity_account *a, struct comity_rq *rq, struct comity_session *s)
{
	if (s != NULL)
		session_deliver(s, rq);
	else if (comity_jid_is_bare(rq->to))
		/* RFC 6121 8.5.2.1.2: to all available resources. */
		send_to_available(a, rq, -128);
	return DELIVERED;
}

static bool is_request(const struct comity_rq *rq)
{
	return rq->st->type == COMITY_TYPE_GET || rq->st->type == COMITY_TYPE_SET;
}

/* RFC 6121 8.5.3: a resource answers for itself; for the account the server does. */
static enum outcome deliver_iq(struct comity_account *a, struct comity_rq *rq, struct comity_session *s)
{
	bool own = comity_jid_equal_bare(rq->from, a->jid);
	int verdict = COMITY_PASS;

	if (s != NULL) {
		session_deliver(s, rq);
		return DELIVERED;
	}
	if (!is_request(rq))
		return IGNORE;
	if (comity_jid_is_bare(rq->to))
		verdict = iq_dispatch(a->host, rq, own ? COMITY_TO_SELF : COMITY_TO_BARE);
	if (verdict < 0) {
		rq_refuse(rq, (enum comity_cond)-verdict, NULL);
		return DELIVERED;
	}
	return verdict == COMITY_PASS ? REFUSE : DELIVERED;
}

static enum outcome deliver(struct comity_account *a, struct comity_rq *rq)
{
	switch (rq->st->kind) {
	case COMITY_MESSAGE:
		return deliver_message(a, rq);
	case COMITY_PRESENCE:
		return deliver_presence(a, rq, find_addressee(a, rq));
	default:
		return deliver_iq(a, rq, find_addressee(a, rq));
	}
}

/* Runs the hooks of phases up to last; COMITY_PASS when none took the request. */
static int run_hooks(struct comity_rq *rq, enum comity_phase last)
{
	struct host *h = rq->host;
	int verdict = COMITY_PASS;

	while (verdict == COMITY_PASS && rq->next_hook < h->hook_count[COMITY_INCOMING]) {
		const struct hook_row *row = &h->hooks[COMITY_INCOMING][rq->next_hook];

		if (row->hook->phase > last)
			break;
		rq->next_hook++;
		if ((row->hook->kinds & rq->st->kind) != 0 && mod_serves(row->mod, rq->account))
			verdict = row->hook->handle(row->mod, rq);
	}
	if (verdict < 0)
		rq_refuse(rq, (enum comity_cond)-verdict, NULL);
	/* How long that takes is a matter of the account, not of who asks it something. */
	if (verdict == COMITY_LATER)
		backlog_leave(&rq->backlog);
	return verdict;
}

/* RFC 6121 8.5.1: presence for nobody is ignored, the rest is refused as for anyone who is offline. */
static void refuse_absent(struct comity_rq *rq)
{
	if (rq->st->kind != COMITY_PRESENCE)
		rq_refuse(rq, COMITY_SERVICE_UNAVAILABLE, NULL);
}

static void run(struct comity_account *a, struct comity_rq *rq)
{
	enum outcome outcome;

	if (run_hooks(rq, COMITY_DELIVER) != COMITY_PASS)
		return;
	outcome = deliver(a, rq);
	if (outcome == KEEP && run_hooks(rq, COMITY_KEEP) != COMITY_PASS)
		return;
	if (outcome == KEEP || outcome == REFUSE)
		rq_refuse(rq, COMITY_SERVICE_UNAVAILABLE, NULL);
}

static bool has_several_sessions(const struct comity_account *a)
{
	return a->sessions.next != a->sessions.prev;
}

void deliver_to_account(struct comity_account *a, struct comity_rq *rq)
{
	struct comity_rq *outer;

	/* A hook held it, and a reload came meanwhile. */
	if (a->state == ACCOUNT_LOADING) {
		account_wait(a, rq);
		return;
	}
	outer = rq_begin(rq);
	comity_account_ref(a);
	if (a->state != ACCOUNT_ACTIVE) {
		refuse_absent(rq);
	} else {
		rq_set_account(rq, a);
		rq->host = a->host;
		rq->point = COMITY_INCOMING;
		if (rq->st->kind == COMITY_MESSAGE && rq->copies == NULL && has_several_sessions(a))
			rq->copies = copies_new(a);
		run(a, rq);
	}
	rq_end(a->router, outer);
	comity_rq_release(rq);
	comity_account_unref(a);
}
