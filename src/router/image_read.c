/* SPDX-License-Identifier: MIT */
/* Sessions as the journal knows them: reading. */
#include "router/image_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void read_bytes(struct image_reader *r, void *out, size_t n)
{
	if ((size_t)(r->end - r->at) < n) {
		r->is_bad = true;
		memset(out, 0, n);
		return;
	}
	memcpy(out, r->at, n);
	r->at += n;
}

uint32_t image_read_u32(struct image_reader *r)
{
	uint32_t n;

	read_bytes(r, &n, sizeof(n));
	return n;
}

uint64_t image_read_u64(struct image_reader *r)
{
	uint64_t n;

	read_bytes(r, &n, sizeof(n));
	return n;
}

static char *read_text(struct image_reader *r, size_t *len)
{
	uint32_t n = image_read_u32(r);
	char *text;

	if (len != NULL)
		*len = 0;
	if (n == RECORD_NO_TEXT || r->is_bad)
		return NULL;
	if ((size_t)(r->end - r->at) < n) {
		r->is_bad = true;
		return NULL;
	}
	text = mem_dup(r->at, n);
	r->at += n;
	if (len != NULL)
		*len = n;
	return text;
}

/* How many there are of something that takes at least size bytes each. */
static size_t read_count(struct image_reader *r, size_t size)
{
	uint32_t n = image_read_u32(r);

	if (n > (size_t)(r->end - r->at) / size)
		r->is_bad = true;
	return r->is_bad ? 0 : n;
}

static void free_text(struct image_text *t)
{
	free(t->module);
	free(t->key);
	free(t->value);
}

void image_free(struct image *i)
{
	if (i == NULL)
		return;
	for (size_t n = 0; n < i->text_count; n++)
		free_text(&i->texts[n]);
	free(i->texts);
	free(i->presence);
	for (size_t n = i->first; n < i->item_count; n++)
		free(i->items[n].xml);
	free(i->items);
	free(i->seen);
	free(i->handled);
	free(i->account);
	free(i->resource);
	free(i);
}

/* Its value may be missing. */
static struct image_text read_one_text(struct image_reader *r)
{
	struct image_text t = { .module = read_text(r, NULL) };

	t.key = read_text(r, NULL);
	t.value = read_text(r, NULL);
	if (t.module == NULL || t.key == NULL)
		r->is_bad = true;
	return t;
}

static void read_state(struct image *i, struct image_reader *r)
{
	i->presence = read_text(r, NULL);
	i->presence_us = (int64_t)image_read_u64(r);
	i->text_count = read_count(r, 3 * sizeof(uint32_t));
	i->texts = mem_array(i->text_count, sizeof(*i->texts));
	for (size_t n = 0; n < i->text_count; n++) {
		i->texts[n] = read_one_text(r);
		if (i->texts[n].value == NULL)
			r->is_bad = true;
	}
}

void image_read_presence(struct image *i, struct image_reader *r)
{
	char *presence = read_text(r, NULL);
	int64_t us = (int64_t)image_read_u64(r);

	if (r->is_bad) {
		free(presence);
		return;
	}
	free(i->presence);
	i->presence = presence;
	i->presence_us = us;
}

static void drop_text(struct image *i, const struct image_text *t)
{
	for (size_t n = 0; n < i->text_count; n++) {
		if (strcmp(i->texts[n].module, t->module) != 0 || strcmp(i->texts[n].key, t->key) != 0)
			continue;
		free_text(&i->texts[n]);
		i->texts[n] = i->texts[--i->text_count];
		return;
	}
}

void image_read_kept(struct image *i, struct image_reader *r)
{
	struct image_text t = read_one_text(r);

	if (!r->is_bad)
		drop_text(i, &t);
	if (r->is_bad || t.value == NULL) {
		free_text(&t);
		return;
	}
	i->texts = mem_resize(i->texts, (i->text_count + 1) * sizeof(*i->texts));
	i->texts[i->text_count++] = t;
}

void image_read_item(struct image *i, struct image_reader *r)
{
	struct image_item item = { 0 };

	item.cause.key = image_read_u64(r);
	item.cause.hash = image_read_u64(r);
	item.cause.number = image_read_u64(r);
	item.received_us = (int64_t)image_read_u64(r);
	item.flags = image_read_u32(r);
	if ((item.flags & IMAGE_STORED) != 0) {
		item.stored.key = image_read_u64(r);
		item.stored.hash = image_read_u64(r);
	}
	item.xml = read_text(r, &item.len);
	if (r->is_bad) {
		free(item.xml);
		return;
	}
	if (i->first > i->item_count / 2) {
		i->item_count -= i->first;
		memmove(i->items, i->items + i->first, i->item_count * sizeof(*i->items));
		i->first = 0;
	}
	if (i->item_count == i->item_room) {
		i->item_room = i->item_room != 0 ? 2 * i->item_room : 4;
		i->items = mem_resize(i->items, i->item_room * sizeof(*i->items));
	}
	i->items[i->item_count++] = item;
}

struct image_handled image_read_handled(struct image_reader *r)
{
	struct image_handled item = { .number = image_read_u32(r) };

	item.hash = image_read_u64(r);
	return item;
}

static void read_all_handled(struct image *i, struct image_reader *r)
{
	i->handled_count = read_count(r, sizeof(uint32_t) + sizeof(uint64_t));
	i->handled = mem_array(i->handled_count, sizeof(*i->handled));
	for (size_t n = 0; n < i->handled_count; n++)
		i->handled[n] = image_read_handled(r);
}

static void read_seen(struct image *i, struct image_reader *r)
{
	i->seen_count = i->seen_room = read_count(r, 2 * sizeof(uint64_t));
	i->seen = mem_array(i->seen_count, sizeof(*i->seen));
	for (size_t n = 0; n < i->seen_count; n++) {
		i->seen[n].key = image_read_u64(r);
		i->seen[n].hash = image_read_u64(r);
	}
}

struct image *image_read(uint64_t key, struct image_reader *r)
{
	struct image *i = mem_new(sizeof(*i));
	char *id;
	size_t len;

	list_init(&i->link);
	i->key = key;
	read_state(i, r);
	i->account = read_text(r, NULL);
	i->resource = read_text(r, NULL);
	id = read_text(r, &len);
	if (i->account == NULL || i->resource == NULL || id == NULL || len != SM_ID_SIZE - 1 || strlen(id) != len)
		r->is_bad = true;
	else
		memcpy(i->id, id, SM_ID_SIZE);
	free(id);
	i->can_resume = image_read_u32(r) != 0;
	i->in = image_read_u32(r);
	i->acked = image_read_u32(r);
	i->max_ms = image_read_u64(r);
	read_all_handled(i, r);
	read_seen(i, r);
	for (size_t n = read_count(r, 4 * sizeof(uint64_t) + 2 * sizeof(uint32_t)); n != 0 && !r->is_bad; n--)
		image_read_item(i, r);
	if (!r->is_bad)
		return i;
	image_free(i);
	return NULL;
}
