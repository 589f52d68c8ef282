/* SPDX-License-Identifier: MIT */
/* A server that ends and starts again. */
#include "life.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "disk.h"
#include "memory.h"
#include "net/worker_loop.h"
#include "random.h"
#include "router/session_restore.h"
#include "router/token.h"
#include "store/driver.h"

#define TURNS_MAX 100000

void __real_store_archive_append(struct store *s, struct worker *w, const char *owner, const char *name,
                                 const struct store_entry *entry, uint64_t max_entries, store_append_cb *cb, void *arg);
void __wrap_store_archive_append(struct store *s, struct worker *w, const char *owner, const char *name,
                                 const struct store_entry *entry, uint64_t max_entries, store_append_cb *cb, void *arg);

/* What hooks without an argument need. */
static struct life *current;

/* ---- a store that fails at times, writes no more once its server is dead, and has no room on a full disk ---- */

static struct store_driver driver;

static bool is_out_of_room(void)
{
	return current->is_full && current->chance(current->arg, 2) == 0;
}

static int begin(struct driver_conn *c)
{
	if (current->failing != 0) {
		current->failing--;
		return -ERR_IO;
	}
	return current->is_dead ? -ERR_IO : sqlite_driver.begin(c);
}

/* Any call may fail; those that add or remove may find no room, too. */
static int fault(struct driver_conn *c, bool wants_room)
{
	if (current->fails_one_in != 0 && current->chance(current->arg, current->fails_one_in) == 0) {
		/* Some errors of SQLite end the transaction by themselves. */
		if (current->memory.one_in != 0 && faults_draw(&current->memory, 2) == 0)
			sqlite_driver.rollback(c);
		return -ERR_IO;
	}
	return wants_room && is_out_of_room() ? -ERR_NO_SPACE : 0;
}

static int commit(struct driver_conn *c)
{
	int rc = fault(c, true);

	return rc != 0 ? rc : sqlite_driver.commit(c);
}

#define FAULTY(OP, WANTS_ROOM, PARAMS, ...) \
	static int faulty_##OP PARAMS \
	{ \
		int rc = fault(c, WANTS_ROOM); \
\
		return rc != 0 ? rc : sqlite_driver.OP(c, __VA_ARGS__); \
	}
#define MAP struct driver_conn *c, const char *owner, const char *name
FAULTY(map_load, false, (MAP, struct driver_rows *rows), owner, name, rows)
FAULTY(map_get, false, (MAP, const char *key, struct driver_rows *rows), owner, name, key, rows)
FAULTY(map_put, false, (struct driver_conn *c, const char *owner, const struct store_row *rows, size_t count), owner, rows,
       count)
FAULTY(append, true, (MAP, const struct store_entry *entry, uint64_t *id), owner, name, entry, id)
FAULTY(settled, false, (struct driver_conn *c, const char *owner, uint64_t *id), owner, id)
FAULTY(set_settled, false, (struct driver_conn *c, const char *owner, uint64_t id), owner, id)
FAULTY(query, false, (MAP, const struct store_query *query, struct driver_entries *entries), owner, name, query, entries)
FAULTY(count, false, (MAP, uint64_t *count, uint64_t *bytes), owner, name, count, bytes)
FAULTY(delete_range, true, (MAP, uint64_t from_id, uint64_t to_id), owner, name, from_id, to_id)
FAULTY(trim, false, (MAP, uint64_t keep, int64_t since_us), owner, name, keep, since_us)
#undef MAP

/* What a module asks the store to keep. */
struct keeping {
	store_append_cb *cb;
	void *arg;
	size_t len;
	char xml[];
};

static void on_kept(void *arg, int status, uint64_t id)
{
	struct keeping *k = arg;

	if (status != 0)
		current->on_refused(current->arg, k->xml, k->len);
	k->cb(k->arg, status, id);
	free(k);
}

