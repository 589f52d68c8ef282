/* SPDX-License-Identifier: MIT */
/* The control socket: one JSON request, one JSON answer per connection. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "comityd/task.h"

#define REQUEST_MAX 65536
/* The main thread serves one client after the other, and signals after that: one that does not finish its
 * request or does not read must not hold them up. */
#define REQUEST_MS 1000
#define ANSWER_MS 3000

static int make_address(const char *path, struct sockaddr_un *a, struct err_text *et)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(a->sun_path)) {
		err_text_set(et, "control_socket: the path %s is longer than %zu bytes", path, sizeof(a->sun_path) - 1);
		return -ERR_TOO_LONG;
	}
	memcpy(a->sun_path, path, strlen(path) + 1);
	return 0;
}

/* A file that an option names by mistake is not ours to remove. */
static int check_place(const char *path, struct err_text *et)
{
	struct stat st;

	if (lstat(path, &st) != 0 || S_ISSOCK(st.st_mode))
		return 0;
	err_text_set(et, "control_socket: %s is there and is no socket; it was left as it is", path);
	return -ERR_EXISTS;
}

/* A socket that nobody listens on was left by a crash. */
static bool is_stale(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) != 0 && errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return stale;
}

int control_open(struct daemon *d, struct err_text *et)
{
	const struct server_conf *c = assemble_server_conf(d->conf);
	struct sockaddr_un a;
	mode_t mask;
	int rc;

	d->control_path = c->control_socket != NULL ? mem_strdup(c->control_socket) :
	                                              mem_printf("%s/control.sock", c->data_dir);
	if (make_address(d->control_path, &a, et) != 0)
		return -ERR_TOO_LONG;
	rc = check_place(d->control_path, et);
	if (rc != 0)
		return rc;
	d->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (is_stale(&a))
		unlink(d->control_path);
	mask = umask(0117); /* owner and group may control the server, others not */
	rc = bind(d->control_fd, (struct sockaddr *)&a, sizeof(a));
	umask(mask);
	if (rc != 0 || listen(d->control_fd, 16) != 0) {
		err_text_set(et, "cannot listen on the control socket %s: %s", d->control_path, strerror(errno));
		close(d->control_fd);
		d->control_fd = -1;
		return -ERR_IO;
	}
	return 0;
}

void control_close(struct daemon *d)
{
	if (d->control_fd >= 0) {
		close(d->control_fd);
		unlink(d->control_path);
	}
	free(d->control_path);
	tasks_drop(d);
}

/* False when that did not happen before the deadline. */
static bool await(struct daemon *d, int fd, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now = d->env.mono_ms(&d->env);

	return now < deadline && poll(&p, 1, (int)(deadline - now)) > 0;
}

/* Reads up to a newline; false when the client does not come to it. */
static bool read_request(struct daemon *d, int fd, struct buf *in)
{
	uint64_t deadline = d->env.mono_ms(&d->env) + REQUEST_MS;

	while (buf_size(in) < REQUEST_MAX) {
		ssize_t n;

		if (!await(d, fd, POLLIN, deadline))
			return false;
		n = recv(fd, buf_reserve(in, 4096), 4096, 0);
		if (n <= 0)
			return false;
		buf_commit(in, (size_t)n);
		if (memchr(buf_bytes(in), '\n', buf_size(in)) != NULL)
			return true;
	}
	return false;
}

static void send_all(struct daemon *d, int fd, const char *text, size_t len)
{
	uint64_t deadline = d->env.mono_ms(&d->env) + ANSWER_MS;

	while (len != 0) {
		ssize_t n;

		if (!await(d, fd, POLLOUT, deadline))
			return;
		n = send(fd, text, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static void serve(struct daemon *d, int fd)
{
	json_t *request, *answer;
	struct buf in = { 0 };
	char *text;

	if (read_request(d, fd, &in)) {
		request = json_loadb(buf_bytes(&in), buf_size(&in), JSON_DISABLE_EOF_CHECK, NULL);
		answer = command_run(d, request);
		text = json_dumps(answer, JSON_COMPACT);
		if (text != NULL) {
			send_all(d, fd, text, strlen(text));
			send_all(d, fd, "\n", 1);
		}
		free(text);
		json_decref(answer);
		json_decref(request);
	}
	mem_wipe(in.data, in.cap);
	buf_deinit(&in);
	close(fd);
}

bool control_serve(struct daemon *d)
{
	int fd = accept4(d->control_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		serve(d, fd);
	return fd >= 0 || errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
}
