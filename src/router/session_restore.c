/* SPDX-License-Identifier: MIT */
/* Sessions that come back after a restart. */
#include "router/session_restore.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_sm.h"
#include "xmpp/stanza.h"

/* Accounts that are woken at a time when their sessions are over, and how often. */
#define WAKE_COUNT 200
#define WAKE_MS 100
/* An account that could not be read is tried again. */
#define RETRY_MS 10000

/* The sessions of one account. */
struct dormant {
	struct comity_jid *jid;
	struct list images;
	size_t bytes;         /* of all of them, in the tally */
};

static struct dormant *find(const struct router *r, const struct comity_jid *bare)
{
	return map_find(&r->dormant, comity_jid_text(bare), comity_jid_text_len(bare));
}

static size_t image_memory(const struct image *i)
{
	size_t bytes = sizeof(*i) + i->item_room * sizeof(*i->items) + i->seen_room * sizeof(*i->seen);

	for (size_t n = i->first; n < i->item_count; n++)
		bytes += i->items[n].len;
	for (size_t n = 0; n < i->text_count; n++)
		bytes += sizeof(*i->texts) + strlen(i->texts[n].value);
	return bytes + (i->presence != NULL ? strlen(i->presence) : 0);
}

static void count(struct router *r, struct dormant *d, size_t bytes)
{
	tally_set(&r->worker->tally, TALLY_SESSIONS, &d->bytes, bytes);
}

static void free_dormant(struct router *r, struct dormant *d)
{
	count(r, d, 0);
	map_remove(&r->dormant, comity_jid_text(d->jid), comity_jid_text_len(d->jid));
	for (struct list *l; (l = list_shift(&d->images)) != NULL;)
		image_free(LIST_ENTRY(l, struct image, link));
	comity_jid_unref(d->jid);
	free(d);
}

/* ---- the end of their time ---- */

static uint64_t due_of(const struct dormant *d)
{
	uint64_t due = UINT64_MAX;

	LIST_EACH(l, next, &d->images) {
		const struct image *i = LIST_ENTRY(l, struct image, link);

		if (i->due_ms < due)
			due = i->due_ms;
	}
	return due;
}

/* The account wakes, and with it its sessions, whose own timers then end them. */
static void wake_account(struct router *r, const struct dormant *d)
{
	struct host *h = router_find_host(r, comity_jid_domain(d->jid));

	if (h != NULL)
		comity_account_unref(account_get(r, h, d->jid));
	else
		dormant_drop(r, d->jid);
}

static void on_due(struct worker *w, struct timer *t)
{
	struct router *r = LIST_ENTRY(t, struct router, dormant_timer);
	struct dormant *due[WAKE_COUNT], *d;
	uint64_t now = worker_now(w), next = UINT64_MAX;
	size_t count = 0, pos = 0;

	while ((d = map_next(&r->dormant, &pos)) != NULL) {
		uint64_t at = due_of(d);

		if (at <= now && count < WAKE_COUNT)
			due[count++] = d;
		else if (at < next)
			next = at;
	}
	if (count != 0 && next > now + RETRY_MS)
		next = now + RETRY_MS;
	if (next != UINT64_MAX)
		worker_timer_start(w, &r->dormant_timer, next > now + WAKE_MS ? next - now : WAKE_MS);
	for (size_t i = 0; i < count; i++)
		wake_account(r, due[i]);
}

void dormant_adopt(struct router *r, struct image *i)
{
	struct comity_jid *jid = comity_jid_parse(i->account);
	struct dormant *d = jid != NULL ? find(r, jid) : NULL;

	if (jid == NULL) {
		image_free(i);
		return;
	}
	if (d == NULL) {
		d = mem_new(sizeof(*d));
		d->jid = comity_jid_ref(jid);
		list_init(&d->images);
		map_put(&r->dormant, comity_jid_text(d->jid), comity_jid_text_len(d->jid), d);
	}
	comity_jid_unref(jid);
	/* What cannot be resumed only has messages to pass on. */
	i->due_ms = worker_now(r->worker) + (i->can_resume ? i->max_ms : 0);
	list_append(&d->images, &i->link);
	count(r, d, d->bytes + image_memory(i));
}

void dormant_begin(struct router *r)
{
	r->dormant_timer.fire = on_due;
	if (r->dormant.count != 0)
		worker_timer_start(r->worker, &r->dormant_timer, 0);
}

