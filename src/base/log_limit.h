/* SPDX-License-Identifier: MIT */
/* How many lines the log takes of what peers can cause at will, so that nobody fills a disk with them. */
#ifndef BASE_LOG_LIMIT_H
#define BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

/* Lines at once, as when all clients come back after a restart; and lines a second for ever. */
#define LOG_LIMIT_BURST 5000
#define LOG_LIMIT_PER_S 500

/* Zeroed nothing has been written yet. Not locked. */
struct log_limit {
	uint64_t used;         /* thousandths of a line, of the burst */
	uint64_t at_ms;        /* when that was so */
	uint64_t left_out;     /* lines since the last that was written */
};

/* Whether one more line may be written. If so, *left_out says how many were left out before it, which the log should
 * tell. Once a line is left out so are all for about a second, lest that be told for every other line. */
bool log_limit_take(struct log_limit *l, uint64_t now_ms, uint64_t *left_out);

#endif
