/* SPDX-License-Identifier: MIT */
/* comity.conf: a schema of sections with typed options, parsed into structs; errors name file and line. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "comity/option.h"

/* A kind of block. */
struct conf_section {
	const char *name;                            /* "" for the root */
	const char *help;
	const struct comity_option *options;         /* ends with { 0 }; may be NULL */
	size_t size;                                 /* of the struct the options write to */
	bool is_titled;                              /* host NAME { }, any number of them */
	bool has_modules;                            /* module NAME { } may stand in it */
	const struct conf_section *const *children;  /* ends with NULL; may be NULL */
};

/* What a file may say. */
struct conf_schema {
	const struct conf_section *root;
	const char *const *module_names;             /* ends with NULL; for suggestions */
	/* The options of a module; nonzero when there is none of that name. */
	int (*module_options)(void *arg, const char *name, const struct comity_option **options, size_t *size);
	void *arg;
	bool no_files;                               /* neither includes nor file: secrets (for fuzzing) */
};

/* Every error found, each one sentence with file and line. Zeroed it is empty. */
struct conf_errors {
	size_t count;
	char **items;
};
void conf_errors_deinit(struct conf_errors *errors);
/* Once for each text, and no more than a person would read. */
void conf_add_error(struct conf_errors *errors, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A checked configuration: immutable, shared by reference. */
struct conf;
struct conf_node;

/* 0, or -ERR_INVALID with at least one error. */
int conf_load(const char *path, const struct conf_schema *schema, struct conf **conf, struct conf_errors *errors);
/* The same for text; name stands for the file in errors. */
int conf_load_text(const char *name, const char *text, size_t len, const struct conf_schema *schema, struct conf **conf,
                   struct conf_errors *errors);
/* The value of a COMITY_OPTION_PATH that only the root has, before anything is checked: for what is needed
 * to check the rest. NULL when it is not set; the caller frees it. */
char *conf_peek(const char *path, const char *option);
struct conf *conf_ref(struct conf *conf);
void conf_unref(struct conf *conf);

const struct conf_node *conf_root(const struct conf *conf);
/* Blocks of a kind in their order; NULL behind the last. */
const struct conf_node *conf_child(const struct conf_node *node, const char *name, size_t index);
const char *conf_title(const struct conf_node *node);
/* The struct with all values, set or default. */
const void *conf_values(const struct conf_node *node);
/* Values of a module for a host: the defaults of its options, changed by the root's block for it,
 * changed by the host's. Owned by conf. Not for several threads at once. */
const void *conf_module_values(struct conf *conf, const struct conf_node *host, const char *module,
                               const struct comity_option *options, size_t size);

/* "a time such as 10s, from 1s to 1h", for manuals and errors. */
void conf_describe_type(const struct comity_option *option, char *out, size_t room);
/* The name in the list (ends with NULL) that is nearest to a wrong one; NULL when none is near. */
const char *conf_nearest(const char *wrong, const char *const *names);

#endif
