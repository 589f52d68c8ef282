/* SPDX-License-Identifier: MIT */
/* Keeps a vCard per account (XEP-0054) and the hash of its photo in presence (XEP-0153). */
#include <comity/module.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_VCARD "vcard-temp"
#define NS_UPDATE "vcard-temp:x:update"
#define STORE_CARD "vcard"
#define STORE_PHOTO "vcard_photo"
#define KEY "card"
#define HASH_SIZE 20

struct conf {
	uint64_t max_size;
};

struct account {
	char photo[2 * HASH_SIZE + 1];   /* "" when there is no photo */
};

/* ---- get ---- */

static void on_read(struct comity_mod *m, void *arg, const struct store_result *result)
{
	struct comity_rq *rq = arg;
	struct comity_stanza *st, *stored = NULL;

	(void)m;
	if (result->status != 0 && result->status != COMITY_STORE_NOT_FOUND) {
		comity_reply_error(rq, COMITY_INTERNAL_SERVER_ERROR, NULL);
		comity_rq_release(rq);
		return;
	}
	if (result->status == 0)
		stored = comity_stanza_parse_inside(result->rows[0].value, result->rows[0].len);
	/* XEP-0054 3.1: no card is an error, or for oneself an empty card. */
	if (stored == NULL && !comity_jid_equal_bare(comity_rq_from(rq), comity_rq_to(rq))) {
		comity_reply_error(rq, COMITY_ITEM_NOT_FOUND, NULL);
		comity_rq_release(rq);
		return;
	}
	st = comity_reply_new(rq);
	if (stored != NULL)
		comity_elem_add_copy(comity_stanza_edit(st), comity_elem_first(comity_stanza_root(stored)));
	else
		comity_elem_add(comity_stanza_edit(st), NS_VCARD, "vCard");
	comity_stanza_unref(stored);
	comity_reply_with(rq, &st);
	comity_rq_release(rq);
}

/* ---- set ---- */

struct change {
	struct comity_rq *rq;
	struct comity_account *account;
	char photo[2 * HASH_SIZE + 1];
};

static void on_saved(struct comity_mod *m, void *arg, int status)
{
	struct change *c = arg;
	struct account *data = comity_account_data(m, c->account);

	if (status == 0) {
		if (data != NULL)
			memcpy(data->photo, c->photo, sizeof(c->photo));
		comity_reply(c->rq);
	} else {
		comity_reply_error(c->rq, status == COMITY_STORE_NO_SPACE ? COMITY_RESOURCE_CONSTRAINT :
		                                                            COMITY_INTERNAL_SERVER_ERROR, NULL);
	}
	comity_rq_release(c->rq);
	comity_account_unref(c->account);
	free(c);
}

/* Base64 in a card comes with line breaks. */
static char *without_space(const char *text)
{
	char *copy = malloc(strlen(text) + 1), *at = copy;

	if (copy == NULL)
		abort();
	for (; *text != '\0'; text++)
		if (strchr(" \t\r\n", *text) == NULL)
			*at++ = *text;
	*at = '\0';
	return copy;
}

static void hash_photo(const struct comity_elem *card, char *out)
{
	const struct comity_elem *photo = comity_elem_find(card, NULL, "PHOTO");
	const struct comity_elem *value = photo != NULL ? comity_elem_find(photo, NULL, "BINVAL") : NULL;
	gnutls_datum_t in, bytes = { 0 };
	unsigned char hash[HASH_SIZE];
	char *text;

	out[0] = '\0';
	if (value == NULL)
		return;
	text = without_space(comity_elem_text(value));
	in = (gnutls_datum_t){ (unsigned char *)text, (unsigned)strlen(text) };
	if (in.size != 0 && gnutls_base64_decode2(&in, &bytes) == 0 && bytes.size != 0 &&
	    gnutls_hash_fast(GNUTLS_DIG_SHA1, bytes.data, bytes.size, hash) == 0)
		for (int i = 0; i < HASH_SIZE; i++)
			snprintf(out + 2 * i, 3, "%02x", hash[i]);
	gnutls_free(bytes.data);
	free(text);
}

