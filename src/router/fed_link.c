/* SPDX-License-Identifier: MIT */
/* A link: how one of our domains reaches one of theirs, what waits for it, and what is done when it fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "router/fed.h"
#include "router/host.h"
#include "router/rq.h"
#include "xmpp/jid.h"

const struct fed_settings *link_settings(const struct fed_link *l)
{
	return &l->fed->router->settings->fed;
}

struct worker *link_worker(const struct fed_link *l)
{
	return l->fed->router->worker;
}

/* ---- life ---- */

struct fed_link *link_find(const struct federation *f, const char *local, const char *remote)
{
	char key[2 * (JID_PART_MAX + 1)];
	int len = snprintf(key, sizeof(key), "%s %s", local, remote);

	return map_find(&f->links, key, (size_t)len);
}

static void on_timer(struct worker *w, struct timer *t);

static struct fed_link *link_new(struct federation *f, struct stream_host *host, const char *remote)
{
	size_t local_size = strlen(host->name) + 1, remote_size = strlen(remote) + 1;
	/* In one piece, since there may be many of them. */
	struct fed_link *l = mem_new(sizeof(*l) + 2 * (local_size + remote_size));

	l->fed = f;
	l->host = host;
	l->local = (char *)(l + 1);
	l->remote = l->local + local_size;
	l->key = l->remote + remote_size;
	memcpy(l->local, host->name, local_size);
	memcpy(l->remote, remote, remote_size);
	snprintf(l->key, local_size + remote_size, "%s %s", host->name, remote);
	l->timer.fire = on_timer;
	list_init(&l->queue);
	list_init(&l->returned);
	list_init(&l->checks);
	list_init(&l->use);
	list_init(&l->probe);
	list_init(&l->telling);
	return l;
}

struct fed_link *link_get(struct federation *f, const char *local, const char *remote)
{
	struct fed_link *l = link_find(f, local, remote);
	struct stream_host *host;

	if (l != NULL)
		return l;
	host = f->shared.find_host(f->router->worker, local);
	if (host == NULL)
		return NULL;
	if (!fed_has_room(f)) {
		stream_host_unref(host);
		return NULL;
	}
	l = link_new(f, host, remote);
	map_put(&f->links, l->key, strlen(l->key), l);
	f->link_count++;
	link_note_use(l);
	return l;
}

void link_free(struct fed_link *l)
{
	worker_timer_stop(link_worker(l), &l->timer);
	dial_free(l->dial);
	directory_cancel(l);
	free(l->place);
	quota_return(&l->fed->reached_for, &l->reached_for);
	list_remove(&l->use);
	list_remove(&l->probe);
	link_drop_checks(l);
	if (l->out != NULL)
		l->out->owner = NULL;
	link_drop_queue(l);
	link_forget_presence(l);
	for (unsigned i = 0; i < FED_ATTEMPTS; i++)
		free(l->attempts[i].why);
	stream_host_unref(l->host);
	free(l);
}

bool link_has_work(const struct fed_link *l)
{
	return !list_empty(&l->queue) || link_has_unacked(l) || l->wants_back;
}

/* ---- timer: what waits too long, and the next try ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void link_schedule(struct fed_link *l)
{
	const struct fed_settings *s = link_settings(l);
	uint64_t now = worker_now(link_worker(l)), due = UINT64_MAX;

	if (link_oldest(l) != UINT64_MAX)
		due = link_oldest(l) + s->queue_age_ms;
	if (link_oldest_check(l) != UINT64_MAX)
		due = earlier(due, link_oldest_check(l) + s->limits.verify_ms);
	if (l->state == LINK_WAITING && link_has_work(l))
		due = earlier(due, l->retry_at);
	if (due == UINT64_MAX)
		worker_timer_stop(link_worker(l), &l->timer);
	else
		worker_timer_start(link_worker(l), &l->timer, due > now ? due - now : 0);
	link_note_use(l);
}

static void on_timer(struct worker *w, struct timer *t)
{
	struct fed_link *l = LIST_ENTRY(t, struct fed_link, timer);
	const struct fed_settings *s = link_settings(l);
	uint64_t now = worker_now(w);

	link_bounce_old(l);
	if (now >= s->limits.verify_ms)
		link_end_checks_before(l, now - s->limits.verify_ms, COMITY_REMOTE_SERVER_TIMEOUT,
		                  "the server of your domain did not answer the dialback verification");
	if (l->state == LINK_WAITING && now >= l->retry_at && link_has_work(l))
		link_open(l);
	link_schedule(l);
}

/* ---- failure ---- */

