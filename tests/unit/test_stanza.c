/* SPDX-License-Identifier: MIT */
/* Tests of stanzas: those that are kept for long, those made from others, and what a message holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "unit.h"
#include "xml/intern.h"
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

/* ---- derived ---- */

static struct comity_stanza *parse(const char *text)
{
	struct comity_stanza *st = comity_stanza_parse(text, strlen(text));

	ck_assert_ptr_nonnull(st);
	return st;
}

static void check_text(const struct comity_stanza *st, const char *wanted)
{
	struct buf out = { 0 };

	stanza_write(&out, st, "a@b/c", "d@e", NULL);
	buf_add(&out, "", 1);
	ck_assert_str_eq(buf_bytes(&out), wanted);
	buf_deinit(&out);
}

#define HEAD "<message from='a@b/c' to='d@e' type='chat' id='1'>"

static struct comity_stanza *stamp(const struct comity_stanza *st, const char *name)
{
	struct comity_stanza *consumed = comity_stanza_ref(st);
	struct xml_doc *stamps = xml_doc_new_sized(300);

	stamps->root = xml_elem_new(&stamps->arena, "jabber:client", "stamps");
	comity_elem_set(comity_elem_add(stamps->root, "urn:s", name), "n", "1");
	comity_elem_add_text(stamps->root, "urn:s", name, "2");
	return stanza_with_stamps(&consumed, &stamps);
}

START_TEST(stamps_stand_before_shared_content)
{
	struct comity_stanza *st = parse("<message type='chat' id='1'>t<body>x</body></message>"), *with, *again, *kept;

	with = stamp(st, "s");
	again = stamp(with, "z");
	ck_assert_uint_gt(stanza_weight(with), stanza_weight(st));
	comity_stanza_unref(st);
	kept = stanza_keep(with);
	ck_assert_ptr_ne(kept, with);
	check_text(with, HEAD "<s xmlns='urn:s' n='1'/><s xmlns='urn:s'>2</s>t<body>x</body></message>");
	check_same(with, kept);
	comity_stanza_unref(with);
	check_text(again, HEAD "<z xmlns='urn:s' n='1'/><z xmlns='urn:s'>2</z><s xmlns='urn:s' n='1'/>"
	           "<s xmlns='urn:s'>2</s>t<body>x</body></message>");
	ck_assert_str_eq(comity_elem_text(comity_stanza_root(again)), "t");
	ck_assert_str_eq(comity_elem_attr(stanza_find_stamp(again, "urn:s", "z"), "n"), "1");
	ck_assert_str_eq(comity_elem_attr(stanza_find_stamp(again, "urn:s", "s"), "n"), "1");
	ck_assert_ptr_null(stanza_find_stamp(again, NULL, "body"));
	comity_stanza_unref(again);
	comity_stanza_unref(kept);
	/* Without content. */
	st = parse("<message type='chat' id='1'/>");
	with = stamp(st, "s");
	check_text(with, HEAD "<s xmlns='urn:s' n='1'/><s xmlns='urn:s'>2</s></message>");
	ck_assert_ptr_nonnull(stanza_find_stamp(with, "urn:s", "s"));
	comity_stanza_unref(st);
	comity_stanza_unref(with);
}
END_TEST

START_TEST(shared_content_is_copied_before_it_is_changed)
{
	struct comity_stanza *st = parse("<message type='chat' id='1'><body>x</body></message>"), *with = stamp(st, "s");

	comity_stanza_set_id(with, "2");
	comity_elem_add_text(comity_stanza_edit(with), NULL, "subject", "y");
	check_text(st, HEAD "<body>x</body></message>");
	comity_stanza_unref(st);
	check_text(with, "<message from='a@b/c' to='d@e' type='chat' id='2'><s xmlns='urn:s' n='1'/><s xmlns='urn:s'>2</s>"
	           "<body>x</body><subject>y</subject></message>");
	ck_assert_str_eq(comity_stanza_id(with), "2");
	comity_stanza_unref(with);
}
END_TEST

START_TEST(forwarded_has_addresses_and_stamps)
{
	struct comity_stanza *stamps = parse("<message><s xmlns='urn:s'/></message>");
	struct comity_stanza *st = parse("<message to='x@y' from='z' type='chat' id='1'><body>x</body></message>"), *forward;

	forward = stanza_forward(st, "f@g/h", "i@j", comity_stanza_root(stamps), "urn:w", "w");
	comity_stanza_unref(st);
	comity_stanza_unref(stamps);
	check_text(forward, "<message from='a@b/c' to='d@e' type='chat'><w xmlns='urn:w'><forwarded xmlns='urn:xmpp:forward:0'>"
	           "<message xmlns='jabber:client' from='f@g/h' to='i@j' type='chat' id='1'><s xmlns='urn:s'/>"
	           "<body>x</body></message></forwarded></w></message>");
	ck_assert_ptr_null(comity_stanza_id(forward));
	ck_assert_uint_eq(comity_stanza_parts(forward), COMITY_PART_OTHER);
	comity_stanza_unref(forward);
}
END_TEST

