/* SPDX-License-Identifier: MIT */
/* What comityctl can ask for. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "comityd/commands.h"
#include "comityd/task.h"
#include "router/account.h"
#include "router/credentials.h"
#include "router/host.h"
#include "router/session_restore.h"

/* Owners are read so many at a time. */
#define OWNERS_MAX 100000

static struct worker *first_worker(const struct command *c)
{
	return c->d->server.workers[0];
}

/* ---- users ---- */

/* A bare address of a host that is served; NULL with the answer to give. */
static struct comity_jid *parse_user(struct command *c, const char *text, json_t **error)
{
	struct comity_jid *jid = comity_jid_parse(text);

	if (jid == NULL || !comity_jid_has_local(jid) || !comity_jid_is_bare(jid)) {
		*error = command_fail("\"%s\" is not an address such as juliet@example.org", text);
	} else {
		for (size_t i = 0; i < c->d->settings->host_count; i++)
			if (strcmp(c->d->settings->hosts[i].stream->name, comity_jid_domain(jid)) == 0)
				return jid;
		*error = command_fail("the host \"%s\" is not served here", comity_jid_domain(jid));
	}
	comity_jid_unref(jid);
	return NULL;
}

enum change { CHANGE_ADD, CHANGE_PASSWORD, CHANGE_REMOVE };

/* Lives until its answer came, which may be after the command gave up. */
struct user_change {
	struct waiter *waiter;
	enum change change;
	struct comity_jid *jid;
	char *password;
	_Atomic int status;
	_Atomic int refs;
};

static void user_change_unref(struct user_change *u)
{
	if (atomic_fetch_sub(&u->refs, 1) != 1)
		return;
	comity_jid_unref(u->jid);
	scram_password_free(u->password);
	free(u);
}

static void on_user_changed(void *arg, int status)
{
	struct user_change *u = arg;

	struct waiter *waiter = u->waiter;

	atomic_store(&u->status, status);
	user_change_unref(u);
	waiter_done(waiter);
}

static void start_user_change(struct worker *w, struct waiter *waiter)
{
	struct user_change *u = waiter_arg(waiter);

	u->waiter = waiter;
	if (u->change == CHANGE_ADD)
		account_create(router_of(w), u->jid, u->password, on_user_changed, u);
	else if (u->change == CHANGE_PASSWORD)
		account_set_password(router_of(w), u->jid, u->password, on_user_changed, u);
	else
		account_delete(router_of(w), u->jid, on_user_changed, u);
}

static json_t *explain_change(const struct user_change *u, int status, const char *done)
{
	const char *jid = comity_jid_text(u->jid);

	switch (status) {
	case 0:
		return command_say("%s %s", done, jid);
	case -ERR_EXISTS:
		return command_fail("the user %s exists already", jid);
	case -ERR_NOT_FOUND:
		return command_fail("there is no user %s", jid);
	case -ERR_INVALID:
		return command_fail("this password cannot be used: it is empty or has characters that RFC 8265 does not allow");
	case -ERR_NO_SPACE:
		return command_fail("the disk is full");
	default:
		return command_fail("the store failed: %s", err_name(status));
	}
}

static json_t *change_user(struct command *c, enum change change, const char *done)
{
	json_t *error = NULL;
	struct comity_jid *jid = parse_user(c, c->args[0], &error);
	struct user_change *u;

	if (jid == NULL)
		return error;
	if (change != CHANGE_REMOVE && c->input == NULL) {
		comity_jid_unref(jid);
		return command_fail("the password is missing");
	}
	u = mem_new(sizeof(*u));
	u->change = change;
	u->jid = jid;
	u->password = c->input != NULL ? mem_strdup(c->input) : NULL;
	atomic_init(&u->refs, 2);
	if (crew_await(c->d, first_worker(c), start_user_change, u, COMMAND_WAIT_S))
		error = explain_change(u, atomic_load(&u->status), done);
	else
		error = command_fail("the store did not answer within %d seconds", COMMAND_WAIT_S);
	user_change_unref(u);
	return error;
}

static json_t *user_add(struct command *c)
{
	return change_user(c, CHANGE_ADD, "added");
}

static json_t *user_password(struct command *c)
{
	return change_user(c, CHANGE_PASSWORD, "changed the password of");
}

static json_t *user_remove(struct command *c)
{
	return change_user(c, CHANGE_REMOVE, "removed");
}

/* A read of the store whose rows become rows of the answer. */
struct store_read {
	struct waiter *waiter;
	struct store *store;
	bool is_owners;
	char *text;             /* suffix of owners, or the owner */
	char *after;            /* owners behind this one */
	json_t *rows;
	_Atomic int status, refs;
};

