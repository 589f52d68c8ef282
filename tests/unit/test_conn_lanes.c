/* SPDX-License-Identifier: MIT */
/* When a connection is read: strangers, new ones and those who leave wait for their turn, and are not heard of twice
 * meanwhile; nobody is read while there is a reason to stop. */
#include <errno.h>
#include <string.h>

#include "base/env.h"
#include "net/conn.h"
#include "net/peers.h"
#include "net/worker.h"
#include "net/worker_loop.h"
#include "unit.h"

#define COUNT 5
#define COUNT_MAX 20

static struct fixture {
	struct comity_env env;
	struct worker worker;
	struct worker *workers[1];
	struct peers *peers;
	uint64_t now;
	struct conn *conns[COUNT_MAX];
	char order[64];              /* whose bytes were read, by letter */
	unsigned read_ms;            /* what a read takes */
	bool is_gone;                /* the peer: nothing can be sent any more */
	int closed;                  /* connections whose owner was told */
	size_t sends;
	bool watched[COUNT_MAX];
	int drained;                 /* times that something was told of it */
} f;

static uint64_t mono(struct comity_env *env)
{
	(void)env;
	return f.now;
}

static ssize_t io_recv(struct conn *c, void *bytes, size_t room)
{
	(void)room;
	if (f.is_gone && c->is_closing)
		return 0;
	f.now += f.read_ms;
	*(char *)bytes = (char)('a' + c->fd);
	return 1;
}

static ssize_t io_send(struct conn *c, const void *bytes, size_t len)
{
	(void)c, (void)bytes;
	f.sends++;
	if (f.is_gone) {
		errno = EPIPE;
		return -1;
	}
	return (ssize_t)len;
}

static void io_watch(struct conn *c, bool readable, bool writable)
{
	(void)writable;
	f.watched[c->fd] = readable;
}

static void io_close(struct conn *c)
{
	(void)c;
}

static const struct conn_io io = { .recv = io_recv, .send = io_send, .watch = io_watch, .close = io_close,
                                   .shut_write = io_close };

static size_t on_data(struct conn *c, void *owner, const char *bytes, size_t len)
{
	(void)c, (void)owner;
	strncat(f.order, bytes, len);
	return len;
}

static void on_closed(struct conn *c, void *owner, const char *reason)
{
	(void)c, (void)owner, (void)reason;
	f.closed++;
}

static void on_moved(struct conn *c, void *owner)
{
	(void)c, (void)owner;
}

static void on_drained(struct conn *c, void *owner)
{
	(void)c, (void)owner;
	f.drained++;
}

static const struct conn_events events = { .on_data = on_data, .on_closed = on_closed, .on_drained = on_drained,
                                           .on_moved = on_moved };

static void init_count(int count)
{
	static const struct peers_limits limits = { .waiting = COUNT_MAX, .waiting_in_all = COUNT_MAX };
	static struct log log;

	memset(&f, 0, sizeof(f));
	f.read_ms = 2;
	env_init_system(&f.env, &log);
	f.env.mono_ms = mono;
	f.peers = peers_new();
	f.workers[0] = &f.worker;
	worker_init(&f.worker, 0, &f.env, f.workers, 1, 1000);
	for (int i = 0; i < count; i++) {
		f.conns[i] = conn_new(&f.worker, i, &io, NULL, "peer", 1000);
		conn_set_owner(f.conns[i], &events, &f);
		ck_assert_int_eq(peers_admit(f.peers, "peer", &limits), PEERS_ADMITTED);
		conn_set_stranger(f.conns[i], f.peers, false);
	}
}

static void init(void)
{
	init_count(COUNT);
}

/* Logged in long ago. */
static void settle(struct conn *c)
{
	conn_introduce(c, 1000);
	f.now += 60000;
}

static void deinit(void)
{
	worker_break_conns(&f.worker);
	worker_turn(&f.worker);
	worker_deinit(&f.worker);
	peers_free(f.peers);
}

START_TEST(who_has_not_settled_waits_and_those_who_got_further_come_first)
{
	init();
	settle(f.conns[3]);
	settle(f.conns[4]);
	conn_introduce(f.conns[1], 1000);
	f.conns[2]->is_secured = true;
	for (int i = 0; i < COUNT; i++)
		conn_on_event(f.conns[i], true, false, i == 4);
	ck_assert_str_eq(f.order, "d");
	ck_assert_uint_eq(worker_next_due(&f.worker), f.now);
	ck_assert(conn_serve_lanes(&f.worker));
	ck_assert_str_eq(f.order, "debca");
	ck_assert(!conn_serve_lanes(&f.worker));
	ck_assert_uint_eq(worker_next_due(&f.worker), UINT64_MAX);
	deinit();
}
END_TEST

