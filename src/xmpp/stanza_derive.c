/* SPDX-License-Identifier: MIT */
/* Stanzas made from others, and what a message holds. */
#include <stdatomic.h>
#include <string.h>

#include "xml/intern.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

/* The elements around a forwarded stanza, its attributes and a stamp or two. */
#define FORWARD_ROOM 1400

/* ---- sharing ---- */

/* Lets to have the content of from, without copying, behind its own. Nobody may append to it any more. */
static void share_content(struct comity_elem *to, const struct comity_elem *from)
{
	to->joined = from->joined;
	if (from->first == NULL)
		return;
	xml_elem_append(to, from->first);
	to->last = from->last;
}

static struct comity_stanza *finish(struct xml_doc *doc, const struct comity_stanza *base)
{
	struct comity_stanza *st;

	/* So that it weighs what it keeps in memory. */
	doc->arena.total += base->doc->arena.total;
	st = stanza_from_doc(&doc);
	st->base = comity_stanza_ref(base);
	return st;
}

struct comity_stanza *stanza_with_stamps(struct comity_stanza **st, struct xml_doc **stamps)
{
	struct comity_stanza *base = *st, *with;
	const struct comity_elem *from = base->doc->root;
	struct xml_doc *doc = *stamps;
	struct comity_elem *root = xml_elem_make(&doc->arena, from->ns, from->name);

	root->attrs = from->attrs;
	root->last_attr = from->last_attr;
	root->first = doc->root->first;
	root->last = doc->root->last;
	share_content(root, from);
	doc->root = root;
	with = finish(doc, base);
	comity_stanza_unref(base);
	*st = NULL;
	*stamps = NULL;
	return with;
}

const struct comity_elem *stanza_find_stamp(const struct comity_stanza *st, const char *ns, const char *name)
{
	for (; st->base != NULL; st = st->base) {
		const struct xml_node *content = st->base->doc->root->first;

		for (const struct xml_node *n = st->doc->root->first; n != NULL && n != content; n = n->next)
			if (comity_elem_is((const struct comity_elem *)(const void *)n, ns, name))
				return (const struct comity_elem *)(const void *)n;
	}
	return NULL;
}

struct comity_stanza *stanza_forward(const struct comity_stanza *st, const char *from, const char *to,
                                     const struct comity_elem *stamps, const char *ns, const char *name)
{
	const struct comity_elem *root = st->doc->root;
	struct xml_doc *doc = xml_doc_new_sized(FORWARD_ROOM);
	struct comity_elem *forwarded, *inner;

	doc->root = xml_elem_new(&doc->arena, NS_CLIENT, "message");
	comity_elem_set(doc->root, "type", stanza_type_name(st->type));
	forwarded = comity_elem_add(comity_elem_add(doc->root, ns, name), "urn:xmpp:forward:0", "forwarded");
	inner = comity_elem_add(forwarded, NS_CLIENT, root->name);
	if (from != NULL)
		xml_elem_add_attr(inner, NULL, "from", from);
	if (to != NULL)
		xml_elem_add_attr(inner, NULL, "to", to);
	for (const struct xml_attr *a = root->attrs; a != NULL; a = a->next)
		if (a->ns != NULL || (strcmp(a->name, "from") != 0 && strcmp(a->name, "to") != 0))
			xml_elem_add_attr(inner, a->ns, a->name, a->value);
	if (stamps != NULL)
		for (const struct comity_elem *e = comity_elem_first(stamps); e != NULL; e = comity_elem_next(e))
			comity_elem_add_copy(inner, e);
	share_content(inner, root);
	return finish(doc, st);
}

void stanza_unshare(struct comity_stanza *st)
{
	struct comity_stanza *base = st->base;

	st->doc->root = xml_elem_copy(&st->doc->arena, st->doc->root);
	st->id = comity_elem_attr(st->doc->root, "id");
	st->base = NULL;
	comity_stanza_unref(base);
}

struct comity_stanza *stanza_without(const struct comity_stanza *st,
                                     bool (*drop)(void *arg, const struct comity_elem *child), void *arg)
{
	const struct comity_elem *from = st->doc->root;
	struct xml_doc *doc = xml_doc_new();

	doc->root = xml_elem_new(&doc->arena, from->ns, from->name);
	for (const struct xml_attr *a = from->attrs; a != NULL; a = a->next)
		xml_elem_add_attr(doc->root, a->ns, a->name, a->value);
	for (const struct xml_node *n = from->first; n != NULL; n = n->next) {
		const struct comity_elem *child = (const struct comity_elem *)(const void *)n;

		if (n->text != NULL)
			xml_elem_append_text(doc->root, n->text, n->len);
		else if (!drop(arg, child))
			comity_elem_add_copy(doc->root, child);
	}
	xml_elem_join_text(doc->root);
	return stanza_from_doc(&doc);
}

/* ---- parts ---- */

/* Set once the parts were read, so that a message without any is not read again. */
#define PARTS_KNOWN (1u << 31)

static unsigned part_of_hint(const char *name)
{
	return name == xml_name_no_copy ? COMITY_PART_NO_COPY :
	       name == xml_name_no_store ? COMITY_PART_NO_STORE :
	       name == xml_name_no_permanent_store ? COMITY_PART_NO_PERMANENT_STORE :
	       name == xml_name_store ? COMITY_PART_STORE : 0;
}

static unsigned part_of(const struct comity_elem *e, const char *content_ns)
{
	const char *ns = e->ns, *name = e->name;

	if (ns == content_ns)
		return name == xml_name_body ? COMITY_PART_BODY : name == xml_name_thread ? 0 : COMITY_PART_OTHER;
	if (ns == xml_ns_chatstates)
		return COMITY_PART_CHAT_STATE;
	if (ns == xml_ns_receipts)
		return COMITY_PART_RECEIPT;
	if (ns == xml_ns_chat_markers)
		return COMITY_PART_MARKER;
	if (ns == xml_ns_hints)
		return part_of_hint(name);
	if (ns == xml_ns_sid)
		return name == xml_name_stanza_id ? COMITY_PART_STANZA_ID : COMITY_PART_OTHER;
	if (ns == xml_ns_carbons)
		return name == xml_name_private ? COMITY_PART_PRIVATE :
		       name == xml_name_sent || name == xml_name_received ? COMITY_PART_CARBON : COMITY_PART_OTHER;
	if (ns == xml_ns_conference)
		return COMITY_PART_INVITATION;
	if (ns == xml_ns_muc_user)
		return comity_elem_find(e, xml_ns_muc_user, xml_name_invite) != NULL ?
		       COMITY_PART_MUC_USER | COMITY_PART_INVITATION : COMITY_PART_MUC_USER;
	/* The namespace of the content has two names in memory when it came from another server. */
	return strcmp(ns, content_ns) == 0 ? part_of(e, ns) : COMITY_PART_OTHER;
}

unsigned comity_stanza_parts(const struct comity_stanza *st)
{
	struct comity_stanza *shared = (struct comity_stanza *)(uintptr_t)st;
	unsigned parts = atomic_load_explicit(&shared->parts, memory_order_relaxed);
	const struct comity_elem *root = st->doc->root;

	if (parts == 0) {
		parts = PARTS_KNOWN;
		for (const struct comity_elem *e = comity_elem_first(root); e != NULL; e = comity_elem_next(e))
			parts |= part_of(e, root->ns);
		/* Every thread that reads them finds the same. */
		atomic_store_explicit(&shared->parts, parts, memory_order_relaxed);
	}
	return parts & ~PARTS_KNOWN;
}
