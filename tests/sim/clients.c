/* SPDX-License-Identifier: MIT */
/* Clients that manage their stream with care (XEP-0198): what is not acknowledged is kept and said again. Some do
 * without. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "world.h"
#include "xml/elem.h"
#include "xmpp/ns.h"

#define HOST "localhost"
#define HEADER "<stream:stream to='" HOST "' version='1.0' xmlns='" NS_CLIENT "' xmlns:stream='" NS_STREAM "'>"
#define TEXT_MAX 400
#define QUEUE_FULL (QUEUE_MAX - 100)

static const struct xml_limits limits = { 65536, 1 << 20, 100, 100, 1000, 10000 };

void client_init(struct world *w, unsigned number, unsigned account)
{
	struct client *c = &w->clients[number];

	*c = (struct client){ .world = w, .number = (uint8_t)number, .account = (uint8_t)account };
	snprintf(c->bare, sizeof(c->bare), "u%u@" HOST, account);
	snprintf(c->resource, sizeof(c->resource), "c%u", number);
}

void client_deinit(struct client *c)
{
	xml_parser_free(c->parser);
	c->parser = NULL;
}

/* ---- saying ---- */

static void say(struct client *c, bool is_whole, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(struct client *c, bool is_whole, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list args;
	int len;

	if (c->wire == NULL)
		return;
	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (len >= TEXT_MAX)
		abort();
	trace(c->world, "  %s says %s", c->resource, text);
	wire_say(c->wire, text, (size_t)len, is_whole);
}

static uint32_t queued(const struct client *c)
{
	return c->said - c->acked;
}

/* Not every client gives its messages an id. */
static bool has_id(uint32_t number)
{
	return number % 4 != 3;
}

static void write_message(struct client *c, uint32_t number)
{
	struct message *m = &c->world->messages[number];
	char id[24] = "";

	m->sayings++;
	if (has_id(number))
		snprintf(id, sizeof(id), " id='i%u'", number);
	say(c, false, "<message type='chat' to='u%u@" HOST "%s%s'%s><body>m%u</body></message>", m->account,
	    m->is_full ? "/" : "", m->is_full ? c->world->clients[m->device].resource : "", id, number);
}

static enum other kind_of(uint32_t item)
{
	return (enum other)(item % OTHER / CLIENTS_MAX);
}

static void write_item(struct client *c, uint32_t item)
{
	const struct client *to = &c->world->clients[item % CLIENTS_MAX];

	if (item < OTHER) {
		write_message(c, item);
		return;
	}
	switch (kind_of(item)) {
	case PRESENCE:
		say(c, false, "<presence/>");
		break;
	case AWAY_PRESENCE:
		say(c, false, "<presence><show>away</show></presence>");
		break;
	case DIRECTED_PRESENCE:
		say(c, false, "<presence to='%s/%s'><status>here</status></presence>", to->bare, to->resource);
		break;
	case CHAT_STATE:
		say(c, false, "<message type='chat' to='%s'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
		    to->bare);
		break;
	case CARBONS:
		say(c, false, "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
		break;
	default:
		say(c, false, "<iq type='get' id='p' to='" HOST "'><ping xmlns='urn:xmpp:ping'/></iq>");
		break;
	}
}

static void say_item(struct client *c, uint32_t item)
{
	if (!c->is_plain)
		c->queue[c->said++ - c->acked] = item;
	if (item < OTHER)
		message_said(c, item);
	write_item(c, item);
}

void client_say_message(struct client *c, const struct client *to, bool is_full)
{
	uint32_t number;

	if (c->state != READY || queued(c) > QUEUE_FULL)
		return;
	number = message_new(c, to, is_full);
	if (number != NO_MESSAGE)
		say_item(c, number);
}

void client_say_other(struct client *c, const struct client *to, enum other kind)
{
	if (c->state == READY && queued(c) <= QUEUE_FULL)
		say_item(c, OTHER + kind * CLIENTS_MAX + to->number);
}

void client_ask(struct client *c)
{
	if (c->state == READY && !c->is_plain)
		say(c, false, "<r xmlns='" NS_SM "'/>");
}

void client_ack(struct client *c)
{
	c->owes_ack = false;
	if (c->state == READY && !c->is_plain)
		say(c, false, "<a xmlns='" NS_SM "' h='%u'/>", c->in);
}

void client_switch_activity(struct client *c)
{
	if (c->state != READY)
		return;
	c->is_inactive = !c->is_inactive;
	say(c, false, "<%s xmlns='urn:xmpp:csi:0'/>", c->is_inactive ? "inactive" : "active");
}

/* ---- sessions ---- */

/* What is not acknowledged will be said in another one. */
static void lose_session(struct client *c)
{
	if (!c->has_session)
		return;
	for (uint32_t i = 0; i < queued(c); i++)
		if (c->queue[i] < OTHER && c->again_count < QUEUE_MAX)
			c->again[c->again_count++] = c->queue[i];
	c->has_session = c->can_resume = false;
	c->acked = c->said;
}

static void leave(struct client *c)
{
	struct wire *l = c->wire;

	if (!c->can_resume)
		lose_session(c);
	c->wire = NULL;
	c->state = AWAY;
	c->owes_ack = c->is_inactive = false;
	if (l != NULL)
		wire_leave(l);
}

void client_connect(struct client *c)
{
	if (c->state != AWAY || (c->wire = wire_new(c->world, c)) == NULL)
		return;
	xml_parser_free(c->parser);
	c->parser = xml_parser_new(&limits);
	c->state = OPENING;
	trace(c->world, "%s connects", c->resource);
	say(c, false, HEADER);
}

void client_close(struct client *c)
{
	if (c->state != READY)
		return;
	trace(c->world, "%s logs out", c->resource);
	client_ack(c);
	say(c, false, "</stream:stream>");
	c->can_resume = false;
	leave(c);
}

void client_drop(struct client *c)
{
	if (c->state == AWAY)
		return;
	trace(c->world, "%s loses its connection", c->resource);
	leave(c);
}

void client_on_end(struct client *c)
{
	trace(c->world, "%s sees the end of its connection", c->resource);
	leave(c);
}

/* ---- counting ---- */

/* What the server says it has handled. False: it is not to be believed. */
static bool take_count(struct client *c, const struct comity_elem *e)
{
	const char *text = comity_elem_attr(e, "h");
	uint32_t h = text != NULL ? (uint32_t)strtoul(text, NULL, 10) : c->acked, n = h - c->acked;

	if ((int32_t)n < 0 && c->world->sessions[c->session].has_forgotten)
		return false;
	if ((int32_t)n < 0)
		violate(c->world, "%s was told that %u are handled, and then that %u are", c->resource, c->acked, h);
	else if (n > queued(c))
		violate(c->world, "%s has said %u, and is told that %u are handled", c->resource, c->said, h);
	if (n > queued(c))
		return true;
	for (uint32_t i = 0; i < n; i++)
		if (c->queue[i] < OTHER)
			message_acked(c, c->queue[i]);
	memmove(c->queue, c->queue + n, (queued(c) - n) * sizeof(c->queue[0]));
	c->acked = h;
	return true;
}

/* ---- steps of a login ---- */

static void begin_bind(struct client *c)
{
	c->state = BINDING;
	c->world->binds[c->account]++;
	/* At once, so that nothing is sent in between that would not count. */
	say(c, true, "<iq type='set' id='b'><bind xmlns='" NS_BIND "'><resource>%s</resource></bind></iq>%s%s", c->resource,
	    c->is_plain ? "" : "<enable xmlns='" NS_SM "'", c->is_plain ? "" : c->wants_resume ? " resume='true'/>" : "/>");
}

static void on_features(struct client *c)
{
	if (!c->has_session) {
		begin_bind(c);
		return;
	}
	c->state = RESUMING;
	say(c, false, "<resume xmlns='" NS_SM "' previd='%s' h='%u'/>", c->id, c->in);
}

static void begin_session(struct client *c)
{
	c->state = READY;
	c->has_session = true;
	c->in = c->said = c->acked = 0;
	client_say_other(c, c, PRESENCE);
	if (c->wants_carbons)
		client_say_other(c, c, CARBONS);
}

static void on_enabled(struct client *c, const struct comity_elem *e)
{
	const char *id = comity_elem_attr(e, "id");
	size_t again = c->again_count;
	uint32_t items[QUEUE_MAX];

	c->can_resume = id != NULL;
	snprintf(c->id, sizeof(c->id), "%s", id != NULL ? id : "");
	begin_session(c);
	memcpy(items, c->again, again * sizeof(items[0]));
	c->again_count = 0;
	for (size_t i = 0; i < again; i++) {
		c->world->messages[items[i]].may_double = true;
		say_item(c, items[i]);
	}
}

/* What has had its time is not said again, and has no number any more. A message behind it has another number then, and
 * when it has no id either nobody can tell that it was said before. */
static void leave_out(struct client *c)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < queued(c); i++) {
		uint32_t item = c->queue[i];

		if (item < OTHER && !has_id(item) && kept != i)
			c->world->messages[item].may_double = true;
		if (item < OTHER || kind_of(item) == PRESENCE || kind_of(item) == CARBONS)
			c->queue[kept++] = item;
	}
	c->said = c->acked + kept;
}

