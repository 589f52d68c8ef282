/* SPDX-License-Identifier: MIT */
/* Writing and reading the log of appended entries. */
#include "store/ahead_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/env.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/sqlite_file.h"

#define MAGIC "comity log 1\n\0\0"
#define NO_TOKEN UINT32_MAX

struct file_head {
	char magic[16];
	uint64_t salt;
};

struct frame_head {
	uint64_t len;           /* of what follows */
	uint64_t check;
};

/* Then the texts, each with its NUL, and the value. */
struct entry_head {
	uint64_t id;
	int64_t when_us;
	uint32_t owner_len, name_len, with_len, token_len, value_len;
};

static uint64_t check_of(const struct ahead_file *f, const void *bytes, size_t len)
{
	return hash_bytes(bytes, len, f->salt);
}

static void add_head(struct ahead_file *f)
{
	struct file_head head = { .magic = MAGIC };

	f->env->random(f->env, &f->salt, sizeof(f->salt));
	head.salt = f->salt;
	buf_add(&f->image, &head, sizeof(head));
	f->is_new = true;
}

/* ---- entries ---- */

static size_t size_of(const char *owner, const char *name, const struct store_entry *e)
{
	return sizeof(struct entry_head) + strlen(owner) + strlen(name) + (e->with != NULL ? strlen(e->with) : 0) +
	       (e->token != NULL ? strlen(e->token) : 0) + 4 + e->len;
}

bool ahead_file_fits(const struct ahead_file *f, const char *owner, const char *name, const struct store_entry *e)
{
	size_t size = sizeof(struct file_head) + sizeof(struct frame_head) + size_of(owner, name, e);

	return e->len < UINT32_MAX && f->bytes >= size && f->bytes - size >= buf_size(&f->image);
}

bool ahead_file_is_filling(const struct ahead_file *f)
{
	return buf_size(&f->image) > f->bytes / 4 * 3;
}

size_t ahead_file_add(struct ahead_file *f, const char *owner, const char *name, const struct store_entry *e)
{
	const char *with = e->with != NULL ? e->with : "";
	struct entry_head head = {
		.id = e->id,
		.when_us = e->when_us,
		.owner_len = (uint32_t)strlen(owner),
		.name_len = (uint32_t)strlen(name),
		.with_len = (uint32_t)strlen(with),
		.token_len = e->token != NULL ? (uint32_t)strlen(e->token) : NO_TOKEN,
		.value_len = (uint32_t)e->len,
	};
	size_t at;

	if (buf_size(&f->image) == 0)
		add_head(f);
	if (f->frame == 0) {
		f->frame = buf_size(&f->image);
		buf_add(&f->image, &(struct frame_head){ 0 }, sizeof(struct frame_head));
	}
	at = buf_size(&f->image);
	buf_add(&f->image, &head, sizeof(head));
	buf_add(&f->image, owner, head.owner_len + 1);
	buf_add(&f->image, name, head.name_len + 1);
	buf_add(&f->image, with, head.with_len + 1);
	if (e->token != NULL)
		buf_add(&f->image, e->token, head.token_len + 1);
	buf_add(&f->image, e->value, e->len);
	return at;
}

/* The text at *at; NULL when it does not end there. */
static const char *take_text(const char *bytes, size_t end, size_t *at, uint32_t len)
{
	const char *text = bytes + *at;

	if (len >= end - *at || text[len] != '\0')
		return NULL;
	*at += (size_t)len + 1;
	return text;
}

/* Returns where the next one begins; 0 when this one is not sound. */
static size_t read_entry(const char *bytes, size_t at, size_t end, struct ahead_entry *e)
{
	struct entry_head head;

	*e = (struct ahead_entry){ 0 };
	if (end - at < sizeof(head))
		return 0;
	memcpy(&head, bytes + at, sizeof(head));
	at += sizeof(head);
	if ((e->owner = take_text(bytes, end, &at, head.owner_len)) == NULL ||
	    (e->name = take_text(bytes, end, &at, head.name_len)) == NULL ||
	    (e->entry.with = take_text(bytes, end, &at, head.with_len)) == NULL)
		return 0;
	if (head.token_len != NO_TOKEN && (e->entry.token = take_text(bytes, end, &at, head.token_len)) == NULL)
		return 0;
	if (head.value_len > end - at)
		return 0;
	e->entry.id = head.id;
	e->entry.when_us = head.when_us;
	e->entry.value = bytes + at;
	e->entry.len = head.value_len;
	return at + head.value_len;
}

void ahead_file_entry(const struct ahead_file *f, size_t at, struct ahead_entry *e)
{
	if (read_entry(buf_bytes(&f->image), at, buf_size(&f->image), e) == 0)
		abort();
}

/* ---- writing ---- */

static int status_of(int number)
{
	return number == ENOSPC || number == EDQUOT || number == EFBIG ? -ERR_NO_SPACE : -ERR_IO;
}

static int write_at(int fd, const char *bytes, size_t len, size_t at)
{
	while (len != 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? status_of(errno) : -ERR_IO;
		bytes += n;
		len -= (size_t)n;
		at += (size_t)n;
	}
	return 0;
}

/* Its name is durable then; one that was there may have been left before it was. */
static int open_file(struct ahead_file *f)
{
	if (f->fd < 0)
		f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (f->fd < 0)
		return status_of(errno);
	if (sqlite_sync_folder(f->path) == 0)
		return 0;
	close(f->fd);
	f->fd = -1;
	return -ERR_IO;
}

void ahead_file_make(struct ahead_file *f)
{
	if (f->bytes != 0)
		open_file(f);
}

/* Its whole length is written once, so that later syncs have nothing but bytes to write, even on a full disk. Not before
 * it is used: a start should be short. */
