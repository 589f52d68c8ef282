/* SPDX-License-Identifier: MIT */
/* Sessions written to journal records and read again, and records that make no sense. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/image.h"
#include "unit.h"

#define ID "0123456789abcdef0123456789abcdef"
#define KEY 0x1122334455667701u

static struct images images;
static struct image *given;

static void setup(void)
{
	memset(&images, 0, sizeof(images));
	given = NULL;
}

static void teardown(void)
{
	image_free(given);
	images_deinit(&images);
}

static void take_one(void *arg, struct image *i)
{
	(void)arg;
	ck_assert_ptr_null(given);
	given = i;
}

/* The only session that there is. */
static const struct image *settle(void)
{
	images_settle(&images);
	images_give(&images, take_one, NULL);
	return given;
}

static void take(unsigned type, struct buf *body)
{
	images_take(&images, type, buf_bytes(body), buf_size(body));
	buf_deinit(body);
}

/* ---- making records ---- */

static struct image_text texts[] = { { "carbons", "enabled", "1" }, { "presence", "directed", "" } };
static struct cause seen[] = { { 5, 6, 0 }, { 7, 8, 0 } };
static struct image_handled handled[] = { { 43, 9 }, { 45, 11 } };
static struct image_item items[] = {
	{ .cause = { 1, 2, 0 }, .received_us = -5, .flags = IMAGE_SETTLED, .xml = "<message/>", .len = 10 },
	{ .received_us = 1 },
	{ .cause = { 3, 4, 0 }, .xml = "", .len = 0 },
};

static struct image sample(void)
{
	struct image i = {
		.key = KEY, .account = "a@x", .resource = "r", .id = ID, .can_resume = true, .in = 42, .acked = UINT32_MAX - 1,
		.max_ms = 60000, .presence = "<presence/>", .presence_us = -1, .texts = texts, .text_count = 2, .items = items,
		.item_count = 3, .seen = seen, .seen_count = 2, .handled = handled, .handled_count = 2,
	};

	return i;
}

static void take_sample(void)
{
	struct image i = sample();
	struct buf body = { 0 };

	image_write(&body, &i);
	take(RECORD_SESSION, &body);
}

static void take_numbers(unsigned type, uint64_t key, uint32_t number)
{
	struct buf body = { 0 };

	record_u64(&body, key);
	record_u32(&body, number);
	take(type, &body);
}

static void take_handled(uint64_t key, uint32_t number, uint64_t hash)
{
	struct buf body = { 0 };

	record_u64(&body, key);
	record_u32(&body, number);
	record_u64(&body, hash);
	take(RECORD_HANDLED, &body);
}

static void take_stored(uint64_t key, struct cause cause, struct cause stored)
{
	struct buf body = { 0 };
	size_t mark;

	record_u64(&body, key);
	mark = image_begin_item(&body, &cause, &stored, 7, 0);
	buf_add_str(&body, "<message/>");
	image_end_item(&body, mark, true);
	take(RECORD_SENT, &body);
}

static void take_sent(uint64_t key, struct cause cause, const char *xml)
{
	struct cause none = { 0 };
	struct buf body = { 0 };
	size_t mark;

	record_u64(&body, key);
	mark = image_begin_item(&body, &cause, &none, 7, 0);
	if (xml != NULL)
		buf_add(&body, xml, strlen(xml));
	image_end_item(&body, mark, xml != NULL);
	take(RECORD_SENT, &body);
}

/* ---- tests ---- */

START_TEST(test_all_of_a_session_comes_back)
{
	const struct image *i;

	take_sample();
	i = settle();
	ck_assert_ptr_nonnull(i);
	ck_assert(i->key == KEY && i->can_resume && i->in == 42 && i->acked == UINT32_MAX - 1 && i->max_ms == 60000);
	ck_assert_str_eq(i->account, "a@x");
	ck_assert_str_eq(i->resource, "r");
	ck_assert_str_eq(i->id, ID);
	ck_assert_str_eq(i->presence, "<presence/>");
	ck_assert_int_eq(i->presence_us, -1);
	ck_assert_uint_eq(i->text_count, 2);
	ck_assert_str_eq(i->texts[0].module, "carbons");
	ck_assert_str_eq(i->texts[1].value, "");
	ck_assert_uint_eq(i->item_count - i->first, 3);
	ck_assert(i->items[0].cause.key == 1 && i->items[0].cause.hash == 2 && i->items[0].received_us == -5);
	ck_assert(i->items[0].flags == IMAGE_SETTLED && i->items[1].flags == 0 && i->items[1].xml == NULL);
	ck_assert_str_eq(i->items[0].xml, "<message/>");
	ck_assert_str_eq(i->items[2].xml, "");
	ck_assert(i->seen_count == 2 && i->seen[1].key == 7 && i->seen[1].hash == 8);
	ck_assert_uint_eq(i->handled_count, 2);
	ck_assert(i->handled[0].number == 43 && i->handled[0].hash == 9);
	ck_assert(i->handled[1].number == 45 && i->handled[1].hash == 11);
	ck_assert_uint_eq(images.damaged, 0);
}
END_TEST

