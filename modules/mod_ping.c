/* SPDX-License-Identifier: MIT */
/* Answers pings sent to this host or to one's own account (XEP-0199). */
#include <comity/module.h>

#define NS_PING "urn:xmpp:ping"

static int on_ping(struct comity_mod *m, struct comity_rq *rq)
{
	(void)m;
	return comity_reply(rq);
}

static const struct comity_iq iqs[] = {
	{ COMITY_GET, COMITY_TO_HOST | COMITY_TO_SELF | COMITY_TO_BARE, NS_PING, "ping", NS_PING, on_ping },
	{ 0 },
};

COMITY_MODULE(
	.name = "ping",
	.summary = "Answers pings",
	.iqs = iqs,
);
