/* SPDX-License-Identifier: MIT */
/* Presence: broadcast, probes, directed presence (RFC 6121 4). */
#include <comity/blocking.h>
#include <comity/module.h>
#include <comity/presence.h>
#include <comity/roster.h>
#include <stdlib.h>
#include <string.h>

struct conf {
	int64_t max_directed;
	uint64_t max_directed_size;
};

/* What others are to be told once memory is not short any more. */
enum owed { OWED_NOTHING, OWED_UPDATE, OWED_INITIAL };

struct session {
	/* Whom it has shown presence to beside its subscribers (RFC 6121 4.6). */
	struct comity_jid **directed;
	size_t count;
	size_t bytes;                      /* of their texts, one per line */
	enum owed owed;
	struct comity_session *session;    /* while something is owed; and then among those of the host: */
	struct session *next, **place;
};

/* Sessions that owe something. */
struct host {
	struct session *owing;
};

/* ---- directed presence ---- */

static struct comity_jid **find_directed(struct session *s, const struct comity_jid *to)
{
	for (size_t i = 0; i < s->count; i++)
		if (comity_jid_equal(s->directed[i], to))
			return &s->directed[i];
	return NULL;
}

static size_t line_size(const struct comity_jid *jid)
{
	return strlen(comity_jid_text(jid)) + 1;
}

static void clear_directed(struct session *s)
{
	while (s->count != 0)
		comity_jid_unref(s->directed[--s->count]);
	free(s->directed);
	s->directed = NULL;
	s->bytes = 0;
}

static void forget_directed(struct session *s, const struct comity_jid *to)
{
	struct comity_jid **found = find_directed(s, to);

	if (found == NULL)
		return;
	s->bytes -= line_size(*found);
	comity_jid_unref(*found);
	*found = s->directed[--s->count];
	if (s->count == 0)
		clear_directed(s);
}

static void add_directed(struct session *s, struct comity_jid *to)
{
	s->directed = realloc(s->directed, (s->count + 1) * sizeof(struct comity_jid *));
	if (s->directed == NULL)
		abort();
	s->directed[s->count++] = comity_jid_ref(to);
	s->bytes += line_size(to);
}

/* False when the session has reached one of its limits. */
static bool note_directed(const struct conf *conf, struct session *s, struct comity_jid *to)
{
	if ((int64_t)s->count >= conf->max_directed || s->bytes + line_size(to) > conf->max_directed_size)
		return false;
	add_directed(s, to);
	return true;
}

/* One address per line: what a restart must not forget, or they would never hear of the end. Only when it
 * is written, as it may be long. */
static void on_session_keep(struct comity_mod *m, struct comity_session *s)
{
	const struct session *data = comity_session_data(m, s);
	char *text = malloc(data->bytes + 1), *end = text;

	if (text == NULL)
		abort();
	for (size_t i = 0; i < data->count; i++) {
		size_t size = line_size(data->directed[i]);

		memcpy(end, comity_jid_text(data->directed[i]), size);
		end[size - 1] = '\n';
		end += size;
	}
	*end = '\0';
	comity_session_keep(m, s, "directed", data->count != 0 ? text : NULL);
	free(text);
}

static void on_session_restored(struct comity_mod *m, struct comity_session *s)
{
	const char *kept = comity_session_kept(m, s, "directed");
	char *text = kept != NULL ? strdup(kept) : NULL, *rest = text;

	for (char *line; text != NULL && (line = strsep(&rest, "\n")) != NULL;) {
		struct comity_jid *to = *line != '\0' ? comity_jid_parse(line) : NULL;

		if (to != NULL)
			add_directed(comity_session_data(m, s), to);
		comity_jid_unref(to);
	}
	free(text);
}

/* ---- contacts ---- */

/* Addresses of the roster whose subscription has one of the bits, without those that are blocked (XEP-0191 3.3); the
 * caller frees the array. */
