/* SPDX-License-Identifier: MIT */
/* Handshakes and logins, of which any number may come at once, do not hold up those who are here already. */
#include "net/conn.h"
#include "net/peers.h"

/* Longest time in a turn for connections that have not logged in. */
#define STRANGERS_MS 5

static void unmute(struct conn *c)
{
	if (!c->is_muted)
		return;
	c->is_muted = false;
	conn_rewatch(c);
}

void conn_set_stranger(struct conn *c, struct peers *peers, bool counts_as_stream)
{
	c->is_stranger = true;
	c->peers = peers;
	c->counts_as_stream = counts_as_stream;
}

static void give_place_back(struct conn *c)
{
	if (c->is_stranger)
		peers_release(c->peers, c->address);
	c->is_stranger = false;
}

void conn_leave_peers(struct conn *c)
{
	give_place_back(c);
	if (c->counts_as_stream)
		peers_release_stream(c->peers, c->address);
	c->counts_as_stream = false;
}

void conn_introduce(struct conn *c, size_t out_limit)
{
	if (!c->is_stranger)
		return;
	give_place_back(c);
	c->out_limit = out_limit;
	list_remove(&c->waiting);
	unmute(c);
}

void conn_on_event(struct conn *c, bool readable, bool writable)
{
	if (!c->is_stranger || c->is_closing) {
		conn_on_ready(c, readable, writable);
		return;
	}
	if (writable)
		conn_on_ready(c, false, true);
	if (!readable)
		return;
	if (list_empty(&c->waiting)) {
		list_append(&c->worker->strangers[c->is_secured], &c->waiting);
	} else if (!c->is_muted) {
		c->is_muted = true;
		conn_rewatch(c);
	}
}

bool conn_serve_strangers(struct worker *w)
{
	uint64_t began = worker_now(w);
	bool any = false;

	while (worker_now(w) - began < STRANGERS_MS) {
		struct list *l = list_shift(&w->strangers[true]);
		struct conn *c;

		if (l == NULL)
			l = list_shift(&w->strangers[false]);
		if (l == NULL)
			break;
		c = LIST_ENTRY(l, struct conn, waiting);
		unmute(c);
		if (!conn_is_stopped(c) && !c->is_broken)
			conn_on_ready(c, true, false);
		any = true;
	}
	return any;
}
