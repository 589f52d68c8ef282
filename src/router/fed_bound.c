/* SPDX-License-Identifier: MIT */
/* How many links a worker remembers, and which of them go when there are too many. */
#include <stdlib.h>
#include <string.h>

#include "router/fed.h"
#include "router/router.h"
#include "router/rq.h"

/* So many links that are in use are looked at in one turn. */
#define LOOK_AT 256
/* Links that are not reached yet cannot go to make room, so that one user may have one in so many, and some. */
#define USER_PART 20
#define USER_LEAST 5
/* No address, as it has a space. */
#define ANSWERS "answers to others"

/* ---- for whom they are reached ---- */

/* Nothing waits and nothing is under way: closing it costs no more than opening it again. */
static bool can_go(const struct fed_link *l)
{
	return l->state != LINK_DIALING && l->state != LINK_NEGOTIATING && list_empty(&l->queue) &&
	       list_empty(&l->returned) && list_empty(&l->checks) && !link_awaits_acks(l);
}

static bool is_being_reached(const struct fed_link *l)
{
	return !link_can_write(l) && !can_go(l);
}

/* What is made for a user, as a probe, is his. What others cause here is not: they could use up what is his, or choose
 * names of nobody to have one share each. */
const char *fed_owner_of(const struct comity_rq *rq)
{
	return rq->is_caused_by_others ? ANSWERS : comity_jid_text(comity_jid_bare(rq->from));
}

static size_t most_of_user(const struct fed_settings *s)
{
	size_t part = s->links / USER_PART;

	if (s->links_per_user != 0)
		return s->links_per_user;
	return part > USER_LEAST ? part : USER_LEAST;
}

bool fed_may_reach(const struct federation *f, const struct fed_link *l, const struct comity_rq *rq)
{
	if (l != NULL && (link_can_write(l) || l->reached_for != NULL))
		return true;
	return quota_held(&f->reached_for, fed_owner_of(rq)) < most_of_user(&f->router->settings->fed);
}

void link_count_for(struct fed_link *l, const struct comity_rq *rq)
{
	if (!link_can_write(l) && l->reached_for == NULL)
		l->reached_for = quota_take(&l->fed->reached_for, fed_owner_of(rq));
}

/* ---- how many there are ---- */

static bool is_busy(const struct fed_link *l)
{
	return l->state == LINK_DIALING || l->state == LINK_NEGOTIATING || l->out != NULL || l->bidi != NULL ||
	       !list_empty(&l->queue) || !list_empty(&l->checks) || link_has_unacked(l) || link_has_presence(l) || l->is_probe;
}

void link_note_use(struct fed_link *l)
{
	struct federation *f = l->fed;

	if (l->reached_for != NULL && !is_being_reached(l))
		quota_return(&f->reached_for, &l->reached_for);
	l->last_used = worker_now(link_worker(l));
	list_remove(&l->use);
	if (!l->is_probe)
		list_append(is_busy(l) ? &f->used : &f->unused, &l->use);
}

static void forget(struct fed_link *l)
{
	struct federation *f = l->fed;
	struct s2s *out = l->out;

	map_remove(&f->links, l->key, strlen(l->key));
	list_remove(&l->use);
	f->link_count--;
	if (out != NULL) {
		out->owner = NULL;
		l->out = NULL;
		s2s_close(out);
	}
	s2s_unref(l->bidi);
	l->bidi = NULL;
	link_leave_presence(l);
	link_free(l);
}

static size_t wanted_count(const struct federation *f)
{
	size_t most = f->router->settings->fed.links;

	return most - most / 8;
}

/* Runs by itself, so that nobody holds a link that goes. */
void fed_trim(struct worker *w, struct timer *t)
{
	struct federation *f = LIST_ENTRY(t, struct federation, trim);
	unsigned looked_at = 0;

	(void)w;
	while (f->link_count > wanted_count(f) && !list_empty(&f->unused))
		forget(LIST_ENTRY(f->unused.next, struct fed_link, use));
	LIST_EACH(i, next, &f->used) {
		struct fed_link *l = LIST_ENTRY(i, struct fed_link, use);

		if (f->link_count <= wanted_count(f) || ++looked_at > LOOK_AT)
			return;
		if (can_go(l))
			forget(l);
	}
}

bool fed_has_room(struct federation *f)
{
	if (f->link_count >= wanted_count(f) && !timer_is_running(&f->trim))
		worker_timer_start(f->router->worker, &f->trim, 0);
	return f->link_count < f->router->settings->fed.links;
}
