/* SPDX-License-Identifier: MIT */
/* A whole server and all who talk to it, played from the bytes of a fuzzer. */
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "disk.h"
#include "net/peers.h"
#include "router/account.h"
#include "router/fed.h"
#include "router/router.h"
#include "store/journal.h"
#include "xmpp/ns.h"

#define RESUME_MS 300000
#define QUEUE_AGE_MS 1000
#define ROUNDS_MAX 20000
#define ACTS_MAX 200
#define STEADY_MS 5000
/* Of a stanza, and of what waits for a reader: little, so that inputs reach it. */
#define STANZA_MAX 16384
#define UNREAD_MAX 40000
/* A journal that is replaced again and again, and one that is not. */
#define JOURNAL_SMALL 2000
#define JOURNAL_LARGE (1 << 20)
/* What may be written to it: so much for each byte that is said, and so much beside. */
#define JOURNAL_FOR_EACH 2
#define JOURNAL_FREE 8192
/* Of 64 ways in which things may be, those from here are trouble. */
#define TROUBLE_MIN 24

static struct stage the_stage;

/* ---- the server ---- */

/* The stage leaves no chance to chance: what disks do is chosen as well. */
static uint32_t choose_for_disk(void *arg, uint32_t below)
{
	return choose(&((struct stage *)arg)->in, below);
}

/* Its sender is told, and so has an answer. */
static void on_refused(void *arg, const char *xml, size_t len)
{
	(void)arg, (void)xml, (void)len;
}

/* Nothing is left behind, unless the process dies. */
static void drop_curtain(void)
{
	life_deinit(&the_stage.life);
}

static struct stage *raise_curtain(void)
{
	struct stage *s = &the_stage;
	struct settings *settings;
	struct stat st;

	if (s->life.sim != NULL)
		return s;
	s->life.chance = choose_for_disk;
	s->life.arg = s;
	s->life.on_refused = on_refused;
	s->is_traced = getenv("COMITY_TRACE") != NULL;
	life_init(&s->life, FUZZ_MODULE_DIR, stat("/dev/shm", &st) == 0 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	atexit(drop_curtain);
	settings = s->life.sim->settings;
	settings->sm_resume_ms = RESUME_MS;
	settings->sm_ack_ms = 60000;
	settings->sm_unacked = 200;
	settings->limits.after_auth.element_bytes = STANZA_MAX;
	settings->limits.out_bytes = UNREAD_MAX;
	settings->fed.limits.after_auth.element_bytes = STANZA_MAX;
	settings->fed.limits.out_bytes = UNREAD_MAX;
	settings->fed.queue_age_ms = QUEUE_AGE_MS;
	settings->fed.limits.dead_ms = 20000;
	settings->fed.retry_min_ms = settings->fed.retry_max_ms = 500;
	stage_set_dialed(s);
	stage_set_names(s);
	return s;
}

static bool turn(struct stage *s)
{
	bool any = false;

	for (unsigned i = 0; i < CLIENTS; i++)
		any |= line_carry(&s->clients[i].line);
	for (unsigned i = 0; i < PEERS; i++)
		any |= line_carry(&s->peers[i].line);
	if (!s->life.is_up)
		return any;
	any |= life_store(&s->life, true);
	any |= life_store(&s->life, false);
	for (unsigned i = 0; i < s->life.workers; i++)
		any |= life_turn(&s->life, i);
	return any;
}

void stage_run(struct stage *s)
{
	for (unsigned i = 0; turn(s); i++) {
		if (i > ROUNDS_MAX)
			finding("the server finds no rest");
		s->life.sim->now_ms++;
	}
}

/* In steps, as timers start others. */
void stage_pass(struct stage *s, uint64_t ms)
{
	for (unsigned i = 0; i < 10; i++) {
		s->life.sim->now_ms += ms / 10;
		stage_run(s);
	}
}

/* ---- what happens ---- */

enum end { END_STOP, END_CRASH, END_POWER };

static void end_server(struct stage *s, enum end how)
{
	if (how != END_STOP) {
		life_die(&s->life);
	} else {
		life_part(&s->life);
		stage_run(s);
	}
	life_end(&s->life);
	if (how == END_POWER)
		disk_lose_power(choose_for_disk, s);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &s->clients[i];

		/* Of what is answered nothing is known, only that it is there again. */
		client_leave(c);
		c->pending_count = 0;
		c->is_odd = c->is_odd || how != END_STOP;
	}
	for (unsigned i = 0; i < PEERS; i++)
		peer_leave(&s->peers[i]);
}

