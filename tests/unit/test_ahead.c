/* SPDX-License-Identifier: MIT */
/* What is in the log of the store outlives the process, once, in order, and whatever the end of the file is. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store_fixture.h"
#include "unit.h"

static const struct store_query all = { 0 };

static void init(struct store_fixture *f, size_t log_bytes)
{
	fixture_init_closed(f, true);
	f->conf.log_bytes = log_bytes;
	f->conf.log_ms = 1000;
	fixture_reopen(f, &sqlite_driver);
}

/* As after kill -9. */
static void kill_and_reopen(struct store_fixture *f)
{
	store_abandon(&f->store);
	fixture_reopen(f, &sqlite_driver);
}

static uint64_t append(struct store_fixture *f, const char *owner, const char *value)
{
	uint64_t id = 0;

	ck_assert_int_eq(fixture_append(f, owner, "offline", 1000, "p@x", value, 0, &id), 0);
	return id;
}

static const char *texts(struct store_fixture *f, const char *owner)
{
	return fixture_query(f, owner, "offline", &all)->text;
}

static char *log_path(const struct store_fixture *f)
{
	return mem_printf("%s-log", f->path);
}

/* Where the last byte is that is not zero. */
static off_t end_of(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t end = lseek(fd, 0, SEEK_END);
	char c = 0;

	while (end > 0 && c == 0)
		ck_assert_int_eq(pread(fd, &c, 1, --end), 1);
	close(fd);
	return end;
}

static void change_byte(const struct store_fixture *f, off_t from_end)
{
	char *path = log_path(f), c;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	off_t at = end_of(path) - from_end;

	ck_assert_int_eq(pread(fd, &c, 1, at), 1);
	c ^= 0x55;
	ck_assert_int_eq(pwrite(fd, &c, 1, at), 1);
	close(fd);
	free(path);
}

START_TEST(test_what_is_answered_outlives_the_process)
{
	struct store_fixture f;
	uint64_t first, second;

	init(&f, 65536);
	first = append(&f, "a@x", "1");
	second = append(&f, "b@x", "2");
	append(&f, "a@x", "3");
	ck_assert_uint_gt(second, first);
	kill_and_reopen(&f);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;p@x=3;");
	ck_assert_str_eq(texts(&f, "b@x"), "p@x=2;");
	ck_assert_uint_eq(fixture_query(&f, "a@x", "offline", &all)->ids[0], first);
	/* Ids go on growing. */
	ck_assert_uint_gt(append(&f, "a@x", "4"), fixture_query(&f, "a@x", "offline", &all)->ids[1]);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_an_entry_is_there_whole_or_not_at_all)
{
	struct store_fixture f;

	init(&f, 65536);
	append(&f, "a@x", "1");
	append(&f, "a@x", "2");
	append(&f, "a@x", "3");
	store_abandon(&f.store);
	change_byte(&f, 5);
	fixture_reopen(&f, &sqlite_driver);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;p@x=2;");
	append(&f, "a@x", "4");
	kill_and_reopen(&f);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;p@x=2;p@x=4;");
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_what_was_deleted_does_not_come_back)
{
	struct answer done = { 0 };
	struct store_fixture f;
	uint64_t id;

	init(&f, 65536);
	id = append(&f, "a@x", "1");
	append(&f, "b@x", "2");
	append(&f, "a@x", "3");
	store_archive_delete(f.store, &f.worker, "a@x", "offline", id, id, answer_on_write, &done);
	fixture_await(&f, &done, 1);
	append(&f, "a@x", "4");
	kill_and_reopen(&f);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=3;p@x=4;");
	ck_assert_str_eq(texts(&f, "b@x"), "p@x=2;");
	append(&f, "b@x", "5");
	ck_assert_int_eq(fixture_remove_owner(&f, "b@x"), 0);
	kill_and_reopen(&f);
	ck_assert_str_eq(texts(&f, "b@x"), "");
	fixture_deinit(&f);
}
END_TEST

