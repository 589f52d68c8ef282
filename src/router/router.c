/* SPDX-License-Identifier: MIT */
/* The router of a worker: configuration, and what client streams ask of it. */
#include "router/router.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/account.h"
#include "router/ask.h"
#include "router/credentials.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_restore.h"
#include "router/session_sm.h"
#include "router/session_written.h"
#include "xml/elem.h"
#include "xml/writer.h"
#include "xmpp/ns.h"

#define JID_CACHE_ENTRIES 4096

/* ---- what streams ask ---- */

static const struct c2s_shared *shared_of(struct worker *w)
{
	return &router_of(w)->c2s;
}

static struct stream_host *find_stream_host(struct worker *w, const char *name)
{
	const struct router *r = router_of(w);
	char prepared[JID_PART_MAX + 1];
	struct host *h = NULL;

	if (name == NULL)
		h = r->settings->host_count != 0 ? router_find_host(r, r->settings->hosts[0].stream->name) : NULL;
	else if (jid_prepare_domain(name, strlen(name), prepared) > 0)
		h = router_find_host(r, prepared);
	return h != NULL ? stream_host_ref(h->settings->stream) : NULL;
}

static void write_feature(struct comity_mod *m, const struct comity_stream_feature *f, struct buf *out)
{
	struct xml_doc *doc = xml_doc_new();

	doc->root = xml_elem_new(&doc->arena, f->ns, f->name);
	if (f->fill == NULL || f->fill(m, doc->root))
		xml_write_elem(out, doc->root, NS_CLIENT);
	xml_doc_free(doc);
}

static void write_features(struct c2s *c, struct buf *out, bool after_login)
{
	struct host *h = router_find_host(router_of(c->conn->worker), c->host->name);

	for (size_t i = 0; h != NULL && i < h->mod_count; i++) {
		const struct comity_stream_feature *f = h->mods[i]->def->stream_features;

		for (; h->mods[i]->is_enabled && f != NULL && f->name != NULL; f++)
			if (f->after_login == after_login)
				write_feature(h->mods[i], f, out);
	}
}

static void on_bind(struct c2s *c)
{
	struct worker *home = home_of(router_of(c->conn->worker)->server, c->user);

	if (home == c->conn->worker)
		session_begin(c);
	else
		c2s_move(c, home);
}

static void on_stanza(struct c2s *c, struct comity_stanza *st)
{
	struct comity_session *s = c->session;

	if (s == NULL) {
		comity_stanza_unref(st);
		return;
	}
	session_ref(s);
	route_from_session(s, st);
	session_unref(s);
}

static const struct comity_stream_element *find_element(const struct comity_mod *m, const struct comity_elem *e)
{
	const struct comity_stream_element *row = m->def->stream_elements;

	while (row != NULL && row->ns != NULL && !comity_elem_is(e, row->ns, row->name != NULL ? row->name : e->name))
		row++;
	return row != NULL && row->ns != NULL ? row : NULL;
}

static bool on_element(struct c2s *c, const struct comity_elem *e)
{
	struct comity_session *s = c->session;
	struct host *h = s != NULL ? s->account->host : NULL;
	bool is_known = false;

	for (size_t i = 0; h != NULL && i < h->mod_count; i++) {
		const struct comity_stream_element *row = find_element(h->mods[i], e);

		if (row == NULL)
			continue;
		/* Who was offered it does not hear of a reload that has taken the module away, and may go on sending it. */
		is_known = true;
		if (!mod_serves(h->mods[i], s->account))
			continue;
		session_ref(s);
		row->handle(h->mods[i], s, e);
		session_unref(s);
		break;
	}
	return is_known;
}

static bool on_early_iq(struct c2s *c, struct comity_stanza *st)
{
	struct router *r = router_of(c->conn->worker);
	struct host *h = c->host != NULL ? router_find_host(r, c->host->name) : NULL;
	struct comity_rq *rq;
	int verdict;

	if (h == NULL || (c->host->require_tls && !c->conn->is_secured) ||
	    (st->type != COMITY_TYPE_GET && st->type != COMITY_TYPE_SET))
		return false;
	rq = rq_new(r, &st, NULL, h->jid);
	rq->stream = c2s_ref(c);
	rq->host = h;
	verdict = shed_login(r) ? -COMITY_RESOURCE_CONSTRAINT : iq_dispatch(h, rq, COMITY_TO_PREAUTH);
	if (verdict < 0)
		rq_refuse(rq, (enum comity_cond)-verdict, NULL);
	else if (verdict == COMITY_PASS)
		c2s_fail(c, STREAM_NOT_AUTHORIZED, "log in and bind a resource first");
	/* Behind a login the stream might move to another worker, and who answers is on this one. */
	else if (verdict == COMITY_LATER && c->conn != NULL)
		conn_stop(c->conn, CONN_STOP_ASKED);
	comity_rq_release(rq);
	return true;
}

