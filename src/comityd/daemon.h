/* SPDX-License-Identifier: MIT */
/* The daemon: all parts together. */
#ifndef COMITYD_DAEMON_H
#define COMITYD_DAEMON_H

#include <jansson.h>
#include <stdbool.h>

#include "comityd/assemble.h"
#include "comityd/logger.h"
#include "comityd/memory.h"
#include "net/listener.h"

struct daemon {
	struct logger logger;
	struct log_ctx log;
	struct comity_env env;
	struct server server;
	struct assembly assembly;
	struct conf *conf;
	struct settings *settings;
	const char *config_path;
	struct listeners {
		struct listener **items;
		size_t count;
	} for_clients, for_servers;
	unsigned c2s_port, c2s_tls_port, s2s_port, s2s_tls_port;   /* as they are, when 0 was not asked for */
	int control_fd, signal_fd;
	char *control_path;
	char *ready_path;                  /* the ready file that was written; NULL: none was */
	struct list tasks;                 /* of commands that take long (task.h) */
	unsigned task_count;
	struct memory_watch *memory;
};

/* ---- workers (crew.c) ---- */

/* Makes workers and routers; they run after crew_start. */
void crew_init(struct daemon *d);
int crew_start(struct daemon *d, struct err_text *et);
/* Binds all ports; before privileges are dropped. */
int crew_listen(struct daemon *d, struct err_text *et);
void crew_accept(struct daemon *d);
/* Runs fn on a worker and waits for it. */
void crew_call(struct daemon *d, struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg);
/* Starts something on a worker that ends by crew_done, and waits for that; false when it takes longer
 * than seconds, then w may still come (its memory is the waiter's until both are through). */
struct waiter;
bool crew_await(struct daemon *d, struct worker *w, void (*start)(struct worker *w, struct waiter *waiter), void *arg,
                unsigned seconds);
void *waiter_arg(struct waiter *waiter);
void waiter_done(struct waiter *waiter);
/* Hands a configuration to every worker; only the first may fail, see router_configure(). */
int crew_configure(struct daemon *d, struct settings *settings, struct err_text *et);
/* Brings back the sessions that the journals of the last start hold, and begins new journals. */
int crew_restore(struct daemon *d, struct err_text *et);
/* Ends all streams with system-shutdown, commits, stops the threads. */
void crew_stop(struct daemon *d);

/* ---- the rest ---- */

/* Reads the configuration anew and takes it over, or keeps the old one and says why (reload.c). */
int daemon_reload(struct daemon *d, struct err_text *et);
/* The control socket (control.c). */
int control_open(struct daemon *d, struct err_text *et);
/* False, with errno, when the one who waits there cannot be let in now: for want of descriptors. */
bool control_serve(struct daemon *d);
void control_close(struct daemon *d);
/* One command (commands.c): the answer object. */
json_t *command_run(struct daemon *d, json_t *request);
/* Drops root for user and group, keeping nothing; file (-1: none) is theirs from then on (privileges.c). */
int privileges_drop(const char *user, const char *group, int file, struct err_text *et);
/* Gives up all capabilities of this thread and those it starts, and is to get no new ones, nor system calls that no
 * server needs; before there are other threads. A kernel that filters no calls is told to the log. */
int privileges_confine(const struct log_ctx *log, struct err_text *et);
/* sd_notify by hand; nothing when not started by systemd. */
void notify_systemd(const char *state);

#endif
