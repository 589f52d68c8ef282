/* SPDX-License-Identifier: MIT */
/* Sessions that go on while a reload takes modules away and brings them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"

typedef void visit(struct comity_mod *m, struct comity_session *s);

/* What is done with one of them may end it, or another. */
static void visit_sessions(struct comity_mod *m, struct comity_account *a, visit *what)
{
	struct comity_session **all = NULL;
	size_t count = 0;

	if (!mod_serves(m, a))
		return;
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s)) {
		all = mem_resize(all, (count + 1) * sizeof(struct comity_session *));
		all[count++] = session_ref(s);
	}
	for (size_t i = 0; i < count; i++) {
		if (!all[i]->is_ended)
			what(m, all[i]);
		session_unref(all[i]);
	}
	free(all);
}

static void visit_accounts(struct comity_mod *m, visit *what)
{
	size_t count;
	struct comity_account **all = accounts_collect(m->host->router, m->host, true, &count);

	for (size_t i = 0; i < count; i++)
		visit_sessions(m, all[i], what);
	accounts_let_go(all, count);
}

/* ---- a module goes ---- */

static void leave(struct comity_mod *m, struct comity_session *s)
{
	if (m->def->session_keep != NULL)
		m->def->session_keep(m, s);
	if (m->def->session_left != NULL)
		m->def->session_left(m, s);
}

void sessions_lose_mod(struct comity_mod *m)
{
	if (m->def->session_keep != NULL || m->def->session_left != NULL)
		visit_accounts(m, leave);
}

/* ---- a module comes ---- */

static bool has_kept(const struct comity_mod *m, const struct comity_session *s)
{
	LIST_EACH(l, next, &s->kept) {
		const struct kept_text *k = LIST_ENTRY(l, struct kept_text, link);

		if (k->value != NULL && strcmp(k->module, m->def->name) == 0)
			return true;
	}
	return false;
}

/* Only where it finds something again: what a module does for every session that comes back after a restart, which has
 * no stream then, is not for these. */
static void find_again(struct comity_mod *m, struct comity_session *s)
{
	if (has_kept(m, s))
		m->def->session_restored(m, s);
}

void sessions_regain_mod(struct comity_mod *m)
{
	if (m->def->session_restored != NULL && m->def->account_size == 0)
		visit_accounts(m, find_again);
}

void sessions_regain_mods(struct comity_account *a, size_t first)
{
	for (size_t i = first; i < a->host->mod_count; i++) {
		struct comity_mod *m = a->host->mods[i];

		if (m->def->session_restored != NULL && m->def->account_size != 0)
			visit_sessions(m, a, find_again);
	}
}