/* The file begins anew, and has the remains of its earlier use behind its end. */
START_TEST(test_remains_of_an_earlier_use_are_not_read)
{
	struct answer done = { 0 };
	struct store_fixture f;
	char *path;

	init(&f, 65536);
	for (int i = 0; i < 20; i++)
		append(&f, "a@x", "old");
	ck_assert_uint_eq(fixture_count(&f, "a@x", "offline"), 20);
	store_archive_delete(f.store, &f.worker, "a@x", "offline", 1, 1000, answer_on_write, &done);
	fixture_await(&f, &done, 1);
	append(&f, "a@x", "new");
	path = log_path(&f);
	ck_assert_int_gt(end_of(path), 1000);
	free(path);
	kill_and_reopen(&f);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=new;");
	kill_and_reopen(&f);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=new;");
	fixture_deinit(&f);
}
END_TEST

static int append_within(struct store_fixture *f, const char *value, uint64_t max_bytes)
{
	struct store_entry e = { .when_us = 1, .with = "p@x", .value = value, .len = strlen(value), .max_bytes = max_bytes };
	struct answer done = { 0 };

	store_archive_append(f->store, &f->worker, "a@x", "offline", &e, 0, answer_on_append, &done);
	fixture_await(f, &done, 1);
	return done.status;
}

START_TEST(test_bytes_count_in_the_log_and_in_the_database)
{
	struct answer done = { 0 };
	struct store_fixture f;

	init(&f, 65536);
	ck_assert_int_eq(append_within(&f, "12345", 10), 0);
	ck_assert_int_eq(append_within(&f, "123456", 10), -ERR_LIMIT);
	ck_assert_int_eq(append_within(&f, "12345", 10), 0);
	ck_assert_int_eq(append_within(&f, "1", 10), -ERR_LIMIT);
	kill_and_reopen(&f);
	ck_assert_int_eq(append_within(&f, "1", 10), -ERR_LIMIT);
	ck_assert_int_eq(append_within(&f, "1", 11), 0);
	store_archive_delete(f.store, &f.worker, "a@x", "offline", 1, 1, answer_on_write, &done);
	fixture_await(&f, &done, 1);
	ck_assert_int_eq(append_within(&f, "12345", 10), -ERR_LIMIT);
	ck_assert_int_eq(append_within(&f, "1234", 10), 0);
	ck_assert_int_eq(append_within(&f, "1", 10), -ERR_LIMIT);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_limit_counts_what_is_in_the_log)
{
	struct answer done = { 0 };
	struct store_fixture f;
	uint64_t id, last;

	init(&f, 65536);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "p@x", "v", 3, &id), 0);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "p@x", "v", 3, &id), -ERR_LIMIT);
	ck_assert_int_eq(fixture_append(&f, "a@x", "other", 1, "p@x", "v", 3, &id), 0);
	ck_assert_uint_eq(fixture_count(&f, "a@x", "offline"), 3);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "p@x", "v", 3, &id), -ERR_LIMIT);
	kill_and_reopen(&f);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "p@x", "v", 3, &id), -ERR_LIMIT);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "p@x", "v", 4, &last), 0);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "p@x", "v", 4, &id), -ERR_LIMIT);
	store_archive_delete(f.store, &f.worker, "a@x", "offline", last, last, answer_on_write, &done);
	fixture_await(&f, &done, 1);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "p@x", "v", 4, &id), 0);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "p@x", "v", 4, &id), -ERR_LIMIT);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_known_entry_is_looked_for_in_the_log_too)
{
	struct store_entry e = { .with = "p@x", .value = "v", .len = 1, .token = "t/1" };
	struct answer first = { 0 }, second = { 0 };
	struct store_fixture f;

	init(&f, 65536);
	store_archive_append(f.store, &f.worker, "a@x", "offline", &e, 0, answer_on_append, &first);
	fixture_await(&f, &first, 1);
	e.token = "t";
	e.may_be_there = 1;
	store_archive_append(f.store, &f.worker, "a@x", "offline", &e, 0, answer_on_append, &second);
	fixture_await(&f, &second, 1);
	ck_assert_uint_eq(second.number, first.number);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=v;");
	fixture_deinit(&f);
}
END_TEST

