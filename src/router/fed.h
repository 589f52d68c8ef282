/* SPDX-License-Identifier: MIT */
/* Federation on one worker: the links to the remote domains that are at home here, and the streams that
 * came in. Each remote domain has one home, as each local address has. */
#ifndef ROUTER_FED_H
#define ROUTER_FED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/quota.h"
#include "comity/directory.h"
#include "comity/option.h"
#include "net/dial.h"
#include "net/dns.h"
#include "stream/s2s.h"

struct comity_rq;
struct router;
struct settings;
struct worker;

/* ---- settings ---- */

/* What is said of a domain, *.domain (all below it) or * (all). */
struct fed_route {
	const char *domain;
	const char *host;              /* where to connect; NULL: found by DNS */
	unsigned port;
	bool is_direct_tls;
	struct s2s_policy policy;
};

struct fed_settings {
	struct s2s_limits limits;
	struct s2s_policy policy;      /* where no route says another */
	struct fed_route *routes;
	size_t route_count;
	const struct comity_list *allow, *deny;   /* domains and *.domains; an empty allow is all */
	struct dial_settings dial;
	struct dns_settings dns;
	size_t queue_bytes, queue_stanzas;        /* of one link */
	size_t total_bytes;                       /* of all links of a worker */
	size_t presence_bytes, presence_total;    /* who is seen as available: of one link, of all of a worker */
	uint64_t queue_age_ms;
	uint64_t retry_min_ms, retry_max_ms;
	size_t links;                             /* remembered per worker */
	size_t links_per_user;                    /* of those, that are not reached yet; 0: a part of them */
	size_t verifications;                     /* dialback keys being asked about, per worker */
	bool uses_dns;
	const struct comity_list *directories;    /* domains, in the order in which they are asked */
	uint64_t directory_ms;                    /* for all of them together */
	bool trusts_directories;                  /* a fingerprint of theirs needs no authority */
	bool registers;                           /* with all of them */
	struct comity_route place;                /* what is registered; expires_s is what is asked for */
};

/* Fills in *policy for a domain and returns the route, NULL for none (fed_policy.c). */
const struct fed_route *fed_find_route(const struct fed_settings *f, const char *remote);
const struct s2s_policy *fed_find_policy(const struct fed_settings *f, const char *remote);
/* True when a pattern (a domain, *.domain or *) covers a domain. */
bool fed_pattern_covers(const char *pattern, const char *domain);

/* ---- the part of a worker ---- */

struct federation {
	struct router *router;
	struct dns *dns;
	struct map links;              /* "local remote" to struct fed_link */
	size_t link_count;
	struct quota reached_for;      /* links that are not usable yet, by who has written to them */
	struct list probes;            /* links of comityctl why */
	struct list used, unused;      /* links, those used last at the end; unused: without stream, queue or presence */
	struct timer trim;             /* lets links go when there are too many */
	struct list streams;           /* struct s2s, both directions */
	struct list suspended;         /* struct fed_suspended: streams of theirs that they may resume, the oldest first */
	size_t suspended_count;
	struct timer sweep;
	struct s2s_shared shared;
	struct map silent_directories; /* struct silence by name: did not answer lately */
	struct list registrations;     /* struct fed_registration, on one worker only */
	struct timer registering;
	size_t queued_bytes;           /* of what waits for other servers or their acknowledgement, */
	struct quota queued_for;       /* and for whom */
	size_t check_count;            /* dialback keys being asked about, */
	struct quota checkers;         /* and of which address */
	size_t seen_count, seen_bytes; /* remote resources that are seen as available, of all links */
	struct list tellers;           /* links that have some of that to tell or to ask; */
	struct list farewells;         /* struct fed_farewell: what links that are gone had; */
	struct timer telling;          /* a part of it per turn */
	bool is_stopping, is_over;
};

enum link_state {
	LINK_IDLE,
	LINK_DIALING,
	LINK_NEGOTIATING,
	LINK_READY,
	LINK_WAITING       /* until it is tried again */
};

/* One try, for those who ask later. */
struct fed_attempt {
	int64_t at_us;                 /* since 1970; 0: none */
	enum s2s_cause cause;          /* S2S_CAUSE_NONE: it succeeded */
	char *why;
};

#define FED_ATTEMPTS 4

