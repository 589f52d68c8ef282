/* SPDX-License-Identifier: MIT */
/* Sessions: binding, ending, writing. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/account.h"
#include "router/copies.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_sm.h"
#include "router/session_written.h"
#include "xmpp/stanza.h"

/* A stream that waits for its account. */
struct waiting_bind {
	struct list link;
	struct c2s *c;
};

void session_count(struct comity_session *s, ptrdiff_t bytes)
{
	s->bytes += (size_t)bytes;
	tally_add(&s->account->router->worker->tally, TALLY_SESSIONS, bytes);
}

void comity_session_add_bytes(struct comity_session *s, ptrdiff_t bytes)
{
	session_count(s, bytes);
}

size_t session_size(const struct comity_session *s)
{
	return s->bytes + (s->sm != NULL ? s->sm->unacked_bytes : 0) +
	       (s->stream != NULL && s->stream->conn != NULL ? conn_size(s->stream->conn) : 0);
}

static ptrdiff_t kept_size(const struct kept_text *k)
{
	size_t value = k->value != NULL ? strlen(k->value) + 1 : 0;

	return (ptrdiff_t)(sizeof(*k) + strlen(k->module) + 1 + strlen(k->key) + 1 + value);
}

static void free_kept_text(struct kept_text *k)
{
	list_remove(&k->link);
	free(k->module);
	free(k->key);
	free(k->value);
	free(k);
}

static void free_kept(struct comity_session *s)
{
	LIST_EACH(l, next, &s->kept)
		free_kept_text(LIST_ENTRY(l, struct kept_text, link));
}

struct comity_session *session_ref(struct comity_session *s)
{
	s->refs++;
	return s;
}

void session_unref(struct comity_session *s)
{
	if (s == NULL || --s->refs != 0)
		return;
	for (size_t i = 0; i < s->data_count; i++)
		free(s->data[i]);
	free(s->data);
	free_kept(s);
	session_count(s, -(ptrdiff_t)s->bytes);
	comity_stanza_unref(s->presence);
	comity_jid_unref(s->jid);
	c2s_unref(s->stream);
	comity_account_unref(s->account);
	free(s);
}

static void *slot_of(struct comity_session *s, const struct comity_mod *m)
{
	if (m->slot >= s->data_count) {
		size_t count = s->account->host->mod_count;

		s->data = mem_resize(s->data, count * sizeof(void *));
		memset(s->data + s->data_count, 0, (count - s->data_count) * sizeof(void *));
		session_count(s, (ptrdiff_t)((count - s->data_count) * sizeof(void *)));
		s->data_count = count;
	}
	if (s->data[m->slot] == NULL && m->def->session_size != 0) {
		s->data[m->slot] = mem_new(m->def->session_size);
		session_count(s, (ptrdiff_t)m->def->session_size);
	}
	return s->data[m->slot];
}

void *comity_session_data(struct comity_mod *m, struct comity_session *s)
{
	return s != NULL ? slot_of(s, m) : NULL;
}

void *comity_session_find_data(const struct comity_mod *m, const struct comity_session *s)
{
	return m->slot < s->data_count ? s->data[m->slot] : NULL;
}

static struct kept_text *find_kept(const struct comity_session *s, const char *module, const char *key)
{
	LIST_EACH(l, next, &s->kept) {
		struct kept_text *k = LIST_ENTRY(l, struct kept_text, link);

		if (strcmp(k->module, module) == 0 && strcmp(k->key, key) == 0)
			return k;
	}
	return NULL;
}

struct kept_text *session_add_kept(struct comity_session *s, const char *module, const char *key, const char *value)
{
	struct kept_text *k = mem_new(sizeof(*k));

	list_init(&k->link);
	k->module = mem_strdup(module);
	k->key = mem_strdup(key);
	k->value = mem_strdup(value);
	list_append(&s->kept, &k->link);
	session_count(s, kept_size(k));
	return k;
}

static void set_kept(struct comity_session *s, struct kept_text *k, const char *value)
{
	char *copy = value != NULL ? mem_strdup(value) : NULL;

	session_count(s, -kept_size(k));
	free(k->value);
	k->value = copy;
	session_count(s, kept_size(k));
}

void session_kept_written(struct comity_session *s)
{
	LIST_EACH(l, next, &s->kept) {
		struct kept_text *k = LIST_ENTRY(l, struct kept_text, link);

		k->has_changed = false;
		if (k->value == NULL) {
			session_count(s, -kept_size(k));
			free_kept_text(k);
		}
	}
}

