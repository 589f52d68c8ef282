/* SPDX-License-Identifier: MIT */
/* The pre-pass before libconfuse, which miscounts lines behind comments and knows no globs: takes
 * comments out, puts includes in place, quotes values, and remembers where each line came from. */
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf_internal.h"

#define DEPTH_MAX 8
#define FILE_MAX (4 * 1024 * 1024)
#define ERRORS_MAX 100
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

enum token { T_END, T_WORD, T_STRING, T_PUNCTUATION };

struct scanner {
	struct conf_source *s;
	const char *file, *at, *end;
	unsigned line;
	unsigned depth;                /* of includes */
	const struct scanner *parent;  /* of the including file */
	unsigned open, opened_at;      /* braces, and the line of the first */
	bool in_list;
	enum { AT_START, AFTER_WORD, AFTER_EQUALS } state;
};

void conf_add_error(struct conf_errors *errors, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < errors->count; i++)
		if (strcmp(errors->items[i], text) == 0)
			return;
	if (errors->count == ERRORS_MAX)
		return;
	errors->items = mem_resize(errors->items, (errors->count + 1) * sizeof(char *));
	errors->items[errors->count++] = mem_strdup(text);
}

void conf_errors_deinit(struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		free(errors->items[i]);
	free(errors->items);
	*errors = (struct conf_errors){ 0 };
}

/* ---- output ---- */

static void end_line(struct scanner *sc)
{
	struct conf_source *s = sc->s;

	if (s->line_count == s->line_room) {
		s->line_room = s->line_room != 0 ? s->line_room * 2 : 64;
		s->lines = mem_resize(s->lines, s->line_room * sizeof(*s->lines));
	}
	s->lines[s->line_count++] = (struct conf_line){ sc->file, sc->line };
	buf_add(&s->text, "\n", 1);
}

/* Double-quoted for libconfuse; "$" would be taken for a variable. */
static void put_quoted(struct scanner *sc, const char *text)
{
	struct buf *out = &sc->s->text;

	buf_add(out, " \"", 2);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\' || *text == '$')
			buf_add(out, "\\", 1);
		buf_add(out, text, 1);
	}
	buf_add(out, "\"", 1);
}

/* ---- input ---- */

static void complain(const struct scanner *sc, const char *what)
{
	conf_add_error(sc->s->errors, "%s:%u: %s", sc->file, sc->line, what);
}

static void skip_comment(struct scanner *sc)
{
	if (*sc->at == '#' || sc->at[1] == '/') {
		while (sc->at < sc->end && *sc->at != '\n')
			sc->at++;
		return;
	}
	for (sc->at += 2; sc->at < sc->end; sc->at++) {
		if (*sc->at == '*' && sc->at + 1 < sc->end && sc->at[1] == '/') {
			sc->at += 2;
			return;
		}
		if (*sc->at == '\n') {
			end_line(sc);
			sc->line++;
		}
	}
	complain(sc, "this comment has no end");
}

static bool is_comment(const struct scanner *sc)
{
	return *sc->at == '#' || (*sc->at == '/' && sc->at + 1 < sc->end && (sc->at[1] == '/' || sc->at[1] == '*'));
}

/* White space and comments; newlines are kept. */
static void skip_space(struct scanner *sc)
{
	while (sc->at < sc->end) {
		if (is_comment(sc)) {
			skip_comment(sc);
		} else if (*sc->at == '\n') {
			end_line(sc);
			sc->line++;
			sc->at++;
		} else if (*sc->at == ' ' || *sc->at == '\t' || *sc->at == '\r' || *sc->at == '\0') {
			sc->at++;
		} else {
			return;
		}
	}
}

static void read_string(struct scanner *sc, struct buf *out)
{
	char quote = *sc->at++;

	for (; sc->at < sc->end && *sc->at != quote && *sc->at != '\n' && *sc->at != '\0'; sc->at++) {
		if (*sc->at == '\\' && quote == '"' && sc->at + 1 < sc->end && sc->at[1] != '\n' && sc->at[1] != '\0')
			sc->at++;
		buf_add(out, sc->at, 1);
	}
	if (sc->at < sc->end && *sc->at == quote)
		sc->at++;
	else
		complain(sc, "this text has no closing quote");
}

static enum token next_token(struct scanner *sc, struct buf *out)
{
	enum token t = T_WORD;

	buf_clear(out);
	skip_space(sc);
	if (sc->at == sc->end)
		return T_END;
	if (*sc->at == '"' || *sc->at == '\'') {
		read_string(sc, out);
		t = T_STRING;
	} else if (strchr("={},", *sc->at) != NULL) {
		buf_add(out, sc->at++, 1);
		t = T_PUNCTUATION;
	} else {
		while (sc->at < sc->end && strchr(" \t\r\n={},\"'#", *sc->at) == NULL)
			buf_add(out, sc->at++, 1);
	}
	buf_add(out, "", 1);
	return t;
}

