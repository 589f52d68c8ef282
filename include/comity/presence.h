/* SPDX-License-Identifier: MIT */
/* What mod_presence offers to other modules: comity_module_api(m, "presence", a, &presence). */
#ifndef COMITY_PRESENCE_H
#define COMITY_PRESENCE_H

#include <stddef.h>

struct comity_jid;
struct comity_mod;
struct comity_session;

struct comity_presence_api {
	/* Steps through the addresses that a session has shown directed presence to (RFC 6121 4.6): start with
	 * *pos = 0; NULL at the end. presence is the instance that comity_module_api gave. */
	struct comity_jid *(*next_directed)(struct comity_mod *presence, struct comity_session *s, size_t *pos);
	/* Such an address hears no more of the session. Steps under way begin anew. */
	void (*forget_directed)(struct comity_mod *presence, struct comity_session *s, const struct comity_jid *to);
};

#endif
