/* SPDX-License-Identifier: MIT */
/* Blocking of addresses (XEP-0191). */
#include <comity/blocking.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blocking.h"

#define NS_STANZA_ERRORS "urn:ietf:params:xml:ns:xmpp-stanzas"
/* Changes of one account that wait for the one before them to be saved. */
#define WAITING_MAX 100

static struct blocking *blocking_of(struct comity_mod *m, struct comity_account *a)
{
	return comity_account_data(m, a);
}

/* XEP-0191 4, note 3: the user's own resources are never blocked, whatever the list says. Nor is the host itself,
 * which speaks for the server: who blocks a domain means its people. */
static bool is_exempt(struct comity_mod *m, struct comity_account *a, const struct comity_jid *other)
{
	return comity_jid_equal_bare(other, comity_account_jid(a)) ||
	       comity_jid_equal_bare(other, comity_host_jid(m));
}

bool blocking_is_blocked(struct comity_mod *m, struct comity_account *a, const struct comity_jid *other)
{
	const struct blocking *b = blocking_of(m, a);

	return b != NULL && blocklist_covers(&b->list, other) && !is_exempt(m, a, other);
}

/* ---- what is stopped ---- */

/* XEP-0191 3.3: the user looks offline. Presence is ignored, and so are answers. Messages that expect no answer
 * are dropped, and those of rooms, for which an error would mean that the user has left. */
static int on_incoming(struct comity_mod *m, struct comity_rq *rq)
{
	const struct comity_jid *from = comity_rq_from(rq);

	if (from == NULL || !blocking_is_blocked(m, comity_rq_account(rq), from))
		return COMITY_PASS;
	switch (comity_rq_type(rq)) {
	case COMITY_TYPE_NORMAL:
	case COMITY_TYPE_CHAT:
	case COMITY_TYPE_GET:
	case COMITY_TYPE_SET:
		return -COMITY_SERVICE_UNAVAILABLE;
	default:
		return COMITY_DONE;
	}
}

/* XEP-0191 3.3: of type cancel, because to change the stanza would not help. */
static int refuse(struct comity_rq *rq)
{
	struct comity_stanza *st = comity_stanza_new(comity_rq_kind(rq), COMITY_TYPE_ERROR);
	struct comity_elem *root = comity_stanza_edit(st), *error;

	if (comity_rq_id(rq) != NULL)
		comity_stanza_set_id(st, comity_rq_id(rq));
	for (const struct comity_elem *e = comity_elem_first(comity_rq_root(rq)); e != NULL; e = comity_elem_next(e))
		comity_elem_add_copy(root, e);
	error = comity_elem_add(root, NULL, "error");
	comity_elem_set(error, "type", "cancel");
	comity_elem_add(error, NS_STANZA_ERRORS, "not-acceptable");
	comity_elem_set_lang(comity_elem_add_text(error, NS_STANZA_ERRORS, "text", "you have blocked this address"), "en");
	comity_elem_add(error, NS_BLOCKING_ERRORS, "blocked");
	return comity_reply_with(rq, &st);
}

static int on_outgoing(struct comity_mod *m, struct comity_rq *rq)
{
	const struct comity_jid *to = comity_rq_to(rq);

	if (to == NULL || !blocking_is_blocked(m, comity_rq_account(rq), to))
		return COMITY_PASS;
	if (comity_rq_type(rq) == COMITY_TYPE_ERROR || comity_rq_type(rq) == COMITY_TYPE_RESULT)
		return COMITY_DONE;
	return refuse(rq);
}

/* ---- what clients are told ---- */

static void add_items(struct comity_elem *parent, const struct blocklist *l)
{
	for (size_t i = 0; i < l->count; i++)
		comity_elem_set(comity_elem_add(parent, NULL, "item"), "jid", comity_jid_text(l->jids[i]));
}

