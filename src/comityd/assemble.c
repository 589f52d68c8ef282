/* SPDX-License-Identifier: MIT */
/* From a configuration file to settings that workers can take over. */
#include "comityd/assemble.h"

#include <gnutls/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls.h"
#include "xmpp/jid.h"

/* ---- reading ---- */

static int module_options(void *arg, const char *name, const struct comity_option **options, size_t *size)
{
	const struct comity_module *def = loader_get(arg, name, NULL);

	if (def == NULL)
		return -ERR_NOT_FOUND;
	*options = def->options;
	*size = def->conf_size;
	return 0;
}

const struct server_conf *assemble_server_conf(const struct conf *conf)
{
	return conf_values(conf_root(conf));
}

/* A number or a word: more than its type can say. */
static bool check_workers(const char *path, const struct server_conf *c, struct conf_errors *errors)
{
	char *end;

	if (strcmp(c->workers, "auto") == 0 || (strtol(c->workers, &end, 10) >= 1 && *end == '\0'))
		return true;
	conf_add_error(errors, "%s: workers: expected auto or a number from 1 to 256, got \"%s\"", path, c->workers);
	return false;
}

int assemble_read(const char *path, struct loader **loader, struct conf **conf, struct conf_errors *errors)
{
	struct conf_schema schema = { .root = &server_section, .module_options = module_options };
	char **names, *dir;
	int rc;

	if (*loader == NULL) {
		dir = conf_peek(path, "module_dir");
		*loader = loader_new(dir != NULL ? dir : COMITY_MODULE_DIR);
		free(dir);
	}
	names = loader_list(*loader);
	schema.arg = *loader;
	schema.module_names = (const char *const *)names;
	rc = conf_load(path, &schema, conf, errors);
	loader_free_names(names);
	if (rc == 0 && !check_workers(path, assemble_server_conf(*conf), errors)) {
		conf_unref(*conf);
		*conf = NULL;
		rc = -ERR_INVALID;
	}
	return rc;
}

/* ---- settings ---- */

static void fill_limits(struct c2s_limits *l, const struct server_conf *c)
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
	l->after_auth.element_bytes = (size_t)c->max_stanza_bytes;
	l->out_bytes = (size_t)c->output_queue;
	l->early_out_bytes = (size_t)c->max_preauth_output;
	l->login_ms = c->preauth_timeout;
	l->idle_ms = c->idle_timeout;
	l->probe_ms = c->idle_probe_timeout;
	l->parser_rest_ms = c->parser_idle;
	l->tries = (unsigned)c->login_tries;
	l->failure_window_ms = c->login_failure_window;
	l->failures_free = (unsigned)c->login_failures_free;
	l->failure_delay_ms = c->login_failure_delay;
	l->failure_delay_max_ms = c->login_failure_delay_max;
	l->bytes_per_s = c->bytes_per_second;
	l->stanzas_per_s = (uint64_t)c->stanzas_per_second;
	l->early_elements = (unsigned)c->max_preauth_elements;
	l->peers.waiting = (unsigned)c->connections_per_address;
	l->peers.waiting_in_all = (unsigned)c->connections_unauthenticated;
}

static bool is_listed(const struct comity_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], name) == 0)
			return true;
	return false;
}

static int check_listed(struct assembly *a, const struct comity_list *list, const char *host, struct err_text *et)
{
	for (size_t i = 0; i < list->count; i++) {
		if (loader_get(a->loader, list->items[i], et) == NULL) {
			err_text_prefix(et, "host \"%s\"", host);
			return -ERR_INVALID;
		}
	}
	return 0;
}

static int check_lists(struct assembly *a, const struct server_conf *sc, const struct host_conf *hc, const char *host,
                       struct err_text *et)
{
	int rc = check_listed(a, &sc->modules_enabled, host, et);

	if (rc == 0)
		rc = check_listed(a, &sc->modules_disabled, host, et);
	if (rc == 0)
		rc = check_listed(a, &hc->modules_enabled, host, et);
	if (rc == 0)
		rc = check_listed(a, &hc->modules_disabled, host, et);
	return rc;
}

