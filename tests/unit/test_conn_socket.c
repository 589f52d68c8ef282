/* SPDX-License-Identifier: MIT */
/* Connections over sockets: what is heard while they are stopped, and after. */
#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/worker_loop.h"
#include "net_fixture.h"
#include "unit.h"

/* What the server's end was told, and turns of its worker. */
struct story {
	char heard[64];
	char closed[64];
	unsigned turns;
};

/* The test's end of the connection, and the server's. */
struct pair {
	struct live live;
	struct conn *conn;
	int fds[2];
	struct story now;              /* the worker's */
	struct story seen;             /* as it was at the end of the last call */
	uv_prepare_t counter;
};

static size_t on_data(struct conn *c, void *owner, const char *bytes, size_t len)
{
	struct pair *p = owner;

	(void)c;
	strncat(p->now.heard, bytes, len);
	return len;
}

static void on_closed(struct conn *c, void *owner, const char *reason)
{
	struct pair *p = owner;

	(void)c;
	strncat(p->now.closed, reason, sizeof(p->now.closed) - 1);
	p->conn = NULL;
}

static void on_moved(struct conn *c, void *owner)
{
	strcat(((struct pair *)owner)->now.heard, "|");
	(void)c;
}

static const struct conn_events events = { .on_data = on_data, .on_closed = on_closed, .on_moved = on_moved };

static void count_turn(uv_prepare_t *counter)
{
	((struct pair *)counter->data)->now.turns++;
}

static void open_here(void *arg)
{
	struct pair *p = arg;

	p->conn = conn_new(&p->live.worker, p->fds[0], &conn_socket_io, NULL, "test", 1 << 16);
	conn_set_owner(p->conn, &events, p);
	uv_prepare_init(worker_loop_uv(p->live.worker.loop), &p->counter);
	p->counter.data = p;
	uv_prepare_start(&p->counter, count_turn);
}

static void stop_here(void *arg)
{
	conn_stop(((struct pair *)arg)->conn, CONN_STOP_LOGIN);
}

static void resume_here(void *arg)
{
	conn_resume(((struct pair *)arg)->conn, CONN_STOP_LOGIN);
}

static void move_here(void *arg)
{
	struct pair *p = arg;

	conn_move(p->conn, &p->live.worker);
}

static void close_here(void *arg)
{
	struct pair *p = arg;

	if (p->conn != NULL)
		conn_abort(p->conn, "the end");
	uv_prepare_stop(&p->counter);
	uv_close((uv_handle_t *)&p->counter, NULL);
}

static void look_here(void *arg)
{
	struct pair *p = arg;

	p->seen = p->now;
}

static void forget_here(void *arg)
{
	struct pair *p = arg;

	p->now.heard[0] = '\0';
}

static void call(struct pair *p, void (*run)(void *arg))
{
	live_call(&p->live, run, p);
}

static void look(struct pair *p, int turns)
{
	for (int i = 0; i < turns; i++)
		call(p, look_here);
}

static void init(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds), 0);
	live_init(&p->live);
	call(p, open_here);
}

static void deinit(struct pair *p)
{
	call(p, close_here);
	close(p->fds[1]);
	live_deinit(&p->live);
}

static void say(const struct pair *p, const char *words)
{
	ck_assert_int_eq(write(p->fds[1], words, strlen(words)), (ssize_t)strlen(words));
}

/* Turns of the worker, in each of which it looks at its sockets. */
static void await(struct pair *p, const char *heard)
{
	look(p, 1);
	for (int i = 0; i < 10000 && strcmp(p->seen.heard, heard) != 0; i++)
		look(p, 1);
	ck_assert_str_eq(p->seen.heard, heard);
}

START_TEST(what_comes_while_stopped_is_heard_after)
{
	struct pair p;

	init(&p);
	say(&p, "a");
	await(&p, "a");
	for (int i = 0; i < 3; i++) {
		call(&p, stop_here);
		call(&p, forget_here);
		say(&p, "b");
		look(&p, 20);
		ck_assert_str_eq(p.seen.heard, "");
		call(&p, resume_here);
		await(&p, "b");
	}
	deinit(&p);
}
END_TEST

START_TEST(what_comes_while_stopped_wakes_nobody)
{
	struct pair p;
	unsigned before;

	init(&p);
	call(&p, stop_here);
	say(&p, "a");
	look(&p, 20);
	before = p.seen.turns;
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	look(&p, 1);
	ck_assert_uint_le(p.seen.turns - before, 10);
	call(&p, resume_here);
	await(&p, "a");
	deinit(&p);
}
END_TEST

START_TEST(an_end_while_stopped_is_heard_after)
{
	struct pair p;

	init(&p);
	call(&p, stop_here);
	say(&p, "a");
	ck_assert_int_eq(shutdown(p.fds[1], SHUT_RDWR), 0);
	look(&p, 20);
	ck_assert_str_eq(p.seen.closed, "");
	call(&p, resume_here);
	await(&p, "a");
	for (int i = 0; i < 10000 && p.seen.closed[0] == '\0'; i++)
		look(&p, 1);
	ck_assert_str_ne(p.seen.closed, "");
	deinit(&p);
}
END_TEST

START_TEST(a_stay_on_the_same_worker_is_a_move_too)
{
	struct pair p;

	init(&p);
	say(&p, "a");
	await(&p, "a");
	call(&p, move_here);
	say(&p, "b");
	await(&p, "a|b");
	deinit(&p);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, what_comes_while_stopped_is_heard_after);
	tcase_add_test(tc, what_comes_while_stopped_wakes_nobody);
	tcase_add_test(tc, an_end_while_stopped_is_heard_after);
	tcase_add_test(tc, a_stay_on_the_same_worker_is_a_move_too);
}
UNIT_SUITE(conn_socket);
