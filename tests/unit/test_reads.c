/* SPDX-License-Identifier: MIT */
/* Whose turn it is to have something read from the store; by hand, one read after another. */
#include <check.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "store/reads.h"
#include "store/request.h"
#include "store_fixture.h"
#include "unit.h"

static const char *const names[] = { "m", NULL };

static void init(struct store_fixture *f)
{
	fixture_init_closed(f, true);
	f->conf.by_hand = true;
	fixture_reopen(f, &sqlite_driver);
}

static void ask(struct store_fixture *f, struct worker *w, struct answer *a)
{
	store_map_load(f->store, w, "a@x", names, answer_on_read, a);
}

static void read_one(struct store_fixture *f, struct worker *w)
{
	ck_assert(store_step(f->store, false));
	while (worker_turn(w))
		;
}

START_TEST(urgent_reads_go_first)
{
	struct answer others = { 0 }, urgent = { 0 };
	struct store_fixture f;

	init(&f);
	for (int i = 0; i < 3; i++)
		ask(&f, &f.worker, &others);
	for (int i = 0; i < 2; i++)
		store_map_load_first(f.store, &f.worker, "a@x", names, answer_on_read, &urgent);
	for (int i = 1; i <= 2; i++) {
		read_one(&f, &f.worker);
		ck_assert_int_eq(urgent.calls, i);
		ck_assert_int_eq(others.calls, 0);
	}
	for (int i = 1; i <= 3; i++) {
		read_one(&f, &f.worker);
		ck_assert_int_eq(others.calls, i);
	}
	ck_assert(!store_step(f.store, false));
	fixture_deinit(&f);
}
END_TEST

START_TEST(others_do_not_wait_for_ever)
{
	struct answer others = { 0 }, urgent = { 0 };
	struct store_fixture f;

	init(&f);
	ask(&f, &f.worker, &others);
	for (int i = 0; i < 40; i++)
		store_map_load_first(f.store, &f.worker, "a@x", names, answer_on_read, &urgent);
	while (others.calls == 0)
		read_one(&f, &f.worker);
	ck_assert_int_eq(urgent.calls, 16);
	while (store_step(f.store, false))
		;
	while (worker_turn(&f.worker))
		;
	ck_assert_int_eq(urgent.calls, 40);
	fixture_deinit(&f);
}
END_TEST

START_TEST(urgent_reads_see_own_writes)
{
	struct store_row row = { "m", "k", "v", 1 };
	struct answer a = { 0 };
	struct store_fixture f;

	init(&f);
	store_map_put(f.store, &f.worker, "a@x", &row, 1, NULL, NULL);
	store_map_load_first(f.store, &f.worker, "a@x", names, answer_on_read, &a);
	ck_assert(!store_step(f.store, false));
	ck_assert(store_step(f.store, true));
	read_one(&f, &f.worker);
	ck_assert_int_eq(a.calls, 1);
	ck_assert_str_eq(a.text, "m:k=v;");
	fixture_deinit(&f);
}
END_TEST

START_TEST(workers_take_turns)
{
	struct answer busy = { 0 }, other = { 0 };
	struct worker second;
	struct store_fixture f;

	init(&f);
	worker_init(&second, 1, &f.env, f.peers, 1, 100);
	for (int i = 0; i < 10; i++)
		ask(&f, &f.worker, &busy);
	for (int i = 0; i < 2; i++)
		ask(&f, &second, &other);
	for (int i = 0; i < 4; i++)
		ck_assert(store_step(f.store, false));
	while (worker_turn(&f.worker) || worker_turn(&second))
		;
	ck_assert_int_eq(busy.calls, 2);
	ck_assert_int_eq(other.calls, 2);
	while (store_step(f.store, false))
		;
	while (worker_turn(&f.worker))
		;
	ck_assert_int_eq(busy.calls, 10);
	worker_deinit(&second);
	fixture_deinit(&f);
}
END_TEST

static struct request *make_read(struct worker *w, struct answer *a)
{
	struct request *r = request_new(w, OP_GET, "a@x", "m", a);

	r->cb.read = answer_on_read;
	return r;
}

/* Nothing is read for a worker that has more than 1 MiB to take, while others are served. */
START_TEST(large_answers_are_taken_before_more_is_read)
{
	struct answer got = { 0 }, others = { 0 };
	struct request *large, *next, *other;
	struct store_fixture f;
	struct worker second;
	struct reads reads;

	init(&f);
	worker_init(&second, 1, &f.env, f.peers, 1, 100);
	reads_init(&reads);
	large = make_read(&f.worker, &got);
	next = make_read(&f.worker, &got);
	other = make_read(&second, &others);
	reads_add(&reads, large);
	reads_add(&reads, next);
	reads_add(&reads, other);
	ck_assert_ptr_eq(reads_take(&reads, false), large);
	ck_assert_ptr_nonnull(arena_alloc(&large->arena, (1 << 20) + 1));
	request_answer(large);
	ck_assert_ptr_eq(reads_take(&reads, false), other);
	ck_assert_ptr_null(reads_take(&reads, false));
	ck_assert(!reads_empty(&reads));
	while (worker_turn(&f.worker))
		;
	ck_assert_int_eq(got.calls, 1);
	ck_assert_ptr_eq(reads_take(&reads, false), next);
	request_answer(next);
	request_answer(other);
	while (worker_turn(&f.worker) || worker_turn(&second))
		;
	reads_deinit(&reads);
	worker_deinit(&second);
	fixture_deinit(&f);
}
END_TEST

/* The only reader would have come to the first one first. */
START_TEST(readers_pass_over_a_worker_with_much_to_take)
{
	struct answer waits = { 0 }, other = { 0 };
	struct worker second;
	struct store_fixture f;

	fixture_init_closed(&f, false);
	f.conf.readers = 1;
	fixture_reopen(&f, &sqlite_driver);
	worker_init(&second, 1, &f.env, f.peers, 1, 100);
	atomic_store(&f.worker.answer_bytes, (1 << 20) + 1);
	ask(&f, &f.worker, &waits);
	ask(&f, &second, &other);
	while (other.calls == 0)
		worker_turn(&second);
	while (worker_turn(&f.worker))
		;
	ck_assert_int_eq(waits.calls, 0);
	atomic_store(&f.worker.answer_bytes, 0);
	fixture_await(&f, &waits, 1);
	worker_deinit(&second);
	fixture_deinit(&f);
}
END_TEST

/* At its end the store reads for all at once. */
START_TEST(an_ending_store_waits_for_no_worker)
{
	struct answer got = { 0 };
	struct request *large;
	struct store_fixture f;
	struct reads reads;

	init(&f);
	reads_init(&reads);
	large = make_read(&f.worker, &got);
	ck_assert_ptr_nonnull(arena_alloc(&large->arena, (1 << 20) + 1));
	request_answer(large);
	reads_add(&reads, make_read(&f.worker, &got));
	ck_assert_ptr_null(reads_take(&reads, false));
	request_answer(reads_take(&reads, true));
	while (worker_turn(&f.worker))
		;
	ck_assert_int_eq(got.calls, 2);
	reads_deinit(&reads);
	fixture_deinit(&f);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, urgent_reads_go_first);
	tcase_add_test(tc, others_do_not_wait_for_ever);
	tcase_add_test(tc, urgent_reads_see_own_writes);
	tcase_add_test(tc, workers_take_turns);
	tcase_add_test(tc, large_answers_are_taken_before_more_is_read);
	tcase_add_test(tc, readers_pass_over_a_worker_with_much_to_take);
	tcase_add_test(tc, an_ending_store_waits_for_no_worker);
}
UNIT_SUITE(reads);
