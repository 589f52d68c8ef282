/* SPDX-License-Identifier: MIT */
/* A grammar of what clients and servers say. */
#include <stdio.h>
#include <string.h>

#include "grammar_parts.h"

/* ---- payloads ---- */

static const char *const requests[] = {
	"<query xmlns='jabber:iq:roster'%a/>",
	"<query xmlns='jabber:iq:roster' ver='%t'/>",
	"<query xmlns='jabber:iq:roster'><item jid='%j' name='%t'%a>%(<group>%t</group>%)</item></query>",
	"<query xmlns='jabber:iq:roster'><item jid='%j' subscription='remove'/></query>",
	"<query xmlns='jabber:iq:roster'>%(<item jid='%j' subscription='%w' ask='%w' approved='%w'>%e</item>%)</query>",
	"<enable xmlns='urn:xmpp:carbons:2'/>",
	"<disable xmlns='urn:xmpp:carbons:2'/>",
	"<blocklist xmlns='urn:xmpp:blocking'/>",
	"<block xmlns='urn:xmpp:blocking'>%(<item jid='%j'%a/>%)</block>",
	"<unblock xmlns='urn:xmpp:blocking'>%(<item jid='%j'/>%)</unblock>",
	"<query xmlns='jabber:iq:private'><storage xmlns='%s'>%e</storage></query>",
	"<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='%j' name='%t'/></storage></query>",
	"<query xmlns='jabber:iq:private'>%e</query>",
	"<vCard xmlns='vcard-temp'/>",
	"<vCard xmlns='vcard-temp'><FN>%t</FN><PHOTO><TYPE>%w</TYPE><BINVAL>%t</BINVAL></PHOTO>%e</vCard>",
	"<query xmlns='http://jabber.org/protocol/disco#info'%a/>",
	"<query xmlns='http://jabber.org/protocol/disco#info' node='%t'/>",
	"<query xmlns='http://jabber.org/protocol/disco#items' node='%t'>%e</query>",
	"<query xmlns='http://jabber.org/protocol/disco#items'/>",
	"<ping xmlns='urn:xmpp:ping'>%e</ping>",
	"<query xmlns='jabber:iq:register'/>",
	"<query xmlns='jabber:iq:register'><username>%t</username><password>%t</password></query>",
	"<query xmlns='jabber:iq:register'><remove/></query>",
	"<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='%w'>%(<field var='%t'><value>%t</value></field>%)</x></query>",
	"<query xmlns='jabber:iq:last'/>",
	"<query xmlns='jabber:iq:version'>%e</query>",
	"<time xmlns='urn:xmpp:time'/>",
	"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>%t</resource></bind>",
	"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>",
	"<error xmlns='jabber:client' type='%w'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>%e</error>",
};

static const char *const message_parts[] = {
	"<body xmlns='jabber:client'>%t</body>",
	"<body xmlns='jabber:client'%a>%t</body>",
	"<subject xmlns='jabber:client' xml:lang='%t'>%t</subject>",
	"<thread xmlns='jabber:client' parent='%t'>%t</thread>",
	"<active xmlns='http://jabber.org/protocol/chatstates'/>",
	"<composing xmlns='http://jabber.org/protocol/chatstates'>%e</composing>",
	"<gone xmlns='http://jabber.org/protocol/chatstates'/>",
	"<request xmlns='urn:xmpp:receipts'/>",
	"<received xmlns='urn:xmpp:receipts' id='%i'/>",
	"<markable xmlns='urn:xmpp:chat-markers:0'/>",
	"<displayed xmlns='urn:xmpp:chat-markers:0' id='%i'/>",
	"<private xmlns='urn:xmpp:carbons:2'/>",
	"<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>%m</forwarded></received>",
	"<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='%w'/>%m</forwarded></sent>",
	"<no-copy xmlns='urn:xmpp:hints'/>",
	"<no-store xmlns='urn:xmpp:hints'/>",
	"<no-permanent-store xmlns='urn:xmpp:hints'%a/>",
	"<store xmlns='urn:xmpp:hints'/>",
	"<stanza-id xmlns='urn:xmpp:sid:0' id='%t' by='%j'/>",
	"<origin-id xmlns='urn:xmpp:sid:0' id='%t'/>",
	"<delay xmlns='urn:xmpp:delay' from='%j' stamp='%w'>%t</delay>",
	"<forwarded xmlns='urn:xmpp:forward:0'>%m%m</forwarded>",
	"<x xmlns='jabber:x:conference' jid='%j' password='%t'/>",
	"<x xmlns='http://jabber.org/protocol/muc#user'><invite to='%j'><reason>%t</reason></invite></x>",
	"<x xmlns='http://jabber.org/protocol/muc#user'>%e</x>",
	"<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='%n'>%(<key rid='%n'>%t</key>%)</header></encrypted>",
	"<error xmlns='jabber:client' type='%w' by='%j'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>%t</gone></error>",
};

