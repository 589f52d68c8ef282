/* SPDX-License-Identifier: MIT */
/* The SQLite driver: WAL, synchronous=FULL, statements prepared once per connection. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/driver.h"
#include "store/sqlite_file.h"
#include "store/sqlite_schema.h"

/* Another program, such as sqlite3, may hold a lock for that long. */
#define BUSY_MS 10000
/* cache_size: KiB of the file that a connection keeps in memory (SQLite wants a minus there); the writer's holds what
 * the log of the store puts in at once, and is let go after it.
 * journal_size_limit: a journal that grew while a backup was read is cut back to 16 MiB.
 * wal_autocheckpoint: pages; what is written often meanwhile is copied once. */
#define WRITER_SETTINGS "PRAGMA cache_size=-16384; PRAGMA journal_size_limit=16777216; " \
	"PRAGMA wal_autocheckpoint=4000; PRAGMA synchronous=FULL"
#define READER_SETTINGS "PRAGMA cache_size=-1024; PRAGMA query_only=1"

enum statement {
	BEGIN_READ, BEGIN_WRITE, COMMIT, ROLLBACK, MARK, KEEP, UNDO,
	MAP_LOAD, MAP_GET, MAP_SET, MAP_DELETE, MAP_ANY, MAP_OWNERS,
	REMOVE_MAPS, REMOVE_ARCHIVES,
	APPEND, HAS_TOKEN, TOKENS, QUERY, QUERY_BACK, QUERY_COUNT, COUNT, WEIGH, DELETE_RANGE, TRIM,
	LAST_ID, SETTLED, SET_SETTLED, FORGET_SETTLED,
	STATEMENT_COUNT
};

/* The index archive_by_owner has all that is compared here: rows that do not match are never read. */
#define MATCH " FROM archive WHERE owner=?1 AND store=?2 AND id>?3 AND id<?4 AND when_us>=?5 AND when_us<=?6" \
	" AND (?7 IS NULL OR with_jid=?7)"

