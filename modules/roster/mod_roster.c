/* SPDX-License-Identifier: MIT */
/* Rosters and subscriptions (RFC 6121 2 and 3). */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "roster.h"

/* ---- get ---- */

static int on_get(struct comity_mod *m, struct comity_rq *rq)
{
	const struct roster *r = roster_of(m, comity_rq_account(rq));
	struct roster_session *data = comity_session_data(m, comity_rq_session(rq));
	const char *known = comity_elem_attr(comity_rq_payload(rq), "ver");
	struct comity_stanza *st;
	struct comity_elem *query;
	char version[24];

	if (data != NULL && !data->is_interested) {
		data->is_interested = true;
		comity_session_keep(m, comity_rq_session(rq), "interested", "yes");
	}
	snprintf(version, sizeof(version), "%llu", (unsigned long long)r->version);
	/* RFC 6121 2.6.3: nothing new is an empty result. */
	if (known != NULL && strcmp(known, version) == 0)
		return comity_reply(rq);
	st = comity_reply_new(rq);
	query = comity_elem_add(comity_stanza_edit(st), NS_ROSTER, "query");
	comity_elem_set(query, "ver", version);
	for (size_t i = 0; i < r->count; i++)
		if (r->items[i]->is_listed)
			roster_item_write(query, r->items[i]);
	return comity_reply_with(rq, &st);
}

/* ---- set ---- */

/* A change that waits for its commit; then the client gets its result, or the old item comes back. */
struct pending {
	struct comity_rq *rq;
	struct comity_account *account;
	struct comity_jid *contact;
	struct comity_roster_item *before;   /* NULL: there was none */
	uint64_t version;                    /* of this change */
	bool is_removal;
};

static void undo(struct comity_mod *m, struct pending *p)
{
	struct roster *r = roster_of(m, p->account);
	struct comity_roster_item *item = roster_find(r, p->contact);

	/* Something newer happened to the item: that is written anew and decides. */
	if (item == NULL ? !p->is_removal : item->version != p->version)
		return;
	if (item != NULL)
		roster_drop(r, item);
	item = p->before;
	p->before = NULL;
	if (p->is_removal)
		roster_item_reset(item);
	roster_touch(m, r, item);
	if (item != NULL)
		roster_add(r, item);
	roster_tell_bytes(p->account, r);
	roster_push(m, p->account, p->contact, item != NULL && item->is_listed ? item : NULL);
}

static void on_saved(struct comity_mod *m, void *arg, int status)
{
	struct pending *p = arg;
	struct roster *r = roster_of(m, p->account);

	/* A reload may have taken the module away meanwhile, and brought it back. */
	if (r != NULL && r->saving != 0)
		r->saving--;
	if (r == NULL || comity_account_is_removed(p->account)) {
		comity_reply_error(p->rq, COMITY_SERVICE_UNAVAILABLE, NULL);
	} else if (status != 0) {
		undo(m, p);
		comity_log(m, COMITY_ERROR, "cannot save the roster of %s", comity_jid_text(comity_account_jid(p->account)));
		comity_reply_error(p->rq, status == COMITY_STORE_NO_SPACE ? COMITY_RESOURCE_CONSTRAINT :
		                                                            COMITY_INTERNAL_SERVER_ERROR,
		                   "the roster could not be saved");
	} else {
		const struct comity_roster_item *item = roster_find(r, p->contact);

		comity_reply(p->rq);
		roster_push(m, p->account, p->contact, item != NULL && item->is_listed ? item : NULL);
	}
	roster_item_free(p->before);
	comity_rq_release(p->rq);
	comity_jid_unref(p->contact);
	comity_account_unref(p->account);
	free(p);
}

static int save(struct comity_mod *m, struct comity_rq *rq, struct comity_jid *contact,
                struct comity_roster_item *before)
{
	struct comity_account *a = comity_rq_account(rq);
	struct roster *r = roster_of(m, a);
	struct pending *p = calloc(1, sizeof(*p));

	if (p == NULL)
		abort();
	p->rq = comity_rq_hold(rq);
	p->account = comity_account_ref(a);
	p->contact = comity_jid_ref(contact);
	p->before = before;
	p->is_removal = roster_find(r, contact) == NULL;
	p->version = roster_touch(m, r, roster_find(r, contact));
	r->saving++;
	roster_save(m, a, contact, on_saved, p);
	return COMITY_LATER;
}

