/* SPDX-License-Identifier: MIT */
/* TLS credentials of a host. */
#include "net/tls_context.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/tls.h"

/* NORMAL would still offer TLS 1.0 and 1.1. X25519 is the group that most clients send a key for at once; choosing another
 * one takes a HelloRetryRequest, and with it a round trip and a sixth of what a login costs. */
#define POLICY \
	"SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:" \
	"+GROUP-SECP521R1:+GROUP-X448:+GROUP-FFDHE2048:+GROUP-FFDHE3072:+GROUP-FFDHE4096:+GROUP-FFDHE6144:" \
	"+GROUP-FFDHE8192:%SERVER_PRECEDENCE"

#define OWN_MAX 2
/* A longer chain is nobody's. */
#define CHAIN_MAX 10

/* Made once for each certificate: every login is offered it. */
struct end_point {
	unsigned char bytes[64];
	size_t len;
};

struct tls_context {
	_Atomic unsigned refs;
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priority;
	int64_t expires;       /* seconds since 1970 */
	bool asks_client;
	struct end_point end_points[OWN_MAX];  /* of the own certificates, in the order of the credentials */
};

struct tls_shared {
	gnutls_priority_t policy;
	gnutls_datum_t ticket_key;
};

struct tls_shared *tls_shared_new(void)
{
	struct tls_shared *s = mem_new(sizeof(*s));

	if (gnutls_priority_init(&s->policy, POLICY, NULL) != 0 || gnutls_session_ticket_key_generate(&s->ticket_key) != 0)
		abort();
	return s;
}

void tls_shared_free(struct tls_shared *s)
{
	if (s == NULL)
		return;
	gnutls_priority_deinit(s->policy);
	mem_wipe(s->ticket_key.data, s->ticket_key.size);
	gnutls_free(s->ticket_key.data);
	free(s);
}

void tls_shared_apply(const struct tls_shared *s, gnutls_session_t g, bool is_server)
{
	gnutls_priority_set(g, s->policy);
	if (is_server)
		gnutls_session_ticket_enable_server(g, &s->ticket_key);
}

int tls_context_apply(struct tls_context *ctx, gnutls_session_t g, bool ask)
{
	int rc = gnutls_credentials_set(g, GNUTLS_CRD_CERTIFICATE, ctx->credentials);

	if (rc == 0 && ctx->priority != NULL)
		rc = gnutls_priority_set(g, ctx->priority);
	if (rc == 0 && (ctx->asks_client || ask))
		gnutls_certificate_server_set_request(g, GNUTLS_CERT_REQUEST);
	return rc;
}

bool tls_context_vouches_for(const struct tls_context *ctx, const gnutls_datum_t *der, unsigned sent)
{
	unsigned count = 0, status = GNUTLS_CERT_INVALID;
	gnutls_x509_crt_t chain[CHAIN_MAX];
	gnutls_x509_trust_list_t list;

	if (!ctx->asks_client)
		return false;
	gnutls_certificate_get_trust_list(ctx->credentials, &list);
	for (; count < sent && count < CHAIN_MAX; count++) {
		if (gnutls_x509_crt_init(&chain[count]) != 0)
			abort();
		if (gnutls_x509_crt_import(chain[count], &der[count], GNUTLS_X509_FMT_DER) == 0)
			continue;
		gnutls_x509_crt_deinit(chain[count]);
		break;
	}
	if (count == 0 || gnutls_x509_trust_list_verify_crt2(list, chain, count, NULL, 0, 0, &status, NULL) != 0)
		status = GNUTLS_CERT_INVALID;
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
	return status == 0;
}

static int check_readable(const char *path, const char *what, struct err_text *et)
{
	if (access(path, R_OK) == 0)
		return 0;
	err_text_set(et, "cannot read %s %s: %s", what, path, strerror(errno));
	return -ERR_IO;
}

static int load_pair(struct tls_context *ctx, const char *certificate, const char *key, struct err_text *et)
{
	int rc = check_readable(certificate, "certificate", et);

	if (rc == 0)
		rc = check_readable(key, "key", et);
	if (rc != 0)
		return rc;
	rc = gnutls_certificate_set_x509_key_file(ctx->credentials, certificate, key, GNUTLS_X509_FMT_PEM);
	if (rc >= 0)
		return 0;
	if (rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		err_text_set(et, "key %s does not belong to certificate %s", key, certificate);
	else
		err_text_set(et, "certificate %s with key %s: %s", certificate, key, gnutls_strerror(rc));
	return -ERR_INVALID;
}

static int64_t read_expiry(struct tls_context *ctx)
{
	gnutls_x509_crt_t *list = NULL;
	unsigned count = 0;
	int64_t expires = 0;

	if (gnutls_certificate_get_x509_crt(ctx->credentials, 0, &list, &count) != 0)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		if (i == 0)
			expires = (int64_t)gnutls_x509_crt_get_expiration_time(list[i]);
		gnutls_x509_crt_deinit(list[i]);
	}
	gnutls_free(list);
	return expires;
}

