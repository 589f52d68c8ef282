/* SPDX-License-Identifier: MIT */
/* Stanzas, and the request that carries one through the server. */
#ifndef COMITY_STANZA_H
#define COMITY_STANZA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comity/elem.h"
#include "comity/jid.h"

#pragma GCC visibility push(default)

struct comity_account;
struct comity_mod;
struct comity_session;

/* A stanza: built by one, then immutable, reference-counted and shared. */
struct comity_stanza;
/* One stanza in flight: the stanza, its addresses and what was added on the way. Belongs to the
 * worker it is on. */
struct comity_rq;

enum comity_kind { COMITY_MESSAGE = 1, COMITY_PRESENCE = 2, COMITY_IQ = 4 };

enum comity_type {
	COMITY_TYPE_NONE,
	COMITY_TYPE_ERROR,
	/* message */
	COMITY_TYPE_NORMAL,
	COMITY_TYPE_CHAT,
	COMITY_TYPE_GROUPCHAT,
	COMITY_TYPE_HEADLINE,
	/* presence */
	COMITY_TYPE_AVAILABLE,
	COMITY_TYPE_UNAVAILABLE,
	COMITY_TYPE_SUBSCRIBE,
	COMITY_TYPE_SUBSCRIBED,
	COMITY_TYPE_UNSUBSCRIBE,
	COMITY_TYPE_UNSUBSCRIBED,
	COMITY_TYPE_PROBE,
	/* iq */
	COMITY_TYPE_GET,
	COMITY_TYPE_SET,
	COMITY_TYPE_RESULT,
};

/* What a message holds beside <thread/>, as bits. */
enum comity_part {
	COMITY_PART_BODY = 1,
	COMITY_PART_CHAT_STATE = 2,            /* XEP-0085 */
	COMITY_PART_RECEIPT = 4,               /* XEP-0184: asked for or given */
	COMITY_PART_MARKER = 8,                /* XEP-0333 */
	COMITY_PART_MUC_USER = 16,             /* XEP-0045: from or to somebody in a room, or an invitation */
	COMITY_PART_INVITATION = 32,           /* XEP-0249, or by the room */
	COMITY_PART_CARBON = 64,               /* XEP-0280: sent or received */
	COMITY_PART_PRIVATE = 128,             /* XEP-0280 */
	COMITY_PART_STANZA_ID = 256,           /* XEP-0359; an origin-id is no more than OTHER */
	COMITY_PART_NO_COPY = 512,             /* this and the following: hints, XEP-0334 */
	COMITY_PART_NO_STORE = 1024,
	COMITY_PART_NO_PERMANENT_STORE = 2048,
	COMITY_PART_STORE = 4096,
	COMITY_PART_OTHER = 8192
};

/* Stanza error conditions, RFC 6120 8.3.3. A handler returns minus one of these. */
enum comity_cond {
	COMITY_BAD_REQUEST = 1,
	COMITY_CONFLICT,
	COMITY_FEATURE_NOT_IMPLEMENTED,
	COMITY_FORBIDDEN,
	COMITY_GONE,
	COMITY_INTERNAL_SERVER_ERROR,
	COMITY_ITEM_NOT_FOUND,
	COMITY_JID_MALFORMED,
	COMITY_NOT_ACCEPTABLE,
	COMITY_NOT_ALLOWED,
	COMITY_NOT_AUTHORIZED,
	COMITY_POLICY_VIOLATION,
	COMITY_RECIPIENT_UNAVAILABLE,
	COMITY_REDIRECT,
	COMITY_REGISTRATION_REQUIRED,
	COMITY_REMOTE_SERVER_NOT_FOUND,
	COMITY_REMOTE_SERVER_TIMEOUT,
	COMITY_RESOURCE_CONSTRAINT,
	COMITY_SERVICE_UNAVAILABLE,
	COMITY_SUBSCRIPTION_REQUIRED,
	COMITY_UNDEFINED_CONDITION,
	COMITY_UNEXPECTED_REQUEST,
	COMITY_COND_COUNT
};

/* ---- building ---- */

