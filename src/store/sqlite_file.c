/* SPDX-License-Identifier: MIT */
/* What the files of the SQLite driver share: errors, copies, folders. */
#include "store/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static int error_of_errno(int number)
{
	switch (number) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return -ERR_NO_SPACE;
	case EEXIST:
		return -ERR_EXISTS;
	default:
		return -ERR_IO;
	}
}

/* What the system said when a write to the journal failed last; errno itself is gone by then. */
static int journal_errno(sqlite3 *db)
{
	sqlite3_file *file = NULL;
	int number = 0;

	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file) == SQLITE_OK && file != NULL &&
	    file->pMethods != NULL)
		file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
	return number;
}

int sqlite_error_of(sqlite3 *db, int code)
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
	case SQLITE_TOOBIG:
		return -ERR_TOO_LONG;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return -ERR_INVALID;
	case SQLITE_IOERR:
		/* SQLite calls a quota or a limit on file sizes an I/O error. */
		return error_of_errno(journal_errno(db)) == -ERR_NO_SPACE ? -ERR_NO_SPACE : -ERR_IO;
	default:
		return -ERR_IO;
	}
}

char *sqlite_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return mem_strdup(".");
	return mem_dup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -ERR_IO;
	rc = fsync(fd) == 0 ? 0 : error_of_errno(errno);
	close(fd);
	return rc;
}

int sqlite_sync_folder(const char *path)
{
	char *folder = sqlite_folder_of(path);
	int rc = sync_path(folder);

	free(folder);
	return rc;
}

static int make_file(const char *path, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

	if (fd < 0)
		return error_of_errno(errno);
	close(fd);
	return 0;
}

int sqlite_make_empty(const char *path)
{
	return make_file(path, O_TRUNC);
}

static int copy_into(sqlite3 *db, const char *part)
{
	char *sql = sqlite3_mprintf("VACUUM INTO %Q", part);
	int rc = sqlite_make_empty(part);

	if (rc == 0)
		rc = sql != NULL ? sqlite_error_of(db, sqlite3_exec(db, sql, NULL, NULL, NULL)) : -ERR_IO;
	sqlite3_free(sql);
	return rc != 0 ? rc : sync_path(part);
}

int sqlite_copy_to(sqlite3 *db, const char *path, int replace)
{
	/* An empty file of this name keeps others from taking it meanwhile. */
	int rc = replace ? 0 : make_file(path, O_EXCL);
	char *part;

	if (rc != 0)
		return rc;
	part = mem_printf("%s.part", path);
	rc = copy_into(db, part);
	if (rc == 0 && rename(part, path) != 0)
		rc = error_of_errno(errno);
	if (rc == 0)
		rc = sqlite_sync_folder(path);
	if (rc != 0) {
		unlink(part);
		if (!replace)
			unlink(path);
	}
	free(part);
	return rc;
}
