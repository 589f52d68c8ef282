/* SPDX-License-Identifier: MIT */
/* Reaching another server. */
#include "net/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/watch.h"

#define TARGETS_MAX 16
#define ADDRESSES_MAX 16
#define DEFAULT_PORT 5269
/* RFC 8305 section 8: between the starts of two attempts, and for AAAA when A is there first. */
#define STAGGER_MS 250
#define RESOLUTION_DELAY_MS 50
#define LINE_MAX_BYTES 512

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} sock;
	socklen_t len;
};

/* One connection in the making. */
struct attempt {
	struct list link;
	struct dial *dial;
	struct watch *watch;
	struct timer timer;
	int fd;
	char text[INET6_ADDRSTRLEN];
};

struct dial {
	struct worker *worker;
	struct dns *dns;
	const struct dial_settings *settings;
	const struct dial_events *events;
	void *owner;
	char *domain, *ascii;          /* ascii NULL: the domain cannot be a name */
	struct srv_target targets[TARGETS_MAX];
	size_t target_count, target;   /* target: the one that is tried */
	struct dns_query *srv[2];      /* with STARTTLS, with direct TLS */
	enum dns_result srv_result[2];
	bool is_refused;               /* "." was among the answers */
	struct dns_query *ask[2];      /* AAAA, A */
	enum dns_result ask_result[2];
	struct address found[2][ADDRESSES_MAX];
	size_t found_count[2], used[2];
	bool v4_next;
	struct list attempts;
	struct timer step;             /* what comes next without anybody else */
	struct timer total;
	enum dial_failure failure;
	char why[LINE_MAX_BYTES];
	bool has_failure, reached_any, is_resting;
};

static void note(const struct dial *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void note(const struct dial *d, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	d->events->note(d->owner, line);
}

/* What is remembered is what came nearest to success: later kinds of failure say more. */
static void remember(struct dial *d, enum dial_failure failure, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void remember(struct dial *d, enum dial_failure failure, const char *fmt, ...)
{
	va_list args;

	if (d->has_failure && d->failure > failure)
		return;
	d->has_failure = true;
	d->failure = failure;
	va_start(args, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, args);
	va_end(args);
}

static void drop_attempt(struct attempt *a)
{
	list_remove(&a->link);
	worker_timer_stop(a->dial->worker, &a->timer);
	watch_free(a->watch);
	if (a->fd >= 0)
		close(a->fd);
	free(a);
}

static void stop_all(struct dial *d)
{
	for (int i = 0; i < 2; i++) {
		dns_cancel(d->srv[i]);
		dns_cancel(d->ask[i]);
		d->srv[i] = d->ask[i] = NULL;
	}
	LIST_EACH(l, next, &d->attempts)
		drop_attempt(LIST_ENTRY(l, struct attempt, link));
	worker_timer_stop(d->worker, &d->step);
}

void dial_free(struct dial *d)
{
	if (d == NULL)
		return;
	stop_all(d);
	worker_timer_stop(d->worker, &d->total);
	free(d->domain);
	free(d->ascii);
	free(d);
}

bool dial_reached_any(const struct dial *d)
{
	return d->reached_any;
}

static void fail(struct dial *d)
{
	stop_all(d);
	worker_timer_stop(d->worker, &d->total);
	if (!d->has_failure)
		remember(d, DIAL_UNREACHABLE, "%s was not reached", d->domain);
	d->events->on_failed(d->owner, d->failure, d->why);
}

/* ---- connecting ---- */

static void go_on(struct dial *d);

static const struct srv_target *target_of(const struct dial *d)
{
	return &d->targets[d->target];
}

static void connected(struct attempt *a)
{
	struct dial *d = a->dial;
	char text[INET6_ADDRSTRLEN];
	int fd = a->fd;

	memcpy(text, a->text, sizeof(text));
	a->fd = -1;
	drop_attempt(a);
	/* The others would be in the way; those not begun yet are kept for dial_next. */
	LIST_EACH(l, next, &d->attempts)
		drop_attempt(LIST_ENTRY(l, struct attempt, link));
	worker_timer_stop(d->worker, &d->step);
	d->reached_any = true;
	d->is_resting = true;
	note(d, "connected to %s port %u", text, target_of(d)->port);
	d->events->on_connected(d->owner, target_of(d), fd, text);
}

static void attempt_failed(struct attempt *a, int error)
{
	struct dial *d = a->dial;
	const struct srv_target *t = target_of(d);

	note(d, "%s port %u: %s", a->text, t->port, strerror(error));
	if (error == ECONNREFUSED)
		remember(d, DIAL_REFUSED, "%s (%s) refused the connection to port %u", t->host, a->text, t->port);
	else if (error == ETIMEDOUT)
		remember(d, DIAL_TIMEOUT, "%s (%s) does not answer on port %u", t->host, a->text, t->port);
	else
		remember(d, DIAL_UNREACHABLE, "%s (%s) cannot be reached: %s", t->host, a->text, strerror(error));
	drop_attempt(a);
	go_on(d);
}

static void on_writable(void *arg, bool readable, bool writable)
{
	struct attempt *a = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)readable, (void)writable;
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0)
		connected(a);
	else
		attempt_failed(a, error);
}