static void restart(struct stage *s, uint32_t how)
{
	end_server(s, how % 4 != 3 ? END_STOP : how % 8 == 3 ? END_CRASH : END_POWER);
	/* It refuses to start on a disk without room, or without a store. */
	life_heal(&s->life);
	life_start(&s->life, UINT32_MAX);
	stage_run(s);
}

static void pass_time(struct stage *s)
{
	static const uint64_t spans[] = { 20, 100, 1100, 1100, 5000, 20000, 61000, RESUME_MS + 1000 };

	stage_pass(s, spans[choose(&s->in, sizeof(spans) / sizeof(spans[0]))]);
}

/* A few transactions; all for which the disk has no room any more, until it has; some of all calls, and of memory. */
static void fail_store(struct stage *s, uint32_t how)
{
	s->life.memory = (struct faults){ .state = how, .one_in = how >= 232 && how < 240 ? MEMORY_FAILS : 0 };
	if (how < 192)
		s->life.failing = 1 + how % 4;
	else if (how < 224)
		life_fill_disk(&s->life, how % 32 * 64);
	else if (how < 240)
		s->life.fails_one_in = 2 + how % 8;
	else
		life_heal(&s->life);
}

/* Down it refuses connections; deaf it reads nothing of those that it has, or gets. In trouble calls of sockets fail, and
 * so do name servers. */
static void change_remote(struct stage *s, uint8_t manner, uint32_t how)
{
	unsigned trouble = how / 4;

	s->remote_manner = manner;
	s->is_remote_down = how % 4 == 3;
	s->is_remote_deaf = how % 4 == 2;
	s->faults.state = manner << 8 | how;
	s->faults.one_in = trouble >= TROUBLE_MIN ? 2 + (trouble - TROUBLE_MIN) / 2 : 0;
	for (unsigned i = 0; i < PEERS; i++)
		s->peers[i].line.is_deaf = s->is_remote_deaf;
}

static void act(struct stage *s)
{
	uint32_t what = choose(&s->in, 64);

	if (what >= 46 && what < 58 && s->act != NULL) {
		s->act(s);
	} else if (what < 40 || (what < 58 && (s->scenes & SCENE_REMOTE) == 0)) {
		client_act(&s->clients[what % CLIENTS]);
	} else if (what < 58) {
		peer_act(&s->peers[what % PEERS]);
	} else if (what < 61) {
		pass_time(s);
	} else if (what == 61 && (s->scenes & SCENE_STORE) != 0) {
		fail_store(s, choose(&s->in, 256));
	} else if (what == 62 && (s->scenes & SCENE_ENDS) != 0) {
		restart(s, choose(&s->in, 256));
	} else if ((s->scenes & SCENE_REMOTE) != 0) {
		change_remote(s, (uint8_t)choose(&s->in, 256), choose(&s->in, 256));
	}
}

/* ---- what it costs ---- */

/* Bytes that the workers have written to their journals; 0 without a server. */
static uint64_t count_journal(const struct stage *s)
{
	struct journal_stats stats;
	uint64_t bytes = 0;

	for (unsigned i = 0; s->life.is_up && i < s->life.workers; i++) {
		if (router_of(s->life.sim->workers[i])->journal == NULL)
			continue;
		journal_get_stats(router_of(s->life.sim->workers[i])->journal, &stats);
		bytes += stats.bytes;
	}
	return bytes;
}

/* What is kept of sessions for a crash follows what was said; it is not all written again for each word. */
static void check_journal(struct stage *s, uint64_t before)
{
	uint64_t now = count_journal(s);

	/* Less: there is another server. */
	if (now > before)
		s->journaled += now - before;
	if (s->life.file_bytes > JOURNAL_SMALL && s->journaled > JOURNAL_FREE + JOURNAL_FOR_EACH * s->carried)
		finding("%llu bytes were written to the journal for %llu that were said", (unsigned long long)s->journaled,
		        (unsigned long long)s->carried);
}

/* ---- the end ---- */

/* What nobody holds any more is not counted any more. */
static void check_bytes(struct stage *s)
{
	static const enum tally_kind gone[] = { TALLY_CONNECTIONS, TALLY_INPUT, TALLY_OUTPUT, TALLY_SESSIONS, TALLY_UNACKED,
	                                        TALLY_STANZAS };

	for (size_t k = 0; k < sizeof(gone) / sizeof(gone[0]); k++) {
		int64_t bytes = 0;

		for (unsigned i = 0; i < s->life.workers; i++)
			bytes += tally_get(&s->life.sim->workers[i]->tally, gone[k]);
		if (bytes != 0)
			finding("%lld bytes are counted for %s, which nobody has", (long long)bytes, tally_name(gone[k]));
	}
}