START_TEST(test_what_a_module_had_is_told_apart)
{
	const struct image *i;

	take_sample();
	take_stored(KEY, (struct cause){ 11, 12, 13 }, (struct cause){ 14, 15, 0 });
	i = settle();
	ck_assert(i->items[i->first + 3].cause.hash == 12 && i->items[i->first + 3].cause.number == 13);
	ck_assert(i->items[i->first + 3].stored.key == 14 && i->items[i->first + 3].stored.hash == 15);
	ck_assert_str_eq(i->items[i->first + 3].xml, "<message/>");
}
END_TEST

/* Numbers 43 and 45 are known to have been handled. A message that waits is recognised; its number may be that of an
 * earlier saying. */
START_TEST(test_what_waits_for_a_client_has_been_handled)
{
	const struct image *i;

	take_sample();
	take_sent(KEY, (struct cause){ KEY, 77, 47 }, "<message/>");
	take_sent(KEY, (struct cause){ KEY, 78, 44 }, "<message/>");
	take_sent(KEY, (struct cause){ KEY, 79, 30 }, "<message/>");
	take_sent(KEY, (struct cause){ KEY, 80, 0 }, "<message/>");
	take_sent(KEY, (struct cause){ KEY + 1, 81, 46 }, "<message/>");
	i = settle();
	ck_assert_uint_eq(i->in, 42);
	ck_assert_uint_eq(i->handled_count, 4);
	ck_assert(i->handled[1].number == 44 && i->handled[1].hash == 78);
	ck_assert(i->handled[2].number == 45);
	ck_assert(i->handled[3].number == 47 && i->handled[3].hash == 77);
}
END_TEST

/* The client left out a stanza when it said 45 again, as 44: the new 45 has not come. */
START_TEST(test_numbers_that_are_known_do_not_count)
{
	const struct image *i;

	take_sample();
	take_handled(KEY, 44, 11);
	i = settle();
	ck_assert_uint_eq(i->in, 42);
	ck_assert_uint_eq(i->handled_count, 3);
	ck_assert(i->handled[1].number == 44 && i->handled[1].hash == 11);
	ck_assert(i->handled[2].number == 45 && i->handled[2].hash == 11);
}
END_TEST

START_TEST(test_later_records_count)
{
	struct buf body = { 0 };
	const struct image *i;

	take_sample();
	take_sent(KEY, (struct cause){ 11, 12, 0 }, "<message id='4'/>");
	take_sent(KEY, (struct cause){ 0 }, NULL);
	/* Over the end of the numbers: the first three are the client's. */
	take_numbers(RECORD_ACKED, KEY, 1);
	take_numbers(RECORD_COUNT, KEY, 100);
	record_u64(&body, KEY);
	record_u64(&body, 11);
	record_u64(&body, 12);
	take(RECORD_SETTLED, &body);
	i = settle();
	ck_assert(i->acked == 1 && i->in == 100);
	ck_assert_uint_eq(i->item_count - i->first, 2);
	ck_assert_str_eq(i->items[i->first].xml, "<message id='4'/>");
	ck_assert(i->items[i->first].flags == IMAGE_SETTLED && i->items[i->first + 1].flags == 0);
	/* Those acknowledged whose sender may say them again. */
	ck_assert_uint_eq(i->seen_count, 4);
	ck_assert_uint_eq(i->seen[3].key, 3);
	ck_assert_uint_eq(images.damaged, 0);
}
END_TEST

static void take_presence(const char *xml, int64_t us)
{
	struct buf body = { 0 };

	record_u64(&body, KEY);
	image_write_presence(&body, xml, us);
	take(RECORD_PRESENCE, &body);
}

static void take_kept(char *module, char *key, char *value)
{
	struct buf body = { 0 };

	record_u64(&body, KEY);
	image_write_kept(&body, &(struct image_text){ module, key, value });
	take(RECORD_KEPT, &body);
}

