/* SPDX-License-Identifier: MIT */
/* The journal of a worker: what is written is read again, whatever tears it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/journal.h"
#include "store_fixture.h"
#include "unit.h"

struct journal_fixture {
	struct store_fixture f;        /* its folder and worker; there is no store */
	struct log_ctx log;
	struct journal_conf conf;
	struct journal *journal;
	char current[64];              /* all that counts, written to each new file */
	uint64_t synced;
	int new_files, turns;
	char read[8192];               /* records as "type:body;" */
	unsigned next;
};

static struct journal_fixture j;

static void write_one(unsigned type, const char *body)
{
	buf_add(journal_begin(j.journal, type), body, strlen(body));
	journal_end(j.journal);
}

static void on_new_file(void *arg)
{
	(void)arg;
	j.new_files++;
	write_one(9, j.current);
}

static void on_turn(void *arg, bool is_written)
{
	(void)arg, (void)is_written;
	j.turns++;
}

static void on_synced(void *arg, uint64_t place)
{
	(void)arg;
	j.synced = place;
}

static const struct journal_events events = { on_new_file, on_turn, on_synced };

static void open_journal(unsigned generation)
{
	struct err_text et = { "" };
	int rc;

	j.conf.generation = generation;
	rc = journal_open(&j.f.worker, &j.conf, &events, NULL, &j.journal, &et);
	ck_assert_msg(rc == 0, "%s", et.text);
}

static void on_record(void *arg, unsigned type, const char *body, size_t len)
{
	size_t used = strlen(j.read);

	(void)arg;
	snprintf(j.read + used, sizeof(j.read) - used, "%u:%.*s;", type, (int)(len < 40 ? len : 40), body);
}

/* What a start would find now. */
static const char *read_all(void)
{
	struct err_text et = { "" };
	int rc;

	j.read[0] = '\0';
	rc = journal_read_all(j.f.folder, &j.log, on_record, NULL, &j.next, &et);
	ck_assert_msg(rc == 0, "%s", et.text);
	return j.read;
}

static void setup_with(bool is_inline)
{
	memset(&j, 0, sizeof(j));
	fixture_init_closed(&j.f, is_inline);
	log_ctx_init(&j.log, &j.f.worker.log, NULL);
	j.conf = (struct journal_conf){ .folder = j.f.folder, .file_bytes = 65536, .sync_ms = 1 };
	strcpy(j.current, "all");
	open_journal(1);
}

static void setup(void)
{
	setup_with(false);
}

static void teardown(void)
{
	journal_close(&j.journal);
	fixture_deinit(&j.f);
}

static void turn_until(uint64_t place)
{
	for (int i = 0; j.synced < place && i < 20000; i++) {
		worker_turn(&j.f.worker);
		journal_write(j.journal);
		usleep(100);
	}
	ck_assert_uint_ge(j.synced, place);
}

/* The only file of a worker that is there. */
static void path_of(unsigned generation, unsigned number, char path[200])
{
	snprintf(path, 200, "%s/journal-%08x-0000-%08x", j.f.folder, generation, number);
}

/* ---- tests ---- */

START_TEST(test_what_is_written_is_read)
{
	ck_assert_str_eq(read_all(), "");
	write_one(1, "one");
	write_one(2, "");
	ck_assert_str_eq(read_all(), "");
	journal_write(j.journal);
	ck_assert_str_eq(read_all(), "1:one;2:;");
	write_one(255, "three");
	journal_write(j.journal);
	journal_write(j.journal);
	ck_assert_str_eq(read_all(), "1:one;2:;255:three;");
	ck_assert_uint_eq(j.next, 2);
	ck_assert_int_eq(j.f.warnings, 0);
}
END_TEST

START_TEST(test_a_sync_covers_what_was_written_before)
{
	uint64_t place;

	teardown();
	setup_with(_i == 1);
	write_one(1, "one");
	buf_add(journal_begin(j.journal, 1), "two", 3);
	place = journal_end(j.journal);
	journal_write(j.journal);
	/* Nobody waits for it. */
	for (int i = 0; i < 20; i++) {
		worker_turn(&j.f.worker);
		usleep(500);
	}
	ck_assert_uint_eq(j.synced, 0);
	journal_want_sync_of(j.journal);
	turn_until(place);
	ck_assert_uint_eq(j.synced, place);
	write_one(1, "three");
	ck_assert_int_eq(journal_sync_now(j.journal), 0);
	ck_assert_uint_gt(j.synced, place);
	ck_assert_str_eq(read_all(), "1:one;1:two;1:three;");
}
END_TEST

