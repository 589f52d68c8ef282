/* SPDX-License-Identifier: MIT */
/* Keeps XML that clients store for themselves (XEP-0049). */
#include <comity/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PRIVATE "jabber:iq:private"
#define STORE "private"
#define KEY_MAX_LEN 1024

/* Requests that wait while the names are read. */
#define WAITING_MAX 16

struct conf {
	uint64_t max_size;
	int64_t max_elements;
};

/* The names of what an account keeps, read with the first change: at most max_elements. */
struct account {
	bool is_known, is_reading;
	char **keys;
	size_t count;
	struct comity_rq *waiting[WAITING_MAX];
	size_t waiting_count;
};

/* "namespace name": neither can hold a space at its place, so two elements never share a key. */
static bool make_key(const struct comity_elem *e, char *key)
{
	int n = snprintf(key, KEY_MAX_LEN, "%s %s", comity_elem_ns(e), comity_elem_name(e));

	return n > 0 && n < KEY_MAX_LEN;
}

/* ---- names ---- */

static size_t weigh_key(const char *key)
{
	return sizeof(char *) + strlen(key) + 1;
}

static void forget_keys(struct comity_account *a, struct account *data)
{
	for (size_t i = 0; i < data->count; i++) {
		comity_account_add_bytes(a, -(ptrdiff_t)weigh_key(data->keys[i]));
		free(data->keys[i]);
	}
	free(data->keys);
	data->keys = NULL;
	data->count = 0;
	data->is_known = false;
}

static size_t find_key(const struct account *data, const char *key)
{
	size_t i = 0;

	while (i < data->count && strcmp(data->keys[i], key) != 0)
		i++;
	return i;
}

static void add_key(struct comity_account *a, struct account *data, const char *key)
{
	data->keys = realloc(data->keys, (data->count + 1) * sizeof(*data->keys));
	if (data->keys == NULL || (data->keys[data->count] = strdup(key)) == NULL)
		abort();
	data->count++;
	comity_account_add_bytes(a, (ptrdiff_t)weigh_key(key));
}

static void remove_key(struct comity_account *a, struct account *data, size_t place)
{
	if (place == data->count)
		return;
	comity_account_add_bytes(a, -(ptrdiff_t)weigh_key(data->keys[place]));
	free(data->keys[place]);
	data->keys[place] = data->keys[--data->count];
}

/* ---- changes ---- */

static void on_saved(struct comity_mod *m, void *arg, int status)
{
	struct comity_rq *rq = arg;
	struct account *data = comity_account_data(m, comity_rq_account(rq));

	if (status == 0) {
		comity_reply(rq);
	} else {
		comity_reply_error(rq, status == COMITY_STORE_NO_SPACE ? COMITY_RESOURCE_CONSTRAINT :
		                                                         COMITY_INTERNAL_SERVER_ERROR, NULL);
		if (data != NULL)
			forget_keys(comity_rq_account(rq), data);
	}
	comity_rq_release(rq);
}

/* An element without anything in it is what an account that keeps nothing gets: it needs no place. */
static bool is_empty(const struct comity_elem *e, const char *xml)
{
	const char *equals = strchr(xml, '=');

	return comity_elem_first(e) == NULL && *comity_elem_text(e) == '\0' && equals != NULL && strchr(equals + 1, '=') == NULL;
}

/* Answers, now or later; consumes rq. */
static void change(struct comity_mod *m, struct comity_rq *rq, struct account *data)
{
	const struct comity_elem *e = comity_elem_first(comity_rq_payload(rq));
	const struct conf *conf = comity_conf(m);
	struct store_row row = { .store = STORE };
	char key[KEY_MAX_LEN], *xml = comity_elem_to_xml(e, &row.len);
	size_t place;

	make_key(e, key);
	place = find_key(data, key);
	row.key = key;
	row.value = is_empty(e, xml) ? NULL : xml;
	if (row.value == NULL) {
		row.len = 0;
		remove_key(comity_rq_account(rq), data, place);
	} else if (place == data->count && (int64_t)data->count >= conf->max_elements) {
		comity_reply_error(rq, COMITY_RESOURCE_CONSTRAINT, "this is one over max_elements of private storage");
		comity_rq_release(rq);
		free(xml);
		return;
	} else if (place == data->count) {
		add_key(comity_rq_account(rq), data, key);
	}
	comity_map_put(m, comity_account_jid(comity_rq_account(rq)), &row, 1, on_saved, rq);
	free(xml);
}

static void on_names(struct comity_mod *m, void *arg, const struct store_result *result)
{
	struct comity_account *a = arg;
	struct account *data = comity_account_data(m, a);
	size_t count = data != NULL ? data->waiting_count : 0;

	/* For the next owner of the name nothing is kept of what this one has said last. */
	bool is_removed = comity_account_is_removed(a);

	for (size_t i = 0; data != NULL && result->status == 0 && i < result->count; i++)
		add_key(a, data, result->rows[i].key);
	if (data != NULL) {
		data->is_known = !is_removed && (result->status == 0 || result->status == COMITY_STORE_NOT_FOUND);
		data->is_reading = false;
		data->waiting_count = 0;
	}
	for (size_t i = 0; i < count; i++) {
		struct comity_rq *rq = data->waiting[i];

		if (data->is_known) {
			change(m, rq, data);
			continue;
		}
		comity_reply_error(rq, is_removed ? COMITY_SERVICE_UNAVAILABLE : COMITY_INTERNAL_SERVER_ERROR, NULL);
		comity_rq_release(rq);
	}
	comity_account_unref(a);
}

static int on_set(struct comity_mod *m, struct comity_rq *rq, const struct comity_elem *e)
{
	struct account *data = comity_account_data(m, comity_rq_account(rq));
	const struct conf *conf = comity_conf(m);
	char key[KEY_MAX_LEN], *xml;
	size_t len;

	if (!make_key(e, key))
		return -COMITY_NOT_ACCEPTABLE;
	xml = comity_elem_to_xml(e, &len);
	free(xml);
	if (len > conf->max_size)
		return comity_reply_error(rq, COMITY_NOT_ACCEPTABLE, "this is over max_size of private storage");
	if (data->is_known) {
		change(m, comity_rq_hold(rq), data);
		return COMITY_LATER;
	}
	if (data->waiting_count == WAITING_MAX)
		return -COMITY_RESOURCE_CONSTRAINT;
	data->waiting[data->waiting_count++] = comity_rq_hold(rq);
	if (!data->is_reading) {
		data->is_reading = true;
		comity_map_load(m, comity_account_jid(comity_rq_account(rq)), STORE, on_names,
		                comity_account_ref(comity_rq_account(rq)));
	}
	return COMITY_LATER;
}

static void on_account_unload(struct comity_mod *m, struct comity_account *a)
{
	struct account *data = comity_account_data(m, a);

	for (size_t i = 0; i < data->waiting_count; i++)
		comity_rq_release(data->waiting[i]);
	forget_keys(a, data);
}

/* ---- requests ---- */

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
	COMITY_OPT_INT(struct conf, max_elements, "200", 1, 100000, "Most elements that are kept for one account."),
	{ 0 },
};

COMITY_MODULE(
	.name = "private",
	.summary = "Keeps XML that clients store for themselves",
	.iqs = iqs,
	.features = features,
	.options = options,
	.conf_size = sizeof(struct conf),
	.account_size = sizeof(struct account),
	.account_unload = on_account_unload,
);
