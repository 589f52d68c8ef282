/* SPDX-License-Identifier: MIT */
/* Making, checking and migrating the SQLite database. */
#ifndef STORE_SQLITE_SCHEMA_H
#define STORE_SQLITE_SCHEMA_H

#include <stddef.h>

#include "base/err.h"

/* The steps of migration: SQL that leads from version i to version i + 1; forward only. */
extern const char *const sqlite_migrations[];
extern const size_t sqlite_migration_count;

/* Takes the lock, makes the file if there is none, refuses what is damaged or newer and leaves it
 * untouched, migrates what is older after a copy to PATH.before-v<N>. */
int sqlite_schema_prepare(const char *path, const char *const *migrations, size_t count, int *lock,
                          struct err_text *et);

#endif
