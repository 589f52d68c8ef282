/* SPDX-License-Identifier: MIT */
/* Keeps messages for accounts that nobody is logged in to (XEP-0160, XEP-0203). */
#include <comity/blocking.h>
#include <comity/module.h>
#include <stdlib.h>
#include <string.h>

#define STORE "offline"
#define NS_DELAY "urn:xmpp:delay"

/* Stored messages come in pages of so many, and of no more bytes than the session has room for at once. */
#define PAGE_MESSAGES 1000
/* New ones wait so long for pages that a client has yet to take; then they overtake. */
#define HOLD_MS 3000

struct conf {
	int64_t max_messages, max_waiting;
	uint64_t max_bytes, max_total;
};

/* While stored messages are on their way to a session, later ones wait, so that order is kept. */
struct account {
	bool is_draining;          /* pages are read, or the next one is once the session has taken the last one */
	bool is_holding;           /* new ones wait */
	bool has_lost;             /* pages were not taken: they are to be read again, behind lost_after */
	unsigned untaken;          /* pages that may be lost yet */
	uint64_t last;             /* id up to which messages are with a session, though perhaps still in the store */
	uint64_t lost_after;
	uint64_t kept;             /* messages given to the store since the account was loaded */
	uint64_t none_at;          /* kept + 1 when a session looked and there were none behind last */
	uint64_t hold_until;
	const struct page *page;   /* behind which the next one is read; NULL: one is being read */
	struct comity_rq **waiting;
	size_t count, again;       /* again: of a session that has ended, these stand in front */
	size_t bytes, max_bytes;   /* of those that wait */
};

struct session {
	bool is_away;              /* it has no stream */
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
	struct account *data = comity_account_data(m, comity_rq_account(rq));
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
	entry.max_bytes = conf->max_total;
	entry.with = comity_jid_text(comity_jid_bare(comity_rq_from(rq)));
	data->kept++;
	comity_archive_append(m, comity_account_jid(comity_rq_account(rq)), STORE, &entry, (uint64_t)conf->max_messages,
	                      on_stored, comity_rq_hold(rq));
	free(xml);
	return COMITY_LATER;
}

/* ---- delivering ---- */

/* Messages on their way to one session, until they are safe there and it has taken them. */
struct page {
	unsigned refs;
	struct comity_account *account;
	char *resource;
	uint64_t after, first, last;   /* ids; after: of the page before */
	uint64_t kept;                 /* of the account, when it was asked for */
	bool is_managed;               /* safe with the session, whether it has taken them or not */
	bool is_safe, is_taken;
};

static void page_unref(struct page *p)
{
	if (--p->refs != 0)
		return;
	comity_account_unref(p->account);
	free(p->resource);
	free(p);
}

static void stop_holding(struct comity_mod *m, struct comity_account *a)
{
	struct account *data = comity_account_data(m, a);
	struct comity_rq **waiting = data->waiting;
	size_t count = data->count;

	data->waiting = NULL;
	data->count = data->again = data->bytes = 0;
	data->is_holding = false;
	for (size_t i = 0; i < count; i++)
		comity_rq_continue(waiting[i]);
	free(waiting);
}

/* The process ends. */
static void forget_waiting(struct account *data)
{
	for (size_t i = 0; i < data->count; i++)
		comity_rq_release(data->waiting[i]);
	free(data->waiting);
	data->waiting = NULL;
	data->count = data->again = data->bytes = 0;
}

