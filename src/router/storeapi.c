/* SPDX-License-Identifier: MIT */
/* The store as modules call it: every answer comes back with the module it is for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"

/* After a deletion that found no room. */
#define AGAIN_MS 1000

struct store_call {
	struct comity_mod *mod;
	union {
		comity_read_cb *read;
		comity_write_cb *write;
		comity_entries_cb *entries;
	} cb;
	void *arg;
	struct safe *safe;   /* of a write: the request that it is made for is not safe before */
	char *owner, *store; /* of a query of an archive */
};

/* In router->deletions until it is done. */
struct deletion {
	struct list link;
	struct timer again;
	struct store_call *call;
	char *owner, *store;
	uint64_t from_id, to_id;
};

static struct store_call *call_new(struct comity_mod *m, void *arg)
{
	struct store_call *call = mem_new(sizeof(*call));

	call->mod = m;
	call->arg = arg;
	return call;
}

static struct store *store_of(const struct comity_mod *m)
{
	return m->host->router->server->store;
}

static struct worker *worker_of(const struct comity_mod *m)
{
	return m->host->router->worker;
}

static void on_read(void *arg, const struct store_result *result)
{
	struct store_call *call = arg;

	call->cb.read(call->mod, call->arg, result);
	free(call);
}

static void on_write(void *arg, int status)
{
	struct store_call *call = arg;

	if (call->cb.write != NULL)
		call->cb.write(call->mod, call->arg, status);
	safe_unref(call->safe, call->mod->host->router);
	free(call);
}

static void on_append(void *arg, int status, uint64_t id)
{
	(void)id;
	on_write(arg, status);
}

static bool is_deleted(const struct store_call *query, uint64_t id)
{
	LIST_EACH(l, next, &query->mod->host->router->deletions) {
		const struct deletion *d = LIST_ENTRY(l, struct deletion, link);

		if (d->call->mod == query->mod && id >= d->from_id && id <= d->to_id && strcmp(d->owner, query->owner) == 0 &&
		    strcmp(d->store, query->store) == 0)
			return true;
	}
	return false;
}

/* What is yet to be deleted is not there any more. */
static void tell_others(struct store_call *call, const struct store_entries *all)
{
	struct store_entries left = *all;
	struct store_entry *entries = mem_array(all->count + 1, sizeof(*entries));

	left.count = 0;
	left.entries = entries;
	for (size_t i = 0; i < all->count; i++)
		if (!is_deleted(call, all->entries[i].id))
			entries[left.count++] = all->entries[i];
	left.total -= all->count - left.count;
	call->cb.entries(call->mod, call->arg, &left);
	free(entries);
}

static void on_entries(void *arg, const struct store_entries *entries)
{
	struct store_call *call = arg;

	if (list_empty(&call->mod->host->router->deletions))
		call->cb.entries(call->mod, call->arg, entries);
	else
		tell_others(call, entries);
	free(call->owner);
	free(call->store);
	free(call);
}

static struct store_call *write_call(struct comity_mod *m, comity_write_cb *cb, void *arg)
{
	const struct router *r = m->host->router;
	struct store_call *call = call_new(m, arg);

	call->cb.write = cb;
	call->safe = r->current != NULL ? safe_ref(r->current->safe) : NULL;
	return call;
}

void comity_map_load(struct comity_mod *m, const struct comity_jid *owner, const char *store, comity_read_cb *cb,
                     void *arg)
{
	const char *const names[] = { store, NULL };
	struct store_call *call = call_new(m, arg);

	call->cb.read = cb;
	store_map_load(store_of(m), worker_of(m), comity_jid_text(owner), names, on_read, call);
}

void comity_map_get(struct comity_mod *m, const struct comity_jid *owner, const char *store, const char *key,
                    comity_read_cb *cb, void *arg)
{
	struct store_call *call = call_new(m, arg);

	call->cb.read = cb;
	store_map_get(store_of(m), worker_of(m), comity_jid_text(owner), store, key, on_read, call);
}

void comity_map_put(struct comity_mod *m, const struct comity_jid *owner, const struct store_row *rows, size_t count,
                    comity_write_cb *cb, void *arg)
{
	store_map_put(store_of(m), worker_of(m), comity_jid_text(owner), rows, count, on_write, write_call(m, cb, arg));
}