/* Each in a group of its own, in a store that works by hand. */
static void add_by_hand(struct store_fixture *f, const char *owner, const char *value, const char *token)
{
	struct store_entry e = { .with = "p@x", .value = value, .len = strlen(value), .token = token };
	struct answer done = { 0 };

	e.may_be_there = token != NULL ? 1 : 0;
	store_archive_append(f->store, &f->worker, owner, "offline", &e, 0, answer_on_append, &done);
	ck_assert(store_step(f->store, true));
	fixture_await(f, &done, 1);
	ck_assert_int_eq(done.status, 0);
}

static void check_by_hand(struct store_fixture *f, const char *owner, const char *text)
{
	struct answer found = { 0 };

	store_archive_query(f->store, &f->worker, owner, "offline", &all, answer_on_entries, &found);
	while (!store_step(f->store, false))
		ck_assert(store_step(f->store, true));
	fixture_await(f, &found, 1);
	ck_assert_str_eq(found.text, text);
}

/* What is there already uses up an id that no entry has. */
START_TEST(test_ids_grow_over_a_crash_though_some_were_not_used)
{
	struct store_fixture f;

	fixture_init_closed(&f, true);
	f.conf.log_bytes = 65536;
	f.conf.by_hand = true;
	fixture_reopen(&f, &sqlite_driver);
	add_by_hand(&f, "b@x", "v", "t/1");
	add_by_hand(&f, "a@x", "1", NULL);
	for (int i = 0; i < 3; i++)
		add_by_hand(&f, "b@x", "v", "t/1");
	check_by_hand(&f, "a@x", "p@x=1;");
	kill_and_reopen(&f);
	add_by_hand(&f, "a@x", "2", NULL);
	kill_and_reopen(&f);
	check_by_hand(&f, "a@x", "p@x=1;p@x=2;");
	check_by_hand(&f, "b@x", "p@x=v;");
	fixture_deinit(&f);
}
END_TEST

/* More than the log takes; entries that are too large for it go past it. */
START_TEST(test_all_is_there_however_small_the_log_is)
{
	static const size_t sizes[] = { 64, 300, 4096, 65536 };
	char value[600], expected[ENTRIES_MAX * 4] = "";
	struct store_fixture f;

	init(&f, sizes[_i]);
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (int i = 0; i < 100; i++) {
		append(&f, i % 7 == 0 ? "a@x" : "b@x", i % 7 == 0 ? "a" : i % 5 == 0 ? value : "b");
		if (i % 7 == 0)
			strcat(expected, "p@x=a;");
		if (i % 30 == 29)
			kill_and_reopen(&f);
	}
	ck_assert_str_eq(texts(&f, "a@x"), expected);
	ck_assert_uint_eq(fixture_count(&f, "b@x", "offline"), 85);
	fixture_deinit(&f);
}
END_TEST

START_TEST(test_a_clean_end_leaves_no_log)
{
	struct store_fixture f;
	struct stat st;
	char *path;

	init(&f, 65536);
	append(&f, "a@x", "1");
	path = log_path(&f);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	store_close(&f.store);
	ck_assert_int_ne(stat(path, &st), 0);
	/* A start without a log reads what one with it has left. */
	fixture_reopen(&f, &sqlite_driver);
	append(&f, "a@x", "2");
	store_abandon(&f.store);
	f.conf.log_bytes = 0;
	fixture_reopen(&f, &sqlite_driver);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;p@x=2;");
	free(path);
	fixture_deinit(&f);
}
END_TEST

static bool has_log(const struct store_fixture *f)
{
	char *path = log_path(f);
	bool has = access(path, F_OK) == 0;

	free(path);
	return has;
}

