/* SPDX-License-Identifier: MIT */
/* For tests of src/net: a worker whose time stands still, a real one, and name servers that answer from a table. */
#ifndef TESTS_NET_FIXTURE_H
#define TESTS_NET_FIXTURE_H

#include <pthread.h>

#include "net/dns.h"
#include "net/worker.h"

/* ---- a worker without a thread, whose clock the test moves ---- */

struct net_sim {
	struct comity_env env;
	struct worker worker;
	struct worker *peers[1];
	uint64_t now;
	uint64_t random;
};

void net_sim_init(struct net_sim *s);
/* Lets time pass, timer by timer. */
void net_sim_run(struct net_sim *s, uint64_t ms);
void net_sim_deinit(struct net_sim *s);

/* ---- answers ---- */

/* What name servers know. records are "priority weight port target", addresses, or "usage selector matching hex",
 * with semicolons between.
 * The last row has no name. */
struct zone_row {
	enum dns_kind kind;
	const char *name, *records;
	enum dns_result result;        /* other than DNS_FOUND: there are no records */
	uint64_t delay_ms;
	uint32_t ttl;                  /* 0: 60; of an absence it is the SOA's */
	bool is_garbage;
	bool is_authentic;             /* the AD bit is set, if it was asked for */
};

#define ZONE_MESSAGE_MAX 65536

/* The message with the answer of a row (NULL: there is no such name); returns its length. */
size_t zone_message(const struct zone_row *row, enum dns_kind kind, const char *name, uint16_t id,
                    unsigned char out[ZONE_MESSAGE_MAX]);

/* A source that answers from rows, in simulated time. */
struct zone_source {
	struct dns_source source;
	struct net_sim *sim;
	struct dns *dns;               /* set after dns_new_with() */
	const struct zone_row *rows;
	struct list pending;
	unsigned asked;                /* questions so far */
	bool is_freed;
};

void zone_source_init(struct zone_source *z, struct net_sim *s, const struct zone_row *rows);

/* ---- a real worker, and a real name server on 127.0.0.1 ---- */

struct live {
	struct comity_env env;
	struct worker worker;
	struct worker *peers[1];
};

void live_init(struct live *l);
/* Calls on the worker, and waits until it has returned. */
void live_call(struct live *l, void (*run)(void *arg), void *arg);
void live_deinit(struct live *l);

struct zone_server {
	const struct zone_row *rows;
	char address[32];              /* as for dns_settings.servers */
	pthread_t thread;
	int fd, listener, stop[2];     /* fd: datagrams */
};

void zone_server_start(struct zone_server *z, const struct zone_row *rows);
void zone_server_stop(struct zone_server *z);

#endif
