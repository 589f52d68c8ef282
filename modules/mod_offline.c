/* SPDX-License-Identifier: MIT */
/* Keeps messages for accounts that nobody is logged in to (XEP-0160, XEP-0203). */
#include <comity/blocking.h>
#include <comity/module.h>
#include <stdlib.h>
#include <string.h>

#define STORE "offline"
#define NS_DELAY "urn:xmpp:delay"

struct conf {
	int64_t max_messages, max_waiting;
	uint64_t max_bytes;
};

/* While stored messages are on their way to a session, later ones wait, so that order is kept. */
struct account {
	bool is_draining;
	uint64_t last;             /* id up to which messages are with a session, though perhaps still in the store */
	struct comity_rq **waiting;
	size_t count, again;       /* again: of a session that has ended, these stand in front */
};

/* ---- keeping ---- */

static void on_stored(struct comity_mod *m, void *arg, int status)
{
	struct comity_rq *rq = arg;

	if (status == COMITY_STORE_LIMIT)
		comity_reply_error(rq, COMITY_SERVICE_UNAVAILABLE, "the recipient's offline storage is full");
	else if (status == COMITY_STORE_NO_SPACE)
		comity_reply_error(rq, COMITY_RESOURCE_CONSTRAINT, "the server cannot store messages now");
	else if (status != 0)
		comity_reply_error(rq, COMITY_INTERNAL_SERVER_ERROR, "the message could not be stored");
	if (status != 0 && status != COMITY_STORE_LIMIT)
		comity_log(m, COMITY_ERROR, "a message for %s could not be stored", comity_jid_text(comity_rq_to(rq)));
	comity_rq_release(rq);
}

/* XEP-0160 3: chat and normal messages are kept; chat states alone are not worth it, unless the sender wants it
 * (XEP-0334 4.4). */
static int on_keep(struct comity_mod *m, struct comity_rq *rq)
{
	const struct conf *conf = comity_conf(m);
	unsigned parts = comity_rq_parts(rq);
	struct store_entry entry = { .when_us = comity_rq_received_us(rq), .is_message = true };
	char *xml;

	if (comity_parts_are_fleeting(parts))
		return COMITY_DONE;
	if ((parts & COMITY_PART_NO_STORE) != 0)
		return COMITY_PASS;
	xml = comity_rq_to_xml(rq, &entry.len);
	if (entry.len > conf->max_bytes) {
		free(xml);
		return comity_reply_error(rq, COMITY_NOT_ACCEPTABLE, "the message is too large to be stored");
	}
	entry.value = xml;
	entry.with = comity_jid_text(comity_jid_bare(comity_rq_from(rq)));
	comity_archive_append(m, comity_account_jid(comity_rq_account(rq)), STORE, &entry, (uint64_t)conf->max_messages,
	                      on_stored, comity_rq_hold(rq));
	free(xml);
	return COMITY_LATER;
}

/* ---- delivering ---- */

/* Messages on their way to one session, and until they are safe there. */
struct drain {
	struct comity_account *account;
	char *resource;
	uint64_t first, last;
};

static void drain_free(struct drain *d)
{
	comity_account_unref(d->account);
	free(d->resource);
	free(d);
}

static void let_go(struct comity_mod *m, struct comity_account *a)
{
	struct account *data = comity_account_data(m, a);
	struct comity_rq **waiting;
	size_t count;

	if (data == NULL)
		return;
	waiting = data->waiting;
	count = data->count;
	data->waiting = NULL;
	data->count = data->again = 0;
	data->is_draining = false;
	for (size_t i = 0; i < count; i++)
		comity_rq_continue(waiting[i]);
	free(waiting);
}

/* Whether the sender has been blocked since (XEP-0191). */
static bool is_blocked(struct comity_mod *m, struct comity_session *s, const struct comity_jid *from)
{
	struct comity_mod *blocking = NULL;
	const struct comity_blocking_api *api = comity_module_api(m, "blocking", &blocking);

	return api != NULL && from != NULL && api->is_blocked(blocking, comity_session_account(s), from);
}

