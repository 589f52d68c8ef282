/* SPDX-License-Identifier: MIT */
/* A growing run of bytes. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"

#define BUF_LEAST 256

/* Small ones come and go with every stanza; larger ones are the heap's. */
static void grow(struct buf *b, size_t cap)
{
	char *data;

	if (cap > POOL_MOST) {
		b->data = mem_resize(b->data, cap);
	} else {
		data = pool_take(cap);
		if (b->data != NULL)
			memcpy(data, b->data, b->len);
		pool_give(b->data, b->cap);
		b->data = data;
	}
	b->cap = cap;
}

char *buf_reserve(struct buf *b, size_t n)
{
	size_t used = b->len - b->head, cap;

	if (b->cap - b->len >= n && b->data != NULL)
		return b->data + b->len;
	if (b->head != 0) {
		memmove(b->data, b->data + b->head, used);
		b->head = 0;
		b->len = used;
	}
	if (b->data == NULL || b->cap - used < n) {
		cap = b->cap != 0 ? b->cap : BUF_LEAST;
		while (cap - used < n)
			cap *= 2;
		grow(b, cap);
	}
	return b->data + b->len;
}

void buf_commit(struct buf *b, size_t n)
{
	b->len += n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n > 0) {
		vsnprintf(buf_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void buf_consume(struct buf *b, size_t n)
{
	b->head += n;
	if (b->head == b->len)
		b->head = b->len = 0;
}

void buf_clear(struct buf *b)
{
	b->head = b->len = 0;
}

void buf_deinit(struct buf *b)
{
	pool_give(b->data, b->cap);
	*b = (struct buf){ 0 };
}

char *buf_take(struct buf *b)
{
	char *text = mem_dup(buf_bytes(b), buf_size(b));

	buf_deinit(b);
	return text;
}