static void on_attempt_timer(struct worker *w, struct timer *t)
{
	(void)w;
	attempt_failed(LIST_ENTRY(t, struct attempt, timer), ETIMEDOUT);
}

static void set_port(struct address *a, uint16_t port)
{
	if (a->sock.any.sa_family == AF_INET)
		a->sock.v4.sin_port = htons(port);
	else
		a->sock.v6.sin6_port = htons(port);
}

static void begin_attempt(struct dial *d, struct address *address)
{
	struct attempt *a = mem_new(sizeof(*a));
	const void *bytes = address->sock.any.sa_family == AF_INET ? (void *)&address->sock.v4.sin_addr :
	                                                             (void *)&address->sock.v6.sin6_addr;
	int on = 1;

	a->dial = d;
	a->timer.fire = on_attempt_timer;
	list_init(&a->link);
	list_append(&d->attempts, &a->link);
	inet_ntop(address->sock.any.sa_family, bytes, a->text, sizeof(a->text));
	set_port(address, target_of(d)->port);
	note(d, "connecting to %s port %u%s", a->text, target_of(d)->port, target_of(d)->is_direct_tls ? ", direct TLS" : "");
	a->fd = socket(address->sock.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd >= 0)
		setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (a->fd < 0 || (connect(a->fd, &address->sock.any, address->len) != 0 && errno != EINPROGRESS)) {
		attempt_failed(a, errno);
		return;
	}
	a->watch = watch_new(d->worker, a->fd, on_writable, a);
	if (a->watch == NULL) {
		attempt_failed(a, EMFILE);
		return;
	}
	watch_set(a->watch, false, true);
	worker_timer_start(d->worker, &a->timer, d->settings->connect_ms);
	worker_timer_start(d->worker, &d->step, STAGGER_MS);
}

/* ---- addresses ---- */

static bool has_unused(const struct dial *d, int family)
{
	return d->used[family] < d->found_count[family];
}

/* IPv6 first, then in turns. */
static struct address *take_address(struct dial *d)
{
	int family = d->v4_next ? 1 : 0;

	if (!has_unused(d, family))
		family = !family;
	if (!has_unused(d, family))
		return NULL;
	d->v4_next = family == 0;
	return &d->found[family][d->used[family]++];
}

static void add_address(struct dial *d, int family, const unsigned char *bytes)
{
	struct address *a = &d->found[family][d->found_count[family]];

	if (d->found_count[family] == ADDRESSES_MAX)
		return;
	*a = (struct address){ 0 };
	if (family == 1) {
		a->sock.v4.sin_family = AF_INET;
		memcpy(&a->sock.v4.sin_addr, bytes, 4);
		a->len = sizeof(a->sock.v4);
	} else {
		a->sock.v6.sin6_family = AF_INET6;
		memcpy(&a->sock.v6.sin6_addr, bytes, 16);
		a->len = sizeof(a->sock.v6);
	}
	d->found_count[family]++;
}

static void take_addresses(struct dial *d, int family, const struct dns_answer *answer)
{
	d->ask[family] = NULL;
	d->ask_result[family] = answer->result;
	for (size_t i = 0; i < answer->count; i++)
		add_address(d, family, answer->records[i].address);
	note(d, "%s of %s: %s (%zu)", family == 0 ? "AAAA" : "A", target_of(d)->host, dns_result_text(answer->result),
	     answer->count);
}

