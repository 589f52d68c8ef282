/* SPDX-License-Identifier: MIT */
/* The judgement of certificates of other servers. */
#include "net/trust.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/dns.h"
#include "net/tls.h"

/* A longer chain is nobody's. */
#define CHAIN_MAX 10
#define NAME_MAX_BYTES 1024
/* id-on-dnsSRV (RFC 4985). */
#define OID_SRV_NAME "1.3.6.1.5.5.7.8.7"
#define SRV_PREFIX "_xmpp-server."

struct trust {
	_Atomic unsigned refs;
	gnutls_x509_trust_list_t list;
};

int trust_new(const char *ca_file, struct trust **trust, struct err_text *et)
{
	struct trust *t;
	int rc;

	if (ca_file != NULL && access(ca_file, R_OK) != 0) {
		err_text_set(et, "cannot read authorities %s: %s", ca_file, strerror(errno));
		return -ERR_IO;
	}
	t = mem_new(sizeof(*t));
	atomic_init(&t->refs, 1);
	if (gnutls_x509_trust_list_init(&t->list, 0) != 0)
		abort();
	rc = ca_file != NULL ? gnutls_x509_trust_list_add_trust_file(t->list, ca_file, NULL, GNUTLS_X509_FMT_PEM, 0, 0) :
	                       gnutls_x509_trust_list_add_system_trust(t->list, 0, 0);
	if (ca_file != NULL && rc <= 0) {
		err_text_set(et, "authorities %s hold no certificate", ca_file);
		trust_unref(t);
		return -ERR_INVALID;
	}
	/* A system without authorities trusts nobody; servers can still be pinned or dialled back. */
	*trust = t;
	return 0;
}

struct trust *trust_new_anchor(const void *der)
{
	struct trust *t;
	gnutls_x509_crt_t crt;

	if (gnutls_x509_crt_init(&crt) != 0)
		abort();
	if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) != 0) {
		gnutls_x509_crt_deinit(crt);
		return NULL;
	}
	t = mem_new(sizeof(*t));
	atomic_init(&t->refs, 1);
	if (gnutls_x509_trust_list_init(&t->list, 0) != 0)
		abort();
	/* The list owns it from now on. */
	if (gnutls_x509_trust_list_add_cas(t->list, &crt, 1, 0) != 1)
		abort();
	return t;
}

bool trust_find_issuer(const struct trust *t, const void *der, void *issuer)
{
	gnutls_x509_crt_t crt, by = NULL;
	bool found = false;

	if (gnutls_x509_crt_init(&crt) != 0)
		abort();
	if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) == 0 &&
	    gnutls_x509_trust_list_get_issuer(t->list, crt, &by, GNUTLS_TL_GET_COPY) == 0)
		found = gnutls_x509_crt_export2(by, GNUTLS_X509_FMT_DER, issuer) == 0;
	if (by != NULL)
		gnutls_x509_crt_deinit(by);
	gnutls_x509_crt_deinit(crt);
	return found;
}

struct trust *trust_ref(struct trust *t)
{
	if (t != NULL)
		atomic_fetch_add(&t->refs, 1);
	return t;
}

