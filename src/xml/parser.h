/* SPDX-License-Identifier: MIT */
/* Reads a stream of XML piece by piece: its header, then one element after the other. */
#ifndef XML_PARSER_H
#define XML_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct comity_elem;
struct xml_doc;
struct xml_parser;

/* What peers control is bounded here (DESIGN, section 6). */
struct xml_limits {
	size_t header_bytes;    /* the stream header */
	size_t element_bytes;   /* an element with all in it */
	unsigned depth;         /* nesting below the element */
	unsigned attributes;    /* of one element */
	unsigned namespaces;    /* declarations in one element with all in it */
	unsigned elements;      /* in one element with all in it */
};

enum xml_event {
	XML_EVENT_NONE,      /* all that was pushed is used up */
	XML_EVENT_OPEN,      /* the header: *doc has the root without content */
	XML_EVENT_ELEMENT,   /* *doc has an element that is complete */
	XML_EVENT_CLOSE,     /* the end tag of the header */
	/* errors; the parser is of no use afterwards */
	XML_EVENT_NOT_WELL_FORMED,
	XML_EVENT_RESTRICTED,          /* DTD, entity, comment, processing instruction */
	XML_EVENT_BAD_ENCODING,        /* not UTF-8 */
	XML_EVENT_TOO_BIG              /* over one of the limits; xml_parser_limit() names it */
};

/* Pieces pushed at once are at most this big, so that the parser stays small. */
#define XML_PUSH_MAX 2048

struct xml_parser *xml_parser_new(const struct xml_limits *limits);
void xml_parser_free(struct xml_parser *p);
void xml_parser_set_limits(struct xml_parser *p, const struct xml_limits *limits);

/* Takes the next piece: only when xml_parser_next said XML_EVENT_NONE. len <= XML_PUSH_MAX. */
void xml_parser_push(struct xml_parser *p, const char *bytes, size_t len);
/* The next thing in what was pushed. For OPEN and ELEMENT the caller owns *doc. */
enum xml_event xml_parser_next(struct xml_parser *p, struct xml_doc **doc);
/* Bytes of the last push that lie behind the last event. */
size_t xml_parser_rest(const struct xml_parser *p);
/* Those bytes; borrowed until the next push. */
const char *xml_parser_rest_bytes(const struct xml_parser *p);
/* Copies what is needed of the last push, before its bytes go away with events left in it. */
void xml_parser_keep(struct xml_parser *p);
/* The default namespace of the header; "" when it declares none. */
const char *xml_parser_default_ns(const struct xml_parser *p);
/* True when the header declares this namespace for some prefix. */
bool xml_parser_declares(const struct xml_parser *p, const char *uri);
/* Which limit was reached, in words for a person. */
const char *xml_parser_limit(const struct xml_parser *p);

/* Frees the expat parser (12 kB) if nothing but white space came since the last element; it is made
 * again, with the namespaces of the header, when bytes come. */
void xml_parser_rest_now(struct xml_parser *p);
/* Bytes that it holds in all, with the element it is reading. */
size_t xml_parser_size(const struct xml_parser *p);
/* Bytes that expat uses now. */
size_t xml_parser_memory(const struct xml_parser *p);

/* Parses one complete element, for stored stanzas; NULL when it is not well-formed. */
struct xml_doc *xml_parse_element(const char *bytes, size_t len);

#endif
