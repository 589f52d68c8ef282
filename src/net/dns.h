/* SPDX-License-Identifier: MIT */
/* Answers of name servers, on one worker: asked once, kept for their time. */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "net/worker.h"

struct dns;
struct dns_query;

enum dns_kind { DNS_SRV, DNS_A, DNS_AAAA, DNS_TLSA };

enum dns_result {
	DNS_FOUND,
	DNS_NO_NAME,       /* there is no such name */
	DNS_NO_DATA,       /* there is, but nothing of this kind */
	DNS_TIMEOUT,
	DNS_FAILED         /* the servers could or would not answer, or not in a way that makes sense */
};

#define DNS_NAME_MAX 256
/* Bytes of a TLSA record's data; longer ones are as if they were not there. */
#define DNS_TLSA_MAX 512

struct dns_record {
	/* DNS_SRV */
	uint16_t priority, weight, port;
	/* DNS_TLSA, RFC 6698 2.1 */
	uint8_t usage, selector, matching;
	uint16_t size;                 /* of data */
	union {
		char target[DNS_NAME_MAX];     /* DNS_SRV; "" for the root, "." in RFC 2782: no service */
		unsigned char address[16];     /* DNS_A, DNS_AAAA: 4 or 16 bytes */
		unsigned char data[DNS_TLSA_MAX];
	};
};

/* Borrowed for the time of the callback. */
struct dns_answer {
	enum dns_result result;
	size_t count;
	const struct dns_record *records;
	bool is_authentic;             /* a trusted server says that it, or the absence, is proved by DNSSEC */
};

typedef void dns_cb(void *arg, const struct dns_answer *answer);

struct dns_settings {
	const char *servers;           /* "address[:port] ..."; NULL: those of the system */
	uint64_t timeout_ms;           /* of one question to one server */
	unsigned tries;
	size_t cache_entries, cache_bytes;
	uint64_t max_ttl_ms, negative_ttl_ms;   /* the longest that a record, or its absence, is believed */
	unsigned max_records;          /* of one answer; the rest is not looked at */
	bool is_trusted;               /* servers check DNSSEC, and the way to them is safe: the AD bit is asked for
	                                * and believed (RFC 6840 5.7) */
};

/* Where answers come from: the network, or a simulation. */
struct dns_source {
	/* Asks; dns_source_answer() with the token follows, once, and perhaps before this returns. */
	void (*ask)(struct dns_source *source, enum dns_kind kind, const char *name, void *token);
	void (*free)(struct dns_source *source);
};

/* What a source tells: the message of RFC 1035, or (NULL) the result. */
void dns_source_answer(struct dns *d, void *token, enum dns_result result, const unsigned char *message, size_t len);
/* The source that asks name servers (dns_cares.c). */
int dns_cares_new(struct worker *w, struct dns *d, const struct dns_settings *settings, struct dns_source **source,
                  struct err_text *et);

/* On the worker. settings are copied. */
int dns_new(struct worker *w, const struct dns_settings *settings, struct dns **dns, struct err_text *et);
/* With another source, which it takes over. */
struct dns *dns_new_with(struct worker *w, const struct dns_settings *settings, struct dns_source *source);
/* No callback follows. */
void dns_free(struct dns *d);

/* Asks for records of an A-label name. The callback comes later, never before this returns. */
struct dns_query *dns_ask(struct dns *d, enum dns_kind kind, const char *name, dns_cb *cb, void *arg);
/* Not after the callback came. */
void dns_cancel(struct dns_query *q);
/* Forgets what is kept of a name, of the services under it and of the hosts that serve them; "" is all. */
void dns_flush(struct dns *d, const char *name);
/* For people. */
const char *dns_result_text(enum dns_result result);

/* The name in A-labels (IDNA2008) and small letters, without a last dot; the caller frees it. NULL when there
 * is none, as no host can have the name. Addresses stay as they are, without brackets (dns_name.c). */
char *dns_to_ascii(const char *name);
/* True for an IPv4 or IPv6 address without brackets. */
bool dns_is_literal(const char *name);

/* Reads a message of RFC 1035 (dns_message.c): at most room records of a kind, and the least time to live in
 * seconds; for a name or kind that is not there, that of this absence (RFC 2308 5). UINT32_MAX: not said. */
enum dns_result dns_message_read(const unsigned char *message, size_t len, enum dns_kind kind,
                                 struct dns_record *records, size_t room, size_t *count, uint32_t *ttl);
/* The AD bit of a message. */
bool dns_message_is_authentic(const unsigned char *message, size_t len);

#endif
