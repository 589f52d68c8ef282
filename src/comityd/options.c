/* SPDX-License-Identifier: MIT */
/* All options of comity.conf that are not a module's. */
#include "comityd/options.h"

#define S struct server_conf
#define H struct host_conf
#define R struct route_conf

static const char *const log_levels[] = { "debug", "info", "warning", "error", NULL };
static const char *const conflicts[] = { "replace", "refuse", NULL };

/* In the order of enum s2s_security; insecure only where a route says so. */
static const char *const securities[] = { "verify", "opportunistic", NULL };
static const char *const route_securities[] = { "verify", "opportunistic", "insecure", "refuse", NULL };

static const struct comity_option server_options[] = {
	COMITY_OPT_PATH(S, data_dir, COMITY_STATE_DIR, "Folder of the store and, unless set, the control socket."),
	COMITY_OPT_PATH(S, module_dir, COMITY_MODULE_DIR, "Folder of the module files."),
	COMITY_OPT_PATH(S, control_socket, NULL, "Unix socket for comityctl; control.sock in data_dir when not set."),
	COMITY_OPT_PATH(S, certificate_dir, COMITY_CONF_DIR "/certs",
	                "Where HOST.crt and HOST.key lie for hosts that name no certificate."),
	COMITY_OPT_PATH(S, ca_file, NULL, "Certificate of the own authority, only told to the ready file."),
	COMITY_OPT_PATH(S, ready_file, NULL, "Written once connections are accepted: pid, ports, sockets."),
	COMITY_OPT_STRING(S, user, NULL, "User to become after start as root."),
	COMITY_OPT_STRING(S, group, NULL, "Group to become; the user's own when not set."),
	COMITY_OPT_CHOICE(S, log_level, "info", log_levels, "Least important lines to log."),
	COMITY_OPT_STRING(S, log_to, "stderr", "stderr, syslog, or the path of a file."),
	COMITY_OPT_STRING(S, workers, "auto", "Number of worker threads; auto is one per processor."),
	COMITY_OPT_LIST(S, listen, ":: 0.0.0.0", "Addresses to listen on."),
	COMITY_OPT_INT(S, c2s_port, "5222", 0, 65535, "Port for clients, with STARTTLS; 0 is none."),
	COMITY_OPT_INT(S, c2s_tls_port, "5223", 0, 65535, "Port for clients, with direct TLS; 0 is none."),
	COMITY_OPT_INT(S, s2s_port, "5269", 0, 65535, "Port for other servers, with STARTTLS; 0 is none."),
	COMITY_OPT_INT(S, s2s_tls_port, "5270", 0, 65535, "Port for other servers, with direct TLS; 0 is none."),
	COMITY_OPT_STRING(S, tls_priorities, NULL, "GnuTLS priority string in place of the built-in TLS 1.2 and 1.3 policy."),
	COMITY_OPT_LIST(S, modules_enabled, NULL, "Modules for all hosts beside the default ones."),
	COMITY_OPT_LIST(S, modules_disabled, NULL, "Default modules that no host has."),
	COMITY_OPT_TIME(S, preauth_timeout, "60s", 1000, 3600000, "Time from connecting to a bound resource."),
	COMITY_OPT_TIME(S, idle_timeout, "10m", 1000, 86400000, "Silence after which a client is probed."),
	COMITY_OPT_TIME(S, idle_probe_timeout, "60s", 1000, 3600000, "Time to answer a probe before the stream is closed."),
	COMITY_OPT_TIME(S, parser_idle, "5s", 100, 3600000, "Silence after which the memory of a stream's parser is freed."),
	COMITY_OPT_SIZE(S, max_stanza_bytes, "256KiB", 10000, 67108864, "Largest stanza of a client that is logged in."),
	COMITY_OPT_SIZE(S, max_preauth_bytes, "16KiB", 10000, 1048576, "Largest element and stream header before login."),
	COMITY_OPT_SIZE(S, max_preauth_output, "64KiB", 16384, 1073741824, "Bytes kept for a peer that does not read and has not logged in or proved a domain; more closes its connection."),
	COMITY_OPT_INT(S, max_preauth_elements, "100", 10, 1000000, "Elements that a client may send before it has bound a resource."),
	COMITY_OPT_INT(S, max_depth, "64", 8, 1000, "Deepest nesting of elements in a stanza."),
	COMITY_OPT_INT(S, max_attributes, "64", 8, 1000, "Most attributes of one element."),
	COMITY_OPT_INT(S, max_namespaces, "256", 8, 10000, "Most namespace declarations in one stanza."),
	COMITY_OPT_INT(S, max_elements, "10000", 100, 1000000, "Most elements in one stanza."),
	COMITY_OPT_SIZE(S, output_queue, "4MiB", 65536, 1073741824, "Bytes kept for a client that does not read; more closes its stream."),
	COMITY_OPT_SIZE(S, bytes_per_second, "1MiB", 0, 1073741824, "Rate at which a session is read; 0 is no limit."),
	COMITY_OPT_INT(S, stanzas_per_second, "1000", 0, 1000000, "Stanzas that a session may send per second; 0 is no limit."),
	COMITY_OPT_INT(S, connections_per_address, "200", 1, 1000000, "Connections of one address that have not logged in."),
	COMITY_OPT_INT(S, connections_unauthenticated, "20000", 10, 10000000, "Connections in all that have not logged in or, of servers, proved a domain."),
	COMITY_OPT_INT(S, login_tries, "5", 1, 100, "Refused logins on one stream before it is closed."),
	COMITY_OPT_INT(S, login_failures_free, "5", 0, 100000, "Refused logins of one address that are answered without delay."),
	COMITY_OPT_TIME(S, login_failure_window, "10m", 1000, 86400000, "Time in which refused logins of an address are counted."),
	COMITY_OPT_TIME(S, login_failure_delay, "250ms", 0, 60000, "Delay of the next refusal; each further one doubles it; 0 is none."),
	COMITY_OPT_TIME(S, login_failure_delay_max, "8s", 0, 300000, "Longest such delay."),
	COMITY_OPT_INT(S, max_sessions_per_account, "20", 1, 10000, "Resources that one account may bind at a time."),
	COMITY_OPT_TIME(S, resume_time, "10m", 0, 86400000, "Time in which a session that was cut off can be resumed (XEP-0198); 0 is never."),
	COMITY_OPT_TIME(S, acknowledge_timeout, "1m", 1000, 3600000, "Time in which a client with stream management acknowledges what it was sent; after that it is cut off."),
	COMITY_OPT_INT(S, unacknowledged_stanzas, "5000", 10, 1000000, "Stanzas that a client with stream management may leave unacknowledged; more ends its session."),
	COMITY_OPT_STRING(S, resume_location, NULL, "Host and port that clients are told to come back to when they resume (XEP-0198); not told when not set."),
	COMITY_OPT_CHOICE(S, resource_conflict, "replace", conflicts, "What happens when a resource is in use: replace the old session or refuse the new one."),
	COMITY_OPT_INT(S, idle_accounts, "2000", 0, 10000000, "Accounts without sessions kept in memory, per worker."),
	COMITY_OPT_INT(S, waiting_stanzas, "1000", 1, 1000000, "Stanzas that may wait while an account is read."),
	COMITY_OPT_SIZE(S, memory_limit, "0", 0, 70368744177664, "Memory of the whole process at which everything new is refused; part of it is from four fifths on (see MEMORY). 0 is three quarters of what the machine or its control group has."),
	COMITY_OPT_INT(S, mailbox_limit, "20000", 100, 10000000, "Letters in a worker's mailbox before its sources are paused."),
	COMITY_OPT_CHOICE(S, s2s_security, "verify", securities, "What other servers must show: a valid certificate (verify), or that they can be dialled back over TLS (opportunistic)."),
	COMITY_OPT_PATH(S, s2s_ca_file, NULL, "Authorities (PEM) whose certificates of other servers are valid; the system's when not set."),
	COMITY_OPT_LIST(S, s2s_allow, NULL, "Domains, or *.domain, that may be talked to; all when empty."),
	COMITY_OPT_LIST(S, s2s_deny, NULL, "Domains, or *.domain, that are not talked to."),
	COMITY_OPT_BOOL(S, s2s_bidi, "yes", "Use one stream for both directions where the other server can (XEP-0288)."),
	COMITY_OPT_TIME(S, s2s_resume_time, "5m", 0, 86400000, "Time in which a lost stream between servers can be resumed (XEP-0198); 0 does without acknowledgements."),
	COMITY_OPT_LIST(S, directories, NULL, "Directories of routes that are asked, in this order, before DNS."),
	COMITY_OPT_TIME(S, directory_timeout, "800ms", 50, 10000, "Time for all of them to answer; the next is asked before one has used all of it."),
	COMITY_OPT_BOOL(S, directory_trusted, "no", "Take a certificate whose fingerprint a directory gives even when no authority vouches for it."),
	COMITY_OPT_BOOL(S, directory_register, "no", "Register all hosts that federate with these directories."),
	COMITY_OPT_STRING(S, directory_host, NULL, "Name or address to register, at which other servers reach this one."),
	COMITY_OPT_INT(S, directory_port, "0", 0, 65535, "Port to register; 0 is s2s_port, or s2s_tls_port with direct TLS."),
	COMITY_OPT_BOOL(S, directory_direct_tls, "no", "Register a port that begins with TLS rather than with STARTTLS."),
	COMITY_OPT_TIME(S, directory_expiry, "1h", 10000, 2592000000, "Life of a registration; it is renewed well before."),
	COMITY_OPT_BOOL(S, s2s_dns, "yes", "Look for other servers in DNS; no is for networks without it."),
	COMITY_OPT_STRING(S, dns_servers, NULL, "Name servers to ask, as address or address:port; those of the system when not set."),
	COMITY_OPT_TIME(S, dns_timeout, "3s", 100, 60000, "Time for one question to a name server."),
	COMITY_OPT_INT(S, dns_cache, "10000", 0, 10000000, "Answers of name servers kept, per worker."),
	COMITY_OPT_SIZE(S, dns_cache_size, "16MiB", 0, 1073741824, "Bytes of answers of name servers kept, per worker."),
	COMITY_OPT_BOOL(S, dane, "no", "The name servers are trusted to check DNSSEC: what they say of the certificates of other servers (DANE) counts."),
	COMITY_OPT_TIME(S, s2s_connect_timeout, "10s", 100, 300000, "Time for one address of another server to accept a connection."),
	COMITY_OPT_TIME(S, s2s_reach_timeout, "40s", 1000, 600000, "Time to reach another server over all its addresses."),
	COMITY_OPT_TIME(S, s2s_negotiate_timeout, "20s", 1000, 600000, "Time from connecting to the first proof of a domain."),
	COMITY_OPT_TIME(S, s2s_verify_timeout, "15s", 1000, 600000, "Time for the answer to a dialback verification."),
	COMITY_OPT_TIME(S, s2s_idle_timeout, "10m", 1000, 86400000, "Time without stanzas after which a stream to another server is closed."),
	COMITY_OPT_TIME(S, s2s_dead_timeout, "30s", 2000, 3600000, "Silence of another server's system after which a connection is given up."),
	COMITY_OPT_SIZE(S, s2s_max_stanza_bytes, "512KiB", 10000, 67108864, "Largest stanza of another server."),
	COMITY_OPT_SIZE(S, s2s_output_queue, "8MiB", 65536, 1073741824, "Bytes kept for another server that does not read; more closes its stream."),
	COMITY_OPT_SIZE(S, s2s_bytes_per_second, "8MiB", 0, 1073741824, "Rate at which a stream of another server is read; 0 is no limit."),
	COMITY_OPT_INT(S, s2s_stanzas_per_second, "5000", 0, 1000000, "Stanzas that a stream of another server may bring per second; 0 is no limit."),
	COMITY_OPT_INT(S, s2s_streams_per_address, "1000", 1, 1000000, "Streams that servers at one address may have open."),
	COMITY_OPT_INT(S, s2s_verifications, "1000", 1, 1000000, "Dialback keys of other servers that are being verified at a time, per worker."),
	COMITY_OPT_INT(S, s2s_pairs_per_stream, "100", 1, 10000, "Pairs of domains that one stream may prove."),
	COMITY_OPT_SIZE(S, s2s_queue_bytes, "4MiB", 10000, 1073741824, "Bytes that wait for one remote domain."),
	COMITY_OPT_INT(S, s2s_queue_stanzas, "10000", 1, 10000000, "Stanzas that wait for one remote domain."),
	COMITY_OPT_SIZE(S, s2s_queue_total, "64MiB", 10000, 68719476736, "Bytes that wait for all remote domains, per worker."),
	COMITY_OPT_SIZE(S, s2s_presence_bytes, "16MiB", 10000, 1073741824, "Memory for who of one remote domain is seen as available."),
	COMITY_OPT_SIZE(S, s2s_presence_total, "64MiB", 10000, 68719476736, "The same for all remote domains, per worker."),
	COMITY_OPT_TIME(S, s2s_queue_age, "1m", 100, 86400000, "Time that a stanza waits for a remote domain before it is returned to its sender."),
	COMITY_OPT_TIME(S, s2s_retry_min, "1s", 10, 3600000, "Time until a remote domain is tried again after a failure, or after a stream that was lost within this time; doubles with each further failure."),
	COMITY_OPT_TIME(S, s2s_retry_max, "20s", 10, 86400000, "Longest such time."),
	COMITY_OPT_INT(S, s2s_links, "20000", 10, 10000000, "Remote domains that are known at a time, per worker; the one used longest ago is let go for another."),
	COMITY_OPT_INT(S, s2s_links_per_user, "0", 0, 10000000, "Of these, how many one user may have that are not reached yet; 0 is a twentieth, and five at least."),
	COMITY_OPT_INT(S, scram_iterations, "10000", 4096, 10000000, "Iterations of SCRAM keys made from now on."),
	COMITY_OPT_INT(S, password_threads, "2", 1, 64, "Threads that hash passwords."),
	COMITY_OPT_SIZE(S, journal_size, "16MiB", 65536, 17179869184, "Size at which a file of the journal of sessions is replaced, once it is also four times as large as what counts in it."),
	COMITY_OPT_TIME(S, journal_delay, "5ms", 0, 1000, "Shortest time between two syncs of the journal; clients that ask for an acknowledgement wait for one."),
	COMITY_OPT_INT(S, store_readers, "2", 1, 64, "Threads that read the store."),
	COMITY_OPT_INT(S, store_commit_rows, "500", 1, 100000, "Most writes in one commit."),
	COMITY_OPT_TIME(S, store_commit_delay, "5ms", 0, 1000, "Time that a write waits for company in its commit."),
	COMITY_OPT_TIME(S, store_lazy_delay, "500ms", 0, 60000, "Longest wait of a write that nobody waits for."),
	COMITY_OPT_SIZE(S, store_log_size, "16MiB", 0, 1073741824, "Size of the log that stored messages lie in first."),
	COMITY_OPT_TIME(S, store_log_delay, "1s", 0, 60000, "Longest time that they lie there."),
	{ 0 },
};