void comity_session_keep(struct comity_mod *m, struct comity_session *s, const char *key, const char *value)
{
	struct kept_text *k = find_kept(s, m->def->name, key);
	const char *old = k != NULL ? k->value : NULL;

	if (old == NULL || value == NULL ? old == value : strcmp(old, value) == 0)
		return;
	if (k != NULL)
		set_kept(s, k, value);
	else
		k = session_add_kept(s, m->def->name, key, value);
	k->has_changed = true;
	journal_state(s);
}

void comity_session_changed(struct comity_session *s)
{
	journal_state(s);
}

const char *comity_session_kept(const struct comity_mod *m, const struct comity_session *s, const char *key)
{
	const struct kept_text *k = find_kept(s, m->def->name, key);

	return k != NULL ? k->value : NULL;
}

/* ---- binding (RFC 6120 7) ---- */

static void make_resource(struct router *r, char *out)
{
	unsigned char random[10];

	r->server->env->random(r->server->env, random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(out + 2 * i, 3, "%02x", random[i]);
}

/* The full address to bind; NULL when the client's wish is no resource. */
static struct comity_jid *wanted_address(struct comity_account *a, const struct c2s *c)
{
	char made[21];

	if (c->bind_resource != NULL)
		return comity_jid_with_resource(a->jid, c->bind_resource);
	make_resource(a->router, made);
	return comity_jid_with_resource(a->jid, made);
}

static unsigned count_sessions(const struct comity_account *a)
{
	unsigned n = 0;

	for (const struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
		n++;
	return n;
}

/* Resolves a conflict by the host's policy; false when the newcomer is refused. */
static bool make_way(struct comity_account *a, const struct comity_jid *full)
{
	struct comity_session *old = comity_account_find_session(a, comity_jid_resource(full));

	if (old == NULL)
		return true;
	if (a->host->settings->conflict == CONFLICT_REFUSE)
		return false;
	session_ref(old);
	if (old->stream != NULL)
		c2s_fail(old->stream, STREAM_CONFLICT, "another client bound this resource");
	session_end(old);
	session_unref(old);
	return true;
}

struct comity_session *session_new(struct comity_account *a, struct comity_jid *full)
{
	struct comity_session *s = mem_new(sizeof(*s));
	struct router *r = a->router;

	s->refs = 1;
	s->id = ++r->session_serial * r->server->worker_count + r->worker->id;
	s->account = comity_account_ref(a);
	s->jid = comity_jid_ref(full);
	list_init(&s->link);
	list_init(&s->kept);
	list_init(&s->awaiting);
	list_append(&a->sessions, &s->link);
	session_count(s, (ptrdiff_t)(sizeof(*s) + comity_jid_text_len(full)));
	atomic_fetch_add(&r->session_count, 1);
	return s;
}

static void start_session(struct comity_account *a, struct c2s *c, struct comity_jid *full)
{
	struct comity_session *s = session_new(a, full);
	struct router *r = a->router;

	s->stream = c2s_ref(c);
	metrics_add(&r->worker->metrics, METRIC_SESSIONS_BOUND, 1);
	for (size_t i = 0; i < a->host->mod_count; i++)
		if (mod_serves(a->host->mods[i], a) && a->host->mods[i]->def->session_bound != NULL)
			a->host->mods[i]->def->session_bound(a->host->mods[i], s);
	c2s_bound(c, full, s);
}

/* The oldest stands first. */
static bool end_oldest_suspended(struct comity_account *a)
{
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s)) {
		if (s->stream != NULL)
			continue;
		session_end(s);
		return true;
	}
	return false;
}

static void bind_now(struct comity_account *a, struct c2s *c)
{
	struct comity_jid *full = NULL;

	if (!c2s_is_open(c))
		return;
	if (c->resume_id != NULL) {
		session_resume(a, c);
		return;
	}
	if (a->state != ACCOUNT_ACTIVE) {
		c2s_fail(c, STREAM_NOT_AUTHORIZED, "the account is gone");
		return;
	}
	if (shed_login(a->router)) {
		c2s_refuse_bind(c, COMITY_RESOURCE_CONSTRAINT, PRESSURE_TEXT);
		return;
	}
	full = wanted_address(a, c);
	if (full == NULL)
		c2s_refuse_bind(c, COMITY_BAD_REQUEST, "this is not a resource");
	else if (!make_way(a, full))
		c2s_refuse_bind(c, COMITY_CONFLICT, "the resource is in use");
	else if (count_sessions(a) >= a->host->settings->max_sessions && !end_oldest_suspended(a))
		c2s_refuse_bind(c, COMITY_RESOURCE_CONSTRAINT, "max_sessions of this host is reached for the account");
	else
		start_session(a, c, full);
	comity_jid_unref(full);
}

static void refuse_now(struct comity_account *a, struct c2s *c)
{
	(void)a;
	c2s_fail(c, STREAM_INTERNAL_SERVER_ERROR, "the account cannot be read now");
}

