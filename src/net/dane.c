/* SPDX-License-Identifier: MIT */
/* Certificates compared with TLSA records. */
#include "net/dane.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls.h"

/* A longer chain is nobody's. */
#define CHAIN_MAX 10

/* RFC 6698 2.1.1 to 2.1.3. */
enum { PKIX_TA, PKIX_EE, DANE_TA, DANE_EE };
enum { WHOLE_CERTIFICATE, PUBLIC_KEY };
enum { AS_IT_IS, SHA_256, SHA_512 };

struct chain {
	const gnutls_datum_t *der;
	unsigned count;
};

/* RFC 7671 section 4: what is not understood, or is malformed, is left out. */
static bool is_usable(const struct dns_record *r)
{
	if (r->usage > DANE_EE || r->selector > PUBLIC_KEY)
		return false;
	switch (r->matching) {
	case AS_IT_IS:
		return r->size != 0;
	case SHA_256:
		return r->size == 32;
	case SHA_512:
		return r->size == 64;
	default:
		return false;
	}
}

bool dane_is_usable(const struct dane_claim *claim)
{
	for (size_t i = 0; i < claim->count; i++)
		if (is_usable(&claim->records[i]))
			return true;
	return false;
}

/* ---- one certificate ---- */

static bool matches_bytes(const struct dns_record *r, const gnutls_datum_t *bytes)
{
	unsigned char hash[64];

	if (r->matching == AS_IT_IS)
		return bytes->size == r->size && memcmp(bytes->data, r->data, r->size) == 0;
	if (gnutls_hash_fast(r->matching == SHA_256 ? GNUTLS_DIG_SHA256 : GNUTLS_DIG_SHA512, bytes->data, bytes->size,
	                     hash) != 0)
		return false;
	return memcmp(hash, r->data, r->size) == 0;
}

static gnutls_x509_crt_t import(const gnutls_datum_t *der)
{
	gnutls_x509_crt_t crt;

	if (gnutls_x509_crt_init(&crt) != 0)
		abort();
	if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) == 0)
		return crt;
	gnutls_x509_crt_deinit(crt);
	return NULL;
}

/* The SubjectPublicKeyInfo, freed by gnutls_free(). */
static bool get_key(const gnutls_datum_t *der, gnutls_datum_t *key)
{
	gnutls_x509_crt_t crt = import(der);
	gnutls_pubkey_t pubkey;
	bool ok;

	if (crt == NULL)
		return false;
	if (gnutls_pubkey_init(&pubkey) != 0)
		abort();
	ok = gnutls_pubkey_import_x509(pubkey, crt, 0) == 0 && gnutls_pubkey_export2(pubkey, GNUTLS_X509_FMT_DER, key) == 0;
	gnutls_pubkey_deinit(pubkey);
	gnutls_x509_crt_deinit(crt);
	return ok;
}

static bool matches(const struct dns_record *r, const gnutls_datum_t *der)
{
	gnutls_datum_t key = { NULL, 0 };
	bool fits;

	if (r->selector == WHOLE_CERTIFICATE)
		return matches_bytes(r, der);
	if (!get_key(der, &key))
		return false;
	fits = matches_bytes(r, &key);
	gnutls_free(key.data);
	return fits;
}

static bool is_self_issued(const gnutls_datum_t *der)
{
	gnutls_x509_crt_t crt = import(der);
	bool is = crt != NULL && gnutls_x509_crt_check_issuer(crt, crt) != 0;

	if (crt != NULL)
		gnutls_x509_crt_deinit(crt);
	return is;
}

/* ---- authorities ---- */

/* j gets the judgement for the first name when none is right. */
static bool is_valid(const struct trust *t, const struct chain *c, const struct dane_claim *claim,
                     struct cert_judgement *j)
{
	struct cert_judgement other;

	trust_judge_chain(t, c->der, c->count, claim->names[0], j);
	if (j->fault != CERT_WRONG_NAME || claim->names[1] == NULL)
		return j->fault == CERT_FINE;
	trust_judge_chain(t, c->der, c->count, claim->names[1], &other);
	return other.fault == CERT_FINE;
}

