/* SPDX-License-Identifier: MIT */
/* Routes of directories: what is read out of XML, what is refused, and what is written. */
#include <string.h>

#include "comity/directory.h"
#include "comity/elem.h"
#include "unit.h"
#include "xml/elem.h"

#define PIN "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PIN_AS_TOOLS_SHOW_IT "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

struct attrs {
	const char *host, *port, *tls, *pin, *expires;
};

static const char *read_attrs(const struct attrs *a, struct comity_route *route)
{
	struct xml_doc *doc = xml_doc_new();
	const char *problem;

	doc->root = xml_elem_new(&doc->arena, COMITY_NS_DIRECTORY, "register");
	comity_elem_set(doc->root, "host", a->host);
	comity_elem_set(doc->root, "port", a->port);
	comity_elem_set(doc->root, "direct-tls", a->tls);
	comity_elem_set(doc->root, "fingerprint", a->pin);
	comity_elem_set(doc->root, "expires", a->expires);
	problem = comity_route_read(doc->root, route);
	xml_doc_free(doc);
	return problem;
}

START_TEST(a_whole_route_is_read)
{
	struct comity_route r;

	ck_assert_ptr_null(read_attrs(&(struct attrs){ "xmpp.example", "5270", "true", PIN_AS_TOOLS_SHOW_IT, "60" }, &r));
	ck_assert_str_eq(r.host, "xmpp.example");
	ck_assert_uint_eq(r.port, 5270);
	ck_assert(r.is_direct_tls);
	ck_assert_str_eq(r.pins, PIN);
	ck_assert_uint_eq(r.expires_s, 60);
}
END_TEST

START_TEST(what_is_optional_may_be_missing)
{
	struct comity_route r;

	ck_assert_ptr_null(read_attrs(&(struct attrs){ .host = "2001:db8::1", .port = "1" }, &r));
	ck_assert(!r.is_direct_tls);
	ck_assert_str_eq(r.pins, "");
	ck_assert_uint_eq(r.expires_s, 0);
}
END_TEST

START_TEST(several_fingerprints_are_read)
{
	struct comity_route r;

	ck_assert_ptr_null(read_attrs(&(struct attrs){ .host = "h", .port = "1", .pin = PIN " " PIN " " PIN " " PIN }, &r));
	ck_assert_str_eq(r.pins, PIN " " PIN " " PIN " " PIN);
	ck_assert_ptr_nonnull(read_attrs(&(struct attrs){ .host = "h", .port = "1", .pin = PIN " " PIN " " PIN " " PIN " " PIN }, &r));
}
END_TEST

START_TEST(what_is_wrong_is_refused)
{
	static const struct attrs wrong[] = {
		{ .port = "1" },
		{ .host = "", .port = "1" },
		{ .host = "a b", .port = "1" },
		{ .host = "a/b", .port = "1" },
		{ .host = "h" },
		{ .host = "h", .port = "" },
		{ .host = "h", .port = "0" },
		{ .host = "h", .port = "65536" },
		{ .host = "h", .port = "-1" },
		{ .host = "h", .port = "5269x" },
		{ .host = "h", .port = "99999999999999999999999" },
		{ .host = "h", .port = "1", .tls = "maybe" },
		{ .host = "h", .port = "1", .pin = "00" },
		{ .host = "h", .port = "1", .pin = PIN "0" },
		{ .host = "h", .port = "1", .pin = PIN PIN },
		{ .host = "h", .port = "1", .pin = PIN " " },
		{ .host = "h", .port = "1", .pin = " " PIN },
		{ .host = "h", .port = "1", .pin = PIN ":" },
		{ .host = "h", .port = "1", .expires = "0" },
		{ .host = "h", .port = "1", .expires = "soon" },
		{ .host = "h", .port = "1", .expires = "999999999999" },
	};
	struct comity_route r;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(read_attrs(&wrong[i], &r) != NULL, "row %zu was taken", i);
}
END_TEST

START_TEST(a_host_that_is_too_long_is_refused)
{
	struct comity_route r;
	char host[257];

	memset(host, 'a', sizeof(host));
	host[256] = '\0';
	ck_assert_ptr_nonnull(read_attrs(&(struct attrs){ .host = host, .port = "1" }, &r));
	host[255] = '\0';
	ck_assert_ptr_null(read_attrs(&(struct attrs){ .host = host, .port = "1" }, &r));
}
END_TEST

START_TEST(what_is_written_is_read_again)
{
	const struct comity_route out = { .host = "10.0.0.1", .port = 5269, .is_direct_tls = true, .pins = PIN, .expires_s = 3600 };
	struct xml_doc *doc = xml_doc_new();
	struct comity_route in;

	doc->root = xml_elem_new(&doc->arena, COMITY_NS_DIRECTORY, "route");
	comity_route_write(doc->root, &out);
	ck_assert_ptr_null(comity_route_read(doc->root, &in));
	ck_assert_str_eq(in.host, out.host);
	ck_assert_uint_eq(in.port, out.port);
	ck_assert(in.is_direct_tls);
	ck_assert_str_eq(in.pins, out.pins);
	ck_assert_uint_eq(in.expires_s, out.expires_s);
	xml_doc_free(doc);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, a_whole_route_is_read);
	tcase_add_test(tc, what_is_optional_may_be_missing);
	tcase_add_test(tc, several_fingerprints_are_read);
	tcase_add_test(tc, what_is_wrong_is_refused);
	tcase_add_test(tc, a_host_that_is_too_long_is_refused);
	tcase_add_test(tc, what_is_written_is_read_again);
}

UNIT_SUITE(directory_route);
