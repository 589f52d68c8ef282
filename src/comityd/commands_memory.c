/* SPDX-License-Identifier: MIT */
/* Memory: what it is used for, as comityctl stats and comityctl stats memory show it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "comityd/commands.h"
#include "net/conn.h"
#include "router/account.h"

/* How many of the largest are shown. */
#define TOP 5

struct large {
	char *name;
	size_t bytes;
};

struct top {
	struct large items[TOP];     /* the largest first */
};

struct holders {
	struct top conns, sessions, accounts;
	size_t conn_count;
};

static int64_t sum_of(const struct command *c, enum tally_kind kind)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < c->d->server.worker_count; i++)
		sum += tally_get(&c->d->server.workers[i]->tally, kind);
	/* What moves from worker to worker while this is read may be missing from both. */
	return sum > 0 ? sum : 0;
}

static uint64_t waiting_for_store(const struct command *c, uint64_t *calls)
{
	struct store_stats stats;

	store_get_stats(c->d->server.store, &stats);
	*calls = stats.waiting;
	for (unsigned i = 0; i < c->d->server.worker_count; i++)
		stats.waiting_bytes += atomic_load(&c->d->server.workers[i]->answer_bytes);
	return stats.waiting_bytes;
}

void command_add_memory(struct command *c)
{
	const struct pressure *p = &c->d->server.pressure;
	uint64_t calls;

	command_add_figure(c, "memory_used", atomic_load(&p->used), "bytes of memory that the process uses now");
	command_add_figure(c, "memory_limit", atomic_load(&p->limit), "bytes that it may use");
	command_add_figure(c, "memory_level", (uint64_t)atomic_load(&p->level),
	                   "1 while logins are refused for want of it, 2 presence is held back too, 3 messages are refused");
	for (int kind = 0; kind < TALLY_COUNT; kind++) {
		char *name = mem_printf("memory_%s", tally_name(kind));

		command_add_figure(c, name, (uint64_t)sum_of(c, kind), tally_help(kind));
		free(name);
	}
	command_add_figure(c, "memory_store", waiting_for_store(c, &calls), "calls of the store under way, and their answers");
}

/* ---- the largest ---- */

static void consider(struct top *top, const char *name, size_t bytes)
{
	size_t place = TOP;

	while (place > 0 && top->items[place - 1].bytes < bytes)
		place--;
	if (place == TOP)
		return;
	free(top->items[TOP - 1].name);
	memmove(&top->items[place + 1], &top->items[place], (TOP - 1 - place) * sizeof(top->items[0]));
	top->items[place] = (struct large){ mem_strdup(name), bytes };
}

static void run_holders(struct worker *w, void *arg)
{
	struct holders *h = arg;
	size_t pos = 0;

	LIST_EACH(l, next, &w->conns) {
		const struct conn *conn = LIST_ENTRY(l, struct conn, all);

		consider(&h->conns, conn->address, conn_size(conn));
		h->conn_count++;
	}
	for (struct comity_account *a; (a = map_next(&router_of(w)->accounts, &pos)) != NULL;) {
		consider(&h->accounts, comity_jid_text(a->jid), account_size(a));
		for (struct comity_session *s = comity_account_first_session(a); s != NULL; s = comity_session_next(s))
			consider(&h->sessions, comity_jid_text(s->jid), session_size(s));
	}
}

static void add_row(struct command *c, const char *what, uint64_t bytes, uint64_t number)
{
	json_array_append_new(c->rows, number != 0 ?
	                      json_pack("[s, n, I, I, I]", what, (json_int_t)bytes, (json_int_t)number,
	                                (json_int_t)(bytes / number)) :
	                      json_pack("[s, n, I, n, n]", what, (json_int_t)bytes));
}

static void add_top(struct command *c, const char *what, struct top *top)
{
	for (size_t i = 0; i < TOP && top->items[i].name != NULL; i++) {
		json_array_append_new(c->rows, json_pack("[s, s, I, n, n]", what, top->items[i].name,
		                                         (json_int_t)top->items[i].bytes));
		free(top->items[i].name);
	}
}

static uint64_t count_of(const struct command *c, enum tally_kind kind, const struct holders *h)
{
	uint64_t n = 0;

	if (kind == TALLY_CONNECTIONS || kind == TALLY_INPUT)
		return h->conn_count;
	for (unsigned i = 0; i < c->d->server.worker_count; i++) {
		const struct router *r = router_of(c->d->server.workers[i]);

		n += kind == TALLY_SESSIONS ? atomic_load(&r->session_count) :
		     kind == TALLY_ACCOUNTS ? atomic_load(&r->account_count) : 0;
	}
	return n;
}

json_t *command_memory(struct command *c)
{
	const struct pressure *p = &c->d->server.pressure;
	struct holders h = { .conn_count = 0 };
	uint64_t used = atomic_load(&p->used), sum = 0, calls, bytes;

	for (unsigned i = 0; i < c->d->server.worker_count; i++)
		crew_call(c->d, c->d->server.workers[i], run_holders, &h);
	for (int kind = 0; kind < TALLY_COUNT; kind++) {
		bytes = (uint64_t)sum_of(c, kind);
		sum += bytes;
		add_row(c, tally_name(kind), bytes, count_of(c, kind, &h));
	}
	bytes = waiting_for_store(c, &calls);
	sum += bytes;
	add_row(c, "store", bytes, calls);
	/* Libraries, caches, what malloc keeps; and what is shared counts more than once in the rows before. */
	add_row(c, "rest", used > sum ? used - sum : 0, 0);
	add_row(c, "all", used, 0);
	add_row(c, "limit", atomic_load(&p->limit), 0);
	add_top(c, "connection", &h.conns);
	add_top(c, "session", &h.sessions);
	add_top(c, "account", &h.accounts);
	return command_table(c, "what name bytes number average");
}