static int on_set(struct comity_mod *m, struct comity_rq *rq)
{
	const struct conf *conf = comity_conf(m);
	struct comity_account *a = comity_rq_account(rq);
	struct store_row rows[2] = { { .store = STORE_CARD, .key = KEY }, { .store = STORE_PHOTO, .key = KEY } };
	struct change *c;
	char *xml;

	xml = comity_elem_to_xml(comity_rq_payload(rq), &rows[0].len);
	if (rows[0].len > conf->max_size) {
		free(xml);
		return comity_reply_error(rq, COMITY_NOT_ACCEPTABLE, "the vCard is over max_size");
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		abort();
	c->rq = comity_rq_hold(rq);
	c->account = comity_account_ref(a);
	hash_photo(comity_rq_payload(rq), c->photo);
	rows[0].value = xml;
	rows[1].value = c->photo[0] != '\0' ? c->photo : NULL;
	rows[1].len = strlen(c->photo);
	comity_map_put(m, comity_account_jid(a), rows, 2, on_saved, c);
	free(xml);
	return COMITY_LATER;
}

static int on_own(struct comity_mod *m, struct comity_rq *rq)
{
	if (comity_rq_type(rq) == COMITY_TYPE_SET)
		return on_set(m, rq);
	comity_map_get(m, comity_account_jid(comity_rq_account(rq)), STORE_CARD, KEY, on_read, comity_rq_hold(rq));
	return COMITY_LATER;
}

/* Cards are public; only the owner writes. */
static int on_foreign(struct comity_mod *m, struct comity_rq *rq)
{
	return comity_rq_type(rq) == COMITY_TYPE_SET ? -COMITY_FORBIDDEN : on_own(m, rq);
}

/* ---- the photo in presence ---- */

/* A client that knows nothing of the photo would hide it by saying nothing. */
static int on_outgoing(struct comity_mod *m, struct comity_rq *rq)
{
	const struct account *data = comity_account_data(m, comity_rq_account(rq));
	struct comity_elem *x;

	if (comity_rq_type(rq) != COMITY_TYPE_AVAILABLE || comity_rq_to(rq) != NULL || data->photo[0] == '\0' ||
	    comity_elem_find(comity_rq_root(rq), NS_UPDATE, "x") != NULL)
		return COMITY_PASS;
	x = comity_rq_stamp(rq, NS_UPDATE, "x");
	comity_elem_add_text(x, NULL, "photo", data->photo);
	return COMITY_PASS;
}

static void on_account_load(struct comity_mod *m, struct comity_account *a, const struct store_row *rows, size_t count)
{
	struct account *data = comity_account_data(m, a);

	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].key, KEY) == 0 && rows[i].len == 2 * HASH_SIZE)
			memcpy(data->photo, rows[i].value, 2 * HASH_SIZE);
}

static const struct comity_iq iqs[] = {
	{ COMITY_GET | COMITY_SET, COMITY_TO_SELF, NS_VCARD, "vCard", NS_VCARD, on_own },
	{ COMITY_GET | COMITY_SET, COMITY_TO_BARE, NS_VCARD, "vCard", NS_VCARD, on_foreign },
	{ 0 },
};

static const struct comity_hook hooks[] = {
	{ COMITY_OUTGOING, COMITY_COPY, COMITY_PRESENCE, on_outgoing },
	{ 0 },
};

static const struct comity_feature features[] = { { COMITY_TO_HOST, NS_VCARD }, { 0 } };

static const struct comity_option options[] = {
	COMITY_OPT_SIZE(struct conf, max_size, "128KiB", 1024, 16777216, "Largest vCard that is kept."),
	{ 0 },
};

static const char *const account_maps[] = { STORE_PHOTO, NULL };

COMITY_MODULE(
	.name = "vcard",
	.summary = "Keeps a vCard per account and its photo's hash in presence",
	.iqs = iqs,
	.hooks = hooks,
	.features = features,
	.options = options,
	.conf_size = sizeof(struct conf),
	.account_maps = account_maps,
	.account_size = sizeof(struct account),
	.account_load = on_account_load,
);
