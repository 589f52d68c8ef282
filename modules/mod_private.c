/* SPDX-License-Identifier: MIT */
/* Keeps XML that clients store for themselves (XEP-0049). */
#include <comity/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PRIVATE "jabber:iq:private"
#define STORE "private"
#define KEY_MAX_LEN 1024

struct conf {
	uint64_t max_size;
};

/* "namespace name": neither can hold a space at its place, so two elements never share a key. */
static bool make_key(const struct comity_elem *e, char *key)
{
	int n = snprintf(key, KEY_MAX_LEN, "%s %s", comity_elem_ns(e), comity_elem_name(e));

	return n > 0 && n < KEY_MAX_LEN;
}

static void on_saved(struct comity_mod *m, void *arg, int status)
{
	struct comity_rq *rq = arg;

	(void)m;
	if (status == 0)
		comity_reply(rq);
	else
		comity_reply_error(rq, status == COMITY_STORE_NO_SPACE ? COMITY_RESOURCE_CONSTRAINT :
		                                                         COMITY_INTERNAL_SERVER_ERROR, NULL);
	comity_rq_release(rq);
}

static int on_set(struct comity_mod *m, struct comity_rq *rq, const struct comity_elem *e)
{
	const struct conf *conf = comity_conf(m);
	struct store_row row = { .store = STORE };
	char key[KEY_MAX_LEN], *xml;

	if (!make_key(e, key))
		return -COMITY_NOT_ACCEPTABLE;
	xml = comity_elem_to_xml(e, &row.len);
	if (row.len > conf->max_size) {
		free(xml);
		return comity_reply_error(rq, COMITY_NOT_ACCEPTABLE, "this is over max_size of private storage");
	}
	row.key = key;
	row.value = xml;
	comity_map_put(m, comity_account_jid(comity_rq_account(rq)), &row, 1, on_saved, comity_rq_hold(rq));
	free(xml);
	return COMITY_LATER;
}

static void on_read(struct comity_mod *m, void *arg, const struct store_result *result)
{
	struct comity_rq *rq = arg;
	const struct comity_elem *asked = comity_elem_first(comity_rq_payload(rq));
	struct comity_stanza *st, *stored = NULL;
	struct comity_elem *query;

	(void)m;
	if (result->status != 0 && result->status != COMITY_STORE_NOT_FOUND) {
		comity_reply_error(rq, COMITY_INTERNAL_SERVER_ERROR, NULL);
		comity_rq_release(rq);
		return;
	}
	st = comity_reply_new(rq);
	query = comity_elem_add(comity_stanza_edit(st), NS_PRIVATE, "query");
	if (result->status == 0)
		stored = comity_stanza_parse_inside(result->rows[0].value, result->rows[0].len);
	if (stored != NULL)
		comity_elem_add_copy(query, comity_elem_first(comity_stanza_root(stored)));
	else
		comity_elem_add(query, comity_elem_ns(asked), comity_elem_name(asked));
	comity_stanza_unref(stored);
	comity_reply_with(rq, &st);
	comity_rq_release(rq);
}

static int on_iq(struct comity_mod *m, struct comity_rq *rq)
{
	const struct comity_elem *e = comity_elem_first(comity_rq_payload(rq));
	char key[KEY_MAX_LEN];

	/* XEP-0049 3: exactly one element, in a namespace of its own. */
	if (e == NULL || comity_elem_next(e) != NULL)
		return -COMITY_BAD_REQUEST;
	if (*comity_elem_ns(e) == '\0' || strcmp(comity_elem_ns(e), NS_PRIVATE) == 0)
		return -COMITY_NOT_ACCEPTABLE;
	if (comity_rq_type(rq) == COMITY_TYPE_SET)
		return on_set(m, rq, e);
	if (!make_key(e, key))
		return -COMITY_NOT_ACCEPTABLE;
	comity_map_get(m, comity_account_jid(comity_rq_account(rq)), STORE, key, on_read, comity_rq_hold(rq));
	return COMITY_LATER;
}

static int on_foreign(struct comity_mod *m, struct comity_rq *rq)
{
	(void)m, (void)rq;
	return -COMITY_FORBIDDEN;
}

static const struct comity_iq iqs[] = {
	{ COMITY_GET | COMITY_SET, COMITY_TO_SELF, NS_PRIVATE, "query", NS_PRIVATE, on_iq },
	{ COMITY_GET | COMITY_SET, COMITY_TO_BARE, NS_PRIVATE, "query", NULL, on_foreign },
	{ 0 },
};

/* Clients look for it at the domain. */
static const struct comity_feature features[] = { { COMITY_TO_HOST, NS_PRIVATE }, { 0 } };

static const struct comity_option options[] = {
	COMITY_OPT_SIZE(struct conf, max_size, "64KiB", 1024, 16777216, "Largest element that is kept."),
	{ 0 },
};

COMITY_MODULE(
	.name = "private",
	.summary = "Keeps XML that clients store for themselves",
	.iqs = iqs,
	.features = features,
	.options = options,
	.conf_size = sizeof(struct conf),
);
