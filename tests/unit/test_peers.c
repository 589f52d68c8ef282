/* SPDX-License-Identifier: MIT */
/* What is counted for each address, and in all. */
#include <stdio.h>

#include "net/peers.h"
#include "unit.h"

static const struct peers_limits three = { .waiting = 3, .waiting_in_all = 5 };

START_TEST(connections_of_an_address_are_limited)
{
	struct peers *p = peers_new();

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(peers_admit(p, "192.0.2.1", &three), PEERS_ADMITTED);
	ck_assert_int_eq(peers_admit(p, "192.0.2.1", &three), PEERS_ADDRESS_WAITS);
	ck_assert_int_eq(peers_admit(p, "192.0.2.2", &three), PEERS_ADMITTED);
	peers_release(p, "192.0.2.1");
	ck_assert_int_eq(peers_admit(p, "192.0.2.1", &three), PEERS_ADMITTED);
	peers_free(p);
}
END_TEST

START_TEST(connections_in_all_are_limited)
{
	struct peers *p = peers_new();
	char address[32];

	for (int i = 0; i < 5; i++) {
		snprintf(address, sizeof(address), "192.0.2.%d", i);
		ck_assert_int_eq(peers_admit(p, address, &three), PEERS_ADMITTED);
	}
	ck_assert_int_eq(peers_admit(p, "198.51.100.1", &three), PEERS_ALL_WAIT);
	peers_release(p, "192.0.2.0");
	/* Twice is once: nothing is counted that was not. */
	peers_release(p, "192.0.2.0");
	peers_release(p, "198.51.100.1");
	ck_assert_int_eq(peers_admit(p, "198.51.100.1", &three), PEERS_ADMITTED);
	ck_assert_int_eq(peers_admit(p, "198.51.100.2", &three), PEERS_ALL_WAIT);
	peers_free(p);
}
END_TEST

START_TEST(a_network_of_ipv6_is_one_address)
{
	struct peers *p = peers_new();
	char address[64];

	for (int i = 0; i < 3; i++) {
		snprintf(address, sizeof(address), "2001:db8:0:7::%d", i + 1);
		ck_assert_int_eq(peers_admit(p, address, &three), PEERS_ADMITTED);
		ck_assert_uint_eq(peers_add_failure(p, address, 1, 1000), (unsigned)i + 1);
	}
	ck_assert_int_eq(peers_admit(p, "2001:db8:0:7:ffff::1", &three), PEERS_ADDRESS_WAITS);
	ck_assert_int_eq(peers_admit(p, "2001:db8:0:8::1", &three), PEERS_ADMITTED);
	peers_release(p, "2001:db8:0:7:1:2:3:4");
	ck_assert_int_eq(peers_admit(p, "2001:db8:0:7:ffff::1", &three), PEERS_ADMITTED);
	peers_free(p);
}
END_TEST

START_TEST(streams_of_an_address_count_until_they_are_gone)
{
	static const struct peers_limits limits = { .waiting = 10, .waiting_in_all = 10, .streams = 2 };
	struct peers *p = peers_new();

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(peers_admit(p, "192.0.2.1", &limits), PEERS_ADMITTED);
		peers_release(p, "192.0.2.1");
	}
	ck_assert_int_eq(peers_admit(p, "192.0.2.1", &limits), PEERS_ADDRESS_STREAMS);
	/* Clients there are not meant. */
	ck_assert_int_eq(peers_admit(p, "192.0.2.1", &three), PEERS_ADMITTED);
	peers_release_stream(p, "192.0.2.1");
	ck_assert_int_eq(peers_admit(p, "192.0.2.1", &limits), PEERS_ADMITTED);
	peers_free(p);
}
END_TEST

/* An attacker with many addresses does not fill memory with them. */
/* Also behind a time with many connections. */
START_TEST(failures_of_many_addresses_are_forgotten)
{
	static const struct peers_limits limits = { .waiting = 1, .waiting_in_all = 100000 };
	struct peers *p = peers_new();
	unsigned again = 0, connected = _i == 0 ? 0 : 20000;
	char address[32];

	for (unsigned i = 0; i < connected; i++) {
		snprintf(address, sizeof(address), "10.%u.%u.2", i / 250, i % 250);
		ck_assert_int_eq(peers_admit(p, address, &limits), PEERS_ADMITTED);
	}
	peers_add_failure(p, "192.0.2.1", 0, 1000000);
	for (unsigned i = 0; i < connected; i++) {
		snprintf(address, sizeof(address), "10.%u.%u.2", i / 250, i % 250);
		peers_release(p, address);
	}
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(address, sizeof(address), "10.%u.%u.1", i / 250, i % 250);
		peers_add_failure(p, address, i, 1000000);
	}
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(address, sizeof(address), "10.%u.%u.1", i / 250, i % 250);
		again += peers_add_failure(p, address, 20000, 1000000) > 1;
	}
	ck_assert_uint_le(again, 2 * 4096 + 1);
	peers_free(p);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, connections_of_an_address_are_limited);
	tcase_add_test(tc, connections_in_all_are_limited);
	tcase_add_test(tc, a_network_of_ipv6_is_one_address);
	tcase_add_test(tc, streams_of_an_address_count_until_they_are_gone);
	tcase_add_loop_test(tc, failures_of_many_addresses_are_forgotten, 0, 2);
}

UNIT_SUITE(peers);
