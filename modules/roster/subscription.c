/* SPDX-License-Identifier: MIT */
/* The state machine of subscriptions (RFC 6121 3 and appendix A). */
#include <comity/blocking.h>
#include <stdlib.h>
#include <string.h>

#include "roster.h"

static struct comity_jid *own_jid(struct comity_account *a)
{
	return comity_account_jid(a);
}

/* ---- what a change brings about ---- */

static void send_presence_type(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact,
                               enum comity_type type)
{
	struct comity_stanza *st = comity_stanza_new(COMITY_PRESENCE, type);

	comity_send(m, &st, own_jid(a), contact);
}

/* RFC 6121 3.1.5: a new subscriber gets the presence of every available resource. */
static void show_presence(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact)
{
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s)) {
		struct comity_stanza *st = comity_stanza_ref(comity_session_presence(s));

		if (st != NULL)
			comity_send(m, &st, comity_session_jid(s), contact);
	}
}

static bool is_blocked(struct comity_mod *m, struct comity_account *a, const struct comity_jid *contact)
{
	struct comity_mod *blocking = NULL;
	const struct comity_blocking_api *blocks = comity_module_api(m, "blocking", a, &blocking);

	return blocks != NULL && blocks->is_blocked(blocking, a, contact);
}

/* RFC 6121 3.2.2, 3.3.3: one who lost the subscription sees every resource leave. Who is blocked has seen that, and must
 * not learn which have come since (XEP-0191 3.3). */
static void hide_presence(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact)
{
	if (is_blocked(m, a, contact))
		return;
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s)) {
		struct comity_stanza *st;

		if (!comity_session_is_available(s))
			continue;
		st = comity_stanza_new(COMITY_PRESENCE, COMITY_TYPE_UNAVAILABLE);
		comity_send(m, &st, comity_session_jid(s), contact);
	}
}

static void clear_request(struct comity_roster_item *item)
{
	item->asked = false;
	free(item->request);
	item->request = NULL;
}

static bool is_empty(const struct comity_roster_item *item)
{
	return !item->is_listed && !item->asked && !item->approved && !item->ask && item->subscription == COMITY_SUB_NONE;
}

/* Saves, and pushes when clients see the item. What is not listed has no push: a pending request is
 * not in the roster (RFC 6121 3.1.3). */
static void commit(struct comity_mod *m, struct comity_account *a, struct comity_roster_item *item, bool is_visible)
{
	struct comity_jid *contact = comity_jid_ref(item->jid);
	struct roster *r = roster_of(m, a);

	item->version = 0;
	if (is_visible) {
		item->is_listed = true;
		roster_touch(m, r, item);
	}
	if (is_empty(item)) {
		roster_drop(r, item);
		item = NULL;
	}
	roster_save(m, a, contact, NULL, NULL);
	if (is_visible && item != NULL)
		roster_push(m, a, contact, item);
	comity_jid_unref(contact);
}

/* ---- outgoing: RFC 6121 A.2 ---- */

static int out_subscribe(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact)
{
	struct comity_roster_item *item = roster_get(roster_of(m, a), contact);

	if ((item->subscription & COMITY_SUB_TO) == 0 && !item->ask) {
		item->ask = true;
		commit(m, a, item, true);
	}
	return COMITY_PASS;
}

static int out_unsubscribe(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact)
{
	struct comity_roster_item *item = roster_find(roster_of(m, a), contact);

	if (item != NULL && ((item->subscription & COMITY_SUB_TO) != 0 || item->ask)) {
		item->subscription &= COMITY_SUB_FROM;
		item->ask = false;
		commit(m, a, item, true);
	}
	return COMITY_PASS;
}

static int out_subscribed(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact)
{
	struct roster *r = roster_of(m, a);
	struct comity_roster_item *item = roster_find(r, contact);

	if (item != NULL && item->asked) {
		clear_request(item);
		item->approved = false;
		item->subscription |= COMITY_SUB_FROM;
		commit(m, a, item, true);
		return COMITY_PASS;
	}
	/* RFC 6121 3.4: nobody asked yet; the approval waits and is not routed. */
	item = roster_get(r, contact);
	if ((item->subscription & COMITY_SUB_FROM) == 0 && !item->approved) {
		item->approved = true;
		commit(m, a, item, true);
	}
	return COMITY_DONE;
}

static int out_unsubscribed(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact)
{
	struct comity_roster_item *item = roster_find(roster_of(m, a), contact);
	bool had_from;

	if (item == NULL)
		return COMITY_DONE;
	had_from = (item->subscription & COMITY_SUB_FROM) != 0;
	if (!had_from && !item->asked) {
		/* RFC 6121 3.4.2: takes a pre-approval back. */
		if (item->approved) {
			item->approved = false;
			commit(m, a, item, true);
		}
		return COMITY_DONE;
	}
	if (had_from)
		hide_presence(m, a, contact);
	item->subscription &= COMITY_SUB_TO;
	item->approved = false;
	clear_request(item);
	/* Refusing a stranger changes nothing that clients see. */
	commit(m, a, item, had_from || item->is_listed);
	return COMITY_PASS;
}

