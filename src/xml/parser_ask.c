/* SPDX-License-Identifier: MIT */
/* What can be asked of a parser. */
#include <string.h>

#include "xml/elem.h"
#include "xml/parser_state.h"

bool xml_parser_declares(const struct xml_parser *p, const char *uri)
{
	size_t len = strlen(uri);

	/* Every declaration in the kept header is xmlns...='uri'. */
	for (const char *at = p->header; at != NULL && (at = strstr(at, uri)) != NULL; at += len)
		if (at[-1] == '\'' && at[len] == '\'')
			return true;
	return false;
}

const char *xml_parser_default_ns(const struct xml_parser *p)
{
	return p->default_ns != NULL ? p->default_ns : "";
}

const char *xml_parser_limit(const struct xml_parser *p)
{
	return p->limit != NULL ? p->limit : "";
}

size_t xml_parser_memory(const struct xml_parser *p)
{
	return expat_memory_size(&p->memory);
}

size_t xml_parser_size(const struct xml_parser *p)
{
	return sizeof(*p) + xml_parser_memory(p) + p->text.cap + p->raw.cap + p->stack_cap * sizeof(void *) +
	       (p->kept_chunk != NULL ? p->chunk_len : 0) + (p->doc != NULL ? p->doc->arena.room : 0);
}
