/* SPDX-License-Identifier: MIT */
/* Spares clients that nobody looks at: holds back what can wait (XEP-0352). */
#include <comity/module.h>
#include <stdlib.h>
#include <string.h>

#define NS_CSI "urn:xmpp:csi:0"
#define NS_CHATSTATES "http://jabber.org/protocol/chatstates"
#define NS_RECEIPTS "urn:xmpp:receipts"
#define NS_MARKERS "urn:xmpp:chat-markers:0"
#define NS_CARBONS "urn:xmpp:carbons:2"
#define NS_FORWARD "urn:xmpp:forward:0"
#define NS_MUC_USER "http://jabber.org/protocol/muc#user"

struct conf {
	int64_t max_held;
	uint64_t max_bytes;
};

/* A stanza that waits, with what it weighs. */
struct held {
	struct held *next;
	struct comity_stanza *st;
	struct comity_jid *from, *to;
	size_t size;
};

/* In the order of coming. */
struct queue {
	struct queue *next, **place;   /* among those of the host */
	struct held *first, **last;
	size_t count, bytes;
};

/* All queues: when the process ends, nobody asks for those of its sessions. */
struct host {
	struct queue *queues;
};

/* Made when a client first says that it is inactive. */
struct session {
	struct queue *queue;   /* NULL: active */
};

enum verdict { DELIVER, HOLD, DROP };

/* ---- the queue ---- */

static void held_free(struct held *h)
{
	comity_stanza_unref(h->st);
	comity_jid_unref(h->from);
	comity_jid_unref(h->to);
	free(h);
}

static struct queue *queue_new(struct host *host)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (q == NULL)
		abort();
	q->last = &q->first;
	q->next = host->queues;
	q->place = &host->queues;
	if (q->next != NULL)
		q->next->place = &q->next;
	host->queues = q;
	return q;
}

static void queue_free(struct queue *q)
{
	for (struct held *h = q->first, *next; h != NULL; h = next) {
		next = h->next;
		held_free(h);
	}
	*q->place = q->next;
	if (q->next != NULL)
		q->next->place = q->place;
	free(q);
}

static struct held *take(struct queue *q, struct held **place)
{
	struct held *h = *place;

	*place = h->next;
	if (h->next == NULL)
		q->last = place;
	q->count--;
	q->bytes -= h->size;
	return h;
}

/* Of a resource only the last presence counts. */
static void forget_presence(struct comity_session *s, struct queue *q, const struct comity_jid *from)
{
	for (struct held **h = &q->first; *h != NULL; h = &(*h)->next) {
		if (comity_stanza_kind((*h)->st) == COMITY_PRESENCE && comity_jid_equal((*h)->from, from)) {
			comity_session_add_bytes(s, -(ptrdiff_t)(*h)->size);
			held_free(take(q, h));
			return;
		}
	}
}

static void put(struct comity_session *s, struct queue *q, const struct comity_rq *rq)
{
	struct held *h = calloc(1, sizeof(*h));

	if (h == NULL)
		abort();
	h->st = comity_rq_flatten(rq);
	h->from = comity_jid_ref(comity_rq_from(rq));
	h->to = comity_rq_to(rq) != NULL ? comity_jid_ref(comity_rq_to(rq)) : NULL;
	h->size = sizeof(*h) + comity_stanza_size(h->st);
	*q->last = h;
	q->last = &h->next;
	q->count++;
	q->bytes += h->size;
	comity_session_add_bytes(s, (ptrdiff_t)h->size);
}

/* Writes all of it in order; the queue is empty before the first is written, which may end the session. */
static void flush(struct comity_session *s, struct queue *q)
{
	struct held *all = q->first, *next;

	comity_session_add_bytes(s, -(ptrdiff_t)q->bytes);
	q->first = NULL;
	q->last = &q->first;
	q->count = q->bytes = 0;
	for (struct held *h = all; h != NULL; h = next) {
		next = h->next;
		comity_session_write(s, h->st, h->from, h->to);
		held_free(h);
	}
	comity_session_write_now(s);
}

/* ---- what can wait ---- */

