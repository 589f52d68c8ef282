/* SPDX-License-Identifier: MIT */
/* Choices from bytes. */
#include "choices.h"

static uint8_t next_byte(struct choices *c)
{
	return c->at < c->end ? *c->at++ : 0;
}

uint32_t choose(struct choices *c, uint32_t below)
{
	uint32_t n = next_byte(c);

	if (below > 256)
		n = n << 8 | next_byte(c);
	return n % below;
}

bool choices_left(const struct choices *c)
{
	return c->at < c->end;
}
