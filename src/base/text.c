/* SPDX-License-Identifier: MIT */
/* Cleaning of text. */
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistr.h>

/* The last two are characters that XML 1.0 has not. */
static bool is_unfit(ucs4_t c)
{
	return (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7f && c < 0xa0) || c == 0xfffe || c == 0xffff;
}

void text_clean(char *text)
{
	size_t left = strlen(text);
	ucs4_t c;

	for (int n; left != 0; text += n, left -= (size_t)n) {
		n = u8_mbtoucr(&c, (const uint8_t *)text, left);
		if (n == -2) {
			*text = '\0';
			return;
		}
		if (n > 0 && !is_unfit(c))
			continue;
		n = n > 0 ? n : 1;
		memset(text, '?', (size_t)n);
	}
}