void trust_unref(struct trust *t)
{
	if (t == NULL || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	gnutls_x509_trust_list_deinit(t->list, 1);
	free(t);
}

/* ---- names ---- */

/* RFC 9525 6.3: a wildcard is the whole leftmost label and stands for one label. */
static bool dns_matches(const char *pattern, size_t len, const char *domain)
{
	const char *rest;

	if (memchr(pattern, '\0', len) != NULL)
		return false;
	if (len == strlen(domain) && strncasecmp(pattern, domain, len) == 0)
		return true;
	if (len < 4 || pattern[0] != '*' || pattern[1] != '.')
		return false;
	rest = strchr(domain, '.');
	return rest != NULL && rest != domain && strlen(rest) == len - 1 && strncasecmp(pattern + 1, rest, len - 1) == 0;
}

/* The IA5String of an SRVName: tag, short or one-byte long length, characters. */
static bool srv_matches(const unsigned char *der, size_t len, const char *domain)
{
	size_t prefix = strlen(SRV_PREFIX), at = 2, size;

	if (len < 2 || der[0] != 0x16)
		return false;
	size = der[1];
	if (size == 0x81 && len >= 3) {
		size = der[2];
		at = 3;
	}
	if (size >= 0x80 && at == 2)
		return false;
	if (len != at + size || size <= prefix || strncasecmp((const char *)der + at, SRV_PREFIX, prefix) != 0)
		return false;
	return dns_matches((const char *)der + at + prefix, size - prefix, domain);
}

static bool ip_matches(const void *bytes, size_t len, const char *domain)
{
	unsigned char addr[sizeof(struct in6_addr)];

	if (len == 4)
		return inet_pton(AF_INET, domain, addr) == 1 && memcmp(addr, bytes, 4) == 0;
	return len == 16 && inet_pton(AF_INET6, domain, addr) == 1 && memcmp(addr, bytes, 16) == 0;
}

static bool san_matches(gnutls_x509_crt_t crt, unsigned i, int type, const char *bytes, size_t len, const char *domain)
{
	char oid[64];
	size_t oid_len = sizeof(oid);

	switch (type) {
	case GNUTLS_SAN_DNSNAME:
		return dns_matches(bytes, len, domain);
	case GNUTLS_SAN_IPADDRESS:
		return ip_matches(bytes, len, domain);
	case GNUTLS_SAN_OTHERNAME_XMPP:
		return len == strlen(domain) && strncasecmp(bytes, domain, len) == 0;
	case GNUTLS_SAN_OTHERNAME:
		return gnutls_x509_crt_get_subject_alt_othername_oid(crt, i, oid, &oid_len) >= 0 &&
		       strcmp(oid, OID_SRV_NAME) == 0 && srv_matches((const unsigned char *)bytes, len, domain);
	default:
		return false;
	}
}

/* Appends a name to the list that is shown to people. */
static void show_name(char *shown, size_t room, int type, const char *name, size_t len)
{
	size_t used = strlen(shown);

	if (type != GNUTLS_SAN_DNSNAME && type != GNUTLS_SAN_OTHERNAME_XMPP)
		return;
	if (used + len + 6 >= room || memchr(name, '\0', len) != NULL)
		return;
	snprintf(shown + used, room - used, "%s%.*s", used != 0 ? ", " : "", (int)len, name);
}

/* True when one of the certificate's names is the domain; shown gets the names it has. */
static bool names_domain(gnutls_x509_crt_t crt, const char *domain, char *shown, size_t room)
{
	char name[NAME_MAX_BYTES];

	*shown = '\0';
	for (unsigned i = 0;; i++) {
		size_t len = sizeof(name);
		int type = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &len, NULL);

		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (type < 0)
			return false;
		if (san_matches(crt, i, type, name, len, domain))
			return true;
		show_name(shown, room, type, name, len);
	}
}

/* ---- judgement ---- */

static void set_fault(struct cert_judgement *j, enum cert_fault fault, const char *text)
{
	j->fault = fault;
	snprintf(j->text, sizeof(j->text), "%s", text);
}

static void set_time_fault(struct cert_judgement *j, enum cert_fault fault, const char *what, time_t when)
{
	struct tm tm;
	char day[32] = "";

	if (gmtime_r(&when, &tm) != NULL)
		strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	j->fault = fault;
	snprintf(j->text, sizeof(j->text), "its certificate %s %s", what, day);
}

static void judge_status(struct cert_judgement *j, unsigned status, gnutls_x509_crt_t own)
{
	char dn[128] = "";
	size_t len = sizeof(dn);

	if ((status & GNUTLS_CERT_EXPIRED) != 0) {
		set_time_fault(j, CERT_EXPIRED, "has expired on", gnutls_x509_crt_get_expiration_time(own));
	} else if ((status & GNUTLS_CERT_NOT_ACTIVATED) != 0) {
		set_time_fault(j, CERT_NOT_YET, "is not valid before", gnutls_x509_crt_get_activation_time(own));
	} else if ((status & GNUTLS_CERT_SIGNER_NOT_FOUND) != 0 && gnutls_x509_crt_check_issuer(own, own) != 0) {
		set_fault(j, CERT_SELF_SIGNED, "its certificate is self-signed");
	} else if ((status & GNUTLS_CERT_SIGNER_NOT_FOUND) != 0) {
		if (gnutls_x509_crt_get_issuer_dn(own, dn, &len) != 0)
			snprintf(dn, sizeof(dn), "an authority");
		j->fault = CERT_UNTRUSTED;
		snprintf(j->text, sizeof(j->text), "its certificate is from %s, which this server does not trust", dn);
	} else if ((status & GNUTLS_CERT_REVOKED) != 0) {
		set_fault(j, CERT_BAD, "its certificate has been revoked");
	} else if ((status & GNUTLS_CERT_INSECURE_ALGORITHM) != 0) {
		set_fault(j, CERT_BAD, "its certificate is signed with an algorithm that is not safe");
	} else {
		set_fault(j, CERT_BAD, "its certificate is not valid");
	}
}

