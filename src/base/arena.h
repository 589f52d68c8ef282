/* SPDX-License-Identifier: MIT */
/* Memory that is given back all at once. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_block;

/* Zeroed it is empty. */
struct arena {
	struct arena_block *blocks; /* the newest first */
	char *at, *end;
	size_t total;               /* bytes handed out */
	size_t room;                /* bytes taken for them, what was adopted among them */
};

/* n bytes, not zeroed, aligned for any type. */
void *arena_alloc(struct arena *a, size_t n);
/* n bytes without alignment, for text. */
char *arena_text(struct arena *a, size_t n);
/* A copy with a final NUL. */
char *arena_dup(struct arena *a, const char *s, size_t len);
char *arena_strdup(struct arena *a, const char *s);
/* Adopts memory that a caller embeds the arena in as its first block; never freed by arena_deinit. */
void arena_adopt(struct arena *a, void *memory, size_t size);
void arena_deinit(struct arena *a);

#endif
