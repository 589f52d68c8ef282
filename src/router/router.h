/* SPDX-License-Identifier: MIT */
/* What the server is made of, per process and per worker, and what a configuration asks for. */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/pressure.h"
#include "comity/module.h"
#include "net/jobs.h"
#include "net/peers.h"
#include "net/worker.h"
#include "router/fed.h"
#include "router/image.h"
#include "store/journal.h"
#include "store/store.h"
#include "stream/c2s.h"
#include "xmpp/jid.h"

struct asks;
struct host;

/* ---- one configuration, checked and complete; immutable and shared ---- */

struct module_settings {
	const struct comity_module *def;
	const void *conf;                /* of def->conf_size; NULL when that is 0 */
};

enum conflict_policy { CONFLICT_REPLACE, CONFLICT_REFUSE };

struct host_settings {
	struct stream_host *stream;      /* name, address, TLS, mechanisms */
	struct module_settings *modules; /* sorted by name */
	size_t module_count;
	unsigned max_sessions;           /* per account */
	enum conflict_policy conflict;
	bool federates;                  /* talks to other servers */
};

struct settings {
	_Atomic unsigned refs;
	struct c2s_limits limits;
	struct fed_settings fed;
	struct host_settings *hosts;     /* the first is the default where a client names none */
	size_t host_count;
	uint64_t sm_resume_ms;           /* how long a session without a stream can be resumed */
	uint64_t sm_ack_ms;              /* for the answer to a request to acknowledge */
	const char *sm_location;         /* where clients had better come to resume; NULL: not told */
	unsigned sm_unacked;             /* stanzas that a client may leave unacknowledged */
	unsigned idle_accounts;          /* kept in memory without sessions, per worker */
	unsigned waiting_stanzas;        /* for an account that is being loaded */
	void *conf;                      /* what owns the values; given to free_conf at the end */
	void (*free_conf)(void *conf);
};

struct settings *settings_ref(struct settings *s);
void settings_unref(struct settings *s);

/* ---- the process ---- */

struct server {
	struct comity_env *env;
	struct worker **workers;
	unsigned worker_count;
	struct store *store;
	struct jobs *jobs;
	struct peers *peers;
	struct tls_shared *tls;
	struct pressure pressure;
	int64_t started_us;
	unsigned char dialback_secret[32];
};

/* The one worker where all of an account is touched (DESIGN, section 3). */
struct worker *home_of(const struct server *server, const struct comity_jid *jid);

/* ---- per worker ---- */

/* What is remembered of sessions that could have been resumed. */
#define ENDED_MAX 256
struct ended_session {
	char id[33];
	uint64_t account;                /* hash of its address */
	uint32_t count;
};

/* A message that was noted as handled before all of it was safe. */
#define EARLY_MAX 1024
struct early_note {
	uint64_t key;
	struct image_handled item;
};

struct router {
	struct server *server;
	struct worker *worker;
	struct settings *settings;
	struct map hosts;                /* name to struct host */
	struct host **host_list;
	size_t host_count;
	struct map accounts;             /* bare address to struct comity_account */
	struct list idle;                /* accounts nobody uses now, the longest idle first */
	size_t idle_count;
	struct list streams;
	bool is_stopping;                /* nobody binds any more */
	struct c2s_shared c2s;
	struct federation *fed;
	struct asks *asks;
	struct journal *journal;         /* NULL: sessions do not outlive the process */
	struct {
		uint64_t seen;           /* what store_answered() said, */
		uint64_t *deliveries;    /* when the workers had emptied their mailboxes so often: this one, and */
		bool is_taken;           /* the others later, when all of it had come here */
		uint64_t noted;          /* what the journal says; see RECORD_STORED */
	} answered;
	bool is_unwritten;               /* it was closed, and has not all of it */
	bool has_stopped, is_ending;     /* see archive_calls_try(), archive_calls_end() */
	struct list archive_calls;       /* that are yet to be answered (storeapi_archive.c) */
	size_t archive_appends;          /* among them */
	struct list unsynced;            /* struct sm_item: in the journal, not yet durable, in their order */
	struct list telling;             /* struct session_sm: told a count in this turn */
	struct list changed;             /* struct session_sm: their state is to be written in this turn */
	struct early_note *early;        /* the newest EARLY_MAX; NULL: there was none */
	size_t early_count;
	struct list endings;             /* sessions that have ended and must stay in it for now */
	struct map dormant;              /* sessions of before the restart that nobody has asked for */
	struct timer dormant_timer;
	struct comity_rq *current;       /* the request whose handlers run */
	struct ended_session ended[ENDED_MAX];
	unsigned ended_next;
	uint64_t session_serial;
	uint64_t messages, message_serial; /* key and hash of the causes of messages whose senders give none */
	enum pressure_level pressure;    /* that router_on_pressure() saw last */
	_Atomic uint64_t session_count, account_count; /* read by other threads */
};

