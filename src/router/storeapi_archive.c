/* SPDX-License-Identifier: MIT */
/* Archives as modules read them, delete from them and add to them: what finds no room on the disk is tried again. What was
 * delivered must not stay there because of that, and what waits there must not be forgotten. The same goes for what is
 * put there from sessions that have ended: its sender may have been told long ago that it is safe. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"

#define AGAIN_MS 1000
/* A disk that cannot be read may never be; who waits for it goes on without. */
#define READS_MAX 10

enum call_kind { CALL_QUERY, CALL_DELETION, CALL_APPEND };

struct archive_call {
	struct list link;      /* in router->archive_calls until it is answered */
	struct timer again;    /* runs while it waits to be tried once more */
	bool is_parked;        /* it waits for the last try */
	enum call_kind kind;
	bool is_held;          /* it waits for those to the same archive that were accepted */
	struct comity_mod *mod;
	void *arg;
	char *owner, *store;
	char *with;

	comity_entries_cb *entries;
	struct store_query query;
	unsigned failures;

	comity_write_cb *write;
	struct safe *safe;     /* as of every write */
	uint64_t from_id, to_id;

	struct store_entry entry;
	char *value, *token;
	uint64_t max_entries;
	bool is_accepted;      /* so that it must not be refused for want of room */
	bool is_message;       /* the one that the request is */
	struct comity_account *account; /* of an append; NULL: of nobody */
};

static void submit(struct archive_call *call);

static struct router *router_for(const struct archive_call *call)
{
	return call->mod->host->router;
}

static void call_free(struct archive_call *call)
{
	free(call->owner);
	free(call->store);
	free(call->with);
	free(call->value);
	free(call->token);
	comity_account_unref(call->account);
	free(call);
}

static bool is_same_archive(const struct archive_call *call, const struct comity_mod *m, const char *owner,
                            const char *store)
{
	return call->mod == m && strcmp(call->owner, owner) == 0 && strcmp(call->store, store) == 0;
}

static bool is_passing(int status)
{
	return status == -ERR_NO_SPACE || status == -ERR_IO;
}

/* What is appended for it would be there for the next owner of the name. */
static bool has_lost_account(const struct archive_call *call)
{
	return call->account != NULL && comity_account_is_removed(call->account);
}

static void wait_again(struct archive_call *call)
{
	struct router *r = router_for(call);

	if (r->has_stopped)
		call->is_parked = true;
	else
		worker_timer_start(r->worker, &call->again, AGAIN_MS);
}

static bool is_waiting(const struct archive_call *call)
{
	return call->is_parked || timer_is_running(&call->again);
}

static void end_waiting(struct archive_call *call)
{
	call->is_parked = false;
	worker_timer_stop(router_for(call)->worker, &call->again);
}

static void finish_write(struct archive_call *call, int status)
{
	list_remove(&call->link);
	if (call->write != NULL)
		call->write(call->mod, call->arg, status);
	if (status == 0 && call->is_message)
		safe_note(call->safe, router_for(call));
	safe_unref(call->safe, router_for(call));
	call_free(call);
}

/* ---- deleting ---- */

static void on_deleted(void *arg, int status)
{
	struct archive_call *call = arg;

	if (is_passing(status) && !router_for(call)->is_ending)
		wait_again(call);
	else
		finish_write(call, status);
}

/* ---- appending ---- */

/* The first, perhaps among those that were accepted. */
static struct archive_call *find_append(const struct router *r, const struct comity_mod *m, const char *owner,
                                        const char *store, bool is_accepted)
{
	if (r->archive_appends == 0)
		return NULL;
	LIST_EACH(l, next, &r->archive_calls) {
		struct archive_call *call = LIST_ENTRY(l, struct archive_call, link);

		if (call->kind == CALL_APPEND && is_same_archive(call, m, owner, store) && (call->is_accepted || !is_accepted))
			return call;
	}
	return NULL;
}

