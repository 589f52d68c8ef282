/* SPDX-License-Identifier: MIT */
/* Names and namespaces that the server knows, one pointer each. */
#include "xml/intern.h"

#include <string.h>

#include "base/map.h"

/* Frequent strings only: what is missing here works too, it is copied and compared. */
static const char *const known[] = {
	/* names */
	"message", "presence", "iq", "stream", "features", "body", "subject", "thread", "query", "item", "items",
	"group", "ping", "vCard", "show", "status", "priority", "c", "x", "error", "text", "bind", "session",
	"resource", "jid", "auth", "response", "success", "failure", "challenge", "abort", "starttls", "proceed",
	"active", "composing", "paused", "inactive", "gone", "request", "received", "r", "a", "enable", "enabled",
	"resume", "resumed", "delay", "feature", "identity", "field", "value", "data", "to", "from", "id", "type",
	"lang", "name", "subscription", "ask", "ver", "node", "var", "hash", "category", "mechanism", "stamp",
	"origin-id", "stanza-id", "store", "no-store", "markable", "private", "sent", "forwarded", "h", "previd",
	/* namespaces */
	"", "jabber:client", "jabber:server", "http://etherx.jabber.org/streams", "jabber:iq:roster",
	"jabber:iq:private", "jabber:iq:register", "jabber:iq:version", "jabber:iq:last", "jabber:x:data",
	"urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-tls", "urn:ietf:params:xml:ns:xmpp-bind",
	"urn:ietf:params:xml:ns:xmpp-session", "urn:ietf:params:xml:ns:xmpp-stanzas",
	"urn:ietf:params:xml:ns:xmpp-streams", "http://jabber.org/protocol/disco#info",
	"http://jabber.org/protocol/disco#items", "http://jabber.org/protocol/caps",
	"http://jabber.org/protocol/chatstates", "http://jabber.org/protocol/pubsub", "http://jabber.org/protocol/muc",
	"urn:xmpp:ping", "urn:xmpp:time", "urn:xmpp:delay", "urn:xmpp:receipts", "urn:xmpp:sm:3", "urn:xmpp:carbons:2",
	"urn:xmpp:forward:0", "urn:xmpp:hints", "urn:xmpp:sid:0", "urn:xmpp:chat-markers:0", "vcard-temp",
	"urn:xmpp:blocking", "urn:xmpp:csi:0",
	"vcard-temp:x:update", "http://www.w3.org/XML/1998/namespace",
};

/* Filled once at start; a constant from then on. */
static struct map table;

void xml_intern_init(void)
{
	if (table.count != 0)
		return;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		map_put(&table, known[i], strlen(known[i]), (void *)(size_t)known[i]);
}

const char *xml_intern(const char *s, size_t len)
{
	return map_find(&table, s, len);
}