/* Trying again soon may help: the domain is right, and nothing was refused for good. */
static bool is_passing(enum s2s_cause cause)
{
	return cause == S2S_DIRECTORY || cause == S2S_DNS || cause == S2S_UNREACHABLE || cause == S2S_TIMEOUT ||
	       cause == S2S_LOST || cause == S2S_CLOSED_BY_US;
}

void link_remember(struct fed_link *l, enum s2s_cause cause, const char *why)
{
	struct comity_env *env = l->fed->router->server->env;

	free(l->attempts[FED_ATTEMPTS - 1].why);
	memmove(&l->attempts[1], &l->attempts[0], (FED_ATTEMPTS - 1) * sizeof(l->attempts[0]));
	l->attempts[0].at_us = env->wall_us(env);
	l->attempts[0].cause = cause;
	l->attempts[0].why = mem_strdup(why);
}

void link_end_probe(struct fed_link *l)
{
	if (l->out != NULL) {
		l->out->owner = NULL;
		s2s_close(l->out);
		l->out = NULL;
	}
	l->done(l->arg, l);
	link_free(l);
}

/* Where a directory said that it is, it may not be any more: then they are asked again, once. */
static bool doubt_place(struct fed_link *l, enum s2s_cause cause)
{
	bool was_old = l->is_by_old_place;

	if (!l->is_by_place || l->place == NULL || cause == S2S_POLICY || cause == S2S_CLOSED_BY_US)
		return false;
	l->is_by_place = l->is_by_old_place = false;
	l->place->is_doubtful = true;
	if (!was_old || l->fed->is_stopping)
		return false;
	link_note(l, "%s; asking the directories whether it has moved", l->why);
	link_open(l);
	return true;
}

void link_set_why(struct fed_link *l, const char *text)
{
	snprintf(l->why, sizeof(l->why), "%s", text);
	text_clean(l->why);
}

/* Nothing is known to have failed but our own stream: what was not acknowledged there goes this way, in its order. */
static void go_by_bidi(struct fed_link *l)
{
	l->state = LINK_READY;
	l->cause = S2S_CAUSE_NONE;
	link_requeue_suspended(l);
	link_flush(l);
}

static void wait_for_next_try(struct fed_link *l)
{
	const struct fed_settings *s = link_settings(l);
	uint64_t now = worker_now(link_worker(l));

	l->backoff_ms = l->backoff_ms == 0 ? s->retry_min_ms : earlier(l->backoff_ms * 2, s->retry_max_ms);
	l->retry_at = now + fed_jitter(l->fed, l->backoff_ms);
	l->state = LINK_WAITING;
	if (l->failing_since == 0)
		l->failing_since = now;
	/* Whoever seemed to be there is not, as far as anybody here can tell. */
	if (!is_passing(l->cause) || now - l->failing_since >= s->queue_age_ms) {
		l->wants_back = l->is_missed = false;
		link_lose_presence(l);
	}
	/* Resumed or not, what was not acknowledged is bounced in its order when the time is over. */
	if (!is_passing(l->cause)) {
		link_requeue_suspended(l);
		link_bounce_before(l, UINT64_MAX);
	}
}

