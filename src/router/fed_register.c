/* SPDX-License-Identifier: MIT */
/* Being found: our hosts register with the directories of routes, again and again before it expires. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls.h"
#include "router/ask.h"
#include "router/fed.h"
#include "router/router.h"

#define ANSWER_MS 15000
#define RETRY_MIN_MS 1000
#define RETRY_MAX_MS 60000
/* The configuration may be changed twice in a moment. */
#define BEGIN_MS 20

/* One of our hosts with one directory. */
struct fed_registration {
	struct list link;
	struct federation *fed;
	struct comity_jid *local, *directory;
	struct ask *ask;               /* NULL: waits until due */
	uint64_t due, retry_ms;
	bool is_registered;            /* the directory has said so since the start */
	char problem[256];             /* already in the log */
};

static const struct host_settings *find_host(const struct federation *f, const char *name)
{
	const struct settings *s = f->router->settings;

	for (size_t i = 0; i < s->host_count; i++)
		if (s->hosts[i].federates && strcmp(s->hosts[i].stream->name, name) == 0)
			return &s->hosts[i];
	return NULL;
}

static void drop(struct fed_registration *g)
{
	list_remove(&g->link);
	if (g->ask != NULL)
		ask_cancel(g->fed->router, g->ask);
	comity_jid_unref(g->local);
	comity_jid_unref(g->directory);
	free(g);
}

static void schedule(struct federation *f)
{
	uint64_t due = UINT64_MAX, now = worker_now(f->router->worker);

	LIST_EACH(l, next, &f->registrations) {
		const struct fed_registration *g = LIST_ENTRY(l, struct fed_registration, link);

		if (g->ask == NULL && g->due < due)
			due = g->due;
	}
	if (due == UINT64_MAX)
		worker_timer_stop(f->router->worker, &f->registering);
	else
		worker_timer_start(f->router->worker, &f->registering, due > now ? due - now : 0);
}

/* ---- answers ---- */

static void take_success(struct fed_registration *g, const struct comity_rq *rq)
{
	const struct comity_elem *e = comity_rq_payload(rq);
	const char *text = e != NULL ? comity_elem_attr(e, "expires") : NULL;
	unsigned long long seconds = text != NULL ? strtoull(text, NULL, 10) : 0;

	if (seconds == 0 || seconds > g->fed->router->settings->fed.place.expires_s * 100)
		seconds = g->fed->router->settings->fed.place.expires_s;
	if (!g->is_registered)
		log_info(&g->fed->router->worker->log, "registered host=%s directory=%s for %llu s",
		         comity_jid_domain(g->local), comity_jid_domain(g->directory), seconds);
	g->is_registered = true;
	g->retry_ms = 0;
	g->problem[0] = '\0';
	/* Three times before it expires, so that a directory may be away for a while. */
	g->due = worker_now(g->fed->router->worker) + fed_jitter(g->fed, seconds * 1000 / 3);
}

static void take_failure(struct fed_registration *g, const char *text)
{
	if (strcmp(g->problem, text) != 0)
		log_warning(&g->fed->router->worker->log, "registering host=%s directory=%s failed: %s",
		            comity_jid_domain(g->local), comity_jid_domain(g->directory), text);
	snprintf(g->problem, sizeof(g->problem), "%s", text);
	g->is_registered = false;
	g->retry_ms = g->retry_ms == 0 ? RETRY_MIN_MS : g->retry_ms * 2 < RETRY_MAX_MS ? g->retry_ms * 2 : RETRY_MAX_MS;
	g->due = worker_now(g->fed->router->worker) + fed_jitter(g->fed, g->retry_ms);
}

static void on_answer(void *arg, const struct comity_rq *rq)
{
	struct fed_registration *g = arg;
	char text[sizeof(g->problem)];

	g->ask = NULL;
	if (rq != NULL && comity_rq_type(rq) == COMITY_TYPE_RESULT) {
		take_success(g, rq);
	} else {
		snprintf(text, sizeof(text), "%s", rq == NULL ? "no answer" : *ask_error_text(rq) != '\0' ? ask_error_text(rq) :
		                                                                            ask_error_name(rq));
		take_failure(g, text);
	}
	schedule(g->fed);
}

/* ---- asking ---- */

