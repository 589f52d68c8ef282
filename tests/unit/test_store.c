/* SPDX-License-Identifier: MIT */
/* The suite that every storage driver passes, with threads and without. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_fixture.h"
#include "unit.h"

static const struct store_driver *const drivers[] = { &sqlite_driver };

/* Loop tests run for each driver, with threads and inline, without a log and with one. */
#define VARIANTS (4 * (int)(sizeof(drivers) / sizeof(drivers[0])))

static const struct store_driver *driver_of(int variant)
{
	return drivers[variant / 4];
}

static bool is_inline(int variant)
{
	return variant % 2 == 1;
}

static void init(struct store_fixture *f, int variant)
{
	fixture_init_closed(f, is_inline(variant));
	f->conf.log_bytes = variant % 4 >= 2 ? 65536 : 0;
	fixture_reopen(f, driver_of(variant));
}

START_TEST(test_map)
{
	struct store_fixture f;

	init(&f, _i);
	ck_assert_str_eq(fixture_load(&f, "a@x", "roster", NULL), "");
	ck_assert_str_eq(fixture_get(&f, "a@x", "roster", "k"), err_name(-ERR_NOT_FOUND));
	ck_assert_int_eq(fixture_put(&f, "a@x", "roster", "k2", "two"), 0);
	ck_assert_int_eq(fixture_put(&f, "a@x", "roster", "k1", "one"), 0);
	ck_assert_int_eq(fixture_put(&f, "a@x", "blocked", "k0", ""), 0);
	ck_assert_int_eq(fixture_put(&f, "b@x", "roster", "k9", "other"), 0);
	ck_assert_str_eq(fixture_load(&f, "a@x", "roster", NULL), "roster:k1=one;roster:k2=two;");
	ck_assert_str_eq(fixture_load(&f, "a@x", "blocked", "roster"), "blocked:k0=;roster:k1=one;roster:k2=two;");
	ck_assert_str_eq(fixture_get(&f, "a@x", "roster", "k2"), "roster:k2=two;");
	ck_assert_int_eq(fixture_put(&f, "a@x", "roster", "k2", "new"), 0);
	ck_assert_int_eq(fixture_put(&f, "a@x", "roster", "k1", NULL), 0);
	ck_assert_int_eq(fixture_put(&f, "a@x", "roster", "not there", NULL), 0);
	ck_assert_str_eq(fixture_load(&f, "a@x", "roster", "blocked"), "roster:k2=new;blocked:k0=;");
	store_close(&f.store);
	fixture_reopen(&f, driver_of(_i));
	ck_assert_str_eq(fixture_load(&f, "a@x", "roster", NULL), "roster:k2=new;");
	fixture_deinit(&f);
}
END_TEST

static void check_bytes(void *arg, const struct store_result *result)
{
	ck_assert_uint_eq(result->count, 1);
	ck_assert_uint_eq(result->rows[0].len, 256);
	for (int i = 0; i < 256; i++)
		ck_assert_int_eq(((const unsigned char *)result->rows[0].value)[i], i);
	answer_on_read(arg, &(struct store_result){ 0 });
}

