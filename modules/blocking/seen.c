/* SPDX-License-Identifier: MIT */
/* What others see of a user who blocks and unblocks them (XEP-0191 3.3, 3.4). */
#include <comity/presence.h>
#include <comity/roster.h>
#include <stdlib.h>

#include "blocking.h"

/* Those whom the change is about: contacts with one of the subscription bits that the list means, and full
 * addresses of the list that belong to such contacts. */
static void collect(struct comity_mod *m, struct comity_account *a, const struct blocklist *who, unsigned bits,
                    struct blocklist *out)
{
	struct comity_mod *roster = NULL;
	const struct comity_roster_api *api = comity_module_api(m, "roster", a, &roster);
	const struct comity_roster_item *item;
	size_t pos = 0;

	if (api == NULL)
		return;
	while ((item = api->next(roster, a, &pos)) != NULL)
		if ((item->subscription & bits) != 0 && blocklist_covers(who, item->jid))
			blocklist_add(out, item->jid);
	for (size_t i = 0; i < who->count; i++) {
		struct comity_jid *bare = comity_jid_bare(who->jids[i]);

		if (bare == who->jids[i] || blocklist_covers(who, bare))
			continue;
		item = api->find(roster, a, bare);
		if (item != NULL && (item->subscription & bits) != 0)
			blocklist_add(out, who->jids[i]);
	}
}

/* What is to be said to them goes only to those that are not blocked now. */
static void leave_out_blocked(struct comity_mod *m, struct comity_account *a, const struct blocklist *who,
                              struct blocklist *out)
{
	for (size_t i = 0; i < who->count; i++)
		if (!blocking_is_blocked(m, a, who->jids[i]))
			blocklist_add(out, who->jids[i]);
}

/* RFC 6121 4.6: who got presence of a session beside its subscribers. */
static void leave_directed(struct comity_mod *m, struct comity_session *s, const struct change *c,
                           const struct blocklist *told, const struct comity_stanza *leaving)
{
	struct comity_mod *presence = NULL;
	const struct comity_presence_api *api = comity_module_api(m, "presence", c->account, &presence);
	struct blocklist gone = { 0 }, unaware = { 0 };
	struct comity_jid *to;
	size_t pos = 0;

	if (api == NULL)
		return;
	while ((to = api->next_directed(presence, s, &pos)) != NULL)
		if (blocklist_covers(&c->effective, to))
			blocklist_add(&gone, to);
	for (size_t i = 0; i < gone.count; i++) {
		api->forget_directed(presence, s, gone.jids[i]);
		if (!(comity_session_is_available(s) && blocklist_covers(told, gone.jids[i])))
			blocklist_add(&unaware, gone.jids[i]);
	}
	comity_send_many_for(c->rq, leaving, comity_session_jid(s), unaware.jids, unaware.count);
	blocklist_clear(&gone);
	blocklist_clear(&unaware);
}

void blocking_hide(struct comity_mod *m, const struct change *c)
{
	struct comity_stanza *leaving = comity_stanza_new(COMITY_PRESENCE, COMITY_TYPE_UNAVAILABLE);
	struct blocklist subscribers = { 0 }, seeing = { 0 };
	struct comity_account *a = c->account;

	collect(m, a, &c->effective, COMITY_SUB_FROM, &subscribers);
	leave_out_blocked(m, a, &subscribers, &seeing);
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s)) {
		if (comity_session_is_available(s))
			comity_send_many_for(c->rq, leaving, comity_session_jid(s), seeing.jids, seeing.count);
		leave_directed(m, s, c, &subscribers, leaving);
	}
	blocklist_clear(&subscribers);
	blocklist_clear(&seeing);
	comity_stanza_unref(leaving);
}

/* RFC 6121 4.3: what contacts said while they were not heard is asked for, once for all resources. */
static void probe(struct comity_mod *m, const struct change *c)
{
	struct comity_stanza *st = comity_stanza_new(COMITY_PRESENCE, COMITY_TYPE_PROBE);
	struct blocklist contacts = { 0 }, heard = { 0 };

	collect(m, c->account, &c->effective, COMITY_SUB_TO, &contacts);
	leave_out_blocked(m, c->account, &contacts, &heard);
	comity_send_many_for(c->rq, st, comity_account_jid(c->account), heard.jids, heard.count);
	blocklist_clear(&contacts);
	blocklist_clear(&heard);
	comity_stanza_unref(st);
}

void blocking_show(struct comity_mod *m, const struct change *c)
{
	struct blocklist subscribers = { 0 }, seeing = { 0 };
	struct comity_account *a = c->account;
	bool is_anyone_here = false;

	collect(m, a, &c->effective, COMITY_SUB_FROM, &subscribers);
	leave_out_blocked(m, a, &subscribers, &seeing);
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s)) {
		if (!comity_session_is_available(s))
			continue;
		is_anyone_here = true;
		comity_send_many_for(c->rq, comity_session_presence(s), comity_session_jid(s), seeing.jids, seeing.count);
	}
	if (is_anyone_here)
		probe(m, c);
	blocklist_clear(&subscribers);
	blocklist_clear(&seeing);
}
