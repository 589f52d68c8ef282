/* SPDX-License-Identifier: MIT */
/* Archives as modules read them and delete from them: what finds no room on the disk is tried again. What was
 * delivered must not stay there because of that, and what waits there must not be forgotten. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"

#define AGAIN_MS 1000

struct archive_call {
	struct list link;      /* in router->archive_calls until it is answered */
	struct timer again;    /* runs while it waits to be tried once more */
	struct comity_mod *mod;
	void *arg;
	char *owner, *store;
	bool is_deletion;

	comity_entries_cb *entries;
	struct store_query query;
	char *with;

	comity_write_cb *write;
	struct safe *safe;     /* as of every write */
	uint64_t from_id, to_id;
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
	free(call);
}

/* ---- deleting ---- */

static void finish_deletion(struct archive_call *call, int status)
{
	list_remove(&call->link);
	if (call->write != NULL)
		call->write(call->mod, call->arg, status);
	safe_unref(call->safe, router_for(call));
	call_free(call);
}

static void on_deleted(void *arg, int status)
{
	struct archive_call *call = arg;

	if ((status == -ERR_NO_SPACE || status == -ERR_IO) && !router_for(call)->is_ending)
		worker_timer_start(router_for(call)->worker, &call->again, AGAIN_MS);
	else
		finish_deletion(call, status);
}

/* ---- reading ---- */

static bool is_deleted(const struct archive_call *query, uint64_t id)
{
	LIST_EACH(l, next, &router_for(query)->archive_calls) {
		const struct archive_call *d = LIST_ENTRY(l, struct archive_call, link);

		if (d->is_deletion && d->mod == query->mod && id >= d->from_id && id <= d->to_id &&
		    strcmp(d->owner, query->owner) == 0 && strcmp(d->store, query->store) == 0)
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

static void on_entries(void *arg, const struct store_entries *entries)
{
	struct archive_call *call = arg;

	if (entries->status == -ERR_NO_SPACE && !router_for(call)->is_ending) {
		worker_timer_start(router_for(call)->worker, &call->again, AGAIN_MS);
		return;
	}
	list_remove(&call->link);
	if (list_empty(&router_for(call)->archive_calls))
		call->entries(call->mod, call->arg, entries);
	else
		tell(call, entries);
	call_free(call);
}

/* ---- both ---- */

static void submit(struct archive_call *call)
{
	struct router *r = router_for(call);

	if (!call->is_deletion)
		store_archive_query(r->server->store, r->worker, call->owner, call->store, &call->query, on_entries, call);
	/* Sessions that leave memory let go of what they got from the store; the journal should have it, but has not. */
	else if (r->is_unwritten)
		finish_deletion(call, -ERR_CLOSED);
	else
		store_archive_delete(r->server->store, r->worker, call->owner, call->store, call->from_id, call->to_id,
		                     on_deleted, call);
}

static void on_again(struct worker *w, struct timer *t)
{
	(void)w;
	submit(LIST_ENTRY(t, struct archive_call, again));
}

static struct archive_call *call_new(struct comity_mod *m, const struct comity_jid *owner, const char *store, void *arg)
{
	struct archive_call *call = mem_new(sizeof(*call));

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
	struct archive_call *call = call_new(m, owner, store, arg);

	call->entries = cb;
	call->query = *query;
	call->with = query->with != NULL ? mem_strdup(query->with) : NULL;
	call->query.with = call->with;
	submit(call);
}

void comity_archive_delete(struct comity_mod *m, const struct comity_jid *owner, const char *store, uint64_t from_id,
                           uint64_t to_id, comity_write_cb *cb, void *arg)
{
	struct archive_call *call = call_new(m, owner, store, arg);
	const struct comity_rq *current = router_for(call)->current;

	call->is_deletion = true;
	call->write = cb;
	call->safe = current != NULL ? safe_ref(current->safe) : NULL;
	call->from_id = from_id;
	call->to_id = to_id;
	submit(call);
}

void archive_calls_end(struct router *r)
{
	r->is_ending = true;
	LIST_EACH(l, next, &r->archive_calls) {
		struct archive_call *call = LIST_ENTRY(l, struct archive_call, link);

		if (!timer_is_running(&call->again))
			continue;
		worker_timer_stop(r->worker, &call->again);
		submit(call);
	}
}