START_TEST(test_values_are_bytes)
{
	unsigned char bytes[256];
	struct store_row row = { "avatar", "ключ/\"'%", bytes, sizeof(bytes) };
	struct answer a = { 0 };
	struct store_fixture f;

	for (int i = 0; i < 256; i++)
		bytes[i] = (unsigned char)i;
	init(&f, _i);
	/* Nobody waits for the write; what was passed in was copied. */
	store_map_put(f.store, NULL, "ü@x", &row, 1, NULL, NULL);
	memset(bytes, 0, sizeof(bytes));
	store_map_get(f.store, &f.worker, "ü@x", "avatar", "ключ/\"'%", check_bytes, &a);
	fixture_await(&f, &a, 1);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_create)
{
	struct store_fixture f;

	init(&f, _i);
	ck_assert_int_eq(fixture_create(&f, "a@x", "account", "scram", "1"), 0);
	ck_assert_int_eq(fixture_create(&f, "a@x", "account", "second", "2"), -ERR_EXISTS);
	ck_assert_int_eq(fixture_create(&f, "b@x", "account", "scram", "3"), 0);
	ck_assert_str_eq(fixture_load(&f, "a@x", "account", "other"), "account:scram=1;other:scram=1;");
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_create_race)
{
	struct store_row row = { "account", "k", "v", 1 };
	struct answer answers[50] = { { 0 } };
	int created = 0;
	struct store_fixture f;

	init(&f, _i);
	for (int i = 0; i < 50; i++)
		store_map_create(f.store, &f.worker, "a@x", &row, 1, answer_on_write, &answers[i]);
	for (int i = 0; i < 50; i++) {
		fixture_await(&f, &answers[i], 1);
		created += answers[i].status == 0;
		ck_assert(answers[i].status == 0 || answers[i].status == -ERR_EXISTS);
	}
	ck_assert_int_eq(created, 1);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_remove_owner)
{
	struct store_fixture f;

	init(&f, _i);
	fixture_put(&f, "a@x", "roster", "k", "v");
	fixture_put(&f, "a@x", "account", "k", "v");
	fixture_put(&f, "ab@x", "roster", "k", "v");
	fixture_append(&f, "a@x", "offline", 1, "c@x", "m", 0, NULL);
	fixture_append(&f, "ab@x", "offline", 1, "c@x", "m", 0, NULL);
	ck_assert_int_eq(fixture_remove_owner(&f, "a@x"), 0);
	ck_assert_int_eq(fixture_remove_owner(&f, "nobody@x"), 0);
	ck_assert_str_eq(fixture_load(&f, "a@x", "roster", "account"), "");
	ck_assert_uint_eq(fixture_count(&f, "a@x", "offline"), 0);
	ck_assert_str_eq(fixture_load(&f, "ab@x", "roster", "account"), "roster:k=v;");
	ck_assert_uint_eq(fixture_count(&f, "ab@x", "offline"), 1);
	ck_assert_int_eq(fixture_create(&f, "a@x", "account", "k", "again"), 0);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_owners)
{
	struct store_fixture f;

	init(&f, _i);
	fixture_put(&f, "b@x.org", "account", "k1", "v");
	fixture_put(&f, "b@x.org", "account", "k2", "v");
	fixture_put(&f, "a@x.org", "account", "k", "v");
	fixture_put(&f, "c@x.org", "account", "k", "v");
	fixture_put(&f, "ä@x.org", "account", "k", "v");
	fixture_put(&f, "a@sub.x.org", "account", "k", "v");
	fixture_put(&f, "d@x.org", "roster", "k", "v");
	ck_assert_str_eq(fixture_owners(&f, "account", "@x.org", "", 10),
	                 "account:a@x.org;account:b@x.org;account:c@x.org;account:ä@x.org;");
	ck_assert_str_eq(fixture_owners(&f, "account", "@x.org", "", 2), "account:a@x.org;account:b@x.org;");
	ck_assert_str_eq(fixture_owners(&f, "account", "@x.org", "b@x.org", 2), "account:c@x.org;account:ä@x.org;");
	ck_assert_str_eq(fixture_owners(&f, "account", "@x.org", "ä@x.org", 2), "");
	ck_assert_str_eq(fixture_owners(&f, "account", "@sub.x.org", "", 0), "account:a@sub.x.org;");
	ck_assert_str_eq(fixture_owners(&f, "roster", "", "", 0), "roster:d@x.org;");
	ck_assert_str_eq(fixture_owners(&f, "nothing", "@x.org", "", 0), "");
	fixture_deinit(&f);
}
END_TEST