static void push(struct comity_mod *m, struct comity_account *a, const struct change *c)
{
	struct comity_stanza *st = comity_stanza_new(COMITY_IQ, COMITY_TYPE_SET);
	struct comity_session *next;
	unsigned char random[6];
	char id[24];

	comity_random(m, random, sizeof(random));
	snprintf(id, sizeof(id), "push-%02x%02x%02x%02x%02x%02x", random[0], random[1], random[2], random[3], random[4],
	         random[5]);
	comity_stanza_set_id(st, id);
	add_items(comity_elem_add(comity_stanza_edit(st), NS_BLOCKING, c->is_block ? "block" : "unblock"), &c->asked);
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = next) {
		const struct blocking_session *data = comity_session_data(m, s);

		next = comity_session_next(s);
		if (data->is_interested)
			comity_session_send(s, st, NULL, comity_session_jid(s));
	}
	comity_stanza_unref(st);
}

static int on_get(struct comity_mod *m, struct comity_rq *rq)
{
	struct blocking_session *data = comity_session_data(m, comity_rq_session(rq));
	struct comity_stanza *st = comity_reply_new(rq);

	if (data != NULL && !data->is_interested) {
		data->is_interested = true;
		comity_session_keep(m, comity_rq_session(rq), "interested", "yes");
	}
	add_items(comity_elem_add(comity_stanza_edit(st), NS_BLOCKING, "blocklist"),
	          &blocking_of(m, comity_rq_account(rq))->list);
	return comity_reply_with(rq, &st);
}

/* ---- changes: one after the other, answered once they are saved ---- */

static void change_free(struct change *c)
{
	blocklist_clear(&c->asked);
	blocklist_clear(&c->effective);
	comity_rq_release(c->rq);
	comity_account_unref(c->account);
	free(c);
}

static void apply(struct comity_mod *m, struct blocking *b, struct change *c)
{
	ptrdiff_t before = (ptrdiff_t)blocklist_memory(&b->list);

	if (c->is_block)
		blocking_hide(m, c);
	for (size_t i = 0; i < c->effective.count; i++) {
		if (c->is_block)
			blocklist_add(&b->list, c->effective.jids[i]);
		else
			blocklist_remove(&b->list, c->effective.jids[i]);
	}
	comity_account_add_bytes(c->account, (ptrdiff_t)blocklist_memory(&b->list) - before);
	comity_reply(c->rq);
	push(m, c->account, c);
	if (!c->is_block)
		blocking_show(m, c);
}

static void start_next(struct comity_mod *m, struct blocking *b);

static void on_saved(struct comity_mod *m, void *arg, int status)
{
	struct change *c = arg;
	struct blocking *b = blocking_of(m, c->account);
	/* A reload may have taken the module away meanwhile, and brought it back. */
	bool is_ours = b != NULL && b->saving == c;

	if (is_ours)
		b->saving = NULL;
	if (!is_ours || comity_account_is_removed(c->account)) {
		comity_reply_error(c->rq, COMITY_SERVICE_UNAVAILABLE, NULL);
	} else if (status != 0) {
		comity_log(m, COMITY_ERROR, "cannot save the blocklist of %s",
		           comity_jid_text(comity_account_jid(c->account)));
		comity_reply_error(c->rq, status == COMITY_STORE_NO_SPACE ? COMITY_RESOURCE_CONSTRAINT :
		                                                            COMITY_INTERNAL_SERVER_ERROR,
		                   "the blocklist could not be saved");
	} else {
		apply(m, b, c);
	}
	if (is_ours)
		start_next(m, b);
	change_free(c);
}

static void save(struct comity_mod *m, struct blocking *b, struct change *c)
{
	struct store_row *rows = calloc(c->effective.count, sizeof(*rows));

	if (rows == NULL)
		abort();
	for (size_t i = 0; i < c->effective.count; i++)
		rows[i] = (struct store_row){
			.store = STORE_BLOCKING, .key = comity_jid_text(c->effective.jids[i]),
			.value = c->is_block ? "1" : NULL, .len = c->is_block ? 1 : 0
		};
	b->saving = c;
	comity_map_put(m, comity_account_jid(c->account), rows, c->effective.count, on_saved, c);
	free(rows);
}