/* What the host says goes before what is said for all. */
static bool wants_module(const struct server_conf *sc, const struct host_conf *hc, const char *name)
{
	bool is_default = false;

	for (const char *const *d = default_modules; *d != NULL; d++)
		is_default |= strcmp(*d, name) == 0;
	if (is_listed(&hc->modules_disabled, name))
		return false;
	if (is_listed(&hc->modules_enabled, name))
		return true;
	if (is_listed(&sc->modules_disabled, name))
		return false;
	return is_default || is_listed(&sc->modules_enabled, name);
}

static int choose_modules(struct assembly *a, struct conf *conf, const struct conf_node *node,
                          struct host_settings *host, struct err_text *et)
{
	const struct server_conf *sc = assemble_server_conf(conf);
	const struct host_conf *hc = conf_values(node);
	char **names = loader_list(a->loader);
	int rc = check_lists(a, sc, hc, conf_title(node), et);
	size_t room = 0;

	while (names[room] != NULL)
		room++;
	host->modules = mem_array(room + 1, sizeof(*host->modules));
	for (char **name = names; rc == 0 && *name != NULL; name++) {
		const struct comity_module *def;

		if (!wants_module(sc, hc, *name))
			continue;
		def = loader_get(a->loader, *name, et);
		if (def == NULL) {
			rc = -ERR_INVALID;
			break;
		}
		host->modules[host->module_count++] = (struct module_settings){
			def, def->conf_size != 0 ? conf_module_values(conf, node, *name, def->options, def->conf_size) : NULL
		};
	}
	loader_free_names(names);
	return rc;
}

static int load_tls(const struct server_conf *sc, const struct host_conf *hc, const char *name,
                    struct tls_context **tls, struct err_text *et)
{
	char *certificate = hc->certificate != NULL ? mem_strdup(hc->certificate) :
	                                              mem_printf("%s/%s.crt", sc->certificate_dir, name);
	char *key = hc->certificate_key != NULL ? mem_strdup(hc->certificate_key) :
	            hc->certificate != NULL     ? mem_strdup(hc->certificate) :
	                                          mem_printf("%s/%s.key", sc->certificate_dir, name);
	struct tls_conf conf = {
		.certificate = certificate,
		.key = key,
		.certificate2 = hc->certificate2,
		.key2 = hc->certificate2_key != NULL ? hc->certificate2_key : hc->certificate2,
		.client_ca = hc->client_ca,
		.priorities = sc->tls_priorities,
	};
	int rc = tls_context_new(&conf, tls, et);

	if (rc != 0)
		err_text_prefix(et, "host \"%s\"", name);
	free(certificate);
	free(key);
	return rc;
}

/* Each host makes up its own secrets for unknown users from the server's. */
static void derive_fake_key(const struct assembly *a, struct stream_host *h)
{
	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, a->secret, sizeof(a->secret), h->name, strlen(h->name), h->fake_key) != 0)
		abort();
}

static int make_host(struct assembly *a, struct conf *conf, const struct conf_node *node, struct host_settings *host,
                     struct err_text *et)
{
	const struct server_conf *sc = assemble_server_conf(conf);
	const struct host_conf *hc = conf_values(node);
	struct comity_jid *jid = comity_jid_parse(conf_title(node));
	struct stream_host *h;

	if (jid == NULL || comity_jid_has_local(jid) || !comity_jid_is_bare(jid)) {
		err_text_set(et, "host \"%s\": this is not a domain name", conf_title(node));
		comity_jid_unref(jid);
		return -ERR_INVALID;
	}
	h = host->stream = stream_host_new(comity_jid_text(jid), jid);
	comity_jid_unref(jid);
	h->require_tls = hc->require_tls;
	h->allow_plain = hc->allow_plain;
	h->allow_anonymous = hc->allow_anonymous;
	h->allow_external = hc->allow_external;
	h->channel_binding = hc->channel_binding;
	h->scram_iterations = (unsigned)sc->scram_iterations;
	derive_fake_key(a, h);
	host->max_sessions = (unsigned)sc->max_sessions_per_account;
	host->federates = hc->federation;
	host->conflict = (enum conflict_policy)sc->resource_conflict;
	if (hc->allow_external && hc->client_ca == NULL) {
		err_text_set(et, "host \"%s\": allow_external needs client_ca", h->name);
		return -ERR_INVALID;
	}
	return load_tls(sc, hc, h->name, &h->tls, et);
}

