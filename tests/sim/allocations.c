/* SPDX-License-Identifier: MIT */
/* A chat message between two sessions that are online allocates no memory: not in the server, its modules or its
 * libraries. All allocation of the process comes through the functions here; TLS and the journal are not part of the
 * simulation. */
#include <execinfo.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sanitizers.h"
#include "sim_internal.h"

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

int main(void)
{
	static const char *const plain[] = { "<presence/>", NULL };
	static const char *const carbons[] = { "<presence/>",
		"<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>", NULL };
	static const char *const management[] = { "<enable xmlns='urn:xmpp:sm:3' resume='true'/>", NULL };
	static const char *const both[] = { "<enable xmlns='urn:xmpp:sm:3' resume='true'/>", "<presence/>",
		"<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>", NULL };
	bool failed;

	/* The first call of backtrace() allocates. */
	backtrace((void *[1]){ NULL }, 1);
	sim_get()->settings->sm_unacked = 1000;
	failed = measure("plain", plain, false) != 0;
	failed |= measure("with carbons", carbons, false) != 0;
	failed |= measure("with stream management", management, true) != 0;
	failed |= measure("with both", both, true) != 0;
	return failed;
}

#endif
