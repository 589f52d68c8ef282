/* SPDX-License-Identifier: MIT */
/* Threads for work that takes milliseconds. */
#include "net/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/mem.h"

/* So many jobs go before one that can wait, which must not wait for ever. */
#define OVERTAKE_MAX 16

/* Linked through their mail, oldest first. */
struct queue {
	struct mail *first, **last;
};

struct jobs {
	struct comity_env *env;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	struct queue soon, late;
	unsigned overtaken;          /* how often the first of late was */
	bool is_ending;
	unsigned count;
	pthread_t threads[];
};

static void queue_add(struct queue *q, struct job *job)
{
	job->mail.next = NULL;
	*q->last = &job->mail;
	q->last = &job->mail.next;
}

static struct job *queue_shift(struct queue *q)
{
	struct mail *first = q->first;

	q->first = first->next;
	if (q->first == NULL)
		q->last = &q->first;
	return LIST_ENTRY(first, struct job, mail);
}

/* The job whose turn it is; NULL when none waits. */
static struct job *shift(struct jobs *jobs)
{
	if (jobs->soon.first == NULL && jobs->late.first == NULL)
		return NULL;
	if (jobs->late.first == NULL || (jobs->soon.first != NULL && jobs->overtaken < OVERTAKE_MAX)) {
		jobs->overtaken += jobs->late.first != NULL;
		return queue_shift(&jobs->soon);
	}
	jobs->overtaken = 0;
	return queue_shift(&jobs->late);
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
	jobs->soon.last = &jobs->soon.first;
	jobs->late.last = &jobs->late.first;
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
	if (jobs->env->inline_jobs) {
		job->work(job);
		worker_post(w, &job->mail);
		return;
	}
	pthread_mutex_lock(&jobs->lock);
	queue_add(job->can_wait ? &jobs->late : &jobs->soon, job);
	pthread_cond_signal(&jobs->wanted);
	pthread_mutex_unlock(&jobs->lock);
}