static void on_resumed(struct client *c, const struct comity_elem *e)
{
	const char *previd = comity_elem_attr(e, "previd");

	if (previd == NULL || strcmp(previd, c->id) != 0)
		violate(c->world, "%s resumed %s instead of %s", c->resource, previd != NULL ? previd : "nothing", c->id);
	session_confirm(c);
	c->world->resumed++;
	c->state = READY;
	if (!take_count(c, e)) {
		c->can_resume = false;
		client_drop(c);
		return;
	}
	if (c->leaves_out)
		leave_out(c);
	for (uint32_t i = 0; i < queued(c); i++)
		write_item(c, c->queue[i]);
}

static void on_failed(struct client *c, const struct comity_elem *e)
{
	if (c->state == BINDING) {
		violate(c->world, "%s may not use stream management", c->resource);
		return;
	}
	c->world->refused++;
	take_count(c, e);
	lose_session(c);
	begin_bind(c);
}

/* ---- what comes ---- */

static void on_request(struct client *c)
{
	if (c->policy == PROMPT || c->world->is_settling)
		client_ack(c);
	else
		c->owes_ack = c->policy == LATE;
}

static void on_managed(struct client *c, const struct comity_elem *e)
{
	if (comity_elem_is(e, NULL, "enabled") && c->state == BINDING)
		on_enabled(c, e);
	else if (comity_elem_is(e, NULL, "resumed") && c->state == RESUMING)
		on_resumed(c, e);
	else if (comity_elem_is(e, NULL, "failed"))
		on_failed(c, e);
	else if (comity_elem_is(e, NULL, "r") && c->state == READY)
		on_request(c);
	else if (comity_elem_is(e, NULL, "a") && c->state == READY)
		take_count(c, e);
	else
		violate(c->world, "%s got a <%s/> out of place", c->resource, comity_elem_name(e));
}

