/* SPDX-License-Identifier: MIT */
/* Stream management of clients (XEP-0198): what a session has received and not acknowledged, and its life
 * without a stream until the client resumes it. Everything on the home of the account. */
#ifndef ROUTER_SESSION_SM_H
#define ROUTER_SESSION_SM_H

#include "router/account.h"
#include "router/copies.h"
#include "router/image.h"
#include "router/safe.h"

/* Stanzas of a client that may be under way to where they are safe; it is read no further then. */
#define SM_WINDOW 1024

/* The latest question for an acknowledgement, in milliseconds after what it is for. */
#define SM_ASK_MS 1000

struct comity_elem;

/* A stanza that was written; without one, as the journal could not give it back, it only counts. */
struct sm_item {
	struct session_sm *sm;
	struct list link;
	struct list unsynced;          /* in router->unsynced while the journal has yet to sync it */
	uint64_t place;                /* in the journal */
	struct comity_stanza *st;
	struct comity_jid *from, *to;
	struct safe *safe;             /* of a message: held until it is safe here */
	struct copies *copies;         /* what other sessions of the account got of it; NULL: nothing */
	struct list copy;              /* in copies->items */
	bool was_settled;              /* before the restart another client had it */
	bool is_written;               /* to a stream: the client may have it */
	bool is_repeat;                /* see struct comity_rq */
	bool is_stored;                /* a module has sent it from the store, and may wait for it */
	bool is_unlimited;             /* it was in the store, another session or an earlier journal, which are bounded */
	struct cause cause, stored;    /* see struct comity_rq */
	int64_t received_us;
	size_t size;                   /* for the limit */
	size_t bytes;                  /* of memory */
};

struct session_sm {
	struct comity_session *session;
	uint64_t key;                  /* in the journal; 0: it is not in it */
	char id[SM_ID_SIZE];
	bool can_resume, is_asked;

	/* What the client sends (session_in.c). Numbers wrap at 2^32 (XEP-0198 4). */
	uint32_t received;             /* stanzas that came; of those before the client came back, those that it was told */
	struct list coming;            /* those that are yet to be safe */
	struct list before;            /* those said before the client came back that are yet to be safe: they may come again */
	uint32_t before_count;
	uint32_t told;                 /* the last count that the journal could take */
	uint32_t told_before;          /* this turn */
	struct list telling;           /* in router->telling */
	struct list changed;           /* in router->changed */
	bool has_new_presence;         /* the journal is yet to be told */
	struct c2s *resuming;          /* a stream that waits for all of it to be safe; with a reference */
	uint32_t in;                   /* of these, how many are safe, without a gap: h */
	uint64_t done[SM_WINDOW / 64]; /* those behind a gap, by number */
	bool is_owed;                  /* the client asked when owed_for had come */
	uint32_t owed_for;
	struct timer owe;
	struct timer soon;             /* what must not happen amid the handling of something else */
	bool was_said;                 /* a count was given to the stream in this turn */
	bool is_restored;              /* since the last restart: what comes may have come before */
	bool is_stopped;               /* the client is read no further for now */
	struct image_handled *handled; /* those said before the restart or the client's return that are safe */
	size_t handled_count, handled_room;
	struct image_handled *ahead;   /* those said since that are safe, and not covered by a count in the journal */
	size_t ahead_count, ahead_room;

	/* What it is sent. */
	uint32_t acked;                /* of those sent, how many the client has */
	struct list unacked;
	uint32_t unacked_count;
	uint32_t stored_count;         /* of these, those that are is_stored */
	uint32_t limited_count;        /* of these, those that count against the limits */
	size_t limited_bytes;
	size_t unacked_bytes;          /* of memory, of all of them */
	uint32_t unwritten;            /* the last of them, that wait until something else is written */
	struct cause *seen;            /* of messages that it has got, and their senders may say again */
	size_t seen_count, seen_room;
	uint64_t max_ms;
	uint64_t asked_at;             /* for an acknowledgement, when is_asked */
	struct timer ask, expire;
};

/* An element of stream management on a stream that has logged in. */
void session_on_sm(struct c2s *c, const struct comity_elem *e);
/* A stanza as it stands in the journal. */
struct sent_text {
	const char *bytes;      /* borrowed until the next record of the journal; NULL: it is not in one */
	size_t len;
};

/* rq is written. False when too much waits: the session is over then. text may be NULL. */
bool session_sm_sent(struct comity_session *s, const struct comity_rq *rq, struct sent_text *text);
/* The stream is gone: true when the session stays for a while. */
bool session_suspend(struct comity_session *s);
/* A stream that wants to resume c->resume_id has arrived at the home of the account. */
void session_resume(struct comity_account *a, struct c2s *c);
/* The session is over: what was not acknowledged goes on as if it had not been bound. */
void session_sm_end(struct comity_session *s);
/* The same with a stanza that was kept for a session without stream management. Takes the request. */
void session_pass_on(struct comity_rq *rq);
/* The process ends: nothing goes on, the journal has it. */
void session_sm_forget(struct comity_session *s);
/* The server stops: a client that can resume is told what is safe and cut off, so that it comes back. False:
 * it cannot. */
