/* SPDX-License-Identifier: MIT */
/* The answers of commands. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "comityd/commands.h"

static char *format(const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	text_clean(text);
	return text;
}

json_t *command_fail(const char *fmt, ...)
{
	json_t *answer;
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = format(fmt, ap);
	va_end(ap);
	answer = json_pack("{s:b, s:s, s:i}", "ok", 0, "error", text, "code", 1);
	free(text);
	return answer;
}

json_t *command_say(const char *fmt, ...)
{
	json_t *answer;
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = format(fmt, ap);
	va_end(ap);
	answer = json_pack("{s:b, s:s}", "ok", 1, "text", text);
	free(text);
	return answer;
}

json_t *command_table(struct command *c, const char *columns)
{
	json_t *names = json_array();
	char *copy = mem_strdup(columns), *save = NULL;

	for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
		json_array_append_new(names, json_string(word));
	free(copy);
	return json_pack("{s:b, s:o, s:O}", "ok", 1, "columns", names, "rows", c->rows);
}
