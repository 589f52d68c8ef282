/* SPDX-License-Identifier: MIT */
/* Memory of the pool is the caller's alone, of whatever size and thread. */
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/pool.h"
#include "unit.h"

#define COUNT 3000

START_TEST(test_pieces_do_not_overlap)
{
	static unsigned char *pieces[COUNT];
	static size_t sizes[COUNT];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < COUNT; i++) {
			sizes[i] = 1 + (i * 37 + (size_t)round * 11) % (POOL_MOST + 200);
			pieces[i] = pool_take(sizes[i]);
			ck_assert_uint_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
			memset(pieces[i], (int)(i & 0xff), sizes[i]);
		}
		for (size_t i = 0; i < COUNT; i++) {
			ck_assert_uint_eq(pieces[i][0], i & 0xff);
			ck_assert_uint_eq(pieces[i][sizes[i] - 1], i & 0xff);
			pool_give(pieces[i], sizes[i]);
		}
	}
	pool_trim();
}
END_TEST

START_TEST(test_zeroed_is_zero_though_it_was_used)
{
	unsigned char *p = pool_take(100);

	memset(p, 0xff, 100);
	pool_give(p, 100);
	p = pool_take_zeroed(100);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(p[i], 0);
	pool_give(p, 100);
	pool_give(NULL, 100);
	pool_trim();
}
END_TEST

static void *give_all(void *arg)
{
	void **pieces = arg;

	for (int i = 0; i < COUNT; i++)
		pool_give(pieces[i], 512);
	return pool_take(512);
}

/* What that thread keeps is freed with it: else a leak is found. */
START_TEST(test_pieces_may_be_given_back_on_another_thread)
{
	static void *pieces[COUNT];
	pthread_t thread;
	void *last;

	for (int i = 0; i < COUNT; i++)
		pieces[i] = pool_take(512);
	ck_assert_int_eq(pthread_create(&thread, NULL, give_all, pieces), 0);
	ck_assert_int_eq(pthread_join(thread, &last), 0);
	memset(last, 1, 512);
	pool_give(last, 512);
	pool_trim();
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, test_pieces_do_not_overlap);
	tcase_add_test(tc, test_zeroed_is_zero_though_it_was_used);
	tcase_add_test(tc, test_pieces_may_be_given_back_on_another_thread);
}
UNIT_SUITE(pool);
