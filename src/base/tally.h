/* SPDX-License-Identifier: MIT */
/* Bytes held, by what they are held for; one set per worker, summed when read. */
#ifndef BASE_TALLY_H
#define BASE_TALLY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* One row per kind: identifier, name that administrators see, meaning. What is shared counts for each that holds it,
 * as if it were alone. */
#define TALLIES(X) \
	X(CONNECTIONS, "connections", "connections with their TLS sessions") \
	X(INPUT, "input", "streams, their parsers, and input that is not used up") \
	X(OUTPUT, "output", "bytes that wait for peers to read them") \
	X(SESSIONS, "sessions", "sessions, and what modules keep for them") \
	X(UNACKED, "unacknowledged", "stanzas that clients have not acknowledged") \
	X(ACCOUNTS, "accounts", "accounts in memory, and what modules keep for them") \
	X(NAMES, "names", "answers of name servers") \
	X(STANZAS, "stanzas", "stanzas on their way, or waiting for an account or a worker") \
	X(REMOTE, "remote", "stanzas that wait for other servers, or for their acknowledgement") \
	X(PRESENCE, "presence", "whom of other servers users see as available")

#define TALLY_ENUM(ID, NAME, HELP) TALLY_##ID,
enum tally_kind { TALLIES(TALLY_ENUM) TALLY_COUNT };
#undef TALLY_ENUM

/* Written by one worker, read by any thread. What moves is added on one worker and taken off on another, so that
 * only the sum over all of them is a number of bytes. */
struct tally {
	_Atomic int64_t bytes[TALLY_COUNT];
};

static inline void tally_add(struct tally *t, enum tally_kind kind, ptrdiff_t bytes)
{
	/* One writer: no locked addition is needed. */
	int64_t old = atomic_load_explicit(&t->bytes[kind], memory_order_relaxed);

	atomic_store_explicit(&t->bytes[kind], old + bytes, memory_order_relaxed);
}

/* What is counted in *counted becomes now. */
static inline void tally_set(struct tally *t, enum tally_kind kind, size_t *counted, size_t now)
{
	if (*counted == now)
		return;
	tally_add(t, kind, (ptrdiff_t)now - (ptrdiff_t)*counted);
	*counted = now;
}

int64_t tally_get(const struct tally *t, enum tally_kind kind);
const char *tally_name(enum tally_kind kind);
const char *tally_help(enum tally_kind kind);

#endif
