/* SPDX-License-Identifier: MIT */
/* What a seed makes: a server, links, clients with stream management, and all that they say to each other. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "faults.h"
#include "life.h"
#include "net/conn.h"
#include "xml/parser.h"

#define CLIENTS_MAX 4
#define WIRES_MAX 64
#define MESSAGES_MAX 256
#define SESSIONS_MAX 256
#define QUEUE_MAX 512
#define NO_MESSAGE UINT32_MAX
/* Of a message, instead of a session: nobody is there, and nobody can tell. */
#define FOR_LATER UINT32_MAX
#define UNKNOWN (UINT32_MAX - 1)

struct world;

/* ---- connections ---- */

/* Bytes between a client and the server. */
struct wire {
	struct world *world;
	struct conn *conn;           /* the server's end; NULL: it has closed it */
	struct client *client;       /* NULL: it has left; the server may not know yet */
	struct buf up, down;         /* on their way */
	size_t whole;                /* of up: so many bytes arrive together or not at all */
	size_t arrived;              /* of up: the server may read them */
	bool is_over;                /* behind those nothing comes any more */
	bool is_used;
	bool is_read;                /* the server wants to be told when it can read */
	bool awaits_room;            /* the server wants to be told when it can write */
	bool is_ended;               /* the server says no more: what is on its way comes, and then the end */
};

/* ---- what is said ---- */

struct message {
	uint8_t sender, account;     /* client, and account of the receiver */
	bool is_full;                /* to a full address */
	uint8_t device;              /* of that address */
	bool may_double;             /* its sender had to log in anew and said it again */
	unsigned sayings;
	bool is_acked;               /* covered by an h that the sender was told */
	bool is_refused;             /* at some time the store had no room for it, */
	uint64_t refused_in;         /* behind so many crashes */
	bool is_returned;            /* its sender was told that it was not kept, */
	unsigned returned_at;        /* when so many sessions had begun */
	unsigned said_in;            /* the session of the last saying */
	unsigned said_as;            /* its number in that session */
	unsigned lapses;             /* when it was first said */
	unsigned arrivals;
	unsigned to_session;         /* that the receiver's only device had when it was first said; or one of these: */
	unsigned binds;              /* of the receiver's account until then */
};

/* A session as the client knows it. */
struct session {
	uint8_t client;
	bool has_forgotten;          /* the server may not know all of it any more: see struct world */
	uint32_t said;               /* messages */
	uint32_t *got;               /* messages that arrived, in order */
	size_t got_count, got_room;
	size_t confirmed;            /* of these, so many the server knows to have arrived */
};

/* ---- clients ---- */

enum client_state { AWAY, OPENING, RESUMING, BINDING, READY };
/* What is said beside messages, as an item of a queue: OTHER + kind * CLIENTS_MAX + to whom. */
#define OTHER 0x80000000u
enum other { PING, DIRECTED_PRESENCE, AWAY_PRESENCE, CHAT_STATE, PRESENCE, CARBONS };
enum policy { PROMPT, LATE, NEVER };

struct client {
	struct world *world;
	uint8_t number, account;
	char bare[32], resource[8];
	enum policy policy;
	bool wants_resume, wants_carbons;
	bool leaves_out;             /* when it resumes, it does not say again what was but for the moment */
	bool is_plain;               /* it does without stream management, and may lose what it says and gets */

	enum client_state state;
	struct wire *wire;
	struct xml_parser *parser;

	bool has_session;            /* one that can be resumed, or that is under way */
	unsigned session;            /* in world->sessions */
	char id[40];
	bool can_resume;
	uint32_t in, said, acked;    /* counters of XEP-0198: received; sent; of these, known to be handled */
	uint32_t queue[QUEUE_MAX];   /* what is not acknowledged: messages, or others */
	uint32_t again[QUEUE_MAX];   /* to be said again in a new session */
	size_t again_count;
	bool owes_ack, is_inactive;
};

struct world {
	struct life life;
	uint64_t seed, chance;
	bool is_traced;
	char violation[256];         /* of this seed; "" */
	struct wire wires[WIRES_MAX];
	struct client clients[CLIENTS_MAX];
	unsigned client_count, account_count;
	struct message messages[MESSAGES_MAX];
	unsigned message_count;
	struct session sessions[SESSIONS_MAX];
	unsigned session_count;
	bool has_bad_calls;          /* of sockets, and for memory while the store fails */
	struct faults sockets;
	unsigned lapses;             /* ends of the server that took with them what was not written, or not synced */
	unsigned binds[CLIENTS_MAX]; /* by account */
	bool is_settling;
	bool has_full_disks;         /* the disk may become full */
	bool has_faults, has_failed; /* calls of the store may fail; they have done so */
	unsigned faults;             /* times that they began to */
	/* Of all seeds. */
	uint64_t said, arrived, resumed, refused, crashes, stops, losses, returned, full, memory_failed;
};

/* Below a bound that is not 0. */
uint32_t chance(void *world, uint32_t below);
void trace(const struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The first one of a seed counts. */
void violate(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- wire.c ---- */

/* NULL when there is no server. */
struct wire *wire_new(struct world *w, struct client *c);
void wire_say(struct wire *l, const char *bytes, size_t len, bool is_whole);
/* Some of the bytes arrive. False: there were none. */
bool wire_carry_up(struct wire *l, size_t most);
bool wire_carry_down(struct wire *l, size_t most);
/* The client leaves: what it said may arrive yet. */
void wire_leave(struct wire *l);
/* The connection breaks: each side loses what was on its way behind some place. */
void wire_cut(struct wire *l);
/* The server hears of the end of a link that the client has left. */
void wire_end(struct wire *l);
/* The server's process is gone. */
void wire_lose_server(struct wire *l);
void wires_free(struct world *w);

/* ---- clients.c ---- */

void client_init(struct world *w, unsigned number, unsigned account);
void client_deinit(struct client *c);
void client_connect(struct client *c);
/* Closes the stream and thereby the session. */
void client_close(struct client *c);
/* Loses its connection. */
void client_drop(struct client *c);
void client_read(struct client *c, const char *bytes, size_t len);
/* The server has ended the connection. */
void client_on_end(struct client *c);
void client_say_message(struct client *c, const struct client *to, bool is_full);
void client_say_other(struct client *c, const struct client *to, enum other kind);
void client_ask(struct client *c);
void client_ack(struct client *c);
void client_switch_activity(struct client *c);

/* ---- checker.c ---- */

uint32_t message_new(struct client *c, const struct client *to, bool is_full);
void session_begin_log(struct client *c);
/* It goes on, and the server knows what came before. */
void session_confirm(struct client *c);
void message_said(struct client *c, uint32_t message);
void message_arrived(struct client *c, const char *body);
void message_returned(struct client *c, const char *body);
/* The store has no room for it. */
void message_refused(struct world *w, const char *xml, size_t len);
/* The server has said this in its log: what was on its way to an account that it cannot read goes back. */
void messages_unreadable(struct world *w, const char *line);
void message_acked(struct client *c, uint32_t message);
/* When all is quiet. */
void check_all(struct world *w);
void checker_reset(struct world *w);

#endif
