/* SPDX-License-Identifier: MIT */
/* TLS sessions over memory. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_context.h"

#define RECORD_MAX 16384

struct tls_session {
	gnutls_session_t gnutls;
	const struct tls_chooser *chooser;
	struct tls_context *ctx;
	const char *in;         /* borrowed cipher text */
	size_t in_len;
	struct buf kept;        /* cipher text that outlived its loan */
	struct buf *out;        /* where pushes go during a call */
	bool wrong_name;
};

static ssize_t pull(gnutls_transport_ptr_t ptr, void *bytes, size_t room)
{
	struct tls_session *s = ptr;
	size_t n;

	if (buf_size(&s->kept) != 0) {
		n = buf_size(&s->kept) < room ? buf_size(&s->kept) : room;
		memcpy(bytes, buf_bytes(&s->kept), n);
		buf_consume(&s->kept, n);
		if (buf_size(&s->kept) == 0)
			buf_deinit(&s->kept);
		return (ssize_t)n;
	}
	if (s->in_len == 0) {
		gnutls_transport_set_errno(s->gnutls, EAGAIN);
		return -1;
	}
	n = s->in_len < room ? s->in_len : room;
	memcpy(bytes, s->in, n);
	s->in += n;
	s->in_len -= n;
	return (ssize_t)n;
}

static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
	const struct tls_session *s = ptr;

	(void)ms;
	return s->in_len != 0 || buf_size(&s->kept) != 0;
}

static ssize_t push_vec(gnutls_transport_ptr_t ptr, const giovec_t *iov, int count)
{
	struct tls_session *s = ptr;
	size_t total = 0;

	for (int i = 0; i < count; i++) {
		if (s->out != NULL)
			buf_add(s->out, iov[i].iov_base, iov[i].iov_len);
		total += iov[i].iov_len;
	}
	return (ssize_t)total;
}

/* The name in the client's hello, without a trailing NUL problem; false when there is none. */
static bool read_sni(gnutls_session_t g, char *name, size_t room)
{
	unsigned type = 0;
	size_t len = room - 1;

	for (unsigned i = 0; gnutls_server_name_get(g, name, &len, &type, i) == 0; i++, len = room - 1) {
		if (type == GNUTLS_NAME_DNS) {
			name[len] = '\0';
			return true;
		}
	}
	return false;
}

static int on_client_hello(gnutls_session_t g)
{
	struct tls_session *s = gnutls_session_get_ptr(g);
	char name[256];

	/* After a HelloRetryRequest there is a second hello. */
	tls_context_unref(s->ctx);
	s->ctx = s->chooser->choose(s->chooser->arg, read_sni(g, name, sizeof(name)) ? name : NULL);
	if (s->ctx == NULL) {
		s->wrong_name = true;
		return GNUTLS_E_UNRECOGNIZED_NAME;
	}
	return tls_context_apply(s->ctx, g, s->chooser->asks_certificate);
}

static bool is_address(const char *name)
{
	unsigned char bin[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, bin) == 1 || inet_pton(AF_INET6, name, bin) == 1;
}

/* As client, nothing is awaited before the credentials are named. */
static void set_client(struct tls_session *s)
{
	const char *name = s->chooser->server_name;

	s->ctx = s->chooser->choose(s->chooser->arg, NULL);
	if (s->ctx != NULL)
		tls_context_apply(s->ctx, s->gnutls, false);
	if (!is_address(name))
		gnutls_server_name_set(s->gnutls, GNUTLS_NAME_DNS, name, strlen(name));
}

struct tls_session *tls_session_new(const struct tls_chooser *chooser)
{
	struct tls_session *s = mem_new(sizeof(*s));
	/* A peer's list of authorities must not keep our certificate back: s2s peers judge it by name. */
	unsigned role = chooser->server_name != NULL ? GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT : GNUTLS_SERVER;

