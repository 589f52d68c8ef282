/* SPDX-License-Identifier: MIT */
/* Preparation of addresses: what is accepted, as what, and what is refused (RFC 7622). */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "unit.h"
#include "xmpp/jid.h"

struct row {
	const char *text, *expected; /* NULL: refused */
};

static void check_row(const struct row *row)
{
	struct comity_jid *jid = comity_jid_parse(row->text), *again;

	if (row->expected == NULL) {
		ck_assert_msg(jid == NULL, "\"%s\" was accepted as \"%s\"", row->text,
		              jid != NULL ? comity_jid_text(jid) : "");
		return;
	}
	ck_assert_msg(jid != NULL, "\"%s\" was refused", row->text);
	ck_assert_str_eq(comity_jid_text(jid), row->expected);
	again = comity_jid_parse(comity_jid_text(jid));
	ck_assert_ptr_nonnull(again);
	ck_assert(comity_jid_equal(again, jid));
	comity_jid_unref(again);
	comity_jid_unref(jid);
}

static void check_rows(const struct row *rows)
{
	for (; rows->text != NULL; rows++)
		check_row(rows);
}

/* RFC 7622 3.5, table 1 */
START_TEST(rfc_accepted)
{
	static const struct row rows[] = {
		{ "juliet@example.com", "juliet@example.com" },
		{ "juliet@example.com/foo", "juliet@example.com/foo" },
		{ "juliet@example.com/foo bar", "juliet@example.com/foo bar" },
		{ "juliet@example.com/foo@bar", "juliet@example.com/foo@bar" },
		{ "foo\\20bar@example.com", "foo\\20bar@example.com" },
		{ "fussball@example.com", "fussball@example.com" },
		{ "fu\u00dfball@example.com", "fu\u00dfball@example.com" },
		{ "\u03c0@example.com", "\u03c0@example.com" },
		{ "\u03a3@example.com/foo", "\u03c3@example.com/foo" },
		{ "\u03c3@example.com/foo", "\u03c3@example.com/foo" },
		{ "\u03c2@example.com/foo", "\u03c2@example.com/foo" },
		{ "king@example.com/\u265a", "king@example.com/\u265a" },
		{ "example.com", "example.com" },
		{ "example.com/foobar", "example.com/foobar" },
		{ "a.example.com/b@example.net", "a.example.com/b@example.net" },
		{ 0 },
	};

	check_rows(rows);
}
END_TEST

/* RFC 7622 3.5, table 2; its leading space in a resourcepart is allowed after all (erratum 4560). */
START_TEST(rfc_refused)
{
	static const struct row rows[] = {
		{ "\"juliet\"@example.com", NULL },
		{ "foo bar@example.com", NULL },
		{ "juliet@example.com/ foo", "juliet@example.com/ foo" },
		{ "@example.com/", NULL },
		{ "henry\u2163@example.com", NULL },
		{ "\u265a@example.com", NULL },
		{ "juliet@", NULL },
		{ "/foobar", NULL },
		{ 0 },
	};

	check_rows(rows);
}
END_TEST

START_TEST(splitting)
{
	static const struct row rows[] = {
		{ "", NULL },
		{ "@", NULL },
		{ "/", NULL },
		{ "@/", NULL },
		{ "a@/b", NULL },
		{ "@a.example", NULL },
		{ "a@b@c.example", NULL },
		{ "a.example/", NULL },
		{ "a@b.example/", NULL },
		{ "a.example//", "a.example//" },
		{ "a.example/@", "a.example/@" },
		{ "a@b.example/c@d/e", "a@b.example/c@d/e" },
		{ 0 },
	};

	check_rows(rows);
}
END_TEST

START_TEST(locals_ascii)
{
	char text[3], out[JID_PART_MAX + 1];

	for (int c = 0; c < 0x80; c++) {
		bool refused = c <= 0x20 || c == 0x7f || strchr("\"&'/:<>@", c) != NULL;
		int upper = c >= 'A' && c <= 'Z';

		text[0] = 'a';
		text[1] = (char)c;
		text[2] = 'Z';
		ck_assert_int_eq(jid_prepare_local(text, 3, out), refused ? -ERR_INVALID : 3);
		if (refused)
			continue;
		ck_assert_int_eq(out[1], upper ? c - 'A' + 'a' : c);
		ck_assert_int_eq(out[0], 'a');
		ck_assert_str_eq(out + 2, "z");
	}
}
END_TEST