static void scan(struct conf_source *s, const char *file, const char *text, size_t len, const struct scanner *parent);

static const char *keep_file(struct conf_source *s, const char *path)
{
	s->files = mem_resize(s->files, (s->file_count + 1) * sizeof(char *));
	s->files[s->file_count] = mem_strdup(path);
	return s->files[s->file_count++];
}

/* place is "file:line: " of the include, or "". */
static int read_file(struct conf_source *s, const char *path, const char *place, const struct scanner *parent)
{
	FILE *f = fopen(path, "re");
	struct buf text = { 0 };
	size_t n;
	int rc = -ERR_IO;

	while (f != NULL && buf_size(&text) <= FILE_MAX && (n = fread(buf_reserve(&text, 16384), 1, 16384, f)) > 0)
		buf_commit(&text, n);
	if (f == NULL || ferror(f)) {
		conf_add_error(s->errors, "%scannot read %s: %s", place, path, strerror(errno));
	} else if (buf_size(&text) > FILE_MAX) {
		conf_add_error(s->errors, "%scannot read %s: it is larger than 4 MiB", place, path);
	} else {
		buf_reserve(&text, 1); /* so that the text of an empty file has an address */
		scan(s, keep_file(s, path), buf_bytes(&text), buf_size(&text), parent);
		rc = 0;
	}
	if (f != NULL)
		fclose(f);
	buf_deinit(&text);
	return rc;
}

static bool is_open(const struct scanner *sc, const char *path)
{
	char *real = realpath(path, NULL), *other;
	bool same = false;

	for (; real != NULL && sc != NULL && !same; sc = sc->parent) {
		other = realpath(sc->file, NULL);
		same = other != NULL && strcmp(real, other) == 0;
		free(other);
	}
	free(real);
	return same;
}

static void include_file(struct scanner *sc, const char *path)
{
	char place[512];

	snprintf(place, sizeof(place), "%s:%u: ", sc->file, sc->line);
	if (is_open(sc, path))
		conf_add_error(sc->s->errors, "%s%s includes itself", place, path);
	else
		read_file(sc->s, path, place, sc);
}

static void include(struct scanner *sc, const char *pattern)
{
	char *base = mem_strdup(sc->file), *full;
	glob_t found;
	int rc;

	end_line(sc); /* what stands before it in the line belongs to this file */
	full = *pattern == '/' ? mem_strdup(pattern) : mem_printf("%s/%s", dirname(base), pattern);
	if (sc->s->schema->no_files) {
		complain(sc, "include is not allowed here");
	} else if (sc->depth >= DEPTH_MAX) {
		complain(sc, "files include each other too deeply");
	} else if (strpbrk(full, "*?[") == NULL) {
		include_file(sc, full);
	} else {
		rc = glob(full, 0, NULL, &found);
		for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
			include_file(sc, found.gl_pathv[i]);
		if (rc == 0)
			globfree(&found);
	}
	free(full);
	free(base);
}

static void note_module(const struct scanner *sc, const char *name)
{
	struct conf_source *s = sc->s;

	for (size_t i = 0; i < s->module_count; i++)
		if (strcmp(s->modules[i], name) == 0)
			return;
	s->modules = mem_resize(s->modules, (s->module_count + 1) * sizeof(char *));
	s->module_lines = mem_resize(s->module_lines, (s->module_count + 1) * sizeof(*s->module_lines));
	s->module_lines[s->module_count] = (struct conf_line){ sc->file, sc->line };
	s->modules[s->module_count++] = mem_strdup(name);
}

