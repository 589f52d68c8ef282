/* SPDX-License-Identifier: MIT */
/* Doubly linked list whose links are embedded in the elements. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Both the head of a list and a link in it; a head that is empty points to itself. */
struct list {
	struct list *prev, *next;
};

/* The element of type T whose member M is the link L. */
#define LIST_ENTRY(L, T, M) ((T *)(void *)((char *)(L) - offsetof(T, M)))

/* Runs over links; the current one may be removed in the body. */
#define LIST_EACH(L, N, HEAD) \
	for (struct list *L = (HEAD)->next, *N = L->next; L != (HEAD); L = N, N = L->next)

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_append(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

static inline void list_prepend(struct list *head, struct list *link)
{
	list_append(head->next, link);
}

/* Takes a link out; it may be removed again without harm. */
static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* Takes the first link out; NULL when the list is empty. */
static inline struct list *list_shift(struct list *head)
{
	struct list *first = head->next;

	if (first == head)
		return NULL;
	list_remove(first);
	return first;
}

/* Moves all of from to the end of to. */
static inline void list_splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#endif
