/* SPDX-License-Identifier: MIT */
/* The same bytes through the stream parser and through libxml2: what the server accepts, the other must read as the same
 * tree, and what the server writes of it must be that tree again.
 *
 * Where libxml2 accepts more there is nothing to see. Known reasons, all wanted: comments, instructions and DTDs
 * (RFC 6120 11.1), text between stanzas, limits, names that only the fifth edition of XML 1.0 allows, version 1.1,
 * encodings other than UTF-8, prefixes that are bound to nothing. */
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ear.h"
#include "grammar.h"
#include "xml/elem.h"
#include "xml/intern.h"
#include "xml/parser.h"
#include "xml/writer.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#define ELEMENTS_MAX 64
#define ELEMENT_MAX 65536
#define PIECES_MAX 40
#define ATTRIBUTES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- trees as text ----
 * Two trees are the same when these texts are: every name with its namespace, attributes in order, text as one piece
 * with its length, so that nothing in a text can look like something else. */

struct attribute {
	const char *ns, *name, *value;
	size_t len;
};

static int compare_attributes(const void *a, const void *b)
{
	const struct attribute *x = a, *y = b;
	int by_ns = strcmp(x->ns, y->ns);

	return by_ns != 0 ? by_ns : strcmp(x->name, y->name);
}

static void put_start(struct buf *out, const char *ns, const char *name, struct attribute *attributes, size_t count)
{
	qsort(attributes, count, sizeof(*attributes), compare_attributes);
	buf_printf(out, "<{%s}%s", ns, name);
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, " {%s}%s=%zu:", attributes[i].ns, attributes[i].name, attributes[i].len);
		buf_add(out, attributes[i].value, attributes[i].len);
	}
	buf_add(out, ">", 1);
}

static void put_text(struct buf *out, struct buf *text)
{
	if (buf_size(text) != 0) {
		buf_printf(out, "%zu:", buf_size(text));
		buf_add(out, buf_bytes(text), buf_size(text));
	}
	buf_clear(text);
}

/* How a tree is to be told. */
struct view {
	bool skips_header;   /* elements are those below the root */
	bool no_addresses;   /* they are without 'from' and 'to' */
	/* Elements of jabber:client count as those of jabber:server, which they are for another server (RFC 6120 4.8.3).
	 * Inside foreign ones they may stay what they are, as in what is forwarded. */
	bool as_server;
};

static const char *view_ns(const struct view *v, const char *ns)
{
	return v->as_server && strcmp(ns, NS_CLIENT) == 0 ? NS_SERVER : ns;
}

static bool is_address(const char *ns, const char *name)
{
	return ns == NULL && (strcmp(name, "from") == 0 || strcmp(name, "to") == 0);
}

static void put_elem(struct buf *out, const struct comity_elem *e, const struct view *v, bool is_root)
{
	struct attribute attributes[ATTRIBUTES_MAX];
	struct buf text = { 0 };
	size_t count = 0;

	for (const struct xml_attr *a = e->attrs; a != NULL && count < ATTRIBUTES_MAX; a = a->next)
		if (!is_root || !v->no_addresses || !is_address(a->ns, a->name))
			attributes[count++] = (struct attribute){ a->ns != NULL ? a->ns : "", a->name, a->value, strlen(a->value) };
	put_start(out, view_ns(v, e->ns), e->name, attributes, count);
	for (const struct xml_node *n = e->first; n != NULL; n = n->next) {
		if (n->text != NULL) {
			buf_add(&text, n->text, n->len);
			continue;
		}
		put_text(out, &text);
		put_elem(out, (const struct comity_elem *)(const void *)n, v, false);
	}
	put_text(out, &text);
	buf_deinit(&text);
	buf_add(out, "</>", 3);
}

static char *describe(const struct comity_elem *e, const struct view *v)
{
	struct buf out = { 0 };

	put_elem(&out, e, v, true);
	return buf_take(&out);
}

/* ---- the other parser ---- */

struct other {
	xmlParserCtxtPtr ctxt;
	struct view view;
	unsigned depth;
	struct buf tree, text;
	char *elements[ELEMENTS_MAX];
	unsigned count;
	bool has_errors;
	char error[256];
};

static void on_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *ns, int namespaces,
                     const xmlChar **declared, int count, int defaulted, const xmlChar **attrs)
{
	struct other *o = arg;
	struct attribute attributes[ATTRIBUTES_MAX];
	size_t n = 0;

	(void)prefix, (void)namespaces, (void)declared, (void)defaulted;
	if (o->depth++ == 0 && o->view.skips_header)
		return;
	put_text(&o->tree, &o->text);
	/* Each has five pointers: name, prefix, namespace, begin and end of the value. */
	for (int i = 0; i < count && n < ATTRIBUTES_MAX; i++, attrs += 5) {
		const char *attr_ns = (const char *)attrs[2], *attr_name = (const char *)attrs[0];

		if (o->view.no_addresses && o->depth == 1u + o->view.skips_header && is_address(attr_ns, attr_name))
			continue;
		attributes[n++] = (struct attribute){ attr_ns != NULL ? attr_ns : "", attr_name, (const char *)attrs[3],
		                                      (size_t)(attrs[4] - attrs[3]) };
	}
	put_start(&o->tree, ns != NULL ? view_ns(&o->view, (const char *)ns) : "", (const char *)name, attributes, n);
}

