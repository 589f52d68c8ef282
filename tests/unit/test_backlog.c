/* SPDX-License-Identifier: MIT */
/* What is not dealt with yet stops its connection, until enough of it is; whatever becomes of either meanwhile. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/env.h"
#include "net/backlog.h"
#include "net/conn.h"
#include "net/worker.h"
#include "unit.h"

#define MAX 8

static struct fixture {
	struct comity_env env;
	struct worker worker;
	struct worker *peers[1];
	struct conn *conn;
	int resumed;                   /* times that what was held came again */
} f;

static ssize_t io_none(struct conn *c, void *bytes, size_t room)
{
	(void)c, (void)bytes, (void)room;
	errno = EAGAIN;
	return -1;
}

static ssize_t io_send(struct conn *c, const void *bytes, size_t len)
{
	(void)c, (void)bytes;
	return (ssize_t)len;
}

static void io_watch(struct conn *c, bool readable, bool writable)
{
	(void)c, (void)readable, (void)writable;
}

static void io_close(struct conn *c)
{
	(void)c;
}

static const struct conn_io io = { .recv = io_none, .send = io_send, .watch = io_watch, .close = io_close,
                                   .shut_write = io_close };

static size_t on_data(struct conn *c, void *owner, const char *bytes, size_t len)
{
	(void)c, (void)owner, (void)bytes;
	f.resumed++;
	return len;
}

static void on_closed(struct conn *c, void *owner, const char *reason)
{
	(void)c, (void)owner, (void)reason;
}

static const struct conn_events events = { .on_data = on_data, .on_closed = on_closed };

static void turn(void)
{
	while (worker_turn(&f.worker))
		;
}

static void init(void)
{
	static struct log log;

	memset(&f, 0, sizeof(f));
	env_init_system(&f.env, &log);
	f.peers[0] = &f.worker;
	worker_init(&f.worker, 0, &f.env, f.peers, 1, 1000);
	f.conn = conn_new(&f.worker, 0, &io, NULL, "peer", 1000);
	conn_set_owner(f.conn, &events, &f);
}

static void deinit(void)
{
	worker_break_conns(&f.worker);
	turn();
	worker_deinit(&f.worker);
}

static void fill(struct backlog *all[MAX])
{
	for (int i = 0; i < MAX; i++) {
		ck_assert(!conn_is_stopped(f.conn));
		all[i] = backlog_join(f.conn, MAX);
	}
	ck_assert(conn_is_stopped(f.conn));
}

START_TEST(stops_and_goes_on)
{
	struct backlog *all[MAX];

	init();
	for (int round = 1; round <= 2; round++) {
		fill(all);
		for (int i = 0; i < MAX; i++) {
			/* Fewer than half are left. */
			ck_assert_int_eq(conn_is_stopped(f.conn), i <= MAX / 2);
			backlog_leave(&all[i]);
			ck_assert_ptr_null(all[i]);
			/* Not inside of what is dealt with. */
			ck_assert_int_eq(f.resumed, i <= MAX / 2 ? round - 1 : round);
			turn();
		}
		ck_assert_int_eq(f.resumed, round);
	}
	deinit();
}
END_TEST

START_TEST(outlives_its_connection)
{
	struct backlog *all[MAX];

	init();
	fill(all);
	conn_break(f.conn);
	turn();
	for (int i = 0; i < MAX; i++)
		backlog_leave(&all[i]);
	ck_assert(!worker_turn(&f.worker));
	deinit();
}
END_TEST

START_TEST(connection_ends_before_it_goes_on)
{
	struct backlog *all[MAX];

	init();
	fill(all);
	for (int i = 0; i < MAX; i++)
		backlog_leave(&all[i]);
	conn_abort(f.conn, "test");
	turn();
	ck_assert_int_eq(f.resumed, 0);
	deinit();
}
END_TEST

/* ---- dealt with on another worker ---- */

#define ROUNDS 20000

static struct backlog *_Atomic handed[MAX];

static void *run_leave(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		struct backlog *b;

		while ((b = handed[i % MAX]) == NULL)
			sched_yield();
		handed[i % MAX] = NULL;
		backlog_leave(&b);
	}
	return NULL;
}

START_TEST(is_dealt_with_elsewhere)
{
	pthread_t thread;
	unsigned stopped = 0;

	init();
	pthread_create(&thread, NULL, run_leave, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		while (handed[i % MAX] != NULL || conn_is_stopped(f.conn)) {
			stopped += conn_is_stopped(f.conn);
			if (!worker_turn(&f.worker))
				sched_yield();
		}
		handed[i % MAX] = backlog_join(f.conn, MAX / 2);
	}
	pthread_join(thread, NULL);
	turn();
	ck_assert_uint_gt(stopped, 0);
	ck_assert(!conn_is_stopped(f.conn));
	deinit();
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, stops_and_goes_on);
	tcase_add_test(tc, outlives_its_connection);
	tcase_add_test(tc, connection_ends_before_it_goes_on);
	tcase_add_test(tc, is_dealt_with_elsewhere);
}
UNIT_SUITE(backlog);
