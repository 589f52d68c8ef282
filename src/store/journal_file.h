/* SPDX-License-Identifier: MIT */
/* What a journal's file is made of: a magic, then frames of one turn each, with a checksum, in which the
 * records stand. Numbers are those of the machine: a journal does not travel. */
#ifndef STORE_JOURNAL_FILE_H
#define STORE_JOURNAL_FILE_H

#include "store/journal.h"

/* Followed by the number of the format: it is another whenever a record means something else than before. */
#define JOURNAL_MAGIC_NAME "comity journal "
#define JOURNAL_MAGIC JOURNAL_MAGIC_NAME "2\n"
/* Generation, worker, number. */
#define JOURNAL_NAME_FORMAT "journal-%08x-%04x-%08x"

struct journal_frame {
	uint32_t len;
	uint32_t check;
};

struct journal_record {
	uint32_t type, len;
};

/* The checksum of a frame's records. */
uint32_t journal_check(const void *bytes, size_t len);
/* Makes the names of the files in it durable. Returns minus an errno. */
int journal_sync_folder(const char *folder);

#endif