static void check_tallies(struct stage *s)
{
	struct peers *peers = s->life.sim->server.peers;

	for (unsigned i = 0; i < s->life.workers; i++) {
		const struct worker *w = s->life.sim->workers[i];
		const struct router *r = router_of(w);

		if (r->session_count != 0)
			finding("%llu sessions are left", (unsigned long long)r->session_count);
		if (r->idle_count != r->accounts.count)
			finding("somebody still holds %zu accounts", r->accounts.count - r->idle_count);
		if (!list_empty(&w->conns) || !list_empty(&w->paused) || w->mailbox.depth != 0)
			finding("connections or mail are left");
		if (r->fed->queued_bytes != 0 || r->fed->check_count != 0)
			finding("%zu bytes wait for other servers, and %zu keys for an answer", r->fed->queued_bytes,
			        r->fed->check_count);
		if (r->current != NULL)
			finding("a request is still being handled");
	}
	check_bytes(s);
	if (peers_admit(peers, "192.0.2.1", &(struct peers_limits){ 1, 1, 0 }) != PEERS_ADMITTED)
		finding("connections are still counted");
	peers_release(peers, "192.0.2.1");
}

/* Nobody keeps anything from the server any more: what waits for others arrives or comes back. */
static void settle(struct stage *s)
{
	s->faults.one_in = 0;
	life_heal(&s->life);
	s->is_remote_down = true;
	for (unsigned i = 0; i < PEERS; i++)
		peer_leave(&s->peers[i]);
	for (unsigned i = 0; i < CLIENTS; i++)
		client_settle(&s->clients[i]);
	stage_run(s);
	stage_pass(s, STEADY_MS);
	for (unsigned i = 0; i < CLIENTS; i++)
		client_check(&s->clients[i]);
}

static void everybody_goes(struct stage *s)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		client_leave(&s->clients[i]);
	for (unsigned i = 0; i < PEERS; i++)
		peer_leave(&s->peers[i]);
	/* Sessions that could be resumed end, and what they had goes where it can; then nobody can be reached. */
	s->is_remote_down = true;
	stage_pass(s, RESUME_MS + 1000);
	stage_pass(s, 10 * RESUME_MS);
}

static void reset(struct stage *s)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &s->clients[i];
		unsigned number = i == 5 ? 2 : i / 3; /* two of them want the same name */

		*c = (struct client){ .stage = s, .account = i % 3 };
		c->line.stage = s;
		snprintf(c->bare, sizeof(c->bare), "u%u@" HOST, c->account);
		snprintf(c->resource, sizeof(c->resource), "c%u", number);
		snprintf(c->full, sizeof(c->full), "u%u@" HOST "/c%u", c->account, number);
	}
	for (unsigned i = 0; i < PEERS; i++) {
		s->peers[i] = (struct peer){ .stage = s };
		s->peers[i].line.stage = s;
	}
	s->remote_manner = 0;
	s->is_remote_down = s->is_remote_deaf = false;
	s->faults = (struct faults){ 0 };
	s->serial = 0;
	s->carried = s->journaled = 0;
}

static void set_up_files(struct stage *s, uint32_t how)
{
	static const size_t log_bytes[] = { 0, 1500, 10000, 100000 };

	s->life.file_bytes = how % 4 == 3 ? JOURNAL_SMALL : JOURNAL_LARGE;
	s->life.log_bytes = log_bytes[how / 4 % 4];
	s->life.sync_ms = how / 16 % 2 * 5;
}

void stage_play(const uint8_t *data, size_t size, unsigned scenes, void (*more)(struct stage *s))
{
	static const char *const accounts[] = { "u0@" HOST, "u1@" HOST, "u2@" HOST, NULL };
	struct stage *s = raise_curtain();

	s->in = (struct choices){ data, data + size };
	s->scenes = scenes;
	s->act = more;
	life_reset(&s->life, 1, accounts);
	s->life.workers = 1 + choose(&s->in, SIM_WORKERS);
	set_up_files(s, choose(&s->in, 256));
	reset(s);
	life_start(&s->life, UINT32_MAX);
	for (unsigned n = 0; choices_left(&s->in) && n < ACTS_MAX; n++) {
		uint64_t journal = count_journal(s);

		act(s);
		check_journal(s, journal);
	}
	settle(s);
	everybody_goes(s);
	check_tallies(s);
	end_server(s, END_STOP);
}
