/* SPDX-License-Identifier: MIT */
/* Why another server cannot be reached, in all the words that are needed for it. */
#include "stream/s2s.h"

/* RFC 6120 8.3.3.16, 17: what cannot be resolved is not found; all that goes wrong afterwards, be it TLS,
 * SASL or dialback, is a time-out. */
static const struct {
	const char *name;
	enum comity_cond cond;
	const char *advice;
} causes[] = {
	[S2S_CAUSE_NONE] = { "none", COMITY_REMOTE_SERVER_TIMEOUT, "" },
	[S2S_NOT_FOUND] = { "not-found", COMITY_REMOTE_SERVER_NOT_FOUND,
		"Unless the name is misspelt, it is for them to set their DNS right; a route block goes without." },
	[S2S_DNS] = { "dns", COMITY_REMOTE_SERVER_NOT_FOUND,
		"Look at the name servers that this server asks (dns_servers); if they answer for other domains, the name "
		"servers of that domain have a problem." },
	[S2S_UNREACHABLE] = { "unreachable", COMITY_REMOTE_SERVER_TIMEOUT,
		"Their server does not run, or a firewall on either side is in the way." },
	[S2S_TIMEOUT] = { "timeout", COMITY_REMOTE_SERVER_TIMEOUT,
		"Their server is overloaded, or a firewall on either side swallows what is sent." },
	[S2S_NO_TLS] = { "no-tls", COMITY_REMOTE_SERVER_TIMEOUT,
		"It is for them to offer TLS 1.2 or later; a route block with security = insecure goes without." },
	[S2S_CERTIFICATE] = { "certificate", COMITY_REMOTE_SERVER_TIMEOUT,
		"It is for them to mend; until then a route block can take the certificate (certificate_sha256) or do with "
		"dialback (security = opportunistic)." },
	[S2S_AUTH] = { "authentication", COMITY_REMOTE_SERVER_TIMEOUT,
		"They do not believe this server: see whether its own certificate and DNS are in order with comityd --check "
		"--federation." },
	[S2S_PROTOCOL] = { "protocol", COMITY_REMOTE_SERVER_TIMEOUT,
		"What answers there is no XMPP server, or a faulty one; that is on their side." },
	[S2S_STREAM_ERROR] = { "stream-error", COMITY_REMOTE_SERVER_TIMEOUT,
		"They ended it; the reason is theirs to explain." },
	[S2S_POLICY] = { "policy", COMITY_NOT_ALLOWED, "It is the configuration of this server that says so." },
	[S2S_DIRECTORY] = { "directory", COMITY_REMOTE_SERVER_NOT_FOUND,
		"Look whether the servers of the directories run (comityctl why DIRECTORY)." },
	[S2S_LOST] = { "lost", COMITY_REMOTE_SERVER_TIMEOUT,
		"Their server or the network between broke it off; it is tried again by itself." },
	[S2S_CLOSED_BY_US] = { "closed", COMITY_REMOTE_SERVER_TIMEOUT, "Nothing is to be done." },
};

const char *s2s_cause_advice(enum s2s_cause cause)
{
	return causes[cause].advice;
}

enum comity_cond s2s_cause_cond(enum s2s_cause cause)
{
	return causes[cause].cond;
}

const char *s2s_cause_name(enum s2s_cause cause)
{
	return causes[cause].name;
}
