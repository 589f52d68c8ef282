/* SPDX-License-Identifier: MIT */
/* Accounts in memory: activation, eviction, removal. */
#include "router/account.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_restore.h"

/* Addresses remembered as absent are cheap, but strangers choose them. */
#define ABSENT_MAX 1000

static void count_accounts(struct router *r)
{
	atomic_store_explicit(&r->account_count, r->accounts.count, memory_order_relaxed);
}

struct comity_jid *comity_account_jid(const struct comity_account *a)
{
	return a->jid;
}

bool comity_account_is_removed(const struct comity_account *a)
{
	return a->state == ACCOUNT_REMOVED;
}

struct comity_account *comity_account_ref(struct comity_account *a)
{
	if (a->refs++ == 0 && !list_empty(&a->idle)) {
		list_remove(&a->idle);
		a->router->idle_count--;
	}
	return a;
}

void account_count(struct comity_account *a, ptrdiff_t bytes)
{
	a->bytes += (size_t)bytes;
	tally_add(&a->router->worker->tally, TALLY_ACCOUNTS, bytes);
}

void comity_account_add_bytes(struct comity_account *a, ptrdiff_t bytes)
{
	account_count(a, bytes);
}

size_t account_size(const struct comity_account *a)
{
	size_t bytes = a->bytes;

	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
		bytes += session_size(s);
	return bytes;
}

static bool is_in_table(const struct comity_account *a)
{
	return map_find(&a->router->accounts, comity_jid_text(a->jid), comity_jid_text_len(a->jid)) == a;
}

static void unload_data(struct comity_account *a)
{
	for (size_t i = 0; i < a->data_count; i++) {
		if (a->data[i] == NULL)
			continue;
		if (a->host->mods[i]->def->account_unload != NULL)
			a->host->mods[i]->def->account_unload(a->host->mods[i], a);
		free(a->data[i]);
	}
	free(a->data);
	a->data = NULL;
	a->data_count = 0;
}

static void account_free(struct comity_account *a)
{
	struct router *r = a->router;

	if (is_in_table(a)) {
		map_remove(&r->accounts, comity_jid_text(a->jid), comity_jid_text_len(a->jid));
		count_accounts(r);
	}
	if (!list_empty(&a->idle)) {
		list_remove(&a->idle);
		r->idle_count--;
	}
	unload_data(a);
	account_count(a, -(ptrdiff_t)a->bytes);
	comity_jid_unref(a->jid);
	free(a);
}

void comity_account_unref(struct comity_account *a)
{
	if (a == NULL || --a->refs != 0)
		return;
	if (a->state == ACCOUNT_REMOVED || a->is_temporary) {
		if (a->is_temporary)
			store_remove_owner(a->router->server->store, a->router->worker, comity_jid_text(a->jid), NULL, NULL);
		account_free(a);
		return;
	}
	list_append(&a->router->idle, &a->idle);
	a->router->idle_count++;
	accounts_evict(a->router, false);
}

void accounts_evict(struct router *r, bool everything)
{
	size_t budget = everything || r->settings == NULL ? 0 : r->settings->idle_accounts;

	while (r->idle_count > budget) {
		struct comity_account *a = LIST_ENTRY(r->idle.next, struct comity_account, idle);

		if (a->state == ACCOUNT_ACTIVE)
			metrics_add(&r->worker->metrics, METRIC_ACCOUNTS_EVICTED, 1);
		account_free(a);
	}
}

/* ---- activation ---- */

/* Rows come sorted by map; each module gets those of the maps it named. */
static void load_module_data(struct comity_account *a, struct comity_mod *m, const struct store_result *result)
{
	struct store_row *rows = mem_array(result->count, sizeof(*rows));
	size_t count = 0;

	for (const char *const *name = m->def->account_maps; name != NULL && *name != NULL; name++)
		for (size_t i = 0; i < result->count; i++)
			if (strcmp(result->rows[i].store, *name) == 0)
				rows[count++] = result->rows[i];
	if (m->def->account_load != NULL)
		m->def->account_load(m, a, rows, count);
	free(rows);
}

