/* SPDX-License-Identifier: MIT */
/* SQLite gets no memory: each allocation of a call fails in turn. What was refused has not happened, what was done has,
 * and the next call works. */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store_fixture.h"
#include "unit.h"

#define OWNER "juliet@example.org"
#define OTHER "romeo@example.org"
#define ROWS 20
/* One allocation fails, or all from there on do; without the log of the store, and with it. */
#define MODES 4
#define ATTEMPTS_MAX 5000

static struct {
	sqlite3_mem_methods usual;
	long until;                  /* so many succeed; negative: some have failed */
	bool fails, fails_on;
} memory;

/* ---- memory ---- */

static bool is_refused(void)
{
	if (!memory.fails)
		return false;
	memory.until--;
	return memory.until == -1 || (memory.until < 0 && memory.fails_on);
}

static void *get(int size)
{
	return is_refused() ? NULL : memory.usual.xMalloc(size);
}

static void *resize(void *p, int size)
{
	return is_refused() ? NULL : memory.usual.xRealloc(p, size);
}

static void watch_memory(void)
{
	sqlite3_mem_methods methods;

	if (memory.usual.xMalloc != NULL)
		return;
	ck_assert_int_eq(sqlite3_shutdown(), SQLITE_OK);
	ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory.usual), SQLITE_OK);
	methods = memory.usual;
	methods.xMalloc = get;
	methods.xRealloc = resize;
	/* Lookaside is memory that a connection has already. */
	ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
	ck_assert_int_eq(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
}

/* ---- what a store has ---- */

static void init(struct store_fixture *f, int mode)
{
	char key[16];

	memory.fails_on = mode % 2 != 0;
	fixture_init_closed(f, true);
	f->conf.log_bytes = mode / 2 != 0 ? 65536 : 0;
	f->conf.readers = 1;
	f->conf.commit_rows = 1;
	fixture_reopen(f, &sqlite_driver);
	for (int i = 0; i < ROWS; i++) {
		snprintf(key, sizeof(key), "%02d", i);
		ck_assert_int_eq(fixture_put(f, OWNER, "m", key, "v"), 0);
		ck_assert_int_eq(fixture_append(f, OWNER, "mam", i, "p@x", "v", 0, NULL), 0);
	}
}

/* Nothing of the call before has stayed in the way: what is written now is read at once, too. */
static void expect_to_work(struct store_fixture *f)
{
	static int serial;
	char value[16], found[32];

	snprintf(value, sizeof(value), "%d", ++serial);
	snprintf(found, sizeof(found), "m:now=%s;", value);
	ck_assert_int_eq(fixture_put(f, OTHER, "m", "now", value), 0);
	ck_assert_str_eq(fixture_get(f, OTHER, "m", "now"), found);
	ck_assert_uint_eq(fixture_count(f, OWNER, "mam"), ROWS);
}

/* ---- calls; each says whether it was done, and leaves things as they were before ---- */

static bool put(struct store_fixture *f)
{
	int rc = fixture_put(f, OWNER, "m", "00", "w");

	memory.fails = false;
	ck_assert_str_eq(fixture_get(f, OWNER, "m", "00"), (rc == 0 ? "m:00=w;" : "m:00=v;"));
	ck_assert_int_eq(fixture_put(f, OWNER, "m", "00", "v"), 0);
	return rc == 0;
}

static bool append(struct store_fixture *f)
{
	int rc = fixture_append(f, OTHER, "mam", 1, "p@x", "v", 10, NULL);

	memory.fails = false;
	ck_assert_uint_eq(fixture_count(f, OTHER, "mam"), (rc == 0 ? 1 : 0));
	ck_assert_int_eq(fixture_remove_owner(f, OTHER), 0);
	return rc == 0;
}

