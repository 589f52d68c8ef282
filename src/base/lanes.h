/* SPDX-License-Identifier: MIT */
/* A queue with two lanes: what is urgent overtakes the others, which still get their turn. */
#ifndef BASE_LANES_H
#define BASE_LANES_H

#include "base/list.h"

/* So many urgent ones go before one of the others. */
#define LANES_OVERTAKE_MAX 16

struct lanes {
	struct list urgent, others;  /* oldest first */
	unsigned overtaken;          /* how often the first of others was */
};

static inline void lanes_init(struct lanes *l)
{
	list_init(&l->urgent);
	list_init(&l->others);
	l->overtaken = 0;
}

static inline bool lanes_empty(const struct lanes *l)
{
	return list_empty(&l->urgent) && list_empty(&l->others);
}

static inline void lanes_append(struct lanes *l, struct list *link, bool is_urgent)
{
	list_append(is_urgent ? &l->urgent : &l->others, link);
}

static inline bool lanes_next_is_urgent(const struct lanes *l)
{
	return !list_empty(&l->urgent) && (list_empty(&l->others) || l->overtaken < LANES_OVERTAKE_MAX);
}

/* Whose turn it is; it stays where it is. NULL when nothing waits. */
static inline struct list *lanes_first(const struct lanes *l)
{
	if (lanes_empty(l))
		return NULL;
	return lanes_next_is_urgent(l) ? l->urgent.next : l->others.next;
}

/* Takes that one out. */
static inline struct list *lanes_shift(struct lanes *l)
{
	struct list *first = lanes_first(l);

	if (first == NULL)
		return NULL;
	l->overtaken = lanes_next_is_urgent(l) && !list_empty(&l->others) ? l->overtaken + 1 : 0;
	list_remove(first);
	return first;
}

#endif
