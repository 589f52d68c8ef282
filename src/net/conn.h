/* SPDX-License-Identifier: MIT */
/* A connection: bytes in, bytes out, TLS in between; it can move from worker to worker. */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "net/tls.h"
#include "net/worker.h"

struct backlog;
struct conn;
struct peers;

/* Why nothing is read for a while. Each reason ends by itself. */
enum conn_stop {
	CONN_STOP_LOGIN = 1 << 0,       /* an answer to the login or to the binding is awaited */
	CONN_STOP_RATE = 1 << 1,        /* more came than may come in a second */
	CONN_STOP_MAILBOX = 1 << 2,     /* another worker has too much mail */
	CONN_STOP_UNSAFE = 1 << 3,      /* too much of what came is not safe yet */
	CONN_STOP_MOVE = 1 << 4,        /* it is on its way to another worker */
	CONN_STOP_END = 1 << 5,         /* the server is being stopped */
	CONN_STOP_ASKED = 1 << 6,       /* a request from before the login is to be answered, which holds the stream here */
	CONN_STOP_BACKLOG = 1 << 7,     /* too much of what came is not dealt with yet */
};

/* What the owner is told, always on the connection's worker. */
struct conn_events {
	/* Plain text came. Returns how much was used; what is left comes again when the last
	 * reason to stop has ended; so do no bytes when nothing was left. */
	size_t (*on_data)(struct conn *c, void *owner, const char *bytes, size_t len);
	/* The TLS handshake is done. */
	void (*on_secured)(struct conn *c, void *owner);
	/* It is gone, or was told to close and is being flushed; the owner must forget it. reason is
	 * NULL after conn_close. */
	void (*on_closed)(struct conn *c, void *owner, const char *reason);
	/* It has arrived on another worker. */
	void (*on_moved)(struct conn *c, void *owner);
	/* Once after conn_tell_drained(); NULL for owners that never call it. */
	void (*on_drained)(struct conn *c, void *owner);
};

/* How bytes get out and in: sockets, or pipes of a simulation. */
struct conn_io {
	/* As recv and send: bytes, 0 at the end, or -1 with errno. */
	ssize_t (*recv)(struct conn *c, void *bytes, size_t room);
	ssize_t (*send)(struct conn *c, const void *bytes, size_t len);
	/* Which events to call conn_on_event for. */
	void (*watch)(struct conn *c, bool readable, bool writable);
	/* It goes to another worker; may be NULL. */
	void (*leave)(struct conn *c);
	void (*shut_write)(struct conn *c);
	void (*close)(struct conn *c);
	/* As conn_set_dead_after; may be NULL. */
	void (*set_dead_after)(struct conn *c, uint64_t ms);
};

#define CONN_ADDRESS_MAX 64

struct conn {
	struct worker *worker;
	uint64_t id;
	const struct conn_io *io;
	void *io_data;               /* of the io functions */
	int fd;
	const struct conn_events *events;
	void *owner;
	struct tls_session *tls;
	struct log_ctx log;
	struct list dirty;           /* in worker->dirty while something is to be done at the end of the turn */
	struct list all;             /* in worker->conns */
	struct list paused;          /* in worker->paused while it waits for a mailbox */
	struct list waiting;         /* in worker->lanes while it waits for its turn to be read */
	struct timer linger;
	struct buf out;              /* plain text to encrypt and send */
	struct buf wire;             /* cipher text, or plain text on its way without TLS */
	struct buf held;             /* plain text that the owner did not use yet */
	size_t out_limit;
	size_t stream_bytes;         /* of the owner, as it has told */
	size_t counted[3];           /* in the tally of the worker: TALLY_CONNECTIONS, _INPUT, _OUTPUT */
	struct peers *peers;         /* who counts it, until it has given back the places below */
	uint64_t new_until;          /* by the clock of the worker, when it was a stranger before; 0: it is as all others */
	struct worker *moving_to;
	const char *why_broken;      /* NULL: the connection was lost */
	char address[CONN_ADDRESS_MAX];
	bool is_secured, is_handshaking;
	bool is_stranger;            /* nobody has proved who it is */
	bool is_muted;               /* it waits for that, and need not be told of again */
	bool counts_as_stream;       /* among the streams of its address */
	unsigned stops;              /* of enum conn_stop: why nothing is read now */
	uint64_t read_since;         /* the end of the last stop, by the clock of the worker */
	struct backlog *backlog;     /* NULL: nothing was counted yet */
	bool is_closing, is_broken, is_lingering, is_owned, has_said_bye;
	bool is_deaf;                /* the peer: nothing can be sent any more */
	bool watches_write, is_delivering, got_eof;
	bool tells_drained;
};

