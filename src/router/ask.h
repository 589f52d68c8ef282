/* SPDX-License-Identifier: MIT */
/* Questions of the server itself: an iq to another entity, and its answer, or none in time. */
#ifndef ROUTER_ASK_H
#define ROUTER_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "comity/stanza.h"

struct ask;
struct asks;
struct router;

/* answer: the iq of type result or error, borrowed; NULL: none came in time. Called once, on the worker that
 * asked, never out of ask_send(). */
typedef void ask_cb(void *arg, const struct comity_rq *answer);

/* Once per worker. */
struct asks *asks_new(struct router *r);
/* On the worker: all that is asked ends without an answer, and no more can be asked. */
void asks_stop(struct asks *a);
void asks_free(struct asks *a);

/* Sends an iq from one of our hosts, under an id that nobody can guess; consumes it. NULL when too much is asked
 * already: nothing was sent, and cb will not be called. */
struct ask *ask_send(struct router *r, struct comity_jid *from, struct comity_jid *to, struct comity_stanza **st,
                     uint64_t timeout_ms, ask_cb *cb, void *arg);
/* The answer is not wanted any more; cb will not be called. Not after it was. */
void ask_cancel(struct router *r, struct ask *ask);
/* Takes an answer that came for a host, on any worker, and consumes it; false: it is none that was asked for. */
bool ask_take(struct router *r, struct comity_rq *rq);

/* What the error of an answer says; "" when it says nothing. */
const char *ask_error_text(const struct comity_rq *answer);
/* The name of its condition; "" when it has none. */
const char *ask_error_name(const struct comity_rq *answer);

#endif
