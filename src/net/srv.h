/* SPDX-License-Identifier: MIT */
/* The servers of a service, in the order in which they are to be tried (RFC 2782, XEP-0368). */
#ifndef NET_SRV_H
#define NET_SRV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "net/dns.h"

struct srv_target {
	char host[DNS_NAME_MAX];
	uint16_t port, priority, weight;
	bool is_direct_tls;
	bool is_authentic;             /* DNSSEC proves that it is a target */
};

/* Appends the records of an answer to targets, which has room for that many in all; returns the new count.
 * Of more than that, those with the lowest priority value stay. A target of "." is left out, and sets
 * *is_refused. */
size_t srv_add(struct srv_target *targets, size_t count, size_t room, const struct dns_answer *answer,
               bool is_direct_tls, bool *is_refused);
/* Sorts by priority, and within one by chance and weight. */
void srv_order(struct srv_target *targets, size_t count, struct comity_env *env);

#endif
