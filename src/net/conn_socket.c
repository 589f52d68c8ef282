/* SPDX-License-Identifier: MIT */
/* Connections over real sockets, watched by libuv. */
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/worker_loop.h"

/* Lives a little longer than the connection: libuv frees it in its close callback. */
struct socket_watch {
	uv_poll_t poll;
	struct conn *conn;
	int events;         /* that libuv watches; of those that are not wanted, reading may be left for a while */
	int wanted;
};

static ssize_t socket_recv(struct conn *c, void *bytes, size_t room)
{
	return recv(c->fd, bytes, room, 0);
}

static ssize_t socket_send(struct conn *c, const void *bytes, size_t len)
{
	return send(c->fd, bytes, len, MSG_NOSIGNAL);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void set_events(struct socket_watch *w, int events)
{
	w->events = events;
	if (events == 0)
		uv_poll_stop(&w->poll);
	else
		uv_poll_start(&w->poll, events, on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct socket_watch *w = poll->data;
	struct conn *c = w->conn;

	/* An error shows itself to recv or send, though to recv only behind what came before it. libuv has stopped. */
	if (status < 0) {
		events = UV_WRITABLE | w->wanted;
		w->events = 0;
	} else if ((w->events & ~w->wanted) != 0) {
		set_events(w, w->wanted);
		events &= w->wanted;
	}
	if (w->wanted == 0 || events == 0)
		return;
	conn_on_event(c, (events & UV_READABLE) != 0, (events & UV_WRITABLE) != 0, (events & UV_DISCONNECT) != 0);
	if (status < 0)
		conn_rewatch(c);
}

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void drop_watch(struct conn *c)
{
	struct socket_watch *w = c->io_data;

	if (w == NULL)
		return;
	c->io_data = NULL;
	uv_poll_stop(&w->poll);
	uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static void socket_watch(struct conn *c, bool readable, bool writable)
{
	int events = (readable ? UV_READABLE | UV_DISCONNECT : 0) | (writable ? UV_WRITABLE : 0);
	struct socket_watch *w = c->io_data;

	if (w == NULL && events == 0)
		return;
	if (w == NULL) {
		w = mem_new(sizeof(*w));
		w->conn = c;
		if (uv_poll_init(worker_loop_uv(c->worker->loop), &w->poll, c->fd) != 0) {
			free(w);
			conn_break(c); /* nothing would ever be heard of it */
			return;
		}
		w->poll.data = w;
		c->io_data = w;
	}
	w->wanted = events;
	/* Who is not read for a moment mostly says nothing meanwhile: libuv hears of it when something comes. */
	if ((events & ~w->events) != 0 || (w->events & ~events & UV_WRITABLE) != 0)
		set_events(w, events);
}

static void socket_shut_write(struct conn *c)
{
	shutdown(c->fd, SHUT_WR);
}

static void socket_close(struct conn *c)
{
	drop_watch(c);
	close(c->fd);
	c->fd = -1;
}

/* Half of the time passes in silence before the peer's system is asked. */
static void socket_set_dead_after(struct conn *c, uint64_t ms)
{
	int on = 1, user_timeout = (int)ms, probes = 3, idle = (int)(ms / 2000), interval = (int)(ms / 6000);

	idle = idle < 1 ? 1 : idle;
	interval = interval < 1 ? 1 : interval;
	setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
}

const struct conn_io conn_socket_io = {
	.recv = socket_recv,
	.send = socket_send,
	.watch = socket_watch,
	.leave = drop_watch,
	.shut_write = socket_shut_write,
	.close = socket_close,
	.set_dead_after = socket_set_dead_after,
};

bool conn_socket_is_leaving(const struct conn *c)
{
	int unacknowledged = 0;

	if (!c->is_closing || c->is_broken)
		return false;
	return conn_queued(c) != 0 || (ioctl(c->fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0);
}

void conn_socket_refuse(int fd, const char *bytes, size_t len)
{
	if (len != 0 && send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
		shutdown(fd, SHUT_WR);
	close(fd);
}