static void end_waiting(struct comity_account *a, void (*end)(struct comity_account *a, struct c2s *c))
{
	struct list all;

	list_init(&all);
	list_splice(&all, &a->binding);
	for (struct list *l; (l = list_shift(&all)) != NULL;) {
		struct waiting_bind *w = LIST_ENTRY(l, struct waiting_bind, link);

		end(a, w->c);
		c2s_unref(w->c);
		free(w);
	}
}

void session_bind_waiting(struct comity_account *a)
{
	end_waiting(a, bind_now);
}

void session_refuse_waiting(struct comity_account *a)
{
	end_waiting(a, refuse_now);
}

void session_begin(struct c2s *c)
{
	struct router *r = router_of(c->conn->worker);
	struct host *h = router_find_host(r, c->host->name);
	struct comity_account *a;

	if (r->is_stopping || h == NULL) {
		c2s_fail(c, r->is_stopping ? STREAM_SYSTEM_SHUTDOWN : STREAM_HOST_GONE, NULL);
		return;
	}
	a = account_get(r, h, c->user);
	if (c->is_anonymous)
		a->is_temporary = true;
	if (a->state == ACCOUNT_LOADING) {
		struct waiting_bind *w = mem_new(sizeof(*w));

		w->c = c2s_ref(c);
		list_init(&w->link);
		list_append(&a->binding, &w->link);
	} else {
		bind_now(a, c);
	}
	comity_account_unref(a);
}

static void drop_stream(struct comity_session *s)
{
	if (s->stream == NULL)
		return;
	s->stream->session = NULL;
	c2s_unref(s->stream);
	s->stream = NULL;
}

void session_lose_stream(struct comity_session *s, bool was_cut)
{
	struct host *h = s->account->host;

	if (!was_cut || !session_suspend(s)) {
		session_end(s);
		return;
	}
	drop_stream(s);
	session_ref(s);
	for (size_t i = 0; i < h->mod_count; i++)
		if (mod_serves(h->mods[i], s->account) && h->mods[i]->def->session_suspended != NULL)
			h->mods[i]->def->session_suspended(h->mods[i], s);
	session_lost_output(s);
	session_unref(s);
}

void sessions_end_suspended(struct router *r, const struct host *only)
{
	size_t count;
	struct comity_account **all = accounts_collect(r, only, true, &count);

	for (size_t i = 0; i < count; i++)
		while (end_oldest_suspended(all[i]))
			;
	accounts_let_go(all, count);
}

void sessions_forget(struct comity_account *a)
{
	for (struct list *l; (l = list_shift(&a->sessions)) != NULL;) {
		struct comity_session *s = LIST_ENTRY(l, struct comity_session, link);

		s->is_ended = true;
		drop_stream(s);
		for (size_t i = 0; i < a->host->mod_count; i++)
			if (mod_serves(a->host->mods[i], a) && a->host->mods[i]->def->session_unload != NULL)
				a->host->mods[i]->def->session_unload(a->host->mods[i], s);
		session_sm_forget(s);
		session_end_awaiting(s, COMITY_WRITE_FORGOTTEN);
		session_unref(s);
	}
}

void session_end(struct comity_session *s)
{
	struct comity_account *a = s->account;

	if (s->is_ended)
		return;
	session_ref(s);
	journal_state_now(s);
	s->is_ended = true;
	list_remove(&s->link);
	drop_stream(s);
	atomic_fetch_sub(&a->router->session_count, 1);
	metrics_add(&a->router->worker->metrics, METRIC_SESSIONS_CLOSED, 1);
	for (size_t i = 0; i < a->host->mod_count; i++)
		if (mod_serves(a->host->mods[i], a) && a->host->mods[i]->def->session_closed != NULL)
			a->host->mods[i]->def->session_closed(a->host->mods[i], s);
	session_sm_end(s);
	/* What was not acknowledged has gone on; what is done about it comes behind. */
	session_end_awaiting(s, COMITY_WRITE_LOST);
	session_unref(s);
	session_unref(s);
}

/* ---- writing ---- */

bool session_is_deaf(const struct comity_session *s)
{
	return s->sm == NULL && (s->stream == NULL || !c2s_can_reach(s->stream));
}

