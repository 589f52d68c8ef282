/* SPDX-License-Identifier: MIT */
/* Roster items: in memory, on disk, as clients see them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roster.h"

/* Key of the row that holds the version; no address is empty. */
#define KEY_VERSION ""
/* First byte of a stored item; another layout gets another letter. */
#define FORMAT 'A'

/* An item with what of it is counted in its roster; all items are made here, as one of these. */
struct entry {
	struct comity_roster_item item;    /* must be first */
	struct roster_sizes counted;
};

struct roster *roster_of(struct comity_mod *m, struct comity_account *a)
{
	return comity_account_data(m, a);
}

struct comity_roster_item *roster_find(const struct roster *r, const struct comity_jid *contact)
{
	for (size_t i = 0; i < r->count; i++)
		if (comity_jid_equal(r->items[i]->jid, contact))
			return r->items[i];
	return NULL;
}

/* Memory is never short for what limits allow; see DESIGN, section 5. */
static void *must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- sizes, kept by difference: to walk a large roster for each change would take too long ---- */

static size_t text_size(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 0;
}

static size_t memory_size(const struct comity_roster_item *item)
{
	size_t bytes = sizeof(item) + sizeof(struct entry) + text_size(item->name) + text_size(item->request);

	for (size_t i = 0; i < item->group_count; i++)
		bytes += sizeof(char *) + text_size(item->groups[i]);
	return bytes + text_size(comity_jid_text(item->jid));
}

/* The attributes of states count always, so that an item grows only when its user makes it. */
static size_t written_size(const struct comity_roster_item *item)
{
	static const char tags[] = "<item jid='' name='' subscription='none' ask='subscribe' approved='true'></item>";
	size_t bytes = sizeof(tags) - 1 + comity_escaped_size(comity_jid_text(item->jid));

	if (item->name != NULL)
		bytes += comity_escaped_size(item->name);
	for (size_t i = 0; i < item->group_count; i++)
		bytes += sizeof("<group></group>") - 1 + comity_escaped_size(item->groups[i]);
	return bytes;
}

static const struct roster_sizes *counted_of(const struct comity_roster_item *item)
{
	return &((const struct entry *)(const void *)item)->counted;
}

/* Replaces what the roster counts for an item. */
static void count_as(struct roster *r, struct comity_roster_item *item, struct roster_sizes now)
{
	struct roster_sizes *counted = &((struct entry *)(void *)item)->counted;

	r->sizes.memory += now.memory - counted->memory;
	r->sizes.written += now.written - counted->written;
	r->sizes.request += now.request - counted->request;
	*counted = now;
}

static void count_item(struct roster *r, struct comity_roster_item *item)
{
	count_as(r, item, (struct roster_sizes){
		.memory = memory_size(item),
		.written = item->is_listed ? written_size(item) : 0,
		.request = item->request != NULL ? strlen(item->request) : 0,
	});
}

/* ---- in memory ---- */

void roster_add(struct roster *r, struct comity_roster_item *item)
{
	r->items = must(realloc(r->items, (r->count + 1) * sizeof(*r->items)));
	r->items[r->count++] = item;
	count_item(r, item);
}

struct comity_roster_item *roster_get(struct roster *r, struct comity_jid *contact)
{
	struct comity_roster_item *item = roster_find(r, contact);

	if (item != NULL)
		return item;
	item = must(calloc(1, sizeof(struct entry)));
	item->jid = comity_jid_ref(contact);
	roster_add(r, item);
	return item;
}

size_t roster_count_listed(const struct roster *r)
{
	size_t count = 0;

	for (size_t i = 0; i < r->count; i++)
		count += r->items[i]->is_listed;
	return count;
}

const char *roster_find_limit(const struct roster *r, const struct roster_conf *conf,
                              const struct comity_roster_item *item, const struct comity_roster_item *wanted)
{
	size_t before = item != NULL ? counted_of(item)->written : 0, after = written_size(wanted);

	if (before == 0 && (int64_t)roster_count_listed(r) >= conf->max_items)
		return "this is one over max_items of the roster";
	if (after > before && r->sizes.written - before + after > conf->max_size)
		return "this is over max_size of the roster";
	return NULL;
}

uint64_t roster_touch(struct comity_mod *m, struct roster *r, struct comity_roster_item *item)
{
	uint64_t now = (uint64_t)comity_wall_us(m);

	r->version = now > r->version ? now : r->version + 1;
	if (item != NULL)
		item->version = r->version;
	return r->version;
}

