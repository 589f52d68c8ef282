/* SPDX-License-Identifier: MIT */
/* The settings of federation out of a configuration. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "comityd/assemble.h"
#include "xmpp/jid.h"

/* Answers of name servers are believed this long at most, and refusals this long. */
#define TTL_MAX_MS (24ull * 3600 * 1000)
#define NEGATIVE_TTL_MS 30000
#define DNS_TRIES 2
#define DNS_RECORDS_MAX 64

static void fill_limits(struct s2s_limits *l, const struct server_conf *c)
{
	struct xml_limits xml = {
		.depth = (unsigned)c->max_depth,
		.attributes = (unsigned)c->max_attributes,
		.namespaces = (unsigned)c->max_namespaces,
		.elements = (unsigned)c->max_elements,
		.header_bytes = (size_t)c->max_preauth_bytes,
	};

	l->before_auth = l->after_auth = xml;
	l->before_auth.element_bytes = (size_t)c->max_preauth_bytes;
	l->after_auth.element_bytes = (size_t)c->s2s_max_stanza_bytes;
	l->out_bytes = (size_t)c->s2s_output_queue;
	l->early_out_bytes = (size_t)c->max_preauth_output;
	l->negotiate_ms = c->s2s_negotiate_timeout;
	l->idle_ms = c->s2s_idle_timeout;
	l->dead_ms = c->s2s_dead_timeout;
	l->parser_rest_ms = c->parser_idle;
	l->verify_ms = c->s2s_verify_timeout;
	l->bytes_per_s = c->s2s_bytes_per_second;
	l->stanzas_per_s = (uint64_t)c->s2s_stanzas_per_second;
	l->pairs = (unsigned)c->s2s_pairs_per_stream;
	l->peers.waiting = (unsigned)c->connections_per_address;
	l->peers.waiting_in_all = (unsigned)c->connections_unauthenticated;
	l->peers.streams = (unsigned)c->s2s_streams_per_address;
	l->bidi = c->s2s_bidi;
	l->resume_ms = c->s2s_resume_time;
}

static bool is_fingerprint(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++) {
		if (*text == ':')
			continue;
		if (!isxdigit((unsigned char)*text))
			return false;
		n++;
	}
	return n == 64;
}

static int make_route(const struct conf_node *node, struct fed_settings *f, struct fed_route *route,
                      struct err_text *et)
{
	const struct route_conf *rc = conf_values(node);

	if (rc->certificate_sha256 != NULL && !is_fingerprint(rc->certificate_sha256)) {
		err_text_set(et, "route \"%s\": certificate_sha256 must be 64 hexadecimal digits", conf_title(node));
		return -ERR_INVALID;
	}
	route->domain = conf_title(node);
	route->host = rc->host;
	route->is_direct_tls = rc->direct_tls;
	route->port = rc->port != 0 ? (unsigned)rc->port : rc->direct_tls ? 5270 : 5269;
	/* The last choice is not a kind of security. */
	route->policy.is_refused = rc->security > S2S_INSECURE;
	route->policy.security = route->policy.is_refused ? S2S_VERIFY : (enum s2s_security)rc->security;
	route->policy.pin = rc->certificate_sha256;
	if (rc->ca_file != NULL)
		return trust_new(rc->ca_file, &route->policy.trust, et);
	route->policy.trust = trust_ref(f->policy.trust);
	return 0;
}

/* Names in the form in which they are compared. */
static int check_directories(const struct comity_list *names, struct err_text *et)
{
	char name[JID_PART_MAX + 1];

	for (size_t i = 0; i < names->count; i++) {
		if (jid_prepare_domain(names->items[i], strlen(names->items[i]), name) > 0 && strcmp(name, names->items[i]) == 0)
			continue;
		err_text_set(et, "directories: \"%s\" is not a domain in small letters", names->items[i]);
		return -ERR_INVALID;
	}
	return 0;
}

static int fill_directories(struct fed_settings *f, const struct server_conf *c, struct err_text *et)
{
	int64_t port = c->directory_port != 0 ? c->directory_port : c->directory_direct_tls ? c->s2s_tls_port : c->s2s_port;

	f->uses_dns = c->s2s_dns;
	f->directories = &c->directories;
	f->directory_ms = c->directory_timeout;
	f->trusts_directories = c->directory_trusted;
	f->registers = c->directory_register;
	f->place.port = (unsigned)port;
	f->place.is_direct_tls = c->directory_direct_tls;
	f->place.expires_s = c->directory_expiry / 1000;
	if (c->directory_register && (c->directory_host == NULL || strlen(c->directory_host) >= sizeof(f->place.host) || port == 0)) {
		err_text_set(et, "directory_register: directory_host and a port that is open must be given");
		return -ERR_INVALID;
	}
	if (c->directory_host != NULL)
		snprintf(f->place.host, sizeof(f->place.host), "%s", c->directory_host);
	return check_directories(&c->directories, et);
}

int assemble_fed(struct conf *conf, struct fed_settings *f, struct err_text *et)
{
	const struct server_conf *c = assemble_server_conf(conf);
	const struct conf_node *node;
	size_t count = 0;
	int rc;

	fill_limits(&f->limits, c);
	f->policy.security = (enum s2s_security)c->s2s_security;
	f->allow = &c->s2s_allow;
	f->deny = &c->s2s_deny;
	f->queue_bytes = (size_t)c->s2s_queue_bytes;
	f->queue_stanzas = (size_t)c->s2s_queue_stanzas;
	f->total_bytes = (size_t)c->s2s_queue_total;
	f->presence_bytes = (size_t)c->s2s_presence_bytes;
	f->presence_total = (size_t)c->s2s_presence_total;
	f->queue_age_ms = c->s2s_queue_age;
	f->retry_min_ms = c->s2s_retry_min;
	f->retry_max_ms = c->s2s_retry_max;
	f->links = (size_t)c->s2s_links;
	f->links_per_user = (size_t)c->s2s_links_per_user;
	f->verifications = (size_t)c->s2s_verifications;
	f->dial = (struct dial_settings){
		.connect_ms = c->s2s_connect_timeout, .total_ms = c->s2s_reach_timeout, .dane = c->dane,
	};
	f->dns = (struct dns_settings){
		.servers = c->dns_servers,
		.timeout_ms = c->dns_timeout,
		.tries = DNS_TRIES,
		.cache_entries = (size_t)c->dns_cache,
		.cache_bytes = (size_t)c->dns_cache_size,
		.max_ttl_ms = TTL_MAX_MS,
		.negative_ttl_ms = NEGATIVE_TTL_MS,
		.max_records = DNS_RECORDS_MAX,
		.is_trusted = c->dane,
	};
	rc = fill_directories(f, c, et);
	if (rc == 0)
		rc = trust_new(c->s2s_ca_file, &f->policy.trust, et);
	while (conf_child(conf_root(conf), "route", count) != NULL)
		count++;
	f->routes = mem_array(count + 1, sizeof(*f->routes));
	while (rc == 0 && (node = conf_child(conf_root(conf), "route", f->route_count)) != NULL) {
		rc = make_route(node, f, &f->routes[f->route_count], et);
		f->route_count++;
	}
	return rc;
}
