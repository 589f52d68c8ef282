/* SPDX-License-Identifier: MIT */
/* A connection between the socket and its owner. */
#include "net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/backlog.h"
#include "net/worker_loop.h"

#define READ_SIZE 16384
/* How long a peer may take to read our last words before the socket goes. */
#define LINGER_MS 2000

static void describe_conn(const struct log_ctx *ctx, struct buf *out)
{
	const struct conn *c = LIST_ENTRY(ctx, struct conn, log);

	buf_printf(out, "conn id=%llu peer=%s", (unsigned long long)c->id, c->address);
}

/* ---- what it holds ---- */

/* The tally has what lasts over the turn; buffers that come and go within it are not worth counting. */
static void count(struct conn *c)
{
	struct tally *t = &c->worker->tally;
	size_t tls = c->tls != NULL ? tls_session_kept(c->tls) : 0;

	tally_set(t, TALLY_CONNECTIONS, &c->counted[0], sizeof(*c) + (c->tls != NULL ? TLS_SESSION_COST : 0));
	tally_set(t, TALLY_INPUT, &c->counted[1], c->stream_bytes + c->held.cap + tls);
	tally_set(t, TALLY_OUTPUT, &c->counted[2], c->out.cap + c->wire.cap);
}

static void uncount(struct conn *c)
{
	tally_set(&c->worker->tally, TALLY_CONNECTIONS, &c->counted[0], 0);
	tally_set(&c->worker->tally, TALLY_INPUT, &c->counted[1], 0);
	tally_set(&c->worker->tally, TALLY_OUTPUT, &c->counted[2], 0);
}

void conn_note_stream(struct conn *c, size_t bytes)
{
	c->stream_bytes = bytes;
	count(c);
}

size_t conn_size(const struct conn *c)
{
	return c->counted[0] + c->counted[1] + c->counted[2];
}

static void mark_dirty(struct conn *c)
{
	if (list_empty(&c->dirty))
		list_append(&c->worker->dirty, &c->dirty);
}

static void watch(struct conn *c, bool writable)
{
	bool readable = c->stops == 0 && !c->got_eof && !c->is_muted;

	c->watches_write = writable;
	c->io->watch(c, readable, writable);
}

void conn_rewatch(struct conn *c)
{
	watch(c, c->watches_write);
}

static void on_linger(struct worker *w, struct timer *t)
{
	struct conn *c = LIST_ENTRY(t, struct conn, linger);

	(void)w;
	c->is_broken = true;
	mark_dirty(c);
}

struct conn *conn_new(struct worker *w, int fd, const struct conn_io *io, void *io_data, const char *address,
                      size_t out_limit)
{
	struct conn *c = mem_new(sizeof(*c));
	size_t len = strlen(address);

	c->worker = w;
	c->id = w->conn_serial++ * w->peer_count + w->id + 1;
	c->fd = fd;
	c->io = io;
	c->io_data = io_data;
	c->out_limit = out_limit;
	if (len >= sizeof(c->address))
		len = sizeof(c->address) - 1;
	memcpy(c->address, address, len);
	list_init(&c->dirty);
	list_init(&c->paused);
	list_init(&c->waiting);
	list_init(&c->all);
	list_append(&w->conns, &c->all);
	c->linger.fire = on_linger;
	log_ctx_init(&c->log, &w->log, describe_conn);
	metrics_add(&w->metrics, METRIC_CONNECTIONS_OPENED, 1);
	watch(c, false);
	count(c);
	return c;
}

void conn_set_owner(struct conn *c, const struct conn_events *events, void *owner)
{
	c->events = events;
	c->owner = owner;
	c->is_owned = true;
}

size_t conn_queued(const struct conn *c)
{
	return buf_size(&c->out) + buf_size(&c->wire);
}

struct buf *conn_out(struct conn *c)
{
	return &c->out;
}

int conn_touch(struct conn *c)
{
	if (c->is_closing || c->is_broken)
		return -ERR_CLOSED;
	mark_dirty(c);
	if (conn_queued(c) <= c->out_limit)
		return 0;
	log_warning(&c->log, "does not read: %zu bytes wait, closing", conn_queued(c));
	c->why_broken = "it does not read";
	conn_break(c);
	return -ERR_LIMIT;
}

void conn_tell_drained(struct conn *c)
{
	/* What the owner writes now goes nowhere. */
	if (c->is_closing || c->is_broken)
		return;
	c->tells_drained = true;
	mark_dirty(c);
}

