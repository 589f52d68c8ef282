/* SPDX-License-Identifier: MIT */
/* Threads for work that takes milliseconds. */
#include "net/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/lanes.h"
#include "base/mem.h"

struct jobs {
	struct comity_env *env;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	struct lanes lanes;          /* jobs; those that can wait are not urgent */
	size_t urgent_count;
	bool is_ending;
	unsigned count;
	pthread_t threads[];
};

/* The job whose turn it is; NULL when none waits. */
static struct job *shift(struct jobs *jobs)
{
	struct list *first = lanes_shift(&jobs->lanes);
	struct job *job;

	if (first == NULL)
		return NULL;
	job = LIST_ENTRY(first, struct job, link);
	jobs->urgent_count -= !job->can_wait;
	return job;
}

static void run_done(struct worker *w, struct mail *mail)
{
	struct job *job = LIST_ENTRY(mail, struct job, mail);

	job->done(w, job);
}

static void *run_thread(void *arg)
{
	struct jobs *jobs = arg;
	struct job *job;

	pthread_setname_np(pthread_self(), "job");
	pthread_mutex_lock(&jobs->lock);
	while ((job = shift(jobs)) != NULL || !jobs->is_ending) {
		if (job == NULL) {
			pthread_cond_wait(&jobs->wanted, &jobs->lock);
			continue;
		}
		pthread_mutex_unlock(&jobs->lock);
		job->work(job);
		worker_post(job->worker, &job->mail);
		pthread_mutex_lock(&jobs->lock);
	}
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

struct jobs *jobs_new(struct comity_env *env, unsigned threads)
{
	struct jobs *jobs;
	sigset_t all, old;

	if (env->inline_jobs)
		threads = 0;
	jobs = mem_new(sizeof(*jobs) + threads * sizeof(pthread_t));
	jobs->env = env;
	lanes_init(&jobs->lanes);
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->wanted, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (jobs->count < threads)
		if (pthread_create(&jobs->threads[jobs->count++], NULL, run_thread, jobs) != 0)
			abort();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return jobs;
}

void jobs_free(struct jobs *jobs)
{
	if (jobs == NULL)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->is_ending = true;
	pthread_cond_broadcast(&jobs->wanted);
	pthread_mutex_unlock(&jobs->lock);
	for (unsigned i = 0; i < jobs->count; i++)
		pthread_join(jobs->threads[i], NULL);
	pthread_mutex_destroy(&jobs->lock);
	pthread_cond_destroy(&jobs->wanted);
	free(jobs);
}

static int enqueue(struct jobs *jobs, struct job *job, size_t most)
{
	bool fits;

	pthread_mutex_lock(&jobs->lock);
	fits = job->can_wait || jobs->urgent_count < most;
	if (fits) {
		lanes_append(&jobs->lanes, &job->link, !job->can_wait);
		jobs->urgent_count += !job->can_wait;
	}
	pthread_mutex_unlock(&jobs->lock);
	if (fits)
		pthread_cond_signal(&jobs->wanted);
	return fits ? 0 : -ERR_LIMIT;
}

static int run(struct jobs *jobs, struct worker *w, struct job *job, size_t most)
{
	job->worker = w;
	job->mail.run = run_done;
	list_init(&job->link);
	if (!jobs->env->inline_jobs)
		return enqueue(jobs, job, most);
	job->work(job);
	worker_post(w, &job->mail);
	return 0;
}

void jobs_run(struct jobs *jobs, struct worker *w, struct job *job)
{
	run(jobs, w, job, SIZE_MAX);
}

int jobs_try_run(struct jobs *jobs, struct worker *w, struct job *job)
{
	return run(jobs, w, job, JOBS_WAITING_MAX);
}

bool jobs_cancel(struct jobs *jobs, struct job *job)
{
	bool waits;

	pthread_mutex_lock(&jobs->lock);
	waits = !list_empty(&job->link);
	if (waits) {
		list_remove(&job->link);
		jobs->urgent_count -= !job->can_wait;
	}
	pthread_mutex_unlock(&jobs->lock);
	return waits;
}