/* Whether the sender has been blocked since (XEP-0191). */
static bool is_blocked(struct comity_mod *m, struct comity_session *s, const struct comity_jid *from)
{
	struct comity_mod *blocking = NULL;
	const struct comity_blocking_api *api = comity_module_api(m, "blocking", comity_session_account(s), &blocking);

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

/* ---- pages ---- */

/* A reload may have taken the module away meanwhile. */
static bool is_here(struct comity_mod *m, struct comity_account *a)
{
	return comity_account_data(m, a) != NULL && !comity_account_is_removed(a);
}

static bool is_away(struct comity_mod *m, const struct comity_session *s)
{
	const struct session *data = comity_session_find_data(m, s);

	return data != NULL && data->is_away;
}

static bool takes_stored(const struct comity_session *s)
{
	/* RFC 6121 8.5.2.2: to a resource that takes messages for the account. */
	return comity_session_is_available(s) && comity_session_priority(s) >= 0;
}

static void on_read(struct comity_mod *m, void *arg, const struct store_entries *entries);

static void begin(struct comity_mod *m, struct comity_session *s)
{
	struct comity_account *a = comity_session_account(s);
	struct account *data = comity_account_data(m, a);
	size_t room = comity_session_room(s);
	struct store_query query = { .limit = PAGE_MESSAGES, .max_bytes = room };
	struct page *p = calloc(1, sizeof(*p));

	if (p == NULL || (p->resource = strdup(comity_jid_resource(comity_session_jid(s)))) == NULL)
		abort();
	p->refs = 1;
	p->account = comity_account_ref(a);
	p->after = query.after_id = data->last;
	p->kept = data->kept;
	if (!data->is_draining) {
		data->is_draining = data->is_holding = true;
		data->hold_until = comity_now(m) + HOLD_MS;
	}
	data->max_bytes = room;
	data->page = NULL;
	comity_archive_query(m, comity_account_jid(a), STORE, &query, on_read, p);
}

/* A session that takes them now. */
static struct comity_session *find_present(struct comity_mod *m, struct comity_account *a)
{
	struct comity_session *s = comity_account_first_session(a);

	while (s != NULL && (!takes_stored(s) || is_away(m, s)))
		s = comity_session_next(s);
	return s;
}

/* The session that they were for is gone or away, and another one is there. */
static bool begin_anew(struct comity_mod *m, struct comity_account *a)
{
	struct comity_session *s = find_present(m, a);

	if (s == NULL)
		for (s = comity_account_first_session(a); s != NULL && !takes_stored(s); s = comity_session_next(s))
			;
	if (s != NULL)
		begin(m, s);
	return s != NULL;
}

/* What a session has not taken comes again, unless others are with one that may yet take them. */
static bool take_back_lost(struct account *data)
{
	if (!data->has_lost || data->untaken != 0)
		return false;
	data->has_lost = false;
	data->none_at = 0;
	if (data->lost_after < data->last)
		data->last = data->lost_after;
	return true;
}

static void end(struct comity_mod *m, struct comity_account *a)
{
	struct account *data = comity_account_data(m, a);

	data->is_draining = false;
	data->page = NULL;
	if (!take_back_lost(data) || !begin_anew(m, a))
		stop_holding(m, a);
}

static void go_on(struct comity_mod *m, struct comity_account *a, const char *resource)
{
	struct comity_session *s = comity_account_find_session(a, resource);

	take_back_lost(comity_account_data(m, a));
	if (s != NULL && takes_stored(s))
		begin(m, s);
	else if (!begin_anew(m, a))
		end(m, a);
}

/* ---- what becomes of a page ---- */

/* Until then the account stays, and with it what is known of those that are with a session. */
static void on_deleted(struct comity_mod *m, void *arg, int status)
{
	(void)m, (void)status;
	page_unref(arg);
}

static void delete_delivered(struct comity_mod *m, struct page *p)
{
	if (!p->is_safe || !(p->is_managed || p->is_taken) || comity_account_is_removed(p->account))
		return;
	p->refs++;
	comity_archive_delete(m, comity_account_jid(p->account), STORE, p->first, p->last, on_deleted, p);
}

static void on_safe(struct comity_mod *m, void *arg)
{
	struct page *p = arg;

	p->is_safe = true;
	delete_delivered(m, p);
	page_unref(p);
}

/* Without stream management only what has left is taken out of the store. */
static void settle(struct comity_mod *m, struct page *p, bool is_taken)
{
	struct account *data = comity_account_data(m, p->account);

	if (p->is_managed)
		return;
	p->is_taken = is_taken;
	if (is_taken)
		delete_delivered(m, p);
	else if (!data->has_lost || p->after < data->lost_after)
		data->lost_after = p->after;
	data->has_lost |= !is_taken;
	data->untaken--;
}

static void on_written(struct comity_mod *m, void *arg, enum comity_written how)
{
	struct page *p = arg;
	struct account *data = comity_account_data(m, p->account);

	if (how == COMITY_NOT_WRITTEN_YET) {
		if (data != NULL)
			stop_holding(m, p->account);
		return;
	}
	/* They hold the account. */
	if (how == COMITY_WRITE_FORGOTTEN && data != NULL) {
		forget_waiting(data);
	} else if (data != NULL && !comity_account_is_removed(p->account)) {
		settle(m, p, how == COMITY_WRITTEN);
		if (data->page == p)
			go_on(m, p->account, p->resource);
		else if (!data->is_draining)
			end(m, p->account);
	}
	page_unref(p);
}

/* The next page follows when the session has taken this one: more would have to wait in memory, and count as not
 * being read. */
static void await(struct comity_mod *m, struct page *p, struct comity_session *s, bool is_last)
{
	struct account *data = comity_account_data(m, p->account);
	uint64_t now = comity_now(m), ms = 0;

	/* Nobody knows when one without a stream takes it. */
	if (!is_last && is_away(m, s))
		stop_holding(m, p->account);
	if (!is_last && data->is_holding)
		ms = data->hold_until > now ? data->hold_until - now : 1;
	if (!is_last)
		data->page = p;
	p->refs++;
	data->untaken += !p->is_managed;
	comity_session_await_written(m, s, ms, on_written, p);
}

static void deliver_page(struct comity_mod *m, struct page *p, struct comity_session *s,
                         const struct store_entries *entries)
{
	struct account *data = comity_account_data(m, p->account);
	struct comity_safe *safe = comity_safe_new(m, on_safe, p);

	p->refs++;
	p->first = entries->entries[0].id;
	p->last = entries->entries[entries->count - 1].id;
	p->is_managed = comity_session_is_managed(s);
	for (size_t i = 0; i < entries->count; i++)
		deliver(m, safe, s, &entries->entries[i]);
	data->last = p->last;
	await(m, p, s, entries->total <= entries->count);
	comity_safe_release(safe);
}

static void take_page(struct comity_mod *m, struct page *p, const struct store_entries *entries)
{
	struct comity_account *a = p->account;
	struct comity_session *s = comity_account_find_session(a, p->resource);
	struct comity_session *present = s != NULL && is_away(m, s) ? find_present(m, a) : NULL;

	if (entries->status == 0 && entries->count == 0)
		((struct account *)comity_account_data(m, a))->none_at = p->kept + 1;
	if (present != NULL) {
		begin(m, present);
		return;
	}
	/* Without a session they stay for the next one. */
	if (s != NULL && entries->count != 0)
		deliver_page(m, p, s, entries);
	if (s != NULL ? entries->count == 0 || entries->total <= entries->count : !begin_anew(m, a))
		end(m, a);
}

static void on_read(struct comity_mod *m, void *arg, const struct store_entries *entries)
{
	struct page *p = arg;

	if (entries->status != 0)
		comity_log(m, COMITY_ERROR, "the stored messages of %s could not be read",
		           comity_jid_text(comity_account_jid(p->account)));
	if (is_here(m, p->account))
		take_page(m, p, entries);
	else if (comity_account_data(m, p->account) != NULL)
		stop_holding(m, p->account);
	page_unref(p);
}

/* ---- sessions ---- */

/* It need not be looked up at each login. */
static bool has_none(const struct account *data)
{
	return data->none_at == data->kept + 1 && !data->is_draining && !data->has_lost;
}

/* Who comes while another one is away gets what that one has not got yet. */
static void on_presence(struct comity_mod *m, struct comity_session *s, bool was_available)
{
	struct comity_account *a = comity_session_account(s);
	const struct account *data = comity_account_data(m, a);
	const struct comity_session *other = NULL;

	(void)was_available;
	if (!takes_stored(s) || has_none(data))
		return;
	if (data->page != NULL)
		other = comity_account_find_session(a, data->page->resource);
	if (!data->is_draining || (other != NULL && other != s && is_away(m, other)))
		begin(m, s);
}

static void on_session_suspended(struct comity_mod *m, struct comity_session *s)
{
	struct session *session = comity_session_data(m, s);
	struct comity_account *a = comity_session_account(s);
	const struct account *data = comity_account_data(m, a);
	struct comity_session *present;

	session->is_away = true;
	if (data->page == NULL || comity_account_find_session(a, data->page->resource) != s)
		return;
	present = find_present(m, a);
	if (present != NULL)
		begin(m, present);
	else
		stop_holding(m, a);
}

static void on_session_resumed(struct comity_mod *m, struct comity_session *s)
{
	struct session *session = comity_session_data(m, s);

	session->is_away = false;
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
	struct session *session = comity_session_data(m, s);

	session->is_away = true;
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
	size_t size = comity_stanza_size(comity_rq_stanza(rq)), place;

	if (!data->is_holding || (int64_t)data->count >= conf->max_waiting || data->bytes + size > data->max_bytes)
		return COMITY_PASS;
	if (comity_rq_kind(rq) != COMITY_MESSAGE &&
	    comity_jid_equal_bare(comity_rq_from(rq), comity_account_jid(comity_rq_account(rq))))
		return COMITY_PASS;
	/* What another session had is older than what is yet to be read. */
	if (comity_rq_is_again(rq) && data->page != NULL)
		return COMITY_PASS;
	data->bytes += size;
	data->waiting = realloc(data->waiting, (data->count + 1) * sizeof(*data->waiting));
	if (data->waiting == NULL)
		abort();
	place = comity_rq_is_again(rq) ? data->again++ : data->count;
	memmove(data->waiting + place + 1, data->waiting + place, (data->count++ - place) * sizeof(*data->waiting));
	data->waiting[place] = comity_rq_hold(rq);
	return COMITY_LATER;
}

/* A reload has switched the module off: their senders may have been told that they are safe. */
static void on_account_unload(struct comity_mod *m, struct comity_account *a)
{
	stop_holding(m, a);
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
	COMITY_OPT_SIZE(struct conf, max_total, "20MiB", 1024, 68719476736, "Most bytes of messages kept for one account."),
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
	.session_size = sizeof(struct session),
	.account_unload = on_account_unload,
	.session_presence = on_presence,
	.session_restored = on_session_restored,
	.session_suspended = on_session_suspended,
	.session_resumed = on_session_resumed,
);
