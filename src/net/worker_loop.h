/* SPDX-License-Identifier: MIT */
/* Between the worker and its libuv loop; nothing outside src/net includes this. */
#ifndef NET_WORKER_LOOP_H
#define NET_WORKER_LOOP_H

#include <stdbool.h>
#include <uv.h>

struct worker;
struct worker_loop;

/* From any thread. */
void worker_loop_wake(struct worker_loop *loop);
/* The libuv loop of the worker's thread. */
uv_loop_t *worker_loop_uv(struct worker_loop *loop);

/* Closes what is open; the thread has ended and nobody posts any more. NULL is nothing. */
void worker_loop_free(struct worker_loop *loop);

/* In conn.c and conn_pause.c: what a turn leaves behind. */
bool worker_flush_dirty(struct worker *w);
void worker_resume_paused(struct worker *w);

#endif
