/* SPDX-License-Identifier: MIT */
/* Tests of the XML parser: what it keeps in memory, and what is too much. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "unit.h"
#include "xml/elem.h"
#include "xml/parser.h"

#define HEADER "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a'>"

static const struct xml_limits limits = {
	.header_bytes = 4096, .element_bytes = 65536, .depth = 20, .attributes = 50, .namespaces = 50, .elements = 1000,
};

static struct xml_parser *open_stream(void)
{
	struct xml_parser *p = xml_parser_new(&limits);
	struct xml_doc *doc = NULL;

	xml_parser_push(p, HEADER, strlen(HEADER));
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_OPEN);
	xml_doc_free(doc);
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_NONE);
	return p;
}

/* Takes all elements of a push; each must be a message with the body b0, b1, ... */
static void take_messages(struct xml_parser *p, unsigned *count)
{
	struct xml_doc *doc = NULL;
	enum xml_event event;
	char want[16];

	while ((event = xml_parser_next(p, &doc)) == XML_EVENT_ELEMENT) {
		snprintf(want, sizeof(want), "b%u", (*count)++);
		ck_assert_str_eq(comity_elem_text(comity_elem_find(doc->root, "jabber:client", "body")), want);
		ck_assert(doc->inner_usable);
		ck_assert_uint_eq(doc->inner_len, strlen(doc->inner));
		ck_assert_ptr_nonnull(strstr(doc->inner, want));
		xml_doc_free(doc);
	}
	ck_assert_int_eq(event, XML_EVENT_NONE);
}

/* expat never forgets a name: a peer that invents them must not make it grow for ever. Pushes end anywhere. */
START_TEST(invented_names_are_forgotten)
{
	struct xml_parser *p = open_stream();
	char out[XML_PUSH_MAX + 512];
	size_t len = 0, most = 0;
	unsigned count = 0;

	for (unsigned i = 0; i < 20000; i++) {
		len += (size_t)snprintf(out + len, 256, "<message><body>b%u</body><a-name-nobody-knows-%u b-%u=''/></message>",
		                        i, i, i);
		if (len < XML_PUSH_MAX - 300)
			continue;
		len -= i % 40;
		xml_parser_push(p, out, len);
		take_messages(p, &count);
		if (xml_parser_memory(p) > most)
			most = xml_parser_memory(p);
		memmove(out, out + len, i % 40);
		len = i % 40;
	}
	xml_parser_push(p, out, len);
	take_messages(p, &count);
	ck_assert_uint_eq(count, 20000);
	ck_assert_uint_lt(most, 200 * 1024);
	xml_parser_free(p);
}
END_TEST

START_TEST(rest_and_revival_keep_the_stream)
{
	static const char *const pieces[] = { "<message><body>b0</body></message> ", "<message><bo", "dy>b1</body></message>",
		                              "\n" };
	struct xml_parser *p = open_stream();
	struct xml_doc *doc = NULL;
	unsigned count = 0;

	for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		xml_parser_push(p, pieces[i], strlen(pieces[i]));
		take_messages(p, &count);
		xml_parser_rest_now(p);
		/* In the middle of an element it cannot rest. */
		ck_assert_int_eq(xml_parser_memory(p) == 0, i != 1);
	}
	ck_assert_uint_eq(count, 2);
	xml_parser_push(p, "</stream:stream>", 16);
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_CLOSE);
	xml_parser_free(p);
}
END_TEST

/* The bytes of an element stand for it elsewhere only when they need nothing from outside. */
START_TEST(bytes_that_need_a_declaration_are_not_reused)
{
	static const struct {
		const char *element;
		bool usable;
	} cases[] = {
		{ "<message xml:lang='de'><body xml:lang='en'>x</body></message>", true },
		{ "<message><d:a>x</d:a></message>", false },
		{ "<message><a d:b='x'/></message>", false },
		{ "<message><d:a xmlns:d='e'>x</d:a></message>", false },
		{ "<message d:a='x'><body>x</body></message>", true },
		{ "<message xmlns:e='e'><e:a/></message>", false },
		{ "<message xmlns:e='e'><a/></message>", true },
		{ "<s:message xmlns:s='jabber:server' xmlns='e'><a/></s:message>", false },
		{ "<s:message xmlns:s='jabber:server'><body/></s:message>", true },
		{ "<message xmlns='jabber:server'><body/></message>", true },
		{ "<message><a xmlns='e'><b/></a></message>", true },
		{ "<message><body><![CDATA[<]]></body></message>", false },
		{ "<message><stream:a/></message>", false },
	};
	static const char header[] = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'"
		" xmlns:d='jabber:server:dialback' to='a'>";
	struct xml_parser *p = xml_parser_new(&limits);
	struct xml_doc *doc = NULL;

	xml_parser_push(p, header, strlen(header));
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_OPEN);
	xml_doc_free(doc);
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_NONE);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		xml_parser_push(p, cases[i].element, strlen(cases[i].element));
		ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_ELEMENT);
		ck_assert_msg(doc->inner_usable == cases[i].usable, "%s", cases[i].element);
		xml_doc_free(doc);
		ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_NONE);
	}
	xml_parser_free(p);
}
END_TEST

