/* SPDX-License-Identifier: MIT */
/* One question to the daemon's control socket: a line of JSON there, a line of JSON back. */
#include "comityctl/client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define ANSWER_MAX (256 * 1024 * 1024)

json_t *client_make_request(char *const *args, int count, const char *input)
{
	json_t *request = json_object(), *words = json_array(), *text;
	bool is_sound = true;

	for (int i = 0; i < count; i++)
		is_sound = json_array_append_new(words, json_string(args[i])) == 0 && is_sound;
	json_object_set_new(request, "args", words);
	if (input != NULL) {
		text = json_string(input);
		is_sound = json_object_set_new(request, "input", text) == 0 && is_sound;
	}
	if (is_sound)
		return request;
	json_decref(request);
	return NULL;
}

static int explain(const char *path, int error, struct err_text *et)
{
	const char *cause = strerror(error);

	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		err_text_set(et, "cannot reach comityd at %s: %s: is it running?", path, cause);
		return -ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
		err_text_set(et, "cannot reach comityd at %s: %s: only root, the server's user and its group may", path, cause);
		return -ERR_DENIED;
	case EAGAIN:
		err_text_set(et, "comityd at %s does not answer in time", path);
		return -ERR_TIMEOUT;
	default:
		err_text_set(et, "cannot reach comityd at %s: %s", path, cause);
		return -ERR_IO;
	}
}

/* A connected socket whose calls take at most that long, or minus an error. */
static int open_socket(const char *path, unsigned seconds, struct err_text *et)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = seconds };
	int fd, error;

	if (strlen(path) >= sizeof(a.sun_path)) {
		err_text_set(et, "the socket's path is longer than %zu bytes: %s", sizeof(a.sun_path) - 1, path);
		return -ERR_TOO_LONG;
	}
	memcpy(a.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return explain(path, errno, et);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	error = errno;
	close(fd);
	return explain(path, error, et);
}

static int send_all(int fd, const char *bytes, size_t len)
{
	while (len != 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* 0 at the end of the answer, or an errno. */
static int receive_all(int fd, struct buf *in)
{
	for (;;) {
		ssize_t n = recv(fd, buf_reserve(in, 65536), 65536, 0);

		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0)
			buf_commit(in, (size_t)n);
		if (buf_size(in) > ANSWER_MAX)
			return EMSGSIZE;
	}
}

static int parse_answer(const char *path, const struct buf *in, json_t **answer, struct err_text *et)
{
	json_error_t why;
	json_t *found;

	if (buf_size(in) == 0) {
		err_text_set(et, "comityd at %s closed the connection without an answer", path);
		return -ERR_CLOSED;
	}
	found = json_loadb(buf_bytes(in), buf_size(in), 0, &why);
	if (!json_is_boolean(json_object_get(found, "ok"))) {
		err_text_set(et, "what listens at %s does not answer as comityd does", path);
		json_decref(found);
		return -ERR_INVALID;
	}
	*answer = found;
	return 0;
}

int client_ask(const char *path, const json_t *request, unsigned seconds, json_t **answer, struct err_text *et)
{
	char *line;
	struct buf in = { 0 };
	int fd = open_socket(path, seconds, et), rc;

	if (fd < 0)
		return fd;
	line = json_dumps(request, JSON_COMPACT);
	rc = send_all(fd, line, strlen(line));
	if (rc == 0)
		rc = send_all(fd, "\n", 1);
	if (rc == 0)
		rc = receive_all(fd, &in);
	close(fd);
	mem_wipe(line, strlen(line));
	free(line);
	rc = rc != 0 ? explain(path, rc, et) : parse_answer(path, &in, answer, et);
	buf_deinit(&in);
	return rc;
}
