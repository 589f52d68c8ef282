/* SPDX-License-Identifier: MIT */
/* Writing the journal of a worker. */
#include "store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/worker.h"
#include "store/journal_file.h"

/* A file is replaced when it has grown to so many times what it began with. */
#define GROWTH 4
/* After a failure a new file is tried. */
#define RETRY_MS 100
/* Where what it begins with is more than this, that is not tried so often. */
#define MUCH (1 << 20)

struct journal {
	struct worker *worker;
	struct log_ctx log;
	const struct journal_events *events;
	void *arg;
	char *folder;
	unsigned generation, number;
	uint64_t file_bytes;
	unsigned sync_ms;

	struct buf out;              /* a frame's head, and the records of this turn */
	size_t record;               /* where the one that is being made begins */
	int fd, old_fd;              /* old: what the new file replaces once it is synced; -1: none */
	char *path, *old_path;
	uint64_t size, first_size;   /* of the file, now and after its beginning */
	uint64_t made, written, synced; /* places: bytes of records */
	bool is_abandoned;
	bool wants_file;             /* when this turn is written, a new file is tried */
	bool is_broken, is_new;      /* is_new: the next sync makes its name durable and lets the old file go */
	struct timer timer;
	uint64_t sync_at;            /* when the last sync was started */
	bool is_busy;                /* the thread is at work, up to the place asked */
	uint64_t asked;
	struct journal_stats stats;

	/* Shared with the thread that syncs. */
	struct mail mail;            /* its answer */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool has_thread, is_ending;
	int asked_fd;                /* to be synced; -1: nothing to do */
	int status;                  /* of the last; read when its answer has come */

	struct mail want;            /* somebody on another worker waits */
	atomic_bool is_wanted, want_is_posted;
};

uint32_t journal_check(const void *bytes, size_t len)
{
	return (uint32_t)hash_bytes(bytes, len, 0);
}

static void describe(const struct log_ctx *ctx, struct buf *out)
{
	const struct journal *j = LIST_ENTRY(ctx, struct journal, log);

	buf_printf(out, "journal path=%s", j->path);
}

/* ---- files ---- */

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len != 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Makes the next file of the worker, with its magic. Returns minus an errno. Each try has a number of its own: a file
 * that could not be filled can perhaps not be removed either. */
static int make_file(struct journal *j)
{
	char *path = mem_printf("%s/" JOURNAL_NAME_FORMAT, j->folder, j->generation, j->worker->id, ++j->number);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	int rc = fd >= 0 ? write_all(fd, JOURNAL_MAGIC, sizeof(JOURNAL_MAGIC) - 1) : -errno;

	if (rc != 0) {
		if (fd >= 0) {
			close(fd);
			unlink(path);
		}
		free(path);
		return rc;
	}
	j->fd = fd;
	j->path = path;
	j->size = sizeof(JOURNAL_MAGIC) - 1;
	return 0;
}

int journal_sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = fsync(fd) == 0 ? 0 : -errno;
	close(fd);
	return rc;
}

static void drop_old(struct journal *j)
{
	if (j->old_fd < 0)
		return;
	close(j->old_fd);
	unlink(j->old_path);
	free(j->old_path);
	j->old_fd = -1;
	j->old_path = NULL;
}

/* ---- a turn's records ---- */

static void start_frame(struct journal *j)
{
	buf_reserve(&j->out, sizeof(struct journal_frame));
	buf_commit(&j->out, sizeof(struct journal_frame));
}

struct buf *journal_begin(struct journal *j, unsigned type)
{
	struct journal_record head = { .type = type };

	if (buf_size(&j->out) == 0)
		start_frame(j);
	j->record = buf_size(&j->out);
	buf_add(&j->out, &head, sizeof(head));
	return &j->out;
}

uint64_t journal_end(struct journal *j)
{
	char *at = j->out.data + j->out.head + j->record;
	struct journal_record head;

	memcpy(&head, at, sizeof(head));
	head.len = (uint32_t)(buf_size(&j->out) - j->record - sizeof(head));
	memcpy(at, &head, sizeof(head));
	j->made += sizeof(head) + head.len;
	return j->made;
}

/* Returns minus an errno. */
static int write_frame(struct journal *j)
{
	size_t len = buf_size(&j->out);
	struct journal_frame frame = { .len = (uint32_t)(len - sizeof(frame)) };
	char *bytes = j->out.data + j->out.head;
	int rc;

	frame.check = journal_check(bytes + sizeof(frame), frame.len);
	memcpy(bytes, &frame, sizeof(frame));
	rc = write_all(j->fd, bytes, len);
	if (rc != 0)
		return rc;
	j->size += len;
	j->written = j->made;
	j->stats.bytes += len;
	j->stats.writes++;
	return 0;
}

