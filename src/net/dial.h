/* SPDX-License-Identifier: MIT */
/* Reaching another server: its names, its addresses, the first that accepts a connection (RFC 6120 3.2,
 * XEP-0368, RFC 8305), what DNS says of its certificate (RFC 7673). */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/dns.h"
#include "net/srv.h"
#include "net/worker.h"

struct dial;

/* A connection was made, and fd belongs to who is called; or it is -1, and error an errno. */
typedef void dial_made_cb(void *arg, int fd, int error);

/* How connections are made: over sockets, or in a simulation. */
struct dial_io {
	/* Begins one. made follows later, once. Returns what stop takes; NULL, with errno, when it has failed
	 * already. */
	void *(*begin)(const struct dial_io *io, struct worker *w, const struct sockaddr *address, socklen_t len,
	               dial_made_cb *made, void *arg);
	/* Not after made was called, which does not follow any more. */
	void (*stop)(const struct dial_io *io, void *making);
};

extern const struct dial_io dial_socket_io;   /* dial_socket.c */

struct dial_settings {
	uint64_t connect_ms;           /* for one address */
	uint64_t total_ms;             /* for all together; what has been reached may be used for longer */
	uint64_t stagger_ms;           /* between the starts of two attempts; 0: 250, as RFC 8305 has it */
	const struct dial_io *io;      /* NULL: sockets */
	bool dane;                     /* look for TLSA records, where DNSSEC proves the way to them */
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

/* On the worker. Out of on_connected and on_failed the dial may be freed. */
struct dial_events {
	/* The caller owns fd. dial_next() goes on when it turns out to be no good. */
	void (*on_connected)(void *owner, const struct srv_target *target, int fd, const char *address);
	/* Nothing is left to try. Of several failures it is the one that says most; text is a sentence without a
	 * full stop that lives as long as the dial. */
	void (*on_failed)(void *owner, enum dial_failure failure, const char *text);
	/* A step, one line, for those who watch. */
	void (*note)(void *owner, const char *line);
};

/* Strings and settings are copied, but not what they point to; events must outlive it. Nothing is called back
 * before this returns. */
struct dial *dial_start(struct worker *w, struct dns *dns, const struct dial_settings *settings,
                        const struct dial_plan *plan, const struct dial_events *events, void *owner);
/* After on_connected: goes on with the addresses that were not reached yet. */
void dial_next(struct dial *d);
/* From on_connected until dial_next: what DNS says of the certificate of the target that was reached; none when
 * any answer on the way there was not authentic, or it was late. */
const struct dns_record *dial_tlsa(const struct dial *d, size_t *count);
/* True when some address accepted a connection. */
bool dial_reached_any(const struct dial *d);
void dial_free(struct dial *d);

#endif