/* A new stanza without addresses and id; the caller has the only reference and may add to its root. */
struct comity_stanza *comity_stanza_new(enum comity_kind kind, enum comity_type type);
/* From stored bytes of one message, presence or iq; NULL when they are none. */
struct comity_stanza *comity_stanza_parse(const char *bytes, size_t len);
/* A stanza made to hold one stored element, which is the first in its root; NULL when the bytes are no
 * element. */
struct comity_stanza *comity_stanza_parse_inside(const char *bytes, size_t len);
struct comity_stanza *comity_stanza_ref(const struct comity_stanza *st);
void comity_stanza_unref(struct comity_stanza *st);
/* To build in; not to be touched once the stanza was sent. */
struct comity_elem *comity_stanza_edit(struct comity_stanza *st);
void comity_stanza_set_id(struct comity_stanza *st, const char *id);

/* ---- reading ---- */

enum comity_kind comity_stanza_kind(const struct comity_stanza *st);
enum comity_type comity_stanza_type(const struct comity_stanza *st);
const struct comity_elem *comity_stanza_root(const struct comity_stanza *st);
/* About how many bytes of memory it takes. */
size_t comity_stanza_size(const struct comity_stanza *st);
/* NULL when absent. */
const char *comity_stanza_id(const struct comity_stanza *st);

/* Its parts, an or of enum comity_part; they are read once and remembered. Stamps are not among them. */
unsigned comity_stanza_parts(const struct comity_stanza *st);
/* True when they tell of nothing but somebody's typing, which is of no use to one who reads it later. */
static inline bool comity_parts_are_fleeting(unsigned parts)
{
	unsigned idle = COMITY_PART_CHAT_STATE | COMITY_PART_PRIVATE | COMITY_PART_NO_COPY | COMITY_PART_NO_STORE |
	                COMITY_PART_NO_PERMANENT_STORE;

	return (parts & COMITY_PART_CHAT_STATE) != 0 && (parts & ~idle) == 0;
}

const struct comity_stanza *comity_rq_stanza(const struct comity_rq *rq);
enum comity_kind comity_rq_kind(const struct comity_rq *rq);
enum comity_type comity_rq_type(const struct comity_rq *rq);
const struct comity_elem *comity_rq_root(const struct comity_rq *rq);
unsigned comity_rq_parts(const struct comity_rq *rq);
/* The first child element; of an iq, what is asked. NULL when there is none. */
const struct comity_elem *comity_rq_payload(const struct comity_rq *rq);
const char *comity_rq_id(const struct comity_rq *rq);
/* Never NULL; a stanza without 'to' has got one: the sender's bare address (RFC 6120 10.3), except
 * presence, whose to is then NULL. */
struct comity_jid *comity_rq_from(const struct comity_rq *rq);
struct comity_jid *comity_rq_to(const struct comity_rq *rq);
/* The local session it came from, when that lives on this worker; else NULL. */
struct comity_session *comity_rq_session(const struct comity_rq *rq);
/* The account whose handlers run: of the recipient for incoming stanzas and iqs to an account, of the
 * sender for outgoing ones; NULL for a host. */
struct comity_account *comity_rq_account(const struct comity_rq *rq);
/* Microseconds since 1970 when the server got it. */
int64_t comity_rq_received_us(const struct comity_rq *rq);
/* True for a stanza that went to a session which ended without having acknowledged it, and now looks for another:
 * hooks have seen it before, and its stamps are in it. */
bool comity_rq_is_again(const struct comity_rq *rq);
/* Of a message in COMITY_INCOMING, by the rules of RFC 6121 8.5 and as things stand now: whether the server will
 * deliver it to this session of the account; whether it will neither be delivered nor kept. */
bool comity_rq_reaches(const struct comity_rq *rq, const struct comity_session *s);
bool comity_rq_is_refused(const struct comity_rq *rq);
/* Presence of another server that is remembered, to be asked for again when that server has been away; and that nobody
 * here has wanted it, so that it is not: its sender would learn that somebody was here to get it. */
