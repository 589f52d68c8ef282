/* SPDX-License-Identifier: MIT */
/* What DNS says of the certificate of a server, asked for beside its addresses (RFC 7673 3). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/dial_state.h"

/* Most records of one server that count. */
#define TLSA_MAX 16
/* How long a connection waits for them. */
#define WAIT_MS 300

static const struct srv_target *target_of(const struct dial *d)
{
	return &d->targets[d->target];
}

/* Gives what is held to the owner; the dial may be gone afterwards. */
static void release(struct dial *d)
{
	char address[INET6_ADDRSTRLEN];
	int fd = d->held;

	d->held = -1;
	worker_timer_stop(d->worker, &d->tlsa_timer);
	memcpy(address, d->held_address, sizeof(address));
	d->events->on_connected(d->owner, target_of(d), fd, address);
}

static void on_late(struct worker *w, struct timer *t)
{
	struct dial *d = LIST_ENTRY(t, struct dial, tlsa_timer);

	(void)w;
	dial_note(d, "TLSA of %s: not known %u ms after connecting, so it goes on without", target_of(d)->host, WAIT_MS);
	release(d);
}

static void note_answer(const struct dial *d, const struct dns_answer *answer)
{
	const struct srv_target *t = target_of(d);
	unsigned long long ms = dial_ms_since(d, d->tlsa_asked_at);

	if (answer->result != DNS_FOUND)
		dial_note(d, "looked up TLSA _%u._tcp of %s: %s, after %llu ms", t->port, t->host,
		          dns_result_text(answer->result), ms);
	else
		dial_note(d, "looked up TLSA _%u._tcp of %s: %zu found%s, after %llu ms", t->port, t->host, answer->count,
		          answer->is_authentic ? "" : ", but not checked by DNSSEC", ms);
}

static void on_tlsa(void *arg, const struct dns_answer *answer)
{
	struct dial *d = arg;

	d->tlsa_query = NULL;
	note_answer(d, answer);
	if (answer->result == DNS_FOUND && answer->is_authentic) {
		d->tlsa_count = answer->count < TLSA_MAX ? answer->count : TLSA_MAX;
		d->tlsa = mem_array(d->tlsa_count, sizeof(*d->tlsa));
		memcpy(d->tlsa, answer->records, d->tlsa_count * sizeof(*d->tlsa));
	}
	if (d->held >= 0)
		release(d);
}

void dial_tlsa_init(struct dial *d)
{
	d->held = -1;
	d->tlsa_timer.fire = on_late;
}

void dial_tlsa_begin(struct dial *d)
{
	const struct srv_target *t = target_of(d);
	char name[DNS_NAME_MAX + 32];

	dial_tlsa_stop(d);
	free(d->tlsa);
	d->tlsa = NULL;
	d->tlsa_count = 0;
	d->is_reached_authentic = false;
	/* A host that is given may come from anywhere, and an address has no records. */
	if (!d->settings.dane || !t->is_authentic || d->dns == NULL || dns_is_literal(t->host))
		return;
	d->tlsa_asked_at = worker_now(d->worker);
	snprintf(name, sizeof(name), "_%u._tcp.%s", t->port, t->host);
	d->tlsa_query = dns_ask(d->dns, DNS_TLSA, name, on_tlsa, d);
}

void dial_tlsa_stop(struct dial *d)
{
	dns_cancel(d->tlsa_query);
	d->tlsa_query = NULL;
	worker_timer_stop(d->worker, &d->tlsa_timer);
	if (d->held >= 0)
		close(d->held);
	d->held = -1;
}

void dial_tlsa_connected(struct dial *d, int fd, const char *address)
{
	snprintf(d->held_address, sizeof(d->held_address), "%s", address);
	d->held = fd;
	if (d->tlsa_query != NULL && d->is_reached_authentic)
		worker_timer_start(d->worker, &d->tlsa_timer, WAIT_MS);
	else
		release(d);
}

const struct dns_record *dial_tlsa(const struct dial *d, size_t *count)
{
	*count = d->is_resting && d->is_reached_authentic ? d->tlsa_count : 0;
	return *count != 0 ? d->tlsa : NULL;
}