void link_fail(struct fed_link *l, enum s2s_cause cause, const char *text)
{
	l->cause = cause;
	if (text != l->why)
		link_set_why(l, text);
	/* The text may have been the dial's. */
	dial_free(l->dial);
	l->dial = NULL;
	directory_cancel(l);
	if (doubt_place(l, cause))
		return;
	if (l->is_probe) {
		link_end_probe(l);
		return;
	}
	link_remember(l, cause, l->why);
	log_warning(&l->fed->router->worker->log, "s2s local=%s remote=%s failed (%s): %s", l->local, l->remote,
	            s2s_cause_name(cause), l->why);
	link_end_checks_before(l, UINT64_MAX, cause == S2S_NOT_FOUND ? COMITY_REMOTE_SERVER_NOT_FOUND : COMITY_REMOTE_SERVER_TIMEOUT,
	                  l->why);
	if (link_has_bidi(l))
		go_by_bidi(l);
	else
		wait_for_next_try(l);
	link_schedule(l);
}

/* ---- reaching out ---- */

static void on_reached(void *owner, const struct srv_target *target, int fd, const char *address)
{
	struct fed_link *l = owner;
	const struct fed_settings *s = link_settings(l);
	struct conn *conn = conn_new(link_worker(l), fd, &conn_socket_io, NULL, address, s->limits.out_bytes);
	size_t tlsa_count;
	const struct dns_record *tlsa = dial_tlsa(l->dial, &tlsa_count);

	conn_set_dead_after(conn, s->limits.dead_ms);
	l->state = LINK_NEGOTIATING;
	l->out = s2s_connect(link_worker(l), &l->fed->shared, conn, &(struct s2s_start){
		.host = l->host,
		.remote = l->remote,
		.is_direct_tls = target->is_direct_tls,
		.no_external = l->no_external,
		.wants_proof = l->is_probe || link_has_work(l),
		.wants_bidi = directory_is_one(l),
		.tlsa = tlsa,
		.tlsa_count = tlsa_count,
		.tlsa_host = target->host,
		.owner = l,
	});
	s2s_begin(l->out);
}

static enum s2s_cause cause_of(enum dial_failure failure)
{
	switch (failure) {
	case DIAL_NO_NAME:
	case DIAL_NO_SERVICE:
	case DIAL_NO_ADDRESS:
		return S2S_NOT_FOUND;
	case DIAL_DNS_TIMEOUT:
	case DIAL_DNS_FAILED:
		return S2S_DNS;
	case DIAL_TIMEOUT:
		return S2S_TIMEOUT;
	default:
		return S2S_UNREACHABLE;
	}
}

static void on_unreached(void *owner, enum dial_failure failure, const char *text)
{
	struct fed_link *l = owner;

	/* When one address was reached but no good, that says more than that there is no other. */
	if (l->cause != S2S_CAUSE_NONE && l->dial != NULL && dial_reached_any(l->dial))
		link_fail(l, l->cause, l->why);
	else
		link_fail(l, cause_of(failure), text);
}

static void on_dial_note(void *owner, const char *line)
{
	link_note(owner, "%s", line);
}

static const struct dial_events dial_events = {
	.on_connected = on_reached,
	.on_failed = on_unreached,
	.note = on_dial_note,
};

static void begin_dial(struct fed_link *l, const char *host, unsigned port, bool is_direct_tls)
{
	const struct dial_plan plan = {
		.domain = l->remote, .host = host, .port = (uint16_t)port, .is_direct_tls = is_direct_tls
	};

	l->state = LINK_DIALING;
	l->dial = dial_start(link_worker(l), l->fed->dns, &link_settings(l)->dial, &plan, &dial_events, l);
}

static void dial_place(struct fed_link *l, bool is_old)
{
	const struct comity_route *r = &l->place->route;

	l->is_by_place = true;
	l->is_by_old_place = is_old;
	begin_dial(l, r->host, r->port, r->is_direct_tls);
}

static void dial_by_dns(struct fed_link *l, enum s2s_cause cause, const char *why)
{
	if (link_settings(l)->uses_dns)
		begin_dial(l, NULL, 0, false);
	else
		link_fail(l, cause, why);
}