void session_write(struct comity_session *s, const struct comity_rq *rq)
{
	struct sent_text text = { 0 };

	/* What its sender says again after a restart, this client may have got before. */
	if (s->sm != NULL && rq->is_repeat && session_has_got(s->sm, rq))
		return;
	comity_session_write_now(s);
	if (s->is_ended || !session_sm_sent(s, rq, &text) || s->stream == NULL)
		return;
	/* What has been made into text for the journal need not be again. */
	if (text.bytes != NULL)
		c2s_write_text(s->stream, text.bytes, text.len);
	else
		c2s_write(s->stream, rq->st, rq->from != NULL ? comity_jid_text(rq->from) : NULL,
		          rq->to != NULL ? comity_jid_text(rq->to) : NULL, rq->stamps != NULL ? rq->stamps->root : NULL);
	/* Only what has been written is no business of the others any more. */
	if (rq->copies != NULL && rq->copies->account == s->account && s->sm == NULL && !session_is_deaf(s))
		copies_settle(rq->copies);
}

void session_deliver(struct comity_session *s, struct comity_rq *rq)
{
	struct host *h = s->account->host;

	rq->has_reached = true;
	if (h->hook_count[COMITY_TO_SESSION] != 0) {
		struct comity_session *sender = rq->session;
		struct comity_account *account = rq->account;
		int verdict = COMITY_PASS;

		/* A hook that writes may end the session. */
		session_ref(s);
		rq->session = s;
		rq->account = s->account;
		for (size_t i = 0; verdict == COMITY_PASS && i < h->hook_count[COMITY_TO_SESSION]; i++) {
			const struct hook_row *row = &h->hooks[COMITY_TO_SESSION][i];

			if ((row->hook->kinds & rq->st->kind) != 0 && mod_serves(row->mod, s->account))
				verdict = row->hook->handle(row->mod, rq);
		}
		rq->session = sender;
		rq->account = account;
		if (verdict == COMITY_PASS)
			session_write(s, rq);
		session_unref(s);
		return;
	}
	session_write(s, rq);
}

void comity_session_send_rq(struct comity_session *s, struct comity_rq *rq)
{
	session_deliver(s, rq);
}

void comity_session_send(struct comity_session *s, const struct comity_stanza *st, struct comity_jid *from,
                         struct comity_jid *to)
{
	struct comity_stanza *shared = comity_stanza_ref(st);
	struct comity_rq *rq = rq_new(s->account->router, &shared, from, to);

	session_deliver(s, rq);
	comity_rq_release(rq);
}

void comity_session_write(struct comity_session *s, const struct comity_stanza *st, struct comity_jid *from,
                          struct comity_jid *to)
{
	struct router *r = s->account->router;
	struct comity_stanza *shared = comity_stanza_ref(st);
	/* It has waited, and is no part of what is handled now: acknowledging it says nothing about that. */
	struct comity_rq *outer = rq_begin_other(r), *rq = rq_new(r, &shared, from, to != NULL ? to : s->account->jid);

	rq_end(r, outer);
	if (session_is_deaf(s)) {
		session_pass_on(rq);
		return;
	}
	/* Of a session that is ending, what is not acknowledged goes on afterwards, in order. */
	if (s->is_ended)
		session_sm_sent(s, rq, NULL);
	else
		session_write(s, rq);
	comity_rq_release(rq);
}

/* ---- what modules ask ---- */

uint64_t comity_session_id(const struct comity_session *s)
{
	return s->id;
}

struct comity_jid *comity_session_jid(const struct comity_session *s)
{
	return s->jid;
}

struct comity_account *comity_session_account(const struct comity_session *s)
{
	return s->account;
}

bool comity_session_is_available(const struct comity_session *s)
{
	return s->presence != NULL;
}

int comity_session_priority(const struct comity_session *s)
{
	return s->priority;
}

const struct comity_stanza *comity_session_presence(const struct comity_session *s)
{
	return s->presence;
}

int64_t comity_session_presence_us(const struct comity_session *s)
{
	return s->presence_us;
}

const char *comity_session_address(const struct comity_session *s)
{
	return s->stream != NULL && s->stream->conn != NULL ? s->stream->conn->address : "";
}

static ptrdiff_t presence_size(const struct comity_stanza *st)
{
	return st != NULL ? (ptrdiff_t)stanza_memory(st) : 0;
}

void comity_session_set_presence(struct comity_session *s, const struct comity_stanza *st)
{
	struct comity_stanza *old = s->presence;
	struct comity_account *a = s->account;
	struct comity_env *env = a->router->server->env;

	s->presence = st != NULL ? stanza_keep(st) : NULL;
	session_count(s, presence_size(s->presence) - presence_size(old));
	s->priority = st != NULL ? stanza_priority(st) : 0;
	s->presence_us = env->wall_us(env);
	journal_presence(s);
	session_ref(s);
	for (size_t i = 0; i < a->host->mod_count; i++)
		if (mod_serves(a->host->mods[i], a) && a->host->mods[i]->def->session_presence != NULL)
			a->host->mods[i]->def->session_presence(a->host->mods[i], s, old != NULL);
	session_unref(s);
	comity_stanza_unref(old);
}
