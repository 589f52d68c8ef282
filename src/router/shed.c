/* SPDX-License-Identifier: MIT */
/* What is given up while memory is short: the cheap and recoverable first (DESIGN, section 6). */
#include <stdatomic.h>

#include "router/account.h"
#include "router/host.h"
#include "router/rq.h"

bool shed_login(struct router *r)
{
	if (r->pressure < PRESSURE_LOGINS)
		return false;
	metrics_add(&r->worker->metrics, METRIC_SHED_LOGINS, 1);
	return true;
}

static bool is_for_server(const struct comity_rq *rq, bool is_remote)
{
	if (!comity_jid_has_local(rq->to))
		return router_find_host(rq->router, comity_jid_domain(rq->to)) != NULL;
	return !is_remote && comity_jid_equal(rq->to, comity_jid_bare(rq->from));
}

/* It would take memory for others: answers and ends give some back, and requests for the server are how a client
 * tidies up. */
static bool is_new(const struct comity_rq *rq, bool is_remote)
{
	enum comity_type type = rq->st->type;

	switch (rq->st->kind) {
	case COMITY_MESSAGE:
		return type != COMITY_TYPE_ERROR;
	case COMITY_PRESENCE:
		return rq->to != NULL && (type == COMITY_TYPE_AVAILABLE || type == COMITY_TYPE_SUBSCRIBE);
	default:
		return (type == COMITY_TYPE_GET || type == COMITY_TYPE_SET) && !is_for_server(rq, is_remote);
	}
}

/* The link asks for it afterwards (link_refresh_presence). */
static bool is_recoverable(const struct comity_rq *rq, bool is_remote)
{
	return is_remote && rq->st->kind == COMITY_PRESENCE &&
	       (rq->st->type == COMITY_TYPE_AVAILABLE || rq->st->type == COMITY_TYPE_PROBE);
}

bool shed_stanza(struct comity_rq *rq, bool is_remote)
{
	struct router *r = rq->router;

	if (r->pressure < PRESSURE_PRESENCE)
		return false;
	if (is_recoverable(rq, is_remote)) {
		metrics_add(&r->worker->metrics, METRIC_SHED_PRESENCE, 1);
	} else if (r->pressure >= PRESSURE_MESSAGES && is_new(rq, is_remote)) {
		metrics_add(&r->worker->metrics, METRIC_SHED_STANZAS, 1);
		rq_refuse(rq, COMITY_RESOURCE_CONSTRAINT, PRESSURE_TEXT);
	} else {
		return false;
	}
	comity_rq_release(rq);
	return true;
}

bool comity_is_short(const struct comity_mod *m)
{
	struct router *r = m->host->router;

	if (r->pressure < PRESSURE_PRESENCE)
		return false;
	metrics_add(&r->worker->metrics, METRIC_SHED_PRESENCE, 1);
	return true;
}

static void make_good(struct router *r)
{
	size_t pos = 0;

	for (size_t i = 0; i < r->host_count; i++) {
		const struct host *h = r->host_list[i];

		for (size_t m = 0; m < h->mod_count; m++)
			if (h->mods[m]->is_enabled && h->mods[m]->def->relieved != NULL)
				h->mods[m]->def->relieved(h->mods[m]);
	}
	for (struct fed_link *l; (l = map_next(&r->fed->links, &pos)) != NULL;)
		link_refresh_presence(l);
}

void router_on_pressure(struct router *r)
{
	enum pressure_level before = r->pressure;

	r->pressure = (enum pressure_level)atomic_load(&r->server->pressure.level);
	/* What can be read again costs nothing to forget. */
	if (before == PRESSURE_NONE && r->pressure > PRESSURE_NONE)
		accounts_evict(r, true);
	if (before >= PRESSURE_PRESENCE && r->pressure < PRESSURE_PRESENCE)
		make_good(r);
}
