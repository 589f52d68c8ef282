/* SPDX-License-Identifier: MIT */
/* Texts to typed values. */
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "conf/conf_internal.h"

#define SECRET_MAX 4096

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit times[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
                                     { NULL, 0 } };
static const struct unit sizes[] = { { "", 1 }, { "B", 1 }, { "KiB", 1024 }, { "MiB", 1048576 }, { "GiB", 1073741824 },
                                     { NULL, 0 } };
static const struct unit plain[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *units_of(enum comity_option_type type)
{
	return type == COMITY_OPTION_TIME ? times : type == COMITY_OPTION_SIZE ? sizes : plain;
}

/* A number in the largest unit that divides it. */
static void format_number(enum comity_option_type type, int64_t n, char *out, size_t room)
{
	const struct unit *units = units_of(type), *best = units;

	for (const struct unit *u = units; u->name != NULL; u++)
		if (n != 0 && n % u->factor == 0 && u->factor >= best->factor)
			best = u;
	snprintf(out, room, "%" PRId64 "%s", n / best->factor, n == 0 && type == COMITY_OPTION_TIME ? "s" : best->name);
}

static void describe_choices(const struct comity_option *o, char *out, size_t room)
{
	size_t used = (size_t)snprintf(out, room, "one of");

	for (const char *const *c = o->choices; *c != NULL && used < room; c++)
		used += (size_t)snprintf(out + used, room - used, "%s %s", c == o->choices ? "" : ",", *c);
}

void conf_describe_type(const struct comity_option *o, char *out, size_t room)
{
	static const char *const names[] = {
		[COMITY_OPTION_BOOL] = "yes or no",      [COMITY_OPTION_INT] = "a number",
		[COMITY_OPTION_SIZE] = "a size such as 4096, 64KiB or 5MiB", [COMITY_OPTION_TIME] = "a time such as 10s, 5m or 2h",
		[COMITY_OPTION_STRING] = "a text",       [COMITY_OPTION_SECRET] = "a text, file:PATH or env:NAME",
		[COMITY_OPTION_LIST] = "a list such as { \"a\", \"b\" }", [COMITY_OPTION_PATH] = "a path",
	};
	char low[32], high[32];

	if (o->type == COMITY_OPTION_CHOICE) {
		describe_choices(o, out, room);
		return;
	}
	if (o->type != COMITY_OPTION_INT && o->type != COMITY_OPTION_SIZE && o->type != COMITY_OPTION_TIME) {
		snprintf(out, room, "%s", names[o->type]);
		return;
	}
	format_number(o->type, o->min, low, sizeof(low));
	format_number(o->type, o->max, high, sizeof(high));
	snprintf(out, room, "%s, from %s to %s", names[o->type], low, high);
}

static int parse_number(const struct comity_option *o, const char *text, int64_t *value)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || errno != 0 || *text == '+' || *text == ' ')
		return -ERR_INVALID;
	for (const struct unit *u = units_of(o->type); u->name != NULL; u++) {
		if (strcmp(u->name, end) != 0 && !(o->type == COMITY_OPTION_TIME && n == 0 && *end == '\0'))
			continue;
		if (__builtin_mul_overflow((int64_t)n, u->factor, value) || *value < o->min || *value > o->max)
			return -ERR_INVALID;
		return 0;
	}
	return -ERR_INVALID;
}

static int parse_bool(const char *text, bool *value)
{
	if (strcasecmp(text, "yes") == 0 || strcasecmp(text, "true") == 0 || strcasecmp(text, "on") == 0)
		*value = true;
	else if (strcasecmp(text, "no") == 0 || strcasecmp(text, "false") == 0 || strcasecmp(text, "off") == 0)
		*value = false;
	else
		return -ERR_INVALID;
	return 0;
}

static int parse_choice(const struct comity_option *o, const char *text, int *value)
{
	for (int i = 0; o->choices[i] != NULL; i++) {
		if (strcmp(o->choices[i], text) == 0) {
			*value = i;
			return 0;
		}
	}
	return -ERR_INVALID;
}

char *conf_path_folder(const char *file)
{
	char *real = realpath(file, NULL), *folder = mem_strdup(real != NULL ? dirname(real) : "");

	free(real);
	return folder;
}

char *conf_path_resolve(const char *path, const char *folder)
{
	return *path == '/' || *folder == '\0' ? mem_strdup(path) : mem_printf("%s/%s", folder, path);
}