START_TEST(locals)
{
	static const struct row rows[] = {
		{ "JULIET@example.com", "juliet@example.com" },
		{ "\u00c9mile@x", "\u00e9mile@x" },
		/* NFC */
		{ "e\u0301@x", "\u00e9@x" },
		{ "E\u0301@x", "\u00e9@x" },
		/* sharp s stays, its capital becomes it */
		{ "stra\u00dfe@x", "stra\u00dfe@x" },
		{ "STRA\u1e9eE@x", "stra\u00dfe@x" },
		/* sigma: final and not */
		{ "\u039f\u0394\u039f\u03a3@x", "\u03bf\u03b4\u03bf\u03c2@x" },
		{ "\u03a3\u0391@x", "\u03c3\u03b1@x" },
		{ "\u0130@x", "i\u0307@x" },
		/* wide and narrow forms */
		{ "\uff2a\uff35\uff2c@x", "jul@x" },
		{ "\uff8b\uff97@x", "\u30d2\u30e9@x" },
		{ "\uff02@x", NULL },
		{ "a\uff20b@x", NULL },
		{ "a\uff0fb@x", NULL },
		{ "a\u3000b@x", NULL },
		/* compatibility characters, also where lower case or NFC would hide them */
		{ "\u212a@x", NULL },
		{ "\u212b@x", NULL },
		{ "\u017f@x", NULL },
		{ "\ufb01x@x", NULL },
		{ "\u00b2@x", NULL },
		{ "\uf900@x", NULL },
		/* symbols, spaces, invisible, private, unassigned, not characters */
		{ "\u2665@x", NULL },
		{ "a\u00a0b@x", NULL },
		{ "a\u00adb@x", NULL },
		{ "a\u200bb@x", NULL },
		{ "\ufeff" "a@x", NULL },
		{ "a\u202eb@x", NULL },
		{ "\ue000@x", NULL },
		{ "\u0378@x", NULL },
		{ "\uffff@x", NULL },
		{ "\u0640@x", NULL },
		{ "\u1100\u1161@x", NULL },
		{ "\ud55c@x", "\ud55c@x" },
		{ "\U00020000@x", "\U00020000@x" },
		{ 0 },
	};

	check_rows(rows);
}
END_TEST

START_TEST(contexts)
{
	static const struct row rows[] = {
		{ "l\u00b7l@x", "l\u00b7l@x" },
		{ "a\u00b7l@x", NULL },
		{ "l\u00b7@x", NULL },
		{ "\u0375\u03b1@x", "\u0375\u03b1@x" },
		{ "\u0375x@x", NULL },
		{ "\u05d0\u05f3@x", "\u05d0\u05f3@x" },
		{ "\u05f3\u05d0@x", NULL },
		{ "\u30fb\u30ab@x", "\u30fb\u30ab@x" },
		{ "\u30fbx@x", NULL },
		/* joiners: behind a virama, or between letters that join */
		{ "\u0915\u094d\u200d@x", "\u0915\u094d\u200d@x" },
		{ "\u0915\u094d\u200c@x", "\u0915\u094d\u200c@x" },
		{ "\u0628\u200c\u0628@x", "\u0628\u200c\u0628@x" },
		{ "a\u200cb@x", NULL },
		{ "a\u200db@x", NULL },
		{ "\u200d@x", NULL },
		/* two kinds of Arabic digits */
		{ "\u0627\u0661@x", "\u0627\u0661@x" },
		{ "\u0627\u06f1@x", "\u0627\u06f1@x" },
		{ "\u0627\u0661\u06f1@x", NULL },
		/* and the same in resources */
		{ "x/l\u00b7l", "x/l\u00b7l" },
		{ "x/a\u200db", NULL },
		{ 0 },
	};

	check_rows(rows);
}
END_TEST

/* RFC 5893 2 */
START_TEST(directions)
{
	static const struct row rows[] = {
		{ "\u05d0\u05d1@x", "\u05d0\u05d1@x" },
		{ "\u05d0-\u05d1@x", "\u05d0-\u05d1@x" },
		{ "\u05d01@x", "\u05d01@x" },
		{ "\u05d0\u05b0@x", "\u05d0\u05b0@x" },
		{ "1\u05d0@x", NULL },
		{ "\u05d0a@x", NULL },
		{ "a\u05d0@x", NULL },
		{ "\u05d0-@x", NULL },
		{ "\u06271\u0661@x", NULL },
		/* a resource has no such rule */
		{ "x/a\u05d0-", "x/a\u05d0-" },
		{ 0 },
	};

	check_rows(rows);
}
END_TEST