static void on_v6(void *arg, const struct dns_answer *answer)
{
	struct dial *d = arg;

	take_addresses(d, 0, answer);
	go_on(d);
}

static void on_v4(void *arg, const struct dns_answer *answer)
{
	struct dial *d = arg;

	take_addresses(d, 1, answer);
	/* IPv6 gets a moment more. */
	if (d->ask[0] != NULL && list_empty(&d->attempts))
		worker_timer_start(d->worker, &d->step, RESOLUTION_DELAY_MS);
	else
		go_on(d);
}

static void begin_target(struct dial *d)
{
	const struct srv_target *t = target_of(d);
	unsigned char bytes[sizeof(struct in6_addr)];

	for (int i = 0; i < 2; i++)
		d->found_count[i] = d->used[i] = 0;
	d->v4_next = false;
	if (inet_pton(AF_INET, t->host, bytes) == 1)
		add_address(d, 1, bytes);
	else if (inet_pton(AF_INET6, t->host, bytes) == 1)
		add_address(d, 0, bytes);
	if (d->found_count[0] + d->found_count[1] != 0) {
		go_on(d);
		return;
	}
	d->ask[0] = dns_ask(d->dns, DNS_AAAA, t->host, on_v6, d);
	d->ask[1] = dns_ask(d->dns, DNS_A, t->host, on_v4, d);
}

static void note_no_address(struct dial *d)
{
	const struct srv_target *t = target_of(d);
	bool is_domain = strcasecmp(t->host, d->ascii) == 0;

	if (d->found_count[0] + d->found_count[1] != 0)
		return;
	if (d->ask_result[0] == DNS_TIMEOUT || d->ask_result[1] == DNS_TIMEOUT)
		remember(d, DIAL_DNS_TIMEOUT, "the name servers did not answer in time when asked for the address of %s", t->host);
	else if (d->ask_result[0] == DNS_FAILED || d->ask_result[1] == DNS_FAILED)
		remember(d, DIAL_DNS_FAILED, "the name servers could not tell the address of %s", t->host);
	else if (is_domain && d->ask_result[1] == DNS_NO_NAME)
		remember(d, DIAL_NO_NAME, "the domain %s does not exist in DNS", d->domain);
	else if (is_domain)
		remember(d, DIAL_NO_NAME, "DNS knows neither an XMPP service nor an address of %s", d->domain);
	else
		remember(d, DIAL_NO_ADDRESS, "%s, which DNS names as the server of %s, has no address", t->host, d->domain);
}

/* Does the next thing that can be done now. */
static void go_on(struct dial *d)
{
	struct address *next;

	if (d->is_resting || timer_is_running(&d->step))
		return;
	next = take_address(d);
	if (next != NULL) {
		begin_attempt(d, next);
		return;
	}
	if (d->ask[0] != NULL || d->ask[1] != NULL || !list_empty(&d->attempts))
		return;
	note_no_address(d);
	if (++d->target >= d->target_count) {
		fail(d);
		return;
	}
	begin_target(d);
}

/* ---- services ---- */

static void use_domain_itself(struct dial *d)
{
	struct srv_target *t = &d->targets[0];

	snprintf(t->host, sizeof(t->host), "%s", d->ascii);
	t->port = DEFAULT_PORT;
	t->is_direct_tls = false;
	d->target_count = 1;
}

static void begin_targets(struct dial *d)
{
	bool found = d->srv_result[0] == DNS_FOUND || d->srv_result[1] == DNS_FOUND;
	bool failed = d->srv_result[0] == DNS_TIMEOUT || d->srv_result[0] == DNS_FAILED;

	if (d->target_count == 0 && d->is_refused) {
		remember(d, DIAL_NO_SERVICE, "%s says in DNS that it has no XMPP service for other servers", d->domain);
		fail(d);
		return;
	}
	if (d->target_count == 0 && !found && failed) {
		bool is_late = d->srv_result[0] == DNS_TIMEOUT;

		remember(d, is_late ? DIAL_DNS_TIMEOUT : DIAL_DNS_FAILED,
		         is_late ? "the name servers did not answer in time when asked for the XMPP service of %s" :
		                   "the name servers could not tell the XMPP service of %s", d->domain);
		fail(d);
		return;
	}
	if (d->target_count == 0)
		use_domain_itself(d);
	srv_order(d->targets, d->target_count, d->worker->env);
	for (size_t i = 0; i < d->target_count; i++)
		note(d, "server %zu: %s port %u%s, priority %u, weight %u", i + 1, d->targets[i].host, d->targets[i].port,
		     d->targets[i].is_direct_tls ? ", direct TLS" : "", d->targets[i].priority, d->targets[i].weight);
	begin_target(d);
}

