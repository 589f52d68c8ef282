/* SPDX-License-Identifier: MIT */
/* One line per event, prefixed with the chain of objects it belongs to. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistr.h>

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

/* Those of C1 move the cursor of some terminals as ESC does, the last two end a line as \n does. */
static bool is_harmless(ucs4_t c)
{
	return c >= 0x20 && (c < 0x7f || c >= 0xa0) && c != 0x2028 && c != 0x2029;
}

/* Peers choose names and texts that end up in lines; a line must stay one line, and text: journalctl does not show what
 * is not UTF-8. */
static void add_escaped(struct buf *out, const char *s, size_t len)
{
	ucs4_t c;

	for (int n; len != 0; len -= (size_t)n) {
		n = u8_mbtoucr(&c, (const uint8_t *)s, len);
		if (n > 0 && is_harmless(c)) {
			buf_add(out, s, (size_t)n);
			s += n;
			continue;
		}
		n = n > 0 ? n : 1;
		for (int i = 0; i < n; i++)
			buf_printf(out, "\\x%02x", (unsigned char)*s++);
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