START_TEST(resources)
{
	static const struct row rows[] = {
		{ "x/Home", "x/Home" },
		{ "x/ a  b ", "x/ a  b " },
		{ "x/a\u00a0b\u3000c", "x/a b c" },
		{ "x/e\u0301", "x/\u00e9" },
		{ "x/\uff21", "x/\uff21" },
		{ "x/\u2163", "x/\u2163" },
		{ "x/\u265a\U0001f600", "x/\u265a\U0001f600" },
		{ "x/a\tb", NULL },
		{ "x/a\nb", NULL },
		{ "x/a\x7f", NULL },
		{ "x/a\xc2\x85", NULL },
		{ "x/a\u00ad", NULL },
		{ "x/\u2028", NULL },
		{ "x/\ufffe", NULL },
		{ 0 },
	};

	check_rows(rows);
}
END_TEST

START_TEST(domains)
{
	static const struct row rows[] = {
		{ "EXAMPLE.Com", "example.com" },
		{ "example.com.", "example.com" },
		{ "a@example.com./r", "a@example.com/r" },
		{ "example.com..", NULL },
		{ ".", NULL },
		{ "a..b", NULL },
		{ ".a", NULL },
		{ "localhost", "localhost" },
		{ "a-b.1", "a-b.1" },
		{ "-a", NULL },
		{ "a-", NULL },
		{ "a.b-.c", NULL },
		{ "a_b", NULL },
		{ "a b", NULL },
		{ "a:1", NULL },
		{ "a%41", NULL },
		{ "a\\b", NULL },
		/* IDNA2008, as U-labels */
		{ "b\u00fccher.example", "b\u00fccher.example" },
		{ "B\u00dcCHER.Example.", "b\u00fccher.example" },
		{ "bu\u0308cher.example", "b\u00fccher.example" },
		{ "xn--bcher-kva.example", "b\u00fccher.example" },
		{ "XN--BCHER-KVA.example", "b\u00fccher.example" },
		{ "a@fa\u00df.de/r", "a@fa\u00df.de/r" },
		{ "xn--fa-hia.de", "fa\u00df.de" },
		{ "\uff45xample.com", "example.com" },
		{ "\u4f8b\u3048\u3002jp", "\u4f8b\u3048.jp" },
		{ "\u05d0\u05d1.example", "\u05d0\u05d1.example" },
		{ "a\u05d0.example", NULL },
		{ "xn--", NULL },
		{ "xn--abc", NULL },
		/* A-labels of what IDNA2008 disallows: a macron, a capital letter */
		{ "xn--be-bea", NULL },
		{ "a.xn--be-bea.b", NULL },
		{ "xn--dca", NULL },
		{ "\u00e9-.x", NULL },
		{ "-\u00e9.x", NULL },
		{ "\u00e9_.x", NULL },
		{ "\u00e9\u2215.x", NULL },
		{ "\u2665.example", NULL },
		{ "\u0301a.example", NULL },
		{ 0 },
	};

	check_rows(rows);
}
END_TEST

START_TEST(literals)
{
	static const struct row rows[] = {
		{ "a@192.0.2.1", "a@192.0.2.1" },
		{ "[::1]", "[::1]" },
		{ "a@[2001:DB8:0:0::1]/r", "a@[2001:db8::1]/r" },
		{ "[::FFFF:192.0.2.1]", "[::ffff:192.0.2.1]" },
		{ "[::1].", "[::1]" },
		{ "[::1", NULL },
		{ "::1", NULL },
		{ "[]", NULL },
		{ "[", NULL },
		{ "[::1]x", NULL },
		{ "[[::1]]", NULL },
		{ "[192.0.2.1]", NULL },
		{ "[fe80::1%eth0]", NULL },
		{ "[1:2:3:4:5:6:7:8:9]", NULL },
		{ 0 },
	};

	check_rows(rows);
}
END_TEST

START_TEST(labels)
{
	char text[130];

	memset(text, 'a', sizeof(text));
	strcpy(text + 63, ".b");
	check_row(&(struct row){ text, text });
	memset(text, 'a', sizeof(text));
	strcpy(text + 64, ".b");
	check_row(&(struct row){ text, NULL });
	memset(text, 'a', sizeof(text));
	memcpy(text, "b.", 2);
	text[65] = '\0';
	check_row(&(struct row){ text, text });
}
END_TEST

typedef int prepare(const char *text, size_t len, char *out);

static void check_bytes(prepare *p, const char *bytes, size_t len)
{
	char out[JID_PART_MAX + 1];

	ck_assert_int_eq(p(bytes, len, out), -ERR_INVALID);
}

