/* SPDX-License-Identifier: MIT */
/* A chat message between two sessions that are online allocates no memory: not in the server, its modules or its
 * libraries, with the journal of sessions open or without. All allocation of the process comes through the functions
 * here; TLS is not part of the simulation, nor is the thread that syncs the journal: it is synced in between. */
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

static struct sim_client *login(const char *const *more)
{
	struct sim_client *c = sim_connect(sim_get());

	if (!sim_login(c))
		abort();
	sim_make_known(c);
	for (; *more != NULL; more++)
		say(c, *more);
	sim_forget(c);
	return c;
}

/* Returns how often memory was allocated. */
static unsigned measure(const char *what, const char *const *more, bool acknowledges)
{
	struct sim_client *from = login(more), *to = login(more);
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
	fprintf(stderr, "%s: %u allocations for %d messages\n", what, count, MESSAGES);
	return count;
}

/* ---- the journal ---- */

#define GENERATION 1
/* None is replaced meanwhile. */
#define FILE_BYTES (64 << 20)

static char *open_journal(struct sim *s)
{
	char *folder = mem_strdup("/tmp/comity-journal-XXXXXX");
	struct journal_conf conf = { .folder = folder, .generation = GENERATION, .file_bytes = FILE_BYTES, .sync_ms = 5 };
	struct err_text et;

	if (mkdtemp(folder) == NULL || router_open_journal(router_of(&s->worker[0]), &conf, &et) != 0)
		abort();
	return folder;
}

/* Whether it was at work for each message. */
static bool has_written(const struct sim *s)
{
	struct journal_stats stats;

	journal_get_stats(router_of(&s->worker[0])->journal, &stats);
	fprintf(stderr, "the journal: %llu bytes in %llu writes, %llu syncs\n", (unsigned long long)stats.bytes,
	        (unsigned long long)stats.writes, (unsigned long long)stats.syncs);
	return stats.writes >= 2 * (WARMUP + MESSAGES) && stats.syncs >= MESSAGES && !stats.is_failing;
}

static void close_journal(struct sim *s, char **folder)
{
	char *path = mem_printf("%s/" JOURNAL_NAME_FORMAT, *folder, GENERATION, 0, 1);

	router_close_journal(router_of(&s->worker[0]));
	if (unlink(path) != 0 || rmdir(*folder) != 0)
		abort();
	free(path);
	free(*folder);
	*folder = NULL;
}

int main(void)
{
	static const char *const plain[] = { "<presence/>", NULL };
	static const char *const carbons[] = { "<presence/>",
		"<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>", NULL };
	static const char *const management[] = { "<enable xmlns='urn:xmpp:sm:3' resume='true'/>", NULL };
	static const char *const both[] = { "<enable xmlns='urn:xmpp:sm:3' resume='true'/>", "<presence/>",
		"<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>", NULL };
	char *folder;
	bool failed;

	/* The first call of backtrace() allocates. */
	backtrace((void *[1]){ NULL }, 1);
	sim_get()->settings->sm_unacked = 1000;
	failed = measure("plain", plain, false) != 0;
	failed |= measure("with carbons", carbons, false) != 0;
	failed |= measure("with stream management", management, true) != 0;
	failed |= measure("with both", both, true) != 0;
	folder = open_journal(sim_get());
	failed |= measure("with stream management and a journal", management, true) != 0;
	failed |= measure("with both and a journal", both, true) != 0;
	failed |= !has_written(sim_get());
	close_journal(sim_get(), &folder);
	return failed;
}

#endif
