/* SPDX-License-Identifier: MIT */
/* The file of the SQLite store: refusals, migrations, backups, full disks and crashes. */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/sqlite_schema.h"
#include "store_fixture.h"
#include "unit.h"

#define JULIET "juliet@example.org"
#define MODES 2

/* ---- looking at files ---- */

static char *read_all(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	char *bytes;

	ck_assert_msg(file != NULL, "%s", path);
	ck_assert_int_eq(fstat(fileno(file), &st), 0);
	*len = (size_t)st.st_size;
	bytes = mem_new(*len + 1);
	ck_assert_uint_eq(fread(bytes, 1, *len, file), *len);
	fclose(file);
	return bytes;
}

static void write_at(const char *path, long offset, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, len, offset), (ssize_t)len);
	close(fd);
}

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *db = NULL;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_mode & 0777;
}

/* Opening fails as it should, names the file, and leaves its bytes alone. */
static void expect_refusal(struct store_fixture *f, int status)
{
	struct err_text et = { "" };
	size_t before_len, after_len;
	char *before = read_all(f->path, &before_len), *after;

	ck_assert_int_eq(store_open(&f->env, &f->conf, &f->store, &et), status);
	ck_assert_msg(strstr(et.text, f->path) != NULL, "%s", et.text);
	after = read_all(f->path, &after_len);
	ck_assert_uint_eq(after_len, before_len);
	ck_assert_int_eq(memcmp(after, before, before_len), 0);
	free(before);
	free(after);
}

static void close_store(struct store_fixture *f)
{
	store_close(&f->store);
	ck_assert_ptr_null(f->store);
	while (worker_turn(&f->worker))
		;
}

#define ROWS 100

/* A store with a few pages, closed. */
static void make_store(struct store_fixture *f)
{
	char key[16];

	fixture_init(f, &sqlite_driver, true);
	for (int i = 0; i < ROWS; i++) {
		snprintf(key, sizeof(key), "%03d", i);
		ck_assert_int_eq(fixture_put(f, JULIET, "m", key, "a value that is long enough to fill some pages"), 0);
	}
	close_store(f);
}

static void expect_rows(struct store_fixture *f)
{
	static const char *const names[] = { "m", NULL };
	struct answer a = { 0 };

	store_map_load(f->store, &f->worker, JULIET, names, answer_on_read, &a);
	fixture_await(f, &a, 1);
	ck_assert_int_eq(a.status, 0);
	ck_assert_uint_eq(a.count, ROWS);
}

/* ---- opening ---- */

START_TEST(new_store_is_private)
{
	struct store_fixture f;
	char name[128];

	umask(0);
	fixture_init(&f, &sqlite_driver, _i == 0);
	ck_assert_int_eq(fixture_put(&f, JULIET, "m", "k", "v"), 0);
	ck_assert_uint_eq(mode_of(f.path), 0600);
	snprintf(name, sizeof(name), "%s-wal", f.path);
	ck_assert_uint_eq(mode_of(name), 0600);
	snprintf(name, sizeof(name), "%s.lock", f.path);
	ck_assert_uint_eq(mode_of(name), 0600);
	fixture_deinit(&f);
}
END_TEST

START_TEST(missing_folder_is_named)
{
	struct err_text et = { "" };
	struct store_fixture f;

	fixture_init_closed(&f, _i == 0);
	f.conf.path = "/tmp/comity-no-such-folder/store.db";
	ck_assert_int_eq(store_open(&f.env, &f.conf, &f.store, &et), -ERR_IO);
	ck_assert_ptr_nonnull(strstr(et.text, "/tmp/comity-no-such-folder"));
	ck_assert_ptr_null(f.store);
	fixture_deinit(&f);
}
END_TEST

