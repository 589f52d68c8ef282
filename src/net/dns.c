/* SPDX-License-Identifier: MIT */
/* Questions to name servers: shared while they are under way, kept for their time to live. */
#include "net/dns.h"

#include <ctype.h>
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
	bool is_doomed;                /* dns_flush is about to drop it */
	bool is_authentic;
	enum dns_kind kind;
	enum dns_result result;
	size_t count;
	struct dns_record *records;
	size_t counted;                /* bytes of it that are in the tally */
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
	size_t bytes;                  /* of all entries */
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

/* ---- life ---- */

struct dns *dns_new_with(struct worker *w, const struct dns_settings *settings, struct dns_source *source)
{
	struct dns *d = mem_new(sizeof(*d));

	d->worker = w;
	d->settings = *settings;
	d->settings.servers = NULL;
	if (d->settings.max_records == 0)
		d->settings.max_records = 1;
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

static void count(struct dns_entry *e, size_t bytes)
{
	e->dns->bytes += bytes - e->counted;
	tally_set(&e->dns->worker->tally, TALLY_NAMES, &e->counted, bytes);
}

/* Those who ask from now on get another one. */
static void unlink_entry(struct dns_entry *e)
{
	if (map_find(&e->dns->entries, e->key, e->key_len) == e)
		map_remove(&e->dns->entries, e->key, e->key_len);
	list_remove(&e->kept);
}

static void entry_free(struct dns_entry *e)
{
	unlink_entry(e);
	worker_timer_stop(e->dns->worker, &e->deliver);
	for (struct list *l; (l = list_shift(&e->waiting)) != NULL;)
		free(LIST_ENTRY(l, struct dns_query, link));
	count(e, 0);
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

/* Nobody waits for it, and the source does not know it any more. */
static bool is_idle(const struct dns_entry *e)
{
	return list_empty(&e->waiting) && !e->is_delivering && (e->is_answered || !e->is_asked);
}

/* Entries without use go when there are too many, the longest unused first. */
static void make_room(struct dns *d)
{
	LIST_EACH(l, next, &d->kept) {
		struct dns_entry *e = LIST_ENTRY(l, struct dns_entry, kept);

		if (d->entries.count <= d->settings.cache_entries && d->bytes <= d->settings.cache_bytes)
			return;
		if (is_idle(e))
			entry_free(e);
	}
}

static void on_deliver(struct worker *w, struct timer *t)
{
	struct dns_entry *e = LIST_ENTRY(t, struct dns_entry, deliver);
	const struct dns_answer answer = { e->result, e->count, e->records, e->is_authentic };
	struct dns *d = e->dns;
	struct list now;
	bool is_kept = is_fresh(e);

	(void)w;
	/* Who asks again out of a callback asks anew. */
	if (!is_kept)
		unlink_entry(e);
	list_init(&now);
	list_splice(&now, &e->waiting);
	e->is_delivering = true;
	for (struct list *l; (l = list_shift(&now)) != NULL;) {
		struct dns_query *q = LIST_ENTRY(l, struct dns_query, link);

		q->cb(q->arg, &answer);
		free(q);
	}
	e->is_delivering = false;
	if (!is_kept)
		entry_free(e);
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
	count(e, sizeof(*e) + len + 1);
	return e;
}

static size_t make_key(char *key, size_t room, enum dns_kind kind, const char *name)
{
	int len = snprintf(key, room, "%d %s", (int)kind, name);

	for (char *c = key; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return (size_t)len < room ? (size_t)len : room - 1;
}

/* The entry for a key, a new one when there is none or its time is over. */
static struct dns_entry *get_entry(struct dns *d, enum dns_kind kind, const char *key, size_t len)
{
	struct dns_entry *e = map_find(&d->entries, key, len);

	if (e != NULL && !is_fresh(e) && is_idle(e)) {
		entry_free(e);
		e = NULL;
	}
	if (e == NULL)
		e = entry_new(d, kind, key, len);
	list_remove(&e->kept);
	list_append(&d->kept, &e->kept);
	return e;
}

static void ask_source(struct dns_entry *e)
{
	struct dns *d = e->dns;

	e->is_asked = true;
	if (strlen(e->name) >= DNS_NAME_MAX)
		dns_source_answer(d, e, DNS_NO_NAME, NULL, 0);
	else
		d->source->ask(d->source, e->kind, e->name, e);
}

struct dns_query *dns_ask(struct dns *d, enum dns_kind kind, const char *name, dns_cb *cb, void *arg)
{
	char key[DNS_NAME_MAX + 64];
	size_t len = make_key(key, sizeof(key), kind, name);
	struct dns_entry *e = get_entry(d, kind, key, len);
	struct dns_query *q = mem_new(sizeof(*q));

	q->entry = e;
	q->cb = cb;
	q->arg = arg;
	list_init(&q->link);
	list_append(&e->waiting, &q->link);
	if (e->is_answered)
		worker_timer_start(d->worker, &e->deliver, 0);
	else if (!e->is_asked)
		ask_source(e);
	return q;
}

void dns_cancel(struct dns_query *q)
{
	if (q == NULL)
		return;
	list_remove(&q->link);
	free(q);
}

/* Milliseconds for which an answer holds. Failures are not kept: the next who asks may have more luck. */
static uint64_t hold_ms(const struct dns_settings *s, enum dns_result result, uint32_t ttl)
{
	uint64_t ms = (uint64_t)ttl * 1000, max = s->max_ttl_ms;

	if (result == DNS_TIMEOUT || result == DNS_FAILED)
		return 0;
	if (result != DNS_FOUND)
		max = s->negative_ttl_ms;
	return ms < max ? ms : max;
}

static enum dns_result read_message(struct dns_entry *e, const unsigned char *message, size_t len, uint32_t *ttl)
{
	size_t room = e->dns->settings.max_records;
	struct dns_record *records = mem_array(room, sizeof(*records));
	enum dns_result result = dns_message_read(message, len, e->kind, records, room, &e->count, ttl);

	if (result != DNS_FOUND) {
		e->count = 0;
		free(records);
		return result;
	}
	e->records = mem_resize(records, e->count * sizeof(*records));
	count(e, e->counted + e->count * sizeof(*records));
	return result;
}

void dns_source_answer(struct dns *d, void *token, enum dns_result result, const unsigned char *message, size_t len)
{
	struct dns_entry *e = token;
	uint32_t ttl = UINT32_MAX;

	if (d->is_ending || e->is_answered)
		return;
	e->is_answered = true;
	if (message != NULL) {
		result = read_message(e, message, len, &ttl);
		e->is_authentic = d->settings.is_trusted && dns_message_is_authentic(message, len);
	}
	e->result = result;
	e->until = worker_now(d->worker) + hold_ms(&d->settings, result, ttl);
	worker_timer_start(d->worker, &e->deliver, 0);
}

/* ---- flushing ---- */

static bool is_under(const char *name, const char *domain)
{
	size_t have = strlen(name), len = strlen(domain);

	if (len == 0)
		return true;
	return have >= len && strcasecmp(name + have - len, domain) == 0 && (have == len || name[have - len - 1] == '.');
}

static void doom(struct dns *d, enum dns_kind kind, const char *name)
{
	char key[2 * DNS_NAME_MAX];
	struct dns_entry *e = map_find(&d->entries, key, make_key(key, sizeof(key), kind, name));

	if (e != NULL)
		e->is_doomed = true;
}

static void doom_host(struct dns *d, const char *host, unsigned port)
{
	char tlsa[DNS_NAME_MAX + 32];

	doom(d, DNS_A, host);
	doom(d, DNS_AAAA, host);
	snprintf(tlsa, sizeof(tlsa), "_%u._tcp.%s", port, host);
	doom(d, DNS_TLSA, tlsa);
}

void dns_flush(struct dns *d, const char *name)
{
	if (d == NULL)
		return;
	LIST_EACH(l, next, &d->kept) {
		struct dns_entry *e = LIST_ENTRY(l, struct dns_entry, kept);

		if (!is_under(e->name, name))
			continue;
		e->is_doomed = true;
		for (size_t i = 0; e->kind == DNS_SRV && i < e->count; i++)
			doom_host(d, e->records[i].target, e->records[i].port);
	}
	LIST_EACH(l, next, &d->kept) {
		struct dns_entry *e = LIST_ENTRY(l, struct dns_entry, kept);

		if (e->is_doomed && is_idle(e))
			entry_free(e);
		else
			e->is_doomed = false;
	}
}
