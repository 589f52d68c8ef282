/* SPDX-License-Identifier: MIT */
/* Writes that wait for the thread that writes, in order. */
#include "store/writes.h"

#include "store/request.h"

void writes_init(struct writes *w, unsigned most, unsigned lazy_ms)
{
	*w = (struct writes){ .most = most != 0 ? most : 1, .lazy_ms = lazy_ms };
	list_init(&w->waiting);
}

bool writes_empty(const struct writes *w)
{
	return w->count == 0;
}

bool writes_full(const struct writes *w)
{
	return w->count >= w->most;
}

bool writes_due(const struct writes *w, uint64_t now_ms)
{
	return !writes_empty(w) && (w->is_awaited || writes_full(w) || now_ms >= w->due_ms);
}

bool writes_add(struct writes *w, struct request *r, uint64_t now_ms)
{
	bool is_first = writes_empty(w), was_awaited = w->is_awaited;

	if (is_first)
		w->due_ms = now_ms + w->lazy_ms;
	w->is_awaited |= !r->is_lazy;
	list_append(&w->waiting, &r->link);
	w->count++;
	return is_first || w->is_awaited != was_awaited || w->count == w->most;
}

bool writes_hurry(struct writes *w)
{
	w->is_awaited = !writes_empty(w);
	return w->is_awaited;
}

uint64_t writes_take(struct writes *w, struct list *group)
{
	uint64_t last = 0;

	for (unsigned n = 0; n < w->most && !writes_empty(w); n++) {
		struct list *l = list_shift(&w->waiting);

		last = LIST_ENTRY(l, struct request, link)->serial;
		list_append(group, l);
		w->count--;
	}
	/* What is left has waited for this group, and goes next. */
	w->is_awaited = !writes_empty(w);
	return last;
}
