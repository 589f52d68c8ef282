/* SPDX-License-Identifier: MIT */
/* The workers as a whole: start, calls into them, stop. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "comityd/daemon.h"
#include "router/account.h"

/* Longest waits of a stop: in all (the promise is 5 s, and the store has to finish); for clients, and then for other
 * servers, to take their last words; for servers that are just being reached; for what came from others to be safe, so
 * that they need not send it again. */
#define STOP_MS 4000
#define LAST_WORDS_MS 2000
#define REACHING_MS 500
#define SAFE_MS 500

/* ---- calls ---- */

/* Shared by who waits and who is waited for; freed by the last of them. */
struct waiter {
	struct mail mail;
	void (*start)(struct worker *w, struct waiter *waiter);
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool is_done;
	_Atomic int refs;
};

static void waiter_unref(struct waiter *waiter)
{
	if (atomic_fetch_sub(&waiter->refs, 1) != 1)
		return;
	pthread_cond_destroy(&waiter->wake);
	pthread_mutex_destroy(&waiter->lock);
	free(waiter);
}

void *waiter_arg(struct waiter *waiter)
{
	return waiter->arg;
}

void waiter_done(struct waiter *waiter)
{
	pthread_mutex_lock(&waiter->lock);
	waiter->is_done = true;
	pthread_cond_signal(&waiter->wake);
	pthread_mutex_unlock(&waiter->lock);
	waiter_unref(waiter);
}

static void run_start(struct worker *w, struct mail *mail)
{
	struct waiter *waiter = LIST_ENTRY(mail, struct waiter, mail);

	waiter->start(w, waiter);
}

bool crew_await(struct daemon *d, struct worker *w, void (*start)(struct worker *w, struct waiter *waiter), void *arg,
                unsigned seconds)
{
	struct waiter *waiter = mem_new(sizeof(*waiter));
	pthread_condattr_t attr;
	struct timespec until;
	bool ok;

	(void)d;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&waiter->wake, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&waiter->lock, NULL);
	waiter->start = start;
	waiter->arg = arg;
	waiter->mail.run = run_start;
	atomic_init(&waiter->refs, 2);
	worker_post(w, &waiter->mail);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&waiter->lock);
	while (!waiter->is_done && pthread_cond_timedwait(&waiter->wake, &waiter->lock, &until) != ETIMEDOUT)
		;
	ok = waiter->is_done;
	pthread_mutex_unlock(&waiter->lock);
	waiter_unref(waiter);
	return ok;
}

/* ---- start ---- */

