/* SPDX-License-Identifier: MIT */
/* Allocation that ends the process when memory is out; sizes a peer controls are bounded before. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* Zeroed memory; free with free(). */
void *mem_new(size_t size) __attribute__((malloc, returns_nonnull));

/* Zeroed array of n elements of size bytes; aborts on overflow. */
void *mem_array(size_t n, size_t size) __attribute__((malloc, returns_nonnull));

/* Like realloc, never NULL; new bytes are not zeroed. */
void *mem_resize(void *p, size_t size) __attribute__((returns_nonnull));

/* Copies; the result ends with a NUL that len does not count. */
char *mem_dup(const void *p, size_t len) __attribute__((malloc, returns_nonnull));
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));

/* printf into new memory. */
char *mem_printf(const char *fmt, ...) __attribute__((malloc, returns_nonnull, format(printf, 1, 2)));

/* Overwrites a secret before its memory is given back. */
void mem_wipe(void *p, size_t len);

#endif
