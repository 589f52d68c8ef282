/* SPDX-License-Identifier: MIT */
/* Lets users change their password and remove their account, and, where allowed, register (XEP-0077). */
#include <arpa/inet.h>
#include <comity/module.h>
#include <stdlib.h>
#include <string.h>

#define NS_REGISTER "jabber:iq:register"
#define NS_FEATURE "http://jabber.org/features/iq-register"
#define ADDRESS_MAX 64

struct conf {
	bool allow_registration;
	int64_t registrations_per_address, min_password_length, max_addresses;
	uint64_t registration_window;
};

/* How often an address has registered lately. */
struct address {
	char text[ADDRESS_MAX];
	uint64_t since_ms;
	int64_t count;
};

struct host {
	struct address *addresses;
	size_t count;
};

struct account {
	bool is_changing;   /* its password, which takes long: one at a time */
};

/* ---- rate ---- */

static struct address *find_address(const struct conf *conf, struct host *h, const char *text, uint64_t now)
{
	struct address *a, *oldest = NULL;

	for (size_t i = 0; i < h->count; i++) {
		a = &h->addresses[i];
		if (strcmp(a->text, text) == 0)
			return a;
		if (oldest == NULL || a->since_ms < oldest->since_ms)
			oldest = a;
	}
	if ((int64_t)h->count < conf->max_addresses) {
		h->addresses = realloc(h->addresses, (h->count + 1) * sizeof(*h->addresses));
		if (h->addresses == NULL)
			abort();
		oldest = &h->addresses[h->count++];
	}
	*oldest = (struct address){ .since_ms = now };
	strncpy(oldest->text, text, ADDRESS_MAX - 1);
	return oldest;
}

/* Of an IPv6 address the first half counts: one customer has all of the second. */
static const char *network_of(const char *address, char room[ADDRESS_MAX])
{
	unsigned char bytes[16];

	if (inet_pton(AF_INET6, address, bytes) != 1)
		return address;
	memset(bytes + 8, 0, 8);
	return inet_ntop(AF_INET6, bytes, room, ADDRESS_MAX);
}

static bool is_too_often(struct comity_mod *m, const char *text)
{
	char room[ADDRESS_MAX];
	const struct conf *conf = comity_conf(m);
	uint64_t now = comity_now(m);
	struct address *a = find_address(conf, comity_host_data(m), network_of(text, room), now);

	if (now - a->since_ms > conf->registration_window) {
		a->since_ms = now;
		a->count = 0;
	}
	return ++a->count > conf->registrations_per_address;
}

/* ---- what is common ---- */

static const char *text_of(const struct comity_elem *query, const char *name)
{
	const struct comity_elem *e = comity_elem_find(query, NS_REGISTER, name);

	return e != NULL ? comity_elem_text(e) : NULL;
}

static size_t count_characters(const char *utf8)
{
	size_t n = 0;

	for (; *utf8 != '\0'; utf8++)
		n += ((unsigned char)*utf8 & 0xc0) != 0x80;
	return n;
}

static bool is_too_short(const struct comity_mod *m, const char *password)
{
	const struct conf *conf = comity_conf(m);

	return (int64_t)count_characters(password) < conf->min_password_length;
}

static void answer(struct comity_rq *rq, int status)
{
	if (status == 0)
		comity_reply(rq);
	else if (status == COMITY_STORE_EXISTS)
		comity_reply_error(rq, COMITY_CONFLICT, "this name is taken");
	else if (status == COMITY_PASSWORD_INVALID)
		comity_reply_error(rq, COMITY_NOT_ACCEPTABLE, "this password cannot be used");
	else if (status == COMITY_STORE_NO_SPACE)
		comity_reply_error(rq, COMITY_RESOURCE_CONSTRAINT, NULL);
	else
		comity_reply_error(rq, COMITY_INTERNAL_SERVER_ERROR, NULL);
	comity_rq_release(rq);
}

