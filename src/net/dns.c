/* SPDX-License-Identifier: MIT */
/* Questions to name servers: shared while they are under way, kept for their time to live. */
#include "net/dns.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/map.h"
#include "base/mem.h"

/* One question and its answer; in the cache, or under way. */
struct dns_entry {
	struct dns *dns;
	struct list kept;              /* in dns->kept, the longest unused first */
	struct list waiting;           /* struct dns_query */
	struct timer deliver;          /* runs when an answer is there for those who wait */
	uint64_t until;
	bool is_asked, is_answered, is_delivering;
	enum dns_kind kind;
	enum dns_result result;
	size_t count;
	struct dns_record *records;
	size_t key_len;
	char *name;                    /* inside key */
	char key[];
};

struct dns_query {
	struct list link;
	struct dns_entry *entry;
	dns_cb *cb;
	void *arg;
};

struct dns {
	struct worker *worker;
	struct dns_settings settings;
	struct dns_source *source;
	struct map entries;
	struct list kept;
	bool is_ending;
};

const char *dns_result_text(enum dns_result result)
{
	static const char *const texts[] = {
		[DNS_FOUND] = "found",
		[DNS_NO_NAME] = "no such name",
		[DNS_NO_DATA] = "no record of this kind",
		[DNS_TIMEOUT] = "no answer in time",
		[DNS_FAILED] = "the name servers could not answer",
	};

	return texts[result];
}

char *dns_to_ascii(const char *name)
{
	size_t len = strlen(name);
	unsigned char bin[sizeof(struct in6_addr)];
	char *ascii = NULL, *copy;

	if (len > 2 && name[0] == '[' && name[len - 1] == ']') {
		copy = mem_strdup(name + 1);
		copy[len - 2] = '\0';
		return copy;
	}
	if (inet_pton(AF_INET, name, bin) == 1 || inet_pton(AF_INET6, name, bin) == 1)
		return mem_strdup(name);
	if (idn2_to_ascii_8z(name, &ascii, IDN2_NONTRANSITIONAL) != IDN2_OK)
		return NULL;
	copy = mem_strdup(ascii);
	idn2_free(ascii);
	return copy;
}

/* ---- life ---- */

struct dns *dns_new_with(struct worker *w, const struct dns_settings *settings, struct dns_source *source)
{
	struct dns *d = mem_new(sizeof(*d));

	d->worker = w;
	d->settings = *settings;
	d->settings.servers = NULL;
	d->source = source;
	list_init(&d->kept);
	return d;
}

int dns_new(struct worker *w, const struct dns_settings *settings, struct dns **dns, struct err_text *et)
{
	struct dns *d = dns_new_with(w, settings, NULL);
	int rc = dns_cares_new(w, d, settings, &d->source, et);

	if (rc != 0) {
		dns_free(d);
		return rc;
	}
	*dns = d;
	return 0;
}

static void entry_free(struct dns_entry *e)
{
	struct dns *d = e->dns;

	map_remove(&d->entries, e->key, e->key_len);
	list_remove(&e->kept);
	worker_timer_stop(d->worker, &e->deliver);
	for (struct list *l; (l = list_shift(&e->waiting)) != NULL;)
		free(LIST_ENTRY(l, struct dns_query, link));
	free(e->records);
	free(e);
}

void dns_free(struct dns *d)
{
	size_t pos;
	struct dns_entry *e;

	if (d == NULL)
		return;
	d->is_ending = true;
	if (d->source != NULL)
		d->source->free(d->source);
	while (pos = 0, (e = map_next(&d->entries, &pos)) != NULL)
		entry_free(e);
	map_deinit(&d->entries);
	free(d);
}

/* ---- asking ---- */

static bool is_fresh(const struct dns_entry *e)
{
	return !e->is_answered || e->until > worker_now(e->dns->worker);
}

/* Entries that nobody waits for go when there are too many. */
static void make_room(struct dns *d)
{
	LIST_EACH(l, next, &d->kept) {
		struct dns_entry *e = LIST_ENTRY(l, struct dns_entry, kept);

		if (d->entries.count <= d->settings.cache_entries)
			return;
		if (list_empty(&e->waiting))
			entry_free(e);
	}
}

