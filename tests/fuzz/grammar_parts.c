/* SPDX-License-Identifier: MIT */
/* What sentences are made of: words, text, addresses, elements. */
#include "grammar_parts.h"

#include <stdio.h>
#include <string.h>

#define NEST_MAX 4
#define NS_OF_STANZAS "jabber:client"
#define REPEATS_MAX 4

bool grammar_one_in(struct grammar *g, uint32_t n)
{
	return choose(g->in, n) == n - 1;
}

/* ---- words ---- */

/* What may stand where the protocols have words: attributes' values and contents of elements. */
static const char *const words[] = {
	"none", "to", "from", "both", "remove", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error",
	"result", "get", "set", "chat", "groupchat", "headline", "normal", "unavailable", "available", "away", "dnd", "xa",
	"true", "false", "1", "0", "-1", "127", "-129", "4294967295", "4294967296", "18446744073709551616", "submit",
	"form", "cancel", "hidden", "en", "de", "sha-1", "cancel", "wait", "modify", "auth", "received", "sent", "invalid",
	"valid", "2024-01-01T00:00:00Z", "2038-01-19T03:14:08.999999Z", "1969-12-31T23:59:59+14:00", "0000-00-00",
};

static const char *const names[] = {
	"query", "item", "group", "body", "subject", "thread", "x", "error", "text", "forwarded", "delay", "stanza-id",
	"origin-id", "private", "no-copy", "no-store", "store", "active", "composing", "c", "priority", "show", "status",
	"message", "presence", "iq", "received", "sent", "block", "unblock", "vCard", "storage", "field", "value",
	"username", "password", "remove", "ping", "service-unavailable", "stream", "a", "xml:a",
};

static const char *const namespaces[] = {
	"jabber:client", "jabber:server", "jabber:iq:roster", "jabber:iq:private", "jabber:iq:register", "jabber:iq:last",
	"jabber:iq:version", "jabber:x:data", "jabber:x:conference", "vcard-temp", "urn:xmpp:carbons:2", "urn:xmpp:csi:0",
	"urn:xmpp:blocking", "urn:xmpp:blocking:errors", "urn:xmpp:sm:3", "urn:xmpp:ping", "urn:xmpp:time", "urn:xmpp:sid:0",
	"urn:xmpp:hints", "urn:xmpp:delay", "urn:xmpp:forward:0", "urn:xmpp:receipts", "urn:xmpp:chat-markers:0",
	"http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items",
	"http://jabber.org/protocol/caps", "http://jabber.org/protocol/chatstates", "http://jabber.org/protocol/muc",
	"http://jabber.org/protocol/muc#user", "http://etherx.jabber.org/streams", "jabber:server:dialback",
	"urn:ietf:params:xml:ns:xmpp-stanzas", "urn:ietf:params:xml:ns:xmpp-streams", "urn:ietf:params:xml:ns:xmpp-bind",
	"urn:ietf:params:xml:ns:xmpp-session", "urn:xmpp:bidi", "urn:x", "a&amp;b&lt;&apos;", "",
};

/* One character of text, as it may be written. All but the first few are odd. */
static const char *const characters[] = {
	"x", "y", "1", " ", "a", "&lt;", "&amp;", "&gt;", "&apos;", "&quot;", "&#65;", "&#x1F600;", "&#9;", "&#10;", "&#13;",
	"\n", "\t", "\r", "\r\n", "\xc3\xa9", "e\xcc\x81", "\xe2\x80\x8b", "\xe2\x80\xae", "\xef\xbb\xbf", "\xf0\x9f\x98\x80",
	"\xf4\x8f\xbf\xbd", "\xed\x9f\xbf", "\xee\x80\x80", "&#xFFFD;", "]]&gt;", "=", "\xe2\x80\xa8", "\xc2\x85", "\xc2\xa0",
};

static void add_characters(struct grammar *g, struct buf *out)
{
	for (uint32_t n = choose(g->in, 6); n != 0; n--)
		buf_add_str(out, characters[choose(g->in, COUNT(characters))]);
}

void grammar_add_text(struct grammar *g, struct buf *out, bool in_attribute)
{
	uint32_t how = choose(g->in, 32), n;

	if (how < 6) {
		buf_add_str(out, "hello");
	} else if (how < 12) {
		buf_add_str(out, words[choose(g->in, COUNT(words))]);
	} else if (how < 28) {
		add_characters(g, out);
	} else if (how < 30 && !in_attribute) {
		buf_add_str(out, "<![CDATA[");
		add_characters(g, out);
		buf_add_str(out, "<&]]>");
	} else if (how < 31) {
		for (n = choose(g->in, 3000); n != 0; n--)
			buf_add(out, &"0123456789abcdef"[n % 16], 1);
	} else {
		/* Where it is cut, it is so in the middle of a character. */
		buf_add(out, "xyz", choose(g->in, 3));
		for (n = 8 * choose(g->in, 256); n != 0; n--)
			buf_add_str(out, "\xe2\x82\xac");
	}
}

