/* SPDX-License-Identifier: MIT */
/* Runs every unit test; arguments name the suites to run alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define SUITES_MAX 64

static struct {
	const char *name;
	void (*add_tests)(TCase *tc);
} suites[SUITES_MAX];
static int suite_count;

void unit_register(const char *name, void (*add_tests)(TCase *tc))
{
	if (suite_count == SUITES_MAX) {
		fputs("too many suites: raise SUITES_MAX\n", stderr);
		exit(2);
	}
	suites[suite_count].name = name;
	suites[suite_count++].add_tests = add_tests;
}

static int is_wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return 1;
	return argc == 1;
}

int main(int argc, char **argv)
{
	SRunner *runner = srunner_create(NULL);
	int failed, run;

	for (int i = 0; i < suite_count; i++) {
		Suite *suite;
		TCase *tc;

		if (!is_wanted(suites[i].name, argc, argv))
			continue;
		suite = suite_create(suites[i].name);
		tc = tcase_create(suites[i].name);
		tcase_set_timeout(tc, 120);
		suites[i].add_tests(tc);
		suite_add_tcase(suite, tc);
		srunner_add_suite(runner, suite);
	}
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	run = srunner_ntests_run(runner);
	srunner_free(runner);
	printf("unit: %d passed, %d failed\n", run - failed, failed);
	return failed == 0 && run > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
