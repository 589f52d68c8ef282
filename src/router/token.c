/* SPDX-License-Identifier: MIT */
/* Tokens of stored messages. */
#include "router/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store.h"

#define KEY_FORMAT "%016llx-"

size_t token_write(char token[TOKEN_SIZE], const struct cause *cause, const struct cause *stored)
{
	size_t len = (size_t)snprintf(token, TOKEN_SIZE, KEY_FORMAT "%016llx", (unsigned long long)cause->key,
	                              (unsigned long long)cause->hash), known_by = len;

	len += (size_t)snprintf(token + len, TOKEN_SIZE - len, "/%llx", (unsigned long long)cause->number);
	if (stored->key != 0)
		known_by = len + (size_t)snprintf(token + len, TOKEN_SIZE - len, "/%llx", (unsigned long long)stored->hash);
	return known_by;
}

bool token_read(const char *token, struct cause *cause)
{
	unsigned long long key, hash, number;

	if (token == NULL || sscanf(token, "%16llx-%16llx/%llx", &key, &hash, &number) != 3)
		return false;
	*cause = (struct cause){ key, hash, number };
	return true;
}

/* ---- what the store has of sessions ---- */

/* A prefix that is looked for: of all that a session has sent, or of one stanza that it had not got when it ended. */
struct search {
	struct images *images;
	char **prefixes;
	struct image_item **items;     /* NULL: of the session */
	size_t count, room;
};

static void add_search(struct search *s, const char *prefix, struct image_item *item)
{
	if (s->count == s->room) {
		s->room = s->room != 0 ? 2 * s->room : 64;
		s->prefixes = mem_resize(s->prefixes, s->room * sizeof(*s->prefixes));
		s->items = mem_resize(s->items, s->room * sizeof(*s->items));
	}
	s->prefixes[s->count] = mem_strdup(prefix);
	s->items[s->count++] = item;
}

static void add_searches(struct search *s, struct image *i)
{
	char text[TOKEN_SIZE];

	snprintf(text, sizeof(text), KEY_FORMAT, (unsigned long long)i->key);
	add_search(s, text, NULL);
	for (size_t n = i->first; !i->can_resume && n < i->item_count; n++) {
		struct image_item *item = &i->items[n];

		if (item->cause.key == 0 || item->xml == NULL)
			continue;
		text[token_write(text, &item->cause, &item->stored)] = '\0';
		add_search(s, text, item);
	}
}

static void on_token(void *arg, size_t n, const char *token)
{
	struct search *s = arg;
	char end = token[strlen(s->prefixes[n])];
	struct cause cause;

	if (s->items[n] == NULL) {
		if (token_read(token, &cause))
			images_note_handled(s->images, &cause);
	} else if (end == '\0' || end == '/') {
		image_item_pass(s->items[n]);
	}
}

int images_take_stored(struct images *images, struct store *store)
{
	struct search s = { .images = images };
	size_t pos = 0;
	int rc;

	for (struct image *i; (i = map_next(&images->by_key, &pos)) != NULL;)
		add_searches(&s, i);
	rc = store_each_token(store, s.prefixes, s.count, on_token, &s);
	while (s.count != 0)
		free(s.prefixes[--s.count]);
	free(s.prefixes);
	free(s.items);
	return rc;
}
