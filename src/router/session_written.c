/* SPDX-License-Identifier: MIT */
/* Modules that write much to a session do so in parts: each waits until the client has the one before. */
#include "router/session_written.h"

#include "base/pool.h"
#include "router/host.h"
#include "router/session_sm.h"

/* Of what may wait for a client, the part that a module may fill at once. */
#define ROOM_PART 4

struct awaited {
	struct list link;         /* in session->awaiting */
	struct timer timer;
	struct comity_session *session;
	struct comity_mod *mod;
	comity_written_cb *done;
	void *arg;
	bool is_by_ack;           /* stream management tells, not the connection */
	bool is_written;          /* there was nothing to wait for */
};

static void finish(struct awaited *a, enum comity_written how)
{
	struct comity_session *s = a->session;

	list_remove(&a->link);
	worker_timer_stop(s->account->router->worker, &a->timer);
	a->done(a->mod, a->arg, how);
	session_count(s, -(ptrdiff_t)sizeof(*a));
	pool_give(a, sizeof(*a));
}

/* Who is told may wait for the next part at once. */
static void finish_all(struct comity_session *s, bool is_by_ack, enum comity_written how)
{
	struct list due;

	/* As nearly always: each acknowledgement comes here. */
	if (list_empty(&s->awaiting))
		return;
	list_init(&due);
	LIST_EACH(l, next, &s->awaiting) {
		if (LIST_ENTRY(l, struct awaited, link)->is_by_ack != is_by_ack)
			continue;
		list_remove(l);
		list_append(&due, l);
	}
	session_ref(s);
	for (struct list *l; (l = list_shift(&due)) != NULL;)
		finish(LIST_ENTRY(l, struct awaited, link), how);
	session_unref(s);
}

static void on_time(struct worker *w, struct timer *t)
{
	struct awaited *a = LIST_ENTRY(t, struct awaited, timer);
	struct comity_session *s = a->session;

	(void)w;
	if (!a->is_written) {
		a->done(a->mod, a->arg, COMITY_NOT_WRITTEN_YET);
		return;
	}
	session_ref(s);
	finish(a, COMITY_WRITTEN);
	session_unref(s);
}

void comity_session_await_written(struct comity_mod *m, struct comity_session *s, uint64_t ms, comity_written_cb *done,
                                  void *arg)
{
	struct awaited *a = pool_take_zeroed(sizeof(*a));

	/* What waits for something else to be written would not be acknowledged. */
	comity_session_write_now(s);
	list_init(&a->link);
	list_append(&s->awaiting, &a->link);
	session_count(s, (ptrdiff_t)sizeof(*a));
	a->timer.fire = on_time;
	a->session = s;
	a->mod = m;
	a->done = done;
	a->arg = arg;
	a->is_by_ack = s->sm != NULL;
	a->is_written = a->is_by_ack && s->sm->stored_count == 0;
	if (!a->is_by_ack && s->stream != NULL)
		c2s_tell_drained(s->stream);
	if (a->is_written || ms != 0)
		worker_timer_start(s->account->router->worker, &a->timer, a->is_written ? 0 : ms);
}

void session_drained(struct comity_session *s)
{
	finish_all(s, false, COMITY_WRITTEN);
}

void session_lost_output(struct comity_session *s)
{
	finish_all(s, false, COMITY_WRITE_LOST);
}

void session_acked(struct comity_session *s)
{
	if (s->sm != NULL && s->sm->stored_count == 0)
		finish_all(s, true, COMITY_WRITTEN);
}

void session_end_awaiting(struct comity_session *s, enum comity_written how)
{
	finish_all(s, false, how);
	finish_all(s, true, how);
}

size_t comity_session_room(const struct comity_session *s)
{
	return s->account->router->settings->limits.out_bytes / ROOM_PART;
}

bool comity_session_is_managed(const struct comity_session *s)
{
	return s->sm != NULL;
}
