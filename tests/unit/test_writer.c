/* SPDX-License-Identifier: MIT */
/* Tests of writing elements: what comes out is read as the same again. */
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "xml/elem.h"
#include "xml/parser.h"
#include "xml/writer.h"

static void expect_written(const char *text, const char *expected)
{
	struct xml_doc *doc = xml_parse_element(text, strlen(text));
	struct buf out = { 0 };
	char *written;

	ck_assert_ptr_nonnull(doc);
	xml_write_elem(&out, doc->root, "jabber:client");
	ck_assert_uint_eq(xml_elem_size(doc->root, "jabber:client"), buf_size(&out));
	written = buf_take(&out);
	ck_assert_str_eq(written, expected);
	xml_doc_free(doc);
	free(written);
}

/* Its prefix is bound for ever, and to declare it as the default is an error that ends the reader's stream
 * (Namespaces in XML 1.0, 3). */
START_TEST(the_namespace_of_xml_keeps_its_prefix)
{
	expect_written("<message xmlns='jabber:client'><xml:a xml:b='c'><d/><e xmlns='urn:e'/></xml:a></message>",
	               "<message><xml:a xml:b='c'><d/><e xmlns='urn:e'/></xml:a></message>");
	expect_written("<xml:a xmlns='urn:a'/>", "<xml:a/>");
}
END_TEST

START_TEST(sizes_are_those_of_what_is_written)
{
	expect_written("<a xmlns:p='urn:p&amp;' xmlns:q='urn:q' p:a='1' q:b='&quot;&#10;' c='&lt;'>x'&#13;\n<p:b/>&gt;<b xmlns=''/></a>",
	               "<a xmlns:n0='urn:p&amp;' n0:a='1' xmlns:n1='urn:q' n1:b='&quot;&#10;' c='&lt;'>x&apos;&#13;\n"
	               "<b xmlns='urn:p&amp;'/>&gt;<b xmlns=''/></a>");
	expect_written("<message/>", "<message/>");
}
END_TEST

/* What is stored is read where jabber:client is the default. */
START_TEST(what_is_stored_says_its_namespace)
{
	static const char *const texts[] = { "<a xmlns=''><b/></a>", "<xml:a><b xmlns=''/></xml:a>", "<a xmlns='urn:a'><b/></a>",
	                                     "<message xmlns='jabber:client'><body/></message>" };

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct xml_doc *doc = xml_parse_element(texts[i], strlen(texts[i]));
		char *text = comity_elem_to_xml(doc->root, NULL);

		ck_assert_str_eq(text, texts[i]);
		free(text);
		xml_doc_free(doc);
	}
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, what_is_stored_says_its_namespace);
	tcase_add_test(tc, sizes_are_those_of_what_is_written);
	tcase_add_test(tc, the_namespace_of_xml_keeps_its_prefix);
}

UNIT_SUITE(writer);
