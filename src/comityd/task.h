/* SPDX-License-Identifier: MIT */
/* What a command started and does not wait for, because it takes long: comityctl asks again and again what
 * has come of it, so that the main thread stays free. */
#ifndef COMITYD_TASK_H
#define COMITYD_TASK_H

#include <stdbool.h>

#include "comityd/daemon.h"

struct task;

/* Main thread. The caller has one reference, for whoever will call task_end. */
struct task *task_new(struct daemon *d);
/* The answer that tells comityctl to come back. */
json_t *task_answer(const struct task *t);
/* The command that it comes back with: what has come since, and at the end the answer. */
json_t *task_poll(struct daemon *d, const char *id);
/* Forgets all; those that still run keep their own reference. */
void tasks_drop(struct daemon *d);

/* Any thread: a line to show at once. */
void task_note(struct task *t, const char *line);
/* Any thread: the end, with a sentence that is kept; gives up the reference. */
void task_end(struct task *t, bool ok, char *text);

#endif
