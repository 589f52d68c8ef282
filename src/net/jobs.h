/* SPDX-License-Identifier: MIT */
/* Threads for work that takes milliseconds, such as hashing passwords. */
#ifndef NET_JOBS_H
#define NET_JOBS_H

#include <stdbool.h>

#include "base/env.h"
#include "net/worker.h"

struct jobs;

/* A piece of work, embedded in what it needs. */
struct job {
	struct mail mail;
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

#endif
