/* SPDX-License-Identifier: MIT */
/* Stanzas: their kind and type, building, writing. */
#include "xmpp/stanza.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "xml/parser.h"
#include "xml/writer.h"
#include "xmpp/ns.h"

static const struct {
	enum comity_kind kind;
	enum comity_type type;
	const char *name;
} types[] = {
	{ COMITY_MESSAGE, COMITY_TYPE_CHAT, "chat" },
	{ COMITY_MESSAGE, COMITY_TYPE_NORMAL, "normal" },
	{ COMITY_MESSAGE, COMITY_TYPE_GROUPCHAT, "groupchat" },
	{ COMITY_MESSAGE, COMITY_TYPE_HEADLINE, "headline" },
	{ COMITY_PRESENCE, COMITY_TYPE_UNAVAILABLE, "unavailable" },
	{ COMITY_PRESENCE, COMITY_TYPE_SUBSCRIBE, "subscribe" },
	{ COMITY_PRESENCE, COMITY_TYPE_SUBSCRIBED, "subscribed" },
	{ COMITY_PRESENCE, COMITY_TYPE_UNSUBSCRIBE, "unsubscribe" },
	{ COMITY_PRESENCE, COMITY_TYPE_UNSUBSCRIBED, "unsubscribed" },
	{ COMITY_PRESENCE, COMITY_TYPE_PROBE, "probe" },
	{ COMITY_IQ, COMITY_TYPE_GET, "get" },
	{ COMITY_IQ, COMITY_TYPE_SET, "set" },
	{ COMITY_IQ, COMITY_TYPE_RESULT, "result" },
	{ COMITY_MESSAGE | COMITY_PRESENCE | COMITY_IQ, COMITY_TYPE_ERROR, "error" },
};

static enum comity_type parse_type(enum comity_kind kind, const char *name)
{
	if (name == NULL)
		return kind == COMITY_MESSAGE ? COMITY_TYPE_NORMAL :
		       kind == COMITY_PRESENCE ? COMITY_TYPE_AVAILABLE : COMITY_TYPE_NONE;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((types[i].kind & kind) != 0 && strcmp(types[i].name, name) == 0)
			return types[i].type;
	/* RFC 6121 5.2.2: an unknown type of message is normal. */
	return kind == COMITY_MESSAGE ? COMITY_TYPE_NORMAL : COMITY_TYPE_NONE;
}

const char *stanza_type_name(enum comity_type type)
{
	if (type == COMITY_TYPE_NORMAL)
		return NULL;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == type)
			return types[i].name;
	return NULL;
}

const char *stanza_kind_name(enum comity_kind kind)
{
	return kind == COMITY_MESSAGE ? "message" : kind == COMITY_PRESENCE ? "presence" : "iq";
}

static bool parse_kind(const struct comity_elem *e, enum comity_kind *kind)
{
	if (comity_elem_is(e, NULL, "message"))
		*kind = COMITY_MESSAGE;
	else if (comity_elem_is(e, NULL, "presence"))
		*kind = COMITY_PRESENCE;
	else if (comity_elem_is(e, NULL, "iq"))
		*kind = COMITY_IQ;
	else
		return false;
	return true;
}

bool stanza_is_element(const struct comity_elem *e)
{
	enum comity_kind kind;

	return (comity_elem_is(e, NS_CLIENT, e->name) || comity_elem_is(e, NS_SERVER, e->name)) && parse_kind(e, &kind);
}

struct comity_stanza *stanza_from_doc(struct xml_doc **doc)
{
	struct comity_stanza *st = arena_alloc(&(*doc)->arena, sizeof(*st));
	const struct comity_elem *root = (*doc)->root;

	*st = (struct comity_stanza){ .doc = *doc, .kind = COMITY_MESSAGE };
	atomic_init(&st->refs, 1);
	parse_kind(root, &st->kind);
	st->type = parse_type(st->kind, comity_elem_attr(root, "type"));
	st->id = comity_elem_attr(root, "id");
	*doc = NULL;
	return st;
}

struct comity_stanza *comity_stanza_new(enum comity_kind kind, enum comity_type type)
{
	struct xml_doc *doc = xml_doc_new();

	doc->root = xml_elem_new(&doc->arena, NS_CLIENT, stanza_kind_name(kind));
	comity_elem_set(doc->root, "type", stanza_type_name(type));
	return stanza_from_doc(&doc);
}

struct comity_stanza *comity_stanza_parse(const char *bytes, size_t len)
{
	struct xml_doc *doc = xml_parse_element(bytes, len);

	if (doc == NULL)
		return NULL;
	if (!stanza_is_element(doc->root)) {
		xml_doc_free(doc);
		return NULL;
	}
	return stanza_from_doc(&doc);
}

struct comity_stanza *comity_stanza_parse_inside(const char *bytes, size_t len)
{
	struct xml_doc *doc = xml_parse_element(bytes, len);
	struct comity_stanza *st;

	if (doc == NULL)
		return NULL;
	st = comity_stanza_new(COMITY_IQ, COMITY_TYPE_RESULT);
	comity_elem_add_copy(comity_stanza_edit(st), doc->root);
	xml_doc_free(doc);
	return st;
}