static void judge_name(struct cert_judgement *j, gnutls_x509_crt_t own, const char *domain)
{
	char shown[160], *ascii = dns_to_ascii(domain);
	/* An XmppAddr is written as people write it. */
	bool fits = names_domain(own, ascii != NULL ? ascii : domain, shown, sizeof(shown)) ||
	            (ascii != NULL && strcmp(ascii, domain) != 0 && names_domain(own, domain, shown, sizeof(shown)));

	free(ascii);
	if (fits)
		return;
	j->fault = CERT_WRONG_NAME;
	if (*shown != '\0')
		snprintf(j->text, sizeof(j->text), "its certificate is for %s, not for %.100s", shown, domain);
	else
		snprintf(j->text, sizeof(j->text), "its certificate does not name %.100s", domain);
}

static unsigned import_chain(const gnutls_datum_t *der, unsigned count, gnutls_x509_crt_t *chain)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count && i < CHAIN_MAX; i++) {
		if (gnutls_x509_crt_init(&chain[n]) != 0)
			abort();
		if (gnutls_x509_crt_import(chain[n], &der[i], GNUTLS_X509_FMT_DER) != 0) {
			gnutls_x509_crt_deinit(chain[n]);
			break;
		}
		n++;
	}
	return n;
}

void trust_judge(const struct trust *t, const struct tls_session *s, const char *domain, struct cert_judgement *j)
{
	unsigned count = 0;
	const void *chain = tls_session_peer_chain(s, &count);

	trust_judge_chain(t, chain, count, domain, j);
}

void trust_judge_chain(const struct trust *t, const void *der, unsigned sent, const char *domain,
                       struct cert_judgement *j)
{
	gnutls_x509_crt_t chain[CHAIN_MAX];
	unsigned count = 0, status = 0;

	*j = (struct cert_judgement){ .fault = CERT_FINE };
	if (der == NULL || sent == 0) {
		set_fault(j, CERT_NONE, "it showed no certificate");
		return;
	}
	count = import_chain(der, sent, chain);
	if (count == 0)
		set_fault(j, CERT_BAD, "its certificate cannot be read");
	else if (gnutls_x509_trust_list_verify_crt2(t->list, chain, count, NULL, 0, 0, &status, NULL) != 0)
		set_fault(j, CERT_BAD, "its certificate cannot be checked");
	else if (status != 0)
		judge_status(j, status, chain[0]);
	else
		judge_name(j, chain[0], domain);
	for (unsigned i = 0; i < count; i++)
		gnutls_x509_crt_deinit(chain[i]);
}

void trust_describe(const struct tls_session *s, char *out, size_t room)
{
	gnutls_x509_crt_t own[CHAIN_MAX];
	unsigned sent = 0;
	const gnutls_datum_t *der = tls_session_peer_chain(s, &sent);
	char names[160], issuer[128] = "?", day[32] = "?";
	size_t len = sizeof(issuer);
	time_t end;
	struct tm tm;

	snprintf(out, room, "none");
	if (der == NULL || sent == 0 || import_chain(der, 1, own) == 0)
		return;
	names_domain(own[0], "", names, sizeof(names));
	if (gnutls_x509_crt_get_issuer_dn(own[0], issuer, &len) != 0)
		snprintf(issuer, sizeof(issuer), "?");
	end = gnutls_x509_crt_get_expiration_time(own[0]);
	if (gmtime_r(&end, &tm) != NULL)
		strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	snprintf(out, room, "for %s, from %s, until %s, %u in the chain", *names != '\0' ? names : "no domain", issuer, day,
	         sent);
	gnutls_x509_crt_deinit(own[0]);
}

bool trust_fingerprint(const struct tls_session *s, char out[65])
{
	unsigned count = 0;
	const gnutls_datum_t *der = tls_session_peer_chain(s, &count);
	unsigned char hash[32];

	if (der == NULL || count == 0 || gnutls_hash_fast(GNUTLS_DIG_SHA256, der[0].data, der[0].size, hash) != 0)
		return false;
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
	return true;
}

bool trust_is_pinned(const struct tls_session *s, const char *sha256)
{
	char have[65];
	size_t n = 0;

	if (!trust_fingerprint(s, have))
		return false;
	for (; *sha256 != '\0'; sha256++) {
		if (*sha256 == ':')
			continue;
		if (n >= 64 || tolower((unsigned char)*sha256) != have[n])
			return false;
		n++;
	}
	return n == 64;
}