static void take_services(struct dial *d, int kind, const struct dns_answer *answer)
{
	static const char *const names[] = { "_xmpp-server._tcp", "_xmpps-server._tcp" };

	d->srv[kind] = NULL;
	d->srv_result[kind] = answer->result;
	d->target_count = srv_add(d->targets, d->target_count, TARGETS_MAX, answer, kind == 1, &d->is_refused);
	note(d, "SRV %s.%s: %s (%zu)", names[kind], d->ascii, dns_result_text(answer->result), answer->count);
	if (d->srv[0] == NULL && d->srv[1] == NULL)
		begin_targets(d);
}

static void on_srv(void *arg, const struct dns_answer *answer)
{
	take_services(arg, 0, answer);
}

static void on_srv_tls(void *arg, const struct dns_answer *answer)
{
	take_services(arg, 1, answer);
}

static bool is_literal(const char *name)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static void begin(struct dial *d)
{
	char name[2 * DNS_NAME_MAX];

	if (d->target_count != 0) {
		begin_target(d);
	} else if (d->ascii == NULL || strlen(d->ascii) >= DNS_NAME_MAX - 24) {
		remember(d, DIAL_NO_NAME, "%s cannot be a domain name", d->domain);
		fail(d);
	} else if (is_literal(d->ascii)) {
		use_domain_itself(d);
		begin_target(d);
	} else if (d->dns == NULL) {
		remember(d, DIAL_DNS_FAILED, "there is no resolver");
		fail(d);
	} else {
		snprintf(name, sizeof(name), "_xmpp-server._tcp.%s", d->ascii);
		d->srv[0] = dns_ask(d->dns, DNS_SRV, name, on_srv, d);
		snprintf(name, sizeof(name), "_xmpps-server._tcp.%s", d->ascii);
		d->srv[1] = dns_ask(d->dns, DNS_SRV, name, on_srv_tls, d);
	}
}

static void on_step(struct worker *w, struct timer *t)
{
	(void)w;
	go_on(LIST_ENTRY(t, struct dial, step));
}

static void on_begin(struct worker *w, struct timer *t)
{
	(void)w;
	t->fire = on_step;
	begin(LIST_ENTRY(t, struct dial, step));
}

static void on_total(struct worker *w, struct timer *t)
{
	struct dial *d = LIST_ENTRY(t, struct dial, total);

	(void)w;
	remember(d, DIAL_TIMEOUT, "no server of %s was reached within %llu s", d->domain,
	         (unsigned long long)(d->settings->total_ms / 1000));
	fail(d);
}

struct dial *dial_start(struct worker *w, struct dns *dns, const struct dial_settings *settings,
                        const struct dial_plan *plan, const struct dial_events *events, void *owner)
{
	struct dial *d = mem_new(sizeof(*d));

	d->worker = w;
	d->dns = dns;
	d->settings = settings;
	d->events = events;
	d->owner = owner;
	d->domain = mem_strdup(plan->domain);
	d->ascii = dns_to_ascii(plan->domain);
	d->step.fire = on_begin;
	d->total.fire = on_total;
	list_init(&d->attempts);
	if (plan->host != NULL) {
		char *host = dns_to_ascii(plan->host);

		snprintf(d->targets[0].host, sizeof(d->targets[0].host), "%s", host != NULL ? host : plan->host);
		free(host);
		d->targets[0].port = plan->port;
		d->targets[0].is_direct_tls = plan->is_direct_tls;
		d->target_count = 1;
	}
	worker_timer_start(w, &d->total, settings->total_ms);
	worker_timer_start(w, &d->step, 0);
	return d;
}

void dial_next(struct dial *d)
{
	d->is_resting = false;
	worker_timer_start(d->worker, &d->step, 0);
}
