/* SPDX-License-Identifier: MIT */
/* Bytes held, by what they are held for. */
#include "base/tally.h"

#define TALLY_NAME(ID, NAME, HELP) NAME,
#define TALLY_HELP(ID, NAME, HELP) HELP,

static const char *const names[] = { TALLIES(TALLY_NAME) };
static const char *const helps[] = { TALLIES(TALLY_HELP) };

int64_t tally_get(const struct tally *t, enum tally_kind kind)
{
	return atomic_load_explicit(&t->bytes[kind], memory_order_relaxed);
}

const char *tally_name(enum tally_kind kind)
{
	return names[kind];
}

const char *tally_help(enum tally_kind kind)
{
	return helps[kind];
}
