/* SPDX-License-Identifier: MIT */
/* The store at work: queues, the writer with its group commits, the readers, opening and closing. */
#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/env.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/ahead.h"
#include "store/driver.h"
#include "store/order.h"
#include "store/reads.h"
#include "store/request.h"
#include "store/writer.h"
#include "store/writes.h"

/* Two, so that a backup, which is long, does not stop reading. */
#define READERS_MIN 2
#define NS_PER_MS 1000000L
#define NS_PER_S 1000000000L

struct reader {
	struct store *store;
	struct driver_conn *conn;
	pthread_t thread;
	bool is_running;
};

struct store {
	struct comity_env *env;
	struct log_ctx log;
	const struct store_driver *driver;
	char *path;
	int file_lock;
	unsigned commit_ms;
	bool has_threads;                       /* else calls run at once, or by hand */
	bool by_hand;

	pthread_mutex_t lock;                   /* guards all from here to stats */
	pthread_cond_t write_wanted, read_wanted;
	struct writes writes;
	struct reads reads;                     /* that may run */
	struct list backups;                    /* so, too, in order */
	struct order order;
	bool is_backing_up, is_ending, writer_is_done;
	struct store_stats stats;

	_Atomic uint64_t answered;
	struct writer writer;                   /* the writer thread's own, as is the rest */
	bool has_log;
	pthread_t writer_thread;
	bool writer_is_running;
	struct timespec group_start;
	unsigned reader_count;
	struct reader *readers;
};

static void describe_store(const struct log_ctx *ctx, struct buf *out)
{
	const struct store *s = LIST_ENTRY(ctx, struct store, log);

	buf_printf(out, "store path=%s", s->path);
}

/* ---- answers ---- */

static void count_failure(struct store *s, const struct request *r)
{
	if (request_is_write(r) && r->status != 0)
		s->stats.failures++;
}

/* It waits until its answer is in the mailbox: whoever sees none waiting misses no answer. */
static void answer(struct store *s, struct request *r)
{
	s->stats.waiting_bytes -= r->bytes;
	request_answer(r);
	s->stats.waiting--;
}

static void note_answered(struct store *s, uint64_t last_id)
{
	atomic_store_explicit(&s->answered, last_id, memory_order_release);
}

static void count_group(struct store *s, struct list *group)
{
	s->stats.commits++;
	LIST_EACH(l, next, group)
		count_failure(s, LIST_ENTRY(l, struct request, link));
}

static void let_run(struct store *s, struct request *read)
{
	if (read->op == OP_BACKUP)
		list_append(&s->backups, &read->link);
	else
		reads_add(&s->reads, read);
}

static void add_ms(struct timespec *t, unsigned ms)
{
	t->tv_nsec += (long)(ms % 1000) * NS_PER_MS;
	t->tv_sec += ms / 1000 + t->tv_nsec / NS_PER_S;
	t->tv_nsec %= NS_PER_S;
}

/* ---- the writer ---- */

/* Commits start at least commit_ms apart, so that under load writes gather, and a lone one goes at once. */
static void wait_for_company(struct store *s)
{
	struct timespec until = s->group_start;

	add_ms(&until, s->commit_ms);
	while (!writes_full(&s->writes) && !s->is_ending)
		if (pthread_cond_timedwait(&s->write_wanted, &s->lock, &until) == ETIMEDOUT)
			break;
	clock_gettime(CLOCK_MONOTONIC, &s->group_start);
}

/* Reads that would miss what is still in the log fail. */
static void refuse_reads(const struct list *group)
{
	LIST_EACH(l, next, group) {
		const struct request *r = LIST_ENTRY(l, struct request, link);

		if (r->op == OP_SETTLE)
			r->read->status = r->status;
	}
}

/* Called and left with the lock held. It is held while answers are posted, too: what they answer is then
 * counted as waiting until it is not, and no read that waited for it overtakes it. */
static void write_group(struct store *s)
{
	struct list group, ready;
	uint64_t last, last_id;

	list_init(&group);
	list_init(&ready);
	last = writes_take(&s->writes, &group);
	pthread_mutex_unlock(&s->lock);
	writer_run_group(&s->writer, &group);
	last_id = ahead_last_id(s->writer.ahead);
	pthread_mutex_lock(&s->lock);
	count_group(s, &group);
	refuse_reads(&group);
	order_end_group(&s->order, &group, last, &ready);
	for (struct list *l; (l = list_shift(&ready)) != NULL;) {
		let_run(s, LIST_ENTRY(l, struct request, link));
		pthread_cond_signal(&s->read_wanted);
	}
	for (struct list *l; (l = list_shift(&group)) != NULL;)
		answer(s, LIST_ENTRY(l, struct request, link));
	note_answered(s, last_id);
}

