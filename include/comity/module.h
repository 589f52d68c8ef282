/* SPDX-License-Identifier: MIT */
/* The whole contract between the server and a module. */
#ifndef COMITY_MODULE_H
#define COMITY_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comity/elem.h"
#include "comity/jid.h"
#include "comity/option.h"
#include "comity/stanza.h"
#include "comity/store.h"

#pragma GCC visibility push(default)

#define COMITY_MODULE_ABI 2u

/* A module at work for one host on one worker; owns its data there. So no two threads ever meet in
 * it; what must be one per host has to live in the store. */
struct comity_mod;
/* A local account in memory, on its home. Borrowed for the length of a call. */
struct comity_account;
/* A bound client, on the home of its account. Borrowed for the length of a call. */
struct comity_session;

/* What a handler says; otherwise it returns minus an enum comity_cond, from which the core makes the
 * error. PASS: not mine, go on. DONE: handled, go no further. LATER: held, see comity_rq_hold(). */
enum comity_verdict { COMITY_PASS, COMITY_DONE, COMITY_LATER };
enum comity_level { COMITY_DEBUG, COMITY_INFO, COMITY_WARNING, COMITY_ERROR };
typedef int comity_handler(struct comity_mod *m, struct comity_rq *rq);

/* ---- rows ---- */

/* Whom an iq payload may be addressed to. */
enum comity_to {
	COMITY_TO_HOST = 1,      /* the domain; runs on the home of the sender */
	COMITY_TO_SELF = 2,      /* the sender's own account */
	COMITY_TO_BARE = 4,      /* a local account, by anyone else; check who asks */
	COMITY_TO_PREAUTH = 8,   /* a stream that has not logged in; no session, no account */
};

enum comity_iq_type { COMITY_GET = 1, COMITY_SET = 2 };

/* An iq payload the module answers; name NULL matches any. A row with a feature shows in disco#info of
 * the host (COMITY_TO_HOST) or of accounts (COMITY_TO_SELF, COMITY_TO_BARE). */
struct comity_iq {
	unsigned types, to;
	const char *ns, *name, *feature;
	comity_handler *handle;
};

/* Where a module may watch or stop traffic. */
enum comity_point {
	COMITY_OUTGOING = 1,   /* sent by a session of this host, stamped, on its home, not yet routed */
	COMITY_INCOMING,       /* for an account of this host (bare or full address), on its home */
	COMITY_TO_SESSION,     /* about to be written to a session: comity_rq_session() is the receiver */
};

/* Order within a point. For COMITY_INCOMING the core's own delivery (RFC 6121 8.5) comes behind
 * COMITY_DELIVER; COMITY_KEEP runs only for what could not be delivered and would be refused. */
enum comity_phase { COMITY_FILTER = 1, COMITY_ARCHIVE, COMITY_COPY, COMITY_DELIVER, COMITY_KEEP };

struct comity_hook {
	enum comity_point point;
	enum comity_phase phase;
	unsigned kinds;            /* enum comity_kind, or-ed */
	comity_handler *handle;    /* hooks of one phase run in the order of module names */
};

/* A feature or identity that no iq row says. where: COMITY_TO_HOST, COMITY_TO_SELF, COMITY_TO_BARE. */
struct comity_feature {
	unsigned where;
	const char *feature;
};
struct comity_identity {
	unsigned where;
	const char *category, *type, *name;
};

/* An element in <stream:features/>: before login or after it. fill may be NULL; returning false leaves
 * the feature out. */
struct comity_stream_feature {
	bool after_login;
	const char *ns, *name;
	bool (*fill)(struct comity_mod *m, struct comity_elem *feature);
};

/* An element that is no stanza, sent by a bound client at the top of its stream; name NULL matches any. It is never
 * answered by the core, and not counted by stream management. When a reload has switched the module off, it is ignored:
 * clients were told that they may send it. */
struct comity_stream_element {
	const char *ns, *name;
	void (*handle)(struct comity_mod *m, struct comity_session *s, const struct comity_elem *e);
};

/* ---- the module ---- */

/* What a module file defines, exactly once, with COMITY_MODULE(...). Tables end with { 0 }; all members
 * but name and summary are optional. */
