/* SPDX-License-Identifier: MIT */
/* Passwords from a person at a terminal or from a program on standard input. */
#include "comityctl/password.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"

/* RFC 8265 sets no limit; this is more than anyone types. */
#define PASSWORD_MAX 1024

void password_free(char *password)
{
	if (password == NULL)
		return;
	mem_wipe(password, strlen(password));
	free(password);
}

/* line: what was read, with or without its line end. */
static int take_line(const char *line, char **password, struct err_text *et)
{
	size_t len = strcspn(line, "\r\n");

	if (len == 0) {
		err_text_set(et, "the password is empty");
		return -ERR_INVALID;
	}
	if (len >= PASSWORD_MAX) {
		err_text_set(et, "the password is longer than %d bytes", PASSWORD_MAX - 1);
		return -ERR_TOO_LONG;
	}
	*password = mem_dup(line, len);
	return 0;
}

int password_read(FILE *from, char **password, struct err_text *et)
{
	char line[PASSWORD_MAX + 2];
	int rc;

	if (fgets(line, sizeof(line), from) == NULL) {
		err_text_set(et, ferror(from) ? "cannot read the password from standard input" :
		                                "there is no password on standard input");
		return ferror(from) ? -ERR_IO : -ERR_INVALID;
	}
	rc = take_line(line, password, et);
	mem_wipe(line, sizeof(line));
	return rc;
}

/* ---- at a terminal ---- */

struct terminal {
	int fd, signals;       /* signals: a signalfd that holds back what would leave the echo off */
	struct termios before;
	sigset_t held, mask;
};

static int terminal_open(struct terminal *t, struct err_text *et)
{
	struct termios silent;

	t->fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (t->fd < 0 || tcgetattr(t->fd, &t->before) != 0) {
		if (t->fd >= 0)
			close(t->fd);
		err_text_set(et, "there is no terminal to ask for the password; give it with --stdin");
		return -ERR_IO;
	}
	sigemptyset(&t->held);
	sigaddset(&t->held, SIGINT);
	sigaddset(&t->held, SIGTERM);
	sigaddset(&t->held, SIGQUIT);
	sigaddset(&t->held, SIGHUP);
	sigprocmask(SIG_BLOCK, &t->held, &t->mask);
	t->signals = signalfd(-1, &t->held, SFD_CLOEXEC);
	silent = t->before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ICANON | ECHONL;
	tcsetattr(t->fd, TCSAFLUSH, &silent);
	return 0;
}

static void terminal_close(struct terminal *t)
{
	tcsetattr(t->fd, TCSAFLUSH, &t->before);
	close(t->signals);
	close(t->fd);
	sigprocmask(SIG_SETMASK, &t->mask, NULL);
}

/* Ends the process as the signal would have. */
static void obey_signal(struct terminal *t)
{
	struct signalfd_siginfo info = { 0 };

	if (read(t->signals, &info, sizeof(info)) != sizeof(info))
		return;
	dprintf(t->fd, "\n");
	terminal_close(t);
	raise((int)info.ssi_signo);
	_exit(128 + (int)info.ssi_signo);
}

/* A line in canonical mode comes whole; empty at the end of input. */
static void read_line(struct terminal *t, char *line, size_t room)
{
	struct pollfd fds[2] = { { .fd = t->fd, .events = POLLIN }, { .fd = t->signals, .events = POLLIN } };
	ssize_t n;

	while (poll(fds, 2, -1) < 0 || fds[0].revents == 0)
		if ((fds[1].revents & POLLIN) != 0)
			obey_signal(t);
	n = read(t->fd, line, room - 1);
	line[n > 0 ? n : 0] = '\0';
}

static int ask_once(struct terminal *t, const char *what, const char *jid, char **password, struct err_text *et)
{
	char line[PASSWORD_MAX + 2];
	int rc;

	dprintf(t->fd, "%s %s: ", what, jid);
	read_line(t, line, sizeof(line));
	rc = take_line(line, password, et);
	mem_wipe(line, sizeof(line));
	return rc;
}

int password_ask(const char *jid, char **password, struct err_text *et)
{
	struct terminal t;
	char *first = NULL, *second = NULL;
	int rc = terminal_open(&t, et);

	if (rc != 0)
		return rc;
	rc = ask_once(&t, "Password for", jid, &first, et);
	if (rc == 0)
		rc = ask_once(&t, "The same again for", jid, &second, et);
	terminal_close(&t);
	if (rc == 0 && strcmp(first, second) != 0) {
		err_text_set(et, "the two passwords differ");
		rc = -ERR_INVALID;
	}
	password_free(second);
	if (rc == 0)
		*password = first;
	else
		password_free(first);
	return rc;
}
