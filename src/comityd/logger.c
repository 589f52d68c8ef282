/* SPDX-License-Identifier: MIT */
/* Where log lines go: stderr, syslog or a file. */
#include "comityd/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

static const int priorities[] = { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR };

/* One writev per line, so that lines of several threads do not mix. */
static void write_line(struct logger *l, enum log_level level, const char *line)
{
	char head[64];
	struct timespec ts;
	struct tm tm;
	struct iovec iov[3];
	size_t n;

	if (l->is_journal) {
		snprintf(head, sizeof(head), "<%d>%s ", priorities[level], log_level_name(level));
	} else {
		clock_gettime(CLOCK_REALTIME, &ts);
		gmtime_r(&ts.tv_sec, &tm);
		n = strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(head + n, sizeof(head) - n, ".%03ldZ %s ", ts.tv_nsec / 1000000, log_level_name(level));
	}
	iov[0] = (struct iovec){ head, strlen(head) };
	iov[1] = (struct iovec){ (void *)(size_t)line, strlen(line) };
	iov[2] = (struct iovec){ (void *)(size_t)"\n", 1 };
	if (writev(l->fd, iov, 3) < 0)
		return; /* nobody to tell */
}

static void write_anywhere(struct logger *l, enum log_level level, const char *line)
{
	if (l->fd < 0)
		syslog(priorities[level], "%s", line);
	else
		write_line(l, level, line);
}

static void tell_left_out(struct logger *l, enum log_level level, uint64_t lines)
{
	char text[120];

	if (lines == 0)
		return;
	snprintf(text, sizeof(text), "%llu lines of level %s were left out: the log takes %d a second for long",
	         (unsigned long long)lines, log_level_name(level), LOG_LIMIT_PER_S);
	write_anywhere(l, LOG_LEVEL_WARNING, text);
}

/* Strangers can cause lines of these levels at will. Who turns on debug lines wants them all. */
static struct log_limit *limit_of(struct logger *l, enum log_level level)
{
	if (level == LOG_LEVEL_INFO)
		return &l->infos;
	return level == LOG_LEVEL_WARNING ? &l->warnings : NULL;
}

static bool is_admitted(struct logger *l, enum log_level level)
{
	struct log_limit *limit = limit_of(l, level);
	uint64_t left_out = 0;
	struct timespec ts;
	bool ok;

	if (limit == NULL)
		return true;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	pthread_mutex_lock(&l->lock);
	ok = log_limit_take(limit, (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000, &left_out);
	pthread_mutex_unlock(&l->lock);
	tell_left_out(l, level, left_out);
	return ok;
}

static void on_line(struct log *log, enum log_level level, const char *line)
{
	struct logger *l = (struct logger *)(void *)log;

	if (is_admitted(l, level))
		write_anywhere(l, level, line);
}

/* Sets *is_new when it was not there. */
static int open_file(const char *path, bool *is_new, struct err_text *et)
{
	const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
	int fd = open(path, flags | O_EXCL, 0640);

	*is_new = fd >= 0;
	if (fd < 0)
		fd = open(path, flags, 0640);
	if (fd < 0)
		err_text_set(et, "cannot open the log file %s: %s", path, strerror(errno));
	return fd;
}

int logger_open(struct logger *l, const char *to, enum log_level level, struct err_text *et)
{
	*l = (struct logger){ .log.write = on_line, .fd = STDERR_FILENO };
	pthread_mutex_init(&l->lock, NULL);
	atomic_store(&l->log.level, (int)level);
	if (strcmp(to, "stderr") == 0) {
		l->is_journal = getenv("JOURNAL_STREAM") != NULL;
	} else if (strcmp(to, "syslog") == 0) {
		l->fd = -1;
		openlog("comityd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	} else {
		l->fd = open_file(to, &l->is_new, et);
		if (l->fd < 0)
			return -ERR_IO;
		l->path = mem_strdup(to);
	}
	return 0;
}

int logger_reopen(struct logger *l, struct err_text *et)
{
	int fd, rc = 0;
	bool is_new;

	if (l->path == NULL)
		return 0;
	fd = open_file(l->path, &is_new, et);
	if (fd < 0)
		return -ERR_IO;
	/* Under the number of the old one, at once: lines that are on their way go to one or the other. */
	if (dup3(fd, l->fd, O_CLOEXEC) < 0) {
		err_text_set(et, "cannot change to the log file %s: %s", l->path, strerror(errno));
		rc = -ERR_IO;
	}
	close(fd);
	return rc;
}

void logger_close(struct logger *l)
{
	tell_left_out(l, LOG_LEVEL_INFO, l->infos.left_out);
	tell_left_out(l, LOG_LEVEL_WARNING, l->warnings.left_out);
	pthread_mutex_destroy(&l->lock);
	if (l->fd < 0)
		closelog();
	else if (l->path != NULL)
		close(l->fd);
	free(l->path);
}