struct comity_module {
	uint32_t abi;
	const char *name, *summary;                /* "ping": mod_ping.so, mod_ping(5) */
	const char *const *needs;                  /* modules that must be there too; ends with NULL */
	const struct comity_iq *iqs;
	const struct comity_hook *hooks;
	const struct comity_feature *features;
	const struct comity_identity *identities;
	const struct comity_stream_feature *stream_features;
	const struct comity_stream_element *stream_elements;
	const struct comity_option *options;
	const char *const *account_maps;           /* read with every account; ends with NULL */
	size_t conf_size;                          /* the struct that options write to */
	size_t host_size, account_size, session_size; /* zeroed and freed by the core */
	const void *api;                           /* what comity_module_api() hands to others */

	/* Before a configuration is taken over: whether these values of the options can be used; if not, why says it in a
	 * sentence. Nothing else can refuse them later. */
	bool (*check)(const void *conf, char *why, size_t size);
	/* Once per host and worker, before any traffic for it. */
	void (*load)(struct comity_mod *m);
	void (*unload)(struct comity_mod *m);
	/* The options changed; comity_conf() has the new ones already. */
	void (*reconfigured)(struct comity_mod *m);
	/* rows: what account_maps named, of this account. Runs before anything else for the account. */
	void (*account_load)(struct comity_mod *m, struct comity_account *a, const struct store_row *rows, size_t count);
	/* Frees what account_load made; what the module holds of the account's goes on. */
	void (*account_unload)(struct comity_mod *m, struct comity_account *a);
	/* The account is being deleted; sessions are gone already, stored data goes afterwards. */
	void (*account_removed)(struct comity_mod *m, struct comity_account *a);
	void (*session_bound)(struct comity_mod *m, struct comity_session *s);
	/* Its resource is already gone from the account's list; the rest is still readable. */
	void (*session_closed)(struct comity_mod *m, struct comity_session *s);
	/* Its stream was lost; it waits to be resumed, and what is written to it waits for that too. */
	void (*session_suspended)(struct comity_mod *m, struct comity_session *s);
	/* It goes on with another stream, on which what was not acknowledged has been written again. Without
	 * session_suspended before it, when the old stream was not known to be lost. */
	void (*session_resumed)(struct comity_mod *m, struct comity_session *s);
	/* The session comes back after a restart of the server, with its presence and what comity_session_keep()
	 * was given; it was bound before, and contacts know of it. Or a reload has switched the module on for a session
	 * that goes on, with a stream or without, and that has kept something of this module: what the client was told
	 * then is to hold again. */
	void (*session_restored)(struct comity_mod *m, struct comity_session *s);
	/* What comity_session_keep() was given is about to be written, or session_left follows: the moment to call it for
	 * what changes often, which comity_session_changed() has told of. */
	void (*session_keep)(struct comity_mod *m, struct comity_session *s);
	/* A reload switches the module off, and the session goes on without it. What was held back for it is written now,
	 * and what session data points to is freed: nobody asks for them any more. */
	void (*session_left)(struct comity_mod *m, struct comity_session *s);
	/* Frees what session data points to when the process ends and the session does not. */
	void (*session_unload)(struct comity_mod *m, struct comity_session *s);
	/* After comity_session_set_presence(); was_available tells a first presence from an update. */
	void (*session_presence)(struct comity_mod *m, struct comity_session *s, bool was_available);
	/* comity_is_short() was true and is not any more. */
	void (*relieved)(struct comity_mod *m);
};
#define COMITY_MODULE(...) \
	extern const struct comity_module comity_module; \
	__attribute__((visibility("default"))) const struct comity_module comity_module = { \
		.abi = COMITY_MODULE_ABI, __VA_ARGS__ }

/* ---- what a module may call ---- */

const void *comity_conf(const struct comity_mod *m);
void *comity_host_data(struct comity_mod *m);
void *comity_account_data(struct comity_mod *m, struct comity_account *a);
/* NULL when s is NULL. */
void *comity_session_data(struct comity_mod *m, struct comity_session *s);
/* The same without making it: NULL until comity_session_data() was called for this session. For hooks that see every
 * stanza and have to do with few sessions. */
