/* SPDX-License-Identifier: MIT */
/* Taking over a changed configuration while sessions go on. */
#include <stdlib.h>
#include <string.h>

#include "comityd/daemon.h"

static bool lists_differ(const struct comity_list *a, const struct comity_list *b)
{
	if (a->count != b->count)
		return true;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return true;
	return false;
}

/* What needs a restart is said, so that nobody waits for it to work. */
static void tell_fixed(struct daemon *d, const struct server_conf *old, const struct server_conf *new)
{
	if (strcmp(old->data_dir, new->data_dir) != 0)
		log_warning(&d->log, "data_dir has changed: that takes a restart");
	if (lists_differ(&old->listen, &new->listen) || old->c2s_port != new->c2s_port ||
	    old->c2s_tls_port != new->c2s_tls_port || old->s2s_port != new->s2s_port ||
	    old->s2s_tls_port != new->s2s_tls_port)
		log_warning(&d->log, "the addresses or ports have changed: that takes a restart");
	if (strcmp(old->workers, new->workers) != 0)
		log_warning(&d->log, "workers has changed: that takes a restart");
	if (strcmp(old->dns_servers != NULL ? old->dns_servers : "", new->dns_servers != NULL ? new->dns_servers : "") != 0 ||
	    old->dns_timeout != new->dns_timeout || old->dns_cache != new->dns_cache ||
	    old->dns_cache_size != new->dns_cache_size || old->dane != new->dane)
		log_warning(&d->log, "the options of DNS have changed: that takes a restart");
	if (strcmp(old->log_to, new->log_to) != 0)
		log_warning(&d->log, "log_to has changed: that takes a restart");
}

/* Whatever comes of the configuration: its file may have been renamed. */
static void reopen_log(struct daemon *d)
{
	struct err_text et = { "" };

	if (logger_reopen(&d->logger, &et) != 0)
		log_error(&d->log, "%s; the old one is still written to", et.text);
}

int daemon_reload(struct daemon *d, struct err_text *et)
{
	struct conf_errors errors = { 0 };
	struct settings *settings = NULL;
	struct conf *conf = NULL;
	int rc;

	notify_systemd("RELOADING=1");
	reopen_log(d);
	rc = assemble_read(d->config_path, &d->assembly.loader, &conf, &errors);
	if (rc != 0)
		err_text_set(et, "%s", errors.count != 0 ? errors.items[0] : err_name(rc));
	for (size_t i = 0; i < errors.count; i++)
		log_error(&d->log, "%s", errors.items[i]);
	if (rc == 0)
		rc = assemble_settings(&d->assembly, conf, &settings, et);
	if (rc == 0)
		rc = crew_configure(d, settings, et);
	if (rc == 0) {
		tell_fixed(d, assemble_server_conf(d->conf), assemble_server_conf(conf));
		memory_watch_set_limit(d, assemble_server_conf(conf)->memory_limit);
		d->logger.log.level = assemble_server_conf(conf)->log_level;
		settings_unref(d->settings);
		d->settings = settings;
		conf_unref(d->conf);
		d->conf = conf_ref(conf);
		log_info(&d->log, "took over %s", d->config_path);
	} else {
		settings_unref(settings);
		log_error(&d->log, "the old configuration stays: %s", et->text);
	}
	conf_unref(conf);
	conf_errors_deinit(&errors);
	notify_systemd("READY=1");
	return rc;
}