bool dormant_end(struct router *r, const struct comity_jid *full)
{
	struct dormant *d = find(r, comity_jid_bare(full));
	bool found = false;

	if (d == NULL)
		return false;
	LIST_EACH(l, next, &d->images) {
		struct image *i = LIST_ENTRY(l, struct image, link);

		if (strcmp(i->resource, comity_jid_resource(full)) != 0)
			continue;
		i->can_resume = false;
		i->due_ms = worker_now(r->worker);
		worker_timer_start(r->worker, &r->dormant_timer, 0);
		found = true;
	}
	return found;
}

void dormant_write(struct router *r)
{
	struct dormant *d;
	size_t pos = 0;

	if (r->journal == NULL)
		return;
	while ((d = map_next(&r->dormant, &pos)) != NULL)
		LIST_EACH(l, next, &d->images) {
			image_write(journal_begin(r->journal, RECORD_SESSION), LIST_ENTRY(l, struct image, link));
			journal_end(r->journal);
		}
}

/* ---- waking ---- */

static struct comity_jid *address(const struct comity_stanza *st, const char *name)
{
	const char *text = st != NULL ? comity_elem_attr(comity_stanza_root(st), name) : NULL;

	return text != NULL ? comity_jid_parse(text) : NULL;
}

static void restore_items(struct session_sm *sm, const struct image *i)
{
	sm->seen_room = i->seen_count + 2 * (i->item_count - i->first) + 1;
	sm->seen = mem_array(sm->seen_room, sizeof(*sm->seen));
	session_count(sm->session, (ptrdiff_t)(sm->seen_room * sizeof(*sm->seen)));
	if (i->seen_count != 0)
		memcpy(sm->seen, i->seen, i->seen_count * sizeof(*i->seen));
	sm->seen_count = i->seen_count;
	for (size_t n = i->first; n < i->item_count; n++) {
		const struct image_item *was = &i->items[n];
		struct comity_stanza *st = was->xml != NULL ? comity_stanza_parse(was->xml, was->len) : NULL;
		struct comity_jid *from = address(st, "from");
		struct comity_jid *to = address(st, "to");
		struct sm_item *item = sm_item_new(st, from, to);

		if (st != NULL) {
			item->cause = was->cause;
			item->stored = was->stored;
		}
		item->received_us = was->received_us;
		item->is_stored = was->stored.key != 0;
		item->is_unlimited = true;
		item->was_settled = (was->flags & IMAGE_SETTLED) != 0;
		item->is_written = (was->flags & IMAGE_WRITTEN) != 0;
		session_sm_add(sm, item);
		if (was->cause.key != 0 && !session_has_seen(sm, &was->cause))
			sm->seen[sm->seen_count++] = was->cause;
		if (was->stored.key != 0 && !session_has_seen(sm, &was->stored))
			sm->seen[sm->seen_count++] = was->stored;
		comity_stanza_unref(st);
		comity_jid_unref(from);
		comity_jid_unref(to);
	}
}

static void restore_sm(struct comity_session *s, struct image *i)
{
	struct session_sm *sm = session_sm_new(s);
	uint64_t now = worker_now(s->account->router->worker);

	memcpy(sm->id, i->id, sizeof(sm->id));
	sm->key = i->key;
	sm->can_resume = i->can_resume;
	sm->in = sm->received = sm->told = i->in;
	sm->acked = i->acked;
	sm->max_ms = i->max_ms;
	sm->is_restored = true;
	sm->handled = i->handled;
	sm->handled_count = sm->handled_room = i->handled_count;
	i->handled = NULL;
	i->handled_count = 0;
	restore_items(sm, i);
	session_sm_watch_expiry(sm, i->due_ms > now ? i->due_ms - now : 0);
}

static void restore_presence(struct comity_session *s, const struct image *i)
{
	struct comity_stanza *st = i->presence != NULL ? comity_stanza_parse(i->presence, strlen(i->presence)) : NULL;

	if (st == NULL)
		return;
	s->presence = stanza_keep(st);
	session_count(s, (ptrdiff_t)stanza_memory(s->presence));
	s->priority = stanza_priority(st);
	s->presence_us = i->presence_us;
	comity_stanza_unref(st);
}

static void restore(struct comity_account *a, struct image *i)
{
	struct comity_jid *full = comity_jid_with_resource(a->jid, i->resource);
	struct comity_session *s = full != NULL ? session_new(a, full) : NULL;

	comity_jid_unref(full);
	if (s == NULL)
		return;
	for (size_t n = 0; n < i->text_count; n++)
		session_add_kept(s, i->texts[n].module, i->texts[n].key, i->texts[n].value);
	restore_presence(s, i);
	restore_sm(s, i);
	for (size_t n = 0; n < a->host->mod_count; n++) {
		struct comity_mod *m = a->host->mods[n];

		if (mod_serves(m, a) && m->def->session_restored != NULL)
			m->def->session_restored(m, s);
	}
}