static unsigned count_workers(const struct server_conf *c)
{
	long n = strcmp(c->workers, "auto") == 0 ? sysconf(_SC_NPROCESSORS_ONLN) : strtol(c->workers, NULL, 10);

	return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

void crew_init(struct daemon *d)
{
	const struct server_conf *c = assemble_server_conf(d->conf);
	struct server *s = &d->server;

	s->env = &d->env;
	s->worker_count = count_workers(c);
	s->workers = mem_array(s->worker_count, sizeof(*s->workers));
	s->peers = peers_new();
	s->tls = tls_shared_new();
	s->started_us = d->env.wall_us(&d->env);
	for (unsigned i = 0; i < s->worker_count; i++) {
		s->workers[i] = mem_new(sizeof(struct worker));
		worker_init(s->workers[i], i, &d->env, s->workers, s->worker_count, (size_t)c->mailbox_limit);
	}
}

int crew_start(struct daemon *d, struct err_text *et)
{
	struct server *s = &d->server;
	int rc = 0;

	s->jobs = jobs_new(&d->env, (unsigned)assemble_server_conf(d->conf)->password_threads);
	for (unsigned i = 0; i < s->worker_count; i++)
		router_new(s, s->workers[i]);
	for (unsigned i = 0; rc == 0 && i < s->worker_count; i++)
		rc = worker_start(s->workers[i], et);
	return rc;
}

/* ---- listening ---- */

static void on_client(struct worker *w, void *arg, int fd, const char *address)
{
	(void)arg;
	router_accept(w, fd, address, false);
}

static void on_tls_client(struct worker *w, void *arg, int fd, const char *address)
{
	(void)arg;
	router_accept(w, fd, address, true);
}

static void on_server(struct worker *w, void *arg, int fd, const char *address)
{
	(void)arg;
	fed_accept(w, fd, address, false);
}

static void on_tls_server(struct worker *w, void *arg, int fd, const char *address)
{
	(void)arg;
	fed_accept(w, fd, address, true);
}

static int listen_on(struct daemon *d, struct listeners *all, const char *address, unsigned *port, listener_cb *cb,
                     struct err_text *et)
{
	for (unsigned i = 0; i < d->server.worker_count; i++) {
		struct listener *l = NULL;
		int rc = listener_open(d->server.workers[i], address, *port, cb, NULL, &l, et);

		if (rc != 0)
			return rc;
		*port = listener_port(l);
		all->items = mem_resize(all->items, (all->count + 1) * sizeof(*all->items));
		all->items[all->count++] = l;
	}
	return 0;
}

/* All ports on one address. */
static int listen_all(struct daemon *d, const char *address, struct err_text *et)
{
	struct {
		struct listeners *all;
		unsigned *port;
		listener_cb *cb;
	} ports[] = {
		{ &d->for_clients, &d->c2s_port, on_client },
		{ &d->for_clients, &d->c2s_tls_port, on_tls_client },
		{ &d->for_servers, &d->s2s_port, on_server },
		{ &d->for_servers, &d->s2s_tls_port, on_tls_server },
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(ports) / sizeof(ports[0]); i++)
		if (*ports[i].port != 0)
			rc = listen_on(d, ports[i].all, address, ports[i].port, ports[i].cb, et);
	return rc;
}

int crew_listen(struct daemon *d, struct err_text *et)
{
	const struct server_conf *c = assemble_server_conf(d->conf);
	unsigned served = 0;

	d->c2s_port = (unsigned)c->c2s_port;
	d->c2s_tls_port = (unsigned)c->c2s_tls_port;
	d->s2s_port = (unsigned)c->s2s_port;
	d->s2s_tls_port = (unsigned)c->s2s_tls_port;
	for (size_t i = 0; i < c->listen.count; i++) {
		int rc = listen_all(d, c->listen.items[i], et);

		/* A machine without IPv6 (or IPv4) serves the other. */
		if (rc == -ERR_UNSUPPORTED && c->listen.count > 1)
			log_info(&d->log, "%s", et->text);
		else if (rc != 0)
			return rc;
		else
			served++;
	}
	if (served == 0 && c->listen.count != 0)
		return -ERR_IO;
	return 0;
}

static void start_listeners(const struct listeners *all)
{
	for (size_t i = 0; i < all->count; i++)
		listener_start(all->items[i]);
}

void crew_accept(struct daemon *d)
{
	start_listeners(&d->for_clients);
	start_listeners(&d->for_servers);
}

static void close_listeners(struct listeners *all)
{
	for (size_t i = 0; i < all->count; i++)
		listener_close(&all->items[i]);
	free(all->items);
	*all = (struct listeners){ 0 };
}

/* ---- configuration ---- */

struct configure {
	struct settings *settings;
	struct err_text *et;
	int rc;
};

static void run_part_hosts(struct worker *w, void *arg)
{
	const struct configure *c = arg;

	router_part_hosts(router_of(w), c->settings);
}

static void run_configure(struct worker *w, void *arg)
{
	struct configure *c = arg;

	c->rc = router_configure(router_of(w), c->settings, c->et);
}

static void run_register(struct worker *w, void *arg)
{
	(void)arg;
	fed_register(router_of(w)->fed);
}

int crew_configure(struct daemon *d, struct settings *settings, struct err_text *et)
{
	struct configure c = { settings, et, 0 };

	/* Links to other servers end with their host, behind what all workers have said on them. */
	for (unsigned i = 0; i < d->server.worker_count; i++)
		crew_call(d, d->server.workers[i], run_part_hosts, &c);
	for (unsigned i = 0; c.rc == 0 && i < d->server.worker_count; i++)
		crew_call(d, d->server.workers[i], run_configure, &c);
	/* Which goes through all workers, so all must be ready. */
	if (c.rc == 0)
		crew_call(d, d->server.workers[0], run_register, NULL);
	return c.rc;
}

/* ---- stop ---- */

static void run_close(struct worker *w, void *arg)
{
	(void)arg;
	router_close_streams(router_of(w));
}

static void run_part(struct worker *w, void *arg)
{
	(void)arg;
	router_part_clients(router_of(w));
}

static void run_hush_fed(struct worker *w, void *arg)
{
	(void)arg;
	fed_hush(router_of(w)->fed);
}

static bool is_reaching(const struct worker *w)
{
	return fed_is_reaching(router_of(w)->fed);
}

static bool has_unsafe(const struct worker *w)
{
	return fed_has_unsafe(router_of(w)->fed);
}

static void run_close_fed(struct worker *w, void *arg)
{
	(void)arg;
	fed_stop(router_of(w)->fed);
}

/* Streams that have ended are none any more, but their last words may still wait. */
static bool is_leaving(const struct worker *w)
{
	LIST_EACH(l, next, &w->conns)
		if (conn_socket_is_leaving(LIST_ENTRY(l, struct conn, all)))
			return true;
	return false;
}

static bool has_clients(const struct worker *w)
{
	return !list_empty(&router_of(w)->streams) || is_leaving(w);
}

static bool has_servers(const struct worker *w)
{
	return !list_empty(&router_of(w)->fed->streams) || is_leaving(w);
}

static void run_break(struct worker *w, void *arg)
{
	(void)arg;
	worker_break_conns(w);
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static void each_worker(struct daemon *d, void (*fn)(struct worker *w, void *arg), void *arg)
{
	for (unsigned i = 0; i < d->server.worker_count; i++)
		if (d->server.workers[i]->loop != NULL)
			crew_call(d, d->server.workers[i], fn, arg);
}

/* The threads are gone: their mail is read here until the store and the jobs have nothing more to say. */
static void drain(struct daemon *d)
{
	struct store_stats stats = { 0 };
	bool any;

	for (int rounds = 0; rounds < 2000; rounds++) {
		/* Asked before the mail is read: an answer posted in between would be missed. */
		if (d->server.store != NULL) {
			store_hurry(d->server.store);
			store_get_stats(d->server.store, &stats);
		}
		any = false;
		for (unsigned i = 0; i < d->server.worker_count; i++) {
			/* One that was on its way to another worker arrives now. */
			worker_break_conns(d->server.workers[i]);
			any |= worker_turn(d->server.workers[i]);
		}
		if (!any && stats.waiting == 0)
			return;
		if (!any)
			sleep_ms(1);
	}
}

struct question {
	bool (*ask)(const struct worker *w);
	bool any;
};

static void run_ask(struct worker *w, void *arg)
{
	struct question *q = arg;

	q->any = q->any || q->ask(w);
}

/* Waits until it is true of no worker, for so long at most, and not beyond the end. */
static void wait_while(struct daemon *d, bool (*ask)(const struct worker *w), uint64_t ms, uint64_t end)
{
	uint64_t now = d->env.mono_ms(&d->env), until = now + ms < end ? now + ms : end;
	struct question q = { ask, true };

	while (q.any && d->env.mono_ms(&d->env) < until) {
		q.any = false;
		each_worker(d, run_ask, &q);
		if (q.any)
			sleep_ms(10);
	}
}

/* Other servers last: they are told that our users have left. Those that are being reached may have to call back. */
static void close_streams(struct daemon *d)
{
	uint64_t end = d->env.mono_ms(&d->env) + STOP_MS;

	each_worker(d, run_close, NULL);
	each_worker(d, run_part, NULL);
	wait_while(d, has_clients, LAST_WORDS_MS, end);
	wait_while(d, is_reaching, REACHING_MS, end);
	close_listeners(&d->for_servers);
	each_worker(d, run_hush_fed, NULL);
	wait_while(d, has_unsafe, SAFE_MS, end);
	each_worker(d, run_close_fed, NULL);
	wait_while(d, has_servers, LAST_WORDS_MS, end);
	each_worker(d, run_break, NULL);
}

void crew_stop(struct daemon *d)
{
	struct server *s = &d->server;
	bool is_running = s->worker_count != 0 && s->workers[0]->loop != NULL;

	close_listeners(&d->for_clients);
	if (is_running)
		close_streams(d);
	close_listeners(&d->for_servers);
	for (unsigned i = 0; i < s->worker_count; i++)
		worker_stop(s->workers[i]);
	jobs_free(s->jobs);
	s->jobs = NULL;
	drain(d);
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i]->router != NULL)
			archive_calls_try(router_of(s->workers[i]));
	drain(d);
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i]->router != NULL)
			router_close_journal(router_of(s->workers[i]));
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i]->router != NULL)
			router_forget_sessions(router_of(s->workers[i]));
	drain(d);
	store_close(&s->store);
	for (unsigned i = 0; i < s->worker_count; i++) {
		if (s->workers[i]->router != NULL)
			router_free(router_of(s->workers[i]));
		worker_deinit(s->workers[i]);
		free(s->workers[i]);
	}
	free(s->workers);
	peers_free(s->peers);
	tls_shared_free(s->tls);
}