START_TEST(second_server_is_refused)
{
	struct store *second = NULL;
	struct err_text et = { "" };
	struct store_fixture f;

	fixture_init(&f, &sqlite_driver, _i == 0);
	ck_assert_int_eq(store_open(&f.env, &f.conf, &second, &et), -ERR_DENIED);
	ck_assert_ptr_nonnull(strstr(et.text, f.path));
	ck_assert_ptr_null(second);
	ck_assert_int_eq(fixture_put(&f, JULIET, "m", "k", "v"), 0);
	close_store(&f);
	fixture_reopen(&f, &sqlite_driver);
	fixture_deinit(&f);
}
END_TEST

START_TEST(content_survives_reopening)
{
	struct store_fixture f;

	make_store(&f);
	fixture_reopen(&f, &sqlite_driver);
	expect_rows(&f);
	fixture_deinit(&f);
}
END_TEST

START_TEST(empty_file_becomes_a_store)
{
	struct store_fixture f;

	fixture_init_closed(&f, true);
	write_at(f.path, 0, "", 0);
	fixture_reopen(&f, &sqlite_driver);
	ck_assert_int_eq(fixture_put(&f, JULIET, "m", "k", "v"), 0);
	fixture_deinit(&f);
}
END_TEST

/* ---- refusals ---- */

START_TEST(file_that_is_no_database_is_refused)
{
	static const char *const contents[] = { "x", "SQLite format 3", "This is a letter to my love, not a database.\n" };
	struct store_fixture f;

	fixture_init_closed(&f, true);
	write_at(f.path, 0, contents[_i], strlen(contents[_i]));
	expect_refusal(&f, -ERR_CORRUPT);
	fixture_deinit(&f);
}
END_TEST

START_TEST(database_of_another_program_is_refused)
{
	struct store_fixture f;

	fixture_init_closed(&f, true);
	run_sql(f.path, "CREATE TABLE map (a); PRAGMA application_id=77; PRAGMA user_version=1");
	expect_refusal(&f, -ERR_CORRUPT);
	fixture_deinit(&f);
}
END_TEST

START_TEST(newer_store_is_refused)
{
	struct store_fixture f;

	make_store(&f);
	run_sql(f.path, "PRAGMA journal_mode=DELETE; PRAGMA user_version=999");
	expect_refusal(&f, -ERR_NEWER);
	fixture_deinit(&f);
}
END_TEST

/* The version lies in the journal only, as after a crash. */
START_TEST(newer_store_is_refused_before_its_checkpoint)
{
	struct store_fixture f;
	char copy[128], wal[128], copy_wal[128];
	sqlite3 *db = NULL;
	char *bytes;
	size_t len;

	make_store(&f);
	snprintf(wal, sizeof(wal), "%s-wal", f.path);
	snprintf(copy, sizeof(copy), "%s/copy.db", f.folder);
	snprintf(copy_wal, sizeof(copy_wal), "%s/copy.db-wal", f.folder);
	ck_assert_int_eq(sqlite3_open(f.path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "PRAGMA user_version=999", NULL, NULL, NULL), SQLITE_OK);
	bytes = read_all(f.path, &len);
	write_at(copy, 0, bytes, len);
	free(bytes);
	bytes = read_all(wal, &len);
	ck_assert_uint_gt(len, 0);
	write_at(copy_wal, 0, bytes, len);
	free(bytes);
	sqlite3_close(db);
	strcpy(f.path, copy);
	expect_refusal(&f, -ERR_NEWER);
	fixture_deinit(&f);
}
END_TEST

START_TEST(damaged_store_is_refused)
{
	char garbage[3000];
	struct store_fixture f;
	size_t len;

	make_store(&f);
	memset(garbage, 0x5a, sizeof(garbage));
	free(read_all(f.path, &len));
	ck_assert_uint_gt(len, 16384);
	if (_i == 0)
		write_at(f.path, 4096, garbage, sizeof(garbage));
	else if (_i == 1)
		write_at(f.path, 40, garbage, 20);
	else if (_i == 2)
		ck_assert_int_eq(truncate(f.path, (off_t)len - 4096), 0);
	else
		ck_assert_int_eq(truncate(f.path, 150), 0);
	expect_refusal(&f, -ERR_CORRUPT);
	fixture_deinit(&f);
}
END_TEST

