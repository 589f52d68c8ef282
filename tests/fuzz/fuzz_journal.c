/* SPDX-License-Identifier: MIT */
/* Sessions come back from any journal without a fault, and what comes back can be written and read again. The
 * first byte of the input says whether the rest is a file, or records with a type of one byte and a length of two. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "router/image.h"
#include "store/journal_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void ignore_line(struct log *log, enum log_level level, const char *line)
{
	(void)log, (void)level, (void)line;
}

/* ---- reading ---- */

/* As a file, with the checksums of its frames mended: chance does not find them. */
static void mend(char *bytes, size_t len)
{
	size_t at = sizeof(JOURNAL_MAGIC) - 1;
	struct journal_frame frame;

	while (len >= at && len - at >= sizeof(frame)) {
		memcpy(&frame, bytes + at, sizeof(frame));
		if (frame.len > len - at - sizeof(frame))
			return;
		/* A bit of it stays wrong when it was odd, so that bad ones are seen as well. */
		frame.check = journal_check(bytes + at + sizeof(frame), frame.len) ^ (frame.check & 1);
		memcpy(bytes + at, &frame, sizeof(frame));
		at += sizeof(frame) + frame.len;
	}
}

static void write_file(const char *path, const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	check(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

static void take_file(struct images *images, const uint8_t *data, size_t size)
{
	char folder[] = "/tmp/fuzz_journal.XXXXXX", path[64], *bytes = malloc(size + 1);
	struct log log = { .write = ignore_line };
	struct log_ctx ctx = { .log = &log };
	struct err_text et;
	unsigned next;

	memcpy(bytes, data, size);
	mend(bytes, size);
	check(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/" JOURNAL_NAME_FORMAT, folder, 7u, 0u, 1u);
	write_file(path, bytes, size);
	/* Only one of another version is refused, and it is not removed. */
	if (journal_read_all(folder, &ctx, images_take, images, &next, &et) != 0)
		check(strstr(et.text, "another version") != NULL && access(path, F_OK) == 0);
	check(next == 8);
	journal_remove_before(folder, next);
	check(rmdir(folder) == 0);
	free(bytes);
}

/* Each record in a block of its own size, so that a byte read behind it is seen. */
static void take_records(struct images *images, const uint8_t *data, size_t size)
{
	while (size >= 3) {
		size_t told = data[1] + 256u * data[2], len = told < size - 3 ? told : size - 3;
		char *body = malloc(len + (len == 0));

		memcpy(body, data + 3, len);
		images_take(images, data[0], body, len);
		free(body);
		data += 3 + len;
		size -= 3 + len;
	}
}

/* ---- writing again ---- */

static void check_same(const struct image *i)
{
	struct images again = { 0 };
	struct buf body = { 0 }, other = { 0 };
	struct image *read;
	size_t pos = 0;

	image_write(&body, i);
	images_take(&again, RECORD_SESSION, buf_bytes(&body), buf_size(&body));
	check(again.damaged == 0);
	read = map_next(&again.by_key, &pos);
	check(read != NULL && read->key == i->key);
	image_write(&other, read);
	check(buf_size(&body) == buf_size(&other) &&
	      memcmp(buf_bytes(&body), buf_bytes(&other), buf_size(&body)) == 0);
	images_deinit(&again);
	buf_deinit(&body);
	buf_deinit(&other);
}

static void take_image(void *arg, struct image *i)
{
	(void)arg;
	check(i->account != NULL && i->resource != NULL && strlen(i->id) <= SM_ID_SIZE - 1);
	check(i->first <= i->item_count && i->item_count <= i->item_room);
	check_same(i);
	image_free(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct images images = { 0 };

	if (size == 0)
		return 0;
	if (data[0] % 2 == 0)
		take_file(&images, data + 1, size - 1);
	else
		take_records(&images, data + 1, size - 1);
	images_settle(&images);
	images_give(&images, take_image, NULL);
	images_deinit(&images);
	return 0;
}
