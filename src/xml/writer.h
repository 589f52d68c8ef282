/* SPDX-License-Identifier: MIT */
/* Elements and text to XML. */
#ifndef XML_WRITER_H
#define XML_WRITER_H

#include <stddef.h>

#include "base/buf.h"

struct comity_elem;

/* Character data; safe inside attribute values too. */
void xml_write_text(struct buf *out, const char *text, size_t len);
/* Text for people, of whatever origin (base/text.h). */
void xml_write_words(struct buf *out, const char *text);
/* name='value', escaped, with a space before it. */
void xml_write_attr(struct buf *out, const char *name, const char *value);
/* The element where default_ns is the default namespace in scope. */
void xml_write_elem(struct buf *out, const struct comity_elem *e, const char *default_ns);
/* How many bytes that is, and how many of them its start tag. */
size_t xml_elem_size(const struct comity_elem *e, const char *default_ns);
size_t xml_tag_size(const struct comity_elem *e, const char *default_ns);
/* Only the attributes, without those without namespace that skip names (ends with NULL; may be NULL). */
void xml_write_attrs(struct buf *out, const struct comity_elem *e, const char *const *skip);
/* All that is inside the element. */
void xml_write_inner(struct buf *out, const struct comity_elem *e);

#endif
