/* SPDX-License-Identifier: MIT */
/* Counting bytes, and judging how short memory is. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/pressure.h"
#include "base/tally.h"
#include "comityd/daemon.h"
#include "net/conn.h"
#include "net_fixture.h"
#include "unit.h"
#include "xml/parser.h"
#include "xmpp/stanza.h"

START_TEST(tallies_add_and_take_off)
{
	struct tally t = { 0 };
	size_t counted = 0;

	tally_add(&t, TALLY_STANZAS, 100);
	tally_add(&t, TALLY_STANZAS, -30);
	tally_set(&t, TALLY_OUTPUT, &counted, 5000);
	tally_set(&t, TALLY_OUTPUT, &counted, 200);
	ck_assert_int_eq(tally_get(&t, TALLY_STANZAS), 70);
	ck_assert_int_eq(tally_get(&t, TALLY_OUTPUT), 200);
	ck_assert_int_eq(tally_get(&t, TALLY_SESSIONS), 0);
	tally_set(&t, TALLY_OUTPUT, &counted, 0);
	ck_assert_int_eq(tally_get(&t, TALLY_OUTPUT), 0);
	for (int kind = 0; kind < TALLY_COUNT; kind++)
		ck_assert_str_ne(tally_name(kind), tally_help(kind));
}
END_TEST

/* What moves is right in the sum alone. */
START_TEST(what_moves_counts_once)
{
	struct tally from = { 0 }, to = { 0 };

	tally_add(&from, TALLY_STANZAS, 100);
	tally_add(&to, TALLY_STANZAS, -100);
	ck_assert_int_eq(tally_get(&from, TALLY_STANZAS) + tally_get(&to, TALLY_STANZAS), 0);
}
END_TEST

START_TEST(levels_follow_use)
{
	static const struct {
		enum pressure_level before;
		uint64_t used;
		enum pressure_level after;
	} rows[] = {
		{ PRESSURE_NONE, 0, PRESSURE_NONE }, { PRESSURE_NONE, 799, PRESSURE_NONE },
		{ PRESSURE_NONE, 800, PRESSURE_LOGINS }, { PRESSURE_NONE, 900, PRESSURE_PRESENCE },
		{ PRESSURE_NONE, 970, PRESSURE_MESSAGES }, { PRESSURE_NONE, 5000, PRESSURE_MESSAGES },
		{ PRESSURE_LOGINS, 750, PRESSURE_LOGINS }, { PRESSURE_LOGINS, 749, PRESSURE_NONE },
		{ PRESSURE_LOGINS, 899, PRESSURE_LOGINS }, { PRESSURE_LOGINS, 970, PRESSURE_MESSAGES },
		{ PRESSURE_PRESENCE, 850, PRESSURE_PRESENCE }, { PRESSURE_PRESENCE, 849, PRESSURE_LOGINS },
		{ PRESSURE_MESSAGES, 920, PRESSURE_MESSAGES }, { PRESSURE_MESSAGES, 919, PRESSURE_PRESENCE },
		{ PRESSURE_MESSAGES, 800, PRESSURE_LOGINS }, { PRESSURE_MESSAGES, 100, PRESSURE_NONE },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_int_eq(pressure_judge(rows[i].before, rows[i].used, 1000), rows[i].after);
		/* Where it has gone it stays. */
		ck_assert_int_eq(pressure_judge(rows[i].after, rows[i].used, 1000), rows[i].after);
	}
	ck_assert_int_eq(pressure_judge(PRESSURE_MESSAGES, 1000, 0), PRESSURE_NONE);
}
END_TEST

/* ---- measuring ---- */

START_TEST(what_cannot_be_read_stays_as_it_was)
{
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC), other[2];
	uint64_t used = 12345;

	ck_assert_int_eq(memory_read_statm(-1, &used), -EBADF);
	ck_assert_int_eq(pipe(other), 0);
	ck_assert_int_eq(memory_read_statm(other[0], &used), -ESPIPE);
	close(other[0]);
	close(other[1]);
	other[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(memory_read_statm(other[0], &used), -EINVAL);
	close(other[0]);
	ck_assert_uint_eq(used, 12345);
	ck_assert_int_eq(memory_read_statm(fd, &used), 0);
	ck_assert_uint_gt(used, 100000);
	ck_assert_uint_lt(used, 1ULL << 40);
	close(fd);
}
END_TEST

static uint64_t no_time(struct comity_env *env)
{
	(void)env;
	return 0;
}

/* Without a descriptor for it. 0 when all is as it should be. */
static int start_watch_blind(void)
{
	struct daemon d = { .env = { .mono_ms = no_time } };
	struct memory_watch *w = NULL;
	struct err_text et = { "" };

	if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, 0 }) != 0)
		return 1;
	if (memory_watch_start(&d, &w, &et) != -ERR_IO || w != NULL)
		return 2;
	return strstr(et.text, "memory_limit: cannot read /proc/self/statm") != NULL ? 0 : 3;
}

