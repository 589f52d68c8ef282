/* SPDX-License-Identifier: MIT */
/* Threads for work that takes milliseconds. */
#include "net/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/mem.h"

struct jobs {
	struct comity_env *env;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	struct mail *first, **last;  /* waiting, oldest first, linked through their mail */
	bool is_ending;
	unsigned count;
	pthread_t threads[];
};

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
	while (!jobs->is_ending || jobs->first != NULL) {
		if (jobs->first == NULL) {
			pthread_cond_wait(&jobs->wanted, &jobs->lock);
			continue;
		}
		job = LIST_ENTRY(jobs->first, struct job, mail);
		jobs->first = job->mail.next;
		if (jobs->first == NULL)
			jobs->last = &jobs->first;
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
	jobs->last = &jobs->first;
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

void jobs_run(struct jobs *jobs, struct worker *w, struct job *job)
{
	job->worker = w;
	job->mail.run = run_done;
	job->mail.next = NULL;
	if (jobs->env->inline_jobs) {
		job->work(job);
		worker_post(w, &job->mail);
		return;
	}
	pthread_mutex_lock(&jobs->lock);
	*jobs->last = &job->mail;
	jobs->last = &job->mail.next;
	pthread_cond_signal(&jobs->wanted);
	pthread_mutex_unlock(&jobs->lock);
}
