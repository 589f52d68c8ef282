/* SPDX-License-Identifier: MIT */
/* One line per event, prefixed with the chain of objects it belongs to. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

static const char *const level_names[] = { "debug", "info", "warning", "error" };

static struct log *log_of(const struct log_ctx *ctx)
{
	while (ctx->log == NULL && ctx->parent != NULL)
		ctx = ctx->parent;
	return ctx->log;
}

static void describe_chain(const struct log_ctx *ctx, struct buf *out)
{
	size_t before;

	if (ctx->parent != NULL)
		describe_chain(ctx->parent, out);
	if (ctx->describe == NULL)
		return;
	before = buf_size(out);
	if (before != 0)
		buf_add(out, " ", 1);
	ctx->describe(ctx, out);
}

/* Peers choose names and texts that end up in lines; a line must stay one line. */
static void add_escaped(struct buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c < 0x20 || c == 0x7f)
			buf_printf(out, "\\x%02x", c);
		else
			buf_add(out, &s[i], 1);
	}
}

void log_ctx_init(struct log_ctx *ctx, const struct log_ctx *parent,
                  void (*describe)(const struct log_ctx *ctx, struct buf *out))
{
	*ctx = (struct log_ctx){ .parent = parent, .describe = describe };
}

bool log_wants(const struct log_ctx *ctx, enum log_level level)
{
	struct log *log = log_of(ctx);

	return log != NULL && (int)level >= atomic_load_explicit(&log->level, memory_order_relaxed);
}

void log_write(const struct log_ctx *ctx, enum log_level level, const char *fmt, ...)
{
	struct buf raw = { 0 }, line = { 0 };
	struct log *log = log_of(ctx);
	char text[2048];
	va_list ap;

	if (!log_wants(ctx, level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	describe_chain(ctx, &raw);
	if (buf_size(&raw) != 0)
		buf_add(&raw, ": ", 2);
	buf_add_str(&raw, text);
	add_escaped(&line, buf_bytes(&raw), buf_size(&raw));
	buf_add(&line, "", 1);
	log->write(log, level, buf_bytes(&line));
	buf_deinit(&raw);
	buf_deinit(&line);
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

int log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -ERR_NOT_FOUND;
}