int conn_write(struct conn *c, const void *bytes, size_t len)
{
	if (c->is_closing || c->is_broken)
		return -ERR_CLOSED;
	buf_add(&c->out, bytes, len);
	return conn_touch(c);
}

/* ---- out ---- */

static int encrypt(struct conn *c)
{
	int rc = 0;

	if (c->tls == NULL) {
		if (buf_size(&c->wire) == 0) {
			struct buf swap = c->wire;

			c->wire = c->out;
			c->out = swap;
		} else {
			buf_add(&c->wire, buf_bytes(&c->out), buf_size(&c->out));
			buf_clear(&c->out);
		}
	} else if (c->is_secured) {
		rc = tls_session_write(c->tls, buf_bytes(&c->out), buf_size(&c->out), &c->wire);
		buf_deinit(&c->out);
	}
	return rc;
}

/* Sends what it can, and TLS's goodbye with our last words; -ERR_IO when the socket is gone. */
static int flush(struct conn *c)
{
	ssize_t n;

	if (buf_size(&c->out) != 0 && encrypt(c) != 0)
		return -ERR_IO;
	if (c->is_closing && c->is_secured && !c->has_said_bye) {
		c->has_said_bye = true;
		tls_session_bye(c->tls, &c->wire);
	}
	while (buf_size(&c->wire) != 0) {
		n = c->io->send(c, buf_bytes(&c->wire), buf_size(&c->wire));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -ERR_IO;
		metrics_add(&c->worker->metrics, METRIC_BYTES_OUT, (uint64_t)n);
		buf_consume(&c->wire, (size_t)n);
	}
	if (buf_size(&c->wire) == 0) {
		buf_deinit(&c->wire);
		buf_deinit(&c->out);
		if (c->watches_write)
			watch(c, false);
	} else if (!c->watches_write) {
		watch(c, true);
	}
	return 0;
}

/* ---- ends ---- */

static void tell_owner(struct conn *c, const char *reason)
{
	if (!c->is_owned)
		return;
	c->is_owned = false;
	if (c->events != NULL)
		c->events->on_closed(c, c->owner, reason);
	c->owner = NULL;
	c->stream_bytes = 0;
}

static void destroy(struct conn *c)
{
	tell_owner(c, c->why_broken != NULL ? c->why_broken : "connection lost");
	backlog_part(c);
	list_remove(&c->dirty);
	list_remove(&c->paused);
	list_remove(&c->waiting);
	list_remove(&c->all);
	worker_timer_stop(c->worker, &c->linger);
	metrics_add(&c->worker->metrics, METRIC_CONNECTIONS_CLOSED, 1);
	uncount(c);
	c->io->close(c);
	conn_leave_peers(c);
	tls_session_free(c->tls);
	buf_deinit(&c->out);
	buf_deinit(&c->wire);
	buf_deinit(&c->held);
	free(c);
}

/* All is sent: waits a moment for the peer to read, because closing a socket with unread input would reset it and take
 * our last words with it. */
static void begin_linger(struct conn *c)
{
	c->is_lingering = true;
	if (c->got_eof) {
		c->is_broken = true;
		mark_dirty(c);
		return;
	}
	c->io->shut_write(c);
	c->stops = 0;
	watch(c, false);
	worker_timer_start(c->worker, &c->linger, LINGER_MS);
}

void conn_close(struct conn *c)
{
	if (c->is_closing)
		return;
	c->is_closing = true;
	mark_dirty(c);
	/* A peer that does not read keeps nothing of ours for long. */
	worker_timer_start(c->worker, &c->linger, LINGER_MS);
}

void conn_abort(struct conn *c, const char *reason)
{
	c->is_broken = true;
	c->is_closing = true;
	mark_dirty(c);
	tell_owner(c, reason);
}

void conn_break(struct conn *c)
{
	c->is_broken = true;
	mark_dirty(c);
}

/* ---- in ---- */

/* Gives data to the owner, and keeps what it leaves. */
static void deliver(struct conn *c, const char *bytes, size_t len)
{
	size_t used = 0;

	if (c->is_closing || c->events == NULL)
		return;
	if (c->stops == 0 && buf_size(&c->held) == 0) {
		c->is_delivering = true;
		used = c->events->on_data(c, c->owner, bytes, len);
		c->is_delivering = false;
	}
	if (used < len && !c->is_closing)
		buf_add(&c->held, bytes + used, len - used);
}

