/* SPDX-License-Identifier: MIT */
/* The store: requests, the writer with its group commits, the readers, answers by mail. */
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/env.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "net/worker.h"
#include "store/driver.h"

enum op { LOAD, GET, PUT, CREATE, REMOVE_OWNER, OWNERS, APPEND, QUERY, COUNT, DELETE, TRIM, BACKUP };

/* One call, from its asking to its answer. */
struct request {
	struct mail mail;
	struct list link;
	struct store *store;
	struct worker *worker;
	enum op op;
	struct arena arena;         /* all it was given and all it found */
	uint64_t after_write;       /* a read waits until this write is committed */
	const char *owner, *name, *key, *suffix;
	const char **names;
	struct store_row *rows;
	size_t count;
	struct store_entry entry;
	struct store_query query;
	uint64_t from_id, to_id, limit;
	int64_t since_us;
	int status;
	uint64_t number;            /* id or count found */
	struct driver_rows found;
	struct driver_entries entries;
	union {
		store_read_cb *read;
		store_write_cb *write;
		store_append_cb *append;
		store_entries_cb *entries;
		store_count_cb *count;
	} cb;
	void *arg;
};

/* The last write of an owner that is not committed yet. */
struct pending {
	uint64_t write;
	char owner[];
};

struct store {
	struct comity_env *env;
	const struct store_driver *driver;
	char *path;
	int lock_fd;
	unsigned commit_ms, commit_rows;
	pthread_mutex_t lock;
	pthread_cond_t write_wanted, read_wanted;
	struct list writes, reads, held;   /* held: reads that wait for a commit */
	size_t writes_count;
	uint64_t last_write, committed;
	struct map pending;
	bool is_ending, writer_is_done;
	struct store_stats stats;
	struct driver_conn *writer;
	struct driver_conn **reader_conns;
	pthread_t writer_thread, *reader_threads;
	unsigned readers, readers_running;
};

void driver_add_row(struct driver_rows *rows, const char *store, const char *key, const void *value, size_t len)
{
	struct store_row *bigger;

	if (rows->count == rows->room) {
		rows->room = rows->room != 0 ? rows->room * 2 : 8;
		bigger = arena_alloc(rows->arena, rows->room * sizeof(*bigger));
		if (rows->count != 0)
			memcpy(bigger, rows->rows, rows->count * sizeof(*bigger));
		rows->rows = bigger;
	}
	rows->rows[rows->count++] = (struct store_row){ store, arena_strdup(rows->arena, key),
	                                                arena_dup(rows->arena, value, len), len };
}

void driver_add_entry(struct driver_entries *entries, const struct store_entry *entry)
{
	struct store_entry *bigger, copy = *entry;

	if (entries->count == entries->room) {
		entries->room = entries->room != 0 ? entries->room * 2 : 8;
		bigger = arena_alloc(entries->arena, entries->room * sizeof(*bigger));
		if (entries->count != 0)
			memcpy(bigger, entries->entries, entries->count * sizeof(*bigger));
		entries->entries = bigger;
	}
	copy.with = arena_strdup(entries->arena, entry->with);
	copy.value = arena_dup(entries->arena, entry->value, entry->len);
	entries->entries[entries->count++] = copy;
}

/* ---- answers ---- */

static void request_free(struct request *r)
{
	arena_deinit(&r->arena);
	free(r);
}

static void run_answer(struct worker *w, struct mail *mail)
{
	struct request *r = LIST_ENTRY(mail, struct request, mail);
	struct store_result result = { r->status, r->found.count, r->found.rows };
	struct store_entries entries = { r->status, r->entries.count, r->entries.entries, r->entries.total };

	(void)w;
	switch (r->op) {
	case LOAD:
	case GET:
	case OWNERS:
		r->cb.read(r->arg, &result);
		break;
	case APPEND:
		r->cb.append(r->arg, r->status, r->number);
		break;
	case QUERY:
		r->cb.entries(r->arg, &entries);
		break;
	case COUNT:
		r->cb.count(r->arg, r->status, r->number);
		break;
	default:
		r->cb.write(r->arg, r->status);
		break;
	}
	request_free(r);
}