START_TEST(a_limit_that_cannot_be_watched_is_no_start)
{
	int status = -1;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0)
		_exit(start_watch_blind());
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(arenas_know_what_they_took)
{
	struct arena a = { 0 };
	char memory[100];

	arena_adopt(&a, memory, sizeof(memory));
	arena_alloc(&a, 50);
	ck_assert_uint_eq(a.room, 100);
	arena_alloc(&a, 10000);
	ck_assert_uint_ge(a.room, 10100);
	ck_assert_uint_lt(a.room, 10300);
	arena_deinit(&a);
	ck_assert_uint_eq(a.room, 0);
}
END_TEST

START_TEST(a_parser_knows_its_size)
{
	static const struct xml_limits limits = {
		.header_bytes = 1024, .element_bytes = 1 << 20, .depth = 10, .attributes = 10, .namespaces = 10, .elements = 10,
	};
	static const char header[] = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
	struct xml_parser *p = xml_parser_new(&limits);
	char text[XML_PUSH_MAX];
	struct xml_doc *doc = NULL;
	size_t rest;

	memset(text, 'x', sizeof(text));
	xml_parser_push(p, header, strlen(header));
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_OPEN);
	xml_doc_free(doc);
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_NONE);
	xml_parser_rest_now(p);
	rest = xml_parser_size(p);
	ck_assert_uint_lt(rest, 1024);
	xml_parser_push(p, "<message><body>", 15);
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_NONE);
	for (int i = 0; i < 32; i++) {
		xml_parser_push(p, text, sizeof(text));
		ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_NONE);
	}
	ck_assert_uint_gt(xml_parser_size(p), rest + sizeof(text) * 32);
	xml_parser_push(p, "</body></message>", 17);
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_ELEMENT);
	ck_assert_uint_gt(doc->arena.room, sizeof(text) * 32);
	xml_doc_free(doc);
	ck_assert_int_eq(xml_parser_next(p, &doc), XML_EVENT_NONE);
	xml_parser_rest_now(p);
	ck_assert_uint_le(xml_parser_size(p), rest + 1024);
	xml_parser_free(p);
}
END_TEST

/* ---- a connection whose peer does not read ---- */

static ssize_t recv_nothing(struct conn *c, void *bytes, size_t room)
{
	(void)c, (void)bytes, (void)room;
	errno = EAGAIN;
	return -1;
}

static ssize_t send_nothing(struct conn *c, const void *bytes, size_t len)
{
	(void)c, (void)bytes, (void)len;
	errno = EAGAIN;
	return -1;
}

static void watch_nothing(struct conn *c, bool readable, bool writable)
{
	(void)c, (void)readable, (void)writable;
}

static void do_nothing(struct conn *c)
{
	(void)c;
}

START_TEST(a_connection_counts_what_waits)
{
	static const struct conn_io io = { .recv = recv_nothing, .send = send_nothing, .watch = watch_nothing,
	                                   .shut_write = do_nothing, .close = do_nothing };
	static const char bytes[10000];
	struct net_sim sim;
	struct tally *t = &sim.worker.tally;
	struct conn *c;

	net_sim_init(&sim);
	c = conn_new(&sim.worker, -1, &io, NULL, "192.0.2.1", 1 << 20);
	ck_assert_int_eq(tally_get(t, TALLY_CONNECTIONS), sizeof(*c));
	conn_note_stream(c, 777);
	ck_assert_int_eq(tally_get(t, TALLY_INPUT), 777);
	for (int i = 0; i < 5; i++) {
		conn_write(c, bytes, sizeof(bytes));
		worker_turn(&sim.worker);
	}
	ck_assert_int_ge(tally_get(t, TALLY_OUTPUT), 50000);
	ck_assert_int_eq(tally_get(t, TALLY_CONNECTIONS) + tally_get(t, TALLY_INPUT) + tally_get(t, TALLY_OUTPUT),
	                 (int64_t)conn_size(c));
	conn_abort(c, "enough");
	worker_turn(&sim.worker);
	for (int kind = 0; kind < TALLY_COUNT; kind++)
		ck_assert_int_eq(tally_get(t, kind), 0);
	net_sim_deinit(&sim);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, tallies_add_and_take_off);
	tcase_add_test(tc, what_moves_counts_once);
	tcase_add_test(tc, levels_follow_use);
	tcase_add_test(tc, what_cannot_be_read_stays_as_it_was);
	tcase_add_test(tc, a_limit_that_cannot_be_watched_is_no_start);
	tcase_add_test(tc, arenas_know_what_they_took);
	tcase_add_test(tc, a_parser_knows_its_size);
	tcase_add_test(tc, a_connection_counts_what_waits);
}

UNIT_SUITE(memory);