START_TEST(bytes)
{
	static prepare *const parts[] = { jid_prepare_local, jid_prepare_domain, jid_prepare_resource };
	static const char *const wrong[] = { "a\xff", "\xc3", "\xe2\x82", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		                             "\x80", "\xe0\x80\xaf" };

	for (size_t p = 0; p < 3; p++) {
		check_bytes(parts[p], "", 0);
		check_bytes(parts[p], "a\0b", 3);
		check_bytes(parts[p], "\0", 1);
		check_bytes(parts[p], "\xc3\xa9\0b", 4);
		for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
			check_bytes(parts[p], wrong[i], strlen(wrong[i]));
	}
	check_bytes(jid_prepare_domain, "[::1\0]", 6);
	ck_assert_ptr_null(comity_jid_new("a@b.example/c\0d", 15));
	ck_assert_ptr_null(comity_jid_new("a@b.example\0", 12));
}
END_TEST

static int prepare_many(prepare *p, const char *unit, size_t count)
{
	size_t size = strlen(unit);
	char *text = mem_new(size * count + 1), out[JID_PART_MAX + 1];
	int n;

	for (size_t i = 0; i < count; i++)
		memcpy(text + i * size, unit, size);
	n = p(text, size * count, out);
	ck_assert(n < 0 || strlen(out) == (size_t)n);
	free(text);
	return n;
}

/* RFC 7622 3: 1 to 1023 bytes, after preparation. */
START_TEST(lengths)
{
	ck_assert_int_eq(prepare_many(jid_prepare_local, "a", 1023), 1023);
	ck_assert_int_eq(prepare_many(jid_prepare_local, "a", 1024), -ERR_TOO_LONG);
	ck_assert_int_eq(prepare_many(jid_prepare_local, "a", 100000), -ERR_TOO_LONG);
	ck_assert_int_eq(prepare_many(jid_prepare_local, "\u00e9", 511), 1022);
	ck_assert_int_eq(prepare_many(jid_prepare_local, "\u00e9", 512), -ERR_TOO_LONG);
	ck_assert_int_eq(prepare_many(jid_prepare_local, "\uff41", 1023), 1023);
	ck_assert_int_eq(prepare_many(jid_prepare_local, "\uff41", 1024), -ERR_TOO_LONG);
	ck_assert_int_lt(prepare_many(jid_prepare_local, "\u00e9", 100000), 0);
	ck_assert_int_eq(prepare_many(jid_prepare_resource, "a", 1023), 1023);
	ck_assert_int_eq(prepare_many(jid_prepare_resource, "a", 1024), -ERR_TOO_LONG);
	ck_assert_int_eq(prepare_many(jid_prepare_resource, "e\u0301", 511), 1022);
	ck_assert_int_eq(prepare_many(jid_prepare_resource, "\u00e9", 512), -ERR_TOO_LONG);
	ck_assert_int_lt(prepare_many(jid_prepare_resource, "\u00e9", 100000), 0);
	ck_assert_int_eq(prepare_many(jid_prepare_domain, "a.", 512), 1023);
	ck_assert_int_lt(prepare_many(jid_prepare_domain, "a.", 513), 0);
	ck_assert_int_lt(prepare_many(jid_prepare_domain, "\u00e9.", 100000), 0);
}
END_TEST

START_TEST(longest)
{
	char text[3 * JID_PART_MAX + 3];
	struct comity_jid *jid;

	memset(text, 'a', sizeof(text));
	text[JID_PART_MAX] = '@';
	for (size_t i = 1; i < JID_PART_MAX; i += 2)
		text[JID_PART_MAX + 1 + i] = '.';
	text[2 * JID_PART_MAX + 1] = '/';
	jid = comity_jid_new(text, sizeof(text) - 1);
	ck_assert_ptr_nonnull(jid);
	ck_assert_uint_eq(comity_jid_text_len(jid), sizeof(text) - 1);
	ck_assert_int_eq(memcmp(comity_jid_text(jid), text, sizeof(text) - 1), 0);
	comity_jid_unref(jid);
	ck_assert_ptr_null(comity_jid_new(text, sizeof(text)));
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, rfc_accepted);
	tcase_add_test(tc, rfc_refused);
	tcase_add_test(tc, splitting);
	tcase_add_test(tc, locals_ascii);
	tcase_add_test(tc, locals);
	tcase_add_test(tc, contexts);
	tcase_add_test(tc, directions);
	tcase_add_test(tc, resources);
	tcase_add_test(tc, domains);
	tcase_add_test(tc, literals);
	tcase_add_test(tc, labels);
	tcase_add_test(tc, bytes);
	tcase_add_test(tc, lengths);
	tcase_add_test(tc, longest);
}

UNIT_SUITE(jid_prepare);
