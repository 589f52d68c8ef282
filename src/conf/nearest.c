/* SPDX-License-Identifier: MIT */
/* The name that was probably meant. */
#include <string.h>

#include "conf/conf.h"

static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[64], before, here;

	if (la > 60 || lb > 60)
		return 99;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		before = row[0];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			here = row[j];
			row[j] = before + (a[i - 1] != b[j - 1]);
			if (row[j] > here + 1)
				row[j] = here + 1;
			if (row[j] > row[j - 1] + 1)
				row[j] = row[j - 1] + 1;
			before = here;
		}
	}
	return row[lb];
}

const char *conf_nearest(const char *wrong, const char *const *names)
{
	const char *best = NULL;
	size_t least = strlen(wrong) / 3 + 2;

	for (; names != NULL && *names != NULL; names++) {
		size_t d = distance(wrong, *names);

		if (d < least) {
			least = d;
			best = *names;
		}
	}
	return best;
}
