/* SPDX-License-Identifier: MIT */
/* Sessions as the journal knows them: what its records add up to. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/image_read.h"

static struct image *find(const struct images *images, uint64_t key)
{
	return map_find(&images->by_key, (const char *)&key, sizeof(key));
}

static void drop(struct images *images, uint64_t key)
{
	image_free(map_remove(&images->by_key, (const char *)&key, sizeof(key)));
}

/* ---- what is told of stanzas that were handled, perhaps by another worker ---- */

struct handled_list {
	uint64_t key;
	struct image_handled *items;
	size_t count, room;
};

static void free_handled_list(struct handled_list *l)
{
	if (l == NULL)
		return;
	free(l->items);
	free(l);
}

static void note_handled(struct images *images, uint64_t key, struct image_handled item)
{
	struct handled_list *l = map_find(&images->handled, (const char *)&key, sizeof(key));

	if (l == NULL) {
		l = mem_new(sizeof(*l));
		l->key = key;
		map_put(&images->handled, (const char *)&l->key, sizeof(l->key), l);
	}
	if (l->count == l->room) {
		l->room = l->room != 0 ? 2 * l->room : 8;
		l->items = mem_resize(l->items, l->room * sizeof(*l->items));
	}
	l->items[l->count++] = item;
}

static void take_handled(struct images *images, uint64_t key, struct image_reader *r)
{
	struct image_handled item = image_read_handled(r);

	if (!r->is_bad)
		note_handled(images, key, item);
}

void images_note_handled(struct images *images, const struct cause *cause)
{
	if (cause->number != 0)
		note_handled(images, cause->key, (struct image_handled){ (uint32_t)cause->number, cause->hash });
}

static void drop_handled(struct images *images, uint64_t key)
{
	free_handled_list(map_remove(&images->handled, (const char *)&key, sizeof(key)));
}

static void add_handled(struct image *i, const struct handled_list *l)
{
	i->handled = mem_resize(i->handled, (i->handled_count + l->count) * sizeof(*i->handled));
	memcpy(i->handled + i->handled_count, l->items, l->count * sizeof(*l->items));
	i->handled_count += l->count;
}

/* What waits for a client was safe when it was read here, even if its sender had not heard so. In which of its sender's
 * sayings it has its number is not known. */
static void add_waiting(struct images *images, const struct image *i)
{
	for (size_t n = i->first; n < i->item_count; n++) {
		const struct cause *cause = &i->items[n].cause;
		struct image_handled item = { (uint32_t)cause->number, cause->hash };
		struct image *sender = cause->number != 0 ? find(images, cause->key) : NULL;

		if (sender != NULL && (int32_t)(item.number - sender->in) > 0)
			add_handled(sender, &(struct handled_list){ .items = &item, .count = 1 });
	}
}

static int compare_handled(const void *a, const void *b)
{
	const struct image_handled *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (x->hash > y->hash) - (x->hash < y->hash);
}

/* The client knows of those before the count, and two workers may have told of one. They do not make the count greater:
 * a number may be that of an earlier saying, and another stanza's by now, which never came. */
static void sort_handled(struct image *i)
{
	uint32_t base = i->in + 1;
	size_t left = 0;

	/* From the count on, so that they sort over the end of the numbers too. */
	for (size_t n = 0; n < i->handled_count; n++)
		i->handled[n].number -= base;
	if (i->handled_count != 0)
		qsort(i->handled, i->handled_count, sizeof(*i->handled), compare_handled);
	for (size_t n = 0; n < i->handled_count; n++) {
		struct image_handled item = i->handled[n];

		if (item.number > INT32_MAX)
			break;
		item.number += base;
		if (left == 0 || i->handled[left - 1].number != item.number || i->handled[left - 1].hash != item.hash)
			i->handled[left++] = item;
	}
	i->handled_count = left;
}

/* ---- records ---- */

/* Its sender may not know that it is safe (it may be under way to other sessions), and send it again. */
static void note_seen(struct image *i, const struct cause *cause)
{
	if (cause->key == 0)
		return;
	if (i->seen_count >= SESSION_SEEN_MAX)
		memmove(i->seen, i->seen + 1, --i->seen_count * sizeof(*i->seen));
	if (i->seen_count == i->seen_room) {
		i->seen_room = i->seen_room != 0 ? 2 * i->seen_room : 4;
		i->seen = mem_resize(i->seen, i->seen_room * sizeof(*i->seen));
	}
	i->seen[i->seen_count++] = *cause;
}

static void take_acked(struct image *i, uint32_t acked)
{
	uint32_t count = acked - i->acked;

	if (count > i->item_count - i->first)
		count = (uint32_t)(i->item_count - i->first);
	i->acked = acked;
	for (; count != 0; count--) {
		note_seen(i, &i->items[i->first].cause);
		note_seen(i, &i->items[i->first].stored);
		free(i->items[i->first++].xml);
	}
	if (i->first == i->item_count)
		i->first = i->item_count = 0;
}

static void take_settled(struct image *i, struct image_reader *r)
{
	struct cause cause = { .key = image_read_u64(r) };

	cause.hash = image_read_u64(r);
	for (size_t n = i->first; n < i->item_count && !r->is_bad; n++)
		if (i->items[n].cause.key == cause.key && i->items[n].cause.hash == cause.hash)
			i->items[n].flags |= IMAGE_SETTLED;
}