static void find_effective(const struct blocking *b, struct change *c)
{
	const struct blocklist *from = c->asked.count != 0 ? &c->asked : &b->list;

	for (size_t i = 0; i < from->count; i++)
		if (blocklist_has(&b->list, from->jids[i]) != c->is_block)
			blocklist_add(&c->effective, from->jids[i]);
}

static int refuse_count(struct comity_rq *rq, const struct blocking_conf *conf)
{
	char text[96];

	snprintf(text, sizeof(text), "max_blocked: no more than %lld addresses can be blocked",
	         (long long)conf->max_blocked);
	return comity_reply_error(rq, COMITY_RESOURCE_CONSTRAINT, text);
}

/* Refuses what is over one of the limits. A list that is over it already may only shrink. */
static bool is_over_limit(struct comity_mod *m, const struct blocking *b, struct change *c)
{
	const struct blocking_conf *conf = comity_conf(m);

	if (!c->is_block || c->effective.count == 0)
		return false;
	if ((int64_t)(b->list.count + c->effective.count) > conf->max_blocked)
		refuse_count(c->rq, conf);
	else if (b->list.written + c->effective.written > conf->max_size)
		comity_reply_error(c->rq, COMITY_RESOURCE_CONSTRAINT, "this is over max_size of the blocklist");
	else
		return false;
	return true;
}

static void start_next(struct comity_mod *m, struct blocking *b)
{
	struct change *c;

	while (b->saving == NULL && (c = b->first) != NULL) {
		b->first = c->next;
		b->waiting--;
		find_effective(b, c);
		if (comity_account_is_removed(c->account)) {
			/* Saved now, it would be there for the next owner of the name. */
			comity_reply_error(c->rq, COMITY_SERVICE_UNAVAILABLE, NULL);
			change_free(c);
		} else if (is_over_limit(m, b, c)) {
			change_free(c);
		} else if (c->effective.count == 0) {
			apply(m, b, c);
			change_free(c);
		} else {
			save(m, b, c);
		}
	}
}

