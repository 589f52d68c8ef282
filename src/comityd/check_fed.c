/* SPDX-License-Identifier: MIT */
/* The own hosts seen from outside: DNS, the port, TLS and the certificate. */
#include "comityd/check_fed.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "net/dial.h"
#include "stream/s2s.h"

#define WAIT_S 120

/* One host under the eye of a stranger, on a worker of its own. */
struct check {
	struct mail mail;
	struct worker *worker;
	const struct settings *settings;
	struct stream_host *host;
	struct dns *dns;
	struct dial *dial;
	struct s2s *stream;
	struct s2s_shared shared;
	struct s2s_policy policy;      /* of a stranger that looks but does not insist */
	struct list streams;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool is_done, is_ok, is_elsewhere;
};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

/* On the worker: the verdict. */
static void end(struct check *k, bool ok)
{
	pthread_mutex_lock(&k->lock);
	k->is_done = true;
	k->is_ok = ok;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
}

/* ---- what the stream asks ---- */

static struct check *check_of(const struct s2s *s)
{
	return s->owner;
}

/* Streams hand over a worker, not their owner; this worker has but one check. */
static struct check *check_on(const struct worker *w)
{
	return w->router;
}

static struct stream_host *find_host(struct worker *w, const char *name)
{
	(void)name;
	return stream_host_ref(check_on(w)->host);
}

static const struct s2s_policy *find_policy(struct worker *w, const char *remote)
{
	(void)remote;
	return &check_on(w)->policy;
}

static void on_usable(struct s2s *s)
{
	struct check *k = check_of(s);
	bool ok = s->is_judged && s->cert.fault == CERT_FINE;

	if (ok && k->is_elsewhere)
		say("%s: others can connect and see a valid certificate, but on a machine that is not this one.", k->host->name);
	else if (ok)
		say("%s: others can connect and see a valid certificate.", k->host->name);
	else
		say("%s: others can connect but will not trust it: %s.", k->host->name, s->cert.text);
	s->owner = NULL;
	k->stream = NULL;
	s2s_close(s);
	end(k, ok);
}

static void on_note(struct s2s *s, const char *line)
{
	if (s->owner != NULL)
		say("  %s", line);
}

static void on_closed(struct s2s *s, enum s2s_cause cause, const char *text)
{
	struct check *k = check_of(s);

	(void)cause;
	if (k == NULL)
		return;
	k->stream = NULL;
	say("  %s", text);
	dial_next(k->dial);
}

/* ---- the way there ---- */

static bool is_same_address(const struct sockaddr *a, const char *text)
{
	char own[INET6_ADDRSTRLEN] = "";

	if (a == NULL)
		return false;
	if (a->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)a)->sin_addr, own, sizeof(own));
	else if (a->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, own, sizeof(own));
	return strcmp(own, text) == 0;
}

static bool is_own_address(const char *text)
{
	struct ifaddrs *all = NULL;
	bool found = false;

	if (getifaddrs(&all) != 0)
		return true;
	for (struct ifaddrs *a = all; a != NULL && !found; a = a->ifa_next)
		found = is_same_address(a->ifa_addr, text);
	freeifaddrs(all);
	return found;
}

static void on_connected(void *owner, const struct srv_target *target, int fd, const char *address)
{
	struct check *k = owner;
	struct conn *conn = conn_new(k->worker, fd, &conn_socket_io, NULL, address, k->shared.limits->out_bytes);

	k->is_elsewhere = !is_own_address(address);
	if (k->is_elsewhere)
		say("  %s is no address of this machine (it need not be, behind a router that translates addresses)", address);
	k->stream = s2s_connect(k->worker, &k->shared, conn, &(struct s2s_start){
		.host = k->host, .remote = k->host->name, .is_direct_tls = target->is_direct_tls, .owner = k,
	});
	s2s_begin(k->stream);
}

static void on_failed(void *owner, enum dial_failure failure, const char *text)
{
	struct check *k = owner;

	(void)failure;
	say("%s: others cannot reach it: %s.", k->host->name, text);
	end(k, false);
}