static void on_error(struct client *c, const struct comity_elem *e)
{
	static const char *const known[] = { "conflict", "system-shutdown", "resource-constraint", "connection-timeout",
	                                     "reset" };
	const struct comity_elem *cond = comity_elem_first(e);
	const char *name = cond != NULL ? comity_elem_name(cond) : "";

	trace(c->world, "  %s gets a stream error: %s", c->resource, name);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(name, known[i]) == 0)
			return;
	/* An account that cannot be read has no sessions, old ones neither. */
	if (c->world->has_failed && strcmp(name, "internal-server-error") == 0)
		return;
	if (c->has_session && c->world->sessions[c->session].has_forgotten)
		c->can_resume = false; /* what it counts is not what the server counts */
	else
		violate(c->world, "%s got a stream error: %s", c->resource, name);
}

/* What another device of the account got (XEP-0280). */
static void on_copy(struct client *c, const struct comity_elem *e)
{
	const struct comity_elem *inner = comity_elem_find(e, "urn:xmpp:carbons:2", "received");

	inner = inner != NULL ? comity_elem_find(inner, "urn:xmpp:forward:0", "forwarded") : NULL;
	inner = inner != NULL ? comity_elem_find(inner, NS_CLIENT, "message") : NULL;
	inner = inner != NULL ? comity_elem_find(inner, NS_CLIENT, "body") : NULL;
	if (inner != NULL)
		message_arrived(c, comity_elem_text(inner));
}