static const char *kept(const struct image *i, const char *module, const char *key)
{
	for (size_t n = 0; n < i->text_count; n++)
		if (strcmp(i->texts[n].module, module) == 0 && strcmp(i->texts[n].key, key) == 0)
			return i->texts[n].value;
	return NULL;
}

START_TEST(test_a_new_presence_leaves_the_rest)
{
	const struct image *i;

	take_sample();
	take_presence("<presence/>", 1);
	take_presence("<presence id='2'/>", 2);
	i = settle();
	ck_assert_str_eq(i->presence, "<presence id='2'/>");
	ck_assert_int_eq(i->presence_us, 2);
	ck_assert_uint_eq(i->text_count, 2);
	ck_assert_uint_eq(images.damaged, 0);
}
END_TEST

START_TEST(test_a_presence_is_taken_back)
{
	const struct image *i;

	take_sample();
	take_presence(NULL, 3);
	i = settle();
	ck_assert_ptr_null(i->presence);
	ck_assert_int_eq(i->presence_us, 3);
	ck_assert_uint_eq(images.damaged, 0);
}
END_TEST

START_TEST(test_each_kept_text_changes_alone)
{
	const struct image *i;

	take_sample();
	take_kept("presence", "directed", "a@x\n");
	take_kept("presence", "other", "1");
	take_kept("roster", "directed", "2");
	take_kept("carbons", "enabled", NULL);
	take_kept("carbons", "never", NULL);
	i = settle();
	ck_assert_str_eq(i->presence, "<presence/>");
	ck_assert_uint_eq(i->text_count, 3);
	ck_assert_str_eq(kept(i, "presence", "directed"), "a@x\n");
	ck_assert_str_eq(kept(i, "presence", "other"), "1");
	ck_assert_str_eq(kept(i, "roster", "directed"), "2");
	ck_assert_uint_eq(images.damaged, 0);
}
END_TEST

START_TEST(test_a_text_that_is_kept_by_nobody_is_refused)
{
	const struct image *i;

	take_sample();
	take_kept(NULL, "enabled", "0");
	take_kept("carbons", NULL, "0");
	i = settle();
	ck_assert_uint_eq(images.damaged, 2);
	ck_assert_uint_eq(i->text_count, 2);
	ck_assert_str_eq(kept(i, "carbons", "enabled"), "1");
}
END_TEST

START_TEST(test_more_is_acknowledged_than_is_known)
{
	const struct image *i;

	take_sample();
	take_numbers(RECORD_ACKED, KEY, 1000);
	i = settle();
	ck_assert_uint_eq(i->acked, 1000);
	ck_assert_uint_eq(i->item_count - i->first, 0);
}
END_TEST

START_TEST(test_an_ended_session_is_gone)
{
	take_sample();
	take_handled(KEY, 44, 1);
	take_numbers(RECORD_END, KEY, 0);
	/* What is told of one that nobody knows is let go. */
	take_sent(KEY, (struct cause){ 0 }, "<message/>");
	take_numbers(RECORD_COUNT, 3, 3);
	take_handled(5, 1, 1);
	ck_assert_ptr_null(settle());
	ck_assert_uint_eq(images.damaged, 0);
}
END_TEST

/* Other workers tell of them in any order, more than once, and of what the client knows. */
START_TEST(test_what_the_count_covers_and_what_is_told_twice_is_forgotten)
{
	static const uint32_t numbers[] = { 50, 44, 41, 44, 42, 50, 46, 44 };
	static const uint32_t wanted[] = { 44, 45, 46, 50 };
	const struct image *i;

	take_sample(); /* with 43 and 45 */
	take_numbers(RECORD_COUNT, KEY, 43);
	for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
		take_handled(KEY, numbers[n], numbers[n] | 1);
	i = settle();
	ck_assert_uint_eq(i->in, 43);
	ck_assert_uint_eq(i->handled_count, 4);
	for (size_t n = 0; n < 4; n++)
		ck_assert_uint_eq(i->handled[n].number, wanted[n]);
}
END_TEST

