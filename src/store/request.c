/* SPDX-License-Identifier: MIT */
/* What the calls of the store do on a connection, and how their answers travel. */
#include "store/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/pool.h"

#define FIRST_ROOM 8
/* Bytes of answers that may lie in the mailbox of a worker before more is read for it: disks are faster than clients. */
#define ANSWERS_MAX (1 << 20)

/* ---- what drivers find ---- */

static void *grow(struct arena *arena, const void *items, size_t count, size_t *room, size_t size)
{
	void *bigger;

	*room = *room != 0 ? *room * 2 : FIRST_ROOM;
	bigger = arena_alloc(arena, *room * size);
	if (count != 0)
		memcpy(bigger, items, count * size);
	return bigger;
}

void driver_add_row(struct driver_rows *rows, const char *store, const char *key, const void *value, size_t len)
{
	struct store_row *row;

	if (rows->count == rows->room)
		rows->rows = grow(rows->arena, rows->rows, rows->count, &rows->room, sizeof(*row));
	row = &rows->rows[rows->count++];
	row->store = store;
	row->key = arena_strdup(rows->arena, key);
	row->value = arena_dup(rows->arena, value, len);
	row->len = len;
}

void driver_add_entry(struct driver_entries *entries, const struct store_entry *found)
{
	struct store_entry *entry;

	if (entries->count == entries->room)
		entries->entries = grow(entries->arena, entries->entries, entries->count, &entries->room, sizeof(*entry));
	entry = &entries->entries[entries->count++];
	*entry = *found;
	entry->with = arena_strdup(entries->arena, found->with);
	entry->value = arena_dup(entries->arena, found->value, found->len);
	entry->token = found->token != NULL ? arena_strdup(entries->arena, found->token) : NULL;
}

void driver_reverse_entries(struct driver_entries *e)
{
	for (size_t i = 0; i < e->count / 2; i++) {
		struct store_entry swap = e->entries[i];

		e->entries[i] = e->entries[e->count - 1 - i];
		e->entries[e->count - 1 - i] = swap;
	}
}

/* ---- running ---- */

static int run_load(struct request *r, const struct store_driver *d, struct driver_conn *c)
{
	int rc = 0;

	for (const char **name = r->names; rc == 0 && *name != NULL; name++)
		rc = d->map_load(c, r->owner, *name, &r->found);
	return rc;
}

static int run_create(struct request *r, const struct store_driver *d, struct driver_conn *c)
{
	int rc = r->count != 0 ? d->map_check_free(c, r->owner, r->rows[0].store) : -ERR_INVALID;

	return rc != 0 ? rc : d->map_put(c, r->owner, r->rows, r->count);
}

static int run_op(struct request *r, const struct store_driver *d, struct driver_conn *c)
{
	switch (r->op) {
	case OP_LOAD:
		return run_load(r, d, c);
	case OP_GET:
		return d->map_get(c, r->owner, r->name, r->key, &r->found);
	case OP_OWNERS:
		return d->map_owners(c, r->name, r->suffix, r->key, (size_t)r->limit, &r->found);
	case OP_QUERY:
		return d->query(c, r->owner, r->name, &r->query, &r->entries);
	case OP_COUNT:
		return d->count(c, r->owner, r->name, &r->number, NULL);
	case OP_BACKUP:
		return d->backup(c, r->key);
	case OP_PUT:
		return d->map_put(c, r->owner, r->rows, r->count);
	case OP_CREATE:
		return run_create(r, d, c);
	case OP_REMOVE_OWNER:
		return d->remove_owner(c, r->owner);
	case OP_APPEND:
		return d->append(c, r->owner, r->name, &r->entry, &r->number);
	case OP_DELETE:
		return d->delete_range(c, r->owner, r->name, r->from_id, r->to_id);
	case OP_TRIM:
		return d->trim(c, r->owner, r->name, r->limit, r->since_us);
	case OP_SETTLE:
		return 0; /* the writer has done it */
	}
	return -ERR_UNSUPPORTED;
}

bool request_is_write(const struct request *r)
{
	return r->op >= OP_PUT;
}

/* What reads more than once must not see a commit in between. */
static int run_in_view(struct request *r, const struct store_driver *d, struct driver_conn *c)
{
	int rc = d->begin(c);

	if (rc == 0)
		rc = run_op(r, d, c);
	d->rollback(c);
	return rc;
}

int request_run(struct request *r, const struct store_driver *d, struct driver_conn *c)
{
	bool needs_view = r->op == OP_QUERY || (r->op == OP_LOAD && r->names[0] != NULL && r->names[1] != NULL);

	r->status = needs_view ? run_in_view(r, d, c) : run_op(r, d, c);
	if (r->status != 0) {
		r->found.count = 0;
		r->entries.count = 0;
		r->entries.total = 0;
		r->number = 0;
	}
	return r->status;
}

/* ---- life and answer ---- */

struct request *request_new(struct worker *w, enum request_op op, const char *owner, const char *name, void *arg)
{
	struct request *r = pool_take_zeroed(sizeof(*r));

	r->worker = w;
	r->op = op;
	r->owner = owner != NULL ? arena_strdup(&r->arena, owner) : NULL;
	r->name = name != NULL ? arena_strdup(&r->arena, name) : NULL;
	r->arg = arg;
	r->found.arena = &r->arena;
	r->entries.arena = &r->arena;
	list_init(&r->link);
	return r;
}

static void request_free(struct request *r)
{
	arena_deinit(&r->arena);
	pool_give(r, sizeof(*r));
}

static void call_back(const struct request *r)
{
	const struct store_result result = { r->status, r->found.count, r->found.rows };
	const struct store_entries entries = { r->status, r->entries.count, r->entries.entries, r->entries.total };

	switch (r->op) {
	case OP_LOAD:
	case OP_GET:
	case OP_OWNERS:
		r->cb.read(r->arg, &result);
		break;
	case OP_QUERY:
		r->cb.entries(r->arg, &entries);
		break;
	case OP_COUNT:
		r->cb.count(r->arg, r->status, r->number);
		break;
	case OP_APPEND:
		r->cb.append(r->arg, r->status, r->number);
		break;
	default:
		r->cb.write(r->arg, r->status);
		break;
	}
}

static void run_answer(struct worker *w, struct mail *mail)
{
	struct request *r = LIST_ENTRY(mail, struct request, mail);

	call_back(r);
	atomic_fetch_sub_explicit(&w->answer_bytes, r->bytes, memory_order_relaxed);
	request_free(r);
}

bool request_is_ahead(const struct request *r)
{
	return atomic_load_explicit(&r->worker->answer_bytes, memory_order_relaxed) > ANSWERS_MAX;
}

void request_answer(struct request *r)
{
	if (r->cb.write == NULL) {
		request_free(r);
		return;
	}
	r->bytes = sizeof(*r) + r->arena.room;
	atomic_fetch_add_explicit(&r->worker->answer_bytes, r->bytes, memory_order_relaxed);
	r->mail.run = run_answer;
	worker_post(r->worker, &r->mail);
}
