/* SPDX-License-Identifier: MIT */
/* One question to the daemon's control socket: a line of JSON there, a line of JSON back. */
#ifndef COMITYCTL_CLIENT_H
#define COMITYCTL_CLIENT_H

#include <jansson.h>

#include "base/err.h"

/* Seconds that an answer may take. */
enum { CLIENT_WAIT = 30, CLIENT_COMPLETION_WAIT = 2 };

/* The request {"args": [...], "input": ...}; input may be NULL. NULL when a text is not UTF-8. */
json_t *client_make_request(char *const *args, int count, const char *input);

/* Asks and waits. 0 with *answer, an object that the caller decrefs; or minus an error with a sentence:
 * ERR_NOT_FOUND when nobody listens there, ERR_DENIED, ERR_TIMEOUT, ERR_CLOSED when the connection broke,
 * ERR_INVALID when the answer makes no sense, ERR_TOO_LONG, ERR_IO. */
int client_ask(const char *path, const json_t *request, unsigned seconds, json_t **answer, struct err_text *et);

#endif
