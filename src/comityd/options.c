/* SPDX-License-Identifier: MIT */
/* All options of comity.conf that are not a module's. */
#include "comityd/options.h"

#define S struct server_conf
#define H struct host_conf

static const char *const log_levels[] = { "debug", "info", "warning", "error", NULL };
static const char *const conflicts[] = { "replace", "refuse", NULL };

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
	COMITY_OPT_INT(S, s2s_port, "5269", 0, 65535, "Port reserved for other servers; nothing listens there yet."),
	COMITY_OPT_STRING(S, tls_priorities, NULL, "GnuTLS priority string in place of the built-in TLS 1.2 and 1.3 policy."),
	COMITY_OPT_LIST(S, modules_enabled, NULL, "Modules for all hosts beside the default ones."),
	COMITY_OPT_LIST(S, modules_disabled, NULL, "Default modules that no host has."),
	COMITY_OPT_TIME(S, preauth_timeout, "60s", 1000, 3600000, "Time from connecting to a bound resource."),
	COMITY_OPT_TIME(S, idle_timeout, "10m", 1000, 86400000, "Silence after which a client is probed."),
	COMITY_OPT_TIME(S, idle_probe_timeout, "60s", 1000, 3600000, "Time to answer a probe before the stream is closed."),
	COMITY_OPT_TIME(S, parser_idle, "5s", 100, 3600000, "Silence after which the memory of a stream's parser is freed."),
	COMITY_OPT_SIZE(S, max_stanza_bytes, "256KiB", 10000, 67108864, "Largest stanza of a client that is logged in."),
	COMITY_OPT_SIZE(S, max_preauth_bytes, "16KiB", 10000, 1048576, "Largest element and stream header before login."),
	COMITY_OPT_INT(S, max_depth, "64", 8, 1000, "Deepest nesting of elements in a stanza."),
	COMITY_OPT_INT(S, max_attributes, "64", 8, 1000, "Most attributes of one element."),
	COMITY_OPT_INT(S, max_namespaces, "256", 8, 10000, "Most namespace declarations in one stanza."),
	COMITY_OPT_INT(S, max_elements, "10000", 100, 1000000, "Most elements in one stanza."),
	COMITY_OPT_SIZE(S, output_queue, "4MiB", 65536, 1073741824, "Bytes kept for a client that does not read; more closes its stream."),
	COMITY_OPT_SIZE(S, bytes_per_second, "1MiB", 0, 1073741824, "Rate at which a session is read; 0 is no limit."),
	COMITY_OPT_INT(S, stanzas_per_second, "1000", 0, 1000000, "Stanzas that a session may send per second; 0 is no limit."),
	COMITY_OPT_INT(S, connections_per_address, "200", 1, 1000000, "Connections of one address that have not logged in."),
	COMITY_OPT_INT(S, login_tries, "5", 1, 100, "Refused logins on one stream before it is closed."),
	COMITY_OPT_INT(S, login_failures_free, "5", 0, 100000, "Refused logins of one address that are answered without delay."),
	COMITY_OPT_TIME(S, login_failure_window, "10m", 1000, 86400000, "Time in which refused logins of an address are counted."),
	COMITY_OPT_TIME(S, login_failure_delay, "250ms", 0, 60000, "Delay of the next refusal; each further one doubles it; 0 is none."),
	COMITY_OPT_TIME(S, login_failure_delay_max, "8s", 0, 300000, "Longest such delay."),
	COMITY_OPT_INT(S, max_sessions_per_account, "20", 1, 10000, "Resources that one account may bind at a time."),
	COMITY_OPT_CHOICE(S, resource_conflict, "replace", conflicts, "What happens when a resource is in use: replace the old session or refuse the new one."),
	COMITY_OPT_INT(S, idle_accounts, "2000", 0, 10000000, "Accounts without sessions kept in memory, per worker."),
	COMITY_OPT_INT(S, waiting_stanzas, "1000", 1, 1000000, "Stanzas that may wait while an account is read."),
	COMITY_OPT_INT(S, mailbox_limit, "20000", 100, 10000000, "Letters in a worker's mailbox before its sources are paused."),
	COMITY_OPT_INT(S, scram_iterations, "10000", 4096, 10000000, "Iterations of SCRAM keys made from now on."),
	COMITY_OPT_INT(S, password_threads, "2", 1, 64, "Threads that hash passwords."),
	COMITY_OPT_INT(S, store_readers, "2", 1, 64, "Threads that read the store."),
	COMITY_OPT_INT(S, store_commit_rows, "500", 1, 100000, "Most writes in one commit."),
	COMITY_OPT_TIME(S, store_commit_delay, "2ms", 0, 1000, "Time that a write waits for company in its commit."),
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

static const struct conf_section *const server_children[] = { &host_section, NULL };

const struct conf_section server_section = {
	.name = "",
	.help = "The server.",
	.options = server_options,
	.size = sizeof(struct server_conf),
	.has_modules = true,
	.children = server_children,
};

const char *const default_modules[] = { "caps", "disco", "last", "offline", "ping", "presence", "private", "register",
                                        "roster", "time", "vcard", "version", NULL };
