/* SPDX-License-Identifier: MIT */
/* Reads a stream of XML piece by piece, over expat, behind hard limits. */
#include "xml/parser_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "xml/elem.h"
#include "xml/expat_holds.h"
#include "xml/writer.h"

/* Between namespace and name in what expat hands out: no XML text can hold it. */
#define SEPARATOR '\x01'
static const char separator[] = { SEPARATOR, '\0' };
/* A token that is not complete is scanned anew with every push; a long one costs too much. */
#define TOKEN_MAX (16 * 1024)
/* A parser that has become bigger is replaced at the end of an element. */
#define EXPAT_MEMORY_MAX (128 * 1024)
/* A character is at most so many when it is written: &apos; */
#define GROWTH 6
#define NS_STREAMS "http://etherx.jabber.org/streams"
#define NS_CLIENT "jabber:client"
#define NS_SERVER "jabber:server"

static void stop_with(struct xml_parser *p, enum xml_event error)
{
	if (p->error == XML_EVENT_NONE)
		p->error = error;
	XML_StopParser(p->expat, XML_FALSE);
}

static void stop_at_limit(struct xml_parser *p, const char *limit)
{
	if (p->limit == NULL)
		p->limit = limit;
	stop_with(p, XML_EVENT_TOO_BIG);
}

static void pause_with(struct xml_parser *p, enum xml_event event)
{
	p->ready = event;
	p->event_end = (uint64_t)XML_GetCurrentByteIndex(p->expat) + (uint64_t)XML_GetCurrentByteCount(p->expat);
	XML_StopParser(p->expat, XML_TRUE);
}

static void flush_text(struct xml_parser *p)
{
	if (buf_size(&p->text) == 0)
		return;
	xml_elem_append_text(p->stack[p->depth - 1], buf_bytes(&p->text), buf_size(&p->text));
	buf_clear(&p->text);
}

/* The default namespace where an element stands, when all is written as the writer does it. */
static const char *outer_ns(const struct xml_parser *p)
{
	return p->depth > 1 ? p->stack[p->depth - 1]->ns : xml_parser_default_ns(p);
}

/* Prefixes and quotes are short for what is written at length. What is accepted must not become so much more that the
 * memory is gone, or that another server, or this one when it reads what it has kept, refuses it. */
static void check_tag(struct xml_parser *p, const struct comity_elem *e, size_t bytes)
{
	const char *outer = outer_ns(p);
	/* To the outermost, addresses are added. */
	size_t most = p->depth == 1 ? TOKEN_MAX / 2 : TOKEN_MAX;

	if (e->ns != outer)
		p->spelled += strlen(e->ns);
	if (p->spelled > p->limits.element_bytes)
		stop_at_limit(p, "bytes of namespaces in one stanza");
	else if (p->spelled + bytes > most / GROWTH && p->limits.element_bytes != SIZE_MAX && xml_tag_size(e, outer) > most)
		stop_at_limit(p, "bytes of one tag");
}

static struct comity_elem *make_element(struct xml_parser *p, const char *name, const char **attrs)
{
	struct arena *a = &p->doc->arena;
	const char *ns, *local, *prefix;
	struct comity_elem *e;
	unsigned count = 0;

	prefix = xml_split_name(a, name, SEPARATOR, p->depth > 1 ? outer_ns(p) : NULL, &ns, &local);
	p->uses_prefix |= *prefix != '\0' && p->depth > 1;
	e = xml_elem_make(a, ns != NULL ? ns : "", local);
	for (; attrs[0] != NULL; attrs += 2) {
		if (++count > p->limits.attributes) {
			stop_at_limit(p, "attributes of one element");
			break;
		}
		p->uses_prefix |= *xml_split_name(a, attrs[0], SEPARATOR, NULL, &ns, &local) != '\0' && p->depth > 1 &&
		                  strcmp(ns, NS_XML) != 0;
		p->spelled += ns != NULL ? strlen(ns) : 0;
		xml_elem_add_attr(e, ns, local, attrs[1]);
	}
	if (strcmp(e->ns, NS_STREAMS) == 0)
		p->uses_streams = true;
	if (p->depth != 0) {
		check_tag(p, e, (size_t)XML_GetCurrentByteCount(p->expat));
	} else {
		struct buf tag = { 0 };

		buf_printf(&tag, "<%s%s%s", prefix, *prefix != '\0' ? ":" : "", e->name);
		buf_add(&tag, buf_bytes(&p->header_ns), buf_size(&p->header_ns));
		buf_add(&tag, ">", 1);
		buf_deinit(&p->header_ns);
		p->header = buf_take(&tag);
	}
	return e;
}

