/* SPDX-License-Identifier: MIT */
/* What a parser is made of. */
#ifndef XML_PARSER_STATE_H
#define XML_PARSER_STATE_H

#include <expat.h>

#include "base/buf.h"
#include "xml/expat_memory.h"
#include "xml/parser.h"

struct xml_parser {
	XML_Parser expat;            /* NULL while resting */
	struct expat_memory memory;  /* of expat */
	struct xml_limits limits;
	enum xml_event error;        /* what went wrong; XML_EVENT_NONE while all is well */
	enum xml_event ready;        /* what the last callback completed */
	const char *limit;
	struct xml_doc *doc;         /* the header or element being read */
	struct comity_elem **stack;  /* open elements, the innermost last; the root is NULL */
	unsigned depth, stack_cap;
	unsigned elements, namespaces;
	size_t spelled;              /* bytes of namespaces that would be written */
	struct buf text;             /* character data not yet put into the tree */
	struct buf raw;              /* when an element spans pushes: its bytes, up to fed */
	const char *chunk;           /* the current push; valid until the next */
	size_t chunk_len;
	char *kept_chunk;            /* owns chunk after xml_parser_keep */
	/* Offsets in what this expat parser was given. */
	uint64_t fed, elem_start, inner_start, event_end;
	char *default_ns;            /* of the header; NULL: none */
	struct buf header_ns;        /* namespaces of the header while it is read */
	char *header;                /* the header's start tag with its namespaces, to revive a parser */
	bool in_element, has_cdata, uses_streams;
	bool has_prefix;             /* the outer tag declares prefixes */
	bool has_default;            /* the outer tag declares another default namespace than the header */
	bool uses_prefix;            /* a name inside has one */
	bool names_content;          /* a tag inside declares the namespace of clients' or servers' stanzas */
	bool plain_header;           /* no prefix in the header but "stream" */
	bool is_new_chunk;           /* pushed and not yet given to expat */
	bool is_suspended, is_reviving;
	bool closes_at_once;         /* the header was an empty element: CLOSE follows OPEN */
	bool had_event;              /* in this push */
	bool is_at_rest;             /* only white space since the last event */
};

#endif
