/* SPDX-License-Identifier: MIT */
/* What is remembered about addresses: connections that have not logged in, refused logins. */
#ifndef NET_PEERS_H
#define NET_PEERS_H

#include <stdbool.h>
#include <stdint.h>

/* Shared by all workers, behind a lock that is taken only at connect, login and close. */
struct peers;

struct peers *peers_new(void);
void peers_free(struct peers *p);
/* Counts a connection that has not authenticated; false, counting nothing, when limit is reached. */
bool peers_admit(struct peers *p, const char *address, unsigned limit);
/* The connection has authenticated or is gone. */
void peers_release(struct peers *p, const char *address);
/* Counts a refused login; returns how many lie within the last window_ms. */
unsigned peers_add_failure(struct peers *p, const char *address, uint64_t now_ms, uint64_t window_ms);

#endif