static void push_element(struct xml_parser *p, struct comity_elem *e)
{
	if (p->depth >= p->stack_cap) {
		p->stack_cap = p->stack_cap != 0 ? p->stack_cap * 2 : 8;
		p->stack = mem_resize(p->stack, p->stack_cap * sizeof(struct comity_elem *));
	}
	p->stack[p->depth++] = e;
}

static void begin_document(struct xml_parser *p)
{
	p->doc = xml_doc_new();
	p->elements = 0;
	p->spelled = 0;
	p->uses_streams = false;
	p->has_cdata = false;
	p->uses_prefix = false;
	p->names_content = false;
	p->elem_start = (uint64_t)XML_GetCurrentByteIndex(p->expat);
	p->inner_start = p->elem_start + (uint64_t)XML_GetCurrentByteCount(p->expat);
	p->in_element = true;
}

static void read_header(struct xml_parser *p, const char *name, const char **attrs)
{
	if (!p->is_reviving) {
		begin_document(p);
		p->doc->root = make_element(p, name, attrs);
		p->in_element = false;
		p->plain_header = !p->has_prefix;
		push_element(p, NULL);
		pause_with(p, XML_EVENT_OPEN);
	}
	p->namespaces = 0;
	p->has_prefix = p->has_default = false;
}

static void on_start(void *arg, const char *name, const char **attrs)
{
	struct xml_parser *p = arg;
	struct comity_elem *e;

	if (p->error != XML_EVENT_NONE)
		return;
	if (p->depth == 0 || p->is_reviving) {
		read_header(p, name, attrs);
		return;
	}
	if (p->depth > p->limits.depth) {
		stop_at_limit(p, "nested elements");
		return;
	}
	if (p->depth == 1)
		begin_document(p);
	else
		flush_text(p);
	if (++p->elements > p->limits.elements) {
		stop_at_limit(p, "elements in one stanza");
		return;
	}
	e = make_element(p, name, attrs);
	/* A second header would never be a complete element. */
	if (p->depth == 1 && strcmp(e->ns, NS_STREAMS) == 0 && strcmp(e->name, "stream") == 0)
		stop_with(p, XML_EVENT_NOT_WELL_FORMED);
	if (p->depth == 1)
		p->doc->root = e;
	else
		xml_elem_append(p->stack[p->depth - 1], &e->node);
	push_element(p, e);
}

/* The bytes from an offset on: they lie in this push or in what was kept. */
static const char *bytes_from(const struct xml_parser *p, uint64_t from)
{
	if (buf_size(&p->raw) != 0)
		return buf_bytes(&p->raw) + (from - (p->fed - buf_size(&p->raw)));
	return p->chunk + (from - (p->fed - p->chunk_len));
}

static void end_document(struct xml_parser *p)
{
	uint64_t end = (uint64_t)XML_GetCurrentByteIndex(p->expat);
	size_t size;

	p->doc->inner_len = end > p->inner_start ? (size_t)(end - p->inner_start) : 0;
	/* What is declared further out does not go with the bytes. */
	p->doc->inner_usable = !p->has_cdata && !p->uses_streams && !p->has_default &&
	                       (!p->uses_prefix || (p->plain_header && !p->has_prefix));
	p->doc->inner_names_content = p->names_content;
	if (p->doc->inner_usable)
		p->doc->inner = arena_dup(&p->doc->arena, bytes_from(p, p->inner_start), p->doc->inner_len);
	p->in_element = false;
	p->namespaces = 0;
	p->has_prefix = p->has_default = false;
	pause_with(p, XML_EVENT_ELEMENT);
	size = (size_t)(p->event_end - p->elem_start);
	if (size > p->limits.element_bytes ||
	    (size * GROWTH + p->spelled > p->limits.element_bytes &&
	     xml_elem_size(p->doc->root, xml_parser_default_ns(p)) > p->limits.element_bytes))
		stop_at_limit(p, "bytes of one stanza");
}

