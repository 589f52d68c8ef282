/* SPDX-License-Identifier: MIT */
/* Between the files of src/conf. */
#ifndef CONF_INTERNAL_H
#define CONF_INTERNAL_H

#include "base/buf.h"
#include "conf/conf.h"

/* Where a line of the expanded text came from. */
struct conf_line {
	const char *file;   /* in files of struct conf_source */
	unsigned line;
};

/* Text for libconfuse: comments gone, includes in place, values quoted. */
struct conf_source {
	struct buf text;
	struct conf_line *lines;      /* of line i + 1 */
	size_t line_count, line_room;
	char **files;
	size_t file_count;
	char **modules;               /* names that module blocks mention */
	struct conf_line *module_lines;
	size_t module_count;
	const struct conf_schema *schema;
	struct conf_errors *errors;
};

/* source.c */
int conf_source_read(struct conf_source *s, const char *path);
void conf_source_text(struct conf_source *s, const char *name, const char *text, size_t len);
void conf_source_deinit(struct conf_source *s);
/* "file:line" of a line of the text, into out. */
void conf_source_place(const struct conf_source *s, int line, char *out, size_t room);
/* The section name under which libconfuse sees module NAME. */
#define CONF_MODULE_PREFIX "module__"
/* The first item of any list in braces: libconfuse would not tell an empty list from one not set, nor
 * where a second list for the same option begins. */
#define CONF_LIST_START "\001"

/* repair.c */
/* Blanks an option or block of this name and all that belongs to it, beginning in this line of the text
 * (which must end with NUL). False when it is not there. */
bool conf_source_blank(struct conf_source *s, int line, const char *name);

/* value.c */
/* Converts text and writes it into the struct; -ERR_INVALID with a sentence. folder is where relative
 * paths begin. */
int conf_value_set(const struct comity_option *o, void *values, const char *text, const char *folder, bool no_files,
                   struct err_text *et);
int conf_value_set_list(const struct comity_option *o, void *values, const char *const *items, size_t count);
/* Defaults of all options. */
void conf_values_init(const struct comity_option *options, void *values, const char *folder);
void conf_values_deinit(const struct comity_option *options, void *values);
/* The folder of a file, "" when there is no such file; and a path as an option of this folder means it.
 * The caller frees both. */
char *conf_path_folder(const char *file);
char *conf_path_resolve(const char *path, const char *folder);

#endif
