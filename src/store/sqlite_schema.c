/* SPDX-License-Identifier: MIT */
/* Making, checking and migrating the SQLite database. */
#include "store/sqlite_schema.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/sqlite_file.h"

/* "Cmty"; as file(1) sees it, at offset 68. */
#define APPLICATION_ID 0x436d7479
#define HEADER_SIZE 100
#define HEADER_APPLICATION_ID 68
#define CHECK_MAX_CLEAN (INT64_C(64) << 20)
#define CHECK_MAX_CRASHED (INT64_C(1) << 30)

const char *const sqlite_migrations[] = {
	"CREATE TABLE map (owner TEXT NOT NULL, store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,"
	" PRIMARY KEY (owner, store, key)) WITHOUT ROWID;"
	"CREATE INDEX map_by_store ON map (store, owner);"
	"CREATE TABLE archive (id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, store TEXT NOT NULL,"
	" when_us INTEGER NOT NULL, with_jid TEXT NOT NULL, value BLOB NOT NULL);"
	"CREATE INDEX archive_by_owner ON archive (owner, store, id, when_us, with_jid);",
	/* What an entry is known by when it comes again. */
	"ALTER TABLE archive ADD COLUMN token TEXT;",
	/* Which entries of the log are here. */
	"CREATE TABLE settled (owner TEXT PRIMARY KEY NOT NULL, id INTEGER NOT NULL) WITHOUT ROWID;",
};
const size_t sqlite_migration_count = sizeof(sqlite_migrations) / sizeof(sqlite_migrations[0]);

/* What lies at path before anything is written. */
struct found {
	const char *path;
	bool exists, has_wal, has_journal;
	int64_t size;
	unsigned version;
};

/* ---- the lock ---- */

static void explain_lock_file(const char *path, const char *name, struct err_text *et)
{
	int cause = errno;
	char *folder = sqlite_folder_of(path);

	if (cause == ENOENT || cause == ENOTDIR)
		err_text_set(et, "the folder %s for the store does not exist; create it, owned by the user of the server",
		             folder);
	else
		err_text_set(et, "cannot create %s: %s; the user of the server must be able to write in %s", name,
		             strerror(cause), folder);
	free(folder);
}

static int take_lock(const char *path, int *lock, struct err_text *et)
{
	char *name = mem_printf("%s.lock", path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600), rc = 0;

	if (fd < 0) {
		explain_lock_file(path, name, et);
		rc = -ERR_IO;
	} else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		err_text_set(et, "the store %s is in use; stop the other server that runs on it first", path);
		close(fd);
		rc = -ERR_DENIED;
	} else {
		*lock = fd;
	}
	free(name);
	return rc;
}

void sqlite_schema_unlock(int lock)
{
	close(lock);
}

/* ---- looking without touching ---- */

static bool file_exists(const char *path, const char *suffix)
{
	char *name = mem_printf("%s%s", path, suffix);
	struct stat st;
	bool exists = stat(name, &st) == 0 && st.st_size != 0;

	free(name);
	return exists;
}

static int refuse_damaged(const char *path, struct err_text *et)
{
	err_text_set(et, "the store %s is damaged and was left as it is; put a backup in its place, or save what is left "
	             "with: sqlite3 %s .recover", path, path);
	return -ERR_CORRUPT;
}

static int check_header(const char *path, const unsigned char *header, ssize_t n, struct err_text *et)
{
	const unsigned char *id = header + HEADER_APPLICATION_ID;

	if (n != HEADER_SIZE || memcmp(header, "SQLite format 3", 16) != 0) {
		err_text_set(et, "%s is not a store or is damaged, and was left as it is; put a backup in its place, or move "
		             "it away to begin with an empty store", path);
		return -ERR_CORRUPT;
	}
	if (((uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3]) != APPLICATION_ID) {
		err_text_set(et, "%s is the database of another program and was left as it is; name another file or folder "
		             "for the store", path);
		return -ERR_CORRUPT;
	}
	return 0;
}