/* One of two of the same resource; NULL: there are none. The older is over: that is in the journal with the younger one,
 * and they come in any order. */
static struct comity_session *find_replaced(const struct comity_account *a)
{
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
		for (struct comity_session *other = comity_session_next(s); other != NULL; other = comity_session_next(other))
			if (comity_jid_equal(other->jid, s->jid))
				return other->sm != NULL && !other->sm->can_resume ? other : s;
	return NULL;
}

/* A crash came when a client had bound its resource anew, before the end of its old session was written. */
static void end_replaced(struct comity_account *a)
{
	for (struct comity_session *s; (s = find_replaced(a)) != NULL;)
		session_end(s);
}

void dormant_wake(struct comity_account *a)
{
	struct dormant *d = find(a->router, a->jid);

	/* At the end, when sessions have left memory, they stay in the journal alone. */
	if (d == NULL || a->router->is_ending)
		return;
	for (struct list *l; (l = list_shift(&d->images)) != NULL;) {
		struct image *i = LIST_ENTRY(l, struct image, link);

		restore(a, i);
		image_free(i);
	}
	copies_restore(a);
	free_dormant(a->router, d);
	end_replaced(a);
}

void dormant_drop(struct router *r, const struct comity_jid *bare)
{
	struct dormant *d = find(r, bare);

	if (d == NULL)
		return;
	LIST_EACH(l, next, &d->images)
		journal_ended(r, LIST_ENTRY(l, struct image, link)->key);
	free_dormant(r, d);
}

void dormant_free(struct router *r)
{
	struct dormant *d;
	size_t pos = 0;

	worker_timer_stop(r->worker, &r->dormant_timer);
	while ((d = map_next(&r->dormant, &pos)) != NULL) {
		free_dormant(r, d);
		pos = 0;
	}
	map_deinit(&r->dormant);
}

void dormant_each(const struct router *r, void (*each)(void *arg, const struct image *i), void *arg)
{
	struct dormant *d;
	size_t pos = 0;

	while ((d = map_next(&r->dormant, &pos)) != NULL)
		LIST_EACH(l, next, &d->images)
			each(arg, LIST_ENTRY(l, struct image, link));
}

void session_note_seen(struct session_sm *sm, const struct cause *cause)
{
	if (cause->key == 0)
		return;
	if (sm->seen_count >= SESSION_SEEN_MAX)
		memmove(sm->seen, sm->seen + 1, --sm->seen_count * sizeof(*sm->seen));
	if (sm->seen_count == sm->seen_room) {
		size_t before = sm->seen_room;

		sm->seen_room = sm->seen_room != 0 ? 2 * sm->seen_room : 4;
		session_count(sm->session, (ptrdiff_t)((sm->seen_room - before) * sizeof(*sm->seen)));
		sm->seen = mem_resize(sm->seen, sm->seen_room * sizeof(*sm->seen));
	}
	sm->seen[sm->seen_count++] = *cause;
}

static bool is_same(const struct cause *a, const struct cause *b)
{
	return a->key == b->key && a->hash == b->hash;
}

static bool is_among(const struct sm_item *item, const struct cause *cause)
{
	return cause->key != 0 && (is_same(&item->cause, cause) || is_same(&item->stored, cause));
}

bool session_has_got(struct session_sm *sm, const struct comity_rq *rq)
{
	LIST_EACH(l, next, &sm->unacked) {
		struct sm_item *item = LIST_ENTRY(l, struct sm_item, link);

		if (!is_among(item, &rq->cause) && !is_among(item, &rq->stored))
			continue;
		/* It is about to be taken out of the store: should it go back there, that one does not count. Where it
		 * lies now is the newest of its places, whichever of them is heard of last. */
		if (rq->stored.key != 0 && (rq->stored.key != item->stored.key || rq->stored.hash > item->stored.hash))
			item->stored = rq->stored;
		return true;
	}
	return (rq->cause.key != 0 && session_has_seen(sm, &rq->cause)) ||
	       (rq->stored.key != 0 && session_has_seen(sm, &rq->stored));
}

bool session_has_seen(const struct session_sm *sm, const struct cause *cause)
{
	for (size_t i = 0; i < sm->seen_count; i++)
		if (is_same(&sm->seen[i], cause))
			return true;
	return false;
}
