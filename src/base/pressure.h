/* SPDX-License-Identifier: MIT */
/* How short memory is, and what is given up for it: the cheap and recoverable first (DESIGN, section 6). */
#ifndef BASE_PRESSURE_H
#define BASE_PRESSURE_H

#include <stdatomic.h>
#include <stdint.h>

/* Each level gives up what those before it do, too. */
enum pressure_level {
	PRESSURE_NONE,
	PRESSURE_LOGINS,       /* new connections and logins are refused */
	PRESSURE_PRESENCE,     /* presence is not passed on; what was held back is made good afterwards */
	PRESSURE_MESSAGES,     /* whatever is new to others is refused, and streams are read slowly */
	PRESSURE_LEVELS
};

/* What every peer is told that is refused for it. */
#define PRESSURE_TEXT "the server is short of memory, try again later"
/* At the last level a stream rests so long after each piece that was read. */
#define PRESSURE_READ_PAUSE_MS 200

/* Written by the thread that measures, read by any. */
struct pressure {
	_Atomic int level;
	_Atomic uint64_t used, limit;   /* bytes; limit 0: not measured yet */
};

/* The level that follows from now on. One is entered at a part of the limit, and left only well below it. */
enum pressure_level pressure_judge(enum pressure_level now, uint64_t used, uint64_t limit);
/* What a level means, for logs. */
const char *pressure_describe(enum pressure_level level);

#endif