static bool is_named(void *arg, const struct comity_elem *child)
{
	return comity_elem_is(child, NULL, arg);
}

START_TEST(children_are_left_out)
{
	static char name[] = "s";
	struct comity_stanza *st = parse("<message type='chat' id='1'>t<s/><body>x</body><s/>u</message>");
	struct comity_stanza *without = stanza_without(st, is_named, name);

	comity_stanza_unref(st);
	check_text(without, HEAD "t<body>x</body>u</message>");
	ck_assert_str_eq(comity_elem_text(comity_stanza_root(without)), "tu");
	comity_stanza_unref(without);
}
END_TEST

START_TEST(parts_are_found)
{
	static const struct {
		const char *inner;
		unsigned parts;
	} rows[] = {
		{ "", 0 },
		{ "text", 0 },
		{ "<thread>t</thread>", 0 },
		{ "<body/>", COMITY_PART_BODY },
		{ "<body xmlns='urn:x'/>", COMITY_PART_OTHER },
		{ "<subject/>", COMITY_PART_OTHER },
		{ "<paused xmlns='http://jabber.org/protocol/chatstates'/>", COMITY_PART_CHAT_STATE },
		{ "<request xmlns='urn:xmpp:receipts'/><body/>", COMITY_PART_RECEIPT | COMITY_PART_BODY },
		{ "<markable xmlns='urn:xmpp:chat-markers:0'/>", COMITY_PART_MARKER },
		{ "<no-copy xmlns='urn:xmpp:hints'/><store xmlns='urn:xmpp:hints'/>",
		  COMITY_PART_NO_COPY | COMITY_PART_STORE },
		{ "<no-store xmlns='urn:xmpp:hints'/><no-permanent-store xmlns='urn:xmpp:hints'/>",
		  COMITY_PART_NO_STORE | COMITY_PART_NO_PERMANENT_STORE },
		{ "<sent xmlns='urn:xmpp:carbons:2'/>", COMITY_PART_CARBON },
		{ "<private xmlns='urn:xmpp:carbons:2'/>", COMITY_PART_PRIVATE },
		{ "<origin-id xmlns='urn:xmpp:sid:0'/>", COMITY_PART_OTHER },
		{ "<stanza-id xmlns='urn:xmpp:sid:0'/>", COMITY_PART_STANZA_ID },
		{ "<x xmlns='jabber:x:conference'/>", COMITY_PART_INVITATION },
		{ "<x xmlns='http://jabber.org/protocol/muc#user'/>", COMITY_PART_MUC_USER },
		{ "<x xmlns='http://jabber.org/protocol/muc#user'><invite/></x>",
		  COMITY_PART_MUC_USER | COMITY_PART_INVITATION },
	};
	char text[300];

	xml_intern_init();
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct comity_stanza *st;

		snprintf(text, sizeof(text), "<message xmlns='jabber:client'>%s</message>", rows[i].inner);
		st = parse(text);
		ck_assert_uint_eq(comity_stanza_parts(st), rows[i].parts);
		ck_assert_uint_eq(comity_stanza_parts(st), rows[i].parts);
		comity_stanza_unref(st);
	}
}
END_TEST

START_TEST(parts_are_read_again_after_a_change)
{
	struct comity_stanza *st;

	xml_intern_init();
	st = comity_stanza_new(COMITY_MESSAGE, COMITY_TYPE_CHAT);
	ck_assert_uint_eq(comity_stanza_parts(st), 0);
	comity_elem_add(comity_stanza_edit(st), NULL, "body");
	ck_assert_uint_eq(comity_stanza_parts(st), COMITY_PART_BODY);
	comity_stanza_unref(st);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, kept_small_is_a_smaller_copy);
	tcase_add_test(tc, kept_big_is_shared);
	tcase_add_test(tc, stamps_stand_before_shared_content);
	tcase_add_test(tc, shared_content_is_copied_before_it_is_changed);
	tcase_add_test(tc, forwarded_has_addresses_and_stamps);
	tcase_add_test(tc, children_are_left_out);
	tcase_add_test(tc, parts_are_found);
	tcase_add_test(tc, parts_are_read_again_after_a_change);
}

UNIT_SUITE(stanza);