static void on_end(void *arg, const char *name)
{
	struct xml_parser *p = arg;

	(void)name;
	if (p->error != XML_EVENT_NONE)
		return;
	if (p->depth == 1) {
		p->depth = 0;
		/* expat goes on to the end of an empty element though it was stopped at its start. */
		if (p->doc != NULL)
			p->closes_at_once = true;
		else
			pause_with(p, XML_EVENT_CLOSE);
		return;
	}
	flush_text(p);
	xml_elem_join_text(p->stack[p->depth - 1]);
	p->depth--;
	if (p->depth == 1)
		end_document(p);
}

static bool is_white_space(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] != ' ' && s[i] != '\n' && s[i] != '\r' && s[i] != '\t')
			return false;
	return true;
}

static void on_text(void *arg, const char *text, int len)
{
	struct xml_parser *p = arg;

	if (p->error != XML_EVENT_NONE)
		return;
	if (p->depth > 1) {
		buf_add(&p->text, text, (size_t)len);
		return;
	}
	/* RFC 6120 11.7: between stanzas only white space. */
	if (!is_white_space(text, (size_t)len))
		stop_with(p, XML_EVENT_NOT_WELL_FORMED);
}

static void on_namespace(void *arg, const char *prefix, const char *uri)
{
	struct xml_parser *p = arg;

	if (p->error != XML_EVENT_NONE || p->is_reviving)
		return;
	if (++p->namespaces > p->limits.namespaces)
		stop_at_limit(p, "namespace declarations");
	if (p->depth == 0) {
		buf_printf(&p->header_ns, " xmlns%s%s='", prefix != NULL ? ":" : "", prefix != NULL ? prefix : "");
		xml_write_text(&p->header_ns, uri != NULL ? uri : "", uri != NULL ? strlen(uri) : 0);
		buf_add(&p->header_ns, "'", 1);
		if (prefix == NULL && uri != NULL && p->default_ns == NULL)
			p->default_ns = mem_strdup(uri);
	}
	if (p->depth > 1 && uri != NULL && (strcmp(uri, NS_CLIENT) == 0 || strcmp(uri, NS_SERVER) == 0))
		p->names_content = true;
	if (prefix == NULL) {
		if (p->depth == 1 && strcmp(uri != NULL ? uri : "", xml_parser_default_ns(p)) != 0)
			p->has_default = true;
		return;
	}
	if (p->depth == 0 && uri != NULL && strcmp(prefix, "stream") == 0 && strcmp(uri, NS_STREAMS) == 0)
		return;
	/* A prefix declared inside travels with the bytes; one on the outer tag or header does not. */
	if (p->depth <= 1)
		p->has_prefix = true;
}

static void on_xml_declaration(void *arg, const char *version, const char *encoding, int standalone)
{
	struct xml_parser *p = arg;

	(void)standalone;
	if (version == NULL || strcmp(version, "1.0") != 0)
		stop_with(p, XML_EVENT_NOT_WELL_FORMED);
	else if (encoding != NULL && strcasecmp(encoding, "utf-8") != 0)
		stop_with(p, XML_EVENT_BAD_ENCODING);
}

static void on_doctype(void *arg, const char *name, const char *sysid, const char *pubid, int internal)
{
	(void)name, (void)sysid, (void)pubid, (void)internal;
	stop_with(arg, XML_EVENT_RESTRICTED);
}

static void on_comment(void *arg, const char *text)
{
	(void)text;
	stop_with(arg, XML_EVENT_RESTRICTED);
}

static void on_instruction(void *arg, const char *target, const char *data)
{
	(void)target, (void)data;
	stop_with(arg, XML_EVENT_RESTRICTED);
}

static void on_cdata(void *arg)
{
	((struct xml_parser *)arg)->has_cdata = true;
}

