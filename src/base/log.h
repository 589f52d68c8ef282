/* SPDX-License-Identifier: MIT */
/* One line per event, prefixed with the chain of objects it belongs to. Never a secret, never a body. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

struct buf;

/* error: someone must act; warning: someone should look; info: milestones of a session. */
enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* Where lines go. The sink is called from any thread; line is UTF-8 without control characters. */
struct log {
	_Atomic int level;
	void (*write)(struct log *log, enum log_level level, const char *line);
};

/* A link in the chain of names, embedded in the object that logs. describe adds "key=value"
 * words for this object; it may be NULL. parent may be NULL, then log must be set. */
struct log_ctx {
	const struct log_ctx *parent;
	struct log *log;
	void (*describe)(const struct log_ctx *ctx, struct buf *out);
};

void log_ctx_init(struct log_ctx *ctx, const struct log_ctx *parent,
                  void (*describe)(const struct log_ctx *ctx, struct buf *out));
bool log_wants(const struct log_ctx *ctx, enum log_level level);
/* Control characters in the text, and bytes that are no UTF-8, are written as \xNN. */
void log_write(const struct log_ctx *ctx, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

const char *log_level_name(enum log_level level);
/* Returns 0 or -ERR_NOT_FOUND. */
int log_level_parse(const char *name, enum log_level *level);

#define log_error(ctx, ...) log_write(ctx, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(ctx, ...) log_write(ctx, LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(ctx, ...) log_write(ctx, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(ctx, ...) \
	((void)(log_wants(ctx, LOG_LEVEL_DEBUG) && (log_write(ctx, LOG_LEVEL_DEBUG, __VA_ARGS__), true)))

#endif
