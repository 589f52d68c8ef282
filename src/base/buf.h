/* SPDX-License-Identifier: MIT */
/* A growing run of bytes. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Zeroed it is empty and owns nothing. Bytes from head to len are content. */
struct buf {
	char *data;
	size_t head, len, cap;
};

static inline size_t buf_size(const struct buf *b)
{
	return b->len - b->head;
}

/* NULL when nothing was ever in it. */
static inline const char *buf_bytes(const struct buf *b)
{
	return b->data != NULL ? b->data + b->head : NULL;
}

/* Room for at least n more bytes; returns where they go. */
char *buf_reserve(struct buf *b, size_t n);
/* Counts n bytes written at the place that buf_reserve gave. */
void buf_commit(struct buf *b, size_t n);
static inline void buf_add(struct buf *b, const void *bytes, size_t n)
{
	if (n == 0)
		return;
	memcpy(b->cap - b->len >= n ? b->data + b->len : buf_reserve(b, n), bytes, n);
	b->len += n;
}
static inline void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drops n bytes from the front. */
void buf_consume(struct buf *b, size_t n);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);
/* Empties it and gives the memory back. */
void buf_deinit(struct buf *b);
/* Takes the content as a string with a final NUL; the buffer is empty afterwards. Caller frees. */
char *buf_take(struct buf *b);

#endif
