/* SPDX-License-Identifier: MIT */
/* Makes a host a directory of routes: members register where they are, and ask where others are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "directory.h"

/* Members are counted this often at most: all of them are read for it. */
#define COUNT_MS 1000

/* ---- what is stored ---- */

/* One element: the route, and until when in seconds since 1970. */
static char *make_row(const struct comity_mod *m, const struct comity_route *route, size_t *len)
{
	struct comity_stanza *st = comity_stanza_new(COMITY_MESSAGE, COMITY_TYPE_NORMAL);
	struct comity_elem *e = comity_elem_add(comity_stanza_edit(st), COMITY_NS_DIRECTORY, "route");
	char until[24], *xml;

	snprintf(until, sizeof(until), "%lld", (long long)(comity_wall_us(m) / 1000000) + (long long)route->expires_s);
	comity_route_write(e, route);
	comity_elem_set(e, "until", until);
	xml = comity_elem_to_xml(e, len);
	comity_stanza_unref(st);
	return xml;
}

bool directory_read_row(const struct comity_mod *m, const struct store_row *row, struct comity_route *route)
{
	struct comity_stanza *st = comity_stanza_parse_inside(row->value, row->len);
	const struct comity_elem *e = st != NULL ? comity_elem_first(comity_stanza_root(st)) : NULL;
	const char *until = e != NULL ? comity_elem_attr(e, "until") : NULL;
	long long left = until != NULL ? strtoll(until, NULL, 10) - comity_wall_us(m) / 1000000 : 0;
	bool ok = left > 0 && comity_route_read(e, route) == NULL;

	if (ok)
		route->expires_s = (uint64_t)left;
	comity_stanza_unref(st);
	return ok;
}

const char *directory_asker(const struct comity_rq *rq)
{
	struct comity_jid *from = comity_rq_from(rq);

	return comity_jid_has_local(from) || !comity_jid_is_bare(from) ? NULL : comity_jid_domain(from);
}

/* ---- registering ---- */

/* Lives until it is written. */
struct registering {
	struct comity_rq *rq;
	struct comity_route route;
};

static void end_registering(struct registering *g)
{
	comity_rq_release(g->rq);
	free(g);
}

static void refuse(struct comity_mod *m, struct registering *g, enum comity_cond cond, const char *text)
{
	comity_log(m, COMITY_WARNING, "register domain=%s refused: %s", directory_asker(g->rq), text);
	comity_reply_error(g->rq, cond, text);
	end_registering(g);
}

static void on_registered(struct comity_mod *m, void *arg, int status)
{
	struct registering *g = arg;
	struct comity_stanza *st;
	struct comity_elem *e;
	char expires[24];

	if (status != 0) {
		refuse(m, g, status == COMITY_STORE_NO_SPACE ? COMITY_RESOURCE_CONSTRAINT : COMITY_INTERNAL_SERVER_ERROR,
		       "the directory cannot store the registration");
		return;
	}
	comity_log(m, COMITY_INFO, "registered domain=%s host=%s port=%u for %llu s", directory_asker(g->rq), g->route.host,
	           g->route.port, (unsigned long long)g->route.expires_s);
	snprintf(expires, sizeof(expires), "%llu", (unsigned long long)g->route.expires_s);
	st = comity_reply_new(g->rq);
	e = comity_elem_add(comity_stanza_edit(st), COMITY_NS_DIRECTORY, "registered");
	comity_elem_set(e, "domain", directory_asker(g->rq));
	comity_elem_set(e, "expires", expires);
	comity_reply_with(g->rq, &st);
	end_registering(g);
}

static void write_registration(struct comity_mod *m, struct registering *g)
{
	struct store_row row = { .store = DIRECTORY_STORE, .key = directory_asker(g->rq) };
	char *xml = make_row(m, &g->route, &row.len);

	row.value = xml;
	comity_map_put(m, comity_host_jid(m), &row, 1, on_registered, g);
	free(xml);
}

static void let_in(struct comity_mod *m, struct registering *g)
{
	const struct directory_conf *conf = comity_conf(m);
	struct directory *d = comity_host_data(m);

	if (d->members >= conf->max_entries) {
		refuse(m, g, COMITY_RESOURCE_CONSTRAINT, "the directory is full");
		return;
	}
	d->members++;
	write_registration(m, g);
}

/* A new member: is there room, when what has expired goes? */
static void on_all(struct comity_mod *m, void *arg, const struct store_result *result)
{
	struct directory *d = comity_host_data(m);
	struct registering *g = arg;
	struct comity_route route;

	if (result->status != 0) {
		refuse(m, g, COMITY_INTERNAL_SERVER_ERROR, "the directory cannot be read");
		return;
	}
	d->members = 0;
	d->counted_at = comity_now(m);
	for (size_t i = 0; i < result->count; i++) {
		const struct store_row gone = { .store = DIRECTORY_STORE, .key = result->rows[i].key };

		if (directory_read_row(m, &result->rows[i], &route))
			d->members++;
		else
			comity_map_put(m, comity_host_jid(m), &gone, 1, NULL, NULL);
	}
	let_in(m, g);
}

static void on_known(struct comity_mod *m, void *arg, const struct store_result *result)
{
	const struct directory *d = comity_host_data(m);

	if (result->status == 0 && result->count != 0)
		write_registration(m, arg);
	else if (d->counted_at != 0 && comity_now(m) - d->counted_at < COUNT_MS)
		let_in(m, arg);
	else
		comity_map_load(m, comity_host_jid(m), DIRECTORY_STORE, on_all, arg);
}

