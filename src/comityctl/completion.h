/* SPDX-License-Identifier: MIT */
/* Completion in shells: small scripts that ask comityctl itself what may come next. */
#ifndef COMITYCTL_COMPLETION_H
#define COMITYCTL_COMPLETION_H

#include <stdio.h>

/* The script for "bash", "zsh" or "fish"; NULL for another shell. */
const char *completion_script(const char *shell);

/* Writes what may stand in place of the last word, one a line, or ":file" for a path. words are what
 * was typed behind the program's name up to the cursor, the last possibly empty. Accounts, hosts and
 * sessions come from the server at socket (or at that of an option -s among the words). */
void completion_candidates(char *const *words, int count, const char *socket, FILE *to);

#endif
