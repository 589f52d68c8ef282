/* SPDX-License-Identifier: MIT */
/* XML elements: read by everyone, changed only by who builds them before they are sent. */
#ifndef COMITY_ELEM_H
#define COMITY_ELEM_H

#include <stdbool.h>
#include <stddef.h>

#pragma GCC visibility push(default)

/* Lives in the arena of its stanza, and as long as it. All text is borrowed from there. */
struct comity_elem;

const char *comity_elem_name(const struct comity_elem *e);
/* "" when there is none. */
const char *comity_elem_ns(const struct comity_elem *e);
/* ns may be NULL: any. */
bool comity_elem_is(const struct comity_elem *e, const char *ns, const char *name);
/* Value of an attribute without namespace; NULL when absent. */
const char *comity_elem_attr(const struct comity_elem *e, const char *name);
/* Value of xml:lang on this element; NULL when absent. */
const char *comity_elem_lang(const struct comity_elem *e);
/* All character data directly inside, "" when there is none. */
const char *comity_elem_text(const struct comity_elem *e);
/* Child elements in order; NULL at the end. */
const struct comity_elem *comity_elem_first(const struct comity_elem *e);
const struct comity_elem *comity_elem_next(const struct comity_elem *e);
/* First child element that matches; ns or name may be NULL: any. */
const struct comity_elem *comity_elem_find(const struct comity_elem *e, const char *ns, const char *name);

/* Appends a child; ns NULL takes the parent's. Strings are copied. */
struct comity_elem *comity_elem_add(struct comity_elem *parent, const char *ns, const char *name);
/* Appends a child with this text and no attributes. */
struct comity_elem *comity_elem_add_text(struct comity_elem *parent, const char *ns, const char *name,
                                         const char *text);
/* Sets an attribute; value NULL sets nothing. */
void comity_elem_set(struct comity_elem *e, const char *name, const char *value);
void comity_elem_set_lang(struct comity_elem *e, const char *lang);
/* Appends character data. */
void comity_elem_put_text(struct comity_elem *e, const char *text);
/* Appends a deep copy of an element that may belong to another stanza. */
struct comity_elem *comity_elem_add_copy(struct comity_elem *parent, const struct comity_elem *e);

/* Bytes of a text as it is written into an attribute, with its references. */
size_t comity_escaped_size(const char *text);

/* The element as XML text, with all namespaces it needs. The caller frees the result. */
char *comity_elem_to_xml(const struct comity_elem *e, size_t *len);

#pragma GCC visibility pop

#endif
