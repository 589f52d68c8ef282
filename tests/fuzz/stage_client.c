/* SPDX-License-Identifier: MIT */
/* Clients on the stage: they log in, speak the grammar, answer what they are asked, resume, and go. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/peers.h"
#include "router/router.h"
#include "stage.h"
#include "stream/c2s.h"
#include "xml/writer.h"
#include "xmpp/ns.h"

#define HEADER "<stream:stream to='" HOST "' version='1.0' xmlns='" NS_CLIENT "' xmlns:stream='" NS_STREAM "'>"
#define ADDRESS "192.0.2.1"

/* Bits of manner. */
#define ANSWERS_ERROR 1      /* to what it is asked, instead of a result */
#define ANSWERS_NOTHING 2
#define ACKS_NOTHING 4       /* to <r/> */
#define READS_LITTLE 8       /* but for a while now and then nothing */

/* ---- what the server says ---- */

static void answer(struct client *c, const struct heard *h)
{
	const char *id = heard_attr(h, "id"), *from = heard_attr(h, "from");
	struct buf out = { 0 };

	if ((c->manner & ANSWERS_NOTHING) != 0)
		return;
	buf_printf(&out, "<iq type='%s'", (c->manner & ANSWERS_ERROR) != 0 ? "error" : "result");
	if (id != NULL)
		xml_write_attr(&out, "id", id);
	if (from != NULL)
		xml_write_attr(&out, "to", from);
	buf_add_str(&out, (c->manner & ANSWERS_ERROR) != 0 ?
	            "><error type='cancel'><service-unavailable xmlns='" NS_STANZA_ERRORS "'/></error></iq>" : "/>");
	line_add(&c->line, buf_bytes(&out), buf_size(&out));
	c->sent++;
	buf_deinit(&out);
}

static void take_answer(struct client *c, const char *id, const struct heard *h)
{
	for (unsigned i = 0; i < c->pending_count; i++) {
		struct pending *p = &c->pending[i];

		if (id[0] != 'q' || strtoul(id + 1, NULL, 10) != p->number)
			continue;
		if (++p->answers > 1)
			finding("iq %s has two answers, the second from %s", id, heard_attr(h, "from"));
		return;
	}
}

static void on_iq(struct client *c, const struct heard *h)
{
	const char *type = heard_attr(h, "type"), *id = heard_attr(h, "id");

	if (type == NULL || (strcmp(type, "get") != 0 && strcmp(type, "set") != 0 && strcmp(type, "result") != 0 &&
	                     strcmp(type, "error") != 0))
		finding("%s got an iq without a type", c->full);
	if (type[0] != 'g' && type[0] != 's') {
		if (id != NULL && !c->is_odd)
			take_answer(c, id, h);
		return;
	}
	if (id != NULL)
		snprintf(c->last_id, sizeof(c->last_id), "%s", strpbrk(id, "'<&") == NULL ? id : "i0");
	answer(c, h);
}

/* What a client gets is for it. */
static void check_address(const struct client *c, const struct heard *h)
{
	const char *to = heard_attr(h, "to");
	size_t len = strlen(c->bare);

	if (to != NULL && (strncmp(to, c->bare, len) != 0 || (to[len] != '\0' && to[len] != '/')) && !c->wants_bind)
		finding("%s got a stanza for %s", c->full, to);
}

static void on_stanza(struct client *c, const struct heard *h)
{
	if (strcmp(h->ns, NS_CLIENT) != 0)
		finding("%s got a stanza of the namespace '%s'", c->full, h->ns);
	c->received++;
	if (c->wants_bind && strcmp(h->child, "bind") == 0) {
		c->wants_bind = false;
		c->is_bound = strcmp(heard_attr(h, "type"), "result") == 0;
		if (c->is_bound)
			snprintf(c->full, sizeof(c->full), "%.*s", (int)h->text_len, h->text);
		return;
	}
	check_address(c, h);
	if (strcmp(h->name, "iq") == 0)
		on_iq(c, h);
}

/* The server tells which stanzas it has; the others are not said again. */
static void resumed(struct client *c, uint32_t h)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < c->pending_count; i++)
		if ((int32_t)(c->pending[i].sent - h) <= 0)
			c->pending[kept++] = c->pending[i];
	c->pending_count = kept;
	c->sent = h;
	c->is_bound = c->is_managed = true;
	c->is_resuming = false;
}