static void store_read_unref(struct store_read *r)
{
	if (atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	json_decref(r->rows);
	free(r->text);
	free(r->after);
	free(r);
}

static void on_store_read(void *arg, const struct store_result *result)
{
	struct store_read *r = arg;
	struct waiter *waiter = r->waiter;

	for (size_t i = 0; i < result->count; i++)
		json_array_append_new(r->rows, json_pack("[s, s%]", result->rows[i].key, (const char *)result->rows[i].value,
		                                         result->rows[i].len));
	atomic_store(&r->status, result->status);
	/* The rows are the waiter's alone once it is told. */
	store_read_unref(r);
	waiter_done(waiter);
}

static void start_store_read(struct worker *w, struct waiter *waiter)
{
	static const char *const maps[] = { "account", NULL };
	struct store_read *r = waiter_arg(waiter);

	r->waiter = waiter;
	if (r->is_owners)
		store_map_owners(r->store, w, "account", r->text, r->after, OWNERS_MAX, on_store_read, r);
	else
		store_map_load(r->store, w, r->text, maps, on_store_read, r);
}

/* The rows read, or NULL; the caller decrefs. */
static json_t *read_store(struct command *c, bool is_owners, const char *text, const char *after)
{
	struct store_read *r = mem_new(sizeof(*r));
	json_t *rows = NULL;

	r->store = c->d->server.store;
	r->is_owners = is_owners;
	r->text = mem_strdup(text);
	r->after = mem_strdup(after);
	r->rows = json_array();
	atomic_init(&r->refs, 2);
	if (crew_await(c->d, first_worker(c), start_store_read, r, COMMAND_WAIT_S) && atomic_load(&r->status) == 0)
		rows = json_incref(r->rows);
	store_read_unref(r);
	return rows;
}

/* Those behind an owner, which becomes the last of them. Returns how many were read; -1: the store could not be. */
static int list_users(struct command *c, const char *suffix, char **after)
{
	json_t *found = read_store(c, true, suffix, *after), *row;
	int count = found != NULL ? (int)json_array_size(found) : -1;
	size_t at;

	json_array_foreach(found, at, row)
		json_array_append_new(c->rows, json_pack("[O]", json_array_get(row, 0)));
	if (count > 0) {
		free(*after);
		*after = mem_strdup(json_string_value(json_array_get(json_array_get(found, (size_t)count - 1), 0)));
	}
	json_decref(found);
	return count;
}

static bool list_users_of(struct command *c, const char *host)
{
	char *suffix = mem_printf("@%s", host), *after = mem_strdup("");
	int count;

	do {
		count = list_users(c, suffix, &after);
	} while (count == OWNERS_MAX);
	free(suffix);
	free(after);
	return count >= 0;
}

static json_t *user_list(struct command *c)
{
	for (size_t i = 0; i < c->d->settings->host_count; i++) {
		const char *host = c->d->settings->hosts[i].stream->name;

		if ((c->count == 0 || strcmp(c->args[0], host) == 0) && !list_users_of(c, host))
			return command_fail("the store could not be read");
	}
	return command_table(c, "jid");
}

/* ---- sessions ---- */

struct session_list {
	json_t *rows;
	const struct comity_jid *only;   /* bare; NULL: all */
	size_t bytes;                    /* of these accounts and their sessions */
};

static void list_account(struct session_list *list, struct comity_account *a)
{
	for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s)) {
		const struct conn *conn = s->stream != NULL ? s->stream->conn : NULL;
		json_t *row;

		json_array_append_new(list->rows, json_pack("[s, s, s, s]", comity_jid_text(s->jid), comity_session_address(s),
		                                            s->stream == NULL ? "cut off" : s->presence != NULL ? "available" : "connected",
		                                            conn != NULL && conn->is_secured ? tls_session_version(conn->tls) :
		                                                                               "none"));
		row = json_array_get(list->rows, json_array_size(list->rows) - 1);
		json_array_append_new(row, s->presence != NULL ? json_integer(s->priority) : json_null());
		json_array_append_new(row, json_integer((json_int_t)session_size(s)));
	}
	list->bytes += account_size(a);
}

/* One that has not been resumed since the restart. */
static void list_asleep(void *arg, const struct image *i)
{
	struct session_list *list = arg;
	char *full;

	if (list->only != NULL && strcmp(i->account, comity_jid_text(list->only)) != 0)
		return;
	full = mem_printf("%s/%s", i->account, i->resource);
	json_array_append_new(list->rows, json_pack("[s, s, s, s, n, n]", full, "", "cut off", "none"));
	free(full);
}

static void run_session_list(struct worker *w, void *arg)
{
	struct session_list *list = arg;
	size_t pos = 0;

	for (struct comity_account *a; (a = map_next(&router_of(w)->accounts, &pos)) != NULL;)
		if (list->only == NULL || comity_jid_equal(a->jid, list->only))
			list_account(list, a);
	dormant_each(router_of(w), list_asleep, list);
}

