/* SPDX-License-Identifier: MIT */
/* Addresses: localpart@domainpart/resourcepart, prepared by RFC 7622. */
#ifndef COMITY_JID_H
#define COMITY_JID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)

/* Immutable and reference-counted; shared between threads. */
struct comity_jid;

/* Prepares an address of len bytes of UTF-8. NULL when it is not one. The caller unrefs the result. */
struct comity_jid *comity_jid_new(const char *text, size_t len);
/* The same for a string. */
struct comity_jid *comity_jid_parse(const char *text);
/* Builds from parts that are prepared here; local and resource may be NULL. NULL when one is invalid. */
struct comity_jid *comity_jid_make(const char *local, const char *domain, const char *resource);
/* The full address of a bare one; resource is prepared here. NULL when it is invalid. */
struct comity_jid *comity_jid_with_resource(struct comity_jid *bare, const char *resource);

struct comity_jid *comity_jid_ref(const struct comity_jid *jid);
void comity_jid_unref(struct comity_jid *jid);

/* All text is borrowed from the address and ends with NUL. */
const char *comity_jid_text(const struct comity_jid *jid);
size_t comity_jid_text_len(const struct comity_jid *jid);
/* Not ended by NUL; *len is 0 and the result "" when there is no localpart. */
const char *comity_jid_local(const struct comity_jid *jid, size_t *len);
const char *comity_jid_domain(const struct comity_jid *jid);
/* NULL when there is none. */
const char *comity_jid_resource(const struct comity_jid *jid);
/* The address without resource; itself when it is bare. Borrowed. */
struct comity_jid *comity_jid_bare(const struct comity_jid *jid);
bool comity_jid_is_bare(const struct comity_jid *jid);
bool comity_jid_has_local(const struct comity_jid *jid);
/* Of the whole text; of a bare address it decides the home. */
uint64_t comity_jid_hash(const struct comity_jid *jid);

bool comity_jid_equal(const struct comity_jid *a, const struct comity_jid *b);
/* Equal when the resources are ignored. */
bool comity_jid_equal_bare(const struct comity_jid *a, const struct comity_jid *b);

/* True when a pattern of a configuration (a domain, *.domain for all below it, or * for all) covers a domain. */
bool comity_domain_matches(const char *pattern, const char *domain);

#pragma GCC visibility pop

#endif
