/* SPDX-License-Identifier: MIT */
/* What an element is made of, and documents: an arena with one tree in it. */
#ifndef XML_ELEM_H
#define XML_ELEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "comity/elem.h"

#define NS_XML "http://www.w3.org/XML/1998/namespace"

struct xml_attr {
	struct xml_attr *next;
	const char *ns;      /* NULL: none */
	const char *name;
	const char *value;
};

/* A node of the tree: text when text is set, else the head of an element. */
struct xml_node {
	struct xml_node *next;
	const char *text;
	size_t len;
};

struct comity_elem {
	struct xml_node node;       /* must be first */
	const char *ns, *name;      /* interned when known */
	struct xml_attr *attrs, *last_attr;
	struct xml_node *first, *last;
	struct arena *arena;
	const char *joined;         /* all text, when it stands in several places */
};

/* One element with all below it. */
struct xml_doc {
	struct arena arena;
	size_t size;                /* of the memory that it lies in */
	struct comity_elem *root;
	const char *inner;          /* the bytes between the root's tags as they came in */
	size_t inner_len;
	bool inner_usable;          /* inner means the same under any header with the same default namespace */
	bool inner_names_content;   /* a tag in it declares jabber:client or jabber:server, however that is spelled */
};

struct xml_doc *xml_doc_new(void);
/* The same with so much memory at first. */
struct xml_doc *xml_doc_new_sized(size_t room);
void xml_doc_free(struct xml_doc *doc);
/* A copy in as much memory as it needs, for one that is kept for long; NULL when that gains little. */
struct xml_doc *xml_doc_shrink(const struct xml_doc *doc);
/* The interned string, or a copy in the arena. */
const char *xml_keep_name(struct arena *a, const char *s, size_t len);
/* Splits "ns<SEP>name<SEP>prefix", "ns<SEP>name" or "name", keeping both; returns what is behind the name. *ns is
 * NULL when there is none, and outer when it is the same: that of the element around (NULL: none). */
const char *xml_split_name(struct arena *a, const char *text, char separator, const char *outer, const char **ns,
                           const char **name);
/* A free-standing element in an arena; strings are copied or interned. */
struct comity_elem *xml_elem_new(struct arena *a, const char *ns, const char *name);
/* The same for strings that live long enough already. */
struct comity_elem *xml_elem_make(struct arena *a, const char *ns, const char *name);
/* A deep copy in an arena. */
struct comity_elem *xml_elem_copy(struct arena *a, const struct comity_elem *e);
struct xml_attr *xml_elem_add_attr(struct comity_elem *e, const char *ns, const char *name, const char *value);
void xml_elem_append(struct comity_elem *parent, struct xml_node *child);
/* Called by the parser at the end of an element, so that readers on several threads never write. */
void xml_elem_join_text(struct comity_elem *e);
void xml_elem_append_text(struct comity_elem *e, const char *text, size_t len);

#endif
