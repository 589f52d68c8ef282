/* SPDX-License-Identifier: MIT */
/* Reading the journals of earlier starts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/journal_file.h"

struct name_list {
	char **names;
	size_t count;
};

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The generation of a journal's name; 0 when it is none. */
static unsigned generation_of(const char *name)
{
	unsigned generation, worker, number;
	char end;

	if (sscanf(name, JOURNAL_NAME_FORMAT "%c", &generation, &worker, &number, &end) != 3)
		return 0;
	return generation;
}

/* Names sort by generation, worker and number. */
static int list_journals(const char *folder, struct name_list *list, struct err_text *et)
{
	DIR *dir = opendir(folder);
	struct dirent *d;

	*list = (struct name_list){ 0 };
	if (dir == NULL && errno == ENOENT)
		return 0;
	if (dir == NULL) {
		err_text_set(et, "cannot read %s: %s", folder, strerror(errno));
		return -ERR_IO;
	}
	while ((d = readdir(dir)) != NULL) {
		if (generation_of(d->d_name) == 0)
			continue;
		list->names = mem_resize(list->names, (list->count + 1) * sizeof(*list->names));
		list->names[list->count++] = mem_strdup(d->d_name);
	}
	closedir(dir);
	if (list->count != 0)
		qsort(list->names, list->count, sizeof(*list->names), compare);
	return 0;
}

static void free_list(struct name_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
}

/* The records of one frame; false when they are not sound. */
static bool read_records(const char *at, size_t left, journal_record_cb *cb, void *arg)
{
	struct journal_record head;

	while (left != 0) {
		if (left < sizeof(head))
			return false;
		memcpy(&head, at, sizeof(head));
		at += sizeof(head);
		left -= sizeof(head);
		if (head.len > left)
			return false;
		cb(arg, head.type, at, head.len);
		at += head.len;
		left -= head.len;
	}
	return true;
}

/* Returns how much of the file was sound. */
static size_t read_frames(const char *bytes, size_t len, journal_record_cb *cb, void *arg)
{
	size_t at = sizeof(JOURNAL_MAGIC) - 1;
	struct journal_frame frame;

	if (len < at || memcmp(bytes, JOURNAL_MAGIC, at) != 0)
		return 0;
	while (len - at >= sizeof(frame)) {
		memcpy(&frame, bytes + at, sizeof(frame));
		if (frame.len > len - at - sizeof(frame) ||
		    frame.check != journal_check(bytes + at + sizeof(frame), frame.len) ||
		    !read_records(bytes + at + sizeof(frame), frame.len, cb, arg))
			break;
		at += sizeof(frame) + frame.len;
	}
	return at;
}

/* What it says cannot be known, and is not lost. */
static bool is_of_other_format(const char *bytes, size_t len)
{
	size_t name = sizeof(JOURNAL_MAGIC_NAME) - 1, at = name;

	if (len < name || memcmp(bytes, JOURNAL_MAGIC_NAME, name) != 0)
		return false;
	while (at < len && bytes[at] >= '0' && bytes[at] <= '9')
		at++;
	return at > name && at < len && bytes[at] == '\n' &&
	       (at + 1 != sizeof(JOURNAL_MAGIC) - 1 || memcmp(bytes, JOURNAL_MAGIC, at) != 0);
}

static int read_whole(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? 1 : -1;
	int rc;

	while (n > 0) {
		char *at = buf_reserve(out, 1 << 16);

		n = read(fd, at, 1 << 16);
		if (n > 0)
			buf_commit(out, (size_t)n);
	}
	/* What is read and acted on must not be gone after a crash of the machine. */
	if (n == 0 && fdatasync(fd) != 0)
		n = -1;
	rc = n < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

static int read_journal(const char *path, struct log_ctx *log, journal_record_cb *cb, void *arg, struct err_text *et)
{
	struct buf bytes = { 0 };
	int rc = read_whole(path, &bytes);
	size_t sound;

	if (rc != 0) {
		err_text_set(et, "cannot read %s: %s", path, strerror(-rc));
	} else if (is_of_other_format(buf_bytes(&bytes), buf_size(&bytes))) {
		err_text_set(et, "%s was written by another version of this server, and was left as it is; move it away to start "
		             "without its sessions", path);
		rc = -ERR_IO;
	} else {
		sound = read_frames(buf_bytes(&bytes), buf_size(&bytes), cb, arg);
		/* The last turn before a crash was not written whole: nothing of it had left. */
		if (sound < buf_size(&bytes))
			log_warning(log, "%s ends in the middle: %zu of %zu bytes are read", path, sound, buf_size(&bytes));
	}
	buf_deinit(&bytes);
	return rc == 0 ? 0 : -ERR_IO;
}

int journal_read_all(const char *folder, struct log_ctx *log, journal_record_cb *cb, void *arg, unsigned *next,
                     struct err_text *et)
{
	struct name_list list;
	int rc = list_journals(folder, &list, et);

	*next = 1;
	for (size_t i = 0; rc == 0 && i < list.count; i++) {
		char *path = mem_printf("%s/%s", folder, list.names[i]);

		rc = read_journal(path, log, cb, arg, et);
		if (generation_of(list.names[i]) >= *next)
			*next = generation_of(list.names[i]) + 1;
		free(path);
	}
	if (rc == 0 && list.count != 0) {
		int failed = journal_sync_folder(folder);

		if (failed != 0) {
			err_text_set(et, "cannot sync %s: %s", folder, strerror(-failed));
			rc = -ERR_IO;
		}
	}
	free_list(&list);
	return rc;
}

void journal_remove_before(const char *folder, unsigned generation)
{
	struct name_list list;
	struct err_text et;

	if (list_journals(folder, &list, &et) != 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		char *path = mem_printf("%s/%s", folder, list.names[i]);

		if (generation_of(list.names[i]) < generation)
			unlink(path);
		free(path);
	}
	free_list(&list);
}
