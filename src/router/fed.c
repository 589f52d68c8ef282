/* SPDX-License-Identifier: MIT */
/* Federation on a worker: what streams between servers ask, and where stanzas for remote domains go. */
#include "router/fed.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/backlog.h"
#include "router/account.h"
#include "router/ask.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_sm.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"

/* Of a stream, for all users of the other server, that are yet to be answered here. */
#define REQUESTS_MAX 1024

static struct federation *fed_of(const struct worker *w)
{
	return router_of(w)->fed;
}

/* ---- what streams ask ---- */

static const struct s2s_shared *shared_of(struct worker *w)
{
	return &fed_of(w)->shared;
}

static struct worker *home_of_remote(const struct server *server, const char *remote)
{
	return server->workers[map_hash(remote, strlen(remote)) % server->worker_count];
}

static struct worker *find_home(struct worker *w, const char *remote)
{
	return home_of_remote(router_of(w)->server, remote);
}

/* SNI gives names in A-labels; hosts are kept as addresses are. */
static struct stream_host *find_stream_host(struct worker *w, const char *name)
{
	const struct settings *s = router_of(w)->settings;
	char prepared[JID_PART_MAX + 1];

	if (name != NULL && jid_prepare_domain(name, strlen(name), prepared) <= 0)
		return NULL;
	for (size_t i = 0; i < s->host_count; i++)
		if (s->hosts[i].federates && (name == NULL || strcmp(s->hosts[i].stream->name, prepared) == 0))
			return stream_host_ref(s->hosts[i].stream);
	return NULL;
}

static const struct s2s_policy *find_policy(struct worker *w, const char *remote)
{
	return fed_find_policy(&router_of(w)->settings->fed, remote);
}

static void on_verify(struct s2s *s, const char *local, const char *remote, const char *key)
{
	struct federation *f = fed_of(s->conn->worker);
	const char *refusal = fed_refuse_check(f, s);
	struct fed_link *l;

	if (refusal != NULL) {
		s2s_verified(s, local, remote, DIALBACK_ERROR, COMITY_RESOURCE_CONSTRAINT, refusal);
		return;
	}
	l = link_get(f, local, remote);
	if (l == NULL && !fed_has_room(f))
		s2s_verified(s, local, remote, DIALBACK_ERROR, COMITY_RESOURCE_CONSTRAINT, "too many other servers are talked to at once");
	else if (l == NULL)
		s2s_verified(s, local, remote, DIALBACK_ERROR, COMITY_ITEM_NOT_FOUND, "this domain is not served here");
	else
		link_verify(l, s, key);
}

static void on_proved(struct s2s *s, struct s2s_pair *pair)
{
	struct federation *f = fed_of(s->conn->worker);
	struct fed_link *l;

	if (s->is_outgoing) {
		link_on_proved(s->owner);
		return;
	}
	/* Links live at the home of the remote domain only; there this stream is found by them. */
	if (home_of_remote(f->router->server, pair->remote) != f->router->worker)
		return;
	l = link_get(f, pair->local, pair->remote);
	if (l != NULL)
		link_on_incoming(l, s);
}

static void on_usable(struct s2s *s)
{
	if (s->owner != NULL)
		link_on_usable(s->owner);
}

static void on_verify_answer(struct s2s *s, const struct dialback_check *check, enum dialback_answer answer,
                             const char *text)
{
	if (s->owner != NULL)
		link_on_verify_answer(s->owner, check, answer, text);
}

/* Remembered where the domain is at home. */
static void note_presence(struct s2s *s, struct comity_rq *rq)
{
	struct federation *f = fed_of(s->conn->worker);
	const char *remote = comity_jid_domain(rq->from);
	struct fed_link *l;

	if (home_of_remote(f->router->server, remote) != f->router->worker)
		return;
	l = link_get(f, comity_jid_domain(rq->to), remote);
	if (l == NULL)
		return;
	rq->seen = link_note_presence(l, rq->st->type, rq->from, rq->to, &rq->was_unasked);
	if (f->router->pressure < PRESSURE_PRESENCE)
		return;
	/* It is not passed on, and has to be remembered for that. */
	rq->seen = 0;
	link_note_stale(l, rq->from, rq->to);
}

/* To the home of the remote domain. */
struct reach {
	struct mail mail;
	struct comity_jid *from, *to;
	uint32_t serial;
	bool has_reached, is_unasked;
};

static void note_reach(struct federation *f, const struct reach *r)
{
	struct fed_link *l = link_find(f, comity_jid_domain(r->to), comity_jid_domain(r->from));

	if (l != NULL && r->has_reached)
		link_note_unasked(l, r->from, r->to, r->serial, r->is_unasked);
	else if (l != NULL)
		link_unsee_presence(l, r->from, r->to, r->serial);
}

