/* SPDX-License-Identifier: MIT */
/* Text for people. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"
#include "unit.h"

START_TEST(what_is_no_text_is_seen_and_does_nothing)
{
	static const char *const pairs[][2] = {
		{ "", "" },
		{ "as it is: \xe2\x82\xac, \xf0\x9f\x98\x80\t\n", "as it is: \xe2\x82\xac, \xf0\x9f\x98\x80\t\n" },
		{ "cut \xe2\x82", "cut " },
		{ "cut \xf0\x9f\x98", "cut " },
		{ "\xc3", "" },
		{ "not the end \xe2\x82, or \xc3 x", "not the end ??, or ? x" },
		{ "\xff\x80x\xc0\x80", "??x??" },
		{ "surrogate \xed\xa0\x80.", "surrogate ???." },
		{ "\x1b[2J \x7f\r", "?[2J ??" },
		{ "\xc2\x9b" "2J", "??2J" },
		{ "\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd", "??????\xef\xbf\xbd" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char *text = mem_strdup(pairs[i][0]);

		text_clean(text);
		ck_assert_str_eq(text, pairs[i][1]);
		free(text);
	}
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, what_is_no_text_is_seen_and_does_nothing);
}

UNIT_SUITE(text);
