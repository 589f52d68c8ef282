/* SPDX-License-Identifier: MIT */
/* The file of the log of appended entries: a head, then frames of what was made durable at once, each with a
 * checksum. Numbers are those of the machine. A copy of the file is in memory. */
#ifndef STORE_AHEAD_FILE_H
#define STORE_AHEAD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "comity/store.h"

struct comity_env;

struct ahead_file {
	struct comity_env *env;
	char *path;
	int fd;                 /* -1: not open yet */
	size_t bytes;           /* most that may be in it */
	struct buf image;       /* what is in it, and what was added since */
	size_t frame;           /* where what was added begins; 0: nothing was */
	uint64_t salt;          /* of its frames: those of earlier beginnings are not taken for new ones */
	bool is_new;            /* its head is not written yet */
	bool is_filled;         /* it has its whole length */
};

/* Borrowed from the image: until something is added. */
struct ahead_entry {
	const char *owner, *name;
	struct store_entry entry;
};

typedef void ahead_file_cb(void *arg, size_t at, const struct ahead_entry *e);

void ahead_file_init(struct ahead_file *f, struct comity_env *env, const char *path, size_t bytes);
/* Removes the file if nothing in it counts. */
void ahead_file_deinit(struct ahead_file *f, bool is_over);
/* Calls back for all that is sound in a file of an earlier process, if there is one. -ERR_IO, -ERR_CORRUPT. */
int ahead_file_read(struct ahead_file *f, ahead_file_cb *cb, void *arg, struct err_text *et);

/* Opens or makes the file, after it was read: when the first entry comes there may be no descriptor for that. What does
 * not work is tried again then. */
void ahead_file_make(struct ahead_file *f);

bool ahead_file_fits(const struct ahead_file *f, const char *owner, const char *name, const struct store_entry *e);
/* Whether three quarters of it are taken. */
bool ahead_file_is_filling(const struct ahead_file *f);
/* Returns its place. */
size_t ahead_file_add(struct ahead_file *f, const char *owner, const char *name, const struct store_entry *e);
void ahead_file_entry(const struct ahead_file *f, size_t at, struct ahead_entry *e);
/* Writes and syncs what was added, or forgets it: -ERR_NO_SPACE, -ERR_IO. */
int ahead_file_sync(struct ahead_file *f);
/* Nothing in it counts any more. */
void ahead_file_restart(struct ahead_file *f);

#endif