/* At every length of the last turn. */
START_TEST(test_a_torn_tail_is_left_out)
{
	char path[200];
	struct stat st;
	off_t whole;

	path_of(1, 1, path);
	write_one(1, "one");
	journal_write(j.journal);
	stat(path, &st);
	whole = st.st_size;
	write_one(2, "two");
	write_one(3, "three");
	journal_write(j.journal);
	stat(path, &st);
	ck_assert_str_eq(read_all(), "1:one;2:two;3:three;");
	for (off_t len = st.st_size - 1; len > whole; len--) {
		ck_assert_int_eq(truncate(path, len), 0);
		ck_assert_str_eq(read_all(), "1:one;");
	}
	ck_assert_int_gt(j.f.warnings, 0);
	for (off_t len = whole - 1; len >= 0; len--) {
		ck_assert_int_eq(truncate(path, len), 0);
		ck_assert_str_eq(read_all(), "");
	}
}
END_TEST

START_TEST(test_a_damaged_turn_is_left_out)
{
	char path[200], byte;
	struct stat st;
	int fd;

	path_of(1, 1, path);
	write_one(1, "one");
	journal_write(j.journal);
	stat(path, &st);
	fd = open(path, O_RDWR);
	for (off_t at = 0; at < st.st_size; at++) {
		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		ck_assert_str_eq(read_all(), "");
		byte ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	}
	close(fd);
	ck_assert_str_eq(read_all(), "1:one;");
}
END_TEST

/* What a version before or behind this one left is neither misread nor removed. */
START_TEST(test_a_file_of_another_version_is_refused)
{
	static const char *const magics[] = { "comity journal 1\n", "comity journal 10\n" };

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		struct err_text et = { "" };
		char path[200];
		int fd;

		path_of(7, 1, path);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		ck_assert_int_eq(write(fd, magics[i], strlen(magics[i])), (ssize_t)strlen(magics[i]));
		close(fd);
		ck_assert_int_eq(journal_read_all(j.f.folder, &j.log, on_record, NULL, &j.next, &et), -ERR_IO);
		ck_assert_ptr_nonnull(strstr(et.text, "another version"));
		ck_assert_int_eq(access(path, F_OK), 0);
		unlink(path);
	}
}
END_TEST

START_TEST(test_a_file_that_has_grown_is_replaced)
{
	static char large[10000];
	struct journal_stats stats;

	memset(large, 'x', sizeof(large) - 1);
	for (int i = 0; i < 100 && j.new_files < 2; i++) {
		uint64_t place;

		buf_add(journal_begin(j.journal, 1), large, sizeof(large));
		place = journal_end(j.journal);
		journal_write(j.journal);
		journal_want_sync(j.journal);
		turn_until(place);
	}
	ck_assert_int_eq(j.new_files, 2);
	ck_assert_int_eq(journal_sync_now(j.journal), 0);
	/* The old one is gone once the new one is durable. */
	ck_assert_int_eq(strncmp(read_all(), "9:all;", 6), 0);
	ck_assert_ptr_null(strstr(j.read + 1, "9:all;"));
	journal_get_stats(j.journal, &stats);
	ck_assert_uint_lt(stats.file_bytes, 65536);
}
END_TEST

START_TEST(test_generations_are_read_in_order_and_removed)
{
	write_one(1, "first");
	journal_close(&j.journal);
	open_journal(2);
	write_one(2, "second");
	journal_close(&j.journal);
	open_journal(0x12345678);
	write_one(3, "third");
	journal_write(j.journal);
	ck_assert_str_eq(read_all(), "1:first;2:second;3:third;");
	ck_assert_uint_eq(j.next, 0x12345679);
	journal_remove_before(j.f.folder, 0x12345678);
	ck_assert_str_eq(read_all(), "3:third;");
}
END_TEST

START_TEST(test_other_files_are_let_be)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/journal-00000001-0000-00000001.bak", j.f.folder);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	write_one(1, "one");
	journal_write(j.journal);
	ck_assert_str_eq(read_all(), "1:one;");
	journal_remove_before(j.f.folder, 0xffffffff);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(test_no_folder)
{
	struct journal_conf conf = j.conf;
	struct err_text et = { "" };
	struct journal *other = NULL;
	unsigned next = 0;

	ck_assert_int_eq(journal_read_all("/nonexistent/folder", &j.log, on_record, NULL, &next, &et), 0);
	ck_assert_uint_eq(next, 1);
	conf.folder = "/nonexistent/folder";
	ck_assert_int_eq(journal_open(&j.f.worker, &conf, &events, NULL, &other, &et), -ERR_IO);
	ck_assert_ptr_null(other);
	ck_assert_ptr_nonnull(strstr(et.text, "/nonexistent/folder"));
}
END_TEST

/* ---- a disk that takes no more ---- */

static struct rlimit old_limit;

/* Files may not grow over len. Check writes files too, so that nothing is asserted until unlimit(). */
static void limit_files(rlim_t len)
{
	struct rlimit small;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old_limit);
	small = old_limit;
	small.rlim_cur = len;
	setrlimit(RLIMIT_FSIZE, &small);
}

static void unlimit_files(void)
{
	setrlimit(RLIMIT_FSIZE, &old_limit);
}