/* Travels with something else, and says nothing by itself. */
static bool is_by_the_way(const struct comity_elem *e)
{
	static const char *const namespaces[] = { "urn:xmpp:hints", "urn:xmpp:sid:0", "urn:xmpp:occupant-id:0",
	                                          "urn:xmpp:delay", NULL };

	if (comity_elem_is(e, NULL, "thread"))
		return true;
	for (const char *const *ns = namespaces; *ns != NULL; ns++)
		if (strcmp(comity_elem_ns(e), *ns) == 0)
			return true;
	return false;
}

/* Says that a message came or was read (XEP-0184, XEP-0333). */
static bool is_receipt(const struct comity_elem *e)
{
	return comity_elem_is(e, NS_RECEIPTS, "received") || comity_elem_is(e, NS_MARKERS, "received") ||
	       comity_elem_is(e, NS_MARKERS, "displayed") || comity_elem_is(e, NS_MARKERS, "acknowledged");
}

/* What is not known does not wait. */
static enum verdict judge_content(const struct comity_elem *message)
{
	enum verdict verdict = DELIVER;

	for (const struct comity_elem *e = comity_elem_first(message); e != NULL; e = comity_elem_next(e)) {
		if (is_by_the_way(e))
			continue;
		if (is_receipt(e))
			verdict = HOLD;
		else if (strcmp(comity_elem_ns(e), NS_CHATSTATES) != 0)
			return DELIVER;
		else if (verdict == DELIVER)
			verdict = DROP;
	}
	return verdict;
}

/* A copy of what the user's other clients got or sent (XEP-0280) matters as much as what is in it. */
static const struct comity_elem *inside_of(const struct comity_rq *rq)
{
	const struct comity_elem *message = comity_rq_root(rq), *copy = comity_elem_find(message, NS_CARBONS, NULL);

	if (copy == NULL || !comity_jid_equal(comity_rq_from(rq), comity_account_jid(comity_rq_account(rq))))
		return message;
	copy = comity_elem_find(copy, NS_FORWARD, "forwarded");
	copy = copy != NULL ? comity_elem_find(copy, NULL, "message") : NULL;
	return copy != NULL ? copy : message;
}

static enum verdict judge_message(const struct comity_rq *rq)
{
	const struct comity_elem *message = inside_of(rq);
	const char *type = comity_elem_attr(message, "type");

	if (comity_rq_type(rq) == COMITY_TYPE_ERROR || (type != NULL && strcmp(type, "error") == 0))
		return DELIVER;
	return judge_content(message);
}

/* A room says that it is the user's own presence there (XEP-0045 7.2.2): the client has asked for that. */
static bool is_own_in_room(const struct comity_elem *presence)
{
	const struct comity_elem *x = comity_elem_find(presence, NS_MUC_USER, "x");

	for (const struct comity_elem *e = x != NULL ? comity_elem_first(x) : NULL; e != NULL; e = comity_elem_next(e)) {
		const char *code = comity_elem_is(e, NULL, "status") ? comity_elem_attr(e, "code") : NULL;

		if (code != NULL && strcmp(code, "110") == 0)
			return true;
	}
	return false;
}

static enum verdict judge(const struct comity_rq *rq)
{
	if (comity_rq_from(rq) == NULL)
		return DELIVER;
	switch (comity_rq_kind(rq)) {
	case COMITY_MESSAGE:
		return judge_message(rq);
	case COMITY_PRESENCE:
		if (comity_rq_type(rq) != COMITY_TYPE_AVAILABLE && comity_rq_type(rq) != COMITY_TYPE_UNAVAILABLE)
			return DELIVER;
		return is_own_in_room(comity_rq_root(rq)) ? DELIVER : HOLD;
	default:
		return DELIVER;
	}
}

/* Messages wait where they are safe if there is such a place; presence can be lost. */
static void hold(const struct conf *conf, struct comity_session *s, struct queue *q, struct comity_rq *rq)
{
	size_t later = 0;

	if (comity_rq_kind(rq) == COMITY_PRESENCE)
		forget_presence(s, q, comity_rq_from(rq));
	else
		later = comity_session_write_later(s, rq);
	if (later == 0)
		put(s, q, rq);
	if (later + q->count >= (size_t)conf->max_held || q->bytes >= conf->max_bytes)
		flush(s, q);
}

