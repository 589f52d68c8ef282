/* SPDX-License-Identifier: MIT */
/* The judgement of certificates by what DNS says of them (DANE: RFC 6698, RFC 7671, RFC 7673). */
#ifndef NET_DANE_H
#define NET_DANE_H

#include "net/dns.h"
#include "net/trust.h"

enum dane_verdict {
	DANE_NONE,         /* DNS says nothing that is understood: it is as if it had not been asked */
	DANE_FITS,         /* as good as, and often better than, an authority that is trusted */
	DANE_WRONG
};

/* Authentic TLSA records, and what they are about. */
struct dane_claim {
	const struct dns_record *records;
	size_t count;
	const char *names[2];          /* of the service and of its host: a certificate may be for either */
	const struct trust *trust;     /* of authorities, for the usages 0 and 1 which demand them, too */
};

/* True when there is a record that can be understood. */
bool dane_is_usable(const struct dane_claim *claim);
/* Judges what the peer of a session showed. Of DANE_WRONG, j says why, for people. */
enum dane_verdict dane_judge(const struct tls_session *s, const struct dane_claim *claim, struct cert_judgement *j);
/* The same of a chain of count gnutls_datum_t, as tls_session_peer_chain() gives it. */
enum dane_verdict dane_judge_chain(const void *chain, unsigned count, const struct dane_claim *claim,
                                   struct cert_judgement *j);

#endif
