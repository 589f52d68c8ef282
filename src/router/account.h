/* SPDX-License-Identifier: MIT */
/* Accounts in memory and their sessions. */
#ifndef ROUTER_ACCOUNT_H
#define ROUTER_ACCOUNT_H

#include "router/router.h"

enum account_state {
	ACCOUNT_LOADING,
	ACCOUNT_ACTIVE,
	ACCOUNT_ABSENT,    /* nobody has this address; remembered for a while */
	ACCOUNT_REMOVED    /* deleted, or its host is served no more; on its way out of memory */
};

struct comity_account {
	unsigned refs;
	struct router *router;
	struct host *host;
	struct comity_jid *jid;
	enum account_state state;
	struct list sessions;
	struct list waiting;       /* requests, until it is loaded */
	unsigned waiting_count;
	struct list binding;       /* streams that wait to bind */
	void **data;               /* per module slot */
	size_t data_count;         /* modules with a slot below it are at work here */
	unsigned asked;            /* host->tables, when its data were last asked for */
	bool was_active;           /* it may have sessions, also while it is loading again */
	struct list idle;          /* in router->idle while refs is 0 */
	bool is_temporary;         /* anonymous: gone with its last session */
	size_t bytes;              /* held for it, without its sessions */
};

/* A text that a module wants to find again after a restart. */
struct kept_text {
	struct list link;
	char *module, *key;
	char *value;               /* NULL: it is kept no more, which the journal is yet to be told */
	bool has_changed;          /* since the journal was told */
};

struct comity_session {
	unsigned refs;
	uint64_t id;
	struct comity_account *account;   /* with a reference */
	struct comity_jid *jid;
	struct c2s *stream;               /* with a reference; NULL once closed, or until it is resumed */
	struct list link;                 /* in account->sessions */
	struct session_sm *sm;            /* stream management; NULL: not enabled */
	bool is_ended;
	bool is_collected;                /* what modules keep is asked for, to be written */
	struct comity_stanza *presence;   /* NULL: not available */
	int64_t presence_us;
	int priority;
	void **data;
	size_t data_count;
	struct list kept;                 /* struct kept_text */
	struct list awaiting;             /* what modules wait for, see session_written.c */
	size_t bytes;                     /* held for it, without its stream and what is not acknowledged */
};

/* The account in memory, activated when it is not yet: then its state is ACCOUNT_LOADING. The caller
 * gets a reference. host must be the account's. */
struct comity_account *account_get(struct router *r, struct host *h, struct comity_jid *bare);
/* The same only if it is in memory; borrowed. */
struct comity_account *account_find(struct router *r, const struct comity_jid *bare);
/* Forgets that an address was absent. */
void account_forget_absent(struct router *r, const struct comity_jid *bare);
/* Queues a request until the account is loaded; consumes it. */
void account_wait(struct comity_account *a, struct comity_rq *rq);
/* Closes all sessions with an error, tells modules, and drops it from the table. */
void account_remove(struct comity_account *a);
/* Drops one without sessions from the table alone; whoever comes for that address gets another. */
void account_drop(struct comity_account *a);
/* Accounts in memory of one host or (NULL) of all, as what is done with them may change the table; each with a
 * reference. accounts_let_go() gives them and the array back. */
struct comity_account **accounts_collect(struct router *r, const struct host *only, bool with_sessions, size_t *count);
void accounts_let_go(struct comity_account **all, size_t count);
/* Loads what newly enabled modules want; called after a reconfiguration. */
void account_extend(struct comity_account *a);
/* Frees the idle ones beyond the budget; all with everything set. */
void accounts_evict(struct router *r, bool everything);

/* Bytes more, or less, that are held for it. */
void account_count(struct comity_account *a, ptrdiff_t bytes);
void session_count(struct comity_session *s, ptrdiff_t bytes);
/* All that is held for a session, with its stream; for an account, with its sessions. */
size_t session_size(const struct comity_session *s);
size_t account_size(const struct comity_account *a);

/* A session of the account without a stream; the list holds the reference. */
struct comity_session *session_new(struct comity_account *a, struct comity_jid *full);
struct kept_text *session_add_kept(struct comity_session *s, const char *module, const char *key, const char *value);
/* The journal has them as they are now. */
void session_kept_written(struct comity_session *s);
/* All sessions leave memory without a word to anyone: the process ends. */
void sessions_forget(struct comity_account *a);
/* Begins to bind c->bind_resource on the home of the account. */
void session_begin(struct c2s *c);
/* The session is over: modules are told, the resource is free again. */
void session_end(struct comity_session *s);
/* The stream is gone: the session ends, or waits to be resumed when it was cut off. */
void session_lose_stream(struct comity_session *s, bool was_cut);
/* Ends sessions that wait to be resumed, of one host or (NULL) of all. */
void sessions_end_suspended(struct router *r, const struct host *only);
struct comity_session *session_ref(struct comity_session *s);
void session_unref(struct comity_session *s);
/* Runs the hooks of COMITY_TO_SESSION and writes. */
void session_deliver(struct comity_session *s, struct comity_rq *rq);
/* Its stream has ended, though it may not know yet, and nothing keeps what it does not get: whatever is for it has to go
 * where it would go without this session. */
bool session_is_deaf(const struct comity_session *s);
/* Writes, after the hooks. */
void session_write(struct comity_session *s, const struct comity_rq *rq);
/* The stream that waits in account->binding goes on or is refused. */
void session_bind_waiting(struct comity_account *a);

/* The account could not be read: ends the streams of those clients, who may try again. */
void session_refuse_waiting(struct comity_account *a);

#endif
