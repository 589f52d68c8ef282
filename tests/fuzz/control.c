/* SPDX-License-Identifier: MIT */
/* Requests of comityctl, sound and unsound, and their answers. */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "base/mem.h"
#include "comityctl/table.h"
#include "comityd/daemon.h"
#include "comityd/task.h"
#include "grammar_parts.h"

#define RAW_MAX 128
/* A server that is silent is waited for, and then another way is tried. */
#define TASK_SECONDS 300

static struct daemon the_daemon;
static struct stage *the_stage;

/* ---- what the commands need of the daemon ---- */

static struct comity_env *env_of_stage(void)
{
	return &the_stage->life.sim->env;
}

static uint64_t mono(struct comity_env *env)
{
	(void)env;
	return env_of_stage()->mono_ms(env_of_stage());
}

static int64_t wall(struct comity_env *env)
{
	(void)env;
	return env_of_stage()->wall_us(env_of_stage());
}

static void randomise(struct comity_env *env, void *bytes, size_t len)
{
	(void)env;
	env_of_stage()->random(env_of_stage(), bytes, len);
}

static void take_daemon(struct stage *s)
{
	struct daemon *d = &the_daemon;

	the_stage = s;
	if (d->env.mono_ms == NULL) {
		d->env = (struct comity_env){ mono, wall, randomise, NULL, true };
		d->config_path = "comity.conf";
		list_init(&d->tasks);
	}
	memcpy(&d->server, &s->life.sim->server, sizeof(d->server));
	d->settings = s->life.sim->settings;
}

struct waiter {
	struct mail mail;
	void (*start)(struct worker *w, struct waiter *waiter);
	void *arg;
	bool is_done;
};

void *waiter_arg(struct waiter *waiter)
{
	return waiter->arg;
}

void waiter_done(struct waiter *waiter)
{
	waiter->is_done = true;
}

static void run_start(struct worker *w, struct mail *mail)
{
	struct waiter *waiter = LIST_ENTRY(mail, struct waiter, mail);

	waiter->start(w, waiter);
}

bool crew_await(struct daemon *d, struct worker *w, void (*start)(struct worker *w, struct waiter *waiter), void *arg,
                unsigned seconds)
{
	struct waiter waiter = { .mail.run = run_start, .start = start, .arg = arg };

	(void)d, (void)seconds;
	worker_post(w, &waiter.mail);
	stage_run(the_stage);
	if (!waiter.is_done)
		finding("a command waits for ever");
	return true;
}

int daemon_reload(struct daemon *d, struct err_text *et)
{
	(void)d;
	err_text_set(et, "there is no configuration");
	return -ERR_NOT_FOUND;
}

void __wrap_store_backup(struct store *s, struct worker *w, const char *path, store_write_cb *cb, void *arg);

/* No path of a fuzzer is written to. */
void __wrap_store_backup(struct store *s, struct worker *w, const char *path, store_write_cb *cb, void *arg)
{
	(void)s, (void)w, (void)path;
	cb(arg, -ERR_IO);
}

/* ---- requests ---- */

/* In a word stand for: %u a user whom nobody else plays, %j an address, %d a domain, %h a host, %t text. */
static const char *const requests[][3] = {
	{ "user", "add", "%u" }, { "user", "password", "%u" }, { "user", "remove", "%u" }, { "user", "list" },
	{ "user", "list", "%h" }, { "user", "show", "%u" }, { "user", "show", "%j" }, { "session", "list" },
	{ "session", "list", "%j" }, { "session", "kick", "%j" }, { "host", "list" }, { "module", "list", "%h" },
	{ "modules" }, { "stats" }, { "stats", "memory" }, { "reload" }, { "backup", "/%t" }, { "backup", "%t" },
	{ "log", "level", "%t" }, { "log", "level", "error" }, { "s2s", "list" }, { "s2s", "list", "%d" },
	{ "s2s", "show", "%d" }, { "s2s", "close", "%d" }, { "s2s", "retry", "%d" }, { "s2s", "flush", "%d" },
	{ "why", "%d" }, { "why", "%d", "%h" }, { "task", "%t" }, { "%t", "%t", "%t" },
};

static void add_word(struct grammar *g, struct buf *out, const char *word)
{
	static const char *const users[] = { "u8@localhost", "u9@localhost", "U9@LocalHost", "u9", "", "u9@localhost/r",
	                                     "u9@elsewhere.test" };
	static const char *const domains[] = { REMOTE, "nobody.test", HOST, "Remote.Test.", "m\xc3\xbcnchen.test", "", "a b",
	                                       "[::1]" };

	if (word[0] == '/')
		buf_add(out, word++, 1);
	if (strcmp(word, "%u") == 0)
		buf_add_str(out, users[choose(g->in, COUNT(users))]);
	else if (strcmp(word, "%d") == 0)
		buf_add_str(out, domains[choose(g->in, COUNT(domains))]);
	else if (strcmp(word, "%h") == 0)
		buf_add_str(out, grammar_one_in(g, 4) ? "elsewhere.test" : HOST);
	else if (strcmp(word, "%j") == 0)
		grammar_add_address(g, out);
	else if (strcmp(word, "%t") == 0)
		grammar_add_text(g, out, true);
	else
		buf_add_str(out, word);
}

