/* SPDX-License-Identifier: MIT */
/* Accounts on disk: their keys, creation, removal. */
#include "router/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "router/account.h"
#include "router/host.h"

#define STORE "account"
#define KEY_CREATED "created"

/* ---- reading, for a login ---- */

struct fetch {
	struct c2s *c;
	char *user;
};

static void take_row(struct sasl_secrets *secrets, const struct store_row *row)
{
	for (int i = 0; i < SCRAM_HASH_COUNT; i++) {
		if (strcmp(row->key, scram_mechanism(i)) != 0 || row->len >= SCRAM_SECRET_MAX)
			continue;
		memcpy(secrets->scram[i], row->value, row->len);
		secrets->scram[i][row->len] = '\0';
		secrets->exists = true;
	}
}

static void on_fetched(void *arg, const struct store_result *result)
{
	struct sasl_secrets secrets = { .exists = false };
	struct fetch *f = arg;
	struct c2s *c = f->c;

	/* Fakes first: a user who lacks a hash looks like one who has it and another password. */
	for (int i = 0; c->host != NULL && i < SCRAM_HASH_COUNT; i++)
		scram_make_fake(i, c->host->fake_key, sizeof(c->host->fake_key), f->user, c->host->scram_iterations,
		                secrets.scram[i]);
	for (size_t i = 0; i < result->count; i++)
		take_row(&secrets, &result->rows[i]);
	if (c2s_is_open(c))
		c2s_got_secrets(c, &secrets, result->status != 0);
	mem_wipe(&secrets, sizeof(secrets));
	c2s_unref(c);
	free(f->user);
	free(f);
}

void credentials_fetch(struct c2s *c, const char *user)
{
	static const char *const maps[] = { STORE, NULL };
	struct router *r = router_of(c->conn->worker);
	struct fetch *f = mem_new(sizeof(*f));
	char *owner = mem_printf("%s@%s", user, c->host->name);

	f->c = c2s_ref(c);
	f->user = mem_strdup(user);
	store_map_load_first(r->server->store, r->worker, owner, maps, on_fetched, f);
	free(owner);
}

/* On its home, with a reference; NULL: its domain is not served any more. */
static struct comity_account *hold_account(struct worker *w, struct comity_jid *jid)
{
	struct host *h = router_find_host(router_of(w), comity_jid_domain(jid));

	return h != NULL ? account_get(router_of(w), h, jid) : NULL;
}

/* ---- creating and changing ---- */

struct change {
	struct job job;                /* must be first; its mail goes there and back afterwards */
	struct router *router;         /* of the asker */
	struct comity_jid *jid;
	struct comity_account *account; /* of a change of what is there, on its home */
	char *password;                /* prepared */
	bool is_creation;
	unsigned iterations;
	unsigned char salts[SCRAM_HASH_COUNT][SCRAM_SALT_SIZE];
	char secrets[SCRAM_HASH_COUNT][SCRAM_SECRET_MAX];
	int status;
	account_cb *cb;
	void *arg;
};

static void finish(struct change *c, int status)
{
	c->cb(c->arg, status);
	scram_password_free(c->password);
	mem_wipe(c->secrets, sizeof(c->secrets));
	comity_jid_unref(c->jid);
	free(c);
}

/* On the account's home: what was remembered of its absence is wrong now. */
struct forget_mail {
	struct mail mail;
	struct comity_jid *jid;
};

static void run_forget(struct worker *w, struct mail *mail)
{
	struct forget_mail *f = (struct forget_mail *)(void *)mail;

	account_forget_absent(router_of(w), f->jid);
	comity_jid_unref(f->jid);
	free(f);
}

static void forget_absence(struct router *r, struct comity_jid *jid)
{
	struct forget_mail *f = mem_new(sizeof(*f));

	f->mail.run = run_forget;
	f->jid = comity_jid_ref(jid);
	worker_post(home_of(r->server, jid), &f->mail);
}

static void on_written(void *arg, int status)
{
	struct change *c = arg;

	if (status == 0)
		forget_absence(c->router, c->jid);
	finish(c, status);
}

static size_t make_rows(const struct change *c, struct store_row *rows)
{
	for (int i = 0; i < SCRAM_HASH_COUNT; i++)
		rows[i] = (struct store_row){ STORE, scram_mechanism(i), c->secrets[i], strlen(c->secrets[i]) };
	return SCRAM_HASH_COUNT;
}

static void create(struct change *c)
{
	struct store_row rows[SCRAM_HASH_COUNT + 1];
	struct router *r = c->router;
	size_t count = make_rows(c, rows);
	char now[24];

	snprintf(now, sizeof(now), "%lld", (long long)(r->server->env->wall_us(r->server->env) / 1000000));
	rows[count++] = (struct store_row){ STORE, KEY_CREATED, now, strlen(now) };
	store_map_create(r->server->store, r->worker, comity_jid_text(c->jid), rows, count, on_written, c);
}

static void work_hash(struct job *job)
{
	struct change *c = (struct change *)(void *)job;

	for (int i = 0; i < SCRAM_HASH_COUNT; i++)
		scram_make_secret(i, c->password, c->salts[i], c->iterations, c->secrets[i]);
}

static void run_changed(struct worker *w, struct mail *mail)
{
	struct change *c = LIST_ENTRY(mail, struct change, job.mail);

	(void)w;
	finish(c, c->status);
}