static void fill_archive(struct store_fixture *f, uint64_t *ids)
{
	static const char *const with[] = { "r@y", "j@y", "r@y", "", "r@y", "j@y" };
	char value[8];

	for (int i = 0; i < 6; i++) {
		snprintf(value, sizeof(value), "m%d", i);
		ck_assert_int_eq(fixture_append(f, "a@x", "mam", 1000 + 10 * i, with[i], value, 0, &ids[i]), 0);
		ck_assert(i == 0 || ids[i] > ids[i - 1]);
		fixture_append(f, "b@x", "mam", 1000, "r@y", "not mine", 0, NULL);
		fixture_append(f, "a@x", "offline", 1000, "r@y", "elsewhere", 0, NULL);
	}
}

#define ASSERT_QUERY(F, TEXT, TOTAL, ...) \
	do { \
		const struct answer *found_ = fixture_query(F, "a@x", "mam", &(struct store_query){ __VA_ARGS__ }); \
		ck_assert_str_eq(found_->text, TEXT); \
		ck_assert_uint_eq(found_->total, TOTAL); \
	} while (0)

START_TEST(test_query)
{
	struct store_fixture f;
	uint64_t ids[6];

	init(&f, _i);
	ASSERT_QUERY(&f, "", 0, .limit = 5);
	fill_archive(&f, ids);
	ASSERT_QUERY(&f, "r@y=m0;j@y=m1;r@y=m2;=m3;r@y=m4;j@y=m5;", 6, 0);
	ASSERT_QUERY(&f, "r@y=m0;j@y=m1;", 6, .limit = 2);
	ASSERT_QUERY(&f, "r@y=m2;=m3;", 4, .limit = 2, .after_id = ids[1]);
	ASSERT_QUERY(&f, "r@y=m4;j@y=m5;", 6, .limit = 2, .backwards = 1);
	ASSERT_QUERY(&f, "r@y=m0;j@y=m1;", 6, .max_bytes = 5);
	ASSERT_QUERY(&f, "r@y=m0;", 6, .max_bytes = 1);
	ASSERT_QUERY(&f, "r@y=m4;j@y=m5;", 2, .after_id = ids[3], .max_bytes = 4);
	ASSERT_QUERY(&f, "r@y=m2;=m3;", 4, .limit = 2, .backwards = 1, .before_id = ids[4]);
	ASSERT_QUERY(&f, "r@y=m0;r@y=m2;r@y=m4;", 3, .with = "r@y");
	ASSERT_QUERY(&f, "r@y=m0;r@y=m2;", 3, .with = "r@y", .limit = 2);
	ASSERT_QUERY(&f, "=m3;", 1, .with = "");
	ASSERT_QUERY(&f, "", 0, .with = "nobody@y", .limit = 1);
	ASSERT_QUERY(&f, "j@y=m1;r@y=m2;", 2, .start_us = 1010, .end_us = 1020);
	ASSERT_QUERY(&f, "r@y=m4;j@y=m5;", 2, .start_us = 1031);
	ASSERT_QUERY(&f, "r@y=m2;", 1, .after_id = ids[1], .before_id = ids[3]);
	ASSERT_QUERY(&f, "", 0, .after_id = UINT64_MAX);
	ASSERT_QUERY(&f, "j@y=m5;", 1, .after_id = ids[4], .before_id = UINT64_MAX, .limit = SIZE_MAX);
	ck_assert_uint_eq(fixture_query(&f, "a@x", "mam", &(struct store_query){ 0 })->ids[2], ids[2]);
	ck_assert_uint_eq(fixture_count(&f, "a@x", "mam"), 6);
	ck_assert_uint_eq(fixture_count(&f, "a@x", "nothing"), 0);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_delete_and_trim)
{
	struct store_fixture f;
	struct answer a = { 0 };
	uint64_t ids[6], id;

	init(&f, _i);
	fill_archive(&f, ids);
	store_archive_delete(f.store, &f.worker, "a@x", "mam", ids[1], ids[2], answer_on_write, &a);
	ASSERT_QUERY(&f, "r@y=m0;=m3;r@y=m4;j@y=m5;", 4, 0);
	store_archive_trim(f.store, &f.worker, "a@x", "mam", 4, 0, answer_on_write, &a);
	ASSERT_QUERY(&f, "r@y=m0;=m3;r@y=m4;j@y=m5;", 4, 0);
	store_archive_trim(f.store, &f.worker, "a@x", "mam", 3, 0, answer_on_write, &a);
	ASSERT_QUERY(&f, "=m3;r@y=m4;j@y=m5;", 3, 0);
	store_archive_trim(f.store, &f.worker, "a@x", "mam", UINT64_MAX, 1040, answer_on_write, &a);
	ASSERT_QUERY(&f, "r@y=m4;j@y=m5;", 2, 0);
	store_archive_delete(f.store, &f.worker, "a@x", "mam", 0, UINT64_MAX, answer_on_write, &a);
	ck_assert_uint_eq(fixture_count(&f, "a@x", "mam"), 0);
	fixture_await(&f, &a, 5);
	ck_assert_uint_eq(fixture_count(&f, "a@x", "offline"), 6);
	ck_assert_uint_eq(fixture_count(&f, "b@x", "mam"), 6);
	/* An id is never given twice, not even after all are gone. */
	store_archive_delete(f.store, NULL, "a@x", "offline", 0, UINT64_MAX, NULL, NULL);
	store_archive_delete(f.store, NULL, "b@x", "mam", 0, UINT64_MAX, NULL, NULL);
	store_close(&f.store);
	fixture_reopen(&f, driver_of(_i));
	fixture_append(&f, "a@x", "mam", 1, "", "new", 0, &id);
	ck_assert_uint_gt(id, ids[5]);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_limit)
{
	struct answer answers[10] = { { 0 } };
	struct store_entry e = { .with = "", .value = "m", .len = 1 };
	struct store_stats stats;
	struct store_fixture f;

	init(&f, _i);
	/* Also within one commit; and one that is refused does not hurt the others. */
	for (int i = 0; i < 10; i++)
		store_archive_append(f.store, &f.worker, "a@x", "offline", &e, 4, answer_on_append, &answers[i]);
	for (int i = 0; i < 10; i++) {
		fixture_await(&f, &answers[i], 1);
		ck_assert_int_eq(answers[i].status, i < 4 ? 0 : -ERR_LIMIT);
		ck_assert(i < 4 ? answers[i].number != 0 : answers[i].number == 0);
	}
	ck_assert_uint_eq(fixture_count(&f, "a@x", "offline"), 4);
	ck_assert_int_eq(fixture_append(&f, "b@x", "offline", 1, "", "m", 4, NULL), 0);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "", "m", 0, NULL), 0);
	store_get_stats(f.store, &stats);
	ck_assert_uint_eq(stats.writes, 12);
	ck_assert_uint_eq(stats.failures, 6);
	ck_assert_uint_eq(stats.waiting, 0);
	ck_assert_uint_ge(stats.reads, 1);
	ck_assert_uint_ge(stats.commits, 1);
	ck_assert_int_eq(f.warnings, 0);
	fixture_deinit(&f);
}
END_TEST

