/* SPDX-License-Identifier: MIT */
/* Stanzas on their way to many accounts of another worker. */
#include "router/crowd.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "net/worker.h"
#include "router/host.h"
#include "router/rq.h"
#include "xmpp/stanza.h"

/* So many are one letter in the mailbox of a worker. */
#define CROWD_MAX 50

/* What rq_new() would take from the request that it is made for. */
struct crowd {
	struct mail mail;
	struct comity_stanza *st;
	struct comity_jid *from;
	struct safe *safe;
	struct cause cause;
	bool is_repeat;
	size_t count;
	struct comity_jid *to[CROWD_MAX];
};

static struct comity_rq *request_new(struct router *r, const struct comity_stanza *st, struct comity_jid *from,
                                     struct comity_jid *to)
{
	struct comity_stanza *shared = comity_stanza_ref(st);

	return rq_new(r, &shared, from, to);
}

static void arrive(struct worker *w, struct mail *mail)
{
	struct crowd *c = LIST_ENTRY(mail, struct crowd, mail);
	struct router *r = router_of(w);

	for (size_t i = 0; i < c->count; i++) {
		struct comity_rq *rq = request_new(r, c->st, c->from, c->to[i]);

		rq_set_safe(rq, safe_ref(c->safe));
		/* Without one each has its own. */
		if (c->cause.key != 0)
			rq->cause = c->cause;
		rq->is_repeat = c->is_repeat;
		comity_jid_unref(c->to[i]);
		route(rq);
	}
	safe_unref(c->safe, r);
	comity_jid_unref(c->from);
	comity_stanza_unref(c->st);
	pool_give(c, sizeof(*c));
}

static struct crowd *crowd_new(const struct router *r, const struct comity_stanza *st, struct comity_jid *from)
{
	const struct comity_rq *current = r->current;
	struct crowd *c = pool_take_zeroed(sizeof(*c));

	c->mail.run = arrive;
	c->st = comity_stanza_ref(st);
	c->from = comity_jid_ref(from);
	if (current != NULL) {
		c->safe = safe_ref(current->safe);
		c->cause = (struct cause){ current->cause.key, current->cause.hash, 0 };
		c->is_repeat = current->is_repeat;
	}
	return c;
}

/* Where an account of this server is at home; this worker for everything else. */
static struct worker *home_for(const struct router *r, const struct comity_jid *to)
{
	struct worker *home = comity_jid_has_local(to) ? home_of(r->server, to) : r->worker;

	return home == r->worker || router_find_host(r, comity_jid_domain(to)) != NULL ? home : r->worker;
}

static void post(struct router *r, const struct comity_session *source, struct crowd **c, struct worker *to)
{
	if (*c == NULL)
		return;
	route_relieve(r, source, to);
	worker_post(to, &(*c)->mail);
	*c = NULL;
}

static void send_away(struct router *r, const struct comity_session *source, const struct comity_stanza *st,
                      struct comity_jid *from, struct comity_jid *const *to, size_t count)
{
	unsigned workers = r->server->worker_count;
	struct crowd **crowds = mem_array(workers, sizeof(struct crowd *));

	for (size_t i = 0; i < count; i++) {
		struct worker *home = home_for(r, to[i]);
		struct crowd **c = &crowds[home->id];

		if (home == r->worker)
			continue;
		if (*c == NULL)
			*c = crowd_new(r, st, from);
		(*c)->to[(*c)->count++] = comity_jid_ref(to[i]);
		if ((*c)->count == CROWD_MAX)
			post(r, source, c, home);
	}
	for (unsigned n = 0; n < workers; n++)
		post(r, source, &crowds[n], r->server->workers[n]);
	free(crowds);
}

void crowd_send(struct router *r, const struct comity_session *source, const struct comity_stanza *st,
                struct comity_jid *from, struct comity_jid *const *to, size_t count)
{
	/* What has a source of its own finds none on the way of one alone. */
	bool is_alone = r->server->worker_count == 1 || (count == 1 && source == NULL);

	route_charge(r, source, count, count * (stanza_weight(st) + strlen(comity_jid_text(from))));
	if (!is_alone)
		send_away(r, source, st, from, to, count);
	for (size_t i = 0; i < count; i++)
		if (is_alone || home_for(r, to[i]) == r->worker)
			route(request_new(r, st, from, to[i]));
}
