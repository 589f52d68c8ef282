/* SPDX-License-Identifier: MIT */
/* How short memory is, and what is given up for it. */
#include "base/pressure.h"

/* Parts of the limit at which a level is entered and left. */
static const struct {
	unsigned enter, leave;     /* percent */
	const char *meaning;
} levels[] = {
	[PRESSURE_NONE] = { 0, 0, "nothing is refused" },
	[PRESSURE_LOGINS] = { 80, 75, "new connections and logins are refused" },
	[PRESSURE_PRESENCE] = { 90, 85, "new connections are refused and presence is held back" },
	[PRESSURE_MESSAGES] = { 97, 92, "new connections and messages are refused and presence is held back" },
};

enum pressure_level pressure_judge(enum pressure_level now, uint64_t used, uint64_t limit)
{
	uint64_t percent = limit != 0 ? used * 100 / limit : 0;
	enum pressure_level level = now;

	while (level < PRESSURE_MESSAGES && percent >= levels[level + 1].enter)
		level++;
	while (level > PRESSURE_NONE && percent < levels[level].leave)
		level--;
	return level;
}

const char *pressure_describe(enum pressure_level level)
{
	return levels[level].meaning;
}