static int submit(struct comity_mod *m, struct comity_rq *rq, struct blocklist *asked, bool is_block)
{
	struct blocking *b = blocking_of(m, comity_rq_account(rq));
	struct change *c;

	if (b->waiting >= WAITING_MAX) {
		blocklist_clear(asked);
		return comity_reply_error(rq, COMITY_RESOURCE_CONSTRAINT, "too many changes wait to be saved");
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		abort();
	c->rq = comity_rq_hold(rq);
	c->account = comity_account_ref(comity_rq_account(rq));
	c->asked = *asked;
	c->is_block = is_block;
	if (b->first != NULL)
		b->last->next = c;
	else
		b->first = c;
	b->last = c;
	b->waiting++;
	start_next(m, b);
	return COMITY_LATER;
}

/* 0 or minus a condition; then the list is empty. More than so many are not looked at. */
static int read_items(const struct comity_elem *e, size_t most, struct blocklist *out)
{
	int rc = 0;

	for (const struct comity_elem *i = comity_elem_first(e); rc == 0 && i != NULL; i = comity_elem_next(i)) {
		const char *text = comity_elem_is(i, NS_BLOCKING, "item") ? comity_elem_attr(i, "jid") : NULL;
		struct comity_jid *jid = text != NULL ? comity_jid_parse(text) : NULL;

		if (text == NULL)
			rc = -COMITY_BAD_REQUEST;
		else if (jid == NULL)
			rc = -COMITY_JID_MALFORMED;
		else if (out->count == most)
			rc = -COMITY_RESOURCE_CONSTRAINT;
		else
			blocklist_append(out, jid);
		comity_jid_unref(jid);
	}
	if (rc != 0)
		blocklist_clear(out);
	blocklist_sort(out);
	return rc;
}

static int on_block(struct comity_mod *m, struct comity_rq *rq)
{
	const struct blocking_conf *conf = comity_conf(m);
	struct blocklist asked = { 0 };
	int rc = read_items(comity_rq_payload(rq), (size_t)conf->max_blocked, &asked);

	if (rc == -COMITY_RESOURCE_CONSTRAINT)
		return refuse_count(rq, conf);
	if (rc == 0 && asked.count == 0)
		rc = -COMITY_BAD_REQUEST;
	return rc != 0 ? rc : submit(m, rq, &asked, true);
}

static int on_unblock(struct comity_mod *m, struct comity_rq *rq)
{
	struct blocklist asked = { 0 };
	int rc = read_items(comity_rq_payload(rq), SIZE_MAX, &asked);

	return rc != 0 ? rc : submit(m, rq, &asked, false);
}

/* ---- life ---- */

static void on_account_load(struct comity_mod *m, struct comity_account *a, const struct store_row *rows, size_t count)
{
	struct blocking *b = blocking_of(m, a);

	for (size_t i = 0; i < count; i++) {
		struct comity_jid *jid = comity_jid_parse(rows[i].key);

		if (jid != NULL)
			blocklist_append(&b->list, jid);
		comity_jid_unref(jid);
	}
	blocklist_sort(&b->list);
	comity_account_add_bytes(a, (ptrdiff_t)blocklist_memory(&b->list));
}

static void on_account_unload(struct comity_mod *m, struct comity_account *a)
{
	struct blocking *b = blocking_of(m, a);

	for (struct change *c = b->first, *next; c != NULL; c = next) {
		next = c->next;
		comity_reply_error(c->rq, COMITY_SERVICE_UNAVAILABLE, NULL);
		change_free(c);
	}
	comity_account_add_bytes(a, -(ptrdiff_t)blocklist_memory(&b->list));
	blocklist_clear(&b->list);
}

static void on_session_restored(struct comity_mod *m, struct comity_session *s)
{
	struct blocking_session *data = comity_session_data(m, s);

	data->is_interested = comity_session_kept(m, s, "interested") != NULL;
}

static const struct comity_blocking_api api = { .is_blocked = blocking_is_blocked };

static const struct comity_iq iqs[] = {
	{ COMITY_GET, COMITY_TO_SELF, NS_BLOCKING, "blocklist", NS_BLOCKING, on_get },
	{ COMITY_SET, COMITY_TO_SELF, NS_BLOCKING, "block", NULL, on_block },
	{ COMITY_SET, COMITY_TO_SELF, NS_BLOCKING, "unblock", NULL, on_unblock },
	{ 0 },
};

#define ALL_KINDS (COMITY_MESSAGE | COMITY_PRESENCE | COMITY_IQ)

static const struct comity_hook hooks[] = {
	{ COMITY_OUTGOING, COMITY_FILTER, ALL_KINDS, on_outgoing },
	{ COMITY_INCOMING, COMITY_FILTER, ALL_KINDS, on_incoming },
	{ 0 },
};

/* Clients look for it at the domain. */
static const struct comity_feature features[] = { { COMITY_TO_HOST, NS_BLOCKING }, { 0 } };

static const struct comity_option options[] = {
	COMITY_OPT_INT(struct blocking_conf, max_blocked, "1000", 1, 100000, "Most addresses that one account blocks."),
	COMITY_OPT_SIZE(struct blocking_conf, max_size, "256KiB", 256, 1073741824,
	                "Most bytes of one list as it is sent to a client."),
	{ 0 },
};

static const char *const account_maps[] = { STORE_BLOCKING, NULL };

COMITY_MODULE(
	.name = "blocking",
	.summary = "Blocking of addresses",
	.iqs = iqs,
	.hooks = hooks,
	.features = features,
	.options = options,
	.account_maps = account_maps,
	.conf_size = sizeof(struct blocking_conf),
	.account_size = sizeof(struct blocking),
	.session_size = sizeof(struct blocking_session),
	.api = &api,
	.account_load = on_account_load,
	.account_unload = on_account_unload,
	.session_restored = on_session_restored,
);
