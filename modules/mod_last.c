/* SPDX-License-Identifier: MIT */
/* Tells how long an account has been away, and the host up (XEP-0012). */
#include <comity/module.h>
#include <comity/roster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_LAST "jabber:iq:last"
#define STORE "last"
#define KEY "logout"
#define STATUS_MAX 1024

/* When the last session ended, and what its last unavailable presence said. */
struct account {
	int64_t when_us;      /* 0: never, as far as is known */
	char *status;         /* NULL: none */
};

static void reply(struct comity_rq *rq, int64_t seconds, const char *status)
{
	struct comity_stanza *st = comity_reply_new(rq);
	struct comity_elem *query = comity_elem_add(comity_stanza_edit(st), NS_LAST, "query");
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)(seconds > 0 ? seconds : 0));
	comity_elem_set(query, "seconds", text);
	comity_elem_put_text(query, status);
	comity_reply_with(rq, &st);
}

static int on_host(struct comity_mod *m, struct comity_rq *rq)
{
	reply(rq, (comity_wall_us(m) - comity_started_us(m)) / 1000000, NULL);
	return COMITY_DONE;
}

/* XEP-0012 4: only for who may see the presence. */
static bool may_know(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_account *a = comity_rq_account(rq);
	struct comity_mod *roster = NULL;
	const struct comity_roster_api *api = comity_module_api(m, "roster", a, &roster);
	const struct comity_roster_item *item;

	if (comity_jid_equal_bare(comity_rq_from(rq), comity_account_jid(a)))
		return true;
	item = api != NULL ? api->find(roster, a, comity_jid_bare(comity_rq_from(rq))) : NULL;
	return item != NULL && (item->subscription & COMITY_SUB_FROM) != 0;
}

static bool is_online(const struct comity_account *a)
{
	for (const struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
		if (comity_session_is_available(s))
			return true;
	return false;
}

static int on_account(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_account *a = comity_rq_account(rq);
	const struct account *data = comity_account_data(m, a);

	if (!may_know(m, rq))
		return -COMITY_FORBIDDEN;
	if (is_online(a))
		reply(rq, 0, NULL);
	else if (data->when_us == 0)
		return -COMITY_ITEM_NOT_FOUND;
	else
		reply(rq, (comity_wall_us(m) - data->when_us) / 1000000, data->status);
	return COMITY_DONE;
}

/* ---- remembering ---- */

/* A copy of what is kept of a status, without a character at its end that is not there as a whole. */
static char *cut(const char *text)
{
	size_t len = strnlen(text, STATUS_MAX), start = len, needed;
	unsigned char lead;
	char *copy;

	while (start > 0 && (text[start - 1] & 0xc0) == 0x80)
		start--;
	lead = start > 0 ? (unsigned char)text[start - 1] : 0;
	needed = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
	if (len - start < needed)
		len = start - 1;
	copy = strndup(text, len);
	if (copy == NULL)
		abort();
	return copy;
}

/* The last words come before the session ends. */
static int on_outgoing(struct comity_mod *m, struct comity_rq *rq)
{
	struct account *data = comity_account_data(m, comity_rq_account(rq));
	const struct comity_elem *status = comity_elem_find(comity_rq_root(rq), NULL, "status");

	if (comity_rq_to(rq) != NULL ||
	    (comity_rq_type(rq) != COMITY_TYPE_UNAVAILABLE && comity_rq_type(rq) != COMITY_TYPE_AVAILABLE))
		return COMITY_PASS;
	free(data->status);
	data->status = NULL;
	if (comity_rq_type(rq) == COMITY_TYPE_UNAVAILABLE && status != NULL)
		data->status = cut(comity_elem_text(status));
	return COMITY_PASS;
}

static void on_session_presence(struct comity_mod *m, struct comity_session *s, bool was_available)
{
	struct comity_account *a = comity_session_account(s);
	struct account *data = comity_account_data(m, a);
	struct store_row row = { .store = STORE, .key = KEY };
	char *text = NULL;
	int n;

	if (!was_available || comity_session_is_available(s) || is_online(a) || comity_account_is_removed(a))
		return;
	data->when_us = comity_wall_us(m);
	n = asprintf(&text, "%lld %s", (long long)data->when_us, data->status != NULL ? data->status : "");
	if (n < 0)
		abort();
	row.value = text;
	row.len = (size_t)n;
	comity_map_put_lazily(m, comity_account_jid(a), &row, 1);
	free(text);
}

static void on_account_load(struct comity_mod *m, struct comity_account *a, const struct store_row *rows, size_t count)
{
	struct account *data = comity_account_data(m, a);
	char *text, *end;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].key, KEY) != 0)
			continue;
		text = strndup(rows[i].value, rows[i].len);
		if (text == NULL)
			abort();
		data->when_us = strtoll(text, &end, 10);
		if (*end == ' ' && end[1] != '\0')
			data->status = cut(end + 1);
		free(text);
	}
}

static void on_account_unload(struct comity_mod *m, struct comity_account *a)
{
	free(((struct account *)comity_account_data(m, a))->status);
}

static const struct comity_iq iqs[] = {
	{ COMITY_GET, COMITY_TO_HOST, NS_LAST, "query", NS_LAST, on_host },
	{ COMITY_GET, COMITY_TO_SELF | COMITY_TO_BARE, NS_LAST, "query", NS_LAST, on_account },
	{ 0 },
};

static const struct comity_hook hooks[] = {
	{ COMITY_OUTGOING, COMITY_COPY, COMITY_PRESENCE, on_outgoing },
	{ 0 },
};

static const char *const account_maps[] = { STORE, NULL };

COMITY_MODULE(
	.name = "last",
	.summary = "Tells how long an account has been away",
	.iqs = iqs,
	.hooks = hooks,
	.account_maps = account_maps,
	.account_size = sizeof(struct account),
	.account_load = on_account_load,
	.account_unload = on_account_unload,
	.session_presence = on_session_presence,
);
