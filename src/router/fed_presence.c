/* SPDX-License-Identifier: MIT */
/* Who of a remote domain is seen as available here, so that nobody stays so for ever when the domain is lost
 * (RFC 6121 4.5.2 leaves it to the server). */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/fed.h"
#include "router/rq.h"

/* One remote resource as one local account sees it. */
struct fed_seen {
	struct comity_jid *from, *to;
	uint32_t serial;               /* of what it said last */
	bool is_stale;                 /* what it said last was not passed on */
	bool is_lost;                  /* shown as unavailable, because the domain was lost */
	bool is_unasked;               /* nobody here is known to have wanted what it said last */
	size_t bytes;                  /* of memory, about */
	size_t len;
	char key[];                    /* "from to" */
};

/* What a link that is gone has left to be said. */
struct fed_farewell {
	struct list link;              /* in fed->farewells */
	struct map seen;
};

/* More than these are not followed, of a link and of all; beside that their bytes are limited by options. */
#define SEEN_MAX 50000
#define SEEN_MAX_IN_ALL 200000
/* What an address takes beside its text, which a full one has twice: its bare form is kept with it. */
#define ADDRESS_COST 128
/* So many are told of in one turn, and then others have theirs. */
#define SLICE 200
#define SLICE_MS 1

/* ---- the table ---- */

static size_t memory_of(const struct comity_jid *from, const struct comity_jid *to, size_t len)
{
	return sizeof(struct fed_seen) + len + 1 + 2 * (comity_jid_text_len(from) + comity_jid_text_len(to) + ADDRESS_COST);
}

static void count(struct federation *f, ptrdiff_t entries, ptrdiff_t bytes)
{
	f->seen_count += (size_t)entries;
	f->seen_bytes += (size_t)bytes;
	tally_add(&f->router->worker->tally, TALLY_PRESENCE, bytes);
}

static void seen_free(struct federation *f, struct fed_seen *p)
{
	count(f, -1, -(ptrdiff_t)p->bytes);
	comity_jid_unref(p->from);
	comity_jid_unref(p->to);
	free(p);
}

static char *make_key(const struct comity_jid *from, const struct comity_jid *to, size_t *len)
{
	char *key = mem_printf("%s %s", comity_jid_text(from), comity_jid_text(to));

	*len = strlen(key);
	return key;
}

static struct fed_seen *find(const struct fed_link *l, const struct comity_jid *from, const struct comity_jid *to)
{
	size_t len;
	char *key = make_key(from, to, &len);
	struct fed_seen *p = map_find(&l->seen, key, len);

	free(key);
	return p;
}

static void set_unasked(struct fed_link *l, struct fed_seen *p, bool is_unasked)
{
	l->unasked_count -= p->is_unasked;
	l->unasked_count += is_unasked;
	p->is_unasked = is_unasked;
}

static void forget(struct fed_link *l, struct fed_seen *p)
{
	set_unasked(l, p, false);
	map_remove(&l->seen, p->key, p->len);
	l->seen_bytes -= p->bytes;
	seen_free(l->fed, p);
}

static bool has_room(const struct fed_link *l, size_t bytes)
{
	const struct federation *f = l->fed;
	const struct fed_settings *s = link_settings(l);

	return l->seen.count < SEEN_MAX && f->seen_count < SEEN_MAX_IN_ALL &&
	       l->seen_bytes + bytes <= s->presence_bytes && f->seen_bytes + bytes <= s->presence_total;
}

/* NULL: there is no room. */
static struct fed_seen *add(struct fed_link *l, struct comity_jid *from, struct comity_jid *to)
{
	size_t len, bytes;
	char *key = make_key(from, to, &len);
	struct fed_seen *p = NULL;

	bytes = memory_of(from, to, len);
	if (has_room(l, bytes)) {
		p = mem_new(sizeof(*p) + len + 1);
		p->from = comity_jid_ref(from);
		p->to = comity_jid_ref(to);
		p->bytes = bytes;
		p->len = len;
		memcpy(p->key, key, len + 1);
		map_put(&l->seen, p->key, len, p);
		set_unasked(l, p, true);
		l->seen_bytes += bytes;
		count(l->fed, 1, (ptrdiff_t)bytes);
	}
	free(key);
	return p;
}

