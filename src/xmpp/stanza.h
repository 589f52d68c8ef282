/* SPDX-License-Identifier: MIT */
/* What a stanza is made of, and how it is written out. */
#ifndef XMPP_STANZA_H
#define XMPP_STANZA_H

#include <stdbool.h>

#include "base/buf.h"
#include "comity/stanza.h"
#include "xml/elem.h"

/* Lies in the arena of its own document. */
struct comity_stanza {
	_Atomic unsigned refs;
	enum comity_kind kind;
	enum comity_type type;     /* COMITY_TYPE_NONE: an unknown type of presence or iq */
	const char *id;            /* NULL: none */
	struct xml_doc *doc;
	struct comity_stanza *base; /* whose elements stand in this tree too; NULL: none */
	_Atomic unsigned parts;    /* enum comity_part, once they were read; else 0 */
};

/* True for message, presence and iq in the content namespaces. */
bool stanza_is_element(const struct comity_elem *e);
/* Consumes the document, which stanza_is_element() holds for. */
struct comity_stanza *stanza_from_doc(struct xml_doc **doc);
/* A reference for one who keeps it for long: to the stanza, or to a copy that wastes no memory. */
struct comity_stanza *stanza_keep(const struct comity_stanza *st);
/* The attribute value of a type; NULL for those that have none (normal message, available). */
const char *stanza_type_name(enum comity_type type);
const char *stanza_kind_name(enum comity_kind kind);
/* The priority of a presence, 0 when it has none or one that is not understood (RFC 6121 4.7.2.3). */
int stanza_priority(const struct comity_stanza *st);

/* A stanza of the same content behind what is in stamps; the memory of the content is shared. Consumes both. */
struct comity_stanza *stanza_with_stamps(struct comity_stanza **st, struct xml_doc **stamps);
/* What stanza_with_stamps() put before the content; NULL: no such element. */
const struct comity_elem *stanza_find_stamp(const struct comity_stanza *st, const char *ns, const char *name);
/* A message of st's type with <name xmlns=ns><forwarded>st</forwarded></name> (XEP-0297), st with these addresses and,
 * if not NULL, stamps; it shares the content of st. */
struct comity_stanza *stanza_forward(const struct comity_stanza *st, const char *from, const char *to,
                                     const struct comity_elem *stamps, const char *ns, const char *name);
/* A copy without the child elements for which drop is true. */
struct comity_stanza *stanza_without(const struct comity_stanza *st,
                                     bool (*drop)(void *arg, const struct comity_elem *child), void *arg);
/* Makes the tree of a stanza that shares elements its own. */
void stanza_unshare(struct comity_stanza *st);

/* About how many bytes its content has, for limits. */
size_t stanza_weight(const struct comity_stanza *st);
/* Bytes of memory that it holds, with all that it shares. */
size_t stanza_memory(const struct comity_stanza *st);

/* Writes the stanza with these addresses (NULL: none) and, behind its content, the children of stamps
 * (may be NULL). The bytes that came in are used where they still mean the same. */
void stanza_write(struct buf *out, const struct comity_stanza *st, const char *from, const char *to,
                  const struct comity_elem *stamps);

/* The same for a stream between servers: bytes that name jabber:client themselves are not used as they are. */
void stanza_write_server(struct buf *out, const struct comity_stanza *st, const char *from, const char *to,
                         const struct comity_elem *stamps);

/* ---- errors (RFC 6120 8.3) ---- */

/* The element name of a condition. */
const char *stanza_cond_name(enum comity_cond cond);
/* A new error stanza in answer to st: same kind, id and content, and the error with text (may be NULL)
 * and application condition (ns may be NULL). */
struct comity_stanza *stanza_make_error(const struct comity_stanza *st, enum comity_cond cond, const char *text,
                                        const char *app_ns, const char *app_name);
/* True when an error may be sent for it: not for errors, nor results (RFC 6120 8.3.1, 8.2.3). */
bool stanza_wants_error(const struct comity_stanza *st);

#endif