/* The sender, when it is a server that speaks of itself; else refuses. */
static const char *check_member(struct comity_mod *m, struct comity_rq *rq)
{
	const char *asker = directory_asker(rq), *domain = comity_elem_attr(comity_rq_payload(rq), "domain");
	struct comity_jid *named = domain != NULL ? comity_jid_parse(domain) : NULL;
	bool is_own = asker != NULL && (domain == NULL || (named != NULL && comity_jid_equal(named, comity_rq_from(rq))));

	comity_jid_unref(named);
	if (asker == NULL)
		comity_reply_error(rq, COMITY_FORBIDDEN, "only servers can register");
	else if (!is_own)
		comity_reply_error(rq, COMITY_FORBIDDEN, "a server can register its own domain only");
	else if (!directory_may_register(comity_conf(m), asker))
		comity_reply_error(rq, COMITY_FORBIDDEN, "this directory does not take registrations of your domain");
	else
		return asker;
	comity_log(m, COMITY_WARNING, "register from=%s domain=%s refused", comity_jid_text(comity_rq_from(rq)),
	           domain != NULL ? domain : "");
	return NULL;
}

static int on_register(struct comity_mod *m, struct comity_rq *rq)
{
	const struct directory_conf *conf = comity_conf(m);
	const char *asker = check_member(m, rq), *problem;
	struct comity_route route;
	struct registering *g;

	if (asker == NULL)
		return COMITY_DONE;
	problem = comity_route_read(comity_rq_payload(rq), &route);
	if (problem != NULL)
		return comity_reply_error(rq, COMITY_BAD_REQUEST, problem);
	if (route.expires_s == 0 || route.expires_s > conf->max_expiry / 1000)
		route.expires_s = conf->max_expiry / 1000;
	if (route.expires_s < conf->min_expiry / 1000)
		route.expires_s = conf->min_expiry / 1000;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return -COMITY_RESOURCE_CONSTRAINT;
	g->rq = comity_rq_hold(rq);
	g->route = route;
	comity_map_get(m, comity_host_jid(m), DIRECTORY_STORE, asker, on_known, g);
	return COMITY_LATER;
}

static void on_removed(struct comity_mod *m, void *arg, int status)
{
	struct comity_rq *rq = arg;

	if (status != 0 && status != COMITY_STORE_NOT_FOUND) {
		comity_reply_error(rq, COMITY_INTERNAL_SERVER_ERROR, "the directory cannot store that");
	} else {
		comity_log(m, COMITY_INFO, "unregistered domain=%s", directory_asker(rq));
		comity_reply(rq);
	}
	comity_rq_release(rq);
}

static int on_unregister(struct comity_mod *m, struct comity_rq *rq)
{
	struct store_row row = { .store = DIRECTORY_STORE, .key = check_member(m, rq) };

	if (row.key == NULL)
		return COMITY_DONE;
	comity_map_put(m, comity_host_jid(m), &row, 1, on_removed, comity_rq_hold(rq));
	return COMITY_LATER;
}

/* ---- the module ---- */

static bool check_lists(const void *conf, char *why, size_t size)
{
	const char *rule = directory_bad_rule(conf), *fixed = directory_bad_fixed(conf);

	if (rule != NULL)
		snprintf(why, size, "restricted: \"%s\" must be a domain, or a domain, a space and who may find it", rule);
	else if (fixed != NULL)
		snprintf(why, size, "fixed: \"%s\" must be: DOMAIN HOST PORT, then direct-tls and fingerprints", fixed);
	return rule == NULL && fixed == NULL;
}

static const struct comity_iq iqs[] = {
	{ COMITY_GET, COMITY_TO_HOST, COMITY_NS_DIRECTORY, "lookup", COMITY_NS_DIRECTORY, directory_on_lookup },
	{ COMITY_SET, COMITY_TO_HOST, COMITY_NS_DIRECTORY, "register", COMITY_NS_DIRECTORY, on_register },
	{ COMITY_SET, COMITY_TO_HOST, COMITY_NS_DIRECTORY, "unregister", COMITY_NS_DIRECTORY, on_unregister },
	{ 0 },
};

#define C struct directory_conf

static const struct comity_option options[] = {
	COMITY_OPT_LIST(C, register_allow, NULL, "Domains, or *.domain, that may register; none when empty."),
	COMITY_OPT_LIST(C, register_deny, NULL, "Domains, or *.domain, that may not register."),
	COMITY_OPT_LIST(C, ask_allow, NULL, "Domains, or *.domain, that may ask; those that may register when empty."),
	COMITY_OPT_LIST(C, ask_deny, NULL, "Domains, or *.domain, that may not ask."),
	COMITY_OPT_LIST(C, restricted, NULL, "Domains that not everybody may find: a domain, a space and who may."),
	COMITY_OPT_LIST(C, fixed, NULL, "Servers that do not register themselves: domain, host and port, with spaces between."),
	COMITY_OPT_LIST(C, peers, NULL, "Directories that are asked about domains that are not known here."),
	COMITY_OPT_INT(C, max_entries, "10000", 1, 10000000, "Domains that may be registered."),
	COMITY_OPT_TIME(C, min_expiry, "30s", 1000, 86400000, "Shortest life of a registration."),
	COMITY_OPT_TIME(C, max_expiry, "1d", 1000, 2592000000, "Longest life of a registration."),
	COMITY_OPT_INT(C, hops, "4", 0, 16, "Directories that a question may pass after this one."),
	COMITY_OPT_TIME(C, lookup_timeout, "600ms", 10, 10000, "Time for the answers of peers."),
	{ 0 },
};

COMITY_MODULE(
	.name = "directory",
	.summary = "Tells servers where others are",
	.iqs = iqs,
	.options = options,
	.conf_size = sizeof(struct directory_conf),
	.host_size = sizeof(struct directory),
	.check = check_lists,
);