uint32_t link_note_presence(struct fed_link *l, enum comity_type type, struct comity_jid *from, struct comity_jid *to,
                            bool *is_unasked)
{
	struct fed_seen *p;

	if (type != COMITY_TYPE_AVAILABLE && type != COMITY_TYPE_UNAVAILABLE && type != COMITY_TYPE_ERROR)
		return 0;
	p = find(l, from, to);
	if (type != COMITY_TYPE_AVAILABLE) {
		if (p != NULL)
			forget(l, p);
		return 0;
	}
	if (p == NULL)
		p = add(l, from, to);
	if (p == NULL)
		return 0;
	p->is_lost = false;
	*is_unasked = p->is_unasked;
	/* Never 0. */
	p->serial = l->seen_serial = l->seen_serial + 1 != 0 ? l->seen_serial + 1 : 1;
	return p->serial;
}

void link_unsee_presence(struct fed_link *l, const struct comity_jid *from, const struct comity_jid *to, uint32_t serial)
{
	struct fed_seen *p = find(l, from, to);

	/* What it has said since may have been seen. */
	if (p != NULL && p->serial == serial)
		forget(l, p);
}

void link_note_unasked(struct fed_link *l, const struct comity_jid *from, const struct comity_jid *to, uint32_t serial,
                       bool is_unasked)
{
	struct fed_seen *p = find(l, from, to);

	if (p == NULL || p->serial != serial)
		return;
	set_unasked(l, p, is_unasked);
	if (!is_unasked)
		link_miss_presence(l);
}

bool link_has_presence(const struct fed_link *l)
{
	return l->seen.count != 0;
}

bool link_has_asked_presence(const struct fed_link *l)
{
	return l->seen.count != l->unasked_count;
}

/* ---- telling of it, a slice at a time ---- */

/* Who is to be told, or asked; with references. */
struct slice {
	struct comity_jid *from[SLICE], *to[SLICE];
	size_t count;
};

static void add_to_slice(struct slice *s, const struct comity_jid *from, const struct comity_jid *to)
{
	s->from[s->count] = comity_jid_ref(from);
	s->to[s->count++] = comity_jid_ref(to);
}

static void send_presence(struct federation *f, enum comity_type type, struct comity_jid *from, struct comity_jid *to)
{
	struct comity_stanza *st = comity_stanza_new(COMITY_PRESENCE, type);

	route(rq_new(f->router, &st, from, to));
}

/* An answer may come at once and change the table, so that nothing is sent while it is walked through. */
static void send_slice(struct federation *f, enum comity_type type, struct slice *s)
{
	for (size_t i = 0; i < s->count; i++) {
		send_presence(f, type, s->from[i], s->to[i]);
		comity_jid_unref(s->from[i]);
		comity_jid_unref(s->to[i]);
	}
}

/* False: there was no more to be told. */
static bool lose_some(struct fed_link *l)
{
	struct slice s = { .count = 0 };
	size_t pos = 0;

	for (struct fed_seen *p; s.count < SLICE && (p = map_next(&l->seen, &pos)) != NULL;) {
		/* What has been said since the loss is so. */
		if (p->is_lost || (int32_t)(p->serial - l->lost_serial) > 0)
			continue;
		p->is_lost = true;
		add_to_slice(&s, p->from, p->to);
	}
	send_slice(l->fed, COMITY_TYPE_UNAVAILABLE, &s);
	return s.count == SLICE;
}

/* Who is remembered only if somebody was there to see it must not learn that from a question. */
static void add_question(struct slice *s, const struct fed_seen *p)
{
	if (!p->is_unasked)
		add_to_slice(s, comity_jid_bare(p->to), comity_jid_bare(p->from));
}

/* RFC 6121 4.3: the other side answers with what is so now. */
static bool ask_some(struct fed_link *l)
{
	struct fed_seen *lost[SLICE];
	struct slice s = { .count = 0 };
	size_t pos = 0, count = 0;

	for (struct fed_seen *p; count < SLICE && (p = map_next(&l->seen, &pos)) != NULL;) {
		if (!p->is_lost)
			continue;
		lost[count++] = p;
		add_question(&s, p);
	}
	for (size_t i = 0; i < count; i++)
		forget(l, lost[i]);
	send_slice(l->fed, COMITY_TYPE_PROBE, &s);
	return count == SLICE;
}

static bool refresh_some(struct fed_link *l)
{
	struct slice s = { .count = 0 };
	size_t pos = 0;

	for (struct fed_seen *p; s.count < SLICE && (p = map_next(&l->seen, &pos)) != NULL;) {
		if (!p->is_stale)
			continue;
		p->is_stale = false;
		add_question(&s, p);
	}
	l->has_stale = s.count == SLICE;
	send_slice(l->fed, COMITY_TYPE_PROBE, &s);
	return l->has_stale;
}

/* One more slice; false: nothing is left. A domain that is back is asked once all have heard that it was gone. */
static bool go_on(struct fed_link *l)
{
	if (l->is_losing)
		l->is_losing = lose_some(l);
	else if (l->is_regaining)
		l->is_regaining = ask_some(l);
	else if (l->is_refreshing)
		l->is_refreshing = refresh_some(l);
	return l->is_losing || l->is_regaining || l->is_refreshing;
}