	s->chooser = chooser;
	if (gnutls_init(&s->gnutls, role | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) != 0)
		abort();
	gnutls_session_set_ptr(s->gnutls, s);
	gnutls_transport_set_ptr(s->gnutls, s);
	gnutls_transport_set_pull_function(s->gnutls, pull);
	gnutls_transport_set_pull_timeout_function(s->gnutls, pull_timeout);
	gnutls_transport_set_vec_push_function(s->gnutls, push_vec);
	gnutls_handshake_set_timeout(s->gnutls, GNUTLS_INDEFINITE_TIMEOUT);
	/* Before the hello is read: a ticket may be in it. None where we ask for a certificate, which the ticket
	 * would hold: jabberd2 ends a stream whose first TLS record does not fit into 1024 bytes. */
	tls_shared_apply(chooser->shared, s->gnutls, chooser->server_name == NULL && !chooser->asks_certificate);
	if (chooser->server_name != NULL)
		set_client(s);
	else
		gnutls_handshake_set_post_client_hello_function(s->gnutls, on_client_hello);
	if (chooser->alpn != NULL) {
		gnutls_datum_t alpn = { (void *)(size_t)chooser->alpn, (unsigned)strlen(chooser->alpn) };

		gnutls_alpn_set_protocols(s->gnutls, &alpn, 1, chooser->server_name != NULL ? 0 : GNUTLS_ALPN_MANDATORY);
	}
	return s;
}

void tls_session_free(struct tls_session *s)
{
	if (s == NULL)
		return;
	s->out = NULL;
	gnutls_deinit(s->gnutls);
	tls_context_unref(s->ctx);
	buf_deinit(&s->kept);
	free(s);
}

void tls_session_put(struct tls_session *s, const char *bytes, size_t len)
{
	if (buf_size(&s->kept) != 0) {
		buf_add(&s->kept, bytes, len);
		return;
	}
	s->in = bytes;
	s->in_len = len;
}

void tls_session_keep(struct tls_session *s)
{
	if (s->in_len != 0)
		buf_add(&s->kept, s->in, s->in_len);
	s->in_len = 0;
}

size_t tls_session_kept(const struct tls_session *s)
{
	return s->kept.cap;
}

bool tls_session_has_input(const struct tls_session *s)
{
	return s->in_len != 0 || buf_size(&s->kept) != 0 || gnutls_record_check_pending(s->gnutls) != 0;
}

static void explain_failure(struct tls_session *s, int rc, struct err_text *et)
{
	if (s->wrong_name)
		err_text_set(et, "the peer asked for a name that is not served here");
	else if (rc == GNUTLS_E_FATAL_ALERT_RECEIVED)
		err_text_set(et, "the peer refused: %s", gnutls_alert_get_name(gnutls_alert_get(s->gnutls)));
	else
		err_text_set(et, "%s", gnutls_strerror(rc));
}

enum tls_state tls_session_run(struct tls_session *s, struct buf *out, struct err_text *et)
{
	int rc;

	s->out = out;
	do {
		rc = gnutls_handshake(s->gnutls);
	} while (rc == GNUTLS_E_INTERRUPTED || rc == GNUTLS_E_WARNING_ALERT_RECEIVED ||
	         (rc == GNUTLS_E_AGAIN && tls_session_has_input(s)));
	if (rc != 0 && rc != GNUTLS_E_AGAIN) {
		gnutls_alert_send_appropriate(s->gnutls, rc);
		explain_failure(s, rc, et);
	}
	/* A record that OpenSSL takes as part of the handshake clears its queue of errors. jabberd2, which leaves
	 * errors there when it looks at certificates, would call the next incomplete record broken. */
	if (rc == 0 && s->chooser->asks_certificate && gnutls_protocol_get_version(s->gnutls) == GNUTLS_TLS1_3)
		gnutls_session_key_update(s->gnutls, 0);
	s->out = NULL;
	if (rc == 0)
		return TLS_READY;
	return rc == GNUTLS_E_AGAIN ? TLS_HANDSHAKE : TLS_FAILED;
}

int tls_session_read(struct tls_session *s, char *bytes, size_t room, struct buf *out, struct err_text *et)
{
	ssize_t n;

	s->out = out;
	do {
		n = gnutls_record_recv(s->gnutls, bytes, room);
	} while (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_WARNING_ALERT_RECEIVED ||
	         (n == GNUTLS_E_AGAIN && tls_session_has_input(s)));
	s->out = NULL;
	if (n > 0)
		return (int)n;
	if (n == GNUTLS_E_AGAIN)
		return 0;
	/* A client that asks for renegotiation is told no by GnuTLS's alert rules: end it. */
	if (n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION)
		return -ERR_CLOSED;
	explain_failure(s, (int)n, et);
	return -ERR_INVALID;
}

