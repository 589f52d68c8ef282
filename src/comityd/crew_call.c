/* SPDX-License-Identifier: MIT */
/* Calls on a worker's thread. */
#include <stdlib.h>

#include "comityd/daemon.h"

struct call {
	void (*fn)(struct worker *w, void *arg);
	void *arg;
};

static void run_call(struct worker *w, struct waiter *waiter)
{
	struct call *call = waiter_arg(waiter);

	call->fn(w, call->arg);
	waiter_done(waiter);
}

void crew_call(struct daemon *d, struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
	struct call call = { fn, arg };

	/* A worker always comes to its mail; the call lives on this stack until then. */
	while (!crew_await(d, w, run_call, &call, 3600))
		abort();
}