void *comity_session_find_data(const struct comity_mod *m, const struct comity_session *s);
const char *comity_host_name(const struct comity_mod *m);
struct comity_jid *comity_host_jid(const struct comity_mod *m);
/* Another number once a reload may have changed the modules or options of the host: until then, what follows from them
 * need not be made again. Never 0. */
unsigned comity_host_generation(const struct comity_mod *m);
/* True for a domain that this server serves. */
bool comity_is_local_domain(const struct comity_mod *m, const char *domain);
/* The api of another module of this host and its instance, to ask it about an account (NULL: about none); NULL when
 * it is not enabled, or, behind a reload, not yet at work for that account. */
const void *comity_module_api(struct comity_mod *m, const char *name, const struct comity_account *a,
                              struct comity_mod **other);

/* True while memory is so short that what others can be told later is not to be told now (comity.conf(5),
 * memory_limit); every time counts as presence that was held back. relieved follows. */
bool comity_is_short(const struct comity_mod *m);
/* What the module allocates for an account or a session, and gives back with a negative number, so that it shows in
 * comityctl stats. The structures of account_size and session_size are counted by the core. */
void comity_account_add_bytes(struct comity_account *a, ptrdiff_t bytes);
void comity_session_add_bytes(struct comity_session *s, ptrdiff_t bytes);

/* Features and identities of all enabled modules; where as in the rows. Duplicates are left out. */
void comity_each_feature(struct comity_mod *m, unsigned where, void (*each)(void *arg, const char *feature),
                         void *arg);
void comity_each_identity(struct comity_mod *m, unsigned where,
                          void (*each)(void *arg, const struct comity_identity *identity), void *arg);

/* Accounts. */
struct comity_jid *comity_account_jid(const struct comity_account *a);
/* Keeps an account in memory across a wait. */
struct comity_account *comity_account_ref(struct comity_account *a);
void comity_account_unref(struct comity_account *a);
/* True once it is being deleted. */
bool comity_account_is_removed(const struct comity_account *a);
/* Sessions in no particular order; NULL at the end. */
struct comity_session *comity_account_first_session(const struct comity_account *a);
struct comity_session *comity_session_next(const struct comity_session *s);
struct comity_session *comity_account_find_session(const struct comity_account *a, const char *resource);

/* Results come later on this worker: 0, COMITY_STORE_EXISTS, COMITY_STORE_NOT_FOUND or another failure.
 * A password that cannot be used (empty, or against RFC 8265) gives COMITY_PASSWORD_INVALID. */
#define COMITY_PASSWORD_INVALID (-1)
void comity_account_create(struct comity_mod *m, const struct comity_jid *jid, const char *password,
                           comity_write_cb *cb, void *arg);
void comity_account_set_password(struct comity_mod *m, const struct comity_jid *jid, const char *password,
                                 comity_write_cb *cb, void *arg);
/* Closes its sessions with not-authorized, runs account_removed, deletes all stored data. */
void comity_account_remove(struct comity_mod *m, const struct comity_jid *jid, comity_write_cb *cb, void *arg);

/* Sessions. */
uint64_t comity_session_id(const struct comity_session *s);
struct comity_jid *comity_session_jid(const struct comity_session *s);
struct comity_account *comity_session_account(const struct comity_session *s);
bool comity_session_is_available(const struct comity_session *s);
/* -128 to 127; meaningful while available. */
int comity_session_priority(const struct comity_session *s);
/* The last available presence broadcast; NULL when there is none. */
const struct comity_stanza *comity_session_presence(const struct comity_session *s);
/* Microseconds since 1970 of that presence. */
int64_t comity_session_presence_us(const struct comity_session *s);
/* Sets what the core needs for routing and calls session_presence of all modules; st NULL: unavailable.
 * The priority is read from the stanza. */
void comity_session_set_presence(struct comity_session *s, const struct comity_stanza *st);
/* What of the module's session data must survive a restart of the server: a short text under a key of the
 * module; NULL removes it. comity_session_kept() is NULL when there is none. */
void comity_session_keep(struct comity_mod *m, struct comity_session *s, const char *key, const char *value);
/* Asks for a call of session_keep before the turn ends, if the session is one that outlives a restart. */
void comity_session_changed(struct comity_session *s);
const char *comity_session_kept(const struct comity_mod *m, const struct comity_session *s, const char *key);
/* The address the client connects from, as text. */
const char *comity_session_address(const struct comity_session *s);
/* Writes a stanza to one session, without routing and without further rules. */
void comity_session_send(struct comity_session *s, const struct comity_stanza *st, struct comity_jid *from,
                         struct comity_jid *to);