static const char *const statements[STATEMENT_COUNT] = {
	[BEGIN_READ] = "BEGIN",
	[BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[MARK] = "SAVEPOINT part",
	[KEEP] = "RELEASE part",
	[UNDO] = "ROLLBACK TO part",
	[MAP_LOAD] = "SELECT key, value FROM map WHERE owner=?1 AND store=?2 ORDER BY key",
	[MAP_GET] = "SELECT key, value FROM map WHERE owner=?1 AND store=?2 AND key=?3",
	[MAP_SET] = "INSERT INTO map (owner, store, key, value) VALUES (?1, ?2, ?3, ?4)"
	            " ON CONFLICT (owner, store, key) DO UPDATE SET value=excluded.value",
	[MAP_DELETE] = "DELETE FROM map WHERE owner=?1 AND store=?2 AND key=?3",
	[MAP_ANY] = "SELECT 1 FROM map WHERE owner=?1 AND store=?2 LIMIT 1",
	[MAP_OWNERS] = "SELECT DISTINCT owner FROM map INDEXED BY map_by_store WHERE store=?1 AND owner>?2"
	               " AND (?3='' OR substr(owner, -length(?3))=?3) ORDER BY owner LIMIT ?4",
	[REMOVE_MAPS] = "DELETE FROM map WHERE owner=?1",
	[REMOVE_ARCHIVES] = "DELETE FROM archive WHERE owner=?1",
	[APPEND] = "INSERT INTO archive (owner, store, when_us, with_jid, value, token, id)"
	           " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[HAS_TOKEN] = "SELECT id FROM archive WHERE owner=?1 AND store=?2 AND (token=?3 OR (token>?3||'/' AND token<?3||'0'))",
	[TOKENS] = "SELECT token FROM archive WHERE id>?1 AND token IS NOT NULL",
	[QUERY] = "SELECT id, when_us, with_jid, value, token" MATCH " ORDER BY id LIMIT ?8",
	[QUERY_BACK] = "SELECT id, when_us, with_jid, value, token" MATCH " ORDER BY id DESC LIMIT ?8",
	[QUERY_COUNT] = "SELECT count(*)" MATCH,
	[COUNT] = "SELECT count(*) FROM archive WHERE owner=?1 AND store=?2",
	[WEIGH] = "SELECT count(*), coalesce(sum(length(value)), 0) FROM archive WHERE owner=?1 AND store=?2",
	[DELETE_RANGE] = "DELETE FROM archive WHERE owner=?1 AND store=?2 AND id>=?3 AND id<=?4",
	/* The oldest of the newest ?4 stays; with ?4 or fewer there, nothing goes for their number. */
	[TRIM] = "DELETE FROM archive WHERE owner=?1 AND store=?2 AND (when_us<?3 OR id<=coalesce("
	         "(SELECT id FROM archive WHERE owner=?1 AND store=?2 ORDER BY id DESC LIMIT 1 OFFSET ?4), 0))",
	[LAST_ID] = "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name='archive'), 0),"
	            " coalesce((SELECT max(id) FROM settled), 0))",
	[SETTLED] = "SELECT id FROM settled WHERE owner=?1",
	[SET_SETTLED] = "INSERT OR REPLACE INTO settled (owner, id) VALUES (?1, ?2)",
	[FORGET_SETTLED] = "DELETE FROM settled WHERE owner<>?1",
};

struct driver_conn {
	sqlite3 *db;
	bool is_writer;
	sqlite3_stmt *ready[STATEMENT_COUNT];
};

/* ---- statements ---- */

/* A statement to bind and run, prepared at its first use; NULL when SQLite refuses it, see failure_of. */
static sqlite3_stmt *get(struct driver_conn *c, enum statement which)
{
	sqlite3_stmt **stmt = &c->ready[which];

	if (*stmt == NULL)
		sqlite3_prepare_v3(c->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
	return *stmt;
}

static int failure_of(const struct driver_conn *c)
{
	int rc = sqlite_error_of(c->db, sqlite3_errcode(c->db));

	return rc != 0 ? rc : -ERR_IO;
}

static void bind_text(sqlite3_stmt *stmt, int i, const char *text)
{
	if (text != NULL)
		sqlite3_bind_text(stmt, i, text, -1, SQLITE_STATIC);
}

/* SQLite's numbers are signed. */
static void bind_u64(sqlite3_stmt *stmt, int i, uint64_t n)
{
	sqlite3_bind_int64(stmt, i, n < INT64_MAX ? (sqlite3_int64)n : INT64_MAX);
}

/* ?1 and ?2, which nearly all have. */
static sqlite3_stmt *get_for(struct driver_conn *c, enum statement which, const char *first, const char *second)
{
	sqlite3_stmt *stmt = get(c, which);

	if (stmt == NULL)
		return NULL;
	bind_text(stmt, 1, first);
	bind_text(stmt, 2, second);
	return stmt;
}

/* Makes a statement ready for its next use; code is what its last step returned. */
static int finish(struct driver_conn *c, sqlite3_stmt *stmt, int code)
{
	int rc = sqlite_error_of(c->db, code);

	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return rc;
}

static int run(struct driver_conn *c, sqlite3_stmt *stmt)
{
	return stmt != NULL ? finish(c, stmt, sqlite3_step(stmt)) : failure_of(c);
}

/* ---- connections and transactions ---- */

static int driver_prepare(const char *path, int *lock, struct err_text *et)
{
	return sqlite_schema_prepare(path, sqlite_migrations, sqlite_migration_count, lock, et);
}

static void driver_disconnect(struct driver_conn *c)
{
	for (int i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(c->ready[i]);
	sqlite3_close(c->db);
	free(c);
}

/* That there is no memory for them later is no reason for a transaction to stay open: a reader would see the old state
 * as long. */
static bool prepare_ends(struct driver_conn *c)
{
	static const enum statement ends[] = { COMMIT, ROLLBACK, KEEP, UNDO };

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (get(c, ends[i]) == NULL)
			return false;
	return true;
}

static int driver_connect(const char *path, bool is_writer, struct driver_conn **conn, struct err_text *et)
{
	struct driver_conn *c = mem_new(sizeof(*c));
	const char *settings = is_writer ? WRITER_SETTINGS : READER_SETTINGS;
	int rc;

	c->is_writer = is_writer;
	if (sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
	    sqlite3_busy_timeout(c->db, BUSY_MS) == SQLITE_OK &&
	    sqlite3_exec(c->db, settings, NULL, NULL, NULL) == SQLITE_OK && prepare_ends(c)) {
		*conn = c;
		return 0;
	}
	err_text_set(et, "cannot open the store %s: %s", path, sqlite3_errmsg(c->db));
	rc = failure_of(c);
	driver_disconnect(c);
	return rc;
}

/* Some errors end the transaction by themselves. */
static bool is_in_transaction(const struct driver_conn *c)
{
	return !sqlite3_get_autocommit(c->db);
}

static void driver_rollback(struct driver_conn *c)
{
	if (is_in_transaction(c))
		run(c, get(c, ROLLBACK));
}

static int driver_begin(struct driver_conn *c)
{
	/* The end of the last one may have failed, for want of memory. */
	driver_rollback(c);
	return run(c, get(c, c->is_writer ? BEGIN_WRITE : BEGIN_READ));
}

static int driver_commit(struct driver_conn *c)
{
	return run(c, get(c, COMMIT));
}

static int driver_mark(struct driver_conn *c)
{
	return run(c, get(c, MARK));
}

static int driver_keep(struct driver_conn *c)
{
	return run(c, get(c, KEEP));
}

static int driver_undo(struct driver_conn *c)
{
	int rc = is_in_transaction(c) ? run(c, get(c, UNDO)) : -ERR_IO;

	return rc != 0 ? rc : driver_keep(c);
}

/* ---- maps ---- */

/* Collects rows of (key, value). */
static int read_rows(struct driver_conn *c, sqlite3_stmt *stmt, const char *name, struct driver_rows *rows)
{
	int code;

	if (stmt == NULL)
		return failure_of(c);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
		driver_add_row(rows, name, (const char *)sqlite3_column_text(stmt, 0), sqlite3_column_blob(stmt, 1),
		               (size_t)sqlite3_column_bytes(stmt, 1));
	return finish(c, stmt, code);
}

static int driver_map_load(struct driver_conn *c, const char *owner, const char *name, struct driver_rows *rows)
{
	return read_rows(c, get_for(c, MAP_LOAD, owner, name), name, rows);
}

static int driver_map_get(struct driver_conn *c, const char *owner, const char *name, const char *key,
                          struct driver_rows *rows)
{
	sqlite3_stmt *stmt = get_for(c, MAP_GET, owner, name);
	int rc;

	if (stmt != NULL)
		bind_text(stmt, 3, key);
	rc = read_rows(c, stmt, name, rows);
	return rc == 0 && rows->count == 0 ? -ERR_NOT_FOUND : rc;
}

static int put_row(struct driver_conn *c, const char *owner, const struct store_row *row)
{
	sqlite3_stmt *stmt = get_for(c, row->value != NULL ? MAP_SET : MAP_DELETE, owner, row->store);

	if (stmt == NULL)
		return failure_of(c);
	bind_text(stmt, 3, row->key);
	if (row->value != NULL && sqlite3_bind_blob64(stmt, 4, row->value, row->len, SQLITE_STATIC) != SQLITE_OK)
		return finish(c, stmt, SQLITE_TOOBIG);
	return run(c, stmt);
}

static int driver_map_put(struct driver_conn *c, const char *owner, const struct store_row *rows, size_t count)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = put_row(c, owner, &rows[i]);
	return rc;
}

static int driver_map_check_free(struct driver_conn *c, const char *owner, const char *name)
{
	sqlite3_stmt *stmt = get_for(c, MAP_ANY, owner, name);
	int code, rc;

	if (stmt == NULL)
		return failure_of(c);
	code = sqlite3_step(stmt);
	rc = finish(c, stmt, code);
	return code == SQLITE_ROW ? -ERR_EXISTS : rc;
}

static int driver_map_owners(struct driver_conn *c, const char *name, const char *suffix, const char *after,
                             size_t limit, struct driver_rows *rows)
{
	sqlite3_stmt *stmt = get_for(c, MAP_OWNERS, name, after);
	int code;

	if (stmt == NULL)
		return failure_of(c);
	bind_text(stmt, 3, suffix);
	bind_u64(stmt, 4, limit != 0 ? limit : UINT64_MAX);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
		driver_add_row(rows, name, (const char *)sqlite3_column_text(stmt, 0), NULL, 0);
	return finish(c, stmt, code);
}

static int driver_remove_owner(struct driver_conn *c, const char *owner)
{
	int rc = run(c, get_for(c, REMOVE_MAPS, owner, NULL));

	return rc != 0 ? rc : run(c, get_for(c, REMOVE_ARCHIVES, owner, NULL));
}

/* ---- archives ---- */

static int read_number(struct driver_conn *c, sqlite3_stmt *stmt, uint64_t *number)
{
	int code;

	if (stmt == NULL)
		return failure_of(c);
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*number = (uint64_t)sqlite3_column_int64(stmt, 0);
	return finish(c, stmt, code);
}

static int driver_count(struct driver_conn *c, const char *owner, const char *name, uint64_t *count,
                        uint64_t *bytes)
{
	sqlite3_stmt *stmt = get_for(c, bytes != NULL ? WEIGH : COUNT, owner, name);
	int code;

	if (stmt == NULL)
		return failure_of(c);
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*count = (uint64_t)sqlite3_column_int64(stmt, 0);
	if (code == SQLITE_ROW && bytes != NULL)
		*bytes = (uint64_t)sqlite3_column_int64(stmt, 1);
	return finish(c, stmt, code);
}

/* One that is known by the same; 0: there is none. */
static int find_token(struct driver_conn *c, const char *owner, const char *name, const struct store_entry *entry,
                      uint64_t *id)
{
	sqlite3_stmt *stmt = get_for(c, HAS_TOKEN, owner, name);
	int code;

	*id = 0;
	if (stmt == NULL)
		return failure_of(c);
	sqlite3_bind_text(stmt, 3, entry->token, (int)strnlen(entry->token, entry->may_be_there), SQLITE_STATIC);
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*id = (uint64_t)sqlite3_column_int64(stmt, 0);
	return finish(c, stmt, code == SQLITE_ROW ? SQLITE_OK : code);
}

static int driver_append(struct driver_conn *c, const char *owner, const char *name, const struct store_entry *entry,
                         uint64_t *id)
{
	sqlite3_stmt *stmt;
	int rc;

	if (entry->token != NULL && entry->may_be_there != 0) {
		rc = find_token(c, owner, name, entry, id);
		if (rc != 0 || *id != 0)
			return rc;
	}
	stmt = get_for(c, APPEND, owner, name);
	if (stmt == NULL)
		return failure_of(c);
	bind_text(stmt, 6, entry->token);
	sqlite3_bind_int64(stmt, 3, entry->when_us);
	bind_text(stmt, 4, entry->with);
	bind_u64(stmt, 7, entry->id);
	if (sqlite3_bind_blob64(stmt, 5, entry->value, entry->len, SQLITE_STATIC) != SQLITE_OK)
		return finish(c, stmt, SQLITE_TOOBIG);
	rc = run(c, stmt);
	*id = rc == 0 ? entry->id : 0;
	return rc;
}

static int driver_each_token(struct driver_conn *c, uint64_t after_id, void (*each)(void *arg, const char *token),
                             void *arg)
{
	sqlite3_stmt *stmt = get(c, TOKENS);
	int code;

	if (stmt == NULL)
		return failure_of(c);
	bind_u64(stmt, 1, after_id);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *token = (const char *)sqlite3_column_text(stmt, 0);

		if (token == NULL)
			return finish(c, stmt, SQLITE_NOMEM);
		each(arg, token);
	}
	return finish(c, stmt, code);
}

static sqlite3_stmt *get_query(struct driver_conn *c, enum statement which, const char *owner, const char *name,
                               const struct store_query *q)
{
	sqlite3_stmt *stmt = get_for(c, which, owner, name);

	if (stmt == NULL)
		return NULL;
	bind_u64(stmt, 3, q->after_id);
	bind_u64(stmt, 4, q->before_id != 0 ? q->before_id : UINT64_MAX);
	sqlite3_bind_int64(stmt, 5, q->start_us != 0 ? q->start_us : INT64_MIN);
	sqlite3_bind_int64(stmt, 6, q->end_us != 0 ? q->end_us : INT64_MAX);
	bind_text(stmt, 7, q->with);
	return stmt;
}

static void add_entry(sqlite3_stmt *stmt, struct driver_entries *entries)
{
	struct store_entry entry = {
		.id = (uint64_t)sqlite3_column_int64(stmt, 0),
		.when_us = sqlite3_column_int64(stmt, 1),
		.with = (const char *)sqlite3_column_text(stmt, 2),
		.value = sqlite3_column_blob(stmt, 3),
		.token = (const char *)sqlite3_column_text(stmt, 4),
	};

	entry.len = (size_t)sqlite3_column_bytes(stmt, 3);
	driver_add_entry(entries, &entry);
}

/* Adds the bytes of the row. */
static bool has_room(sqlite3_stmt *stmt, const struct store_query *q, const struct driver_entries *entries,
                     uint64_t *bytes)
{
	*bytes += (uint64_t)sqlite3_column_bytes(stmt, 3);
	return q->max_bytes == 0 || entries->count == 0 || *bytes <= q->max_bytes;
}

static int driver_query(struct driver_conn *c, const char *owner, const char *name, const struct store_query *q,
                        struct driver_entries *entries)
{
	sqlite3_stmt *stmt = get_query(c, q->backwards ? QUERY_BACK : QUERY, owner, name, q);
	uint64_t bytes = 0;
	bool is_cut;
	int code, rc;

	if (stmt == NULL)
		return failure_of(c);
	bind_u64(stmt, 8, q->limit != 0 ? q->limit : UINT64_MAX);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW && has_room(stmt, q, entries, &bytes))
		add_entry(stmt, entries);
	is_cut = code == SQLITE_ROW || (q->limit != 0 && entries->count == q->limit);
	rc = finish(c, stmt, code == SQLITE_ROW ? SQLITE_OK : code);
	if (q->backwards)
		driver_reverse_entries(entries);
	entries->total = entries->count;
	if (rc == 0 && is_cut)
		rc = read_number(c, get_query(c, QUERY_COUNT, owner, name, q), &entries->total);
	return rc;
}

