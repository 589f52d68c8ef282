/* SPDX-License-Identifier: MIT */
/* Addresses: preparation (RFC 7622), shared objects, a cache. */
#include "xmpp/jid.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uninorm.h>
#include <unistr.h>

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "xmpp/precis.h"

#define LABEL_MAX 63

struct comity_jid {
	_Atomic unsigned refs;
	unsigned local_len;          /* 0: none */
	unsigned len;
	unsigned resource_at;        /* offset of the resource in text; 0: none */
	uint64_t hash;
	struct comity_jid *bare;     /* of a full address, with a reference; NULL in a bare one */
	char text[];
};

/* ---- parts ---- */

/* What each ASCII character of a localpart becomes; NUL where it may not stand: controls, space, and
 * those that RFC 7622 3.3.1 excludes though PRECIS allows them. */
static const char local_chars[129] =
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	"\0!\0#$%\0\0()*+,-.\0"
	"0123456789\0;\0=\0?"
	"\0abcdefghijklmno"
	"pqrstuvwxyz[\\]^_"
	"`abcdefghijklmno"
	"pqrstuvwxyz{|}~\0";

/* The length, or 0 when there are other characters than ASCII, or an error. */
static int prepare_ascii_local(const char *text, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x80)
			return 0;
		if (local_chars[c] == '\0')
			return -ERR_INVALID;
		if (i < JID_PART_MAX)
			out[i] = local_chars[c];
	}
	if (len > JID_PART_MAX)
		return -ERR_TOO_LONG;
	out[len] = '\0';
	return (int)len;
}

/* Mapping of wide forms can make excluded characters. */
static bool has_excluded(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x80 && local_chars[(unsigned char)text[i]] == '\0')
			return true;
	return false;
}

static bool is_ascii(const char *text, size_t len, unsigned char least)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < least || (unsigned char)text[i] > 0x7e)
			return false;
	return true;
}

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

int jid_prepare_local(const char *text, size_t len, char *out)
{
	int n = len != 0 ? prepare_ascii_local(text, len, out) : -ERR_INVALID;

	if (n != 0)
		return n;
	n = precis_username_case_mapped(text, len, out, JID_PART_MAX + 1);
	return n > 0 && has_excluded(out, (size_t)n) ? -ERR_INVALID : n;
}

int jid_prepare_resource(const char *text, size_t len, char *out)
{
	if (len == 0)
		return -ERR_INVALID;
	if (!is_ascii(text, len, 0x20))
		return precis_opaque_string(text, len, out, JID_PART_MAX + 1);
	if (len > JID_PART_MAX)
		return -ERR_TOO_LONG;
	memcpy(out, text, len);
	out[len] = '\0';
	return (int)len;
}

static bool is_ldh(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* Lower-case letters, digits and hyphens in labels of 1 to 63 (the STD3 rules of IDNA). */
static bool is_host_name(const char *text, size_t len)
{
	size_t label = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && text[i] != '.') {
			if (!is_ldh(text[i]) || ++label > LABEL_MAX)
				return false;
			continue;
		}
		if (label == 0 || text[i - label] == '-' || text[i - 1] == '-')
			return false;
		label = 0;
	}
	return true;
}

static bool has_a_label(const char *text)
{
	for (const char *p = strstr(text, "xn--"); p != NULL; p = strstr(p + 1, "xn--"))
		if (p == text || p[-1] == '.')
			return true;
	return false;
}

static int prepare_ipv6(const char *text, size_t len, char *out)
{
	char address[INET6_ADDRSTRLEN + 1];
	struct in6_addr in6;

	if (len < 4 || len > INET6_ADDRSTRLEN + 1 || text[len - 1] != ']')
		return -ERR_INVALID;
	memcpy(address, text + 1, len - 2);
	address[len - 2] = '\0';
	if (strlen(address) != len - 2 || inet_pton(AF_INET6, address, &in6) != 1)
		return -ERR_INVALID;
	out[0] = '[';
	inet_ntop(AF_INET6, &in6, out + 1, INET6_ADDRSTRLEN);
	strcat(out, "]");
	return (int)strlen(out);
}

/* A-labels that came in are decoded by libidn2 without a look at what is in them; only those that their
 * U-labels lead back to are real ones (RFC 5891 5.4). */
