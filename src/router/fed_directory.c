/* SPDX-License-Identifier: MIT */
/* Asking directories of routes where a domain is (doc/route-directory.md): in their order, the next as soon as one
 * does not know it or is slow. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls.h"
#include "router/ask.h"
#include "router/fed.h"
#include "router/router.h"

#define DIRECTORIES_MAX 16
/* A directory that did not answer is not waited for, as long as there is DNS. */
#define SILENCE_MS 10000

/* A directory that did not answer. */
struct silence {
	uint64_t until;
	char name[];
};

/* One directory that is asked. */
struct fed_question {
	struct fed_lookup *lookup;
	struct comity_jid *to;         /* NULL: not asked */
	struct ask *ask;               /* NULL: answered */
};

struct fed_lookup {
	struct fed_link *link;
	struct timer timer;            /* until the next is asked, or all is over */
	uint64_t deadline;
	size_t next;                   /* of the directories */
	unsigned open;                 /* questions without an answer */
	unsigned silent;
	struct fed_question questions[DIRECTORIES_MAX];
	char why[320];                 /* of those that answered */
	char silence[280];             /* of the last that did not */
};

static struct federation *fed_of(const struct fed_lookup *k)
{
	return k->link->fed;
}

/* ---- silence ---- */

static void note_silence(struct federation *f, const char *name)
{
	struct silence *s = map_find(&f->silent_directories, name, strlen(name));
	size_t len = strlen(name);

	if (s == NULL) {
		s = mem_new(sizeof(*s) + len + 1);
		memcpy(s->name, name, len);
		map_put(&f->silent_directories, s->name, len, s);
	}
	s->until = worker_now(f->router->worker) + SILENCE_MS;
}

static void end_silence(struct federation *f, const char *name)
{
	free(map_remove(&f->silent_directories, name, strlen(name)));
}

static bool is_silent(const struct federation *f, const char *name)
{
	const struct silence *s = map_find(&f->silent_directories, name, strlen(name));

	return s != NULL && s->until > worker_now(f->router->worker);
}

void directory_forget_silence(struct federation *f)
{
	size_t pos = 0;

	for (struct silence *s; (s = map_next(&f->silent_directories, &pos)) != NULL;)
		free(s);
	map_deinit(&f->silent_directories);
	f->silent_directories = (struct map){ 0 };
}

/* ---- steps ---- */

