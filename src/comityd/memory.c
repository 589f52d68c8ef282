/* SPDX-License-Identifier: MIT */
/* How much memory the process uses, and what workers are to do about it. */
#include "comityd/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/sanitizers.h"
#include "comityd/daemon.h"

/* How often is measured: seldom while there is plenty. */
#define CALM_MS 1000
#define BUSY_MS 100
/* How often unused memory goes back to the system: the parsers of idle streams leave holes in the heap that glibc
 * keeps unless asked. It is asked more often before something is refused. */
#define TRIM_MS 10000
#define TRIM_BUSY_MS 1000
#define STACK_SIZE (128 * 1024)
#define MIB (1024 * 1024)
#define STATM "/proc/self/statm"

struct memory_watch {
	struct daemon *d;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int statm;                 /* STATM, open */
	uint64_t trimmed;
	bool is_blind;             /* it could not be read the last time */
	bool is_ending;
};

/* ---- measuring ---- */

int memory_read_statm(int fd, uint64_t *bytes)
{
	unsigned long long resident, shared;
	char text[128];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (sscanf(text, "%*s %llu %llu", &resident, &shared) != 2 || resident < shared)
		return -EINVAL;
	*bytes = (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

#if IS_SANITIZED
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

/* As memory_read_statm(). */
static int measure(const struct memory_watch *w, uint64_t *bytes)
{
	int rc = memory_read_statm(w->statm, bytes);

#if IS_SANITIZED
	/* A sanitizer keeps what was freed, and has memory of its own: what is allocated counts. */
	if (rc == 0)
		*bytes = __sanitizer_get_current_allocated_bytes();
#endif
	return rc;
}

/* ---- what there is ---- */

/* The number in a file of a control group; UINT64_MAX when it says "max" or is not there. */
static uint64_t read_limit(const char *path)
{
	uint64_t bytes = UINT64_MAX;
	char text[32] = "";
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return bytes;
	if (fgets(text, sizeof(text), f) != NULL && *text >= '0' && *text <= '9')
		bytes = strtoull(text, NULL, 10);
	fclose(f);
	return bytes;
}

/* The least of a group and those it is in; group is cut on the way. */
static uint64_t least_of_groups(char *group)
{
	uint64_t least = UINT64_MAX, bytes;

	for (char *end;; *end = '\0') {
		char *path = mem_printf("/sys/fs/cgroup%s/memory.max", group);

		bytes = read_limit(path);
		least = bytes < least ? bytes : least;
		free(path);
		end = strrchr(group, '/');
		if (end == NULL)
			return least;
	}
}

static uint64_t limit_of_groups(void)
{
	uint64_t limit = read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes");
	char line[4096];
	FILE *f = fopen("/proc/self/cgroup", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		uint64_t bytes;

		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		bytes = least_of_groups(line + 3);
		limit = bytes < limit ? bytes : limit;
	}
	if (f != NULL)
		fclose(f);
	return limit;
}

void memory_watch_set_limit(struct daemon *d, uint64_t bytes)
{
	uint64_t machine, groups;

	if (bytes == 0) {
		machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
		groups = limit_of_groups();
		bytes = (groups < machine ? groups : machine) / 4 * 3;
	}
	atomic_store(&d->server.pressure.limit, bytes);
}

/* ---- judging ---- */

static void run_pressure(struct worker *w, struct mail *mail)
{
	free(mail);
	router_on_pressure(router_of(w));
}

static void run_trim(struct worker *w, struct mail *mail)
{
	(void)w;
	free(mail);
	pool_trim();
}

static void tell_workers(struct daemon *d, void (*run)(struct worker *w, struct mail *mail))
{
	for (unsigned i = 0; i < d->server.worker_count; i++) {
		struct mail *mail = mem_new(sizeof(*mail));

		mail->run = run;
		worker_post(d->server.workers[i], mail);
	}
}

static void trim(struct memory_watch *w, uint64_t pause)
{
	uint64_t now = w->d->env.mono_ms(&w->d->env);

	if (now - w->trimmed < pause)
		return;
	w->trimmed = now;
	/* What they give back is the system's with the next trim. */
	tell_workers(w->d, run_trim);
	malloc_trim(0);
}

/* What was measured last counts until there is something newer: a level that was reached stays. */
static void measure_or_tell(struct memory_watch *w, uint64_t *bytes)
{
	int rc = measure(w, bytes);

	if (rc != 0 && !w->is_blind)
		log_error(&w->d->log, "memory: cannot read " STATM ": %s: what was measured before counts", strerror(-rc));
	if (rc == 0 && w->is_blind)
		log_info(&w->d->log, "memory: " STATM " can be read again");
	w->is_blind = rc != 0;
}

/* Returns the time until the next look. */
static uint64_t look(struct memory_watch *w)
{
	struct pressure *p = &w->d->server.pressure;
	uint64_t used = atomic_load(&p->used), limit = atomic_load(&p->limit);
	enum pressure_level before = (enum pressure_level)atomic_load(&p->level), level;

	measure_or_tell(w, &used);
	if (pressure_judge(PRESSURE_NONE, used, limit) != PRESSURE_NONE) {
		trim(w, TRIM_BUSY_MS);
		measure_or_tell(w, &used);
	}
	trim(w, TRIM_MS);
	level = pressure_judge(before, used, limit);
	atomic_store(&p->used, used);
	if (level != before) {
		atomic_store(&p->level, (int)level);
		log_write(&w->d->log, level > before ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		          "memory: %llu of %llu MiB are used, %s", (unsigned long long)(used / MIB),
		          (unsigned long long)(limit / MIB), pressure_describe(level));
		tell_workers(w->d, run_pressure);
	}
	return used < limit / 2 ? CALM_MS : BUSY_MS;
}

/* ---- the thread ---- */

static void sleep_for(struct memory_watch *w, uint64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(ms / 1000);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!w->is_ending && pthread_cond_timedwait(&w->wake, &w->lock, &until) != ETIMEDOUT)
		;
}

static void *run_thread(void *arg)
{
	struct memory_watch *w = arg;

	pthread_setname_np(pthread_self(), "memory");
	pthread_mutex_lock(&w->lock);
	while (!w->is_ending)
		sleep_for(w, look(w));
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Minus an errno, and why. */
static int start_thread(struct memory_watch *w, struct err_text *et)
{
	pthread_condattr_t clock;
	pthread_attr_t attr;
	int rc;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &clock);
	pthread_condattr_destroy(&clock);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	rc = pthread_create(&w->thread, &attr, run_thread, w);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		err_text_set(et, "cannot start a thread: %s", strerror(rc));
	return -rc;
}

/* Opens and tries what is measured. Minus an errno, and why. */
static int begin_measuring(struct memory_watch *w, struct err_text *et)
{
	uint64_t used = 0;
	int rc;

	w->statm = open(STATM, O_RDONLY | O_CLOEXEC);
	rc = w->statm >= 0 ? measure(w, &used) : -errno;
	atomic_store(&w->d->server.pressure.used, used);
	if (rc != 0)
		err_text_set(et, "memory_limit: cannot read " STATM ", which tells how much memory is used: %s", strerror(-rc));
	return rc;
}

int memory_watch_start(struct daemon *d, struct memory_watch **out, struct err_text *et)
{
	struct memory_watch *w = mem_new(sizeof(*w));
	int rc;

	w->d = d;
	w->trimmed = d->env.mono_ms(&d->env);
	rc = begin_measuring(w, et);
	if (rc == 0)
		rc = start_thread(w, et);
	if (rc == 0) {
		*out = w;
		return 0;
	}
	if (w->statm >= 0)
		close(w->statm);
	free(w);
	return -ERR_IO;
}

void memory_watch_stop(struct memory_watch **watch)
{
	struct memory_watch *w = *watch;

	*watch = NULL;
	if (w == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->is_ending = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	close(w->statm);
	free(w);
}