static int on_to_session(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_session *s = comity_rq_session(rq);
	const struct session *data = comity_session_find_data(m, s);
	enum verdict verdict;

	if (data == NULL || data->queue == NULL)
		return COMITY_PASS;
	verdict = judge(rq);
	if (verdict == DELIVER)
		flush(s, data->queue);
	else if (verdict == HOLD)
		hold(comity_conf(m), s, data->queue, rq);
	return verdict == DELIVER ? COMITY_PASS : COMITY_DONE;
}

/* ---- states ---- */

static void become_active(struct comity_mod *m, struct comity_session *s)
{
	struct session *data = comity_session_find_data(m, s);
	struct queue *q = data != NULL ? data->queue : NULL;

	if (q == NULL)
		return;
	data->queue = NULL;
	flush(s, q);
	queue_free(q);
}

static void on_active(struct comity_mod *m, struct comity_session *s, const struct comity_elem *e)
{
	(void)e;
	become_active(m, s);
}

static void on_inactive(struct comity_mod *m, struct comity_session *s, const struct comity_elem *e)
{
	struct session *data = comity_session_data(m, s);

	(void)e;
	if (data->queue == NULL)
		data->queue = queue_new(comity_host_data(m));
}

/* Receipts go on to whoever gets the session's messages now; presence was for this session only. */
static void on_session_closed(struct comity_mod *m, struct comity_session *s)
{
	struct session *data = comity_session_find_data(m, s);
	struct queue *q = data != NULL ? data->queue : NULL;

	if (q == NULL)
		return;
	for (struct held **h = &q->first; *h != NULL;) {
		if (comity_stanza_kind((*h)->st) != COMITY_PRESENCE) {
			h = &(*h)->next;
			continue;
		}
		comity_session_add_bytes(s, -(ptrdiff_t)(*h)->size);
		held_free(take(q, h));
	}
	become_active(m, s);
}

/* While the session waits to be resumed nothing is spared by holding back, and its own queue is what survives; a
 * resumed stream begins as active (XEP-0352 5.2). When the module goes, nobody would send it later. */
static void on_session_suspended(struct comity_mod *m, struct comity_session *s)
{
	become_active(m, s);
}

static void on_unload(struct comity_mod *m)
{
	struct host *host = comity_host_data(m);

	while (host->queues != NULL)
		queue_free(host->queues);
}

static const struct comity_hook hooks[] = {
	{ COMITY_TO_SESSION, COMITY_KEEP, COMITY_MESSAGE | COMITY_PRESENCE | COMITY_IQ, on_to_session },
	{ 0 },
};

static const struct comity_stream_feature stream_features[] = { { true, NS_CSI, "csi", NULL }, { 0 } };

static const struct comity_stream_element stream_elements[] = {
	{ NS_CSI, "active", on_active },
	{ NS_CSI, "inactive", on_inactive },
	{ 0 },
};

static const struct comity_option options[] = {
	COMITY_OPT_INT(struct conf, max_held, "100", 1, 1000,
	               "Stanzas held back for one inactive client; when there are so many they are sent."),
	COMITY_OPT_SIZE(struct conf, max_bytes, "128KiB", 1024, 16777216,
	                "Memory that these may take; when it is used up they are sent."),
	{ 0 },
};

COMITY_MODULE(
	.name = "csi",
	.summary = "Spares clients that nobody looks at",
	.hooks = hooks,
	.stream_features = stream_features,
	.stream_elements = stream_elements,
	.options = options,
	.conf_size = sizeof(struct conf),
	.host_size = sizeof(struct host),
	.session_size = sizeof(struct session),
	.unload = on_unload,
	.session_closed = on_session_closed,
	.session_suspended = on_session_suspended,
	.session_resumed = on_session_suspended,
	.session_left = on_session_suspended,
);