static int read_secret(const char *text, const char *folder, char **value, struct err_text *et)
{
	char bytes[SECRET_MAX + 1], *path;
	FILE *f;
	size_t n;
	int rc = 0;

	if (strncmp(text, "env:", 4) == 0) {
		if (getenv(text + 4) == NULL) {
			err_text_set(et, "the environment has no %s", text + 4);
			return -ERR_NOT_FOUND;
		}
		*value = mem_strdup(getenv(text + 4));
		return 0;
	}
	path = conf_path_resolve(text + 5, folder);
	f = fopen(path, "re");
	n = f != NULL ? fread(bytes, 1, sizeof(bytes), f) : 0;
	if (f == NULL || ferror(f)) {
		err_text_set(et, "cannot read %s: %s", path, strerror(errno));
		rc = -ERR_IO;
	} else if (n > SECRET_MAX) {
		err_text_set(et, "%s is longer than %d bytes", path, SECRET_MAX);
		rc = -ERR_TOO_LONG;
	}
	while (n > 0 && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
		n--;
	if (rc == 0 && n == 0) {
		err_text_set(et, "%s is empty", path);
		rc = -ERR_INVALID;
	}
	if (rc == 0)
		*value = mem_dup(bytes, n);
	mem_wipe(bytes, sizeof(bytes));
	if (f != NULL)
		fclose(f);
	free(path);
	return rc;
}

static void set_text(void *field, char *text)
{
	char **slot = field;

	free(*slot);
	*slot = text;
}

int conf_value_set(const struct comity_option *o, void *values, const char *text, const char *folder, bool no_files,
                   struct err_text *et)
{
	void *field = (char *)values + o->offset;
	char type[256], *secret = NULL;
	int64_t n = 0;
	int rc = 0;

	switch (o->type) {
	case COMITY_OPTION_BOOL:
		rc = parse_bool(text, field);
		break;
	case COMITY_OPTION_INT:
	case COMITY_OPTION_SIZE:
	case COMITY_OPTION_TIME:
		rc = parse_number(o, text, &n);
		if (rc == 0)
			memcpy(field, &n, sizeof(n)); /* both field types have 64 bits */
		break;
	case COMITY_OPTION_CHOICE:
		rc = parse_choice(o, text, field);
		break;
	case COMITY_OPTION_SECRET:
		if (strncmp(text, "file:", 5) != 0 && strncmp(text, "env:", 4) != 0) {
			set_text(field, mem_strdup(text));
		} else if (!no_files) {
			rc = read_secret(text, folder, &secret, et);
			if (rc == 0)
				set_text(field, secret);
			return rc;
		}
		break;
	case COMITY_OPTION_PATH:
		set_text(field, conf_path_resolve(text, folder));
		break;
	case COMITY_OPTION_LIST:
		return conf_value_set_list(o, values, &text, 1);
	default:
		set_text(field, mem_strdup(text));
		break;
	}
	if (rc != 0) {
		conf_describe_type(o, type, sizeof(type));
		err_text_set(et, "expected %s, got \"%s\"", type, text);
	}
	return rc;
}

static void clear_list(struct comity_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct comity_list){ 0 };
}

int conf_value_set_list(const struct comity_option *o, void *values, const char *const *items, size_t count)
{
	struct comity_list *list = (struct comity_list *)(void *)((char *)values + o->offset);
	char **copies = mem_array(count + 1, sizeof(char *));

	for (size_t i = 0; i < count; i++)
		copies[i] = mem_strdup(items[i]);
	clear_list(list);
	list->items = copies;
	list->count = count;
	return 0;
}

/* A default list is written as words with spaces between. */
static void set_default_list(const struct comity_option *o, void *values)
{
	char *copy = mem_strdup(o->def), *save = NULL;
	const char *items[64];
	size_t count = 0;

	for (char *word = strtok_r(copy, " ", &save); word != NULL && count < 64; word = strtok_r(NULL, " ", &save))
		items[count++] = word;
	conf_value_set_list(o, values, items, count);
	free(copy);
}

void conf_values_init(const struct comity_option *options, void *values, const char *folder)
{
	struct err_text et;

	for (const struct comity_option *o = options; o != NULL && o->name != NULL; o++) {
		if (o->def == NULL)
			continue;
		if (o->type == COMITY_OPTION_LIST)
			set_default_list(o, values);
		else if (conf_value_set(o, values, o->def, folder, true, &et) != 0)
			abort(); /* a table with an impossible default: a mistake of ours */
	}
}

void conf_values_deinit(const struct comity_option *options, void *values)
{
	for (const struct comity_option *o = options; o != NULL && o->name != NULL; o++) {
		void *field = (char *)values + o->offset;

		if (o->type == COMITY_OPTION_LIST)
			clear_list(field);
		else if (o->type == COMITY_OPTION_STRING || o->type == COMITY_OPTION_SECRET || o->type == COMITY_OPTION_PATH)
			set_text(field, NULL);
	}
}
