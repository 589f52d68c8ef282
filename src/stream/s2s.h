/* SPDX-License-Identifier: MIT */
/* A stream between servers, of either direction: what was negotiated on it and what it has proved. */
#ifndef STREAM_S2S_H
#define STREAM_S2S_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/log.h"
#include "comity/stanza.h"
#include "net/conn.h"
#include "net/dns.h"
#include "net/trust.h"
#include "stream/c2s.h"
#include "stream/input.h"
#include "stream/s2s_sm.h"
#include "stream/stream_error.h"

struct s2s;

/* Why another server cannot be reached; decides what senders are told. */
enum s2s_cause {
	S2S_CAUSE_NONE,
	S2S_NOT_FOUND,      /* no such domain, or no XMPP service there */
	S2S_DNS,            /* the name servers do not answer */
	S2S_UNREACHABLE,    /* nothing answers, or it refuses connections */
	S2S_TIMEOUT,
	S2S_NO_TLS,         /* encryption cannot be agreed on */
	S2S_CERTIFICATE,
	S2S_AUTH,           /* one side does not believe the other */
	S2S_PROTOCOL,       /* what it sends is not XMPP as it should be */
	S2S_STREAM_ERROR,   /* it ended the stream with an error */
	S2S_POLICY,         /* this server is not to talk to it */
	S2S_DIRECTORY,      /* no directory of routes answers, and there is nothing else to ask */
	S2S_LOST,           /* the connection broke */
	S2S_CLOSED_BY_US
};

/* The stanza error for senders (RFC 6120 8.3.3). */
enum comity_cond s2s_cause_cond(enum s2s_cause cause);
/* On whose side it is and what to do: a sentence for administrators. */
const char *s2s_cause_advice(enum s2s_cause cause);
/* A word for logs and tables. */
const char *s2s_cause_name(enum s2s_cause cause);

/* What is demanded of a remote domain. */
enum s2s_security {
	S2S_VERIFY,         /* TLS, and a certificate that is valid for the domain or pinned */
	S2S_OPPORTUNISTIC,  /* TLS; who it is may be shown by dialback alone */
	S2S_INSECURE        /* TLS when it is offered */
};

struct s2s_policy {
	enum s2s_security security;
	const char *pin;               /* SHA-256 of the certificate; NULL: none */
	struct trust *trust;
	bool is_refused;
};

/* Bounds of streams between servers (DESIGN, section 6). */
struct s2s_limits {
	struct xml_limits before_auth, after_auth;
	size_t out_bytes, early_out_bytes; /* early: before anything is proved */
	uint64_t negotiate_ms;         /* from connect to the first proof */
	uint64_t idle_ms;              /* without stanzas in either direction until it is closed */
	uint64_t dead_ms;              /* until an unresponsive peer is given up (by TCP) */
	uint64_t parser_rest_ms;
	uint64_t verify_ms;            /* for the answer to a dialback verification */
	uint64_t bytes_per_s, stanzas_per_s;
	unsigned pairs;                /* of domains on one stream */
	struct peers_limits peers;
	uint64_t resume_ms;            /* how long a lost stream can be resumed (XEP-0198); 0: not offered nor used */
	bool bidi;                     /* XEP-0288 offered and used */
};

/* A domain of ours and one of theirs on a stream. */
struct s2s_pair {
	struct list link;
	bool is_proved;
	char *local, *remote;          /* both lie behind the struct */
};

/* One dialback verification that goes through a stream, XEP-0220 2.2.2. */
struct dialback_check {
	const char *local, *remote, *id, *key;
};

/* What a directory of routes says about the certificate of a peer. */
enum s2s_vouched {
	S2S_VOUCHED_NOTHING,   /* nothing is known, or what it says does not matter */
	S2S_VOUCHED_YES,       /* it is the one, and that suffices */
	S2S_VOUCHED_NO         /* another one was expected */
};

enum dialback_answer { DIALBACK_VALID, DIALBACK_INVALID, DIALBACK_ERROR };

