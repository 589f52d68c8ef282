/* SPDX-License-Identifier: MIT */
/* A client's stream: from the first byte to the bound session. */
#ifndef STREAM_C2S_H
#define STREAM_C2S_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/pressure.h"
#include "comity/stanza.h"
#include "net/conn.h"
#include "net/jobs.h"
#include "net/peers.h"
#include "stream/input.h"
#include "stream/sasl_engine.h"
#include "stream/stream_error.h"

struct c2s;
struct sasl_attempt;

/* What a stream must know of the host it talks to; immutable, shared, reference-counted. */
struct stream_host {
	_Atomic unsigned refs;
	char *name;
	struct comity_jid *jid;
	struct tls_context *tls;         /* NULL: no TLS for this host */
	bool require_tls;
	bool allow_plain, allow_anonymous, allow_external;
	bool channel_binding;
	unsigned scram_iterations;
	unsigned char fake_key[32];      /* makes up secrets for unknown users */
};

struct stream_host *stream_host_new(const char *name, struct comity_jid *jid);
struct stream_host *stream_host_ref(struct stream_host *h);
void stream_host_unref(struct stream_host *h);

/* Bounds of client streams (DESIGN, section 6). Immutable; outlives all streams of a configuration. */
struct c2s_limits {
	struct xml_limits before_auth, after_auth;
	size_t out_bytes;                /* waiting for a client that does not read */
	size_t early_out_bytes;          /* the same before it has logged in */
	uint64_t login_ms;               /* from connect to bound */
	uint64_t idle_ms;                /* without input until a probe */
	uint64_t probe_ms;               /* for the answer to the probe */
	uint64_t parser_rest_ms;         /* without input until the parser is freed */
	unsigned tries;                  /* refused logins on one stream */
	unsigned early_elements;         /* of a stream until a resource is bound */
	uint64_t failure_window_ms;      /* in which refused logins of an address are counted */
	unsigned failures_free;          /* of those, how many are answered without delay */
	uint64_t failure_delay_ms;       /* delay of the next; doubles with each further one */
	uint64_t failure_delay_max_ms;
	uint64_t bytes_per_s, stanzas_per_s; /* of a bound session; 0: no limit */
	struct peers_limits peers;
};

/* What the streams of a worker share; filled by the part that knows all others. All functions run on
 * the stream's worker. */
struct c2s_shared {
	const struct c2s_limits *limits;
	const enum pressure_level *pressure; /* of the worker, now */
	struct list *streams;            /* all of the worker, through their link */
	/* The same for another worker. */
	const struct c2s_shared *(*of_worker)(struct worker *w);
	struct peers *peers;
	const struct tls_shared *tls;
	struct jobs *jobs;
	/* The host for a name from the stream header or SNI, with a reference; NULL: not served. */
	struct stream_host *(*find_host)(struct worker *w, const char *name);
	/* Adds what modules put into <stream:features/>. */
	void (*write_features)(struct c2s *c, struct buf *out, bool after_login);
	/* Answers with c2s_got_secrets(), later. */
	void (*fetch_secrets)(struct c2s *c, const char *user);
	/* A client logged in; bind c->bind_resource: answers with c2s_bound() or c2s_refuse_bind(), perhaps
	 * on another worker. */
	void (*bind)(struct c2s *c);
	/* The stream has moved to another worker in the course of bind. */
	void (*arrived)(struct c2s *c);
	/* A stanza from a bound client; consumes it. */
	void (*stanza)(struct c2s *c, struct comity_stanza *st);
	/* An element of stream management (XEP-0198) after login. */
	void (*manage)(struct c2s *c, const struct comity_elem *e);
	/* Another element of a bound client that is no stanza. False: nobody knows it. */
	bool (*element)(struct c2s *c, const struct comity_elem *e);
	/* An iq before login; consumes it. False: not wanted. */
	bool (*early_iq)(struct c2s *c, struct comity_stanza *st);
	/* The system has taken what was written before c2s_tell_drained(). */
	void (*drained)(struct c2s *c);
	/* The stream is gone; reason is for the log. */
	void (*closed)(struct c2s *c, const char *reason);
};

enum c2s_phase {
	C2S_NEGOTIATING,  /* before login */
	C2S_LOGGED_IN,    /* a resource is awaited */
	C2S_BINDING,
	C2S_BOUND,
	C2S_CLOSED
};