static const char *const presence_parts[] = {
	"<show xmlns='jabber:client'>%w</show>",
	"<status xmlns='jabber:client' xml:lang='%w'>%t</status>",
	"<priority xmlns='jabber:client'>%n</priority>",
	"<priority xmlns='jabber:client'>%t</priority>",
	"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='%t' ver='%t'/>",
	"<c xmlns='http://jabber.org/protocol/caps' ver='%t'%a>%e</c>",
	"<x xmlns='vcard-temp:x:update'><photo>%t</photo></x>",
	"<x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='%n'/></x>",
	"<delay xmlns='urn:xmpp:delay' stamp='%w'/>",
	"<idle xmlns='urn:xmpp:idle:1' since='%w'/>",
};

static const char *const client_nonzas[] = {
	"<r xmlns='urn:xmpp:sm:3'/>",
	"<r xmlns='urn:xmpp:sm:3'%a>%e</r>",
	"<active xmlns='urn:xmpp:csi:0'/>",
	"<inactive xmlns='urn:xmpp:csi:0'/>",
	"<enable xmlns='urn:xmpp:sm:3' resume='%w' max='%n'/>",
	"<enabled xmlns='urn:xmpp:sm:3' id='%t'/>",
	"<resume xmlns='urn:xmpp:sm:3' previd='%t' h='%n'/>",
	"<failed xmlns='urn:xmpp:sm:3' h='%n'>%e</failed>",
	"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%t</auth>",
	"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
	"<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>",
	"<stream:error xmlns:stream='http://etherx.jabber.org/streams'><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>%e</stream:error>",
};

static const char *const server_nonzas[] = {
	"<r xmlns='urn:xmpp:sm:3'/>",
	"<enable xmlns='urn:xmpp:sm:3' resume='%w'/>",
	"<resume xmlns='urn:xmpp:sm:3' previd='%t' h='%n'/>",
	"<resumed xmlns='urn:xmpp:sm:3' previd='%t' h='%n'/>",
	"<failed xmlns='urn:xmpp:sm:3'>%e</failed>",
	"<db:result xmlns:db='jabber:server:dialback' from='%j' to='%j'>%t</db:result>",
	"<db:result xmlns:db='jabber:server:dialback' from='%j' to='%j' type='%w'/>",
	"<db:verify xmlns:db='jabber:server:dialback' from='%j' to='%j' id='%t'>%t</db:verify>",
	"<db:verify xmlns:db='jabber:server:dialback' from='%j' to='%j' id='%t' type='%w'>%e</db:verify>",
	"<bidi xmlns='urn:xmpp:bidi'/>",
	"<stream:features xmlns:stream='http://etherx.jabber.org/streams'><dialback xmlns='urn:xmpp:features:dialback'/>%e</stream:features>",
	"<stream:error xmlns:stream='http://etherx.jabber.org/streams'><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>%e</stream:error>",
	"<stream:error xmlns:stream='http://etherx.jabber.org/streams'><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>%t</text></stream:error>",
	"<db:result xmlns:db='jabber:server:dialback' from='%j' to='%j' type='error'><error type='wait'><x xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>%t</text></error></db:result>",
	"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>%t</auth>",
	"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
};

/* ---- stanzas ---- */