/* What the streams between servers of a worker share. All functions run on the stream's worker. */
struct s2s_shared {
	const struct s2s_limits *limits;
	const enum pressure_level *pressure;      /* of the worker, now */
	const struct tls_shared *tls;
	struct list *streams;
	const unsigned char *dialback_secret;     /* 32 bytes */
	struct peers *peers;
	const struct s2s_shared *(*of_worker)(struct worker *w);
	/* The worker where a remote domain is at home. */
	struct worker *(*home)(struct worker *w, const char *remote);
	/* A host that takes part in federation, with a reference; NULL: none. */
	struct stream_host *(*find_host)(struct worker *w, const char *name);
	/* What is demanded of a domain; borrowed for the moment. */
	const struct s2s_policy *(*policy)(struct worker *w, const char *remote);
	/* What is known of the certificate that the peer showed, for a domain. */
	enum s2s_vouched (*vouched)(struct s2s *s, const char *remote);
	/* incoming: ask the server of remote whether the key is its own; answered by s2s_verified(). */
	void (*verify)(struct s2s *s, const char *local, const char *remote, const char *key);
	/* A pair is proved. Incoming: it may send. Outgoing: it may be sent to. */
	void (*proved)(struct s2s *s, struct s2s_pair *pair);
	/* outgoing: negotiated far enough for s2s_ask_verify() and s2s_prove(). */
	void (*usable)(struct s2s *s);
	/* outgoing: an answer to s2s_ask_verify(). text is for people, may be NULL. */
	void (*verify_answer)(struct s2s *s, const struct dialback_check *check, enum dialback_answer answer,
	                      const char *text);
	/* A stanza whose addresses the pair covers; consumes it. */
	void (*stanza)(struct s2s *s, struct comity_stanza *st, struct comity_jid *from, struct comity_jid *to);
	/* outgoing: stanzas can be sent now; whether they are acknowledged, s->sm tells. */
	void (*managed)(struct s2s *s);
	/* Stream management: the peer has it; it is not known to have it, and will not be asked on this stream;
	 * it is to be written once more. */
	void (*acked)(struct s2s *s, void *token);
	void (*unacked)(struct s2s *s, void *token);
	void (*rewrite)(struct s2s *s, void *token);
	/* incoming: what is left of a lost stream of the same domains, given to the caller; NULL: nothing. */
	struct s2s_sm *(*find_suspended)(struct s2s *s, const char *id);
	/* A step for people who watch; one line. */
	void (*note)(struct s2s *s, const char *line);
	/* The peer waits for what came to be safe. */
	void (*hurry)(struct s2s *s);
	/* The stream is gone. With s->sm the router may take that, and what waits in it. */
	void (*closed)(struct s2s *s, enum s2s_cause cause, const char *text);
};

enum s2s_step {
	S2S_OPENING,        /* the peer's header is awaited */
	S2S_FEATURES,       /* outgoing: features are awaited */
	S2S_PROCEED,        /* outgoing: asked to start TLS */
	S2S_SASL,           /* outgoing: asked to log in */
	S2S_USABLE,         /* whatever TLS and SASL there was is done */
	S2S_CLOSED
};

struct s2s {
	unsigned refs;
	struct conn *conn;             /* NULL once closed */
	const struct s2s_shared *shared;
	struct stream_input in;
	struct tls_chooser chooser;
	enum s2s_step step, last_step;  /* last_step: before it was closed */
	struct log_ctx log;
	struct list link;              /* in shared->streams */
	struct timer timer;            /* negotiation limit, then idle time and parser rest */
	struct timer shape;
	struct timer ask;              /* for an acknowledgement */
	struct stream_rate rate;
	uint64_t last_in, last_stanza; /* monotonic milliseconds */
	struct stream_host *host;      /* ours; incoming: NULL until the header named it */
	char *remote;                  /* theirs; incoming: of the header or first proof, may be NULL */
	char *lang;
	char *id;                      /* of the stream, from the receiving server */
	struct list pairs;
	unsigned pair_count, asked_count;
	unsigned refused_count;        /* incoming: dialback keys and logins */
	void *owner;                   /* of the router: the link of an outgoing stream */
	enum s2s_cause cause;          /* of the end */
	char why[384];
	struct cert_judgement cert;
	struct dns_record *tlsa;       /* outgoing: until cert is judged; NULL: none */
	size_t tlsa_count;
	char *tlsa_host;
	struct s2s_sm *sm;             /* NULL: not managed */
	bool is_managing;              /* an answer about stream management is awaited */
	bool has_sm;                   /* the peer offers it */
	bool is_outgoing, is_direct_tls, is_header_sent, has_failed, is_awake, is_moving;
	bool is_parting;               /* our last words were said, theirs are waited for */
	bool is_version_1;             /* the peer's header: there are features */
	bool is_judged;                /* cert holds what was found */
	bool is_authenticated;         /* by SASL EXTERNAL */
	bool wants_proof;              /* outgoing: go on to authenticate */
	bool wants_bidi;               /* outgoing: the peer may have no way to reach us */
	bool no_external;              /* outgoing: SASL EXTERNAL was refused before */
	bool has_external, has_dialback, has_dialback_errors, has_bidi, has_ns_dialback;   /* offered by the peer */
	bool is_bidi;                  /* both directions are agreed on */
};