static bool is_module_name(const char *name)
{
	return *name != '\0' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static void take_module(struct scanner *sc, struct buf *token)
{
	enum token t = next_token(sc, token);

	if ((t != T_WORD && t != T_STRING) || !is_module_name(buf_bytes(token))) {
		complain(sc, "expected the name of a module after \"module\"");
		buf_printf(&sc->s->text, " module ");
		return;
	}
	note_module(sc, buf_bytes(token));
	buf_printf(&sc->s->text, " " CONF_MODULE_PREFIX "%s", buf_bytes(token));
	sc->state = AFTER_WORD;
}

static void take_punctuation(struct scanner *sc, char c)
{
	if (c == '{' && sc->open++ == 0)
		sc->opened_at = sc->line;
	else if (c == '}' && sc->open == 0)
		complain(sc, "this \"}\" closes nothing");
	else if (c == '}')
		sc->open--;
	buf_printf(&sc->s->text, " %c", c);
	if (c == '{' && sc->state == AFTER_EQUALS) {
		sc->in_list = true;
		put_quoted(sc, CONF_LIST_START);
		buf_add_str(&sc->s->text, " ,");
	} else if (c == '}') {
		sc->in_list = false;
	}
	sc->state = c == '=' ? AFTER_EQUALS : AT_START;
}

static bool is_option_name(const char *name)
{
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == strlen(name);
}

static void take_text(struct scanner *sc, enum token t, struct buf *token)
{
	const char *text = buf_bytes(token);

	if (sc->state == AT_START && !sc->in_list && t == T_WORD) {
		if (strcmp(text, "include") == 0) {
			if (next_token(sc, token) == T_PUNCTUATION || buf_size(token) == 0)
				complain(sc, "expected a file after \"include\"");
			else
				include(sc, buf_bytes(token));
		} else if (strcmp(text, "module") == 0) {
			take_module(sc, token);
		} else {
			if (!is_option_name(text))
				conf_add_error(sc->s->errors, "%s:%u: \"%s\" is not the name of an option", sc->file, sc->line, text);
			buf_printf(&sc->s->text, " %s", text);
			sc->state = AFTER_WORD;
		}
		return;
	}
	if (sc->state == AT_START && !sc->in_list)
		conf_add_error(sc->s->errors, "%s:%u: expected the name of an option, got \"%s\"", sc->file, sc->line, text);
	/* A value, an item of a list or the title of a block. */
	put_quoted(sc, text);
	if (!sc->in_list)
		sc->state = sc->state == AFTER_EQUALS ? AT_START : AFTER_WORD;
}

static void scan(struct conf_source *s, const char *file, const char *text, size_t len, const struct scanner *parent)
{
	struct scanner sc = { .s = s, .file = file, .at = text, .end = text + len, .line = 1, .parent = parent,
		              .depth = parent != NULL ? parent->depth + 1 : 0 };
	struct buf token = { 0 };
	enum token t;

	/* Some editors begin a file with it, and no one sees it. */
	if (len >= strlen(BYTE_ORDER_MARK) && memcmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
		sc.at += strlen(BYTE_ORDER_MARK);
	while ((t = next_token(&sc, &token)) != T_END) {
		if (t == T_PUNCTUATION)
			take_punctuation(&sc, *buf_bytes(&token));
		else
			take_text(&sc, t, &token);
	}
	if (sc.open != 0)
		conf_add_error(s->errors, "%s:%u: this block is not closed: \"}\" is missing", file, sc.opened_at);
	end_line(&sc);
	buf_deinit(&token);
}

int conf_source_read(struct conf_source *s, const char *path)
{
	return read_file(s, path, "", NULL);
}

void conf_source_text(struct conf_source *s, const char *name, const char *text, size_t len)
{
	scan(s, keep_file(s, name), text, len, NULL);
}

void conf_source_deinit(struct conf_source *s)
{
	for (size_t i = 0; i < s->file_count; i++)
		free(s->files[i]);
	for (size_t i = 0; i < s->module_count; i++)
		free(s->modules[i]);
	free(s->files);
	free(s->modules);
	free(s->module_lines);
	free(s->lines);
	buf_deinit(&s->text);
}

void conf_source_place(const struct conf_source *s, int line, char *out, size_t room)
{
	size_t i = line > 0 ? (size_t)line - 1 : 0;

	if (s->line_count == 0) {
		snprintf(out, room, "%s", s->file_count != 0 ? s->files[0] : "configuration");
		return;
	}
	if (i >= s->line_count)
		i = s->line_count - 1;
	snprintf(out, room, "%s:%u", s->lines[i].file, s->lines[i].line);
}

/* ---- a look ahead ---- */

/* What put_quoted() was given; text begins behind its first quote. */
static char *unquote(const char *text)
{
	char *value = mem_strdup(text), *to = value;

	for (; *text != '\0' && *text != '"'; text++) {
		if (*text == '\\' && text[1] != '\0')
			text++;
		*to++ = *text;
	}
	*to = '\0';
	return value;
}

char *conf_peek(const char *path, const char *option)
{
	static const struct conf_section nothing = { .name = "" };
	static const struct conf_schema schema = { .root = &nothing };
	struct conf_errors errors = { 0 };
	struct conf_source source = { .schema = &schema, .errors = &errors };
	char *wanted = mem_printf(" %s = \"", option), *folder, *text, *value = NULL;
	const char *at;

	conf_source_read(&source, path);
	buf_add(&source.text, "", 1);
	at = strstr(buf_bytes(&source.text), wanted);
	if (at != NULL) {
		folder = conf_path_folder(path);
		text = unquote(at + strlen(wanted));
		value = conf_path_resolve(text, folder);
		free(text);
		free(folder);
	}
	conf_source_deinit(&source);
	conf_errors_deinit(&errors);
	free(wanted);
	return value;
}
