/* SPDX-License-Identifier: MIT */
/* Hash table from byte strings to pointers, keyed with a secret so that peers cannot make collisions. */
#include "base/map.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/mem.h"

#define CAP_LEAST 8

/* Written once at start, before threads exist; the only state outside comityd, because it is a
 * constant of the process. */
static uint64_t seed;

void map_seed(uint64_t secret)
{
	seed = secret;
}

uint64_t map_hash(const char *key, size_t len)
{
	return XXH3_64bits_withSeed(key, len, seed);
}

/* The slot of the key, or the free slot where it would go; the table must have a free slot. */
static size_t find_slot(const struct map *m, const char *key, size_t len, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	while (m->slots[i].value != NULL &&
	       (m->slots[i].hash != hash || m->slots[i].len != len ||
	        memcmp(m->slots[i].key, key, len) != 0))
		i = (i + 1) & (m->cap - 1);
	return i;
}

static void resize(struct map *m, size_t cap)
{
	struct map bigger = { .slots = mem_array(cap, sizeof(struct map_slot)), .cap = cap };

	for (size_t i = 0; i < m->cap; i++) {
		struct map_slot *s = &m->slots[i];

		if (s->value != NULL)
			bigger.slots[find_slot(&bigger, s->key, s->len, s->hash)] = *s;
	}
	free(m->slots);
	m->slots = bigger.slots;
	m->cap = cap;
}

void *map_find_hashed(const struct map *m, const char *key, size_t len, uint64_t hash)
{
	if (m->count == 0)
		return NULL;
	return m->slots[find_slot(m, key, len, hash)].value;
}

void *map_find(const struct map *m, const char *key, size_t len)
{
	return map_find_hashed(m, key, len, map_hash(key, len));
}

void *map_put(struct map *m, const char *key, size_t len, void *value)
{
	uint64_t hash = map_hash(key, len);
	struct map_slot *s;
	void *old;

	if ((m->count + 1) * 4 > m->cap * 3)
		resize(m, m->cap != 0 ? m->cap * 2 : CAP_LEAST);
	s = &m->slots[find_slot(m, key, len, hash)];
	old = s->value;
	if (old == NULL)
		m->count++;
	*s = (struct map_slot){ .key = key, .len = len, .hash = hash, .value = value };
	return old;
}

void *map_remove(struct map *m, const char *key, size_t len)
{
	size_t i, j, home;
	void *old;

	if (m->count == 0)
		return NULL;
	i = find_slot(m, key, len, map_hash(key, len));
	old = m->slots[i].value;
	if (old == NULL)
		return NULL;
	/* Close the gap, so that no probe sequence is cut (linear probing without tombstones). */
	for (j = (i + 1) & (m->cap - 1); m->slots[j].value != NULL; j = (j + 1) & (m->cap - 1)) {
		home = m->slots[j].hash & (m->cap - 1);
		if (((j - home) & (m->cap - 1)) >= ((j - i) & (m->cap - 1))) {
			m->slots[i] = m->slots[j];
			i = j;
		}
	}
	m->slots[i] = (struct map_slot){ 0 };
	m->count--;
	if (m->count == 0) {
		map_deinit(m);
	} else if (m->cap > CAP_LEAST && m->count * 8 < m->cap) {
		resize(m, m->cap / 2);
	}
	return old;
}

void *map_next(const struct map *m, size_t *pos)
{
	while (*pos < m->cap) {
		void *value = m->slots[(*pos)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}

void map_deinit(struct map *m)
{
	free(m->slots);
	*m = (struct map){ 0 };
}