static void create_expat(struct xml_parser *p)
{
	struct expat_memory *before = expat_memory_enter(&p->memory);

	p->expat = XML_ParserCreate_MM("UTF-8", &expat_memory_suite, separator);
	expat_memory_leave(before);
	if (p->expat == NULL)
		abort();
	XML_SetReturnNSTriplet(p->expat, XML_TRUE);
	XML_SetUserData(p->expat, p);
	XML_SetElementHandler(p->expat, on_start, on_end);
	XML_SetCharacterDataHandler(p->expat, on_text);
	XML_SetStartNamespaceDeclHandler(p->expat, on_namespace);
	XML_SetXmlDeclHandler(p->expat, on_xml_declaration);
	XML_SetStartDoctypeDeclHandler(p->expat, on_doctype);
	XML_SetCommentHandler(p->expat, on_comment);
	XML_SetProcessingInstructionHandler(p->expat, on_instruction);
	XML_SetStartCdataSectionHandler(p->expat, on_cdata);
	expat_holds_nothing_back(p->expat);
}

static void free_expat(struct xml_parser *p)
{
	struct expat_memory *before = expat_memory_enter(&p->memory);

	if (p->expat != NULL)
		XML_ParserFree(p->expat);
	p->expat = NULL;
	expat_memory_leave(before);
	expat_memory_deinit(&p->memory);
}

static enum XML_Status parse(struct xml_parser *p, const char *bytes, size_t len)
{
	struct expat_memory *before = expat_memory_enter(&p->memory);
	enum XML_Status status = XML_Parse(p->expat, bytes, (int)len, XML_FALSE);

	expat_memory_leave(before);
	return status;
}

static enum XML_Status resume(struct xml_parser *p)
{
	struct expat_memory *before = expat_memory_enter(&p->memory);
	enum XML_Status status = XML_ResumeParser(p->expat);

	expat_memory_leave(before);
	return status;
}

struct xml_parser *xml_parser_new(const struct xml_limits *limits)
{
	struct xml_parser *p = mem_new(sizeof(*p));

	p->limits = *limits;
	create_expat(p);
	return p;
}

void xml_parser_free(struct xml_parser *p)
{
	if (p == NULL)
		return;
	free_expat(p);
	xml_doc_free(p->doc);
	buf_deinit(&p->text);
	buf_deinit(&p->raw);
	buf_deinit(&p->header_ns);
	free(p->header);
	free(p->stack);
	free(p->kept_chunk);
	free(p->default_ns);
	free(p);
}

void xml_parser_set_limits(struct xml_parser *p, const struct xml_limits *limits)
{
	p->limits = *limits;
}

static enum xml_event error_of_expat(struct xml_parser *p)
{
	if (p->error != XML_EVENT_NONE)
		return p->error;
	switch (XML_GetErrorCode(p->expat)) {
	case XML_ERROR_UNDEFINED_ENTITY:
	case XML_ERROR_ENTITY_DECLARED_IN_PE:
	case XML_ERROR_RECURSIVE_ENTITY_REF:
		return XML_EVENT_RESTRICTED;
	case XML_ERROR_UNKNOWN_ENCODING:
	case XML_ERROR_INCORRECT_ENCODING:
		return XML_EVENT_BAD_ENCODING;
	default:
		return XML_EVENT_NOT_WELL_FORMED;
	}
}

static void revive(struct xml_parser *p)
{
	create_expat(p);
	p->is_reviving = true;
	if (parse(p, p->header, strlen(p->header)) != XML_STATUS_OK)
		p->error = XML_EVENT_NOT_WELL_FORMED;
	p->is_reviving = false;
	p->fed = p->event_end = strlen(p->header);
}

/* expat keeps every name it has seen, and peers think up names: after an element a new parser goes on with
 * what is left of the push. */
static void replace_expat(struct xml_parser *p)
{
	size_t rest = xml_parser_rest(p);

	free_expat(p);
	revive(p);
	buf_deinit(&p->raw);
	p->chunk += p->chunk_len - rest;
	p->chunk_len = rest;
	p->fed += rest;
	p->is_suspended = false;
	p->is_new_chunk = true;
}