static void on_dial_note(void *owner, const char *line)
{
	(void)owner;
	say("  %s", line);
}

static const struct dial_events events = {
	.on_connected = on_connected,
	.on_failed = on_failed,
	.note = on_dial_note,
};

static void begin(struct worker *w, struct mail *mail)
{
	struct check *k = LIST_ENTRY(mail, struct check, mail);
	struct err_text et = { "" };

	if (dns_new(w, &k->settings->fed.dns, &k->dns, &et) != 0) {
		say("%s", et.text);
		end(k, false);
		return;
	}
	k->dial = dial_start(w, k->dns, &k->settings->fed.dial, &(struct dial_plan){ .domain = k->host->name }, &events, k);
}

/* ---- one host ---- */

/* Waits for is_done, which it takes back; false after WAIT_S. */
static bool await(struct check *k)
{
	struct timespec until;
	bool is_done;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&k->lock);
	while (!k->is_done && pthread_cond_timedwait(&k->wake, &k->lock, &until) == 0)
		;
	is_done = k->is_done;
	k->is_done = false;
	pthread_mutex_unlock(&k->lock);
	return is_done;
}

static void gone(struct worker *w, struct mail *mail)
{
	(void)w;
	end(LIST_ENTRY(mail, struct check, mail), false);
}

/* Connections are gone when the turn is over; the next letter comes after that. */
static void tidy(struct worker *w, struct mail *mail)
{
	struct check *k = LIST_ENTRY(mail, struct check, mail);

	if (k->stream != NULL)
		k->stream->owner = NULL;
	dial_free(k->dial);
	dns_free(k->dns);
	worker_break_conns(w);
	k->mail.run = gone;
	worker_post(w, &k->mail);
}

static bool run(struct check *k)
{
	bool ok;

	k->mail.run = begin;
	worker_post(k->worker, &k->mail);
	if (!await(k))
		say("%s: nothing came of it within %d seconds.", k->host->name, WAIT_S);
	ok = k->is_ok;
	k->mail.run = tidy;
	worker_post(k->worker, &k->mail);
	await(k);
	worker_stop(k->worker);
	while (worker_turn(k->worker))
		;
	return ok;
}

static bool check_host(struct daemon *d, struct settings *settings, struct stream_host *host, struct tls_shared *tls)
{
	static const enum pressure_level calm = PRESSURE_NONE;
	struct worker worker, *peers[] = { &worker };
	struct check k = { .worker = &worker, .settings = settings, .host = host };
	struct err_text et = { "" };
	bool ok;

	k.policy = (struct s2s_policy){ .security = S2S_OPPORTUNISTIC, .trust = settings->fed.policy.trust };
	list_init(&k.streams);
	pthread_mutex_init(&k.lock, NULL);
	pthread_cond_init(&k.wake, NULL);
	k.shared = (struct s2s_shared){
		.limits = &settings->fed.limits, .tls = tls, .streams = &k.streams, .find_host = find_host,
		.policy = find_policy, .usable = on_usable, .note = on_note, .closed = on_closed,
		.pressure = &calm,
	};
	worker_init(&worker, 0, &d->env, peers, 1, 1000);
	worker.router = &k;
	say("%s", host->name);
	ok = worker_start(&worker, &et) == 0 && run(&k);
	if (*et.text != '\0')
		say("%s", et.text);
	worker_deinit(&worker);
	pthread_mutex_destroy(&k.lock);
	pthread_cond_destroy(&k.wake);
	return ok;
}

bool check_federation(struct daemon *d, struct settings *settings)
{
	struct tls_shared *tls = tls_shared_new();
	bool ok = true;

	for (size_t i = 0; i < settings->host_count; i++)
		if (settings->hosts[i].federates)
			ok &= check_host(d, settings, settings->hosts[i].stream, tls);
	tls_shared_free(tls);
	return ok;
}
