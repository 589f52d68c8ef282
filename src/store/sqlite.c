/* SPDX-License-Identifier: MIT */
/* The SQLite driver. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/driver.h"
#include "store/sqlite_schema.h"

enum statement {
	BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE, UNDO,
	MAP_LOAD, MAP_GET, MAP_SET, MAP_DEL, MAP_ANY, MAP_OWNERS, OWNER_MAPS, OWNER_ARCHIVES,
	ADD, QUERY, QUERY_BACK, QUERY_COUNT, COUNT, DELETE, TRIM,
	STATEMENT_COUNT
};

#define MATCH " FROM archive WHERE owner=?1 AND store=?2 AND id>?3 AND id<?4 AND when_us>=?5 AND when_us<=?6" \
	" AND (?7 IS NULL OR with_jid=?7)"

static const char *const sql[STATEMENT_COUNT] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[SAVEPOINT] = "SAVEPOINT part",
	[RELEASE] = "RELEASE part",
	[UNDO] = "ROLLBACK TO part",
	[MAP_LOAD] = "SELECT key, value FROM map WHERE owner=?1 AND store=?2 ORDER BY key",
	[MAP_GET] = "SELECT key, value FROM map WHERE owner=?1 AND store=?2 AND key=?3",
	[MAP_SET] = "INSERT INTO map (owner, store, key, value) VALUES (?1, ?2, ?3, ?4)"
	            " ON CONFLICT (owner, store, key) DO UPDATE SET value=excluded.value",
	[MAP_DEL] = "DELETE FROM map WHERE owner=?1 AND store=?2 AND key=?3",
	[MAP_ANY] = "SELECT 1 FROM map WHERE owner=?1 AND store=?2 LIMIT 1",
	[MAP_OWNERS] = "SELECT DISTINCT owner FROM map INDEXED BY map_by_store WHERE store=?1 AND owner>?2"
	               " AND substr(owner, -length(?3))=?3 ORDER BY owner LIMIT ?4",
	[OWNER_MAPS] = "DELETE FROM map WHERE owner=?1",
	[OWNER_ARCHIVES] = "DELETE FROM archive WHERE owner=?1",
	[ADD] = "INSERT INTO archive (owner, store, when_us, with_jid, value) VALUES (?1, ?2, ?3, ?4, ?5)",
	[QUERY] = "SELECT id, when_us, with_jid, value" MATCH " ORDER BY id LIMIT ?8",
	[QUERY_BACK] = "SELECT id, when_us, with_jid, value" MATCH " ORDER BY id DESC LIMIT ?8",
	[QUERY_COUNT] = "SELECT count(*)" MATCH,
	[COUNT] = "SELECT count(*) FROM archive WHERE owner=?1 AND store=?2",
	[DELETE] = "DELETE FROM archive WHERE owner=?1 AND store=?2 AND id>=?3 AND id<=?4",
	[TRIM] = "DELETE FROM archive WHERE owner=?1 AND store=?2 AND (when_us<?3 OR id<=coalesce("
	         "(SELECT id FROM archive WHERE owner=?1 AND store=?2 ORDER BY id DESC LIMIT 1 OFFSET ?4), 0))",
};

struct driver_conn {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

static int error_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ERR_NO_SPACE;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -ERR_CORRUPT;
	default:
		return -ERR_IO;
	}
}

/* A statement ready to bind; NULL when the database refuses it. */
static sqlite3_stmt *get(struct driver_conn *c, enum statement s)
{
	if (c->statements[s] == NULL &&
	    sqlite3_prepare_v3(c->db, sql[s], -1, SQLITE_PREPARE_PERSISTENT, &c->statements[s], NULL) != SQLITE_OK)
		return NULL;
	return c->statements[s];
}

static void bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
	if (text == NULL)
		sqlite3_bind_null(stmt, i);
	else
		sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

/* Owner and store of a statement, the parameters nearly all have. */
static sqlite3_stmt *get_for(struct driver_conn *c, enum statement s, const char *owner, const char *name)
{
	sqlite3_stmt *stmt = get(c, s);

	if (stmt == NULL)
		return NULL;
	bind_text(stmt, 1, owner);
	if (name != NULL)
		bind_text(stmt, 2, name);
	return stmt;
}

static int finish(sqlite3_stmt *stmt, int code)
{
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return error_of(code);
}

static int run(sqlite3_stmt *stmt)
{
	return stmt == NULL ? -ERR_IO : finish(stmt, sqlite3_step(stmt));
}

static int driver_prepare(const char *path, int *lock, struct err_text *et)
{
	return sqlite_schema_prepare(path, sqlite_migrations, sqlite_migration_count, lock, et);
}

static void driver_unlock(int lock)
{
	close(lock);
}

