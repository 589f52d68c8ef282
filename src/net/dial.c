/* SPDX-License-Identifier: MIT */
/* Reaching another server: what it is, and what is said when it fails. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/dial_state.h"

#define DEFAULT_PORT 5269
/* RFC 8305 section 8: between the starts of two attempts. */
#define STAGGER_MS 250
/* How long services of one kind wait for those of the other. */
#define OTHER_KIND_MS 1000
/* RFC 1035 2.3.4, less what stands in front of a domain to name its service. */
#define DOMAIN_MAX (253 - sizeof("_xmpps-server._tcp"))

void dial_note(const struct dial *d, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	d->events->note(d->owner, line);
}

unsigned long long dial_ms_since(const struct dial *d, uint64_t since)
{
	return worker_now(d->worker) - since;
}

/* What came nearer to success says more: with IPv6 often nothing is reached at all. */
static int rank(enum dial_failure failure)
{
	static const int ranks[] = {
		[DIAL_NO_NAME] = 0, [DIAL_NO_ADDRESS] = 1, [DIAL_NO_SERVICE] = 1, [DIAL_DNS_FAILED] = 2,
		[DIAL_DNS_TIMEOUT] = 2, [DIAL_UNREACHABLE] = 3, [DIAL_TIMEOUT] = 4, [DIAL_REFUSED] = 5,
	};

	return ranks[failure];
}

void dial_remember(struct dial *d, enum dial_failure failure, const char *fmt, ...)
{
	va_list args;

	if (d->has_failure && rank(d->failure) > rank(failure))
		return;
	d->has_failure = true;
	d->failure = failure;
	va_start(args, fmt);
	vsnprintf(d->why, sizeof(d->why), fmt, args);
	va_end(args);
}

void dial_note_answer(const struct dial *d, const char *kind, const char *name, const struct dns_answer *answer)
{
	if (answer->result == DNS_FOUND)
		dial_note(d, "looked up %s of %s: %zu found, after %llu ms", kind, name, answer->count,
		          dial_ms_since(d, d->asked_at));
	else
		dial_note(d, "looked up %s of %s: %s, after %llu ms", kind, name, dns_result_text(answer->result),
		          dial_ms_since(d, d->asked_at));
}

/* ---- life ---- */

static void stop_all(struct dial *d)
{
	for (int i = 0; i < 2; i++) {
		dns_cancel(d->srv[i]);
		dns_cancel(d->ask[i]);
		d->srv[i] = d->ask[i] = NULL;
	}
	dial_tlsa_stop(d);
	dial_drop_attempts(d);
	worker_timer_stop(d->worker, &d->step);
}

void dial_free(struct dial *d)
{
	if (d == NULL)
		return;
	stop_all(d);
	worker_timer_stop(d->worker, &d->total);
	free(d->tlsa);
	free(d->domain);
	free(d->ascii);
	free(d);
}

bool dial_reached_any(const struct dial *d)
{
	return d->reached_any;
}

void dial_fail(struct dial *d)
{
	size_t len;

	stop_all(d);
	worker_timer_stop(d->worker, &d->total);
	if (!d->has_failure)
		dial_remember(d, DIAL_UNREACHABLE, "%s has no other server or address", d->domain);
	len = strlen(d->why);
	if (d->attempt_count > 1)
		snprintf(d->why + len, sizeof(d->why) - len, " (%u addresses were tried)", d->attempt_count);
	d->events->on_failed(d->owner, d->failure, d->why);
}

/* ---- services ---- */

static void use_domain_itself(struct dial *d)
{
	struct srv_target *t = &d->targets[0];

	snprintf(t->host, sizeof(t->host), "%s", d->ascii);
	t->port = DEFAULT_PORT;
	t->is_direct_tls = false;
	t->is_authentic = d->is_srv_authentic;
	d->target_count = 1;
}

/* Only the first kind decides whether there is a service at all (RFC 6120 3.2.1, XEP-0368 3). */
static bool is_hopeless(struct dial *d)
{
	if (d->target_count != 0)
		return false;
	if (d->is_absent[0])
		dial_remember(d, DIAL_NO_SERVICE, "%s says in DNS that it has no XMPP service for other servers",
		              d->domain);
	else if (d->srv_result[0] == DNS_TIMEOUT)
		dial_remember(d, DIAL_DNS_TIMEOUT,
		              "the name servers did not answer in time when asked for the XMPP service of %s", d->domain);
	else if (d->srv_result[0] == DNS_FAILED)
		dial_remember(d, DIAL_DNS_FAILED,
		              "the name servers gave no usable answer when asked for the XMPP service of %s", d->domain);
	return d->has_failure;
}

static void begin_targets(struct dial *d)
{
	d->is_planned = true;
	if (is_hopeless(d)) {
		dial_fail(d);
		return;
	}
	if (d->target_count == 0)
		use_domain_itself(d);
	srv_order(d->targets, d->target_count, d->worker->env);
	for (size_t i = 0; i < d->target_count; i++)
		dial_note(d, "server %zu: %s port %u%s, priority %u, weight %u", i + 1, d->targets[i].host,
		          d->targets[i].port, d->targets[i].is_direct_tls ? ", direct TLS" : "", d->targets[i].priority,
		          d->targets[i].weight);
	dial_begin_target(d);
}