/* Keeps a message for a session with stream management, safe as if it had been written, and writes it when
 * something else is, or with comity_session_write_now(). Returns how many wait so; 0: it has no stream management,
 * and nothing was done. */
size_t comity_session_write_later(struct comity_session *s, struct comity_rq *rq);
void comity_session_write_now(struct comity_session *s);
/* Something to be done once all stanzas that were sent with it are safe: the client has them, or they are
 * durable with their session, or there is nobody to wait for. done runs once, on this worker. The maker gives
 * its own share back with comity_safe_release(). */
struct comity_safe;
struct comity_safe *comity_safe_new(struct comity_mod *m, void (*done)(struct comity_mod *m, void *arg), void *arg);
void comity_safe_release(struct comity_safe *safe);
/* As comity_session_send(), for a stanza that the module has in the store under an id: a session that got it
 * before a restart of the server does not get it again. */
void comity_session_send_stored(struct comity_safe *safe, struct comity_session *s, const struct comity_stanza *st,
                                struct comity_jid *from, struct comity_jid *to, const struct store_entry *entry);
/* As comity_session_send(), for a stanza that stays in the store until the user does something about it, and is sent
 * to each session: it does not count against the limits of what a client has not acknowledged, so that the module
 * bounds it, and sends it again only when comity_session_await_written() has said that the client has it. */
void comity_session_send_kept(struct comity_session *s, const struct comity_stanza *st, struct comity_jid *from,
                              struct comity_jid *to);
/* So many bytes of what is in the store may be written to a session at once: much less than may wait for it. */
size_t comity_session_room(const struct comity_session *s);
/* True with stream management: what is written is safe with the session, also when its stream is lost. */
bool comity_session_is_managed(const struct comity_session *s);
/* What has become of what was written to a session. */
enum comity_written {
	COMITY_WRITTEN,           /* the client has acknowledged what was sent from the store; or, without stream
	                             management, the system has taken all that was written */
	COMITY_NOT_WRITTEN_YET,   /* the time is up; another answer follows */
	COMITY_WRITE_LOST,        /* the session is over before that, or its stream is without stream management */
	COMITY_WRITE_FORGOTTEN    /* the process ends: only memory is to be freed */
};
/* Calls done once with what has become of what was written so far, and before that after ms milliseconds (0: not),
 * always later, and before the data of the session are freed. */
typedef void comity_written_cb(struct comity_mod *m, void *arg, enum comity_written how);
void comity_session_await_written(struct comity_mod *m, struct comity_session *s, uint64_t ms, comity_written_cb *done,
                                  void *arg);
/* After a restart: calls each for every id that the session was sent by comity_session_send_stored(). */
void comity_session_each_stored(struct comity_mod *m, const struct comity_session *s,
                                void (*each)(void *arg, uint64_t id), void *arg);
/* The same for a stanza in flight, with what was added to it. */
void comity_session_send_rq(struct comity_session *s, struct comity_rq *rq);
/* Writes what a hook of COMITY_TO_SESSION has held back, past these hooks. When the session is over, it goes the way
 * of what was not acknowledged: to another session, to offline storage, or back. */
void comity_session_write(struct comity_session *s, const struct comity_stanza *st, struct comity_jid *from,
                          struct comity_jid *to);
/* Of a stream before login: the address the client connects from. */
const char *comity_rq_address(const struct comity_rq *rq);

/* Time: milliseconds that only go forward, microseconds since 1970. */
uint64_t comity_now(const struct comity_mod *m);
int64_t comity_wall_us(const struct comity_mod *m);
void comity_random(const struct comity_mod *m, void *bytes, size_t len);
/* XEP-0082 text of a time, such as 2026-11-21T05:00:00.123Z, into out[32]. */
void comity_format_time(int64_t wall_us, char *out);
/* Microseconds since 1970 of the server's start. */
int64_t comity_started_us(const struct comity_mod *m);

void comity_log(const struct comity_mod *m, enum comity_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#pragma GCC visibility pop

#endif
