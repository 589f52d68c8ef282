/* SPDX-License-Identifier: MIT */
/* The receiving side of a stream between servers: features, STARTTLS, SASL EXTERNAL (XEP-0178). */
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stream/s2s.h"
#include "xml/elem.h"
#include "xml/parser.h"
#include "xml/writer.h"
#include "xmpp/jid.h"
#include "xmpp/ns.h"

/* ---- features ---- */

/* With a certificate that names the domain of the header no dialback is needed. */
static bool offers_external(struct s2s *s)
{
	const struct s2s_policy *policy;

	if (s->is_authenticated || s->remote == NULL || s->conn->tls == NULL || !s->conn->is_secured)
		return false;
	policy = s->shared->policy(s->conn->worker, s->remote);
	if (s2s_is_certified(s, policy, s->remote))
		return true;
	log_info(&s->log, "SASL EXTERNAL is not offered: %s", s->cert.text);
	return false;
}

static void write_features(struct s2s *s)
{
	bool has_tls = s->conn->tls != NULL && s->conn->is_secured;
	bool needs_tls = s->remote == NULL || s2s_needs_tls(s->shared->policy(s->conn->worker, s->remote));
	const struct s2s_limits *limits = s->shared->limits;
	struct buf out = { 0 };

	buf_add_str(&out, "<stream:features>");
	if (!has_tls && s->host->tls != NULL)
		buf_printf(&out, "<starttls xmlns='" NS_TLS "'>%s</starttls>", needs_tls ? "<required/>" : "");
	if (has_tls || !needs_tls) {
		if (offers_external(s))
			buf_add_str(&out, "<mechanisms xmlns='" NS_SASL "'><mechanism>EXTERNAL</mechanism></mechanisms>");
		buf_add_str(&out, "<dialback xmlns='" NS_DIALBACK_FEATURE "'><errors/></dialback>");
		if (limits->bidi && !s->is_bidi)
			buf_add_str(&out, "<bidi xmlns='" NS_BIDI_FEATURE "'/>");
	}
	/* On a stream of both directions it is refused, which Prosody takes for an error if it was offered. */
	if ((has_tls || !needs_tls) && limits->resume_ms != 0 && !s->is_bidi)
		buf_add_str(&out, "<sm xmlns='" NS_SM "'/>");
	buf_printf(&out, "<limits xmlns='" NS_LIMITS "'><max-bytes>%zu</max-bytes><idle-seconds>%llu</idle-seconds></limits>",
	           s->is_authenticated ? limits->after_auth.element_bytes : limits->before_auth.element_bytes,
	           (unsigned long long)(limits->idle_ms / 1000));
	buf_add_str(&out, "</stream:features>");
	conn_write(s->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
}

/* ---- header ---- */

/* A second header must name the host of the first: TLS and login were for that one. */
static bool find_host(struct s2s *s, const char *to)
{
	char name[JID_PART_MAX + 1];

	if (to == NULL || jid_prepare_domain(to, strlen(to), name) <= 0) {
		s2s_fail(s, STREAM_IMPROPER_ADDRESSING, "the stream header needs a 'to' that is a domain");
		return false;
	}
	if (s->host == NULL)
		s->host = s->shared->find_host(s->conn->worker, name);
	if (s->host != NULL && strcmp(s->host->name, name) == 0)
		return true;
	s2s_fail(s, STREAM_HOST_UNKNOWN, NULL);
	return false;
}

static bool find_remote(struct s2s *s, const char *from)
{
	char name[JID_PART_MAX + 1];

	if (from == NULL || *from == '\0')
		return true;
	if (jid_prepare_domain(from, strlen(from), name) <= 0) {
		s2s_fail(s, STREAM_INVALID_FROM, "'from' of the stream header is not a domain");
		return false;
	}
	if (s->remote != NULL && strcmp(s->remote, name) == 0)
		return true;
	if (s->is_authenticated) {
		s2s_fail(s, STREAM_INVALID_FROM, "'from' differs from what was authenticated");
		return false;
	}
	free(s->remote);
	s->remote = mem_strdup(name);
	return true;
}

/* The domain of the certificate needs no dialback. */
static void prove_authenticated(struct s2s *s)
{
	struct s2s_pair *pair = s2s_add_pair(s, s->host->name, s->remote);

	if (pair != NULL)
		s2s_set_proved(s, pair);
	else
		s2s_fail(s, STREAM_POLICY_VIOLATION, "too many domains on one stream");
}

void s2s_in_begin(struct s2s *s)
{
	char id[STREAM_ID_SIZE];

	stream_make_id(s->conn->worker->env, id);
	free(s->id);
	s->id = mem_strdup(id);
	s->step = S2S_USABLE;
	s2s_write_header(s);
	if (s->remote != NULL && s->shared->policy(s->conn->worker, s->remote)->is_refused) {
		s->cause = S2S_POLICY;
		snprintf(s->why, sizeof(s->why), "this server is not to talk to %s", s->remote);
		s2s_fail(s, STREAM_POLICY_VIOLATION, "this server does not federate with your domain");
		return;
	}
	if (s->is_version_1)
		write_features(s);
	if (s->is_authenticated)
		prove_authenticated(s);
}

void s2s_in_on_open(struct s2s *s, const struct comity_elem *root)
{
	struct worker *home;

	if (!find_host(s, comity_elem_attr(root, "to")) || !find_remote(s, comity_elem_attr(root, "from")))
		return;
	/* Where the domain is at home, so that both directions can share the stream. */
	home = s->remote != NULL ? s->shared->home(s->conn->worker, s->remote) : s->conn->worker;
	if (home == s->conn->worker) {
		s2s_in_begin(s);
		return;
	}
	worker_timer_stop(s->conn->worker, &s->timer);
	worker_timer_stop(s->conn->worker, &s->shape);
	list_remove(&s->link);
	s->is_moving = true;
	conn_move(s->conn, home);
	conn_resume(s->conn, CONN_STOP_RATE);
}

/* ---- SASL EXTERNAL ---- */

static void refuse_login(struct s2s *s, const char *cond, const char *text)
{
	struct buf out = { 0 };

	buf_printf(&out, "<failure xmlns='" NS_SASL "'><%s/><text xml:lang='en'>", cond);
	xml_write_words(&out, text);
	buf_add_str(&out, "</text></failure>");
	conn_write(s->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
	log_info(&s->log, "login refused: %s", text);
	s2s_count_refusal(s);
}

/* The domain that the peer wants to be: the decoded text, or that of the header when it is empty. */
static bool read_authzid(struct s2s *s, const char *text, char name[JID_PART_MAX + 1])
{
	gnutls_datum_t in = { (void *)(uintptr_t)text, (unsigned)strlen(text) }, out = { NULL, 0 };
	bool ok;

	if (*text == '\0' || strcmp(text, "=") == 0) {
		if (s->remote == NULL)
			return false;
		strcpy(name, s->remote);
		return true;
	}
	if (gnutls_base64_decode2(&in, &out) != 0)
		return false;
	ok = out.size != 0 && jid_prepare_domain((const char *)out.data, out.size, name) > 0;
	gnutls_free(out.data);
	return ok;
}

static void on_auth(struct s2s *s, const struct comity_elem *e)
{
	const char *mechanism = comity_elem_attr(e, "mechanism");
	char name[JID_PART_MAX + 1];

	if (mechanism == NULL || strcmp(mechanism, "EXTERNAL") != 0) {
		refuse_login(s, "invalid-mechanism", "only EXTERNAL is possible between servers");
	} else if (!read_authzid(s, comity_elem_text(e), name)) {
		refuse_login(s, "invalid-authzid", "no domain can be read from it");
	} else if (s->remote != NULL && strcmp(name, s->remote) != 0) {
		refuse_login(s, "invalid-authzid", "this is not the domain of the stream header");
	} else if (s->is_authenticated) {
		refuse_login(s, "not-authorized", "authenticated already");
	} else if (s->pair_count != 0) {
		/* Behind a login the stream may move to another worker; links, keys being verified and what is yet to be safe hold
		 * it on this one. */
		refuse_login(s, "not-authorized", "dialback has begun on this stream");
	} else if (!s2s_is_certified(s, s->shared->policy(s->conn->worker, name), name)) {
		refuse_login(s, "not-authorized", s->cert.text);
	} else {
		if (s->remote == NULL)
			s->remote = mem_strdup(name);
		s->is_authenticated = true;
		s2s_send_text(s, "<success xmlns='" NS_SASL "'/>");
		s2s_restart(s, true);
	}
}

/* ---- elements ---- */

static void on_starttls(struct s2s *s)
{
	/* RFC 6120 5.4.2.2: failure ends the stream. */
	if (s->conn->tls != NULL || s->host->tls == NULL || s->pair_count != 0) {
		s2s_send_text(s, "<failure xmlns='" NS_TLS "'/>");
		s2s_close(s);
		return;
	}
	s2s_send_text(s, "<proceed xmlns='" NS_TLS "'/>");
	conn_start_tls(s->conn, &s->chooser);
}

bool s2s_in_on_element(struct s2s *s, const struct comity_elem *e)
{
	if (comity_elem_is(e, NS_TLS, "starttls"))
		on_starttls(s);
	else if (comity_elem_is(e, NS_SASL, "auth"))
		on_auth(s, e);
	else if (comity_elem_is(e, NS_BIDI, "bidi"))
		s->is_bidi = s->shared->limits->bidi;
	else
		return false;
	return true;
}
