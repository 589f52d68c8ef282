/* SPDX-License-Identifier: MIT */
/* What the log takes when there is too much of it. */
#include "base/log_limit.h"
#include "unit.h"

/* So many of count lines are written at that time; what was left out before them is added to *told. */
static unsigned write_lines(struct log_limit *l, uint64_t now_ms, unsigned count, uint64_t *told)
{
	unsigned written = 0;

	while (count-- != 0) {
		uint64_t left_out = 0;

		written += log_limit_take(l, now_ms, &left_out);
		*told += left_out;
	}
	return written;
}

START_TEST(a_burst_is_written_and_what_is_over_it_is_counted)
{
	struct log_limit l = { 0 };
	uint64_t told = 0;

	ck_assert_uint_eq(write_lines(&l, 7000000, LOG_LIMIT_BURST, &told), LOG_LIMIT_BURST);
	ck_assert_uint_eq(write_lines(&l, 7000000, 100, &told), 0);
	ck_assert_uint_eq(told, 0);
	/* After an hour all is as it was. */
	ck_assert_uint_eq(write_lines(&l, 7000000 + 3600000, LOG_LIMIT_BURST + 1, &told), LOG_LIMIT_BURST);
	ck_assert_uint_eq(told, 100);
}
END_TEST

START_TEST(a_flood_is_written_at_its_rate_and_told_once_a_second)
{
	struct log_limit l = { 0 };
	uint64_t told = 0;
	unsigned written = 0, notes = 0;

	write_lines(&l, 1000, LOG_LIMIT_BURST, &told);
	for (unsigned ms = 0; ms < 60000; ms++) {
		uint64_t before = told;

		written += write_lines(&l, 1000 + ms, 10, &told);
		notes += told != before;
	}
	ck_assert_uint_le(written, 60 * LOG_LIMIT_PER_S);
	ck_assert_uint_ge(written, 50 * LOG_LIMIT_PER_S);
	ck_assert_uint_le(notes, 60);
	ck_assert_uint_ge(notes, 20);
	ck_assert_uint_eq(told + l.left_out + written, 600000);
}
END_TEST

START_TEST(who_keeps_the_rate_loses_nothing)
{
	struct log_limit l = { 0 };
	uint64_t told = 0;

	for (unsigned s = 0; s < 100; s++)
		ck_assert_uint_eq(write_lines(&l, s * 1000, LOG_LIMIT_PER_S, &told), LOG_LIMIT_PER_S);
	/* A clock that went back gives nothing and takes nothing. */
	ck_assert_uint_eq(write_lines(&l, 0, 10, &told), 10);
	ck_assert_uint_eq(told, 0);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, a_burst_is_written_and_what_is_over_it_is_counted);
	tcase_add_test(tc, a_flood_is_written_at_its_rate_and_told_once_a_second);
	tcase_add_test(tc, who_keeps_the_rate_loses_nothing);
}

UNIT_SUITE(log_limit);
