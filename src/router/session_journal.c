/* SPDX-License-Identifier: MIT */
/* What of sessions stands in the journal, and how they come back from it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_restore.h"
#include "router/session_sm.h"
#include "store/store.h"
#include "xmpp/stanza.h"

/* ---- records ---- */

static struct journal *journal_of(const struct session_sm *sm)
{
	return sm != NULL && sm->key != 0 ? sm->session->account->router->journal : NULL;
}

/* The caller frees it; NULL: not available. */
static char *presence_text(const struct comity_session *s)
{
	struct buf out = { 0 };

	if (s->presence == NULL)
		return NULL;
	stanza_write(&out, s->presence, comity_jid_text(s->jid), NULL, NULL);
	return buf_take(&out);
}

/* Returns where its text begins. */
static size_t write_item(struct buf *out, const struct sm_item *item)
{
	unsigned flags = (item->copies != NULL && item->copies->is_settled ? IMAGE_SETTLED : 0) |
	                 (item->is_written ? IMAGE_WRITTEN : 0);
	size_t mark = image_begin_item(out, &item->cause, &item->stored, item->received_us, flags);

	if (item->st != NULL)
		stanza_write(out, item->st, item->from != NULL ? comity_jid_text(item->from) : NULL,
		             item->to != NULL ? comity_jid_text(item->to) : NULL, NULL);
	image_end_item(out, mark, item->st != NULL);
	return mark;
}

/* Modules say what they have put off. */
static void collect_kept(struct comity_session *s)
{
	const struct host *h = s->account->host;

	s->is_collected = true;
	for (size_t n = 0; n < h->mod_count; n++)
		if (mod_serves(h->mods[n], s->account) && h->mods[n]->def->session_keep != NULL)
			h->mods[n]->def->session_keep(h->mods[n], s);
	s->is_collected = false;
}

/* A view of the session's state; free_view() afterwards. */
static void view_state(struct image *i, struct comity_session *s)
{
	collect_kept(s);
	i->key = s->sm->key;
	i->presence = presence_text(s);
	i->presence_us = s->presence_us;
	LIST_EACH(l, next, &s->kept) {
		const struct kept_text *k = LIST_ENTRY(l, struct kept_text, link);

		if (k->value == NULL)
			continue;
		i->texts = mem_resize(i->texts, (i->text_count + 1) * sizeof(*i->texts));
		i->texts[i->text_count++] = (struct image_text){ k->module, k->key, k->value };
	}
}

static void free_view(struct image *i)
{
	free(i->presence);
	free(i->texts);
	free(i->handled);
	free(i->account);
}

/* A request that came before a restart has lost its answer: it is to be handled when it comes again. */
static void add_messages(struct image *i, const struct image_handled *items, size_t count)
{
	for (size_t n = 0; n < count; n++)
		if (session_in_is_message(&items[n]))
			i->handled[i->handled_count++] = items[n];
}

/* The head of RECORD_SESSION with no items, and then the items themselves: their number is put in behind. No count is
 * in it that the client could not be told: when it comes back its stanzas may have other numbers. */
static void write_session(struct buf *out, struct comity_session *s, uint32_t count)
{
	const struct session_sm *sm = s->sm;
	struct image i = { 0 };
	size_t mark;

	view_state(&i, s);
	i.account = mem_strdup(comity_jid_text(s->account->jid));
	i.resource = (char *)(size_t)comity_jid_resource(s->jid);
	memcpy(i.id, sm->id, sizeof(i.id));
	i.can_resume = sm->can_resume;
	i.in = count;
	i.acked = sm->acked;
	i.max_ms = sm->max_ms;
	i.handled = mem_array(sm->handled_count + sm->ahead_count + 1, sizeof(*i.handled));
	add_messages(&i, sm->handled, sm->handled_count);
	add_messages(&i, sm->ahead, sm->ahead_count);
	i.seen = sm->seen;
	i.seen_count = sm->seen_count;
	image_write(out, &i);
	mark = buf_size(out) - sizeof(uint32_t);
	LIST_EACH(l, next, &sm->unacked)
		write_item(out, LIST_ENTRY(l, struct sm_item, link));
	memcpy(out->data + out->head + mark, &sm->unacked_count, sizeof(uint32_t));
	free_view(&i);
}

