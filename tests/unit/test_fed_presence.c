/* SPDX-License-Identifier: MIT */
/* How many remote resources are followed. */
#include <stdint.h>
#include <stdio.h>

#include "net/worker.h"
#include "router/fed.h"
#include "router/router.h"
#include "unit.h"

#define OF_A_LINK 50000
#define OF_ALL 200000

static struct worker worker;
static struct settings settings;
static struct router router;
static struct federation fed;
static struct comity_jid *user;

/* Their bytes have limits of their own, which are far. */
static void setup(void)
{
	settings = (struct settings){ .fed = { .presence_bytes = SIZE_MAX / 2, .presence_total = SIZE_MAX / 2 } };
	worker = (struct worker){ 0 };
	router = (struct router){ .worker = &worker, .settings = &settings };
	fed = (struct federation){ .router = &router };
	user = comity_jid_parse("user@here.test");
}

static void teardown(void)
{
	ck_assert_uint_eq(fed.seen_bytes, 0);
	comity_jid_unref(user);
}

/* Returns whether it is followed. */
static bool comes(struct fed_link *l, unsigned number, enum comity_type type)
{
	struct comity_jid *from;
	char text[64];
	bool is_followed, is_unasked;

	snprintf(text, sizeof(text), "user%u@there.test/r", number);
	from = comity_jid_parse(text);
	is_followed = link_note_presence(l, type, from, user, &is_unasked) != 0;
	comity_jid_unref(from);
	return is_followed;
}

START_TEST(resources_of_a_domain_are_followed_within_a_limit)
{
	struct fed_link one = { .fed = &fed }, other = { .fed = &fed };

	list_init(&one.telling);
	list_init(&other.telling);
	for (unsigned i = 0; i < OF_A_LINK; i++)
		ck_assert(comes(&one, i, COMITY_TYPE_AVAILABLE));
	ck_assert(!comes(&one, OF_A_LINK, COMITY_TYPE_AVAILABLE));
	/* Who is followed stays so, and other domains have room. */
	ck_assert(comes(&one, 7, COMITY_TYPE_AVAILABLE));
	ck_assert(comes(&other, OF_A_LINK, COMITY_TYPE_AVAILABLE));
	ck_assert(!comes(&one, 7, COMITY_TYPE_UNAVAILABLE));
	ck_assert(comes(&one, OF_A_LINK, COMITY_TYPE_AVAILABLE));
	ck_assert_uint_eq(fed.seen_count, OF_A_LINK + 1);
	link_forget_presence(&one);
	link_forget_presence(&other);
}
END_TEST

/* As if other links had all the rest. */
START_TEST(resources_of_all_domains_are_followed_within_a_limit)
{
	struct fed_link l = { .fed = &fed };

	list_init(&l.telling);
	fed.seen_count = OF_ALL - 1;
	ck_assert(comes(&l, 1, COMITY_TYPE_AVAILABLE));
	ck_assert(!comes(&l, 2, COMITY_TYPE_AVAILABLE));
	ck_assert(!comes(&l, 1, COMITY_TYPE_UNAVAILABLE));
	ck_assert(comes(&l, 2, COMITY_TYPE_AVAILABLE));
	link_forget_presence(&l);
	ck_assert_uint_eq(fed.seen_count, OF_ALL - 1);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, resources_of_a_domain_are_followed_within_a_limit);
	tcase_add_test(tc, resources_of_all_domains_are_followed_within_a_limit);
}

UNIT_SUITE(fed_presence);
