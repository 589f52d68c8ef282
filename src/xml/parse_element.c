/* SPDX-License-Identifier: MIT */
/* Reads one element that is in memory as a whole. */
#include <stdint.h>

#include "xml/elem.h"
#include "xml/parser.h"

/* Stored elements have no header of their own. */
#define STORED_HEADER "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

struct xml_doc *xml_parse_element(const char *bytes, size_t len)
{
	static const struct xml_limits limits = {
		.header_bytes = 1024, .element_bytes = SIZE_MAX, .depth = 1000,
		.attributes = 1000, .namespaces = 100000, .elements = UINT32_MAX,
	};
	struct xml_parser *p = xml_parser_new(&limits);
	struct xml_doc *doc = NULL, *found = NULL;
	enum xml_event event;
	size_t at = 0, n;

	xml_parser_push(p, STORED_HEADER, sizeof(STORED_HEADER) - 1);
	if (xml_parser_next(p, &doc) == XML_EVENT_OPEN)
		xml_doc_free(doc);
	xml_parser_next(p, &doc);
	do {
		n = len - at < XML_PUSH_MAX ? len - at : XML_PUSH_MAX;
		xml_parser_push(p, bytes + at, n);
		at += n;
		while ((event = xml_parser_next(p, &doc)) == XML_EVENT_ELEMENT) {
			xml_doc_free(found);
			found = doc;
		}
	} while (event == XML_EVENT_NONE && at < len);
	xml_parser_free(p);
	return found;
}