static void on_reach(struct worker *w, struct mail *mail)
{
	struct reach *r = LIST_ENTRY(mail, struct reach, mail);

	note_reach(fed_of(w), r);
	comity_jid_unref(r->from);
	comity_jid_unref(r->to);
	free(r);
}

void fed_note_reach(struct comity_rq *rq)
{
	struct router *r = rq->router;
	struct worker *home = home_of_remote(r->server, comity_jid_domain(rq->from));
	struct reach *away, here = { .from = rq->from, .to = rq->to, .serial = rq->seen, .has_reached = rq->has_reached,
	                             .is_unasked = rq->is_unasked };

	if (r->fed->is_stopping || (rq->has_reached && rq->is_unasked == rq->was_unasked))
		return;
	if (home == r->worker) {
		note_reach(r->fed, &here);
		return;
	}
	away = mem_new(sizeof(*away));
	*away = here;
	away->mail.run = on_reach;
	comity_jid_ref(away->from);
	comity_jid_ref(away->to);
	worker_post(home, &away->mail);
}

/* A stanza of a peer with stream management, until it is safe. */
struct fed_in {
	struct safe safe;
	struct s2s_hold hold;
};

static void on_in_done(struct safe *safe, struct router *r, bool was_away)
{
	struct fed_in *in = LIST_ENTRY(safe, struct fed_in, safe);

	(void)r, (void)was_away;
	sm_let_go(&in->hold);
	free(in);
}

static void hold_until_safe(struct s2s *s, struct comity_rq *rq)
{
	struct fed_in *in;

	if (s->sm == NULL || s->is_outgoing)
		return;
	in = mem_new(sizeof(*in));
	safe_init(&in->safe, s->conn->worker, on_in_done);
	sm_hold(s, &in->hold);
	rq_set_safe(rq, &in->safe);
}

static void on_hurry(struct s2s *s)
{
	journal_hurry(router_of(s->conn->worker));
}

static void on_stanza(struct s2s *s, struct comity_stanza *st, struct comity_jid *from, struct comity_jid *to)
{
	struct router *r = router_of(s->conn->worker);
	struct worker *home = home_of(r->server, to);
	struct comity_rq *rq = rq_new(r, &st, from, to);

	rq_set_conn(rq, s->conn, REQUESTS_MAX);
	hold_until_safe(s, rq);
	if (home != r->worker && worker_is_full(home))
		conn_pause_for(s->conn, home);
	if (rq->st->kind == COMITY_PRESENCE && comity_jid_resource(from) != NULL)
		note_presence(s, rq);
	route_from_remote(rq);
}

/* ---- stream management ---- */

/* What is kept of a stream of theirs that was lost. */
struct fed_suspended {
	struct list link;
	struct s2s_sm *sm;
	char *local, *remote;
	uint64_t until;
};

/* Lost streams remembered per worker. */
#define SUSPENDED_MAX 10000

static void drop_suspended(struct federation *f, struct fed_suspended *p)
{
	list_remove(&p->link);
	f->suspended_count--;
	sm_free(p->sm);
	free(p->local);
	free(p->remote);
	free(p);
}

static void sweep(struct worker *w, struct timer *t)
{
	struct federation *f = LIST_ENTRY(t, struct federation, sweep);

	LIST_EACH(l, next, &f->suspended) {
		struct fed_suspended *p = LIST_ENTRY(l, struct fed_suspended, link);

		if (p->until > worker_now(w)) {
			worker_timer_start(w, &f->sweep, p->until - worker_now(w));
			return;
		}
		drop_suspended(f, p);
	}
}

static void suspend(struct federation *f, struct s2s *s)
{
	struct fed_suspended *p = mem_new(sizeof(*p));
	struct worker *w = f->router->worker;

	p->sm = s->sm;
	s->sm = NULL;
	p->local = mem_strdup(s->host->name);
	p->remote = mem_strdup(s->remote);
	p->until = worker_now(w) + f->shared.limits->resume_ms;
	list_init(&p->link);
	list_append(&f->suspended, &p->link);
	if (++f->suspended_count > SUSPENDED_MAX)
		drop_suspended(f, LIST_ENTRY(f->suspended.next, struct fed_suspended, link));
	if (!timer_is_running(&f->sweep))
		worker_timer_start(w, &f->sweep, f->shared.limits->resume_ms);
}

static bool is_of(const struct s2s *s, const char *local, const char *remote)
{
	return s->host != NULL && s->remote != NULL && strcmp(s->host->name, local) == 0 && strcmp(s->remote, remote) == 0;
}

