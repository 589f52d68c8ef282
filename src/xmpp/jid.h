/* SPDX-License-Identifier: MIT */
/* Preparation of the parts of addresses, and a cache of prepared ones. */
#ifndef XMPP_JID_H
#define XMPP_JID_H

#include <stddef.h>

#include "comity/jid.h"

#define JID_PART_MAX 1023 /* bytes, RFC 7622 section 3 */

/* Each prepares len bytes of UTF-8 into out (JID_PART_MAX + 1 bytes, ended by NUL) and returns the
 * length, or -ERR_INVALID or -ERR_TOO_LONG. */
int jid_prepare_local(const char *text, size_t len, char *out);    /* RFC 7622 3.3: UsernameCaseMapped */
int jid_prepare_domain(const char *text, size_t len, char *out);   /* RFC 7622 3.2: IDNA2008, IP literals */
int jid_prepare_resource(const char *text, size_t len, char *out); /* RFC 7622 3.4: OpaqueString */

/* The A-label form of a prepared domain, for DNS and certificates: out has 256 bytes. Returns the
 * length or -ERR_INVALID. */
int jid_domain_to_ascii(const char *domain, char *out);

/* Remembers what raw text prepared to; one per worker, no locks. */
struct jid_cache;

struct jid_cache *jid_cache_new(size_t entries);
void jid_cache_free(struct jid_cache *cache);
/* As comity_jid_new, but an address seen lately costs one look-up. The caller unrefs the result. */
struct comity_jid *jid_cache_get(struct jid_cache *cache, const char *text, size_t len);

#endif
