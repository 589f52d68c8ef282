/* SPDX-License-Identifier: MIT */
/* Elements and documents. */
#include "xml/elem.h"

#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "xml/intern.h"

struct doc_memory {
	struct xml_doc doc;
	_Alignas(max_align_t) char room[];
};

/* Most stanzas fit into the memory that comes with their document. */
#define DOC_ROOM (POOL_MOST - offsetof(struct doc_memory, room))

struct xml_doc *xml_doc_new_sized(size_t room)
{
	size_t size = offsetof(struct doc_memory, room) + room;
	struct doc_memory *m = pool_take(size);

	memset(&m->doc, 0, sizeof(m->doc));
	m->doc.size = size;
	arena_adopt(&m->doc.arena, m->room, room);
	return &m->doc;
}

struct xml_doc *xml_doc_new(void)
{
	return xml_doc_new_sized(DOC_ROOM);
}

void xml_doc_free(struct xml_doc *doc)
{
	if (doc == NULL)
		return;
	arena_deinit(&doc->arena);
	pool_give(doc, doc->size);
}

const char *xml_keep_name(struct arena *a, const char *s, size_t len)
{
	const char *known = xml_intern(s, len);

	return known != NULL ? known : arena_dup(a, s, len);
}

struct comity_elem *xml_elem_make(struct arena *a, const char *ns, const char *name)
{
	struct comity_elem *e = arena_alloc(a, sizeof(*e));

	*e = (struct comity_elem){ .arena = a, .ns = ns, .name = name };
	return e;
}

static bool is_text(const char *outer, const char *text, size_t len)
{
	return outer != NULL && strncmp(outer, text, len) == 0 && outer[len] == '\0';
}

const char *xml_split_name(struct arena *a, const char *text, char separator, const char *outer, const char **ns,
                           const char **name)
{
	const char *sep = strchr(text, separator), *end;

	if (sep == NULL)
		*ns = NULL;
	else
		*ns = is_text(outer, text, (size_t)(sep - text)) ? outer : xml_keep_name(a, text, (size_t)(sep - text));
	sep = sep != NULL ? sep + 1 : text;
	end = strchrnul(sep, separator);
	*name = xml_keep_name(a, sep, (size_t)(end - sep));
	return *end != '\0' ? end + 1 : end;
}

struct comity_elem *xml_elem_new(struct arena *a, const char *ns, const char *name)
{
	return xml_elem_make(a, xml_keep_name(a, ns, strlen(ns)), xml_keep_name(a, name, strlen(name)));
}

struct xml_attr *xml_elem_add_attr(struct comity_elem *e, const char *ns, const char *name, const char *value)
{
	struct xml_attr *attr = arena_alloc(e->arena, sizeof(*attr));

	*attr = (struct xml_attr){
		.ns = ns != NULL ? xml_keep_name(e->arena, ns, strlen(ns)) : NULL,
		.name = xml_keep_name(e->arena, name, strlen(name)),
		.value = arena_strdup(e->arena, value),
	};
	if (e->last_attr != NULL)
		e->last_attr->next = attr;
	else
		e->attrs = attr;
	e->last_attr = attr;
	return attr;
}

void xml_elem_append(struct comity_elem *parent, struct xml_node *child)
{
	if (parent->last != NULL)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
}

void xml_elem_append_text(struct comity_elem *e, const char *text, size_t len)
{
	struct xml_node *n = arena_alloc(e->arena, sizeof(*n));

	*n = (struct xml_node){ .text = arena_dup(e->arena, text, len), .len = len };
	e->joined = NULL;
	xml_elem_append(e, n);
}

const char *comity_elem_name(const struct comity_elem *e)
{
	return e->name;
}

const char *comity_elem_ns(const struct comity_elem *e)
{
	return e->ns;
}

/* Interned strings are equal when their pointers are; others need a comparison. */
static bool same(const char *a, const char *b)
{
	return a == b || strcmp(a, b) == 0;
}

bool comity_elem_is(const struct comity_elem *e, const char *ns, const char *name)
{
	return e != NULL && same(e->name, name) && (ns == NULL || same(e->ns, ns));
}

const char *comity_elem_attr(const struct comity_elem *e, const char *name)
{
	for (const struct xml_attr *a = e->attrs; a != NULL; a = a->next)
		if (a->ns == NULL && same(a->name, name))
			return a->value;
	return NULL;
}

const char *comity_elem_lang(const struct comity_elem *e)
{
	for (const struct xml_attr *a = e->attrs; a != NULL; a = a->next)
		if (a->ns != NULL && same(a->ns, NS_XML) && same(a->name, "lang"))
			return a->value;
	return NULL;
}

