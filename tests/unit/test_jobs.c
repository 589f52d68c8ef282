/* SPDX-License-Identifier: MIT */
/* Work that waits for a thread: what is taken back is not done, and only so much of it waits. */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/jobs.h"
#include "net_fixture.h"
#include "unit.h"

static struct fixture {
	struct net_sim sim;
	struct jobs *jobs;
	atomic_int worked, done;
	atomic_bool may_end;
} f;

static void init(unsigned threads)
{
	net_sim_init(&f.sim);
	f.jobs = jobs_new(&f.sim.env, threads);
	f.worked = f.done = 0;
	f.may_end = false;
}

/* All that was asked for is done. */
static void deinit(void)
{
	jobs_free(f.jobs);
	net_sim_run(&f.sim, 0);
	net_sim_deinit(&f.sim);
}

static void work(struct job *job)
{
	(void)job;
	f.worked++;
	while (!f.may_end)
		;
}

static void done(struct worker *w, struct job *job)
{
	(void)w, (void)job;
	f.done++;
}

START_TEST(what_is_taken_back_is_not_done)
{
	struct job jobs[4];

	init(1);
	for (int i = 0; i < 4; i++) {
		jobs[i] = (struct job){ .work = work, .done = done, .can_wait = i == 3 };
		ck_assert_int_eq(jobs_try_run(f.jobs, &f.sim.worker, &jobs[i]), 0);
	}
	while (f.worked == 0)
		;
	/* The first has begun: its end comes as ever. */
	ck_assert(!jobs_cancel(f.jobs, &jobs[0]));
	ck_assert(jobs_cancel(f.jobs, &jobs[1]));
	ck_assert(jobs_cancel(f.jobs, &jobs[3]));
	f.may_end = true;
	deinit();
	ck_assert_int_eq(f.worked, 2);
	ck_assert_int_eq(f.done, 2);
}
END_TEST

START_TEST(only_so_much_of_strangers_waits)
{
	struct job *jobs = mem_array(JOBS_WAITING_MAX, sizeof(*jobs)), last = { .work = work, .done = done };

	init(0);
	for (size_t i = 0; i < JOBS_WAITING_MAX; i++) {
		jobs[i] = last;
		ck_assert_int_eq(jobs_try_run(f.jobs, &f.sim.worker, &jobs[i]), 0);
	}
	ck_assert_int_eq(jobs_try_run(f.jobs, &f.sim.worker, &last), -ERR_LIMIT);
	ck_assert(!jobs_cancel(f.jobs, &last));
	/* What can wait has its own limits. */
	last.can_wait = true;
	ck_assert_int_eq(jobs_try_run(f.jobs, &f.sim.worker, &last), 0);
	ck_assert(jobs_cancel(f.jobs, &last));
	last.can_wait = false;
	ck_assert(jobs_cancel(f.jobs, &jobs[7]));
	ck_assert_int_eq(jobs_try_run(f.jobs, &f.sim.worker, &last), 0);
	deinit();
	free(jobs);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, what_is_taken_back_is_not_done);
	tcase_add_test(tc, only_so_much_of_strangers_waits);
}

UNIT_SUITE(jobs);