/* Titles are compared as they are written; addresses are not. */
static int check_unique(const struct settings *s, size_t index, struct err_text *et)
{
	for (size_t i = 0; i < index; i++) {
		if (strcmp(s->hosts[i].stream->name, s->hosts[index].stream->name) != 0)
			continue;
		err_text_set(et, "host \"%s\" is configured twice, in different spellings", s->hosts[i].stream->name);
		return -ERR_INVALID;
	}
	return 0;
}

static size_t count_hosts(const struct conf *conf)
{
	size_t n = 0;

	while (conf_child(conf_root(conf), "host", n) != NULL)
		n++;
	return n;
}

static int check_needs(const struct host_settings *host, struct err_text *et)
{
	for (size_t i = 0; i < host->module_count; i++) {
		for (const char *const *need = host->modules[i].def->needs; need != NULL && *need != NULL; need++) {
			bool found = false;

			for (size_t j = 0; j < host->module_count; j++)
				found |= strcmp(host->modules[j].def->name, *need) == 0;
			if (found)
				continue;
			err_text_set(et, "host \"%s\": module %s needs module %s, which is disabled", host->stream->name,
			             host->modules[i].def->name, *need);
			return -ERR_INVALID;
		}
	}
	return 0;
}

static int check_module_confs(const struct host_settings *host, struct err_text *et)
{
	char why[256] = "";

	for (size_t i = 0; i < host->module_count; i++) {
		const struct module_settings *m = &host->modules[i];

		if (m->def->check == NULL || m->def->check(m->conf, why, sizeof(why)))
			continue;
		err_text_set(et, "host \"%s\": module %s: %s", host->stream->name, m->def->name, why);
		return -ERR_INVALID;
	}
	return 0;
}

static void free_conf(void *conf)
{
	conf_unref(conf);
}

int assemble_settings(struct assembly *a, struct conf *conf, struct settings **out, struct err_text *et)
{
	const struct server_conf *sc = assemble_server_conf(conf);
	struct settings *s = mem_new(sizeof(*s));
	size_t count = count_hosts(conf);
	int rc = 0;

	atomic_init(&s->refs, 1);
	s->conf = conf_ref(conf);
	s->free_conf = free_conf;
	fill_limits(&s->limits, sc);
	s->sm_resume_ms = sc->resume_time;
	s->sm_ack_ms = sc->acknowledge_timeout;
	s->sm_location = sc->resume_location;
	s->sm_unacked = (unsigned)sc->unacknowledged_stanzas;
	s->idle_accounts = (unsigned)sc->idle_accounts;
	s->waiting_stanzas = (unsigned)sc->waiting_stanzas;
	rc = assemble_fed(conf, &s->fed, et);
	s->hosts = mem_array(count, sizeof(*s->hosts));
	if (rc == 0 && count == 0) {
		err_text_set(et, "no host is configured: add a block such as: host example.org { }");
		rc = -ERR_INVALID;
	}
	for (size_t i = 0; rc == 0 && i < count; i++) {
		const struct conf_node *node = conf_child(conf_root(conf), "host", i);

		s->host_count = i + 1;
		rc = make_host(a, conf, node, &s->hosts[i], et);
		if (rc == 0)
			rc = check_unique(s, i, et);
		if (rc == 0)
			rc = choose_modules(a, conf, node, &s->hosts[i], et);
		if (rc == 0)
			rc = check_needs(&s->hosts[i], et);
		if (rc == 0)
			rc = check_module_confs(&s->hosts[i], et);
	}
	if (rc != 0) {
		settings_unref(s);
		return rc;
	}
	*out = s;
	return 0;
}
