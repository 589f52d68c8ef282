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

/* "Cmty"; at offset 68 of the file. */
#define APPLICATION_ID 0x436d7479
#define HEADER_SIZE 100
/* A whole check of a bigger file would hold up the start for too long after a clean stop. */
#define CHECK_SIZE_MAX (64L * 1024 * 1024)

const char *const sqlite_migrations[] = {
	"CREATE TABLE map (owner TEXT NOT NULL, store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,"
	" PRIMARY KEY (owner, store, key)) WITHOUT ROWID;"
	"CREATE INDEX map_by_store ON map (store, owner);"
	"CREATE TABLE archive (id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, store TEXT NOT NULL,"
	" when_us INTEGER NOT NULL, with_jid TEXT NOT NULL, value BLOB NOT NULL);"
	"CREATE INDEX archive_by_owner ON archive (owner, store, id);",
};
const size_t sqlite_migration_count = sizeof(sqlite_migrations) / sizeof(sqlite_migrations[0]);

struct found {
	bool is_new, had_wal;
	long size;
	uint32_t version;
};

static uint32_t read_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int take_lock(const char *path, int *lock, struct err_text *et)
{
	char *name = mem_printf("%s.lock", path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600), rc = 0;

	if (fd < 0) {
		err_text_set(et, "cannot create %s: %s", name, strerror(errno));
		rc = -ERR_IO;
	} else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		err_text_set(et, "the store %s is in use by another process", path);
		close(fd);
		rc = -ERR_DENIED;
	} else {
		*lock = fd;
	}
	free(name);
	return rc;
}

/* Looks at the header only, so that a file that is refused was not touched. */
static int inspect(const char *path, size_t newest, struct found *found, struct err_text *et)
{
	unsigned char header[HEADER_SIZE];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *wal = mem_printf("%s-wal", path);
	struct stat st;
	ssize_t n;

	*found = (struct found){ .had_wal = access(wal, F_OK) == 0 };
	free(wal);
	if (fd < 0 && errno == ENOENT) {
		found->is_new = true;
		return 0;
	}
	if (fd < 0 || fstat(fd, &st) != 0) {
		err_text_set(et, "cannot open the store %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -ERR_IO;
	}
	n = read(fd, header, sizeof(header));
	close(fd);
	found->size = (long)st.st_size;
	found->is_new = st.st_size == 0;
	if (found->is_new)
		return 0;
	if (n != HEADER_SIZE || memcmp(header, "SQLite format 3", 16) != 0) {
		err_text_set(et, "%s is not a database or is damaged; it was left as it is: restore a backup or name another "
		                 "data_dir", path);
		return -ERR_CORRUPT;
	}
	found->version = read_u32(header + 60);
	if (read_u32(header + 68) != APPLICATION_ID) {
		err_text_set(et, "%s is a database of another program; it was left as it is: name another data_dir", path);
		return -ERR_CORRUPT;
	}
	if (found->version > newest) {
		err_text_set(et, "%s was written by a newer version (schema %u, this one knows up to %zu); it was left as it "
		                 "is: run that version or restore an older backup", path, found->version, newest);
		return -ERR_NEWER;
	}
	return 0;
}

static char *make_uri(const char *path, const char *query)
{
	struct buf out = { 0 };

	buf_add_str(&out, "file:");
	for (const char *p = path; *p != '\0'; p++) {
		if (strchr("?#%", *p) != NULL)
			buf_printf(&out, "%%%02x", (unsigned char)*p);
		else
			buf_add(&out, p, 1);
	}
	buf_add_str(&out, query);
	return buf_take(&out);
}

static bool passes_check(sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	bool ok = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL) == SQLITE_OK &&
	          sqlite3_step(stmt) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") == 0;

	sqlite3_finalize(stmt);
	return ok;
}

/* Reads without writing: a file from a clean stop needs no recovery and is opened as immutable. */
static int check_content(const char *path, const struct found *found, struct err_text *et)
{
	char *uri = make_uri(path, found->had_wal ? "?mode=ro" : "?immutable=1");
	sqlite3 *db = NULL;
	int rc = 0;

	if (found->size > CHECK_SIZE_MAX && !found->had_wal) {
		free(uri);
		return 0;
	}
	if (sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) != SQLITE_OK || !passes_check(db)) {
		err_text_set(et, "the store %s is damaged; it was left as it is: restore a backup, or save what is left with "
		                 "sqlite3's .recover", path);
		rc = -ERR_CORRUPT;
	}
	sqlite3_close(db);
	free(uri);
	return rc;
}

static int fail(sqlite3 *db, const char *path, const char *what, struct err_text *et)
{
	int code = sqlite3_errcode(db);

	err_text_set(et, "%s %s: %s", what, path, sqlite3_errmsg(db));
	return code == SQLITE_FULL ? -ERR_NO_SPACE : -ERR_IO;
}

static int copy_before(sqlite3 *db, const char *path, unsigned version, struct err_text *et)
{
	char *copy = mem_printf("%s.before-v%u", path, version);
	char *sql = sqlite3_mprintf("VACUUM INTO %Q", copy);
	int rc = 0;

	unlink(copy); /* of a migration that did not come to its end */
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		rc = fail(db, copy, "cannot save a copy before the migration to", et);
	sqlite3_free(sql);
	free(copy);
	return rc;
}

static int migrate(sqlite3 *db, const char *path, uint32_t from, const char *const *migrations, size_t count,
                   struct err_text *et)
{
	char pragma[96];

	for (size_t i = from; i < count; i++) {
		snprintf(pragma, sizeof(pragma), "PRAGMA application_id=%d; PRAGMA user_version=%zu;", APPLICATION_ID, i + 1);
		if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite3_exec(db, migrations[i], NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite3_exec(db, pragma, NULL, NULL, NULL) != SQLITE_OK ||
		    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
			int rc = fail(db, path, "cannot migrate the store", et);

			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			return rc;
		}
	}
	/* The header in the file itself tells the version to the next start. */
	sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	return 0;
}

static int make_file(const char *path, struct err_text *et)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0) {
		err_text_set(et, "cannot create the store %s: %s", path, strerror(errno));
		return -ERR_IO;
	}
	close(fd);
	return 0;
}

static int open_and_migrate(const char *path, const struct found *found, const char *const *migrations, size_t count,
                            struct err_text *et)
{
	sqlite3 *db = NULL;
	int rc = 0;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", NULL, NULL, NULL) != SQLITE_OK)
		rc = fail(db, path, "cannot open the store", et);
	if (rc == 0 && found->version < count) {
		if (found->version != 0)
			rc = copy_before(db, path, (unsigned)count, et);
		if (rc == 0)
			rc = migrate(db, path, found->version, migrations, count, et);
	}
	sqlite3_close(db);
	return rc;
}

int sqlite_schema_prepare(const char *path, const char *const *migrations, size_t count, int *lock,
                          struct err_text *et)
{
	struct found found;
	int rc = take_lock(path, lock, et);

	if (rc != 0)
		return rc;
	rc = inspect(path, count, &found, et);
	if (rc == 0)
		rc = found.is_new ? make_file(path, et) : check_content(path, &found, et);
	if (rc == 0)
		rc = open_and_migrate(path, &found, migrations, count, et);
	if (rc != 0)
		close(*lock);
	return rc;
}