static json_t *session_list(struct command *c)
{
	struct session_list list = { .rows = c->rows };
	struct comity_jid *jid = NULL;
	json_t *error = NULL;

	if (c->count != 0) {
		jid = parse_user(c, c->args[0], &error);
		if (jid == NULL)
			return error;
		list.only = jid;
	}
	for (unsigned i = 0; i < c->d->server.worker_count; i++)
		crew_call(c->d, c->d->server.workers[i], run_session_list, &list);
	comity_jid_unref(jid);
	return command_table(c, "jid address state tls priority bytes");
}

static json_t *user_show(struct command *c)
{
	json_t *error = NULL, *found, *row;
	struct comity_jid *jid = parse_user(c, c->args[0], &error);
	struct session_list list = { .rows = json_array(), .only = jid };
	char created[32] = "unknown", mechanisms[64] = "";
	size_t at;

	if (jid == NULL) {
		json_decref(list.rows);
		return error;
	}
	found = read_store(c, false, comity_jid_text(jid), "");
	json_array_foreach(found, at, row) {
		const char *key = json_string_value(json_array_get(row, 0)), *value = json_string_value(json_array_get(row, 1));

		if (strcmp(key, "created") == 0)
			comity_format_time(strtoll(value, NULL, 10) * 1000000, created);
		else if (strncmp(key, "SCRAM-", 6) == 0 && strlen(mechanisms) + strlen(key) + 2 < sizeof(mechanisms))
			strcat(strcat(mechanisms, *mechanisms != '\0' ? " " : ""), key);
	}
	if (found == NULL || json_array_size(found) == 0) {
		error = found == NULL ? command_fail("the store could not be read") : command_fail("there is no user %s", comity_jid_text(jid));
	} else {
		crew_call(c->d, home_of(&c->d->server, jid), run_session_list, &list);
		json_array_append_new(c->rows, json_pack("[s, s, s, i, I]", comity_jid_text(jid), created, mechanisms,
		                                         (int)json_array_size(list.rows), (json_int_t)list.bytes));
		error = command_table(c, "jid created keys sessions bytes");
	}
	json_decref(found);
	json_decref(list.rows);
	comity_jid_unref(jid);
	return error;
}

struct kick {
	const struct comity_jid *full;
	bool found;
};

static void run_kick(struct worker *w, void *arg)
{
	struct kick *k = arg;
	struct comity_account *a = account_find(router_of(w), comity_jid_bare(k->full));
	struct comity_session *s = a != NULL ? comity_account_find_session(a, comity_jid_resource(k->full)) : NULL;

	k->found = s != NULL || dormant_end(router_of(w), k->full);
	if (s == NULL)
		return;
	if (s->stream == NULL)
		session_end(s);
	else
		c2s_fail(s->stream, STREAM_POLICY_VIOLATION, "closed by the administrator");
}

static json_t *session_kick(struct command *c)
{
	struct comity_jid *jid = comity_jid_parse(c->args[0]);
	struct kick k = { .full = jid };
	json_t *answer;

	if (jid == NULL || comity_jid_is_bare(jid)) {
		comity_jid_unref(jid);
		return command_fail("\"%s\" is not a full address such as juliet@example.org/phone", c->args[0]);
	}
	crew_call(c->d, home_of(&c->d->server, jid), run_kick, &k);
	answer = k.found ? command_say("closed %s", comity_jid_text(jid)) : command_fail("there is no session %s", comity_jid_text(jid));
	comity_jid_unref(jid);
	return answer;
}

/* ---- hosts, modules, figures ---- */

static json_t *host_list(struct command *c)
{
	int64_t now = c->d->env.wall_us(&c->d->env);

	for (size_t i = 0; i < c->d->settings->host_count; i++) {
		const struct host_settings *h = &c->d->settings->hosts[i];

		json_array_append_new(c->rows, json_pack("[s, i, i]", h->stream->name, (int)h->module_count,
		                                         h->stream->tls != NULL ? tls_context_days_left(h->stream->tls, now) : 0));
	}
	return command_table(c, "host modules certificate_days_left");
}

static json_t *module_list(struct command *c)
{
	for (size_t i = 0; i < c->d->settings->host_count; i++) {
		const struct host_settings *h = &c->d->settings->hosts[i];

		if (c->count != 0 && strcmp(c->args[0], h->stream->name) != 0)
			continue;
		for (size_t m = 0; m < h->module_count; m++)
			json_array_append_new(c->rows, json_pack("[s, s, s]", h->stream->name, h->modules[m].def->name,
			                                         h->modules[m].def->summary));
	}
	return command_table(c, "host module summary");
}

