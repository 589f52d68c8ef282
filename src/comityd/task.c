/* SPDX-License-Identifier: MIT */
/* Commands that take long. */
#include "comityd/task.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "comityd/commands.h"

/* A client that never comes back for the result leaves it here; the oldest goes when there are more. */
#define TASKS_MAX 32
#define LINES_MAX 1000

struct task {
	_Atomic int refs;
	struct list link;              /* in daemon->tasks; main thread only */
	char id[17];
	uint64_t began_ms;
	struct comity_env *env;
	pthread_mutex_t lock;
	json_t *lines;                 /* not shown yet */
	bool is_done, is_ok;
	char *text;
};

static void task_unref(struct task *t)
{
	if (atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&t->lock);
	json_decref(t->lines);
	free(t->text);
	free(t);
}

static void drop(struct daemon *d, struct task *t)
{
	list_remove(&t->link);
	d->task_count--;
	task_unref(t);
}

struct task *task_new(struct daemon *d)
{
	struct task *t = mem_new(sizeof(*t));
	unsigned char random[8];

	atomic_init(&t->refs, 2);
	t->env = &d->env;
	t->began_ms = d->env.mono_ms(&d->env);
	d->env.random(&d->env, random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(t->id + 2 * i, 3, "%02x", random[i]);
	pthread_mutex_init(&t->lock, NULL);
	t->lines = json_array();
	list_init(&t->link);
	list_append(&d->tasks, &t->link);
	if (++d->task_count > TASKS_MAX)
		drop(d, LIST_ENTRY(d->tasks.next, struct task, link));
	return t;
}

void tasks_drop(struct daemon *d)
{
	LIST_EACH(l, next, &d->tasks)
		drop(d, LIST_ENTRY(l, struct task, link));
}

json_t *task_answer(const struct task *t)
{
	return json_pack("{s:b, s:s}", "ok", 1, "task", t->id);
}

static struct task *find(struct daemon *d, const char *id)
{
	LIST_EACH(l, next, &d->tasks)
		if (strcmp(LIST_ENTRY(l, struct task, link)->id, id) == 0)
			return LIST_ENTRY(l, struct task, link);
	return NULL;
}

json_t *task_poll(struct daemon *d, const char *id)
{
	struct task *t = find(d, id);
	json_t *answer;
	bool is_done;

	if (t == NULL)
		return command_fail("this task is not known any more");
	pthread_mutex_lock(&t->lock);
	is_done = t->is_done;
	if (!is_done)
		answer = task_answer(t);
	else
		answer = t->is_ok ? command_say("%s", t->text) : command_fail("%s", t->text);
	json_object_set_new(answer, "lines", t->lines);
	t->lines = json_array();
	pthread_mutex_unlock(&t->lock);
	if (is_done)
		drop(d, t);
	return answer;
}

void task_note(struct task *t, const char *line)
{
	char *stamped;

	pthread_mutex_lock(&t->lock);
	if (json_array_size(t->lines) < LINES_MAX) {
		stamped = mem_printf("%6llu ms  %s", (unsigned long long)(t->env->mono_ms(t->env) - t->began_ms), line);
		text_clean(stamped);
		json_array_append_new(t->lines, json_string(stamped));
		free(stamped);
	}
	pthread_mutex_unlock(&t->lock);
}

void task_end(struct task *t, bool ok, char *text)
{
	pthread_mutex_lock(&t->lock);
	t->is_done = true;
	t->is_ok = ok;
	t->text = text;
	pthread_mutex_unlock(&t->lock);
	task_unref(t);
}
