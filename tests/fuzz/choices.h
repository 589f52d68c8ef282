/* SPDX-License-Identifier: MIT */
/* The bytes of a fuzzer, taken as choices; zeros follow them. */
#ifndef TESTS_FUZZ_CHOICES_H
#define TESTS_FUZZ_CHOICES_H

#include <stdbool.h>
#include <stdint.h>

struct choices {
	const uint8_t *at, *end;
};

/* Below a bound from 1 to 65536; one byte up to 256, two above. */
uint32_t choose(struct choices *c, uint32_t below);
bool choices_left(const struct choices *c);

#endif