void link_note(const struct fed_link *l, const char *fmt, ...)
{
	char line[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log_debug(&l->fed->router->worker->log, "s2s local=%s remote=%s %s", l->local, l->remote, line);
	if (l->note != NULL)
		l->note(l->arg, line);
}

static void note_failure(struct fed_question *q, const char *text)
{
	struct fed_lookup *k = q->lookup;
	const char *name = comity_jid_domain(q->to);
	size_t len = strlen(k->why);

	link_note(k->link, "directory %s: %s", name, text);
	snprintf(k->why + len, sizeof(k->why) - len, "%sdirectory %.100s says: %.150s", len != 0 ? "; " : "", name, text);
}

/* why: what kept us from reaching it; "" when it just did not answer. */
static void note_no_answer(struct fed_question *q, const char *why)
{
	struct fed_lookup *k = q->lookup;
	const char *name = comity_jid_domain(q->to);

	k->silent++;
	note_silence(fed_of(k), name);
	link_note(k->link, "directory %s does not answer%s%s", name, *why != '\0' ? ": " : "", why);
	snprintf(k->silence, sizeof(k->silence), ": %.100s%s%.160s", name, *why != '\0' ? ": " : " did not in time", why);
}

/* ---- the end ---- */

void directory_cancel(struct fed_link *l)
{
	struct fed_lookup *k = l->lookup;

	if (k == NULL)
		return;
	l->lookup = NULL;
	worker_timer_stop(l->fed->router->worker, &k->timer);
	for (size_t i = 0; i < DIRECTORIES_MAX; i++) {
		if (k->questions[i].ask != NULL)
			ask_cancel(l->fed->router, k->questions[i].ask);
		comity_jid_unref(k->questions[i].to);
	}
	free(k);
}

static void forget_place(struct fed_link *l)
{
	free(l->place);
	l->place = NULL;
}

/* None of them has named a place. */
static void end_without(struct fed_lookup *k)
{
	struct fed_link *l = k->link;
	bool any_answered = *k->why != '\0', any_silent;
	char why[sizeof(k->why)];

	for (size_t i = 0; i < DIRECTORIES_MAX; i++)
		if (k->questions[i].ask != NULL)
			note_no_answer(&k->questions[i], "");
	any_silent = k->silent != 0;
	if (any_answered)
		snprintf(why, sizeof(why), "%s", k->why);
	else
		snprintf(why, sizeof(why), "no directory of routes answers%s", k->silence);
	directory_cancel(l);
	if (any_silent && directory_place(l, worker_now(l->fed->router->worker)) != NULL) {
		link_note(l, "a directory does not answer: going by what was said before");
		link_on_found(l, FED_FOUND, "");
		return;
	}
	forget_place(l);
	link_on_found(l, any_answered ? FED_UNKNOWN : FED_SILENT, why);
}

static void end_with(struct fed_lookup *k, const struct comity_route *route)
{
	struct fed_link *l = k->link;

	if (l->place == NULL)
		l->place = mem_new(sizeof(*l->place));
	l->place->route = *route;
	l->place->is_doubtful = false;
	l->place->until = worker_now(l->fed->router->worker) + route->expires_s * 1000;
	directory_cancel(l);
	link_on_found(l, FED_FOUND, "");
}

/* ---- one after the other ---- */

static void go_on(struct fed_lookup *k);

/* The server of the directory was not reached: that is no answer of it. */
static bool is_from_afar(const struct comity_rq *rq)
{
	const char *name = ask_error_name(rq);

	return strcmp(name, "remote-server-not-found") != 0 && strcmp(name, "remote-server-timeout") != 0;
}

static bool read_route(const struct fed_lookup *k, const struct comity_rq *rq, struct comity_route *route)
{
	const struct comity_elem *e = comity_rq_payload(rq);
	const char *domain = e != NULL ? comity_elem_attr(e, "domain") : NULL;

	return comity_rq_type(rq) == COMITY_TYPE_RESULT && e != NULL && comity_elem_is(e, COMITY_NS_DIRECTORY, "route") &&
	       domain != NULL && strcmp(domain, k->link->remote) == 0 && comity_route_read(e, route) == NULL &&
	       route->expires_s != 0;
}

static void on_answer(void *arg, const struct comity_rq *rq)
{
	struct fed_question *q = arg;
	struct fed_lookup *k = q->lookup;
	struct comity_route route;

	q->ask = NULL;
	k->open--;
	if (rq != NULL && read_route(k, rq, &route)) {
		end_silence(fed_of(k), comity_jid_domain(q->to));
		link_note(k->link, "directory %s: %s port %u%s, for %llu s%s%s", comity_jid_domain(q->to), route.host,
		          route.port, route.is_direct_tls ? ", direct TLS" : "", (unsigned long long)route.expires_s,
		          *route.pins != '\0' ? ", certificate " : "", route.pins);
		end_with(k, &route);
		return;
	}
	if (rq == NULL || (comity_rq_type(rq) == COMITY_TYPE_ERROR && !is_from_afar(rq))) {
		note_no_answer(q, rq != NULL ? ask_error_text(rq) : "");
	} else {
		end_silence(fed_of(k), comity_jid_domain(q->to));
		note_failure(q, comity_rq_type(rq) == COMITY_TYPE_RESULT ? "its answer is not understood" :
		                *ask_error_text(rq) != '\0'              ? ask_error_text(rq) :
		                                                           ask_error_name(rq));
	}
	go_on(k);
}

static bool ask_one(struct fed_lookup *k, size_t i, const char *name)
{
	struct fed_question *q = &k->questions[i];
	struct comity_stanza *st;
	struct comity_elem *e;
	uint64_t left = k->deadline - worker_now(fed_of(k)->router->worker);
	char wait[24];

	q->lookup = k;
	q->to = comity_jid_parse(name);
	if (q->to == NULL)
		return false;
	st = comity_stanza_new(COMITY_IQ, COMITY_TYPE_GET);
	e = comity_elem_add(comity_stanza_edit(st), COMITY_NS_DIRECTORY, "lookup");
	comity_elem_set(e, "domain", k->link->remote);
	snprintf(wait, sizeof(wait), "%llu", (unsigned long long)(left * 7 / 8));
	comity_elem_set(e, "wait", wait);
	link_note(k->link, "asking the directory %s", name);
	q->ask = ask_send(fed_of(k)->router, k->link->host->jid, q->to, &st, left, on_answer, q);
	if (q->ask == NULL)
		return false;
	k->open++;
	return true;
}

/* Asks the next; false when there is none left. */
static bool ask_next(struct fed_lookup *k)
{
	const struct fed_settings *s = link_settings(k->link);
	const struct comity_list *names = s->directories;

	while (k->next < names->count && k->next < DIRECTORIES_MAX) {
		const char *name = names->items[k->next];
		size_t i = k->next++;

		if (is_silent(fed_of(k), name) && s->uses_dns) {
			k->silent++;
			link_note(k->link, "directory %s did not answer a moment ago", name);
		} else if (ask_one(k, i, name) && !is_silent(fed_of(k), name)) {
			return true;
		}
	}
	return false;
}

/* The others get as much time as there is left for each. */
static void go_on(struct fed_lookup *k)
{
	struct worker *w = fed_of(k)->router->worker;
	uint64_t now = worker_now(w), left = k->deadline > now ? k->deadline - now : 0;
	size_t others;

	if (left != 0 && ask_next(k)) {
		others = link_settings(k->link)->directories->count;
		others = others > k->next ? others - k->next : 0;
		worker_timer_start(w, &k->timer, left / (others + 1));
	} else if (k->open == 0 || left == 0) {
		end_without(k);
	} else {
		worker_timer_start(w, &k->timer, left);
	}
}

static void on_timer(struct worker *w, struct timer *t)
{
	struct fed_lookup *k = LIST_ENTRY(t, struct fed_lookup, timer);

	(void)w;
	go_on(k);
}

/* ---- for links ---- */

bool directory_is_one(const struct fed_link *l)
{
	const struct comity_list *names = link_settings(l)->directories;

	for (size_t i = 0; names != NULL && i < names->count; i++)
		if (strcmp(names->items[i], l->remote) == 0)
			return true;
	return false;
}

bool directory_applies(const struct fed_link *l)
{
	const struct comity_list *names = link_settings(l)->directories;

	return names != NULL && names->count != 0 && !directory_is_one(l);
}

const struct fed_place *directory_place(const struct fed_link *l, uint64_t now)
{
	return l->place != NULL && l->place->until > now ? l->place : NULL;
}

void directory_ask(struct fed_link *l)
{
	struct fed_lookup *k = mem_new(sizeof(*k));
	struct worker *w = l->fed->router->worker;

	l->lookup = k;
	k->link = l;
	k->timer.fire = on_timer;
	k->deadline = worker_now(w) + link_settings(l)->directory_ms;
	go_on(k);
}

/* ---- certificates ---- */

static bool is_one_of(const struct tls_session *tls, const char *pins)
{
	char have[65];

	return trust_fingerprint(tls, have) && strstr(pins, have) != NULL;
}

enum s2s_vouched directory_vouch(struct s2s *s, const char *remote)
{
	struct federation *f = router_of(s->conn->worker)->fed;
	const struct fed_link *l = s->is_outgoing ? s->owner : s->host != NULL ? link_find(f, s->host->name, remote) : NULL;
	bool is_here;

	if (l == NULL || directory_place(l, worker_now(s->conn->worker)) == NULL || *l->place->route.pins == '\0' ||
	    (s->is_outgoing && !l->is_by_place))
		return S2S_VOUCHED_NOTHING;
	is_here = is_one_of(s->conn->tls, l->place->route.pins);
	/* Who comes to us may have a new certificate that the directory has not told us of. */
	if (!is_here)
		return s->is_outgoing ? S2S_VOUCHED_NO : S2S_VOUCHED_NOTHING;
	return f->router->settings->fed.trusts_directories ? S2S_VOUCHED_YES : S2S_VOUCHED_NOTHING;
}