struct c2s {
	unsigned refs;                   /* of one worker at a time */
	struct conn *conn;               /* NULL once closed */
	const struct c2s_shared *shared;
	struct stream_input in;
	struct stream_host *host;        /* NULL until the header named it */
	struct tls_chooser chooser;
	enum c2s_phase phase;
	struct log_ctx log;
	struct list link;                /* in shared->streams */
	struct timer timer;              /* login limit, then idle probe and parser rest */
	struct timer shape;              /* running while input is held back for its rate */
	uint64_t last_in;
	struct stream_rate rate;
	size_t spread;                   /* bytes that went to many since it was read no further for a while */
	char id[STREAM_ID_SIZE];         /* of the stream */
	char *lang;                      /* default language of its stanzas; NULL: none given */
	struct comity_jid *user;         /* bare; once logged in */
	struct sasl_attempt *attempt;    /* running login */
	unsigned refused;
	unsigned early_elements;         /* that came before a resource was bound */
	bool is_direct_tls, is_header_sent, has_failed, is_probed, is_anonymous;
	bool is_awake;                   /* the timer watches for the parser's rest */
	char *bind_id;                   /* of the iq that asked to bind */
	char *bind_resource;             /* that it asked for; NULL: the server chooses */
	char *resume_id;                 /* set: a session is to be resumed rather than bound */
	uint32_t resume_h;
	bool is_managed;                 /* by XEP-0198 */
	bool is_cut;                     /* by this server, without an end of the stream */
	void *session;                   /* of the router; set by c2s_bound */
};

/* Takes over an accepted socket. */
void c2s_accept(struct worker *w, const struct c2s_shared *shared, struct conn *conn, bool direct_tls);
struct c2s *c2s_ref(struct c2s *c);
void c2s_unref(struct c2s *c);
/* False also when it has failed and is only to be closed. */
bool c2s_is_open(const struct c2s *c);
/* Whether what is written now can still get to the client. Of the end of its connection its owner hears later in the
 * turn. */
bool c2s_can_reach(const struct c2s *c);

/* Sends the error and closes the stream (RFC 6120 4.9); text may be NULL. */
void c2s_fail(struct c2s *c, enum stream_cond cond, const char *text);
/* Closes without an error. */
void c2s_close(struct c2s *c);
/* Closes the connection behind what is queued, and not the stream: the client comes back to resume. */
void c2s_cut(struct c2s *c);
/* Queues bytes of a stanza; a client whose queue is over its limit is closed. */
void c2s_write(struct c2s *c, const struct comity_stanza *st, const char *from, const char *to,
               const struct comity_elem *stamps);
/* A stanza that is text already. */
void c2s_write_text(struct c2s *c, const char *bytes, size_t len);
/* Takes off its rate what its client makes others get: so many stanzas, of about so many bytes together. */
void c2s_charge(struct c2s *c, size_t count, size_t bytes);
/* shared->drained() is called once all of it is out, unless the stream ends before. */
void c2s_tell_drained(struct c2s *c);

/* Answers to what shared asked for. */
void c2s_got_secrets(struct c2s *c, const struct sasl_secrets *secrets, bool store_failed);
/* Answers and reads on: comes last, as what the client has sent since may be handled before it returns. */
void c2s_bound(struct c2s *c, struct comity_jid *full, void *session);
void c2s_refuse_bind(struct c2s *c, enum comity_cond cond, const char *text);
/* A session is to be resumed: goes the way of binding, to c2s_resumed() or c2s_resume_failed(). After c2s_resumed()
 * nothing is read until c2s_read_on(), which comes last, as c2s_bound() does. */
void c2s_await_resume(struct c2s *c, const char *id);
void c2s_resumed(struct c2s *c, struct comity_jid *full, void *session);
void c2s_read_on(struct c2s *c);
void c2s_resume_failed(struct c2s *c);
/* Moves the stream to another worker; shared->arrived follows there. */
void c2s_move(struct c2s *c, struct worker *to);

/* ---- between the files of src/stream ---- */

void c2s_send_text(struct c2s *c, const char *text);
/* Appends the server's header, once per opening. */
void c2s_write_header(struct c2s *c);
/* The header came (open.c): checks it, answers, sends features. */
void c2s_on_open(struct c2s *c, const struct comity_elem *root);
void c2s_write_features(struct c2s *c);
/* One file per step: each handles one element and says whether it was its own. */
bool starttls_on_element(struct c2s *c, const struct comity_elem *e);
bool sasl_on_element(struct c2s *c, const struct comity_elem *e);
bool bind_on_element(struct c2s *c, const struct comity_elem *e);
void starttls_write_feature(struct c2s *c, struct buf *out);
void sasl_write_feature(struct c2s *c, struct buf *out);
void bind_write_feature(struct c2s *c, struct buf *out);
void sasl_abandon(struct c2s *c);
/* Tells the client its address, which is c->user. */
void bind_answer(struct c2s *c);
/* The next bytes are a new stream header (after TLS and login). What came behind the last element
 * belongs to the new stream, or is thrown away. */
void c2s_restart(struct c2s *c, bool keep_rest);

#endif
