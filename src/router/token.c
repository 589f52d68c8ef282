/* SPDX-License-Identifier: MIT */
/* Tokens of stored messages. */
#include "router/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store.h"

/* At least so many digits; each stored message has three such numbers. */
static char *write_hex(char *out, uint64_t n, int least)
{
	int digits = least;

	while (digits < 16 && n >> (4 * digits) != 0)
		digits++;
	for (int i = digits; i-- > 0; n >>= 4)
		out[i] = "0123456789abcdef"[n & 15];
	return out + digits;
}

size_t token_write(char token[TOKEN_SIZE], const struct cause *cause, const struct cause *stored)
{
	char *end = write_hex(token, cause->key, 16), *known;

	*end++ = '-';
	known = end = write_hex(end, cause->hash, 16);
	*end++ = '/';
	end = write_hex(end, cause->number, 1);
	if (stored->key != 0) {
		*end++ = '/';
		known = end = write_hex(end, stored->hash, 1);
	}
	*end = '\0';
	return (size_t)(known - token);
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

/* Stanzas that sessions had not got when they ended. */
struct search {
	struct images *images;
	struct map left;        /* struct left, by what they are known by in the store */
};

struct left {
	struct left *next;      /* known by the same: what another session of the account had not got */
	struct image_item *item;
	size_t len;
	char known_by[TOKEN_SIZE];
};

static void add_left(struct search *s, struct image *i)
{
	for (size_t n = i->first; !i->can_resume && n < i->item_count; n++) {
		struct image_item *item = &i->items[n];
		struct left *left, *same;

		if (item->cause.key == 0 || item->xml == NULL)
			continue;
		left = mem_new(sizeof(*left));
		left->item = item;
		left->len = token_write(left->known_by, &item->cause, &item->stored);
		same = map_find(&s->left, left->known_by, left->len);
		if (same != NULL) {
			left->next = same->next;
			same->next = left;
		} else {
			map_put(&s->left, left->known_by, left->len, left);
		}
	}
}

static void pass(struct search *s, const char *token, size_t len)
{
	for (struct left *left = map_find(&s->left, token, len); left != NULL; left = left->next)
		image_item_pass(left->item);
}

/* It may be known by the first of its parts, or by all of it. */
static void on_token(void *arg, const char *token)
{
	struct search *s = arg;
	struct cause cause;

	if (!token_read(token, &cause))
		return;
	images_note_handled(s->images, &cause);
	pass(s, token, strcspn(token, "/"));
	pass(s, token, strlen(token));
}

int images_take_stored(struct images *images, struct store *store)
{
	struct search s = { .images = images };
	struct left *left;
	size_t pos = 0;
	int rc;

	if (images->by_key.count == 0)
		return 0;
	for (struct image *i; (i = map_next(&images->by_key, &pos)) != NULL;)
		add_left(&s, i);
	rc = store_each_token(store, images_stored(images), on_token, &s);
	pos = 0;
	while ((left = map_next(&s.left, &pos)) != NULL)
		for (struct left *next; left != NULL; left = next) {
			next = left->next;
			free(left);
		}
	map_deinit(&s.left);
	return rc;
}
