/* SPDX-License-Identifier: MIT */
/* A file descriptor of somebody else that is watched on a worker's loop: of name servers, and of
 * connections that are being made. */
#ifndef NET_WATCH_H
#define NET_WATCH_H

#include <stdbool.h>

#include "net/worker.h"

struct watch;

typedef void watch_cb(void *arg, bool readable, bool writable);

/* Watches for nothing yet; NULL when the system has no room for it. On the worker. */
struct watch *watch_new(struct worker *w, int fd, watch_cb *cb, void *arg);
void watch_set(struct watch *watch, bool readable, bool writable);
/* Before the descriptor is closed; may be called out of the callback. */
void watch_free(struct watch *watch);

#endif