static void on_created(struct comity_mod *m, void *arg, int status)
{
	(void)m;
	answer(arg, status);
}

/* ---- before login ---- */

static int on_form(struct comity_rq *rq)
{
	struct comity_stanza *st = comity_reply_new(rq);
	struct comity_elem *query = comity_elem_add(comity_stanza_edit(st), NS_REGISTER, "query");

	comity_elem_add_text(query, NULL, "instructions", "Choose a name and a password.");
	comity_elem_add(query, NULL, "username");
	comity_elem_add(query, NULL, "password");
	return comity_reply_with(rq, &st);
}

static int on_stranger(struct comity_mod *m, struct comity_rq *rq)
{
	const struct conf *conf = comity_conf(m);
	const struct comity_elem *query = comity_rq_payload(rq);
	const char *name = text_of(query, "username"), *password = text_of(query, "password");
	struct comity_jid *jid;

	if (!conf->allow_registration)
		return comity_reply_error(rq, COMITY_NOT_ALLOWED, "registration is closed on this server");
	if (comity_rq_type(rq) == COMITY_TYPE_GET)
		return on_form(rq);
	if (name == NULL || password == NULL || *name == '\0')
		return -COMITY_NOT_ACCEPTABLE;
	jid = comity_jid_make(name, comity_host_name(m), NULL);
	if (jid == NULL)
		return -COMITY_JID_MALFORMED;
	if (is_too_short(m, password)) {
		comity_jid_unref(jid);
		return comity_reply_error(rq, COMITY_NOT_ACCEPTABLE, "the password is too short");
	}
	if (is_too_often(m, comity_rq_address(rq))) {
		comity_jid_unref(jid);
		return comity_reply_error(rq, COMITY_RESOURCE_CONSTRAINT, "too many registrations from this address");
	}
	comity_log(m, COMITY_INFO, "registering %s from %s", comity_jid_text(jid), comity_rq_address(rq));
	comity_account_create(m, jid, password, on_created, comity_rq_hold(rq));
	comity_jid_unref(jid);
	return COMITY_LATER;
}

/* ---- the own account ---- */

static int on_state(struct comity_rq *rq, struct comity_jid *own)
{
	struct comity_stanza *st = comity_reply_new(rq);
	struct comity_elem *query = comity_elem_add(comity_stanza_edit(st), NS_REGISTER, "query");
	char name[1024] = "";
	const char *local;
	size_t len;

	local = comity_jid_local(own, &len);
	memcpy(name, local, len < sizeof(name) ? len : sizeof(name) - 1);
	comity_elem_add(query, NULL, "registered");
	comity_elem_add_text(query, NULL, "username", name);
	comity_elem_add(query, NULL, "password");
	return comity_reply_with(rq, &st);
}

static int on_remove(struct comity_mod *m, struct comity_rq *rq, struct comity_jid *own)
{
	/* XEP-0077 3.2: <remove/> stands alone. The answer goes first, because the stream ends. */
	if (comity_elem_next(comity_elem_first(comity_rq_payload(rq))) != NULL)
		return -COMITY_BAD_REQUEST;
	comity_log(m, COMITY_INFO, "%s removes the account", comity_jid_text(own));
	comity_reply(rq);
	comity_account_remove(m, own, NULL, NULL);
	return COMITY_DONE;
}

static bool names_own_account(const char *name, const struct comity_mod *m, const struct comity_jid *own)
{
	struct comity_jid *jid = comity_jid_make(name, comity_host_name(m), NULL);
	bool same = jid != NULL && comity_jid_equal(jid, own);

	comity_jid_unref(jid);
	return same;
}

struct change {
	struct comity_rq *rq;
	struct comity_account *account;
};

static void on_changed(struct comity_mod *m, void *arg, int status)
{
	struct change *c = arg;
	struct account *data = comity_account_data(m, c->account);

	/* A reload may have taken the module away meanwhile. */
	if (data != NULL)
		data->is_changing = false;
	answer(c->rq, status);
	comity_account_unref(c->account);
	free(c);
}

