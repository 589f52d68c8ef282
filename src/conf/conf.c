/* SPDX-License-Identifier: MIT */
/* A configuration: libconfuse reads the structure, the option tables say what it means. */
#include "conf/conf.h"

#include <confuse.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/conf_internal.h"

#define UNKNOWN_MAX 50

struct conf_node {
	const struct conf_section *schema;
	const struct comity_option *options; /* the schema's, or those of a module */
	char *title;                         /* NULL: none */
	void *values;
	struct conf_node **children;
	size_t count;
	struct set_option *set;              /* what was written, for conf_module_values */
	size_t set_count;
};

/* One option as it stands in the file. */
struct set_option {
	const struct comity_option *option;
	char **items;
	size_t count;
};

struct conf {
	_Atomic unsigned refs;
	struct conf_node *root;
	char *folder;
	bool no_files;
	/* Values computed by conf_module_values. */
	struct module_values **computed;
	size_t computed_count;
};

struct module_values {
	const struct comity_option *options;
	void *values;
};

/* Where an option was set; libconfuse keeps no lines. */
struct place {
	const cfg_t *cfg;
	const char *name;
	int line;
	bool is_list;        /* with braces: items follow */
};

struct load {
	struct conf_source source;
	struct conf_errors *errors;
	const struct conf_schema *schema;
	struct conf *conf;
	cfg_opt_t **tables;      /* to free */
	size_t table_count;
	struct place *places;
	size_t place_count;
	char *unknown;           /* the option that the parser stopped at, and its line */
	int unknown_line;
};

/* libconfuse hands no context to its callbacks; set only for the length of a parse. */
static _Thread_local struct load *current;

/* ---- what libconfuse is told ---- */

/* Whether the value just added is the mark at the beginning of a list. */
static bool starts_list(const cfg_opt_t *opt)
{
	return opt->nvalues != 0 && strcmp(opt->values[opt->nvalues - 1]->string, CONF_LIST_START) == 0;
}

/* Called for each value and each item of a list. */
static int note_place(cfg_t *cfg, cfg_opt_t *opt)
{
	struct load *l = current;

	for (size_t i = 0; i < l->place_count; i++) {
		if (l->places[i].cfg != cfg || strcmp(l->places[i].name, opt->name) != 0)
			continue;
		char here[512], first[512];

		if (l->places[i].is_list && !starts_list(opt))
			return 0;
		conf_source_place(&l->source, cfg->line, here, sizeof(here));
		conf_source_place(&l->source, l->places[i].line, first, sizeof(first));
		conf_add_error(l->errors, "%s: \"%s\" is set a second time; the first is at %s", here, opt->name, first);
		return 0;
	}
	l->places = mem_resize(l->places, (l->place_count + 1) * sizeof(*l->places));
	l->places[l->place_count++] = (struct place){ cfg, opt->name, cfg->line, starts_list(opt) };
	return 0;
}

static size_t count_options(const struct comity_option *o)
{
	size_t n = 0;

	while (o != NULL && o[n].name != NULL)
		n++;
	return n;
}

static cfg_opt_t *table_new(struct load *l, size_t count)
{
	cfg_opt_t *table = mem_array(count + 1, sizeof(*table));

	l->tables = mem_resize(l->tables, (l->table_count + 1) * sizeof(*l->tables));
	l->tables[l->table_count++] = table;
	return table;
}

static void put_options(cfg_opt_t *table, const struct comity_option *o)
{
	for (size_t i = 0; o != NULL && o[i].name != NULL; i++) {
		table[i].name = o[i].name;
		table[i].type = CFGT_STR;
		table[i].flags = o[i].type == COMITY_OPTION_LIST ? CFGF_LIST | CFGF_NODEFAULT : CFGF_NODEFAULT;
		table[i].validcb = note_place;
	}
}

static int find_module(const struct load *l, const char *name, const struct comity_option **options, size_t *size)
{
	if (l->schema->module_options == NULL)
		return -ERR_NOT_FOUND;
	return l->schema->module_options(l->schema->arg, name, options, size);
}

static cfg_opt_t *build(struct load *l, const struct conf_section *section)
{
	size_t own = count_options(section->options), children = 0, i = own;
	cfg_opt_t *table;

	while (section->children != NULL && section->children[children] != NULL)
		children++;
	table = table_new(l, own + children + l->source.module_count);
	put_options(table, section->options);
	for (size_t c = 0; c < children; c++, i++) {
		table[i].name = section->children[c]->name;
		table[i].type = CFGT_SEC;
		table[i].flags = section->children[c]->is_titled ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_MULTI;
		table[i].subopts = build(l, section->children[c]);
	}
	for (size_t m = 0; section->has_modules && m < l->source.module_count; m++) {
		const struct comity_option *options = NULL;
		size_t size;

		if (find_module(l, l->source.modules[m], &options, &size) != 0)
			continue;
		table[i].name = mem_printf(CONF_MODULE_PREFIX "%s", l->source.modules[m]);
		table[i].type = CFGT_SEC;
		table[i].flags = CFGF_MULTI;
		table[i].subopts = table_new(l, count_options(options));
		put_options(table[i].subopts, options);
		i++;
	}
	return table;
}

