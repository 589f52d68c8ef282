/* SPDX-License-Identifier: MIT */
/* A store in a folder of its own, and its calls as if they were synchronous. */
#include "store_fixture.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"

static struct answer shared;

static void count_line(struct log *log, enum log_level level, const char *line)
{
	struct store_fixture *f = (struct store_fixture *)(void *)((char *)log - offsetof(struct store_fixture, log));

	(void)line;
	if (level >= LOG_LEVEL_WARNING)
		f->warnings++;
}

void fixture_init_closed(struct store_fixture *f, bool is_inline)
{
	memset(f, 0, sizeof(*f));
	map_seed(42);
	strcpy(f->folder, "/tmp/test_store.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/comity.sqlite", f->folder);
	f->log.write = count_line;
	env_init_system(&f->env, &f->log);
	f->env.inline_jobs = is_inline;
	f->peers[0] = &f->worker;
	worker_init(&f->worker, 0, &f->env, f->peers, 1, 1000000);
	f->conf = (struct store_conf){ .path = f->path, .readers = 2, .commit_ms = 2, .commit_rows = 64 };
}

void fixture_reopen(struct store_fixture *f, const struct store_driver *driver)
{
	struct err_text et = { "" };
	int rc = store_open_driver(&f->env, &f->conf, driver, &f->store, &et);

	ck_assert_msg(rc == 0, "%s: %s", err_name(rc), et.text);
}

void fixture_init(struct store_fixture *f, const struct store_driver *driver, bool is_inline)
{
	fixture_init_closed(f, is_inline);
	fixture_reopen(f, driver);
}

static void remove_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	char name[512];

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		snprintf(name, sizeof(name), "%s/%s", folder, e->d_name);
		unlink(name);
	}
	closedir(dir);
	rmdir(folder);
}

void fixture_deinit(struct store_fixture *f)
{
	store_close(&f->store);
	while (worker_turn(&f->worker))
		;
	worker_deinit(&f->worker);
	remove_folder(f->folder);
}

void fixture_await(struct store_fixture *f, const struct answer *a, int n)
{
	while (a->calls < n)
		if (!worker_turn(&f->worker))
			usleep(100);
	ck_assert_int_eq(a->calls, n);
}

/* ---- answers ---- */

static void add_text(struct answer *a, const char *map, const char *key, const void *value, size_t len)
{
	size_t used = strlen(a->text);

	ck_assert_uint_lt(used + strlen(key) + len + 64, sizeof(a->text));
	sprintf(a->text + used, "%s%s%s%s%.*s;", map, *map != '\0' ? ":" : "", key, value != NULL ? "=" : "", (int)len,
	        value != NULL ? (const char *)value : "");
}

void answer_on_read(void *arg, const struct store_result *result)
{
	struct answer *a = arg;

	a->calls++;
	a->status = result->status;
	a->count = result->count;
	a->text[0] = '\0';
	for (size_t i = 0; i < result->count; i++)
		add_text(a, result->rows[i].store, result->rows[i].key, result->rows[i].value, result->rows[i].len);
}

void answer_on_write(void *arg, int status)
{
	struct answer *a = arg;

	a->calls++;
	a->status = status;
}

void answer_on_append(void *arg, int status, uint64_t id)
{
	struct answer *a = arg;

	a->calls++;
	a->status = status;
	a->number = id;
}

void answer_on_entries(void *arg, const struct store_entries *entries)
{
	struct answer *a = arg;

	a->calls++;
	a->status = entries->status;
	a->count = entries->count;
	a->total = entries->total;
	a->text[0] = '\0';
	ck_assert_uint_le(entries->count, ENTRIES_MAX);
	for (size_t i = 0; i < entries->count; i++) {
		const struct store_entry *e = &entries->entries[i];

		a->ids[i] = e->id;
		add_text(a, "", e->with, e->value, e->len);
	}
}

void answer_on_count(void *arg, int status, uint64_t count)
{
	answer_on_append(arg, status, count);
}

/* ---- calls that wait ---- */

static struct answer *start(void)
{
	memset(&shared, 0, sizeof(shared));
	return &shared;
}

/* Nothing is ever answered inside the call. */
static struct answer *await(struct store_fixture *f)
{
	ck_assert_int_eq(shared.calls, 0);
	fixture_await(f, &shared, 1);
	return &shared;
}

int fixture_put(struct store_fixture *f, const char *owner, const char *map, const char *key, const char *value)
{
	struct store_row row = { map, key, value, value != NULL ? strlen(value) : 0 };

	store_map_put(f->store, &f->worker, owner, &row, 1, answer_on_write, start());
	return await(f)->status;
}

int fixture_create(struct store_fixture *f, const char *owner, const char *map, const char *key, const char *value)
{
	struct store_row rows[] = { { map, key, value, strlen(value) }, { "other", key, value, strlen(value) } };

	store_map_create(f->store, &f->worker, owner, rows, 2, answer_on_write, start());
	return await(f)->status;
}

int fixture_append(struct store_fixture *f, const char *owner, const char *archive, int64_t when_us, const char *with,
                   const char *value, uint64_t max_entries, uint64_t *id)
{
	struct store_entry e = { .id = 7777, .when_us = when_us, .with = with, .value = value, .len = strlen(value) };
	const struct answer *a;

	store_archive_append(f->store, &f->worker, owner, archive, &e, max_entries, answer_on_append, start());
	a = await(f);
	if (id != NULL)
		*id = a->number;
	return a->status;
}

uint64_t fixture_count(struct store_fixture *f, const char *owner, const char *archive)
{
	store_archive_count(f->store, &f->worker, owner, archive, answer_on_count, start());
	ck_assert_int_eq(await(f)->status, 0);
	return shared.number;
}

int fixture_remove_owner(struct store_fixture *f, const char *owner)
{
	store_remove_owner(f->store, &f->worker, owner, answer_on_write, start());
	return await(f)->status;
}

int fixture_backup(struct store_fixture *f, const char *path)
{
	store_backup(f->store, &f->worker, path, answer_on_write, start());
	return await(f)->status;
}

const char *fixture_get(struct store_fixture *f, const char *owner, const char *map, const char *key)
{
	store_map_get(f->store, &f->worker, owner, map, key, answer_on_read, start());
	await(f);
	return shared.status == 0 ? shared.text : err_name(shared.status);
}

const char *fixture_load(struct store_fixture *f, const char *owner, const char *map, const char *other_map)
{
	const char *const names[] = { map, other_map, NULL };

	store_map_load(f->store, &f->worker, owner, names, answer_on_read, start());
	await(f);
	return shared.status == 0 ? shared.text : err_name(shared.status);
}

const char *fixture_owners(struct store_fixture *f, const char *map, const char *suffix, const char *after,
                           size_t limit)
{
	char *text;

	store_map_owners(f->store, &f->worker, map, suffix, after, limit, answer_on_read, start());
	await(f);
	/* The values of these rows are empty: leave the "=" away. */
	for (text = shared.text; (text = strchr(text, '=')) != NULL;)
		memmove(text, text + 1, strlen(text));
	return shared.status == 0 ? shared.text : err_name(shared.status);
}

const struct answer *fixture_query(struct store_fixture *f, const char *owner, const char *archive,
                                   const struct store_query *query)
{
	store_archive_query(f->store, &f->worker, owner, archive, query, answer_on_entries, start());
	ck_assert_int_eq(await(f)->status, 0);
	return &shared;
}