/* One that has been kept here before says when it came first. */
static void add_delay(struct comity_mod *m, struct comity_elem *root, int64_t when_us)
{
	struct comity_elem *delay;
	char stamp[32];

	for (const struct comity_elem *e = comity_elem_first(root); e != NULL; e = comity_elem_next(e)) {
		const char *from = comity_elem_is(e, NS_DELAY, "delay") ? comity_elem_attr(e, "from") : NULL;

		if (from != NULL && strcmp(from, comity_host_name(m)) == 0)
			return;
	}
	delay = comity_elem_add(root, NS_DELAY, "delay");
	comity_format_time(when_us, stamp);
	comity_elem_set(delay, "from", comity_host_name(m));
	comity_elem_set(delay, "stamp", stamp);
}

static void deliver(struct comity_mod *m, struct comity_safe *safe, struct comity_session *s,
                    const struct store_entry *e)
{
	struct comity_stanza *st = comity_stanza_parse(e->value, e->len);
	struct comity_elem *root;
	struct comity_jid *from, *to;

	if (st == NULL)
		return; /* it was a stanza when it was stored; nothing better to do than to drop it */
	root = comity_stanza_edit(st);
	from = comity_elem_attr(root, "from") != NULL ? comity_jid_parse(comity_elem_attr(root, "from")) : NULL;
	to = comity_elem_attr(root, "to") != NULL ? comity_jid_parse(comity_elem_attr(root, "to")) : NULL;
	add_delay(m, root, e->when_us);
	if (!is_blocked(m, s, from))
		comity_session_send_stored(safe, s, st, from, to, e);
	comity_jid_unref(from);
	comity_jid_unref(to);
	comity_stanza_unref(st);
}

/* Until then the account stays, and with it what is known of those that are with a session. */
static void on_deleted(struct comity_mod *m, void *arg, int status)
{
	(void)m, (void)status;
	drain_free(arg);
}

static void on_delivered(struct comity_mod *m, void *arg)
{
	struct drain *d = arg;

	if (comity_account_is_removed(d->account))
		drain_free(d);
	else
		comity_archive_delete(m, comity_account_jid(d->account), STORE, d->first, d->last, on_deleted, d);
}

/* All of them, in one go: what comes meanwhile waits. */
static void deliver_all(struct comity_mod *m, struct drain *d, struct comity_session *s,
                        const struct store_entries *entries)
{
	struct account *data = comity_account_data(m, d->account);
	struct comity_safe *safe = comity_safe_new(m, on_delivered, d);

	d->first = entries->entries[0].id;
	d->last = entries->entries[entries->count - 1].id;
	for (size_t i = 0; i < entries->count; i++)
		deliver(m, safe, s, &entries->entries[i]);
	data->last = d->last;
	comity_safe_release(safe);
}

static bool takes_stored(const struct comity_session *s)
{
	/* RFC 6121 8.5.2.2: to a resource that takes messages for the account. */
	return comity_session_is_available(s) && comity_session_priority(s) >= 0;
}

static void on_read(struct comity_mod *m, void *arg, const struct store_entries *entries);

static void begin(struct comity_mod *m, struct comity_session *s)
{
	struct store_query rest = { 0 };
	struct comity_account *a = comity_session_account(s);
	struct account *data = comity_account_data(m, a);
	struct drain *d = calloc(1, sizeof(*d));

	if (d == NULL || (d->resource = strdup(comity_jid_resource(comity_session_jid(s)))) == NULL)
		abort();
	d->account = comity_account_ref(a);
	data->is_draining = true;
	rest.after_id = data->last;
	comity_archive_query(m, comity_account_jid(a), STORE, &rest, on_read, d);
}

/* The session that they were read for is gone, and another one is there. */
static bool begin_anew(struct comity_mod *m, struct comity_account *a)
{
	struct comity_session *s = comity_account_first_session(a);

	while (s != NULL && !takes_stored(s))
		s = comity_session_next(s);
	if (s != NULL)
		begin(m, s);
	return s != NULL;
}

