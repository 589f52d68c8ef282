/* SPDX-License-Identifier: MIT */
/* Sends one message between two workers, records every call, and compares with doc/architecture.md. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define CALLS_MAX 100000
#define SECTION "## The way of a stanza"
/* Fewer in the document mean that it is not read as it should be. */
#define NAMES_LEAST 15

static void *calls[CALLS_MAX];
static size_t call_count;
static bool is_recording;

void __cyg_profile_func_enter(void *function, void *caller) __attribute__((no_instrument_function));
void __cyg_profile_func_exit(void *function, void *caller) __attribute__((no_instrument_function));

void __cyg_profile_func_enter(void *function, void *caller)
{
	(void)caller;
	if (is_recording && call_count < CALLS_MAX)
		calls[call_count++] = function;
}

void __cyg_profile_func_exit(void *function, void *caller)
{
	(void)function, (void)caller;
}

/* The name of a recorded call; "" for functions that are private to a file. */
static const char *name_of(size_t call)
{
	Dl_info info;

	return dladdr(calls[call], &info) != 0 && info.dli_sname != NULL && info.dli_saddr == calls[call] ?
	       info.dli_sname : "";
}

static void fail(const char *text)
{
	fprintf(stderr, "trace: %s\n", text);
	exit(1);
}

/* ---- the message ---- */

static struct sim_client *log_in(struct sim *s)
{
	struct sim_client *c = sim_connect(s);

	if (!sim_login(c))
		fail("a client cannot log in");
	return c;
}

/* Records the way of a message between two clients with homes on different workers. */
static void record(struct sim *s)
{
	struct sim_client *romeo = log_in(s), *juliet = log_in(s);
	char message[512];

	for (int i = 0; i < 64 && sim_worker(juliet) == sim_worker(romeo); i++) {
		sim_disconnect(juliet);
		juliet = log_in(s);
	}
	sim_forget(juliet);
	snprintf(message, sizeof(message), "<message type='chat' to='%s'><body>art thou?</body></message>",
	         sim_address(juliet));
	is_recording = true;
	sim_send(romeo, message, strlen(message), SIZE_MAX);
	is_recording = false;
	if (!sim_got(juliet, "<body>art thou?</body>"))
		fail("the message does not arrive");
	sim_disconnect(romeo);
	sim_disconnect(juliet);
}

/* ---- the document ---- */

/* The call of this name from *at on; *at is set behind it. */
static bool find_call(const char *name, size_t *at)
{
	for (size_t i = *at; i < call_count; i++) {
		if (strcmp(name_of(i), name) == 0) {
			*at = i + 1;
			return true;
		}
	}
	return false;
}

/* "`one()`, `two()`": the functions of a step; returns how many are wrong. */
static unsigned check_step(unsigned long step, char *cell, size_t *at, unsigned *names)
{
	unsigned wrong = 0;

	for (char *open = strchr(cell, '`'); open != NULL; open = strchr(open, '`')) {
		char *end = strstr(++open, "()`");

		if (end == NULL)
			fail("a function in the table is not written as `name()`");
		*end = '\0';
		++*names;
		if (!find_call(open, at)) {
			fprintf(stderr, "trace: step %lu: %s() is not called where doc/architecture.md says\n", step, open);
			wrong++;
		}
		open = end + 3;
	}
	return wrong;
}

/* Rows are "| STEP | FUNCTIONS | TEXT |", numbered through. */
static unsigned check_rows(FILE *doc, unsigned *names)
{
	char line[2048];
	bool in_section = false;
	unsigned long steps = 0;
	unsigned wrong = 0;
	size_t at = 0;

	while (fgets(line, sizeof(line), doc) != NULL) {
		char *rest, *end;
		unsigned long step;

		if (strncmp(line, "## ", 3) == 0)
			in_section = strncmp(line, SECTION, strlen(SECTION)) == 0;
		if (!in_section || strncmp(line, "| ", 2) != 0 || (step = strtoul(line + 2, &rest, 10)) == 0)
			continue;
		if (step != ++steps || (rest = strchr(rest, '|')) == NULL || (end = strchr(rest + 1, '|')) == NULL)
			fail("the table is not numbered through, or has no columns");
		*end = '\0';
		wrong += check_step(step, rest + 1, &at, names);
	}
	return wrong;
}

static void print_calls(void)
{
	fprintf(stderr, "trace: what was called:");
	for (size_t i = 0; i < call_count; i++)
		if (*name_of(i) != '\0')
			fprintf(stderr, " %s", name_of(i));
	fprintf(stderr, "\n");
}

int main(void)
{
	/* Nothing ends it; a checker of leaks has to find it. */
	static struct sim *volatile sim;
	FILE *doc = fopen(TRACE_DOCUMENT, "r");
	unsigned names = 0, wrong;

	if (doc == NULL)
		fail("cannot read " TRACE_DOCUMENT);
	sim = sim_new(2, "/nonexistent");
	record(sim);
	wrong = check_rows(doc, &names);
	fclose(doc);
	if (wrong != 0)
		print_calls();
	if (names < NAMES_LEAST)
		fail("the table of doc/architecture.md names too few functions");
	printf("trace: %u passed, %u failed\n", names - wrong, wrong);
	return wrong != 0;
}