/* Takes over an accepted socket. */
void s2s_accept(struct worker *w, const struct s2s_shared *shared, struct conn *conn, bool direct_tls);

/* A stream over a connected socket. host and remote are copied or referenced. */
struct s2s_start {
	struct stream_host *host;
	const char *remote;
	bool is_direct_tls, no_external, wants_proof, wants_bidi;
	const struct dns_record *tlsa;  /* what DNS says of its certificate; copied */
	size_t tlsa_count;
	const char *tlsa_host;         /* the server that they are about */
	void *owner;
};
struct s2s *s2s_connect(struct worker *w, const struct s2s_shared *shared, struct conn *conn,
                        const struct s2s_start *start);
/* Says the first word. The stream may end at once: shared->closed comes then, and it may be gone afterwards. */
void s2s_begin(struct s2s *s);
struct s2s *s2s_ref(struct s2s *s);
void s2s_unref(struct s2s *s);

/* Whether something can still come on it. */
static inline bool s2s_is_connected(const struct s2s *s)
{
	return s->conn != NULL && !s->has_failed;
}

/* Whether something can still be said on it. */
static inline bool s2s_is_open(const struct s2s *s)
{
	return s2s_is_connected(s) && !s->is_parting;
}

/* Ends with a stream error; text may be NULL and goes to the peer. When this server is stopped (system-shutdown), what
 * the peer says until it has read that is still heard. */
void s2s_fail(struct s2s *s, enum stream_cond cond, const char *text);
/* Ends because of what the peer did or could not do; the text tells people. */
void s2s_give_up(struct s2s *s, enum s2s_cause cause, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Closes without an error. */
void s2s_close(struct s2s *s);
/* Writes a stanza; false when the stream has ended, or now ends as the peer's queue is over its limit. With stream
 * management the caller goes on with sm_note_sent(). */
bool s2s_write(struct s2s *s, const struct comity_stanza *st, const char *from, const char *to,
               const struct comity_elem *stamps);

/* Outgoing: authenticates for the stream's own pair; shared->proved follows. */
void s2s_prove(struct s2s *s);
/* Outgoing: asks whether the key is theirs; shared->verify_answer follows unless the stream ends. */
void s2s_ask_verify(struct s2s *s, const struct dialback_check *check);
/* Incoming: the answer to shared->verify. text is for people, may be NULL. */
void s2s_verified(struct s2s *s, const char *local, const char *remote, enum dialback_answer answer,
                  enum comity_cond cond, const char *text);
struct s2s_pair *s2s_find_pair(const struct s2s *s, const char *local, const char *remote);

/* ---- between the files of src/stream ---- */

/* Some domain has proved itself on it. */
static inline bool s2s_has_proof(const struct s2s *s)
{
	return s->pair_count > s->asked_count;
}

/* Ends one with which nothing is wrong, when the peer has had a moment for its last words. */
void s2s_leave(struct s2s *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Nothing more is heard on it either. */
void s2s_close_now(struct s2s *s);

void s2s_note(struct s2s *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void s2s_send_text(struct s2s *s, const char *text);
void s2s_write_header(struct s2s *s);
void s2s_restart(struct s2s *s, bool keep_rest);
/* A key or a login of the peer was refused, which cost something; ends the stream when there are too many. */
void s2s_count_refusal(struct s2s *s);
/* The pair, made when missing; NULL when there are too many. */
struct s2s_pair *s2s_add_pair(struct s2s *s, const char *local, const char *remote);
void s2s_drop_pair(struct s2s *s, struct s2s_pair *pair);
/* Marks it proved and tells the router. */
void s2s_set_proved(struct s2s *s, struct s2s_pair *pair);
/* What the certificate of the peer says, judged once for a domain. */
const struct cert_judgement *s2s_judge(struct s2s *s, const char *remote);
/* True when its certificate is good enough for policy, without dialback. */
bool s2s_is_certified(struct s2s *s, const struct s2s_policy *policy, const char *remote);
bool s2s_needs_tls(const struct s2s_policy *policy);

/* Receiving (s2s_in.c). */
void s2s_in_on_open(struct s2s *s, const struct comity_elem *root);
void s2s_in_begin(struct s2s *s);
bool s2s_in_on_element(struct s2s *s, const struct comity_elem *e);
/* Initiating (s2s_out.c). */
void s2s_out_on_open(struct s2s *s, const struct comity_elem *root);
bool s2s_out_on_element(struct s2s *s, const struct comity_elem *e);
/* Server dialback (dialback.c): elements of either role. */
bool dialback_on_element(struct s2s *s, const struct comity_elem *e);
/* Sends the key for the stream's own pair. */
void dialback_begin(struct s2s *s);

#endif