/* A big text takes more than the pages of a parser hold. */
START_TEST(memory_beyond_its_pages)
{
	struct xml_parser *p = open_stream();
	struct xml_doc *doc = NULL;
	char piece[XML_PUSH_MAX];
	enum xml_event event;

	memset(piece, 'x', sizeof(piece));
	xml_parser_push(p, "<message><body a='", 18);
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_NONE);
	for (unsigned i = 0; i < 6; i++) {
		xml_parser_push(p, piece, sizeof(piece));
		ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_NONE);
	}
	ck_assert_uint_gt(xml_parser_memory(p), 16 * 1024);
	xml_parser_push(p, "'>b0</body></message>", 21);
	event = xml_parser_next(p, &doc);
	ck_assert_int_eq(event, XML_EVENT_ELEMENT);
	ck_assert_uint_eq(strlen(comity_elem_attr(comity_elem_first(doc->root), "a")), 6 * sizeof(piece));
	xml_doc_free(doc);
	xml_parser_free(p);
}
END_TEST

/* Feeds <message xmlns:p='...'> with count times inside, in pieces; NULL and the limit when it is refused. */
static struct xml_doc *read_big(size_t uri, const char *inside, unsigned count, char limit[64])
{
	struct xml_parser *p = open_stream();
	struct buf text = { 0 };
	struct xml_doc *doc = NULL;
	enum xml_event event = XML_EVENT_NONE;

	buf_add_str(&text, "<message xmlns:p='");
	for (size_t i = 0; i < uri; i++)
		buf_add(&text, "u", 1);
	buf_add_str(&text, "'>");
	for (unsigned i = 0; i < count; i++)
		buf_add_str(&text, inside);
	buf_add_str(&text, "</message>");
	while (event == XML_EVENT_NONE && buf_size(&text) != 0) {
		size_t n = buf_size(&text) < XML_PUSH_MAX ? buf_size(&text) : XML_PUSH_MAX;

		xml_parser_push(p, buf_bytes(&text), n);
		event = xml_parser_next(p, &doc);
		buf_consume(&text, n);
	}
	ck_assert_int_eq(event, doc != NULL ? XML_EVENT_ELEMENT : XML_EVENT_TOO_BIG);
	snprintf(limit, 64, "%s", xml_parser_limit(p));
	buf_deinit(&text);
	xml_parser_free(p);
	return doc;
}

static void expect_limit(size_t uri, const char *inside, unsigned count, const char *expected)
{
	char limit[64];
	struct xml_doc *doc = read_big(uri, inside, count, limit);

	ck_assert_str_eq(limit, expected);
	ck_assert_int_eq(doc == NULL, *expected != '\0');
	xml_doc_free(doc);
}

/* A prefix is short, and what it stands for is kept and written for every name: a stanza of 63 kB took 120 MB, and as
 * much was written to its receiver. */
START_TEST(prefixes_do_not_multiply)
{
	expect_limit(8000, "<p:a/>", 2000, "bytes of namespaces in one stanza");
	expect_limit(2000, "<a p:b='' p:c='' p:d=''/>", 20, "bytes of namespaces in one stanza");
	expect_limit(8000, "<p:a/>", 4, "");
	expect_limit(40, "<p:a/>", 500, "");
}
END_TEST

/* What is accepted is not more than what is accepted when it has been written: by another server, or by this one when
 * it reads what it has kept. */
START_TEST(what_is_written_is_not_too_big)
{
	char tag[5000], text[12002];

	snprintf(tag, sizeof(tag), "<a b='%04800d'/>", 0);
	expect_limit(1, tag, 1, "");
	memset(strchr(tag, '0'), '>', 4800);
	expect_limit(1, tag, 1, "bytes of one tag");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	expect_limit(1, text, 5, "");
	memset(text, '>', sizeof(text) - 1);
	expect_limit(1, text, 5, "bytes of one stanza");
}
END_TEST

/* The namespace around is not copied for everything inside. */
START_TEST(namespaces_are_kept_once)
{
	struct buf inside = { 0 };
	char limit[64], *text;
	struct xml_doc *doc;

	buf_printf(&inside, "<a xmlns='%01000d'>", 0);
	for (int i = 0; i < 400; i++)
		buf_add_str(&inside, "<b/>");
	buf_add_str(&inside, "</a>");
	text = buf_take(&inside);
	doc = read_big(1, text, 1, limit);
	ck_assert_ptr_nonnull(doc);
	ck_assert_uint_lt(doc->arena.total, 100000);
	xml_doc_free(doc);
	free(text);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, prefixes_do_not_multiply);
	tcase_add_test(tc, what_is_written_is_not_too_big);
	tcase_add_test(tc, namespaces_are_kept_once);
	tcase_add_test(tc, invented_names_are_forgotten);
	tcase_add_test(tc, rest_and_revival_keep_the_stream);
	tcase_add_test(tc, memory_beyond_its_pages);
	tcase_add_test(tc, bytes_that_need_a_declaration_are_not_reused);
}

UNIT_SUITE(parser);