static void on_drained(struct c2s *c)
{
	if (c->session != NULL)
		session_drained(c->session);
}

static void on_closed(struct c2s *c, const char *reason)
{
	/* RFC 6120 4.4: who closes the stream means it; an error of ours ends the session as well. */
	if (c->session != NULL)
		session_lose_stream(c->session, c->is_cut || (reason != NULL && !c->has_failed));
}

bool router_admit(struct router *r, int fd, const char *address, const struct peers_limits *limits, const char *ns)
{
	bool is_short = shed_login(r);
	enum peers_verdict verdict = limits != NULL && !is_short ? peers_admit(r->server->peers, address, limits) : PEERS_ALL_WAIT;
	const char *text = is_short ? PRESSURE_TEXT : peers_verdict_text(verdict);
	struct buf out = { 0 };
	char id[STREAM_ID_SIZE];

	if (verdict == PEERS_ADMITTED)
		return true;
	metrics_add(&r->worker->metrics, METRIC_CONNECTIONS_REFUSED, 1);
	log_debug(&r->worker->log, "refused connection from %s: %s", address, text);
	if (ns != NULL) {
		stream_make_id(r->worker->env, id);
		stream_refusal_write(&out, ns, id, verdict == PEERS_ALL_WAIT ? STREAM_RESOURCE_CONSTRAINT :
		                     STREAM_POLICY_VIOLATION, text);
	}
	conn_socket_refuse(fd, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
	return false;
}

void router_accept(struct worker *w, int fd, const char *address, bool direct_tls)
{
	struct router *r = router_of(w);
	struct conn *conn;

	if (!router_admit(r, fd, address, r->settings != NULL ? &r->settings->limits.peers : NULL, direct_tls ? NULL : NS_CLIENT))
		return;
	conn = conn_new(w, fd, &conn_socket_io, NULL, address, r->settings->limits.early_out_bytes);
	c2s_accept(w, &r->c2s, conn, direct_tls);
}

/* ---- life ---- */

struct router *router_new(struct server *server, struct worker *worker)
{
	struct router *r = mem_new(sizeof(*r));

	r->server = server;
	r->worker = worker;
	list_init(&r->idle);
	list_init(&r->unsynced);
	list_init(&r->endings);
	list_init(&r->telling);
	list_init(&r->changed);
	list_init(&r->archive_calls);
	list_init(&r->streams);
	r->c2s = (struct c2s_shared){
		.streams = &r->streams,
		.of_worker = shared_of,
		.pressure = &r->pressure,
		.peers = server->peers,
		.tls = server->tls,
		.jobs = server->jobs,
		.find_host = find_stream_host,
		.write_features = write_features,
		.fetch_secrets = credentials_fetch,
		.bind = on_bind,
		.arrived = session_begin,
		.stanza = on_stanza,
		.manage = session_on_sm,
		.element = on_element,
		.early_iq = on_early_iq,
		.drained = on_drained,
		.closed = on_closed,
	};
	server->env->random(server->env, &r->messages, sizeof(r->messages));
	r->messages |= 1;
	r->asks = asks_new(r);
	r->fed = fed_new(r);
	worker->router = r;
	worker->jids = jid_cache_new(JID_CACHE_ENTRIES);
	return r;
}

void router_free(struct router *r)
{
	if (r == NULL)
		return;
	free(r->answered.deliveries);
	free(r->early);
	asks_free(r->asks);
	fed_free(r->fed);
	dormant_free(r);
	accounts_evict(r, true);
	for (size_t i = 0; i < r->host_count; i++)
		host_free(r->host_list[i]);
	free(r->host_list);
	map_deinit(&r->hosts);
	map_deinit(&r->accounts);
	jid_cache_free(r->worker->jids);
	r->worker->jids = NULL;
	r->worker->router = NULL;
	settings_unref(r->settings);
	free(r);
}

/* ---- configuration ---- */

static const struct host_settings *find_settings(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->host_count; i++)
		if (strcmp(s->hosts[i].stream->name, name) == 0)
			return &s->hosts[i];
	return NULL;
}

static void end_sessions(struct router *r, struct host *h)
{
	LIST_EACH(l, next, &r->streams) {
		struct c2s *c = LIST_ENTRY(l, struct c2s, link);

		if (c->host != NULL && strcmp(c->host->name, h->name) == 0) {
			if (c->session != NULL)
				session_end(c->session);
			c2s_fail(c, STREAM_HOST_GONE, NULL);
		}
	}
	sessions_end_suspended(r, h);
}

