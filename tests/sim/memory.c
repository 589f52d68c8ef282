/* SPDX-License-Identifier: MIT */
/* Memory of SQLite and c-ares that is not to be had. */
#include "memory.h"

#include <ares.h>
#include <sqlite3.h>
#include <stdlib.h>

static struct faults *faults;
static sqlite3_mem_methods usual;

static void *sqlite_new(int size)
{
	return faults_strike(faults) ? NULL : usual.xMalloc(size);
}

static void *sqlite_resize(void *p, int size)
{
	return faults_strike(faults) ? NULL : usual.xRealloc(p, size);
}

static void *ares_new(size_t size)
{
	return faults_strike(faults) ? NULL : malloc(size);
}

static void *ares_resize(void *p, size_t size)
{
	return faults_strike(faults) ? NULL : realloc(p, size);
}

void memory_fail(struct faults *f)
{
	sqlite3_mem_methods methods;

	faults = f;
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &usual) != SQLITE_OK)
		abort();
	methods = usual;
	methods.xMalloc = sqlite_new;
	methods.xRealloc = sqlite_resize;
	/* Lookaside is memory of a connection's own, which would not fail. */
	if (sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK ||
	    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK ||
	    ares_library_init_mem(ARES_LIB_INIT_ALL, ares_new, free, ares_resize) != ARES_SUCCESS)
		abort();
}
