/* SPDX-License-Identifier: MIT */
/* After a crash, sessions learn from the store which of their messages it has. */
#include <stdlib.h>
#include <string.h>

#include "router/token.h"
#include "store/driver.h"
#include "store_fixture.h"
#include "unit.h"

#define KEY 0x1122334455667701u
#define OTHER_KEY 0x1122334455667703u

static struct image *given;

static void take_one(void *arg, struct image *i)
{
	(void)arg;
	ck_assert_ptr_null(given);
	given = i;
}

static void store_message(struct store_fixture *f, const char *owner, struct cause cause, struct cause stored)
{
	char token[TOKEN_SIZE];
	struct store_entry e = { .with = "p@x", .value = "v", .len = 1, .token = token };
	struct answer done = { 0 };

	token_write(token, &cause, &stored);
	store_archive_append(f->store, &f->worker, owner, "offline", &e, 0, answer_on_append, &done);
	fixture_await(f, &done, 1);
	ck_assert_int_eq(done.status, 0);
}

static void take(struct images *images, unsigned type, struct buf *body)
{
	images_take(images, type, buf_bytes(body), buf_size(body));
	buf_deinit(body);
}

/* The session as the journal has it and the store completes it. noted: what the journal has noted of the store. */
static void restore(struct store_fixture *f, bool can_resume, uint64_t noted)
{
	static struct image_item items[] = {
		{ .cause = { OTHER_KEY, 10, 1 }, .xml = "<message/>", .len = 10 },
		{ .cause = { OTHER_KEY, 11, 2 }, .stored = { 5, 0xa }, .xml = "<message/>", .len = 10 },
		{ .cause = { OTHER_KEY, 12, 3 }, .stored = { 5, 0xb }, .xml = "<message/>", .len = 10 },
		{ .cause = { OTHER_KEY, 13, 4 }, .xml = "<message/>", .len = 10 },
	};
	struct image i = { .key = KEY, .account = "a@x", .resource = "r", .id = "0123456789abcdef0123456789abcdef",
	                   .can_resume = can_resume, .in = 7, .items = items, .item_count = 4 };
	struct images images = { 0 };
	struct buf out = { 0 };

	record_file(&out, &(struct image_file){ 1, 0, 1 });
	take(&images, RECORD_FILE, &out);
	record_u64(&out, noted);
	take(&images, RECORD_STORED, &out);

	image_write(&out, &i);
	take(&images, RECORD_SESSION, &out);
	ck_assert_int_eq(images_take_stored(&images, f->store), 0);
	images_settle(&images);
	given = NULL;
	images_give(&images, take_one, NULL);
	images_deinit(&images);
	ck_assert_ptr_nonnull(given);
}

static void store_all(struct store_fixture *f)
{
	struct cause none = { 0 };

	/* What the session has sent: the next two, and one behind one that is not there. */
	store_message(f, "b@x", (struct cause){ KEY, 1, 8 }, none);
	store_message(f, "c@x", (struct cause){ KEY, 2, 9 }, none);
	store_message(f, "b@x", (struct cause){ KEY, 3, 11 }, none);
	/* What was made of a message is not the message, and that of another session is not its own. */
	store_message(f, "b@x", (struct cause){ KEY, 4, 0 }, none);
	store_message(f, "b@x", (struct cause){ KEY + 2, 5, 10 }, none);
	/* What it had not got: from another sender, and back to where it was before, though under another number. */
	store_message(f, "a@x", (struct cause){ OTHER_KEY, 10, 1 }, none);
	store_message(f, "a@x", (struct cause){ OTHER_KEY, 11, 2 }, (struct cause){ 5, 0xa, 0 });
	store_message(f, "a@x", (struct cause){ OTHER_KEY, 12, 3 }, (struct cause){ 5, 0xb1, 0 });
}