/* What is in the log goes into the database. Called and left with the lock held. */
static void move(struct store *s)
{
	bool is_moved;

	pthread_mutex_unlock(&s->lock);
	is_moved = writer_move(&s->writer);
	pthread_mutex_lock(&s->lock);
	if (is_moved)
		order_end_move(&s->order);
}

static bool is_due(const struct store *s)
{
	uint64_t due = ahead_due_ms(s->writer.ahead);

	return due != 0 && s->env->mono_ms(s->env) >= due;
}

/* Until there are writes that are due, the log is to be moved, or the store is closed. */
static void wait_for_work(struct store *s)
{
	while (!writes_due(&s->writes, s->env->mono_ms(s->env)) && !s->is_ending && !is_due(s)) {
		uint64_t due = ahead_due_ms(s->writer.ahead);
		struct timespec until;

		if (!writes_empty(&s->writes) && (due == 0 || due > s->writes.due_ms))
			due = s->writes.due_ms;
		until = (struct timespec){ .tv_sec = (time_t)(due / 1000), .tv_nsec = (long)(due % 1000) * NS_PER_MS };
		if (due == 0)
			pthread_cond_wait(&s->write_wanted, &s->lock);
		else
			pthread_cond_timedwait(&s->write_wanted, &s->lock, &until);
	}
}

