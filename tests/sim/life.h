/* SPDX-License-Identifier: MIT */
/* A server that ends and starts again in this process: by a stop, by a crash, by loss of power. */
#ifndef TESTS_SIM_LIFE_H
#define TESTS_SIM_LIFE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "faults.h"
#include "sim_internal.h"

/* How the server ends when nobody stops it: nothing it does afterwards is seen by anyone. */
enum death {
	DEATH_NONE,
	DEATH_SENDING,      /* after so many bytes of a turn have left for clients */
	DEATH_WRITING,      /* in the middle of a turn's frame in the journal */
	DEATH_STORING,      /* or of one in the log of the store */
};

/* One in so many allocations fails, where they do. */
#define MEMORY_FAILS 100

struct life {
	uint64_t stored_before;      /* what the store had when the last server started */
	uint64_t notes;              /* starts after which the journal knew of more than that */
	struct sim *sim;
	char *folder;                  /* of the store; the journal has a folder of its own in it */
	char *journal;
	uint32_t (*chance)(void *arg, uint32_t below);
	void *arg;                     /* of chance */
	unsigned workers;
	uint64_t file_bytes;           /* of the journal; see struct journal_conf */
	unsigned sync_ms;
	size_t log_bytes;              /* of the log of the store */
	enum death death;              /* what is to come; */
	unsigned countdown;            /* of sends, or of frames */
	unsigned failing;              /* so many of the next transactions of the store fail */
	unsigned fails_one_in;         /* of its calls; 0: none */
	struct faults memory;          /* of SQLite and c-ares */
	bool is_up;                    /* there is a server, perhaps a dead one */
	bool is_dead;
	bool is_damaged;               /* the journal gave records that made no sense */
	bool is_full;                  /* the disk: what is written to the store may be refused, and to the journal fails */
	bool has_forgotten;            /* the last end took with it what could not be written */
	uint64_t lanes;                /* chance: whether a turn has time for them */
	void (*on_refused)(void *arg, const char *xml, size_t len); /* a message that the store had no room for */
};

/* Once per process; the file of the store is kept, and emptied by life_reset(). folder is where it may make one. */
void life_init(struct life *l, const char *module_dir, const char *folder);
void life_deinit(struct life *l);
/* Before a seed: nothing is left of the one before. accounts ends with NULL. */
void life_reset(struct life *l, uint32_t seed, const char *const *accounts);

/* Starts the server and gives it its sessions back. With crash_after below the number of workers it dies when
 * so many of them have their journal, with just that number before the old ones are removed. */
void life_start(struct life *l, unsigned crash_after);
/* First half of a stop: clients are told. */
void life_part(struct life *l);
/* The disk has room for so many bytes of the journal, and the store finds none now and then. */
void life_fill_disk(struct life *l, size_t room);
void life_make_room(struct life *l);
/* No trouble any more: room on the disk, a store that works, memory. */
void life_heal(struct life *l);
/* From now on nothing gets out. */
void life_die(struct life *l);
/* The rest of a stop, or the burial of a dead server. */
void life_end(struct life *l);

/* One turn of a worker; one step of the store. False: there was nothing to do. */
bool life_turn(struct life *l, unsigned worker);
bool life_store(struct life *l, bool writes);

/* As recv() of a socket that does not block: takes from those of the bytes that have arrived. Behind them all may be
 * over. */
ssize_t life_recv(struct buf *up, size_t arrived, bool is_over, void *bytes, size_t room);

#endif
