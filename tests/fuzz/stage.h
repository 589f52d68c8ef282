/* SPDX-License-Identifier: MIT */
/* A whole server and all who talk to it, in one process, played from the bytes of a fuzzer: clients of three accounts
 * with several sessions each, another server in both directions, time, a store that fails, stops and starts. */
#ifndef TESTS_FUZZ_STAGE_H
#define TESTS_FUZZ_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ear.h"
#include "faults.h"
#include "grammar.h"
#include "life.h"

#define HOST "localhost"
#define REMOTE "remote.test"
#define CLIENTS 6
#define PEERS 6          /* connections of the other server, whoever made them */
#define PENDING_MAX 64

/* What may happen beside clients that come, speak and go. */
enum scene { SCENE_REMOTE = 1, SCENE_STORE = 2, SCENE_ENDS = 4 };

struct stage;

/* Plays it; ends the process when the server does what it never may. act: what else happens now and then; or NULL. */
void stage_play(const uint8_t *data, size_t size, unsigned scenes, void (*act)(struct stage *s));

/* ---- between the files ---- */

/* A connection: bytes up to the server wait until it reads. */
struct line {
	struct stage *stage;
	struct conn *conn;         /* NULL: none, or the server has closed it */
	struct ear *ear;
	struct buf up, down;
	bool is_cut;               /* by this side */
	bool is_deaf;              /* this side reads nothing, and the server can write nothing */
	bool is_read;              /* the server wants to be told when there is something to read, */
	bool is_awaited;           /* and when it can write */
	bool is_sure;              /* it breaks only where somebody breaks it */
};

/* An iq that awaits its answer. */
struct pending {
	unsigned number;           /* qN */
	uint32_t sent;             /* of the stanzas of the session */
	unsigned answers;
};

struct client {
	struct line line;
	struct stage *stage;
	unsigned account;
	char bare[32], resource[16], full[1200], id[16];
	char sm_id[80];            /* "": no session that can be resumed */
	bool is_bound, wants_bind, is_resuming, is_managed;
	bool is_odd;               /* what it said may mean anything: nothing is expected any more */
	uint8_t manner;            /* how it answers */
	uint32_t sent, received;   /* stanzas, since stream management began */
	uint32_t told;             /* the last count of the server */
	bool was_told;
	char last_id[64];
	struct pending pending[PENDING_MAX];
	unsigned pending_count;
};

/* One connection of the other server. */
struct peer {
	struct line line;
	struct stage *stage;
	bool is_dialed;            /* by the server that is tested */
	bool is_open, is_proved, is_bidi, is_managed, is_leaving;
	uint32_t received;
	char sm_id[80];
	char last_id[64];
};

struct stage {
	struct life life;
	struct choices in;
	unsigned scenes;
	void (*act)(struct stage *s);
	struct client clients[CLIENTS];
	struct peer peers[PEERS];
	uint8_t remote_manner;     /* how the other server answers */
	bool is_remote_down, is_remote_deaf;
	struct faults faults;      /* of sockets and names */
	bool is_traced;            /* COMITY_TRACE is set: all that is said goes to the standard error output */
	unsigned serial;
	uint64_t carried;          /* bytes, to and from the server */
	uint64_t journaled;        /* bytes, written for it */
};

/* Lets the server work until nothing moves. */
void stage_run(struct stage *s);
void stage_pass(struct stage *s, uint64_t ms);

/* ---- connections (stage_line.c) ---- */

void line_open(struct line *l, struct stage *s, void (*heard)(void *owner, const struct heard *h), void *owner);
struct conn *line_make_conn(struct line *l, unsigned worker);
void line_say(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void line_add(struct line *l, const char *bytes, size_t len);
/* The server reads and what it wrote is heard; false when nothing moved. */
bool line_carry(struct line *l);
/* Nobody is there any more. */
void line_cut(struct line *l);
void line_close(struct line *l);
static inline bool line_is_up(const struct line *l)
{
	return l->conn != NULL && !l->is_cut;
}

/* ---- clients (stage_client.c) ---- */

void client_act(struct client *c);
/* Before the end: says what it has got, or leaves when nobody knows what it said. */
void client_settle(struct client *c);
/* What must be true of one that is there when all is quiet. */
void client_check(struct client *c);
/* The session is over or nothing is known of it. */
void client_forget(struct client *c, bool keeps_session);
void client_leave(struct client *c);

/* ---- the other server (stage_peer.c) ---- */

void peer_act(struct peer *p);
void peer_leave(struct peer *p);
/* What the server connects comes here. */
void stage_set_dialed(struct stage *s);

/* ---- the name servers (stage_names.c) ---- */

/* What the server asks them comes there. */
void stage_set_names(struct stage *s);

#endif
