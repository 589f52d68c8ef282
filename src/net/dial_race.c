/* SPDX-License-Identifier: MIT */
/* The addresses of a server, tried side by side (RFC 8305). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "net/dial_state.h"

/* RFC 8305 section 8: for AAAA, when A is there first. */
#define RESOLUTION_DELAY_MS 50

/* ---- connecting ---- */

static void drop_attempt(struct attempt *a)
{
	const struct dial *d = a->dial;

	list_remove(&a->link);
	worker_timer_stop(d->worker, &a->timer);
	if (a->making != NULL)
		d->settings.io->stop(d->settings.io, a->making);
	free(a);
}

void dial_drop_attempts(struct dial *d)
{
	LIST_EACH(l, next, &d->attempts)
		drop_attempt(LIST_ENTRY(l, struct attempt, link));
}

static const struct srv_target *target_of(const struct dial *d)
{
	return &d->targets[d->target];
}

/* Puts the address of an attempt that was cut short back in front: its place, or that of another which was
 * taken, is free. */
static void give_back(struct dial *d, const struct attempt *a)
{
	int family = a->address.sock.any.sa_family == AF_INET ? 1 : 0;

	d->found[family][--d->used[family]] = a->address;
}

static void connected(struct attempt *a, int fd)
{
	struct dial *d = a->dial;
	char text[INET6_ADDRSTRLEN];

	dial_note(d, "connected to %s port %u after %llu ms", a->text, target_of(d)->port, dial_ms_since(d, a->since));
	memcpy(text, a->text, sizeof(text));
	d->is_reached_authentic = d->is_authentic[a->address.sock.any.sa_family == AF_INET ? 1 : 0];
	drop_attempt(a);
	while (!list_empty(&d->attempts)) {
		struct attempt *other = LIST_ENTRY(d->attempts.prev, struct attempt, link);

		give_back(d, other);
		drop_attempt(other);
	}
	worker_timer_stop(d->worker, &d->step);
	d->reached_any = true;
	d->is_resting = true;
	dial_tlsa_connected(d, fd, text);
}

static void remember_timeout(struct dial *d, const struct attempt *a)
{
	const struct srv_target *t = target_of(d);

	dial_remember(d, DIAL_TIMEOUT, "%s (%s) does not answer on port %u", t->host, a->text, t->port);
}

static void attempt_failed(struct attempt *a, int error)
{
	struct dial *d = a->dial;
	const struct srv_target *t = target_of(d);

	dial_note(d, "%s port %u: %s, after %llu ms", a->text, t->port, strerror(error), dial_ms_since(d, a->since));
	if (error == ECONNREFUSED)
		dial_remember(d, DIAL_REFUSED, "%s (%s) refused the connection to port %u", t->host, a->text, t->port);
	else if (error == ETIMEDOUT)
		remember_timeout(d, a);
	else
		dial_remember(d, DIAL_UNREACHABLE, "%s (%s) cannot be reached: %s", t->host, a->text, strerror(error));
	/* The next was to wait for this one only. */
	if (d->attempts.prev == &a->link)
		worker_timer_stop(d->worker, &d->step);
	drop_attempt(a);
	dial_go_on(d);
}

static void on_made(void *arg, int fd, int error)
{
	struct attempt *a = arg;

	a->making = NULL;
	if (fd >= 0)
		connected(a, fd);
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

static struct attempt *attempt_new(struct dial *d, const struct address *address)
{
	struct attempt *a = mem_new(sizeof(*a));
	const void *bytes = address->sock.any.sa_family == AF_INET ? (const void *)&address->sock.v4.sin_addr :
	                                                             (const void *)&address->sock.v6.sin6_addr;

	a->dial = d;
	a->address = *address;
	a->timer.fire = on_attempt_timer;
	a->since = worker_now(d->worker);
	list_init(&a->link);
	list_append(&d->attempts, &a->link);
	inet_ntop(address->sock.any.sa_family, bytes, a->text, sizeof(a->text));
	set_port(&a->address, target_of(d)->port);
	return a;
}

static void begin_attempt(struct dial *d, const struct address *address)
{
	const struct dial_settings *s = &d->settings;
	struct attempt *a = attempt_new(d, address);

	d->attempt_count++;
	dial_note(d, "connecting to %s port %u%s", a->text, target_of(d)->port,
	          target_of(d)->is_direct_tls ? ", direct TLS" : "");
	a->making = s->io->begin(s->io, d->worker, &a->address.sock.any, a->address.len, on_made, a);
	if (a->making == NULL) {
		attempt_failed(a, errno);
		return;
	}
	worker_timer_start(d->worker, &a->timer, s->connect_ms);
	worker_timer_start(d->worker, &d->step, s->stagger_ms);
}

/* ---- addresses ---- */

static bool has_unused(const struct dial *d, int family)
{
	return d->used[family] < d->found_count[family];
}

/* IPv6 first, then in turns. */
static const struct address *take_address(struct dial *d)
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
	d->is_authentic[family] = answer->is_authentic;
	for (size_t i = 0; i < answer->count; i++)
		add_address(d, family, answer->records[i].address);
	dial_note_answer(d, family == 0 ? "AAAA" : "A", target_of(d)->host, answer);
}

