/* SPDX-License-Identifier: MIT */
/* Connections in the making, over real sockets. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/dial.h"
#include "net/watch.h"

struct making {
	struct watch *watch;
	int fd;
	dial_made_cb *made;
	void *arg;
};

static void on_ready(void *arg, bool readable, bool writable)
{
	struct making making = *(struct making *)arg;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)readable, (void)writable;
	if (getsockopt(making.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	watch_free(making.watch);
	free(arg);
	if (error != 0)
		close(making.fd);
	making.made(making.arg, error == 0 ? making.fd : -1, error);
}

/* A socket that is being connected, or -1 with errno. */
static int open_socket(const struct sockaddr *address, socklen_t len)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, error;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, address, len) == 0 || errno == EINPROGRESS)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static void *socket_begin(const struct dial_io *io, struct worker *w, const struct sockaddr *address, socklen_t len,
                          dial_made_cb *made, void *arg)
{
	struct making *m;
	int fd = open_socket(address, len);

	(void)io;
	if (fd < 0)
		return NULL;
	m = mem_new(sizeof(*m));
	m->fd = fd;
	m->made = made;
	m->arg = arg;
	m->watch = watch_new(w, fd, on_ready, m);
	if (m->watch == NULL) {
		close(fd);
		free(m);
		errno = EMFILE;
		return NULL;
	}
	watch_set(m->watch, false, true);
	return m;
}

static void socket_stop(const struct dial_io *io, void *making)
{
	struct making *m = making;

	(void)io;
	watch_free(m->watch);
	close(m->fd);
	free(m);
}

const struct dial_io dial_socket_io = { .begin = socket_begin, .stop = socket_stop };