static int fill_file(struct ahead_file *f)
{
	static const char zeros[1 << 16];
	struct stat st;
	int rc = fstat(f->fd, &st) == 0 ? 0 : status_of(errno);

	for (size_t at = rc == 0 ? (size_t)st.st_size : 0; rc == 0 && at < f->bytes; at += sizeof(zeros))
		rc = write_at(f->fd, zeros, f->bytes - at < sizeof(zeros) ? f->bytes - at : sizeof(zeros), at);
	if (rc == 0 && fsync(f->fd) != 0)
		rc = -ERR_IO;
	f->is_filled = rc == 0;
	return rc;
}

static int write_frame(struct ahead_file *f)
{
	const char *bytes = buf_bytes(&f->image);
	size_t begin = f->is_new ? 0 : f->frame;
	int rc = f->fd < 0 ? open_file(f) : 0;

	if (rc == 0 && !f->is_filled)
		rc = fill_file(f);
	if (rc == 0)
		rc = write_at(f->fd, bytes + begin, buf_size(&f->image) - begin, begin);
	if (rc == 0 && fdatasync(f->fd) != 0)
		rc = status_of(errno);
	return rc;
}

int ahead_file_sync(struct ahead_file *f)
{
	size_t body = f->frame + sizeof(struct frame_head);
	struct frame_head head;
	int rc;

	if (f->frame == 0)
		return 0;
	head.len = buf_size(&f->image) - body;
	head.check = check_of(f, buf_bytes(&f->image) + body, head.len);
	memcpy(f->image.data + f->image.head + f->frame, &head, sizeof(head));
	rc = write_frame(f);
	if (rc == 0) {
		f->is_new = false;
	} else {
		/* What is refused now should not be found after a crash. */
		head = (struct frame_head){ 0 };
		if (f->fd >= 0)
			write_at(f->fd, (const char *)&head, sizeof(head), f->frame);
		f->image.len = f->image.head + f->frame;
	}
	f->frame = 0;
	return rc;
}

void ahead_file_restart(struct ahead_file *f)
{
	buf_deinit(&f->image);
	f->frame = 0;
}

/* ---- reading ---- */

static int read_image(struct ahead_file *f, struct err_text *et)
{
	struct stat st;
	ssize_t n;

	f->fd = open(f->path, O_RDWR | O_CLOEXEC);
	if (f->fd < 0 && errno == ENOENT)
		return 0;
	if (f->fd < 0 || fstat(f->fd, &st) != 0) {
		err_text_set(et, "cannot open %s: %s", f->path, strerror(errno));
		return -ERR_IO;
	}
	do {
		n = pread(f->fd, buf_reserve(&f->image, 1 << 16), 1 << 16, (off_t)buf_size(&f->image));
		if (n > 0)
			buf_commit(&f->image, (size_t)n);
	} while (n > 0);
	if (n < 0) {
		err_text_set(et, "cannot read %s: %s", f->path, strerror(errno));
		return -ERR_IO;
	}
	return 0;
}

/* The entries of a frame are all sound: it has its checksum. */
static void read_frame(const char *bytes, size_t at, size_t end, ahead_file_cb *cb, void *arg)
{
	struct ahead_entry e;

	for (size_t next; at < end && (next = read_entry(bytes, at, end, &e)) != 0; at = next)
		cb(arg, at, &e);
}

static size_t read_frames(struct ahead_file *f, ahead_file_cb *cb, void *arg)
{
	const char *bytes = buf_bytes(&f->image);
	size_t at = sizeof(struct file_head), size = buf_size(&f->image);
	struct frame_head head;

	while (size - at >= sizeof(head)) {
		memcpy(&head, bytes + at, sizeof(head));
		if (head.len == 0 || head.len > size - at - sizeof(head) ||
		    head.check != check_of(f, bytes + at + sizeof(head), head.len))
			break;
		at += sizeof(head);
		read_frame(bytes, at, at + head.len, cb, arg);
		at += head.len;
	}
	return at;
}

int ahead_file_read(struct ahead_file *f, ahead_file_cb *cb, void *arg, struct err_text *et)
{
	struct file_head head;
	int rc = read_image(f, et);
	size_t size = buf_size(&f->image), i = 0;

	if (rc != 0 || size == 0)
		return rc;
	while (i < size && i < sizeof(head) && buf_bytes(&f->image)[i] == '\0')
		i++;
	/* A file that was made, and in which nothing was synced: the head comes with the first frame, of which a loss of
	 * power may have left the end alone. */
	if (i == size || i == sizeof(head)) {
		ahead_file_restart(f);
		return 0;
	}
	if (size >= sizeof(head))
		memcpy(&head, buf_bytes(&f->image), sizeof(head));
	if (size < sizeof(head) || memcmp(head.magic, MAGIC, sizeof(head.magic)) != 0) {
		err_text_set(et, "%s is not a log of the store or is damaged, and was left as it is; move it away to start "
		             "without the messages in it", f->path);
		return -ERR_CORRUPT;
	}
	f->salt = head.salt;
	f->image.len = f->image.head + read_frames(f, cb, arg);
	return 0;
}

/* ---- life ---- */

void ahead_file_init(struct ahead_file *f, struct comity_env *env, const char *path, size_t bytes)
{
	*f = (struct ahead_file){ .env = env, .path = mem_strdup(path), .fd = -1, .bytes = bytes };
}

void ahead_file_deinit(struct ahead_file *f, bool is_over)
{
	if (f->fd >= 0)
		close(f->fd);
	if (is_over && f->fd >= 0)
		unlink(f->path);
	buf_deinit(&f->image);
	free(f->path);
}