/* ---- order ---- */

struct expected {
	struct answer answer;
	char value[16];
};

static void check_value(void *arg, const struct store_result *result)
{
	struct expected *x = arg;

	ck_assert_int_eq(result->status, 0);
	ck_assert_uint_eq(result->count, 1);
	/* What was written before must be there; what was written later may be. */
	ck_assert_int_ge(atoi(result->rows[0].value), atoi(x->value));
	answer_on_read(&x->answer, &(struct store_result){ 0 });
}

START_TEST(test_reads_see_own_writes)
{
	enum { OWNERS = 20, ROUNDS = 30 };
	struct expected *expected = calloc(OWNERS * ROUNDS, sizeof(*expected));
	struct answer owners = { 0 };
	char owner[32];
	struct store_fixture f;

	init(&f, _i);
	for (int i = 0; i < OWNERS * ROUNDS; i++) {
		struct expected *x = &expected[i];
		struct store_row row = { "m", "k", x->value, (size_t)snprintf(x->value, sizeof(x->value), "%d", i) };

		snprintf(owner, sizeof(owner), "u%02d@x", i % OWNERS);
		store_map_put(f.store, NULL, owner, &row, 1, NULL, NULL);
		store_map_get(f.store, &f.worker, owner, "m", "k", check_value, x);
		if (i == OWNERS - 1)
			store_map_owners(f.store, &f.worker, "m", "@x", "", 0, answer_on_read, &owners);
	}
	for (int i = 0; i < OWNERS * ROUNDS; i++)
		fixture_await(&f, &expected[i].answer, 1);
	fixture_await(&f, &owners, 1);
	ck_assert_uint_eq(owners.count, OWNERS);
	fixture_deinit(&f);
	free(expected);
}
END_TEST