/* Makes the router of a worker; it serves nothing until router_configure ran on the worker. */
struct router *router_new(struct server *server, struct worker *worker);
void router_free(struct router *r);
static inline struct router *router_of(const struct worker *w)
{
	return w->router;
}
/* On each worker, before any takes over a configuration: sessions of hosts that it does not have end. */
void router_part_hosts(struct router *r, const struct settings *settings);
/* On the worker: takes over a configuration. The first one may fail, when DNS cannot be used; a changed one cannot: all
 * that may be wrong with it has been found when its settings were made (assemble_settings()). */
int router_configure(struct router *r, struct settings *settings, struct err_text *et);
/* On the worker: ends every stream of a client, as the server is being stopped, and lets no other begin. */
void router_close_streams(struct router *r);
/* Before traffic: sessions are kept in a journal from now on. */
int router_open_journal(struct router *r, const struct journal_conf *conf, struct err_text *et);
void router_close_journal(struct router *r);
/* On the worker, before it stops: clients that can resume are told what is safe and cut off. */
void router_part_clients(struct router *r);
/* The worker's thread is gone, and the journal closed: sessions leave memory, and stay in the journal; so does what
 * waits for other servers. */
void router_forget_sessions(struct router *r);
/* Appends for the request that is handled, if that was accepted long ago: until there is room, as often as it takes;
 * what is to be appended to that archive meanwhile comes behind. False: an append like any other will do. */
bool archive_call_append(struct comity_mod *m, const struct comity_jid *owner, const char *store,
                         const struct store_entry *entry, uint64_t max_entries, comity_write_cb *cb, void *arg);
/* The worker's thread is gone: what waits for the store is tried once more, while messages that wait for it still find
 * sessions and the journal. */
void archive_calls_try(struct router *r);
/* The journal is closed, and has what is still kept for anybody: they are tried for the last time. */
void archive_calls_end(struct router *r);
/* The host of a name served here; NULL: not ours. */
struct host *router_find_host(const struct router *r, const char *name);

/* Counts an accepted connection; false: it was over a limit (or limits is NULL), was told so in a stream of the
 * namespace ns (NULL: not told), and is closed. */
bool router_admit(struct router *r, int fd, const char *address, const struct peers_limits *limits, const char *ns);
/* A client connected; for listeners. direct_tls as in c2s_accept. */
void router_accept(struct worker *w, int fd, const char *address, bool direct_tls);

/* ---- when memory is short (shed.c) ---- */

struct comity_rq;
/* On the worker: the level has changed. */
void router_on_pressure(struct router *r);
/* Whether nothing new is to be begun: no connection, login or binding; counts it then. */
bool shed_login(struct router *r);
/* Refuses or drops what a client or (is_remote) another server sends, if it has to be; true: it is consumed. */
bool shed_stanza(struct comity_rq *rq, bool is_remote);

/* ---- routing (route.c) ---- */

/* Sends a request on its way by its address; consumes it. */
void route(struct comity_rq *rq);
/* Something goes to another worker. When its mailbox is full, whoever feeds it from here is read no further for now:
 * the session, or (NULL) the one whose stanza is being handled. */
void route_relieve(struct router *r, const struct comity_session *s, struct worker *home);
/* The same who makes many others get something is charged for so many stanzas of so many bytes together. */
void route_charge(struct router *r, const struct comity_session *s, size_t count, size_t bytes);
/* A stanza from a bound session; consumes it. */
void route_from_session(struct comity_session *s, struct comity_stanza *st);
/* A stanza that another server sent and may send; consumes it. */
void route_from_remote(struct comity_rq *rq);
/* Delivers to an account on this worker by the rules of RFC 6121 8.5, after the hooks (deliver.c);
 * consumes the request. */
void deliver_to_account(struct comity_account *a, struct comity_rq *rq);
/* Runs the hooks behind rq's cursor and then what comes next. */
void deliver_continue(struct comity_rq *rq);
/* Offers an iq get or set to modules; the verdict of the first row that fits, COMITY_PASS for none. */
int iq_dispatch(struct host *h, struct comity_rq *rq, unsigned to);

#endif
