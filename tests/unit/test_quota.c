/* SPDX-License-Identifier: MIT */
/* Shares by name. */
#include "base/quota.h"
#include "unit.h"

START_TEST(names_are_counted_apart)
{
	struct quota q = { 0 };
	struct quota_holder *a[2], *b;

	a[0] = quota_take(&q, "a");
	a[1] = quota_take(&q, "a");
	b = quota_take(&q, "b");
	ck_assert_uint_eq(quota_held(&q, "a"), 2);
	ck_assert_uint_eq(quota_held(&q, "b"), 1);
	ck_assert_uint_eq(quota_held(&q, "c"), 0);
	quota_return(&q, &a[0]);
	ck_assert_ptr_null(a[0]);
	ck_assert_uint_eq(quota_held(&q, "a"), 1);
	quota_return(&q, &a[0]);
	quota_return(&q, &a[1]);
	quota_return(&q, &b);
	quota_deinit(&q);
}
END_TEST

START_TEST(who_holds_nothing_takes_no_memory)
{
	struct quota q = { 0 };
	struct quota_holder *h = quota_take(&q, "a");

	ck_assert_uint_eq(q.holders.count, 1);
	quota_return(&q, &h);
	ck_assert_uint_eq(q.holders.count, 0);
	quota_deinit(&q);
}
END_TEST

START_TEST(what_is_taken_at_once_is_returned_at_once)
{
	struct quota q = { 0 };
	struct quota_holder *one = quota_take(&q, "a"), *many = quota_take_many(&q, "a", 1000);

	ck_assert_uint_eq(quota_held(&q, "a"), 1001);
	quota_return_many(&q, &many, 1000);
	ck_assert_ptr_null(many);
	ck_assert_uint_eq(quota_held(&q, "a"), 1);
	quota_return(&q, &one);
	quota_return_many(&q, &one, 7);
	quota_deinit(&q);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, names_are_counted_apart);
	tcase_add_test(tc, who_holds_nothing_takes_no_memory);
	tcase_add_test(tc, what_is_taken_at_once_is_returned_at_once);
}

UNIT_SUITE(quota);
