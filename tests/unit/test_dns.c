/* SPDX-License-Identifier: MIT */
/* Answers of name servers: read, kept, shared; and asked for over real sockets. */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "net/dns.h"
#include "net_fixture.h"
#include "unit.h"

#define ROOM 8

/* ---- messages ---- */

static enum dns_result read_row(const struct zone_row *row, struct dns_record *records, size_t *count, uint32_t *ttl)
{
	unsigned char *message = mem_new(ZONE_MESSAGE_MAX);
	size_t len = zone_message(row, row->kind, row->name, 7, message);
	enum dns_result result = dns_message_read(message, len, row->kind, records, ROOM, count, ttl);

	free(message);
	return result;
}

START_TEST(reads_services)
{
	const struct zone_row row = { DNS_SRV, "_xmpp-server._tcp.example", .records = "5 60 5269 a.example;9 0 443 ." };
	struct dns_record r[ROOM];
	size_t count;
	uint32_t ttl;

	ck_assert_int_eq(read_row(&row, r, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(ttl, 60);
	ck_assert_uint_eq(r[0].priority, 5);
	ck_assert_uint_eq(r[0].weight, 60);
	ck_assert_uint_eq(r[0].port, 5269);
	ck_assert_str_eq(r[0].target, "a.example");
	ck_assert_str_eq(r[1].target, "");
}
END_TEST

START_TEST(reads_addresses)
{
	const struct zone_row v4 = { DNS_A, "a.example", .records = "192.0.2.7", .ttl = 5 };
	const struct zone_row v6 = { DNS_AAAA, "a.example", .records = "2001:db8::7;::1" };
	struct dns_record r[ROOM];
	size_t count;
	uint32_t ttl;

	ck_assert_int_eq(read_row(&v4, r, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(ttl, 5);
	ck_assert_mem_eq(r[0].address, "\xc0\x00\x02\x07", 4);
	ck_assert_int_eq(read_row(&v6, r, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(count, 2);
	ck_assert_mem_eq(r[0].address, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16);
}
END_TEST

START_TEST(reads_what_is_said_of_certificates)
{
	const struct zone_row row = { DNS_TLSA, "_5269._tcp.a.example", .records = "3 1 1 00ff7f;2 0 0 ;255 1 2 aa" };
	static char text[2 * DNS_TLSA_MAX + 32];
	const struct zone_row mixed = { DNS_TLSA, "_5269._tcp.a.example", .records = text };
	struct dns_record r[ROOM];
	size_t count;
	uint32_t ttl;

	ck_assert_int_eq(read_row(&row, r, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(count, 3);
	ck_assert_uint_eq(r[0].usage, 3);
	ck_assert_uint_eq(r[0].selector, 1);
	ck_assert_uint_eq(r[0].matching, 1);
	ck_assert_uint_eq(r[0].size, 3);
	ck_assert_mem_eq(r[0].data, "\0\xff\x7f", 3);
	ck_assert_uint_eq(r[1].size, 0);
	ck_assert_uint_eq(r[2].usage, 255);
	/* One that is too long is left out. */
	snprintf(text, sizeof(text), "2 0 0 %0*d;3 0 1 77", 2 * (DNS_TLSA_MAX + 1), 0);
	ck_assert_int_eq(read_row(&mixed, r, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(count, 1);
	ck_assert_mem_eq(r[0].data, "\x77", 1);
	snprintf(text, sizeof(text), "2 0 0 %0*d", 2 * DNS_TLSA_MAX, 0);
	ck_assert_int_eq(read_row(&mixed, r, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(r[0].size, DNS_TLSA_MAX);
}
END_TEST

START_TEST(reads_how_long_nothing_is_there)
{
	const struct zone_row no_name = { DNS_A, "a.example", .result = DNS_NO_NAME, .ttl = 17 };
	const struct zone_row no_data = { DNS_A, "a.example", .result = DNS_NO_DATA, .ttl = 18 };
	struct dns_record r[ROOM];
	size_t count;
	uint32_t ttl;

	ck_assert_int_eq(read_row(&no_name, r, &count, &ttl), DNS_NO_NAME);
	ck_assert_uint_eq(ttl, 17);
	ck_assert_int_eq(read_row(&no_data, r, &count, &ttl), DNS_NO_DATA);
	ck_assert_uint_eq(ttl, 18);
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(takes_a_huge_time_to_live_for_none)
{
	const struct zone_row row = { DNS_A, "a.example", .records = "192.0.2.7", .ttl = 0x80000001 };
	struct dns_record r[ROOM];
	size_t count;
	uint32_t ttl;

	ck_assert_int_eq(read_row(&row, r, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(ttl, 0);
}
END_TEST

START_TEST(follows_an_alias)
{
	/* b.example is a CNAME of the question's name, 3 s; the address is one of b.example, 90 s. */
	static const unsigned char message[] =
		"\0\7\x81\x80\0\1\0\2\0\0\0\0" "\1a\7example\0\0\1\0\1"
		"\xc0\x0c\0\5\0\1\0\0\0\3\0\4\1b\xc0\x0e" "\xc0\x27\0\1\0\1\0\0\0\x5a\0\4\xc0\0\2\1";
	struct dns_record r[ROOM];
	size_t count;
	uint32_t ttl;

	ck_assert_int_eq(dns_message_read(message, sizeof(message) - 1, DNS_A, r, ROOM, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(ttl, 3);
}
END_TEST

/* Adds a service of the question's name, at a target as it is in the message. */
static size_t put_service(unsigned char *at, const char *target, size_t len)
{
	static const unsigned char head[18] = "\xc0\x0c\0\x21\0\1\0\0\0\x3c\0\0\0\1\0\0\x14\x95";

	memcpy(at, head, sizeof(head));
	at[11] = (unsigned char)(6 + len);
	memcpy(at + sizeof(head), target, len);
	return sizeof(head) + len;
}

/* A service that nobody can reach is no reason to reach none of them. */
START_TEST(leaves_out_services_without_a_host)
{
	static const unsigned char question[] = "\0\7\x81\x80\0\1\0\4\0\0\0\0" "\2_x\7example\0\0\x21\0\1";
	unsigned char message[512];
	size_t len = sizeof(question) - 1, count;
	struct dns_record r[ROOM];
	char label[64] = { 63 };
	uint32_t ttl;

	memcpy(message, question, len);
	len += put_service(message + len, "\3a b\xc0\x0f", 6);
	len += put_service(message + len, "\1h\xc0\x0f", 4);
	len += put_service(message + len, "\3a.b\xc0\x0f", 6);
	/* Each of its bytes is four in text: longer than a name may be. */
	memset(label + 1, 1, sizeof(label) - 1);
	memcpy(message + len + put_service(message + len, label, sizeof(label)), "\xc0\x0f", 2);
	message[len + 11] += 2;
	len += 18 + sizeof(label) + 2;
	ck_assert_int_eq(dns_message_read(message, len, DNS_SRV, r, ROOM, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(r[0].port, 5269);
	ck_assert_str_eq(r[0].target, "h.example");
	/* If none is left, there is something nonetheless. */
	message[7] = 1;
	ck_assert_int_eq(dns_message_read(message, len, DNS_SRV, r, ROOM, &count, &ttl), DNS_FAILED);
	/* One that cannot be read at all. */
	message[7] = 2;
	len = sizeof(question) - 1;
	len += put_service(message + len, "\1h\xc0\x0f", 4);
	len += put_service(message + len, "\xff\xff", 2);
	ck_assert_int_eq(dns_message_read(message, len, DNS_SRV, r, ROOM, &count, &ttl), DNS_FAILED);
}
END_TEST

START_TEST(cuts_a_long_answer)
{
	struct zone_row row = { .kind = DNS_SRV, .name = "_x._tcp.example" };
	char *records = mem_new(40000), *at = records;
	struct dns_record r[ROOM];
	size_t count;
	uint32_t ttl;

	for (int i = 0; i < 1000; i++)
		at += sprintf(at, "%s1 1 1 host%d.example", i != 0 ? ";" : "", i);
	row.records = records;
	ck_assert_int_eq(read_row(&row, r, &count, &ttl), DNS_FOUND);
	ck_assert_uint_eq(count, ROOM);
	free(records);
}
END_TEST

/* Whatever is said, what is read is bounded, and names are such as hosts have. */
static void read_any(const unsigned char *message, size_t len, enum dns_kind kind)
{
	unsigned char *copy = mem_resize(NULL, len != 0 ? len : 1);   /* so that a byte too many is noticed */
	struct dns_record r[ROOM];
	size_t count;
	uint32_t ttl;

	memcpy(copy, message, len);
	if (dns_message_read(copy, len, kind, r, ROOM, &count, &ttl) == DNS_FOUND)
		for (size_t i = 0; i < count && kind == DNS_SRV; i++)
			ck_assert_uint_eq(strspn(r[i].target, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."),
			                  strlen(r[i].target));
	free(copy);
}

START_TEST(survives_broken_messages)
{
	const struct zone_row rows[] = {
		{ DNS_SRV, "_x._tcp.example", .records = "1 2 3 a.example;4 5 6 b.example" },
		{ DNS_AAAA, "a.example", .records = "::1;::2" },
		{ DNS_A, "a.example", .result = DNS_NO_NAME },
	};
	unsigned char *message = mem_new(ZONE_MESSAGE_MAX);

	for (size_t i = 0; i < 3; i++) {
		size_t len = zone_message(&rows[i], rows[i].kind, rows[i].name, 7, message);

		for (size_t cut = 0; cut < len; cut++)
			read_any(message, cut, rows[i].kind);
		for (size_t at = 0; at < len; at++) {
			unsigned char was = message[at];

			for (unsigned byte = 0; byte < 256; byte++) {
				message[at] = (unsigned char)byte;
				read_any(message, len, rows[i].kind);
			}
			message[at] = was;
		}
	}
	free(message);
}
END_TEST

static enum dns_result read_bytes(const void *bytes, size_t len, enum dns_kind kind)
{
	struct dns_record r[ROOM];
	size_t count;
	uint32_t ttl;

	return dns_message_read(bytes, len, kind, r, ROOM, &count, &ttl);
}

START_TEST(refuses_what_makes_no_sense)
{
	/* A target with a space, a name that points to itself, data that are shorter and longer than said. */
	static const char space[] = "\0\7\x81\x80\0\0\0\1\0\0\0\0" "\1a\0\0\x21\0\1\0\0\0\3\0\x0b\0\1\0\1\0\1\3a b\0";
	static const char loop[] = "\0\7\x81\x80\0\0\0\1\0\0\0\0" "\1a\0\0\x21\0\1\0\0\0\3\0\x08\0\1\0\1\0\1\xc0\x1f";
	static const char less[] = "\0\7\x81\x80\0\0\0\1\0\0\0\0" "\1a\0\0\x21\0\1\0\0\0\3\0\x07\0\1\0\1\0\1\3a-b\0";
	static const char more[] = "\0\7\x81\x80\0\0\0\1\0\0\0\0" "\1a\0\0\1\0\1\0\0\0\3\0\5\1\2\3\4\5";
	static const char good[] = "\0\7\x81\x80\0\0\0\1\0\0\0\0" "\1a\0\0\x21\0\1\0\0\0\3\0\x0b\0\1\0\1\0\1\3a-b\0";

	ck_assert_int_eq(read_bytes(space, sizeof(space) - 1, DNS_SRV), DNS_FAILED);
	ck_assert_int_eq(read_bytes(loop, sizeof(loop) - 1, DNS_SRV), DNS_FAILED);
	ck_assert_int_eq(read_bytes(less, sizeof(less) - 1, DNS_SRV), DNS_FAILED);
	ck_assert_int_eq(read_bytes(more, sizeof(more) - 1, DNS_A), DNS_FAILED);
	ck_assert_int_eq(read_bytes(good, sizeof(good) - 1, DNS_SRV), DNS_FOUND);
}
END_TEST

/* ---- names ---- */

START_TEST(makes_names_ascii)
{
	static const char *const pairs[][2] = {
		{ "example.org", "example.org" }, { "Example.ORG.", "example.org" },
		{ "b\xc3\xbc" "cher.example", "xn--bcher-kva.example" }, { "fa\xc3\x9f.de", "xn--fa-hia.de" },
		{ "a--b.example", "a--b.example" }, { "a_b.example", "a_b.example" }, { "192.0.2.1", "192.0.2.1" },
		{ "[2001:db8::1]", "2001:db8::1" }, { "2001:db8::1", "2001:db8::1" }, { "localhost", "localhost" },
		{ "", NULL }, { ".", NULL }, { "a..b", NULL }, { "a b.example", NULL }, { "a\\.b", NULL }, { "[x]", NULL },
		{ "[]", NULL }, { "a\xff.example", NULL },
		{ "0123456789012345678901234567890123456789012345678901234567890123.example", NULL },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char *ascii = dns_to_ascii(pairs[i][0]);

		if (pairs[i][1] == NULL)
			ck_assert_msg(ascii == NULL, "%s", pairs[i][0]);
		else
			ck_assert_str_eq(ascii, pairs[i][1]);
		free(ascii);
	}
}
END_TEST

/* ---- the cache, in simulated time ---- */

static const struct zone_row rows[] = {
	{ DNS_A, "a.example", .records = "192.0.2.1", .delay_ms = 5, .ttl = 100 },
	{ DNS_AAAA, "a.example", .records = "::1", .delay_ms = 5, .ttl = 100 },
	{ DNS_A, "b.example", .records = "192.0.2.2", .ttl = 100000 },
	{ DNS_A, "quick.example", .records = "192.0.2.3", .ttl = 1 },
	{ DNS_A, "none.example", .result = DNS_NO_DATA, .ttl = 10 },
	{ DNS_A, "late.example", .result = DNS_TIMEOUT, .delay_ms = 3000 },
	{ DNS_A, "bad.example", .result = DNS_FAILED },
	{ DNS_A, "garbage.example", .is_garbage = true },
	{ DNS_A, "many.example", .records = "192.0.2.1;192.0.2.2;192.0.2.3;192.0.2.4;192.0.2.5" },
	{ DNS_SRV, "_xmpp-server._tcp.d.example", .records = "0 0 5269 a.example" },
	{ DNS_TLSA, "_5269._tcp.a.example", .records = "3 1 1 00" },
	{ DNS_TLSA, "_5269._tcp.b.example", .records = "3 1 1 00", .is_authentic = true },
	{ DNS_TLSA, "_5269._tcp.none.example", .result = DNS_NO_DATA, .is_authentic = true },
	{ 0 },
};

struct bed {
	struct net_sim sim;
	struct zone_source zone;
	struct dns *dns;
};

struct answer {
	enum dns_result result;
	size_t count;
	bool is_authentic;
	unsigned calls;
	struct bed *bed;               /* asks again, or flushes, out of the callback */
	unsigned again;
	struct dns_query *cancel;
};

static void bed_init(struct bed *b, size_t cache_entries)
{
	const struct dns_settings settings = {
		.timeout_ms = 1000, .tries = 2, .cache_entries = cache_entries, .cache_bytes = 1 << 20, .max_ttl_ms = 3600000,
		.negative_ttl_ms = 60000, .max_records = 3,
	};

	net_sim_init(&b->sim);
	zone_source_init(&b->zone, &b->sim, rows);
	b->zone.dns = b->dns = dns_new_with(&b->sim.worker, &settings, &b->zone.source);
}

static void bed_deinit(struct bed *b)
{
	dns_free(b->dns);
	ck_assert(b->zone.is_freed);
	net_sim_deinit(&b->sim);
}

static void on_answer(void *arg, const struct dns_answer *answer)
{
	struct answer *a = arg;

	a->calls++;
	a->result = answer->result;
	a->count = answer->count;
	a->is_authentic = answer->is_authentic;
	dns_cancel(a->cancel);
	a->cancel = NULL;
	if (a->again != 0) {
		a->again--;
		dns_flush(a->bed->dns, "");
		dns_ask(a->bed->dns, DNS_A, "bad.example", on_answer, a);
	}
}

/* Asks and waits; the time that passes is small but for late.example. */
static struct answer ask(struct bed *b, const char *name)
{
	struct answer a = { 0 };

	dns_ask(b->dns, DNS_A, name, on_answer, &a);
	ck_assert_uint_eq(a.calls, 0);
	net_sim_run(&b->sim, 10);
	if (a.calls == 0)
		net_sim_run(&b->sim, 5000);
	ck_assert_uint_eq(a.calls, 1);
	return a;
}

START_TEST(shares_a_question)
{
	struct answer a[3] = { 0 };
	struct bed b;

	bed_init(&b, 100);
	dns_ask(b.dns, DNS_A, "a.example", on_answer, &a[0]);
	dns_ask(b.dns, DNS_A, "A.Example", on_answer, &a[1]);
	dns_ask(b.dns, DNS_AAAA, "a.example", on_answer, &a[2]);
	net_sim_run(&b.sim, 10);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(a[i].calls, 1);
		ck_assert_int_eq(a[i].result, DNS_FOUND);
		ck_assert_uint_eq(a[i].count, 1);
	}
	ck_assert_uint_eq(b.zone.asked, 2);
	bed_deinit(&b);
}
END_TEST

START_TEST(keeps_answers_for_their_time)
{
	struct bed b;

	bed_init(&b, 100);
	ask(&b, "a.example");
	net_sim_run(&b.sim, 99000);
	ck_assert_int_eq(ask(&b, "A.EXAMPLE").result, DNS_FOUND);
	ck_assert_uint_eq(b.zone.asked, 1);
	net_sim_run(&b.sim, 1000);
	ck_assert_int_eq(ask(&b, "a.example").result, DNS_FOUND);
	ck_assert_uint_eq(b.zone.asked, 2);
	/* No longer than allowed. */
	ask(&b, "b.example");
	net_sim_run(&b.sim, 3601000);
	ask(&b, "b.example");
	ck_assert_uint_eq(b.zone.asked, 4);
	bed_deinit(&b);
}
END_TEST

/* Twice, as what is kept is told in the same way. */
static void expect_authentic(struct bed *b, const char *name, bool is_authentic)
{
	for (int i = 0; i < 2; i++) {
		struct answer a = { 0 };

		dns_ask(b->dns, DNS_TLSA, name, on_answer, &a);
		net_sim_run(&b->sim, 10);
		ck_assert_uint_eq(a.calls, 1);
		ck_assert_int_eq(a.is_authentic, is_authentic);
	}
}

START_TEST(believes_trusted_servers_only)
{
	const struct dns_settings trusting = {
		.cache_entries = 100, .cache_bytes = 1 << 20, .max_ttl_ms = 3600000, .negative_ttl_ms = 60000, .max_records = 3, .is_trusted = true,
	};
	struct bed b;

	bed_init(&b, 100);
	expect_authentic(&b, "_5269._tcp.a.example", false);
	expect_authentic(&b, "_5269._tcp.b.example", false);
	dns_free(b.dns);
	zone_source_init(&b.zone, &b.sim, rows);
	b.zone.dns = b.dns = dns_new_with(&b.sim.worker, &trusting, &b.zone.source);
	expect_authentic(&b, "_5269._tcp.a.example", false);
	expect_authentic(&b, "_5269._tcp.b.example", true);
	expect_authentic(&b, "_5269._tcp.none.example", true);
	ck_assert_uint_eq(b.zone.asked, 3);
	bed_deinit(&b);
}
END_TEST

START_TEST(keeps_absence_for_its_time)
{
	struct bed b;

	bed_init(&b, 100);
	ck_assert_int_eq(ask(&b, "none.example").result, DNS_NO_DATA);
	ck_assert_int_eq(ask(&b, "none.example").result, DNS_NO_DATA);
	ck_assert_int_eq(ask(&b, "unknown.example").result, DNS_NO_NAME);
	ck_assert_int_eq(ask(&b, "unknown.example").result, DNS_NO_NAME);
	ck_assert_uint_eq(b.zone.asked, 2);
	net_sim_run(&b.sim, 11000);
	ask(&b, "unknown.example");
	ck_assert_uint_eq(b.zone.asked, 2);
	ask(&b, "none.example");
	ck_assert_uint_eq(b.zone.asked, 3);
	bed_deinit(&b);
}
END_TEST

START_TEST(does_not_keep_failures)
{
	struct bed b;

	bed_init(&b, 100);
	ck_assert_int_eq(ask(&b, "late.example").result, DNS_TIMEOUT);
	ck_assert_int_eq(ask(&b, "late.example").result, DNS_TIMEOUT);
	ck_assert_int_eq(ask(&b, "bad.example").result, DNS_FAILED);
	ck_assert_int_eq(ask(&b, "bad.example").result, DNS_FAILED);
	ck_assert_int_eq(ask(&b, "garbage.example").result, DNS_FAILED);
	ck_assert_uint_eq(b.zone.asked, 5);
	bed_deinit(&b);
}
END_TEST

START_TEST(bounds_what_it_keeps)
{
	struct bed b;
	char name[32];

	bed_init(&b, 10);
	ck_assert_uint_eq(ask(&b, "many.example").count, 3);
	ask(&b, "a.example");
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "x%d.example", i);
		ask(&b, name);
		ask(&b, "a.example");
	}
	/* The one that is used stays, the unused one went. */
	ck_assert_uint_eq(b.zone.asked, 52);
	ask(&b, "many.example");
	ck_assert_uint_eq(b.zone.asked, 53);
	bed_deinit(&b);
}
END_TEST

/* Each with three records, of half a kilobyte. */
START_TEST(bounds_the_bytes_that_it_keeps)
{
	const struct dns_settings settings = { .cache_entries = 1000, .cache_bytes = 20000, .max_ttl_ms = 3600000, .max_records = 3 };
	struct zone_row many[21] = { { 0 } };
	char names[20][32];
	struct bed b;
	int64_t kept;

	for (int i = 0; i < 20; i++) {
		snprintf(names[i], sizeof(names[i]), "m%d.example", i);
		many[i] = (struct zone_row){ DNS_A, names[i], .records = "192.0.2.1;192.0.2.2;192.0.2.3", .ttl = 1000 };
	}
	net_sim_init(&b.sim);
	zone_source_init(&b.zone, &b.sim, many);
	b.zone.dns = b.dns = dns_new_with(&b.sim.worker, &settings, &b.zone.source);
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(ask(&b, names[i]).count, 3);
	kept = tally_get(&b.sim.worker.tally, TALLY_NAMES);
	ck_assert_int_gt(kept, 15000);
	ck_assert_int_le(kept, 20000);
	dns_free(b.dns);
	ck_assert_int_eq(tally_get(&b.sim.worker.tally, TALLY_NAMES), 0);
	net_sim_deinit(&b.sim);
}
END_TEST

START_TEST(lets_a_cancelled_question_end)
{
	struct answer a = { 0 };
	struct bed b;

	/* No room at all: it must not go while its answer may still come. */
	bed_init(&b, 0);
	dns_cancel(dns_ask(b.dns, DNS_A, "late.example", on_answer, &a));
	ask(&b, "a.example");
	ask(&b, "b.example");
	dns_flush(b.dns, "");
	net_sim_run(&b.sim, 5000);
	ck_assert_uint_eq(a.calls, 0);
	/* What is cancelled before its answer is handed out does not come either. */
	dns_cancel(dns_ask(b.dns, DNS_A, "b.example", on_answer, &a));
	net_sim_run(&b.sim, 100);
	ck_assert_uint_eq(a.calls, 0);
	bed_deinit(&b);
}
END_TEST

START_TEST(may_be_called_out_of_a_callback)
{
	struct answer a = { 0 }, other = { 0 };
	struct bed b;

	bed_init(&b, 0);
	a.bed = &b;
	a.again = 3;
	dns_ask(b.dns, DNS_A, "bad.example", on_answer, &a);
	a.cancel = dns_ask(b.dns, DNS_A, "bad.example", on_answer, &other);
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(a.calls, 4);
	ck_assert_uint_eq(other.calls, 0);
	/* A failure that is asked again is a new question. */
	ck_assert_uint_eq(b.zone.asked, 4);
	bed_deinit(&b);
}
END_TEST

START_TEST(frees_what_is_under_way)
{
	struct answer a = { 0 };
	struct bed b;

	bed_init(&b, 100);
	ask(&b, "a.example");
	dns_ask(b.dns, DNS_A, "late.example", on_answer, &a);
	dns_ask(b.dns, DNS_A, "a.example", on_answer, &a);
	bed_deinit(&b);
	ck_assert_uint_eq(a.calls, 0);
}
END_TEST

START_TEST(flushes_a_domain)
{
	struct answer a = { 0 };
	struct bed b;

	bed_init(&b, 100);
	ask(&b, "a.example");
	ask(&b, "b.example");
	dns_ask(b.dns, DNS_SRV, "_xmpp-server._tcp.d.example", on_answer, &a);
	net_sim_run(&b.sim, 10);
	ck_assert_int_eq(a.result, DNS_FOUND);
	dns_flush(b.dns, "example.example");
	dns_flush(b.dns, "xample");
	ask(&b, "a.example");
	ck_assert_uint_eq(b.zone.asked, 3);
	/* The services, and the host that has them. */
	dns_flush(b.dns, "D.example");
	dns_ask(b.dns, DNS_SRV, "_xmpp-server._tcp.d.example", on_answer, &a);
	ask(&b, "a.example");
	ask(&b, "b.example");
	ck_assert_uint_eq(b.zone.asked, 5);
	bed_deinit(&b);
}
END_TEST

START_TEST(has_no_name_that_is_too_long)
{
	char name[2000];
	struct bed b;

	bed_init(&b, 100);
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(ask(&b, name).result, DNS_NO_NAME);
	name[DNS_NAME_MAX] = '\0';
	ck_assert_int_eq(ask(&b, name).result, DNS_NO_NAME);
	ck_assert_uint_eq(b.zone.asked, 0);
	bed_deinit(&b);
}
END_TEST

/* ---- a real name server ---- */

struct live_bed {
	struct live live;
	struct zone_server server;
	struct dns_settings settings;
	struct dns *dns;
	int rc;
	struct err_text et;
	/* one question */
	enum dns_kind kind;
	const char *name;
	enum dns_result result;
	size_t count;
	struct dns_record record;
	sem_t done;
};

static void make_dns(void *arg)
{
	struct live_bed *b = arg;

	b->rc = dns_new(&b->live.worker, &b->settings, &b->dns, &b->et);
}

static void free_dns(void *arg)
{
	struct live_bed *b = arg;

	dns_free(b->dns);
}

static void on_live_answer(void *arg, const struct dns_answer *answer)
{
	struct live_bed *b = arg;

	b->result = answer->result;
	b->count = answer->count;
	if (answer->count != 0)
		b->record = answer->records[0];
	sem_post(&b->done);
}

static void start_question(void *arg)
{
	struct live_bed *b = arg;

	dns_ask(b->dns, b->kind, b->name, on_live_answer, b);
}

static enum dns_result ask_live(struct live_bed *b, enum dns_kind kind, const char *name)
{
	b->kind = kind;
	b->name = name;
	live_call(&b->live, start_question, b);
	sem_wait(&b->done);
	return b->result;
}

static void live_bed_init(struct live_bed *b, const struct zone_row *zone)
{
	memset(b, 0, sizeof(*b));
	sem_init(&b->done, 0, 0);
	zone_server_start(&b->server, zone);
	live_init(&b->live);
	b->settings = (struct dns_settings){
		.servers = b->server.address, .timeout_ms = 150, .tries = 2, .cache_entries = 100, .cache_bytes = 1 << 20, .max_ttl_ms = 60000,
		.negative_ttl_ms = 60000, .max_records = 3,
	};
	live_call(&b->live, make_dns, b);
	ck_assert_int_eq(b->rc, 0);
}

static void live_bed_deinit(struct live_bed *b)
{
	live_call(&b->live, free_dns, b);
	live_deinit(&b->live);
	zone_server_stop(&b->server);
	sem_destroy(&b->done);
}

START_TEST(asks_real_name_servers)
{
	struct live_bed b;

	live_bed_init(&b, rows);
	ck_assert_int_eq(ask_live(&b, DNS_SRV, "_xmpp-server._tcp.D.example"), DNS_FOUND);
	ck_assert_uint_eq(b.record.port, 5269);
	ck_assert_str_eq(b.record.target, "a.example");
	ck_assert_int_eq(ask_live(&b, DNS_A, "many.example"), DNS_FOUND);
	ck_assert_uint_eq(b.count, 3);
	ck_assert_int_eq(ask_live(&b, DNS_AAAA, "a.example"), DNS_FOUND);
	ck_assert_int_eq(ask_live(&b, DNS_A, "none.example"), DNS_NO_DATA);
	ck_assert_int_eq(ask_live(&b, DNS_A, "unknown.example"), DNS_NO_NAME);
	/* No search list. */
	ck_assert_int_eq(ask_live(&b, DNS_A, "unknown"), DNS_NO_NAME);
	ck_assert_int_eq(ask_live(&b, DNS_A, "bad.example"), DNS_FAILED);
	ck_assert_int_eq(ask_live(&b, DNS_A, "late.example"), DNS_TIMEOUT);
	ck_assert_int_eq(ask_live(&b, DNS_A, "garbage.example"), DNS_FAILED);
	ck_assert_int_eq(ask_live(&b, DNS_A, "a..example"), DNS_NO_NAME);
	live_bed_deinit(&b);
}
END_TEST

START_TEST(asks_for_long_answers_over_tcp)
{
	struct zone_row long_rows[] = { { .kind = DNS_SRV, .name = "_x._tcp.example" }, { 0 } };
	char *records = mem_new(8000), *at = records;
	struct live_bed b;

	for (int i = 0; i < 100; i++)
		at += sprintf(at, "%s1 1 1 host%d.example", i != 0 ? ";" : "", i);
	long_rows[0].records = records;
	live_bed_init(&b, long_rows);
	ck_assert_int_eq(ask_live(&b, DNS_SRV, "_x._tcp.example"), DNS_FOUND);
	ck_assert_uint_eq(b.count, 3);
	ck_assert_str_eq(b.record.target, "host0.example");
	live_bed_deinit(&b);
	free(records);
}
END_TEST

START_TEST(frees_real_questions_under_way)
{
	struct live_bed b;

	live_bed_init(&b, rows);
	b.kind = DNS_A;
	b.name = "late.example";
	live_call(&b.live, start_question, &b);
	b.kind = DNS_SRV;
	live_call(&b.live, start_question, &b);
	live_bed_deinit(&b);
}
END_TEST

START_TEST(notices_a_dead_name_server)
{
	struct live_bed b;

	live_bed_init(&b, rows);
	live_call(&b.live, free_dns, &b);
	b.settings.servers = "127.0.0.1:9";
	live_call(&b.live, make_dns, &b);
	ck_assert_int_eq(b.rc, 0);
	ck_assert_int_eq(ask_live(&b, DNS_A, "a.example"), DNS_FAILED);
	live_bed_deinit(&b);
}
END_TEST

START_TEST(refuses_what_is_no_server)
{
	struct live_bed b;
	struct dns *first;

	live_bed_init(&b, rows);
	first = b.dns;
	b.settings.servers = "ns.example";
	live_call(&b.live, make_dns, &b);
	ck_assert_int_lt(b.rc, 0);
	ck_assert_ptr_nonnull(strstr(b.et.text, "ns.example"));
	b.dns = first;
	live_bed_deinit(&b);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, reads_services);
	tcase_add_test(tc, reads_addresses);
	tcase_add_test(tc, reads_what_is_said_of_certificates);
	tcase_add_test(tc, reads_how_long_nothing_is_there);
	tcase_add_test(tc, takes_a_huge_time_to_live_for_none);
	tcase_add_test(tc, follows_an_alias);
	tcase_add_test(tc, leaves_out_services_without_a_host);
	tcase_add_test(tc, cuts_a_long_answer);
	tcase_add_test(tc, survives_broken_messages);
	tcase_add_test(tc, refuses_what_makes_no_sense);
	tcase_add_test(tc, makes_names_ascii);
	tcase_add_test(tc, shares_a_question);
	tcase_add_test(tc, keeps_answers_for_their_time);
	tcase_add_test(tc, believes_trusted_servers_only);
	tcase_add_test(tc, keeps_absence_for_its_time);
	tcase_add_test(tc, does_not_keep_failures);
	tcase_add_test(tc, bounds_what_it_keeps);
	tcase_add_test(tc, bounds_the_bytes_that_it_keeps);
	tcase_add_test(tc, lets_a_cancelled_question_end);
	tcase_add_test(tc, may_be_called_out_of_a_callback);
	tcase_add_test(tc, frees_what_is_under_way);
	tcase_add_test(tc, flushes_a_domain);
	tcase_add_test(tc, has_no_name_that_is_too_long);
	tcase_add_test(tc, asks_real_name_servers);
	tcase_add_test(tc, asks_for_long_answers_over_tcp);
	tcase_add_test(tc, frees_real_questions_under_way);
	tcase_add_test(tc, notices_a_dead_name_server);
	tcase_add_test(tc, refuses_what_is_no_server);
}

UNIT_SUITE(dns);