static struct s2s_sm *find_suspended(struct s2s *s, const char *id)
{
	struct federation *f = fed_of(s->conn->worker);
	struct s2s_sm *sm = NULL;

	LIST_EACH(l, next, &f->suspended) {
		struct fed_suspended *p = LIST_ENTRY(l, struct fed_suspended, link);

		if (strcmp(p->sm->id, id) != 0 || !is_of(s, p->local, p->remote))
			continue;
		sm = p->sm;
		p->sm = NULL;
		drop_suspended(f, p);
		return sm;
	}
	/* The old stream may not have noticed yet that it is dead. The id of one of ours was chosen by the peer. */
	LIST_EACH(l, next, &f->streams) {
		struct s2s *old = LIST_ENTRY(l, struct s2s, link);

		if (old == s || old->is_outgoing || old->sm == NULL || old->sm->id == NULL || strcmp(old->sm->id, id) != 0 ||
		    !is_of(s, old->host->name, old->remote))
			continue;
		sm = old->sm;
		old->sm = NULL;
		s2s_fail(old, STREAM_CONFLICT, "the stream has been resumed");
		return sm;
	}
	return NULL;
}

static void on_managed(struct s2s *s)
{
	if (s->owner != NULL)
		link_on_managed(s->owner);
}

static void on_acked(struct s2s *s, void *token)
{
	link_on_acked(s->owner, token);
}

static void on_unacked(struct s2s *s, void *token)
{
	link_on_unacked(s->owner, token);
}

static void on_rewrite(struct s2s *s, void *token)
{
	link_rewrite(s->owner, token);
}

/* ---- ends ---- */

static void on_note(struct s2s *s, const char *line)
{
	const struct fed_link *l = s->owner;

	if (l != NULL && l->note != NULL)
		l->note(l->arg, line);
}

static void on_closed(struct s2s *s, enum s2s_cause cause, const char *text)
{
	struct federation *f = fed_of(s->conn->worker);
	struct fed_link *l = s->owner;

	if (l != NULL) {
		s->owner = NULL;
		link_on_closed(l, s, cause, text);
	}
	LIST_EACH(p, next, &s->pairs) {
		const struct s2s_pair *pair = LIST_ENTRY(p, struct s2s_pair, link);

		l = s->is_outgoing ? NULL : link_find(f, pair->local, pair->remote);
		if (l != NULL)
			link_on_closed(l, s, cause, text);
	}
	if (!s->is_outgoing && s->sm != NULL && s->sm->id != NULL && s->host != NULL && s->remote != NULL)
		suspend(f, s);
}

/* ---- stanzas for remote domains ---- */

static void return_unsent(struct federation *f, struct comity_rq *rq, enum comity_cond cond, const char *text)
{
	metrics_add(&f->router->worker->metrics, METRIC_S2S_BOUNCED, 1);
	rq_refuse(rq, cond, text);
	comity_rq_release(rq);
}

static void send_to_link(struct federation *f, struct comity_rq *rq)
{
	const char *local = comity_jid_domain(rq->from), *remote = comity_jid_domain(rq->to);
	struct fed_link *l = link_find(f, local, remote);

	/* Before it is made: it would take the place of one that is used. */
	if (!fed_may_reach(f, l, rq)) {
		return_unsent(f, rq, COMITY_RESOURCE_CONSTRAINT, "too many other servers are being reached for you at once");
		return;
	}
	if (l == NULL)
		l = link_get(f, local, remote);
	if (l != NULL) {
		link_count_for(l, rq);
		link_send(l, rq);
		link_note_use(l);
	} else if (fed_has_room(f)) {
		return_unsent(f, rq, COMITY_REMOTE_SERVER_NOT_FOUND, "this domain does not federate with other servers");
	} else {
		return_unsent(f, rq, COMITY_RESOURCE_CONSTRAINT, "too many other servers are talked to at once");
	}
}

static void arrive(struct worker *w, struct mail *mail)
{
	struct comity_rq *rq = LIST_ENTRY(mail, struct comity_rq, mail);

	rq->router = router_of(w);
	send_to_link(rq->router->fed, rq);
}

/* An answer, whoever it is in the name of, or what comes of a stanza of another server. */
static bool is_caused_by_others(const struct router *r, const struct comity_rq *rq)
{
	const struct comity_rq *cause = r->current;

	if (rq->session != NULL)
		return false;
	return rq->st->type == COMITY_TYPE_ERROR || rq->st->type == COMITY_TYPE_RESULT ||
	       (cause != NULL && cause->from != NULL && router_find_host(r, comity_jid_domain(cause->from)) == NULL);
}

