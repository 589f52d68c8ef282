/* SPDX-License-Identifier: MIT */
/* What a session has got already, and where of the store it came from. */
#include <stdlib.h>

#include "base/mem.h"
#include "router/rq.h"
#include "router/session_sm.h"
#include "unit.h"

#define STORE 77u

static struct session_sm sm;
static struct sm_item item;

static void setup(void)
{
	/* With room, so that no session is asked to count it. */
	sm = (struct session_sm){ .seen = mem_array(4, sizeof(*sm.seen)), .seen_room = 4 };
	item = (struct sm_item){ .cause = { 1, 2, 3 } };
	list_init(&sm.unacked);
	list_init(&item.link);
	list_append(&sm.unacked, &item.link);
}

static void teardown(void)
{
	free(sm.seen);
}

static bool has_got(struct cause cause, struct cause stored)
{
	struct comity_rq rq = { .cause = cause, .stored = stored };

	return session_has_got(&sm, &rq);
}

START_TEST(test_a_message_is_known_by_its_sender_or_by_its_place)
{
	item.stored = (struct cause){ STORE, 5, 0 };
	ck_assert(has_got((struct cause){ 1, 2, 0 }, (struct cause){ 0 }));
	ck_assert(has_got((struct cause){ 0 }, (struct cause){ STORE, 5, 0 }));
	ck_assert(!has_got((struct cause){ 1, 3, 3 }, (struct cause){ STORE, 6, 0 }));
	ck_assert(!has_got((struct cause){ 0 }, (struct cause){ 0 }));
	session_note_seen(&sm, &(struct cause){ 1, 3, 0 });
	ck_assert(has_got((struct cause){ 1, 3, 3 }, (struct cause){ STORE, 6, 0 }));
}
END_TEST

/* What is taken out of the store then must not be what it is known by when it goes back there. */
START_TEST(test_the_newest_place_in_the_store_counts)
{
	ck_assert(has_got(item.cause, (struct cause){ STORE, 5, 0 }));
	ck_assert_uint_eq(item.stored.hash, 5);
	ck_assert(has_got(item.cause, (struct cause){ STORE, 9, 0 }));
	ck_assert_uint_eq(item.stored.hash, 9);
	ck_assert(has_got(item.cause, (struct cause){ STORE, 5, 0 }));
	ck_assert_uint_eq(item.stored.hash, 9);
	ck_assert(has_got(item.cause, (struct cause){ 0 }));
	ck_assert(item.stored.key == STORE && item.stored.hash == 9);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_a_message_is_known_by_its_sender_or_by_its_place);
	tcase_add_test(tc, test_the_newest_place_in_the_store_counts);
}

UNIT_SUITE(seen);
