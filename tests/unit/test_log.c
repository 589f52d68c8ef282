/* SPDX-License-Identifier: MIT */
/* Lines of the log. */
#include "base/log.h"

#include <stdio.h>

#include "unit.h"

struct sink {
	struct log log;     /* must be first */
	char line[200];
};

static void take(struct log *log, enum log_level level, const char *line)
{
	struct sink *s = (struct sink *)(void *)log;

	(void)level;
	snprintf(s->line, sizeof(s->line), "%s", line);
}

START_TEST(what_peers_choose_stays_one_line_of_text)
{
	static const char *const pairs[][2] = {
		{ "as it is: \xe2\x82\xac, \xf0\x9f\x98\x80", "as it is: \xe2\x82\xac, \xf0\x9f\x98\x80" },
		{ "\x1b[2J\r\n\t\x7f", "\\x1b[2J\\x0d\\x0a\\x09\\x7f" },
		{ "\xc2\x9b" "2J\xc2\x85.", "\\xc2\\x9b2J\\xc2\\x85." },
		{ "\xe2\x80\xa8\xe2\x80\xa9.", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9." },
		{ "\xff\x9b" "2J", "\\xff\\x9b2J" },
		{ "cut \xe2\x82", "cut \\xe2\\x82" },
	};
	struct sink s = { .log = { LOG_LEVEL_INFO, take } };
	struct log_ctx ctx = { .log = &s.log };

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		log_info(&ctx, "%s", pairs[i][0]);
		ck_assert_str_eq(s.line, pairs[i][1]);
	}
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, what_peers_choose_stays_one_line_of_text);
}

UNIT_SUITE(log);
