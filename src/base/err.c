/* SPDX-License-Identifier: MIT */
/* The one table of error codes, and the text that goes with a cause. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[ERR_COUNT] = {
	[ERR_OK] = "success",
	[ERR_INVALID] = "invalid",
	[ERR_TOO_LONG] = "too long",
	[ERR_NOT_FOUND] = "not found",
	[ERR_EXISTS] = "exists already",
	[ERR_IO] = "input/output error",
	[ERR_NO_SPACE] = "no space left",
	[ERR_CORRUPT] = "damaged",
	[ERR_NEWER] = "written by a newer version",
	[ERR_CLOSED] = "closed",
	[ERR_DENIED] = "denied",
	[ERR_TIMEOUT] = "timed out",
	[ERR_LIMIT] = "limit reached",
	[ERR_UNSUPPORTED] = "not supported",
};

const char *err_name(int code)
{
	int i = abs(code);

	return i < ERR_COUNT ? names[i] : "unknown error";
}

void err_text_set(struct err_text *t, const char *fmt, ...)
{
	va_list ap;

	if (t == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(t->text, sizeof(t->text), fmt, ap);
	va_end(ap);
}

void err_text_prefix(struct err_text *t, const char *fmt, ...)
{
	struct err_text old;
	size_t used, room;
	va_list ap;

	if (t == NULL)
		return;
	old = *t;
	va_start(ap, fmt);
	vsnprintf(t->text, sizeof(t->text), fmt, ap);
	va_end(ap);
	used = strlen(t->text);
	room = sizeof(t->text) - used - 1;
	strncat(t->text, ": ", room);
	room = room > 2 ? room - 2 : 0;
	strncat(t->text, old.text, room);
}