static void release(struct router *r, const struct archive_call *for_archive, enum call_kind kind)
{
	LIST_EACH(l, next, &r->archive_calls) {
		struct archive_call *call = LIST_ENTRY(l, struct archive_call, link);

		if (!call->is_held || call->kind != kind ||
		    !is_same_archive(call, for_archive->mod, for_archive->owner, for_archive->store))
			continue;
		call->is_held = false;
		submit(call);
	}
}

/* Behind what was accepted come new messages, and what is read then has all of it. */
static void finish_append(struct archive_call *call, int status)
{
	struct router *r = router_for(call);

	list_remove(&call->link);
	r->archive_appends--;
	if (find_append(r, call->mod, call->owner, call->store, true) == NULL)
		release(r, call, CALL_APPEND);
	if (find_append(r, call->mod, call->owner, call->store, false) == NULL)
		release(r, call, CALL_QUERY);
	finish_write(call, status);
}

static void on_appended(void *arg, int status, uint64_t id)
{
	struct archive_call *call = arg;

	(void)id;
	if (is_passing(status) && call->is_accepted && !router_for(call)->is_ending)
		wait_again(call);
	else
		finish_append(call, status);
}

/* And all that wait to be tried again, in their order. */
static void submit_appends(const struct archive_call *first)
{
	struct router *r = router_for(first);

	LIST_EACH(l, next, &r->archive_calls) {
		struct archive_call *call = LIST_ENTRY(l, struct archive_call, link);

		if (call->kind != CALL_APPEND || !is_same_archive(call, first->mod, first->owner, first->store) ||
		    (call != first && !is_waiting(call)))
			continue;
		/* It ends by itself. */
		if (call != first && has_lost_account(call))
			continue;
		end_waiting(call);
		store_archive_append(r->server->store, r->worker, call->owner, call->store, &call->entry, call->max_entries,
		                     on_appended, call);
	}
}

/* ---- reading ---- */

static bool is_deleted(const struct archive_call *query, uint64_t id)
{
	LIST_EACH(l, next, &router_for(query)->archive_calls) {
		const struct archive_call *d = LIST_ENTRY(l, struct archive_call, link);

		if (d->kind == CALL_DELETION && id >= d->from_id && id <= d->to_id &&
		    is_same_archive(d, query->mod, query->owner, query->store))
			return true;
	}
	return false;
}

/* What is yet to be deleted is not there any more. */
static void tell(struct archive_call *call, const struct store_entries *all)
{
	struct store_entries left = *all;
	struct store_entry *entries = mem_array(all->count + 1, sizeof(*entries));

	left.count = 0;
	left.entries = entries;
	for (size_t i = 0; i < all->count; i++)
		if (!is_deleted(call, all->entries[i].id))
			entries[left.count++] = all->entries[i];
	left.total -= all->count - left.count;
	call->entries(call->mod, call->arg, &left);
	free(entries);
}

/* A page of nothing but such entries, before others that count. */
static bool is_all_deleted(const struct archive_call *call, const struct store_entries *all)
{
	if (all->count == 0 || all->total <= all->count || call->query.backwards || router_for(call)->has_stopped)
		return false;
	for (size_t i = 0; i < all->count; i++)
		if (!is_deleted(call, all->entries[i].id))
			return false;
	return true;
}

static void on_entries(void *arg, const struct store_entries *entries)
{
	struct archive_call *call = arg;

	call->failures += entries->status == -ERR_IO;
	if (is_passing(entries->status) && call->failures < READS_MAX && !router_for(call)->is_ending) {
		wait_again(call);
		return;
	}
	if (is_all_deleted(call, entries)) {
		call->query.after_id = entries->entries[entries->count - 1].id;
		submit(call);
		return;
	}
	list_remove(&call->link);
	if (list_empty(&router_for(call)->archive_calls))
		call->entries(call->mod, call->arg, entries);
	else
		tell(call, entries);
	call_free(call);
}

/* ---- all of them ---- */

static void submit(struct archive_call *call)
{
	struct router *r = router_for(call);

	if (call->kind == CALL_APPEND)
		submit_appends(call);
	else if (call->kind == CALL_QUERY)
		store_archive_query(r->server->store, r->worker, call->owner, call->store, &call->query, on_entries, call);
	/* Sessions that leave memory let go of what they got from the store; the journal should have it, but has not. */
	else if (r->is_unwritten)
		finish_write(call, -ERR_CLOSED);
	else
		store_archive_delete(r->server->store, r->worker, call->owner, call->store, call->from_id, call->to_id,
		                     on_deleted, call);
}

