/* SPDX-License-Identifier: MIT */
/* The initiating side of a stream between servers. */
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/dane.h"
#include "stream/s2s.h"
#include "xml/elem.h"
#include "xml/parser.h"
#include "xmpp/ns.h"

/* ---- proof ---- */

static void begin_external(struct s2s *s)
{
	gnutls_datum_t in = { (void *)s->host->name, (unsigned)strlen(s->host->name) }, out = { NULL, 0 };
	struct buf text = { 0 };

	if (gnutls_base64_encode2(&in, &out) != 0)
		abort();
	buf_printf(&text, "<auth xmlns='" NS_SASL "' mechanism='EXTERNAL'>%.*s</auth>", (int)out.size, (char *)out.data);
	gnutls_free(out.data);
	conn_write(s->conn, buf_bytes(&text), buf_size(&text));
	buf_deinit(&text);
	s->step = S2S_SASL;
	s2s_note(s, "logging in by certificate (SASL EXTERNAL)");
}

/* Servers of before XEP-0220 only declare the namespace; who offers a login offers no dialback by that. */
static bool can_dial_back(const struct s2s *s)
{
	return s->has_dialback || (s->has_ns_dialback && !s->has_external);
}

/* XEP-0288 2.2: asked before anything is proved. */
static void ask_bidi(struct s2s *s)
{
	bool can_resume = s->has_sm && s->shared->limits->resume_ms != 0;

	/* Streams of one direction can be resumed without loss or repetition, which is worth a connection. */
	if (!s->has_bidi || s->is_bidi || !s->shared->limits->bidi || (can_resume && !s->wants_bidi))
		return;
	s2s_send_text(s, "<bidi xmlns='" NS_BIDI "'/>");
	s->is_bidi = true;
}

void s2s_prove(struct s2s *s)
{
	s->wants_proof = true;
	if (!s2s_is_open(s) || s->step != S2S_USABLE || s->pair_count != 0)
		return;
	if (s->is_authenticated) {
		s2s_set_proved(s, s2s_add_pair(s, s->host->name, s->remote));
		return;
	}
	ask_bidi(s);
	worker_timer_start(s->conn->worker, &s->timer, s->shared->limits->negotiate_ms);
	if (s->has_external && !s->no_external)
		begin_external(s);
	else if (can_dial_back(s))
		dialback_begin(s);
	else if (s->has_external)
		begin_external(s);   /* it was refused before, but there is nothing else */
	else
		s2s_give_up(s, S2S_AUTH, "%s offers no way to authenticate that this server can use (neither SASL EXTERNAL"
		            " nor dialback)", s->remote);
}

/* A certificate that is pinned here counts more than DNS. */
static struct dane_claim dane_claim(const struct s2s *s, const struct s2s_policy *policy)
{
	return (struct dane_claim){
		.records = s->tlsa,
		.count = policy->pin == NULL ? s->tlsa_count : 0,
		.names = { s->remote, s->tlsa_host },
		.trust = policy->trust,
	};
}

/* Servers whose certificate is in DNS have TLS (RFC 7673 section 4). */
static bool needs_tls(const struct s2s *s)
{
	const struct s2s_policy *policy = s->shared->policy(s->conn->worker, s->remote);
	const struct dane_claim claim = dane_claim(s, policy);

	return s2s_needs_tls(policy) || dane_is_usable(&claim);
}

/* False when the peer is not to be talked to. */
static bool judge_certificate(struct s2s *s, const struct s2s_policy *policy)
{
	const struct dane_claim claim = dane_claim(s, policy);
	enum dane_verdict verdict = dane_judge(s->conn->tls, &claim, &s->cert);
	bool ok = verdict == DANE_FITS || (verdict == DANE_NONE && s2s_is_certified(s, policy, s->remote));

	if (verdict == DANE_FITS)
		s2s_note(s, "certificate: as DNS names it (DANE)");
	else
		s2s_note(s, "certificate: %s", ok ? "valid" : s->cert.text);
	return ok || (verdict == DANE_NONE && policy->security != S2S_VERIFY);
}

static bool check_certificate(struct s2s *s, const struct s2s_policy *policy)
{
	char shown[400];
	bool ok;

	trust_describe(s->conn->tls, shown, sizeof(shown));
	s2s_note(s, "certificate %s", shown);
	ok = judge_certificate(s, policy);
	s->is_judged = true;
	free(s->tlsa);
	s->tlsa = NULL;
	s->tlsa_count = 0;
	if (!ok)
		s2s_give_up(s, S2S_CERTIFICATE, "%s (%s) cannot be trusted: %s", s->remote, s->conn->address, s->cert.text);
	return ok;
}