/* Streams and sessions of a host that is no longer served end, and its accounts leave memory. */
static void end_host(struct router *r, struct host *h, struct settings *old)
{
	struct comity_account **all;
	size_t count;

	end_sessions(r, h);
	map_remove(&r->hosts, h->name, strlen(h->name));
	host_end(h, old);
	/* A host of that name may come again, and is another one. */
	all = accounts_collect(r, h, false, &count);
	for (size_t i = 0; i < count; i++)
		account_drop(all[i]);
	accounts_let_go(all, count);
}

static void extend_accounts(struct router *r, struct host *h)
{
	size_t count;
	/* What modules that are switched off have held goes on, and brings other accounts into the table. */
	struct comity_account **all = accounts_collect(r, h, false, &count);

	for (size_t i = 0; i < count; i++)
		account_extend(all[i]);
	accounts_let_go(all, count);
}

/* The next of those in host_list that are served, and are not to be any longer; NULL: no more. */
static struct host *next_old_host(const struct router *r, const struct settings *settings, size_t *place)
{
	while (*place < r->host_count) {
		struct host *h = r->host_list[(*place)++];

		if (router_find_host(r, h->name) == h && find_settings(settings, h->name) == NULL)
			return h;
	}
	return NULL;
}

void router_part_hosts(struct router *r, const struct settings *settings)
{
	size_t place = 0;

	for (struct host *h; (h = next_old_host(r, settings, &place)) != NULL;)
		end_sessions(r, h);
}

/* A removed host stays in host_list as a place holder, because what is under way may still point to it. */
static void remove_old_hosts(struct router *r, const struct settings *settings, struct settings *old)
{
	size_t place = 0;

	for (struct host *h; (h = next_old_host(r, settings, &place)) != NULL;)
		end_host(r, h, old);
}

/* Hosts that federated before and are not to any longer. */
static void end_federation(struct router *r, const struct settings *settings, const struct settings *old)
{
	for (size_t i = 0; old != NULL && i < old->host_count; i++) {
		const struct host_settings *now = find_settings(settings, old->hosts[i].stream->name);

		if (old->hosts[i].federates && (now == NULL || !now->federates))
			fed_end_host(r->fed, old->hosts[i].stream->name);
	}
}

static void add_host(struct router *r, const struct host_settings *hs)
{
	struct host *h = host_new(r, hs);

	r->host_list = mem_resize(r->host_list, (r->host_count + 1) * sizeof(struct host *));
	r->host_list[r->host_count++] = h;
	map_put(&r->hosts, h->name, strlen(h->name), h);
}

int router_configure(struct router *r, struct settings *settings, struct err_text *et)
{
	struct settings *old = r->settings;
	int rc;

	r->settings = settings_ref(settings);
	r->c2s.limits = &settings->limits;
	rc = fed_configure(r->fed, et);
	remove_old_hosts(r, settings, old);
	end_federation(r, settings, old);
	for (size_t i = 0; i < settings->host_count; i++) {
		struct host *h = router_find_host(r, settings->hosts[i].stream->name);

		if (h == NULL) {
			add_host(r, &settings->hosts[i]);
			continue;
		}
		host_update(h, &settings->hosts[i], old);
		extend_accounts(r, h);
	}
	settings_unref(old);
	return rc;
}

/* A client that can resume is cut off later. */
static bool can_part(const struct router *r, const struct c2s *c)
{
	const struct comity_session *s = c->session;

	return r->journal != NULL && s != NULL && s->sm != NULL && s->sm->can_resume && s->sm->key != 0;
}

void router_close_streams(struct router *r)
{
	r->is_stopping = true;
	LIST_EACH(l, next, &r->streams) {
		struct c2s *c = LIST_ENTRY(l, struct c2s, link);

		/* Between two streams (behind a login) there is none that an error could end. */
		if (can_part(r, c))
			conn_stop(c->conn, CONN_STOP_END);
		else if (c->is_header_sent)
			c2s_fail(c, STREAM_SYSTEM_SHUTDOWN, NULL);
		else
			c2s_cut(c);
	}
}

void router_part_clients(struct router *r)
{
	if (r->journal == NULL)
		return;
	journal_states(r);
	journal_sync_now(r->journal);
	LIST_EACH(l, next, &r->streams) {
		struct c2s *c = LIST_ENTRY(l, struct c2s, link);

		if (can_part(r, c))
			session_sm_part(c->session);
	}
}

void router_forget_sessions(struct router *r)
{
	struct comity_account **all;
	size_t count;

	archive_calls_end(r);
	/* An account may leave the table with its last session. */
	all = accounts_collect(r, NULL, true, &count);
	for (size_t i = 0; i < count; i++)
		sessions_forget(all[i]);
	accounts_let_go(all, count);
	/* While there still are all workers, as those who sent it are at home on any of them. */
	fed_forget_queues(r->fed);
}
