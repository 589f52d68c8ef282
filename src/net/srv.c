/* SPDX-License-Identifier: MIT */
/* The order of servers. */
#include "net/srv.h"

#include <stdlib.h>
#include <string.h>

/* Where another target goes: behind the others or, when there is no room, in place of one that is worse. */
static struct srv_target *find_place(struct srv_target *targets, size_t *count, size_t room, uint16_t priority)
{
	struct srv_target *worst = targets;

	if (*count < room)
		return &targets[(*count)++];
	for (size_t i = 1; i < *count; i++)
		if (targets[i].priority > worst->priority)
			worst = &targets[i];
	return room != 0 && worst->priority > priority ? worst : NULL;
}

size_t srv_add(struct srv_target *targets, size_t count, size_t room, const struct dns_answer *answer,
               bool is_direct_tls, bool *is_refused)
{
	for (size_t i = 0; i < answer->count; i++) {
		const struct dns_record *r = &answer->records[i];
		struct srv_target *t;

		if (r->target[0] == '\0' || strcmp(r->target, ".") == 0) {
			*is_refused = true;
			continue;
		}
		t = r->port != 0 ? find_place(targets, &count, room, r->priority) : NULL;
		if (t == NULL)
			continue;
		memcpy(t->host, r->target, sizeof(t->host));
		t->port = r->port;
		t->priority = r->priority;
		t->weight = r->weight;
		t->is_direct_tls = is_direct_tls;
		t->is_authentic = answer->is_authentic;
	}
	return count;
}

/* Those without weight stand first, so that they have their small chance. */
static int compare(const void *a, const void *b)
{
	const struct srv_target *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return (x->weight > 0) - (y->weight > 0);
}

static void swap(struct srv_target *a, struct srv_target *b)
{
	struct srv_target t = *a;

	*a = *b;
	*b = t;
}

/* RFC 2782: the one whose running sum reaches a random number comes next. */
static size_t choose(const struct srv_target *targets, size_t count, struct comity_env *env)
{
	uint32_t sum = 0, at = 0, random;

	for (size_t i = 0; i < count; i++)
		sum += targets[i].weight;
	env->random(env, &random, sizeof(random));
	random %= sum + 1;
	for (size_t i = 0; i < count; i++) {
		at += targets[i].weight;
		if (at >= random)
			return i;
	}
	return 0;
}

void srv_order(struct srv_target *targets, size_t count, struct comity_env *env)
{
	size_t end;

	qsort(targets, count, sizeof(*targets), compare);
	for (size_t i = 0; i < count; i++) {
		for (end = i; end < count && targets[end].priority == targets[i].priority; end++)
			;
		swap(&targets[i], &targets[i + choose(targets + i, end - i, env)]);
	}
}
