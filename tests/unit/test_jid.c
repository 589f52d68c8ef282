/* SPDX-License-Identifier: MIT */
/* Addresses as objects: their parts, comparison, sharing and the cache. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "unit.h"
#include "xmpp/jid.h"

START_TEST(parts)
{
	struct comity_jid *full = comity_jid_parse("Juliet@Example.com/Balcony"), *bare = comity_jid_bare(full);
	size_t len;

	ck_assert(!comity_jid_is_bare(full) && comity_jid_is_bare(bare));
	ck_assert(comity_jid_has_local(full) && comity_jid_has_local(bare));
	ck_assert_ptr_eq(comity_jid_bare(bare), bare);
	ck_assert_str_eq(comity_jid_text(bare), "juliet@example.com");
	ck_assert_uint_eq(comity_jid_text_len(bare), 18);
	ck_assert_int_eq(memcmp(comity_jid_local(full, &len), "juliet", 6), 0);
	ck_assert_uint_eq(len, 6);
	ck_assert_str_eq(comity_jid_domain(full), "example.com");
	ck_assert_str_eq(comity_jid_domain(bare), "example.com");
	ck_assert_str_eq(comity_jid_resource(full), "Balcony");
	ck_assert_ptr_null(comity_jid_resource(bare));
	comity_jid_unref(full);

	full = comity_jid_parse("example.com/x");
	ck_assert(!comity_jid_has_local(full));
	ck_assert_str_eq(comity_jid_local(full, &len), "");
	ck_assert_uint_eq(len, 0);
	ck_assert_str_eq(comity_jid_domain(full), "example.com");
	ck_assert_str_eq(comity_jid_text(comity_jid_bare(full)), "example.com");
	comity_jid_unref(full);
}
END_TEST

static void check_made(const char *local, const char *domain, const char *resource, const char *expected)
{
	struct comity_jid *jid = comity_jid_make(local, domain, resource);

	ck_assert_int_eq(jid != NULL, expected != NULL);
	if (jid != NULL)
		ck_assert_str_eq(comity_jid_text(jid), expected);
	comity_jid_unref(jid);
}

START_TEST(making)
{
	struct comity_jid *bare, *full, *other;

	check_made("A", "B", "C", "a@b/C");
	check_made(NULL, "B", "C", "b/C");
	check_made("A", "B", NULL, "a@b");
	check_made(NULL, "B", NULL, "b");
	check_made("", "b", NULL, NULL);
	check_made("a", "", NULL, NULL);
	check_made("a", "b", "", NULL);
	/* parts are not split again */
	check_made("a/b", "c", NULL, NULL);
	check_made("a", "b/c", NULL, NULL);
	check_made(NULL, "a@b", NULL, NULL);

	bare = comity_jid_parse("a@b");
	full = comity_jid_with_resource(bare, "c/d");
	ck_assert_str_eq(comity_jid_text(full), "a@b/c/d");
	ck_assert_ptr_eq(comity_jid_bare(full), bare);
	ck_assert_ptr_null(comity_jid_with_resource(bare, ""));
	ck_assert_ptr_null(comity_jid_with_resource(bare, "\n"));
	other = comity_jid_with_resource(full, "e");
	ck_assert_str_eq(comity_jid_text(other), "a@b/e");
	comity_jid_unref(bare);
	comity_jid_unref(full);
	ck_assert_str_eq(comity_jid_text(comity_jid_bare(other)), "a@b");
	comity_jid_unref(other);
}
END_TEST