bool comity_rq_is_followed(const struct comity_rq *rq);
void comity_rq_set_unasked(struct comity_rq *rq);

/* ---- changing what travels with it ---- */

/* Adds an element to the stanza's own content, to be filled by the caller. */
struct comity_elem *comity_rq_stamp(struct comity_rq *rq, const char *ns, const char *name);
/* The first such element that was added; NULL when there is none. */
const struct comity_elem *comity_rq_find_stamp(const struct comity_rq *rq, const char *ns, const char *name);
/* Takes child elements out of the stanza as it goes on from here, those for which drop is true; what was borrowed from
 * the stanza before is not to be used any more. */
void comity_rq_strip(struct comity_rq *rq, bool (*drop)(void *arg, const struct comity_elem *child), void *arg);
/* A message of the same type with <name xmlns=ns><forwarded>, and in it the stanza with addresses and stamps (XEP-0297).
 * It shares the memory of the stanza. The caller unrefs it. */
struct comity_stanza *comity_rq_forward(const struct comity_rq *rq, const char *ns, const char *name);
/* The stanza with what was added to it, as a stanza of its own; the caller unrefs it. */
struct comity_stanza *comity_rq_flatten(const struct comity_rq *rq);
/* The whole stanza as XML, with addresses and stamps. The caller frees the result. */
char *comity_rq_to_xml(const struct comity_rq *rq, size_t *len);

/* ---- answering an iq, or refusing any stanza ---- */

/* Sends a result without payload; returns COMITY_DONE. */
int comity_reply(struct comity_rq *rq);
/* A result to fill: comity_stanza_edit() it, then comity_reply_with(). */
struct comity_stanza *comity_reply_new(const struct comity_rq *rq);
/* Sends and consumes; returns COMITY_DONE. */
int comity_reply_with(struct comity_rq *rq, struct comity_stanza **st);
/* Sends the error for it, with a text for people (may be NULL), unless it is an error or result itself;
 * returns COMITY_DONE. */
int comity_reply_error(struct comity_rq *rq, enum comity_cond cond, const char *text);
/* The same with an application-specific condition beside the defined one. */
int comity_reply_error_with(struct comity_rq *rq, enum comity_cond cond, const char *text, const char *ns,
                            const char *name);

/* ---- keeping it beyond the handler ---- */

/* After this return COMITY_LATER, and end with comity_reply*() and comity_rq_release(), or, for hooks,
 * with comity_rq_continue(), which goes on behind the hook and releases. */
struct comity_rq *comity_rq_hold(struct comity_rq *rq);
void comity_rq_release(struct comity_rq *rq);
void comity_rq_continue(struct comity_rq *rq);

/* ---- sending ---- */

/* Routes a new stanza; consumes it. from is the account, host or session it speaks for. */
void comity_send(struct comity_mod *m, struct comity_stanza **st, struct comity_jid *from, struct comity_jid *to);
/* Routes one stanza to many, sharing it. The client whose stanza is being handled before it leaves its session
 * (COMITY_OUTGOING) is charged for that, so that it can have others sent no more than it may send. */
void comity_send_many(struct comity_mod *m, const struct comity_stanza *st, struct comity_jid *from,
                      struct comity_jid *const *to, size_t count);
/* The same for a request that is being served: its client is charged, also when the handler has returned long ago. */
void comity_send_many_for(struct comity_rq *rq, const struct comity_stanza *st, struct comity_jid *from,
                          struct comity_jid *const *to, size_t count);

/* Asks: sends an iq get or set from the host under an id that nobody can guess, and consumes it. false when too
 * much is asked already: nothing was sent. Otherwise cb comes once, later: answer is the result or error, borrowed;
 * NULL when none came in time. Only an answer from the address that was asked counts. */
typedef void comity_answer_cb(struct comity_mod *m, void *arg, const struct comity_rq *answer);
bool comity_ask(struct comity_mod *m, struct comity_stanza **st, struct comity_jid *to, uint64_t timeout_ms,
                comity_answer_cb *cb, void *arg);

#pragma GCC visibility pop

#endif