static void on_v6(void *arg, const struct dns_answer *answer)
{
	struct dial *d = arg;

	take_addresses(d, 0, answer);
	/* What the timer may wait for is here. */
	if (list_empty(&d->attempts))
		worker_timer_stop(d->worker, &d->step);
	dial_go_on(d);
}

static void on_v4(void *arg, const struct dns_answer *answer)
{
	struct dial *d = arg;

	take_addresses(d, 1, answer);
	/* IPv6 gets a moment more. */
	if (d->ask[0] != NULL && list_empty(&d->attempts) && !d->is_resting)
		worker_timer_start(d->worker, &d->step, RESOLUTION_DELAY_MS);
	else
		dial_go_on(d);
}

void dial_begin_target(struct dial *d)
{
	const struct srv_target *t = target_of(d);
	unsigned char bytes[sizeof(struct in6_addr)];

	for (int i = 0; i < 2; i++) {
		d->found_count[i] = d->used[i] = 0;
		d->ask_result[i] = DNS_FAILED;
		d->is_authentic[i] = false;
	}
	d->v4_next = false;
	dial_tlsa_begin(d);
	if (inet_pton(AF_INET, t->host, bytes) == 1) {
		add_address(d, 1, bytes);
	} else if (inet_pton(AF_INET6, t->host, bytes) == 1) {
		add_address(d, 0, bytes);
	} else if (d->dns != NULL) {
		d->asked_at = worker_now(d->worker);
		d->ask[0] = dns_ask(d->dns, DNS_AAAA, t->host, on_v6, d);
		d->ask[1] = dns_ask(d->dns, DNS_A, t->host, on_v4, d);
		return;
	}
	dial_go_on(d);
}

static void remember_slow_address(struct dial *d)
{
	dial_remember(d, DIAL_DNS_TIMEOUT, "the name servers did not answer in time when asked for the address of %s",
	         target_of(d)->host);
}

static void note_no_address(struct dial *d)
{
	const struct srv_target *t = target_of(d);
	bool is_domain = d->ascii != NULL && strcasecmp(t->host, d->ascii) == 0;

	if (d->found_count[0] + d->found_count[1] != 0)
		return;
	if (d->ask_result[0] == DNS_TIMEOUT || d->ask_result[1] == DNS_TIMEOUT)
		remember_slow_address(d);
	else if (d->ask_result[0] == DNS_FAILED || d->ask_result[1] == DNS_FAILED)
		dial_remember(d, DIAL_DNS_FAILED, "the name servers gave no usable answer when asked for the address of %s",
		              t->host);
	else if (d->is_fixed)
		dial_remember(d, DIAL_NO_ADDRESS, "%s, the host that is configured for %s, has no address", t->host,
		              d->domain);
	else if (is_domain && d->ask_result[1] == DNS_NO_NAME)
		dial_remember(d, DIAL_NO_NAME, "the domain %s does not exist in DNS", d->domain);
	else if (is_domain)
		dial_remember(d, DIAL_NO_NAME, "DNS knows neither an XMPP service nor an address of %s", d->domain);
	else
		dial_remember(d, DIAL_NO_ADDRESS, "%s, which DNS names as the server of %s, has no address", t->host,
		              d->domain);
}

void dial_go_on(struct dial *d)
{
	const struct address *next;

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
		dial_fail(d);
		return;
	}
	dial_begin_target(d);
}

bool dial_remember_late(struct dial *d)
{
	if (!list_empty(&d->attempts))
		remember_timeout(d, LIST_ENTRY(d->attempts.next, struct attempt, link));
	else if (d->ask[0] != NULL || d->ask[1] != NULL)
		remember_slow_address(d);
	else
		return false;
	return true;
}