/* Once there is room, all that counts is in a new file. */
static void check_that_it_works_again(void)
{
	uint64_t place;

	strcpy(j.current, "all that counts");
	buf_add(journal_begin(j.journal, 3), "a part of it", 12);
	place = journal_end(j.journal);
	journal_write(j.journal);
	turn_until(place);
	ck_assert(!journal_is_failing(j.journal));
	ck_assert_str_eq(read_all(), "9:all that counts;");
}

/* Nothing is said to be durable meanwhile, and when it takes something again, that is all that counts. */
START_TEST(test_a_full_disk)
{
	uint64_t before;
	bool was_failing, still_failing;
	int rc;

	write_one(1, "one");
	ck_assert_int_eq(journal_sync_now(j.journal), 0);
	before = j.synced;
	/* Room for a part of the next turn. */
	limit_files(60);
	for (int i = 0; i < 5; i++)
		write_one(2, "lost");
	strcpy(j.current, "all that counts, which is too much for the disk as it is");
	journal_want_sync(j.journal);
	journal_write(j.journal);
	was_failing = journal_is_failing(j.journal);
	rc = journal_sync_now(j.journal);
	for (int i = 0; i < 12; i++) {
		write_one(3, "meanwhile");
		journal_write(j.journal);
		worker_turn(&j.f.worker);
		usleep(100000);
	}
	still_failing = journal_is_failing(j.journal);
	unlimit_files();
	ck_assert(was_failing && still_failing);
	ck_assert_int_eq(rc, -ERR_IO);
	ck_assert_uint_eq(j.synced, before);
	ck_assert_str_eq(read_all(), "1:one;");
	check_that_it_works_again();
	write_one(4, "and on");
	journal_write(j.journal);
	ck_assert_str_eq(read_all(), "9:all that counts;4:and on;");
}
END_TEST

/* Of a try that failed, and could not be removed. */
START_TEST(test_a_file_in_the_way_does_not_stop_it)
{
	unsigned generation, number = journal_number(j.journal, &generation);
	char path[200];
	FILE *f;

	path_of(generation, number + 1, path);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fclose(f);
	limit_files(20);
	write_one(2, "lost");
	journal_write(j.journal);
	unlimit_files();
	ck_assert(journal_is_failing(j.journal));
	check_that_it_works_again();
	unlink(path);
}
END_TEST

/* Also of one in which a new file begins, or everything is synced. */
START_TEST(test_every_turn_is_told_of)
{
	int turns = 1;

	limit_files(20);
	write_one(2, "lost");
	journal_write(j.journal);
	unlimit_files();
	for (; journal_is_failing(j.journal) && turns < 10000; turns++) {
		write_one(3, "lost too");
		worker_turn(&j.f.worker);
		journal_write(j.journal);
		usleep(1000);
	}
	ck_assert(!journal_is_failing(j.journal));
	ck_assert_int_eq(j.turns, turns);
	write_one(4, "and on");
	ck_assert_int_eq(journal_sync_now(j.journal), 0);
	ck_assert_int_eq(j.turns, turns + 1);
	ck_assert_str_eq(read_all(), "9:all;4:and on;");
}
END_TEST

/* It may have room again by then, before anybody has tried. */
START_TEST(test_closing_with_a_full_disk)
{
	bool is_whole;

	write_one(1, "one");
	ck_assert_int_eq(journal_sync_now(j.journal), 0);
	strcpy(j.current, _i == 0 ? "all that counts" : "all that counts, which is too much for the disk as it is");
	limit_files(60);
	for (int i = 0; i < 5; i++)
		write_one(2, "lost");
	journal_write(j.journal);
	if (_i == 0)
		unlimit_files();
	is_whole = journal_close(&j.journal);
	unlimit_files();
	ck_assert(is_whole == (_i == 0));
	ck_assert_ptr_null(j.journal);
	ck_assert_str_eq(read_all(), _i == 0 ? "9:all that counts;" : "1:one;");
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_what_is_written_is_read);
	tcase_add_loop_test(tc, test_a_sync_covers_what_was_written_before, 0, 2);
	tcase_add_test(tc, test_a_torn_tail_is_left_out);
	tcase_add_test(tc, test_a_damaged_turn_is_left_out);
	tcase_add_test(tc, test_a_file_of_another_version_is_refused);
	tcase_add_test(tc, test_a_file_that_has_grown_is_replaced);
	tcase_add_test(tc, test_generations_are_read_in_order_and_removed);
	tcase_add_test(tc, test_other_files_are_let_be);
	tcase_add_test(tc, test_no_folder);
	tcase_add_test(tc, test_a_full_disk);
	tcase_add_test(tc, test_a_file_in_the_way_does_not_stop_it);
	tcase_add_test(tc, test_every_turn_is_told_of);
	tcase_add_loop_test(tc, test_closing_with_a_full_disk, 0, 2);
}

UNIT_SUITE(journal);
