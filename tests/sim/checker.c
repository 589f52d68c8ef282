/* SPDX-License-Identifier: MIT */
/* What was said, what arrived, and whether that is as promised. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "world.h"

/* ---- what happens ---- */

/* Is the message for a session that the device keeps from now on, or for its next one? What is kept comes to that
 * when it becomes available, and what is said to its full address as soon as it is bound. */
static unsigned find_session(const struct world *w, unsigned account, bool is_full)
{
	const struct client *only = NULL;

	for (unsigned i = 0; i < w->client_count; i++) {
		if (w->clients[i].account != account)
			continue;
		if (only != NULL)
			return UNKNOWN;
		only = &w->clients[i];
	}
	if (only == NULL || only->has_session)
		return only != NULL ? only->session : UNKNOWN;
	/* What an earlier connection still carries may begin a session yet. */
	for (size_t i = 0; i < WIRES_MAX; i++)
		if (w->wires[i].is_used && (w->wires[i].client == only || w->wires[i].client == NULL))
			return UNKNOWN;
	return is_full ? UNKNOWN : FOR_LATER;
}

uint32_t message_new(struct client *c, const struct client *to, bool is_full)
{
	struct world *w = c->world;

	if (w->message_count == MESSAGES_MAX)
		return NO_MESSAGE;
	w->messages[w->message_count] = (struct message){
		.sender = c->number, .account = to->account, .is_full = is_full, .device = to->number,
		.lapses = w->lapses, .binds = w->binds[to->account],
		.to_session = find_session(w, to->account, is_full),
	};
	return w->message_count++;
}

void session_begin_log(struct client *c)
{
	struct world *w = c->world;

	if (w->session_count == SESSIONS_MAX) {
		violate(w, "%s logs in again and again", c->resource);
		return;
	}
	c->session = w->session_count++;
	w->sessions[c->session] = (struct session){ .client = c->number };
}

void session_confirm(struct client *c)
{
	struct session *s = &c->world->sessions[c->session];

	s->confirmed = s->got_count;
}

void message_said(struct client *c, uint32_t message)
{
	struct message *m = &c->world->messages[message];

	m->said_in = c->session;
	m->said_as = c->world->sessions[c->session].said++;
	c->world->said++;
}

void message_acked(struct client *c, uint32_t message)
{
	c->world->messages[message].is_acked = true;
}

static bool has_got(const struct session *s, uint32_t message, size_t among)
{
	for (size_t i = 0; i < among; i++)
		if (s->got[i] == message)
			return true;
	return false;
}

/* A message comes to a session once, and to no later session of the device when the server knows that it came. */
static void check_double(struct client *c, uint32_t number)
{
	struct world *w = c->world;
	const struct message *m = &w->messages[number];

	/* The sender may say again what is not known any more, and so may the server. */
	if (m->may_double || m->lapses != w->lapses)
		return;
	for (size_t i = 0; i < w->session_count; i++) {
		const struct session *s = &w->sessions[i];
		bool is_same = i == c->session;

		if (s->client != c->number)
			continue;
		if (has_got(s, number, is_same ? s->got_count : s->confirmed))
			violate(w, "m%u came to %s twice%s", number, c->resource, is_same ? "" : ", though it was confirmed");
	}
}

static bool is_in_order(const struct client *c, const struct message *m)
{
	return m->to_session == c->session ||
	       (m->to_session == FOR_LATER && c->world->binds[m->account] - m->binds == 1);
}

/* Among those of one session to one address that come for the first time, to the session they were said to, or
 * to the first one after they were said. */
static void check_order(struct client *c, uint32_t number)
{
	struct world *w = c->world;
	const struct message *m = &w->messages[number];
	const struct session *s = &w->sessions[c->session];

	/* One that goes back has another place when it is said again. */
	if (m->arrivals != 0 || m->may_double || m->is_refused || m->lapses != w->lapses || !is_in_order(c, m))
		return;
	for (size_t i = 0; i < s->got_count; i++) {
		const struct message *before = &w->messages[s->got[i]];

		if (before->to_session == m->to_session && before->binds == m->binds && before->said_in == m->said_in &&
		    !before->may_double && before->is_full == m->is_full && before->said_as > m->said_as)
			violate(w, "m%u came to %s behind m%u", number, c->resource, s->got[i]);
	}
}

/* NO_MESSAGE: nobody said this. */
static uint32_t number_of(const struct world *w, const char *body, char end)
{
	char *rest = NULL;
	unsigned long number = *body == 'm' ? strtoul(body + 1, &rest, 10) : NO_MESSAGE;

	return number < w->message_count && *rest == end ? (uint32_t)number : NO_MESSAGE;
}