static void driver_disconnect(struct driver_conn *c)
{
	for (int i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(c->statements[i]);
	sqlite3_close(c->db);
	free(c);
}

static int driver_connect(const char *path, bool is_writer, struct driver_conn **out, struct err_text *et)
{
	struct driver_conn *c = mem_new(sizeof(*c));

	if (sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
	    sqlite3_exec(c->db, is_writer ? "PRAGMA synchronous=FULL" : "PRAGMA query_only=1", NULL, NULL, NULL) != SQLITE_OK) {
		err_text_set(et, "cannot open the store %s: %s", path, sqlite3_errmsg(c->db));
		driver_disconnect(c);
		return -ERR_IO;
	}
	sqlite3_busy_timeout(c->db, 10000);
	*out = c;
	return 0;
}

static int driver_begin(struct driver_conn *c)
{
	return run(get(c, BEGIN));
}

static int driver_commit(struct driver_conn *c)
{
	return run(get(c, COMMIT));
}

static void driver_rollback(struct driver_conn *c)
{
	if (!sqlite3_get_autocommit(c->db))
		run(get(c, ROLLBACK));
}

static int driver_mark(struct driver_conn *c)
{
	return run(get(c, SAVEPOINT));
}

static void driver_undo(struct driver_conn *c)
{
	run(get(c, UNDO));
	run(get(c, RELEASE));
}

static int read_rows(sqlite3_stmt *stmt, const char *name, struct driver_rows *rows)
{
	int code;

	if (stmt == NULL)
		return -ERR_IO;
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
		driver_add_row(rows, name, (const char *)sqlite3_column_text(stmt, 0), sqlite3_column_blob(stmt, 1),
		               (size_t)sqlite3_column_bytes(stmt, 1));
	return finish(stmt, code);
}

static int driver_map_load(struct driver_conn *c, const char *owner, const char *name, struct driver_rows *rows)
{
	return read_rows(get_for(c, MAP_LOAD, owner, name), name, rows);
}

static int driver_map_get(struct driver_conn *c, const char *owner, const char *name, const char *key,
                          struct driver_rows *rows)
{
	sqlite3_stmt *stmt = get_for(c, MAP_GET, owner, name);
	int rc;

	if (stmt == NULL)
		return -ERR_IO;
	bind_text(stmt, 3, key);
	rc = read_rows(stmt, name, rows);
	return rc == 0 && rows->count == 0 ? -ERR_NOT_FOUND : rc;
}

static int driver_map_put(struct driver_conn *c, const char *owner, const struct store_row *rows, size_t count)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		sqlite3_stmt *stmt = get_for(c, rows[i].value != NULL ? MAP_SET : MAP_DEL, owner, rows[i].store);

		if (stmt == NULL)
			return -ERR_IO;
		bind_text(stmt, 3, rows[i].key);
		if (rows[i].value != NULL)
			sqlite3_bind_blob64(stmt, 4, rows[i].value, rows[i].len, SQLITE_STATIC);
		rc = run(stmt);
	}
	return rc;
}

static int driver_map_is_free(struct driver_conn *c, const char *owner, const char *name)
{
	sqlite3_stmt *stmt = get_for(c, MAP_ANY, owner, name);
	int code;

	if (stmt == NULL)
		return -ERR_IO;
	code = sqlite3_step(stmt);
	finish(stmt, code);
	return code == SQLITE_ROW ? -ERR_EXISTS : error_of(code);
}

static int driver_map_owners(struct driver_conn *c, const char *name, const char *suffix, const char *after,
                             size_t limit, struct driver_rows *rows)
{
	sqlite3_stmt *stmt = get_for(c, MAP_OWNERS, name, after);
	int code;

	if (stmt == NULL)
		return -ERR_IO;
	bind_text(stmt, 3, suffix);
	sqlite3_bind_int64(stmt, 4, limit != 0 ? (sqlite3_int64)limit : -1);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
		driver_add_row(rows, name, (const char *)sqlite3_column_text(stmt, 0), "", 0);
	return finish(stmt, code);
}

static int driver_remove_owner(struct driver_conn *c, const char *owner)
{
	int rc = run(get_for(c, OWNER_MAPS, owner, NULL));

	return rc != 0 ? rc : run(get_for(c, OWNER_ARCHIVES, owner, NULL));
}

static int driver_append(struct driver_conn *c, const char *owner, const char *name, const struct store_entry *entry,
                         uint64_t *id)
{
	sqlite3_stmt *stmt = get_for(c, ADD, owner, name);
	int rc;

	if (stmt == NULL)
		return -ERR_IO;
	sqlite3_bind_int64(stmt, 3, entry->when_us);
	bind_text(stmt, 4, entry->with != NULL ? entry->with : "");
	sqlite3_bind_blob64(stmt, 5, entry->len != 0 ? entry->value : "", entry->len, SQLITE_STATIC);
	rc = run(stmt);
	if (rc == 0)
		*id = (uint64_t)sqlite3_last_insert_rowid(c->db);
	return rc;
}

