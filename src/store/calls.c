/* SPDX-License-Identifier: MIT */
/* The calls of the store contract: each copies what it is given into a request. */
#include "store/request.h"
#include "store/store.h"

static void copy_rows(struct request *r, const struct store_row *rows, size_t count)
{
	struct arena *a = &r->arena;

	r->count = count;
	r->rows = arena_alloc(a, (count != 0 ? count : 1) * sizeof(*rows));
	for (size_t i = 0; i < count; i++)
		r->rows[i] = (struct store_row){
			.store = arena_strdup(a, rows[i].store),
			.key = arena_strdup(a, rows[i].key),
			.value = rows[i].value != NULL ? arena_dup(a, rows[i].value, rows[i].len) : NULL,
			.len = rows[i].len,
		};
}

static struct request *load_new(struct worker *w, const char *owner, const char *const *names, store_read_cb *cb,
                                void *arg)
{
	struct request *r = request_new(w, OP_LOAD, owner, NULL, arg);
	size_t n = 0;

	while (names[n] != NULL)
		n++;
	r->names = arena_alloc(&r->arena, (n + 1) * sizeof(*r->names));
	for (size_t i = 0; i < n; i++)
		r->names[i] = arena_strdup(&r->arena, names[i]);
	r->names[n] = NULL;
	r->cb.read = cb;
	return r;
}

void store_map_load(struct store *s, struct worker *w, const char *owner, const char *const *names,
                    store_read_cb *cb, void *arg)
{
	store_submit(s, load_new(w, owner, names, cb, arg));
}

void store_map_load_first(struct store *s, struct worker *w, const char *owner, const char *const *names,
                          store_read_cb *cb, void *arg)
{
	struct request *r = load_new(w, owner, names, cb, arg);

	r->is_urgent = true;
	store_submit(s, r);
}

void store_map_get(struct store *s, struct worker *w, const char *owner, const char *name, const char *key,
                   store_read_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_GET, owner, name, arg);

	r->key = arena_strdup(&r->arena, key);
	r->cb.read = cb;
	store_submit(s, r);
}

static struct request *put_new(struct worker *w, const char *owner, const struct store_row *rows, size_t count,
                               store_write_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_PUT, owner, NULL, arg);

	copy_rows(r, rows, count);
	r->cb.write = cb;
	return r;
}

void store_map_put(struct store *s, struct worker *w, const char *owner, const struct store_row *rows, size_t count,
                   store_write_cb *cb, void *arg)
{
	store_submit(s, put_new(w, owner, rows, count, cb, arg));
}

void store_map_put_lazily(struct store *s, struct worker *w, const char *owner, const struct store_row *rows,
                          size_t count)
{
	struct request *r = put_new(w, owner, rows, count, NULL, NULL);

	r->is_lazy = true;
	store_submit(s, r);
}

void store_map_create(struct store *s, struct worker *w, const char *owner, const struct store_row *rows,
                      size_t count, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_CREATE, owner, NULL, arg);

	copy_rows(r, rows, count);
	r->cb.write = cb;
	store_submit(s, r);
}

void store_remove_owner(struct store *s, struct worker *w, const char *owner, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_REMOVE_OWNER, owner, NULL, arg);

	r->cb.write = cb;
	store_submit(s, r);
}

void store_map_owners(struct store *s, struct worker *w, const char *name, const char *suffix, const char *after,
                      size_t limit, store_read_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_OWNERS, NULL, name, arg);

	r->suffix = arena_strdup(&r->arena, suffix);
	r->key = arena_strdup(&r->arena, after);
	r->limit = limit;
	r->cb.read = cb;
	store_submit(s, r);
}

void store_archive_append(struct store *s, struct worker *w, const char *owner, const char *name,
                          const struct store_entry *entry, uint64_t max_entries, store_append_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_APPEND, owner, name, arg);

	r->entry = *entry;
	r->entry.with = arena_strdup(&r->arena, entry->with != NULL ? entry->with : "");
	r->entry.value = arena_dup(&r->arena, entry->value, entry->len);
	r->entry.token = entry->token != NULL ? arena_strdup(&r->arena, entry->token) : NULL;
	r->limit = max_entries;
	r->cb.append = cb;
	store_submit(s, r);
}

void store_archive_query(struct store *s, struct worker *w, const char *owner, const char *name,
                         const struct store_query *query, store_entries_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_QUERY, owner, name, arg);

	r->query = *query;
	r->query.with = query->with != NULL ? arena_strdup(&r->arena, query->with) : NULL;
	r->cb.entries = cb;
	store_submit(s, r);
}

void store_archive_count(struct store *s, struct worker *w, const char *owner, const char *name,
                         store_count_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_COUNT, owner, name, arg);

	r->cb.count = cb;
	store_submit(s, r);
}

void store_archive_delete(struct store *s, struct worker *w, const char *owner, const char *name, uint64_t from_id,
                          uint64_t to_id, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_DELETE, owner, name, arg);

	r->from_id = from_id;
	r->to_id = to_id;
	r->cb.write = cb;
	store_submit(s, r);
}

void store_archive_trim(struct store *s, struct worker *w, const char *owner, const char *name, uint64_t keep,
                        int64_t since_us, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_TRIM, owner, name, arg);

	r->limit = keep;
	r->since_us = since_us;
	r->cb.write = cb;
	store_submit(s, r);
}

void store_backup(struct store *s, struct worker *w, const char *path, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(w, OP_BACKUP, NULL, NULL, arg);

	r->key = arena_strdup(&r->arena, path);
	r->cb.write = cb;
	store_submit(s, r);
}