static struct comity_jid **list_contacts(struct comity_mod *m, struct comity_account *a, unsigned bits, size_t *count)
{
	struct comity_mod *roster = NULL, *blocking = NULL;
	const struct comity_roster_api *api = comity_module_api(m, "roster", a, &roster);
	const struct comity_blocking_api *blocks = comity_module_api(m, "blocking", a, &blocking);
	const struct comity_roster_item *item;
	struct comity_jid **list = NULL;
	size_t pos = 0, room = 0;

	*count = 0;
	while (api != NULL && (item = api->next(roster, a, &pos)) != NULL) {
		if ((item->subscription & bits) == 0 || (blocks != NULL && blocks->is_blocked(blocking, a, item->jid)))
			continue;
		if (*count == room) {
			room = room != 0 ? room * 2 : 16;
			list = realloc(list, room * sizeof(*list));
			if (list == NULL)
				abort();
		}
		list[(*count)++] = item->jid;
	}
	return list;
}

static bool is_subscriber(struct comity_mod *m, struct comity_account *a, const struct comity_jid *contact)
{
	struct comity_mod *roster = NULL;
	const struct comity_roster_api *api = comity_module_api(m, "roster", a, &roster);
	const struct comity_roster_item *item = api != NULL ? api->find(roster, a, comity_jid_bare(contact)) : NULL;

	return item != NULL && (item->subscription & COMITY_SUB_FROM) != 0;
}

/* ---- broadcast ---- */

static void send_to_contacts(struct comity_mod *m, struct comity_session *s, const struct comity_stanza *st)
{
	size_t count;
	struct comity_jid **list = list_contacts(m, comity_session_account(s), COMITY_SUB_FROM, &count);

	comity_send_many(m, st, comity_session_jid(s), list, count);
	free(list);
}

/* RFC 6121 4.2.2: to all own available resources, the sender's own among them. */
static void send_to_own(struct comity_session *from, const struct comity_stanza *st)
{
	struct comity_account *a = comity_session_account(from);
	struct comity_session *next;

	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = next) {
		next = comity_session_next(s);
		if (comity_session_is_available(s))
			comity_session_send(s, st, comity_session_jid(from), comity_session_jid(s));
	}
}

/* What the other own resources have said, and what contacts say when probed (RFC 6121 4.3). */
static void learn_presence(struct comity_mod *m, struct comity_session *s)
{
	struct comity_account *a = comity_session_account(s);
	struct comity_stanza *probe = comity_stanza_new(COMITY_PRESENCE, COMITY_TYPE_PROBE);
	struct comity_jid **list;
	size_t count;

	for (struct comity_session *o = comity_account_first_session(a); o != NULL; o = comity_session_next(o))
		if (o != s && comity_session_is_available(o))
			comity_session_send(s, comity_session_presence(o), comity_session_jid(o), comity_session_jid(s));
	list = list_contacts(m, a, COMITY_SUB_TO, &count);
	comity_send_many(m, probe, comity_session_jid(s), list, count);
	free(list);
	comity_stanza_unref(probe);
}

/* ---- while memory is short ---- */

static void owe(struct comity_mod *m, struct comity_session *s, enum owed what)
{
	struct session *data = comity_session_data(m, s);
	struct host *host = comity_host_data(m);

	if (data->owed == OWED_NOTHING) {
		data->session = s;
		data->next = host->owing;
		data->place = &host->owing;
		if (data->next != NULL)
			data->next->place = &data->next;
		host->owing = data;
	}
	if (data->owed < what)
		data->owed = what;
}

/* Returns what was owed. */
static enum owed forgive(struct session *data)
{
	enum owed owed = data->owed;

	data->owed = OWED_NOTHING;
	if (owed == OWED_NOTHING)
		return owed;
	*data->place = data->next;
	if (data->next != NULL)
		data->next->place = data->place;
	return owed;
}

static void tell_others(struct comity_mod *m, struct comity_session *s, const struct comity_stanza *st, bool is_initial)
{
	send_to_contacts(m, s, st);
	if (is_initial)
		learn_presence(m, s);
}