static int driver_delete_range(struct driver_conn *c, const char *owner, const char *name, uint64_t from_id,
                               uint64_t to_id)
{
	sqlite3_stmt *stmt = get_for(c, DELETE_RANGE, owner, name);

	if (stmt == NULL)
		return failure_of(c);
	bind_u64(stmt, 3, from_id);
	bind_u64(stmt, 4, to_id);
	return run(c, stmt);
}

static int driver_trim(struct driver_conn *c, const char *owner, const char *name, uint64_t keep, int64_t since_us)
{
	sqlite3_stmt *stmt = get_for(c, TRIM, owner, name);

	if (stmt == NULL)
		return failure_of(c);
	sqlite3_bind_int64(stmt, 3, since_us);
	bind_u64(stmt, 4, keep);
	return run(c, stmt);
}

static int driver_last_id(struct driver_conn *c, uint64_t *id)
{
	*id = 0;
	return read_number(c, get(c, LAST_ID), id);
}

static int driver_settled(struct driver_conn *c, const char *owner, uint64_t *id)
{
	*id = 0;
	return read_number(c, get_for(c, SETTLED, owner, NULL), id);
}

static int driver_set_settled(struct driver_conn *c, const char *owner, uint64_t id)
{
	sqlite3_stmt *stmt = get_for(c, SET_SETTLED, owner, NULL);
	int rc;

	if (stmt != NULL)
		bind_u64(stmt, 2, id);
	rc = run(c, stmt);
	return rc == 0 && owner[0] == '\0' ? run(c, get_for(c, FORGET_SETTLED, owner, NULL)) : rc;
}