/* ---- addresses ---- */

static const char *const odd_addresses[] = {
	"", "@", "@localhost", "u0@", "u0@localhost/", "u0@localhost/a/b", "u0@@localhost", "a b@localhost", "U0@LOCALHOST",
	"u0@localhost./x", "u0@local host", "u0@[::1]", "u0@127.0.0.1", "\xc3\xa9@localhost", "e\xcc\x81@localhost/\xef\xbd\x81",
	"u0@xn--", "xn--mnchen-3ya.test", "m\xc3\xbcnchen.test", "u0@localhost/&lt;&amp;&quot;&apos;", "/", "localhost/",
	"localhost/r", "conference.localhost", "u0@localhost/\xf0\x9f\x98\x80", "nobody@localhost/r", "nobody.test",
	"a@nobody.test/b", "LOCALHOST", "*", "u0@localhost\n", "u%30@localhost",
};

static const char *any_other(struct grammar *g)
{
	const char *full = g->others[choose(g->in, GRAMMAR_OTHERS)];

	return full != NULL ? full : g->own_full;
}

/* Returns true when it names an account of the server, the server, or nobody: then the server answers by itself. */
bool grammar_add_address(struct grammar *g, struct buf *out)
{
	static const char *const users[] = { "u0", "u1", "u2", "nobody" };
	const char *odd;

	switch (choose(g->in, 12)) {
	case 0:
	case 1:
		buf_add_str(out, g->host);
		return true;
	case 2:
		buf_add_str(out, g->own_bare);
		return g->ns[7] == 'c';
	case 3:
		buf_add_str(out, g->own_full);
		return false;
	case 4:
	case 5:
	case 6:
		buf_printf(out, "%s@%s", users[choose(g->in, COUNT(users))], g->host);
		return true;
	case 7:
	case 8:
		buf_add_str(out, any_other(g));
		return false;
	case 9:
		buf_printf(out, "%s@%s/%s", users[choose(g->in, COUNT(users))], g->host, grammar_one_in(g, 2) ? "r" : "c0");
		return false;
	case 10:
		buf_printf(out, "%s%s%s", grammar_one_in(g, 3) ? "" : "romeo@", g->remote, grammar_one_in(g, 2) ? "/orchard" : "");
		return false;
	default:
		odd = odd_addresses[choose(g->in, COUNT(odd_addresses))];
		buf_add_str(out, odd);
		return false;
	}
}

/* ---- elements ---- */

void grammar_add_odd_attribute(struct grammar *g, struct buf *out)
{
	static const char *const attributes[] = {
		"xml:lang='en'", "xml:lang='%'", "xml:space='preserve'", "xmlns:r='urn:r' r:x='%'", "a='%'", "p-q='%'",
		"xmlns:q='urn:q'", "xmlns:s='http://etherx.jabber.org/streams' s:x='%'", "\xc3\xa9='%'", "xml:base='%'",
		"xmlns:xml='http://www.w3.org/XML/1998/namespace'", "by='%'", "id2=\"%\"", "xmlns:c='jabber:client' c:to='%'",
	};
	const char *at = attributes[choose(g->in, COUNT(attributes))];

	buf_add(out, " ", 1);
	for (; *at != '\0'; at++) {
		if (*at == '%')
			grammar_add_text(g, out, true);
		else
			buf_add(out, at, 1);
	}
}

/* Whatever fits nowhere. */
void grammar_add_element(struct grammar *g, struct buf *out, unsigned depth)
{
	const char *name = names[choose(g->in, COUNT(names))], *ns = namespaces[choose(g->in, COUNT(namespaces))];
	uint32_t how = choose(g->in, 4);
	const char *prefix = how == 3 && *ns != '\0' && strchr(name, ':') == NULL ? "p:" : "";

	buf_printf(out, "<%s%s", prefix, name);
	if (*prefix != '\0')
		buf_printf(out, " xmlns:p='%s'", ns);
	else if (how != 0)
		buf_printf(out, " xmlns='%s'", ns);
	if (grammar_one_in(g, 4)) {
		buf_printf(out, " %s='", grammar_one_in(g, 2) ? "jid" : "type");
		grammar_add_address(g, out);
		buf_add(out, "'", 1);
	}
	if (grammar_one_in(g, 8))
		grammar_add_odd_attribute(g, out);
	buf_add(out, ">", 1);
	if (grammar_one_in(g, 2))
		grammar_add_text(g, out, false);
	else
		grammar_add_elements(g, out, depth + 1);
	buf_printf(out, "</%s%s>", prefix, name);
}

