/* SPDX-License-Identifier: MIT */
/* Server dialback (XEP-0220), all roles; keys by XEP-0185. */
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stream/s2s.h"
#include "xml/elem.h"
#include "xml/writer.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#define KEY_SIZE 65
/* Longer keys of others are not kept while they are verified. */
#define FOREIGN_KEY_MAX 1024

/* XEP-0185 2: HMAC-SHA256(SHA256(secret), receiving ' ' originating ' ' id), which any worker can make
 * again from what the question names. */
static void make_key(const struct s2s *s, const char *receiving, const char *originating, const char *id,
                     char key[KEY_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char hash[32], mac[32];
	char hashed[KEY_SIZE];
	struct buf text = { 0 };

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, s->shared->dialback_secret, 32, hash) != 0)
		abort();
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(hashed + 2 * i, 3, "%02x", hash[i]);
	buf_printf(&text, "%s %s %s", receiving, originating, id);
	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, hashed, 64, buf_bytes(&text), buf_size(&text), mac) != 0)
		abort();
	buf_deinit(&text);
	for (size_t i = 0; i < sizeof(mac); i++) {
		key[2 * i] = hex[mac[i] >> 4];
		key[2 * i + 1] = hex[mac[i] & 15];
	}
	key[KEY_SIZE - 1] = '\0';
}

static bool is_same_key(const char *a, const char *b)
{
	return strlen(a) == strlen(b) && gnutls_memcmp(a, b, strlen(a)) == 0;
}

/* ---- writing ---- */

struct element {
	const char *name, *from, *to, *id, *type, *text;
	enum comity_cond cond;     /* with type error */
	const char *error_text;
};

