/* SPDX-License-Identifier: MIT */
/* When writes go: those that somebody waits for at once, others with them, or later. */
#include <check.h>
#include <time.h>

#include "store_fixture.h"
#include "unit.h"

#define NEVER_MS 3600000

static void init(struct store_fixture *f, unsigned lazy_ms, unsigned commit_rows)
{
	fixture_init_closed(f, false);
	f->conf.lazy_ms = lazy_ms;
	f->conf.commit_rows = commit_rows;
	fixture_reopen(f, &sqlite_driver);
}

static void put_lazily(struct store_fixture *f, const char *owner, const char *key)
{
	struct store_row row = { "last", key, "v", 1 };

	store_map_put_lazily(f->store, &f->worker, owner, &row, 1);
}

static struct store_stats stats_of(struct store_fixture *f)
{
	struct store_stats stats;

	store_get_stats(f->store, &stats);
	return stats;
}

/* The writer has looked at what there is, and sleeps if it has nothing to do. */
static void let_sleep(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
}

static void await_commits(struct store_fixture *f, uint64_t count)
{
	for (int i = 0; i < 20000 && stats_of(f).waiting != 0; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	ck_assert_uint_eq(stats_of(f).waiting, 0);
	ck_assert_uint_eq(stats_of(f).commits, count);
}

START_TEST(lazy_writes_go_with_others)
{
	struct store_fixture f;

	init(&f, NEVER_MS, 64);
	for (int i = 0; i < 3; i++)
		put_lazily(&f, "a@x", (const char *[]){ "1", "2", "3" }[i]);
	let_sleep();
	ck_assert_uint_eq(stats_of(&f).waiting, 3);
	ck_assert_int_eq(fixture_put(&f, "b@x", "roster", "k", "v"), 0);
	await_commits(&f, 1);
	ck_assert_str_eq(fixture_load(&f, "a@x", "last", NULL), "last:1=v;last:2=v;last:3=v;");
	/* None is left that somebody waited for. */
	put_lazily(&f, "a@x", "4");
	let_sleep();
	ck_assert_uint_eq(stats_of(&f).waiting, 1);
	ck_assert_uint_eq(stats_of(&f).commits, 1);
	fixture_deinit(&f);
}
END_TEST

START_TEST(lazy_writes_go_by_themselves)
{
	struct store_fixture f;

	init(&f, 20, 64);
	put_lazily(&f, "a@x", "1");
	await_commits(&f, 1);
	put_lazily(&f, "a@x", "2");
	await_commits(&f, 2);
	fixture_deinit(&f);
}
END_TEST

/* Both at their own time, whichever is sooner. */
START_TEST(lazy_writes_and_the_log_do_not_wait_for_each_other)
{
	struct store_fixture f;
	uint64_t id;

	fixture_init_closed(&f, false);
	f.conf.log_bytes = 1 << 20;
	f.conf.log_ms = _i == 0 ? 200 : NEVER_MS;
	f.conf.lazy_ms = _i == 0 ? NEVER_MS : 200;
	fixture_reopen(&f, &sqlite_driver);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1000, "p@x", "v", 0, &id), 0);
	put_lazily(&f, "b@x", "1");
	let_sleep();
	ck_assert_uint_eq(stats_of(&f).waiting, 1);
	await_commits(&f, 2);
	fixture_deinit(&f);
}
END_TEST

START_TEST(many_lazy_writes_do_not_wait)
{
	struct store_fixture f;

	init(&f, NEVER_MS, 3);
	put_lazily(&f, "a@x", "1");
	let_sleep();
	put_lazily(&f, "a@x", "2");
	put_lazily(&f, "a@x", "3");
	await_commits(&f, 1);
	fixture_deinit(&f);
}
END_TEST

START_TEST(reads_do_not_wait_for_lazy_writes)
{
	struct store_fixture f;

	init(&f, NEVER_MS, 64);
	put_lazily(&f, "a@x", "1");
	ck_assert_str_eq(fixture_get(&f, "a@x", "last", "1"), "last:1=v;");
	put_lazily(&f, "b@x", "1");
	ck_assert_str_eq(fixture_owners(&f, "last", "@x", "", 10), "last:a@x;last:b@x;");
	fixture_deinit(&f);
}
END_TEST

START_TEST(lazy_writes_can_be_hurried)
{
	struct store_fixture f;

	init(&f, NEVER_MS, 64);
	store_hurry(f.store);
	put_lazily(&f, "a@x", "1");
	let_sleep();
	ck_assert_uint_eq(stats_of(&f).waiting, 1);
	store_hurry(f.store);
	await_commits(&f, 1);
	fixture_deinit(&f);
}
END_TEST

START_TEST(the_end_does_not_wait_for_lazy_writes)
{
	struct store_fixture f;

	init(&f, NEVER_MS, 64);
	put_lazily(&f, "a@x", "1");
	store_close(&f.store);
	fixture_reopen(&f, &sqlite_driver);
	ck_assert_str_eq(fixture_get(&f, "a@x", "last", "1"), "last:1=v;");
	fixture_deinit(&f);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, lazy_writes_go_with_others);
	tcase_add_test(tc, lazy_writes_go_by_themselves);
	tcase_add_loop_test(tc, lazy_writes_and_the_log_do_not_wait_for_each_other, 0, 2);
	tcase_add_test(tc, many_lazy_writes_do_not_wait);
	tcase_add_test(tc, reads_do_not_wait_for_lazy_writes);
	tcase_add_test(tc, lazy_writes_can_be_hurried);
	tcase_add_test(tc, the_end_does_not_wait_for_lazy_writes);
}
UNIT_SUITE(writes);
