/* SPDX-License-Identifier: MIT */
/* Reads that wait for the writes before them. */
#include "store/order.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/request.h"

/* An owner with writes that are not in the database yet. */
struct pending {
	uint64_t last;          /* serial of the newest of them */
	struct list held;       /* reads that wait for one of them, in order */
	struct list logged;     /* among those of whom the log may have some; else by itself */
	char owner[];
};

void order_init(struct order *o)
{
	*o = (struct order){ 0 };
	list_init(&o->logged);
	list_init(&o->held);
}

/* Forgets the owner once all is in the database. */
static void drop(struct order *o, struct pending *p)
{
	if (p->last > o->committed || !list_empty(&p->logged))
		return;
	map_remove(&o->owners, p->owner, strlen(p->owner));
	free(p);
}

void order_end_move(struct order *o)
{
	for (struct list *l; (l = list_shift(&o->logged)) != NULL;)
		drop(o, LIST_ENTRY(l, struct pending, logged));
}

void order_deinit(struct order *o)
{
	order_end_move(o);
	map_deinit(&o->owners);
}

static struct pending *find(const struct order *o, const struct request *r)
{
	return r->owner != NULL ? map_find(&o->owners, r->owner, strlen(r->owner)) : NULL;
}

void order_note_write(struct order *o, struct request *r)
{
	struct pending *p = find(o, r);
	size_t len;

	r->serial = ++o->last_serial;
	if (p == NULL && r->owner != NULL) {
		len = strlen(r->owner);
		p = mem_new(sizeof(*p) + len + 1);
		memcpy(p->owner, r->owner, len + 1);
		list_init(&p->held);
		list_init(&p->logged);
		map_put(&o->owners, p->owner, len, p);
	}
	if (p != NULL)
		p->last = r->serial;
}

bool order_is_behind(const struct order *o, const struct request *r)
{
	if (r->owner != NULL)
		return find(o, r) != NULL;
	return o->last_serial > o->committed || !list_empty(&o->logged);
}

bool order_hold_read(struct order *o, struct request *r)
{
	struct pending *p = find(o, r);
	uint64_t last = r->owner == NULL ? o->last_serial : p != NULL ? p->last : 0;

	if (last <= o->committed)
		return false;
	r->serial = last;
	list_append(p != NULL ? &p->held : &o->held, &r->link);
	return true;
}

static void release(const struct order *o, struct list *held, struct list *ready)
{
	LIST_EACH(l, next, held) {
		if (LIST_ENTRY(l, struct request, link)->serial > o->committed)
			break;
		list_remove(l);
		list_append(ready, l);
	}
}

static void note_logged(struct order *o, const struct list *group)
{
	LIST_EACH(l, next, group) {
		const struct request *r = LIST_ENTRY(l, struct request, link);
		struct pending *p = r->is_logged || r->op == OP_SETTLE ? find(o, r) : NULL;

		if (p == NULL || r->status != 0)
			continue;
		if (r->op == OP_SETTLE)
			list_remove(&p->logged);
		else if (list_empty(&p->logged))
			list_append(&o->logged, &p->logged);
	}
}

void order_end_group(struct order *o, const struct list *group, uint64_t last, struct list *ready)
{
	o->committed = last;
	/* Of all first: another write of the owner may stand before. */
	note_logged(o, group);
	LIST_EACH(l, next, group) {
		struct pending *p = find(o, LIST_ENTRY(l, struct request, link));

		if (p == NULL)
			continue;
		release(o, &p->held, ready);
		drop(o, p);
	}
	release(o, &o->held, ready);
}
