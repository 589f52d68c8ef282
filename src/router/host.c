/* SPDX-License-Identifier: MIT */
/* A host on one worker: its modules and the tables made from their rows. */
#include "router/host.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void describe_host(const struct log_ctx *ctx, struct buf *out)
{
	buf_printf(out, "host=%s", LIST_ENTRY(ctx, struct host, log)->name);
}

static void describe_mod(const struct log_ctx *ctx, struct buf *out)
{
	buf_printf(out, "mod=%s", LIST_ENTRY(ctx, struct comity_mod, log)->def->name);
}

struct comity_mod *host_find_mod(const struct host *h, const char *name)
{
	for (size_t i = 0; i < h->mod_count; i++)
		if (h->mods[i]->is_enabled && strcmp(h->mods[i]->def->name, name) == 0)
			return h->mods[i];
	return NULL;
}

/* ---- tables ---- */

static void drop_tables(struct host *h)
{
	struct iq_row *next;
	size_t pos = 0;

	for (struct iq_row *row; (row = map_next(&h->iqs, &pos)) != NULL;) {
		for (; row != NULL; row = next) {
			next = row->next;
			free(row);
		}
	}
	map_deinit(&h->iqs);
	for (int p = 0; p < HOOK_POINTS; p++) {
		free(h->hooks[p]);
		h->hooks[p] = NULL;
		h->hook_count[p] = 0;
	}
	for (char **m = h->maps; m != NULL && *m != NULL; m++)
		free(*m);
	free(h->maps);
	h->maps = NULL;
}

static void add_iqs(struct host *h, struct comity_mod *m)
{
	for (const struct comity_iq *iq = m->def->iqs; iq != NULL && iq->ns != NULL; iq++) {
		struct iq_row *row = mem_new(sizeof(*row)), *first = map_find(&h->iqs, iq->ns, strlen(iq->ns));

		row->iq = iq;
		row->mod = m;
		if (first != NULL) {
			row->next = first->next;
			first->next = row;
		} else {
			map_put(&h->iqs, iq->ns, strlen(iq->ns), row);
		}
	}
}

static void add_hooks(struct host *h, struct comity_mod *m)
{
	for (const struct comity_hook *hook = m->def->hooks; hook != NULL && hook->handle != NULL; hook++) {
		size_t n = h->hook_count[hook->point]++;

		h->hooks[hook->point] = mem_resize(h->hooks[hook->point], (n + 1) * sizeof(struct hook_row));
		h->hooks[hook->point][n] = (struct hook_row){ hook, m };
	}
}

/* By phase, then by name of the module; never by the order of the configuration file. */
static int compare_hooks(const void *a, const void *b)
{
	const struct hook_row *x = a, *y = b;

	if (x->hook->phase != y->hook->phase)
		return x->hook->phase < y->hook->phase ? -1 : 1;
	return strcmp(x->mod->def->name, y->mod->def->name);
}

static void add_maps(struct host *h, const struct comity_mod *m, size_t *count)
{
	for (const char *const *name = m->def->account_maps; name != NULL && *name != NULL; name++) {
		h->maps = mem_resize(h->maps, (*count + 2) * sizeof(char *));
		h->maps[(*count)++] = mem_strdup(*name);
		h->maps[*count] = NULL;
	}
}

static void make_tables(struct host *h)
{
	size_t maps = 1;

	drop_tables(h);
	h->tables++;
	/* Whether the account exists is read together with what modules want. */
	h->maps = mem_array(2, sizeof(char *));
	h->maps[0] = mem_strdup("account");
	for (size_t i = 0; i < h->mod_count; i++) {
		if (!h->mods[i]->is_enabled)
			continue;
		add_iqs(h, h->mods[i]);
		add_hooks(h, h->mods[i]);
		add_maps(h, h->mods[i], &maps);
	}
	for (int p = 0; p < HOOK_POINTS; p++)
		if (h->hook_count[p] != 0)
			qsort(h->hooks[p], h->hook_count[p], sizeof(struct hook_row), compare_hooks);
}

/* ---- modules ---- */

static void load_mod(struct host *h, const struct module_settings *s)
{
	struct comity_mod *m = mem_new(sizeof(*m));

	m->def = s->def;
	m->host = h;
	m->conf = s->conf;
	m->slot = h->mod_count;
	m->data = s->def->host_size != 0 ? mem_new(s->def->host_size) : NULL;
	m->is_enabled = true;
	log_ctx_init(&m->log, &h->log, describe_mod);
	h->mods = mem_resize(h->mods, (h->mod_count + 1) * sizeof(struct comity_mod *));
	h->mods[h->mod_count++] = m;
	if (m->def->load != NULL)
		m->def->load(m);
}

static void unload_mod(struct comity_mod *m)
{
	if (m->def->unload != NULL)
		m->def->unload(m);
	m->is_enabled = false;
	settings_unref(m->keep);
	free(m->data);
	m->data = NULL;
}

struct host *host_new(struct router *r, const struct host_settings *settings)
{
	struct host *h = mem_new(sizeof(*h));

	h->router = r;
	h->settings = settings;
	h->generation = 1;
	h->name = mem_strdup(settings->stream->name);
	h->jid = comity_jid_ref(settings->stream->jid);
	log_ctx_init(&h->log, &r->worker->log, describe_host);
	for (size_t i = 0; i < settings->module_count; i++)
		load_mod(h, &settings->modules[i]);
	make_tables(h);
	return h;
}

void host_free(struct host *h)
{
	if (h == NULL)
		return;
	drop_tables(h);
	for (size_t i = 0; i < h->mod_count; i++) {
		unload_mod(h->mods[i]);
		free(h->mods[i]);
	}
	free(h->mods);
	comity_jid_unref(h->jid);
	free(h->name);
	free(h);
}

static const struct module_settings *find_settings(const struct host_settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->module_count; i++)
		if (strcmp(settings->modules[i].def->name, name) == 0)
			return &settings->modules[i];
	return NULL;
}

/* Its data stay for answers that are under way. */
static void disable_mod(struct comity_mod *m, struct settings *old)
{
	if (!m->is_enabled)
		return;
	m->is_enabled = false;
	m->keep = settings_ref(old);
}

void host_end(struct host *h, struct settings *old)
{
	for (size_t i = 0; i < h->mod_count; i++)
		disable_mod(h->mods[i], old);
	drop_tables(h);
}

void host_update(struct host *h, const struct host_settings *settings, struct settings *old)
{
	size_t before = h->mod_count;
	bool changed = false;

	h->settings = settings;
	/* While all are at work: what one writes may end sessions, and nothing overtakes what another still holds back. */
	for (size_t i = 0; i < before; i++)
		if (h->mods[i]->is_enabled && find_settings(settings, h->mods[i]->def->name) == NULL)
			sessions_lose_mod(h->mods[i]);
	for (size_t i = 0; i < h->mod_count; i++) {
		struct comity_mod *m = h->mods[i];
		const struct module_settings *s = m->is_enabled ? find_settings(settings, m->def->name) : NULL;

		if (s != NULL) {
			m->conf = s->conf;
			if (m->def->reconfigured != NULL)
				m->def->reconfigured(m);
		} else if (m->is_enabled) {
			changed = true;
			disable_mod(m, old);
		}
	}
	for (size_t i = 0; i < settings->module_count; i++) {
		if (host_find_mod(h, settings->modules[i].def->name) != NULL)
			continue;
		changed = true;
		load_mod(h, &settings->modules[i]);
	}
	if (changed)
		make_tables(h);
	h->generation++;
	for (size_t i = before; i < h->mod_count; i++)
		sessions_regain_mod(h->mods[i]);
}