static void add_parts(struct grammar *g, struct buf *out, const char *const *parts, uint32_t count)
{
	for (uint32_t n = choose(g->in, 5); n != 0; n--)
		grammar_add_payload(g, out, parts[choose(g->in, count)]);
	if (grammar_one_in(g, 8))
		grammar_add_elements(g, out, 1);
	if (grammar_one_in(g, 16))
		grammar_add_text(g, out, false);
}

static void add_type(struct grammar *g, struct buf *out, const char *const *types, uint32_t count)
{
	uint32_t n = choose(g->in, count + 1);

	if (n != 0)
		buf_printf(out, " type='%s'", types[n - 1]);
}

/* Who sends it: a client says nothing or the truth, mostly; a server always says it. */
static void add_from(struct grammar *g, struct buf *out)
{
	bool is_server = g->ns[7] == 's';
	uint32_t how = choose(g->in, 32);

	if (how < 24 && !is_server)
		return;
	buf_add_str(out, " from='");
	if (how < 31)
		buf_add_str(out, (how & 1) != 0 ? g->own_full : g->own_bare);
	else
		grammar_add_address(g, out);
	buf_add(out, "'", 1);
}

/* Returns as add_address does. */
static bool add_to(struct grammar *g, struct buf *out, bool may_lack)
{
	bool is_exact;

	if (may_lack && grammar_one_in(g, 4) && g->ns[7] == 'c')
		return true;
	buf_add_str(out, " to='");
	is_exact = grammar_add_address(g, out);
	buf_add(out, "'", 1);
	return is_exact;
}

static void add_id(struct grammar *g, struct buf *out)
{
	uint32_t how = choose(g->in, 8);

	if (how == 0)
		return;
	buf_add_str(out, " id='");
	if (how < 4)
		buf_printf(out, "i%u", choose(g->in, 8));
	else if (how < 6 && g->last_id != NULL)
		buf_add_str(out, g->last_id);
	else
		grammar_add_text(g, out, true);
	buf_add(out, "'", 1);
}

static void open_stanza(struct grammar *g, struct buf *out, const char *name)
{
	/* Inside another one it needs its namespace. */
	if (g->depth > 1)
		buf_printf(out, "<%s xmlns='%s'", name, grammar_one_in(g, 4) ? "jabber:server" : "jabber:client");
	else
		buf_printf(out, "<%s", name);
}

/* From the type on. */
static void finish_stanza(struct grammar *g, struct buf *out, const char *const *types, uint32_t type_count,
                          const char *const *parts, uint32_t part_count)
{
	add_type(g, out, types, type_count);
	add_id(g, out);
	if (grammar_one_in(g, 8))
		grammar_add_odd_attribute(g, out);
	buf_add(out, ">", 1);
	add_parts(g, out, parts, part_count);
}

static void add_message(struct grammar *g, struct buf *out)
{
	static const char *const types[] = { "chat", "normal", "chat", "groupchat", "headline", "error", "odd" };

	open_stanza(g, out, "message");
	add_from(g, out);
	add_to(g, out, true);
	finish_stanza(g, out, types, COUNT(types), message_parts, COUNT(message_parts));
	buf_add_str(out, "</message>");
}

static void add_presence(struct grammar *g, struct buf *out)
{
	static const char *const types[] = { "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe",
	                                     "error", "odd" };

	open_stanza(g, out, "presence");
	add_from(g, out);
	if (grammar_one_in(g, 2))
		add_to(g, out, true);
	finish_stanza(g, out, types, COUNT(types), presence_parts, COUNT(presence_parts));
	buf_add_str(out, "</presence>");
}

static void add_request(struct grammar *g, struct buf *out, struct said *said)
{
	const char *request = requests[choose(g->in, COUNT(requests))];

	open_stanza(g, out, "iq");
	add_from(g, out);
	said->is_exact = add_to(g, out, true);
	/* What binds has an answer of its own, and so have its mistakes. */
	if (g->depth == 1)
		snprintf(said->id, sizeof(said->id), "q%u", ++g->serial);
	buf_printf(out, " type='%s' id='%s'", grammar_one_in(g, 2) ? "set" : "get", g->depth == 1 ? said->id : "i0");
	if (grammar_one_in(g, 8))
		grammar_add_odd_attribute(g, out);
	buf_add(out, ">", 1);
	grammar_add_payload(g, out, request);
	if (grammar_one_in(g, 16))
		grammar_add_elements(g, out, 1);
	buf_add_str(out, "</iq>");
}

