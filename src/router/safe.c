/* SPDX-License-Identifier: MIT */
/* References to a stanza that is not yet safe. */
#include "router/safe.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/pool.h"
#include "router/account.h"
#include "router/host.h"
#include "router/rq.h"
#include "router/session_sm.h"
#include "router/token.h"

void safe_init(struct safe *s, struct worker *home, void (*done)(struct safe *safe, struct router *r, bool was_away))
{
	atomic_init(&s->refs, 1);
	s->home = home;
	s->done = done;
	s->released = NULL;
}

struct safe *safe_ref(struct safe *s)
{
	if (s != NULL)
		atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

bool safe_is_shared(const struct safe *s)
{
	return s != NULL && atomic_load_explicit(&s->refs, memory_order_relaxed) > 1;
}

void safe_note(struct safe *s, struct router *r)
{
	if (safe_is_shared(s) && s->released != NULL)
		s->released(s, r);
}

static void run_done(struct worker *w, struct mail *mail)
{
	struct safe *s = LIST_ENTRY(mail, struct safe, mail);

	s->done(s, router_of(w), true);
}

void safe_unref(struct safe *s, struct router *r)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (s->released != NULL)
		s->released(s, r);
	if (s->home == r->worker) {
		s->done(s, r, false);
		return;
	}
	s->mail.run = run_done;
	worker_post(s->home, &s->mail);
}

/* ---- what modules wait for ---- */

struct comity_safe {
	struct safe safe;
	struct comity_mod *mod;
	void (*done)(struct comity_mod *m, void *arg);
	void *arg;
};

static void on_module_done(struct safe *s, struct router *r, bool was_away)
{
	struct comity_safe *safe = LIST_ENTRY(s, struct comity_safe, safe);

	(void)r, (void)was_away;
	safe->done(safe->mod, safe->arg);
	pool_give(safe, sizeof(*safe));
}

struct comity_safe *comity_safe_new(struct comity_mod *m, void (*done)(struct comity_mod *m, void *arg), void *arg)
{
	struct comity_safe *safe = pool_take_zeroed(sizeof(*safe));

	safe_init(&safe->safe, m->host->router->worker, on_module_done);
	safe->mod = m;
	safe->done = done;
	safe->arg = arg;
	return safe;
}

void comity_safe_release(struct comity_safe *safe)
{
	safe_unref(&safe->safe, safe->mod->host->router);
}

/* The causes of a module's stored stanzas have its name's hash for a key. */
static uint64_t stored_key(const struct comity_mod *m)
{
	return hash_bytes(m->def->name, strlen(m->def->name), 1) | 1;
}

void comity_session_send_stored(struct comity_safe *safe, struct comity_session *s, const struct comity_stanza *st,
                                struct comity_jid *from, struct comity_jid *to, const struct store_entry *entry)
{
	struct comity_stanza *shared = comity_stanza_ref(st);
	struct comity_rq *rq = rq_new(s->account->router, &shared, from, to);

	rq_set_safe(rq, safe_ref(&safe->safe));
	rq->stored = (struct cause){ stored_key(safe->mod), entry->id, 0 };
	/* From the token that comity_archive_append() gave. */
	if (!token_read(entry->token, &rq->cause))
		rq->cause = rq->stored;
	rq->is_repeat = rq->is_stored = true;
	session_deliver(s, rq);
	comity_rq_release(rq);
}

void comity_session_send_kept(struct comity_session *s, const struct comity_stanza *st, struct comity_jid *from,
                              struct comity_jid *to)
{
	struct comity_stanza *shared = comity_stanza_ref(st);
	struct comity_rq *rq = rq_new(s->account->router, &shared, from, to);

	rq->is_stored = true;
	session_deliver(s, rq);
	comity_rq_release(rq);
}

void comity_session_each_stored(struct comity_mod *m, const struct comity_session *s,
                                void (*each)(void *arg, uint64_t id), void *arg)
{
	uint64_t key = stored_key(m);

	for (size_t i = 0; s->sm != NULL && i < s->sm->seen_count; i++)
		if (s->sm->seen[i].key == key)
			each(arg, s->sm->seen[i].hash);
}
