/* SPDX-License-Identifier: MIT */
/* Handshakes, logins, first requests and ends, of which any number may come at once, do not hold up those who stay. */
#include "net/conn.h"
#include "net/peers.h"
#include "net/worker_loop.h"

/* Longest time in a turn for each lane: whoever keeps one full takes nothing from the others. */
#define LANE_MS 2
/* So many connections are read before what they are answered leaves: more would use up more than their time. */
#define READS_PER_FLUSH 8
/* How long one who has logged in still is new: clients ask for much at first. */
#define NEW_MS 5000
#define NO_LANE CONN_LANES

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
	c->new_until = worker_now(c->worker) + NEW_MS;
	list_remove(&c->waiting);
	unmute(c);
}

static enum conn_lane lane_of(struct conn *c, bool is_hung_up)
{
	if (is_hung_up && (c->is_closing || !c->is_stranger))
		return CONN_LANE_LEAVING;
	if (c->is_closing)
		return NO_LANE;
	if (c->is_stranger)
		return c->is_secured ? CONN_LANE_SECURED : CONN_LANE_PLAIN;
	if (c->new_until != 0 && worker_now(c->worker) < c->new_until)
		return CONN_LANE_NEW;
	c->new_until = 0;
	return NO_LANE;
}

void conn_on_event(struct conn *c, bool readable, bool writable, bool is_hung_up)
{
	enum conn_lane lane = lane_of(c, is_hung_up);

	if (lane == NO_LANE) {
		conn_on_ready(c, readable, writable);
		return;
	}
	if (writable)
		conn_on_ready(c, false, true);
	if (!readable)
		return;
	if (list_empty(&c->waiting)) {
		list_append(&c->worker->lanes[lane], &c->waiting);
	} else if (!c->is_muted) {
		c->is_muted = true;
		conn_rewatch(c);
	}
}

static void serve(struct conn *c)
{
	/* More may have come than is read now. */
	c->read_since = worker_now(c->worker);
	unmute(c);
	if (!conn_is_stopped(c) && !c->is_broken)
		conn_on_ready(c, true, false);
}

static bool serve_lane(struct worker *w, struct list *lane)
{
	uint64_t began = worker_now(w);
	unsigned reads = 0;
	struct list *l;

	while (worker_now(w) - began < LANE_MS && (l = list_shift(lane)) != NULL) {
		serve(LIST_ENTRY(l, struct conn, waiting));
		if (++reads % READS_PER_FLUSH == 0)
			worker_flush_dirty(w);
	}
	return reads != 0;
}

bool conn_serve_lanes(struct worker *w)
{
	bool any = false;

	for (int i = 0; i < CONN_LANES; i++)
		any |= serve_lane(w, &w->lanes[i]);
	return any;
}
