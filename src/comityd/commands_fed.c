/* SPDX-License-Identifier: MIT */
/* Commands about other servers: what links there are, and why one cannot be reached. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "comityd/commands.h"
#include "xmpp/jid.h"

/* A replay may go through every address of a domain. */
#define WHY_WAIT_S 120

/* ---- list and close ---- */

struct link_list {
	json_t *rows;
	const char *only;      /* remote domain; NULL: all */
	unsigned closed;
};

static const char *describe_streams(const struct fed_link *l)
{
	return l->out != NULL && l->bidi != NULL ? "both" : l->out != NULL ? "out" : l->bidi != NULL ? "shared" : "none";
}

static void run_link_list(struct worker *w, void *arg)
{
	const struct link_list *list = arg;
	size_t pos = 0;

	for (struct fed_link *l; (l = map_next(&router_of(w)->fed->links, &pos)) != NULL;) {
		if (list->only != NULL && strcmp(l->remote, list->only) != 0)
			continue;
		json_array_append_new(list->rows, json_pack("[s, s, s, s, I, I, s]", l->local, l->remote, link_state_name(l),
		                                            describe_streams(l), (json_int_t)l->queue_count, (json_int_t)l->sent,
		                                            l->cause != S2S_CAUSE_NONE ? l->why : ""));
	}
	LIST_EACH(p, next, &router_of(w)->fed->streams) {
		const struct s2s *s = LIST_ENTRY(p, struct s2s, link);

		if (s->is_outgoing || (list->only != NULL && (s->remote == NULL || strcmp(s->remote, list->only) != 0)))
			continue;
		json_array_append_new(list->rows, json_pack("[s, s, s, s, I, I, s]", s->host != NULL ? s->host->name : "?",
		                                            s->remote != NULL ? s->remote : "?",
		                                            s->pair_count > s->asked_count ? "ready" : "negotiating", "in",
		                                            (json_int_t)0, (json_int_t)0, ""));
	}
}

/* The domain in the form in which it is compared; NULL when it is none. */
static char *prepare(const char *text)
{
	char name[JID_PART_MAX + 1];

	return jid_prepare_domain(text, strlen(text), name) > 0 ? mem_strdup(name) : NULL;
}

json_t *command_s2s_list(struct command *c)
{
	char *domain = c->count != 0 ? prepare(c->args[0]) : NULL;
	struct link_list list = { .rows = c->rows, .only = domain };

	if (c->count != 0 && domain == NULL)
		return command_fail("\"%s\" is not a domain", c->args[0]);
	for (unsigned i = 0; i < c->d->server.worker_count; i++)
		crew_call(c->d, c->d->server.workers[i], run_link_list, &list);
	free(domain);
	return command_table(c, "local remote state streams queued sent problem");
}

static void run_close(struct worker *w, void *arg)
{
	struct link_list *list = arg;

	LIST_EACH(p, next, &router_of(w)->fed->streams) {
		struct s2s *s = LIST_ENTRY(p, struct s2s, link);

		if (s->remote == NULL || strcmp(s->remote, list->only) != 0)
			continue;
		s2s_close(s);
		list->closed++;
	}
}

json_t *command_s2s_close(struct command *c)
{
	char *domain = prepare(c->args[0]);
	struct link_list list = { .only = domain };

	if (domain == NULL)
		return command_fail("\"%s\" is not a domain", c->args[0]);
	for (unsigned i = 0; i < c->d->server.worker_count; i++)
		crew_call(c->d, c->d->server.workers[i], run_close, &list);
	free(domain);
	return list.closed != 0 ? command_say("closed %u streams", list.closed) :
	                          command_fail("there is no stream to or from %s", c->args[0]);
}

/* ---- why ---- */

/* Lives until the replay has ended, which may be after the command gave up. */
struct why {
	struct waiter *waiter;
	char *local, *remote;
	pthread_mutex_t lock;
	struct buf lines;
	bool is_reached;
	_Atomic int refs;
};

static void why_unref(struct why *y)
{
	if (atomic_fetch_sub(&y->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&y->lock);
	buf_deinit(&y->lines);
	free(y->local);
	free(y->remote);
	free(y);
}

static void on_why_note(void *arg, const char *line)
{
	struct why *y = arg;

	pthread_mutex_lock(&y->lock);
	buf_printf(&y->lines, "  %s\n", line);
	pthread_mutex_unlock(&y->lock);
}

static void on_why_done(void *arg, const struct fed_link *l)
{
	struct why *y = arg;
	struct waiter *waiter = y->waiter;

	pthread_mutex_lock(&y->lock);
	y->is_reached = l != NULL && l->cause == S2S_CAUSE_NONE;
	if (l == NULL)
		buf_printf(&y->lines, "The host %s does not federate.", y->local);
	else if (y->is_reached)
		buf_printf(&y->lines, "%s can be reached from %s.", y->remote, y->local);
	else
		buf_printf(&y->lines, "%s cannot be reached from %s: %s.", y->remote, y->local, l->why);
	pthread_mutex_unlock(&y->lock);
	why_unref(y);
	waiter_done(waiter);
}

static void start_why(struct worker *w, struct waiter *waiter)
{
	struct why *y = waiter_arg(waiter);

	y->waiter = waiter;
	fed_probe(router_of(w)->fed, y->local, y->remote, on_why_note, on_why_done, y);
}

static json_t *explain(struct why *y)
{
	json_t *answer;

	pthread_mutex_lock(&y->lock);
	buf_add(&y->lines, "", 1);
	answer = y->is_reached ? command_say("%s", buf_bytes(&y->lines)) : command_fail("%s", buf_bytes(&y->lines));
	pthread_mutex_unlock(&y->lock);
	return answer;
}

json_t *command_why(struct command *c)
{
	struct why *y = mem_new(sizeof(*y));
	json_t *answer;

	y->remote = prepare(c->args[0]);
	y->local = c->count > 1 ? prepare(c->args[1]) : mem_strdup(c->d->settings->hosts[0].stream->name);
	atomic_init(&y->refs, 2);
	pthread_mutex_init(&y->lock, NULL);
	if (y->remote == NULL || y->local == NULL) {
		atomic_store(&y->refs, 1);
		why_unref(y);
		return command_fail("\"%s\" is not a domain", c->args[0]);
	}
	if (crew_await(c->d, c->d->server.workers[0], start_why, y, WHY_WAIT_S))
		answer = explain(y);
	else
		answer = command_fail("%s was not reached, nor was it clear why, within %d seconds", y->remote, WHY_WAIT_S);
	why_unref(y);
	return answer;
}