static void answer(struct request *r)
{
	if (r->cb.write == NULL) {
		request_free(r);
		return;
	}
	r->mail.run = run_answer;
	worker_post(r->worker, &r->mail);
}

/* ---- what requests do ---- */

static int run_load(const struct store_driver *d, struct driver_conn *c, struct request *r)
{
	int rc = 0;

	for (const char **name = r->names; rc == 0 && *name != NULL; name++)
		rc = d->map_load(c, r->owner, *name, &r->found);
	return rc;
}

static int run_create(const struct store_driver *d, struct driver_conn *c, struct request *r)
{
	int rc = d->map_is_free(c, r->owner, r->rows[0].store);

	return rc != 0 ? rc : d->map_put(c, r->owner, r->rows, r->count);
}

static int run_append(const struct store_driver *d, struct driver_conn *c, struct request *r)
{
	uint64_t count = 0;
	int rc = r->limit != 0 ? d->count(c, r->owner, r->name, &count) : 0;

	if (rc == 0 && r->limit != 0 && count >= r->limit)
		rc = -ERR_LIMIT;
	return rc != 0 ? rc : d->append(c, r->owner, r->name, &r->entry, &r->number);
}

static int run(const struct store_driver *d, struct driver_conn *c, struct request *r)
{
	switch (r->op) {
	case LOAD:
		return run_load(d, c, r);
	case GET:
		return d->map_get(c, r->owner, r->name, r->key, &r->found);
	case OWNERS:
		return d->map_owners(c, r->name, r->suffix, r->key, (size_t)r->limit, &r->found);
	case QUERY:
		return d->query(c, r->owner, r->name, &r->query, &r->entries);
	case COUNT:
		return d->count(c, r->owner, r->name, &r->number);
	case BACKUP:
		return d->backup(c, r->key);
	case PUT:
		return d->map_put(c, r->owner, r->rows, r->count);
	case CREATE:
		return run_create(d, c, r);
	case REMOVE_OWNER:
		return d->remove_owner(c, r->owner);
	case APPEND:
		return run_append(d, c, r);
	case DELETE:
		return d->delete_range(c, r->owner, r->name, r->from_id, r->to_id);
	default:
		return d->trim(c, r->owner, r->name, r->limit, r->since_us);
	}
}

static bool is_write(enum op op)
{
	return op == PUT || op == CREATE || op == REMOVE_OWNER || op == APPEND || op == DELETE || op == TRIM;
}

/* One request of a group: if it fails alone, the others go on. */
static void run_part(const struct store_driver *d, struct driver_conn *c, struct request *r)
{
	r->status = d->mark(c);
	if (r->status == 0)
		r->status = run(d, c, r);
	if (r->status != 0)
		d->undo(c);
}

/* All in one transaction; when that fails, all have failed. */
static void run_group(struct store *s, struct list *group)
{
	const struct store_driver *d = s->driver;
	int rc = d->begin(s->writer);

	LIST_EACH(l, next, group)
		if (rc == 0)
			run_part(d, s->writer, LIST_ENTRY(l, struct request, link));
	if (rc == 0)
		rc = d->commit(s->writer);
	if (rc == 0)
		return;
	d->rollback(s->writer);
	log_error(&(struct log_ctx){ .log = s->env->log }, "store %s: a commit failed: %s", s->path, err_name(rc));
	LIST_EACH(l, next, group)
		if (LIST_ENTRY(l, struct request, link)->status == 0)
			LIST_ENTRY(l, struct request, link)->status = rc;
}

/* ---- the writer ---- */

static void wait_for_company(struct store *s)
{
	struct timespec until;

	if (s->commit_ms == 0 || s->writes_count >= s->commit_rows || s->is_ending)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)s->commit_ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (s->writes_count < s->commit_rows && !s->is_ending)
		if (pthread_cond_timedwait(&s->write_wanted, &s->lock, &until) == ETIMEDOUT)
			break;
}