static int change_password(struct comity_mod *m, struct comity_rq *rq, struct comity_jid *own, const char *password)
{
	struct comity_account *a = comity_session_account(comity_rq_session(rq));
	struct account *data = comity_account_data(m, a);
	struct change *c;

	/* Every change costs milliseconds of the threads that logins need, and of two that race either could win. */
	if (data != NULL && data->is_changing)
		return comity_reply_error(rq, COMITY_RESOURCE_CONSTRAINT, "another change of this password is under way");
	c = malloc(sizeof(*c));
	if (c == NULL)
		abort();
	*c = (struct change){ comity_rq_hold(rq), comity_account_ref(a) };
	if (data != NULL)
		data->is_changing = true;
	comity_account_set_password(m, own, password, on_changed, c);
	return COMITY_LATER;
}

static int on_user(struct comity_mod *m, struct comity_rq *rq)
{
	const struct comity_elem *query = comity_rq_payload(rq);
	const char *name = text_of(query, "username"), *password = text_of(query, "password");
	struct comity_jid *own = comity_jid_bare(comity_rq_from(rq));

	/* Addressed to the host by somebody of another host. */
	if (comity_rq_session(rq) == NULL || strcmp(comity_jid_domain(own), comity_host_name(m)) != 0)
		return -COMITY_NOT_ALLOWED;
	if (comity_rq_type(rq) == COMITY_TYPE_GET)
		return on_state(rq, own);
	if (comity_elem_find(query, NS_REGISTER, "remove") != NULL)
		return on_remove(m, rq, own);
	if (password == NULL || *password == '\0')
		return -COMITY_BAD_REQUEST;
	if (name != NULL && !names_own_account(name, m, own))
		return -COMITY_NOT_ALLOWED;
	if (is_too_short(m, password))
		return comity_reply_error(rq, COMITY_NOT_ACCEPTABLE, "the password is too short");
	return change_password(m, rq, own, password);
}

static bool is_open(struct comity_mod *m, struct comity_elem *feature)
{
	(void)feature;
	return ((const struct conf *)comity_conf(m))->allow_registration;
}

static void unload(struct comity_mod *m)
{
	free(((struct host *)comity_host_data(m))->addresses);
}

static const struct comity_iq iqs[] = {
	{ COMITY_GET | COMITY_SET, COMITY_TO_HOST | COMITY_TO_SELF, NS_REGISTER, "query", NS_REGISTER, on_user },
	{ COMITY_GET | COMITY_SET, COMITY_TO_PREAUTH, NS_REGISTER, "query", NULL, on_stranger },
	{ 0 },
};

static const struct comity_stream_feature stream_features[] = { { false, NS_FEATURE, "register", is_open }, { 0 } };

static const struct comity_option options[] = {
	COMITY_OPT_BOOL(struct conf, allow_registration, "no", "Let anyone make an account."),
	COMITY_OPT_INT(struct conf, registrations_per_address, "3", 1, 1000000,
	               "Accounts that one address may try to make within registration_window, per worker."),
	COMITY_OPT_TIME(struct conf, registration_window, "1h", 1000, 2592000000, "See registrations_per_address."),
	COMITY_OPT_INT(struct conf, max_addresses, "10000", 1, 10000000, "Addresses remembered, per worker."),
	COMITY_OPT_INT(struct conf, min_password_length, "1", 1, 1000, "Fewest characters of a password."),
	{ 0 },
};

COMITY_MODULE(
	.name = "register",
	.summary = "Password change, account removal and, where allowed, registration",
	.iqs = iqs,
	.stream_features = stream_features,
	.options = options,
	.conf_size = sizeof(struct conf),
	.host_size = sizeof(struct host),
	.account_size = sizeof(struct account),
	.unload = unload,
);
