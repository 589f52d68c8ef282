/* SPDX-License-Identifier: MIT */
/* Stream management between servers (XEP-0198): what was sent and not yet acknowledged, and resumption.
 * It is used on streams of one direction: there the initiating server has stanzas to keep and the receiving
 * one a count, so that nothing can overtake what is sent again. */
#ifndef STREAM_S2S_SM_H
#define STREAM_S2S_SM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct comity_elem;
struct s2s;
struct timer;
struct worker;

#define SM_ID_SIZE 33

/* Outlives its stream when that can be resumed. Counters wrap at 2^32 (XEP-0198 4). */
struct s2s_sm {
	unsigned refs;
	char *id;                      /* given by the receiving server; NULL: cannot be resumed */
	uint32_t received;             /* stanzas that came */
	struct list holds;             /* struct s2s_hold: those of them that are not yet safe, in their order */
	struct s2s *owed;              /* a stream that waits for a count to cover owed_for; borrowed */
	uint32_t owed_for;
	bool is_resuming;              /* the answer to <resume/> is what is owed */
	uint32_t acked;                /* of those sent, how many the peer has */
	struct list unacked;           /* struct s2s_sm_item, in their order */
	uint32_t unacked_count;
	bool is_asked;                 /* an answer to <r/> is awaited, since asked_at */
	uint64_t asked_at;
};

/* One stanza of the router that waits for its acknowledgement. */
struct s2s_sm_item {
	struct list link;
	void *token;
};

/* A stanza that came and is not yet safe, embedded in what waits for that. */
struct s2s_hold {
	struct list link;
	struct s2s_sm *sm;             /* with a reference */
	uint32_t number;
};

struct s2s_sm *sm_new(void);
/* Gives a reference back; with the last one unacked must be empty. */
void sm_free(struct s2s_sm *sm);
/* The stanza that has just come does not count before sm_let_go(). False: nobody counts on this stream. */
bool sm_hold(struct s2s *s, struct s2s_hold *hold);
void sm_let_go(struct s2s_hold *hold);
/* The oldest unacknowledged token, taken out; NULL when there is none. */
void *sm_shift(struct s2s_sm *sm);

/* Keeps the token of a stanza that has been written. */
void sm_note_sent(struct s2s *s, void *token);
/* Counts a stanza that came. */
void sm_note_received(struct s2s *s);
/* The stream is gone, and waits for nothing more. */
void sm_forget_stream(struct s2s *s);
/* Receiving: tells before the stream ends what was handled, so that it is not sent again. */
void sm_say_handled(struct s2s *s);
/* Of a stream of theirs: nothing more is read; something came that is not safe yet. */
void sm_hush(struct s2s *s);
bool sm_is_unsafe(const struct s2s *s);
/* Milliseconds until the peer must have acknowledged; UINT64_MAX when it need not, 0 when it is late. */
uint64_t sm_patience(const struct s2s *s, uint64_t now);
/* Asks for an acknowledgement when something waits for one and none is asked for. */
void sm_ask(struct s2s *s);
/* For the timer of the stream that sm_note_sent() starts. */
void sm_on_timer(struct worker *w, struct timer *t);
/* Initiating, when the pair is proved: resumes what sm tells of (NULL: nothing), or enables it anew; takes
 * sm. shared->managed follows, at once when the peer does not offer it. */
void sm_begin(struct s2s *s, struct s2s_sm *sm);
bool sm_on_element(struct s2s *s, const struct comity_elem *e);

#endif
