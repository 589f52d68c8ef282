/* SPDX-License-Identifier: MIT */
/* Connections that wait until a mailbox has drained. */
#include "net/conn.h"
#include "net/worker_loop.h"

void conn_pause_for(struct conn *c, struct worker *full)
{
	conn_stop(c, CONN_STOP_MAILBOX);
	if (list_empty(&c->paused))
		list_append(&c->worker->paused, &c->paused);
	metrics_add(&c->worker->metrics, METRIC_MAILBOX_PAUSES, 1);
	worker_await_room(full, c->worker);
}

void worker_resume_paused(struct worker *w)
{
	struct list all;

	list_init(&all);
	list_splice(&all, &w->paused);
	for (struct list *l; (l = list_shift(&all)) != NULL;)
		conn_resume(LIST_ENTRY(l, struct conn, paused), CONN_STOP_MAILBOX);
}