void xml_parser_push(struct xml_parser *p, const char *bytes, size_t len)
{
	p->chunk = bytes;
	p->chunk_len = len;
	p->had_event = false;
	if (len == 0 || (p->expat == NULL && is_white_space(bytes, len)))
		return;
	if (p->expat == NULL)
		revive(p);
	p->is_new_chunk = true;
	p->fed += len;
	if (p->in_element)
		buf_add(&p->raw, bytes, len);
}

/* All of the push is parsed: checks what is incomplete, keeps what is still needed. */
static void finish_chunk(struct xml_parser *p)
{
	uint64_t pending = p->fed - (uint64_t)XML_GetCurrentByteIndex(p->expat);
	size_t rest = xml_parser_rest(p);

	if (p->depth == 0 && p->fed > p->limits.header_bytes)
		stop_at_limit(p, "bytes of the stream header");
	else if (p->in_element && p->fed - p->elem_start > p->limits.element_bytes)
		stop_at_limit(p, "bytes of one stanza");
	else if (pending > TOKEN_MAX || pending > p->limits.element_bytes)
		stop_at_limit(p, "bytes of one tag");
	p->is_at_rest = !p->in_element && p->depth == 1 && (p->had_event || p->is_at_rest) &&
		is_white_space(p->chunk + p->chunk_len - rest, rest);
	if (!p->in_element) {
		buf_deinit(&p->raw);
	} else if (buf_size(&p->raw) != 0) {
		uint64_t start = p->fed - buf_size(&p->raw);

		if (p->inner_start > start)
			buf_consume(&p->raw, (size_t)(p->inner_start - start));
	} else if (p->fed > p->inner_start) {
		buf_add(&p->raw, bytes_from(p, p->inner_start), (size_t)(p->fed - p->inner_start));
	}
	p->chunk_len = 0;
	free(p->kept_chunk);
	p->kept_chunk = NULL;
}

static enum xml_event fail(struct xml_parser *p)
{
	if (p->error == XML_EVENT_NONE)
		p->error = error_of_expat(p);
	xml_doc_free(p->doc);
	p->doc = NULL;
	return p->error;
}

enum xml_event xml_parser_next(struct xml_parser *p, struct xml_doc **doc)
{
	enum XML_Status status;

	if (p->error != XML_EVENT_NONE)
		return fail(p);
	if (p->closes_at_once) {
		p->closes_at_once = false;
		return XML_EVENT_CLOSE;
	}
	if (p->is_suspended && p->ready == XML_EVENT_ELEMENT && expat_memory_size(&p->memory) > EXPAT_MEMORY_MAX)
		replace_expat(p);
	if (p->is_suspended)
		status = resume(p);
	else if (p->is_new_chunk)
		status = parse(p, p->chunk, p->chunk_len);
	else
		return XML_EVENT_NONE;
	p->is_new_chunk = false;
	p->is_suspended = status == XML_STATUS_SUSPENDED;
	if (p->error != XML_EVENT_NONE || status == XML_STATUS_ERROR)
		return fail(p);
	if (p->is_suspended) {
		p->had_event = true;
		if (p->ready != XML_EVENT_CLOSE) {
			*doc = p->doc;
			p->doc = NULL;
		}
		return p->ready;
	}
	finish_chunk(p);
	return p->error != XML_EVENT_NONE ? fail(p) : XML_EVENT_NONE;
}

size_t xml_parser_rest(const struct xml_parser *p)
{
	uint64_t rest = p->fed - p->event_end;

	return rest < p->chunk_len ? (size_t)rest : p->chunk_len;
}

const char *xml_parser_rest_bytes(const struct xml_parser *p)
{
	return p->chunk + p->chunk_len - xml_parser_rest(p);
}

void xml_parser_keep(struct xml_parser *p)
{
	if (p->chunk_len == 0 || p->kept_chunk != NULL)
		return;
	p->kept_chunk = mem_dup(p->chunk, p->chunk_len);
	p->chunk = p->kept_chunk;
}

void xml_parser_rest_now(struct xml_parser *p)
{
	if (p->expat == NULL || !p->is_at_rest || p->is_suspended || p->is_new_chunk || p->error != XML_EVENT_NONE)
		return;
	free_expat(p);
	buf_deinit(&p->text);
	buf_deinit(&p->raw);
	free(p->stack);
	p->stack = NULL;
	p->stack_cap = 0;
}