struct buf journal_image_of(struct comity_session *s)
{
	struct buf out = { 0 };

	if (journal_of(s->sm) != NULL)
		write_session(&out, s, s->sm->told);
	return out;
}

/* Should that not reach the disk, all of the session is written to the next file. */
static void state_written(struct comity_session *s)
{
	s->sm->has_new_presence = false;
	session_kept_written(s);
}

static void write_record(struct comity_session *s, uint32_t count)
{
	struct journal *j = journal_of(s->sm);

	if (j == NULL)
		return;
	list_remove(&s->sm->changed);
	write_session(journal_begin(j, RECORD_SESSION), s, count);
	journal_end(j);
	state_written(s);
}

void journal_session(struct comity_session *s)
{
	if (s->sm != NULL)
		write_record(s, s->sm->told);
}

static void write_presence(struct journal *j, const struct comity_session *s)
{
	struct buf *out = journal_begin(j, RECORD_PRESENCE);
	char *xml = presence_text(s);

	record_u64(out, s->sm->key);
	image_write_presence(out, xml, s->presence_us);
	journal_end(j);
	free(xml);
}

static void write_kept(struct journal *j, const struct comity_session *s, const struct kept_text *k)
{
	struct buf *out = journal_begin(j, RECORD_KEPT);

	record_u64(out, s->sm->key);
	image_write_kept(out, &(struct image_text){ k->module, k->key, k->value });
	journal_end(j);
}

/* Only what has changed: all of it may be a thousand times as much. */
static void write_state(struct comity_session *s)
{
	struct journal *j = journal_of(s->sm);

	collect_kept(s);
	if (s->sm->has_new_presence)
		write_presence(j, s);
	LIST_EACH(l, next, &s->kept) {
		const struct kept_text *k = LIST_ENTRY(l, struct kept_text, link);

		if (k->has_changed)
			write_kept(j, s, k);
	}
	state_written(s);
}

/* At the end of the turn: it may be much, and stanzas of a few bytes change it. */
void journal_state(struct comity_session *s)
{
	const struct journal *j = journal_of(s->sm);
	struct router *r = s->account->router;

	if (j == NULL || s->is_ended || s->is_collected)
		return;
	/* Once the journal is being closed, turns do not end with it any more. */
	if (r->worker->before_flush == NULL)
		write_state(s);
	else if (list_empty(&s->sm->changed))
		list_append(&r->changed, &s->sm->changed);
}

void journal_presence(struct comity_session *s)
{
	if (s->sm != NULL)
		s->sm->has_new_presence = true;
	journal_state(s);
}

void journal_state_now(struct comity_session *s)
{
	if (s->sm == NULL || list_empty(&s->sm->changed))
		return;
	list_remove(&s->sm->changed);
	write_state(s);
}

void journal_states(struct router *r)
{
	for (struct list *l; (l = list_shift(&r->changed)) != NULL;)
		write_state(LIST_ENTRY(l, struct session_sm, changed)->session);
}

const char *journal_sent(struct session_sm *sm, struct sm_item *item, size_t *len)
{
	struct journal *j = journal_of(sm);
	struct buf *out;
	size_t mark;

	if (j == NULL)
		return NULL;
	out = journal_begin(j, RECORD_SENT);
	record_u64(out, sm->key);
	mark = write_item(out, item);
	*len = buf_size(out) - mark;
	item->place = journal_end(j);
	if (item->safe != NULL)
		list_append(&sm->session->account->router->unsynced, &item->unsynced);
	return buf_bytes(out) + mark;
}

static void write_key(struct router *r, enum record_type type, uint64_t key)
{
	if (r->journal == NULL || key == 0)
		return;
	record_u64(journal_begin(r->journal, type), key);
	journal_end(r->journal);
}

void journal_written(struct session_sm *sm)
{
	write_key(sm->session->account->router, RECORD_WRITTEN, sm->key);
}