static void try_again(struct archive_call *call)
{
	end_waiting(call);
	if (has_lost_account(call))
		finish_append(call, -ERR_CLOSED);
	else
		submit(call);
}

static void on_again(struct worker *w, struct timer *t)
{
	(void)w;
	try_again(LIST_ENTRY(t, struct archive_call, again));
}

static struct archive_call *call_new(struct comity_mod *m, enum call_kind kind, const struct comity_jid *owner,
                                     const char *store, void *arg)
{
	struct archive_call *call = mem_new(sizeof(*call));

	call->kind = kind;
	call->mod = m;
	call->arg = arg;
	call->owner = mem_strdup(comity_jid_text(owner));
	call->store = mem_strdup(store);
	call->again.fire = on_again;
	list_init(&call->link);
	list_append(&router_for(call)->archive_calls, &call->link);
	return call;
}

void comity_archive_query(struct comity_mod *m, const struct comity_jid *owner, const char *store,
                          const struct store_query *query, comity_entries_cb *cb, void *arg)
{
	struct archive_call *call = call_new(m, CALL_QUERY, owner, store, arg);

	call->entries = cb;
	call->query = *query;
	call->with = query->with != NULL ? mem_strdup(query->with) : NULL;
	call->query.with = call->with;
	call->is_held = find_append(router_for(call), m, call->owner, call->store, false) != NULL;
	if (!call->is_held)
		submit(call);
}

void comity_archive_delete(struct comity_mod *m, const struct comity_jid *owner, const char *store, uint64_t from_id,
                           uint64_t to_id, comity_write_cb *cb, void *arg)
{
	struct archive_call *call = call_new(m, CALL_DELETION, owner, store, arg);
	const struct comity_rq *current = router_for(call)->current;

	call->write = cb;
	call->safe = current != NULL ? safe_ref(current->safe) : NULL;
	call->from_id = from_id;
	call->to_id = to_id;
	submit(call);
}

bool archive_call_append(struct comity_mod *m, const struct comity_jid *owner, const char *store,
                         const struct store_entry *entry, uint64_t max_entries, comity_write_cb *cb, void *arg)
{
	struct router *r = m->host->router;
	const struct comity_rq *rq = r->current;
	const struct archive_call *before = find_append(r, m, comity_jid_text(owner), store, true);
	bool is_accepted = rq != NULL && rq->is_again;
	struct archive_call *call;

	if (!is_accepted && before == NULL)
		return false;
	call = call_new(m, CALL_APPEND, owner, store, arg);
	r->archive_appends++;
	call->write = cb;
	call->safe = rq != NULL ? safe_ref(rq->safe) : NULL;
	call->account = rq != NULL && rq->account != NULL ? comity_account_ref(rq->account) : NULL;
	call->is_accepted = is_accepted;
	call->is_message = rq != NULL && rq->cause.number != 0 && entry->is_message;
	call->max_entries = max_entries;
	call->with = mem_strdup(entry->with != NULL ? entry->with : "");
	call->value = mem_dup(entry->value, entry->len);
	call->token = entry->token != NULL ? mem_strdup(entry->token) : NULL;
	call->entry = *entry;
	call->entry.with = call->with;
	call->entry.value = call->value;
	call->entry.token = call->token;
	call->is_held = !is_accepted;
	if (is_accepted && before != NULL && is_waiting(before))
		wait_again(call);
	else if (is_accepted)
		submit(call);
	return true;
}

static void try_all(struct router *r)
{
	LIST_EACH(l, next, &r->archive_calls) {
		struct archive_call *call = LIST_ENTRY(l, struct archive_call, link);

		if (is_waiting(call))
			try_again(call);
	}
}

void archive_calls_try(struct router *r)
{
	r->has_stopped = true;
	try_all(r);
}

void archive_calls_end(struct router *r)
{
	r->is_ending = true;
	try_all(r);
}
