/* SPDX-License-Identifier: MIT */
/* Certificates and what DNS says of them; the certificates are made here. */
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net/dane.h"
#include "unit.h"

#define DAY 86400

struct maker {
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t der, spki;
};

/* by NULL: it signs itself. */
static void make(struct maker *m, const char *name, const struct maker *by, bool is_ca, bool is_expired)
{
	static unsigned char serial;
	time_t now = time(NULL);
	gnutls_pubkey_t pubkey;

	ck_assert_int_eq(gnutls_x509_privkey_init(&m->key), 0);
	ck_assert_int_eq(gnutls_x509_privkey_generate(m->key, GNUTLS_PK_ECDSA,
	                                              GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0), 0);
	ck_assert_int_eq(gnutls_x509_crt_init(&m->crt), 0);
	gnutls_x509_crt_set_version(m->crt, 3);
	serial++;
	gnutls_x509_crt_set_serial(m->crt, &serial, 1);
	gnutls_x509_crt_set_activation_time(m->crt, now - 3 * DAY);
	gnutls_x509_crt_set_expiration_time(m->crt, is_expired ? now - DAY : now + DAY);
	gnutls_x509_crt_set_dn_by_oid(m->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name, (unsigned)strlen(name));
	gnutls_x509_crt_set_ca_status(m->crt, is_ca);
	if (!is_ca)
		gnutls_x509_crt_set_subject_alt_name(m->crt, GNUTLS_SAN_DNSNAME, name, (unsigned)strlen(name), 0);
	ck_assert_int_eq(gnutls_x509_crt_set_key(m->crt, m->key), 0);
	ck_assert_int_eq(gnutls_x509_crt_sign2(m->crt, by != NULL ? by->crt : m->crt, by != NULL ? by->key : m->key,
	                                       GNUTLS_DIG_SHA256, 0), 0);
	ck_assert_int_eq(gnutls_x509_crt_export2(m->crt, GNUTLS_X509_FMT_DER, &m->der), 0);
	ck_assert_int_eq(gnutls_pubkey_init(&pubkey), 0);
	ck_assert_int_eq(gnutls_pubkey_import_x509(pubkey, m->crt, 0), 0);
	ck_assert_int_eq(gnutls_pubkey_export2(pubkey, GNUTLS_X509_FMT_DER, &m->spki), 0);
	gnutls_pubkey_deinit(pubkey);
}

static void unmake(struct maker *m)
{
	gnutls_x509_privkey_deinit(m->key);
	gnutls_x509_crt_deinit(m->crt);
	gnutls_free(m->der.data);
	gnutls_free(m->spki.data);
}

/* A record that fits. */
static struct dns_record record(unsigned usage, unsigned selector, unsigned matching, const struct maker *m)
{
	const gnutls_datum_t *what = selector == 0 ? &m->der : &m->spki;
	struct dns_record r = { .usage = (uint8_t)usage, .selector = (uint8_t)selector, .matching = (uint8_t)matching };

	if (matching == 0) {
		r.size = (uint16_t)what->size;
		ck_assert_uint_le(what->size, DNS_TLSA_MAX);
		memcpy(r.data, what->data, what->size);
		return r;
	}
	r.size = matching == 1 ? 32 : 64;
	ck_assert_int_eq(gnutls_hash_fast(matching == 1 ? GNUTLS_DIG_SHA256 : GNUTLS_DIG_SHA512, what->data, what->size,
	                                  r.data), 0);
	return r;
}

struct bed {
	struct maker root, middle, leaf, own, old, elsewhere, stranger;
	struct trust *trust;           /* of root */
	struct cert_judgement j;
};

static void bed_init(struct bed *b)
{
	make(&b->root, "Root", NULL, true, false);
	make(&b->middle, "Middle", &b->root, true, false);
	make(&b->leaf, "a.example", &b->middle, false, false);
	make(&b->own, "a.example", NULL, false, false);
	make(&b->old, "b.example", NULL, false, true);
	make(&b->elsewhere, "b.example", &b->middle, false, false);
	make(&b->stranger, "Stranger", NULL, true, false);
	b->trust = trust_new_anchor(&b->root.der);
	ck_assert_ptr_nonnull(b->trust);
}

static void bed_deinit(struct bed *b)
{
	trust_unref(b->trust);
	unmake(&b->root);
	unmake(&b->middle);
	unmake(&b->leaf);
	unmake(&b->own);
	unmake(&b->old);
	unmake(&b->elsewhere);
	unmake(&b->stranger);
}

