/* SPDX-License-Identifier: MIT */
/* Listening sockets: one per worker and port, sharing the port by SO_REUSEPORT. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "base/err.h"
#include "net/worker.h"

struct listener;

/* A connection came in; the callback owns fd. Runs on the listener's worker. */
typedef void listener_cb(struct worker *w, void *arg, int fd, const char *address);

/* Binds address (IPv4 or IPv6 literal) and port; callable before the worker runs. The text of an
 * error names both. With the socket bound, listener_start makes the worker accept. */
int listener_open(struct worker *w, const char *address, unsigned port, listener_cb *cb, void *arg,
                  struct listener **listener, struct err_text *et);
/* The port it really has, when 0 was asked for. */
unsigned listener_port(const struct listener *l);
/* On the worker's thread, or before it runs. */
void listener_start(struct listener *l);
/* Stops accepting and frees, through the worker's mailbox: callable from any thread. */
void listener_close(struct listener **listener);

#endif