struct comity_stanza *comity_stanza_ref(const struct comity_stanza *st)
{
	struct comity_stanza *shared = (struct comity_stanza *)(uintptr_t)st;

	if (shared != NULL)
		atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
	return shared;
}

struct comity_stanza *stanza_keep(const struct comity_stanza *st)
{
	struct xml_doc *doc = xml_doc_shrink(st->doc);

	return doc != NULL ? stanza_from_doc(&doc) : comity_stanza_ref(st);
}

void comity_stanza_unref(struct comity_stanza *st)
{
	while (st != NULL && atomic_fetch_sub_explicit(&st->refs, 1, memory_order_acq_rel) == 1) {
		struct comity_stanza *base = st->base;

		xml_doc_free(st->doc);
		st = base;
	}
}

struct comity_elem *comity_stanza_edit(struct comity_stanza *st)
{
	if (st->base != NULL)
		stanza_unshare(st);
	/* What is built differs from any bytes that came in. */
	st->doc->inner_usable = false;
	atomic_store_explicit(&st->parts, 0, memory_order_relaxed);
	return st->doc->root;
}

void comity_stanza_set_id(struct comity_stanza *st, const char *id)
{
	if (st->base != NULL)
		stanza_unshare(st);
	comity_elem_set(st->doc->root, "id", id);
	st->id = comity_elem_attr(st->doc->root, "id");
}

enum comity_kind comity_stanza_kind(const struct comity_stanza *st)
{
	return st->kind;
}

enum comity_type comity_stanza_type(const struct comity_stanza *st)
{
	return st->type;
}

const struct comity_elem *comity_stanza_root(const struct comity_stanza *st)
{
	return st->doc->root;
}

const char *comity_stanza_id(const struct comity_stanza *st)
{
	return st->id;
}

int stanza_priority(const struct comity_stanza *st)
{
	const struct comity_elem *e = comity_elem_find(st->doc->root, NULL, "priority");
	const char *text = e != NULL ? comity_elem_text(e) : "";
	char *end;
	long n = strtol(text, &end, 10);

	end += strspn(end, " \t\r\n");
	return *text == '\0' || *end != '\0' || n < -128 || n > 127 ? 0 : (int)n;
}

size_t comity_stanza_size(const struct comity_stanza *st)
{
	return sizeof(*st) + stanza_weight(st);
}

size_t stanza_weight(const struct comity_stanza *st)
{
	return st->doc->arena.total + st->doc->inner_len;
}

size_t stanza_memory(const struct comity_stanza *st)
{
	size_t bytes = 0;

	for (; st != NULL; st = st->base)
		bytes += sizeof(*st->doc) + st->doc->arena.room;
	return bytes;
}

/* All inside the root: as the bytes that came in wherever they still mean the same. */
static void write_content(struct buf *out, const struct comity_stanza *st, bool may_copy)
{
	const struct comity_elem *root = st->doc->root;
	const struct xml_node *shared = st->base != NULL ? st->base->doc->root->first : NULL;

	if (may_copy && st->doc->inner_usable) {
		buf_add(out, st->doc->inner, st->doc->inner_len);
		return;
	}
	for (const struct xml_node *n = root->first; n != NULL; n = n->next) {
		if (n == shared) {
			write_content(out, st->base, may_copy);
			return;
		}
		if (n->text != NULL)
			xml_write_text(out, n->text, n->len);
		else
			xml_write_elem(out, (const struct comity_elem *)(const void *)n, root->ns);
	}
}

static void write_stanza(struct buf *out, const struct comity_stanza *st, const char *from, const char *to,
                         const struct comity_elem *stamps, bool may_copy)
{
	static const char *const addresses[] = { "from", "to", NULL };
	const struct xml_doc *doc = st->doc;
	const char *name = doc->root->name;
	size_t name_len = strlen(name);
	bool has_stamps = stamps != NULL && stamps->first != NULL;

	buf_add(out, "<", 1);
	buf_add(out, name, name_len);
	if (from != NULL)
		xml_write_attr(out, "from", from);
	if (to != NULL)
		xml_write_attr(out, "to", to);
	xml_write_attrs(out, doc->root, addresses);
	if (doc->root->first == NULL && !has_stamps) {
		buf_add(out, "/>", 2);
		return;
	}
	buf_add(out, ">", 1);
	write_content(out, st, may_copy);
	if (has_stamps)
		xml_write_inner(out, stamps);
	buf_add(out, "</", 2);
	buf_add(out, name, name_len);
	buf_add(out, ">", 1);
}

void stanza_write(struct buf *out, const struct comity_stanza *st, const char *from, const char *to,
                  const struct comity_elem *stamps)
{
	write_stanza(out, st, from, to, stamps, true);
}

void stanza_write_server(struct buf *out, const struct comity_stanza *st, const char *from, const char *to,
                         const struct comity_elem *stamps)
{
	/* Content that is shared with another stanza is not looked into: it is written anew. */
	bool may_copy = st->doc->inner_usable && !st->doc->inner_names_content;

	write_stanza(out, st, from, to, stamps, may_copy);
}
