/* SPDX-License-Identifier: MIT */
/* Figures: comityctl stats. */
#include <stdatomic.h>

#include "base/metrics.h"
#include "comityd/commands.h"
#include "router/session_restore.h"

void command_add_figure(struct command *c, const char *name, uint64_t value, const char *help)
{
	json_array_append_new(c->rows, json_pack("[s, I, s]", name, (json_int_t)value, help));
}

struct journal_figures {
	uint64_t asleep;
	struct journal_stats sum;
};

static void count_asleep(void *arg, const struct image *i)
{
	(void)i;
	++*(uint64_t *)arg;
}

static void run_journal_figures(struct worker *w, void *arg)
{
	struct journal_figures *f = arg;
	struct journal_stats stats;

	dormant_each(router_of(w), count_asleep, &f->asleep);
	journal_get_stats(router_of(w)->journal, &stats);
	f->sum.bytes += stats.bytes;
	f->sum.syncs += stats.syncs;
	f->sum.file_bytes += stats.file_bytes;
	f->sum.is_failing = f->sum.is_failing || stats.is_failing;
}

static void add_journal_figures(struct command *c)
{
	struct journal_figures f = { 0 };

	for (unsigned i = 0; i < c->d->server.worker_count; i++)
		crew_call(c->d, c->d->server.workers[i], run_journal_figures, &f);
	command_add_figure(c, "sessions_asleep", f.asleep, "sessions of before the restart that nobody has asked for");
	command_add_figure(c, "journal_bytes", f.sum.bytes, "bytes written to the journal of sessions");
	command_add_figure(c, "journal_syncs", f.sum.syncs, "times that it was made durable");
	command_add_figure(c, "journal_file_bytes", f.sum.file_bytes, "size of its files now");
	command_add_figure(c, "journal_failing", f.sum.is_failing, "1 while it cannot be written");
}

json_t *command_stats(struct command *c)
{
	struct server *s = &c->d->server;
	uint64_t sessions = 0, accounts = 0, letters = 0;
	struct store_stats store;

	for (unsigned i = 0; i < s->worker_count; i++) {
		sessions += atomic_load(&router_of(s->workers[i])->session_count);
		accounts += atomic_load(&router_of(s->workers[i])->account_count);
		letters += atomic_load(&s->workers[i]->mailbox.depth);
	}
	command_add_figure(c, "uptime_seconds", (uint64_t)(c->d->env.wall_us(&c->d->env) - s->started_us) / 1000000,
	                   "seconds since the start");
	command_add_figure(c, "workers", s->worker_count, "worker threads");
	command_add_figure(c, "sessions", sessions, "resources bound now");
	command_add_figure(c, "accounts_in_memory", accounts, "accounts held in memory now");
	command_add_figure(c, "mailbox_letters", letters, "letters between workers waiting now");
	for (int m = 0; m < METRIC_COUNT; m++) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < s->worker_count; i++)
			sum += metrics_get(&s->workers[i]->metrics, m);
		command_add_figure(c, metric_name(m), sum, metric_help(m));
	}
	store_get_stats(s->store, &store);
	command_add_figure(c, "store_commits", store.commits, "transactions committed");
	command_add_figure(c, "store_writes", store.writes, "writes asked for");
	command_add_figure(c, "store_reads", store.reads, "reads asked for");
	command_add_figure(c, "store_failures", store.failures, "calls of the store that failed");
	command_add_figure(c, "store_waiting", store.waiting, "calls of the store under way now");
	command_add_memory(c);
	add_journal_figures(c);
	return command_table(c, "name value meaning");
}
