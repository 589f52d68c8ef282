/* SPDX-License-Identifier: MIT */
/* A disk that forgets what was not synced. */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "place.h"

#define FILES_MAX 64
#define NAME_SIZE 300
#define PATH_SIZE (2 * NAME_SIZE + 16)
/* What a file is called that was removed, and that the disk may still have. */
#define GHOST "ghost-"

struct file {
	char name[NAME_SIZE];   /* without GHOST */
	ino_t inode;
	off_t synced, marked;
	bool is_durable;        /* its name is */
	bool is_ghost;
};

static char folder[NAME_SIZE];
static ino_t folder_inode, parent_inode;
static size_t (*gate)(void *arg, size_t len);
static void *gate_arg;
static struct file files[FILES_MAX];
static size_t count;
static bool is_full;
static size_t room;             /* when it is full: so many bytes can be written yet */
static disk_chance *full_chance;
static void *full_arg;

int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_unlink(const char *path);
ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t at);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_unlink(const char *path);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at);

static void make_path(char *out, const struct file *f)
{
	snprintf(out, PATH_SIZE, "%.299s/%s%.255s", folder, f->is_ghost ? GHOST : "", f->name);
}

static struct file *find(ino_t inode)
{
	for (size_t i = 0; i < count; i++)
		if (files[i].inode == inode)
			return &files[i];
	return NULL;
}

/* Files that were made since. */
static void scan(void)
{
	DIR *dir = opendir(folder);
	struct dirent *d;

	while (dir != NULL && (d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.' || find(d->d_ino) != NULL)
			continue;
		if (count == FILES_MAX)
			abort();
		files[count] = (struct file){ .inode = d->d_ino };
		snprintf(files[count++].name, NAME_SIZE, "%.250s", d->d_name);
	}
	if (dir != NULL)
		closedir(dir);
}

static void drop(struct file *f)
{
	char path[PATH_SIZE];

	make_path(path, f);
	__real_unlink(path);
	*f = files[--count];
}

/* ---- what the server does ---- */

static int sync_place(void)
{
	if (gate(gate_arg, 1) != 1 || (is_full && full_chance(full_arg, 4) == 0)) {
		errno = ENOSPC;
		return -1;
	}
	place_sync();
	return 0;
}

int __wrap_fdatasync(int fd)
{
	struct stat st;
	struct file *f;

	if (fstat(fd, &st) != 0)
		return -1;
	if (place_is(fd))
		return sync_place();
	scan();
	f = find(st.st_ino);
	if (f == NULL)
		return __real_fdatasync(fd);
	if (is_full && full_chance(full_arg, 4) == 0) {
		errno = ENOSPC;
		return -1;
	}
	f->synced = st.st_size;
	return 0;
}

int __wrap_fsync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -1;
	if (st.st_ino == parent_inode) {
		place_sync_folder();
		return 0;
	}
	if (st.st_ino != folder_inode)
		return __wrap_fdatasync(fd);
	scan();
	for (size_t i = count; i-- != 0;) {
		files[i].is_durable = true;
		if (files[i].is_ghost)
			drop(&files[i]);
	}
	return 0;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
	struct stat st;

	if (!is_full || fstat(fd, &st) != 0)
		return __real_write(fd, bytes, len);
	scan();
	if (find(st.st_ino) == NULL)
		return __real_write(fd, bytes, len);
	if (room == 0 && len != 0) {
		errno = ENOSPC;
		return -1;
	}
	if (len > room)
		len = room;
	room -= len;
	return __real_write(fd, bytes, len);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	size_t n = len;

	if (!place_is(fd))
		return __real_pwrite(fd, bytes, len, at);
	n = gate(gate_arg, len);
	if (n == len && is_full && full_chance(full_arg, 4) == 0)
		n = full_chance(full_arg, (uint32_t)len);
	if (n == len)
		return __real_pwrite(fd, bytes, len, at);
	n = ((size_t)at + n) / SECTOR * SECTOR;
	if (n > (size_t)at && __real_pwrite(fd, bytes, n - (size_t)at, at) < 0)
		return -1;
	errno = ENOSPC;
	return -1;
}

