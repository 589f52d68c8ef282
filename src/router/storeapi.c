/* SPDX-License-Identifier: MIT */
/* The store as modules call it: every answer comes back with the module it is for. */
#include <stdlib.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/token.h"

struct store_call {
	struct comity_mod *mod;
	union {
		comity_read_cb *read;
		comity_write_cb *write;
	} cb;
	void *arg;
	struct safe *safe;   /* of a write: the request that it is made for is not safe before */
	bool is_message;     /* an append of the message itself that the request is */
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
	struct router *r = call->mod->host->router;

	if (call->cb.write != NULL)
		call->cb.write(call->mod, call->arg, status);
	if (status == 0 && call->is_message)
		safe_note(call->safe, r);
	safe_unref(call->safe, r);
	free(call);
}

static void on_append(void *arg, int status, uint64_t id)
{
	(void)id;
	on_write(arg, status);
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

void comity_map_put_lazily(struct comity_mod *m, const struct comity_jid *owner, const struct store_row *rows,
                           size_t count)
{
	store_map_put_lazily(store_of(m), worker_of(m), comity_jid_text(owner), rows, count);
}

void comity_archive_append(struct comity_mod *m, const struct comity_jid *owner, const char *store,
                           const struct store_entry *entry, uint64_t max_entries, comity_write_cb *cb, void *arg)
{
	const struct comity_rq *rq = m->host->router->current;
	struct store_entry known = *entry;
	struct store_call *call;
	char token[TOKEN_SIZE];
	/* What else is kept of a message does not make it safe. */
	bool is_message = rq != NULL && rq->cause.number != 0 && entry->is_message;

	if (rq != NULL && rq->cause.key != 0 && known.token == NULL) {
		struct cause cause = { rq->cause.key, rq->cause.hash, is_message ? rq->cause.number : 0 };
		size_t known_by = token_write(token, &cause, &rq->stored);

		known.token = token;
		known.may_be_there = rq->is_repeat ? known_by : 0;
	}
	if (archive_call_append(m, owner, store, &known, max_entries, cb, arg))
		return;
	call = write_call(m, cb, arg);
	call->is_message = is_message;
	store_archive_append(store_of(m), worker_of(m), comity_jid_text(owner), store, &known, max_entries, on_append, call);
}

void comity_archive_trim(struct comity_mod *m, const struct comity_jid *owner, const char *store, uint64_t keep,
                         int64_t since_us, comity_write_cb *cb, void *arg)
{
	store_archive_trim(store_of(m), worker_of(m), comity_jid_text(owner), store, keep, since_us, on_write,
	                   write_call(m, cb, arg));
}
