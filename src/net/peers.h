/* SPDX-License-Identifier: MIT */
/* What is remembered about addresses: connections that have not logged in, refused logins. */
#ifndef NET_PEERS_H
#define NET_PEERS_H

#include <stdbool.h>
#include <stdint.h>

/* Shared by all workers, behind a lock that is taken only at connect, login and close. */
struct peers;

/* What may be open; 0 streams: they are not counted. */
struct peers_limits {
	unsigned waiting;          /* of one address: that have not authenticated */
	unsigned waiting_in_all;
	unsigned streams;          /* of one address: authenticated or not */
};

enum peers_verdict { PEERS_ADMITTED, PEERS_ADDRESS_WAITS, PEERS_ALL_WAIT, PEERS_ADDRESS_STREAMS };

struct peers *peers_new(void);
void peers_free(struct peers *p);
/* Counts a connection that has not authenticated and, where limits->streams is not 0, an open stream. Counts nothing
 * when a limit is reached. Of an IPv6 address the first half counts, as one customer has all of the second. */
enum peers_verdict peers_admit(struct peers *p, const char *address, const struct peers_limits *limits);
#define PEERS_NETWORK_MAX 64
/* What counts of an address: all of it, or of an IPv6 address the first half, written to room. */
const char *peers_network(const char *address, char room[PEERS_NETWORK_MAX]);
/* For the peer and the log. */
const char *peers_verdict_text(enum peers_verdict verdict);
/* The connection has authenticated or is gone. */
void peers_release(struct peers *p, const char *address);
/* A stream that was counted is gone. */
void peers_release_stream(struct peers *p, const char *address);
/* Counts a refused login; returns how many lie within the last window_ms. */
unsigned peers_add_failure(struct peers *p, const char *address, uint64_t now_ms, uint64_t window_ms);

#endif
