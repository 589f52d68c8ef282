/* SPDX-License-Identifier: MIT */
/* What an entry of an archive is known by: the cause of the message in it. */
#ifndef ROUTER_TOKEN_H
#define ROUTER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "router/image.h"

struct store;

#define TOKEN_SIZE 80

/* stored: what the message was in the store as before (its key is 0: it was not). Returns how many bytes it is known
 * by should it come again: what comes back to the store is another entry than the one that was there. */
size_t token_write(char token[TOKEN_SIZE], const struct cause *cause, const struct cause *stored);
/* NULL is no token either. */
bool token_read(const char *token, struct cause *cause);

/* Sessions learn which of the messages that they sent, and of those that they had not got when they ended, are in the
 * store: the last crash may have come before the journal had it. Before images_settle(), and before anything is taken
 * out of the store. Minus an enum err. */
int images_take_stored(struct images *images, struct store *store);

#endif