static int look_at_file(struct found *found, struct err_text *et)
{
	unsigned char header[HEADER_SIZE];
	int fd = open(found->path, O_RDONLY | O_CLOEXEC), rc = 0;
	struct stat st = { 0 };
	ssize_t n = 0;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) != 0 || (st.st_size != 0 && (n = read(fd, header, sizeof(header))) < 0)) {
		err_text_set(et, "cannot read the store %s: %s", found->path, strerror(errno));
		rc = -ERR_IO;
	} else if (st.st_size != 0) {
		found->exists = true;
		found->size = st.st_size;
		rc = check_header(found->path, header, n, et);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

/* The first value of a query as a number, or as "ok" (1) or anything else (0). */
static bool ask_number(sqlite3 *db, const char *sql, int64_t *number)
{
	sqlite3_stmt *stmt = NULL;
	bool found = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW;

	if (found && sqlite3_column_type(stmt, 0) == SQLITE_TEXT)
		*number = strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0;
	else if (found)
		*number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return found;
}

static bool is_sound(sqlite3 *db, const struct found *found)
{
	bool is_clean = !found->has_wal && !found->has_journal;
	int64_t number = 0;

	if (!ask_number(db, "SELECT count(*) FROM sqlite_schema", &number) || number == 0)
		return false;
	if (found->size > (is_clean ? CHECK_MAX_CLEAN : CHECK_MAX_CRASHED))
		return true;
	return ask_number(db, "PRAGMA quick_check(1)", &number) && number == 1;
}

/* A name as a URI, for the ways of opening that only those have. */
static char *make_uri(const char *path, const char *query)
{
	struct buf out = { 0 };

	buf_add_str(&out, "file:");
	for (const char *p = path; *p != '\0'; p++) {
		if (strchr("?#%", *p) != NULL)
			buf_printf(&out, "%%%02x", (unsigned)(unsigned char)*p);
		else
			buf_add(&out, p, 1);
	}
	buf_add_str(&out, query);
	return buf_take(&out);
}

/* After a clean stop the file is all there is. After a crash what counts may lie in the journal: a WAL can be
 * read without writing; a rollback journal, which only a restored copy has, must be rolled back. */
static int look_inside(struct found *found, size_t newest, struct err_text *et)
{
	char *uri = make_uri(found->path, found->has_journal ? "?mode=rw" : found->has_wal ? "?mode=ro" : "?immutable=1");
	int flags = SQLITE_OPEN_URI | (found->has_journal ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
	int64_t version = 0;
	sqlite3 *db = NULL;
	int rc = 0;

	if (sqlite3_open_v2(uri, &db, flags, NULL) != SQLITE_OK || !ask_number(db, "PRAGMA user_version", &version)) {
		rc = refuse_damaged(found->path, et);
	} else if (version < 0 || (uint64_t)version > newest) {
		err_text_set(et, "the store %s was written by a newer version of this server (schema %lld, this one knows %zu) "
		             "and was left as it is; run that version, or restore a backup made before the upgrade",
		             found->path, (long long)version, newest);
		rc = -ERR_NEWER;
	} else if (version == 0 || !is_sound(db, found)) {
		rc = refuse_damaged(found->path, et);
	}
	found->version = (unsigned)version;
	sqlite3_close(db);
	free(uri);
	return rc;
}

static int look(struct found *found, size_t newest, struct err_text *et)
{
	int rc;

	found->has_wal = file_exists(found->path, "-wal");
	found->has_journal = file_exists(found->path, "-journal");
	rc = look_at_file(found, et);
	if (rc != 0)
		return rc;
	if (found->exists)
		return look_inside(found, newest, et);
	/* A new database would take in the journal of the old one. */
	if (found->has_wal || found->has_journal) {
		err_text_set(et, "the store %s is gone but its journal %s%s is there; put the store or a backup back, or move the "
		             "journal away too", found->path, found->path, found->has_wal ? "-wal" : "-journal");
		return -ERR_CORRUPT;
	}
	return 0;
}

/* ---- writing ---- */

static int explain(sqlite3 *db, const char *what, const char *path, struct err_text *et)
{
	int rc = sqlite_error_of(db, sqlite3_errcode(db));

	err_text_set(et, "%s %s: %s", what, path, sqlite3_errmsg(db));
	return rc != 0 ? rc : -ERR_IO;
}

static int take_step(sqlite3 *db, const char *step, size_t version)
{
	char *pragmas = mem_printf("PRAGMA application_id=%d; PRAGMA user_version=%zu", APPLICATION_ID, version);
	bool ok = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
	          sqlite3_exec(db, step, NULL, NULL, NULL) == SQLITE_OK &&
	          sqlite3_exec(db, pragmas, NULL, NULL, NULL) == SQLITE_OK &&
	          sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;

	free(pragmas);
	return ok ? 0 : -1;
}

static int migrate(sqlite3 *db, const char *path, size_t from, const char *const *migrations, size_t count,
                   struct err_text *et)
{
	for (size_t i = from; i < count; i++) {
		int rc;

		if (take_step(db, migrations[i], i + 1) == 0)
			continue;
		rc = explain(db, "cannot bring the store to the newest version:", path, et);
		if (!sqlite3_get_autocommit(db))
			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
		return rc;
	}
	return 0;
}

static int fill_new(const char *name, const char *const *migrations, size_t count, struct err_text *et)
{
	sqlite3 *db = NULL;
	int rc;

	if (sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA synchronous=FULL", NULL, NULL, NULL) != SQLITE_OK)
		rc = explain(db, "cannot create the store", name, et);
	else
		rc = migrate(db, name, 0, migrations, count, et);
	if (rc == 0 && sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL) != SQLITE_OK)
		rc = explain(db, "cannot create the store", name, et);
	sqlite3_close(db);
	return rc;
}

static int make_new(const char *path, const char *const *migrations, size_t count, struct err_text *et)
{
	char *name = mem_printf("%s.new", path), *journal = mem_printf("%s.new-journal", path);
	int rc;

	unlink(journal); /* of a start that did not come to its end */
	rc = sqlite_make_empty(name);
	if (rc != 0)
		err_text_set(et, "cannot create the store %s: %s", path, strerror(errno));
	else
		rc = fill_new(name, migrations, count, et);
	if (rc == 0 && (rename(name, path) != 0 || sqlite_sync_folder(path) != 0)) {
		err_text_set(et, "cannot create the store %s: %s", path, strerror(errno));
		rc = -ERR_IO;
	}
	if (rc != 0)
		unlink(name);
	free(name);
	free(journal);
	return rc;
}

static int copy_and_migrate(sqlite3 *db, const struct found *found, const char *const *migrations, size_t count,
                            struct err_text *et)
{
	char *copy = mem_printf("%s.before-v%zu", found->path, count);
	int rc = sqlite_copy_to(db, copy, 1);

	if (rc != 0)
		err_text_set(et, "cannot save the store to %s before bringing it to the newest version: %s", copy,
		             rc == -ERR_NO_SPACE ? "the disk is full" : err_name(rc));
	else
		rc = migrate(db, found->path, found->version, migrations, count, et);
	free(copy);
	return rc;
}

/* Opens what was found good: takes in what a crash left in the journal, and migrates. */
static int settle(const struct found *found, const char *const *migrations, size_t count, struct err_text *et)
{
	sqlite3 *db = NULL;
	int rc = 0;

	if (sqlite3_open_v2(found->path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", NULL, NULL, NULL) != SQLITE_OK)
		rc = explain(db, "cannot open the store", found->path, et);
	else if (found->version < count)
		rc = copy_and_migrate(db, found, migrations, count, et);
	sqlite3_close(db);
	return rc;
}

int sqlite_schema_prepare(const char *path, const char *const *migrations, size_t count, int *lock,
                          struct err_text *et)
{
	struct found found = { .path = path };
	int fd = -1, rc = take_lock(path, &fd, et);

	if (rc != 0)
		return rc;
	rc = look(&found, count, et);
	if (rc == 0 && !found.exists)
		rc = make_new(path, migrations, count, et);
	else if (rc == 0)
		rc = settle(&found, migrations, count, et);
	if (rc != 0)
		close(fd);
	else
		*lock = fd;
	return rc;
}