/* After a commit: reads that waited for it may run; owners without further writes are forgotten. */
static void release_reads(struct store *s, struct list *group)
{
	LIST_EACH(l, next, group) {
		const struct request *r = LIST_ENTRY(l, struct request, link);
		struct pending *p = map_find(&s->pending, r->owner, strlen(r->owner));

		if (p != NULL && p->write <= s->committed) {
			map_remove(&s->pending, p->owner, strlen(p->owner));
			free(p);
		}
	}
	LIST_EACH(l, next, &s->held) {
		struct request *r = LIST_ENTRY(l, struct request, link);

		if (r->after_write > s->committed)
			continue;
		list_remove(l);
		list_append(&s->reads, l);
		pthread_cond_signal(&s->read_wanted);
	}
}

static void *run_writer(void *arg)
{
	struct store *s = arg;
	struct list group;
	uint64_t last = 0;

	pthread_setname_np(pthread_self(), "store-writer");
	list_init(&group);
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (list_empty(&s->writes) && !s->is_ending)
			pthread_cond_wait(&s->write_wanted, &s->lock);
		if (list_empty(&s->writes))
			break;
		wait_for_company(s);
		for (unsigned n = 0; n < s->commit_rows && !list_empty(&s->writes); n++) {
			struct list *l = list_shift(&s->writes);

			last = LIST_ENTRY(l, struct request, link)->after_write;
			list_append(&group, l);
			s->writes_count--;
		}
		pthread_mutex_unlock(&s->lock);
		run_group(s, &group);
		pthread_mutex_lock(&s->lock);
		s->committed = last;
		s->stats.commits++;
		release_reads(s, &group);
		pthread_mutex_unlock(&s->lock);
		for (struct list *l; (l = list_shift(&group)) != NULL;)
			answer(LIST_ENTRY(l, struct request, link));
		pthread_mutex_lock(&s->lock);
	}
	s->writer_is_done = true;
	pthread_cond_broadcast(&s->read_wanted);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- readers ---- */