static void *run_writer(void *arg)
{
	struct store *s = arg;

	pthread_setname_np(pthread_self(), "store-writer");
	pthread_mutex_lock(&s->lock);
	for (;;) {
		wait_for_work(s);
		if (is_due(s))
			move(s);
		if (!writes_empty(&s->writes)) {
			wait_for_company(s);
			write_group(s);
		} else if (s->is_ending) {
			break;
		}
	}
	s->writer_is_done = true;
	pthread_cond_broadcast(&s->read_wanted);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- the readers ---- */

/* Workers do not tell when they have taken something, so that it looks again after a millisecond: that is for floods. */
static void wait_for_worker(struct store *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	add_ms(&until, 1);
	pthread_cond_timedwait(&s->read_wanted, &s->lock, &until);
}

static struct request *take_read(struct store *s)
{
	struct request *r = reads_take(&s->reads, s->is_ending || !s->has_threads);
	struct list *l;

	if (r != NULL || s->is_backing_up)
		return r;
	l = list_shift(&s->backups);
	s->is_backing_up = l != NULL;
	return l != NULL ? LIST_ENTRY(l, struct request, link) : NULL;
}

/* Called and left with the lock held. */
static void read_one(struct store *s, struct driver_conn *conn, struct request *r)
{
	bool is_backup = r->op == OP_BACKUP;

	pthread_mutex_unlock(&s->lock);
	if (r->status == 0)
		request_run(r, s->driver, conn);
	pthread_mutex_lock(&s->lock);
	count_failure(s, r);
	if (is_backup)
		s->is_backing_up = false;
	answer(s, r);
}

static void *run_reader(void *arg)
{
	struct reader *reader = arg;
	struct store *s = reader->store;

	pthread_setname_np(pthread_self(), "store-reader");
	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct request *r = take_read(s);

		if (r == NULL && s->writer_is_done)
			break;
		if (r != NULL)
			read_one(s, reader->conn, r);
		else if (!reads_empty(&s->reads))
			wait_for_worker(s);
		else
			pthread_cond_wait(&s->read_wanted, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

bool store_step(struct store *s, bool writes)
{
	struct request *r = NULL;
	bool any;

	pthread_mutex_lock(&s->lock);
	any = writes ? !writes_empty(&s->writes) : (r = take_read(s)) != NULL;
	if (r != NULL)
		read_one(s, s->readers[0].conn, r);
	else if (any)
		write_group(s);
	else if (writes && ahead_has(s->writer.ahead, NULL)) {
		move(s);
		any = !ahead_has(s->writer.ahead, NULL);
	}
	pthread_mutex_unlock(&s->lock);
	return any;
}

/* ---- asking ---- */

static bool reads_archives(const struct request *r)
{
	return r->op == OP_QUERY || r->op == OP_COUNT || r->op == OP_BACKUP;
}

static void run_inline(struct store *s, struct request *r)
{
	struct list group;

	if (request_is_write(r)) {
		list_init(&group);
		list_append(&group, &r->link);
		writer_run_group(&s->writer, &group);
		count_group(s, &group);
		list_remove(&r->link);
	} else {
		if (reads_archives(r) && !writer_move(&s->writer) && ahead_has(s->writer.ahead, r->owner))
			r->status = -ERR_NO_SPACE;
		else
			request_run(r, s->driver, s->readers[0].conn);
		count_failure(s, r);
	}
	answer(s, r);
	note_answered(s, ahead_last_id(s->writer.ahead));
}

/* This and the next return the condition that is to be signalled, or NULL: once the lock is free, so that nobody wakes to
 * wait for it. */
static pthread_cond_t *queue_write(struct store *s, struct request *r)
{
	order_note_write(&s->order, r);
	return writes_add(&s->writes, r, s->env->mono_ms(s->env)) ? &s->write_wanted : NULL;
}

static void count_asking(struct store *s, struct request *r)
{
	r->bytes = sizeof(*r) + r->arena.room;
	s->stats.waiting++;
	s->stats.waiting_bytes += r->bytes;
	if (request_is_write(r))
		s->stats.writes++;
	else
		s->stats.reads++;
}

/* Before archives are read, what the log has of them goes to where readers look. */
static void ask_to_settle(struct store *s, struct request *read)
{
	struct request *r = request_new(read->worker, OP_SETTLE, read->owner, NULL, NULL);

	r->read = read;
	s->stats.waiting++;
	queue_write(s, r);
}

static pthread_cond_t *queue_read(struct store *s, struct request *r)
{
	if (s->has_log && reads_archives(r) && order_is_behind(&s->order, r))
		ask_to_settle(s, r);
	if (order_hold_read(&s->order, r))
		return writes_hurry(&s->writes) ? &s->write_wanted : NULL;
	let_run(s, r);
	return &s->read_wanted;
}

void store_submit(struct store *s, struct request *r)
{
	pthread_cond_t *wanted;

	if (!s->has_threads && !s->by_hand) {
		count_asking(s, r);
		run_inline(s, r);
		return;
	}
	pthread_mutex_lock(&s->lock);
	count_asking(s, r);
	wanted = request_is_write(r) ? queue_write(s, r) : queue_read(s, r);
	pthread_mutex_unlock(&s->lock);
	if (wanted != NULL)
		pthread_cond_signal(wanted);
}

void store_hurry(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	if (writes_hurry(&s->writes))
		pthread_cond_signal(&s->write_wanted);
	pthread_mutex_unlock(&s->lock);
}

void store_get_stats(struct store *s, struct store_stats *stats)
{
	pthread_mutex_lock(&s->lock);
	*stats = s->stats;
	pthread_mutex_unlock(&s->lock);
}

uint64_t store_answered(const struct store *s)
{
	return atomic_load_explicit(&s->answered, memory_order_acquire);
}

int store_each_token(struct store *s, uint64_t after_id, void (*each)(void *arg, const char *token), void *arg)
{
	struct driver_conn *conn = NULL;
	struct err_text et;
	int rc = s->driver->connect(s->path, false, &conn, &et);

	if (rc != 0)
		return rc;
	rc = s->driver->each_token(conn, after_id, each, arg);
	s->driver->disconnect(conn);
	ahead_each_left(s->writer.ahead, each, arg);
	return rc;
}

/* ---- opening and closing ---- */

static int connect_all(struct store *s, struct err_text *et)
{
	int rc = s->driver->connect(s->path, true, &s->writer.conn, et);

	for (unsigned i = 0; rc == 0 && i < s->reader_count; i++)
		rc = s->driver->connect(s->path, false, &s->readers[i].conn, et);
	return rc;
}

static int open_log(struct store *s, const struct store_conf *c, struct err_text *et)
{
	char *path = mem_printf("%s-log", s->path);
	struct ahead_conf conf = { .path = path, .bytes = c->log_bytes, .delay_ms = c->log_ms };
	int rc = ahead_open(s->env, &conf, s->driver, s->writer.conn, &s->log, &s->writer.ahead, et);

	free(path);
	return rc;
}

/* Signals are the main thread's business: the threads start with all of them blocked. */
static int start_threads(struct store *s, struct err_text *et)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&s->writer_thread, NULL, run_writer, s);
	s->writer_is_running = rc == 0;
	for (unsigned i = 0; rc == 0 && i < s->reader_count; i++) {
		rc = pthread_create(&s->readers[i].thread, NULL, run_reader, &s->readers[i]);
		s->readers[i].is_running = rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc == 0)
		return 0;
	err_text_set(et, "cannot start the threads of the store: %s", strerror(rc));
	return -ERR_IO;
}

static void stop_threads(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->is_ending = true;
	s->writer_is_done = !s->writer_is_running;
	pthread_cond_broadcast(&s->write_wanted);
	pthread_cond_broadcast(&s->read_wanted);
	pthread_mutex_unlock(&s->lock);
	if (s->writer_is_running)
		pthread_join(s->writer_thread, NULL);
	for (unsigned i = 0; i < s->reader_count; i++)
		if (s->readers[i].is_running)
			pthread_join(s->readers[i].thread, NULL);
}

static struct store *store_new(struct comity_env *env, const struct store_conf *conf,
                               const struct store_driver *driver)
{
	struct store *s = mem_new(sizeof(*s));
	pthread_condattr_t attr;

	log_ctx_init(&s->log, NULL, describe_store);
	s->log.log = env->log;
	s->env = env;
	s->driver = driver;
	s->writer.driver = driver;
	s->writer.log = &s->log;
	s->has_log = conf->log_bytes != 0;
	s->path = mem_strdup(conf->path);
	s->file_lock = -1;
	s->commit_ms = conf->commit_ms;
	s->reader_count = conf->readers > READERS_MIN ? conf->readers : READERS_MIN;
	s->has_threads = !env->inline_jobs;
	s->by_hand = env->inline_jobs && conf->by_hand;
	if (!s->has_threads)
		s->reader_count = 1;
	s->readers = mem_array(s->reader_count, sizeof(*s->readers));
	for (unsigned i = 0; i < s->reader_count; i++)
		s->readers[i].store = s;
	writes_init(&s->writes, conf->commit_rows, conf->lazy_ms);
	list_init(&s->backups);
	reads_init(&s->reads);
	order_init(&s->order);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->write_wanted, &attr);
	pthread_cond_init(&s->read_wanted, &attr);
	pthread_condattr_destroy(&attr);
	return s;
}