static void empty_out(struct journal *j)
{
	/* A turn with very much must not keep its memory. */
	if (j->out.cap > 1 << 20)
		buf_deinit(&j->out);
	else
		buf_clear(&j->out);
}

static void fail(struct journal *j, int rc)
{
	if (j->is_abandoned)
		return;
	if (!j->is_broken)
		log_error(&j->log, "cannot write: %s; sessions would not survive a crash now, and what is not yet durable is "
		          "not acknowledged", strerror(-rc));
	j->is_broken = true;
	if (!timer_is_running(&j->timer))
		worker_timer_start(j->worker, &j->timer, j->first_size < MUCH ? RETRY_MS : 10 * RETRY_MS);
}

/* Puts all that counts into a new file; behind a turn's records, which have been told of. */
static void replace_file(struct journal *j)
{
	int old_fd = j->fd, rc;
	char *old_path = j->path;

	j->wants_file = false;
	rc = make_file(j);
	if (rc != 0) {
		fail(j, rc);
		return;
	}
	j->events->on_new_file(j->arg);
	rc = buf_size(&j->out) != 0 ? write_frame(j) : 0;
	empty_out(j);
	if (rc != 0) {
		close(j->fd);
		unlink(j->path);
		free(j->path);
		j->fd = old_fd;
		j->path = old_path;
		fail(j, rc);
		return;
	}
	/* One that was replaced and never synced is not needed either. */
	if (j->old_fd >= 0) {
		close(old_fd);
		unlink(old_path);
		free(old_path);
	} else {
		j->old_fd = old_fd;
		j->old_path = old_path;
	}
	if (j->is_broken)
		log_warning(&j->log, "writing works again");
	j->written = j->made;
	j->first_size = j->size;
	j->is_broken = false;
	j->is_new = true;
	atomic_store(&j->is_wanted, true);
}

static bool is_grown(const struct journal *j)
{
	return j->size > j->file_bytes && j->size > GROWTH * j->first_size;
}

/* ---- syncing ---- */

static int sync_file(int fd)
{
	return fdatasync(fd) == 0 ? 0 : -errno;
}

static void note_synced(struct journal *j, uint64_t place, int rc)
{
	if (j->is_abandoned)
		return;
	/* A file that the folder does not name is as good as none. */
	if (rc == 0 && j->is_new)
		rc = journal_sync_folder(j->folder);
	if (rc != 0) {
		fail(j, rc);
		return;
	}
	j->is_new = false;
	drop_old(j);
	j->stats.syncs++;
	j->synced = place;
	j->events->on_synced(j->arg, place);
}

static void on_answer(struct worker *w, struct mail *mail)
{
	struct journal *j = LIST_ENTRY(mail, struct journal, mail);

	(void)w;
	j->is_busy = false;
	note_synced(j, j->asked, j->status);
}

static void *run_thread(void *arg)
{
	struct journal *j = arg;
	int fd;

	pthread_setname_np(pthread_self(), "journal-sync");
	pthread_mutex_lock(&j->lock);
	for (;;) {
		while (j->asked_fd < 0 && !j->is_ending)
			pthread_cond_wait(&j->wake, &j->lock);
		if (j->asked_fd < 0)
			break;
		fd = j->asked_fd;
		j->asked_fd = -1;
		pthread_mutex_unlock(&j->lock);
		j->status = sync_file(fd);
		worker_post(j->worker, &j->mail);
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

/* The answer comes by mail in any case. */
static void ask_sync(struct journal *j)
{
	j->is_busy = true;
	j->asked = j->written;
	if (!j->has_thread) {
		j->status = sync_file(j->fd);
		worker_post(j->worker, &j->mail);
		return;
	}
	pthread_mutex_lock(&j->lock);
	j->asked_fd = j->fd;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
}

static void start_sync(struct journal *j)
{
	uint64_t now = worker_now(j->worker);

	if (j->is_busy || j->is_broken || !atomic_load_explicit(&j->is_wanted, memory_order_relaxed))
		return;
	if (j->synced == j->written && !j->is_new) {
		atomic_store(&j->is_wanted, false);
		return;
	}
	if (now - j->sync_at < j->sync_ms) {
		if (!timer_is_running(&j->timer))
			worker_timer_start(j->worker, &j->timer, j->sync_ms - (now - j->sync_at));
		return;
	}
	j->sync_at = now;
	atomic_store(&j->is_wanted, false);
	ask_sync(j);
}

static void on_timer(struct worker *w, struct timer *t)
{
	struct journal *j = LIST_ENTRY(t, struct journal, timer);

	if (j->is_broken && j->is_busy)
		worker_timer_start(w, t, RETRY_MS);
	else if (j->is_broken)
		j->wants_file = true;
	start_sync(j);
}

bool journal_has_records(const struct journal *j)
{
	return buf_size(&j->out) != 0;
}

static void write_turn(struct journal *j)
{
	int rc;

	if (buf_size(&j->out) == 0)
		return;
	rc = j->is_broken ? 0 : write_frame(j);
	empty_out(j);
	if (rc != 0)
		fail(j, rc);
	j->events->on_turn(j->arg, !j->is_broken);
}

void journal_write(struct journal *j)
{
	write_turn(j);
	if (j->wants_file || (!j->is_broken && !j->is_busy && is_grown(j)))
		replace_file(j);
	start_sync(j);
}

void journal_want_sync(struct journal *j)
{
	atomic_store_explicit(&j->is_wanted, true, memory_order_relaxed);
}

static void on_want(struct worker *w, struct mail *mail)
{
	struct journal *j = LIST_ENTRY(mail, struct journal, want);

	(void)w;
	atomic_store(&j->want_is_posted, false);
	journal_want_sync(j);
}

void journal_want_sync_of(struct journal *j)
{
	if (!atomic_exchange(&j->want_is_posted, true))
		worker_post(j->worker, &j->want);
}

int journal_sync_now(struct journal *j)
{
	int rc;

	write_turn(j);
	if (j->is_broken)
		return -ERR_IO;
	rc = sync_file(j->fd);
	note_synced(j, j->written, rc);
	return rc == 0 && !j->is_broken ? 0 : -ERR_IO;
}

/* ---- life ---- */

static int start_thread(struct journal *j, struct err_text *et)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&j->thread, NULL, run_thread, j);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	j->has_thread = rc == 0;
	if (rc == 0)
		return 0;
	err_text_set(et, "cannot start a thread of the journal: %s", strerror(rc));
	return -ERR_IO;
}

