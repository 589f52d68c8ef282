/* SPDX-License-Identifier: MIT */
/* The thread and libuv loop that turn a worker. */
#include "net/worker_loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/worker.h"

struct worker_loop {
	struct worker *worker;
	uv_loop_t loop;
	uv_async_t wake;
	uv_prepare_t prepare;    /* right before the loop sleeps: the end of a turn */
	uv_timer_t timer;
	pthread_t thread;
	uint64_t armed;          /* when the timer fires; UINT64_MAX: not set */
	atomic_bool stopping;
};

void worker_loop_wake(struct worker_loop *loop)
{
	uv_async_send(&loop->wake);
}

uv_loop_t *worker_loop_uv(struct worker_loop *loop)
{
	return &loop->loop;
}

static void on_wake(uv_async_t *handle)
{
	(void)handle; /* the mail is read in on_prepare, before the loop sleeps again */
}

static void on_timer(uv_timer_t *handle)
{
	struct worker_loop *l = handle->data;

	l->armed = UINT64_MAX; /* the timers run in on_prepare */
}

static void arm_timer(struct worker_loop *l)
{
	uint64_t due = worker_next_due(l->worker), now;

	if (due == l->armed)
		return;
	l->armed = due;
	if (due == UINT64_MAX) {
		uv_timer_stop(&l->timer);
		return;
	}
	uv_update_time(&l->loop);
	now = worker_now(l->worker);
	uv_timer_start(&l->timer, on_timer, due > now ? due - now : 0, 0);
}

static void on_prepare(uv_prepare_t *handle)
{
	struct worker_loop *l = handle->data;

	worker_turn(l->worker);
	if (conn_serve_lanes(l->worker))
		worker_turn(l->worker);
	if (atomic_load(&l->stopping))
		uv_stop(&l->loop);
	else
		arm_timer(l);
}

static void *run_thread(void *arg)
{
	struct worker_loop *l = arg;
	char name[16];

	snprintf(name, sizeof(name), "worker-%u", l->worker->id);
	pthread_setname_np(pthread_self(), name);
	uv_run(&l->loop, UV_RUN_DEFAULT);
	return NULL;
}

int worker_start(struct worker *w, struct err_text *et)
{
	struct worker_loop *l = mem_new(sizeof(*l));
	sigset_t all, old;
	int rc;

	l->worker = w;
	rc = uv_loop_init(&l->loop);
	if (rc == 0)
		rc = uv_async_init(&l->loop, &l->wake, on_wake);
	if (rc == 0)
		rc = uv_prepare_init(&l->loop, &l->prepare);
	if (rc == 0)
		rc = uv_timer_init(&l->loop, &l->timer);
	if (rc != 0) {
		err_text_set(et, "cannot make an event loop: %s", uv_strerror(rc));
		free(l);
		return -ERR_IO;
	}
	l->prepare.data = l;
	l->timer.data = l;
	l->armed = UINT64_MAX;
	uv_prepare_start(&l->prepare, on_prepare);
	w->loop = l;
	/* Signals belong to the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&l->thread, NULL, run_thread, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		err_text_set(et, "cannot start a thread: %s", strerror(rc));
		w->loop = NULL;
		worker_loop_free(l);
		return -ERR_IO;
	}
	return 0;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void worker_stop(struct worker *w)
{
	struct worker_loop *l = w->loop;

	if (l == NULL)
		return;
	atomic_store(&l->stopping, true);
	worker_loop_wake(l);
	pthread_join(l->thread, NULL);
}

void worker_loop_free(struct worker_loop *l)
{
	if (l == NULL)
		return;
	uv_walk(&l->loop, close_handle, NULL);
	uv_run(&l->loop, UV_RUN_DEFAULT);
	uv_loop_close(&l->loop);
	free(l);
}