/* The writer goes last: whoever goes last may tidy up the journal, and readers cannot. */
static void store_free(struct store *s)
{
	for (unsigned i = 0; i < s->reader_count; i++)
		if (s->readers[i].conn != NULL)
			s->driver->disconnect(s->readers[i].conn);
	if (s->writer.ahead != NULL)
		ahead_close(s->writer.ahead);
	if (s->writer.conn != NULL)
		s->driver->disconnect(s->writer.conn);
	if (s->file_lock >= 0)
		s->driver->unlock(s->file_lock);
	order_deinit(&s->order);
	reads_deinit(&s->reads);
	free(s->readers);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->write_wanted);
	pthread_cond_destroy(&s->read_wanted);
	free(s->path);
	free(s);
}

int store_open_driver(struct comity_env *env, const struct store_conf *conf, const struct store_driver *driver,
                      struct store **store, struct err_text *et)
{
	struct store *s = store_new(env, conf, driver);
	int rc = driver->prepare(s->path, &s->file_lock, et);

	if (rc == 0)
		rc = connect_all(s, et);
	if (rc == 0)
		rc = open_log(s, conf, et);
	if (rc == 0)
		note_answered(s, ahead_last_id(s->writer.ahead));
	if (rc == 0 && s->has_threads) {
		rc = start_threads(s, et);
		if (rc != 0)
			stop_threads(s);
	}
	if (rc != 0) {
		store_free(s);
		return rc;
	}
	*store = s;
	return 0;
}

int store_open(struct comity_env *env, const struct store_conf *conf, struct store **store, struct err_text *et)
{
	return store_open_driver(env, conf, &sqlite_driver, store, et);
}

static void end(struct store *s, bool is_graceful)
{
	if (s == NULL)
		return;
	if (s->has_threads)
		stop_threads(s);
	if (is_graceful)
		writer_move(&s->writer);
	store_free(s);
}

void store_close(struct store **store)
{
	end(*store, true);
	*store = NULL;
}

void store_abandon(struct store **store)
{
	end(*store, false);
	*store = NULL;
}
