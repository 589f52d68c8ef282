/* SPDX-License-Identifier: MIT */
/* Listening sockets. */
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/worker_loop.h"

#define BACKLOG 1024
/* Connections taken per event, so that a storm of them does not starve sessions. */
#define ACCEPT_BATCH 16
#define RETRY_MS 200

struct listener {
	struct mail starting;       /* for listener_start */
	struct mail closing;        /* for listener_close, which may come before the worker has seen that */
	struct worker *worker;
	listener_cb *cb;
	void *arg;
	uv_poll_t poll;
	struct timer retry;         /* running while there are no file descriptors */
	int fd;
	bool is_started, is_exhausted;
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t parse_address(const char *text, unsigned port, union address *a)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons((uint16_t)port);
		return sizeof(a->v4);
	}
	if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)port);
		return sizeof(a->v6);
	}
	return 0;
}

static void format_address(const union address *a, char *out, size_t room)
{
	if (a->any.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->v4.sin_addr, out, (socklen_t)room);
	else if (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		inet_ntop(AF_INET, &a->v6.sin6_addr.s6_addr[12], out, (socklen_t)room);
	else
		inet_ntop(AF_INET6, &a->v6.sin6_addr, out, (socklen_t)room);
}

static int open_socket(const union address *a, socklen_t len)
{
	int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (a->any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &a->any, len) != 0 || listen(fd, BACKLOG) != 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* SO_REUSEPORT would let a second daemon of the same user share our port: ask without it first. */
static int probe_port(const union address *a, socklen_t len)
{
	int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, rc;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	rc = bind(fd, &a->any, len);
	if (rc != 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	close(fd);
	return 0;
}

int listener_open(struct worker *w, const char *address, unsigned port, listener_cb *cb, void *arg,
                  struct listener **listener, struct err_text *et)
{
	struct listener *l;
	union address a;
	socklen_t len = parse_address(address, port, &a);
	int fd;

	if (len == 0) {
		err_text_set(et, "\"%s\" is not an IPv4 or IPv6 address to listen on", address);
		return -ERR_INVALID;
	}
	fd = w->id == 0 && probe_port(&a, len) != 0 ? -1 : open_socket(&a, len);
	if (fd < 0) {
		err_text_set(et, "cannot listen on %s port %u: %s", address, port, strerror(errno));
		return errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL ? -ERR_UNSUPPORTED : -ERR_IO;
	}
	l = mem_new(sizeof(*l));
	l->worker = w;
	l->cb = cb;
	l->arg = arg;
	l->fd = fd;
	*listener = l;
	return 0;
}

unsigned listener_port(const struct listener *l)
{
	union address a;
	socklen_t len = sizeof(a);

	if (getsockname(l->fd, &a.any, &len) != 0)
		return 0;
	return ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

static void on_ready(uv_poll_t *poll, int status, int events);

/* The system may have no room for another watched descriptor; then it is tried again. */
static void watch(struct listener *l)
{
	int rc = l->is_started ? 0 : uv_poll_init(worker_loop_uv(l->worker->loop), &l->poll, l->fd);

	if (rc != 0) {
		log_error(&l->worker->log, "cannot wait for connections yet: %s", uv_strerror(rc));
		worker_timer_start(l->worker, &l->retry, RETRY_MS);
		return;
	}
	l->poll.data = l;
	l->is_started = true;
	uv_poll_start(&l->poll, UV_READABLE, on_ready);
}

static void on_retry(struct worker *w, struct timer *t)
{
	(void)w;
	watch(LIST_ENTRY(t, struct listener, retry));
}

/* No file descriptors, or no memory for one: wait for some to come back. */
static void pause_accepting(struct listener *l)
{
	if (!l->is_exhausted)
		log_error(&l->worker->log, "cannot accept connections for now: %s; raise the limit of open files",
		          strerror(errno));
	l->is_exhausted = true;
	metrics_add(&l->worker->metrics, METRIC_ACCEPT_PAUSES, 1);
	uv_poll_stop(&l->poll);
	worker_timer_start(l->worker, &l->retry, RETRY_MS);
}

static bool is_exhaustion(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;
	char text[INET6_ADDRSTRLEN];
	union address a;
	int on = 1;

	(void)status, (void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		socklen_t len = sizeof(a);
		int fd = accept4(l->fd, &a.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (is_exhaustion(errno))
				pause_accepting(l);
			return;
		}
		if (l->is_exhausted)
			log_info(&l->worker->log, "accepting connections again");
		l->is_exhausted = false;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		format_address(&a, text, sizeof(text));
		l->cb(l->worker, l->arg, fd, text);
	}
}

static void run_start(struct worker *w, struct mail *mail)
{
	struct listener *l = LIST_ENTRY(mail, struct listener, starting);

	(void)w;
	l->retry.fire = on_retry;
	watch(l);
}

void listener_start(struct listener *l)
{
	l->starting.run = run_start;
	worker_post(l->worker, &l->starting);
}

static void on_poll_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void run_close(struct worker *w, struct mail *mail)
{
	struct listener *l = LIST_ENTRY(mail, struct listener, closing);

	worker_timer_stop(w, &l->retry);
	if (!l->is_started) {
		close(l->fd);
		free(l);
		return;
	}
	uv_poll_stop(&l->poll);
	close(l->fd);
	uv_close((uv_handle_t *)&l->poll, on_poll_closed);
}

void listener_close(struct listener **listener)
{
	struct listener *l = *listener;

	*listener = NULL;
	if (l == NULL)
		return;
	if (l->worker->loop == NULL) {
		close(l->fd);
		free(l);
		return;
	}
	l->closing.run = run_close;
	worker_post(l->worker, &l->closing);
}
