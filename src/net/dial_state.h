/* SPDX-License-Identifier: MIT */
/* What the parts of reaching another server share; nothing outside src/net/dial*.c includes this. */
#ifndef NET_DIAL_STATE_H
#define NET_DIAL_STATE_H

#include <arpa/inet.h>
#include <netinet/in.h>

#include "net/dial.h"

#define TARGETS_MAX 16
#define ADDRESSES_MAX 16
#define LINE_MAX_BYTES 512

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} sock;
	socklen_t len;
};

/* One connection in the making. */
struct attempt {
	struct list link;
	struct dial *dial;
	struct timer timer;
	struct address address;
	void *making;
	uint64_t since;
	char text[INET6_ADDRSTRLEN];
};

struct dial {
	struct worker *worker;
	struct dns *dns;
	struct dial_settings settings;
	const struct dial_events *events;
	void *owner;
	char *domain, *ascii;          /* ascii NULL: the domain cannot be a name */
	bool is_fixed;                 /* the host was given */
	struct srv_target targets[TARGETS_MAX];
	size_t target_count, target;   /* target: the one that is tried */
	struct dns_query *srv[2];      /* with STARTTLS, with direct TLS */
	enum dns_result srv_result[2];
	bool is_absent[2];             /* "." was among the answers */
	bool is_srv_authentic;         /* that, or that there is nothing, with STARTTLS */
	struct dns_query *ask[2];      /* AAAA, A */
	enum dns_result ask_result[2];
	uint64_t asked_at;
	struct address found[2][ADDRESSES_MAX];
	size_t found_count[2], used[2];
	bool v4_next;
	bool is_authentic[2];          /* the addresses */
	struct dns_query *tlsa_query;  /* of the target */
	uint64_t tlsa_asked_at;
	struct dns_record *tlsa;       /* authentic ones of the target; NULL: none */
	size_t tlsa_count;
	bool is_reached_authentic;     /* what was reached last has an authentic address */
	int held;                      /* reached, but TLSA records are awaited; -1: none */
	char held_address[INET6_ADDRSTRLEN];
	struct timer tlsa_timer;       /* while held */
	struct list attempts;          /* the newest last */
	unsigned attempt_count;
	struct timer step;             /* what comes next without anybody else */
	struct timer total;
	enum dial_failure failure;
	char why[LINE_MAX_BYTES];
	bool has_failure, reached_any;
	bool is_planned;               /* the targets are known */
	bool is_resting;               /* since on_connected, until dial_next */
	bool is_late;                  /* the time ended while resting */
};

/* In dial.c. */
void dial_note(const struct dial *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dial_note_answer(const struct dial *d, const char *kind, const char *name, const struct dns_answer *answer);
unsigned long long dial_ms_since(const struct dial *d, uint64_t since);
/* Keeps what says most. */
void dial_remember(struct dial *d, enum dial_failure failure, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Ends it; the dial may be gone afterwards. */
void dial_fail(struct dial *d);

/* In dial_race.c: the addresses of one target, and then of the next. The dial may be gone afterwards. */
void dial_begin_target(struct dial *d);
/* Does the next thing that can be done now. */
void dial_go_on(struct dial *d);
void dial_drop_attempts(struct dial *d);
/* Remembers what it is that the target did not do in time; false when there is nothing. */
bool dial_remember_late(struct dial *d);

/* In dial_tlsa.c. */
void dial_tlsa_init(struct dial *d);
/* Forgets the records of the last target, and asks for those of this one if that makes sense. */
void dial_tlsa_begin(struct dial *d);
/* Ends the question, and closes what is held. */
void dial_tlsa_stop(struct dial *d);
/* A connection is there: tells the owner, at once or when the records are known. The dial may be gone
 * afterwards. */
void dial_tlsa_connected(struct dial *d, int fd, const char *address);

#endif
