/* SPDX-License-Identifier: MIT */
/* Shows a user's other clients what one of them sends and receives (XEP-0280). */
#include <comity/module.h>
#include <stdlib.h>
#include <string.h>

#define NS_CARBONS "urn:xmpp:carbons:2"
#define NS_RULES "urn:xmpp:carbons:rules:0"
#define KEY "enabled"

/* How many copied messages are remembered, so that errors in answer to them are copied too. */
#define REMEMBERED 64

struct session {
	bool enabled;
};

struct account {
	unsigned enabled;      /* sessions */
	unsigned at;           /* the next to be written in copied */
	uint64_t *copied;      /* REMEMBERED of them; NULL until the first copy */
};

/* ---- which messages (XEP-0280 6.1) ---- */

/* Of a message that was copied, and of an error that answers it: the other side and the id. 0: nobody can tell. */
static uint64_t key_of(const struct comity_rq *rq, const struct comity_jid *peer)
{
	const char *id = comity_rq_id(rq);
	uint64_t key = comity_jid_hash(comity_jid_bare(peer));

	if (id == NULL)
		return 0;
	for (; *id != '\0'; id++)
		key = (key ^ (unsigned char)*id) * 0x100000001b3;
	return key;
}

static bool was_copied(const struct account *a, uint64_t key)
{
	for (unsigned i = 0; key != 0 && a->copied != NULL && i < REMEMBERED; i++)
		if (a->copied[i] == key)
			return true;
	return false;
}

static void remember(struct account *a, uint64_t key)
{
	if (key == 0)
		return;
	if (a->copied == NULL && (a->copied = calloc(REMEMBERED, sizeof(*a->copied))) == NULL)
		abort();
	a->copied[a->at] = key;
	a->at = (a->at + 1) % REMEMBERED;
}

static bool is_eligible(const struct account *a, const struct comity_rq *rq, const struct comity_jid *peer, bool incoming)
{
	unsigned parts = comity_rq_parts(rq);
	enum comity_type type = comity_rq_type(rq);

	if (type == COMITY_TYPE_GROUPCHAT)
		return false;
	/* What an error holds is a copy of what it answers. */
	if (type == COMITY_TYPE_ERROR)
		return was_copied(a, key_of(rq, peer));
	if ((parts & (COMITY_PART_PRIVATE | COMITY_PART_NO_COPY | COMITY_PART_CARBON)) != 0)
		return false;
	if ((parts & COMITY_PART_INVITATION) != 0)
		return true;
	/* The room sends it to all joined clients itself. */
	if (incoming && (parts & COMITY_PART_MUC_USER) != 0 && !comity_jid_is_bare(peer))
		return false;
	return type == COMITY_TYPE_CHAT || (type == COMITY_TYPE_NORMAL && (parts & COMITY_PART_BODY) != 0) ||
	       (parts & (COMITY_PART_RECEIPT | COMITY_PART_CHAT_STATE | COMITY_PART_MARKER)) != 0;
}

/* ---- copies ---- */

static void copy(struct comity_mod *m, struct comity_rq *rq, const char *name, bool incoming)
{
	struct comity_account *a = comity_rq_account(rq);
	struct comity_jid *from = comity_rq_from(rq);
	struct comity_stanza *st = NULL;

	/* A session may end while it is written to, so the next one is found first. */
	for (struct comity_session *s = comity_account_first_session(a), *next; s != NULL; s = next) {
		const struct session *data = comity_session_data(m, s);

		next = comity_session_next(s);
		if (!data->enabled || !comity_session_is_available(s) || comity_jid_equal(comity_session_jid(s), from) ||
		    (incoming && comity_rq_reaches(rq, s)))
			continue;
		if (st == NULL)
			st = comity_rq_forward(rq, NS_CARBONS, name);
		comity_session_send(s, st, comity_account_jid(a), comity_session_jid(s));
	}
	if (st != NULL)
		remember(comity_account_data(m, a), key_of(rq, incoming ? from : comity_rq_to(rq)));
	comity_stanza_unref(st);
}

static int on_outgoing(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_account *account = comity_rq_account(rq);
	const struct account *a = comity_account_data(m, account);
	const struct session *own;

	if (a->enabled == 0)
		return COMITY_PASS;
	own = comity_session_data(m, comity_rq_session(rq));
	/* What one sends to oneself is copied when it comes in, so that nobody gets it twice. */
	if (a->enabled == (own->enabled ? 1 : 0) || comity_jid_equal_bare(comity_rq_to(rq), comity_account_jid(account)) ||
	    !is_eligible(a, rq, comity_rq_to(rq), false))
		return COMITY_PASS;
	copy(m, rq, "sent", false);
	return COMITY_PASS;
}

