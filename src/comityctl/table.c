/* SPDX-License-Identifier: MIT */
/* How answers are shown: aligned columns for people, JSON for programs. */
#include "comityctl/table.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uniwidth.h>

#include "base/buf.h"
#include "base/mem.h"

#define GAP 2

/* C0, DEL and C1 (U+0080 to U+009F): what a terminal may take for a command. */
static int control_length(const char *at)
{
	const unsigned char *c = (const unsigned char *)at;

	if (c[0] < 0x20 || c[0] == 0x7f)
		return 1;
	return c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0 ? 2 : 0;
}

static void add_safely(struct buf *out, const char *text)
{
	while (*text != '\0') {
		int n = control_length(text);

		for (int i = 0; i < n; i++)
			buf_printf(out, "\\x%02x", (unsigned char)text[i]);
		if (n == 0)
			buf_add(out, text, n = 1);
		text += n;
	}
}

/* Caller frees. */
static char *cell_text(const json_t *value)
{
	struct buf out = { 0 };

	if (json_is_string(value))
		add_safely(&out, json_string_value(value));
	else if (json_is_integer(value))
		buf_printf(&out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		buf_printf(&out, "%.2f", json_real_value(value));
	else
		buf_add_str(&out, json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
	return buf_take(&out);
}

static char *heading_text(const json_t *name)
{
	char *text = cell_text(name);

	for (char *c = text; *c != '\0'; c++)
		*c = (char)(*c == '_' ? ' ' : toupper((unsigned char)*c));
	return text;
}

static int width_of(const char *text)
{
	return u8_strwidth((const uint8_t *)text, "UTF-8");
}

struct column {
	int width;
	bool is_number;      /* every value is one, or null */
};

static void measure_cell(struct column *c, const json_t *value)
{
	char *text = cell_text(value);
	int width = width_of(text);

	if (width > c->width)
		c->width = width;
	if (!json_is_number(value) && !json_is_null(value))
		c->is_number = false;
	free(text);
}

static struct column *measure(const json_t *columns, const json_t *rows)
{
	size_t count = json_array_size(columns);
	struct column *found = mem_array(count + 1, sizeof(*found));
	size_t at;
	json_t *row;

	for (size_t i = 0; i < count; i++) {
		char *text = heading_text(json_array_get(columns, i));

		found[i] = (struct column){ width_of(text), true };
		free(text);
		json_array_foreach((json_t *)rows, at, row)
			measure_cell(&found[i], json_array_get(row, i));
	}
	return found;
}

static void pad(FILE *to, int n)
{
	fprintf(to, "%*s", n > 0 ? n : 0, "");
}

/* Nothing follows the last text of a line. */
static void print_cell(const struct column *c, const char *text, bool is_last, FILE *to)
{
	int room = c->width - width_of(text);

	if (c->is_number)
		pad(to, room);
	fputs(text, to);
	if (!is_last)
		pad(to, (c->is_number ? 0 : room) + GAP);
}

static void print_line(const struct column *columns, size_t count, const json_t *row,
                       char *(*text_of)(const json_t *value), FILE *to)
{
	for (size_t i = 0; i < count; i++) {
		char *text = text_of(json_array_get(row, i));

		print_cell(&columns[i], text, i + 1 == count, to);
		free(text);
	}
	fputc('\n', to);
}

void table_print(const json_t *columns, const json_t *rows, FILE *to)
{
	size_t count = json_array_size(columns), at;
	struct column *widths;
	json_t *row;

	if (json_array_size(rows) == 0) {
		fputs("none\n", to);
		return;
	}
	widths = measure(columns, rows);
	print_line(widths, count, columns, heading_text, to);
	json_array_foreach((json_t *)rows, at, row)
		print_line(widths, count, row, cell_text, to);
	free(widths);
}

void table_print_json(const json_t *columns, const json_t *rows, FILE *to)
{
	json_t *list = json_array(), *row, *name;
	size_t r, c;

	json_array_foreach((json_t *)rows, r, row) {
		json_t *object = json_object();

		json_array_foreach((json_t *)columns, c, name)
			json_object_set(object, json_string_value(name), json_array_get(row, c));
		json_array_append_new(list, object);
	}
	json_dumpf(list, to, JSON_INDENT(2));
	fputc('\n', to);
	json_decref(list);
}
