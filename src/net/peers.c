/* SPDX-License-Identifier: MIT */
/* What is remembered about addresses. */
#include "net/peers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

/* Addresses with failures and no connection are forgotten once there are this many. */
#define REMEMBERED_MAX 4096

struct peer {
	unsigned waiting, failures;
	uint64_t first_failure;
	char address[];
};

struct peers {
	pthread_mutex_t lock;
	struct map table;
};

struct peers *peers_new(void)
{
	struct peers *p = mem_new(sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	return p;
}

void peers_free(struct peers *p)
{
	size_t pos = 0;

	if (p == NULL)
		return;
	for (struct peer *e; (e = map_next(&p->table, &pos)) != NULL;)
		free(e);
	map_deinit(&p->table);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void forget(struct peers *p, struct peer *e)
{
	map_remove(&p->table, e->address, strlen(e->address));
	free(e);
}

static struct peer *find_or_add(struct peers *p, const char *address)
{
	size_t len = strlen(address);
	struct peer *e = map_find(&p->table, address, len);

	if (e != NULL)
		return e;
	e = mem_new(sizeof(*e) + len + 1);
	memcpy(e->address, address, len + 1);
	map_put(&p->table, e->address, len, e);
	return e;
}

bool peers_admit(struct peers *p, const char *address, unsigned limit)
{
	struct peer *e;
	bool ok;

	pthread_mutex_lock(&p->lock);
	e = find_or_add(p, address);
	ok = e->waiting < limit;
	if (ok)
		e->waiting++;
	pthread_mutex_unlock(&p->lock);
	return ok;
}

void peers_release(struct peers *p, const char *address)
{
	struct peer *e;

	pthread_mutex_lock(&p->lock);
	e = map_find(&p->table, address, strlen(address));
	if (e != NULL && e->waiting != 0 && --e->waiting == 0 && e->failures == 0)
		forget(p, e);
	pthread_mutex_unlock(&p->lock);
}

/* Someone who fails from many addresses must not fill memory: old ones go first. */
static void make_room(struct peers *p, uint64_t now_ms, uint64_t window_ms)
{
	struct peer *old[64];
	size_t pos = 0, count = 0;

	if (p->table.count < REMEMBERED_MAX)
		return;
	for (struct peer *e; count < 64 && (e = map_next(&p->table, &pos)) != NULL;)
		if (e->waiting == 0 && (now_ms - e->first_failure > window_ms || p->table.count > 2 * REMEMBERED_MAX))
			old[count++] = e;
	while (count != 0)
		forget(p, old[--count]);
}

unsigned peers_add_failure(struct peers *p, const char *address, uint64_t now_ms, uint64_t window_ms)
{
	unsigned failures;
	struct peer *e;

	pthread_mutex_lock(&p->lock);
	make_room(p, now_ms, window_ms);
	e = find_or_add(p, address);
	if (e->failures == 0 || now_ms - e->first_failure > window_ms) {
		e->failures = 0;
		e->first_failure = now_ms;
	}
	failures = ++e->failures;
	pthread_mutex_unlock(&p->lock);
	return failures;
}
