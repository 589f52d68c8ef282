/* SPDX-License-Identifier: MIT */
/* Reaching another server: its names, its addresses, the first that accepts a connection (RFC 6120 3.2,
 * XEP-0368, RFC 8305). */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/dns.h"
#include "net/srv.h"
#include "net/worker.h"

struct dial;

struct dial_settings {
	uint64_t connect_ms;           /* for one address */
	uint64_t total_ms;             /* for all together */
};

/* Where to: a domain, found by DNS, or a host that is given. */
struct dial_plan {
	const char *domain;
	const char *host;              /* NULL: ask DNS for the services of domain */
	uint16_t port;
	bool is_direct_tls;
};

enum dial_failure {
	DIAL_NO_NAME,                  /* DNS knows no such domain */
	DIAL_NO_SERVICE,               /* the domain says that it has none */
	DIAL_NO_ADDRESS,               /* the servers that it names have no address */
	DIAL_DNS_TIMEOUT,
	DIAL_DNS_FAILED,
	DIAL_REFUSED,
	DIAL_TIMEOUT,
	DIAL_UNREACHABLE
};

/* On the worker; out of any of them the dial may be freed. */
struct dial_events {
	/* The caller owns fd. dial_next() goes on when it turns out to be no good. */
	void (*on_connected)(void *owner, const struct srv_target *target, int fd, const char *address);
	/* Nothing is left to try; text is a sentence without a full stop. */
	void (*on_failed)(void *owner, enum dial_failure failure, const char *text);
	/* A step, one line, for those who watch. */
	void (*note)(void *owner, const char *line);
};

/* Strings are copied; settings must outlive it. Nothing is called back before this returns. */
struct dial *dial_start(struct worker *w, struct dns *dns, const struct dial_settings *settings,
                        const struct dial_plan *plan, const struct dial_events *events, void *owner);
/* Goes on behind the address that was reached last. */
void dial_next(struct dial *d);
/* True when some address accepted a connection. */
bool dial_reached_any(const struct dial *d);
void dial_free(struct dial *d);

#endif
