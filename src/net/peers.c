/* SPDX-License-Identifier: MIT */
/* What is remembered about addresses. */
#include "net/peers.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

/* Addresses with failures and no connection are forgotten once there are this many. */
#define REMEMBERED_MAX 4096
/* Bytes of an IPv6 address that name a network (RFC 6177). */
#define NETWORK_SIZE 8
/* So many that are remembered are forgotten at a time. */
#define SWEPT 64

_Static_assert(PEERS_NETWORK_MAX >= INET6_ADDRSTRLEN, "room for an address");

struct peer {
	unsigned waiting, streams, failures;
	uint64_t first_failure;
	char address[];
};

struct peers {
	pthread_mutex_t lock;
	struct map table;
	unsigned waiting;          /* of all addresses */
	size_t sweep_at;           /* so many addresses, before it is looked for those that need not be remembered */
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

const char *peers_network(const char *address, char room[PEERS_NETWORK_MAX])
{
	unsigned char bytes[16];

	if (inet_pton(AF_INET6, address, bytes) != 1)
		return address;
	memset(bytes + NETWORK_SIZE, 0, sizeof(bytes) - NETWORK_SIZE);
	return inet_ntop(AF_INET6, bytes, room, PEERS_NETWORK_MAX);
}

static struct peer *find(struct peers *p, const char *address)
{
	char room[PEERS_NETWORK_MAX];
	const char *name = peers_network(address, room);

	return map_find(&p->table, name, strlen(name));
}

static struct peer *find_or_add(struct peers *p, const char *address)
{
	char room[PEERS_NETWORK_MAX];
	const char *name = peers_network(address, room);
	size_t len = strlen(name);
	struct peer *e = map_find(&p->table, name, len);

	if (e != NULL)
		return e;
	e = mem_new(sizeof(*e) + len + 1);
	memcpy(e->address, name, len + 1);
	map_put(&p->table, e->address, len, e);
	return e;
}

static void forget_unused(struct peers *p, struct peer *e)
{
	if (e->waiting == 0 && e->streams == 0 && e->failures == 0)
		forget(p, e);
}

static enum peers_verdict judge(const struct peers *p, const struct peer *e, const struct peers_limits *limits)
{
	if (e->waiting >= limits->waiting)
		return PEERS_ADDRESS_WAITS;
	if (p->waiting >= limits->waiting_in_all)
		return PEERS_ALL_WAIT;
	if (limits->streams != 0 && e->streams >= limits->streams)
		return PEERS_ADDRESS_STREAMS;
	return PEERS_ADMITTED;
}

enum peers_verdict peers_admit(struct peers *p, const char *address, const struct peers_limits *limits)
{
	enum peers_verdict verdict;
	struct peer *e;

	pthread_mutex_lock(&p->lock);
	e = find_or_add(p, address);
	verdict = judge(p, e, limits);
	if (verdict == PEERS_ADMITTED) {
		p->waiting++;
		e->waiting++;
		e->streams += limits->streams != 0;
	} else {
		forget_unused(p, e);
	}
	pthread_mutex_unlock(&p->lock);
	return verdict;
}

const char *peers_verdict_text(enum peers_verdict verdict)
{
	static const char *const texts[] = {
		[PEERS_ADMITTED] = "welcome",
		[PEERS_ADDRESS_WAITS] = "too many connections of this address have not authenticated",
		[PEERS_ALL_WAIT] = "too many connections have not authenticated",
		[PEERS_ADDRESS_STREAMS] = "too many streams of this address",
	};

	return texts[verdict];
}

void peers_release(struct peers *p, const char *address)
{
	struct peer *e;

	pthread_mutex_lock(&p->lock);
	e = find(p, address);
	if (e != NULL && e->waiting != 0) {
		p->waiting--;
		e->waiting--;
		forget_unused(p, e);
	}
	pthread_mutex_unlock(&p->lock);
}

void peers_release_stream(struct peers *p, const char *address)
{
	struct peer *e;

	pthread_mutex_lock(&p->lock);
	e = find(p, address);
	if (e != NULL && e->streams != 0) {
		e->streams--;
		forget_unused(p, e);
	}
	pthread_mutex_unlock(&p->lock);
}

/* Someone who fails from many addresses must not fill memory: those go whose failures are too old to count, and when
 * there are twice as many, any. It is not looked for them again before there are more. */
static void make_room(struct peers *p, uint64_t now_ms, uint64_t window_ms)
{
	struct peer *old[SWEPT];
	size_t pos = 0, count = 0;

	/* There were more, with connections that have ended since. */
	if (p->sweep_at > p->table.count + SWEPT)
		p->sweep_at = p->table.count + SWEPT;
	if (p->table.count < REMEMBERED_MAX || p->table.count < p->sweep_at)
		return;
	for (struct peer *e; count < SWEPT && (e = map_next(&p->table, &pos)) != NULL;)
		if (e->waiting == 0 && e->streams == 0 && (now_ms - e->first_failure > window_ms || p->table.count > 2 * REMEMBERED_MAX))
			old[count++] = e;
	while (count != 0)
		forget(p, old[--count]);
	p->sweep_at = p->table.count + SWEPT;
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