struct order {
	int next;
};

struct turn {
	struct order *order;
	int number;
};

static void check_turn(void *arg, int status)
{
	struct turn *t = arg;

	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(t->order->next++, t->number);
}

START_TEST(test_writes_keep_order)
{
	enum { WRITES = 500 };
	struct turn turns[WRITES];
	struct order order = { 0 };
	struct store_fixture f;
	char value[16];

	init(&f, _i);
	for (int i = 0; i < WRITES; i++) {
		struct store_row row = { "m", "k", value, (size_t)snprintf(value, sizeof(value), "%d", i) };

		turns[i] = (struct turn){ &order, i };
		store_map_put(f.store, &f.worker, i % 3 != 0 ? "a@x" : "b@x", &row, 1, check_turn, &turns[i]);
	}
	ck_assert_int_eq(order.next, 0);
	ck_assert_str_eq(fixture_get(&f, "a@x", "m", "k"), "m:k=499;");
	ck_assert_int_eq(order.next, WRITES);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_close_answers_all)
{
	enum { CALLS = 300 };
	struct answer writes = { 0 }, reads = { 0 };
	struct store_fixture f;
	char owner[32];

	init(&f, _i);
	for (int i = 0; i < CALLS; i++) {
		struct store_row row = { "m", "k", "v", 1 };

		snprintf(owner, sizeof(owner), "%03d@x", i);
		store_map_put(f.store, &f.worker, owner, &row, 1, answer_on_write, &writes);
		store_map_get(f.store, &f.worker, owner, "m", "k", answer_on_read, &reads);
	}
	store_close(&f.store);
	while (worker_turn(&f.worker))
		;
	ck_assert_int_eq(writes.calls, CALLS);
	ck_assert_int_eq(reads.calls, CALLS);
	ck_assert_str_eq(reads.text, "m:k=v;");
	fixture_reopen(&f, driver_of(_i));
	ck_assert_str_eq(fixture_get(&f, "299@x", "m", "k"), "m:k=v;");
	fixture_deinit(&f);
}
END_TEST

/* ---- several workers ---- */

struct caller {
	pthread_t thread;
	struct store_fixture *fixture;
	struct store_fixture own;     /* only its worker is used */
	int number;
};

static void *run_caller(void *arg)
{
	struct caller *c = arg;
	struct store_fixture *f = &c->own;
	char owner[32], value[16], expected[32];

	snprintf(owner, sizeof(owner), "w%d@x", c->number);
	for (int i = 0; i < 40; i++) {
		struct answer put = { 0 }, get = { 0 };
		struct store_row row = { "m", "k", value, (size_t)snprintf(value, sizeof(value), "%d", i) };

		store_map_put(c->fixture->store, &f->worker, owner, &row, 1, answer_on_write, &put);
		store_map_put(c->fixture->store, NULL, "shared@x", &row, 1, NULL, NULL);
		store_map_get(c->fixture->store, &f->worker, owner, "m", "k", answer_on_read, &get);
		fixture_await(f, &get, 1);
		fixture_await(f, &put, 1);
		snprintf(expected, sizeof(expected), "m:k=%d;", i);
		ck_assert_str_eq(get.text, expected);
	}
	return NULL;
}