static const struct comity_option host_options[] = {
	COMITY_OPT_PATH(H, certificate, NULL, "Certificate chain (PEM); HOST.crt in certificate_dir when not set."),
	COMITY_OPT_PATH(H, certificate_key, NULL, "Its private key (PEM); HOST.key in certificate_dir when not set."),
	COMITY_OPT_PATH(H, certificate2, NULL, "A second chain with a key of another type, such as RSA beside ECDSA."),
	COMITY_OPT_PATH(H, certificate2_key, NULL, "The key of the second chain."),
	COMITY_OPT_PATH(H, client_ca, NULL, "Authorities (PEM) whose client certificates may log in; see allow_external."),
	COMITY_OPT_BOOL(H, require_tls, "yes", "Clients must use TLS before they log in."),
	COMITY_OPT_BOOL(H, allow_plain, "yes", "Offer the PLAIN mechanism, only ever under TLS."),
	COMITY_OPT_BOOL(H, allow_anonymous, "no", "Let anyone in under a temporary address."),
	COMITY_OPT_BOOL(H, allow_external, "no", "Let clients log in with a certificate that client_ca vouches for."),
	COMITY_OPT_BOOL(H, channel_binding, "yes", "Offer the SCRAM mechanisms that bind the login to the TLS session (-PLUS)."),
	COMITY_OPT_BOOL(H, federation, "yes", "Talk to other servers."),
	COMITY_OPT_LIST(H, modules_enabled, NULL, "Modules of this host beside the default ones."),
	COMITY_OPT_LIST(H, modules_disabled, NULL, "Default modules that this host does not have."),
	{ 0 },
};