void journal_settled(struct sm_item *item)
{
	struct journal *j = journal_of(item->sm);
	struct buf *out;

	if (j == NULL || item->cause.key == 0)
		return;
	out = journal_begin(j, RECORD_SETTLED);
	record_u64(out, item->sm->key);
	record_u64(out, item->cause.key);
	record_u64(out, item->cause.hash);
	journal_end(j);
}

static void write_number(struct session_sm *sm, enum record_type type, uint32_t n)
{
	struct journal *j = journal_of(sm);
	struct buf *out;

	if (j == NULL)
		return;
	out = journal_begin(j, type);
	record_u64(out, sm->key);
	record_u32(out, n);
	journal_end(j);
}

void journal_acked(struct session_sm *sm)
{
	write_number(sm, RECORD_ACKED, sm->acked);
}

/* While the journal cannot be written, a count would be forgotten by a crash, and the client would not. */
void journal_count(struct session_sm *sm)
{
	const struct journal *j = journal_of(sm);

	if (j != NULL && journal_is_failing(j))
		return;
	if (j != NULL && list_empty(&sm->telling)) {
		sm->told_before = sm->told;
		list_append(&sm->session->account->router->telling, &sm->telling);
	}
	sm->told = sm->in;
	if (j == NULL)
		session_in_counted(sm);
	write_number(sm, RECORD_COUNT, sm->in);
}

void journal_handled(struct router *r, uint64_t key, const struct image_handled *item)
{
	struct buf *out;

	if (r->journal == NULL)
		return;
	out = journal_begin(r->journal, RECORD_HANDLED);
	record_u64(out, key);
	image_write_handled(out, item);
	journal_end(r->journal);
}

/* The newest stay in memory: until all of such a message is safe nothing else has it for the next file. */
void journal_handled_early(struct router *r, uint64_t key, const struct image_handled *item)
{
	if (r->journal == NULL)
		return;
	if (r->early == NULL)
		r->early = mem_array(EARLY_MAX, sizeof(*r->early));
	r->early[r->early_count++ % EARLY_MAX] = (struct early_note){ key, *item };
	journal_handled(r, key, item);
}

static void write_early(struct router *r)
{
	for (size_t i = 0; i < r->early_count && i < EARLY_MAX; i++)
		journal_handled(r, r->early[i].key, &r->early[i].item);
}

void journal_over(struct router *r, uint64_t key)
{
	write_key(r, RECORD_OVER, key);
}

void journal_passed(struct router *r, uint64_t key, uint32_t place)
{
	struct buf *out;

	if (r->journal == NULL || key == 0)
		return;
	out = journal_begin(r->journal, RECORD_PASSED);
	record_u64(out, key);
	record_u32(out, place);
	journal_end(r->journal);
}

void journal_ended(struct router *r, uint64_t key)
{
	write_key(r, RECORD_END, key);
}

void journal_hurry(struct router *r)
{
	for (unsigned i = 0; i < r->server->worker_count; i++) {
		struct router *other = router_of(r->server->workers[i]);

		if (other == r && r->journal != NULL)
			journal_want_sync(r->journal);
		else if (other != NULL && other->journal != NULL)
			journal_want_sync_of(other->journal);
	}
}

/* ---- what of the store is noted ---- */

/* Without other records it is not worth one of its own, unless very much would have to be read after a crash. */
#define STORED_MUCH 10000

static void write_stored(struct router *r)
{
	record_u64(journal_begin(r->journal, RECORD_STORED), r->answered.noted);
	journal_end(r->journal);
}

static uint64_t deliveries_of(const struct worker *w)
{
	return atomic_load_explicit(&w->deliveries, memory_order_acquire);
}

static void look_at_store(struct router *r)
{
	r->answered.seen = store_answered(r->server->store);
	r->answered.deliveries[r->worker->id] = deliveries_of(r->worker);
	r->answered.is_taken = false;
}

/* Whether what the store had answered then has come here since; then it has left here, too, to the workers whose
 * sessions it is about. */
static bool is_taken(struct router *r)
{
	if (r->answered.is_taken || deliveries_of(r->worker) == r->answered.deliveries[r->worker->id])
		return r->answered.is_taken;
	for (unsigned i = 0; i < r->server->worker_count; i++)
		r->answered.deliveries[i] = deliveries_of(r->server->workers[i]);
	return r->answered.is_taken = true;
}