/* Behind all that may stop or hold it, so that it is copied at the moment that it is delivered. */
static int on_incoming(struct comity_mod *m, struct comity_rq *rq)
{
	const struct account *a = comity_account_data(m, comity_rq_account(rq));

	/* Those who were there when a message came for the first time have their copies. */
	if (a->enabled == 0 || comity_rq_is_again(rq) || !is_eligible(a, rq, comity_rq_from(rq), true) ||
	    comity_rq_is_refused(rq))
		return COMITY_PASS;
	copy(m, rq, "received", true);
	return COMITY_PASS;
}

/* ---- forged copies ---- */

static bool is_copy(void *arg, const struct comity_elem *child)
{
	(void)arg;
	return comity_elem_is(child, NS_CARBONS, "sent") || comity_elem_is(child, NS_CARBONS, "received");
}

/* Only the server makes copies, and it does not send them this way: whatever comes with one is somebody's lie, or a
 * copy whose session has gone. */
static int on_filter(struct comity_mod *m, struct comity_rq *rq)
{
	unsigned parts = comity_rq_parts(rq);

	(void)m;
	if ((parts & COMITY_PART_CARBON) == 0)
		return COMITY_PASS;
	if ((parts & ~(unsigned)(COMITY_PART_CARBON | COMITY_PART_STANZA_ID)) == 0)
		return COMITY_DONE;
	comity_rq_strip(rq, is_copy, NULL);
	return COMITY_PASS;
}

/* ---- enabling ---- */

static void set_enabled(struct comity_mod *m, struct comity_session *s, bool enabled)
{
	struct session *data = comity_session_data(m, s);
	struct account *a = comity_account_data(m, comity_session_account(s));

	if (data->enabled == enabled)
		return;
	data->enabled = enabled;
	if (enabled)
		a->enabled++;
	else
		a->enabled--;
}

static int on_change(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_session *s = comity_rq_session(rq);
	bool enabled = comity_elem_is(comity_rq_payload(rq), NULL, "enable");

	if (s == NULL)
		return -COMITY_NOT_ALLOWED;
	set_enabled(m, s, enabled);
	comity_session_keep(m, s, KEY, enabled ? "1" : NULL);
	return comity_reply(rq);
}

static int on_foreign(struct comity_mod *m, struct comity_rq *rq)
{
	(void)m;
	(void)rq;
	return -COMITY_NOT_ALLOWED;
}

static void on_session_restored(struct comity_mod *m, struct comity_session *s)
{
	set_enabled(m, s, comity_session_kept(m, s, KEY) != NULL);
}

static void on_session_closed(struct comity_mod *m, struct comity_session *s)
{
	set_enabled(m, s, false);
}

static void on_account_unload(struct comity_mod *m, struct comity_account *account)
{
	struct account *a = comity_account_data(m, account);

	free(a->copied);
}

static const struct comity_iq iqs[] = {
	{ COMITY_SET, COMITY_TO_SELF, NS_CARBONS, "enable", NS_CARBONS, on_change },
	{ COMITY_SET, COMITY_TO_SELF, NS_CARBONS, "disable", NS_CARBONS, on_change },
	{ COMITY_SET, COMITY_TO_BARE, NS_CARBONS, NULL, NULL, on_foreign },
	{ 0 },
};

static const struct comity_hook hooks[] = {
	{ COMITY_OUTGOING, COMITY_COPY, COMITY_MESSAGE, on_outgoing },
	{ COMITY_INCOMING, COMITY_FILTER, COMITY_MESSAGE, on_filter },
	{ COMITY_INCOMING, COMITY_DELIVER, COMITY_MESSAGE, on_incoming },
	{ 0 },
};

static const struct comity_feature features[] = {
	{ COMITY_TO_HOST, NS_CARBONS },
	{ COMITY_TO_HOST | COMITY_TO_SELF, NS_RULES },
	{ 0 },
};

COMITY_MODULE(
	.name = "carbons",
	.summary = "Shows a user's other clients what one of them sends and receives",
	.iqs = iqs,
	.hooks = hooks,
	.features = features,
	.account_size = sizeof(struct account),
	.session_size = sizeof(struct session),
	.account_unload = on_account_unload,
	.session_closed = on_session_closed,
	.session_restored = on_session_restored,
);
