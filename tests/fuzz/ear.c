/* SPDX-License-Identifier: MIT */
/* Listens to what the server says. */
#include "ear.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "xml/expat_holds.h"

#define SEPARATOR '\x01'
#define ATTRS_MAX 64

struct ear {
	XML_Parser parser;
	void (*heard)(void *owner, const struct heard *h);
	void *owner;
	unsigned depth;
	bool is_closed;
	/* The element being heard. */
	char *ns, *name, *child_ns, *child;
	const char *attrs[ATTRS_MAX + 1];
	struct buf text;
	struct buf last;       /* of what came, for the report */
};

void finding(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "finding: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

const char *heard_attr(const struct heard *h, const char *name)
{
	for (const char **a = h->attrs; *a != NULL; a += 2)
		if (strcmp(a[0], name) == 0)
			return a[1];
	return NULL;
}

bool heard_is(const struct heard *h, const char *ns, const char *name)
{
	return strcmp(h->ns, ns) == 0 && strcmp(h->name, name) == 0;
}

bool heard_is_stanza(const struct heard *h)
{
	return strcmp(h->name, "message") == 0 || strcmp(h->name, "presence") == 0 || strcmp(h->name, "iq") == 0;
}

/* "ns<SEP>name" or "name". */
static void split(const char *both, char **ns, char **name)
{
	const char *at = strchr(both, SEPARATOR);

	*ns = at != NULL ? mem_dup(both, (size_t)(at - both)) : mem_strdup("");
	*name = mem_strdup(at != NULL ? at + 1 : both);
}

static void forget(struct ear *e)
{
	free(e->ns);
	free(e->name);
	free(e->child_ns);
	free(e->child);
	e->ns = e->name = e->child_ns = e->child = NULL;
	for (const char **a = e->attrs; *a != NULL; a++)
		free((void *)(uintptr_t)*a);
	e->attrs[0] = NULL;
	buf_clear(&e->text);
}

static void tell(struct ear *e, enum heard_what what)
{
	struct heard h = { .what = what, .ns = e->ns, .name = e->name, .attrs = e->attrs,
	                   .child_ns = e->child_ns != NULL ? e->child_ns : "", .child = e->child != NULL ? e->child : "" };

	buf_add(&e->text, "", 1);
	h.text = buf_bytes(&e->text);
	h.text_len = buf_size(&e->text) - 1;
	e->heard(e->owner, &h);
	forget(e);
}

static void keep_attributes(struct ear *e, const char **attrs)
{
	size_t n = 0;

	for (; attrs[n] != NULL && n < ATTRS_MAX; n++)
		e->attrs[n] = mem_strdup(attrs[n]);
	e->attrs[n] = NULL;
}

static void on_start(void *arg, const char *name, const char **attrs)
{
	struct ear *e = arg;

	if (e->depth <= 1) {
		split(name, &e->ns, &e->name);
		keep_attributes(e, attrs);
	} else if (e->depth == 2 && e->child == NULL) {
		split(name, &e->child_ns, &e->child);
	}
	if (e->depth++ == 0)
		tell(e, HEARD_OPEN);
}

static void on_end(void *arg, const char *name)
{
	struct ear *e = arg;

	e->depth--;
	if (e->depth == 1) {
		tell(e, HEARD_ELEMENT);
	} else if (e->depth == 0) {
		e->is_closed = true;
		split(name, &e->ns, &e->name);
		tell(e, HEARD_CLOSE);
	}
}

static void on_text(void *arg, const char *text, int len)
{
	struct ear *e = arg;

	if (e->depth > 1)
		buf_add(&e->text, text, (size_t)len);
}

struct ear *ear_new(void (*heard)(void *owner, const struct heard *h), void *owner)
{
	struct ear *e = mem_new(sizeof(*e));

	e->heard = heard;
	e->owner = owner;
	e->parser = XML_ParserCreateNS("UTF-8", SEPARATOR);
	XML_SetUserData(e->parser, e);
	XML_SetElementHandler(e->parser, on_start, on_end);
	XML_SetCharacterDataHandler(e->parser, on_text);
	expat_holds_nothing_back(e->parser);
	return e;
}

void ear_free(struct ear *e)
{
	if (e == NULL)
		return;
	XML_ParserFree(e->parser);
	forget(e);
	buf_deinit(&e->text);
	buf_deinit(&e->last);
	free(e);
}

void ear_hear(struct ear *e, const char *bytes, size_t len)
{
	if (buf_size(&e->last) > 4096)
		buf_consume(&e->last, buf_size(&e->last) - 1024);
	buf_add(&e->last, bytes, len);
	if (XML_Parse(e->parser, bytes, (int)len, XML_FALSE) == XML_STATUS_OK)
		return;
	finding("the server says what is no XML (%s): %.*s", XML_ErrorString(XML_GetErrorCode(e->parser)),
	        (int)buf_size(&e->last), buf_bytes(&e->last));
}

bool ear_is_closed(const struct ear *e)
{
	return e->is_closed;
}