static bool is_round_trip(const char *unicode, const uint8_t *ascii)
{
	uint8_t *again = NULL;
	bool same = idn2_lookup_u8((const uint8_t *)unicode, &again, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
	            strcmp((const char *)again, (const char *)ascii) == 0;

	if (again != NULL)
		idn2_free(again);
	return same;
}

/* IDNA2008: through A-labels, which checks every label, and back to U-labels. */
static int prepare_idn(const char *text, size_t len, char *out)
{
	char *copy, *unicode = NULL;
	uint8_t *ascii = NULL;
	int rc = -ERR_INVALID;
	size_t n;

	if (len > JID_PART_MAX || memchr(text, '\0', len) != NULL || u8_check((const uint8_t *)text, len) != NULL)
		return len > JID_PART_MAX ? -ERR_TOO_LONG : -ERR_INVALID;
	copy = mem_dup(text, len);
	if (idn2_lookup_u8((const uint8_t *)copy, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
	    is_host_name((const char *)ascii, strlen((const char *)ascii)) &&
	    idn2_to_unicode_8z8z((const char *)ascii, &unicode, 0) == IDN2_OK && is_round_trip(unicode, ascii)) {
		n = strlen(unicode);
		rc = n == 0 ? -ERR_INVALID : n > JID_PART_MAX ? -ERR_TOO_LONG : (int)n;
	}
	if (rc > 0)
		memcpy(out, unicode, (size_t)rc + 1);
	free(copy);
	if (ascii != NULL)
		idn2_free(ascii);
	if (unicode != NULL)
		idn2_free(unicode);
	return rc;
}

int jid_prepare_domain(const char *text, size_t len, char *out)
{
	/* RFC 7622 3.2: a final dot means the same. */
	if (len > 1 && text[len - 1] == '.')
		len--;
	if (len == 0)
		return -ERR_INVALID;
	if (text[0] == '[')
		return prepare_ipv6(text, len, out);
	if (len <= JID_PART_MAX && is_ascii(text, len, 0x21)) {
		for (size_t i = 0; i < len; i++)
			out[i] = lower(text[i]);
		out[len] = '\0';
		if (!has_a_label(out))
			return is_host_name(out, len) ? (int)len : -ERR_INVALID;
	}
	return prepare_idn(text, len, out);
}

int jid_domain_to_ascii(const char *domain, char *out)
{
	uint8_t *ascii = NULL;
	int rc = -ERR_INVALID;
	size_t n;

	if (domain[0] == '[' || is_host_name(domain, strlen(domain))) {
		n = strlen(domain);
		if (n > 255)
			return -ERR_INVALID;
		memcpy(out, domain, n + 1);
		return (int)n;
	}
	if (idn2_lookup_u8((const uint8_t *)domain, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK) {
		n = strlen((const char *)ascii);
		if (n <= 255) {
			memcpy(out, ascii, n + 1);
			rc = (int)n;
		}
		idn2_free(ascii);
	}
	return rc;
}

/* ---- objects ---- */

static struct comity_jid *new_object(size_t room)
{
	struct comity_jid *j = mem_resize(NULL, sizeof(*j) + room + 1);

	memset(j, 0, sizeof(*j));
	atomic_init(&j->refs, 1);
	return j;
}

static struct comity_jid *make_bare(const char *local, size_t local_len, const char *domain, size_t domain_len)
{
	struct comity_jid *j = new_object(local_len + 1 + domain_len);
	char *at = j->text;

	if (local_len != 0) {
		memcpy(at, local, local_len);
		at += local_len;
		*at++ = '@';
	}
	memcpy(at, domain, domain_len);
	at += domain_len;
	*at = '\0';
	j->local_len = (unsigned)local_len;
	j->len = (unsigned)(at - j->text);
	j->hash = map_hash(j->text, j->len);
	return j;
}

/* Takes over a reference to bare. */
static struct comity_jid *make_full(struct comity_jid *bare, const char *resource, size_t resource_len)
{
	struct comity_jid *j = new_object(bare->len + 1 + resource_len);

	memcpy(j->text, bare->text, bare->len);
	j->text[bare->len] = '/';
	memcpy(j->text + bare->len + 1, resource, resource_len);
	j->len = bare->len + 1 + (unsigned)resource_len;
	j->text[j->len] = '\0';
	j->local_len = bare->local_len;
	j->resource_at = bare->len + 1;
	j->hash = map_hash(j->text, j->len);
	j->bare = bare;
	return j;
}

static struct comity_jid *make(const char *local, size_t local_len, const char *domain, size_t domain_len,
                               const char *resource, size_t resource_len)
{
	char l[JID_PART_MAX + 1], d[JID_PART_MAX + 1], r[JID_PART_MAX + 1];
	int ln = 0, dn, rn = 0;

	if (local != NULL && (ln = jid_prepare_local(local, local_len, l)) < 0)
		return NULL;
	if ((dn = jid_prepare_domain(domain, domain_len, d)) < 0)
		return NULL;
	if (resource != NULL && (rn = jid_prepare_resource(resource, resource_len, r)) < 0)
		return NULL;
	if (resource == NULL)
		return make_bare(l, (size_t)ln, d, (size_t)dn);
	return make_full(make_bare(l, (size_t)ln, d, (size_t)dn), r, (size_t)rn);
}

struct comity_jid *comity_jid_new(const char *text, size_t len)
{
	/* RFC 7622 3.1: the resource begins at the first slash, the domain behind the first at-sign before it. */
	const char *slash = memchr(text, '/', len), *end = slash != NULL ? slash : text + len;
	const char *at = memchr(text, '@', (size_t)(end - text)), *domain = at != NULL ? at + 1 : text;

	return make(at != NULL ? text : NULL, at != NULL ? (size_t)(at - text) : 0, domain, (size_t)(end - domain),
	            slash != NULL ? slash + 1 : NULL, slash != NULL ? (size_t)(text + len - slash - 1) : 0);
}

struct comity_jid *comity_jid_parse(const char *text)
{
	return comity_jid_new(text, strlen(text));
}

struct comity_jid *comity_jid_make(const char *local, const char *domain, const char *resource)
{
	return make(local, local != NULL ? strlen(local) : 0, domain, strlen(domain), resource,
	            resource != NULL ? strlen(resource) : 0);
}

struct comity_jid *comity_jid_with_resource(struct comity_jid *bare, const char *resource)
{
	char r[JID_PART_MAX + 1];
	int n = jid_prepare_resource(resource, strlen(resource), r);

	return n < 0 ? NULL : make_full(comity_jid_ref(comity_jid_bare(bare)), r, (size_t)n);
}

struct comity_jid *comity_jid_ref(const struct comity_jid *jid)
{
	struct comity_jid *shared = (struct comity_jid *)(uintptr_t)jid;

	if (shared != NULL)
		atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
	return shared;
}

void comity_jid_unref(struct comity_jid *jid)
{
	if (jid == NULL || atomic_fetch_sub_explicit(&jid->refs, 1, memory_order_acq_rel) != 1)
		return;
	comity_jid_unref(jid->bare);
	free(jid);
}

const char *comity_jid_text(const struct comity_jid *jid)
{
	return jid->text;
}

size_t comity_jid_text_len(const struct comity_jid *jid)
{
	return jid->len;
}

const char *comity_jid_local(const struct comity_jid *jid, size_t *len)
{
	*len = jid->local_len;
	return jid->local_len != 0 ? jid->text : "";
}

struct comity_jid *comity_jid_bare(const struct comity_jid *jid)
{
	return jid->bare != NULL ? jid->bare : (struct comity_jid *)(uintptr_t)jid;
}

const char *comity_jid_domain(const struct comity_jid *jid)
{
	const struct comity_jid *bare = comity_jid_bare(jid);

	return bare->local_len != 0 ? bare->text + bare->local_len + 1 : bare->text;
}

const char *comity_jid_resource(const struct comity_jid *jid)
{
	return jid->resource_at != 0 ? jid->text + jid->resource_at : NULL;
}

bool comity_jid_is_bare(const struct comity_jid *jid)
{
	return jid->bare == NULL;
}

bool comity_jid_has_local(const struct comity_jid *jid)
{
	return jid->local_len != 0;
}

uint64_t comity_jid_hash(const struct comity_jid *jid)
{
	return jid->hash;
}

bool comity_jid_equal(const struct comity_jid *a, const struct comity_jid *b)
{
	return a == b || (a->hash == b->hash && a->len == b->len && memcmp(a->text, b->text, a->len) == 0);
}

bool comity_jid_equal_bare(const struct comity_jid *a, const struct comity_jid *b)
{
	return comity_jid_equal(comity_jid_bare(a), comity_jid_bare(b));
}

/* ---- the cache: one entry per place, the newer wins ---- */

#define CACHED_TEXT_MAX 256

struct cache_entry {
	uint64_t hash;
	size_t len;
	char *text;
	struct comity_jid *jid;
};

struct jid_cache {
	size_t mask;
	struct cache_entry entries[];
};

struct jid_cache *jid_cache_new(size_t entries)
{
	size_t count = 16;
	struct jid_cache *c;

	while (count < entries)
		count *= 2;
	c = mem_new(sizeof(*c) + count * sizeof(struct cache_entry));
	c->mask = count - 1;
	return c;
}

void jid_cache_free(struct jid_cache *cache)
{
	if (cache == NULL)
		return;
	for (size_t i = 0; i <= cache->mask; i++) {
		free(cache->entries[i].text);
		comity_jid_unref(cache->entries[i].jid);
	}
	free(cache);
}

struct comity_jid *jid_cache_get(struct jid_cache *cache, const char *text, size_t len)
{
	struct cache_entry *e;
	struct comity_jid *jid;
	uint64_t hash;

	if (len == 0 || len > CACHED_TEXT_MAX)
		return comity_jid_new(text, len);
	hash = map_hash(text, len);
	e = &cache->entries[hash & cache->mask];
	if (e->jid != NULL && e->hash == hash && e->len == len && memcmp(e->text, text, len) == 0)
		return comity_jid_ref(e->jid);
	jid = comity_jid_new(text, len);
	if (jid == NULL)
		return NULL;
	free(e->text);
	comity_jid_unref(e->jid);
	*e = (struct cache_entry){ hash, len, mem_dup(text, len), comity_jid_ref(jid) };
	return jid;
}
