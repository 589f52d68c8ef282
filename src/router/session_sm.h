/* SPDX-License-Identifier: MIT */
/* Stream management of clients (XEP-0198): what a session has received and not acknowledged, and its life
 * without a stream until the client resumes it. Everything on the home of the account. */
#ifndef ROUTER_SESSION_SM_H
#define ROUTER_SESSION_SM_H

#include "router/account.h"

#define SM_ID_SIZE 33

struct comity_elem;

/* A stanza that was written; without one it only counts. */
struct sm_item {
	struct list link;
	struct comity_stanza *st;
	struct comity_jid *from, *to;
	int64_t received_us;
	size_t size;
};

struct session_sm {
	struct comity_session *session;
	char id[SM_ID_SIZE];
	bool can_resume, is_asked;
	uint32_t in;                   /* stanzas of the client that were handled; wraps (XEP-0198 4) */
	uint32_t acked;                /* of those sent, how many the client has */
	struct list unacked;
	uint32_t unacked_count;
	size_t unacked_bytes;
	uint64_t max_ms;
	struct timer ask, expire;
};

/* An element of stream management on a stream that has logged in. */
void session_on_sm(struct c2s *c, const struct comity_elem *e);
/* The client's stanza has been handled. */
void session_sm_handled(struct comity_session *s);
/* rq has been written, or (NULL) a stanza that the stream made itself. False when too much waits: the session
 * is over then. */
bool session_sm_sent(struct comity_session *s, const struct comity_rq *rq);
/* The stream is gone: true when the session stays for a while. */
bool session_suspend(struct comity_session *s);
/* A stream that wants to resume c->resume_id has arrived at the home of the account. */
void session_resume(struct comity_account *a, struct c2s *c);
/* The session is over: what was not acknowledged goes on as if it had not been bound. */
void session_sm_end(struct comity_session *s);

#endif