/* Takes over a connected socket. The connection reads at once; the address is text for people. */
struct conn *conn_new(struct worker *w, int fd, const struct conn_io *io, void *io_data, const char *address,
                      size_t out_limit);
void conn_set_owner(struct conn *c, const struct conn_events *events, void *owner);
/* Begins TLS, as server or (with a server_name) as client, after what is queued has left in the clear.
 * chooser must outlive the handshake. */
void conn_start_tls(struct conn *c, const struct tls_chooser *chooser);
/* How much the owner holds for the stream: itself, its parser, input that is not used up. */
void conn_note_stream(struct conn *c, size_t bytes);
/* All that is held for the connection, in bytes. */
size_t conn_size(const struct conn *c);
/* Queues bytes for the end of the turn. -ERR_LIMIT when more than out_limit wait: the connection is broken, as by
 * conn_break. */
int conn_write(struct conn *c, const void *bytes, size_t len);
/* The output queue itself, for writers that build in place; call conn_touch afterwards. */
struct buf *conn_out(struct conn *c);
int conn_touch(struct conn *c);
size_t conn_queued(const struct conn *c);
/* The owner is told, at the end of a turn, when the system has taken all that is queued; never if it is closed first. */
void conn_tell_drained(struct conn *c);
/* It was admitted as a stranger and, if so, as a stream (peers_admit): the connection gives back the first place when it
 * is introduced, and what it then holds when it is gone, which may be some time after its owner has forgotten it. */
void conn_set_stranger(struct conn *c, struct peers *peers, bool counts_as_stream);
/* For conn: gives back its places. */
void conn_leave_peers(struct conn *c);
/* Who it is has been proved; more may wait for it from now on. Does nothing for one that is no stranger. */
void conn_introduce(struct conn *c, size_t out_limit);
/* Gives up a peer whose system stays silent this long: what was sent is not received, or it does not answer
 * when nothing is sent (TCP keep-alive). */
void conn_set_dead_after(struct conn *c, uint64_t ms);
/* Stops delivery of data; it goes on when no reason is left. */
void conn_stop(struct conn *c, enum conn_stop reason);
void conn_resume(struct conn *c, enum conn_stop reason);
static inline bool conn_is_stopped(const struct conn *c)
{
	return c->stops != 0;
}
/* After so long without a stop, what the peer had sent before has been read. */
#define CONN_READ_MS 1000
/* Whether silence is the peer's: false while what it has sent may wait here. */
static inline bool conn_is_read(const struct conn *c)
{
	return !conn_is_stopped(c) && list_empty(&c->waiting) && worker_now(c->worker) - c->read_since >= CONN_READ_MS;
}
/* Stops delivery until the mailbox of the worker has drained. */
void conn_pause_for(struct conn *c, struct worker *full);
/* Flushes, then closes; the owner is told at the end of the turn. */
void conn_close(struct conn *c);
/* Closes without flushing; the owner is told before the call returns. */
void conn_abort(struct conn *c, const char *reason);
/* Closes without flushing; the owner is told at the end of the turn. */
void conn_break(struct conn *c);
/* Leaves this worker at the end of the turn; on_moved follows on the other, and data again. */
void conn_move(struct conn *c, struct worker *to);

/* For io: the socket is ready. */
void conn_on_ready(struct conn *c, bool readable, bool writable);
/* The same of real sockets, where some wait for conn_serve_lanes. */
void conn_on_event(struct conn *c, bool readable, bool writable, bool is_hung_up);
/* Tells the io what the connection waits for. */
void conn_rewatch(struct conn *c);
/* Reads those who wait, for some milliseconds from each lane. Returns whether there were any. */
bool conn_serve_lanes(struct worker *w);
/* The io of real sockets. */
extern const struct conn_io conn_socket_io;
/* Of a real socket: it is being closed, and the peer's system has not taken all yet. */
bool conn_socket_is_leaving(const struct conn *c);
/* Turns an accepted socket away: sends what it can of the bytes and closes it. */
void conn_socket_refuse(int fd, const char *bytes, size_t len);

#endif