static void on_end(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *ns)
{
	struct other *o = arg;

	(void)name, (void)prefix, (void)ns;
	if (--o->depth == 0 && o->view.skips_header)
		return;
	put_text(&o->tree, &o->text);
	buf_add(&o->tree, "</>", 3);
	if (o->depth != o->view.skips_header)
		return;
	if (o->count < ELEMENTS_MAX)
		o->elements[o->count++] = buf_take(&o->tree);
	buf_clear(&o->tree);
}

static void on_text(void *arg, const xmlChar *text, int len)
{
	struct other *o = arg;

	if (o->depth > o->view.skips_header)
		buf_add(&o->text, text, (size_t)len);
}

static void on_error(void *arg, xmlErrorPtr error)
{
	struct other *o = arg;

	/* That a namespace should be a URI is an advice to authors (Namespaces in XML 1.0, 2.2): readers compare text. */
	if (error->level < XML_ERR_ERROR || error->code == XML_WAR_NS_URI || error->code == XML_WAR_NS_URI_RELATIVE)
		return;
	if (!o->has_errors)
		snprintf(o->error, sizeof(o->error), "%s", error->message);
	o->has_errors = true;
}

/* All at once: in pieces libxml2 leaves carriage returns in CDATA as they are (XML 1.0, 2.11). */
static void other_parse(struct other *o, const struct buf *bytes, const struct view *view)
{
	static const xmlSAXHandler sax = {
		.initialized = XML_SAX2_MAGIC, .startElementNs = on_start, .endElementNs = on_end, .characters = on_text,
		.ignorableWhitespace = on_text, .cdataBlock = on_text, .serror = on_error,
	};

	*o = (struct other){ .view = *view };
	o->ctxt = xmlCreateMemoryParserCtxt(buf_bytes(bytes), (int)buf_size(bytes));
	if (o->ctxt == NULL)
		abort();
	*o->ctxt->sax = sax;
	o->ctxt->userData = o;
	/* NOENT: '&' in values is told as such, and not as a reference. There are no entities: nobody keeps them. */
	xmlCtxtUseOptions(o->ctxt, XML_PARSE_NONET | XML_PARSE_HUGE | XML_PARSE_NOENT);
	xmlParseDocument(o->ctxt);
}

static void other_deinit(struct other *o)
{
	xmlFreeDoc(o->ctxt->myDoc);
	xmlFreeParserCtxt(o->ctxt);
	for (unsigned i = 0; i < o->count; i++)
		free(o->elements[i]);
	buf_deinit(&o->tree);
	buf_deinit(&o->text);
}

/* ---- the server's ---- */

struct own {
	struct xml_doc *docs[ELEMENTS_MAX];
	unsigned count;
	enum xml_event end;    /* XML_EVENT_NONE: none yet */
	char *default_ns;
};

static void own_read(struct own *o, struct xml_parser *p)
{
	struct xml_doc *doc = NULL;
	enum xml_event event;

	while ((event = xml_parser_next(p, &doc)) == XML_EVENT_OPEN || event == XML_EVENT_ELEMENT) {
		if (event == XML_EVENT_ELEMENT && o->count < ELEMENTS_MAX)
			o->docs[o->count++] = doc;
		else
			xml_doc_free(doc);
	}
	o->end = event;
}

/* In pieces of these sizes, with rests in between. */
static void own_parse(struct own *o, const char *bytes, size_t len, const uint8_t *pieces)
{
	static const struct xml_limits limits = { 16384, ELEMENT_MAX, 32, ATTRIBUTES_MAX, 256, 10000 };
	struct xml_parser *p = xml_parser_new(&limits);

	for (unsigned i = 0; len != 0 && o->end == XML_EVENT_NONE; i++) {
		size_t n = pieces[i % PIECES_MAX] == 0 ? XML_PUSH_MAX : pieces[i % PIECES_MAX] & 127;

		n = n == 0 ? 1 : n;
		n = n < len ? n : len;
		xml_parser_push(p, bytes, n);
		own_read(o, p);
		if ((pieces[i % PIECES_MAX] & 128) != 0)
			xml_parser_rest_now(p);
		bytes += n;
		len -= n;
	}
	o->default_ns = mem_strdup(xml_parser_default_ns(p));
	xml_parser_free(p);
}

/* ---- what they say of each other ---- */

static void expect_same(const char *what, const char *own, const char *other, const char *bytes, size_t len)
{
	if (strcmp(own, other) != 0)
		finding("%s: %s\nbut: %s\nin: %.*s", what, own, other, (int)len, bytes);
}

/* What is written is the tree again, in a document or behind a header. */
static void check_written(const char *what, const struct buf *written, const char *tree, const struct view *view)
{
	struct other o;

	other_parse(&o, written, view);
	if (o.has_errors || o.count != 1)
		finding("%s is refused (%s): %.*s", what, o.error, (int)buf_size(written), buf_bytes(written));
	expect_same(what, tree, o.elements[0], buf_bytes(written), buf_size(written));
	other_deinit(&o);
}

