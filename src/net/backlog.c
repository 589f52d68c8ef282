/* SPDX-License-Identifier: MIT */
/* What came on a connection and is not dealt with yet: when that is too much, the connection is read no further. */
#include "net/backlog.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/conn.h"

struct backlog {
	struct mail mail;
	struct worker *worker;
	struct conn *conn;             /* of that worker only; NULL: it is gone */
	bool is_stopped;               /* the same: it waits for the mail */
	unsigned max;
	_Atomic unsigned count;
	_Atomic unsigned refs;         /* of the connection, each that is counted, and the mail */
	_Atomic bool wants_mail;       /* whoever takes this back sends it */
};

static void unref(struct backlog *b)
{
	if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
		free(b);
}

static struct backlog *backlog_of(struct conn *c, unsigned max)
{
	struct backlog *b = c->backlog;

	if (b == NULL) {
		b = c->backlog = mem_new(sizeof(*b));
		b->worker = c->worker;
		b->conn = c;
		b->max = max;
		atomic_init(&b->refs, 1);
	}
	return b;
}

static void run_resume(struct worker *w, struct mail *mail)
{
	struct backlog *b = LIST_ENTRY(mail, struct backlog, mail);

	(void)w;
	b->is_stopped = false;
	if (b->conn != NULL)
		conn_resume(b->conn, CONN_STOP_BACKLOG);
	unref(b);
}

/* By mail also on the same worker: reading on must not happen inside of what was read before. */
static void resume_if_low(struct backlog *b)
{
	if (!atomic_load(&b->wants_mail) || atomic_load(&b->count) >= b->max / 2 ||
	    !atomic_exchange(&b->wants_mail, false))
		return;
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	b->mail.run = run_resume;
	worker_post(b->worker, &b->mail);
}

static void stop(struct backlog *b)
{
	conn_stop(b->conn, CONN_STOP_BACKLOG);
	if (b->is_stopped)
		return;
	b->is_stopped = true;
	atomic_store(&b->wants_mail, true);
	/* All may have been dealt with before anybody saw that. */
	resume_if_low(b);
}

struct backlog *backlog_join(struct conn *c, unsigned max)
{
	struct backlog *b = backlog_of(c, max);

	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	if (atomic_fetch_add(&b->count, 1) + 1 >= max)
		stop(b);
	return b;
}

void backlog_leave(struct backlog **b)
{
	struct backlog *left = *b;

	*b = NULL;
	if (left == NULL)
		return;
	atomic_fetch_sub(&left->count, 1);
	resume_if_low(left);
	unref(left);
}

void backlog_part(struct conn *c)
{
	struct backlog *b = c->backlog;

	if (b == NULL)
		return;
	atomic_store(&b->wants_mail, false);
	b->conn = NULL;
	c->backlog = NULL;
	unref(b);
	c->stops &= ~(unsigned)CONN_STOP_BACKLOG;
}