void grammar_add_elements(struct grammar *g, struct buf *out, unsigned depth)
{
	for (uint32_t n = choose(g->in, 4); n != 0 && depth < NEST_MAX; n--)
		grammar_add_element(g, out, depth);
}

/* ---- sentences ----
 * In a sentence stand for: %j an address, %t text, %w a word, %n a number, %e elements, %a an odd attribute or nothing,
 * %s a namespace, %m a stanza, %i an id; %( ... %) several times or never. */

static void add_number(struct grammar *g, struct buf *out)
{
	static const char *const odd[] = { "-1", "", "4294967295", "4294967296", "99999999999999999999", "0x1", " 1", "1.5" };

	if (grammar_one_in(g, 4))
		buf_add_str(out, odd[choose(g->in, COUNT(odd))]);
	else
		buf_printf(out, "%u", choose(g->in, 256));
}

static void add_nested(struct grammar *g, struct buf *out)
{
	struct said inner;

	if (g->depth < 2)
		grammar_stanza(g, out, &inner);
}

static void add_thing(struct grammar *g, struct buf *out, char what, bool in_attribute)
{
	switch (what) {
	case 'j':
		grammar_add_address(g, out);
		break;
	case 't':
		grammar_add_text(g, out, in_attribute);
		break;
	case 'w':
		buf_add_str(out, words[choose(g->in, COUNT(words))]);
		break;
	case 'n':
		add_number(g, out);
		break;
	case 'e':
		if (grammar_one_in(g, 3))
			grammar_add_elements(g, out, 0);
		break;
	case 'a':
		if (grammar_one_in(g, 8))
			grammar_add_odd_attribute(g, out);
		break;
	case 's':
		buf_add_str(out, namespaces[choose(g->in, COUNT(namespaces) - 1)]);
		break;
	case 'm':
		add_nested(g, out);
		break;
	default:
		buf_printf(out, "i%u", choose(g->in, 8));
		break;
	}
}

static const char *skip_repeat(const char *at)
{
	for (; *at != '\0'; at++)
		if (at[0] == '%' && at[1] == ')')
			return at + 2;
	return at;
}

static void add_sentence(struct grammar *g, struct buf *out, const char *at, const char *end)
{
	const char *start = NULL;
	bool in_attribute = false;
	uint32_t again = 0;

	for (; at < end; at++) {
		if (*at == '\'')
			in_attribute = !in_attribute;
		if (*at != '%') {
			buf_add(out, at, 1);
			continue;
		}
		at++;
		if (*at == '(') {
			again = choose(g->in, REPEATS_MAX);
			start = at;
			if (again == 0)
				at = skip_repeat(at) - 1;
		} else if (*at == ')') {
			if (--again != 0)
				at = start;
		} else {
			add_thing(g, out, *at, in_attribute);
		}
	}
}

/* The same, with its outermost element perhaps prefixed. It begins with <NAME xmlns='...' */
void grammar_add_payload(struct grammar *g, struct buf *out, const char *text)
{
	size_t len = strlen(text), name = strcspn(text, " "), tail = name + 2;
	const char *ns = strchr(text, '\''), *ns_end = strchr(ns + 1, '\'') + 1;
	uint32_t how = choose(g->in, 16);

	if (how < 14 && strncmp(ns, "'" NS_OF_STANZAS "'", sizeof(NS_OF_STANZAS) + 1) == 0) {
		/* It is that of the stream, whichever that is. */
		buf_printf(out, "%.*s", (int)name, text);
		add_sentence(g, out, ns_end, text + len);
		return;
	}
	if (how < 14) {
		add_sentence(g, out, text, text + len);
		return;
	}
	/* With how 14 what is inside keeps its namespace. */
	buf_printf(out, "<p:%.*s xmlns:p=%.*s", (int)name - 1, text + 1, (int)(ns_end - ns), ns);
	if (how == 14)
		buf_printf(out, " xmlns=%.*s", (int)(ns_end - ns), ns);
	if (text[len - 2] == '/') {
		add_sentence(g, out, ns_end, text + len);
		return;
	}
	add_sentence(g, out, ns_end, text + len - tail);
	buf_printf(out, "</p:%.*s>", (int)name - 1, text + 1);
}
