/* SPDX-License-Identifier: MIT */
/* Connections over memory, which break where the seed wants. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/peers.h"
#include "stream/c2s.h"
#include "world.h"

#define ADDRESS "192.0.2.1"

/* Nobody has it any more. */
static void release(struct wire *l)
{
	if (l->client != NULL || l->conn != NULL)
		return;
	buf_deinit(&l->up);
	buf_deinit(&l->down);
	l->is_used = false;
}

/* ---- the server's end ---- */

static ssize_t on_recv(struct conn *c, void *bytes, size_t room)
{
	struct wire *l = c->io_data;
	ssize_t n;

	/* What comes as a whole would not, if its connection broke within. */
	if (l->arrived != 0 && !faults_pass(&l->world->sockets, FAULTY_RECV, &room, l->whole != 0))
		return -1;
	n = life_recv(&l->up, l->arrived, l->is_over, bytes, room);
	if (n > 0) {
		l->arrived -= (size_t)n;
		l->whole -= l->whole < (size_t)n ? l->whole : (size_t)n;
	}
	return n;
}

static ssize_t on_send(struct conn *c, const void *bytes, size_t len)
{
	struct wire *l = c->io_data;
	struct life *life = &l->world->life;

	if (life->is_dead || l->is_ended)
		return (ssize_t)len;
	if (!faults_pass(&l->world->sockets, FAULTY_SEND, &len, false))
		return -1;
	if (life->death == DEATH_SENDING && life->countdown-- == 0) {
		trace(l->world, "  the server dies while it sends");
		buf_add(&l->down, bytes, chance(l->world, (uint32_t)len + 1));
		life_die(life);
		return (ssize_t)len;
	}
	buf_add(&l->down, bytes, len);
	return (ssize_t)len;
}

static void on_watch(struct conn *c, bool readable, bool writable)
{
	struct wire *l = c->io_data;

	l->is_read = readable;
	l->awaits_room = writable;
}

static void on_shut(struct conn *c)
{
	((struct wire *)c->io_data)->is_ended = true;
}

static void on_close(struct conn *c)
{
	struct wire *l = c->io_data;

	l->conn = NULL;
	l->is_ended = true;
	release(l);
}

static const struct conn_io io = {
	.recv = on_recv, .send = on_send, .watch = on_watch, .shut_write = on_shut, .close = on_close,
};

/* As if its client had just logged in. */
static void accept_logged_in(struct wire *l, struct worker *w, const char *bare)
{
	struct router *r = router_of(w);
	struct c2s *c;

	peers_admit(r->server->peers, ADDRESS, &(struct peers_limits){ UINT32_MAX, UINT32_MAX, 0 });
	l->conn = conn_new(w, -1, &io, l, ADDRESS, 1 << 20);
	c2s_accept(w, &r->c2s, l->conn, false);
	c = l->conn->owner;
	c->user = comity_jid_parse(bare);
	c->phase = C2S_LOGGED_IN;
	c2s_restart(c, true);
}

/* ---- both ends ---- */

struct wire *wire_new(struct world *w, struct client *c)
{
	struct life *life = &w->life;

	if (!life->is_up || life->is_dead)
		return NULL;
	for (size_t i = 0; i < WIRES_MAX; i++) {
		struct wire *l = &w->wires[i];

		if (l->is_used)
			continue;
		*l = (struct wire){ .world = w, .client = c, .is_used = true };
		accept_logged_in(l, life->sim->workers[chance(w, life->workers)], c->bare);
		return l;
	}
	return NULL;
}

void wire_say(struct wire *l, const char *bytes, size_t len, bool is_whole)
{
	if (l->is_ended)
		return;
	buf_add(&l->up, bytes, len);
	if (is_whole)
		l->whole = buf_size(&l->up);
}

bool wire_carry_up(struct wire *l, size_t most)
{
	size_t n = buf_size(&l->up);

	if (l->conn == NULL) {
		buf_clear(&l->up);
		return false;
	}
	if (n > most)
		n = most;
	/* All that must stay together is at the end of what was said, and comes as a whole. */
	if (l->whole != 0)
		n = l->whole;
	if (n > l->arrived)
		l->arrived = n;
	/* Nor is it touched on its way to another worker. */
	if (!l->is_read || (l->arrived == 0 && !l->is_over))
		return false;
	conn_on_event(l->conn, true, false, l->is_over);
	return true;
}

/* The server may write what could not be written. */
static bool give_room(struct wire *l)
{
	if (l->conn == NULL || !l->awaits_room)
		return false;
	conn_on_event(l->conn, false, true, false);
	return true;
}

bool wire_carry_down(struct wire *l, size_t most)
{
	bool any = give_room(l);
	size_t n = buf_size(&l->down);
	char *bytes;

	if (l->client == NULL)
		return any;
	if (n == 0 && l->is_ended) {
		client_on_end(l->client);
		return true;
	}
	if (n == 0)
		return any;
	if (n > most)
		n = most;
	bytes = mem_dup(buf_bytes(&l->down), n);
	buf_consume(&l->down, n);
	client_read(l->client, bytes, n);
	free(bytes);
	return true;
}

void wire_leave(struct wire *l)
{
	l->client = NULL;
	release(l);
}

static void keep_only(struct buf *b, size_t keep)
{
	b->len -= buf_size(b) - keep;
}

static void keep_up(struct wire *l, size_t keep)
{
	keep_only(&l->up, keep);
	if (l->whole > keep)
		l->whole = 0;
}

static void shorten_up(struct wire *l)
{
	size_t keep = l->arrived + chance(l->world, (uint32_t)(buf_size(&l->up) - l->arrived) + 1);

	if (keep < l->whole)
		keep = l->arrived != 0 || chance(l->world, 2) == 0 ? l->whole : 0;
	keep_up(l, keep);
}

static void shorten_down(struct wire *l)
{
	keep_only(&l->down, chance(l->world, (uint32_t)buf_size(&l->down) + 1));
}

void wire_cut(struct wire *l)
{
	shorten_up(l);
	shorten_down(l);
	/* Nothing more comes out of it. */
	l->is_ended = true;
}

void wire_end(struct wire *l)
{
	if (l->conn != NULL && l->client == NULL) {
		keep_up(l, l->arrived);
		l->is_over = true;
		if (l->is_read)
			conn_on_event(l->conn, true, false, true);
	}
	release(l);
}

void wire_lose_server(struct wire *l)
{
	l->conn = NULL;
	l->is_ended = true;
	shorten_down(l);
	release(l);
}

void wires_free(struct world *w)
{
	for (size_t i = 0; i < WIRES_MAX; i++) {
		struct wire *l = &w->wires[i];

		if (!l->is_used)
			continue;
		l->client = NULL;
		l->conn = NULL;
		release(l);
	}
}