static void on_managed(struct client *c, const struct heard *h)
{
	const char *text = heard_attr(h, "h"), *id = heard_attr(h, "id");
	uint32_t count = text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 0;

	if (strcmp(h->name, "r") == 0 && (c->manner & ACKS_NOTHING) == 0) {
		line_say(&c->line, "<a xmlns='" NS_SM "' h='%u'/>", c->received);
	} else if (strcmp(h->name, "a") == 0) {
		if (!c->is_odd && c->is_managed && (int32_t)(c->sent - count) < 0)
			finding("%s said %u stanzas, and the server counts %u", c->full, c->sent, count);
		c->told = count;
		c->was_told = true;
	} else if (strcmp(h->name, "enabled") == 0) {
		c->is_managed = true;
		c->sent = c->received = 0;
		snprintf(c->sm_id, sizeof(c->sm_id), "%s", id != NULL ? id : "");
	} else if (strcmp(h->name, "resumed") == 0) {
		resumed(c, count);
	} else if (strcmp(h->name, "failed") == 0 && c->is_resuming) {
		c->is_resuming = false;
		client_forget(c, false);
	}
}

static void on_heard(void *owner, const struct heard *h)
{
	struct client *c = owner;

	if (h->what != HEARD_ELEMENT)
		return;
	if (heard_is_stanza(h))
		on_stanza(c, h);
	else if (strcmp(h->ns, NS_SM) == 0)
		on_managed(c, h);
	else if (strcmp(h->ns, NS_STREAM) != 0 && strcmp(h->name, "failure") != 0)
		finding("%s heard <%s xmlns='%s'/>", c->full, h->name, h->ns);
}

/* ---- coming ---- */

void client_forget(struct client *c, bool keeps_session)
{
	c->is_bound = c->is_managed = c->is_resuming = c->wants_bind = false;
	if (keeps_session)
		return;
	c->sm_id[0] = '\0';
	c->pending_count = 0;
	c->sent = c->received = 0;
	c->is_odd = false;
}

static void connect_logged_in(struct client *c, unsigned worker)
{
	struct stage *s = c->stage;
	struct worker *w = s->life.sim->workers[worker % s->life.workers];
	struct router *r = router_of(w);
	struct c2s *stream;

	line_open(&c->line, s, on_heard, c);
	c->line.is_sure = true;
	peers_admit(r->server->peers, ADDRESS, &(struct peers_limits){ UINT32_MAX, UINT32_MAX, 0 });
	c2s_accept(w, &r->c2s, line_make_conn(&c->line, worker), false);
	stream = c->line.conn->owner;
	stream->user = comity_jid_parse(c->bare);
	stream->phase = C2S_LOGGED_IN;
	c2s_restart(stream, false);
	line_say(&c->line, HEADER);
	stage_run(s);
}

static void resume(struct client *c, uint32_t how)
{
	uint32_t h = how == 7 ? c->received - 1 : c->received;

	/* It is sent again what it has got. */
	c->is_odd = c->is_odd || h != c->received;
	c->received = h;
	c->is_resuming = true;
	line_say(&c->line, "<resume xmlns='" NS_SM "' previd='%s' h='%u'/>", c->sm_id, h);
	stage_run(c->stage);
}

/* Stanzas of the harness count as any others. */
static void ask(struct client *c, const char *type, const char *payload)
{
	c->sent++;
	line_say(&c->line, "<iq type='%s' id='h'>%s</iq>", type, payload);
	stage_run(c->stage);
}

static void introduce(struct client *c, uint32_t how)
{
	if ((how & 3) != 0) {
		line_say(&c->line, "<enable xmlns='" NS_SM "'%s/>", (how & 3) != 1 ? " resume='true'" : "");
		stage_run(c->stage);
	}
	if ((how & 4) != 0)
		ask(c, "set", "<enable xmlns='urn:xmpp:carbons:2'/>");
	if ((how & 8) != 0)
		ask(c, "get", "<query xmlns='jabber:iq:roster'/>");
	if ((how & 16) != 0) {
		c->sent++;
		line_say(&c->line, "<presence><priority>%u</priority></presence>", how >> 5 & 3);
		stage_run(c->stage);
	}
}

static void log_in(struct client *c)
{
	struct choices *in = &c->stage->in;
	uint32_t how = choose(in, 256);

	c->manner = (uint8_t)choose(in, 16);
	connect_logged_in(c, choose(in, 2));
	if (c->sm_id[0] != '\0' && choose(in, 4) != 3) {
		resume(c, choose(in, 8));
		return;
	}
	client_forget(c, false);
	c->wants_bind = true;
	line_say(&c->line, "<iq type='set' id='h'><bind xmlns='" NS_BIND "'><resource>%s</resource></bind></iq>",
	         (how & 128) != 0 ? "" : c->resource);
	stage_run(c->stage);
	if (c->is_bound)
		introduce(c, how);
}

/* ---- going ---- */