static void on_stanza(struct client *c, const struct comity_elem *e)
{
	const struct comity_elem *body = comity_elem_find(e, NS_CLIENT, "body");
	const char *type = comity_elem_attr(e, "type");

	if (c->state == BINDING && comity_elem_is(e, NULL, "iq")) {
		session_begin_log(c);
		if (c->is_plain)
			begin_session(c);
		return;
	}
	if (c->state != READY)
		violate(c->world, "%s got a stanza before its session", c->resource);
	c->in++;
	/* What another device got back is nothing to this one. */
	if (type != NULL && strcmp(type, "error") == 0 && comity_elem_is(e, NULL, "message")) {
		if (comity_elem_find(e, "urn:xmpp:carbons:2", NULL) == NULL)
			message_returned(c, body != NULL ? comity_elem_text(body) : "");
	} else if (comity_elem_is(e, NULL, "message") && body != NULL)
		message_arrived(c, comity_elem_text(body));
	else if (comity_elem_is(e, NULL, "message"))
		on_copy(c, e);
}

static void on_element(struct client *c, const struct comity_elem *e)
{
	if (comity_elem_is(e, NS_STREAM, "features"))
		on_features(c);
	else if (comity_elem_is(e, NS_STREAM, "error"))
		on_error(c, e);
	else if (strcmp(comity_elem_ns(e), NS_SM) == 0)
		on_managed(c, e);
	else if (strcmp(comity_elem_ns(e), NS_CLIENT) == 0)
		on_stanza(c, e);
	else
		violate(c->world, "%s got a <%s/> of %s", c->resource, comity_elem_name(e), comity_elem_ns(e));
}

/* Handles what the parser has; false when the client has left its link. */
static bool read_events(struct client *c)
{
	const struct xml_parser *parser = c->parser;

	while (c->wire != NULL && c->parser == parser) {
		struct xml_doc *doc = NULL;
		enum xml_event event = xml_parser_next(c->parser, &doc);

		if (event == XML_EVENT_NONE)
			return true;
		if (event == XML_EVENT_ELEMENT)
			on_element(c, doc->root);
		else if (event == XML_EVENT_CLOSE)
			client_on_end(c);
		else if (event != XML_EVENT_OPEN)
			violate(c->world, "%s cannot read what it gets", c->resource);
		xml_doc_free(doc);
		if (event > XML_EVENT_CLOSE)
			return false;
	}
	return false;
}

void client_read(struct client *c, const char *bytes, size_t len)
{
	if (c->world->is_traced)
		trace(c->world, "  %s reads %.*s", c->resource, (int)len, bytes);
	while (len != 0) {
		size_t n = len < XML_PUSH_MAX ? len : XML_PUSH_MAX;

		xml_parser_push(c->parser, bytes, n);
		if (!read_events(c))
			return;
		bytes += n;
		len -= n;
	}
}
