/* SPDX-License-Identifier: MIT */
/* Entries of archives between their log and the database. */
#include "store/ahead.h"

#include <stdlib.h>
#include <string.h>

#include "base/env.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/ahead_file.h"
#include "store/driver.h"

/* So many owners are remembered for the numbers of their entries. */
#define BOXES_MAX 10000
/* After a failure it is not tried at once again. */
#define RETRY_MS 1000

/* An archive of an owner. */
struct shelf {
	struct shelf *next;
	uint64_t count, bytes;  /* of entries in the database and here */
	bool is_counted;
	char name[];
};

/* What is known of an owner. Places in the log are numbers of entries, from 1. */
struct box {
	struct shelf *shelves;
	size_t last;            /* place of the newest entry; 0: none */
	size_t done;            /* up to there they are in the database */
	size_t doing;           /* up to there they are once the open transaction is committed; 0: it has none of them */
	struct box *next_doing;
	char owner[];
};

struct place {
	struct box *box;
	size_t prev;            /* the owner's entry before; 0: none */
	size_t at;              /* in the file */
};

struct ahead {
	struct comity_env *env;
	const struct store_driver *driver;
	struct driver_conn *conn;
	struct ahead_file file;
	unsigned delay_ms;
	uint64_t last_id;
	struct map boxes;
	struct box *doing;            /* those that the open transaction has entries of */
	struct place *places;
	size_t count, room, synced;   /* synced: of count */
	char **left;                  /* tokens of entries of an earlier process that found no room in the database */
	size_t left_count;
	bool is_broken;               /* the file could not be written: nothing is taken until all has been moved */
	bool is_filling;              /* it is time to move what is there */
	uint64_t due_ms;
};

static uint64_t now_ms(const struct ahead *a)
{
	return a->env->mono_ms(a->env);
}

/* ---- owners ---- */

static struct box *find_box(const struct ahead *a, const char *owner)
{
	return map_find(&a->boxes, owner, strlen(owner));
}

static void box_free(struct box *b)
{
	for (struct shelf *s = b->shelves, *next; s != NULL; s = next) {
		next = s->next;
		free(s);
	}
	free(b);
}

static void free_boxes(struct ahead *a)
{
	size_t pos = 0;

	for (struct box *b; (b = map_next(&a->boxes, &pos)) != NULL;)
		box_free(b);
	map_deinit(&a->boxes);
	a->boxes = (struct map){ 0 };
}

static struct box *box_of(struct ahead *a, const char *owner)
{
	size_t len = strlen(owner);
	struct box *b = map_find(&a->boxes, owner, len);

	if (b != NULL)
		return b;
	if (a->boxes.count >= BOXES_MAX && a->count == 0)
		free_boxes(a);
	b = mem_new(sizeof(*b) + len + 1);
	memcpy(b->owner, owner, len + 1);
	map_put(&a->boxes, b->owner, len, b);
	return b;
}

static struct shelf *shelf_of(struct box *b, const char *name)
{
	struct shelf *s = b->shelves;
	size_t len = strlen(name);

	while (s != NULL && strcmp(s->name, name) != 0)
		s = s->next;
	if (s != NULL)
		return s;
	s = mem_new(sizeof(*s) + len + 1);
	memcpy(s->name, name, len + 1);
	s->next = b->shelves;
	b->shelves = s;
	return s;
}

/* Up to there nothing has to be put into the database in the open transaction. */
static size_t in_database(const struct box *b)
{
	return b->doing > b->done ? b->doing : b->done;
}

static void forget_counts(struct box *b)
{
	for (struct shelf *s = b->shelves; s != NULL; s = s->next)
		s->is_counted = false;
}

/* ---- numbers of entries ---- */

static void add_waiting(const struct ahead *a, const struct box *b, struct shelf *s)
{
	struct ahead_entry e;

	for (size_t i = b->last; i > in_database(b); i = a->places[i - 1].prev) {
		ahead_file_entry(&a->file, a->places[i - 1].at, &e);
		if (strcmp(e.name, s->name) != 0)
			continue;
		s->count++;
		s->bytes += e.entry.len;
	}
}

static int check_room(struct ahead *a, struct box *b, const char *name, const struct store_entry *entry,
                      uint64_t max_entries)
{
	struct shelf *s = shelf_of(b, name);
	int rc = 0;

	if ((max_entries != 0 || entry->max_bytes != 0) && !s->is_counted) {
		rc = a->driver->count(a->conn, b->owner, name, &s->count, &s->bytes);
		if (rc == 0)
			add_waiting(a, b, s);
		s->is_counted = rc == 0;
	}
	if (rc == 0 && ((max_entries != 0 && s->count >= max_entries) ||
	                (entry->max_bytes != 0 && s->bytes + entry->len > entry->max_bytes)))
		rc = -ERR_LIMIT;
	if (rc == 0) {
		s->count++;
		s->bytes += entry->len;
	}
	return rc;
}