int tls_session_write(struct tls_session *s, const char *bytes, size_t len, struct buf *out)
{
	s->out = out;
	while (len != 0) {
		ssize_t n = gnutls_record_send(s->gnutls, bytes, len < RECORD_MAX ? len : RECORD_MAX);

		if (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN)
			continue;
		if (n < 0) {
			s->out = NULL;
			return -ERR_IO;
		}
		bytes += n;
		len -= (size_t)n;
	}
	s->out = NULL;
	return 0;
}

void tls_session_bye(struct tls_session *s, struct buf *out)
{
	s->out = out;
	gnutls_bye(s->gnutls, GNUTLS_SHUT_WR);
	s->out = NULL;
}

const char *tls_session_version(const struct tls_session *s)
{
	return gnutls_protocol_get_name(gnutls_protocol_get_version(s->gnutls));
}

const char *tls_session_cipher(const struct tls_session *s)
{
	return gnutls_cipher_get_name(gnutls_cipher_get(s->gnutls));
}

bool tls_session_resumed(const struct tls_session *s)
{
	return gnutls_session_is_resumed(s->gnutls) != 0;
}

bool tls_session_is_1_3(const struct tls_session *s)
{
	return gnutls_protocol_get_version(s->gnutls) == GNUTLS_TLS1_3;
}

int tls_session_binding(const struct tls_session *s, const char *type, unsigned char *out, size_t room)
{
	gnutls_channel_binding_t which;
	gnutls_datum_t data;
	int len;

	if (strcmp(type, "tls-server-end-point") == 0) {
		const gnutls_datum_t *own = gnutls_certificate_get_ours(s->gnutls);

		return own != NULL && s->ctx != NULL ? tls_context_end_point(s->ctx, own, out, room) : -ERR_UNSUPPORTED;
	}
	if (strcmp(type, "tls-exporter") == 0)
		which = GNUTLS_CB_TLS_EXPORTER;
	else if (strcmp(type, "tls-unique") == 0)
		which = GNUTLS_CB_TLS_UNIQUE;
	else
		return -ERR_UNSUPPORTED;
	if (gnutls_session_channel_binding(s->gnutls, which, &data) != 0)
		return -ERR_UNSUPPORTED;
	if (data.size > room) {
		gnutls_free(data.data);
		return -ERR_UNSUPPORTED;
	}
	memcpy(out, data.data, data.size);
	len = (int)data.size;
	gnutls_free(data.data);
	return len;
}

const void *tls_session_peer_chain(const struct tls_session *s, unsigned *count)
{
	return gnutls_certificate_get_peers(s->gnutls, count);
}

bool tls_session_peer_is_trusted(const struct tls_session *s, const struct tls_context *by)
{
	unsigned count = 0;
	const gnutls_datum_t *der = gnutls_certificate_get_peers(s->gnutls, &count);

	return der != NULL && by != NULL && tls_context_vouches_for(by, der, count);
}

static void each_san(gnutls_x509_crt_t crt, void (*each)(void *arg, const char *addr, size_t len), void *arg)
{
	char text[3072];
	size_t len = sizeof(text);
	int type;

	for (unsigned i = 0;; i++, len = sizeof(text)) {
		type = gnutls_x509_crt_get_subject_alt_name(crt, i, text, &len, NULL);
		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (type < 0)
			return;
		if (type == GNUTLS_SAN_OTHERNAME_XMPP)
			each(arg, text, len);
	}
}

void tls_session_each_xmpp_addr(const struct tls_session *s, void (*each)(void *arg, const char *addr, size_t len),
                                void *arg)
{
	const gnutls_datum_t *der = gnutls_certificate_get_peers(s->gnutls, NULL);
	gnutls_x509_crt_t crt;

	if (der == NULL || gnutls_x509_crt_init(&crt) != 0)
		return;
	if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) == 0)
		each_san(crt, each, arg);
	gnutls_x509_crt_deinit(crt);
}
