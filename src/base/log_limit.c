/* SPDX-License-Identifier: MIT */
/* How many lines the log takes of what peers can cause at will. */
#include "base/log_limit.h"

#define LINE 1000u   /* thousandths of a line, so that a millisecond is worth LOG_LIMIT_PER_S of them */

static void give_back(struct log_limit *l, uint64_t now_ms)
{
	uint64_t passed = now_ms > l->at_ms ? now_ms - l->at_ms : 0;

	l->used = passed < l->used / LOG_LIMIT_PER_S ? l->used - passed * LOG_LIMIT_PER_S : 0;
	l->at_ms += passed;
}

bool log_limit_take(struct log_limit *l, uint64_t now_ms, uint64_t *left_out)
{
	unsigned room = l->left_out != 0 ? LOG_LIMIT_PER_S : 1;

	give_back(l, now_ms);
	if (l->used + (uint64_t)room * LINE > (uint64_t)LOG_LIMIT_BURST * LINE) {
		l->left_out++;
		return false;
	}
	l->used += LINE;
	*left_out = l->left_out;
	l->left_out = 0;
	return true;
}