int ahead_check_room(struct ahead *a, const char *owner, const char *name, const struct store_entry *entry,
                     uint64_t max_entries)
{
	return check_room(a, box_of(a, owner), name, entry, max_entries);
}

void ahead_forget_count(struct ahead *a, const char *owner)
{
	struct box *b = find_box(a, owner);

	if (b != NULL)
		forget_counts(b);
}

static void forget_all_counts(struct ahead *a)
{
	size_t pos = 0;

	for (struct box *b; (b = map_next(&a->boxes, &pos)) != NULL;)
		forget_counts(b);
}

/* ---- taking ---- */

uint64_t ahead_last_id(const struct ahead *a)
{
	return a->last_id;
}

uint64_t ahead_next_id(struct ahead *a)
{
	return ++a->last_id;
}

bool ahead_takes(const struct ahead *a, const char *owner, const char *name, const struct store_entry *entry)
{
	return !a->is_broken && ahead_file_fits(&a->file, owner, name, entry);
}

static void note_place(struct ahead *a, struct box *b, size_t at)
{
	if (a->count == a->room) {
		a->room = a->room != 0 ? a->room * 2 : 64;
		a->places = mem_resize(a->places, a->room * sizeof(*a->places));
	}
	a->places[a->count++] = (struct place){ b, b->last, at };
	b->last = a->count;
}

int ahead_add(struct ahead *a, const char *owner, const char *name, struct store_entry *entry, uint64_t max_entries)
{
	struct box *b = box_of(a, owner);
	int rc = check_room(a, b, name, entry, max_entries);

	if (rc != 0)
		return rc;
	entry->id = ahead_next_id(a);
	if (a->count == 0)
		a->due_ms = now_ms(a) + a->delay_ms;
	note_place(a, b, ahead_file_add(&a->file, owner, name, entry));
	if (ahead_file_is_filling(&a->file) && !a->is_filling) {
		a->is_filling = true;
		a->due_ms = now_ms(a);
	}
	return 0;
}

static void drop_unsynced(struct ahead *a)
{
	for (; a->count > a->synced; a->count--) {
		struct place *p = &a->places[a->count - 1];

		p->box->last = p->prev;
		forget_counts(p->box);
	}
}

int ahead_sync(struct ahead *a)
{
	int rc;

	if (a->count == a->synced)
		return 0;
	rc = ahead_file_sync(&a->file);
	if (rc == 0) {
		a->synced = a->count;
	} else {
		drop_unsynced(a);
		a->is_broken = a->count != 0;
		a->due_ms = now_ms(a);
	}
	return rc;
}

/* ---- into the database ---- */

static int insert(struct ahead *a, const struct place *p)
{
	struct ahead_entry e;
	uint64_t id;

	ahead_file_entry(&a->file, p->at, &e);
	return a->driver->append(a->conn, e.owner, e.name, &e.entry, &id);
}

bool ahead_has(const struct ahead *a, const char *owner)
{
	const struct box *b;

	if (owner == NULL)
		return a->count != 0;
	b = find_box(a, owner);
	return b != NULL && b->last > in_database(b);
}

/* In the order in which they came, from the last one's way back. */
static int settle(struct ahead *a, struct box *b)
{
	size_t count = 0, *order, until = in_database(b);
	int rc = 0;

	for (size_t i = b->last; i > until; i = a->places[i - 1].prev)
		count++;
	if (count == 0)
		return 0;
	order = mem_array(count, sizeof(*order));
	for (size_t i = b->last, n = count; i > until; i = a->places[i - 1].prev)
		order[--n] = i;
	for (size_t n = 0; rc == 0 && n < count; n++)
		rc = insert(a, &a->places[order[n] - 1]);
	free(order);
	if (rc == 0)
		rc = a->driver->set_settled(a->conn, b->owner, a->last_id);
	if (rc != 0)
		return rc;
	if (b->doing == 0) {
		b->next_doing = a->doing;
		a->doing = b;
	}
	b->doing = b->last;
	return 0;
}

int ahead_settle(struct ahead *a, const char *owner)
{
	struct box *b;
	size_t pos = 0;
	int rc = 0;

	if (owner != NULL) {
		b = find_box(a, owner);
		return b != NULL ? settle(a, b) : 0;
	}
	while (rc == 0 && (b = map_next(&a->boxes, &pos)) != NULL)
		rc = settle(a, b);
	return rc;
}

void ahead_settled(struct ahead *a, bool is_committed)
{
	for (struct box *b; (b = a->doing) != NULL;) {
		a->doing = b->next_doing;
		if (is_committed)
			b->done = b->doing;
		b->doing = 0;
	}
	if (!is_committed)
		forget_all_counts(a);
}