static void make_end_point(const gnutls_datum_t *der, struct end_point *e)
{
	gnutls_digest_algorithm_t hash = GNUTLS_DIG_UNKNOWN;
	gnutls_x509_crt_t crt;
	int sign;

	if (gnutls_x509_crt_init(&crt) != 0)
		abort();
	if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) == 0 &&
	    (sign = gnutls_x509_crt_get_signature_algorithm(crt)) > 0)
		hash = gnutls_sign_get_hash_algorithm((gnutls_sign_algorithm_t)sign);
	gnutls_x509_crt_deinit(crt);
	if (hash == GNUTLS_DIG_MD5 || hash == GNUTLS_DIG_SHA1)
		hash = GNUTLS_DIG_SHA256;
	e->len = hash != GNUTLS_DIG_UNKNOWN ? gnutls_hash_get_len(hash) : 0;
	if (e->len > sizeof(e->bytes) || (e->len != 0 && gnutls_hash_fast(hash, der->data, der->size, e->bytes) != 0))
		e->len = 0;
}

static void make_end_points(struct tls_context *ctx)
{
	gnutls_datum_t der;

	for (unsigned i = 0; i < OWN_MAX && gnutls_certificate_get_crt_raw(ctx->credentials, i, 0, &der) == 0; i++)
		make_end_point(&der, &ctx->end_points[i]);
}

int tls_context_end_point(const struct tls_context *ctx, const gnutls_datum_t *own, unsigned char *out, size_t room)
{
	gnutls_datum_t der;

	for (unsigned i = 0; i < OWN_MAX && gnutls_certificate_get_crt_raw(ctx->credentials, i, 0, &der) == 0; i++) {
		const struct end_point *e = &ctx->end_points[i];

		if (der.size != own->size || memcmp(der.data, own->data, der.size) != 0)
			continue;
		if (e->len == 0 || e->len > room)
			return -ERR_UNSUPPORTED;
		memcpy(out, e->bytes, e->len);
		return (int)e->len;
	}
	return -ERR_UNSUPPORTED;
}

static int load_client_ca(struct tls_context *ctx, const char *path, struct err_text *et)
{
	int rc = check_readable(path, "client CA", et);

	if (rc != 0)
		return rc;
	rc = gnutls_certificate_set_x509_trust_file(ctx->credentials, path, GNUTLS_X509_FMT_PEM);
	if (rc <= 0) {
		err_text_set(et, "client CA %s holds no certificate", path);
		return -ERR_INVALID;
	}
	ctx->asks_client = true;
	return 0;
}

int tls_context_new(const struct tls_conf *conf, struct tls_context **ctx, struct err_text *et)
{
	struct tls_context *c = mem_new(sizeof(*c));
	const char *at = NULL;
	int rc;

	c->refs = 1;
	if (gnutls_certificate_allocate_credentials(&c->credentials) != 0)
		abort();
	rc = load_pair(c, conf->certificate, conf->key, et);
	if (rc == 0 && conf->certificate2 != NULL)
		rc = load_pair(c, conf->certificate2, conf->key2, et);
	if (rc == 0 && conf->client_ca != NULL)
		rc = load_client_ca(c, conf->client_ca, et);
	if (rc == 0 && conf->priorities != NULL && gnutls_priority_init(&c->priority, conf->priorities, &at) != 0) {
		err_text_set(et, "tls_priorities: not understood from \"%s\" on", at != NULL ? at : conf->priorities);
		rc = -ERR_INVALID;
	}
	if (rc != 0) {
		tls_context_unref(c);
		return rc;
	}
	c->expires = read_expiry(c);
	make_end_points(c);
	*ctx = c;
	return 0;
}

struct tls_context *tls_context_ref(struct tls_context *ctx)
{
	if (ctx != NULL)
		atomic_fetch_add(&ctx->refs, 1);
	return ctx;
}

void tls_context_unref(struct tls_context *ctx)
{
	if (ctx == NULL || atomic_fetch_sub(&ctx->refs, 1) != 1)
		return;
	gnutls_certificate_free_credentials(ctx->credentials);
	if (ctx->priority != NULL)
		gnutls_priority_deinit(ctx->priority);
	free(ctx);
}

int tls_context_days_left(const struct tls_context *ctx, int64_t wall_us)
{
	return (int)((ctx->expires - wall_us / 1000000) / 86400);
}

void tls_context_fingerprints(const struct tls_context *ctx, char *out, size_t room)
{
	unsigned char hash[32];
	gnutls_datum_t der;
	size_t n = 0;

	*out = '\0';
	for (unsigned i = 0; gnutls_certificate_get_crt_raw(ctx->credentials, i, 0, &der) == 0; i++) {
		if (n + 66 > room || gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, hash) != 0)
			return;
		if (n != 0)
			out[n++] = ' ';
		for (size_t j = 0; j < sizeof(hash); j++, n += 2)
			snprintf(out + n, room - n, "%02x", hash[j]);
	}
}
