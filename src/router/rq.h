/* SPDX-License-Identifier: MIT */
/* The request: one stanza in flight. */
#ifndef ROUTER_RQ_H
#define ROUTER_RQ_H

#include "router/image.h"
#include "router/router.h"
#include "router/safe.h"
#include "xmpp/stanza.h"

struct comity_rq {
	unsigned refs;                   /* of one worker at a time */
	struct router *router;
	struct comity_stanza *st;
	struct comity_jid *from, *to;    /* NULL: none written */
	struct comity_session *session;  /* sender on this worker; with a reference */
	struct comity_account *account;  /* whose handlers run; with a reference */
	struct c2s *stream;              /* before login; with a reference */
	struct backlog *backlog;         /* of the connection that it came on; NULL: it is not counted there */
	struct xml_doc *stamps;          /* its root's children go behind the content; NULL: none */
	int64_t received_us;
	struct host *host;               /* whose hooks run */
	enum comity_point point;
	size_t next_hook;
	struct mail mail;                /* on the way to another worker */
	struct list link;                /* waiting for an account to load */
	enum tally_kind counted_as;      /* where its bytes are counted, of the worker that has it */
	size_t bytes;
	bool is_again;                   /* see comity_rq_is_again() */
	bool is_to_implied;              /* the sender gave no 'to' */
	bool is_stored;                  /* a module had it in the store for this session */
	bool has_reached;                /* a session, or what stands for one */
	uint32_t seen;                   /* presence of another server: see link_note_presence(); 0: not remembered */
	bool is_unasked, was_unasked;    /* see comity_rq_set_unasked(); as is remembered */
	bool is_caused_by_others;        /* to another server: no user here has sent it, or has it sent for him */
	bool is_repeat;                  /* it may have come before the last restart, too */
	struct safe *safe;               /* held until it is safe; with a reference, may be NULL */
	struct copies *copies;           /* what sessions of one account get of it; with a reference, may be NULL */
	struct cause cause;              /* of a message: what its sender may say again */
	struct cause stored;             /* what a module had it in the store as */
};

/* Consumes st; from and to are borrowed and may be NULL. What is made while another request is handled is not
 * over before that one is: it shares its safe and cause. */
struct comity_rq *rq_new(struct router *r, struct comity_stanza **st, struct comity_jid *from, struct comity_jid *to);
void rq_set_session(struct comity_rq *rq, struct comity_session *s);
void rq_set_account(struct comity_rq *rq, struct comity_account *a);
/* Consumes safe, which takes the place of another. */
void rq_set_safe(struct comity_rq *rq, struct safe *safe);
/* A request that came on this connection, which is read no further when too many are yet to be answered here. */
void rq_set_conn(struct comity_rq *rq, struct conn *c, unsigned max);
/* Its bytes are counted as those of another kind from now on. */
void rq_count_as(struct comity_rq *rq, enum tally_kind kind);
/* Frees what belongs to this worker, before the request goes to another. */
void rq_detach(struct comity_rq *rq);
/* Its handlers run from here to rq_end(), which gets what rq_begin() returned. */
static inline struct comity_rq *rq_begin(struct comity_rq *rq)
{
	struct comity_rq *outer = rq->router->current;

	rq->router->current = rq;
	return outer;
}

/* The same for what has nothing to do with the request that is handled now. */
static inline struct comity_rq *rq_begin_other(struct router *r)
{
	struct comity_rq *outer = r->current;

	r->current = NULL;
	return outer;
}

static inline void rq_end(struct router *r, struct comity_rq *outer)
{
	r->current = outer;
}

/* Ends a request with an error for its sender, by the rules of RFC 6120 8.3; does not release it. */
void rq_refuse(struct comity_rq *rq, enum comity_cond cond, const char *text);

#endif
