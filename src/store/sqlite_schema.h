/* SPDX-License-Identifier: MIT */
/* Making, checking and migrating the SQLite database. */
#ifndef STORE_SQLITE_SCHEMA_H
#define STORE_SQLITE_SCHEMA_H

#include <stddef.h>

#include "base/err.h"

/* The steps of migration: SQL that leads from version i to version i + 1; forward only, and once
 * released never changed. The version is PRAGMA user_version. */
extern const char *const sqlite_migrations[];
extern const size_t sqlite_migration_count;

/* Takes the lock of the store (on PATH.lock, so that sqlite3 can still read the database) and sees to it
 * that there is one of the newest version:
 * - none or an empty file: made aside and renamed, so that it is there whole or not at all;
 * - damaged, another program's (PRAGMA application_id) or newer: refused, and left untouched;
 * - older: migrated, each step a transaction, after a copy to PATH.before-v<N>.
 * Damage is looked for as far as a start should wait for it: header and size always; every page
 * (PRAGMA quick_check) up to 64 MiB after a clean stop and up to 1 GiB after a crash.
 * Returns 0, -ERR_CORRUPT, -ERR_NEWER, -ERR_DENIED (in use), -ERR_NO_SPACE or -ERR_IO. */
int sqlite_schema_prepare(const char *path, const char *const *migrations, size_t count, int *lock,
                          struct err_text *et);
void sqlite_schema_unlock(int lock);

#endif
