/* SPDX-License-Identifier: MIT */
/* Questions of the server itself. An answer comes in wherever the stream of the other domain lives; the id names
 * the worker that asked. */
#include "router/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/host.h"
#include "router/rq.h"

/* Outstanding per worker. */
#define ASKS_MAX 4096
#define ID_START "ask-"
#define NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"

struct asks {
	struct router *router;
	struct map by_id;
	bool is_stopping;
};

struct ask {
	struct asks *asks;
	struct comity_jid *from, *to;
	struct timer timer;
	ask_cb *cb;
	void *arg;
	char id[64];
};

static void drop(struct ask *ask)
{
	map_remove(&ask->asks->by_id, ask->id, strlen(ask->id));
	worker_timer_stop(ask->asks->router->worker, &ask->timer);
	comity_jid_unref(ask->from);
	comity_jid_unref(ask->to);
	free(ask);
}

static void end(struct ask *ask, const struct comity_rq *answer)
{
	ask_cb *cb = ask->cb;
	void *arg = ask->arg;

	drop(ask);
	cb(arg, answer);
}

static void on_timeout(struct worker *w, struct timer *t)
{
	(void)w;
	end(LIST_ENTRY(t, struct ask, timer), NULL);
}

struct ask *ask_send(struct router *r, struct comity_jid *from, struct comity_jid *to, struct comity_stanza **st,
                     uint64_t timeout_ms, ask_cb *cb, void *arg)
{
	struct asks *asks = r->asks;
	struct comity_env *env = r->server->env;
	struct ask *ask;
	uint64_t secret[2];

	if (asks->is_stopping || asks->by_id.count >= ASKS_MAX) {
		comity_stanza_unref(*st);
		*st = NULL;
		return NULL;
	}
	ask = mem_new(sizeof(*ask));
	env->random(env, secret, sizeof(secret));
	snprintf(ask->id, sizeof(ask->id), ID_START "%u-%016llx%016llx", r->worker->id, (unsigned long long)secret[0],
	         (unsigned long long)secret[1]);
	ask->asks = asks;
	ask->from = comity_jid_ref(from);
	ask->to = comity_jid_ref(to);
	ask->cb = cb;
	ask->arg = arg;
	ask->timer.fire = on_timeout;
	map_put(&asks->by_id, ask->id, strlen(ask->id), ask);
	worker_timer_start(r->worker, &ask->timer, timeout_ms);
	comity_stanza_set_id(*st, ask->id);
	route(rq_new(r, st, from, to));
	return ask;
}

void ask_cancel(struct router *r, struct ask *ask)
{
	(void)r;
	drop(ask);
}

/* ---- answers ---- */

static void arrive(struct worker *w, struct mail *mail)
{
	struct comity_rq *rq = LIST_ENTRY(mail, struct comity_rq, mail);
	struct ask *ask = map_find(&router_of(w)->asks->by_id, rq->st->id, strlen(rq->st->id));

	rq->router = router_of(w);
	/* Nobody but who was asked can answer. */
	if (ask != NULL && comity_jid_equal(ask->to, rq->from) && comity_jid_equal(ask->from, rq->to))
		end(ask, rq);
	comity_rq_release(rq);
}

/* The worker that an id names; NULL: it is no id of ours. */
static struct worker *asker_of(const struct server *server, const char *id)
{
	char *end_of_number;
	unsigned long n;

	if (id == NULL || strncmp(id, ID_START, strlen(ID_START)) != 0)
		return NULL;
	n = strtoul(id + strlen(ID_START), &end_of_number, 10);
	return *end_of_number == '-' && n < server->worker_count ? server->workers[n] : NULL;
}

bool ask_take(struct router *r, struct comity_rq *rq)
{
	struct worker *asker;

	if (rq->st->kind != COMITY_IQ || (rq->st->type != COMITY_TYPE_RESULT && rq->st->type != COMITY_TYPE_ERROR) ||
	    rq->from == NULL || (asker = asker_of(r->server, rq->st->id)) == NULL)
		return false;
	/* By mail even when it is this worker: who asks is not called back while it still asks. */
	rq_detach(rq);
	rq->mail.run = arrive;
	worker_post(asker, &rq->mail);
	return true;
}

static const struct comity_elem *error_of(const struct comity_rq *answer)
{
	return comity_elem_find(comity_rq_root(answer), NULL, "error");
}

const char *ask_error_text(const struct comity_rq *answer)
{
	const struct comity_elem *error = error_of(answer);
	const struct comity_elem *text = error != NULL ? comity_elem_find(error, NS_STANZAS, "text") : NULL;

	return text != NULL ? comity_elem_text(text) : "";
}

const char *ask_error_name(const struct comity_rq *answer)
{
	const struct comity_elem *error = error_of(answer);

	for (const struct comity_elem *c = error != NULL ? comity_elem_first(error) : NULL; c != NULL; c = comity_elem_next(c))
		if (strcmp(comity_elem_ns(c), NS_STANZAS) == 0 && strcmp(comity_elem_name(c), "text") != 0)
			return comity_elem_name(c);
	return "";
}

/* ---- modules ---- */

struct module_ask {
	struct comity_mod *mod;
	comity_answer_cb *cb;
	void *arg;
};

static void on_module_answer(void *arg, const struct comity_rq *answer)
{
	struct module_ask *ask = arg;

	ask->cb(ask->mod, ask->arg, answer);
	free(ask);
}

bool comity_ask(struct comity_mod *m, struct comity_stanza **st, struct comity_jid *to, uint64_t timeout_ms,
                comity_answer_cb *cb, void *arg)
{
	struct module_ask *ask = mem_new(sizeof(*ask));

	*ask = (struct module_ask){ m, cb, arg };
	if (ask_send(m->host->router, m->host->jid, to, st, timeout_ms, on_module_answer, ask) != NULL)
		return true;
	free(ask);
	return false;
}

/* ---- life ---- */

struct asks *asks_new(struct router *r)
{
	struct asks *a = mem_new(sizeof(*a));

	a->router = r;
	return a;
}

static struct ask *any_of(const struct asks *a)
{
	size_t pos = 0;

	return map_next(&a->by_id, &pos);
}

void asks_stop(struct asks *a)
{
	struct ask *ask;

	a->is_stopping = true;
	while ((ask = any_of(a)) != NULL)
		end(ask, NULL);
}

void asks_free(struct asks *a)
{
	if (a == NULL)
		return;
	asks_stop(a);
	map_deinit(&a->by_id);
	free(a);
}