static void on_relieved(struct comity_mod *m)
{
	struct host *host = comity_host_data(m);

	while (host->owing != NULL) {
		struct comity_session *s = host->owing->session;
		bool is_initial = forgive(host->owing) == OWED_INITIAL;
		struct comity_stanza *st = comity_stanza_ref(comity_session_presence(s));

		tell_others(m, s, st, is_initial);
		comity_stanza_unref(st);
	}
}

static void become_available(struct comity_mod *m, struct comity_session *s, struct comity_rq *rq)
{
	struct comity_stanza *st = comity_rq_flatten(rq);
	bool is_initial = !comity_session_is_available(s);

	comity_session_set_presence(s, st);
	send_to_own(s, st);
	if (comity_is_short(m))
		owe(m, s, is_initial ? OWED_INITIAL : OWED_UPDATE);
	else
		tell_others(m, s, st, is_initial);
	comity_stanza_unref(st);
}

/* RFC 6121 4.5.2: subscribers, other own resources, and whoever got directed presence. */
static void become_unavailable(struct comity_mod *m, struct comity_session *s, const struct comity_stanza *st)
{
	struct session *data = comity_session_data(m, s);
	bool was_available = comity_session_is_available(s);

	/* The end is told at once: others let go of memory then. */
	forgive(data);
	comity_session_set_presence(s, NULL);
	if (was_available) {
		send_to_own(s, st);
		send_to_contacts(m, s, st);
	}
	comity_send_many(m, st, comity_session_jid(s), data->directed, data->count);
	clear_directed(data);
	comity_session_changed(s);
}

static void on_session_closed(struct comity_mod *m, struct comity_session *s)
{
	struct session *data = comity_session_data(m, s);
	struct comity_stanza *st;

	if (!comity_session_is_available(s) && data->count == 0)
		return;
	st = comity_stanza_new(COMITY_PRESENCE, COMITY_TYPE_UNAVAILABLE);
	become_unavailable(m, s, st);
	comity_stanza_unref(st);
}

static void on_session_unload(struct comity_mod *m, struct comity_session *s)
{
	struct session *data = comity_session_data(m, s);

	forgive(data);
	clear_directed(data);
}

/* ---- from clients ---- */

static int on_directed(struct comity_mod *m, struct comity_session *s, struct comity_rq *rq)
{
	struct session *data = comity_session_data(m, s);
	struct comity_jid *to = comity_rq_to(rq);

	if (comity_rq_type(rq) == COMITY_TYPE_UNAVAILABLE) {
		forget_directed(data, to);
		comity_session_changed(s);
		return COMITY_PASS;
	}
	/* Subscribers hear of the end anyway, unless the session was never available to them. */
	if (comity_session_is_available(s) && is_subscriber(m, comity_session_account(s), to))
		return COMITY_PASS;
	if (find_directed(data, to) != NULL)
		return COMITY_PASS;
	if (!note_directed(comity_conf(m), data, to))
		return -COMITY_RESOURCE_CONSTRAINT;
	comity_session_changed(s);
	return COMITY_PASS;
}

static int on_outgoing(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_session *s = comity_rq_session(rq);
	enum comity_type type = comity_rq_type(rq);

	if (type == COMITY_TYPE_PROBE)
		return COMITY_DONE; /* RFC 6121 4.3: servers probe, not clients */
	if (type != COMITY_TYPE_AVAILABLE && type != COMITY_TYPE_UNAVAILABLE)
		return COMITY_PASS;
	if (comity_rq_to(rq) != NULL)
		return on_directed(m, s, rq);
	if (type == COMITY_TYPE_AVAILABLE)
		become_available(m, s, rq);
	else
		become_unavailable(m, s, comity_rq_stanza(rq));
	return COMITY_DONE;
}

/* ---- from others ---- */

static void answer_probe(struct comity_mod *m, struct comity_session *s, struct comity_jid *to)
{
	struct comity_stanza *st = comity_stanza_ref(comity_session_presence(s));

	comity_send(m, &st, comity_session_jid(s), to);
}

static bool has_directed(struct comity_mod *m, struct comity_session *s, const struct comity_jid *to)
{
	struct session *data = comity_session_data(m, s);

	return find_directed(data, to) != NULL;
}

