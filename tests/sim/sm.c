/* SPDX-License-Identifier: MIT */
/* Simulates sessions that survive: clients with stream management and a server that breaks, from a seed. */
#include <getopt.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "random.h"
#include "world.h"

#define RESUME_MS 300000
#define STEP_MAX 60
/* Rounds in which all is carried until nothing moves; times that is waited for what timers do. */
#define ROUNDS_MAX 3000
#define WAITS_MAX 40

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static struct world world;

/* ---- chance, words ---- */

uint32_t chance(void *arg, uint32_t below)
{
	return random_below(&((struct world *)arg)->chance, below);
}

void trace(const struct world *w, const char *fmt, ...)
{
	va_list args;

	if (!w->is_traced)
		return;
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

void violate(struct world *w, const char *fmt, ...)
{
	char text[sizeof(w->violation)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	trace(w, "VIOLATION: %s", text);
	if (w->violation[0] == '\0')
		memcpy(w->violation, text, sizeof(text));
}

static void write_log(struct log *log, enum log_level level, const char *line)
{
	(void)log, (void)level;
	trace(&world, "  server: %s", line);
	messages_unreadable(&world, line);
}

/* ---- the server ---- */

static void lapse(struct world *w)
{
	w->lapses++;
	for (unsigned i = 0; i < w->session_count; i++)
		w->sessions[i].has_forgotten = true;
}

static void lose_server(struct world *w)
{
	life_end(&w->life);
	if (w->life.has_forgotten)
		lapse(w);
	for (size_t i = 0; i < WIRES_MAX; i++)
		if (w->wires[i].is_used)
			wire_lose_server(&w->wires[i]);
}

static void lose_power(struct world *w)
{
	trace(w, "the power goes");
	disk_lose_power(chance, w);
	lapse(w);
	w->losses++;
}

static void start(struct world *w)
{
	/* Without room, or a store, it would not. */
	life_heal(&w->life);
	/* The configuration may change meanwhile. */
	if (chance(w, 8) == 0)
		w->life.workers = 1 + chance(w, SIM_WORKERS);
	/* Some servers do not come far. */
	while (!w->is_settling && chance(w, 16) == 0) {
		trace(w, "the server starts, and dies");
		life_start(&w->life, chance(w, w->life.workers + 1));
		lose_server(w);
		if (chance(w, 4) == 0)
			lose_power(w);
	}
	trace(w, "the server starts");
	life_start(&w->life, UINT32_MAX);
}

static void bury(struct world *w)
{
	w->crashes++;
	life_die(&w->life);
	lose_server(w);
	if (chance(w, 4) == 0)
		lose_power(w);
}

/* Mostly one that a client has. */
static struct wire *any_wire(struct world *w)
{
	struct wire *l = w->clients[chance(w, w->client_count)].wire;

	if (l == NULL || chance(w, 8) == 0)
		l = &w->wires[chance(w, 8)];
	return l->is_used ? l : NULL;
}

/* Something small happens. */
static void move(struct world *w)
{
	struct wire *l = any_wire(w);

	if (!w->life.is_up)
		return;
	switch (chance(w, 8)) {
	case 0:
	case 1:
	case 2:
		life_turn(&w->life, chance(w, w->life.workers));
		break;
	case 3:
		life_store(&w->life, chance(w, 3) != 0);
		break;
	case 4:
	case 5:
		if (l != NULL)
			wire_carry_up(l, chance(w, 3) == 0 ? 1 + chance(w, 300) : SIZE_MAX);
		break;
	default:
		if (l != NULL)
			wire_carry_down(l, chance(w, 3) == 0 ? 1 + chance(w, 300) : SIZE_MAX);
		break;
	}
	w->life.sim->now_ms += chance(w, 4) == 0;
	if (w->life.is_dead)
		bury(w);
}

static void move_some(struct world *w, unsigned most)
{
	for (unsigned n = chance(w, most + 1); n != 0; n--)
		move(w);
}

static void stop(struct world *w)
{
	trace(w, "the server stops");
	w->stops++;
	life_part(&w->life);
	move_some(w, 30);
	if (w->life.is_up)
		lose_server(w);
}

static void crash(struct world *w)
{
	unsigned how = chance(w, 4);

	trace(w, "the server is to crash: %u", how);
	w->life.death = (enum death)how;
	w->life.countdown = chance(w, 4);
	for (int i = 0; how != DEATH_NONE && i < 60 && w->life.is_up; i++)
		move(w);
	if (w->life.is_up) {
		trace(w, "the server crashes");
		bury(w);
	}
}

/* ---- what happens ---- */

static struct client *any_client(struct world *w)
{
	return &w->clients[chance(w, w->client_count)];
}

static struct client *other_client(struct world *w, const struct client *c)
{
	struct client *other = any_client(w);

	return other->account != c->account ? other : &w->clients[c->account == 0];
}

static void pass_time(struct world *w)
{
	static const uint64_t steps[] = { 5, 20, 200, 1100, 1100, 2500, 61000, RESUME_MS + 1000 };
	uint64_t ms = steps[chance(w, sizeof(steps) / sizeof(steps[0]) - (chance(w, 3) != 0))];

	trace(w, "%llu ms pass", (unsigned long long)ms);
	w->life.sim->now_ms += ms;
}

static void change_disk(struct world *w)
{
	size_t room = chance(w, 3) == 0 ? chance(w, 3000) : 0;

	if (w->life.is_full) {
		trace(w, "the disk has room");
		life_make_room(&w->life);
		return;
	}
	trace(w, "the disk is full but for %zu bytes", room);
	w->full++;
	life_fill_disk(&w->life, room);
}

static void change_store(struct world *w)
{
	w->life.fails_one_in = w->life.fails_one_in == 0 ? 2 + chance(w, 6) : 0;
	w->life.memory.one_in = w->life.fails_one_in != 0 && w->has_bad_calls ? MEMORY_FAILS : 0;
	trace(w, w->life.fails_one_in != 0 ? "one call of the store in %u fails" : "the store works", w->life.fails_one_in);
	w->has_failed = true;
	w->faults += w->life.fails_one_in != 0;
}

static void end_wires(struct world *w)
{
	for (size_t i = 0; i < WIRES_MAX; i++)
		if (w->wires[i].is_used && w->wires[i].client == NULL && (w->is_settling || chance(w, 2) == 0))
			wire_end(&w->wires[i]);
}

static void act_client(struct world *w)
{
	struct client *c = any_client(w);
	unsigned what = chance(w, 20);

	if (c->state == AWAY)
		client_connect(c);
	else if (what < 9)
		for (unsigned n = 1 + (chance(w, 3) == 0) * chance(w, 4); n != 0; n--)
			client_say_message(c, other_client(w, c), chance(w, 2) == 0);
	else if (what < 12)
		client_say_other(c, other_client(w, c), (enum other)chance(w, PRESENCE));
	else if (what < 14)
		client_ask(c);
	else if (what < 16)
		client_ack(c);
	else if (what < 17)
		client_switch_activity(c);
	else if (what < 18 && c->wire != NULL)
		wire_cut(c->wire);
	else if (what < 19)
		client_drop(c);
	else if (chance(w, 3) == 0)
		client_close(c);
}

static void act(struct world *w)
{
	unsigned what = chance(w, 60);

	if (!w->life.is_up)
		start(w);
	else if (what == 0)
		stop(w);
	else if (what < 3)
		crash(w);
	else if (what < 8)
		pass_time(w);
	else if (what < 11)
		end_wires(w);
	else if (what < 15 && w->has_full_disks)
		change_disk(w);
	else if (what < 18 && w->has_faults)
		change_store(w);
	else
		act_client(w);
}

/* ---- the end of a seed ---- */

/* Carries everything; false when nothing moved. */
static bool settle_round(struct world *w)
{
	bool any = false;

	if (!w->life.is_up)
		start(w);
	for (unsigned i = 0; i < w->client_count; i++)
		if (w->clients[i].state == AWAY) {
			client_connect(&w->clients[i]);
			any = true;
		}
	for (size_t i = 0; i < WIRES_MAX; i++) {
		if (w->wires[i].is_used)
			any |= wire_carry_up(&w->wires[i], SIZE_MAX);
		if (w->wires[i].is_used)
			any |= wire_carry_down(&w->wires[i], SIZE_MAX);
	}
	end_wires(w);
	any |= life_store(&w->life, true);
	any |= life_store(&w->life, false);
	for (unsigned i = 0; i < w->life.workers; i++)
		any |= life_turn(&w->life, i);
	w->life.sim->now_ms += any;
	return any;
}

static bool is_settled(const struct world *w)
{
	for (unsigned i = 0; i < w->client_count; i++)
		if (w->clients[i].state != READY || w->clients[i].said != w->clients[i].acked || w->clients[i].owes_ack)
			return false;
	return true;
}

static void settle(struct world *w)
{
	unsigned rounds = 0, quiet = 0;

	trace(w, "---- everybody comes back ----");
	w->is_settling = true;
	w->life.death = DEATH_NONE;
	w->sockets.one_in = 0;
	life_heal(&w->life);
	/* Clients that say again more than others may leave unacknowledged would end each other's sessions for ever. */
	w->life.sim->settings->sm_unacked = 1000;
	for (int waits = 0; waits < WAITS_MAX && quiet < 3 && w->violation[0] == '\0'; waits++) {
		while (settle_round(w) && rounds++ < ROUNDS_MAX)
			;
		for (unsigned i = 0; i < w->client_count; i++) {
			client_ask(&w->clients[i]);
			client_ack(&w->clients[i]);
		}
		quiet = is_settled(w) ? quiet + 1 : 0;
		/* At last the time of sessions that nobody has come back for is over. */
		w->life.sim->now_ms += quiet == 2 ? RESUME_MS + 1000 : 1100;
	}
	if (rounds >= ROUNDS_MAX)
		violate(w, "there is no end of what is said");
	if (w->violation[0] == '\0')
		check_all(w);
}

/* ---- a seed ---- */

static void set_up(struct world *w)
{
	static const char *const accounts[] = { "u0@localhost", "u1@localhost", "u2@localhost", NULL };
	static const unsigned layouts[][CLIENTS_MAX] = { { 0, 1 }, { 0, 1, 1 }, { 0, 1, 2 }, { 0, 1, 0, 1 } };
	static const unsigned counts[] = { 2, 3, 3, 4 };
	static const size_t log_bytes[] = { 0, 1500, 10000, 10000 };
	struct settings *settings = w->life.sim->settings;
	unsigned layout = chance(w, 4);

	life_reset(&w->life, chance(w, UINT32_MAX), accounts);
	w->life.workers = 1 + chance(w, SIM_WORKERS);
	w->life.file_bytes = chance(w, 3) == 0 ? 2000 : 1 << 20;
	w->life.sync_ms = chance(w, 2) * 5;
	w->life.log_bytes = log_bytes[chance(w, 4)];
	w->has_full_disks = chance(w, 4) == 0;
	w->has_faults = chance(w, 3) == 0;
	w->has_failed = false;
	settings->sm_resume_ms = RESUME_MS;
	settings->sm_ack_ms = 60000;
	settings->sm_unacked = chance(w, 8) == 0 ? 2 : 1000;
	settings->idle_accounts = chance(w, 2) * 10;
	w->client_count = counts[layout];
	for (unsigned i = 0; i < w->client_count; i++) {
		client_init(w, i, layouts[layout][i]);
		w->clients[i].policy = (enum policy)chance(w, 3);
		w->clients[i].wants_resume = chance(w, 8) != 0;
		w->clients[i].wants_carbons = chance(w, 8) == 0;
		w->clients[i].is_plain = chance(w, 6) == 0;
		w->clients[i].leaves_out = chance(w, 4) == 0;
	}
}

/* Returns true when all was as promised. */
static bool run_seed(struct world *w, uint64_t seed)
{
	w->seed = seed;
	w->chance = seed * 0x2545f4914f6cdd1d + 1;
	w->sockets = (struct faults){ .state = seed, .count = w->sockets.count };
	w->has_bad_calls = seed % 4 == 2;
	if (w->has_bad_calls)
		w->sockets.one_in = 2 + faults_draw(&w->sockets, 60);
	w->memory_failed += w->life.memory.count;
	w->life.memory = (struct faults){ .state = seed };
	w->is_settling = false;
	checker_reset(w);
	set_up(w);
	start(w);
	for (unsigned n = 20 + chance(w, STEP_MAX - 20 + 1); n != 0 && w->violation[0] == '\0'; n--) {
		act(w);
		move_some(w, chance(w, 3) == 0 ? 60 : 12);
	}
	settle(w);
	if (w->life.is_up)
		lose_server(w);
	for (unsigned i = 0; i < w->client_count; i++)
		client_deinit(&w->clients[i]);
	wires_free(w);
	return w->violation[0] == '\0';
}

/* ---- the program ---- */

static void on_refused(void *arg, const char *xml, size_t len)
{
	message_refused(arg, xml, len);
}

static void on_death(void)
{
	fprintf(stderr, "sm: the process ends in seed %llu\n", (unsigned long long)world.seed);
}

static void usage(void)
{
	fprintf(stderr, "usage: sm [--seeds N] [--seed FIRST] [--trace]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "seeds", required_argument, NULL, 'n' },
	                                         { "seed", required_argument, NULL, 's' },
	                                         { "trace", no_argument, NULL, 't' }, { 0 } };
	struct world *w = &world;
	struct stat st;
	uint64_t first = 1, seeds = 0, failed = 0;
	clock_t begin = clock();
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 'n')
			seeds = strtoull(optarg, NULL, 10);
		else if (c == 's')
			first = strtoull(optarg, NULL, 10);
		else if (c == 't')
			w->is_traced = true;
		else
			usage();
	}
	if (optind != argc)
		usage();
	if (seeds == 0)
		seeds = 1;
	if (__sanitizer_set_death_callback != NULL)
		__sanitizer_set_death_callback(on_death);
	w->life.chance = chance;
	w->life.arg = w;
	w->life.on_refused = on_refused;
	life_init(&w->life, FUZZ_MODULE_DIR, stat("/dev/shm", &st) == 0 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	w->life.sim->log.write = write_log;
	if (w->is_traced)
		atomic_store(&w->life.sim->log.level, LOG_LEVEL_DEBUG);
	for (uint64_t seed = first; seed - first < seeds; seed++) {
		if (run_seed(w, seed))
			continue;
		failed++;
		printf("seed %llu: %s\n", (unsigned long long)seed, w->violation);
		fflush(stdout);
	}
	checker_reset(w);
	life_deinit(&w->life);
	/* Nothing would be lost, but all of the store would be read at each start. */
	if (seeds >= 1000 && w->life.notes == 0) {
		failed++;
		printf("no journal has ever noted what was stored\n");
	}
	if (seeds >= 1000 && (w->sockets.count == 0 || w->memory_failed == 0)) {
		failed++;
		printf("no call of a socket, or no allocation, has ever failed\n");
	}
	printf("sm: %llu passed, %llu failed; %.1f s; %llu messages said, %llu arrived, %llu sessions resumed, %llu not,"
	       " %llu stops, %llu crashes, %llu losses of power, %llu full disks, %u times a failing store,"
	       " %llu calls of sockets and %llu allocations that failed, %llu messages returned\n",
	       (unsigned long long)(seeds - failed),
	       (unsigned long long)failed, (double)(clock() - begin) / CLOCKS_PER_SEC, (unsigned long long)w->said,
	       (unsigned long long)w->arrived, (unsigned long long)w->resumed, (unsigned long long)w->refused,
	       (unsigned long long)w->stops, (unsigned long long)w->crashes, (unsigned long long)w->losses,
	       (unsigned long long)w->full, w->faults, (unsigned long long)w->sockets.count,
	       (unsigned long long)w->memory_failed,
	       (unsigned long long)w->returned);
	return failed != 0;
}
