/* SPDX-License-Identifier: MIT */
/* Connections over memory, with an ear on what comes out of the server. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/peers.h"
#include "stage.h"

static ssize_t on_recv(struct conn *c, void *bytes, size_t room)
{
	struct line *l = c->io_data;
	size_t said = buf_size(&l->up);
	ssize_t n;

	if (said != 0 && !faults_pass(&l->stage->faults, FAULTY_RECV, &room, l->is_sure))
		return -1;
	n = life_recv(&l->up, said, l->is_cut, bytes, room);
	l->stage->carried += n > 0 ? (size_t)n : 0;
	return n;
}

static ssize_t on_send(struct conn *c, const void *bytes, size_t len)
{
	struct line *l = c->io_data;

	if (l->is_cut) {
		errno = EPIPE;
		return -1;
	}
	if (l->is_deaf) {
		errno = EAGAIN;
		return -1;
	}
	if (!faults_pass(&l->stage->faults, FAULTY_SEND, &len, l->is_sure))
		return -1;
	if (!l->stage->life.is_dead)
		buf_add(&l->down, bytes, len);
	return (ssize_t)len;
}

static void on_watch(struct conn *c, bool readable, bool writable)
{
	struct line *l = c->io_data;

	l->is_read = readable;
	l->is_awaited = writable;
}

static void on_shut(struct conn *c)
{
	(void)c;
}

static void on_close(struct conn *c)
{
	((struct line *)c->io_data)->conn = NULL;
}

static const struct conn_io io = {
	.recv = on_recv, .send = on_send, .watch = on_watch, .shut_write = on_shut, .close = on_close,
};

void line_open(struct line *l, struct stage *s, void (*heard)(void *owner, const struct heard *h), void *owner)
{
	line_close(l);
	*l = (struct line){ .stage = s, .ear = ear_new(heard, owner) };
}

struct conn *line_make_conn(struct line *l, unsigned worker)
{
	struct life *life = &l->stage->life;

	l->conn = conn_new(life->sim->workers[worker % life->workers], -1, &io, l, "192.0.2.1", 1 << 20);
	return l->conn;
}

static void trace(const struct line *l, const char *who, const char *bytes, size_t len)
{
	if (l->stage->is_traced && len != 0)
		fprintf(stderr, "%zu %s %p %.*s\n", (size_t)l->stage->life.sim->now_ms, who, (const void *)l, (int)len, bytes);
}

void line_add(struct line *l, const char *bytes, size_t len)
{
	trace(l, ">", bytes, len);
	if (line_is_up(l))
		buf_add(&l->up, bytes, len);
}

void line_say(struct line *l, const char *fmt, ...)
{
	char *text;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	if (len < 0)
		abort();
	line_add(l, text, (size_t)len);
	free(text);
}

static bool carry_up(struct line *l)
{
	if (l->conn == NULL || (buf_size(&l->up) == 0 && !l->is_cut))
		return false;
	if (conn_is_stopped(l->conn) && l->is_cut && !l->conn->is_broken) {
		/* Nobody reads its end; the system tells that it is dead. */
		conn_break(l->conn);
		return true;
	}
	if (!l->is_read || l->conn->is_broken)
		return false;
	conn_on_event(l->conn, true, false, l->is_cut);
	return true;
}

/* The server may write what could not be written. */
static bool listen_again(struct line *l)
{
	if (l->conn == NULL || l->is_deaf || !l->is_awaited)
		return false;
	conn_on_event(l->conn, false, true, false);
	return true;
}

bool line_carry(struct line *l)
{
	bool any = carry_up(l);
	struct buf heard;

	any = listen_again(l) || any;
	if (l->conn != NULL && !l->conn->is_broken && conn_queued(l->conn) > l->conn->out_limit)
		finding("%zu bytes wait for a reader", conn_queued(l->conn));
	heard = l->down;
	if (buf_size(&heard) == 0)
		return any;
	l->down = (struct buf){ 0 };
	l->stage->carried += buf_size(&heard);
	trace(l, "<", buf_bytes(&heard), buf_size(&heard));
	if (!l->is_cut)
		ear_hear(l->ear, buf_bytes(&heard), buf_size(&heard));
	buf_deinit(&heard);
	return true;
}

void line_cut(struct line *l)
{
	buf_clear(&l->down);
	l->is_cut = true;
}

void line_close(struct line *l)
{
	if (l->conn != NULL)
		finding("a connection that was cut is still there");
	ear_free(l->ear);
	l->ear = NULL;
	buf_deinit(&l->up);
	buf_deinit(&l->down);
}