static void *run_reader(void *arg)
{
	struct store *s = arg;
	struct driver_conn *conn;

	pthread_setname_np(pthread_self(), "store-reader");
	pthread_mutex_lock(&s->lock);
	conn = s->reader_conns[s->readers_running++];
	for (;;) {
		struct request *r;

		while (list_empty(&s->reads) && !s->writer_is_done)
			pthread_cond_wait(&s->read_wanted, &s->lock);
		if (list_empty(&s->reads))
			break;
		r = LIST_ENTRY(list_shift(&s->reads), struct request, link);
		pthread_mutex_unlock(&s->lock);
		r->status = run(s->driver, conn, r);
		answer(r);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- asking ---- */

static void run_inline(struct store *s, struct request *r)
{
	struct list group;

	if (!is_write(r->op)) {
		s->stats.reads++;
		r->status = run(s->driver, r->op == BACKUP ? s->reader_conns[0] : s->writer, r);
	} else {
		s->stats.writes++;
		list_init(&group);
		list_append(&group, &r->link);
		run_group(s, &group);
		list_remove(&r->link);
	}
	answer(r);
}

static void note_pending(struct store *s, struct request *r)
{
	size_t len = strlen(r->owner);
	struct pending *p = map_find(&s->pending, r->owner, len);

	if (p == NULL) {
		p = mem_new(sizeof(*p) + len + 1);
		memcpy(p->owner, r->owner, len + 1);
		map_put(&s->pending, p->owner, len, p);
	}
	p->write = r->after_write;
}

static void queue_read(struct store *s, struct request *r)
{
	const struct pending *p = r->owner != NULL ? map_find(&s->pending, r->owner, strlen(r->owner)) : NULL;

	s->stats.reads++;
	/* Without an owner it is about all: every write so far counts. */
	r->after_write = p != NULL ? p->write : r->owner == NULL ? s->last_write : 0;
	if (r->after_write > s->committed) {
		list_append(&s->held, &r->link);
	} else {
		list_append(&s->reads, &r->link);
		pthread_cond_signal(&s->read_wanted);
	}
}

static void submit(struct request *r)
{
	struct store *s = r->store;

	if (s->env->inline_jobs) {
		run_inline(s, r);
		return;
	}
	pthread_mutex_lock(&s->lock);
	if (is_write(r->op)) {
		r->after_write = ++s->last_write;
		note_pending(s, r);
		list_append(&s->writes, &r->link);
		s->writes_count++;
		s->stats.writes++;
		pthread_cond_signal(&s->write_wanted);
	} else {
		queue_read(s, r);
	}
	pthread_mutex_unlock(&s->lock);
}

static struct request *request_new(struct store *s, struct worker *w, enum op op, const char *owner, const char *name,
                                   void *arg)
{
	struct request *r = mem_new(sizeof(*r));

	r->store = s;
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

static void copy_rows(struct request *r, const struct store_row *rows, size_t count)
{
	r->count = count;
	r->rows = arena_alloc(&r->arena, (count != 0 ? count : 1) * sizeof(*rows));
	for (size_t i = 0; i < count; i++)
		r->rows[i] = (struct store_row){
			arena_strdup(&r->arena, rows[i].store), arena_strdup(&r->arena, rows[i].key),
			rows[i].value != NULL ? arena_dup(&r->arena, rows[i].value, rows[i].len) : NULL, rows[i].len
		};
}

void store_map_load(struct store *s, struct worker *w, const char *owner, const char *const *names,
                    store_read_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, LOAD, owner, NULL, arg);
	size_t n = 0;

	while (names[n] != NULL)
		n++;
	r->names = arena_alloc(&r->arena, (n + 1) * sizeof(char *));
	for (size_t i = 0; i < n; i++)
		r->names[i] = arena_strdup(&r->arena, names[i]);
	r->names[n] = NULL;
	r->cb.read = cb;
	submit(r);
}

void store_map_get(struct store *s, struct worker *w, const char *owner, const char *name, const char *key,
                   store_read_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, GET, owner, name, arg);

	r->key = arena_strdup(&r->arena, key);
	r->cb.read = cb;
	submit(r);
}

void store_map_put(struct store *s, struct worker *w, const char *owner, const struct store_row *rows, size_t count,
                   store_write_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, PUT, owner, NULL, arg);

	copy_rows(r, rows, count);
	r->cb.write = cb;
	submit(r);
}

void store_map_create(struct store *s, struct worker *w, const char *owner, const struct store_row *rows,
                      size_t count, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, CREATE, owner, NULL, arg);

	copy_rows(r, rows, count);
	r->cb.write = cb;
	submit(r);
}

void store_remove_owner(struct store *s, struct worker *w, const char *owner, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, REMOVE_OWNER, owner, NULL, arg);

	r->cb.write = cb;
	submit(r);
}

void store_map_owners(struct store *s, struct worker *w, const char *name, const char *suffix, const char *after,
                      size_t limit, store_read_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, OWNERS, NULL, name, arg);

	r->suffix = arena_strdup(&r->arena, suffix);
	r->key = arena_strdup(&r->arena, after);
	r->limit = limit;
	r->cb.read = cb;
	submit(r);
}

void store_archive_append(struct store *s, struct worker *w, const char *owner, const char *name,
                          const struct store_entry *entry, uint64_t max_entries, store_append_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, APPEND, owner, name, arg);

	r->entry = *entry;
	r->entry.with = arena_strdup(&r->arena, entry->with != NULL ? entry->with : "");
	r->entry.value = arena_dup(&r->arena, entry->value, entry->len);
	r->limit = max_entries;
	r->cb.append = cb;
	submit(r);
}

void store_archive_query(struct store *s, struct worker *w, const char *owner, const char *name,
                         const struct store_query *query, store_entries_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, QUERY, owner, name, arg);

	r->query = *query;
	r->query.with = query->with != NULL ? arena_strdup(&r->arena, query->with) : NULL;
	r->cb.entries = cb;
	submit(r);
}

void store_archive_count(struct store *s, struct worker *w, const char *owner, const char *name,
                         store_count_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, COUNT, owner, name, arg);

	r->cb.count = cb;
	submit(r);
}

