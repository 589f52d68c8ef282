/* SPDX-License-Identifier: MIT */
/* Who holds how much of something that all share. */
#include "base/quota.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct quota_holder {
	size_t count, len;
	char name[];
};

static struct quota_holder *find(const struct quota *q, const char *name)
{
	return map_find(&q->holders, name, strlen(name));
}

size_t quota_held(const struct quota *q, const char *name)
{
	const struct quota_holder *h = find(q, name);

	return h != NULL ? h->count : 0;
}

struct quota_holder *quota_take_many(struct quota *q, const char *name, size_t count)
{
	struct quota_holder *h = find(q, name);
	size_t len = strlen(name);

	if (h == NULL) {
		h = mem_new(sizeof(*h) + len + 1);
		h->len = len;
		memcpy(h->name, name, len + 1);
		map_put(&q->holders, h->name, len, h);
	}
	h->count += count;
	return h;
}

struct quota_holder *quota_take(struct quota *q, const char *name)
{
	return quota_take_many(q, name, 1);
}

void quota_return_many(struct quota *q, struct quota_holder **h, size_t count)
{
	struct quota_holder *old = *h;

	*h = NULL;
	if (old == NULL || (old->count -= count) != 0)
		return;
	map_remove(&q->holders, old->name, old->len);
	free(old);
}

void quota_return(struct quota *q, struct quota_holder **h)
{
	quota_return_many(q, h, 1);
}

void quota_deinit(struct quota *q)
{
	map_deinit(&q->holders);
}
