/* SPDX-License-Identifier: MIT */
/* What modules may call: themselves, other modules, accounts, sending, time. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "router/account.h"
#include "router/credentials.h"
#include "router/crowd.h"
#include "router/host.h"
#include "router/rq.h"

const void *comity_conf(const struct comity_mod *m)
{
	return m->conf;
}

void *comity_host_data(struct comity_mod *m)
{
	return m->data;
}

const char *comity_host_name(const struct comity_mod *m)
{
	return m->host->name;
}

struct comity_jid *comity_host_jid(const struct comity_mod *m)
{
	return m->host->jid;
}

unsigned comity_host_generation(const struct comity_mod *m)
{
	return m->host->generation;
}

bool comity_is_local_domain(const struct comity_mod *m, const char *domain)
{
	return router_find_host(m->host->router, domain) != NULL;
}

const void *comity_module_api(struct comity_mod *m, const char *name, const struct comity_account *a,
                              struct comity_mod **other)
{
	struct comity_mod *found = host_find_mod(m->host, name);

	if (found == NULL || (a != NULL && !mod_serves(found, a)))
		return NULL;
	if (other != NULL)
		*other = found;
	return found->def->api;
}

/* ---- features: what the rows of all modules say ---- */

struct seen {
	struct map names;
	void (*each)(void *arg, const char *feature);
	void *arg;
};

static void tell_feature(struct seen *seen, unsigned rows, unsigned where, const char *feature)
{
	if (feature == NULL || (rows & where) == 0 || map_find(&seen->names, feature, strlen(feature)) != NULL)
		return;
	map_put(&seen->names, feature, strlen(feature), (void *)(size_t)feature);
	seen->each(seen->arg, feature);
}

void comity_each_feature(struct comity_mod *m, unsigned where, void (*each)(void *arg, const char *feature), void *arg)
{
	struct seen seen = { .each = each, .arg = arg };
	const struct host *h = m->host;

	for (size_t i = 0; i < h->mod_count; i++) {
		const struct comity_module *def = h->mods[i]->def;

		if (!h->mods[i]->is_enabled)
			continue;
		for (const struct comity_iq *iq = def->iqs; iq != NULL && iq->ns != NULL; iq++)
			tell_feature(&seen, iq->to, where, iq->feature);
		for (const struct comity_feature *f = def->features; f != NULL && f->feature != NULL; f++)
			tell_feature(&seen, f->where, where, f->feature);
	}
	map_deinit(&seen.names);
}

void comity_each_identity(struct comity_mod *m, unsigned where,
                          void (*each)(void *arg, const struct comity_identity *identity), void *arg)
{
	const struct host *h = m->host;

	for (size_t i = 0; i < h->mod_count; i++) {
		if (!h->mods[i]->is_enabled)
			continue;
		for (const struct comity_identity *id = h->mods[i]->def->identities; id != NULL && id->category != NULL; id++)
			if ((id->where & where) != 0)
				each(arg, id);
	}
}

/* ---- accounts ---- */

/* A module's callback on its way through the core. */
struct account_call {
	struct comity_mod *mod;
	comity_write_cb *cb;
	void *arg;
};

static struct account_call *account_call_new(struct comity_mod *m, comity_write_cb *cb, void *arg)
{
	struct account_call *call = mem_new(sizeof(*call));

	*call = (struct account_call){ m, cb, arg };
	return call;
}

static void on_account_call(void *arg, int status)
{
	struct account_call *call = arg;

	if (call->cb != NULL)
		call->cb(call->mod, call->arg, status == -ERR_INVALID ? COMITY_PASSWORD_INVALID : status);
	free(call);
}

void comity_account_create(struct comity_mod *m, const struct comity_jid *jid, const char *password,
                           comity_write_cb *cb, void *arg)
{
	account_create(m->host->router, jid, password, on_account_call, account_call_new(m, cb, arg));
}

void comity_account_set_password(struct comity_mod *m, const struct comity_jid *jid, const char *password,
                                 comity_write_cb *cb, void *arg)
{
	account_set_password(m->host->router, jid, password, on_account_call, account_call_new(m, cb, arg));
}

void comity_account_remove(struct comity_mod *m, const struct comity_jid *jid, comity_write_cb *cb, void *arg)
{
	account_delete(m->host->router, jid, on_account_call, account_call_new(m, cb, arg));
}

/* ---- sending ---- */

void comity_send(struct comity_mod *m, struct comity_stanza **st, struct comity_jid *from, struct comity_jid *to)
{
	route(rq_new(m->host->router, st, from, to));
}

void comity_send_many(struct comity_mod *m, const struct comity_stanza *st, struct comity_jid *from,
                      struct comity_jid *const *to, size_t count)
{
	crowd_send(m->host->router, NULL, st, from, to, count);
}

void comity_send_many_for(struct comity_rq *rq, const struct comity_stanza *st, struct comity_jid *from,
                          struct comity_jid *const *to, size_t count)
{
	crowd_send(rq->router, rq->session, st, from, to, count);
}

/* ---- time and the rest of the world ---- */

uint64_t comity_now(const struct comity_mod *m)
{
	return worker_now(m->host->router->worker);
}

int64_t comity_wall_us(const struct comity_mod *m)
{
	struct comity_env *env = m->host->router->server->env;

	return env->wall_us(env);
}

int64_t comity_started_us(const struct comity_mod *m)
{
	return m->host->router->server->started_us;
}

void comity_random(const struct comity_mod *m, void *bytes, size_t len)
{
	struct comity_env *env = m->host->router->server->env;

	env->random(env, bytes, len);
}

void comity_format_time(int64_t wall_us, char *out)
{
	time_t seconds = (time_t)(wall_us / 1000000);
	char text[24];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, 32, "%s.%03dZ", text, (int)(wall_us % 1000000 / 1000));
}

void comity_log(const struct comity_mod *m, enum comity_level level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_write(&m->log, (enum log_level)level, "%s", text);
}
