/* SPDX-License-Identifier: MIT */
/* Whom to believe: authorities, and the judgement of a server's certificate (RFC 9525, RFC 6120 13.7). */
#ifndef NET_TRUST_H
#define NET_TRUST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct tls_session;
struct trust;

enum cert_fault {
	CERT_FINE,
	CERT_NONE,         /* the peer sent none */
	CERT_EXPIRED,
	CERT_NOT_YET,      /* its time has not come */
	CERT_SELF_SIGNED,
	CERT_UNTRUSTED,    /* by an authority that is not known here */
	CERT_WRONG_NAME,
	CERT_BAD           /* broken, revoked, or signed in a way that is not safe */
};

/* A judgement, and the sentence about it for people: "its certificate has expired on 2024-05-01". */
struct cert_judgement {
	enum cert_fault fault;
	char text[320];
};

/* Authorities from a PEM file; NULL: those of the system. Immutable and reference-counted. */
int trust_new(const char *ca_file, struct trust **trust, struct err_text *et);
struct trust *trust_ref(struct trust *t);
void trust_unref(struct trust *t);

/* Judges what the peer of a session showed as the certificate of an XMPP server for domain (a name, perhaps
 * internationalised, or an address). Certificates for servers are good in both directions. */
void trust_judge(const struct trust *t, const struct tls_session *s, const char *domain, struct cert_judgement *j);
/* The same of a chain of count gnutls_datum_t, as tls_session_peer_chain() gives it. */
void trust_judge_chain(const struct trust *t, const void *chain, unsigned count, const char *domain,
                       struct cert_judgement *j);
/* One that trusts a single certificate, root or not (gnutls_datum_t of DER); NULL when it cannot be read. */
struct trust *trust_new_anchor(const void *der);
/* The authority among those trusted that has signed a certificate: both gnutls_datum_t of DER, issuer->data to be
 * freed by gnutls_free(). False when there is none. */
bool trust_find_issuer(const struct trust *t, const void *der, void *issuer);
/* For people: names, issuer and end of the peer's certificate, "for a.example, from CN=..., until 2027-01-31". */
void trust_describe(const struct tls_session *s, char *out, size_t room);
/* True when the peer's own certificate has this fingerprint: SHA-256 in hex, colons allowed. */
bool trust_is_pinned(const struct tls_session *s, const char *sha256);
/* The fingerprint as hex without colons; false when the peer sent no certificate. */
bool trust_fingerprint(const struct tls_session *s, char out[65]);

#endif
