/* SPDX-License-Identifier: MIT */
/* Allocation that ends the process when memory is out; sizes a peer controls are bounded before. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check_memory(void *p)
{
	if (p == NULL) {
		fputs("comity: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *mem_new(size_t size)
{
	return check_memory(calloc(1, size != 0 ? size : 1));
}

void *mem_array(size_t n, size_t size)
{
	return check_memory(calloc(n != 0 ? n : 1, size != 0 ? size : 1));
}

void *mem_resize(void *p, size_t size)
{
	return check_memory(realloc(p, size != 0 ? size : 1));
}

char *mem_dup(const void *p, size_t len)
{
	char *copy = check_memory(malloc(len + 1));

	if (len != 0)
		memcpy(copy, p, len);
	copy[len] = '\0';
	return copy;
}

char *mem_strdup(const char *s)
{
	return mem_dup(s, strlen(s));
}

char *mem_printf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return check_memory(text);
}

void mem_wipe(void *p, size_t len)
{
	if (p != NULL)
		explicit_bzero(p, len);
}