START_TEST(comparing)
{
	struct comity_jid *a = comity_jid_parse("A@b/r"), *b = comity_jid_parse("a@B/r"), *c = comity_jid_parse("a@b/R"),
	                  *d = comity_jid_parse("a@b"), *e = comity_jid_parse("b");

	ck_assert(comity_jid_equal(a, b) && comity_jid_hash(a) == comity_jid_hash(b));
	ck_assert(!comity_jid_equal(a, c) && comity_jid_equal_bare(a, c));
	ck_assert(!comity_jid_equal(a, d) && comity_jid_equal_bare(a, d));
	ck_assert(comity_jid_hash(comity_jid_bare(a)) == comity_jid_hash(d));
	ck_assert(!comity_jid_equal_bare(d, e));
	comity_jid_unref(comity_jid_ref(a));
	comity_jid_unref(a);
	comity_jid_unref(b);
	comity_jid_unref(c);
	comity_jid_unref(d);
	comity_jid_unref(e);
	ck_assert_ptr_null(comity_jid_ref(NULL));
	comity_jid_unref(NULL);
}
END_TEST

START_TEST(ascii_domains)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{ "example.com", "example.com" }, { "b\u00fccher.example", "xn--bcher-kva.example" },
		{ "fa\u00df.de", "xn--fa-hia.de" }, { "[::1]", "[::1]" },
	};
	char out[256], text[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ck_assert_int_eq(jid_domain_to_ascii(rows[i].text, out), (int)strlen(rows[i].expected));
		ck_assert_str_eq(out, rows[i].expected);
	}
	for (size_t i = 0; i < 260; i++)
		text[i] = i % 2 == 0 ? 'a' : '.';
	text[259] = '\0';
	ck_assert_int_eq(jid_domain_to_ascii(text, out), -ERR_INVALID);
	text[255] = '\0';
	ck_assert_int_eq(jid_domain_to_ascii(text, out), 255);
}
END_TEST

static struct comity_jid *get(struct jid_cache *cache, const char *text)
{
	return jid_cache_get(cache, text, strlen(text));
}

START_TEST(cache)
{
	struct jid_cache *c = jid_cache_new(64);
	struct comity_jid *a = get(c, "A@b/r"), *b = get(c, "A@b/r"), *other = get(c, "a@b/r");

	ck_assert_ptr_eq(a, b);
	/* another text of the same address is another entry */
	ck_assert_ptr_ne(a, other);
	ck_assert(comity_jid_equal(a, other));
	ck_assert_ptr_null(get(c, "a@"));
	ck_assert_ptr_null(get(c, "a@"));
	ck_assert_ptr_null(get(c, ""));
	comity_jid_unref(other);
	comity_jid_unref(b);
	jid_cache_free(c);
	/* what was given out outlives the cache */
	ck_assert_str_eq(comity_jid_text(a), "a@b/r");
	comity_jid_unref(a);
	jid_cache_free(NULL);
}
END_TEST

START_TEST(cache_full)
{
	struct jid_cache *c = jid_cache_new(1);
	char text[32];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 500; i++) {
			struct comity_jid *jid;

			snprintf(text, sizeof(text), "user%d@example.com/r", i);
			jid = get(c, text);
			ck_assert_str_eq(comity_jid_text(jid), text);
			comity_jid_unref(jid);
		}
	}
	jid_cache_free(c);
}
END_TEST

/* Longer texts are not kept, so that a cache has a bound. */
START_TEST(cache_long)
{
	struct jid_cache *c = jid_cache_new(64);
	char text[300];

	for (size_t len = 256; len <= 257; len++) {
		struct comity_jid *a, *b;

		memset(text, 'a', len);
		memcpy(text + len - 2, "@b", 2);
		a = jid_cache_get(c, text, len);
		b = jid_cache_get(c, text, len);
		ck_assert(comity_jid_equal(a, b));
		ck_assert_int_eq(a == b, len == 256);
		comity_jid_unref(a);
		comity_jid_unref(b);
	}
	jid_cache_free(c);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, parts);
	tcase_add_test(tc, making);
	tcase_add_test(tc, comparing);
	tcase_add_test(tc, ascii_domains);
	tcase_add_test(tc, cache);
	tcase_add_test(tc, cache_full);
	tcase_add_test(tc, cache_long);
}

UNIT_SUITE(jid);