/* Its sender may say it again, and is known to have said it. */
void image_item_pass(struct image_item *item)
{
	free(item->xml);
	item->xml = NULL;
	item->len = 0;
}

static void take_passed(struct image *i, struct image_reader *r)
{
	uint32_t n = image_read_u32(r);

	if (r->is_bad || n >= i->item_count - i->first) {
		r->is_bad = true;
		return;
	}
	image_item_pass(&i->items[i->first + n]);
}

static void take_session(struct images *images, uint64_t key, struct image_reader *r)
{
	struct image *i = image_read(key, r);

	if (i == NULL)
		return;
	drop(images, key);
	i->file = images->file;
	map_put(&images->by_key, (const char *)&i->key, sizeof(i->key), i);
}

uint64_t images_stored(const struct images *images)
{
	return images->has_files && images->all_stored < images->stored ? images->all_stored : images->stored;
}

/* A file begins. */
static void take_file(struct images *images, struct image_reader *r)
{
	images->file.generation = image_read_u32(r);
	images->file.worker = image_read_u32(r);
	images->file.number = image_read_u32(r);
}

static bool is_of_earlier_file(const struct image *i, const struct image_file *now)
{
	return i->file.generation == now->generation && i->file.worker == now->worker && i->file.number != now->number;
}

/* Removing is not allowed during a walk over the map. */
static void drop_earlier(struct images *images)
{
	uint64_t *keys = mem_array(images->by_key.count + 1, sizeof(*keys));
	size_t count = 0, pos = 0;

	for (const struct image *i; (i = map_next(&images->by_key, &pos)) != NULL;)
		if (is_of_earlier_file(i, &images->file))
			keys[count++] = i->key;
	while (count != 0)
		drop(images, keys[--count]);
	free(keys);
}

static void take_count(struct image *i, unsigned type, struct image_reader *r)
{
	uint32_t n = image_read_u32(r);

	if (r->is_bad)
		return;
	if (type == RECORD_ACKED)
		take_acked(i, n);
	else
		i->in = n;
}

/* What cannot be read changes nothing. */
static void take_known(struct images *images, struct image *i, unsigned type, struct image_reader *r)
{
	switch (type) {
	case RECORD_PRESENCE:
		image_read_presence(i, r);
		break;
	case RECORD_KEPT:
		image_read_kept(i, r);
		break;
	case RECORD_SENT:
		image_read_item(i, r);
		break;
	case RECORD_ACKED:
	case RECORD_COUNT:
		take_count(i, type, r);
		break;
	case RECORD_WRITTEN:
		for (size_t n = i->first; n < i->item_count; n++)
			i->items[n].flags |= IMAGE_WRITTEN;
		break;
	case RECORD_SETTLED:
		take_settled(i, r);
		break;
	case RECORD_OVER:
		i->can_resume = false;
		break;
	case RECORD_PASSED:
		take_passed(i, r);
		break;
	case RECORD_END:
		drop_handled(images, i->key);
		drop(images, i->key);
		break;
	default:
		r->is_bad = true;
		break;
	}
}

static void take_of_file(struct images *images, unsigned type, struct image_reader *r)
{
	if (type == RECORD_STORED) {
		images->stored = image_read_u64(r);
		return;
	}
	if (type == RECORD_FILE && images->is_in_file) {
		images->all_stored = images_stored(images);
		images->has_files = true;
		images->stored = 0;
	}
	images->is_in_file = true;
	take_file(images, r);
	if (type == RECORD_WHOLE && !r->is_bad)
		drop_earlier(images);
}

void images_take(void *arg, unsigned type, const char *body, size_t len)
{
	struct images *images = arg;
	struct image_reader r = { body, body + len, false };
	uint64_t key;
	struct image *i;

	if (type == RECORD_FILE || type == RECORD_WHOLE || type == RECORD_STORED) {
		take_of_file(images, type, &r);
		images->damaged += r.is_bad;
		return;
	}
	key = image_read_u64(&r);
	i = find(images, key);
	if (type == RECORD_SESSION && !r.is_bad)
		take_session(images, key, &r);
	else if (type == RECORD_HANDLED && !r.is_bad)
		take_handled(images, key, &r);
	else if (i != NULL && !r.is_bad)
		take_known(images, i, type, &r);
	if (r.is_bad)
		images->damaged++;
}

void images_settle(struct images *images)
{
	struct handled_list *l;
	size_t pos = 0;

	while ((l = map_next(&images->handled, &pos)) != NULL) {
		struct image *i = find(images, l->key);

		if (i != NULL)
			add_handled(i, l);
		free_handled_list(l);
	}
	map_deinit(&images->handled);
	pos = 0;
	for (struct image *i; (i = map_next(&images->by_key, &pos)) != NULL;)
		add_waiting(images, i);
	pos = 0;
	for (struct image *i; (i = map_next(&images->by_key, &pos)) != NULL;)
		sort_handled(i);
}

void images_give(struct images *images, void (*take)(void *arg, struct image *i), void *arg)
{
	struct image *i;
	size_t pos = 0;

	while ((i = map_next(&images->by_key, &pos)) != NULL)
		take(arg, i);
	map_deinit(&images->by_key);
}

static void forget(void *arg, struct image *i)
{
	(void)arg;
	image_free(i);
}

void images_deinit(struct images *images)
{
	struct handled_list *l;
	size_t pos = 0;

	images_give(images, forget, NULL);
	while ((l = map_next(&images->handled, &pos)) != NULL)
		free_handled_list(l);
	map_deinit(&images->handled);
}