static int on_probe(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_account *a = comity_rq_account(rq);
	struct comity_jid *from = comity_rq_from(rq);
	const char *resource = comity_jid_resource(comity_rq_to(rq));
	bool allowed = comity_jid_equal_bare(from, comity_account_jid(a)) || is_subscriber(m, a, from), any = false;
	struct comity_stanza *st;

	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s)) {
		if (!comity_session_is_available(s) || (!allowed && !has_directed(m, s, from)))
			continue;
		if (resource != NULL && s != comity_account_find_session(a, resource))
			continue;
		answer_probe(m, s, from);
		any = true;
	}
	/* RFC 6121 4.3.2: who may not see is told so, and only that. */
	if (!allowed && !any) {
		st = comity_stanza_new(COMITY_PRESENCE, COMITY_TYPE_UNSUBSCRIBED);
		comity_send(m, &st, comity_account_jid(a), comity_jid_bare(from));
	}
	return COMITY_DONE;
}

/* Whoever a session has shown itself to may show something to it, as a room does with all who are in it. */
static bool has_directed_to_any(struct comity_mod *m, struct comity_session *s, const struct comity_jid *bare)
{
	const struct session *data = comity_session_data(m, s);

	for (size_t i = 0; i < data->count; i++)
		if (comity_jid_equal_bare(data->directed[i], bare))
			return true;
	return false;
}

static bool is_wanted(struct comity_mod *m, struct comity_account *a, const struct comity_jid *from)
{
	struct comity_mod *roster = NULL;
	const struct comity_roster_api *api = comity_module_api(m, "roster", a, &roster);
	const struct comity_roster_item *item = api != NULL ? api->find(roster, a, comity_jid_bare(from)) : NULL;

	if (item != NULL && (item->subscription & COMITY_SUB_TO) != 0)
		return true;
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
		if (has_directed_to_any(m, s, from))
			return true;
	return false;
}

static int on_incoming(struct comity_mod *m, struct comity_rq *rq)
{
	if (comity_rq_type(rq) == COMITY_TYPE_PROBE)
		return on_probe(m, rq);
	if (comity_rq_is_followed(rq) && !is_wanted(m, comity_rq_account(rq), comity_rq_from(rq)))
		comity_rq_set_unasked(rq);
	return COMITY_PASS;
}

/* ---- for other modules ---- */

static struct comity_jid *api_next_directed(struct comity_mod *m, struct comity_session *s, size_t *pos)
{
	const struct session *data = comity_session_data(m, s);

	return *pos < data->count ? data->directed[(*pos)++] : NULL;
}

static void api_forget_directed(struct comity_mod *m, struct comity_session *s, const struct comity_jid *to)
{
	forget_directed(comity_session_data(m, s), to);
	comity_session_changed(s);
}

static const struct comity_presence_api api = {
	.next_directed = api_next_directed,
	.forget_directed = api_forget_directed,
};

static const struct comity_hook hooks[] = {
	{ COMITY_OUTGOING, COMITY_DELIVER, COMITY_PRESENCE, on_outgoing },
	{ COMITY_INCOMING, COMITY_DELIVER, COMITY_PRESENCE, on_incoming },
	{ 0 },
};

static const struct comity_option options[] = {
	COMITY_OPT_INT(struct conf, max_directed, "500", 0, 100000,
	               "Most addresses that one session shows presence to beside its subscribers."),
	COMITY_OPT_SIZE(struct conf, max_directed_size, "64KiB", 1024, 16777216, "Bytes that these addresses may have."),
	{ 0 },
};

static const char *const needs[] = { "roster", NULL };

COMITY_MODULE(
	.name = "presence",
	.summary = "Presence broadcast, probes and directed presence",
	.needs = needs,
	.hooks = hooks,
	.options = options,
	.conf_size = sizeof(struct conf),
	.host_size = sizeof(struct host),
	.session_size = sizeof(struct session),
	.api = &api,
	.session_closed = on_session_closed,
	.session_keep = on_session_keep,
	.session_restored = on_session_restored,
	.session_left = on_session_unload,
	.session_unload = on_session_unload,
	.relieved = on_relieved,
);