static int remove_item(struct comity_mod *m, struct comity_rq *rq, struct comity_jid *contact)
{
	struct roster *r = roster_of(m, comity_rq_account(rq));
	struct comity_roster_item *item = roster_find(r, contact), *before;
	int verdict;

	if (item == NULL || !item->is_listed)
		return -COMITY_ITEM_NOT_FOUND;
	before = roster_item_copy(item);
	roster_drop(r, item);
	verdict = save(m, rq, contact, before);
	/* At once, before a new request for the same contact that may follow. */
	roster_end_subscription(m, comity_rq_account(rq), before);
	return verdict;
}

/* Reads <group/> elements; the groups point into the stanza. RFC 6121 2.3.3 says which errors. */
static int read_groups(const struct roster_conf *conf, const struct comity_elem *e, char **groups, size_t *count)
{
	*count = 0;
	for (const struct comity_elem *g = comity_elem_first(e); g != NULL; g = comity_elem_next(g)) {
		char *name = (char *)(size_t)comity_elem_text(g);

		if (!comity_elem_is(g, NS_ROSTER, "group"))
			continue;
		if (*name == '\0' || strlen(name) > conf->max_name)
			return -COMITY_NOT_ACCEPTABLE;
		for (size_t i = 0; i < *count; i++)
			if (strcmp(groups[i], name) == 0)
				return -COMITY_BAD_REQUEST;
		if ((int64_t)*count >= conf->max_groups)
			return -COMITY_NOT_ACCEPTABLE;
		groups[(*count)++] = name;
	}
	return 0;
}

/* wanted borrows all it has. */
static int set_item(struct comity_mod *m, struct comity_rq *rq, const struct comity_roster_item *wanted)
{
	struct roster *r = roster_of(m, comity_rq_account(rq));
	struct comity_roster_item *item = roster_find(r, wanted->jid), *before;
	const char *limit = roster_find_limit(r, comity_conf(m), item, wanted);

	if (limit != NULL)
		return comity_reply_error(rq, COMITY_RESOURCE_CONSTRAINT, limit);
	before = item != NULL ? roster_item_copy(item) : NULL;
	item = roster_get(r, wanted->jid);
	item->is_listed = true;
	roster_item_set(item, wanted->name, wanted->groups, wanted->group_count);
	return save(m, rq, wanted->jid, before);
}

static int update_item(struct comity_mod *m, struct comity_rq *rq, const struct comity_elem *e,
                       struct comity_jid *contact)
{
	const struct roster_conf *conf = comity_conf(m);
	struct comity_roster_item wanted = { .jid = contact, .name = (char *)(size_t)comity_elem_attr(e, "name") };
	int rc;

	if (wanted.name != NULL && strlen(wanted.name) > conf->max_name)
		return -COMITY_NOT_ACCEPTABLE;
	wanted.groups = calloc((size_t)conf->max_groups + 1, sizeof(char *));
	if (wanted.groups == NULL)
		abort();
	rc = read_groups(conf, e, wanted.groups, &wanted.group_count);
	if (rc == 0)
		rc = set_item(m, rq, &wanted);
	free(wanted.groups);
	return rc;
}

static int on_set(struct comity_mod *m, struct comity_rq *rq)
{
	const struct comity_elem *e = comity_elem_find(comity_rq_payload(rq), NS_ROSTER, "item");
	const char *text = e != NULL ? comity_elem_attr(e, "jid") : NULL, *subscription;
	struct comity_jid *contact;
	int verdict;

	/* RFC 6121 2.3.3: exactly one item. */
	if (text == NULL || comity_elem_next(e) != NULL || comity_elem_first(comity_rq_payload(rq)) != e)
		return -COMITY_BAD_REQUEST;
	contact = comity_jid_parse(text);
	if (contact == NULL)
		return -COMITY_JID_MALFORMED;
	subscription = comity_elem_attr(e, "subscription");
	if (!comity_jid_is_bare(contact))
		verdict = -COMITY_BAD_REQUEST;
	else if (comity_jid_equal(contact, comity_account_jid(comity_rq_account(rq))))
		verdict = -COMITY_NOT_ALLOWED;
	else if (subscription != NULL && strcmp(subscription, "remove") == 0)
		verdict = remove_item(m, rq, contact);
	else
		verdict = update_item(m, rq, e, contact);
	comity_jid_unref(contact);
	return verdict;
}

static int on_iq(struct comity_mod *m, struct comity_rq *rq)
{
	return comity_rq_type(rq) == COMITY_TYPE_GET ? on_get(m, rq) : on_set(m, rq);
}

