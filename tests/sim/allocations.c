/* SPDX-License-Identifier: MIT */
/* A chat message between two sessions that are online allocates no memory: not in the server, its modules or its
 * libraries, with the journal of sessions open or without, on one worker or from one to another. All allocation of the
 * process comes through the functions here; TLS is not part of the simulation, nor is the thread that syncs the journal:
 * it is synced in between. */
#include <execinfo.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sanitizers.h"
#include "sim_internal.h"
#include "store/journal_file.h"

#define SKIPPED 77
#define WARMUP 300
#define MESSAGES 100
#define SHOWN 3
#define DEPTH 16

#if IS_SANITIZED

/* A sanitizer has an allocator of its own, and the server keeps nothing for it. */
int main(void)
{
	return SKIPPED;
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static bool is_counting;
static unsigned count;

static void note(void)
{
	void *frames[DEPTH];

	if (!is_counting)
		return;
	is_counting = false;
	if (count++ < SHOWN) {
		backtrace_symbols_fd(frames, backtrace(frames, DEPTH), STDERR_FILENO);
		fputs("--\n", stderr);
	}
	is_counting = true;
}

void *malloc(size_t size)
{
	note();
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	note();
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	note();
	return __libc_realloc(p, size);
}

/* ---- the messages ---- */

static void say(struct sim_client *c, const char *text)
{
	sim_send(c, text, strlen(text), strlen(text));
}

static struct sim_client *login_somewhere(struct sim *s)
{
	struct sim_client *c = sim_connect(s);

	if (!sim_login(c))
		abort();
	return c;
}

/* At home on that worker: each account has its home by its name, which is drawn for each login. */
static struct sim_client *login(struct sim *s, unsigned worker, const char *const *more)
{
	struct sim_client *c = login_somewhere(s);

	while (sim_worker(c) != worker) {
		sim_disconnect(c);
		c = login_somewhere(s);
	}
	sim_make_known(c);
	for (; *more != NULL; more++)
		say(c, *more);
	sim_forget(c);
	return c;
}

/* To a session on the last worker. Returns how often memory was allocated. */
static unsigned measure(struct sim *s, const char *what, const char *const *more, bool acknowledges)
{
	struct sim_client *from = login(s, 0, more), *to = login(s, s->server.worker_count - 1, more);
	char text[512];

	count = 0;
	for (int i = 0; i < WARMUP + MESSAGES; i++) {
		snprintf(text, sizeof(text), "<message type='chat' id='m%d' to='%s'><body>How are you?</body>"
		               "<active xmlns='http://jabber.org/protocol/chatstates'/></message>%s", i, sim_address(to),
		         acknowledges ? "<r xmlns='urn:xmpp:sm:3'/>" : "");
		is_counting = i >= WARMUP;
		say(from, text);
		is_counting = false;
		if (!sim_got(to, "How are you?"))
			abort();
		sim_forget(to);
		snprintf(text, sizeof(text), "<a xmlns='urn:xmpp:sm:3' h='%d'/>", i + 1);
		is_counting = i >= WARMUP;
		if (acknowledges)
			say(to, text);
		is_counting = false;
		sim_forget(from);
	}
	sim_disconnect(from);
	sim_disconnect(to);
	fprintf(stderr, "%s, from worker 0 to %u: %u allocations for %d messages\n", what, s->server.worker_count - 1, count,
	        MESSAGES);
	return count;
}

/* ---- the journal ---- */

#define GENERATION 1
/* None is replaced meanwhile. */
#define FILE_BYTES (64 << 20)

static char *open_journals(struct sim *s)
{
	char *folder = mem_strdup("/tmp/comity-journal-XXXXXX");
	struct journal_conf conf = { .folder = folder, .generation = GENERATION, .file_bytes = FILE_BYTES, .sync_ms = 5 };
	struct err_text et;

	if (mkdtemp(folder) == NULL)
		abort();
	for (unsigned i = 0; i < s->server.worker_count; i++)
		if (router_open_journal(router_of(&s->worker[i]), &conf, &et) != 0)
			abort();
	return folder;
}

/* Whether they were at work for each message. */
static bool have_written(const struct sim *s)
{
	unsigned long long bytes = 0, writes = 0, syncs = 0;
	bool any_fails = false;

	for (unsigned i = 0; i < s->server.worker_count; i++) {
		struct journal_stats stats;

		journal_get_stats(router_of(&s->worker[i])->journal, &stats);
		bytes += stats.bytes;
		writes += stats.writes;
		syncs += stats.syncs;
		any_fails |= stats.is_failing;
	}
	fprintf(stderr, "the journal: %llu bytes in %llu writes, %llu syncs\n", bytes, writes, syncs);
	return writes >= 2 * (WARMUP + MESSAGES) && syncs >= MESSAGES && !any_fails;
}

static void close_journals(struct sim *s, char **folder)
{
	for (unsigned i = 0; i < s->server.worker_count; i++) {
		char *path = mem_printf("%s/" JOURNAL_NAME_FORMAT, *folder, GENERATION, i, 1);

		router_close_journal(router_of(&s->worker[i]));
		if (unlink(path) != 0)
			abort();
		free(path);
	}
	if (rmdir(*folder) != 0)
		abort();
	free(*folder);
	*folder = NULL;
}

/* Returns whether memory was allocated, or a journal was not at work. */
static bool measure_all(struct sim *s)
{
	static const char *const plain[] = { "<presence/>", NULL };
	static const char *const carbons[] = { "<presence/>",
		"<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>", NULL };
	static const char *const management[] = { "<enable xmlns='urn:xmpp:sm:3' resume='true'/>", NULL };
	static const char *const both[] = { "<enable xmlns='urn:xmpp:sm:3' resume='true'/>", "<presence/>",
		"<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>", NULL };
	char *folder;
	bool any;

	s->settings->sm_unacked = 1000;
	/* The one who writes acknowledges nothing. */
	s->settings->sm_ack_ms = 600000;
	any = measure(s, "plain", plain, false) != 0;
	any |= measure(s, "with carbons", carbons, false) != 0;
	any |= measure(s, "with stream management", management, true) != 0;
	any |= measure(s, "with both", both, true) != 0;
	folder = open_journals(s);
	any |= measure(s, "with stream management and a journal", management, true) != 0;
	any |= measure(s, "with both and a journal", both, true) != 0;
	any |= !have_written(s);
	close_journals(s, &folder);
	return any;
}

int main(void)
{
	bool failed;

	/* The first call of backtrace() allocates. */
	backtrace((void *[1]){ NULL }, 1);
	failed = measure_all(sim_get());
	failed |= measure_all(sim_new(SIM_WORKERS, FUZZ_MODULE_DIR));
	return failed;
}

#endif