static void end_of_input(struct conn *c, const char *reason)
{
	c->got_eof = true;
	if (c->is_lingering || c->is_closing)
		c->is_broken = true;
	else
		conn_abort(c, reason);
	mark_dirty(c);
	watch(c, c->watches_write);
}

static void step_handshake(struct conn *c)
{
	struct err_text et = { "" };
	enum tls_state state = tls_session_run(c->tls, &c->wire, &et);

	mark_dirty(c);
	if (state == TLS_HANDSHAKE)
		return;
	c->is_handshaking = false;
	if (state == TLS_FAILED) {
		metrics_add(&c->worker->metrics, METRIC_TLS_FAILURES, 1);
		err_text_prefix(&et, "TLS handshake failed");
		tell_owner(c, et.text);
		conn_close(c);
		return;
	}
	c->is_secured = true;
	metrics_add(&c->worker->metrics, METRIC_TLS_HANDSHAKES, 1);
	if (tls_session_resumed(c->tls))
		metrics_add(&c->worker->metrics, METRIC_TLS_RESUMED, 1);
	log_debug(&c->log, "TLS version=%s cipher=%s resumed=%d", tls_session_version(c->tls),
	          tls_session_cipher(c->tls), tls_session_resumed(c->tls));
	if (c->events != NULL)
		c->events->on_secured(c, c->owner);
}

/* Decrypts all that there is room for, as records may be of one byte, and the owner looks at what is incomplete each
 * time; returns what tls_session_read() said last. */
static int collect_records(struct conn *c, char *plain, size_t *len, struct err_text *et)
{
	int n = 1;

	for (*len = 0; n > 0 && *len < READ_SIZE; *len += n > 0 ? (size_t)n : 0)
		n = tls_session_read(c->tls, plain + *len, READ_SIZE - *len, &c->wire, et);
	if (buf_size(&c->wire) != 0)
		mark_dirty(c);
	return n;
}

/* Decrypts while the owner takes data; the rest waits as cipher text. */
static void read_records(struct conn *c)
{
	struct err_text et = { "" };
	char plain[READ_SIZE];
	size_t len;
	int n;

	while (c->tls != NULL && c->stops == 0 && !c->is_closing && !c->is_broken) {
		if (c->is_handshaking) {
			step_handshake(c);
			if (c->is_handshaking)
				break;
			continue;
		}
		n = collect_records(c, plain, &len, &et);
		if (len != 0)
			deliver(c, plain, len);
		/* What the owner left comes before the end, which is found again then. */
		if (n < 0 && c->stops == 0 && !c->is_closing && !c->is_broken) {
			if (n != -ERR_CLOSED)
				err_text_prefix(&et, "TLS");
			end_of_input(c, n == -ERR_CLOSED ? "closed by peer" : et.text);
		}
		if (n <= 0)
			break;
	}
	tls_session_keep(c->tls);
}

static void discard(struct conn *c)
{
	char bytes[4096];
	ssize_t n = c->io->recv(c, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		end_of_input(c, "closed by peer");
}

static void on_readable(struct conn *c)
{
	char bytes[READ_SIZE];
	ssize_t n;

	if (c->is_closing) {
		discard(c);
		return;
	}
	n = c->io->recv(c, bytes, sizeof(bytes));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_of_input(c, n == 0 ? "closed by peer" : strerror(errno));
		return;
	}
	metrics_add(&c->worker->metrics, METRIC_BYTES_IN, (uint64_t)n);
	if (c->tls == NULL) {
		deliver(c, bytes, (size_t)n);
		return;
	}
	tls_session_put(c->tls, bytes, (size_t)n);
	read_records(c);
}

void conn_on_ready(struct conn *c, bool readable, bool writable)
{
	if (writable)
		mark_dirty(c);
	if (readable) {
		on_readable(c);
		count(c);
	}
}

void conn_start_tls(struct conn *c, const struct tls_chooser *chooser)
{
	/* What was queued so far leaves in the clear, what follows is encrypted. */
	encrypt(c);
	buf_deinit(&c->held);
	c->tls = tls_session_new(chooser);
	c->is_handshaking = true;
	mark_dirty(c);
	if (chooser->server_name != NULL)
		step_handshake(c);
}