static void add_other_iq(struct grammar *g, struct buf *out)
{
	static const char *const types[] = { "result", "error", "odd" };

	open_stanza(g, out, "iq");
	add_from(g, out);
	add_to(g, out, true);
	add_type(g, out, types, COUNT(types));
	add_id(g, out);
	buf_add(out, ">", 1);
	if (grammar_one_in(g, 2))
		grammar_add_payload(g, out, requests[choose(g->in, COUNT(requests))]);
	else
		grammar_add_elements(g, out, 1);
	buf_add_str(out, "</iq>");
}

void grammar_stanza(struct grammar *g, struct buf *out, struct said *said)
{
	uint32_t what = choose(g->in, 16);

	*said = (struct said){ .is_stanza = true };
	g->depth++;
	if (what < 6)
		add_request(g, out, said);
	else if (what < 7)
		add_other_iq(g, out);
	else if (what < 11)
		add_message(g, out);
	else
		add_presence(g, out);
	g->depth--;
}

/* ---- what is no stanza ---- */

static void add_ack(struct grammar *g, struct buf *out, struct said *said)
{
	uint32_t how = choose(g->in, 8), h = g->h;

	if (how > 5)
		h = how == 6 ? h + 1 + choose(g->in, 4) : h - 1 - choose(g->in, 4);
	said->is_lie = h != g->h;
	buf_printf(out, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", h);
}

/* Bytes of the fuzzer's own. */
static void add_raw(struct choices *in, struct buf *out)
{
	for (uint32_t n = choose(in, 24); n != 0 && choices_left(in); n--)
		buf_add(out, in->at++, 1);
}

static const char *const oddities[] = {
	"</stream:stream>", "<?xml version='1.0'?>", "<!-- x -->", "<!DOCTYPE x>", "&x;", "</message>", "<", "<message", "x",
	"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>",
	"<a:b/>", "<x y='1' y='2'/>", "<message xmlns='urn:x'/>", "<message xmlns='jabber:server'/>", "<?x?>", "<iq/>",
	"<message xmlns:a='u' xmlns:b='u' a:x='' b:x=''/>", "\xff", "\xc0\x80", "\xed\xa0\x80", "&#0;", "&#x110000;", "]]>",
};

void grammar_nonza(struct grammar *g, struct buf *out, bool is_server, struct said *said)
{
	uint32_t what = choose(g->in, 16);

	*said = (struct said){ 0 };
	if (what < 6) {
		add_ack(g, out, said);
	} else if (what < 14 && !is_server) {
		grammar_add_payload(g, out, client_nonzas[choose(g->in, COUNT(client_nonzas))]);
	} else if (what < 14) {
		grammar_add_payload(g, out, server_nonzas[choose(g->in, COUNT(server_nonzas))]);
	} else if (what < 15) {
		buf_add_str(out, oddities[choose(g->in, COUNT(oddities))]);
		said->is_raw = true;
	} else {
		add_raw(g->in, out);
		said->is_raw = true;
	}
}

/* ---- XML ---- */

void grammar_xml(struct choices *in, struct buf *out)
{
	struct grammar g = { .in = in, .ns = "jabber:client", .own_bare = "u0@localhost", .own_full = "u0@localhost/r",
	                     .host = "localhost", .remote = "remote.test" };
	struct said said;

	switch (choose(in, 8)) {
	case 0:
	case 1:
	case 2:
		grammar_add_element(&g, out, 0);
		break;
	case 3:
	case 4:
		grammar_stanza(&g, out, &said);
		break;
	case 5:
		buf_add_str(out, oddities[choose(in, COUNT(oddities))]);
		break;
	case 6:
		grammar_add_text(&g, out, false);
		break;
	default:
		add_raw(in, out);
		break;
	}
}