static void check(bool is_over)
{
	ck_assert_uint_eq(given->in, 7);
	ck_assert_uint_eq(given->handled_count, 3);
	ck_assert_uint_eq(given->handled[0].number, 8);
	ck_assert_uint_eq(given->handled[2].number, 11);
	ck_assert_uint_eq(given->handled[2].hash, 3);
	ck_assert_uint_eq(given->item_count, 4);
	ck_assert_int_eq(given->items[0].xml == NULL, is_over);
	ck_assert_int_eq(given->items[1].xml == NULL, is_over);
	ck_assert_ptr_nonnull(given->items[2].xml);
	ck_assert_ptr_nonnull(given->items[3].xml);
	image_free(given);
}

START_TEST(test_messages_in_the_store_are_known_to_their_sessions)
{
	struct store_fixture f;

	fixture_init(&f, &sqlite_driver, true);
	store_all(&f);
	restore(&f, true, 0);
	check(false);
	restore(&f, false, 0);
	check(true);
	/* What the journal says is noted was noted, or is over. */
	restore(&f, false, 2);
	ck_assert_uint_eq(given->in, 7);
	ck_assert_uint_eq(given->handled_count, 1);
	ck_assert_ptr_null(given->items[0].xml);
	image_free(given);
	fixture_deinit(&f);
}
END_TEST

/* Of the last records of all files, the least counts; a file without one may have noted nothing. */
START_TEST(test_the_least_of_all_files_counts)
{
	static const struct {
		uint64_t noted[4];      /* UINT64_MAX: another file begins */
		uint64_t all;
	} rows[] = {
		{ { 5, 9 }, 9 },
		{ { 5, 9, UINT64_MAX, 12 }, 9 },
		{ { 12, UINT64_MAX, 5, 9 }, 9 },
		{ { 12, UINT64_MAX, UINT64_MAX, 12 }, 0 },
		{ { 12, UINT64_MAX }, 0 },
	};

	struct images images = { 0 };
	struct buf out = { 0 };

	record_file(&out, &(struct image_file){ 1, 0, 1 });
	take(&images, RECORD_FILE, &out);
	for (size_t i = 0; i < 4 && rows[_i].noted[i] != 0; i++) {
		if (rows[_i].noted[i] == UINT64_MAX)
			record_file(&out, &(struct image_file){ 1, (uint32_t)i, 1 });
		else
			record_u64(&out, rows[_i].noted[i]);
		take(&images, rows[_i].noted[i] == UINT64_MAX ? RECORD_FILE : RECORD_STORED, &out);
	}
	ck_assert_uint_eq(images_stored(&images), rows[_i].all);
	images_deinit(&images);
}
END_TEST

static struct store_driver failing;

static int fail_commit(struct driver_conn *c)
{
	(void)c;
	return -ERR_NO_SPACE;
}

START_TEST(test_they_are_known_though_they_are_in_the_log_alone)
{
	struct store_fixture f;

	failing = sqlite_driver;
	failing.commit = fail_commit;
	fixture_init_closed(&f, true);
	f.conf.log_bytes = 65536;
	f.conf.log_ms = 1000;
	fixture_reopen(&f, &failing);
	store_all(&f);
	store_abandon(&f.store);
	fixture_reopen(&f, &failing);
	restore(&f, false, 0);
	check(true);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_token_tells_what_it_was_made_of)
{
	struct cause cause = { 1, UINT64_MAX, 0x1ff }, back = { 0 };
	char token[TOKEN_SIZE];

	ck_assert_uint_eq(token_write(token, &cause, &(struct cause){ 0 }), 33);
	ck_assert_str_eq(token, "0000000000000001-ffffffffffffffff/1ff");
	ck_assert(token_read(token, &back));
	ck_assert_mem_eq(&back, &cause, sizeof(back));
	ck_assert_uint_eq(token_write(token, &cause, &(struct cause){ 9, 0xabc, 0 }), strlen(token));
	ck_assert_str_eq(token, "0000000000000001-ffffffffffffffff/1ff/abc");
	ck_assert(!token_read("something else", &back));
	ck_assert(!token_read(NULL, &back));
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, test_messages_in_the_store_are_known_to_their_sessions);
	tcase_add_loop_test(tc, test_the_least_of_all_files_counts, 0, 5);
	tcase_add_test(tc, test_they_are_known_though_they_are_in_the_log_alone);
	tcase_add_test(tc, test_token_tells_what_it_was_made_of);
}
UNIT_SUITE(token);
