/* SPDX-License-Identifier: MIT */
/* Hash table from byte strings to pointers, keyed with a secret so that peers cannot make collisions. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
	const char *key;   /* borrowed: usually lies inside the value */
	size_t len;
	uint64_t hash;
	void *value;       /* NULL in a free slot */
};

/* Zeroed it is empty. */
struct map {
	struct map_slot *slots;
	size_t count, cap; /* cap is 0 or a power of two */
};

/* Sets the process-wide secret; called once before any table is used. */
void map_seed(uint64_t secret);
/* The hash that tables use; also the base of home_of(). */
uint64_t map_hash(const char *key, size_t len);

void *map_find(const struct map *m, const char *key, size_t len);
void *map_find_hashed(const struct map *m, const char *key, size_t len, uint64_t hash);
/* The key is borrowed and must live as long as the entry. Returns the value replaced, or NULL. */
void *map_put(struct map *m, const char *key, size_t len, void *value);
/* Returns the value taken out, or NULL. */
void *map_remove(struct map *m, const char *key, size_t len);
/* Steps through values: start with *pos = 0; NULL at the end. Removing during a walk is not allowed. */
void *map_next(const struct map *m, size_t *pos);
/* Forgets the entries and frees the table, not the values. */
void map_deinit(struct map *m);

#endif