START_TEST(test_numbers_wrap)
{
	const struct image *i;

	take_sample();
	take_numbers(RECORD_COUNT, KEY, UINT32_MAX - 1);
	take_handled(KEY, 0, 1);
	take_handled(KEY, 2, 5);
	take_handled(KEY, UINT32_MAX, 3);
	i = settle();
	ck_assert_uint_eq(i->in, UINT32_MAX - 1);
	ck_assert_uint_eq(i->handled_count, 5);
	ck_assert_uint_eq(i->handled[0].number, UINT32_MAX);
	ck_assert_uint_eq(i->handled[1].number, 0);
	ck_assert_uint_eq(i->handled[2].number, 2);
}
END_TEST

START_TEST(test_very_many_are_sorted_in_time)
{
	take_sample();
	for (uint32_t n = 1; n <= 1000000; n++)
		take_handled(KEY, 1000042 - n, n | 1);
	ck_assert_uint_eq(settle()->in, 42);
	ck_assert_uint_eq(given->handled[0].number, 43);
}
END_TEST

START_TEST(test_only_the_newest_causes_are_remembered)
{
	const struct image *i;

	take_sample();
	for (uint32_t n = 1; n <= 3 * SESSION_SEEN_MAX; n++) {
		take_sent(KEY, (struct cause){ n, n, 0 }, "<message/>");
		take_numbers(RECORD_ACKED, KEY, UINT32_MAX - 1 + 3 + n);
	}
	i = settle();
	ck_assert_uint_eq(i->seen_count, SESSION_SEEN_MAX);
	ck_assert_uint_eq(i->seen[SESSION_SEEN_MAX - 1].key, 3 * SESSION_SEEN_MAX);
	ck_assert_uint_eq(i->item_count, 0);
	ck_assert_uint_le(i->item_room, 16);
}
END_TEST

/* ---- damage ---- */

/* In a block of its own size, so that a sanitizer sees each byte that is read behind its end. */
static void take_exactly(unsigned type, const char *bytes, size_t len)
{
	char *copy = malloc(len != 0 ? len : 1);

	memcpy(copy, bytes, len);
	images_take(&images, type, copy, len);
	free(copy);
}

START_TEST(test_what_is_cut_off_is_not_taken)
{
	struct image i = sample();
	struct buf body = { 0 };
	size_t len;

	image_write(&body, &i);
	len = buf_size(&body);
	for (size_t n = 0; n < len; n++)
		take_exactly(RECORD_SESSION, buf_bytes(&body), n);
	ck_assert_uint_eq(images.damaged, len);
	take(RECORD_SESSION, &body);
	ck_assert_ptr_nonnull(settle());
}
END_TEST

START_TEST(test_any_byte_may_be_another)
{
	struct image i = sample();
	struct buf body = { 0 };
	char *bytes;
	size_t len;

	image_write(&body, &i);
	len = buf_size(&body);
	bytes = buf_take(&body);
	take_sample();
	for (size_t n = 0; n < len; n++) {
		for (unsigned flip = 1; flip < 256; flip *= 2) {
			bytes[n] = (char)(bytes[n] ^ flip);
			for (unsigned type = 0; type < RECORD_END; type++)
				take_exactly(type, bytes, len);
			take_exactly(RECORD_KEPT, bytes, len);
			bytes[n] = (char)(bytes[n] ^ flip);
		}
	}
	free(bytes);
	images_settle(&images);
}
END_TEST

/* Behind the key; returns how many were taken. */
static size_t take_each_beginning(unsigned type, struct buf *body)
{
	size_t taken = 0;

	for (size_t n = sizeof(uint64_t); n < buf_size(body); n++, taken++)
		take_exactly(type, buf_bytes(body), n);
	buf_deinit(body);
	return taken;
}

START_TEST(test_a_record_that_is_cut_off_changes_nothing)
{
	struct buf body = { 0 };
	const struct image *found;
	size_t taken;

	take_sample();
	record_u64(&body, KEY);
	image_write_presence(&body, "<presence id='2'/>", 2);
	taken = take_each_beginning(RECORD_PRESENCE, &body);
	record_u64(&body, KEY);
	image_write_kept(&body, &(struct image_text){ "presence", "directed", "a@x\n" });
	taken += take_each_beginning(RECORD_KEPT, &body);
	record_u64(&body, KEY);
	record_u32(&body, 1);
	taken += take_each_beginning(RECORD_ACKED, &body);
	record_u64(&body, KEY);
	record_u32(&body, 1);
	taken += take_each_beginning(RECORD_COUNT, &body);
	found = settle();
	ck_assert_uint_eq(images.damaged, taken);
	ck_assert(found->in == 42 && found->acked == UINT32_MAX - 1 && found->text_count == 2);
	ck_assert_str_eq(found->presence, "<presence/>");
	ck_assert_str_eq(found->texts[1].key, "directed");
	ck_assert_str_eq(found->texts[1].value, "");
}
END_TEST