/* Each lane has its own time: two that are full, of new ones and of those who leave, hold nobody else up. */
START_TEST(each_lane_has_some_time_of_a_turn)
{
	init();
	for (int i = 0; i < 2; i++)
		conn_introduce(f.conns[i], 1000);
	f.conns[3]->is_secured = true;
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < COUNT; i++)
			conn_on_event(f.conns[i], true, false, i == 0);
		ck_assert(conn_serve_lanes(&f.worker));
	}
	ck_assert_str_eq(f.order, "abdc" "abde");
	deinit();
}
END_TEST

START_TEST(who_waits_is_not_watched_after_a_second_event)
{
	init();
	conn_on_event(f.conns[0], true, false, false);
	ck_assert(f.watched[0]);
	conn_on_event(f.conns[0], true, false, false);
	ck_assert(!f.watched[0]);
	conn_serve_lanes(&f.worker);
	ck_assert(f.watched[0]);
	ck_assert_str_eq(f.order, "a");
	/* Who has logged in waits no longer among strangers. */
	conn_on_event(f.conns[1], true, false, false);
	conn_on_event(f.conns[1], true, false, false);
	settle(f.conns[1]);
	ck_assert(f.watched[1]);
	ck_assert(!conn_serve_lanes(&f.worker));
	conn_on_event(f.conns[1], true, false, false);
	ck_assert_str_eq(f.order, "ab");
	deinit();
}
END_TEST

/* What they are answered costs time too: it leaves within theirs, and not after it for all of them at once. */
START_TEST(answers_leave_while_others_wait)
{
	init_count(COUNT_MAX);
	f.read_ms = 0;
	for (int i = 0; i < COUNT_MAX; i++) {
		conn_write(f.conns[i], "x", 1);
		conn_on_event(f.conns[i], true, false, false);
	}
	ck_assert(conn_serve_lanes(&f.worker));
	ck_assert_uint_eq(strlen(f.order), COUNT_MAX);
	ck_assert_uint_ge(f.sends, COUNT_MAX / 2);
	deinit();
}
END_TEST

START_TEST(who_is_gone_waits_no_longer)
{
	init();
	conn_on_event(f.conns[0], true, false, false);
	conn_on_event(f.conns[1], true, false, false);
	conn_break(f.conns[0]);
	worker_turn(&f.worker);
	conn_serve_lanes(&f.worker);
	ck_assert_str_eq(f.order, "b");
	deinit();
}
END_TEST

/* Who is not to be read does not lose its turn: what came is there when it may be read again. */
START_TEST(who_is_stopped_is_not_read_in_its_lane)
{
	init();
	conn_on_event(f.conns[0], true, false, false);
	conn_stop(f.conns[0], CONN_STOP_RATE);
	ck_assert(conn_serve_lanes(&f.worker));
	ck_assert_str_eq(f.order, "");
	ck_assert(!f.watched[0]);
	conn_resume(f.conns[0], CONN_STOP_RATE);
	ck_assert(f.watched[0]);
	deinit();
}
END_TEST

/* It has waited here, and not on the way: so nothing is made of its silence. */
START_TEST(who_waits_has_not_been_read)
{
	init();
	settle(f.conns[0]);
	ck_assert(conn_is_read(f.conns[0]));
	conn_on_event(f.conns[0], true, false, true);
	ck_assert(!conn_is_read(f.conns[0]));
	conn_serve_lanes(&f.worker);
	ck_assert(!conn_is_read(f.conns[0]));
	f.now += CONN_READ_MS;
	ck_assert(conn_is_read(f.conns[0]));
	deinit();
}
END_TEST

START_TEST(who_moves_is_heard_of_again)
{
	struct worker other;

	init();
	worker_init(&other, 0, &f.env, f.workers, 1, 1000);
	conn_introduce(f.conns[0], 1000);
	conn_on_event(f.conns[0], true, false, false);
	conn_on_event(f.conns[0], true, false, false);
	ck_assert(!f.watched[0]);
	conn_move(f.conns[0], &other);
	worker_turn(&f.worker);
	ck_assert(!conn_serve_lanes(&f.worker));
	worker_turn(&other);
	ck_assert(f.watched[0]);
	conn_on_event(f.conns[0], true, false, false);
	ck_assert(conn_serve_lanes(&other));
	ck_assert_str_eq(f.order, "a");
	worker_break_conns(&other);
	worker_turn(&other);
	worker_deinit(&other);
	deinit();
}
END_TEST

