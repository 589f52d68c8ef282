/* SPDX-License-Identifier: MIT */
/* Commands about other servers: what links there are, and why one cannot be reached. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "comityd/commands.h"
#include "comityd/task.h"
#include "xmpp/jid.h"

/* ---- list and close ---- */

struct link_list {
	json_t *rows;
	const char *only;      /* remote domain; NULL: all */
	unsigned closed;
};

static const char *state_name(const struct fed_link *l)
{
	static const char *const names[] = {
		[LINK_IDLE] = "idle", [LINK_DIALING] = "connecting", [LINK_NEGOTIATING] = "negotiating",
		[LINK_READY] = "ready", [LINK_WAITING] = "waiting",
	};

	return names[l->state];
}

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
		json_array_append_new(list->rows, json_pack("[s, s, s, s, I, I, s]", l->local, l->remote, state_name(l),
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

/* ---- one domain ---- */

static void add_row(json_t *rows, const char *name, json_t *value)
{
	json_array_append_new(rows, json_pack("[s, o]", name, value));
}

static void show_attempts(json_t *rows, const struct fed_link *l)
{
	char when[32];

	for (int i = 0; i < FED_ATTEMPTS && l->attempts[i].at_us != 0; i++) {
		char *text;

		comity_format_time(l->attempts[i].at_us, when);
		text = mem_printf("%s: %s", when, l->attempts[i].why);
		add_row(rows, i == 0 ? "last attempt" : "before that", json_string(text));
		free(text);
	}
}

static void show_stream(json_t *rows, const char *name, const struct s2s *s)
{
	char *text = mem_printf("%s, %s%s%s%s", s->conn->address,
	                        s->conn->is_secured ? tls_session_version(s->conn->tls) : "no TLS",
	                        s->is_authenticated ? ", by certificate" : ", by dialback",
	                        s->sm != NULL ? ", acknowledged" : "", s->is_bidi ? ", both directions" : "");

	add_row(rows, name, json_string(text));
	free(text);
}

static void show_place(json_t *rows, const struct fed_link *l)
{
	const struct comity_route *r = &l->place->route;
	char *text = mem_printf("%s port %u%s%s", r->host, r->port, r->is_direct_tls ? ", direct TLS" : "",
	                        l->place->is_doubtful ? ", which failed" : "");

	add_row(rows, "by a directory", json_string(text));
	free(text);
}

static void run_show(struct worker *w, void *arg)
{
	struct link_list *list = arg;
	size_t pos = 0;

	for (struct fed_link *l; (l = map_next(&router_of(w)->fed->links, &pos)) != NULL;) {
		if (strcmp(l->remote, list->only) != 0)
			continue;
		add_row(list->rows, "link", json_pack("s++", l->local, " to ", l->remote));
		add_row(list->rows, "state", json_string(state_name(l)));
		if (l->out != NULL)
			show_stream(list->rows, "stream out", l->out);
		if (l->bidi != NULL)
			show_stream(list->rows, "stream shared", l->bidi);
		if (l->place != NULL)
			show_place(list->rows, l);
		add_row(list->rows, "stanzas that wait", json_integer((json_int_t)l->queue_count));
		add_row(list->rows, "bytes that wait", json_integer((json_int_t)l->queue_bytes));
		add_row(list->rows, "stanzas sent", json_integer((json_int_t)l->sent));
		add_row(list->rows, "stanzas returned", json_integer((json_int_t)l->bounced));
		show_attempts(list->rows, l);
	}
	LIST_EACH(p, next, &router_of(w)->fed->streams) {
		const struct s2s *s = LIST_ENTRY(p, struct s2s, link);

		if (!s->is_outgoing && s->remote != NULL && strcmp(s->remote, list->only) == 0)
			show_stream(list->rows, "stream in", s);
	}
}

static void run_retry(struct worker *w, void *arg)
{
	struct link_list *list = arg;
	size_t pos = 0;

	dns_flush(router_of(w)->fed->dns, list->only);
	for (struct fed_link *l; (l = map_next(&router_of(w)->fed->links, &pos)) != NULL;) {
		if (strcmp(l->remote, list->only) != 0)
			continue;
		link_retry(l);
		list->closed++;
	}
}

static void run_flush(struct worker *w, void *arg)
{
	struct link_list *list = arg;
	size_t pos = 0;

	for (struct fed_link *l; (l = map_next(&router_of(w)->fed->links, &pos)) != NULL;) {
		if (strcmp(l->remote, list->only) != 0)
			continue;
		list->closed += (unsigned)l->queue_count;
		link_return_all(l, "returned by the administrator");
	}
}

/* Runs one of them everywhere for the domain that the command names; false when it is none. */
static bool run_for_domain(struct command *c, void (*fn)(struct worker *w, void *arg), struct link_list *list)
{
	char *domain = prepare(c->args[0]);

	if (domain == NULL)
		return false;
	list->rows = c->rows;
	list->only = domain;
	for (unsigned i = 0; i < c->d->server.worker_count; i++)
		crew_call(c->d, c->d->server.workers[i], fn, list);
	free(domain);
	list->only = NULL;
	return true;
}

json_t *command_s2s_show(struct command *c)
{
	struct link_list list = { 0 };

	if (!run_for_domain(c, run_show, &list))
		return command_fail("\"%s\" is not a domain", c->args[0]);
	return json_array_size(c->rows) != 0 ? command_table(c, "fact value") :
	                                       command_fail("nothing is known of %s", c->args[0]);
}

json_t *command_s2s_retry(struct command *c)
{
	struct link_list list = { 0 };

	if (!run_for_domain(c, run_retry, &list))
		return command_fail("\"%s\" is not a domain", c->args[0]);
	return list.closed != 0 ? command_say("trying to reach %s", c->args[0]) :
	                          command_fail("there is no link to %s; comityctl why tries one", c->args[0]);
}

json_t *command_s2s_flush(struct command *c)
{
	struct link_list list = { 0 };

	if (!run_for_domain(c, run_flush, &list))
		return command_fail("\"%s\" is not a domain", c->args[0]);
	return command_say("returned %u stanzas to their senders", list.closed);
}

/* ---- why ---- */

/* Lives until the replay has ended. */
struct why {
	struct mail mail;
	struct task *task;
	char *local, *remote;
};

static void on_why_note(void *arg, const char *line)
{
	task_note(((struct why *)arg)->task, line);
}

static void on_why_done(void *arg, const struct fed_link *l)
{
	struct why *y = arg;
	bool is_reached = l != NULL && l->cause == S2S_CAUSE_NONE;

	if (l == NULL)
		task_end(y->task, false, mem_printf("the host %s is not served here or does not federate", y->local));
	else if (is_reached)
		task_end(y->task, true, mem_printf("%s can be reached from %s.", y->remote, y->local));
	else
		task_end(y->task, false, mem_printf("%s cannot be reached from %s: %s. %s", y->remote, y->local, l->why,
		                                    s2s_cause_advice(l->cause)));
	free(y->local);
	free(y->remote);
	free(y);
}

static void start_why(struct worker *w, struct mail *mail)
{
	struct why *y = LIST_ENTRY(mail, struct why, mail);

	fed_probe(router_of(w)->fed, y->local, y->remote, on_why_note, on_why_done, y);
}

/* The home of the domain knows how it went before. */
static void note_history(struct command *c, struct why *y)
{
	struct link_list list = { .rows = json_array(), .only = y->remote };
	json_t *row;
	size_t at;

	for (unsigned i = 0; i < c->d->server.worker_count; i++)
		crew_call(c->d, c->d->server.workers[i], run_show, &list);
	json_array_foreach(list.rows, at, row) {
		const char *name = json_string_value(json_array_get(row, 0));
		char *line;

		if (strcmp(name, "last attempt") != 0 && strcmp(name, "before that") != 0)
			continue;
		line = mem_printf("%s, %s", name, json_string_value(json_array_get(row, 1)));
		task_note(y->task, line);
		free(line);
	}
	json_decref(list.rows);
}

json_t *command_why(struct command *c)
{
	char *remote = prepare(c->args[0]);
	char *local = c->count > 1 ? prepare(c->args[1]) : mem_strdup(c->d->settings->hosts[0].stream->name);
	struct why *y;
	json_t *answer;

	if (remote == NULL || local == NULL) {
		free(remote);
		free(local);
		return command_fail("\"%s\" is not a domain", remote == NULL ? c->args[0] : c->args[1]);
	}
	y = mem_new(sizeof(*y));
	y->mail.run = start_why;
	y->local = local;
	y->remote = remote;
	y->task = task_new(c->d);
	answer = task_answer(y->task);
	note_history(c, y);
	worker_post(c->d->server.workers[0], &y->mail);
	return answer;
}
