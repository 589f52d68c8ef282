/* SPDX-License-Identifier: MIT */
/* Any text is either a configuration or an error that names a line; no file is touched. */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct values {
	bool flag;
	int64_t number;
	uint64_t size, time;
	char *text, *secret, *path;
	int choice;
	struct comity_list list;
};

static const char *const choices[] = { "one", "two", NULL };
static const struct comity_option options[] = {
	COMITY_OPT_BOOL(struct values, flag, "no", ""),
	COMITY_OPT_INT(struct values, number, "5", -10, 10, ""),
	COMITY_OPT_SIZE(struct values, size, "1KiB", 1, 1 << 20, ""),
	COMITY_OPT_TIME(struct values, time, "1s", 0, 86400000, ""),
	COMITY_OPT_STRING(struct values, text, NULL, ""),
	COMITY_OPT_SECRET(struct values, secret, "s", ""),
	COMITY_OPT_PATH(struct values, path, "p", ""),
	COMITY_OPT_CHOICE(struct values, choice, "two", choices, ""),
	COMITY_OPT_LIST(struct values, list, "a b", ""),
	{ 0 },
};

static const struct conf_section tls = { .name = "tls", .options = options, .size = sizeof(struct values) };
static const struct conf_section *const host_children[] = { &tls, NULL };
static const struct conf_section host = { .name = "host", .options = options, .size = sizeof(struct values),
	                                  .is_titled = true, .has_modules = true, .children = host_children };
static const struct conf_section *const root_children[] = { &host, NULL };
static const struct conf_section root = { .name = "", .options = options, .size = sizeof(struct values),
	                                  .has_modules = true, .children = root_children };

static int module_options(void *arg, const char *name, const struct comity_option **opts, size_t *size)
{
	(void)arg;
	*opts = options;
	*size = sizeof(struct values);
	return strcmp(name, "ping") == 0 ? 0 : -1;
}

static void check_values(const struct values *v)
{
	if (v->number < -10 || v->number > 10 || v->size < 1 || v->size > 1 << 20 || v->time > 86400000)
		abort();
	if (v->choice < 0 || v->choice > 1 || v->path == NULL || v->secret == NULL)
		abort();
	for (size_t i = 0; i < v->list.count; i++)
		if (v->list.items[i] == NULL)
			abort();
}

static void check_conf(struct conf *conf)
{
	const struct conf_node *h, *t;

	check_values(conf_values(conf_root(conf)));
	for (size_t i = 0; i < 8 && (h = conf_child(conf_root(conf), "host", i)) != NULL; i++) {
		if (conf_title(h) == NULL)
			abort();
		check_values(conf_values(h));
		if ((t = conf_child(h, "tls", 0)) != NULL)
			check_values(conf_values(t));
		check_values(conf_module_values(conf, h, "ping", options, sizeof(struct values)));
	}
}

/* "fuzz:LINE: SENTENCE", in printable characters when the input was. */
static void check_error(const char *text)
{
	const char *at = text + strlen("fuzz:");

	if (strncmp(text, "fuzz:", 5) != 0 || !isdigit((unsigned char)*at) || strstr(text, "module__") != NULL)
		abort();
	at += strspn(at, "0123456789");
	if (strncmp(at, ": ", 2) != 0 || at[2] == '\0')
		abort();
}

/* "module__" is how module blocks are told apart inside; an input may spell it itself, also with escapes. */
static bool says_module(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	size_t len = 0;
	bool found;

	for (size_t i = 0; i < size; i++)
		if (data[i] != '\\')
			text[len++] = (char)data[i];
	found = memmem(text, len, "module__", 8) != NULL;
	free(text);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf_schema schema = { .root = &root, .module_options = module_options, .no_files = true };
	struct conf_errors errors = { 0 };
	struct conf *conf = NULL;
	int rc = conf_load_text("fuzz", (const char *)data, size, &schema, &conf, &errors);

	if ((rc == 0) != (conf != NULL) || (rc == 0) != (errors.count == 0))
		abort();
	for (size_t i = 0; i < errors.count && !says_module(data, size); i++)
		check_error(errors.items[i]);
	if (conf != NULL)
		check_conf(conf);
	conf_unref(conf);
	conf_errors_deinit(&errors);
	return 0;
}