/* An authority that DNS names must have signed the certificate, if through others. */
static bool leads_to(const gnutls_datum_t *anchor, const struct chain *c, const struct dane_claim *claim,
                     struct cert_judgement *j)
{
	struct trust *t = trust_new_anchor(anchor);
	bool fits = t != NULL && is_valid(t, c, claim, j);

	trust_unref(t);
	return fits;
}

/* The root is often not sent, but known. */
static bool fits_known_authority(const struct dns_record *r, const struct chain *c, const struct dane_claim *claim,
                                 struct cert_judgement *j)
{
	bool fits = false;

	for (unsigned i = 0; i < c->count && !fits; i++) {
		gnutls_datum_t issuer = { NULL, 0 };

		if (!trust_find_issuer(claim->trust, &c->der[i], &issuer))
			continue;
		fits = matches(r, &issuer) && leads_to(&issuer, c, claim, j);
		gnutls_free(issuer.data);
	}
	return fits;
}

static bool fits_authority(const struct dns_record *r, const struct chain *c, const struct dane_claim *claim,
                           struct cert_judgement *j)
{
	/* RFC 7671 5.2.2: a whole certificate in DNS need not be sent by the server. */
	const gnutls_datum_t told = { (unsigned char *)r->data, r->size };

	/* Who signs for itself is its own authority. */
	for (unsigned i = is_self_issued(&c->der[0]) ? 0 : 1; i < c->count; i++)
		if (matches(r, &c->der[i]) && leads_to(&c->der[i], c, claim, j))
			return true;
	if (r->selector == WHOLE_CERTIFICATE && r->matching == AS_IT_IS && leads_to(&told, c, claim, j))
		return true;
	return r->usage == PKIX_TA && claim->trust != NULL && fits_known_authority(r, c, claim, j);
}

/* ---- judgement ---- */

static bool fits(const struct dns_record *r, const struct chain *c, const struct dane_claim *claim,
                 struct cert_judgement *j)
{
	switch (r->usage) {
	case DANE_EE:
		/* RFC 7671 5.1: names and times in it do not matter. */
		return matches(r, &c->der[0]);
	case PKIX_EE:
		return matches(r, &c->der[0]) && claim->trust != NULL && is_valid(claim->trust, c, claim, j);
	case DANE_TA:
		return fits_authority(r, c, claim, j);
	default:
		return fits_authority(r, c, claim, j) && claim->trust != NULL && is_valid(claim->trust, c, claim, j);
	}
}

enum dane_verdict dane_judge_chain(const void *chain, unsigned count, const struct dane_claim *claim,
                                   struct cert_judgement *j)
{
	const struct chain c = { chain, count < CHAIN_MAX ? count : CHAIN_MAX };
	struct cert_judgement found = { .fault = CERT_FINE };

	*j = (struct cert_judgement){ .fault = CERT_FINE };
	if (!dane_is_usable(claim))
		return DANE_NONE;
	if (chain == NULL || count == 0) {
		j->fault = CERT_NONE;
		snprintf(j->text, sizeof(j->text), "it showed no certificate, but DNS (DANE) names one");
		return DANE_WRONG;
	}
	for (size_t i = 0; i < claim->count; i++)
		if (is_usable(&claim->records[i]) && fits(&claim->records[i], &c, claim, &found))
			return DANE_FITS;
	j->fault = CERT_UNTRUSTED;
	if (found.fault == CERT_FINE)
		snprintf(j->text, sizeof(j->text), "its certificate is not the one that DNS (DANE) names");
	else
		snprintf(j->text, sizeof(j->text), "its certificate is not the one that DNS (DANE) names, or not valid: %.200s",
		         found.text);
	return DANE_WRONG;
}

enum dane_verdict dane_judge(const struct tls_session *s, const struct dane_claim *claim, struct cert_judgement *j)
{
	unsigned count = 0;
	const void *chain = tls_session_peer_chain(s, &count);

	return dane_judge_chain(chain, count, claim, j);
}
