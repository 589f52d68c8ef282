/* SPDX-License-Identifier: MIT */
/* Who holds how much of something that all share, by name, so that nobody holds all of it. */
#ifndef BASE_QUOTA_H
#define BASE_QUOTA_H

#include <stddef.h>

#include "base/map.h"

struct quota_holder;

/* Zeroed nobody holds anything. A name takes memory only while it holds something. */
struct quota {
	struct map holders;
};

size_t quota_held(const struct quota *q, const char *name);
/* One more. The holder is given back with quota_return(), once for each time that it was taken. */
struct quota_holder *quota_take(struct quota *q, const char *name);
/* Sets *h to NULL, which it may be. */
void quota_return(struct quota *q, struct quota_holder **h);
/* The same for so many at once, which are returned at once. */
struct quota_holder *quota_take_many(struct quota *q, const char *name, size_t count);
void quota_return_many(struct quota *q, struct quota_holder **h, size_t count);
/* Whatever was taken has been returned. */
void quota_deinit(struct quota *q);

#endif