void conn_set_dead_after(struct conn *c, uint64_t ms)
{
	if (c->io->set_dead_after != NULL)
		c->io->set_dead_after(c, ms);
}

/* ---- stopping and moving ---- */

void conn_stop(struct conn *c, enum conn_stop reason)
{
	bool was_read = c->stops == 0;

	c->stops |= reason;
	if (was_read)
		watch(c, c->watches_write);
}

void conn_resume(struct conn *c, enum conn_stop reason)
{
	struct buf held = c->held;

	if ((c->stops & reason) == 0 || c->is_closing)
		return;
	if ((c->stops &= ~(unsigned)reason) != 0)
		return;
	c->read_since = worker_now(c->worker);
	/* Called out of on_data, the loop in read_records or the next event goes on. */
	if (c->is_delivering) {
		watch(c, c->watches_write);
		return;
	}
	c->held = (struct buf){ 0 };
	/* Nothing held is told too: the owner may have stopped in the middle of a piece. */
	deliver(c, buf_size(&held) != 0 ? buf_bytes(&held) : "", buf_size(&held));
	buf_deinit(&held);
	if (c->tls != NULL && c->stops == 0 && !c->is_closing)
		read_records(c);
	if (!c->is_closing)
		watch(c, c->watches_write);
	count(c);
}

/* Nothing more can be sent, but what the peer said before may not have been read: its end is found behind that, or not
 * waited for any longer. What is queued stays there, as it has not left. */
static void go_on_reading(struct conn *c)
{
	c->is_deaf = true;
	watch(c, false);
	worker_timer_start(c->worker, &c->linger, LINGER_MS);
}

struct move_mail {
	struct mail mail;
	struct conn *conn;
};

static void arrive(struct worker *w, struct mail *mail)
{
	struct conn *c = ((struct move_mail *)(void *)mail)->conn;

	free(mail);
	c->worker = w;
	list_append(&w->conns, &c->all);
	c->log.parent = &w->log;
	c->moving_to = NULL;
	if (c->is_deaf)
		go_on_reading(c);
	if (conn_queued(c) != 0 || c->is_closing || c->is_broken)
		mark_dirty(c);
	c->events->on_moved(c, c->owner);
	conn_resume(c, CONN_STOP_MOVE);
}

void conn_move(struct conn *c, struct worker *to)
{
	c->moving_to = to;
	conn_stop(c, CONN_STOP_MOVE);
	mark_dirty(c);
}

static void depart(struct conn *c)
{
	struct move_mail *m = mem_new(sizeof(*m));

	backlog_part(c);
	list_remove(&c->dirty);
	list_remove(&c->paused);
	c->stops &= ~(unsigned)CONN_STOP_MAILBOX;
	list_remove(&c->waiting);
	list_remove(&c->all);
	c->is_muted = false;
	worker_timer_stop(c->worker, &c->linger);
	watch(c, false);
	if (c->moving_to != c->worker && c->io->leave != NULL)
		c->io->leave(c);
	m->mail.run = arrive;
	m->conn = c;
	worker_post(c->moving_to, &m->mail);
}

static void tell_drained(struct conn *c)
{
	if (!c->tells_drained || c->is_deaf || conn_queued(c) != 0)
		return;
	c->tells_drained = false;
	if (c->is_owned)
		c->events->on_drained(c, c->owner);
}

static void settle(struct conn *c)
{
	if (!c->is_broken && !c->is_deaf && flush(c) != 0)
		go_on_reading(c);
	c->is_broken |= c->is_deaf && c->is_closing;
	if (c->is_broken) {
		destroy(c);
		return;
	}
	count(c);
	tell_drained(c);
	if (c->is_closing) {
		tell_owner(c, NULL);
		if (!c->is_lingering && conn_queued(c) == 0)
			begin_linger(c);
		return;
	}
	if (c->moving_to != NULL)
		depart(c);
}

void worker_break_conns(struct worker *w)
{
	LIST_EACH(l, next, &w->conns)
		conn_break(LIST_ENTRY(l, struct conn, all));
}

bool worker_flush_dirty(struct worker *w)
{
	bool any = false;

	/* What becomes dirty meanwhile is handled too; each round either sends or ends something. */
	for (struct list *l; (l = list_shift(&w->dirty)) != NULL; any = true) {
		worker_before_flush(w);
		settle(LIST_ENTRY(l, struct conn, dirty));
	}
	return any;
}