static bool remove_owner(struct store_fixture *f)
{
	int rc;

	memory.fails = false;
	ck_assert_int_eq(fixture_put(f, OTHER, "m", "a", "v"), 0);
	ck_assert_int_eq(fixture_append(f, OTHER, "mam", 1, "p@x", "v", 0, NULL), 0);
	memory.fails = true;
	rc = fixture_remove_owner(f, OTHER);
	memory.fails = false;
	ck_assert_str_eq(fixture_get(f, OTHER, "m", "a"), (rc == 0 ? "not found" : "m:a=v;"));
	ck_assert_uint_eq(fixture_count(f, OTHER, "mam"), (rc == 0 ? 0 : 1));
	ck_assert_int_eq(fixture_remove_owner(f, OTHER), 0);
	return rc == 0;
}

static bool get_row(struct store_fixture *f)
{
	const char *found = fixture_get(f, OWNER, "m", "07");

	ck_assert_str_ne(found, "not found");
	return strcmp(found, "m:07=v;") == 0;
}

static bool load(struct store_fixture *f)
{
	const char *found = fixture_load(f, OWNER, "m", NULL);
	const char *at = found;
	size_t rows = 0;

	while ((at = strstr(at, "m:")) != NULL) {
		at++;
		rows++;
	}
	/* All of it, or an error. */
	ck_assert_msg(rows == ROWS || rows == 0, "%zu rows of %d: %s", rows, ROWS, found);
	return rows == ROWS;
}

static bool query(struct store_fixture *f)
{
	struct answer a = { 0 };

	store_archive_query(f->store, &f->worker, OWNER, "mam", &(struct store_query){ 0 }, answer_on_entries, &a);
	fixture_await(f, &a, 1);
	if (a.status == 0)
		ck_assert_uint_eq(a.count, ROWS);
	return a.status == 0;
}

static bool back_up(struct store_fixture *f)
{
	char path[128], part[140];
	sqlite3_stmt *s = NULL;
	sqlite3 *db = NULL;
	int rc;

	snprintf(path, sizeof(path), "%s/backup", f->folder);
	snprintf(part, sizeof(part), "%s.part", path);
	rc = fixture_backup(f, path);
	memory.fails = false;
	ck_assert_int_ne(access(part, F_OK), 0);
	if (rc != 0) {
		ck_assert_int_ne(access(path, F_OK), 0);
		return false;
	}
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
	ck_assert_str_eq((const char *)sqlite3_column_text(s, 0), "ok");
	sqlite3_finalize(s);
	ck_assert_int_eq(sqlite3_prepare_v2(db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'", -1, &s, NULL),
	                 SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
	ck_assert_int_ge(sqlite3_column_int(s, 0), 2);
	sqlite3_finalize(s);
	sqlite3_close(db);
	unlink(path);
	return true;
}

/* ---- each allocation in turn ---- */

/* The last attempt is that in which nothing fails any more. */
static void try_each(bool (*call)(struct store_fixture *f), bool asks_sqlite)
{
	watch_memory();
	for (int mode = 0; mode < MODES; mode++) {
		struct store_fixture f;
		long n = 0;
		bool was_done = false, has_failed = true;

		init(&f, mode);
		for (; has_failed; n++) {
			ck_assert_int_lt(n, ATTEMPTS_MAX);
			memory.until = n;
			memory.fails = true;
			was_done = call(&f);
			memory.fails = false;
			has_failed = memory.until < 0;
			expect_to_work(&f);
		}
		ck_assert(was_done);
		ck_assert_int_ge(n, asks_sqlite ? 2 : 1);
		fixture_deinit(&f);
	}
}

START_TEST(a_write_without_memory_is_refused_or_done)
{
	try_each(put, true);
	try_each(remove_owner, true);
	try_each(append, true);
}
END_TEST

START_TEST(a_read_without_memory_is_whole_or_an_error)
{
	try_each(get_row, true);
	try_each(load, true);
	try_each(query, true);
}
END_TEST

START_TEST(a_backup_without_memory_is_none)
{
	try_each(back_up, true);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, a_write_without_memory_is_refused_or_done);
	tcase_add_test(tc, a_read_without_memory_is_whole_or_an_error);
	tcase_add_test(tc, a_backup_without_memory_is_none);
}

UNIT_SUITE(store_memory);
