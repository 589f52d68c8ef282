/* SPDX-License-Identifier: MIT */
/* An accepted address is a fixed point of its preparation, and its parts make it again (RFC 7622). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "xmpp/jid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds)
		abort();
}

static void check_same(struct comity_jid *made, const struct comity_jid *jid)
{
	check(made != NULL);
	check(strcmp(comity_jid_text(made), comity_jid_text(jid)) == 0);
	check(comity_jid_equal(made, jid));
	check(comity_jid_hash(made) == comity_jid_hash(jid));
	comity_jid_unref(made);
}

static void check_parts(const struct comity_jid *jid)
{
	const char *domain = comity_jid_domain(jid), *resource = comity_jid_resource(jid), *local;
	char name[JID_PART_MAX + 1];
	size_t len;

	local = comity_jid_local(jid, &len);
	check(len <= JID_PART_MAX && comity_jid_has_local(jid) == (len != 0));
	memcpy(name, local, len);
	name[len] = '\0';
	check(comity_jid_is_bare(jid) == (resource == NULL));
	check_same(comity_jid_make(len != 0 ? name : NULL, domain, resource), jid);
}

static void check_bare(struct comity_jid *jid)
{
	struct comity_jid *bare = comity_jid_bare(jid);

	check(comity_jid_is_bare(bare) && comity_jid_equal_bare(bare, jid));
	check(comity_jid_equal(bare, jid) == comity_jid_is_bare(jid));
	check(strncmp(comity_jid_text(jid), comity_jid_text(bare), comity_jid_text_len(bare)) == 0);
	check_same(comity_jid_parse(comity_jid_text(bare)), bare);
	if (comity_jid_resource(jid) != NULL)
		check_same(comity_jid_with_resource(bare, comity_jid_resource(jid)), jid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jid_cache *cache = jid_cache_new(4);
	struct comity_jid *jid = comity_jid_new((const char *)data, size), *cached;

	for (int i = 0; i < 2; i++) {
		cached = jid_cache_get(cache, (const char *)data, size);
		check((cached != NULL) == (jid != NULL));
		check(jid == NULL || comity_jid_equal(cached, jid));
		comity_jid_unref(cached);
	}
	if (jid != NULL) {
		check(strlen(comity_jid_text(jid)) == comity_jid_text_len(jid));
		check(comity_jid_text_len(jid) <= 3 * JID_PART_MAX + 2);
		check_same(comity_jid_parse(comity_jid_text(jid)), jid);
		check_parts(jid);
		check_bare(jid);
	}
	comity_jid_unref(jid);
	jid_cache_free(cache);
	return 0;
}