void store_archive_delete(struct store *s, struct worker *w, const char *owner, const char *name, uint64_t from_id,
                          uint64_t to_id, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, DELETE, owner, name, arg);

	r->from_id = from_id;
	r->to_id = to_id;
	r->cb.write = cb;
	submit(r);
}

void store_archive_trim(struct store *s, struct worker *w, const char *owner, const char *name, uint64_t keep,
                        int64_t since_us, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, TRIM, owner, name, arg);

	r->limit = keep;
	r->since_us = since_us;
	r->cb.write = cb;
	submit(r);
}

void store_backup(struct store *s, struct worker *w, const char *path, store_write_cb *cb, void *arg)
{
	struct request *r = request_new(s, w, BACKUP, NULL, NULL, arg);

	r->key = arena_strdup(&r->arena, path);
	r->cb.write = cb;
	submit(r);
}

void store_get_stats(struct store *s, struct store_stats *stats)
{
	pthread_mutex_lock(&s->lock);
	*stats = s->stats;
	stats->waiting = s->writes_count;
	pthread_mutex_unlock(&s->lock);
}

/* ---- life ---- */

static int connect_all(struct store *s, struct err_text *et)
{
	int rc = s->driver->connect(s->path, true, &s->writer, et);

	for (unsigned i = 0; rc == 0 && i < s->readers; i++)
		rc = s->driver->connect(s->path, false, &s->reader_conns[i], et);
	return rc;
}

static void start_threads(struct store *s)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&s->writer_thread, NULL, run_writer, s);
	for (unsigned i = 0; rc == 0 && i < s->readers; i++)
		rc = pthread_create(&s->reader_threads[i], NULL, run_reader, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		abort();
}

static void store_free(struct store *s)
{
	size_t pos = 0;

	for (unsigned i = 0; i < s->readers; i++)
		if (s->reader_conns[i] != NULL)
			s->driver->disconnect(s->reader_conns[i]);
	if (s->writer != NULL)
		s->driver->disconnect(s->writer);
	for (struct pending *p; (p = map_next(&s->pending, &pos)) != NULL;)
		free(p);
	map_deinit(&s->pending);
	free(s->reader_conns);
	free(s->reader_threads);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->write_wanted);
	pthread_cond_destroy(&s->read_wanted);
	free(s->path);
	free(s);
}

int store_open(struct comity_env *env, const struct store_conf *conf, struct store **out, struct err_text *et)
{
	struct store *s = mem_new(sizeof(*s));
	pthread_condattr_t attr;
	int rc;

	s->env = env;
	s->driver = &sqlite_driver;
	s->path = mem_strdup(conf->path);
	s->commit_ms = conf->commit_ms;
	s->commit_rows = conf->commit_rows != 0 ? conf->commit_rows : 1;
	s->readers = conf->readers != 0 ? conf->readers : 1;
	s->reader_conns = mem_array(s->readers, sizeof(*s->reader_conns));
	s->reader_threads = mem_array(s->readers, sizeof(*s->reader_threads));
	list_init(&s->writes);
	list_init(&s->reads);
	list_init(&s->held);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->write_wanted, &attr);
	pthread_cond_init(&s->read_wanted, NULL);
	pthread_condattr_destroy(&attr);
	rc = s->driver->prepare(s->path, &s->lock_fd, et);
	if (rc == 0) {
		rc = connect_all(s, et);
		if (rc != 0)
			s->driver->unlock(s->lock_fd);
	}
	if (rc != 0) {
		store_free(s);
		return rc;
	}
	if (!env->inline_jobs)
		start_threads(s);
	*out = s;
	return 0;
}

void store_close(struct store **store)
{
	struct store *s = *store;

	*store = NULL;
	if (s == NULL)
		return;
	if (!s->env->inline_jobs) {
		pthread_mutex_lock(&s->lock);
		s->is_ending = true;
		pthread_cond_broadcast(&s->write_wanted);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->writer_thread, NULL);
		for (unsigned i = 0; i < s->readers; i++)
			pthread_join(s->reader_threads[i], NULL);
	}
	s->driver->unlock(s->lock_fd);
	store_free(s);
}