int __wrap_unlink(const char *path)
{
	char from[PATH_SIZE], to[PATH_SIZE];
	struct stat st;
	struct file *f;

	if (place_has_path(path) && gate(gate_arg, 1) != 1) {
		errno = EIO;
		return -1;
	}
	if (strncmp(path, folder, strlen(folder)) != 0 || stat(path, &st) != 0)
		return __real_unlink(path);
	scan();
	f = find(st.st_ino);
	if (f == NULL || f->is_ghost)
		return __real_unlink(path);
	if (!f->is_durable) {
		drop(f);
		return 0;
	}
	make_path(from, f);
	f->is_ghost = true;
	make_path(to, f);
	return rename(from, to);
}

/* ---- what the simulation does ---- */

void disk_watch(const char *path, const char *file)
{
	char parent[PATH_SIZE];
	struct stat st;

	if (strlen(path) >= NAME_SIZE || stat(path, &st) != 0)
		abort();
	snprintf(folder, sizeof(folder), "%s", path);
	folder_inode = st.st_ino;
	snprintf(parent, sizeof(parent), "%s/..", folder);
	if (stat(parent, &st) != 0)
		abort();
	parent_inode = st.st_ino;
	place_watch(file);
	count = 0;
}

void disk_set_gate(size_t (*new_gate)(void *arg, size_t len), void *arg)
{
	gate = new_gate;
	gate_arg = arg;
}

void disk_fill(size_t bytes, disk_chance *chance, void *arg)
{
	is_full = true;
	room = bytes;
	full_chance = chance;
	full_arg = arg;
}

void disk_make_room(void)
{
	is_full = false;
}

void disk_reset(void)
{
	is_full = false;
	place_reset();
	scan();
	while (count != 0)
		drop(&files[0]);
}

static void cut(struct file *f, off_t least, disk_chance *chance, void *arg)
{
	char path[PATH_SIZE];
	struct stat st;
	off_t size;

	make_path(path, f);
	if (stat(path, &st) != 0 || st.st_size <= least)
		return;
	size = least + (off_t)chance(arg, (uint32_t)(st.st_size - least) + 1);
	if (truncate(path, size) != 0)
		abort();
	/* A file may have its length before it has its bytes. */
	if (chance(arg, 8) == 0 && truncate(path, st.st_size) != 0)
		abort();
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

void disk_lose_power(disk_chance *chance, void *arg)
{
	place_lose_power(chance, arg);
	scan();
	/* Folders give names in an order of their own: a seed must do the same every time. */
	qsort(files, count, sizeof(files[0]), compare);
	for (size_t i = count; i-- != 0;) {
		struct file *f = &files[i];
		char from[PATH_SIZE], to[PATH_SIZE];
		bool is_kept = f->is_ghost || !f->is_durable ? chance(arg, 2) == 0 : true;

		if (!is_kept) {
			drop(f);
			continue;
		}
		make_path(from, f);
		f->is_ghost = false;
		make_path(to, f);
		if (strcmp(from, to) != 0 && rename(from, to) != 0)
			abort();
		cut(f, f->synced, chance, arg);
	}
	for (size_t i = 0; i < count; i++)
		files[i].is_durable = true;
}

void disk_mark(void)
{
	scan();
	for (size_t i = 0; i < count; i++) {
		char path[PATH_SIZE];
		struct stat st;

		make_path(path, &files[i]);
		files[i].marked = stat(path, &st) == 0 ? st.st_size : 0;
	}
}

void disk_tear(disk_chance *chance, void *arg)
{
	size_t known = count;

	scan();
	for (size_t i = known; i < count; i++)
		files[i].marked = 0;
	qsort(files, count, sizeof(files[0]), compare);
	for (size_t i = 0; i < count; i++)
		if (!files[i].is_ghost)
			cut(&files[i], files[i].marked, chance, arg);
}
