/* SPDX-License-Identifier: MIT */
/* Blanks an unknown option out of the text, so that the parser can go on and find the next mistake. */
#include <string.h>

#include "conf/conf_internal.h"

/* The text as source.c writes it: tokens with blanks between, texts in double quotes. */
static char *skip_blanks(char *at)
{
	return at + strspn(at, " \n");
}

static char *token_end(char *at)
{
	if (*at != '"')
		return *at != '\0' ? at + strcspn(at, " \n") : at;
	for (at++; *at != '\0' && *at != '"'; at++)
		if (*at == '\\' && at[1] != '\0')
			at++;
	return *at != '\0' ? at + 1 : at;
}

/* Lines must keep their numbers. */
static char *blank(char *from, const char *end)
{
	for (; from < end; from++)
		if (*from != '\n')
			*from = ' ';
	return from;
}

/* From "{" to its "}"; nothing when another token stands there. */
static char *blank_braces(char *at)
{
	unsigned open = 0;

	do {
		char *next = skip_blanks(at);

		if (*next == '{')
			open++;
		else if (*next == '}' && open > 0)
			open--;
		else if (*next == '\0' || open == 0)
			break;
		at = blank(next, token_end(next));
	} while (open > 0);
	return at;
}

static char *find_token(char *line, const char *name)
{
	size_t len = strlen(name);
	char *next;

	for (char *at = line + strspn(line, " "); *at != '\0' && *at != '\n'; at = next + strspn(next, " ")) {
		next = token_end(at);
		if ((size_t)(next - at) == len && memcmp(at, name, len) == 0)
			return at;
	}
	return NULL;
}

bool conf_source_blank(struct conf_source *s, int line, const char *name)
{
	char *at = s->text.data + s->text.head, *next;

	for (int i = 1; i < line && at != NULL; i++)
		at = (at = strchr(at, '\n')) != NULL ? at + 1 : NULL;
	at = at != NULL ? find_token(at, name) : NULL;
	if (at == NULL)
		return false;
	at = blank(at, token_end(at));
	next = skip_blanks(at);
	if (*next == '=') {
		at = blank(next, next + 1);
		next = skip_blanks(at);
		if (*next == '"')
			blank(next, token_end(next));
		else
			blank_braces(at);
		return true;
	}
	while (*next == '"') {
		at = blank(next, token_end(next));
		next = skip_blanks(at);
	}
	blank_braces(at);
	return true;
}
