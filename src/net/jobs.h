/* SPDX-License-Identifier: MIT */
/* Threads for work that takes milliseconds, such as hashing passwords. */
#ifndef NET_JOBS_H
#define NET_JOBS_H

#include <stdbool.h>

#include "base/env.h"
#include "base/err.h"
#include "base/list.h"
#include "net/worker.h"

struct jobs;

/* Of jobs that strangers ask for, so many may wait. To hash a password 10,000 times takes more than a millisecond:
 * two threads are done with all of them within seconds, while there is time to log in. */
#define JOBS_WAITING_MAX 4096

/* A piece of work, embedded in what it needs. */
struct job {
	struct mail mail;
	struct list link;                                /* while it waits for a thread */
	struct worker *worker;
	bool can_wait;                                   /* lets all jobs that cannot go first, as a rule */
	void (*work)(struct job *job);                   /* on a job thread */
	void (*done)(struct worker *w, struct job *job); /* on the worker that asked; owns the job */
};

struct jobs *jobs_new(struct comity_env *env, unsigned threads);
/* Finishes what was asked for. */
void jobs_free(struct jobs *jobs);
/* With env->inline_jobs the work is done before the call returns; done comes by mail in any case. */
void jobs_run(struct jobs *jobs, struct worker *w, struct job *job);
/* The same for work that strangers ask for; -ERR_LIMIT, and nothing comes of it, when too much of that waits already. */
int jobs_try_run(struct jobs *jobs, struct worker *w, struct job *job);
/* Whether it has not begun: then it never does, and belongs to the caller again. Else done comes as ever. Only by the
 * worker that asked for it, before done has come. */
bool jobs_cancel(struct jobs *jobs, struct job *job);

#endif