void client_leave(struct client *c)
{
	c->line.is_deaf = false;
	if (c->line.conn != NULL) {
		line_cut(&c->line);
		stage_run(c->stage);
	}
	client_forget(c, c->sm_id[0] != '\0');
	line_close(&c->line);
}

static void close_stream(struct client *c)
{
	c->line.is_deaf = false;
	line_say(&c->line, "</stream:stream>");
	stage_run(c->stage);
	if (!c->is_odd && !ear_is_closed(c->line.ear))
		finding("%s closed its stream, and the server did not", c->full);
	client_leave(c);
	client_forget(c, false);
}

/* ---- speaking ---- */

static void note(struct client *c, const struct said *said)
{
	c->sent += said->is_stanza;
	c->is_odd = c->is_odd || said->is_raw || said->is_lie;
	if (said->id[0] == '\0' || !said->is_exact || c->pending_count == PENDING_MAX)
		return;
	c->pending[c->pending_count++] = (struct pending){ .number = (unsigned)strtoul(said->id + 1, NULL, 10),
	                                                   .sent = c->sent };
}

static struct grammar make_grammar(struct client *c)
{
	struct stage *s = c->stage;
	struct grammar g = { .in = &s->in, .ns = NS_CLIENT, .own_bare = c->bare, .own_full = c->full, .host = HOST,
	                     .remote = REMOTE, .last_id = c->last_id[0] != '\0' ? c->last_id : NULL, .h = c->received,
	                     .serial = s->serial };

	for (unsigned i = 0; i < CLIENTS; i++)
		if (s->clients[i].is_bound)
			g.others[i] = s->clients[i].full;
	g.others[CLIENTS] = "romeo@" REMOTE "/orchard";
	return g;
}

static void speak(struct client *c, bool is_stanza, bool is_torn)
{
	struct grammar g = make_grammar(c);
	struct buf out = { 0 };
	struct said said;

	if (is_stanza)
		grammar_stanza(&g, &out, &said);
	else
		grammar_nonza(&g, &out, false, &said);
	c->stage->serial = g.serial;
	if (is_torn) {
		/* The connection breaks in the middle. */
		line_add(&c->line, buf_bytes(&out), choose(&c->stage->in, 256) * buf_size(&out) / 256);
		client_leave(c);
	} else {
		note(c, &said);
		line_add(&c->line, buf_bytes(&out), buf_size(&out));
		stage_run(c->stage);
	}
	buf_deinit(&out);
}

void client_act(struct client *c)
{
	uint32_t what = choose(&c->stage->in, 32);

	if (!line_is_up(&c->line) || ear_is_closed(c->line.ear)) {
		/* The server has ended it: with an error the session is over. */
		if (c->line.ear != NULL) {
			bool was_closed = ear_is_closed(c->line.ear);

			client_leave(c);
			client_forget(c, !was_closed);
		}
		log_in(c);
	} else if (!c->is_bound) {
		client_leave(c);
	} else if (what < 24) {
		speak(c, true, false);
	} else if (what < 28) {
		speak(c, false, false);
	} else if (what == 28) {
		speak(c, true, true);
	} else if (what == 29) {
		client_leave(c);
	} else if (what == 30) {
		close_stream(c);
	} else {
		/* It is deaf until it asks again. */
		c->line.is_deaf = !c->line.is_deaf && (c->manner & READS_LITTLE) != 0;
		line_say(&c->line, "<r xmlns='" NS_SM "'/>");
		stage_run(c->stage);
	}
}

/* ---- the end ---- */

void client_settle(struct client *c)
{
	c->manner &= (uint8_t)~ACKS_NOTHING;
	c->line.is_deaf = false;
	stage_run(c->stage);
	if (c->is_odd && c->line.ear != NULL)
		client_leave(c);
	else if (c->is_bound && c->is_managed)
		line_say(&c->line, "<a xmlns='" NS_SM "' h='%u'/>", c->received);
}

void client_check(struct client *c)
{
	if (!line_is_up(&c->line) || ear_is_closed(c->line.ear) || !c->is_bound || c->is_odd)
		return;
	for (unsigned i = 0; i < c->pending_count; i++)
		if (c->pending[i].answers == 0)
			finding("iq q%u of %s was not answered", c->pending[i].number, c->full);
	if (!c->is_managed)
		return;
	c->was_told = false;
	line_say(&c->line, "<r xmlns='" NS_SM "'/>");
	stage_run(c->stage);
	stage_pass(c->stage, 2000);
	if (line_is_up(&c->line) && !ear_is_closed(c->line.ear) && (!c->was_told || c->told != c->sent))
		finding("%s said %u stanzas, and the server counts %u", c->full, c->sent, c->told);
}
