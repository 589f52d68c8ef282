/* SPDX-License-Identifier: MIT */
/* Passwords from a person at a terminal or from a program on standard input. */
#ifndef COMITYCTL_PASSWORD_H
#define COMITYCTL_PASSWORD_H

#include <stdio.h>

#include "base/err.h"

/* One line; the caller frees it by password_free. -ERR_INVALID when there is none, -ERR_TOO_LONG, -ERR_IO. */
int password_read(FILE *from, char **password, struct err_text *et);
/* Asks twice on the terminal without showing what is typed. -ERR_INVALID when the two differ or are
 * empty, -ERR_IO when there is no terminal. A signal restores the terminal before it takes effect. */
int password_ask(const char *jid, char **password, struct err_text *et);
/* Wipes it first. NULL is fine. */
void password_free(char *password);

#endif