static void clear_details(struct comity_roster_item *item)
{
	for (size_t i = 0; i < item->group_count; i++)
		free(item->groups[i]);
	free(item->groups);
	free(item->name);
	item->groups = NULL;
	item->group_count = 0;
	item->name = NULL;
}

void roster_item_free(struct comity_roster_item *item)
{
	if (item == NULL)
		return;
	clear_details(item);
	comity_jid_unref(item->jid);
	free(item->request);
	free(item);
}

void roster_item_set(struct comity_roster_item *item, const char *name, char **groups, size_t group_count)
{
	char **copies = must(calloc(group_count + 1, sizeof(char *)));
	char *name_copy = name != NULL ? must(strdup(name)) : NULL;

	for (size_t i = 0; i < group_count; i++)
		copies[i] = must(strdup(groups[i]));
	clear_details(item);
	item->name = name_copy;
	item->groups = copies;
	item->group_count = group_count;
}

void roster_item_reset(struct comity_roster_item *item)
{
	item->subscription = COMITY_SUB_NONE;
	item->ask = item->asked = item->approved = false;
	free(item->request);
	item->request = NULL;
}

struct comity_roster_item *roster_item_copy(const struct comity_roster_item *item)
{
	struct comity_roster_item *copy = must(calloc(1, sizeof(struct entry)));

	*copy = *item;
	copy->jid = comity_jid_ref(item->jid);
	copy->name = NULL;
	copy->groups = NULL;
	copy->group_count = 0;
	copy->request = item->request != NULL ? must(strdup(item->request)) : NULL;
	roster_item_set(copy, item->name, item->groups, item->group_count);
	return copy;
}

void roster_drop(struct roster *r, struct comity_roster_item *item)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->items[i] != item)
			continue;
		r->items[i] = r->items[--r->count];
		count_as(r, item, (struct roster_sizes){ 0 });
		roster_item_free(item);
		return;
	}
}

/* ---- on disk: FORMAT, flags, then strings that each end with NUL: request, name, groups; an empty
 * request or name is none ---- */

static unsigned char flags_of(const struct comity_roster_item *item)
{
	return (unsigned char)('0' + (unsigned)item->subscription + 4u * item->ask + 8u * item->asked +
	                       16u * item->approved + 32u * item->is_listed);
}

static char *encode(const struct comity_roster_item *item, size_t *len)
{
	const char *name = item->name != NULL ? item->name : "", *request = item->request != NULL ? item->request : "";
	size_t size = 2 + strlen(request) + 1 + strlen(name) + 1;
	char *bytes, *at;

	for (size_t i = 0; i < item->group_count; i++)
		size += strlen(item->groups[i]) + 1;
	at = bytes = must(malloc(size));
	*at++ = FORMAT;
	*at++ = (char)flags_of(item);
	at = stpcpy(at, request) + 1;
	at = stpcpy(at, name) + 1;
	for (size_t i = 0; i < item->group_count; i++)
		at = stpcpy(at, item->groups[i]) + 1;
	*len = size;
	return bytes;
}

/* The next string before end; NULL when there is none. */
static const char *next_string(const char **at, const char *end)
{
	const char *s = *at, *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;

	if (nul == NULL)
		return NULL;
	*at = nul + 1;
	return s;
}

static void decode(struct roster *r, struct comity_jid *jid, const char *bytes, size_t len)
{
	const char *at = bytes + 2, *end = bytes + len, *name, *request, *group;
	struct comity_roster_item *item;
	unsigned flags;

	if (len < 2 || bytes[0] != FORMAT || (request = next_string(&at, end)) == NULL ||
	    (name = next_string(&at, end)) == NULL)
		return;
	flags = (unsigned char)bytes[1] - '0';
	item = roster_get(r, jid);
	item->subscription = (enum comity_subscription)(flags & 3);
	item->ask = (flags & 4) != 0;
	item->asked = (flags & 8) != 0;
	item->approved = (flags & 16) != 0;
	item->is_listed = (flags & 32) != 0;
	item->request = *request != '\0' ? must(strdup(request)) : NULL;
	item->name = *name != '\0' ? must(strdup(name)) : NULL;
	while ((group = next_string(&at, end)) != NULL) {
		item->groups = must(realloc(item->groups, (item->group_count + 1) * sizeof(char *)));
		item->groups[item->group_count++] = must(strdup(group));
	}
	count_item(r, item);
}

