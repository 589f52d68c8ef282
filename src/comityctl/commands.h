/* SPDX-License-Identifier: MIT */
/* The commands and options of comityctl: one table for parsing, help, completion and the daemon. */
#ifndef COMITYCTL_COMMANDS_H
#define COMITYCTL_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct ctl_command {
	const char *words;       /* "user add"; one or two words */
	const char *args;        /* as the help shows them: "JID", "[HOST]"; "" for none */
	const char *help;        /* one sentence */
	int min_args, max_args;
	bool needs_password;     /* the request carries an input */
};

/* Ends with a row whose words are NULL. */
extern const struct ctl_command ctl_commands[];

/* An option of comityctl itself. */
struct ctl_option {
	const char *name;
	int letter;              /* also its short form when it is a letter */
	const char *arg;         /* NULL: it takes none */
	const char *help;
};

enum { CTL_OPTION_JSON = 256, CTL_OPTION_STDIN, CTL_OPTION_FROM, CTL_OPTION_COMPLETION };

/* Ends with a row whose name is NULL. */
extern const struct ctl_option ctl_options[];

/* The command that the first words name; *used counts them. NULL when there is none. */
const struct ctl_command *ctl_command_find(char *const *words, int count, int *used);
/* Whether the command's own words begin with these. */
bool ctl_command_is_under(const struct ctl_command *command, char *const *words, int count);
/* The words of the command nearest to what was typed, which may be mistyped; NULL when none is near. */
const char *ctl_command_nearest(char *const *words, int count);
/* The name of argument n of a command without its brackets, into out; false when it takes fewer. */
bool ctl_command_argument(const struct ctl_command *command, int n, char *out, size_t room);

/* How a command is called, what it does. */
void ctl_command_print(const struct ctl_command *command, FILE *to);
/* All commands under these words, or all when count is 0; how many there are. */
int ctl_commands_print(char *const *words, int count, FILE *to);
void ctl_options_print(FILE *to);

#endif