bool session_sm_part(struct comity_session *s);

/* ---- between the files ---- */

struct session_sm *session_sm_new(struct comity_session *s);
void session_sm_watch_expiry(struct session_sm *sm, uint64_t ms);
/* Goes on with a resumption that has waited. */
void session_resume_now(struct session_sm *sm);
/* Adds an item behind the others; it owns it from then on. */
void session_sm_add(struct session_sm *sm, struct sm_item *item);
/* Lets go of what the client has; false when it claims more than was sent. */
bool session_sm_take_ack(struct session_sm *sm, uint32_t h);
void session_sm_fail_count(struct c2s *c, const struct session_sm *sm, uint32_t h);
/* count: what is known of a session that is over; NULL: nothing. */
void session_sm_refuse(struct c2s *c, const char *cond, const uint32_t *count);
/* Asks for an acknowledgement. */
void session_sm_ask(struct session_sm *sm);
/* The item is no longer one of those that wait. */
void session_sm_uncount(struct session_sm *sm, const struct sm_item *item);
/* Takes the oldest out; NULL when there is none. */
struct sm_item *session_sm_shift(struct session_sm *sm);
struct sm_item *sm_item_new(const struct comity_stanza *st, struct comity_jid *from, struct comity_jid *to);
void sm_item_free(struct sm_item *item, struct router *r);
void session_sm_say_count(struct session_sm *sm, struct c2s *c, const char *name, const char *previd);

/* Sessions that have ended, whose messages are still on their way (session_sm_end.c). */
void endings_write(struct router *r);

/* ---- what the client sends (session_in.c) ---- */

/* A stanza of the client has come as rq: from now on it holds what makes it count once it is safe. False: it has come
 * before, and is not handled again. */
bool session_in_take(struct comity_session *s, struct comity_rq *rq);
/* The client asks for the count. */
void session_in_ask(struct session_sm *sm);
/* The others only count for this process: what they asked for is not there after a restart. */
bool session_in_is_message(const struct image_handled *item);
/* The journal has the count that was told last. */
void session_in_counted(struct session_sm *sm);
/* False: something of what the client sent is still to be safe; c goes on when it is. */
bool session_in_settled(struct session_sm *sm, struct c2s *c);
/* The client has come back, and sends what it thinks is not handled. */
void session_in_resume(struct session_sm *sm);
void session_in_init(struct session_sm *sm);
void session_in_deinit(struct session_sm *sm);

/* ---- the journal (session_journal.c); all do nothing for a session that is not in it ---- */

/* All of the session, when stream management begins. */
void journal_session(struct comity_session *s);
/* The same as bytes; empty for a session that is not in the journal. */
struct buf journal_image_of(struct comity_session *s);
/* What modules keep, or its presence, has changed: written once when the turn ends; */
void journal_state(struct comity_session *s);
void journal_presence(struct comity_session *s);
/* or before, when it changed in this turn: of one, and of all. */
void journal_state_now(struct comity_session *s);
void journal_states(struct router *r);
/* Returns the stanza as it was written, borrowed until the next record; NULL: it was not. */
const char *journal_sent(struct session_sm *sm, struct sm_item *item, size_t *len);
/* All that waited has been written to a stream. */
void journal_written(struct session_sm *sm);
/* Another client has what this item is a copy of. */
void journal_settled(struct sm_item *item);
void journal_acked(struct session_sm *sm);
void journal_count(struct session_sm *sm);
void journal_handled(struct router *r, uint64_t key, const struct image_handled *item);
/* The same for a message of which copies are yet to be safe. */
void journal_handled_early(struct router *r, uint64_t key, const struct image_handled *item);
void journal_over(struct router *r, uint64_t key);
/* Of a session that is over: what stood at this place of its queue, from 0 on, has arrived elsewhere. */
void journal_passed(struct router *r, uint64_t key, uint32_t place);
void journal_ended(struct router *r, uint64_t key);
/* Syncs soon, on all workers: the client waits for what may be on any. */
void journal_hurry(struct router *r);
/* Messages that this session has got already, before the restart. */
void session_note_seen(struct session_sm *sm, const struct cause *cause);
/* What comes again is there already: the client has acknowledged it, or it waits for that. */
bool session_has_got(struct session_sm *sm, const struct comity_rq *rq);
bool session_has_seen(const struct session_sm *sm, const struct cause *cause);

#endif
