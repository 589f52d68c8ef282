/* SPDX-License-Identifier: MIT */
/* What has to happen once a stanza is safe (DESIGN, section 7): everybody who still has to deliver it, write it
 * down or answer it holds a reference; when the last is gone, its home is told. */
#ifndef ROUTER_SAFE_H
#define ROUTER_SAFE_H

#include <stdbool.h>

#include "net/worker.h"

struct router;

struct safe {
	_Atomic unsigned refs;
	struct worker *home;
	struct mail mail;
	/* On the worker where the last reference was dropped; may be NULL. */
	void (*released)(struct safe *safe, struct router *r);
	/* On the home, afterwards; frees it. was_away: the last reference was another worker's. */
	void (*done)(struct safe *safe, struct router *r, bool was_away);
};

/* With one reference. */
void safe_init(struct safe *s, struct worker *home, void (*done)(struct safe *safe, struct router *r, bool was_away));
/* s may be NULL in both. r: of the worker that calls. */
struct safe *safe_ref(struct safe *s);
void safe_unref(struct safe *s, struct router *r);
/* True when others hold it, too. */
bool safe_is_shared(const struct safe *s);
/* Notes in this turn, for after a crash, that the stanza has arrived, if copies of it are yet to be safe; s may be
 * NULL. */
void safe_note(struct safe *s, struct router *r);

#endif
