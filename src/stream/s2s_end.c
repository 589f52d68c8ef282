/* SPDX-License-Identifier: MIT */
/* How streams between servers end: at once, or when the peer has said its last words too. */
#include "stream/s2s.h"

#include <stdarg.h>
#include <stdio.h>

#include "net/worker.h"
#include "stream/s2s_sm.h"

/* What the peer says before it has read our last words is said on a stream that it takes for open. When we end one
 * without a fault of theirs, that is heard for so long, as far as the stream is read then (RFC 6120 4.4). */
#define PART_MS 500

/* With stream management the peer says it again on another stream; one that we opened is for what we say. */
static bool may_part(const struct s2s *s)
{
	return s2s_has_proof(s) && s->sm == NULL && !s->is_outgoing;
}

void s2s_close_now(struct s2s *s)
{
	s->has_failed = true;
	conn_close(s->conn);
}

static void part_or_close(struct s2s *s)
{
	if (!may_part(s)) {
		s2s_close_now(s);
		return;
	}
	s->is_parting = true;
	/* So that what comes does not start the timer for another purpose. */
	s->is_awake = true;
	worker_timer_start(s->conn->worker, &s->timer, PART_MS);
}

void s2s_fail(struct s2s *s, enum stream_cond cond, const char *text)
{
	struct buf out = { 0 };

	if (!s2s_is_connected(s))
		return;
	if (s->is_parting) {
		s2s_close_now(s);
		return;
	}
	if (!s->is_header_sent)
		s2s_write_header(s);
	sm_say_handled(s);
	stream_error_write(&out, cond, NULL, text);
	buf_add_str(&out, "</stream:stream>");
	conn_write(s->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
	metrics_add(&s->conn->worker->metrics, METRIC_STREAM_ERRORS, 1);
	if (s->cause == S2S_CAUSE_NONE) {
		s->cause = cond == STREAM_SYSTEM_SHUTDOWN ? S2S_CLOSED_BY_US : S2S_PROTOCOL;
		snprintf(s->why, sizeof(s->why), s->is_outgoing && s->cause == S2S_PROTOCOL ?
		         "%s (%s) does not speak XMPP as it should: %s%s%s" : "the stream with %s (%s) was ended with %s%s%s",
		         s->remote != NULL ? s->remote : "the peer", s->conn->address, stream_cond_name(cond),
		         text != NULL ? ": " : "", text != NULL ? text : "");
	}
	if (cond == STREAM_SYSTEM_SHUTDOWN)
		part_or_close(s);
	else
		s2s_close_now(s);
}

/* The first cause stands. */
static void set_cause(struct s2s *s, enum s2s_cause cause, const char *fmt, va_list args)
{
	if (s->cause != S2S_CAUSE_NONE)
		return;
	s->cause = cause;
	vsnprintf(s->why, sizeof(s->why), fmt, args);
}

static void say_goodbye(struct s2s *s)
{
	sm_say_handled(s);
	if (s->is_header_sent)
		s2s_send_text(s, "</stream:stream>");
}

void s2s_give_up(struct s2s *s, enum s2s_cause cause, const char *fmt, ...)
{
	va_list args;

	if (!s2s_is_connected(s))
		return;
	va_start(args, fmt);
	set_cause(s, cause, fmt, args);
	va_end(args);
	say_goodbye(s);
	s2s_close_now(s);
}

void s2s_leave(struct s2s *s, const char *fmt, ...)
{
	va_list args;

	if (!s2s_is_open(s))
		return;
	va_start(args, fmt);
	set_cause(s, S2S_CLOSED_BY_US, fmt, args);
	va_end(args);
	say_goodbye(s);
	part_or_close(s);
}

void s2s_close(struct s2s *s)
{
	s2s_give_up(s, S2S_CLOSED_BY_US, "the stream was closed");
}
