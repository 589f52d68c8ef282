/* SPDX-License-Identifier: MIT */
/* The journal of a worker: records that are written at the end of every turn, before anything leaves for a
 * peer, and made durable in groups when somebody waits for it (DESIGN, section 7). What is written outlives
 * the process, what is synced outlives the machine.
 *
 * A folder holds one file per worker, named after the start of the server (generation), the worker and a
 * number; a file that has grown is replaced by one that begins with all that still counts. */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct log_ctx;
struct worker;
struct journal;

struct journal_conf {
	const char *folder;
	unsigned generation;
	uint64_t file_bytes;       /* a file is replaced when it is larger, and much larger than at its beginning */
	unsigned sync_ms;          /* between the starts of two syncs */
};

/* What the owner of the records does; called on the worker. */
struct journal_events {
	/* A new file begins: write all that still counts. */
	void (*on_new_file)(void *arg);
	/* The records of a turn have been written, or could not be; before anything leaves for a peer. */
	void (*on_turn)(void *arg, bool is_written);
	/* Everything up to this place is durable. */
	void (*on_synced)(void *arg, uint64_t place);
};

/* Gives the records of all files in the folder, file by file in their order, each in the order in which it
 * was written. A file that ends in the middle is read up to there, and the log says so; one of another version of the
 * server is an error. *next: a generation that none has. Returns 0, or -ERR_IO. */
typedef void journal_record_cb(void *arg, unsigned type, const char *body, size_t len);
int journal_read_all(const char *folder, struct log_ctx *log, journal_record_cb *cb, void *arg, unsigned *next,
                     struct err_text *et);
/* Removes the files of earlier generations. */
void journal_remove_before(const char *folder, unsigned generation);

/* Opens the first file of a worker. arg and events stay the caller's. */
int journal_open(struct worker *w, const struct journal_conf *conf, const struct journal_events *events, void *arg,
                 struct journal **j, struct err_text *et);
/* Writes and syncs what is left, also what is noted on that occasion, and stops the thread. False: not all could
 * be written. */
bool journal_close(struct journal **j);

/* From now on nothing is written or told, as if the process had ended here; for simulations of crashes. */
void journal_abandon(struct journal *j);

/* A record of a type from 1 to 255: its body is added to the buffer between begin and end. journal_end returns
 * the place that must be synced for it to be durable. Own worker only. */
struct buf *journal_begin(struct journal *j, unsigned type);
uint64_t journal_end(struct journal *j);
/* Whether this turn has records. */
bool journal_has_records(const struct journal *j);
/* The end of a turn. */
void journal_write(struct journal *j);
/* Somebody waits for what has been recorded: it is synced soon. */
void journal_want_sync(struct journal *j);
/* The same for the journal of another worker. */
void journal_want_sync_of(struct journal *j);
/* Writes and syncs now, and waits for it; not while traffic goes on. Returns 0 or -ERR_IO. */
int journal_sync_now(struct journal *j);

/* The number of the worker's file, and the generation. */
unsigned journal_number(const struct journal *j, unsigned *generation);
/* True while what is recorded is lost. */
bool journal_is_failing(const struct journal *j);

/* Figures for comityctl stats. */
struct journal_stats {
	uint64_t bytes, writes, syncs, file_bytes;
	bool is_failing;
};
void journal_get_stats(const struct journal *j, struct journal_stats *stats);

#endif