/* TLS is as it must be: is the peer who it should be? */
static void become_usable(struct s2s *s)
{
	const struct s2s_policy *policy = s->shared->policy(s->conn->worker, s->remote);

	if (s->conn->is_secured && !s->is_judged && !check_certificate(s, policy))
		return;
	s->step = S2S_USABLE;
	s->shared->usable(s);
	if (s->wants_proof)
		s2s_prove(s);
}

/* ---- header and features ---- */

void s2s_out_on_open(struct s2s *s, const struct comity_elem *root)
{
	const char *id = comity_elem_attr(root, "id");

	free(s->id);
	s->id = id != NULL ? mem_strdup(id) : NULL;
	s->has_ns_dialback = xml_parser_declares(s->in.parser, NS_DIALBACK);
	s->step = S2S_FEATURES;
	if (s->is_version_1)
		return;
	s2s_note(s, "the server speaks XMPP of before 1.0");
	if (!s->conn->is_secured && needs_tls(s))
		s2s_give_up(s, S2S_NO_TLS, "%s (%s) offers no encryption", s->remote, s->conn->address);
	else
		become_usable(s);
}

static bool offers_mechanism(const struct comity_elem *features, const char *name)
{
	const struct comity_elem *list = comity_elem_find(features, NS_SASL, "mechanisms");

	for (const struct comity_elem *m = list != NULL ? comity_elem_first(list) : NULL; m != NULL; m = comity_elem_next(m))
		if (comity_elem_is(m, NS_SASL, "mechanism") && strcmp(comity_elem_text(m), name) == 0)
			return true;
	return false;
}

static void on_features(struct s2s *s, const struct comity_elem *e)
{
	const struct comity_elem *dialback = comity_elem_find(e, NS_DIALBACK_FEATURE, "dialback");
	bool has_tls = comity_elem_find(e, NS_TLS, "starttls") != NULL;

	s->has_external = offers_mechanism(e, "EXTERNAL");
	s->has_dialback = dialback != NULL;
	s->has_dialback_errors = dialback != NULL && comity_elem_find(dialback, NS_DIALBACK_FEATURE, "errors") != NULL;
	s->has_bidi = comity_elem_find(e, NS_BIDI_FEATURE, "bidi") != NULL;
	s->has_sm = comity_elem_find(e, NS_SM, "sm") != NULL;
	s2s_note(s, "offered:%s%s%s%s%s", has_tls ? " STARTTLS" : "", s->has_external ? " EXTERNAL" : "",
	         s->has_dialback ? " dialback" : "", s->has_bidi ? " bidi" : "", s->has_sm ? " sm" : "");
	if (s->conn->is_secured) {
		become_usable(s);
	} else if (has_tls && s->host->tls != NULL) {
		s->step = S2S_PROCEED;
		s2s_send_text(s, "<starttls xmlns='" NS_TLS "'/>");
	} else if (needs_tls(s)) {
		s2s_give_up(s, S2S_NO_TLS, "%s (%s) offers no encryption", s->remote, s->conn->address);
	} else {
		become_usable(s);
	}
}

/* ---- answers ---- */

static void on_login_failure(struct s2s *s, const struct comity_elem *e)
{
	const struct comity_elem *text = comity_elem_find(e, NS_SASL, "text");
	const struct comity_elem *cond = comity_elem_first(e);
	char said[320];

	snprintf(said, sizeof(said), "%.60s%s%.200s", cond != NULL ? cond->name : "failure", text != NULL ? ": " : "",
	         text != NULL ? comity_elem_text(text) : "");
	log_info(&s->log, "SASL EXTERNAL was refused (%s)", said);
	s2s_note(s, "login by certificate refused: %s", said);
	s->no_external = true;
	s->step = S2S_USABLE;
	if (can_dial_back(s))
		s2s_prove(s);
	else
		s2s_give_up(s, S2S_AUTH, "%s refused this server's certificate (%s) and offers no dialback", s->remote, said);
}

static void on_proceed(struct s2s *s)
{
	conn_start_tls(s->conn, &s->chooser);
}

bool s2s_out_on_element(struct s2s *s, const struct comity_elem *e)
{
	if (s->step == S2S_FEATURES && comity_elem_is(e, NS_STREAM, "features")) {
		on_features(s, e);
	} else if (s->step == S2S_PROCEED && comity_elem_is(e, NS_TLS, "proceed")) {
		on_proceed(s);
	} else if (s->step == S2S_PROCEED && comity_elem_is(e, NS_TLS, "failure")) {
		s2s_give_up(s, S2S_NO_TLS, "%s (%s) offered encryption and then refused it", s->remote, s->conn->address);
	} else if (s->step == S2S_SASL && comity_elem_is(e, NS_SASL, "success")) {
		s->is_authenticated = true;
		s2s_restart(s, true);
		s2s_write_header(s);
	} else if (s->step == S2S_SASL && comity_elem_is(e, NS_SASL, "failure")) {
		on_login_failure(s, e);
	} else {
		return false;
	}
	return true;
}