void __wrap_store_archive_append(struct store *s, struct worker *w, const char *owner, const char *name,
                                 const struct store_entry *entry, uint64_t max_entries, store_append_cb *cb, void *arg)
{
	struct keeping *k = mem_new(sizeof(*k) + entry->len);

	k->cb = cb;
	k->arg = arg;
	k->len = entry->len;
	memcpy(k->xml, entry->value, entry->len);
	__real_store_archive_append(s, w, owner, name, entry, max_entries, on_kept, k);
}

static void open_store(struct life *l)
{
	char *path = mem_printf("%s/store", l->folder);
	struct store_conf conf = { .path = path, .readers = 1, .commit_rows = 3, .by_hand = true,
	                           .log_bytes = l->log_bytes, .log_ms = 1000 };
	struct err_text et = { "" };

	driver = sqlite_driver;
	driver.begin = begin;
	driver.commit = commit;
	driver.map_load = faulty_map_load;
	driver.map_get = faulty_map_get;
	driver.map_put = faulty_map_put;
	driver.append = faulty_append;
	driver.settled = faulty_settled;
	driver.set_settled = faulty_set_settled;
	driver.query = faulty_query;
	driver.count = faulty_count;
	driver.delete_range = faulty_delete_range;
	driver.trim = faulty_trim;
	if (store_open_driver(&l->sim->env, &conf, &driver, &l->sim->server.store, &et) != 0)
		sim_fail(et.text);
	free(path);
}

