/* SPDX-License-Identifier: MIT */
/* Tests of stanzas: those that are kept for long. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "unit.h"
#include "xmpp/stanza.h"

static void check_same(const struct comity_stanza *a, const struct comity_stanza *b)
{
	struct buf x = { 0 }, y = { 0 };

	stanza_write(&x, a, "a@b/c", "d@e", NULL);
	stanza_write(&y, b, "a@b/c", "d@e", NULL);
	ck_assert_uint_eq(buf_size(&x), buf_size(&y));
	ck_assert_mem_eq(buf_bytes(&x), buf_bytes(&y), buf_size(&x));
	ck_assert_int_eq(comity_stanza_kind(a), comity_stanza_kind(b));
	ck_assert_int_eq(comity_stanza_type(a), comity_stanza_type(b));
	ck_assert_int_eq(stanza_priority(a), stanza_priority(b));
	buf_deinit(&x);
	buf_deinit(&y);
}

START_TEST(kept_small_is_a_smaller_copy)
{
	static const char *const texts[] = {
		"<presence/>",
		"<presence id='7' xml:lang='en'><show>away</show><priority>5</priority></presence>",
		"<presence><status>a&amp;b <x xmlns='urn:x'>c<y z='1'/>d</x> e</status>"
		"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/></presence>",
	};

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct comity_stanza *st = comity_stanza_parse(texts[i], strlen(texts[i])), *kept;

		ck_assert_ptr_nonnull(st);
		kept = stanza_keep(st);
		ck_assert_ptr_ne(kept, st);
		/* All fitted into the memory that was made for it. */
		ck_assert_ptr_null(kept->doc->arena.blocks);
		check_same(kept, st);
		ck_assert_str_eq(comity_elem_text(comity_stanza_root(kept)), comity_elem_text(comity_stanza_root(st)));
		comity_stanza_unref(st);
		comity_stanza_unref(kept);
	}
}
END_TEST

START_TEST(kept_big_is_shared)
{
	char text[2000] = "<presence><status>";
	size_t len = strlen(text);
	struct comity_stanza *st, *kept;

	memset(text + len, 'x', 1500);
	strcpy(text + len + 1500, "</status></presence>");
	st = comity_stanza_parse(text, strlen(text));
	kept = stanza_keep(st);
	ck_assert_ptr_eq(kept, st);
	comity_stanza_unref(st);
	comity_stanza_unref(kept);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, kept_small_is_a_smaller_copy);
	tcase_add_test(tc, kept_big_is_shared);
}

UNIT_SUITE(stanza);