static off_t size_of_log(const struct store_fixture *f)
{
	char *path = log_path(f);
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
	free(path);
	return st.st_size;
}

/* So that the first entry needs no descriptor; its bytes are written with that one. */
START_TEST(test_the_file_is_there_from_the_start)
{
	struct store_fixture f;

	init(&f, 65536);
	ck_assert_int_eq(size_of_log(&f), 0);
	kill_and_reopen(&f);
	ck_assert_int_eq(size_of_log(&f), 0);
	append(&f, "a@x", "1");
	ck_assert_int_eq(size_of_log(&f), 65536);
	kill_and_reopen(&f);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;");
	store_close(&f.store);
	/* One without a log makes none. */
	f.conf.log_bytes = 0;
	fixture_reopen(&f, &sqlite_driver);
	ck_assert(!has_log(&f));
	fixture_deinit(&f);
}
END_TEST

/* A file in place of the log, with a text at some place. */
static void write_log(const struct store_fixture *f, long at, const char *text)
{
	char *path = log_path(f);
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fseek(file, at, SEEK_SET);
	fputs(text, file);
	fclose(file);
	free(path);
}

START_TEST(test_another_file_is_refused)
{
	struct store_fixture f;
	struct err_text et = { "" };
	char *path;

	init(&f, 65536);
	store_close(&f.store);
	path = log_path(&f);
	write_log(&f, 0, "this is not a log, though it is long enough to be one");
	ck_assert_int_eq(store_open_driver(&f.env, &f.conf, &sqlite_driver, &f.store, &et), -ERR_CORRUPT);
	ck_assert_ptr_nonnull(strstr(et.text, "is not a log of the store"));
	ck_assert_int_eq(unlink(path), 0);
	free(path);
	fixture_reopen(&f, &sqlite_driver);
	fixture_deinit(&f);
}
END_TEST

static int fail_settled(struct driver_conn *c, const char *owner, uint64_t *id)
{
	return *owner != '\0' ? -ERR_IO : sqlite_driver.settled(c, owner, id);
}

START_TEST(test_a_start_that_fails_leaves_the_log)
{
	struct store_driver failing_read = sqlite_driver;
	struct err_text et = { "" };
	struct store_fixture f;

	failing_read.settled = fail_settled;
	init(&f, 65536);
	append(&f, "a@x", "1");
	store_abandon(&f.store);
	ck_assert_int_eq(store_open_driver(&f.env, &f.conf, &failing_read, &f.store, &et), -ERR_IO);
	fixture_reopen(&f, &sqlite_driver);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;");
	fixture_deinit(&f);
}
END_TEST

/* Whatever else of the owner was written in the same group. */
START_TEST(test_a_read_sees_what_is_in_the_log)
{
	struct store_row row = { "m", "k", "v", 1 };
	struct store_entry e = { .with = "p@x", .value = "v", .len = 1 };
	struct answer put = { 0 }, appended = { 0 }, found = { 0 };
	struct store_fixture f;

	fixture_init_closed(&f, true);
	f.conf.log_bytes = 65536;
	f.conf.by_hand = true;
	fixture_reopen(&f, &sqlite_driver);
	store_map_put(f.store, &f.worker, "a@x", &row, 1, answer_on_write, &put);
	store_archive_append(f.store, &f.worker, "a@x", "offline", &e, 0, answer_on_append, &appended);
	if (_i == 1)
		store_map_put(f.store, &f.worker, "a@x", &row, 1, answer_on_write, &put);
	ck_assert(store_step(f.store, true));
	fixture_await(&f, &appended, 1);
	/* Not yet committed, or in the log. */
	if (_i == 2)
		store_archive_append(f.store, &f.worker, "a@x", "offline", &e, 0, answer_on_append, &appended);
	store_archive_query(f.store, &f.worker, "a@x", "offline", &all, answer_on_entries, &found);
	ck_assert(!store_step(f.store, false));
	ck_assert(store_step(f.store, true));
	ck_assert(store_step(f.store, false));
	fixture_await(&f, &found, 1);
	ck_assert_uint_eq(found.count, _i == 2 ? 2 : 1);
	ck_assert(!store_step(f.store, false));
	store_abandon(&f.store);
	fixture_reopen(&f, &sqlite_driver);
	fixture_deinit(&f);
}
END_TEST