/* The limit that forbids the user to deal with a contact, who would be listed; NULL when there is room. */
static const char *find_limit(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact)
{
	const struct roster *r = roster_of(m, a);
	const struct comity_roster_item *item = roster_find(r, contact), stranger = { .jid = contact };

	return roster_find_limit(r, comity_conf(m), item, item != NULL ? item : &stranger);
}

int roster_on_outgoing(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_account *a = comity_rq_account(rq);
	enum comity_type type = comity_rq_type(rq);
	struct comity_jid *to = comity_rq_to(rq), *contact;
	int verdict = COMITY_PASS;
	const char *limit = NULL;

	if (type != COMITY_TYPE_SUBSCRIBE && type != COMITY_TYPE_SUBSCRIBED && type != COMITY_TYPE_UNSUBSCRIBE &&
	    type != COMITY_TYPE_UNSUBSCRIBED)
		return COMITY_PASS;
	if (to == NULL)
		return -COMITY_BAD_REQUEST;
	contact = comity_jid_bare(to);
	/* One sees one's own presence without asking. */
	if (comity_jid_equal(contact, own_jid(a)))
		return COMITY_DONE;
	if (type == COMITY_TYPE_SUBSCRIBE || type == COMITY_TYPE_SUBSCRIBED)
		limit = find_limit(m, a, contact);
	if (limit != NULL)
		return comity_reply_error(rq, COMITY_RESOURCE_CONSTRAINT, limit);
	switch (type) {
	case COMITY_TYPE_SUBSCRIBE:
		verdict = out_subscribe(m, a, contact);
		break;
	case COMITY_TYPE_UNSUBSCRIBE:
		verdict = out_unsubscribe(m, a, contact);
		break;
	case COMITY_TYPE_UNSUBSCRIBED:
		verdict = out_unsubscribed(m, a, contact);
		break;
	default:
		verdict = out_subscribed(m, a, contact);
		break;
	}
	if (verdict == COMITY_PASS) {
		/* RFC 6121 3.1.2: subscription goes to the bare address. The presence comes after it. */
		comity_send_many(m, comity_rq_stanza(rq), own_jid(a), &contact, 1);
		if (type == COMITY_TYPE_SUBSCRIBED)
			show_presence(m, a, contact);
		verdict = COMITY_DONE;
	}
	return verdict;
}

/* ---- incoming: RFC 6121 A.3 ---- */

/* RFC 6121 3.1.3: a request goes to the available resources, what else happens to the interested ones
 * too (3.1.6, 3.2.3, 3.3.3). */
static void tell_sessions(struct comity_mod *m, struct comity_account *a, struct comity_rq *rq)
{
	bool is_request = comity_rq_type(rq) == COMITY_TYPE_SUBSCRIBE;
	struct comity_session *next;

	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = next) {
		const struct roster_session *data = comity_session_data(m, s);

		next = comity_session_next(s);
		if (comity_session_is_available(s) || (data->is_interested && !is_request))
			comity_session_send_rq(s, rq);
	}
}

/* RFC 6121 3.1.3: the whole request is kept, within limits, because strangers send it. */
static int keep_request(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact, struct comity_rq *rq)
{
	const struct roster_conf *conf = comity_conf(m);
	struct roster *r = roster_of(m, a);
	struct comity_roster_item *item = roster_find(r, contact);
	size_t len;
	char *request;

	if (item == NULL && (int64_t)(r->count - roster_count_listed(r)) >= conf->max_requests)
		return -COMITY_RESOURCE_CONSTRAINT;
	request = comity_rq_to_xml(rq, &len);
	if (len > conf->max_request_size) {
		free(request);
		return -COMITY_NOT_ACCEPTABLE;
	}
	if (r->sizes.request + len > conf->max_requests_size) {
		free(request);
		return -COMITY_RESOURCE_CONSTRAINT;
	}
	item = roster_get(r, contact);
	free(item->request);
	item->request = request;
	item->asked = true;
	commit(m, a, item, false);
	tell_sessions(m, a, rq);
	return COMITY_DONE;
}

static int in_subscribe(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact, struct comity_rq *rq)
{
	struct comity_roster_item *item = roster_find(roster_of(m, a), contact);

	/* RFC 6121 3.1.3: who is subscribed already is told so, and the user is left in peace. */
	if (item != NULL && (item->subscription & COMITY_SUB_FROM) != 0) {
		send_presence_type(m, a, contact, COMITY_TYPE_SUBSCRIBED);
		return COMITY_DONE;
	}
	if (item != NULL && item->approved) {
		item->approved = false;
		item->subscription |= COMITY_SUB_FROM;
		clear_request(item);
		commit(m, a, item, true);
		send_presence_type(m, a, contact, COMITY_TYPE_SUBSCRIBED);
		show_presence(m, a, contact);
		return COMITY_DONE;
	}
	return item != NULL && item->asked ? COMITY_DONE : keep_request(m, a, contact, rq);
}