static struct comity_stanza *make_request(const struct fed_registration *g, const char *name)
{
	struct comity_stanza *st = comity_stanza_new(COMITY_IQ, COMITY_TYPE_SET);
	struct comity_elem *e = comity_elem_add(comity_stanza_edit(st), COMITY_NS_DIRECTORY, name);

	comity_elem_set(e, "domain", comity_jid_domain(g->local));
	return st;
}

static void send_registration(struct fed_registration *g)
{
	const struct host_settings *host = find_host(g->fed, comity_jid_domain(g->local));
	struct comity_route route = g->fed->router->settings->fed.place;
	struct comity_stanza *st = make_request(g, "register");

	if (host != NULL)
		tls_context_fingerprints(host->stream->tls, route.pins, sizeof(route.pins));
	comity_route_write((struct comity_elem *)comity_elem_first(comity_stanza_root(st)), &route);
	g->ask = ask_send(g->fed->router, g->local, g->directory, &st, ANSWER_MS, on_answer, g);
	if (g->ask == NULL)
		take_failure(g, "this server is asking too much already, or is being stopped");
}

static void on_timer(struct worker *w, struct timer *t)
{
	struct federation *f = LIST_ENTRY(t, struct federation, registering);

	LIST_EACH(l, next, &f->registrations) {
		struct fed_registration *g = LIST_ENTRY(l, struct fed_registration, link);

		if (g->ask == NULL && g->due <= worker_now(w))
			send_registration(g);
	}
	if (!f->is_stopping)
		schedule(f);
}

/* ---- which there are ---- */

static void on_unregistered(void *arg, const struct comity_rq *rq)
{
	(void)arg;
	(void)rq;
}

/* A host that is still here does not want to be found there any more. */
static void unregister(struct fed_registration *g)
{
	struct comity_stanza *st;

	if (g->is_registered && find_host(g->fed, comity_jid_domain(g->local)) != NULL) {
		st = make_request(g, "unregister");
		ask_send(g->fed->router, g->local, g->directory, &st, ANSWER_MS, on_unregistered, NULL);
	}
	drop(g);
}

static struct fed_registration *find(struct list *list, const char *local, const char *directory)
{
	LIST_EACH(l, next, list) {
		struct fed_registration *g = LIST_ENTRY(l, struct fed_registration, link);

		if (strcmp(comity_jid_domain(g->local), local) == 0 && strcmp(comity_jid_domain(g->directory), directory) == 0)
			return g;
	}
	return NULL;
}

static void want(struct federation *f, struct list *old, struct comity_jid *local, const char *directory)
{
	struct fed_registration *g = find(old, comity_jid_domain(local), directory);
	struct comity_jid *jid = g == NULL ? comity_jid_parse(directory) : NULL;

	if (g == NULL && (jid == NULL || comity_jid_equal(jid, local))) {
		comity_jid_unref(jid);
		return;
	}
	if (g == NULL) {
		g = mem_new(sizeof(*g));
		g->fed = f;
		g->local = comity_jid_ref(local);
		g->directory = jid;
		list_init(&g->link);
	}
	list_remove(&g->link);
	list_append(&f->registrations, &g->link);
	/* What is registered may have changed. */
	if (g->ask != NULL)
		ask_cancel(f->router, g->ask);
	g->ask = NULL;
	g->due = worker_now(f->router->worker) + BEGIN_MS;
}

void fed_register(struct federation *f)
{
	const struct settings *s = f->router->settings;
	const struct comity_list *names = s->fed.directories;
	struct list old;

	list_init(&old);
	list_splice(&old, &f->registrations);
	f->registering.fire = on_timer;
	for (size_t i = 0; s->fed.registers && i < s->host_count; i++)
		for (size_t j = 0; s->hosts[i].federates && j < names->count; j++)
			want(f, &old, s->hosts[i].stream->jid, names->items[j]);
	LIST_EACH(l, next, &old)
		unregister(LIST_ENTRY(l, struct fed_registration, link));
	schedule(f);
}

void fed_register_free(struct federation *f)
{
	worker_timer_stop(f->router->worker, &f->registering);
	LIST_EACH(l, next, &f->registrations)
		drop(LIST_ENTRY(l, struct fed_registration, link));
}
