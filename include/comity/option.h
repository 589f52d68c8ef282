/* SPDX-License-Identifier: MIT */
/* Typed settings: one row drives parsing, defaults, bounds, the manual page and completion. */
#ifndef COMITY_OPTION_H
#define COMITY_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum comity_option_type {
	COMITY_OPTION_BOOL = 1, /* bool: yes, no */
	COMITY_OPTION_INT,      /* int64_t */
	COMITY_OPTION_SIZE,     /* uint64_t bytes: 4096, 10KiB, 5MiB */
	COMITY_OPTION_TIME,     /* uint64_t milliseconds: 500ms, 10s, 5m, 2h, 1d */
	COMITY_OPTION_STRING,   /* char * */
	COMITY_OPTION_SECRET,   /* char *: the text itself, file:PATH or env:NAME */
	COMITY_OPTION_CHOICE,   /* int: index of one of the words in choices */
	COMITY_OPTION_LIST,     /* struct comity_list */
	COMITY_OPTION_PATH      /* char *: relative to the folder of the configuration file */
};

/* Values of a list; owned by the configuration. */
struct comity_list {
	size_t count;
	char **items;
};

/* One setting; tables end with { 0 }. The value is written at offset of the struct the table is for. */
struct comity_option {
	enum comity_option_type type;
	const char *name, *help;
	const char *def;             /* as an administrator would write it; NULL: none */
	int64_t min, max;            /* of INT, SIZE and TIME (milliseconds) */
	const char *const *choices;  /* of CHOICE; ends with NULL */
	size_t offset;
};

/* Rows: a field of the wrong C type does not compile. */
#define COMITY_OPT_BOOL(ST, F, DEF, HELP) { COMITY_OPTION_BOOL, #F, HELP, DEF, 0, 0, NULL, \
	_Generic(((ST *)0)->F, bool: offsetof(ST, F)) }
#define COMITY_OPT_INT(ST, F, DEF, MIN, MAX, HELP) { COMITY_OPTION_INT, #F, HELP, DEF, MIN, MAX, NULL, \
	_Generic(((ST *)0)->F, int64_t: offsetof(ST, F)) }
#define COMITY_OPT_SIZE(ST, F, DEF, MIN, MAX, HELP) { COMITY_OPTION_SIZE, #F, HELP, DEF, MIN, MAX, NULL, \
	_Generic(((ST *)0)->F, uint64_t: offsetof(ST, F)) }
#define COMITY_OPT_TIME(ST, F, DEF, MIN, MAX, HELP) { COMITY_OPTION_TIME, #F, HELP, DEF, MIN, MAX, NULL, \
	_Generic(((ST *)0)->F, uint64_t: offsetof(ST, F)) }
#define COMITY_OPT_STRING(ST, F, DEF, HELP) { COMITY_OPTION_STRING, #F, HELP, DEF, 0, 0, NULL, \
	_Generic(((ST *)0)->F, char *: offsetof(ST, F)) }
#define COMITY_OPT_SECRET(ST, F, DEF, HELP) { COMITY_OPTION_SECRET, #F, HELP, DEF, 0, 0, NULL, \
	_Generic(((ST *)0)->F, char *: offsetof(ST, F)) }
#define COMITY_OPT_PATH(ST, F, DEF, HELP) { COMITY_OPTION_PATH, #F, HELP, DEF, 0, 0, NULL, \
	_Generic(((ST *)0)->F, char *: offsetof(ST, F)) }
#define COMITY_OPT_CHOICE(ST, F, DEF, CHOICES, HELP) { COMITY_OPTION_CHOICE, #F, HELP, DEF, 0, 0, CHOICES, \
	_Generic(((ST *)0)->F, int: offsetof(ST, F)) }
#define COMITY_OPT_LIST(ST, F, DEF, HELP) { COMITY_OPTION_LIST, #F, HELP, DEF, 0, 0, NULL, \
	_Generic(((ST *)0)->F, struct comity_list: offsetof(ST, F)) }

#endif