/* On the account's home. */
static void answer_change(struct change *c, int status)
{
	comity_account_unref(c->account);
	c->status = status;
	c->job.mail.run = run_changed;
	worker_post(c->router->worker, &c->job.mail);
}

static void on_changed(void *arg, int status)
{
	answer_change(arg, status);
}

/* Behind a removal nothing may be written: the name would be there again, or belong to somebody else. */
static void on_checked(void *arg, const struct store_result *result)
{
	struct store_row rows[SCRAM_HASH_COUNT];
	struct change *c = arg;
	struct router *r = c->account->router;

	if (result->status != 0)
		answer_change(c, result->status);
	else if (result->count == 0 || comity_account_is_removed(c->account))
		answer_change(c, -ERR_NOT_FOUND);
	else
		store_map_put(r->server->store, r->worker, comity_jid_text(c->jid), rows, make_rows(c, rows), on_changed, c);
}

static void run_change(struct worker *w, struct mail *mail)
{
	static const char *const maps[] = { STORE, NULL };
	struct change *c = LIST_ENTRY(mail, struct change, job.mail);

	c->account = hold_account(w, c->jid);
	if (c->account == NULL) {
		answer_change(c, -ERR_NOT_FOUND);
		return;
	}
	store_map_load_first(router_of(w)->server->store, w, comity_jid_text(c->jid), maps, on_checked, c);
}

static void done_hash(struct worker *w, struct job *job)
{
	struct change *c = (struct change *)(void *)job;

	(void)w;
	if (c->status != 0) {
		finish(c, c->status);
	} else if (c->is_creation) {
		create(c);
	} else {
		c->job.mail.run = run_change;
		worker_post(home_of(c->router->server, c->jid), &c->job.mail);
	}
}

static void work_nothing(struct job *job)
{
	(void)job;
}

static void change(struct router *r, const struct comity_jid *jid, const char *password, bool creation, account_cb *cb,
                   void *arg)
{
	struct host *h = router_find_host(r, comity_jid_domain(jid));
	struct change *c = mem_new(sizeof(*c));

	c->router = r;
	c->jid = comity_jid_ref(comity_jid_bare(jid));
	c->password = scram_password_prepare(password);
	c->is_creation = creation;
	c->cb = cb;
	c->arg = arg;
	c->job.work = work_hash;
	c->job.done = done_hash;
	c->job.can_wait = true; /* logins go first */
	if (h == NULL)
		c->status = -ERR_NOT_FOUND;
	else if (c->password == NULL)
		c->status = -ERR_INVALID;
	else
		c->iterations = h->settings->stream->scram_iterations;
	if (c->status != 0)
		c->job.work = work_nothing; /* the answer comes by mail all the same */
	for (int i = 0; i < SCRAM_HASH_COUNT; i++)
		r->server->env->random(r->server->env, c->salts[i], SCRAM_SALT_SIZE);
	jobs_run(r->server->jobs, r->worker, &c->job);
}

void account_create(struct router *r, const struct comity_jid *jid, const char *password, account_cb *cb, void *arg)
{
	change(r, jid, password, true, cb, arg);
}

void account_set_password(struct router *r, const struct comity_jid *jid, const char *password, account_cb *cb,
                          void *arg)
{
	change(r, jid, password, false, cb, arg);
}

/* ---- removing ---- */

struct removal {
	struct mail mail;
	struct worker *asker;
	struct comity_jid *jid;
	struct comity_account *account;
	int status;
	account_cb *cb;
	void *arg;
};

static void run_answer(struct worker *w, struct mail *mail)
{
	struct removal *d = (struct removal *)(void *)mail;

	(void)w;
	d->cb(d->arg, d->status);
	comity_jid_unref(d->jid);
	free(d);
}

static void answer_removal(struct removal *d, int status)
{
	d->status = status;
	d->mail.run = run_answer;
	worker_post(d->asker, &d->mail);
}

static void on_deleted(void *arg, int status)
{
	answer_removal(arg, status);
}

static void check_account(struct removal *d);

static void on_found(void *arg, const struct store_result *result)
{
	struct removal *d = arg;
	struct router *r = d->account->router;

	if (result->status != 0 || result->count == 0) {
		comity_account_unref(d->account);
		answer_removal(d, result->status != 0 ? result->status : -ERR_NOT_FOUND);
		return;
	}
	if (d->account->state == ACCOUNT_LOADING) {
		/* Its own read was overtaken by this one: modules have to see the account first. */
		check_account(d);
		return;
	}
	account_remove(d->account);
	comity_account_unref(d->account);
	store_remove_owner(r->server->store, r->worker, comity_jid_text(d->jid), on_deleted, d);
}

static void check_account(struct removal *d)
{
	static const char *const maps[] = { STORE, NULL };
	struct router *r = d->account->router;

	store_map_load_first(r->server->store, r->worker, comity_jid_text(d->jid), maps, on_found, d);
}

static void run_removal(struct worker *w, struct mail *mail)
{
	struct removal *d = (struct removal *)(void *)mail;

	d->account = hold_account(w, d->jid);
	if (d->account == NULL)
		answer_removal(d, -ERR_NOT_FOUND);
	else
		check_account(d);
}

void account_delete(struct router *r, const struct comity_jid *jid, account_cb *cb, void *arg)
{
	struct removal *d = mem_new(sizeof(*d));

	d->asker = r->worker;
	d->jid = comity_jid_ref(comity_jid_bare(jid));
	d->cb = cb;
	d->arg = arg;
	d->mail.run = run_removal;
	worker_post(home_of(r->server, jid), &d->mail);
}
