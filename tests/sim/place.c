/* SPDX-License-Identifier: MIT */
/* The file as it was synced, beside the file as it is. */
#include "place.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

struct content {
	char *bytes;
	size_t size;
};

static char file[400];
static struct content synced;
static bool is_named;           /* the folder has it on the disk, or still has it */

int __real_unlink(const char *path);

void place_watch(const char *path)
{
	if (strlen(path) >= sizeof(file))
		abort();
	snprintf(file, sizeof(file), "%s", path);
}

static bool exists(struct stat *st)
{
	return file[0] != '\0' && stat(file, st) == 0;
}

bool place_is(int fd)
{
	struct stat st, its;

	return exists(&its) && fstat(fd, &st) == 0 && st.st_ino == its.st_ino && st.st_dev == its.st_dev;
}

bool place_has_path(const char *path)
{
	return strcmp(path, file) == 0;
}

static struct content read_file(void)
{
	struct content c = { 0 };
	struct stat st;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0)
		abort();
	c.size = (size_t)st.st_size;
	c.bytes = mem_new(c.size + 1);
	if (read(fd, c.bytes, c.size) != (ssize_t)c.size)
		abort();
	close(fd);
	return c;
}

static void write_file(const struct content *c)
{
	FILE *f = fopen(file, "w");

	if (f == NULL || fwrite(c->bytes, 1, c->size, f) != c->size || fclose(f) != 0)
		abort();
}

static void forget(void)
{
	free(synced.bytes);
	synced = (struct content){ 0 };
}

void place_sync(void)
{
	forget();
	synced = read_file();
}

void place_sync_folder(void)
{
	struct stat st;

	is_named = exists(&st);
	if (!is_named)
		forget();
}

/* Of what has changed, a part has reached the disk: mostly the first. */
static void mix(struct content *now, disk_chance *chance, void *arg)
{
	size_t least = now->size < synced.size ? now->size : synced.size, from = 0, to = least, cut;
	bool is_last = chance(arg, 8) == 0;

	while (from < to && now->bytes[from] == synced.bytes[from])
		from++;
	while (to > from && now->bytes[to - 1] == synced.bytes[to - 1])
		to--;
	cut = from + chance(arg, (uint32_t)(to - from) + 1);
	cut = cut / SECTOR * SECTOR > from ? cut / SECTOR * SECTOR : from;
	if (from == to)
		cut = to;
	else if (is_last)
		memcpy(now->bytes + from, synced.bytes + from, cut - from);
	else
		memcpy(now->bytes + cut, synced.bytes + cut, to - cut);
	if (now->size > synced.size)
		now->size = synced.size + chance(arg, (uint32_t)(now->size - synced.size) + 1);
}

void place_lose_power(disk_chance *chance, void *arg)
{
	struct content now;
	struct stat st;

	if (!exists(&st)) {
		if (is_named && chance(arg, 2) == 0)
			write_file(&synced);
	} else if (!is_named && chance(arg, 2) == 0) {
		__real_unlink(file);
	} else {
		now = read_file();
		mix(&now, chance, arg);
		write_file(&now);
		free(now.bytes);
	}
	forget();
	is_named = exists(&st);
	if (is_named)
		synced = read_file();
}

void place_reset(void)
{
	struct stat st;

	if (exists(&st))
		__real_unlink(file);
	forget();
	is_named = false;
}
