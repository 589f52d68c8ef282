/* SPDX-License-Identifier: MIT */
/* comity.conf(5) and comity-module(3) say what the option tables and the sources say. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "comityd/options.h"
#include "unit.h"

/* Caller frees. */
static char *read_text(const char *folder, const char *name)
{
	char *path = mem_printf("%s/%s", folder, name), *text = mem_new(1 << 20);
	FILE *f = fopen(path, "re");

	ck_assert_msg(f != NULL, "cannot open %s", path);
	ck_assert_uint_gt(fread(text, 1, (1 << 20) - 1, f), 0);
	fclose(f);
	free(path);
	return text;
}

/* "A size from 64KiB to 1GiB": the type without its examples, which the manual gives once for all. */
static void describe(const struct comity_option *o, char *out, size_t room)
{
	char *examples, *bounds;

	conf_describe_type(o, out, room);
	examples = strstr(out, " such as");
	bounds = strstr(out, ", from ");
	if (examples != NULL && bounds != NULL)
		memmove(examples, bounds + 1, strlen(bounds + 1) + 1);
	else if (examples != NULL)
		*examples = '\0';
	out[0] = (char)toupper((unsigned char)out[0]);
}

static void check_option(const char *manual, const struct comity_option *o)
{
	char type[512], *wanted;

	describe(o, type, sizeof(type));
	wanted = mem_printf(".It Ic %s\n%s\n%s; %s%s.\n", o->name, o->help, type, o->def != NULL ? "default " : "no default",
	                    o->def != NULL ? o->def : "");
	ck_assert_msg(strstr(manual, wanted) != NULL, "man/comity.conf.5 should say:\n%s", wanted);
	free(wanted);
}

static size_t count_lines(const char *text, const char *start)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, start)) != NULL; at++)
		n++;
	return n;
}

START_TEST(every_option_is_in_the_manual)
{
	char *manual = read_text(TEST_MAN, "comity.conf.5");
	size_t rows = 0;

	for (const struct comity_option *o = server_section.options; o->name != NULL; o++, rows++)
		check_option(manual, o);
	for (const struct conf_section *const *s = server_section.children; *s != NULL; s++)
		for (const struct comity_option *o = (*s)->options; o->name != NULL; o++, rows++)
			check_option(manual, o);
	/* And nothing that is no option any more. */
	ck_assert_uint_eq(count_lines(manual, ".It Ic "), rows);
	free(manual);
}
END_TEST

START_TEST(default_modules_are_in_the_manual)
{
	char *manual = read_text(TEST_MAN, "comity-modules.5");
	size_t rows = 0;

	for (const char *const *name = default_modules; *name != NULL; name++, rows++) {
		char *wanted = mem_printf(".It Ic %s\n", *name);

		ck_assert_msg(strstr(manual, wanted) != NULL, "man/comity-modules.5 has no line %s", wanted);
		free(wanted);
	}
	ck_assert_uint_eq(count_lines(manual, ".It Ic "), rows);
	free(manual);
}
END_TEST

START_TEST(example_is_the_module)
{
	char *manual = read_text(TEST_MAN, "comity-module.3"), *module = read_text(TEST_MODULES, "mod_ping.c");

	ck_assert_msg(strchr(module, '\\') == NULL, "this test does not know how roff quotes");
	ck_assert_msg(strstr(manual, module) != NULL, "man/comity-module.3 does not show modules/mod_ping.c as it is");
	free(manual);
	free(module);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, every_option_is_in_the_manual);
	tcase_add_test(tc, default_modules_are_in_the_manual);
	tcase_add_test(tc, example_is_the_module);
}

UNIT_SUITE(manual);