/* ---- migration ---- */

/* Migrates with one step more, as a later version would. */
static int migrate_with(struct store_fixture *f, const char *step, struct err_text *et)
{
	const char *steps[8];
	int lock = -1, rc;

	ck_assert_uint_lt(sqlite_migration_count, 8);
	for (size_t i = 0; i < sqlite_migration_count; i++)
		steps[i] = sqlite_migrations[i];
	steps[sqlite_migration_count] = step;
	rc = sqlite_schema_prepare(f->path, steps, sqlite_migration_count + 1, &lock, et);
	if (rc == 0)
		sqlite_schema_unlock(lock);
	return rc;
}

START_TEST(migration_saves_the_old_store_first)
{
	struct err_text et = { "" };
	struct store_fixture f;
	char copy[128];

	make_store(&f);
	snprintf(copy, sizeof(copy), "%s.before-v%zu", f.path, sqlite_migration_count + 1);
	ck_assert_msg(migrate_with(&f, "CREATE TABLE more (x); DELETE FROM map", &et) == 0, "%s", et.text);
	ck_assert_uint_eq(mode_of(copy), 0600);
	/* For this version it is a newer one now; the copy still works. */
	expect_refusal(&f, -ERR_NEWER);
	strcpy(f.path, copy);
	fixture_reopen(&f, &sqlite_driver);
	expect_rows(&f);
	fixture_deinit(&f);
}
END_TEST

START_TEST(migration_that_fails_changes_nothing)
{
	struct err_text et = { "" };
	struct store_fixture f;

	make_store(&f);
	ck_assert_int_lt(migrate_with(&f, "DELETE FROM map; CREATE TABLE archive (x)", &et), 0);
	ck_assert_ptr_nonnull(strstr(et.text, f.path));
	fixture_reopen(&f, &sqlite_driver);
	expect_rows(&f);
	fixture_deinit(&f);
}
END_TEST

/* ---- backup ---- */

START_TEST(backup_spares_what_exists)
{
	struct store_fixture f;
	char path[128];
	size_t len;
	char *bytes;

	fixture_init(&f, &sqlite_driver, _i == 0);
	snprintf(path, sizeof(path), "%s/copy.db", f.folder);
	write_at(path, 0, "mine", 4);
	ck_assert_int_eq(fixture_backup(&f, path), -ERR_EXISTS);
	bytes = read_all(path, &len);
	ck_assert_str_eq(bytes, "mine");
	free(bytes);
	snprintf(path, sizeof(path), "%s/none/copy.db", f.folder);
	ck_assert_int_eq(fixture_backup(&f, path), -ERR_IO);
	ck_assert_int_eq(fixture_put(&f, JULIET, "m", "k", "v"), 0);
	fixture_deinit(&f);
}
END_TEST

/* ---- a full disk ---- */

static void limit_files(rlim_t size)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size < limit.rlim_max ? size : limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Each test runs in a process of its own, so that the limit goes with it. */
START_TEST(full_disk_refuses_writes_until_there_is_room)
{
	char big[20001];
	struct store_fixture f;
	uint64_t stored = 0;
	int rc;

	memset(big, 0, sizeof(big));
	memset(big, 'x', sizeof(big) - 1);
	signal(SIGXFSZ, SIG_IGN);
	fixture_init(&f, &sqlite_driver, _i == 0);
	ck_assert_int_eq(fixture_put(&f, JULIET, "m", "k", "v"), 0);
	limit_files(1 << 20);
	while ((rc = fixture_append(&f, JULIET, "mam", 1, "", big, 0, NULL)) == 0 && stored < 1000)
		stored++;
	ck_assert_int_eq(rc, -ERR_NO_SPACE);
	ck_assert_uint_gt(stored, 0);
	/* Reading goes on, and what was refused is not there. */
	ck_assert_str_eq(fixture_get(&f, JULIET, "m", "k"), "m:k=v;");
	ck_assert_uint_eq(fixture_count(&f, JULIET, "mam"), stored);
	limit_files(RLIM_INFINITY);
	ck_assert_int_eq(fixture_append(&f, JULIET, "mam", 1, "", big, 0, NULL), 0);
	ck_assert_uint_eq(fixture_count(&f, JULIET, "mam"), stored + 1);
	close_store(&f);
	fixture_reopen(&f, &sqlite_driver);
	ck_assert_uint_eq(fixture_count(&f, JULIET, "mam"), stored + 1);
	fixture_deinit(&f);
}
END_TEST