static json_t *make_request(struct grammar *g)
{
	const char *const *words = requests[choose(g->in, COUNT(requests))];
	json_t *args = json_array();

	for (size_t i = 0; i < 3 && words[i] != NULL; i++) {
		struct buf word = { 0 };

		add_word(g, &word, words[i]);
		json_array_append_new(args, json_stringn(buf_size(&word) != 0 ? buf_bytes(&word) : "", buf_size(&word)));
		buf_deinit(&word);
	}
	if (grammar_one_in(g, 16))
		json_array_append_new(args, grammar_one_in(g, 2) ? json_string("more") : json_integer(1));
	return json_pack("{s:o, s:s}", "args", args, "input", grammar_one_in(g, 4) ? "" : "secret");
}

/* Bytes of the fuzzer's own; NULL when it might take away from the others what they play with. */
static json_t *read_request(struct choices *in)
{
	size_t len = choose(in, RAW_MAX), left = (size_t)(in->end - in->at);
	json_t *request;
	const char *first;

	len = len < left ? len : left;
	request = json_loadb((const char *)in->at, len, JSON_DISABLE_EOF_CHECK, NULL);
	in->at += len;
	first = json_string_value(json_array_get(json_object_get(request, "args"), 0));
	if (first == NULL || strcmp(first, "user") != 0)
		return request;
	json_decref(request);
	return NULL;
}

/* ---- answers ---- */

static void check_shown(const char *text, size_t len)
{
	if (u8_check((const uint8_t *)text, len) != NULL)
		finding("comityctl shows what is no text");
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)text[i] < 0x20 && text[i] != '\n' && text[i] != '\t') || text[i] == 0x7f ||
		    (text[i] == '\xc2' && (unsigned char)text[i + 1] < 0xa0))
			finding("comityctl shows a control character");
}

static void show(void (*print)(const json_t *columns, const json_t *rows, FILE *to), const json_t *columns,
                 const json_t *rows)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	print(columns, rows, to);
	fclose(to);
	check_shown(text, len);
	free(text);
}

static void check_table(const json_t *columns, const json_t *rows)
{
	const json_t *row;
	size_t i;

	if (!json_is_array(columns) || !json_is_array(rows))
		finding("an answer has half a table");
	json_array_foreach((json_t *)rows, i, row)
		if (json_array_size(row) != json_array_size(columns))
			finding("a row has %zu cells, not %zu", json_array_size(row), json_array_size(columns));
	show(table_print, columns, rows);
	show(table_print_json, columns, rows);
}

static void check_answer(const json_t *answer)
{
	const json_t *ok = json_object_get(answer, "ok");
	const char *text = json_string_value(json_object_get(answer, json_is_true(ok) ? "text" : "error"));
	char *line = json_dumps(answer, JSON_COMPACT);

	if (line == NULL || !json_is_boolean(ok))
		finding("an answer is none");
	if (the_stage->is_traced)
		fprintf(stderr, "answer %s\n", line);
	free(line);
	if (text != NULL)
		check_shown(text, strlen(text));
	else if (!json_is_true(ok))
		finding("a refusal has no reason");
	else if (json_object_get(answer, "task") == NULL)
		check_table(json_object_get(answer, "columns"), json_object_get(answer, "rows"));
}

static json_t *run(json_t *request)
{
	json_t *answer;

	if (the_stage->is_traced) {
		char *line = json_dumps(request, JSON_COMPACT);

		fprintf(stderr, "request %s\n", line != NULL ? line : "none");
		free(line);
	}
	answer = command_run(&the_daemon, request);
	check_answer(answer);
	json_decref(request);
	return answer;
}

/* As comityctl does: it comes back until there is an end. */
static void follow(json_t *answer)
{
	for (unsigned i = 0; json_object_get(answer, "task") != NULL; i++) {
		json_t *request = json_pack("{s:[s, O]}", "args", "task", json_object_get(answer, "task"));

		if (i > TASK_SECONDS)
			finding("a command has no end");
		json_decref(answer);
		stage_pass(the_stage, 1000);
		answer = run(request);
	}
	json_decref(answer);
}

/* Each session of the clients is a row. */
static void check_sessions(void)
{
	json_t *answer = run(json_pack("{s:[s, s]}", "args", "session", "list"));
	size_t count = 0;

	for (unsigned i = 0; i < the_stage->life.workers; i++)
		count += router_of(the_stage->life.sim->workers[i])->session_count;
	if (json_array_size(json_object_get(answer, "rows")) < count)
		finding("of %zu sessions only %zu are listed", count, json_array_size(json_object_get(answer, "rows")));
	json_decref(answer);
}

void control_act(struct stage *s)
{
	struct grammar g = { .in = &s->in, .ns = "jabber:client", .own_bare = "u8@" HOST, .own_full = "u8@" HOST "/r",
	                     .host = HOST, .remote = REMOTE };
	json_t *request;

	take_daemon(s);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (s->clients[i].is_bound)
			g.others[i] = s->clients[i].full;
	request = grammar_one_in(&g, 8) ? read_request(&s->in) : make_request(&g);
	follow(run(request));
	stage_run(s);
	if (grammar_one_in(&g, 8))
		check_sessions();
}

void control_end(void)
{
	if (the_stage != NULL)
		tasks_drop(&the_daemon);
}