/* Makes the data of every enabled module that has none yet. */
static void load_data(struct comity_account *a, const struct store_result *result)
{
	struct host *h = a->host;
	size_t before = a->data_count;

	if (h->mod_count > a->data_count) {
		a->data = mem_resize(a->data, h->mod_count * sizeof(void *));
		memset(a->data + a->data_count, 0, (h->mod_count - a->data_count) * sizeof(void *));
		account_count(a, (ptrdiff_t)((h->mod_count - a->data_count) * sizeof(void *)));
		a->data_count = h->mod_count;
	}
	for (size_t i = before; i < h->mod_count; i++) {
		if (!h->mods[i]->is_enabled || h->mods[i]->def->account_size == 0)
			continue;
		a->data[i] = mem_new(h->mods[i]->def->account_size);
		account_count(a, (ptrdiff_t)h->mods[i]->def->account_size);
	}
	for (size_t i = before; i < h->mod_count; i++)
		if (h->mods[i]->is_enabled)
			load_module_data(a, h->mods[i], result);
}

static bool has_account_row(const struct store_result *result)
{
	for (size_t i = 0; i < result->count; i++)
		if (strcmp(result->rows[i].store, "account") == 0)
			return true;
	return false;
}

/* What waited for the account goes on, in the order in which it came. */
static void run_waiting(struct comity_account *a)
{
	struct list all;

	list_init(&all);
	list_splice(&all, &a->waiting);
	a->waiting_count = 0;
	session_bind_waiting(a);
	for (struct list *l; (l = list_shift(&all)) != NULL;)
		deliver_to_account(a, LIST_ENTRY(l, struct comity_rq, link));
}

static void fail_waiting(struct comity_account *a)
{
	struct list all;

	list_init(&all);
	list_splice(&all, &a->waiting);
	a->waiting_count = 0;
	a->state = ACCOUNT_ABSENT;
	/* Not by an answer that would end a session: it may be resumed when the account can be read. */
	session_refuse_waiting(a);
	for (struct list *l; (l = list_shift(&all)) != NULL;) {
		struct comity_rq *rq = LIST_ENTRY(l, struct comity_rq, link);

		rq_refuse(rq, COMITY_INTERNAL_SERVER_ERROR, "the account could not be read");
		comity_rq_release(rq);
	}
}

static void on_unreadable(struct comity_account *a, int status)
{
	log_error(&a->host->log, "cannot read account %s: %s", comity_jid_text(a->jid), err_name(status));
	if (a->was_active) {
		/* Its sessions stay, without what was newly enabled; the next reload asks again. */
		a->state = ACCOUNT_ACTIVE;
		run_waiting(a);
		return;
	}
	fail_waiting(a);
	/* Not absent, only not readable now: the next one tries again. */
	account_forget_absent(a->router, a->jid);
}

static void load(struct comity_account *a);

static void on_loaded(void *arg, const struct store_result *result)
{
	struct comity_account *a = arg;
	struct router *r = a->router;
	size_t before = a->data_count;

	if (a->state == ACCOUNT_REMOVED) {
		run_waiting(a);
	} else if (result->status != 0) {
		on_unreadable(a, result->status);
	} else if (a->asked != a->host->tables) {
		/* A reload has come meanwhile, and what it enabled wants other maps. */
		load(a);
	} else {
		if (a->is_temporary || has_account_row(result)) {
			a->state = ACCOUNT_ACTIVE;
			a->was_active = true;
			metrics_add(&r->worker->metrics, METRIC_ACCOUNTS_ACTIVATED, 1);
			load_data(a, result);
			sessions_regain_mods(a, before);
			dormant_wake(a);
		} else {
			a->state = ACCOUNT_ABSENT;
			dormant_drop(r, a->jid);
		}
		run_waiting(a);
	}
	comity_account_unref(a);
}

static void load(struct comity_account *a)
{
	struct router *r = a->router;

	a->state = ACCOUNT_LOADING;
	a->asked = a->host->tables;
	comity_account_ref(a);
	store_map_load_first(r->server->store, r->worker, comity_jid_text(a->jid), (const char *const *)a->host->maps,
	                     on_loaded, a);
}

static void forget_old_absent(struct router *r)
{
	if (r->idle_count <= ABSENT_MAX)
		return;
	/* The longest idle one, if it is nobody's. */
	if (LIST_ENTRY(r->idle.next, struct comity_account, idle)->state == ACCOUNT_ABSENT)
		account_free(LIST_ENTRY(r->idle.next, struct comity_account, idle));
}

struct comity_account *account_find(struct router *r, const struct comity_jid *bare)
{
	return map_find_hashed(&r->accounts, comity_jid_text(bare), comity_jid_text_len(bare), comity_jid_hash(bare));
}

struct comity_account *account_get(struct router *r, struct host *h, struct comity_jid *bare)
{
	struct comity_account *a = account_find(r, bare);