static void send_element(struct s2s *s, const struct element *e)
{
	struct buf out = { 0 };

	buf_printf(&out, "<db:%s", e->name);
	xml_write_attr(&out, "from", e->from);
	xml_write_attr(&out, "to", e->to);
	if (e->id != NULL)
		xml_write_attr(&out, "id", e->id);
	if (e->type != NULL)
		xml_write_attr(&out, "type", e->type);
	if (e->cond != 0) {
		buf_printf(&out, "><error type='cancel'><%s xmlns='" NS_STANZA_ERRORS "'/>", stanza_cond_name(e->cond));
		if (e->error_text != NULL) {
			buf_add_str(&out, "<text xmlns='" NS_STANZA_ERRORS "' xml:lang='en'>");
			xml_write_words(&out, e->error_text);
			buf_add_str(&out, "</text>");
		}
		buf_printf(&out, "</error></db:%s>", e->name);
	} else if (e->text != NULL) {
		buf_add_str(&out, ">");
		xml_write_text(&out, e->text, strlen(e->text));
		buf_printf(&out, "</db:%s>", e->name);
	} else {
		buf_add_str(&out, "/>");
	}
	conn_write(s->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
}

/* ---- reading ---- */

struct addresses {
	char from[JID_PART_MAX + 1], to[JID_PART_MAX + 1];
};

static bool read_addresses(struct s2s *s, const struct comity_elem *e, struct addresses *a)
{
	const char *from = comity_elem_attr(e, "from"), *to = comity_elem_attr(e, "to");

	if (from != NULL && to != NULL && jid_prepare_domain(from, strlen(from), a->from) > 0 &&
	    jid_prepare_domain(to, strlen(to), a->to) > 0)
		return true;
	s2s_fail(s, STREAM_IMPROPER_ADDRESSING, "dialback needs 'from' and 'to' that are domains");
	return false;
}

/* The condition and text inside an answer of type error; in room. */
static const char *read_error(const struct comity_elem *e, char *out, size_t room)
{
	const struct comity_elem *error = comity_elem_first(e), *text = NULL;
	const char *cond = "an error";

	for (const struct comity_elem *c = error != NULL ? comity_elem_first(error) : NULL; c != NULL;
	     c = comity_elem_next(c)) {
		if (comity_elem_is(c, NS_STANZA_ERRORS, "text"))
			text = c;
		else if (comity_elem_is(c, NS_STANZA_ERRORS, c->name))
			cond = c->name;
	}
	snprintf(out, room, "%.60s%s%.200s", cond, text != NULL ? ": " : "", text != NULL ? comity_elem_text(text) : "");
	return out;
}

/* ---- originating: we prove that we are who we are ---- */

void dialback_begin(struct s2s *s)
{
	struct s2s_pair *pair;
	char key[KEY_SIZE];

	if (s->id == NULL || *s->id == '\0') {
		s2s_give_up(s, S2S_PROTOCOL, "%s (%s) gave its stream no id, which dialback needs", s->remote, s->conn->address);
		return;
	}
	pair = s2s_add_pair(s, s->host->name, s->remote);
	if (pair == NULL)
		return;
	make_key(s, s->remote, s->host->name, s->id, key);
	send_element(s, &(struct element){ .name = "result", .from = s->host->name, .to = s->remote, .text = key });
	s2s_note(s, "sent a dialback key");
}

static void on_result_answer(struct s2s *s, const struct comity_elem *e, const char *type, const struct addresses *a)
{
	struct s2s_pair *pair = s2s_find_pair(s, a->to, a->from);
	char error[320];

	if (!s->is_outgoing || pair == NULL || pair->is_proved)
		return;
	if (strcmp(type, "valid") == 0)
		s2s_set_proved(s, pair);
	else if (strcmp(type, "error") == 0)
		s2s_give_up(s, S2S_AUTH, "%s could not verify this server by dialback: %s", s->remote,
		            read_error(e, error, sizeof(error)));
	else
		s2s_give_up(s, S2S_AUTH, "%s refused this server's dialback key: what it reaches as %s says that the key is "
		            "not its own", s->remote, s->host->name);
}

/* ---- authoritative: is this key ours? ---- */

/* Questions about keys that are not ours cost a stranger nothing, so it loses its stream after some of them, and may
 * connect again: also an honest server on a stream that is only there to ask. Who has proved itself, or was called by
 * us, may be given wrong keys by others as long as they like, and must not lose its stream for asking. */
static void count_wrong_key(struct s2s *s)
{
	if (s->conn->is_stranger)
		s2s_count_refusal(s);
}

static void on_verify_request(struct s2s *s, const struct comity_elem *e, const struct addresses *a)
{
	const char *id = comity_elem_attr(e, "id");
	struct stream_host *h = s->shared->find_host(s->conn->worker, a->to);
	struct element answer = { .name = "verify", .from = a->to, .to = a->from, .id = id };
	char key[KEY_SIZE];

	if (id == NULL) {
		s2s_fail(s, STREAM_BAD_FORMAT, "db:verify needs an id");
	} else if (h == NULL) {
		answer.type = "error";
		answer.cond = COMITY_ITEM_NOT_FOUND;
		send_element(s, &answer);
		count_wrong_key(s);
	} else {
		make_key(s, a->from, a->to, id, key);
		answer.type = is_same_key(key, comity_elem_text(e)) ? "valid" : "invalid";
		send_element(s, &answer);
		if (strcmp(answer.type, "invalid") == 0) {
			log_info(&s->log, "a dialback key is not ours from=%s to=%s", a->from, a->to);
			count_wrong_key(s);
		}
	}
	stream_host_unref(h);
}

/* ---- receiving: is it who it says? ---- */

static void answer_result(struct s2s *s, const char *local, const char *remote, const char *type,
                          enum comity_cond cond, const char *text)
{
	send_element(s, &(struct element){ .name = "result", .from = local, .to = remote, .type = type,
	                                   .cond = cond, .error_text = text });
}

/* Refused before anything is asked; false when it may go on. */
static bool refuse_early(struct s2s *s, const struct s2s_policy *policy, const char *local, const char *remote)
{
	char text[640];

	if (policy->is_refused) {
		answer_result(s, local, remote, "error", COMITY_POLICY_VIOLATION,
		              "this server does not federate with your domain");
	} else if (s2s_needs_tls(policy) && !s->conn->is_secured) {
		answer_result(s, local, remote, "error", COMITY_POLICY_VIOLATION, "encryption is required: use STARTTLS first");
	} else if (policy->security == S2S_VERIFY && !s2s_is_certified(s, policy, remote)) {
		snprintf(text, sizeof(text), "a valid certificate for %.200s is required: %s", remote, s->cert.text);
		log_info(&s->log, "dialback refused remote=%s: %s", remote, s->cert.text);
		answer_result(s, local, remote, "error", COMITY_NOT_AUTHORIZED, text);
	} else {
		return false;
	}
	return true;
}

static void on_result_request(struct s2s *s, const struct comity_elem *e, const struct addresses *a)
{
	const struct s2s_policy *policy = s->shared->policy(s->conn->worker, a->from);
	struct stream_host *h = s->shared->find_host(s->conn->worker, a->to);
	struct s2s_pair *pair;

	if (strlen(comity_elem_text(e)) > FOREIGN_KEY_MAX) {
		s2s_fail(s, STREAM_POLICY_VIOLATION, "a dialback key is longer than 1024 bytes");
		stream_host_unref(h);
		return;
	}
	if (h == NULL) {
		answer_result(s, a->to, a->from, "error", COMITY_ITEM_NOT_FOUND, "this domain is not served here");
		s2s_count_refusal(s);
		return;
	}
	stream_host_unref(h);
	if (refuse_early(s, policy, a->to, a->from)) {
		s2s_count_refusal(s);
		return;
	}
	pair = s2s_find_pair(s, a->to, a->from);
	if (pair != NULL && !pair->is_proved)
		return;   /* it is being verified already */
	if (pair == NULL)
		pair = s2s_add_pair(s, a->to, a->from);
	if (pair == NULL) {
		answer_result(s, a->to, a->from, "error", COMITY_RESOURCE_CONSTRAINT, "too many domains on one stream");
		s2s_count_refusal(s);
		return;
	}
	if (s->remote == NULL)
		s->remote = mem_strdup(a->from);
	/* A certificate for the domain says as much as its server would. */
	if (pair->is_proved || s2s_is_certified(s, policy, a->from)) {
		answer_result(s, a->to, a->from, "valid", 0, NULL);
		s2s_set_proved(s, pair);
		return;
	}
	s->shared->verify(s, a->to, a->from, comity_elem_text(e));
}

void s2s_verified(struct s2s *s, const char *local, const char *remote, enum dialback_answer answer,
                  enum comity_cond cond, const char *text)
{
	struct s2s_pair *pair = s2s_find_pair(s, local, remote);

	if (!s2s_is_open(s) || pair == NULL || pair->is_proved)
		return;
	if (answer == DIALBACK_VALID) {
		answer_result(s, local, remote, "valid", 0, NULL);
		s2s_set_proved(s, pair);
		return;
	}
	s2s_drop_pair(s, pair);
	log_info(&s->log, "dialback failed local=%s remote=%s: %s", local, remote,
	         text != NULL ? text : "its server says that the key is not its own");
	if (answer == DIALBACK_INVALID) {
		/* XEP-0220 2.1.2: an impostor is not talked to any longer, unless others have proved themselves here. */
		answer_result(s, local, remote, "invalid", 0, NULL);
		if (s->pair_count == 0)
			s2s_give_up(s, S2S_AUTH, "%s is not %s: its server says that the dialback key is not its own",
			            s->conn->address, remote);
	} else {
		answer_result(s, local, remote, "error", cond, text);
		s2s_count_refusal(s);
	}
}

/* ---- receiving: what the authoritative server said ---- */

void s2s_ask_verify(struct s2s *s, const struct dialback_check *check)
{
	if (s2s_is_open(s))
		send_element(s, &(struct element){ .name = "verify", .from = check->local, .to = check->remote,
		                                   .id = check->id, .text = check->key });
}

static void on_verify_answer(struct s2s *s, const struct comity_elem *e, const char *type, const struct addresses *a)
{
	struct dialback_check check = { .local = a->to, .remote = a->from, .id = comity_elem_attr(e, "id") };
	enum dialback_answer answer = strcmp(type, "valid") == 0   ? DIALBACK_VALID :
	                              strcmp(type, "invalid") == 0 ? DIALBACK_INVALID :
	                                                             DIALBACK_ERROR;
	char error[320];

	if (s->is_outgoing && check.id != NULL)
		s->shared->verify_answer(s, &check, answer,
		                         answer == DIALBACK_ERROR ? read_error(e, error, sizeof(error)) : NULL);
}

/* ---- elements ---- */

static void on_result(struct s2s *s, const struct comity_elem *e, const char *type, const struct addresses *a)
{
	if (type != NULL)
		on_result_answer(s, e, type, a);
	else if (!s->is_outgoing)
		on_result_request(s, e, a);
	else
		s2s_fail(s, STREAM_UNSUPPORTED_STANZA_TYPE, "dialback goes from the one who opened the stream");
}

bool dialback_on_element(struct s2s *s, const struct comity_elem *e)
{
	const char *type = comity_elem_attr(e, "type");
	struct addresses a;

	if (!comity_elem_is(e, NS_DIALBACK, e->name))
		return false;
	if (!comity_elem_is(e, NULL, "result") && !comity_elem_is(e, NULL, "verify"))
		s2s_fail(s, STREAM_UNSUPPORTED_STANZA_TYPE, NULL);
	else if (!read_addresses(s, e, &a))
		;
	else if (comity_elem_is(e, NULL, "result"))
		on_result(s, e, type, &a);
	else if (type != NULL)
		on_verify_answer(s, e, type, &a);
	else
		on_verify_request(s, e, &a);
	return true;
}