static const struct conf_section host_section = {
	.name = "host",
	.help = "A domain that is served.",
	.options = host_options,
	.size = sizeof(struct host_conf),
	.is_titled = true,
	.has_modules = true,
};

static const struct comity_option route_options[] = {
	COMITY_OPT_STRING(R, host, NULL, "Name or address to connect to; found by DNS when not set."),
	COMITY_OPT_INT(R, port, "0", 0, 65535, "Its port; 0 is 5269, or 5270 with direct TLS."),
	COMITY_OPT_BOOL(R, direct_tls, "no", "Begin with TLS rather than with STARTTLS."),
	COMITY_OPT_CHOICE(R, security, "verify", route_securities, "What the other server must show; insecure also talks without TLS, refuse does not talk to it."),
	COMITY_OPT_PATH(R, ca_file, NULL, "Authorities (PEM) for this domain, in place of s2s_ca_file."),
	COMITY_OPT_STRING(R, certificate_sha256, NULL, "Fingerprint of the one certificate that is accepted, in hexadecimal."),
	{ 0 },
};

static const struct conf_section route_section = {
	.name = "route",
	.help = "How a remote domain, *.domain or * is reached, and what is demanded of it.",
	.options = route_options,
	.size = sizeof(struct route_conf),
	.is_titled = true,
};

static const struct conf_section *const server_children[] = { &host_section, &route_section, NULL };

const struct conf_section server_section = {
	.name = "",
	.help = "The server.",
	.options = server_options,
	.size = sizeof(struct server_conf),
	.has_modules = true,
	.children = server_children,
};

const char *const default_modules[] = { "blocking", "caps", "carbons", "csi", "disco", "last", "offline", "ping",
                                        "presence", "private", "register", "roster", "stanza_id", "time", "vcard",
                                        "version", NULL };
