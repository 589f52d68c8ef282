/* SPDX-License-Identifier: MIT */
/* Watched file descriptors. */
#include "net/watch.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/worker_loop.h"

struct watch {
	uv_poll_t poll;
	watch_cb *cb;
	void *arg;
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;

	/* An error shows itself to whoever reads or writes. */
	if (status < 0)
		events = UV_READABLE | UV_WRITABLE;
	w->cb(w->arg, (events & UV_READABLE) != 0, (events & UV_WRITABLE) != 0);
}

struct watch *watch_new(struct worker *w, int fd, watch_cb *cb, void *arg)
{
	struct watch *watch = mem_new(sizeof(*watch));

	if (w->loop == NULL || uv_poll_init(worker_loop_uv(w->loop), &watch->poll, fd) != 0) {
		free(watch);
		return NULL;
	}
	watch->poll.data = watch;
	watch->cb = cb;
	watch->arg = arg;
	return watch;
}

void watch_set(struct watch *watch, bool readable, bool writable)
{
	int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);

	if (events == 0)
		uv_poll_stop(&watch->poll);
	else
		uv_poll_start(&watch->poll, events, on_poll);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void watch_free(struct watch *watch)
{
	if (watch == NULL)
		return;
	uv_poll_stop(&watch->poll);
	uv_close((uv_handle_t *)&watch->poll, on_closed);
}