static void take_services(struct dial *d, int kind, const struct dns_answer *answer)
{
	static const char *const names[] = { "SRV _xmpp-server._tcp", "SRV _xmpps-server._tcp" };
	bool is_failure = answer->result == DNS_TIMEOUT || answer->result == DNS_FAILED;

	d->srv[kind] = NULL;
	d->srv_result[kind] = answer->result;
	if (kind == 0)
		d->is_srv_authentic = answer->is_authentic;
	d->target_count = srv_add(d->targets, d->target_count, TARGETS_MAX, answer, kind == 1, &d->is_absent[kind]);
	dial_note_answer(d, names[kind], d->ascii, answer);
	if (d->srv[0] == NULL && d->srv[1] == NULL) {
		worker_timer_stop(d->worker, &d->step);
		begin_targets(d);
	} else if (d->target_count != 0 || (kind == 0 && !is_failure)) {
		/* Some name servers never answer for what they do not know. */
		worker_timer_start(d->worker, &d->step, OTHER_KIND_MS);
	}
}

static void on_srv(void *arg, const struct dns_answer *answer)
{
	take_services(arg, 0, answer);
}

static void on_srv_tls(void *arg, const struct dns_answer *answer)
{
	take_services(arg, 1, answer);
}

static void begin_services(struct dial *d)
{
	char name[2 * DNS_NAME_MAX];

	d->asked_at = worker_now(d->worker);
	snprintf(name, sizeof(name), "_xmpp-server._tcp.%s", d->ascii);
	d->srv[0] = dns_ask(d->dns, DNS_SRV, name, on_srv, d);
	snprintf(name, sizeof(name), "_xmpps-server._tcp.%s", d->ascii);
	d->srv[1] = dns_ask(d->dns, DNS_SRV, name, on_srv_tls, d);
}

static void begin(struct dial *d)
{
	if (d->is_fixed) {
		d->is_planned = true;
		dial_begin_target(d);
	} else if (d->ascii == NULL || strlen(d->ascii) > DOMAIN_MAX) {
		dial_remember(d, DIAL_NO_NAME, "%s cannot be a domain name in DNS", d->domain);
		dial_fail(d);
	} else if (dns_is_literal(d->ascii)) {
		d->is_planned = true;
		use_domain_itself(d);
		dial_begin_target(d);
	} else if (d->dns == NULL) {
		dial_remember(d, DIAL_DNS_FAILED, "there is no resolver");
		dial_fail(d);
	} else {
		begin_services(d);
	}
}

/* ---- time ---- */

static void give_up_on_other_kind(struct dial *d)
{
	const struct dns_answer late = { .result = DNS_TIMEOUT };
	int kind = d->srv[0] != NULL ? 0 : 1;

	dns_cancel(d->srv[kind]);
	take_services(d, kind, &late);
}

static void on_step(struct worker *w, struct timer *t)
{
	struct dial *d = LIST_ENTRY(t, struct dial, step);

	(void)w;
	if (d->is_resting)
		return;
	if (!d->is_planned)
		give_up_on_other_kind(d);
	else if (d->is_late)
		dial_fail(d);
	else
		dial_go_on(d);
}

static void on_begin(struct worker *w, struct timer *t)
{
	(void)w;
	t->fire = on_step;
	begin(LIST_ENTRY(t, struct dial, step));
}

/* A stream that is being tried is not disturbed. */
static void on_total(struct worker *w, struct timer *t)
{
	struct dial *d = LIST_ENTRY(t, struct dial, total);
	unsigned long long seconds = d->settings.total_ms / 1000;

	(void)w;
	d->is_late = true;
	if (d->is_resting)
		return;
	if (dial_remember_late(d)) {
		dial_fail(d);
		return;
	}
	if (d->srv[0] != NULL || d->srv[1] != NULL)
		dial_remember(d, DIAL_DNS_TIMEOUT, "the name servers did not tell the XMPP service of %s within %llu s",
		              d->domain, seconds);
	else
		dial_remember(d, DIAL_TIMEOUT, "no server of %s was reached within %llu s", d->domain, seconds);
	dial_fail(d);
}

/* ---- start ---- */

static void take_host(struct dial *d, const struct dial_plan *plan)
{
	char *host = dns_to_ascii(plan->host);

	snprintf(d->targets[0].host, sizeof(d->targets[0].host), "%s", host != NULL ? host : plan->host);
	free(host);
	d->targets[0].port = plan->port;
	d->targets[0].is_direct_tls = plan->is_direct_tls;
	d->target_count = 1;
	d->is_fixed = true;
}

struct dial *dial_start(struct worker *w, struct dns *dns, const struct dial_settings *settings,
                        const struct dial_plan *plan, const struct dial_events *events, void *owner)
{
	struct dial *d = mem_new(sizeof(*d));

	d->worker = w;
	d->dns = dns;
	d->settings = *settings;
	if (d->settings.io == NULL)
		d->settings.io = &dial_socket_io;
	if (d->settings.stagger_ms == 0)
		d->settings.stagger_ms = STAGGER_MS;
	d->events = events;
	d->owner = owner;
	d->domain = mem_strdup(plan->domain);
	d->ascii = dns_to_ascii(plan->domain);
	d->step.fire = on_begin;
	d->total.fire = on_total;
	list_init(&d->attempts);
	dial_tlsa_init(d);
	if (plan->host != NULL)
		take_host(d, plan);
	worker_timer_start(w, &d->total, settings->total_ms);
	worker_timer_start(w, &d->step, 0);
	return d;
}

void dial_next(struct dial *d)
{
	d->is_resting = false;
	worker_timer_start(d->worker, &d->step, 0);
}