/* What it said last is read, though nothing can be said to it any more. */
START_TEST(who_leaves_is_read_before_it_is_lost)
{
	init();
	settle(f.conns[0]);
	conn_on_event(f.conns[0], true, false, true);
	f.is_gone = true;
	conn_write(f.conns[0], "x", 1);
	conn_tell_drained(f.conns[0]);
	worker_turn(&f.worker);
	ck_assert_int_eq(f.closed, 0);
	ck_assert_int_eq(f.drained, 0);
	conn_serve_lanes(&f.worker);
	ck_assert_str_eq(f.order, "a");
	/* More may be there, and is not waited for for ever. */
	conn_write(f.conns[0], "x", 1);
	worker_turn(&f.worker);
	ck_assert_int_eq(f.closed, 0);
	ck_assert(f.watched[0]);
	f.now += 2000;
	worker_turn(&f.worker);
	ck_assert_int_eq(f.closed, 1);
	ck_assert_int_eq(f.drained, 0);
	deinit();
}
END_TEST

/* Its end is told of once, and not again and again until the turn is over. */
START_TEST(who_is_closed_is_not_watched_behind_its_end)
{
	init();
	conn_close(f.conns[0]);
	f.is_gone = true;
	conn_on_event(f.conns[0], true, false, false);
	ck_assert(!f.watched[0]);
	deinit();
	/* One that has hung up waits with the others who leave, stranger or not. */
	init();
	settle(f.conns[1]);
	f.conns[0]->is_secured = true;
	conn_close(f.conns[0]);
	conn_on_event(f.conns[1], true, false, true);
	conn_on_event(f.conns[2], true, false, false);
	conn_on_event(f.conns[0], true, false, true);
	f.is_gone = true;
	ck_assert_ptr_eq(f.worker.lanes[CONN_LANE_LEAVING].prev, &f.conns[0]->waiting);
	deinit();
}
END_TEST

/* What is written to one that is being closed goes nowhere, though all that waits is sent. */
START_TEST(a_connection_that_is_being_closed_has_not_drained)
{
	for (int i = 0; i < 2; i++) {
		init();
		conn_write(f.conns[0], "x", 1);
		if (i == 1)
			conn_close(f.conns[0]);
		conn_tell_drained(f.conns[0]);
		worker_turn(&f.worker);
		ck_assert_int_eq(f.drained, i == 0);
		deinit();
	}
}
END_TEST

START_TEST(each_reason_to_stop_counts)
{
	struct conn *c;

	init();
	c = f.conns[0];
	settle(c);
	conn_stop(c, CONN_STOP_RATE);
	conn_pause_for(c, &f.worker);
	conn_stop(c, CONN_STOP_UNSAFE);
	conn_resume(c, CONN_STOP_LOGIN);
	conn_resume(c, CONN_STOP_UNSAFE);
	worker_resume_paused(&f.worker);
	ck_assert(!f.watched[0]);
	conn_on_event(c, true, false, false);
	ck_assert_str_eq(f.order, "");
	conn_resume(c, CONN_STOP_RATE);
	ck_assert(f.watched[0]);
	ck_assert_str_eq(f.order, "a");
	deinit();
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, who_has_not_settled_waits_and_those_who_got_further_come_first);
	tcase_add_test(tc, each_lane_has_some_time_of_a_turn);
	tcase_add_test(tc, who_is_stopped_is_not_read_in_its_lane);
	tcase_add_test(tc, who_waits_has_not_been_read);
	tcase_add_test(tc, who_moves_is_heard_of_again);
	tcase_add_test(tc, who_leaves_is_read_before_it_is_lost);
	tcase_add_test(tc, who_is_closed_is_not_watched_behind_its_end);
	tcase_add_test(tc, answers_leave_while_others_wait);
	tcase_add_test(tc, a_connection_that_is_being_closed_has_not_drained);
	tcase_add_test(tc, each_reason_to_stop_counts);
	tcase_add_test(tc, who_waits_is_not_watched_after_a_second_event);
	tcase_add_test(tc, who_is_gone_waits_no_longer);
}
UNIT_SUITE(conn_lanes);