/* ---- a crash ---- */

struct acker {
	int fd;
	int under_way;
};

static void on_stored(void *arg, int status, uint64_t id)
{
	struct acker *acker = arg;

	acker->under_way--;
	if (status != 0 || write(acker->fd, &id, sizeof(id)) != sizeof(id))
		_exit(1);
}

/* Writes for ever, several at a time; tells the pipe each id that the store vouches for. */
static void write_until_killed(struct store_fixture *f, int fd)
{
	struct store_entry entry = { .when_us = 1, .with = "", .value = "message", .len = 7 };
	struct acker acker = { fd, 0 };

	fixture_reopen(f, &sqlite_driver);
	for (;;) {
		for (; acker.under_way < 20; acker.under_way++)
			store_archive_append(f->store, &f->worker, JULIET, "mam", &entry, 0, on_stored, &acker);
		if (!worker_turn(&f->worker))
			usleep(50);
	}
}

/* Returns the number of answers that came before the end; ids has room for max. */
static size_t kill_after(struct store_fixture *f, size_t wanted, uint64_t *ids, size_t max)
{
	size_t n = 0;
	int fds[2];
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(fds[0]);
		write_until_killed(f, fds[1]);
	}
	close(fds[1]);
	while (n < max && read(fds[0], &ids[n], sizeof(ids[n])) == sizeof(ids[n]))
		if (++n == wanted)
			kill(pid, SIGKILL);
	kill(pid, SIGKILL);
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return n;
}

#define ACKS_MAX 20000

START_TEST(crash_loses_nothing_that_was_answered)
{
	uint64_t *ids = mem_array(ACKS_MAX, sizeof(*ids));
	struct store_fixture f;

	fixture_init_closed(&f, _i == 0);
	for (size_t round = 0; round < 3; round++) {
		size_t n = kill_after(&f, 100 + 150 * round, ids, ACKS_MAX);

		ck_assert_uint_ge(n, 100);
		fixture_reopen(&f, &sqlite_driver);
		for (size_t i = 0; i < n; i++) {
			struct store_query one = { .after_id = ids[i] - 1, .before_id = ids[i] + 1 };

			ck_assert_str_eq(fixture_query(&f, JULIET, "mam", &one)->text, "=message;");
		}
		close_store(&f);
	}
	fixture_deinit(&f);
	free(ids);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, new_store_is_private, 0, MODES);
	tcase_add_loop_test(tc, missing_folder_is_named, 0, MODES);
	tcase_add_loop_test(tc, second_server_is_refused, 0, MODES);
	tcase_add_test(tc, content_survives_reopening);
	tcase_add_test(tc, empty_file_becomes_a_store);
	tcase_add_loop_test(tc, file_that_is_no_database_is_refused, 0, 3);
	tcase_add_test(tc, database_of_another_program_is_refused);
	tcase_add_test(tc, newer_store_is_refused);
	tcase_add_test(tc, newer_store_is_refused_before_its_checkpoint);
	tcase_add_loop_test(tc, damaged_store_is_refused, 0, 4);
	tcase_add_test(tc, migration_saves_the_old_store_first);
	tcase_add_test(tc, migration_that_fails_changes_nothing);
	tcase_add_loop_test(tc, backup_spares_what_exists, 0, MODES);
	tcase_add_loop_test(tc, full_disk_refuses_writes_until_there_is_room, 0, MODES);
	tcase_add_loop_test(tc, crash_loses_nothing_that_was_answered, 0, MODES);
}

UNIT_SUITE(store_file);