/* To a link that has been made since. */
static bool has_come_back(const struct federation *f, const struct fed_seen *p)
{
	const struct fed_link *l = link_find(f, comity_jid_domain(p->to), comity_jid_domain(p->from));

	return l != NULL && map_find(&l->seen, p->key, p->len) != NULL;
}

static bool say_farewell(struct federation *f, struct fed_farewell *w)
{
	struct fed_seen *gone[SLICE];
	struct slice s = { .count = 0 };
	size_t pos = 0, count = 0;

	for (struct fed_seen *p; count < SLICE && (p = map_next(&w->seen, &pos)) != NULL;) {
		gone[count++] = p;
		if (!p->is_lost && !has_come_back(f, p))
			add_to_slice(&s, p->from, p->to);
	}
	for (size_t i = 0; i < count; i++) {
		map_remove(&w->seen, gone[i]->key, gone[i]->len);
		seen_free(f, gone[i]);
	}
	send_slice(f, COMITY_TYPE_UNAVAILABLE, &s);
	return count == SLICE;
}

static void farewell_free(struct federation *f, struct fed_farewell *w)
{
	size_t pos = 0;

	for (struct fed_seen *p; (p = map_next(&w->seen, &pos)) != NULL;)
		seen_free(f, p);
	map_deinit(&w->seen);
	list_remove(&w->link);
	free(w);
}

static void wait_turn(struct federation *f)
{
	if (!timer_is_running(&f->telling))
		worker_timer_start(f->router->worker, &f->telling, SLICE_MS);
}

static void await_slice(struct fed_link *l)
{
	list_remove(&l->telling);
	list_append(&l->fed->tellers, &l->telling);
	wait_turn(l->fed);
}

/* One slice of whoever has waited longest. */
void fed_tell_presence(struct worker *w, struct timer *t)
{
	struct federation *f = LIST_ENTRY(t, struct federation, telling);
	struct list *first;

	(void)w;
	if (!list_empty(&f->farewells)) {
		struct fed_farewell *gone = LIST_ENTRY(f->farewells.next, struct fed_farewell, link);

		if (!say_farewell(f, gone))
			farewell_free(f, gone);
	}
	first = list_shift(&f->tellers);
	if (first != NULL && go_on(LIST_ENTRY(first, struct fed_link, telling)))
		await_slice(LIST_ENTRY(first, struct fed_link, telling));
	if (!list_empty(&f->tellers) || !list_empty(&f->farewells))
		wait_turn(f);
}

static void begin(struct fed_link *l)
{
	if (list_empty(&l->telling) && go_on(l))
		await_slice(l);
}

void link_lose_presence(struct fed_link *l)
{
	l->is_losing = true;
	l->is_regaining = false;
	l->lost_serial = l->seen_serial;
	begin(l);
}

void link_regain_presence(struct fed_link *l)
{
	l->is_regaining = true;
	begin(l);
}

void link_leave_presence(struct fed_link *l)
{
	struct fed_farewell *w;

	if (l->seen.count == 0)
		return;
	w = mem_new(sizeof(*w));
	w->seen = l->seen;
	l->seen = (struct map){ 0 };
	l->seen_bytes = l->unasked_count = 0;
	list_init(&w->link);
	list_append(&l->fed->farewells, &w->link);
	wait_turn(l->fed);
}

/* ---- while memory is short ---- */

void link_note_stale(struct fed_link *l, const struct comity_jid *from, const struct comity_jid *to)
{
	struct fed_seen *p = find(l, from, to);

	if (p == NULL)
		return;
	p->is_stale = l->has_stale = true;
	/* It is asked for whether anybody is here or not, and so tells nothing. */
	set_unasked(l, p, false);
}

void link_refresh_presence(struct fed_link *l)
{
	if (!l->has_stale)
		return;
	l->is_refreshing = true;
	begin(l);
}

/* ---- ends ---- */

void link_forget_presence(struct fed_link *l)
{
	size_t pos = 0;

	for (struct fed_seen *p; (p = map_next(&l->seen, &pos)) != NULL;)
		seen_free(l->fed, p);
	map_deinit(&l->seen);
	list_remove(&l->telling);
}

void fed_forget_presence(struct federation *f)
{
	worker_timer_stop(f->router->worker, &f->telling);
	for (struct list *l; (l = list_shift(&f->farewells)) != NULL;)
		farewell_free(f, LIST_ENTRY(l, struct fed_farewell, link));
}