static sqlite3_stmt *bind_query(struct driver_conn *c, enum statement s, const char *owner, const char *name,
                                const struct store_query *q)
{
	sqlite3_stmt *stmt = get_for(c, s, owner, name);

	if (stmt == NULL)
		return NULL;
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)q->after_id);
	sqlite3_bind_int64(stmt, 4, q->before_id != 0 ? (sqlite3_int64)q->before_id : INT64_MAX);
	sqlite3_bind_int64(stmt, 5, q->start_us != 0 ? q->start_us : INT64_MIN);
	sqlite3_bind_int64(stmt, 6, q->end_us != 0 ? q->end_us : INT64_MAX);
	bind_text(stmt, 7, q->with);
	return stmt;
}

static void reverse(struct driver_entries *e)
{
	for (size_t i = 0, j = e->count; i + 1 < j; i++) {
		struct store_entry swap = e->entries[i];

		j--;
		e->entries[i] = e->entries[j];
		e->entries[j] = swap;
	}
}

static int read_count(sqlite3_stmt *stmt, uint64_t *count)
{
	int code;

	if (stmt == NULL)
		return -ERR_IO;
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*count = (uint64_t)sqlite3_column_int64(stmt, 0);
	return finish(stmt, code);
}

static int driver_query(struct driver_conn *c, const char *owner, const char *name, const struct store_query *q,
                        struct driver_entries *entries)
{
	sqlite3_stmt *stmt = bind_query(c, q->backwards ? QUERY_BACK : QUERY, owner, name, q);
	int code, rc;

	if (stmt == NULL)
		return -ERR_IO;
	sqlite3_bind_int64(stmt, 8, q->limit != 0 ? (sqlite3_int64)q->limit : -1);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct store_entry e = {
			.id = (uint64_t)sqlite3_column_int64(stmt, 0),
			.when_us = sqlite3_column_int64(stmt, 1),
			.with = (const char *)sqlite3_column_text(stmt, 2),
			.value = sqlite3_column_blob(stmt, 3),
			.len = (size_t)sqlite3_column_bytes(stmt, 3),
		};

		driver_add_entry(entries, &e);
	}
	rc = finish(stmt, code);
	if (q->backwards)
		reverse(entries);
	entries->total = entries->count;
	if (rc == 0 && q->limit != 0 && entries->count == q->limit)
		rc = read_count(bind_query(c, QUERY_COUNT, owner, name, q), &entries->total);
	return rc;
}

static int driver_count(struct driver_conn *c, const char *owner, const char *name, uint64_t *count)
{
	return read_count(get_for(c, COUNT, owner, name), count);
}

static int driver_delete_range(struct driver_conn *c, const char *owner, const char *name, uint64_t from_id,
                               uint64_t to_id)
{
	sqlite3_stmt *stmt = get_for(c, DELETE, owner, name);

	if (stmt == NULL)
		return -ERR_IO;
	sqlite3_bind_int64(stmt, 3, (sqlite3_int64)from_id);
	sqlite3_bind_int64(stmt, 4, to_id < INT64_MAX ? (sqlite3_int64)to_id : INT64_MAX);
	return run(stmt);
}

static int driver_trim(struct driver_conn *c, const char *owner, const char *name, uint64_t keep, int64_t since_us)
{
	sqlite3_stmt *stmt = get_for(c, TRIM, owner, name);

	if (stmt == NULL)
		return -ERR_IO;
	sqlite3_bind_int64(stmt, 3, since_us);
	sqlite3_bind_int64(stmt, 4, keep < INT64_MAX ? (sqlite3_int64)keep : INT64_MAX);
	return run(stmt);
}

static int driver_backup(struct driver_conn *c, const char *path)
{
	char *text;
	int code;

	if (access(path, F_OK) == 0)
		return -ERR_EXISTS;
	text = sqlite3_mprintf("VACUUM INTO %Q", path);
	sqlite3_exec(c->db, "PRAGMA query_only=0", NULL, NULL, NULL);
	code = sqlite3_exec(c->db, text, NULL, NULL, NULL);
	sqlite3_exec(c->db, "PRAGMA query_only=1", NULL, NULL, NULL);
	sqlite3_free(text);
	return error_of(code);
}

const struct store_driver sqlite_driver = {
	.name = "sqlite",
	.prepare = driver_prepare,
	.unlock = driver_unlock,
	.connect = driver_connect,
	.disconnect = driver_disconnect,
	.begin = driver_begin,
	.commit = driver_commit,
	.rollback = driver_rollback,
	.mark = driver_mark,
	.undo = driver_undo,
	.map_load = driver_map_load,
	.map_get = driver_map_get,
	.map_put = driver_map_put,
	.map_is_free = driver_map_is_free,
	.map_owners = driver_map_owners,
	.remove_owner = driver_remove_owner,
	.append = driver_append,
	.query = driver_query,
	.count = driver_count,
	.delete_range = driver_delete_range,
	.trim = driver_trim,
	.backup = driver_backup,
};