/* Of a server that shows its own certificate, and those of others (NULL: none). */
static enum dane_verdict judge(struct bed *b, struct dns_record r, const struct maker *own, const struct maker *next,
                               const struct maker *last)
{
	gnutls_datum_t chain[3] = { own->der, next != NULL ? next->der : own->der, last != NULL ? last->der : own->der };
	struct dane_claim claim = { .records = &r, .count = 1, .names = { "a.example", "xmpp.a.example" }, .trust = b->trust };

	return dane_judge_chain(chain, 1 + (next != NULL) + (last != NULL), &claim, &b->j);
}

START_TEST(fits_the_certificate_itself)
{
	struct bed b;

	bed_init(&b);
	for (unsigned selector = 0; selector < 2; selector++) {
		for (unsigned matching = 0; matching < 3; matching++) {
			ck_assert_int_eq(judge(&b, record(3, selector, matching, &b.own), &b.own, NULL, NULL), DANE_FITS);
			/* Neither name nor time matter. */
			ck_assert_int_eq(judge(&b, record(3, selector, matching, &b.old), &b.old, NULL, NULL), DANE_FITS);
			ck_assert_int_eq(judge(&b, record(3, selector, matching, &b.old), &b.own, NULL, NULL), DANE_WRONG);
			ck_assert_str_eq(b.j.text, "its certificate is not the one that DNS (DANE) names");
			ck_assert_int_ne(b.j.fault, CERT_FINE);
			/* Not even an authority that is trusted helps, nor what else the server shows. */
			ck_assert_int_eq(judge(&b, record(3, selector, matching, &b.own), &b.leaf, &b.middle, NULL), DANE_WRONG);
			ck_assert_int_eq(judge(&b, record(3, selector, matching, &b.own), &b.leaf, &b.own, NULL), DANE_WRONG);
		}
	}
	bed_deinit(&b);
}
END_TEST

START_TEST(fits_an_authority)
{
	struct bed b;

	bed_init(&b);
	trust_unref(b.trust);
	b.trust = NULL;
	for (unsigned selector = 0; selector < 2; selector++) {
		for (unsigned matching = 0; matching < 3; matching++) {
			struct dns_record root = record(2, selector, matching, &b.root);
			struct dns_record middle = record(2, selector, matching, &b.middle);
			struct dns_record stranger = record(2, selector, matching, &b.stranger);
			bool is_whole = selector == 0 && matching == 0;

			ck_assert_int_eq(judge(&b, root, &b.leaf, &b.middle, &b.root), DANE_FITS);
			ck_assert_int_eq(judge(&b, middle, &b.leaf, &b.middle, NULL), DANE_FITS);
			/* An authority that is not sent is known only when it is in DNS as a whole. */
			ck_assert_int_eq(judge(&b, root, &b.leaf, &b.middle, NULL), is_whole ? DANE_FITS : DANE_WRONG);
			/* To show a certificate is not to be signed by it. */
			ck_assert_int_eq(judge(&b, stranger, &b.leaf, &b.middle, &b.stranger), DANE_WRONG);
			ck_assert_int_eq(judge(&b, stranger, &b.own, &b.stranger, NULL), DANE_WRONG);
			/* The name matters. */
			ck_assert_int_eq(judge(&b, middle, &b.elsewhere, &b.middle, NULL), DANE_WRONG);
			ck_assert_ptr_nonnull(strstr(b.j.text, "its certificate is not the one that DNS (DANE) names"));
			ck_assert_ptr_nonnull(strstr(b.j.text, "for b.example"));
		}
	}
	ck_assert_int_eq(judge(&b, record(2, 1, 1, &b.own), &b.own, NULL, NULL), DANE_FITS);
	ck_assert_int_eq(judge(&b, record(2, 1, 1, &b.old), &b.old, NULL, NULL), DANE_WRONG);
	ck_assert_int_eq(judge(&b, record(2, 1, 1, &b.leaf), &b.leaf, &b.middle, NULL), DANE_WRONG);
	bed_deinit(&b);
}
END_TEST

