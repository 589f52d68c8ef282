/* SPDX-License-Identifier: MIT */
/* Stream management of clients: writing later, life without a stream, and resuming on another. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_sm.h"
#include "router/session_written.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

static struct worker *worker_of(const struct comity_session *s)
{
	return s->account->router->worker;
}

static void write_item(struct comity_session *s, struct sm_item *item)
{
	item->is_written = true;
	if (item->st != NULL && s->stream != NULL)
		c2s_write(s->stream, item->st, item->from != NULL ? comity_jid_text(item->from) : NULL,
		          item->to != NULL ? comity_jid_text(item->to) : NULL, NULL);
}

size_t comity_session_write_later(struct comity_session *s, struct comity_rq *rq)
{
	if (s->sm == NULL || s->is_ended || s->stream == NULL)
		return 0;
	s->sm->unwritten++;
	return session_sm_sent(s, rq, NULL) ? s->sm->unwritten : 1;
}

void comity_session_write_now(struct comity_session *s)
{
	struct session_sm *sm = s->sm;
	uint32_t skip;

	if (sm == NULL || sm->unwritten == 0)
		return;
	skip = sm->unacked_count - sm->unwritten;
	sm->unwritten = 0;
	LIST_EACH(l, next, &sm->unacked) {
		if (skip != 0)
			skip--;
		else
			write_item(s, LIST_ENTRY(l, struct sm_item, link));
	}
	journal_written(sm);
	/* Who has been asked keeps the time to answer. */
	if (!sm->is_asked && !timer_is_running(&sm->ask))
		worker_timer_start(worker_of(s), &sm->ask, SM_ASK_MS);
}

bool session_suspend(struct comity_session *s)
{
	struct session_sm *sm = s->sm;

	if (sm == NULL || !sm->can_resume)
		return false;
	sm->unwritten = 0;
	worker_timer_stop(worker_of(s), &sm->ask);
	worker_timer_start(worker_of(s), &sm->expire, sm->max_ms);
	sm->is_asked = false;
	log_info(&s->account->host->log, "session %s waits to be resumed, %u stanzas are not acknowledged",
	         comity_jid_text(s->jid), sm->unacked_count);
	return true;
}

static const uint32_t *find_ended(const struct router *r, const struct comity_account *a, const char *id)
{
	for (size_t i = 0; i < ENDED_MAX; i++)
		if (strcmp(r->ended[i].id, id) == 0 && r->ended[i].account == comity_jid_hash(a->jid))
			return &r->ended[i].count;
	return NULL;
}

static struct comity_session *find(struct comity_account *a, const char *id)
{
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
		if (s->sm != NULL && s->sm->can_resume && strcmp(s->sm->id, id) == 0)
			return s;
	return NULL;
}

static void write_again(struct comity_session *s)
{
	LIST_EACH(l, next, &s->sm->unacked)
		write_item(s, LIST_ENTRY(l, struct sm_item, link));
	journal_written(s->sm);
	if (s->sm->unacked_count != 0)
		session_sm_ask(s->sm);
}

/* What the journal could not give back only counted for the old stream; the client has no use for it now. */
static void drop_empty(struct session_sm *sm)
{
	bool any = false;

	LIST_EACH(l, next, &sm->unacked) {
		struct sm_item *item = LIST_ENTRY(l, struct sm_item, link);

		if (item->st != NULL)
			continue;
		list_remove(&item->link);
		session_sm_uncount(sm, item);
		sm_item_free(item, sm->session->account->router);
		any = true;
	}
	/* The numbers of those behind them have changed. */
	if (any)
		journal_session(sm->session);
}

/* Of what waits, how much the client may have: nobody writes to a stream that is gone. */
static uint32_t count_written(const struct session_sm *sm)
{
	uint32_t n = 0;

	LIST_EACH(l, next, &sm->unacked) {
		if (!LIST_ENTRY(l, struct sm_item, link)->is_written)
			break;
		n++;
	}
	return n;
}

/* After a crash the client may have more than the journal could take: the disk was full, or the machine went
 * down before it was synced. Then what has not been written has other numbers from now on. */
static bool take_resumed_ack(struct session_sm *sm, uint32_t h)
{
	uint32_t written = count_written(sm);

	if (h - sm->acked <= written)
		return session_sm_take_ack(sm, h);
	if (!sm->is_restored || (int32_t)(h - sm->acked) < 0)
		return false;
	session_sm_take_ack(sm, sm->acked + written);
	sm->acked = h;
	journal_session(sm->session);
	return true;
}

/* The old stream may not have noticed that it is dead; or another has waited to resume. */
static void drop_streams(struct comity_session *s)
{
	struct c2s *old[] = { s->stream, s->sm->resuming };

	s->stream = s->sm->resuming = NULL;
	/* What waited until something else was written is written to the new stream with the rest. */
	s->sm->unwritten = 0;
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		if (old[i] == NULL)
			continue;
		old[i]->session = NULL;
		c2s_fail(old[i], STREAM_CONFLICT, "the session was resumed on another stream");
		c2s_unref(old[i]);
	}
	session_lost_output(s);
}

static void tell_modules(struct comity_session *s)
{
	struct host *h = s->account->host;

	for (size_t i = 0; i < h->mod_count; i++)
		if (mod_serves(h->mods[i], s->account) && h->mods[i]->def->session_resumed != NULL)
			h->mods[i]->def->session_resumed(h->mods[i], s);
}

static void refuse_resume(struct comity_account *a, struct c2s *c)
{
	session_sm_refuse(c, "item-not-found", find_ended(a->router, a, c->resume_id));
	c2s_resume_failed(c);
}

static void go_on(struct session_sm *sm, struct c2s *c)
{
	struct comity_session *s = sm->session;

	if (!c2s_is_open(c)) {
		session_sm_watch_expiry(sm, sm->max_ms);
		return;
	}
	if (!take_resumed_ack(sm, c->resume_h)) {
		session_sm_fail_count(c, sm, c->resume_h);
		session_sm_watch_expiry(sm, sm->max_ms);
		return;
	}
	/* Too much may have come for it while it waited. */
	worker_timer_stop(worker_of(s), &sm->expire);
	session_ref(s);
	drop_empty(sm);
	sm->is_asked = false;
	s->stream = c2s_ref(c);
	c->is_managed = true;
	session_sm_say_count(sm, c, "resumed", sm->id);
	session_in_resume(sm);
	c2s_resumed(c, s->jid, s);
	write_again(s);
	tell_modules(s);
	session_acked(s);
	session_unref(s);
	/* Last: what came behind <resume/> may be handled and answered in here. */
	c2s_read_on(c);
}

void session_resume_now(struct session_sm *sm)
{
	struct c2s *c = sm->resuming;

	sm->resuming = NULL;
	go_on(sm, c);
	c2s_unref(c);
}

void session_resume(struct comity_account *a, struct c2s *c)
{
	struct comity_session *s = a->state == ACCOUNT_ACTIVE ? find(a, c->resume_id) : NULL;

	if (s == NULL) {
		refuse_resume(a, c);
		return;
	}
	drop_streams(s);
	worker_timer_stop(worker_of(s), &s->sm->expire);
	if (session_in_settled(s->sm, c))
		go_on(s->sm, c);
}

bool session_sm_part(struct comity_session *s)
{
	if (s->sm == NULL || !s->sm->can_resume || s->sm->key == 0 || s->stream == NULL)
		return false;
	session_sm_say_count(s->sm, s->stream, "a", NULL);
	c2s_cut(s->stream);
	return true;
}