START_TEST(test_several_workers)
{
	struct caller callers[3] = { 0 };
	struct store_fixture f;

	fixture_init(&f, driver_of(_i), false);
	for (int i = 0; i < 3; i++) {
		callers[i].fixture = &f;
		callers[i].number = i;
		fixture_init_closed(&callers[i].own, false);
	}
	for (int i = 0; i < 3; i++)
		pthread_create(&callers[i].thread, NULL, run_caller, &callers[i]);
	for (int i = 0; i < 3; i++) {
		pthread_join(callers[i].thread, NULL);
		fixture_deinit(&callers[i].own);
	}
	ck_assert_str_eq(fixture_get(&f, "shared@x", "m", "k"), "m:k=39;");
	fixture_deinit(&f);
}
END_TEST

/* ---- backup ---- */

/* A pair of rows in one transaction: a consistent copy has both of the same round. */
static void put_pair(struct store_fixture *f, int round)
{
	char value[2000];
	struct store_row rows[] = { { "m", "left", value, sizeof(value) }, { "m", "right", value, sizeof(value) } };
	char owner[32];

	memset(value, 'a' + round % 26, sizeof(value));
	snprintf(owner, sizeof(owner), "%d@x", round % 50);
	store_map_put(f->store, NULL, owner, rows, 2, NULL, NULL);
}

static void check_pair(void *arg, const struct store_result *result)
{
	ck_assert_uint_eq(result->count, 2);
	ck_assert_uint_eq(result->rows[0].len, 2000);
	ck_assert_int_eq(memcmp(result->rows[0].value, result->rows[1].value, 2000), 0);
	answer_on_read(arg, &(struct store_result){ 0 });
}