static void on_deliver(struct worker *w, struct timer *t)
{
	struct dns_entry *e = LIST_ENTRY(t, struct dns_entry, deliver);
	struct dns *d = e->dns;

	(void)w;
	e->is_delivering = true;
	for (struct list *l; (l = list_shift(&e->waiting)) != NULL;) {
		struct dns_query *q = LIST_ENTRY(l, struct dns_query, link);
		const struct dns_answer answer = { e->result, e->count, e->records };

		q->cb(q->arg, &answer);
		free(q);
	}
	e->is_delivering = false;
	make_room(d);
}

static struct dns_entry *entry_new(struct dns *d, enum dns_kind kind, const char *key, size_t len)
{
	struct dns_entry *e = mem_new(sizeof(*e) + len + 1);

	e->dns = d;
	e->kind = kind;
	e->deliver.fire = on_deliver;
	e->key_len = len;
	memcpy(e->key, key, len + 1);
	e->name = e->key + 2;
	list_init(&e->waiting);
	list_init(&e->kept);
	map_put(&d->entries, e->key, e->key_len, e);
	return e;
}

static size_t make_key(char *key, size_t room, enum dns_kind kind, const char *name)
{
	int len = snprintf(key, room, "%d %s", (int)kind, name);

	for (char *c = key; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return len < 0 || (size_t)len >= room ? 0 : (size_t)len;
}

struct dns_query *dns_ask(struct dns *d, enum dns_kind kind, const char *name, dns_cb *cb, void *arg)
{
	char key[DNS_NAME_MAX + 64];
	size_t len = make_key(key, sizeof(key), kind, name);
	struct dns_entry *e = len != 0 ? map_find(&d->entries, key, len) : NULL;
	struct dns_query *q = mem_new(sizeof(*q));

	if (len == 0)
		len = make_key(key, sizeof(key), kind, "");
	if (e != NULL && !is_fresh(e) && list_empty(&e->waiting) && !e->is_delivering) {
		entry_free(e);
		e = NULL;
	}
	if (e == NULL)
		e = entry_new(d, kind, key, len);
	list_remove(&e->kept);
	list_append(&d->kept, &e->kept);
	q->entry = e;
	q->cb = cb;
	q->arg = arg;
	list_init(&q->link);
	list_append(&e->waiting, &q->link);
	if (e->is_answered)
		worker_timer_start(d->worker, &e->deliver, 0);
	else if (!e->is_asked) {
		e->is_asked = true;
		d->source->ask(d->source, kind, e->name, e);
	}
	return q;
}

void dns_cancel(struct dns_query *q)
{
	if (q == NULL)
		return;
	list_remove(&q->link);
	free(q);
}

static void read_message(struct dns_entry *e, const unsigned char *message, size_t len, uint64_t *ttl_ms)
{
	const struct dns_settings *s = &e->dns->settings;
	uint32_t ttl = 0;

	e->records = mem_array(s->max_records, sizeof(*e->records));
	e->result = dns_message_read(message, len, e->kind, e->records, s->max_records, &e->count, &ttl);
	if (e->result != DNS_FOUND)
		return;
	e->records = mem_resize(e->records, e->count * sizeof(*e->records));
	*ttl_ms = ttl > s->max_ttl_ms / 1000 ? s->max_ttl_ms : (uint64_t)ttl * 1000;
}

void dns_source_answer(struct dns *d, void *token, enum dns_result result, const unsigned char *message, size_t len)
{
	struct dns_entry *e = token;
	/* Failures are not kept: the next who asks may have more luck. */
	uint64_t ttl_ms = result == DNS_NO_NAME || result == DNS_NO_DATA ? d->settings.negative_ttl_ms : 0;

	if (d->is_ending)
		return;
	e->is_answered = true;
	e->result = result;
	if (message != NULL) {
		read_message(e, message, len, &ttl_ms);
		if (e->result == DNS_NO_NAME || e->result == DNS_NO_DATA)
			ttl_ms = d->settings.negative_ttl_ms;
	}
	e->until = worker_now(d->worker) + ttl_ms;
	worker_timer_start(d->worker, &e->deliver, 0);
}

void dns_flush(struct dns *d, const char *name)
{
	size_t len = strlen(name);

	if (d == NULL)
		return;
	LIST_EACH(l, next, &d->kept) {
		struct dns_entry *e = LIST_ENTRY(l, struct dns_entry, kept);
		size_t have = strlen(e->name);

		if (e->is_answered && list_empty(&e->waiting) && !e->is_delivering && have >= len &&
		    strcasecmp(e->name + have - len, name) == 0)
			entry_free(e);
	}
}