void roster_load(struct roster *r, const struct store_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct comity_jid *jid;

		if (strcmp(rows[i].key, KEY_VERSION) == 0) {
			char text[24] = "";

			memcpy(text, rows[i].value, rows[i].len < sizeof(text) - 1 ? rows[i].len : sizeof(text) - 1);
			r->version = r->pushed = strtoull(text, NULL, 10);
			continue;
		}
		jid = comity_jid_parse(rows[i].key);
		if (jid != NULL)
			decode(r, jid, rows[i].value, rows[i].len);
		comity_jid_unref(jid);
	}
}

void roster_unload(struct roster *r)
{
	for (size_t i = 0; i < r->count; i++)
		roster_item_free(r->items[i]);
	free(r->items);
	*r = (struct roster){ 0 };
}

void roster_tell_bytes(struct comity_account *a, struct roster *r)
{
	comity_account_add_bytes(a, (ptrdiff_t)r->sizes.memory - (ptrdiff_t)r->told);
	r->told = r->sizes.memory;
}

void roster_save(struct comity_mod *m, struct comity_account *a, const struct comity_jid *contact,
                 comity_write_cb *cb, void *arg)
{
	struct roster *r = roster_of(m, a);
	struct comity_roster_item *item = roster_find(r, contact);
	struct store_row rows[2] = { { STORE_ROSTER, comity_jid_text(contact), NULL, 0 } };
	char version[24], *bytes = NULL;

	if (item != NULL)
		count_item(r, item);
	roster_tell_bytes(a, r);
	snprintf(version, sizeof(version), "%llu", (unsigned long long)r->version);
	if (item != NULL)
		rows[0].value = bytes = encode(item, &rows[0].len);
	rows[1] = (struct store_row){ STORE_ROSTER, KEY_VERSION, version, strlen(version) };
	comity_map_put(m, comity_account_jid(a), rows, 2, cb, arg);
	free(bytes);
}

/* ---- as clients see it ---- */

void roster_item_write(struct comity_elem *query, const struct comity_roster_item *item)
{
	static const char *const names[] = { "none", "to", "from", "both" };
	struct comity_elem *e = comity_elem_add(query, NULL, "item");

	comity_elem_set(e, "jid", comity_jid_text(item->jid));
	comity_elem_set(e, "name", item->name);
	comity_elem_set(e, "subscription", names[item->subscription]);
	comity_elem_set(e, "ask", item->ask ? "subscribe" : NULL);
	comity_elem_set(e, "approved", item->approved ? "true" : NULL);
	for (size_t i = 0; i < item->group_count; i++)
		comity_elem_add_text(e, NULL, "group", item->groups[i]);
}

static void push_to(struct comity_mod *m, struct comity_session *s, const struct comity_jid *contact,
                    const struct comity_roster_item *item, uint64_t version)
{
	struct comity_stanza *st = comity_stanza_new(COMITY_IQ, COMITY_TYPE_SET);
	struct comity_elem *query = comity_elem_add(comity_stanza_edit(st), NS_ROSTER, "query"), *removed;
	unsigned char random[8];
	char text[24], id[24];

	comity_random(m, random, sizeof(random));
	snprintf(id, sizeof(id), "push-%02x%02x%02x%02x%02x%02x", random[0], random[1], random[2], random[3], random[4],
	         random[5]);
	comity_stanza_set_id(st, id);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)version);
	comity_elem_set(query, "ver", text);
	if (item != NULL) {
		roster_item_write(query, item);
	} else {
		removed = comity_elem_add(query, NULL, "item");
		comity_elem_set(removed, "jid", comity_jid_text(contact));
		comity_elem_set(removed, "subscription", "remove");
	}
	/* RFC 6121 2.1.6: no 'from', it is the user's own account. */
	comity_session_send(s, st, NULL, comity_session_jid(s));
	comity_stanza_unref(st);
}

void roster_push(struct comity_mod *m, struct comity_account *a, const struct comity_jid *contact,
                 const struct comity_roster_item *item)
{
	struct roster *r = roster_of(m, a);
	struct comity_session *next;

	/* A client must not believe that it knows what has not been pushed yet. */
	if (r->saving == 0)
		r->pushed = r->version;
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = next) {
		const struct roster_session *data = comity_session_data(m, s);

		next = comity_session_next(s);
		if (data->is_interested)
			push_to(m, s, contact, item, r->pushed);
	}
}
