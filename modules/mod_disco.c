/* SPDX-License-Identifier: MIT */
/* Says what the host and its accounts can do (XEP-0030, contact addresses of XEP-0157). */
#include <comity/disco.h>
#include <comity/module.h>
#include <comity/roster.h>
#include <string.h>

#define NS_INFO "http://jabber.org/protocol/disco#info"
#define NS_ITEMS "http://jabber.org/protocol/disco#items"
#define NS_FORM "jabber:x:data"
#define NS_CAPS "http://jabber.org/protocol/caps"

struct conf {
	struct comity_list abuse_addresses, admin_addresses, feedback_addresses, sales_addresses, security_addresses,
		support_addresses, items;
};

/* ---- info ---- */

static void add_feature(void *arg, const char *feature)
{
	comity_elem_set(comity_elem_add(arg, NULL, "feature"), "var", feature);
}

static void add_identity(void *arg, const struct comity_identity *identity)
{
	struct comity_elem *e = comity_elem_add(arg, NULL, "identity");

	comity_elem_set(e, "category", identity->category);
	comity_elem_set(e, "type", identity->type);
	comity_elem_set(e, "name", identity->name);
}

static void add_field(struct comity_elem *form, const char *var, const struct comity_list *values)
{
	struct comity_elem *field;

	if (values->count == 0)
		return;
	field = comity_elem_add(form, NULL, "field");
	comity_elem_set(field, "var", var);
	for (size_t i = 0; i < values->count; i++)
		comity_elem_add_text(field, NULL, "value", values->items[i]);
}

static void add_contacts(const struct conf *conf, struct comity_elem *query)
{
	struct comity_elem *form, *type;

	if (conf->abuse_addresses.count + conf->admin_addresses.count + conf->feedback_addresses.count +
	    conf->sales_addresses.count + conf->security_addresses.count + conf->support_addresses.count == 0)
		return;
	form = comity_elem_add(query, NS_FORM, "x");
	comity_elem_set(form, "type", "result");
	type = comity_elem_add(form, NULL, "field");
	comity_elem_set(type, "var", "FORM_TYPE");
	comity_elem_set(type, "type", "hidden");
	comity_elem_add_text(type, NULL, "value", "http://jabber.org/network/serverinfo");
	add_field(form, "abuse-addresses", &conf->abuse_addresses);
	add_field(form, "admin-addresses", &conf->admin_addresses);
	add_field(form, "feedback-addresses", &conf->feedback_addresses);
	add_field(form, "sales-addresses", &conf->sales_addresses);
	add_field(form, "security-addresses", &conf->security_addresses);
	add_field(form, "support-addresses", &conf->support_addresses);
}

static void fill(struct comity_mod *m, struct comity_elem *query, unsigned where)
{
	comity_each_identity(m, where, add_identity, query);
	comity_each_feature(m, where, add_feature, query);
}

static void fill_host(struct comity_mod *disco, struct comity_elem *query)
{
	fill(disco, query, COMITY_TO_HOST);
	add_contacts(comity_conf(disco), query);
}

/* ---- who may ask ---- */

static bool is_subscriber(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_mod *roster = NULL;
	const struct comity_roster_api *api = comity_module_api(m, "roster", comity_rq_account(rq), &roster);
	const struct comity_roster_item *item;

	if (api == NULL)
		return false;
	item = api->find(roster, comity_rq_account(rq), comity_jid_bare(comity_rq_from(rq)));
	return item != NULL && (item->subscription & COMITY_SUB_FROM) != 0;
}

/* XEP-0030 8: the account is described to its owner and to who may see it; to others it is as if not there. */
static int check_account(struct comity_mod *m, struct comity_rq *rq)
{
	if (comity_jid_equal_bare(comity_rq_from(rq), comity_account_jid(comity_rq_account(rq))) || is_subscriber(m, rq))
		return 0;
	return -COMITY_SERVICE_UNAVAILABLE;
}

/* The node of entity capabilities (XEP-0115) is the host itself under another name. */
static bool is_caps_node(struct comity_mod *m, const char *node)
{
	return comity_module_api(m, "caps", NULL, NULL) == NULL ? false :
		strncmp(node, "https://", 8) == 0 && strchr(node, '#') != NULL;
}

static int answer(struct comity_mod *m, struct comity_rq *rq, const char *ns, bool is_host)
{
	const char *node = comity_elem_attr(comity_rq_payload(rq), "node");
	struct comity_stanza *st;
	struct comity_elem *query;

	if (node != NULL && *node != '\0' && !(is_host && is_caps_node(m, node)))
		return -COMITY_ITEM_NOT_FOUND;
	st = comity_reply_new(rq);
	query = comity_elem_add(comity_stanza_edit(st), ns, "query");
	comity_elem_set(query, "node", node);
	if (strcmp(ns, NS_INFO) == 0 && is_host)
		fill_host(m, query);
	else if (strcmp(ns, NS_INFO) == 0)
		fill(m, query, COMITY_TO_SELF | COMITY_TO_BARE);
	else if (is_host && node == NULL)
		for (size_t i = 0; i < ((const struct conf *)comity_conf(m))->items.count; i++)
			comity_elem_set(comity_elem_add(query, NULL, "item"), "jid",
			                ((const struct conf *)comity_conf(m))->items.items[i]);
	return comity_reply_with(rq, &st);
}

static int on_host(struct comity_mod *m, struct comity_rq *rq)
{
	return answer(m, rq, comity_elem_ns(comity_rq_payload(rq)), true);
}

static int on_account(struct comity_mod *m, struct comity_rq *rq)
{
	int rc = check_account(m, rq);

	return rc != 0 ? rc : answer(m, rq, comity_elem_ns(comity_rq_payload(rq)), false);
}

static const struct comity_disco_api api = { .fill_host = fill_host };

static const struct comity_iq iqs[] = {
	{ COMITY_GET, COMITY_TO_HOST, NS_INFO, "query", NS_INFO, on_host },
	{ COMITY_GET, COMITY_TO_HOST, NS_ITEMS, "query", NS_ITEMS, on_host },
	{ COMITY_GET, COMITY_TO_SELF | COMITY_TO_BARE, NS_INFO, "query", NS_INFO, on_account },
	{ COMITY_GET, COMITY_TO_SELF | COMITY_TO_BARE, NS_ITEMS, "query", NS_ITEMS, on_account },
	{ 0 },
};

static const struct comity_identity identities[] = {
	{ COMITY_TO_HOST, "server", "im", "Comity" },
	{ COMITY_TO_SELF | COMITY_TO_BARE, "account", "registered", NULL },
	{ 0 },
};

static const struct comity_option options[] = {
	COMITY_OPT_LIST(struct conf, abuse_addresses, NULL, "Addresses (URIs) for reports of abuse."),
	COMITY_OPT_LIST(struct conf, admin_addresses, NULL, "Addresses of the administrators."),
	COMITY_OPT_LIST(struct conf, feedback_addresses, NULL, "Addresses for feedback."),
	COMITY_OPT_LIST(struct conf, sales_addresses, NULL, "Addresses for sales."),
	COMITY_OPT_LIST(struct conf, security_addresses, NULL, "Addresses for security matters."),
	COMITY_OPT_LIST(struct conf, support_addresses, NULL, "Addresses for support."),
	COMITY_OPT_LIST(struct conf, items, NULL, "Addresses of services to list among the items of the host."),
	{ 0 },
};

COMITY_MODULE(
	.name = "disco",
	.summary = "Says what the host and its accounts can do",
	.iqs = iqs,
	.identities = identities,
	.options = options,
	.conf_size = sizeof(struct conf),
	.api = &api,
);