void comity_archive_append(struct comity_mod *m, const struct comity_jid *owner, const char *store,
                           const struct store_entry *entry, uint64_t max_entries, comity_write_cb *cb, void *arg)
{
	const struct comity_rq *rq = m->host->router->current;
	struct store_entry known = *entry;
	char token[80];

	if (rq != NULL && rq->cause.key != 0 && known.token == NULL) {
		size_t len = (size_t)snprintf(token, sizeof(token), "%016llx-%016llx", (unsigned long long)rq->cause.key,
		                              (unsigned long long)rq->cause.hash), known_by = len;

		len += (size_t)snprintf(token + len, sizeof(token) - len, "/%llx", (unsigned long long)rq->cause.number);
		/* What comes back to the store is another entry than the one that was there. */
		if (rq->stored.key != 0)
			known_by = len + (size_t)snprintf(token + len, sizeof(token) - len, "/%llx",
			                                  (unsigned long long)rq->stored.hash);
		known.token = token;
		known.may_be_there = rq->is_repeat ? known_by : 0;
	}
	store_archive_append(store_of(m), worker_of(m), comity_jid_text(owner), store, &known, max_entries, on_append,
	                     write_call(m, cb, arg));
}

void comity_archive_query(struct comity_mod *m, const struct comity_jid *owner, const char *store,
                          const struct store_query *query, comity_entries_cb *cb, void *arg)
{
	struct store_call *call = call_new(m, arg);

	call->cb.entries = cb;
	call->owner = mem_strdup(comity_jid_text(owner));
	call->store = mem_strdup(store);
	store_archive_query(store_of(m), worker_of(m), comity_jid_text(owner), store, query, on_entries, call);
}

/* ---- taking out: what was delivered must not stay there because the disk is full ---- */

static void finish_deletion(struct deletion *d, int status)
{
	list_remove(&d->link);
	on_write(d->call, status);
	free(d->owner);
	free(d->store);
	free(d);
}

static void on_deleted(void *arg, int status)
{
	struct deletion *d = arg;
	struct router *r = d->call->mod->host->router;

	if ((status != -ERR_NO_SPACE && status != -ERR_IO) || r->is_ending) {
		finish_deletion(d, status);
		return;
	}
	worker_timer_start(r->worker, &d->again, AGAIN_MS);
}

static void submit_deletion(struct deletion *d)
{
	struct comity_mod *m = d->call->mod;

	/* Sessions that leave memory let go of what they got from the store; the journal should have it, but has not. */
	if (m->host->router->is_unwritten)
		finish_deletion(d, -ERR_CLOSED);
	else
		store_archive_delete(store_of(m), worker_of(m), d->owner, d->store, d->from_id, d->to_id, on_deleted, d);
}

static void on_again(struct worker *w, struct timer *t)
{
	(void)w;
	submit_deletion(LIST_ENTRY(t, struct deletion, again));
}

void storeapi_end(struct router *r)
{
	r->is_ending = true;
	LIST_EACH(l, next, &r->deletions) {
		struct deletion *d = LIST_ENTRY(l, struct deletion, link);

		if (!timer_is_running(&d->again))
			continue;
		worker_timer_stop(r->worker, &d->again);
		submit_deletion(d);
	}
}

void comity_archive_delete(struct comity_mod *m, const struct comity_jid *owner, const char *store, uint64_t from_id,
                           uint64_t to_id, comity_write_cb *cb, void *arg)
{
	struct deletion *d = mem_new(sizeof(*d));

	d->call = write_call(m, cb, arg);
	d->owner = mem_strdup(comity_jid_text(owner));
	d->store = mem_strdup(store);
	d->from_id = from_id;
	d->to_id = to_id;
	d->again.fire = on_again;
	list_init(&d->link);
	list_append(&m->host->router->deletions, &d->link);
	submit_deletion(d);
}

void comity_archive_trim(struct comity_mod *m, const struct comity_jid *owner, const char *store, uint64_t keep,
                         int64_t since_us, comity_write_cb *cb, void *arg)
{
	store_archive_trim(store_of(m), worker_of(m), comity_jid_text(owner), store, keep, since_us, on_write,
	                   write_call(m, cb, arg));
}
