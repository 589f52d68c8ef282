/* SPDX-License-Identifier: MIT */
/* The order of servers. */
#include <stdio.h>
#include <string.h>

#include "net/srv.h"
#include "net_fixture.h"
#include "unit.h"

static struct dns_record make(unsigned priority, unsigned weight, unsigned port, const char *target)
{
	struct dns_record r = { .priority = (uint16_t)priority, .weight = (uint16_t)weight, .port = (uint16_t)port };

	snprintf(r.target, sizeof(r.target), "%s", target);
	return r;
}

static size_t add(struct srv_target *targets, size_t count, size_t room, const struct dns_record *records, size_t n,
                  bool is_direct_tls, bool *is_refused)
{
	const struct dns_answer answer = { .result = DNS_FOUND, .count = n, .records = records };

	return srv_add(targets, count, room, &answer, is_direct_tls, is_refused);
}

START_TEST(merges_both_kinds_by_priority)
{
	const struct dns_record plain[] = { make(20, 0, 5269, "c.example"), make(10, 0, 5269, "b.example") };
	const struct dns_record direct[] = { make(5, 0, 5270, "a.example"), make(30, 0, 443, "d.example") };
	struct srv_target t[8];
	bool is_refused = false;
	struct net_sim s;
	size_t count;

	net_sim_init(&s);
	count = add(t, 0, 8, plain, 2, false, &is_refused);
	count = add(t, count, 8, direct, 2, true, &is_refused);
	ck_assert_uint_eq(count, 4);
	srv_order(t, count, &s.env);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(t[i].host[0], (int)('a' + i));
	ck_assert(t[0].is_direct_tls && !t[1].is_direct_tls && !t[2].is_direct_tls && t[3].is_direct_tls);
	ck_assert_uint_eq(t[3].port, 443);
	ck_assert(!is_refused);
	net_sim_deinit(&s);
}
END_TEST

/* How often each of three comes first, of 10000. */
static void count_firsts(const unsigned weights[3], unsigned firsts[3])
{
	struct net_sim s;

	net_sim_init(&s);
	memset(firsts, 0, 3 * sizeof(*firsts));
	for (int round = 0; round < 10000; round++) {
		struct srv_target t[3];
		bool is_refused = false;

		for (unsigned i = 0; i < 3; i++) {
			const struct dns_record r = make(1, weights[i], 1 + i, "x.example");

			add(t, i, 3, &r, 1, false, &is_refused);
		}
		srv_order(t, 3, &s.env);
		ck_assert_uint_eq(t[0].port + t[1].port + t[2].port, 6);
		firsts[t[0].port - 1]++;
	}
	net_sim_deinit(&s);
}

START_TEST(chooses_by_weight)
{
	unsigned firsts[3];

	count_firsts((unsigned[]){ 60, 30, 10 }, firsts);
	ck_assert_uint_gt(firsts[0], 5700);
	ck_assert_uint_lt(firsts[0], 6300);
	ck_assert_uint_gt(firsts[1], 2750);
	ck_assert_uint_lt(firsts[1], 3250);
	ck_assert_uint_gt(firsts[2], 800);
}
END_TEST

START_TEST(gives_no_weight_a_small_chance)
{
	unsigned firsts[3];

	count_firsts((unsigned[]){ 0, 50, 49 }, firsts);
	ck_assert_uint_gt(firsts[0], 30);
	ck_assert_uint_lt(firsts[0], 250);
	count_firsts((unsigned[]){ 65535, 65535, 65535 }, firsts);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_gt(firsts[i], 3000);
}
END_TEST

START_TEST(knows_that_there_is_no_service)
{
	const struct dns_record records[] = { make(0, 0, 0, ""), make(0, 0, 0, ".") };
	struct srv_target t[2];
	bool is_refused = false;

	ck_assert_uint_eq(add(t, 0, 2, records, 2, false, &is_refused), 0);
	ck_assert(is_refused);
}
END_TEST

START_TEST(keeps_the_best_when_there_are_too_many)
{
	struct dns_record records[100];
	struct srv_target t[4];
	bool is_refused = false;
	struct net_sim s;

	net_sim_init(&s);
	for (unsigned i = 0; i < 100; i++)
		records[i] = make(100 - i, 0, 1000 + i, "x.example");
	ck_assert_uint_eq(add(t, 0, 4, records, 100, false, &is_refused), 4);
	srv_order(t, 4, &s.env);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(t[i].port, 1099 - i);
	ck_assert_uint_eq(add(t, 0, 0, records, 100, false, &is_refused), 0);
	net_sim_deinit(&s);
}
END_TEST

START_TEST(leaves_out_port_zero)
{
	const struct dns_record record = make(0, 0, 0, "x.example");
	struct srv_target t[1];
	bool is_refused = false;

	ck_assert_uint_eq(add(t, 0, 1, &record, 1, false, &is_refused), 0);
	ck_assert(!is_refused);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, merges_both_kinds_by_priority);
	tcase_add_test(tc, chooses_by_weight);
	tcase_add_test(tc, gives_no_weight_a_small_chance);
	tcase_add_test(tc, knows_that_there_is_no_service);
	tcase_add_test(tc, keeps_the_best_when_there_are_too_many);
	tcase_add_test(tc, leaves_out_port_zero);
}

UNIT_SUITE(srv);