/* Where a directory said that a domain is. */
struct fed_place {
	struct comity_route route;
	uint64_t until;
	bool is_doubtful;              /* it failed; good only when no directory answers */
};

/* What directories say of a domain. */
enum fed_found {
	FED_FOUND,         /* link->place */
	FED_UNKNOWN,       /* none knows it */
	FED_SILENT         /* none answers */
};

/* From one of our domains to one of theirs. */
struct fed_link {
	struct federation *fed;
	char *key, *local, *remote;    /* all lie behind the struct */
	struct stream_host *host;
	enum link_state state;
	struct quota_holder *reached_for;   /* for whom it is not usable yet; NULL: it is, or for nobody */
	struct dial *dial;             /* while LINK_DIALING, and kept for the next address */
	struct fed_lookup *lookup;     /* while LINK_DIALING: directories are being asked */
	struct fed_place *place;       /* what they said; NULL: nothing */
	bool is_by_place, is_by_old_place;   /* dialled there; without asking again */
	struct s2s *out;               /* our stream; NULL: none */
	struct s2s *bidi;              /* theirs, which we may use */
	struct s2s_sm *suspended;      /* of the last stream, with what it had not acknowledged; NULL: nothing */
	struct list queue;             /* struct fed_item */
	size_t queue_bytes, queue_count;
	struct list returned;          /* struct fed_item: given back by stream management, to stand before the queue */
	struct list checks;            /* dialback keys to verify */
	struct timer timer;
	struct list use;               /* in fed->used or fed->unused */
	struct map seen;               /* struct fed_seen by addresses */
	size_t seen_bytes;
	size_t unasked_count;          /* of those in seen, presence that nobody here has wanted */
	uint32_t seen_serial;          /* of what was noted last; */
	uint32_t lost_serial;          /* and when the domain was lost */
	bool is_losing, is_regaining, is_refreshing;   /* not all have been told of that, or asked */
	struct list telling;           /* in fed->tellers */
	bool has_stale;                /* some in seen have changed, and that was not passed on */
	bool wants_back;               /* lost while some are seen as available: to be reached again, or they go */
	bool is_missed;                /* lost; wants_back when some turn out to be seen */
	uint64_t failing_since;        /* 0: the last try succeeded */
	uint64_t retry_at, backoff_ms;
	uint64_t ready_at, last_used;
	uint64_t sent, received, bounced;
	enum s2s_cause cause;          /* of the last failure; S2S_CAUSE_NONE after success */
	char why[384];
	struct fed_attempt attempts[FED_ATTEMPTS];   /* the newest first */
	struct list probe;             /* in fed->probes */
	bool no_external;              /* the peer refuses our certificate */
	bool is_probe;                 /* of comityctl why; not in the map */
	void (*note)(void *arg, const char *line);
	void (*done)(void *arg, const struct fed_link *l);
	void *arg;
};

/* So that not all try at once: a time of about ms. */
uint64_t fed_jitter(struct federation *f, uint64_t ms);
/* Once per worker; the resolver begins with the first configuration. */
struct federation *fed_new(struct router *r);
int fed_configure(struct federation *f, struct err_text *et);
void fed_free(struct federation *f);
/* Ends all streams with system-shutdown and opens no more. */
void fed_stop(struct federation *f);
/* Before that: some server is just being reached for what waits. */
bool fed_is_reaching(const struct federation *f);
/* And: streams whose peers are told what is safe are read no more; on some of them came what is not safe yet. */
void fed_hush(struct federation *f);
bool fed_has_unsafe(const struct federation *f);
/* Threads have ended: what waits for other servers, or comes to wait, is let go, and those who said it hear of that by
 * mail. */
void fed_forget_queues(struct federation *f);
/* Ends links and streams of a host that is no longer served or no longer federates. */
void fed_end_host(struct federation *f, const char *local);

/* Another server connected; for listeners. */
void fed_accept(struct worker *w, int fd, const char *address, bool direct_tls);
/* Takes a request for a domain that is not served here, on any worker; consumes it. */
void fed_route(struct router *r, struct comity_rq *rq);
/* A request of another server that link_note_presence() knows is done with: has it reached a session that has wanted it? */
void fed_note_reach(struct comity_rq *rq);
/* Tries to reach a domain from scratch and tells each step; done comes once, and the link is gone after it. */
void fed_probe(struct federation *f, const char *local, const char *remote, void (*note)(void *arg, const char *line),
               void (*done)(void *arg, const struct fed_link *l), void *arg);