/* Whether a worker has taken what lay in its mailbox then, and ended the turn in which it did. The first time that it
 * is seen to have emptied it may have been before; the second was not, and the third is behind that turn. */
static bool has_taken(const struct router *r, const struct worker *w)
{
	return w == r->worker || deliveries_of(w) >= r->answered.deliveries[w->id] + 3;
}

/* All that is to be noted of what was seen is in the journals, or would be in their next files. */
static void note_stored(struct router *r)
{
	uint64_t seen = r->answered.seen;

	if (!is_taken(r))
		return;
	for (unsigned i = 0; i < r->server->worker_count; i++)
		if (!has_taken(r, r->server->workers[i]))
			return;
	if (seen > r->answered.noted && (journal_has_records(r->journal) || seen - r->answered.noted > STORED_MUCH)) {
		r->answered.noted = seen;
		write_stored(r);
	}
	look_at_store(r);
}

/* ---- what the journal tells ---- */

static void write_file(struct router *r, enum record_type type)
{
	struct image_file file = { .worker = r->worker->id };

	file.number = journal_number(r->journal, &file.generation);
	record_file(journal_begin(r->journal, type), &file);
	journal_end(r->journal);
}

/* What is told in this turn is written behind it, or cannot be. */
static void write_for_new_file(struct comity_session *s)
{
	if (s->sm != NULL)
		write_record(s, list_empty(&s->sm->telling) ? s->sm->told : s->sm->told_before);
}

/* Sessions in memory and those that nobody has asked for since the restart. */
static void on_new_file(void *arg)
{
	struct router *r = arg;
	struct comity_account *a;
	size_t pos = 0;

	write_file(r, RECORD_FILE);
	while ((a = map_next(&r->accounts, &pos)) != NULL)
		for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
			write_for_new_file(s);
	dormant_write(r);
	endings_write(r);
	write_early(r);
	write_stored(r);
	write_file(r, RECORD_WHOLE);
}

/* A count that could not be written must not be told: the client is cut off before it is, and asks again. */
static void on_turn(void *arg, bool is_written)
{
	struct router *r = arg;

	for (struct list *l; (l = list_shift(&r->telling)) != NULL;) {
		struct session_sm *sm = LIST_ENTRY(l, struct session_sm, telling);
		struct c2s *c = sm->session->stream;
		bool was_said = sm->was_said;

		sm->was_said = false;
		if (is_written) {
			session_in_counted(sm);
			continue;
		}
		sm->told = sm->told_before;
		if (was_said && c != NULL && c->conn != NULL)
			conn_abort(c->conn, "the journal cannot be written");
	}
}

static void on_synced(void *arg, uint64_t place)
{
	struct router *r = arg;

	while (!list_empty(&r->unsynced)) {
		struct sm_item *item = LIST_ENTRY(r->unsynced.next, struct sm_item, unsynced);
		struct safe *safe;

		if (item->place > place)
			return;
		safe = item->safe;
		item->safe = NULL;
		list_remove(&item->unsynced);
		safe_unref(safe, r);
	}
}

static const struct journal_events events = { on_new_file, on_turn, on_synced };

static void before_flush(struct worker *w)
{
	journal_states(router_of(w));
	note_stored(router_of(w));
	journal_write(router_of(w)->journal);
}

int router_open_journal(struct router *r, const struct journal_conf *conf, struct err_text *et)
{
	int rc = journal_open(r->worker, conf, &events, r, &r->journal, et);

	if (rc != 0)
		return rc;
	r->worker->before_flush = before_flush;
	r->answered.deliveries = mem_array(r->server->worker_count, sizeof(uint64_t));
	look_at_store(r);
	r->answered.noted = r->answered.seen;
	write_file(r, RECORD_FILE);
	write_stored(r);
	return 0;
}

void router_close_journal(struct router *r)
{
	journal_states(r);
	r->worker->before_flush = NULL;
	r->is_unwritten = !journal_close(&r->journal);
}