static void on_read(struct comity_mod *m, void *arg, const struct store_entries *entries)
{
	struct drain *d = arg;
	struct comity_account *a = comity_account_ref(d->account);
	struct comity_session *s = comity_account_find_session(a, d->resource);
	/* A reload may have taken the module away meanwhile. */
	bool is_here = comity_account_data(m, a) != NULL && !comity_account_is_removed(a);

	if (entries->status != 0)
		comity_log(m, COMITY_ERROR, "the stored messages of %s could not be read",
		           comity_jid_text(comity_account_jid(d->account)));
	/* Without a session they stay for the next one. */
	if (s != NULL && entries->count != 0 && is_here)
		deliver_all(m, d, s, entries);
	else
		drain_free(d);
	if (s != NULL || !is_here || !begin_anew(m, a))
		let_go(m, a);
	comity_account_unref(a);
}

static void on_presence(struct comity_mod *m, struct comity_session *s, bool was_available)
{
	const struct account *data = comity_account_data(m, comity_session_account(s));

	(void)was_available;
	if (!data->is_draining && takes_stored(s))
		begin(m, s);
}

struct restored {
	struct comity_mod *mod;
	struct comity_jid *owner;
};

/* The session has it; the crash came before it was taken out. */
static void forget_stored(void *arg, uint64_t id)
{
	const struct restored *r = arg;

	comity_archive_delete(r->mod, r->owner, STORE, id, id, NULL, NULL);
}

static void on_session_restored(struct comity_mod *m, struct comity_session *s)
{
	struct restored r = { m, comity_account_jid(comity_session_account(s)) };

	comity_session_each_stored(m, s, forget_stored, &r);
	/* What the end of the server kept from it. */
	on_presence(m, s, false);
}

/* RFC 6120 10.1: presence and iqs of the same sender do not overtake a message that waits. The user's
 * own need not wait. */
static int on_incoming(struct comity_mod *m, struct comity_rq *rq)
{
	const struct conf *conf = comity_conf(m);
	struct account *data = comity_account_data(m, comity_rq_account(rq));
	size_t place;

	if (!data->is_draining || (int64_t)data->count >= conf->max_waiting)
		return COMITY_PASS;
	if (comity_rq_kind(rq) != COMITY_MESSAGE &&
	    comity_jid_equal_bare(comity_rq_from(rq), comity_account_jid(comity_rq_account(rq))))
		return COMITY_PASS;
	data->waiting = realloc(data->waiting, (data->count + 1) * sizeof(*data->waiting));
	if (data->waiting == NULL)
		abort();
	place = comity_rq_is_again(rq) ? data->again++ : data->count;
	memmove(data->waiting + place + 1, data->waiting + place, (data->count++ - place) * sizeof(*data->waiting));
	data->waiting[place] = comity_rq_hold(rq);
	return COMITY_LATER;
}

static void on_account_unload(struct comity_mod *m, struct comity_account *a)
{
	struct account *data = comity_account_data(m, a);

	for (size_t i = 0; i < data->count; i++)
		comity_rq_release(data->waiting[i]);
	free(data->waiting);
}

static const struct comity_hook hooks[] = {
	{ COMITY_INCOMING, COMITY_COPY, COMITY_MESSAGE | COMITY_PRESENCE | COMITY_IQ, on_incoming },
	{ COMITY_INCOMING, COMITY_KEEP, COMITY_MESSAGE, on_keep },
	{ 0 },
};

static const struct comity_feature features[] = { { COMITY_TO_HOST, "msgoffline" }, { 0 } };

static const struct comity_option options[] = {
	COMITY_OPT_INT(struct conf, max_messages, "1000", 1, 10000000, "Most messages kept for one account."),
	COMITY_OPT_SIZE(struct conf, max_bytes, "256KiB", 1024, 67108864, "Largest message that is kept."),
	COMITY_OPT_INT(struct conf, max_waiting, "1000", 1, 1000000,
	               "New messages that wait while the kept ones are delivered."),
	{ 0 },
};

COMITY_MODULE(
	.name = "offline",
	.summary = "Keeps messages for accounts that are offline",
	.hooks = hooks,
	.features = features,
	.options = options,
	.conf_size = sizeof(struct conf),
	.account_size = sizeof(struct account),
	.account_unload = on_account_unload,
	.session_presence = on_presence,
	.session_restored = on_session_restored,
);
