/* SPDX-License-Identifier: MIT */
/* A message that several sessions of one account got. */
#include "router/copies.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/session_sm.h"
#include "xml/elem.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

struct copies *copies_new(struct comity_account *a)
{
	struct copies *c = mem_new(sizeof(*c));

	c->refs = 1;
	c->account = a;
	list_init(&c->items);
	return c;
}

struct copies *copies_ref(struct copies *c)
{
	if (c != NULL)
		c->refs++;
	return c;
}

static void drop_original(struct copies *c)
{
	struct sm_item *original = c->original;

	c->original = NULL;
	if (original != NULL)
		sm_item_free(original, c->account->router);
}

void copies_unref(struct copies *c)
{
	if (c == NULL || --c->refs != 0)
		return;
	drop_original(c);
	free(c);
}

void copies_join(struct copies *c, struct sm_item *item)
{
	item->copies = copies_ref(c);
	list_append(&c->items, &item->copy);
}

void copies_settle(struct copies *c)
{
	if (c->is_settled)
		return;
	c->is_settled = true;
	LIST_EACH(l, next, &c->items)
		journal_settled(LIST_ENTRY(l, struct sm_item, copy));
	copies_ref(c);
	drop_original(c);
	copies_unref(c);
}

bool copies_is_carbon(const struct comity_stanza *st, const struct comity_jid *from)
{
	return st->kind == COMITY_MESSAGE && from != NULL && comity_jid_is_bare(from) &&
	       comity_elem_find(st->doc->root, NS_CARBONS, NULL) != NULL;
}

static bool is_carbon(const struct sm_item *item)
{
	return item->st != NULL && copies_is_carbon(item->st, item->from);
}

static struct sm_item *choose(struct copies *c, struct sm_item *item)
{
	struct sm_item *original;

	if (c->is_settled)
		return NULL;
	if (c->original == NULL && !is_carbon(item))
		c->original = item;
	if (!list_empty(&c->items))
		return NULL;
	original = c->original;
	c->original = NULL;
	return original;
}

struct sm_item *copies_leave(struct sm_item *item)
{
	struct router *r = item->sm->session->account->router;
	struct copies *c = item->copies;
	struct sm_item *chosen;

	if (c == NULL && !is_carbon(item))
		return item;
	if (c == NULL) {
		sm_item_free(item, r);
		return NULL;
	}
	item->copies = NULL;
	list_remove(&item->copy);
	chosen = choose(c, item);
	if (chosen != item && c->original != item)
		sm_item_free(item, r);
	copies_unref(c);
	return chosen;
}

/* ---- after a restart ---- */

/* The group that a cause stands for; its key is the cause itself. */
struct group {
	struct cause cause;
	struct copies *copies;
};

static void gather(struct map *groups, struct comity_account *a, struct sm_item *item)
{
	struct group *g = map_find(groups, (const char *)&item->cause, CAUSE_IDENTITY);

	if (g == NULL) {
		g = mem_new(sizeof(*g));
		g->cause = item->cause;
		g->copies = copies_new(a);
		map_put(groups, (const char *)&g->cause, CAUSE_IDENTITY, g);
	}
	copies_join(g->copies, item);
	if (item->was_settled)
		g->copies->is_settled = true;
}

void copies_restore(struct comity_account *a)
{
	struct map groups = { 0 };
	struct group *g;
	size_t pos = 0;

	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s)) {
		if (s->sm == NULL)
			continue;
		LIST_EACH(l, next, &s->sm->unacked) {
			struct sm_item *item = LIST_ENTRY(l, struct sm_item, link);

			if (item->cause.key != 0 && item->copies == NULL)
				gather(&groups, a, item);
		}
	}
	while ((g = map_next(&groups, &pos)) != NULL) {
		copies_unref(g->copies);
		free(g);
	}
	map_deinit(&groups);
}