/* ---- with a database that cannot be written ---- */

static struct store_driver failing;
static int commit_status;

static void init_failing(struct store_fixture *f, bool by_hand)
{
	fixture_init_closed(f, true);
	f->conf.log_bytes = 65536;
	f->conf.by_hand = by_hand;
	fixture_reopen(f, &failing);
}

static int fail_commit(struct driver_conn *c)
{
	return commit_status != 0 ? commit_status : sqlite_driver.commit(c);
}

START_TEST(test_nothing_is_lost_while_the_database_cannot_be_written)
{
	struct answer done = { 0 }, found = { 0 };
	struct store_fixture f;

	failing = sqlite_driver;
	failing.commit = fail_commit;
	init_failing(&f, false);
	append(&f, "a@x", "1");
	append(&f, "c@x", "5");
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;");
	commit_status = -ERR_NO_SPACE;
	append(&f, "a@x", "2");
	append(&f, "b@x", "3");
	/* What is in the database can be read, unless more is in the log. */
	ck_assert_str_eq(texts(&f, "c@x"), "p@x=5;");
	store_archive_query(f.store, &f.worker, "a@x", "offline", &all, answer_on_entries, &found);
	fixture_await(&f, &found, 1);
	ck_assert_int_eq(found.status, -ERR_NO_SPACE);
	store_archive_delete(f.store, &f.worker, "a@x", "offline", 1, 1000, answer_on_write, &done);
	fixture_await(&f, &done, 1);
	ck_assert_int_eq(done.status, -ERR_NO_SPACE);
	store_abandon(&f.store);
	/* Nor while it is opened: only what would be added is refused then, as the file must be emptied first. */
	fixture_reopen(&f, &failing);
	ck_assert_int_eq(fixture_append(&f, "a@x", "offline", 1, "p@x", "no", 0, &(uint64_t){ 0 }), -ERR_NO_SPACE);
	commit_status = 0;
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;p@x=2;");
	append(&f, "a@x", "4");
	kill_and_reopen(&f);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;p@x=2;p@x=4;");
	ck_assert_str_eq(texts(&f, "b@x"), "p@x=3;");
	fixture_deinit(&f);
}
END_TEST

/* As SQLite does it for want of memory: the transaction ends with it. */
static int lose_count(struct driver_conn *c, const char *owner, const char *name, uint64_t *count, uint64_t *bytes)
{
	if (commit_status == 0)
		return sqlite_driver.count(c, owner, name, count, bytes);
	sqlite_driver.rollback(c);
	return commit_status;
}

/* A group of which one ends the transaction, while entries of the log are on their way into the database. */
START_TEST(test_a_transaction_that_ends_by_itself_takes_all_of_its_group)
{
	const struct store_entry e = { .with = "p@x", .value = "v", .len = 1 };
	const struct store_row row = { "map", "k", "v", 1 };
	struct answer done = { 0 };
	struct store_fixture f;

	failing = sqlite_driver;
	failing.count = lose_count;
	init_failing(&f, true);
	for (int i = 0; i < 2; i++)
		store_archive_append(f.store, &f.worker, "a@x", "offline", &e, 0, answer_on_append, &done);
	ck_assert(store_step(f.store, true));
	fixture_await(&f, &done, 2);
	commit_status = -ERR_IO;
	store_map_put(f.store, &f.worker, "p@x", &row, 1, answer_on_write, &done);
	store_archive_append(f.store, &f.worker, "b@x", "offline", &e, 10, answer_on_append, &done);
	store_archive_trim(f.store, &f.worker, "a@x", "offline", 1, 0, answer_on_write, &done);
	store_map_put(f.store, &f.worker, "q@x", &row, 1, answer_on_write, &done);
	ck_assert(store_step(f.store, true));
	fixture_await(&f, &done, 6);
	ck_assert_int_eq(done.status, -ERR_IO);
	commit_status = 0;
	store_close(&f.store);
	f.conf.by_hand = false;
	fixture_reopen(&f, &failing);
	ck_assert_str_eq(fixture_get(&f, "q@x", "map", "k"), "not found");
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=v;p@x=v;");
	fixture_deinit(&f);
}
END_TEST

