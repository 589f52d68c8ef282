/* SPDX-License-Identifier: MIT */
/* Gives incoming messages an id of the account, and takes away forged ones (XEP-0359). */
#include <comity/module.h>
#include <string.h>

#define NS_SID "urn:xmpp:sid:0"

/* 96 bits of chance, four characters for three bytes. */
#define ID_BYTES 12
#define ID_CHARS 16
#define POOL_IDS 256

/* Chance is drawn for many ids at once. */
struct host {
	unsigned char pool[POOL_IDS * ID_BYTES];
	unsigned left;
};

/* ---- forged ids ---- */

/* Whose id this would be. */
struct claim {
	const struct comity_mod *mod;
	const struct comity_jid *account;
};

/* Written in another way it means the same to who compares addresses. */
static bool is_ours(const struct claim *claim, const char *by)
{
	struct comity_jid *jid;
	bool ours;

	if (strcmp(by, comity_jid_text(claim->account)) == 0 || strcmp(by, comity_host_name(claim->mod)) == 0)
		return true;
	jid = comity_jid_parse(by);
	ours = jid != NULL && (comity_jid_equal(jid, claim->account) || comity_jid_equal(jid, comity_host_jid(claim->mod)));
	comity_jid_unref(jid);
	return ours;
}

static bool is_forged(void *arg, const struct comity_elem *child)
{
	const char *by;

	if (!comity_elem_is(child, NS_SID, "stanza-id"))
		return false;
	by = comity_elem_attr(child, "by");
	return by != NULL && is_ours(arg, by);
}

/* XEP-0359 3, rule 2: even from what gets no id, and from what the account itself sends. */
static int on_filter(struct comity_mod *m, struct comity_rq *rq)
{
	struct claim claim = { m, comity_account_jid(comity_rq_account(rq)) };

	if ((comity_rq_parts(rq) & COMITY_PART_STANZA_ID) == 0 || comity_rq_is_again(rq))
		return COMITY_PASS;
	for (const struct comity_elem *e = comity_elem_first(comity_rq_root(rq)); e != NULL; e = comity_elem_next(e)) {
		if (is_forged(&claim, e)) {
			comity_rq_strip(rq, is_forged, &claim);
			break;
		}
	}
	return COMITY_PASS;
}

/* ---- ids ---- */

static void make_id(struct comity_mod *m, char id[ID_CHARS + 1])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct host *h = comity_host_data(m);
	const unsigned char *bytes;

	if (h->left == 0) {
		comity_random(m, h->pool, sizeof(h->pool));
		h->left = POOL_IDS;
	}
	bytes = h->pool + (size_t)--h->left * ID_BYTES;
	for (int i = 0; i < ID_BYTES / 3; i++, bytes += 3, id += 4) {
		id[0] = digits[bytes[0] >> 2];
		id[1] = digits[(bytes[0] & 3) << 4 | bytes[1] >> 4];
		id[2] = digits[(bytes[1] & 15) << 2 | bytes[2] >> 6];
		id[3] = digits[bytes[2] & 63];
	}
	*id = '\0';
}

/* What an archive would keep (XEP-0313 5.1, XEP-0334 4). */
static bool deserves_id(const struct comity_rq *rq)
{
	enum comity_type type = comity_rq_type(rq);
	unsigned parts = comity_rq_parts(rq);

	if (type != COMITY_TYPE_CHAT && type != COMITY_TYPE_NORMAL)
		return false;
	if ((parts & (COMITY_PART_NO_STORE | COMITY_PART_NO_PERMANENT_STORE)) != 0)
		return false;
	return parts != 0 && !comity_parts_are_fleeting(parts);
}

/* Behind COMITY_ARCHIVE: an archive that stamps what it keeps with the id that it has there is left alone. */
static int on_incoming(struct comity_mod *m, struct comity_rq *rq)
{
	struct comity_elem *e;
	char id[ID_CHARS + 1];

	if (!deserves_id(rq) || comity_rq_is_again(rq) || comity_rq_find_stamp(rq, NS_SID, "stanza-id") != NULL)
		return COMITY_PASS;
	make_id(m, id);
	e = comity_rq_stamp(rq, NS_SID, "stanza-id");
	comity_elem_set(e, "by", comity_jid_text(comity_account_jid(comity_rq_account(rq))));
	comity_elem_set(e, "id", id);
	return COMITY_PASS;
}

static const struct comity_hook hooks[] = {
	{ COMITY_OUTGOING, COMITY_FILTER, COMITY_MESSAGE, on_filter },
	{ COMITY_INCOMING, COMITY_FILTER, COMITY_MESSAGE, on_filter },
	{ COMITY_INCOMING, COMITY_COPY, COMITY_MESSAGE, on_incoming },
	{ 0 },
};

static const struct comity_feature features[] = { { COMITY_TO_SELF | COMITY_TO_BARE, NS_SID }, { 0 } };

COMITY_MODULE(
	.name = "stanza_id",
	.summary = "Gives incoming messages an id of the account",
	.hooks = hooks,
	.features = features,
	.host_size = sizeof(struct host),
);