static void tables_free(struct load *l)
{
	for (size_t t = 0; t < l->table_count; t++) {
		for (cfg_opt_t *o = l->tables[t]; o->name != NULL; o++)
			if (strncmp(o->name, CONF_MODULE_PREFIX, strlen(CONF_MODULE_PREFIX)) == 0)
				free((char *)(size_t)o->name);
		free(l->tables[t]);
	}
	free(l->tables);
}

/* ---- errors of libconfuse ---- */

static const char *shown_name(const char *name)
{
	size_t n = strlen(CONF_MODULE_PREFIX);

	return strncmp(name, CONF_MODULE_PREFIX, n) == 0 ? name + n : name;
}

static void describe_block(const cfg_t *cfg, char *out, size_t room)
{
	if (strcmp(cfg->name, "root") == 0)
		out[0] = '\0';
	else if (shown_name(cfg->name) != cfg->name)
		snprintf(out, room, " of module \"%s\"", shown_name(cfg->name));
	else
		snprintf(out, room, " in %s \"%s\"", cfg->name, cfg->title != NULL ? cfg->title : "");
}

static void explain_unknown(struct load *l, const cfg_t *cfg, const char *place, const char *name)
{
	const char *names[256], *nearest;
	const struct comity_option *options;
	char block[256];
	size_t n = 0, size;

	for (const cfg_opt_t *o = cfg->opts; o->name != NULL && n < 255; o++)
		if (shown_name(o->name) == o->name)
			names[n++] = o->name;
	names[n] = NULL;
	describe_block(cfg, block, sizeof(block));
	if (shown_name(name) != name) {
		if (find_module(l, shown_name(name), &options, &size) == 0) /* else check_module_names told */
			conf_add_error(l->errors, "%s: a module block cannot stand here", place);
		return;
	}
	nearest = conf_nearest(name, names);
	conf_add_error(l->errors, "%s: unknown option \"%s\"%s%s%s%s", place, name, block,
	               nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
	               nearest != NULL ? "\"?" : "");
}

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct load *l = current;
	char text[512], place[512], *end;

	vsnprintf(text, sizeof(text), fmt, ap);
	conf_source_place(&l->source, cfg->line, place, sizeof(place));
	if (strncmp(text, "no such option '", 16) == 0 && (end = strrchr(text, '\'')) != NULL && end > text + 15) {
		*end = '\0';
		explain_unknown(l, cfg, place, text + 16);
		free(l->unknown);
		l->unknown = mem_strdup(text + 16);
		l->unknown_line = cfg->line;
		return;
	}
	if (strncmp(text, "found duplicate title ", 22) == 0) {
		conf_add_error(l->errors, "%s: there is a second block with the title %s", place, text + 22);
		return;
	}
	/* The names by which libconfuse knows modules are ours alone. */
	while ((end = strstr(text, CONF_MODULE_PREFIX)) != NULL)
		memmove(end, shown_name(end), strlen(shown_name(end)) + 1);
	conf_add_error(l->errors, "%s: %s", place, text);
}

static void check_module_names(struct load *l)
{
	for (size_t m = 0; m < l->source.module_count; m++) {
		const struct conf_line *line = &l->source.module_lines[m];
		const struct comity_option *options;
		const char *nearest;
		size_t size;

		if (find_module(l, l->source.modules[m], &options, &size) == 0)
			continue;
		nearest = conf_nearest(l->source.modules[m], l->schema->module_names);
		conf_add_error(l->errors, "%s:%u: there is no module \"%s\"%s%s%s", line->file, line->line, l->source.modules[m],
		               nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
		               nearest != NULL ? "\"?" : "");
	}
}

/* ---- from libconfuse's tree to ours ---- */

static int line_of(const struct load *l, const cfg_t *cfg, const char *name)
{
	for (size_t i = 0; i < l->place_count; i++)
		if (l->places[i].cfg == cfg && strcmp(l->places[i].name, name) == 0)
			return l->places[i].line;
	return cfg->line;
}

static int apply(const struct conf *conf, const struct set_option *set, void *values, struct err_text *et)
{
	if (set->option->type == COMITY_OPTION_LIST)
		return conf_value_set_list(set->option, values, (const char *const *)set->items, set->count);
	return conf_value_set(set->option, values, set->items[0], conf->folder, conf->no_files, et);
}