static int driver_backup(struct driver_conn *c, const char *path)
{
	int rc;

	/* For SQLite writing a copy is writing, too. */
	sqlite3_exec(c->db, "PRAGMA query_only=0", NULL, NULL, NULL);
	rc = sqlite_copy_to(c->db, path, 0);
	sqlite3_exec(c->db, "PRAGMA query_only=1", NULL, NULL, NULL);
	return rc;
}

const struct store_driver sqlite_driver = {
	.name = "sqlite",
	.prepare = driver_prepare,
	.unlock = sqlite_schema_unlock,
	.connect = driver_connect,
	.disconnect = driver_disconnect,
	.begin = driver_begin,
	.commit = driver_commit,
	.rollback = driver_rollback,
	.mark = driver_mark,
	.keep = driver_keep,
	.undo = driver_undo,
	.map_load = driver_map_load,
	.map_get = driver_map_get,
	.map_put = driver_map_put,
	.map_check_free = driver_map_check_free,
	.map_owners = driver_map_owners,
	.remove_owner = driver_remove_owner,
	.append = driver_append,
	.each_token = driver_each_token,
	.last_id = driver_last_id,
	.settled = driver_settled,
	.set_settled = driver_set_settled,
	.query = driver_query,
	.count = driver_count,
	.delete_range = driver_delete_range,
	.trim = driver_trim,
	.backup = driver_backup,
};