static int in_unsubscribe(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact,
                          struct comity_rq *rq)
{
	struct comity_roster_item *item = roster_find(roster_of(m, a), contact);
	bool had_from;

	if (item == NULL || ((item->subscription & COMITY_SUB_FROM) == 0 && !item->asked))
		return COMITY_DONE;
	had_from = (item->subscription & COMITY_SUB_FROM) != 0;
	item->subscription &= COMITY_SUB_TO;
	clear_request(item);
	tell_sessions(m, a, rq);
	commit(m, a, item, had_from);
	if (had_from)
		hide_presence(m, a, contact);
	return COMITY_DONE;
}

static int in_subscribed(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact,
                         struct comity_rq *rq)
{
	struct comity_roster_item *item = roster_find(roster_of(m, a), contact);

	if (item == NULL || !item->ask)
		return COMITY_DONE;
	item->ask = false;
	item->subscription |= COMITY_SUB_TO;
	tell_sessions(m, a, rq);
	commit(m, a, item, true);
	return COMITY_DONE;
}

static int in_unsubscribed(struct comity_mod *m, struct comity_account *a, struct comity_jid *contact,
                           struct comity_rq *rq)
{
	struct comity_roster_item *item = roster_find(roster_of(m, a), contact);

	if (item == NULL || (!item->ask && (item->subscription & COMITY_SUB_TO) == 0))
		return COMITY_DONE;
	item->ask = false;
	item->subscription &= COMITY_SUB_FROM;
	tell_sessions(m, a, rq);
	commit(m, a, item, true);
	return COMITY_DONE;
}

int roster_on_incoming(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_account *a = comity_rq_account(rq);
	struct comity_jid *contact = comity_jid_bare(comity_rq_from(rq));

	switch (comity_rq_type(rq)) {
	case COMITY_TYPE_SUBSCRIBE:
		return in_subscribe(m, a, contact, rq);
	case COMITY_TYPE_UNSUBSCRIBE:
		return in_unsubscribe(m, a, contact, rq);
	case COMITY_TYPE_SUBSCRIBED:
		return in_subscribed(m, a, contact, rq);
	case COMITY_TYPE_UNSUBSCRIBED:
		return in_unsubscribed(m, a, contact, rq);
	default:
		return COMITY_PASS;
	}
}

/* ---- the rest ---- */

void roster_end_subscription(struct comity_mod *m, struct comity_account *a, const struct comity_roster_item *item)
{
	if ((item->subscription & COMITY_SUB_TO) != 0 || item->ask)
		send_presence_type(m, a, item->jid, COMITY_TYPE_UNSUBSCRIBE);
	if ((item->subscription & COMITY_SUB_FROM) != 0) {
		hide_presence(m, a, item->jid);
		send_presence_type(m, a, item->jid, COMITY_TYPE_UNSUBSCRIBED);
	} else if (item->asked) {
		send_presence_type(m, a, item->jid, COMITY_TYPE_UNSUBSCRIBED);
	}
}

static void show_request(struct comity_session *s, const struct comity_roster_item *item)
{
	struct comity_stanza *st = comity_stanza_parse(item->request, strlen(item->request));

	if (st != NULL)
		comity_session_send_kept(s, st, item->jid, comity_account_jid(comity_session_account(s)));
	comity_stanza_unref(st);
}

static void on_shown(struct comity_mod *m, void *arg, enum comity_written how)
{
	struct roster_session *data = arg;

	(void)m, (void)how;
	data->is_showing = false;
}

void roster_on_presence(struct comity_mod *m, struct comity_session *s, bool was_available)
{
	struct comity_account *a = comity_session_account(s);
	const struct roster *r = roster_of(m, a);
	struct roster_session *data = comity_session_data(m, s);
	size_t bytes = 0, room = comity_session_room(s);

	/* While they are on their way to a client it does not get them again, however often it comes and goes. */
	if (was_available || !comity_session_is_available(s) || data->is_showing)
		return;
	for (size_t i = 0; i < r->count; i++) {
		size_t len = r->items[i]->request != NULL ? strlen(r->items[i]->request) : 0;

		/* What there is no room for is shown when others have been answered. */
		if (len == 0 || bytes + len > room || is_blocked(m, a, r->items[i]->jid))
			continue;
		bytes += len;
		show_request(s, r->items[i]);
	}
	if (bytes == 0)
		return;
	data->is_showing = true;
	comity_session_await_written(m, s, 0, on_shown, data);
}
