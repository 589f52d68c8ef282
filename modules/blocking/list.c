/* SPDX-License-Identifier: MIT */
/* Lists of addresses, and which addresses they mean (XEP-0191 5). */
#include <stdlib.h>
#include <string.h>

#include "blocking.h"

/* Where the text is, or would be. */
static size_t place_of(const struct blocklist *l, const char *text, bool *found)
{
	size_t low = 0, high = l->count;

	*found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(comity_jid_text(l->jids[middle]), text);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool has_text(const struct blocklist *l, const char *text)
{
	bool found;

	place_of(l, text, &found);
	return found;
}

static size_t written_size(const struct comity_jid *jid)
{
	return sizeof("<item jid=''/>") - 1 + comity_escaped_size(comity_jid_text(jid));
}

static void insert(struct blocklist *l, size_t i, struct comity_jid *jid)
{
	/* Room grows by doubling: it is full whenever the count is a power of two. */
	if ((l->count & (l->count - 1)) == 0) {
		l->jids = realloc(l->jids, (l->count != 0 ? l->count * 2 : 1) * sizeof(*l->jids));
		if (l->jids == NULL)
			abort();
	}
	memmove(l->jids + i + 1, l->jids + i, (l->count - i) * sizeof(*l->jids));
	l->jids[i] = comity_jid_ref(jid);
	l->count++;
	l->written += written_size(jid);
}

bool blocklist_add(struct blocklist *l, struct comity_jid *jid)
{
	bool found;
	size_t i = place_of(l, comity_jid_text(jid), &found);

	if (!found)
		insert(l, i, jid);
	return !found;
}

void blocklist_append(struct blocklist *l, struct comity_jid *jid)
{
	insert(l, l->count, jid);
}

static int compare(const void *a, const void *b)
{
	return strcmp(comity_jid_text(*(struct comity_jid *const *)a), comity_jid_text(*(struct comity_jid *const *)b));
}

void blocklist_sort(struct blocklist *l)
{
	size_t kept = 0;

	if (l->count != 0)
		qsort(l->jids, l->count, sizeof(*l->jids), compare);
	for (size_t i = 0; i < l->count; i++) {
		if (kept != 0 && compare(&l->jids[kept - 1], &l->jids[i]) == 0) {
			l->written -= written_size(l->jids[i]);
			comity_jid_unref(l->jids[i]);
		} else {
			l->jids[kept++] = l->jids[i];
		}
	}
	l->count = kept;
}

void blocklist_remove(struct blocklist *l, const struct comity_jid *jid)
{
	bool found;
	size_t i = place_of(l, comity_jid_text(jid), &found);

	if (!found)
		return;
	l->written -= written_size(l->jids[i]);
	comity_jid_unref(l->jids[i]);
	l->count--;
	memmove(l->jids + i, l->jids + i + 1, (l->count - i) * sizeof(*l->jids));
}

bool blocklist_has(const struct blocklist *l, const struct comity_jid *jid)
{
	return has_text(l, comity_jid_text(jid));
}

bool blocklist_covers(const struct blocklist *l, const struct comity_jid *jid)
{
	struct comity_jid *bare;

	if (l->count == 0)
		return false;
	if (blocklist_has(l, jid))
		return true;
	bare = comity_jid_bare(jid);
	return (bare != jid && blocklist_has(l, bare)) || has_text(l, comity_jid_domain(jid));
}

size_t blocklist_memory(const struct blocklist *l)
{
	size_t bytes = 0;

	for (size_t i = 0; i < l->count; i++)
		bytes += sizeof(*l->jids) + strlen(comity_jid_text(l->jids[i])) + 1;
	return bytes;
}

void blocklist_clear(struct blocklist *l)
{
	while (l->count != 0)
		comity_jid_unref(l->jids[--l->count]);
	free(l->jids);
	*l = (struct blocklist){ 0 };
}
