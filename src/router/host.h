/* SPDX-License-Identifier: MIT */
/* A host on one worker: its modules and what they answer and watch. */
#ifndef ROUTER_HOST_H
#define ROUTER_HOST_H

#include "router/account.h"
#include "router/router.h"

struct comity_mod {
	const struct comity_module *def;
	struct host *host;
	const void *conf;
	void *data;
	size_t slot;              /* of its data in accounts and sessions; never reused */
	bool is_enabled;          /* in the tables */
	struct settings *keep;    /* once disabled: what conf points into */
	struct log_ctx log;
};

struct iq_row {
	struct iq_row *next;      /* of the same namespace */
	const struct comity_iq *iq;
	struct comity_mod *mod;
};

struct hook_row {
	const struct comity_hook *hook;
	struct comity_mod *mod;
};

#define HOOK_POINTS (COMITY_TO_SESSION + 1)

struct host {
	struct router *router;
	const struct host_settings *settings;
	struct comity_jid *jid;
	char *name;
	struct comity_mod **mods;         /* by slot; those disabled by a reload stay as place holders */
	size_t mod_count;
	struct map iqs;                   /* namespace to the first iq_row */
	struct hook_row *hooks[HOOK_POINTS];
	size_t hook_count[HOOK_POINTS];
	char **maps;                      /* names to load with an account; ends with NULL */
	unsigned generation;              /* one more than reloads that it has seen */
	unsigned tables;                  /* so often were hooks, iqs and maps made */
	struct log_ctx log;
};

struct host *host_new(struct router *r, const struct host_settings *settings);
void host_free(struct host *h);
/* Takes over changed settings: new confs, modules enabled and disabled. old are those of before.
 * Accounts have to be extended then. */
void host_update(struct host *h, const struct host_settings *settings, struct settings *old);
/* It is served no more: its modules are switched off, and stay for answers that are under way. */
void host_end(struct host *h, struct settings *old);
struct comity_mod *host_find_mod(const struct host *h, const char *name);

/* Sessions of the host, before a reload switches a module off: they keep what it wants to find again, and what it holds
 * back for them is written. */
void sessions_lose_mod(struct comity_mod *m);
/* It has been switched on: what sessions have kept for it counts again. At once, if it has no data of accounts; else
 * when those of an account have been read, for its modules from that slot on. */
void sessions_regain_mod(struct comity_mod *m);
void sessions_regain_mods(struct comity_account *a, size_t first);

/* Whether a module is at work for an account. One that a reload has enabled is not until its data there have been
 * read: sessions go on meanwhile, and for them all is as before the reload. */
static inline bool mod_serves(const struct comity_mod *m, const struct comity_account *a)
{
	return m->is_enabled && (m->slot < a->data_count || m->def->account_size == 0);
}

#endif
