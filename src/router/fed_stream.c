/* SPDX-License-Identifier: MIT */
/* What the streams of a link tell: ours, and theirs that goes both ways. */
#include "router/fed.h"
#include "stream/s2s_sm.h"

static void send_what_waits(struct fed_link *l)
{
	link_take_back(l);
	l->failing_since = 0;
	l->wants_back = l->is_missed = false;
	link_flush(l);
	link_regain_presence(l);
	link_schedule(l);
}

static void become_ready(struct fed_link *l)
{
	if (l->state != LINK_READY)
		link_remember(l, S2S_CAUSE_NONE, "reached");
	l->state = LINK_READY;
	l->cause = S2S_CAUSE_NONE;
	l->backoff_ms = 0;
	l->ready_at = worker_now(link_worker(l));
	send_what_waits(l);
}

void link_on_usable(struct fed_link *l)
{
	link_ask_checks(l);
}

void link_on_proved(struct fed_link *l)
{
	struct s2s_sm *sm;

	dial_free(l->dial);
	l->dial = NULL;
	if (l->is_probe) {
		l->cause = S2S_CAUSE_NONE;
		l->state = LINK_READY;
		link_end_probe(l);
		return;
	}
	l->no_external = l->out->no_external;
	sm = l->suspended;
	l->suspended = NULL;
	sm_begin(l->out, sm);
}

void link_on_managed(struct fed_link *l)
{
	become_ready(l);
}

void link_on_incoming(struct fed_link *l, struct s2s *s)
{
	/* It lives: whatever was wrong before may be tried again at once. */
	l->backoff_ms = 0;
	l->retry_at = 0;
	/* The one that was proved last is alive, which nobody knows of the one before. */
	if (s->is_bidi && l->bidi != s) {
		s2s_unref(l->bidi);
		l->bidi = s2s_ref(s);
	}
	if (s->is_bidi && (l->state == LINK_DIALING || l->state == LINK_NEGOTIATING)) {
		send_what_waits(l);
	} else if (s->is_bidi && !link_has_unacked(l)) {
		become_ready(l);
	} else if (l->state == LINK_WAITING) {
		/* What was not acknowledged can be said on, if our own stream is made again. */
		l->state = LINK_IDLE;
		if (link_has_work(l))
			link_open_if_idle(l);
	}
	link_schedule(l);
}

/* Our stream is gone. One that was lost, or ended by the peer, as soon as it was there would be so again: the next try
 * waits, and with it all that is to be sent. */
static void rest(struct fed_link *l, enum s2s_cause cause, const char *text)
{
	uint64_t now = worker_now(link_worker(l)), pause = link_settings(l)->retry_min_ms;

	l->state = LINK_IDLE;
	if (cause == S2S_CLOSED_BY_US || now - l->ready_at >= pause)
		return;
	l->state = LINK_WAITING;
	l->cause = S2S_LOST;
	link_set_why(l, text);
	l->retry_at = now + fed_jitter(l->fed, pause);
}

/* Who was lost without a word may be there still. */
static void miss(struct fed_link *l, enum s2s_cause cause)
{
	l->is_missed = cause == S2S_LOST;
	l->wants_back = l->is_missed && link_has_asked_presence(l);
}

void link_miss_presence(struct fed_link *l)
{
	if (!l->is_missed || l->wants_back)
		return;
	l->wants_back = true;
	link_open_if_idle(l);
	if (l->state == LINK_NEGOTIATING && l->out != NULL)
		s2s_prove(l->out);
	link_schedule(l);
}

/* Theirs is gone and was the only one that could be used, though ours may be there, as to verify keys. */
static void look_for_it(struct fed_link *l, enum s2s_cause cause)
{
	if (l->state == LINK_READY)
		l->state = LINK_IDLE;
	miss(l, cause);
	if (l->wants_back && l->state == LINK_NEGOTIATING && l->out != NULL)
		s2s_prove(l->out);
}

void link_on_closed(struct fed_link *l, struct s2s *s, enum s2s_cause cause, const char *text)
{
	bool was_ready = l->state == LINK_READY;

	if (l->bidi == s) {
		s2s_unref(l->bidi);
		l->bidi = NULL;
		/* What could not be written to it any more goes on ours, if that can be used. */
		if (was_ready && l->out != NULL)
			link_flush(l);
		else
			look_for_it(l, cause);
	} else if (l->out == s) {
		l->out = NULL;
		l->no_external = s->no_external;
		link_keep_managed(l, s);
		if (was_ready)
			miss(l, cause);
		if (l->state == LINK_NEGOTIATING) {
			/* It was only there to verify keys, and has done that. */
			if (!link_has_work(l) && list_empty(&l->checks) && !l->is_probe && s->last_step == S2S_USABLE) {
				l->state = link_has_bidi(l) ? LINK_READY : LINK_IDLE;
				link_schedule(l);
				return;
			}
			link_set_why(l, text);
			l->cause = cause;
			/* Another address may be better, unless the domain itself has refused us. */
			if (l->dial != NULL && (cause == S2S_NO_TLS || cause == S2S_TIMEOUT || cause == S2S_LOST))
				dial_next(l->dial);
			else
				link_fail(l, cause, text);
			return;
		}
		/* Even with another way: what follows would overtake what was not acknowledged, and is said again. */
		if (was_ready && (l->bidi == NULL || link_has_unacked(l)))
			rest(l, cause, text);
		else if (was_ready)
			link_flush(l);
		link_end_checks_before(l, UINT64_MAX, COMITY_REMOTE_SERVER_TIMEOUT, text);
	}
	if (l->state == LINK_IDLE && link_has_work(l))
		link_open_if_idle(l);
	link_schedule(l);
}