void link_on_found(struct fed_link *l, enum fed_found found, const char *why)
{
	if (l->fed->is_stopping)
		link_fail(l, S2S_CLOSED_BY_US, "this server is being stopped");
	else if (found == FED_FOUND)
		dial_place(l, false);
	else
		dial_by_dns(l, found == FED_UNKNOWN ? S2S_NOT_FOUND : S2S_DIRECTORY, why);
}

/* A reload may have changed its certificate. */
static void renew_host(struct fed_link *l)
{
	struct stream_host *host = l->fed->shared.find_host(link_worker(l), l->local);

	if (host == NULL)
		return;
	stream_host_unref(l->host);
	l->host = host;
}

void link_open(struct fed_link *l)
{
	const struct fed_settings *s = link_settings(l);
	const struct fed_route *route = fed_find_route(s, l->remote);

	renew_host(l);
	if (l->fed->is_stopping) {
		link_fail(l, S2S_CLOSED_BY_US, "this server is being stopped");
		return;
	}
	if (fed_find_policy(s, l->remote)->is_refused) {
		link_fail(l, S2S_POLICY, "this server is configured not to talk to that domain");
		return;
	}
	l->state = LINK_DIALING;
	l->is_by_place = l->is_by_old_place = false;
	dial_free(l->dial);
	l->dial = NULL;
	if (route != NULL && route->host != NULL)
		begin_dial(l, route->host, route->port, route->is_direct_tls);
	else if (!directory_applies(l))
		dial_by_dns(l, S2S_NOT_FOUND, "this server has neither a route to that domain nor DNS to find it");
	else if (directory_place(l, worker_now(link_worker(l))) != NULL && !l->place->is_doubtful)
		dial_place(l, true);
	else
		directory_ask(l);
}

void link_open_if_idle(struct fed_link *l)
{
	if (l->state == LINK_IDLE)
		link_open(l);
}

void link_send(struct fed_link *l, struct comity_rq *rq)
{
	if (link_can_write(l)) {
		link_flush(l);
		if (list_empty(&l->queue) && link_write(l, rq)) {
			link_note_use(l);
			return;
		}
	} else if (fed_find_policy(link_settings(l), l->remote)->is_refused) {
		link_bounce(l, rq, COMITY_NOT_ALLOWED, "this server is configured not to talk to that domain");
		return;
	} else if (l->state == LINK_WAITING && worker_now(link_worker(l)) >= l->retry_at) {
		l->state = LINK_IDLE;
	} else if (l->state == LINK_WAITING && !is_passing(l->cause)) {
		link_bounce(l, rq, s2s_cause_cond(l->cause), l->why);
		return;
	}
	link_enqueue(l, rq);
	link_open_if_idle(l);
	if (l->state == LINK_NEGOTIATING && l->out != NULL)
		s2s_prove(l->out);
	link_schedule(l);
}

/* ---- ends ---- */

void link_retry(struct fed_link *l)
{
	l->backoff_ms = 0;
	if (l->place != NULL)
		l->place->is_doubtful = true;
	if (l->state == LINK_WAITING)
		l->state = LINK_IDLE;
	if (l->state == LINK_IDLE)
		l->wants_back = true;
	link_open_if_idle(l);
	link_schedule(l);
}

void link_end(struct fed_link *l, enum s2s_cause cause, const char *text)
{
	if (l->out != NULL) {
		link_keep_managed(l, l->out);
		l->out->owner = NULL;
		s2s_close(l->out);
		l->out = NULL;
	}
	s2s_unref(l->bidi);
	l->bidi = NULL;
	link_fail(l, cause, text);
}

void fed_probe(struct federation *f, const char *local, const char *remote, void (*note)(void *arg, const char *line),
               void (*done)(void *arg, const struct fed_link *l), void *arg)
{
	struct stream_host *host = f->shared.find_host(f->router->worker, local);
	struct fed_link *l;

	if (host == NULL) {
		done(arg, NULL);
		return;
	}
	l = link_new(f, host, remote);
	l->is_probe = true;
	l->note = note;
	l->done = done;
	l->arg = arg;
	list_append(&f->probes, &l->probe);
	dns_flush(f->dns, remote);
	link_open(l);
}