static const char *join_text(const struct comity_elem *e)
{
	const struct xml_node *only = NULL;
	size_t count = 0, len = 0;
	char *all, *at;

	for (const struct xml_node *n = e->first; n != NULL; n = n->next) {
		if (n->text == NULL)
			continue;
		only = n;
		count++;
		len += n->len;
	}
	if (count == 0)
		return "";
	if (count == 1)
		return only->text;
	all = at = arena_text(e->arena, len + 1);
	for (const struct xml_node *n = e->first; n != NULL; n = n->next) {
		if (n->text == NULL)
			continue;
		memcpy(at, n->text, n->len);
		at += n->len;
	}
	*at = '\0';
	return all;
}

void xml_elem_join_text(struct comity_elem *e)
{
	e->joined = join_text(e);
}

const char *comity_elem_text(const struct comity_elem *e)
{
	return e->joined != NULL ? e->joined : join_text(e);
}

static const struct comity_elem *skip_text(const struct xml_node *n)
{
	while (n != NULL && n->text != NULL)
		n = n->next;
	return (const struct comity_elem *)(const void *)n;
}

const struct comity_elem *comity_elem_first(const struct comity_elem *e)
{
	return skip_text(e->first);
}

const struct comity_elem *comity_elem_next(const struct comity_elem *e)
{
	return skip_text(e->node.next);
}

const struct comity_elem *comity_elem_find(const struct comity_elem *e, const char *ns, const char *name)
{
	for (const struct comity_elem *c = comity_elem_first(e); c != NULL; c = comity_elem_next(c))
		if ((name == NULL || same(c->name, name)) && (ns == NULL || same(c->ns, ns)))
			return c;
	return NULL;
}

struct comity_elem *comity_elem_add(struct comity_elem *parent, const char *ns, const char *name)
{
	struct comity_elem *e = xml_elem_new(parent->arena, ns != NULL ? ns : parent->ns, name);

	xml_elem_append(parent, &e->node);
	return e;
}

struct comity_elem *comity_elem_add_text(struct comity_elem *parent, const char *ns, const char *name,
                                         const char *text)
{
	struct comity_elem *e = comity_elem_add(parent, ns, name);

	comity_elem_put_text(e, text);
	return e;
}

static void set_attr(struct comity_elem *e, const char *ns, const char *name, const char *value)
{
	if (value == NULL)
		return;
	for (struct xml_attr *a = e->attrs; a != NULL; a = a->next) {
		if (same(a->name, name) && (a->ns == ns || (a->ns != NULL && ns != NULL && same(a->ns, ns)))) {
			a->value = arena_strdup(e->arena, value);
			return;
		}
	}
	xml_elem_add_attr(e, ns, name, value);
}

void comity_elem_set(struct comity_elem *e, const char *name, const char *value)
{
	set_attr(e, NULL, name, value);
}

void comity_elem_set_lang(struct comity_elem *e, const char *lang)
{
	set_attr(e, NS_XML, "lang", lang);
}

void comity_elem_put_text(struct comity_elem *e, const char *text)
{
	if (text != NULL && *text != '\0')
		xml_elem_append_text(e, text, strlen(text));
}

struct comity_elem *xml_elem_copy(struct arena *arena, const struct comity_elem *e)
{
	struct comity_elem *copy = xml_elem_new(arena, e->ns, e->name);

	for (const struct xml_attr *a = e->attrs; a != NULL; a = a->next)
		xml_elem_add_attr(copy, a->ns, a->name, a->value);
	for (const struct xml_node *n = e->first; n != NULL; n = n->next) {
		if (n->text != NULL)
			xml_elem_append_text(copy, n->text, n->len);
		else
			xml_elem_append(copy, &xml_elem_copy(arena, (const struct comity_elem *)(const void *)n)->node);
	}
	xml_elem_join_text(copy);
	return copy;
}

struct comity_elem *comity_elem_add_copy(struct comity_elem *parent, const struct comity_elem *e)
{
	struct comity_elem *copy = xml_elem_copy(parent->arena, e);

	xml_elem_append(parent, &copy->node);
	return copy;
}

/* Alignment and the stanza's own record in the copy of a document. */
#define COPY_SPARE 128

struct xml_doc *xml_doc_shrink(const struct xml_doc *doc)
{
	size_t room = doc->arena.total + doc->arena.total / 8 + COPY_SPARE;
	struct xml_doc *copy;

	if (room > DOC_ROOM / 4 * 3)
		return NULL;
	copy = xml_doc_new_sized(room);
	copy->root = xml_elem_copy(&copy->arena, doc->root);
	copy->inner_usable = doc->inner_usable;
	copy->inner_names_content = doc->inner_names_content;
	copy->inner_len = doc->inner_len;
	if (doc->inner != NULL)
		copy->inner = arena_dup(&copy->arena, doc->inner, doc->inner_len);
	return copy;
}