void message_refused(struct world *w, const char *xml, size_t len)
{
	static const char begin[] = "<body>";
	const char *body = memmem(xml, len, begin, sizeof(begin) - 1);
	uint32_t number = body != NULL ? number_of(w, body + sizeof(begin) - 1, '<') : NO_MESSAGE;

	/* What was acknowledged must find room some time. */
	if (number == NO_MESSAGE || w->messages[number].is_acked)
		return;
	w->messages[number].is_refused = true;
	w->messages[number].refused_in = w->crashes;
}

void messages_unreadable(struct world *w, const char *line)
{
	static const char words[] = "cannot read account u";
	const char *said = strstr(line, words);
	unsigned long account;

	if (said == NULL)
		return;
	account = strtoul(said + sizeof(words) - 1, NULL, 10);
	for (unsigned i = 0; i < w->message_count; i++) {
		struct message *m = &w->messages[i];

		if (m->account != account || m->arrivals != 0 || m->is_acked)
			continue;
		m->is_refused = true;
		m->refused_in = w->crashes;
	}
}

/* Only what the store had no room for goes back, or could not take. */
void message_returned(struct client *c, const char *body)
{
	struct world *w = c->world;
	uint32_t number = number_of(w, body, '\0');

	/* One without a text, that somebody is writing. */
	if (*body == '\0' && w->has_failed)
		return;
	if (number == NO_MESSAGE || w->messages[number].sender != c->number) {
		violate(w, "%s got a message back that it has not said: %.50s", c->resource, body);
		return;
	}
	trace(w, "  %s gets m%u back", c->resource, number);
	if (!w->messages[number].is_refused && !w->has_failed)
		violate(w, "m%u came back, though there was room for it", number);
	w->messages[number].is_returned = true;
	w->messages[number].returned_at = w->session_count;
	w->returned++;
}

void message_arrived(struct client *c, const char *body)
{
	struct world *w = c->world;
	struct session *s = &w->sessions[c->session];
	uint32_t number = number_of(w, body, '\0');
	struct message *m;

	if (number == NO_MESSAGE) {
		violate(w, "%s got what nobody said: %.50s", c->resource, body);
		return;
	}
	m = &w->messages[number];
	trace(w, "  %s gets m%u", c->resource, number);
	if (m->account != c->account)
		violate(w, "%s got m%u, which is for another account", c->resource, number);
	check_double(c, number);
	check_order(c, number);
	/* Who says it once more means it once more; what the last session was sent may be on its way; and a crash may
	 * come before it is noted that it went back. */
	if (m->is_returned && m->sayings == 1 && m->lapses == w->lapses && c->session >= m->returned_at &&
	    m->refused_in == w->crashes)
		violate(w, "m%u came to %s, though its sender got it back", number, c->resource);
	m->arrivals++;
	w->arrived++;
	if (s->got_count == s->got_room) {
		s->got_room = s->got_room != 0 ? 2 * s->got_room : 16;
		s->got = mem_resize(s->got, s->got_room * sizeof(*s->got));
	}
	s->got[s->got_count++] = number;
}

/* Its sender was told that it was not kept, or could have been: nobody is told of what a session that is over said. */
static bool is_excused(const struct world *w, const struct message *m)
{
	return m->is_returned || (m->is_refused && w->clients[m->sender].session != m->said_in);
}

/* Nothing is promised to who does without stream management, but that nothing comes twice. */
static bool is_promised(const struct world *w, const struct message *m)
{
	for (unsigned i = 0; i < w->client_count; i++)
		if (w->clients[i].is_plain && (i == m->sender || w->clients[i].account == m->account))
			return false;
	return true;
}

/* ---- the end ---- */

void check_all(struct world *w)
{
	for (unsigned i = 0; i < w->client_count; i++) {
		const struct client *c = &w->clients[i];

		if (c->state != READY)
			violate(w, "%s cannot come back", c->resource);
		else if (c->acked != c->said)
			violate(w, "%s has said %u, but only %u are acknowledged", c->resource, c->said, c->acked);
	}
	for (unsigned i = 0; i < w->message_count; i++)
		if (w->messages[i].arrivals == 0 && is_promised(w, &w->messages[i]) && !is_excused(w, &w->messages[i]))
			violate(w, "m%u never came, %s", i, w->messages[i].is_acked ? "though it was acknowledged" : "nor was it told");
	if (w->life.is_damaged)
		violate(w, "the journal gave records that make no sense");
}

void checker_reset(struct world *w)
{
	for (unsigned i = 0; i < w->session_count; i++)
		free(w->sessions[i].got);
	w->session_count = w->message_count = 0;
	w->lapses = 0;
	memset(w->binds, 0, sizeof(w->binds));
	w->violation[0] = '\0';
}
