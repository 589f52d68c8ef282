/* SPDX-License-Identifier: MIT */
/* The log of the store after a crash. With an even first byte the rest is its file, and whatever that is goes into the
 * database once; with an odd one entries are written, the file is damaged, and just those before the damage come
 * back. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "choices.h"
#include "store/ahead.h"
#include "store/ahead_file.h"
#include "store/driver.h"

#define FILE_BYTES 4096
#define FILE_HEAD 24
#define FRAME_HEAD 16
#define ENTRIES_MAX 64
#define LAST_ID 5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

/* ---- the world ---- */

static uint64_t no_time(struct comity_env *env)
{
	(void)env;
	return 1000;
}

static void no_chance(struct comity_env *env, void *bytes, size_t len)
{
	(void)env;
	memset(bytes, 7, len);
}

static void ignore_line(struct log *log, enum log_level level, const char *line)
{
	(void)log, (void)level, (void)line;
}

static struct comity_env env = { .mono_ms = no_time, .random = no_chance };
static char folder[64], path[96];

static void remove_folder(void)
{
	unlink(path);
	rmdir(folder);
}

static void make_folder(void)
{
	struct stat st;

	if (*folder != '\0')
		return;
	snprintf(folder, sizeof(folder), "%s/fuzz_ahead.XXXXXX", stat("/dev/shm", &st) == 0 ? "/dev/shm" : "/tmp");
	check(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/log", folder);
	atexit(remove_folder);
}

static void write_file(const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	check(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

/* ---- entries ---- */

/* A sum over all that is in one: each byte of it is read. */
static uint64_t sum_of(const char *owner, const char *name, const struct store_entry *e)
{
	uint64_t sum = hash_bytes(owner, strlen(owner), e->id);

	sum = hash_bytes(name, strlen(name), sum);
	sum = hash_bytes(e->with != NULL ? e->with : "", e->with != NULL ? strlen(e->with) : 0, sum);
	sum = hash_bytes(e->token != NULL ? e->token : "-", e->token != NULL ? strlen(e->token) : 1, sum);
	sum = hash_bytes(&e->when_us, sizeof(e->when_us), sum);
	return hash_bytes(e->value, e->len, sum);
}

/* ---- a database ---- */

struct driver_conn {
	bool is_failing, is_unreadable, is_begun;
	size_t count, committed;      /* entries since it was made */
	uint64_t sum, last_id;
};

static int begin(struct driver_conn *c)
{
	check(!c->is_begun);
	if (c->is_failing)
		return -ERR_IO;
	c->is_begun = true;
	return 0;
}

static int commit(struct driver_conn *c)
{
	check(c->is_begun);
	c->is_begun = false;
	c->committed = c->count;
	return 0;
}

static void rollback(struct driver_conn *c)
{
	c->is_begun = false;
	c->count = c->committed;
}

/* Of some owners part of the log is there already. */
static int settled(struct driver_conn *c, const char *owner, uint64_t *id)
{
	*id = *owner == 'b' ? 9 : 0;
	return c->is_unreadable && *owner != '\0' ? -ERR_IO : 0;
}

static int append(struct driver_conn *c, const char *owner, const char *name, const struct store_entry *e, uint64_t *id)
{
	uint64_t known;

	settled(c, owner, &known);
	check(c->is_begun && e->id > known);
	c->sum = sum_of(owner, name, e);
	c->count++;
	c->last_id = e->id > c->last_id ? e->id : c->last_id;
	*id = e->id;
	return 0;
}

static int last_id(struct driver_conn *c, uint64_t *id)
{
	*id = c->last_id;
	return 0;
}

static int set_settled(struct driver_conn *c, const char *owner, uint64_t id)
{
	(void)owner, (void)id;
	check(c->is_begun);
	return 0;
}

static int count_none(struct driver_conn *c, const char *owner, const char *name, uint64_t *count, uint64_t *bytes)
{
	(void)c, (void)owner, (void)name;
	if (bytes != NULL)
		*bytes = 0;
	*count = 0;
	return 0;
}

static const struct store_driver database = {
	.begin = begin, .commit = commit, .rollback = rollback, .append = append, .last_id = last_id, .settled = settled,
	.set_settled = set_settled, .count = count_none,
};

static int open_log(struct driver_conn *c, struct ahead **a)
{
	static struct log log = { .write = ignore_line };
	struct ahead_conf conf = { .path = path, .bytes = FILE_BYTES, .delay_ms = 10 };
	struct log_ctx ctx = { .log = &log };
	struct err_text et = { "" };
	int rc = ahead_open(&env, &conf, &database, c, &ctx, a, &et);

	/* What is refused stays there. */
	check(rc == 0 || ((rc == -ERR_CORRUPT || c->is_unreadable) && et.text[0] != '\0' && access(path, F_OK) == 0));
	return rc;
}

/* ---- any file ---- */

/* With the magic and the checksums of its frames mended: chance does not find them. */
static void mend(char *bytes, size_t len)
{
	static const char magic[16] = "comity log 1\n";
	uint64_t salt, head[2];
	size_t at = FILE_HEAD;

	if (len < FILE_HEAD)
		return;
	memcpy(bytes, magic, sizeof(magic));
	memcpy(&salt, bytes + sizeof(magic), sizeof(salt));
	while (len - at >= FRAME_HEAD) {
		memcpy(head, bytes + at, sizeof(head));
		/* Lengths of the fuzzer are small, and a bit of the checksum stays wrong when it was odd. */
		head[0] %= len - at - FRAME_HEAD + 1;
		head[1] = hash_bytes(bytes + at + FRAME_HEAD, head[0], salt) ^ (head[1] & 1);
		memcpy(bytes + at, head, sizeof(head));
		at += FRAME_HEAD + head[0];
	}
}

/* One more entry, and the process ends: it comes back alone, with an id of its own. */
static void check_one_more(struct driver_conn *c, struct ahead *a)
{
	struct store_entry e = { .with = "w", .value = "value", .len = 5, .token = "t" };
	uint64_t before = c->last_id, sum;

	check(ahead_takes(a, "owner", "offline", &e) && ahead_add(a, "owner", "offline", &e, 0) == 0);
	sum = sum_of("owner", "offline", &e);
	check(ahead_sync(a) == 0 && ahead_has(a, "owner"));
	check(e.id > before);
	ahead_close(a);
	c->count = c->committed = 0;
	c->last_id = before;
	check(open_log(c, &a) == 0 && c->committed == 1 && c->sum == sum && ahead_due_ms(a) == 0);
	ahead_close(a);
}

static void take_file(const uint8_t *data, size_t size, uint8_t how)
{
	bool is_failing = (how & 4) != 0;
	struct driver_conn c = { .is_failing = is_failing, .is_unreadable = (how & 8) != 0, .last_id = LAST_ID };
	char *bytes = mem_dup((const char *)data, size);
	struct ahead *a;
	int rc;

	if ((how & 2) == 0)
		mend(bytes, size);
	write_file(bytes, size);
	free(bytes);
	rc = open_log(&c, &a);
	if (rc == -ERR_IO) {
		c.is_unreadable = false;
		rc = open_log(&c, &a);
		check(rc == 0);
	}
	if (rc != 0)
		return;
	c.is_unreadable = false;
	if (is_failing && ahead_due_ms(a) != 0) {
		/* Nothing is added to what cannot be moved, and nothing of it is lost. */
		check(!ahead_takes(a, "owner", "offline", &(struct store_entry){ .with = "" }));
		ahead_close(a);
		c.is_failing = false;
		check(open_log(&c, &a) == 0 && c.committed != 0);
	}
	c.is_failing = false;
	check(ahead_due_ms(a) == 0 && !ahead_has(a, NULL));
	/* Ids of a machine are not that large; there is none after the last one. */
	if (c.last_id < INT64_MAX && c.last_id >= LAST_ID)
		check_one_more(&c, a);
	else
		ahead_close(a);
}

/* ---- a damaged file ---- */

struct written {
	uint64_t sums[ENTRIES_MAX];
	size_t ends[ENTRIES_MAX];     /* of the frames that they are in */
	size_t count, seen;
};

static void see(void *arg, size_t at, const struct ahead_entry *e)
{
	struct written *w = arg;

	(void)at;
	check(w->seen < w->count && w->sums[w->seen] == sum_of(e->owner, e->name, &e->entry));
	w->seen++;
}

static void add_entry(struct ahead_file *f, struct choices *in, struct written *w)
{
	static const char *const owners[] = { "a@x", "b@x", "", "c@a.very.long.name.of.a.domain.example" };
	static const char *const tokens[] = { NULL, "", "token", "token/2" };
	static const char value[2048];
	struct store_entry e = { .id = w->count + 1, .when_us = choose(in, 256), .value = value, .len = choose(in, 2048) };
	const char *owner = owners[choose(in, 4)];

	e.with = choose(in, 2) != 0 ? "p@x/r" : NULL;
	e.token = tokens[choose(in, 4)];
	if (!ahead_file_fits(f, owner, "offline", &e))
		return;
	ahead_file_add(f, owner, "offline", &e);
	w->sums[w->count++] = sum_of(owner, "offline", &e);
}

/* Returns how many are in the file. */
static size_t write_entries(struct choices *in, struct written *w)
{
	struct ahead_file f;
	size_t synced = 0;

	unlink(path);
	ahead_file_init(&f, &env, path, FILE_BYTES);
	for (uint32_t n = choose(in, ENTRIES_MAX); n != 0; n--) {
		add_entry(&f, in, w);
		if (choose(in, 2) != 0)
			continue;
		check(ahead_file_sync(&f) == 0);
		for (; synced < w->count; synced++)
			w->ends[synced] = buf_size(&f.image);
	}
	ahead_file_deinit(&f, false);
	return synced;
}

/* Returns where the file is sound up to. */
static size_t damage(struct choices *in)
{
	uint32_t how = choose(in, 3), at = choose(in, FILE_BYTES);
	int fd = open(path, O_RDWR);
	char c;

	if (fd < 0 || how == 0) {
		at = FILE_BYTES;
	} else if (how == 1) {
		check(ftruncate(fd, at) == 0);
	} else {
		check(pread(fd, &c, 1, at) == 1);
		c ^= (char)(1 + choose(in, 255));
		check(pwrite(fd, &c, 1, at) == 1);
	}
	if (fd >= 0)
		close(fd);
	return at;
}

static void damage_entries(struct choices in)
{
	struct written w = { 0 };
	struct err_text et = { "" };
	struct ahead_file f;
	size_t at, sound = 0;
	int rc;

	w.count = write_entries(&in, &w);
	at = damage(&in);
	while (sound < w.count && w.ends[sound] <= at)
		sound++;
	ahead_file_init(&f, &env, path, FILE_BYTES);
	rc = ahead_file_read(&f, see, &w, &et);
	check(at < FILE_HEAD || rc == 0);
	check(w.seen == (at < FILE_HEAD ? 0 : sound));
	ahead_file_deinit(&f, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	make_folder();
	unlink(path);
	if (data[0] % 2 == 0)
		take_file(data + 1, size - 1, data[0]);
	else
		damage_entries((struct choices){ data + 1, data + size });
	return 0;
}
