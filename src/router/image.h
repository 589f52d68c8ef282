/* SPDX-License-Identifier: MIT */
/* Sessions as the journal knows them: the records, and what they add up to when they are read again. Nothing
 * here touches the living; all of it is fed with what a disk gave back. */
#ifndef ROUTER_IMAGE_H
#define ROUTER_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"

#define SM_ID_SIZE 33

/* Causes that are remembered of a session. */
#define SESSION_SEEN_MAX 1024

enum record_type {
	RECORD_SESSION = 1,   /* all of a session; replaces what was known of it */
	RECORD_PRESENCE,      /* its presence, which has changed */
	RECORD_SENT,          /* a stanza for its client */
	RECORD_ACKED,         /* the client has so many */
	RECORD_COUNT,         /* so many of its own were handled, which it may be told from now on */
	RECORD_HANDLED,       /* one of its stanzas is safe, which it may not have been told */
	RECORD_WRITTEN,       /* all that was kept for the client has been written to a stream */
	RECORD_SETTLED,       /* another client of the account has a message */
	RECORD_OVER,          /* it has ended; what it had for its client is on its way elsewhere */
	RECORD_END,           /* and has arrived there */
	RECORD_FILE,          /* the beginning of a worker's file */
	RECORD_WHOLE,         /* all that counts of its earlier files has been written to this one */
	RECORD_PASSED,        /* of a session that has ended: one stanza has arrived elsewhere */
	RECORD_STORED,        /* what the store got up to an id, and was asked for by this worker, is noted */
	RECORD_KEPT,          /* one of the texts that modules keep, which has changed or is not kept any more */
};

/* What a message is known by: to its sender, who may say it again after a restart, the session that sent it and a hash
 * of what makes it this one; a sender without stream management does not, and it has a key of the router and a number
 * for a hash, and no number of the sender's. All zero: it is not known. The number that the sender counts it by is
 * not always the same again. */
struct cause {
	uint64_t key, hash;
	uint64_t number;
};

#define CAUSE_IDENTITY (2 * sizeof(uint64_t))

enum image_flag {
	IMAGE_SETTLED = 1,    /* another client of the account has it */
	IMAGE_WRITTEN = 2,    /* to a stream, so that the client may have it */
	IMAGE_STORED = 4,     /* a module had it in the store */
};

struct image_text {
	char *module, *key, *value;
};

struct image_item {
	struct cause cause, stored;
	int64_t received_us;
	unsigned flags;       /* enum image_flag, or-ed */
	char *xml;            /* NULL: it only counts */
	size_t len;
};

/* A stanza of the client's that is safe; in the journal only messages are. When the client comes back it may leave some out that the count did not cover:
 * then those behind have lower numbers. */
struct image_handled {
	uint32_t number;
	uint64_t hash;        /* odd: of a message; in memory it may be of a request, or 0: not known (session_in.c) */
};

/* Where a session was read: sessions that a worker's later file does not have are over. */
struct image_file {
	uint32_t generation, worker, number;
};

struct image {
	struct list link;
	uint64_t key;
	struct image_file file;
	char *account, *resource;
	char id[SM_ID_SIZE];
	bool can_resume;
	uint32_t in, acked;
	uint64_t max_ms;
	uint64_t due_ms;               /* when it is over unless resumed */
	char *presence;                /* XML; NULL: not available */
	int64_t presence_us;
	struct image_text *texts;
	size_t text_count;
	struct image_item *items;      /* from first on */
	size_t first, item_count, item_room;
	struct cause *seen;            /* of messages that the client has acknowledged; the newest SESSION_SEEN_MAX */
	size_t seen_count, seen_room;
	struct image_handled *handled;
	size_t handled_count;
};

/* In place of the length of a text: there is none. */
#define RECORD_NO_TEXT UINT32_MAX

/* ---- writing: bodies of records (image_write.c) ---- */

void record_u32(struct buf *out, uint32_t n);
void record_u64(struct buf *out, uint64_t n);
/* The body of RECORD_FILE. */
void record_file(struct buf *out, const struct image_file *file);
/* NULL is kept apart from "". */
void record_text(struct buf *out, const char *text, size_t len);
void record_str(struct buf *out, const char *text);
/* The body of RECORD_SESSION. */
void image_write(struct buf *out, const struct image *i);
/* The body of RECORD_PRESENCE behind the key, and a part of RECORD_SESSION. xml may be NULL. */
void image_write_presence(struct buf *out, const char *xml, int64_t us);
/* The body of RECORD_KEPT behind the key, and a part of RECORD_SESSION. In the former its value may be NULL. */
void image_write_kept(struct buf *out, const struct image_text *t);
/* The body of RECORD_HANDLED behind the key, and a part of RECORD_SESSION. */
void image_write_handled(struct buf *out, const struct image_handled *item);
/* The body of RECORD_SENT behind the key, and a part of RECORD_SESSION. xml is what was added to out between
 * begin and end. */
size_t image_begin_item(struct buf *out, const struct cause *cause, const struct cause *stored, int64_t received_us,
                        unsigned flags);
void image_end_item(struct buf *out, size_t mark, bool has_xml);

/* ---- reading ---- */

struct images {
	struct map by_key;             /* struct image */
	struct map handled;            /* what is told of sessions, by key */
	struct image_file file;        /* that is being read */
	uint64_t stored;               /* up to that id it notes all that was stored; 0: it does not say so */
	uint64_t all_stored;           /* the least of the files before; meaningless before has_files */
	bool has_files, is_in_file;
	size_t damaged;                /* records that made no sense */
};

/* Takes a record; for journal_read_all(). */
void images_take(void *images, unsigned type, const char *body, size_t len);
/* Up to which id the journal knows of all that is in the store; 0: it does not say. When all are read. */
uint64_t images_stored(const struct images *images);
/* A message of a session is safe; one without a number of the sender's is not counted. */
void images_note_handled(struct images *images, const struct cause *cause);
/* It has gone another way, and only counts from now on. */
void image_item_pass(struct image_item *item);
/* When all are read: gives each session what is told of it, and forgets the rest. */
void images_settle(struct images *images);
/* Gives all of them away. */
void images_give(struct images *images, void (*take)(void *arg, struct image *i), void *arg);
void images_deinit(struct images *images);
void image_free(struct image *i);

#endif