	if (a != NULL)
		return comity_account_ref(a);
	forget_old_absent(r);
	a = mem_new(sizeof(*a));
	a->refs = 1;
	a->router = r;
	a->host = h;
	a->jid = comity_jid_ref(bare);
	list_init(&a->sessions);
	list_init(&a->waiting);
	list_init(&a->binding);
	list_init(&a->idle);
	account_count(a, (ptrdiff_t)(sizeof(*a) + comity_jid_text_len(bare)));
	map_put(&r->accounts, comity_jid_text(a->jid), comity_jid_text_len(a->jid), a);
	count_accounts(r);
	load(a);
	return a;
}

void account_extend(struct comity_account *a)
{
	for (size_t i = 0; i < a->data_count; i++) {
		struct comity_mod *m = a->host->mods[i];

		if (m->is_enabled || a->data[i] == NULL)
			continue;
		if (m->def->account_unload != NULL)
			m->def->account_unload(m, a);
		account_count(a, -(ptrdiff_t)m->def->account_size);
		free(a->data[i]);
		a->data[i] = NULL;
	}
	if (a->state == ACCOUNT_ACTIVE && a->data_count < a->host->mod_count)
		load(a);
}

void account_forget_absent(struct router *r, const struct comity_jid *bare)
{
	struct comity_account *a = account_find(r, bare);

	if (a == NULL || a->state != ACCOUNT_ABSENT)
		return;
	map_remove(&r->accounts, comity_jid_text(a->jid), comity_jid_text_len(a->jid));
	count_accounts(r);
	a->state = ACCOUNT_REMOVED;
	if (a->refs == 0)
		account_free(a);
}

void account_wait(struct comity_account *a, struct comity_rq *rq)
{
	if (a->waiting_count >= a->router->settings->waiting_stanzas) {
		rq_refuse(rq, COMITY_RESOURCE_CONSTRAINT, "too many stanzas wait for this account");
		comity_rq_release(rq);
		return;
	}
	a->waiting_count++;
	list_append(&a->waiting, &rq->link);
}

struct comity_account **accounts_collect(struct router *r, const struct host *only, bool with_sessions, size_t *count)
{
	struct comity_account **all = mem_array(r->accounts.count + 1, sizeof(struct comity_account *)), *a;
	size_t pos = 0;

	*count = 0;
	while ((a = map_next(&r->accounts, &pos)) != NULL)
		if ((only == NULL || a->host == only) && (!with_sessions || !list_empty(&a->sessions)))
			all[(*count)++] = comity_account_ref(a);
	return all;
}

void accounts_let_go(struct comity_account **all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		comity_account_unref(all[i]);
	free(all);
}

void account_drop(struct comity_account *a)
{
	if (is_in_table(a)) {
		map_remove(&a->router->accounts, comity_jid_text(a->jid), comity_jid_text_len(a->jid));
		count_accounts(a->router);
	}
	a->state = ACCOUNT_REMOVED;
}

void account_remove(struct comity_account *a)
{
	comity_account_ref(a);
	LIST_EACH(l, next, &a->sessions) {
		struct comity_session *s = LIST_ENTRY(l, struct comity_session, link);

		if (s->stream != NULL)
			c2s_fail(s->stream, STREAM_NOT_AUTHORIZED, "the account was removed");
		session_end(s);
	}
	for (size_t i = 0; a->state == ACCOUNT_ACTIVE && i < a->host->mod_count; i++)
		if (mod_serves(a->host->mods[i], a) && a->host->mods[i]->def->account_removed != NULL)
			a->host->mods[i]->def->account_removed(a->host->mods[i], a);
	account_drop(a);
	comity_account_unref(a);
}

void *comity_account_data(struct comity_mod *m, struct comity_account *a)
{
	return m->slot < a->data_count ? a->data[m->slot] : NULL;
}

struct comity_session *comity_account_first_session(const struct comity_account *a)
{
	return list_empty(&a->sessions) ? NULL : LIST_ENTRY(a->sessions.next, struct comity_session, link);
}

struct comity_session *comity_session_next(const struct comity_session *s)
{
	return s->link.next == &s->account->sessions ? NULL : LIST_ENTRY(s->link.next, struct comity_session, link);
}

struct comity_session *comity_account_find_session(const struct comity_account *a, const char *resource)
{
	LIST_EACH(l, next, &a->sessions) {
		struct comity_session *s = LIST_ENTRY(l, struct comity_session, link);

		if (strcmp(comity_jid_resource(s->jid), resource) == 0)
			return s;
	}
	return NULL;
}
