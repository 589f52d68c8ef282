/* SPDX-License-Identifier: MIT */
/* A worker: one thread, its event loop, timers, mailbox and what a turn leaves to be flushed. */
#ifndef NET_WORKER_H
#define NET_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/tally.h"

/* Where connections wait that are read after all others. */
enum conn_lane {
	CONN_LANE_LEAVING,       /* the peer has hung up */
	CONN_LANE_NEW,           /* has just logged in */
	CONN_LANE_SECURED,       /* a stranger with TLS */
	CONN_LANE_PLAIN,         /* and one without */
	CONN_LANES
};

struct jid_cache;
struct worker;
struct worker_loop;

/* A piece of mail, embedded in what it carries. run is called on the receiving worker and owns the
 * mail from then on. */
struct mail {
	struct mail *next;
	void (*run)(struct worker *w, struct mail *mail);
};

/* A timer, embedded in its owner; zeroed it is stopped. */
struct timer {
	uint64_t due;      /* monotonic milliseconds */
	size_t place;      /* 1 + index in the worker's heap; 0 when stopped */
	void (*fire)(struct worker *w, struct timer *t);
};

/* Many producers, one consumer. */
struct mailbox {
	struct mail *_Atomic newest;
	_Atomic size_t depth;
	_Atomic uint64_t waiters;   /* bit per worker whose sources wait until this one has drained */
	size_t limit;
};

struct worker {
	unsigned id;
	struct comity_env *env;
	struct log_ctx log;
	struct metrics metrics;
	struct tally tally;
	struct mailbox mailbox;
	_Atomic size_t answer_bytes;     /* of answers of the store in the mailbox */
	_Atomic uint64_t deliveries;     /* how often the mailbox has been emptied; read by other threads */
	struct worker_loop *loop;        /* NULL in a simulation, which calls worker_turn itself */
	struct timer **heap;
	size_t timers, timers_cap;
	struct list dirty;               /* connections with bytes to flush at the end of the turn */
	struct list paused;              /* connections that wait for a mailbox to drain */
	struct list lanes[CONN_LANES];   /* connections that can be read, but only after all others */
	struct list conns;               /* all connections of the worker */
	uint64_t conn_serial;            /* of connections made here */
	struct jid_cache *jids;
	void *router;                    /* what the router keeps per worker */
	void (*before_flush)(struct worker *w); /* runs before what a turn queued leaves; NULL: nothing */
	struct worker *const *peers;     /* all workers, by id */
	unsigned peer_count;
};

/* Workers share peers, an array of count pointers that the caller fills and keeps. */
void worker_init(struct worker *w, unsigned id, struct comity_env *env, struct worker *const *peers, unsigned count,
                 size_t mailbox_limit);
void worker_deinit(struct worker *w);

/* Sends mail to a worker; callable from any thread. Order between two threads is kept. */
void worker_post(struct worker *to, struct mail *mail);
/* True when the mailbox is over its limit: who can pause its source should. */
bool worker_is_full(const struct worker *w);
/* Asks that from->paused be resumed when to has drained. */
void worker_await_room(struct worker *to, struct worker *from);

/* Fires once, delay_ms from now; starting a running timer moves it. Own thread only. */
void worker_timer_start(struct worker *w, struct timer *t, uint64_t delay_ms);
void worker_timer_stop(struct worker *w, struct timer *t);
bool timer_is_running(const struct timer *t);

uint64_t worker_now(const struct worker *w);
/* Runs mail, due timers and flushes; returns true when it did something. The loop calls it, and so
 * does a simulation. */
bool worker_turn(struct worker *w);
/* What has to be done before bytes leave; at the end of a turn, and whenever its flush has made more of them. */
void worker_before_flush(struct worker *w);
/* Milliseconds until the next timer; UINT64_MAX when there is none. */
uint64_t worker_next_due(const struct worker *w);

/* On the worker: drops every connection without flushing. */
void worker_break_conns(struct worker *w);

/* The real loop: a thread with libuv. */
int worker_start(struct worker *w, struct err_text *et);
/* Ends the thread and waits for it; connections must be gone (worker_break_conns). Mail may still be
 * posted and is read by worker_turn, until worker_deinit. */
void worker_stop(struct worker *w);

#endif