/* ---- the server ---- */

static json_t *reload(struct command *c)
{
	struct err_text et = { "" };

	if (daemon_reload(c->d, &et) != 0)
		return command_fail("the old configuration stays: %s", et.text);
	return command_say("took over %s", c->d->config_path);
}

struct backup {
	struct mail mail;
	struct task *task;
	struct store *store;
	char *path;
};

static void on_backup(void *arg, int status)
{
	struct backup *b = arg;

	task_end(b->task, status == 0,
	         status == 0           ? mem_printf("saved the store to %s", b->path) :
	         status == -ERR_EXISTS ? mem_printf("%s exists already", b->path) :
	                                 mem_printf("cannot write %s: %s", b->path, err_name(status)));
	free(b->path);
	free(b);
}

static void start_backup(struct worker *w, struct mail *mail)
{
	struct backup *b = LIST_ENTRY(mail, struct backup, mail);

	store_backup(b->store, w, b->path, on_backup, b);
}

static json_t *backup(struct command *c)
{
	struct backup *b;
	json_t *answer;

	if (c->args[0][0] != '/')
		return command_fail("the backup needs a full path, because the server has another working folder");
	b = mem_new(sizeof(*b));
	b->mail.run = start_backup;
	b->store = c->d->server.store;
	b->path = mem_strdup(c->args[0]);
	b->task = task_new(c->d);
	answer = task_answer(b->task);
	worker_post(first_worker(c), &b->mail);
	return answer;
}

static json_t *poll_task(struct command *c)
{
	return task_poll(c->d, c->args[0]);
}

static json_t *log_level(struct command *c)
{
	struct log *log = &c->d->logger.log;
	enum log_level level;

	if (c->count == 0)
		return command_say("%s", log_level_name((enum log_level)atomic_load(&log->level)));
	if (log_level_parse(c->args[0], &level) != 0)
		return command_fail("\"%s\" is not a level: debug, info, warning or error", c->args[0]);
	atomic_store(&log->level, (int)level);
	return command_say("logging from level %s on", log_level_name(level));
}

static const struct {
	const char *words[2];     /* the second may be NULL */
	size_t least, most;
	command_fn *run;
} commands[] = {
	{ { "user", "add" }, 1, 1, user_add },
	{ { "user", "remove" }, 1, 1, user_remove },
	{ { "user", "password" }, 1, 1, user_password },
	{ { "user", "list" }, 0, 1, user_list },
	{ { "user", "show" }, 1, 1, user_show },
	{ { "session", "list" }, 0, 1, session_list },
	{ { "session", "kick" }, 1, 1, session_kick },
	{ { "host", "list" }, 0, 0, host_list },
	{ { "module", "list" }, 0, 1, module_list },
	{ { "modules", NULL }, 0, 1, module_list },
	{ { "stats", "memory" }, 0, 0, command_memory },
	{ { "stats", NULL }, 0, 0, command_stats },
	{ { "reload", NULL }, 0, 0, reload },
	{ { "backup", NULL }, 1, 1, backup },
	{ { "log", "level" }, 0, 1, log_level },
	{ { "s2s", "list" }, 0, 1, command_s2s_list },
	{ { "s2s", "show" }, 1, 1, command_s2s_show },
	{ { "s2s", "close" }, 1, 1, command_s2s_close },
	{ { "s2s", "retry" }, 1, 1, command_s2s_retry },
	{ { "s2s", "flush" }, 1, 1, command_s2s_flush },
	{ { "why", NULL }, 1, 2, command_why },
	{ { "task", NULL }, 1, 1, poll_task },
};

json_t *command_run(struct daemon *d, json_t *request)
{
	json_t *args = json_object_get(request, "args"), *answer;
	const char *words[6] = { NULL };
	size_t n = json_array_size(args), skip;

	if (n == 0 || n > 5)
		return command_fail("this is not a request");
	for (size_t i = 0; i < n; i++)
		if ((words[i] = json_string_value(json_array_get(args, i))) == NULL)
			return command_fail("this is not a request");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct command c = { .d = d, .input = json_string_value(json_object_get(request, "input")) };

		skip = commands[i].words[1] != NULL ? 2 : 1;
		if (strcmp(words[0], commands[i].words[0]) != 0 ||
		    (skip == 2 && (words[1] == NULL || strcmp(words[1], commands[i].words[1]) != 0)))
			continue;
		if (n - skip < commands[i].least || n - skip > commands[i].most)
			return command_fail("wrong number of arguments");
		c.count = n - skip;
		memcpy(c.args, words + skip, c.count * sizeof(char *));
		c.rows = json_array();
		answer = commands[i].run(&c);
		json_decref(c.rows);
		return answer;
	}
	return command_fail("this server does not know the command \"%s\"", words[0]);
}