static void read_option(struct load *l, struct conf_node *node, cfg_t *cfg, const struct comity_option *o)
{
	unsigned count = cfg_size(cfg, o->name);
	struct set_option *set;
	struct err_text et;
	char place[512];

	node->set = mem_resize(node->set, (node->set_count + 1) * sizeof(*node->set));
	set = &node->set[node->set_count++];
	*set = (struct set_option){ o, mem_array(count + 1, sizeof(char *)), 0 };
	for (unsigned i = 0; i < count; i++)
		if (strcmp(cfg_getnstr(cfg, o->name, i), CONF_LIST_START) != 0)
			set->items[set->count++] = mem_strdup(cfg_getnstr(cfg, o->name, i));
	conf_source_place(&l->source, line_of(l, cfg, o->name), place, sizeof(place));
	/* What marks an empty list inside may stand in the file too, where a value should. */
	if (set->count == 0 && o->type != COMITY_OPTION_LIST)
		conf_add_error(l->errors, "%s: %s: expected one value", place, o->name);
	else if (apply(l->conf, set, node->values, &et) != 0)
		conf_add_error(l->errors, "%s: %s: %s", place, o->name, et.text);
}

static bool is_set(const cfg_t *cfg, const char *name)
{
	const cfg_opt_t *o = cfg_getopt((cfg_t *)(size_t)cfg, name);

	return o != NULL && o->nvalues != 0 && (o->type != CFGT_STR || o->values[0]->string != NULL);
}

static void read_options(struct load *l, struct conf_node *node, cfg_t *cfg)
{
	for (const struct comity_option *o = node->options; o != NULL && o->name != NULL; o++)
		if (is_set(cfg, o->name))
			read_option(l, node, cfg, o);
}

static struct conf_node *node_new(struct load *l, const struct conf_section *schema,
                                  const struct comity_option *options, size_t size, const char *title)
{
	struct conf_node *node = mem_new(sizeof(*node));

	node->schema = schema;
	node->options = options;
	node->title = title != NULL ? mem_strdup(title) : NULL;
	node->values = mem_new(size != 0 ? size : 1);
	conf_values_init(options, node->values, l->conf->folder);
	return node;
}

static void add_child(struct conf_node *node, struct conf_node *child)
{
	node->children = mem_resize(node->children, (node->count + 1) * sizeof(*node->children));
	node->children[node->count++] = child;
}

static const struct conf_section module_section = { .name = "module", .is_titled = true };

static void read_modules(struct load *l, struct conf_node *node, cfg_t *cfg)
{
	for (size_t m = 0; m < l->source.module_count; m++) {
		const struct comity_option *options;
		char name[128];
		size_t size;

		snprintf(name, sizeof(name), CONF_MODULE_PREFIX "%s", l->source.modules[m]);
		if (find_module(l, l->source.modules[m], &options, &size) != 0)
			continue;
		for (unsigned i = 0; i < cfg_size(cfg, name); i++) {
			struct conf_node *child = node_new(l, &module_section, options, size, l->source.modules[m]);

			read_options(l, child, cfg_getnsec(cfg, name, i));
			add_child(node, child);
		}
	}
}

static void read_node(struct load *l, struct conf_node *node, cfg_t *cfg)
{
	read_options(l, node, cfg);
	for (const struct conf_section *const *c = node->schema->children; c != NULL && *c != NULL; c++) {
		for (unsigned i = 0; i < cfg_size(cfg, (*c)->name); i++) {
			cfg_t *sub = cfg_getnsec(cfg, (*c)->name, i);
			struct conf_node *child = node_new(l, *c, (*c)->options, (*c)->size, cfg_title(sub));

			read_node(l, child, sub);
			add_child(node, child);
		}
	}
	if (node->schema->has_modules)
		read_modules(l, node, cfg);
}

static void node_free(struct conf_node *node)
{
	if (node == NULL)
		return;
	for (size_t i = 0; i < node->count; i++)
		node_free(node->children[i]);
	for (size_t i = 0; i < node->set_count; i++) {
		for (size_t j = 0; j < node->set[i].count; j++)
			free(node->set[i].items[j]);
		free(node->set[i].items);
	}
	free(node->set);
	free(node->children);
	conf_values_deinit(node->options, node->values);
	free(node->values);
	free(node->title);
	free(node);
}

/* ---- loading ---- */

/* libconfuse does not say a word to some of what it refuses. */
static void on_silent_error(struct load *l, const cfg_t *cfg)
{
	char place[512];

	conf_source_place(&l->source, cfg->line, place, sizeof(place));
	conf_add_error(l->errors, "%s: this is not an option, a block or a list", place);
}

/* The parser stops at an unknown option; it is told and taken out, so that all mistakes are told at once.
 * NULL when there was another error. */