START_TEST(takes_the_name_of_the_host_too)
{
	struct bed b;
	struct dns_record r;
	struct dane_claim claim = { .records = &r, .count = 1, .names = { "example.org", "a.example" } };
	gnutls_datum_t chain[2];

	bed_init(&b);
	r = record(2, 0, 1, &b.middle);
	chain[0] = b.leaf.der;
	chain[1] = b.middle.der;
	ck_assert_int_eq(dane_judge_chain(chain, 2, &claim, &b.j), DANE_FITS);
	claim.names[1] = NULL;
	ck_assert_int_eq(dane_judge_chain(chain, 2, &claim, &b.j), DANE_WRONG);
	bed_deinit(&b);
}
END_TEST

START_TEST(narrows_trusted_authorities)
{
	struct bed b;

	bed_init(&b);
	ck_assert_int_eq(judge(&b, record(1, 1, 1, &b.leaf), &b.leaf, &b.middle, NULL), DANE_FITS);
	ck_assert_int_eq(judge(&b, record(1, 1, 1, &b.own), &b.own, NULL, NULL), DANE_WRONG);
	ck_assert_int_eq(judge(&b, record(1, 1, 1, &b.elsewhere), &b.elsewhere, &b.middle, NULL), DANE_WRONG);
	ck_assert_int_eq(judge(&b, record(0, 1, 1, &b.middle), &b.leaf, &b.middle, NULL), DANE_FITS);
	/* The root is known here, and need not be sent. */
	ck_assert_int_eq(judge(&b, record(0, 1, 1, &b.root), &b.leaf, &b.middle, NULL), DANE_FITS);
	ck_assert_int_eq(judge(&b, record(0, 1, 1, &b.stranger), &b.leaf, &b.middle, &b.stranger), DANE_WRONG);
	trust_unref(b.trust);
	b.trust = trust_new_anchor(&b.stranger.der);
	ck_assert_int_eq(judge(&b, record(1, 1, 1, &b.leaf), &b.leaf, &b.middle, NULL), DANE_WRONG);
	ck_assert_int_eq(judge(&b, record(0, 1, 1, &b.middle), &b.leaf, &b.middle, NULL), DANE_WRONG);
	bed_deinit(&b);
}
END_TEST

START_TEST(leaves_out_what_it_does_not_understand)
{
	struct bed b;
	struct dns_record r[2];
	struct dane_claim claim = { .records = r, .count = 1, .names = { "a.example" } };

	bed_init(&b);
	r[0] = record(3, 1, 1, &b.own);
	r[0].usage = 255;
	ck_assert_int_eq(dane_judge_chain(&b.own.der, 1, &claim, &b.j), DANE_NONE);
	r[0] = record(3, 1, 1, &b.own);
	r[0].selector = 2;
	ck_assert_int_eq(dane_judge_chain(&b.own.der, 1, &claim, &b.j), DANE_NONE);
	r[0] = record(3, 1, 1, &b.own);
	r[0].matching = 3;
	ck_assert_int_eq(dane_judge_chain(&b.own.der, 1, &claim, &b.j), DANE_NONE);
	r[0] = record(3, 1, 1, &b.own);
	r[0].size = 31;
	ck_assert_int_eq(dane_judge_chain(&b.own.der, 1, &claim, &b.j), DANE_NONE);
	ck_assert(!dane_is_usable(&claim));
	r[1] = record(3, 1, 1, &b.leaf);
	claim.count = 2;
	ck_assert(dane_is_usable(&claim));
	ck_assert_int_eq(dane_judge_chain(&b.own.der, 1, &claim, &b.j), DANE_WRONG);
	/* One that fits is enough. */
	r[0] = record(3, 1, 2, &b.own);
	ck_assert_int_eq(dane_judge_chain(&b.own.der, 1, &claim, &b.j), DANE_FITS);
	ck_assert_int_eq(b.j.fault, CERT_FINE);
	ck_assert_int_eq(dane_judge_chain(NULL, 0, &claim, &b.j), DANE_WRONG);
	ck_assert_int_eq(dane_judge_chain(&(gnutls_datum_t){ (unsigned char *)"x", 1 }, 1, &claim, &b.j), DANE_WRONG);
	claim.count = 0;
	ck_assert_int_eq(dane_judge_chain(&b.own.der, 1, &claim, &b.j), DANE_NONE);
	bed_deinit(&b);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, fits_the_certificate_itself);
	tcase_add_test(tc, fits_an_authority);
	tcase_add_test(tc, takes_the_name_of_the_host_too);
	tcase_add_test(tc, narrows_trusted_authorities);
	tcase_add_test(tc, leaves_out_what_it_does_not_understand);
}

UNIT_SUITE(dane);