static void empty_store(struct life *l, const char *const *accounts)
{
	static const char sql[] = "DELETE FROM map; DELETE FROM archive; DELETE FROM settled; DELETE FROM sqlite_sequence;";
	char *path = mem_printf("%s/store", l->folder), *text = mem_strdup("");
	sqlite3 *db;

	for (; *accounts != NULL; accounts++) {
		char *more = mem_printf("%sINSERT INTO map VALUES ('%s', 'account', 'created', '0');", text, *accounts);

		free(text);
		text = more;
	}
	if (sqlite3_open(path, &db) != SQLITE_OK ||
	    sqlite3_exec(db, "PRAGMA synchronous=OFF; BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK || sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		sim_fail(sqlite3_errmsg(db));
	sqlite3_close(db);
	free(text);
	free(path);
}

/* ---- the process ---- */

static size_t pass_gate(void *arg, size_t len);

void life_init(struct life *l, const char *module_dir, const char *folder)
{
	char *log;

	memory_fail(&l->memory);
	l->folder = mem_printf("%s/comity-sim-XXXXXX", folder);
	if (mkdtemp(l->folder) == NULL)
		sim_fail("cannot make a folder");
	l->journal = mem_printf("%s/journal", l->folder);
	if (mkdir(l->journal, 0700) != 0)
		sim_fail("cannot make the folder of the journal");
	log = mem_printf("%s/store-log", l->folder);
	disk_watch(l->journal, log);
	free(log);
	disk_set_gate(pass_gate, l);
	l->sim = sim_prepare(module_dir);
	current = l;
	open_store(l);
	store_close(&l->sim->server.store);
}

void life_deinit(struct life *l)
{
	static const char *const names[] = { "store", "store-wal", "store-shm", "store.lock" };

	disk_reset();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = mem_printf("%s/%s", l->folder, names[i]);

		unlink(path);
		free(path);
	}
	rmdir(l->journal);
	rmdir(l->folder);
	free(l->journal);
	free(l->folder);
}

void life_reset(struct life *l, uint32_t seed, const char *const *accounts)
{
	l->sim->chance = seed;
	l->lanes = seed;
	l->sim->now_ms = 1000;
	l->is_dead = l->is_damaged = false;
	l->stored_before = 0;
	l->death = DEATH_NONE;
	life_heal(l);
	disk_reset();
	empty_store(l, accounts);
}

/* ---- a disk that is full ---- */

void life_fill_disk(struct life *l, size_t room)
{
	l->is_full = true;
	disk_fill(room, l->chance, l->arg);
}

void life_make_room(struct life *l)
{
	l->is_full = false;
	disk_make_room();
}

void life_heal(struct life *l)
{
	l->failing = l->fails_one_in = l->memory.one_in = 0;
	life_make_room(l);
}

static bool is_journal_failing(const struct life *l)
{
	for (unsigned i = 0; i < l->workers; i++)
		if (router_of(l->sim->workers[i])->journal != NULL && journal_is_failing(router_of(l->sim->workers[i])->journal))
			return true;
	return false;
}

/* ---- death ---- */

void life_die(struct life *l)
{
	if (l->is_dead)
		return;
	l->has_forgotten = is_journal_failing(l);
	l->is_dead = true;
	l->death = DEATH_NONE;
	for (unsigned i = 0; i < l->workers; i++)
		if (router_of(l->sim->workers[i])->journal != NULL)
			journal_abandon(router_of(l->sim->workers[i])->journal);
}

static bool is_time(struct life *l, enum death death)
{
	return l->death == death && !l->is_dead && l->countdown-- == 0;
}

/* Of what is written to the log of the store. */
static size_t pass_gate(void *arg, size_t len)
{
	struct life *l = arg;

	if (len > 1 && is_time(l, DEATH_STORING)) {
		life_die(l);
		return l->chance(l->arg, (uint32_t)len);
	}
	return l->is_dead ? 0 : len;
}

/* What the router does, and perhaps no more than a part of it. */
static void (*end_turn)(struct worker *w);

static void before_flush(struct worker *w)
{
	struct journal *j = router_of(w)->journal;
	struct journal_stats before, after;

	if (current->death != DEATH_WRITING || current->is_dead) {
		end_turn(w);
		return;
	}
	journal_get_stats(j, &before);
	disk_mark();
	end_turn(w);
	journal_get_stats(j, &after);
	if ((after.writes != before.writes || after.file_bytes != before.file_bytes) && is_time(current, DEATH_WRITING)) {
		life_die(current);
		disk_tear(current->chance, current->arg);
	}
}

/* ---- start ---- */

struct restore {
	struct life *life;
	struct list images[SIM_WORKERS];
	struct journal_conf conf;
};

static void sort_image(void *arg, struct image *i)
{
	struct restore *r = arg;
	struct comity_jid *jid = comity_jid_parse(i->account);

	if (jid == NULL)
		sim_fail("a session of the journal has no account");
	list_append(&r->images[home_of(&r->life->sim->server, jid)->id], &i->link);
	comity_jid_unref(jid);
}

static void open_journal(struct restore *r, struct worker *w)
{
	struct err_text et = { "" };

	if (router_open_journal(router_of(w), &r->conf, &et) != 0)
		sim_fail(et.text);
	end_turn = w->before_flush;
	w->before_flush = before_flush;
	for (struct list *l; (l = list_shift(&r->images[w->id])) != NULL;)
		dormant_adopt(router_of(w), LIST_ENTRY(l, struct image, link));
	dormant_write(router_of(w));
	if (journal_sync_now(router_of(w)->journal) != 0)
		sim_fail("the journal cannot be written");
}

/* As crew_restore() does it. */
static void restore(struct life *l, unsigned crash_after)
{
	struct restore r = { .life = l, .conf = { .folder = l->journal, .file_bytes = l->file_bytes,
	                                          .sync_ms = l->sync_ms } };
	struct images images = { 0 };
	struct err_text et = { "" };
	unsigned opened = 0;

	for (unsigned i = 0; i < SIM_WORKERS; i++)
		list_init(&r.images[i]);
	if (journal_read_all(l->journal, &l->sim->worker[0].log, images_take, &images, &r.conf.generation, &et) != 0)
		sim_fail(et.text);
	l->is_damaged = l->is_damaged || images.damaged != 0;
	l->notes += images_stored(&images) > l->stored_before;
	l->stored_before = store_answered(l->sim->server.store);
	if (images_take_stored(&images, l->sim->server.store) != 0)
		sim_fail("the store cannot be read");
	images_settle(&images);
	images_give(&images, sort_image, &r);
	images_deinit(&images);
	for (; opened < l->workers && opened < crash_after; opened++)
		open_journal(&r, l->sim->workers[opened]);
	if (crash_after <= l->workers)
		life_die(l);
	else
		journal_remove_before(l->journal, r.conf.generation);
	for (unsigned i = 0; i < l->workers && crash_after > l->workers; i++)
		dormant_begin(router_of(l->sim->workers[i]));
	for (unsigned i = opened; i < l->workers; i++)
		for (struct list *item; (item = list_shift(&r.images[i])) != NULL;)
			image_free(LIST_ENTRY(item, struct image, link));
}

void life_start(struct life *l, unsigned crash_after)
{
	l->is_dead = l->has_forgotten = false;
	l->is_up = true;
	open_store(l);
	sim_start_workers(l->sim, l->workers);
	restore(l, crash_after);
}

/* ---- run ---- */

/* As the loop of a worker does it, whose time may be over before those who have to wait are read. */
bool life_turn(struct life *l, unsigned worker)
{
	struct worker *w = l->sim->workers[worker];
	bool any = worker_turn(w), has_time = random_below(&l->lanes, 3) != 0;

	if (has_time && conn_serve_lanes(w)) {
		worker_turn(w);
		any = true;
	}
	return any || worker_next_due(w) <= worker_now(w);
}

bool life_store(struct life *l, bool writes)
{
	return store_step(l->sim->server.store, writes);
}

/* ---- end ---- */

static void drain(struct life *l)
{
	bool any = true;

	for (int turn = 0; any; turn++) {
		any = false;
		for (unsigned i = 0; i < l->workers; i++) {
			worker_break_conns(l->sim->workers[i]);
			any |= life_turn(l, i);
		}
		any |= life_store(l, true);
		any |= life_store(l, false);
		if (turn > TURNS_MAX)
			sim_fail("a server that stops finds no rest");
	}
}

void life_part(struct life *l)
{
	for (unsigned i = 0; i < l->workers; i++)
		router_close_streams(router_of(l->sim->workers[i]));
	for (unsigned i = 0; i < l->workers; i++)
		router_part_clients(router_of(l->sim->workers[i]));
}

/* As crew_stop() does it. */
void life_end(struct life *l)
{
	/* It may want to write until the last moment. */
	if (!l->is_dead)
		l->has_forgotten = l->is_full || is_journal_failing(l);
	for (unsigned i = 0; i < l->workers; i++)
		fed_stop(router_of(l->sim->workers[i])->fed);
	drain(l);
	for (unsigned i = 0; i < l->workers; i++)
		archive_calls_try(router_of(l->sim->workers[i]));
	drain(l);
	for (unsigned i = 0; i < l->workers; i++)
		router_close_journal(router_of(l->sim->workers[i]));
	for (unsigned i = 0; i < l->workers; i++)
		router_forget_sessions(router_of(l->sim->workers[i]));
	drain(l);
	for (unsigned i = 0; i < l->workers; i++)
		router_free(router_of(l->sim->workers[i]));
	if (l->is_dead)
		store_abandon(&l->sim->server.store);
	else
		store_close(&l->sim->server.store);
	for (unsigned i = 0; i < l->workers; i++)
		worker_deinit(l->sim->workers[i]);
	l->is_up = l->is_dead = false;
	l->death = DEATH_NONE;
}

/* ---- connections ---- */

ssize_t life_recv(struct buf *up, size_t arrived, bool is_over, void *bytes, size_t room)
{
	size_t n = arrived < room ? arrived : room;

	if (n == 0 && is_over)
		return 0;
	if (n == 0) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(bytes, buf_bytes(up), n);
	buf_consume(up, n);
	return (ssize_t)n;
}