/* By hand, the read is held until the log has been tried. */
START_TEST(test_a_read_that_would_miss_something_fails)
{
	struct store_entry e = { .with = "p@x", .value = "v", .len = 1 };
	struct answer appended = { 0 }, found = { 0 }, again = { 0 };
	struct store_fixture f;

	failing = sqlite_driver;
	failing.commit = fail_commit;
	init_failing(&f, true);
	store_archive_append(f.store, &f.worker, "a@x", "offline", &e, 0, answer_on_append, &appended);
	ck_assert(store_step(f.store, true));
	commit_status = -ERR_NO_SPACE;
	store_archive_query(f.store, &f.worker, "a@x", "offline", &all, answer_on_entries, &found);
	ck_assert(store_step(f.store, true));
	ck_assert(store_step(f.store, false));
	fixture_await(&f, &found, 1);
	ck_assert_int_eq(found.status, -ERR_NO_SPACE);
	commit_status = 0;
	store_archive_query(f.store, &f.worker, "a@x", "offline", &all, answer_on_entries, &again);
	ck_assert(store_step(f.store, true));
	ck_assert(store_step(f.store, false));
	fixture_await(&f, &again, 1);
	ck_assert(again.status == 0 && again.count == 1);
	fixture_deinit(&f);
}
END_TEST

/* The end of the first frame was written before the head, when the power went. */
START_TEST(test_a_file_without_a_head_has_nothing)
{
	struct store_fixture f;

	init(&f, 65536);
	store_close(&f.store);
	write_log(&f, 512, "the end of a frame");
	fixture_reopen(&f, &sqlite_driver);
	append(&f, "a@x", "1");
	kill_and_reopen(&f);
	ck_assert_str_eq(texts(&f, "a@x"), "p@x=1;");
	fixture_deinit(&f);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, test_what_is_answered_outlives_the_process);
	tcase_add_test(tc, test_an_entry_is_there_whole_or_not_at_all);
	tcase_add_test(tc, test_what_was_deleted_does_not_come_back);
	tcase_add_test(tc, test_remains_of_an_earlier_use_are_not_read);
	tcase_add_test(tc, test_limit_counts_what_is_in_the_log);
	tcase_add_test(tc, test_bytes_count_in_the_log_and_in_the_database);
	tcase_add_test(tc, test_known_entry_is_looked_for_in_the_log_too);
	tcase_add_test(tc, test_ids_grow_over_a_crash_though_some_were_not_used);
	tcase_add_loop_test(tc, test_all_is_there_however_small_the_log_is, 0, 4);
	tcase_add_test(tc, test_a_clean_end_leaves_no_log);
	tcase_add_test(tc, test_the_file_is_there_from_the_start);
	tcase_add_test(tc, test_another_file_is_refused);
	tcase_add_test(tc, test_a_start_that_fails_leaves_the_log);
	tcase_add_loop_test(tc, test_a_read_sees_what_is_in_the_log, 0, 3);
	tcase_add_test(tc, test_nothing_is_lost_while_the_database_cannot_be_written);
	tcase_add_test(tc, test_a_transaction_that_ends_by_itself_takes_all_of_its_group);
	tcase_add_test(tc, test_a_read_that_would_miss_something_fails);
	tcase_add_test(tc, test_a_file_without_a_head_has_nothing);
}
UNIT_SUITE(ahead);