static cfg_t *parse_around_unknown(struct load *l, cfg_opt_t *table)
{
	for (unsigned round = 0; round < UNKNOWN_MAX; round++) {
		cfg_t *cfg = cfg_init(table, CFGF_NONE);

		cfg_set_error_function(cfg, on_error);
		l->place_count = 0;
		l->unknown_line = 0;
		if (cfg_parse_buf(cfg, buf_bytes(&l->source.text)) == CFG_SUCCESS)
			return cfg;
		if (l->errors->count == 0)
			on_silent_error(l, cfg);
		cfg_free(cfg);
		if (l->unknown_line == 0 || !conf_source_blank(&l->source, l->unknown_line, l->unknown))
			break;
	}
	return NULL;
}

static int parse(struct load *l, struct conf **out)
{
	cfg_opt_t *table;
	cfg_t *cfg;

	check_module_names(l);
	table = build(l, l->schema->root);
	buf_add(&l->source.text, "", 1);
	current = l;
	cfg = parse_around_unknown(l, table);
	if (cfg != NULL) {
		l->conf->root = node_new(l, l->schema->root, l->schema->root->options, l->schema->root->size, NULL);
		read_node(l, l->conf->root, cfg);
		cfg_free(cfg);
	}
	current = NULL;
	if (l->errors->count != 0)
		return -ERR_INVALID;
	*out = l->conf;
	l->conf = NULL;
	return 0;
}

static int load(struct load *l, struct conf **out)
{
	int rc = l->errors->count == 0 ? parse(l, out) : -ERR_INVALID;

	conf_unref(l->conf);
	tables_free(l);
	free(l->places);
	free(l->unknown);
	conf_source_deinit(&l->source);
	return rc;
}

static void load_init(struct load *l, const struct conf_schema *schema, struct conf_errors *errors, char *folder)
{
	*l = (struct load){ .errors = errors, .schema = schema, .conf = mem_new(sizeof(struct conf)) };
	l->source.schema = schema;
	l->source.errors = errors;
	atomic_init(&l->conf->refs, 1);
	l->conf->folder = folder;
	l->conf->no_files = schema->no_files;
}

int conf_load(const char *path, const struct conf_schema *schema, struct conf **conf, struct conf_errors *errors)
{
	struct load l;

	load_init(&l, schema, errors, conf_path_folder(path));
	conf_source_read(&l.source, path);
	return load(&l, conf);
}

int conf_load_text(const char *name, const char *text, size_t len, const struct conf_schema *schema, struct conf **conf,
                   struct conf_errors *errors)
{
	struct load l;

	load_init(&l, schema, errors, mem_strdup(""));
	conf_source_text(&l.source, name, text, len);
	return load(&l, conf);
}

struct conf *conf_ref(struct conf *conf)
{
	atomic_fetch_add(&conf->refs, 1);
	return conf;
}

void conf_unref(struct conf *conf)
{
	if (conf == NULL || atomic_fetch_sub(&conf->refs, 1) != 1)
		return;
	for (size_t i = 0; i < conf->computed_count; i++) {
		conf_values_deinit(conf->computed[i]->options, conf->computed[i]->values);
		free(conf->computed[i]->values);
		free(conf->computed[i]);
	}
	free(conf->computed);
	node_free(conf->root);
	free(conf->folder);
	free(conf);
}

/* ---- reading ---- */

const struct conf_node *conf_root(const struct conf *conf)
{
	return conf->root;
}

const struct conf_node *conf_child(const struct conf_node *node, const char *name, size_t index)
{
	for (size_t i = 0; i < node->count; i++)
		if (strcmp(node->children[i]->schema->name, name) == 0 && index-- == 0)
			return node->children[i];
	return NULL;
}

const char *conf_title(const struct conf_node *node)
{
	return node->title;
}

const void *conf_values(const struct conf_node *node)
{
	return node->values;
}

static void apply_blocks(const struct conf *conf, const struct conf_node *node, const char *module, void *values)
{
	struct err_text et;

	for (size_t i = 0; i < node->count; i++) {
		const struct conf_node *block = node->children[i];

		if (block->schema != &module_section || strcmp(block->title, module) != 0)
			continue;
		for (size_t j = 0; j < block->set_count; j++)
			apply(conf, &block->set[j], values, &et); /* checked when the block was read */
	}
}

const void *conf_module_values(struct conf *conf, const struct conf_node *host, const char *module,
                                   const struct comity_option *options, size_t size)
{
	struct module_values *m = mem_new(sizeof(*m));

	m->options = options;
	m->values = mem_new(size != 0 ? size : 1);
	conf_values_init(options, m->values, conf->folder);
	apply_blocks(conf, conf->root, module, m->values);
	apply_blocks(conf, host, module, m->values);
	conf->computed = mem_resize(conf->computed, (conf->computed_count + 1) * sizeof(*conf->computed));
	conf->computed[conf->computed_count++] = m;
	return m->values;
}
