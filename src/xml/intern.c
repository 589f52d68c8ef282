/* SPDX-License-Identifier: MIT */
/* Names and namespaces that the server knows, one pointer each. */
#include "xml/intern.h"

#include <string.h>

#include "base/map.h"

const char xml_ns_carbons[] = "urn:xmpp:carbons:2", xml_ns_chat_markers[] = "urn:xmpp:chat-markers:0",
	xml_ns_chatstates[] = "http://jabber.org/protocol/chatstates", xml_ns_conference[] = "jabber:x:conference",
	xml_ns_hints[] = "urn:xmpp:hints", xml_ns_muc_user[] = "http://jabber.org/protocol/muc#user",
	xml_ns_receipts[] = "urn:xmpp:receipts", xml_ns_sid[] = "urn:xmpp:sid:0";
const char xml_name_body[] = "body", xml_name_invite[] = "invite", xml_name_no_copy[] = "no-copy",
	xml_name_no_permanent_store[] = "no-permanent-store", xml_name_no_store[] = "no-store",
	xml_name_private[] = "private", xml_name_received[] = "received", xml_name_sent[] = "sent",
	xml_name_stanza_id[] = "stanza-id", xml_name_store[] = "store", xml_name_thread[] = "thread";

/* Frequent strings only: what is missing here works too, it is copied and compared. */
static const char *const known[] = {
	/* names */
	"message", "presence", "iq", "stream", "features", xml_name_body, "subject", xml_name_thread, "query", "item", "items",
	"group", "ping", "vCard", "show", "status", "priority", "c", "x", "error", "text", "bind", "session",
	"resource", "jid", "auth", "response", "success", "failure", "challenge", "abort", "starttls", "proceed",
	"active", "composing", "paused", "inactive", "gone", "request", xml_name_received, "r", "a", "enable", "enabled",
	"resume", "resumed", "delay", "feature", "identity", "field", "value", "data", "to", "from", "id", "type",
	"lang", "name", "subscription", "ask", "ver", "node", "var", "hash", "category", "mechanism", "stamp",
	"origin-id", xml_name_stanza_id, xml_name_store, xml_name_no_store, xml_name_no_permanent_store, xml_name_no_copy,
	"markable", xml_name_private, xml_name_sent, "forwarded", xml_name_invite, "by", "h", "previd",
	/* namespaces */
	"", "jabber:client", "jabber:server", "http://etherx.jabber.org/streams", "jabber:iq:roster",
	"jabber:iq:private", "jabber:iq:register", "jabber:iq:version", "jabber:iq:last", "jabber:x:data",
	"urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-tls", "urn:ietf:params:xml:ns:xmpp-bind",
	"urn:ietf:params:xml:ns:xmpp-session", "urn:ietf:params:xml:ns:xmpp-stanzas",
	"urn:ietf:params:xml:ns:xmpp-streams", "http://jabber.org/protocol/disco#info",
	"http://jabber.org/protocol/disco#items", "http://jabber.org/protocol/caps",
	xml_ns_chatstates, "http://jabber.org/protocol/pubsub", "http://jabber.org/protocol/muc", xml_ns_muc_user,
	"urn:xmpp:ping", "urn:xmpp:time", "urn:xmpp:delay", xml_ns_receipts, "urn:xmpp:sm:3", xml_ns_carbons,
	"urn:xmpp:forward:0", xml_ns_hints, xml_ns_sid, xml_ns_chat_markers, xml_ns_conference, "vcard-temp",
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
