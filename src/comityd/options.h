/* SPDX-License-Identifier: MIT */
/* All options of comity.conf that are not a module's. */
#ifndef COMITYD_OPTIONS_H
#define COMITYD_OPTIONS_H

#include "conf/conf.h"

/* Outside any block. */
struct server_conf {
	char *data_dir, *module_dir, *control_socket, *certificate_dir, *ca_file, *ready_file;
	char *user, *group, *log_to, *workers, *tls_priorities;
	int log_level, resource_conflict;
	struct comity_list listen, modules_enabled, modules_disabled;
	int64_t c2s_port, c2s_tls_port, s2s_port, s2s_tls_port;
	uint64_t preauth_timeout, idle_timeout, idle_probe_timeout, parser_idle;
	uint64_t memory_limit;
	uint64_t max_stanza_bytes, max_preauth_bytes, max_preauth_output, output_queue, bytes_per_second;
	int64_t stanzas_per_second, max_depth, max_attributes, max_namespaces, max_elements;
	int64_t connections_per_address, connections_unauthenticated, max_preauth_elements, login_tries, login_failures_free;
	uint64_t login_failure_window, login_failure_delay, login_failure_delay_max;
	int64_t max_sessions_per_account, idle_accounts, waiting_stanzas, mailbox_limit;
	int64_t scram_iterations, password_threads, store_readers, store_commit_rows;
	uint64_t store_log_size;
	uint64_t store_commit_delay, store_lazy_delay, store_log_delay, resume_time, acknowledge_timeout;
	char *resume_location;
	uint64_t journal_size, journal_delay;
	int64_t unacknowledged_stanzas;
	int s2s_security;
	bool s2s_bidi, s2s_dns, directory_trusted, directory_register, directory_direct_tls;
	char *s2s_ca_file, *dns_servers, *directory_host;
	struct comity_list s2s_allow, s2s_deny, directories;
	int64_t directory_port;
	uint64_t directory_timeout, directory_expiry;
	bool dane;
	int64_t dns_cache, s2s_stanzas_per_second, s2s_streams_per_address, s2s_verifications, s2s_pairs_per_stream, s2s_queue_stanzas, s2s_links, s2s_links_per_user;
	uint64_t dns_timeout, dns_cache_size, s2s_connect_timeout, s2s_reach_timeout, s2s_negotiate_timeout, s2s_verify_timeout;
	uint64_t s2s_idle_timeout, s2s_dead_timeout, s2s_resume_time, s2s_queue_age, s2s_retry_min, s2s_retry_max;
	uint64_t s2s_max_stanza_bytes, s2s_output_queue, s2s_bytes_per_second, s2s_queue_bytes, s2s_queue_total;
	uint64_t s2s_presence_bytes, s2s_presence_total;
};

/* host NAME { } */
struct host_conf {
	char *certificate, *certificate_key, *certificate2, *certificate2_key, *client_ca;
	bool require_tls, allow_plain, allow_anonymous, allow_external, channel_binding, federation;
	struct comity_list modules_enabled, modules_disabled;
};

/* route DOMAIN { } */
struct route_conf {
	char *host, *ca_file, *certificate_sha256;
	int64_t port;
	bool direct_tls;
	int security;
};

extern const struct conf_section server_section;
/* Modules a host has when nothing is said. */
extern const char *const default_modules[];

#endif