START_TEST(test_unknown_types_are_told)
{
	take_sample();
	take_numbers(77, KEY, 0);
	images_take(&images, RECORD_SESSION, "", 0);
	ck_assert_uint_eq(images.damaged, 2);
}
END_TEST

static void take_file(enum record_type type, uint32_t worker, uint32_t number)
{
	struct image_file file = { .generation = 1, .worker = worker, .number = number };
	struct buf body = { 0 };

	record_file(&body, &file);
	take(type, &body);
}

START_TEST(test_a_later_file_of_the_worker_stands_for_all_it_had)
{
	take_file(RECORD_FILE, 0, 1);
	take_sample();
	take_file(RECORD_FILE, 1, 2);
	take_file(RECORD_WHOLE, 1, 2);
	ck_assert_uint_eq(images.by_key.count, 1);
	take_file(RECORD_FILE, 0, 2);
	ck_assert_uint_eq(images.by_key.count, 1);
	take_file(RECORD_WHOLE, 0, 2);
	ck_assert_ptr_null(settle());
}
END_TEST

START_TEST(test_what_is_over_cannot_be_resumed_and_what_is_written_may_be_known)
{
	const struct image *i;

	take_sample();
	take_numbers(RECORD_WRITTEN, KEY, 0);
	take_sent(KEY, (struct cause){ 8, 9, 0 }, "<message/>");
	take_numbers(RECORD_OVER, KEY, 0);
	i = settle();
	ck_assert(!i->can_resume);
	ck_assert_uint_eq(i->items[i->first + 2].flags, IMAGE_WRITTEN);
	ck_assert_uint_eq(i->items[i->first + 3].flags, 0);
}
END_TEST

START_TEST(test_what_has_been_passed_on_is_not_again)
{
	const struct image *i;
	struct buf again = { 0 };

	take_sample();
	take_sent(KEY, (struct cause){ 8, 9, 0 }, "<message/>");
	take_numbers(RECORD_OVER, KEY, 0);
	take_numbers(RECORD_PASSED, KEY, 0);
	take_numbers(RECORD_PASSED, KEY, 4);
	i = settle();
	ck_assert_uint_eq(images.damaged, 1);
	ck_assert_uint_eq(i->item_count - i->first, 4);
	ck_assert_ptr_null(i->items[i->first].xml);
	ck_assert_uint_eq(i->items[i->first].cause.key, 1);
	ck_assert_str_eq(i->items[i->first + 3].xml, "<message/>");
	/* It can be written again as it is. */
	image_write(&again, i);
	buf_deinit(&again);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_a_later_file_of_the_worker_stands_for_all_it_had);
	tcase_add_test(tc, test_what_is_over_cannot_be_resumed_and_what_is_written_may_be_known);
	tcase_add_test(tc, test_what_has_been_passed_on_is_not_again);
	tcase_add_test(tc, test_all_of_a_session_comes_back);
	tcase_add_test(tc, test_what_a_module_had_is_told_apart);
	tcase_add_test(tc, test_what_waits_for_a_client_has_been_handled);
	tcase_add_test(tc, test_numbers_that_are_known_do_not_count);
	tcase_add_test(tc, test_later_records_count);
	tcase_add_test(tc, test_a_new_presence_leaves_the_rest);
	tcase_add_test(tc, test_a_presence_is_taken_back);
	tcase_add_test(tc, test_each_kept_text_changes_alone);
	tcase_add_test(tc, test_a_text_that_is_kept_by_nobody_is_refused);
	tcase_add_test(tc, test_more_is_acknowledged_than_is_known);
	tcase_add_test(tc, test_an_ended_session_is_gone);
	tcase_add_test(tc, test_what_the_count_covers_and_what_is_told_twice_is_forgotten);
	tcase_add_test(tc, test_numbers_wrap);
	tcase_add_test(tc, test_very_many_are_sorted_in_time);
	tcase_add_test(tc, test_only_the_newest_causes_are_remembered);
	tcase_add_test(tc, test_what_is_cut_off_is_not_taken);
	tcase_add_test(tc, test_any_byte_may_be_another);
	tcase_add_test(tc, test_a_record_that_is_cut_off_changes_nothing);
	tcase_add_test(tc, test_unknown_types_are_told);
}

UNIT_SUITE(image);