START_TEST(test_backup)
{
	const char *const names[] = { "m", NULL };
	struct answer done = { 0 }, pairs = { 0 };
	struct store_fixture f, copy;
	struct stat st;
	char owner[32];
	int round;

	init(&f, _i);
	fixture_init_closed(&copy, is_inline(_i));
	for (round = 0; round < 200; round++)
		put_pair(&f, round);
	store_backup(f.store, &f.worker, copy.path, answer_on_write, &done);
	for (; done.calls == 0; round++) {
		put_pair(&f, round);
		worker_turn(&f.worker);
	}
	ck_assert_int_eq(done.status, 0);
	ck_assert_int_eq(fixture_backup(&f, copy.path), -ERR_EXISTS);
	ck_assert_int_eq(fixture_backup(&f, "/nonexistent/copy"), -ERR_IO);
	ck_assert_int_eq(stat(copy.path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	fixture_reopen(&copy, driver_of(_i));
	for (int i = 0; i < 50; i++) {
		snprintf(owner, sizeof(owner), "%d@x", i);
		store_map_load(copy.store, &copy.worker, owner, names, check_pair, &pairs);
	}
	fixture_await(&copy, &pairs, 50);
	fixture_deinit(&copy);
	fixture_deinit(&f);
}
END_TEST

/* ---- failures, by a driver that fails on demand ---- */

static struct store_driver failing;
static const struct store_driver *real;
static _Atomic int commit_status;

static int put_and_fail(struct driver_conn *c, const char *owner, const struct store_row *rows, size_t count)
{
	int rc = real->map_put(c, owner, rows, count);

	return rc == 0 && strcmp(rows[count - 1].key, "bad") == 0 ? -ERR_INVALID : rc;
}

static int fail_commit(struct driver_conn *c)
{
	return commit_status != 0 ? commit_status : real->commit(c);
}

static void init_failing(struct store_fixture *f, int variant)
{
	real = driver_of(variant);
	failing = *real;
	failing.map_put = put_and_fail;
	failing.commit = fail_commit;
	fixture_init(f, &failing, is_inline(variant));
}

START_TEST(test_one_failure_is_alone)
{
	struct store_row good = { "m", "good", "1", 1 };
	struct store_row bad[] = { { "m", "half", "1", 1 }, { "m", "bad", "1", 1 } };
	struct answer first = { 0 }, second = { 0 }, third = { 0 };
	struct store_fixture f;

	init_failing(&f, _i);
	store_map_put(f.store, &f.worker, "a@x", &good, 1, answer_on_write, &first);
	store_map_put(f.store, &f.worker, "b@x", bad, 2, answer_on_write, &second);
	store_map_put(f.store, &f.worker, "c@x", &good, 1, answer_on_write, &third);
	fixture_await(&f, &first, 1);
	fixture_await(&f, &second, 1);
	fixture_await(&f, &third, 1);
	ck_assert_int_eq(first.status, 0);
	ck_assert_int_eq(second.status, -ERR_INVALID);
	ck_assert_int_eq(third.status, 0);
	ck_assert_str_eq(fixture_load(&f, "a@x", "m", NULL), "m:good=1;");
	ck_assert_str_eq(fixture_load(&f, "b@x", "m", NULL), "");
	ck_assert_str_eq(fixture_load(&f, "c@x", "m", NULL), "m:good=1;");
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_failed_commit)
{
	struct answer answers[20] = { { 0 } };
	struct store_entry e = { .with = "", .value = "m", .len = 1 };
	struct store_fixture f;

	init_failing(&f, _i);
	ck_assert_int_eq(fixture_put(&f, "a@x", "m", "k", "before"), 0);
	commit_status = -ERR_NO_SPACE;
	for (int i = 0; i < 20; i++)
		store_archive_append(f.store, &f.worker, "a@x", "offline", &e, 0, answer_on_append, &answers[i]);
	for (int i = 0; i < 20; i++) {
		fixture_await(&f, &answers[i], 1);
		ck_assert_int_eq(answers[i].status, -ERR_NO_SPACE);
		ck_assert_uint_eq(answers[i].number, 0);
	}
	ck_assert_int_eq(fixture_put(&f, "a@x", "m", "k", "lost"), -ERR_NO_SPACE);
	ck_assert_str_eq(fixture_get(&f, "a@x", "m", "k"), "m:k=before;");
	ck_assert_uint_eq(fixture_count(&f, "a@x", "offline"), 0);
	ck_assert_int_eq(f.warnings, 1);
	commit_status = 0;
	ck_assert_int_eq(fixture_put(&f, "a@x", "m", "k", "after"), 0);
	ck_assert_str_eq(fixture_get(&f, "a@x", "m", "k"), "m:k=after;");
	ck_assert_int_eq(f.warnings, 2);
	fixture_deinit(&f);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, test_map, 0, VARIANTS);
	tcase_add_loop_test(tc, test_values_are_bytes, 0, VARIANTS);
	tcase_add_loop_test(tc, test_create, 0, VARIANTS);
	tcase_add_loop_test(tc, test_create_race, 0, VARIANTS);
	tcase_add_loop_test(tc, test_remove_owner, 0, VARIANTS);
	tcase_add_loop_test(tc, test_owners, 0, VARIANTS);
	tcase_add_loop_test(tc, test_query, 0, VARIANTS);
	tcase_add_loop_test(tc, test_delete_and_trim, 0, VARIANTS);
	tcase_add_loop_test(tc, test_limit, 0, VARIANTS);
	tcase_add_loop_test(tc, test_reads_see_own_writes, 0, VARIANTS);
	tcase_add_loop_test(tc, test_writes_keep_order, 0, VARIANTS);
	tcase_add_loop_test(tc, test_close_answers_all, 0, VARIANTS);
	tcase_add_loop_test(tc, test_several_workers, 0, VARIANTS);
	tcase_add_loop_test(tc, test_backup, 0, VARIANTS);
	tcase_add_loop_test(tc, test_one_failure_is_alone, 0, VARIANTS);
	tcase_add_loop_test(tc, test_failed_commit, 0, VARIANTS);
}
UNIT_SUITE(store);
