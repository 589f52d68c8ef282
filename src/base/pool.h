/* SPDX-License-Identifier: MIT */
/* Memory for what comes and goes with every stanza: each thread keeps what was given back for the next. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

/* The largest size that is kept. */
#define POOL_MOST 2048

/* size bytes, not zeroed, aligned for any type; give back with pool_give and the same size, on any thread. */
void *pool_take(size_t size) __attribute__((malloc, returns_nonnull));
/* The same, zeroed. */
void *pool_take_zeroed(size_t size) __attribute__((malloc, returns_nonnull));
/* p may be NULL. */
void pool_give(void *p, size_t size);
/* Gives the system what this thread keeps. */
void pool_trim(void);

#endif
