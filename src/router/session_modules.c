/* SPDX-License-Identifier: MIT */
/* Sessions that go on while a reload takes modules away. */
#include <stdlib.h>

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

static void leave(struct comity_mod *m, struct comity_session *s)
{
	m->def->session_left(m, s);
}

void sessions_lose_mod(struct comity_mod *m)
{
	if (m->def->session_left != NULL)
		visit_accounts(m, leave);
}