static void stop_thread(struct journal *j)
{
	if (!j->has_thread)
		return;
	pthread_mutex_lock(&j->lock);
	j->is_ending = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
	pthread_join(j->thread, NULL);
	j->has_thread = false;
}

static void journal_free(struct journal *j)
{
	stop_thread(j);
	if (j->fd >= 0)
		close(j->fd);
	if (j->old_fd >= 0)
		close(j->old_fd);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->wake);
	buf_deinit(&j->out);
	free(j->path);
	free(j->old_path);
	free(j->folder);
	free(j);
}

int journal_open(struct worker *w, const struct journal_conf *conf, const struct journal_events *events, void *arg,
                 struct journal **journal, struct err_text *et)
{
	struct journal *j = mem_new(sizeof(*j));
	int rc;

	j->worker = w;
	log_ctx_init(&j->log, &w->log, describe);
	j->events = events;
	j->arg = arg;
	j->folder = mem_strdup(conf->folder);
	j->generation = conf->generation;
	j->file_bytes = conf->file_bytes;
	j->sync_ms = conf->sync_ms;
	j->fd = j->old_fd = j->asked_fd = -1;
	j->is_new = true;
	j->timer.fire = on_timer;
	j->mail.run = on_answer;
	j->want.run = on_want;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, NULL);
	rc = make_file(j);
	if (rc != 0)
		err_text_set(et, "cannot create a journal in %s: %s", conf->folder, strerror(-rc));
	else if (w->env->inline_jobs || (rc = start_thread(j, et)) == 0)
		*journal = j;
	if (rc == 0)
		return 0;
	journal_free(j);
	return -ERR_IO;
}

void journal_abandon(struct journal *j)
{
	j->is_abandoned = j->is_broken = true;
	worker_timer_stop(j->worker, &j->timer);
}

bool journal_close(struct journal **journal)
{
	struct journal *j = *journal;
	bool is_whole;

	if (j == NULL)
		return true;
	worker_timer_stop(j->worker, &j->timer);
	stop_thread(j);
	/* Its last answer lies in the mailbox. */
	while (j->is_busy || atomic_load(&j->want_is_posted))
		worker_turn(j->worker);
	if (!j->is_abandoned)
		write_turn(j);
	/* There may be room again. */
	if (j->is_broken && !j->is_abandoned)
		replace_file(j);
	do
		journal_sync_now(j);
	while (buf_size(&j->out) != 0 && !j->is_broken);
	is_whole = !j->is_broken;
	worker_timer_stop(j->worker, &j->timer);
	journal_free(j);
	*journal = NULL;
	return is_whole;
}

unsigned journal_number(const struct journal *j, unsigned *generation)
{
	*generation = j->generation;
	return j->number;
}

bool journal_is_failing(const struct journal *j)
{
	return j->is_broken;
}

void journal_get_stats(const struct journal *j, struct journal_stats *stats)
{
	*stats = j->stats;
	stats->file_bytes = j->size;
	stats->is_failing = j->is_broken;
}