void fed_route(struct router *r, struct comity_rq *rq)
{
	struct worker *home;

	/* Nothing is passed on between others. */
	if (rq->from == NULL || router_find_host(r, comity_jid_domain(rq->from)) == NULL) {
		comity_rq_release(rq);
		return;
	}
	/* How long that takes is not for this server to say. */
	backlog_leave(&rq->backlog);
	rq->is_caused_by_others = is_caused_by_others(r, rq);
	home = home_of_remote(r->server, comity_jid_domain(rq->to));
	if (home == r->worker) {
		send_to_link(r->fed, rq);
		return;
	}
	route_relieve(r, rq->session, home);
	rq_detach(rq);
	rq->mail.run = arrive;
	worker_post(home, &rq->mail);
}

/* ---- life ---- */

void fed_accept(struct worker *w, int fd, const char *address, bool direct_tls)
{
	struct router *r = router_of(w);
	struct conn *conn;

	if (!router_admit(r, fd, address, r->settings != NULL ? &r->settings->fed.limits.peers : NULL,
	                  direct_tls ? NULL : NS_SERVER))
		return;
	conn = conn_new(w, fd, &conn_socket_io, NULL, address, r->settings->fed.limits.early_out_bytes);
	conn_set_dead_after(conn, r->settings->fed.limits.dead_ms);
	s2s_accept(w, &r->fed->shared, conn, direct_tls);
}

struct federation *fed_new(struct router *r)
{
	struct federation *f = mem_new(sizeof(*f));

	f->router = r;
	list_init(&f->used);
	list_init(&f->unused);
	list_init(&f->streams);
	list_init(&f->suspended);
	list_init(&f->probes);
	list_init(&f->registrations);
	list_init(&f->tellers);
	list_init(&f->farewells);
	f->telling.fire = fed_tell_presence;
	f->sweep.fire = sweep;
	f->trim.fire = fed_trim;
	f->shared = (struct s2s_shared){
		.pressure = &r->pressure,
		.tls = r->server->tls,
		.streams = &f->streams,
		.dialback_secret = r->server->dialback_secret,
		.peers = r->server->peers,
		.of_worker = shared_of,
		.home = find_home,
		.find_host = find_stream_host,
		.policy = find_policy,
		.vouched = directory_vouch,
		.verify = on_verify,
		.proved = on_proved,
		.usable = on_usable,
		.verify_answer = on_verify_answer,
		.stanza = on_stanza,
		.managed = on_managed,
		.acked = on_acked,
		.unacked = on_unacked,
		.rewrite = on_rewrite,
		.hurry = on_hurry,
		.find_suspended = find_suspended,
		.note = on_note,
		.closed = on_closed,
	};
	return f;
}

/* Domains that may no longer be talked to, by a reloaded list, are hung up on. */
static void end_refused(struct federation *f)
{
	LIST_EACH(l, next, &f->streams) {
		struct s2s *s = LIST_ENTRY(l, struct s2s, link);

		if (s->remote != NULL && find_policy(f->router->worker, s->remote)->is_refused)
			s2s_fail(s, STREAM_POLICY_VIOLATION, "this server does not federate with your domain any longer");
	}
}

uint64_t fed_jitter(struct federation *f, uint64_t ms)
{
	struct comity_env *env = f->router->server->env;
	uint32_t random;

	env->random(env, &random, sizeof(random));
	return ms - ms / 4 + random % (ms / 2 + 1);
}

int fed_configure(struct federation *f, struct err_text *et)
{
	const struct fed_settings *s = &f->router->settings->fed;

	f->shared.limits = &s->limits;
	directory_forget_silence(f);
	end_refused(f);
	if (f->dns != NULL)
		return 0;
	return dns_new(f->router->worker, &s->dns, &f->dns, et);
}

/* The worker's thread has ended: nothing is sent any more. */
void fed_free(struct federation *f)
{
	size_t pos = 0;

	if (f == NULL)
		return;
	for (struct fed_link *l; (l = map_next(&f->links, &pos)) != NULL;)
		link_free(l);
	map_deinit(&f->links);
	quota_deinit(&f->checkers);
	quota_deinit(&f->reached_for);
	quota_deinit(&f->queued_for);
	fed_forget_presence(f);
	LIST_EACH(l, next, &f->suspended)
		drop_suspended(f, LIST_ENTRY(l, struct fed_suspended, link));
	worker_timer_stop(f->router->worker, &f->sweep);
	worker_timer_stop(f->router->worker, &f->trim);
	directory_forget_silence(f);
	fed_register_free(f);
	dns_free(f->dns);
	free(f);
}