static void check_elem(const struct comity_elem *e, const char *tree)
{
	struct buf out = { 0 };
	struct xml_doc *again;
	size_t len;
	char *tree_again, *text = comity_elem_to_xml(e, &len);

	buf_add(&out, text, len);
	free(text);
	check_written("the element as it is stored", &out, tree, &(struct view){ 0 });
	again = xml_parse_element(buf_bytes(&out), buf_size(&out));
	if (again == NULL)
		finding("what was stored cannot be read: %.*s", (int)buf_size(&out), buf_bytes(&out));
	tree_again = describe(again->root, &(struct view){ 0 });
	expect_same("the element that was stored", tree, tree_again, buf_bytes(&out), buf_size(&out));
	free(tree_again);
	xml_doc_free(again);
	buf_clear(&out);
	xml_write_elem(&out, e, NS_CLIENT);
	if (buf_size(&out) != xml_elem_size(e, NS_CLIENT) || buf_size(&out) > 2 * ELEMENT_MAX)
		finding("%zu bytes are written of an element, and %zu counted", buf_size(&out), xml_elem_size(e, NS_CLIENT));
	buf_deinit(&out);
}

#define HEADER(ns) "<stream:stream xmlns='" ns "' xmlns:stream='" NS_STREAM "' version='1.0'>"

/* As another client, and as another server gets it. The server takes stanzas in the namespace of their stream only. */
static void check_stanza(struct xml_doc **doc)
{
	static const struct view client = { .skips_header = true, .no_addresses = true };
	static const struct view server = { .skips_header = true, .no_addresses = true, .as_server = true };
	struct comity_stanza *st = stanza_from_doc(doc);
	char *as_client = describe(comity_stanza_root(st), &client), *as_server = describe(comity_stanza_root(st), &server);
	struct buf out = { 0 };

	buf_add_str(&out, HEADER(NS_CLIENT));
	stanza_write(&out, st, "a@b/c", "d@e/f", NULL);
	buf_add_str(&out, "</stream:stream>");
	check_written("the stanza for a client", &out, as_client, &client);
	buf_clear(&out);
	buf_add_str(&out, HEADER(NS_SERVER));
	stanza_write_server(&out, st, "a@b/c", "d@e/f", NULL);
	buf_add_str(&out, "</stream:stream>");
	check_written("the stanza for a server", &out, as_server, &server);
	buf_deinit(&out);
	free(as_client);
	free(as_server);
	comity_stanza_unref(st);
}

static void check_all(struct own *own, const struct other *other, const char *bytes, size_t len)
{
	for (unsigned i = 0; i < own->count; i++) {
		struct xml_doc *doc = own->docs[i];
		char *tree = describe(doc->root, &(struct view){ 0 });

		if (i >= other->count)
			finding("the other refuses (%s) what was read as %s\nin: %.*s", other->error, tree, (int)len, bytes);
		expect_same("read", tree, other->elements[i], bytes, len);
		check_elem(doc->root, tree);
		if (stanza_is_element(doc->root) && strcmp(doc->root->ns, NS_CLIENT) == 0 &&
		    strcmp(own->default_ns, NS_CLIENT) == 0)
			check_stanza(&doc);
		xml_doc_free(doc);
		free(tree);
	}
}

/* ---- inputs ---- */

static const char *const headers[] = {
	"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
	"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>",
	"<stream xmlns='http://etherx.jabber.org/streams' xmlns:c='jabber:client' xmlns:p='urn:p'>",
	"<stream:stream xmlns='jabber:client' xmlns:p='urn:p' xmlns:stream='http://etherx.jabber.org/streams' xml:lang='de'>",
	"<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' xmlns:stream='urn:not'>",
	"\xef\xbb\xbf<?xml version=\"1.0\" encoding='utf-8' standalone='yes'?>\n<stream:stream xmlns='jabber:client' \n>",
	"<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>",
	"",
};

/* The first byte chooses the header and whether the rest is bytes or choices of the grammar; then sizes of pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct own own = { .end = XML_EVENT_NONE };
	struct choices in = { data + 1 + PIECES_MAX, data + size };
	struct buf bytes = { 0 };
	struct other other;

	if (size < 1 + PIECES_MAX)
		return 0;
	xml_intern_init();
	buf_add_str(&bytes, headers[data[0] & 7]);
	if ((data[0] & 128) != 0)
		buf_add(&bytes, in.at, (size_t)(in.end - in.at));
	if (buf_size(&bytes) == 0)
		buf_add_str(&bytes, "\n");
	while ((data[0] & 128) == 0 && choices_left(&in) && buf_size(&bytes) < 65536)
		grammar_xml(&in, &bytes);
	own_parse(&own, buf_bytes(&bytes), buf_size(&bytes), data + 1);
	other_parse(&other, &bytes, &(struct view){ .skips_header = true });
	check_all(&own, &other, buf_bytes(&bytes), buf_size(&bytes));
	other_deinit(&other);
	free(own.default_ns);
	buf_deinit(&bytes);
	return 0;
}
