/* SPDX-License-Identifier: MIT */
/* Memory that is given back all at once. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "base/pool.h"

#define BLOCK_SIZE 2032
#define ALIGN alignof(max_align_t)

struct arena_block {
	struct arena_block *next;
	size_t size;            /* of all of it */
	alignas(max_align_t) char bytes[];
};

static void add_block(struct arena *a, size_t n)
{
	size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;
	struct arena_block *b = pool_take(sizeof(*b) + size);

	a->room += sizeof(*b) + size;
	b->size = sizeof(*b) + size;
	b->next = a->blocks;
	a->blocks = b;
	a->at = b->bytes;
	a->end = b->bytes + size;
}

char *arena_text(struct arena *a, size_t n)
{
	char *p;

	if ((size_t)(a->end - a->at) < n)
		add_block(a, n);
	p = a->at;
	a->at += n;
	a->total += n;
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	char *p;
	size_t skew = a->at != NULL ? (size_t)(-(uintptr_t)a->at & (ALIGN - 1)) : 0;

	if (a->at == NULL || (size_t)(a->end - a->at) < n + skew) {
		add_block(a, n);
		skew = 0;
	}
	p = a->at + skew;
	a->at = p + n;
	a->total += n;
	return p;
}

char *arena_dup(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_text(a, len + 1);

	if (len != 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_dup(a, s, strlen(s));
}

void arena_adopt(struct arena *a, void *memory, size_t size)
{
	a->room += size;
	a->at = memory;
	a->end = a->at + size;
}

void arena_deinit(struct arena *a)
{
	struct arena_block *next;

	for (struct arena_block *b = a->blocks; b != NULL; b = next) {
		next = b->next;
		pool_give(b, b->size);
	}
	*a = (struct arena){ 0 };
}
