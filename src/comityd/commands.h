/* SPDX-License-Identifier: MIT */
/* Between the files of commands: a command at work, and its answers. */
#ifndef COMITYD_COMMANDS_H
#define COMITYD_COMMANDS_H

#include "comityd/daemon.h"

/* Longest wait for something a command started. */
#define COMMAND_WAIT_S 20

struct command {
	struct daemon *d;
	const char *args[4];
	size_t count;
	const char *input;     /* NULL: none */
	json_t *rows;
};

typedef json_t *command_fn(struct command *c);

json_t *command_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
json_t *command_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The answer with rows; columns are words with spaces between. */
json_t *command_table(struct command *c, const char *columns);

/* Figures (commands_stats.c). */
json_t *command_stats(struct command *c);
void command_add_figure(struct command *c, const char *name, uint64_t value, const char *help);

/* Memory (commands_memory.c). */
void command_add_memory(struct command *c);
json_t *command_memory(struct command *c);

/* Federation (commands_fed.c). */
json_t *command_s2s_list(struct command *c);
json_t *command_s2s_show(struct command *c);
json_t *command_s2s_close(struct command *c);
json_t *command_s2s_retry(struct command *c);
json_t *command_s2s_flush(struct command *c);
json_t *command_why(struct command *c);

#endif
