/* SPDX-License-Identifier: MIT */
/* What the files of the SQLite driver share: errors, copies, folders. */
#ifndef STORE_SQLITE_FILE_H
#define STORE_SQLITE_FILE_H

#include <sqlite3.h>

#include "base/err.h"

/* Minus the enum err for what the connection's last call returned; 0 for success. */
int sqlite_error_of(sqlite3 *db, int code);

/* Puts a consistent copy of the database in a new file, mode 0600. It is complete and on disk when it has its
 * name; PATH.part is used meanwhile. replace: it may take the place of a file. -ERR_EXISTS otherwise. */
int sqlite_copy_to(sqlite3 *db, const char *path, int replace);

/* Makes the names in the folder of path durable. */
int sqlite_sync_folder(const char *path);
/* The folder that path lies in; caller frees. */
char *sqlite_folder_of(const char *path);
/* Makes path an empty file that only its owner may use. */
int sqlite_make_empty(const char *path);

#endif