uint64_t ahead_due_ms(const struct ahead *a)
{
	return a->count != 0 ? a->due_ms : 0;
}

static int insert_all(struct ahead *a)
{
	int rc = a->driver->begin(a->conn);

	for (size_t i = 0; rc == 0 && i < a->count; i++)
		if (i >= a->places[i].box->done)
			rc = insert(a, &a->places[i]);
	if (rc == 0)
		rc = a->driver->set_settled(a->conn, "", a->last_id);
	if (rc == 0)
		rc = a->driver->commit(a->conn);
	if (rc != 0)
		a->driver->rollback(a->conn);
	return rc;
}

static void begin_anew(struct ahead *a)
{
	for (size_t i = 0; i < a->count; i++)
		a->places[i].box->last = a->places[i].box->done = 0;
	free(a->places);
	a->places = NULL;
	a->count = a->room = a->synced = 0;
	a->is_broken = a->is_filling = false;
	ahead_file_restart(&a->file);
}

int ahead_move(struct ahead *a)
{
	int rc;

	if (a->count == 0)
		return 0;
	rc = insert_all(a);
	if (rc == 0)
		begin_anew(a);
	else
		a->due_ms = now_ms(a) + RETRY_MS;
	return rc;
}

/* ---- opening and closing ---- */

struct reading {
	struct ahead *a;
	uint64_t settled;   /* of all */
	int rc;
};

static void take_back(void *arg, size_t at, const struct ahead_entry *e)
{
	struct reading *r = arg;
	struct ahead *a = r->a;
	uint64_t settled = 0;

	if (e->entry.id > a->last_id)
		a->last_id = e->entry.id;
	if (r->rc == 0)
		r->rc = a->driver->settled(a->conn, e->owner, &settled);
	if (r->rc == 0 && e->entry.id > settled && e->entry.id > r->settled)
		note_place(a, box_of(a, e->owner), at);
}

static int read_back(struct ahead *a, const char *path, struct err_text *et)
{
	struct reading r = { .a = a };
	int rc = 0;

	r.rc = a->driver->last_id(a->conn, &a->last_id);
	if (r.rc == 0)
		r.rc = a->driver->settled(a->conn, "", &r.settled);
	if (r.rc == 0)
		rc = ahead_file_read(&a->file, take_back, &r, et);
	if (r.rc != 0)
		err_text_set(et, "cannot read the store for %s: %s", path, err_name(r.rc));
	a->synced = a->count;
	if (a->count == 0)
		ahead_file_restart(&a->file);
	return r.rc != 0 ? r.rc : rc;
}

/* is_over: nothing in the file counts. */
static void end(struct ahead *a, bool is_over)
{
	ahead_file_deinit(&a->file, is_over);
	free_boxes(a);
	while (a->left_count != 0)
		free(a->left[--a->left_count]);
	free(a->left);
	free(a->places);
	free(a);
}

static void note_left(struct ahead *a)
{
	struct ahead_entry e;

	a->left = mem_array(a->count, sizeof(*a->left));
	for (size_t i = 0; i < a->count; i++) {
		ahead_file_entry(&a->file, a->places[i].at, &e);
		if (e.entry.token != NULL)
			a->left[a->left_count++] = mem_strdup(e.entry.token);
	}
}

void ahead_each_left(const struct ahead *a, void (*each)(void *arg, const char *token), void *arg)
{
	for (size_t i = 0; i < a->left_count; i++)
		each(arg, a->left[i]);
}

int ahead_open(struct comity_env *env, const struct ahead_conf *conf, const struct store_driver *driver,
               struct driver_conn *conn, struct log_ctx *log, struct ahead **out, struct err_text *et)
{
	struct ahead *a = mem_new(sizeof(*a));
	int rc;

	a->env = env;
	a->driver = driver;
	a->conn = conn;
	a->delay_ms = conf->delay_ms;
	ahead_file_init(&a->file, env, conf->path, conf->bytes);
	rc = read_back(a, conf->path, et);
	if (rc != 0) {
		end(a, false);
		return rc;
	}
	ahead_file_make(&a->file);
	if (a->count != 0) {
		size_t count = a->count;

		/* Until it works nothing more is added to the file. */
		a->is_broken = true;
		rc = ahead_move(a);
		if (rc == 0)
			log_info(log, "%zu messages of the log %s are in the database now", count, conf->path);
		else
			log_error(log, "the messages of the log %s cannot be put into the database yet: %s", conf->path,
			          err_name(rc));
		if (rc != 0)
			note_left(a);
	}
	*out = a;
	return 0;
}

void ahead_close(struct ahead *a)
{
	end(a, a->count == 0);
}
