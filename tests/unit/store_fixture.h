/* SPDX-License-Identifier: MIT */
/* A store in a folder of its own, and its calls as if they were synchronous. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/env.h"
#include "base/log.h"
#include "net/worker.h"
#include "store/driver.h"
#include "store/store.h"

#define ENTRIES_MAX 512

struct store_fixture {
	char folder[64], path[96];
	struct comity_env env;
	struct log log;
	_Atomic int warnings;          /* lines logged as warning or error */
	struct worker worker;
	struct worker *peers[1];
	struct store_conf conf;
	struct store *store;
};

/* What a callback was given. */
struct answer {
	int calls, status;
	uint64_t number, total;
	size_t count;
	char text[8192];               /* rows as "map:key=value;", entries as "with=value;" */
	uint64_t ids[ENTRIES_MAX];
};

/* Makes the folder and opens the store in it. */
void fixture_init(struct store_fixture *f, const struct store_driver *driver, bool is_inline);
/* The folder only. */
void fixture_init_closed(struct store_fixture *f, bool is_inline);
void fixture_reopen(struct store_fixture *f, const struct store_driver *driver);
/* Closes the store and removes the folder with all that is in it. */
void fixture_deinit(struct store_fixture *f);

/* Turns the worker until n answers came. */
void fixture_await(struct store_fixture *f, const struct answer *a, int n);

void answer_on_read(void *arg, const struct store_result *result);
void answer_on_write(void *arg, int status);
void answer_on_append(void *arg, int status, uint64_t id);
void answer_on_entries(void *arg, const struct store_entries *entries);
void answer_on_count(void *arg, int status, uint64_t count);

/* Calls that wait; they return the status. value NULL removes. */
int fixture_put(struct store_fixture *f, const char *owner, const char *map, const char *key, const char *value);
int fixture_create(struct store_fixture *f, const char *owner, const char *map, const char *key, const char *value);
int fixture_append(struct store_fixture *f, const char *owner, const char *archive, int64_t when_us, const char *with,
                   const char *value, uint64_t max_entries, uint64_t *id);
uint64_t fixture_count(struct store_fixture *f, const char *owner, const char *archive);
int fixture_remove_owner(struct store_fixture *f, const char *owner);
int fixture_backup(struct store_fixture *f, const char *path);
/* The text of what is found; overwritten by the next call. */
const char *fixture_get(struct store_fixture *f, const char *owner, const char *map, const char *key);
const char *fixture_load(struct store_fixture *f, const char *owner, const char *map, const char *other_map);
const char *fixture_owners(struct store_fixture *f, const char *map, const char *suffix, const char *after,
                           size_t limit);
const struct answer *fixture_query(struct store_fixture *f, const char *owner, const char *archive,
                                   const struct store_query *query);

#endif