/* ---- links (fed_link.c) ---- */

/* The link, made when missing; NULL when local is no host that federates, or there are too many links. */
struct fed_link *link_get(struct federation *f, const char *local, const char *remote);
struct fed_link *link_find(const struct federation *f, const char *local, const char *remote);
/* Sends or queues; consumes it. */
void link_send(struct fed_link *l, struct comity_rq *rq);
/* A step, one line, for those who watch (fed_directory.c). */
void link_note(const struct fed_link *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What a look-up gave; why is a sentence for people. */
void link_on_found(struct fed_link *l, enum fed_found found, const char *why);
/* Tries at once, however long it was to wait. */
void link_retry(struct fed_link *l);
/* Closes it and returns what is queued to its senders. */
void link_end(struct fed_link *l, enum s2s_cause cause, const char *text);
void link_free(struct fed_link *l);
struct worker *link_worker(const struct fed_link *l);
const struct fed_settings *link_settings(const struct fed_link *l);
/* There is a reason to reach the domain, even when nobody says anything now. */
bool link_has_work(const struct fed_link *l);
/* Begins to reach the domain anew, whatever the link waits for. */
void link_open(struct fed_link *l);
void link_open_if_idle(struct fed_link *l);
/* An attempt has failed. What may wait does, or goes another way, the rest goes back to its senders with the cause. */
void link_fail(struct fed_link *l, enum s2s_cause cause, const char *text);
void link_set_why(struct fed_link *l, const char *text);
/* For those who ask what was tried last. */
void link_remember(struct fed_link *l, enum s2s_cause cause, const char *why);
/* Of fed_probe(): tells whoever asked, and frees the link. */
void link_end_probe(struct fed_link *l);
/* Sets the timer for what is due next. */
void link_schedule(struct fed_link *l);

/* ---- what its streams tell (fed_stream.c) ---- */

/* The pair has been proved on a stream of theirs. */
void link_on_incoming(struct fed_link *l, struct s2s *s);
/* On ours. */
void link_on_usable(struct fed_link *l);
void link_on_proved(struct fed_link *l);
void link_on_managed(struct fed_link *l);
void link_on_closed(struct fed_link *l, struct s2s *s, enum s2s_cause cause, const char *text);
/* Some of it is seen here and wanted: if it was lost, it is reached again. */
void link_miss_presence(struct fed_link *l);

/* ---- how many there are (fed_bound.c) ---- */

/* It has just been used, or what it has to do has changed. */
void link_note_use(struct fed_link *l);
/* For a link more; when it becomes close, those that can go do so in the next turn. */
bool fed_has_room(struct federation *f);
/* For whom a stanza to another server counts. */
const char *fed_owner_of(const struct comity_rq *rq);
/* Whether one more link may be reached for who sends this; of a link that he is to share nothing is asked. */
bool fed_may_reach(const struct federation *f, const struct fed_link *l, const struct comity_rq *rq);
/* It counts for who has sent this, until it is usable or nothing waits for it any more. */
void link_count_for(struct fed_link *l, const struct comity_rq *rq);
/* For the timer of the federation. */
void fed_trim(struct worker *w, struct timer *t);

/* ---- dialback keys to verify (fed_check.c) ---- */

/* Why a key that came on s cannot be verified now; NULL: it can. */
const char *fed_refuse_check(const struct federation *f, const struct s2s *s);
/* Asks the server of remote about a dialback key that came on s. */
void link_verify(struct fed_link *l, struct s2s *s, const char *key);
/* The stream of the link can be asked on. */
void link_ask_checks(struct fed_link *l);
void link_on_verify_answer(struct fed_link *l, const struct dialback_check *check, enum dialback_answer answer,
                           const char *text);
/* Answers with an error those that have waited since before a moment. */
void link_end_checks_before(struct fed_link *l, uint64_t moment, enum comity_cond cond, const char *text);
/* Since when the oldest waits; UINT64_MAX for none. */
uint64_t link_oldest_check(const struct fed_link *l);
void link_drop_checks(struct fed_link *l);

/* ---- directories of routes: asking (fed_directory.c), being found (fed_register.c) ---- */

/* True when the domain is a directory. */
bool directory_is_one(const struct fed_link *l);
/* True when there are directories to ask about the domain, and it is none of them. */
bool directory_applies(const struct fed_link *l);
/* The place that is known and still good; NULL: none. */
const struct fed_place *directory_place(const struct fed_link *l, uint64_t now);
/* Asks them in order; link_on_found() follows, perhaps at once. */
void directory_ask(struct fed_link *l);
/* Ends a look-up that is not needed any more. */
void directory_cancel(struct fed_link *l);
void directory_forget_silence(struct federation *f);
/* Whether the certificate of a stream is one that a directory knows: as s2s_shared.vouched. */
enum s2s_vouched directory_vouch(struct s2s *s, const char *remote);
/* On one worker, after all have the configuration: registers our hosts, and goes on doing so. */
void fed_register(struct federation *f);
void fed_register_free(struct federation *f);

/* ---- what waits (fed_queue.c) ---- */

/* Lets a request wait, or bounces it when too much does; consumes it. */
void link_enqueue(struct fed_link *l, struct comity_rq *rq);
/* The other server's own stream goes both ways (XEP-0288), and does so whatever happens to ours. */
bool link_has_bidi(const struct fed_link *l);
bool link_can_write(const struct fed_link *l);
/* Of what was sent some may not have arrived; perhaps nobody can tell now. */
bool link_awaits_acks(const struct fed_link *l);
/* What came back from a stream is again the first of what waits. */
void link_take_back(struct fed_link *l);
/* Writes to the stream that is ready; consumes the request unless it returns false: the stream ends. */
bool link_write(struct fed_link *l, struct comity_rq *rq);
/* Writes what waits. */
void link_flush(struct fed_link *l);
/* Returns a request to its sender. */
void link_bounce(struct fed_link *l, struct comity_rq *rq, enum comity_cond cond, const char *text);
/* Returns to their senders all that waits. */
void link_return_all(struct fed_link *l, const char *text);
/* Returns with the cause of the last failure what has waited since before a moment, or for too long. */
void link_bounce_before(struct fed_link *l, uint64_t moment);
void link_bounce_old(struct fed_link *l);
/* Since when the oldest waits; UINT64_MAX for none. */
uint64_t link_oldest(const struct fed_link *l);
bool link_has_unacked(const struct fed_link *l);
/* Takes over the stream management of a stream that is lost. */
void link_keep_managed(struct fed_link *l, struct s2s *s);
/* What was sent on it goes back in front of the queue. */
void link_requeue_suspended(struct fed_link *l);
void link_drop_queue(struct fed_link *l);
/* What stream management tells of a token. */
void link_on_acked(struct fed_link *l, void *token);
void link_on_unacked(struct fed_link *l, void *token);
void link_rewrite(struct fed_link *l, void *token);

/* ---- presence of the remote domain (fed_presence.c) ---- */

/* Presence that came in; returns what it is known by if it has to be remembered, else 0. What is remembered first counts
 * as unasked, as nobody is known to have wanted it yet. */
uint32_t link_note_presence(struct fed_link *l, enum comity_type type, struct comity_jid *from, struct comity_jid *to,
                            bool *is_unasked);
/* It reached nobody: it need not be remembered. */
void link_unsee_presence(struct fed_link *l, const struct comity_jid *from, const struct comity_jid *to, uint32_t serial);
/* It reached somebody who has wanted it, or has not: then its domain is not asked for it, nor reached for that. */
void link_note_unasked(struct fed_link *l, const struct comity_jid *from, const struct comity_jid *to, uint32_t serial,
                       bool is_unasked);
bool link_has_presence(const struct fed_link *l);
/* Some of it is wanted here. */
bool link_has_asked_presence(const struct fed_link *l);
/* The domain is lost: all that were available go unavailable, some hundreds a turn. */
void link_lose_presence(struct fed_link *l);
/* The same for a link that goes. */
void link_leave_presence(struct fed_link *l);
/* What came of this resource is not passed on: memory is short. */
void link_note_stale(struct fed_link *l, const struct comity_jid *from, const struct comity_jid *to);
/* It is again: asks how those are now. */
void link_refresh_presence(struct fed_link *l);
/* It is back: asks how those are now. */
void link_regain_presence(struct fed_link *l);
void link_forget_presence(struct fed_link *l);
/* For the timer of the federation. */
void fed_tell_presence(struct worker *w, struct timer *t);
void fed_forget_presence(struct federation *f);

#endif