/* RFC 6121 2.1.5: somebody else's roster. */
static int on_foreign_iq(struct comity_mod *m, struct comity_rq *rq)
{
	(void)m, (void)rq;
	return -COMITY_FORBIDDEN;
}

/* ---- the account ---- */

static void on_account_load(struct comity_mod *m, struct comity_account *a, const struct store_row *rows, size_t count)
{
	roster_load(roster_of(m, a), rows, count);
	roster_tell_bytes(a, roster_of(m, a));
}

static void on_account_unload(struct comity_mod *m, struct comity_account *a)
{
	comity_account_add_bytes(a, -(ptrdiff_t)roster_of(m, a)->told);
	roster_unload(roster_of(m, a));
}

/* Contacts must not keep a subscription to somebody who is gone. */
static void on_account_removed(struct comity_mod *m, struct comity_account *a)
{
	const struct roster *r = roster_of(m, a);

	for (size_t i = 0; i < r->count; i++)
		roster_end_subscription(m, a, r->items[i]);
}

/* ---- for other modules ---- */

static const struct comity_roster_item *api_find(struct comity_mod *roster, struct comity_account *a,
                                                 const struct comity_jid *contact)
{
	return roster_find(roster_of(roster, a), contact);
}

static const struct comity_roster_item *api_next(struct comity_mod *roster, struct comity_account *a, size_t *pos)
{
	const struct roster *r = roster_of(roster, a);

	return *pos < r->count ? r->items[(*pos)++] : NULL;
}

static const struct comity_roster_api api = { .find = api_find, .next = api_next };

static const struct comity_iq iqs[] = {
	{ COMITY_GET | COMITY_SET, COMITY_TO_SELF, NS_ROSTER, "query", NS_ROSTER, on_iq },
	{ COMITY_GET | COMITY_SET, COMITY_TO_BARE, NS_ROSTER, "query", NULL, on_foreign_iq },
	{ 0 },
};

static void on_session_restored(struct comity_mod *m, struct comity_session *s)
{
	struct roster_session *data = comity_session_data(m, s);

	data->is_interested = comity_session_kept(m, s, "interested") != NULL;
}

static const struct comity_hook hooks[] = {
	{ COMITY_OUTGOING, COMITY_DELIVER, COMITY_PRESENCE, roster_on_outgoing },
	{ COMITY_INCOMING, COMITY_DELIVER, COMITY_PRESENCE, roster_on_incoming },
	{ 0 },
};

/* Clients look for it at the domain. */
static const struct comity_feature features[] = { { COMITY_TO_HOST, NS_ROSTER }, { 0 } };

static const struct comity_stream_feature stream_features[] = {
	{ true, "urn:xmpp:features:rosterver", "ver", NULL },
	{ true, "urn:xmpp:features:pre-approval", "sub", NULL },
	{ 0 },
};

static const struct comity_option options[] = {
	COMITY_OPT_INT(struct roster_conf, max_items, "1000", 1, 100000, "Most contacts in one roster."),
	COMITY_OPT_SIZE(struct roster_conf, max_size, "1MiB", 256, 1073741824,
	                "Most bytes of one roster as it is sent to a client."),
	COMITY_OPT_INT(struct roster_conf, max_groups, "20", 1, 1000, "Most groups of one contact."),
	COMITY_OPT_SIZE(struct roster_conf, max_name, "1023", 1, 65536, "Longest name of a contact or group."),
	COMITY_OPT_INT(struct roster_conf, max_requests, "1000", 1, 100000,
	               "Most people who may wait for the user's answer to their request."),
	COMITY_OPT_SIZE(struct roster_conf, max_request_size, "4KiB", 256, 65536,
	                "Largest request for a subscription that is kept."),
	COMITY_OPT_SIZE(struct roster_conf, max_requests_size, "1MiB", 256, 1073741824,
	                "Most bytes of requests that are kept for one account."),
	{ 0 },
};

static const char *const account_maps[] = { STORE_ROSTER, NULL };

COMITY_MODULE(
	.name = "roster",
	.summary = "Contact lists and subscriptions",
	.iqs = iqs,
	.hooks = hooks,
	.features = features,
	.stream_features = stream_features,
	.options = options,
	.account_maps = account_maps,
	.conf_size = sizeof(struct roster_conf),
	.account_size = sizeof(struct roster),
	.session_size = sizeof(struct roster_session),
	.api = &api,
	.account_load = on_account_load,
	.account_unload = on_account_unload,
	.account_removed = on_account_removed,
	.session_presence = roster_on_presence,
	.session_restored = on_session_restored,
);
