/* SPDX-License-Identifier: MIT */
/* How a file of unit tests registers itself with the one runner. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>

/* Called by UNIT_SUITE before main(). */
void unit_register(const char *name, void (*add_tests)(TCase *tc));

/* Put at the end of a test file that defines static void add_tests(TCase *tc). */
#define UNIT_SUITE(NAME) \
	__attribute__((constructor)) static void register_##NAME(void) \
	{ \
		unit_register(#NAME, add_tests); \
	} \
	struct unit_suite_needs_semicolon

#endif
