/* SPDX-License-Identifier: MIT */
/* Reaching another server: in simulated time over simulated networks, and over real sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/dial.h"
#include "net_fixture.h"
#include "unit.h"

/* ---- a simulated network ---- */

/* What is at an address; without a row, the connection is refused after 1 ms. The last has no address. */
struct place {
	const char *address;
	int error;             /* 0: it connects */
	uint64_t delay_ms;
	bool is_silent;
	bool at_once;          /* fails before it has begun */
};

struct bed {
	struct net_sim sim;
	struct zone_source zone;
	struct dns *dns;
	struct dial_io io;
	const struct place *places;
	unsigned making;       /* connections under way */
	struct dial_settings settings;
	struct dial *dial;
	bool free_in_callback;
	/* what came */
	unsigned connected, failed;
	uint64_t at;           /* milliseconds after the start */
	uint64_t start;
	struct srv_target target;
	char address[64];
	enum dial_failure failure;
	char text[512];
	size_t tlsa_count;
	char trace[8192];
};

struct making {
	struct bed *bed;
	struct timer timer;
	const struct place *place;
	dial_made_cb *made;
	void *arg;
};

static void on_making(struct worker *w, struct timer *t)
{
	struct making m = *LIST_ENTRY(t, struct making, timer);
	int error = m.place != NULL ? m.place->error : ECONNREFUSED;

	(void)w;
	free(LIST_ENTRY(t, struct making, timer));
	m.bed->making--;
	m.made(m.arg, error == 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1, error);
}

static const struct place *find_place(const struct bed *b, const struct sockaddr *address)
{
	const void *bytes = address->sa_family == AF_INET ? (const void *)&((const struct sockaddr_in *)address)->sin_addr :
	                                                    (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr;
	const struct place *p = b->places;
	char text[INET6_ADDRSTRLEN];

	inet_ntop(address->sa_family, bytes, text, sizeof(text));
	while (p->address != NULL && strcmp(p->address, text) != 0)
		p++;
	return p->address != NULL ? p : NULL;
}

static void *fake_begin(const struct dial_io *io, struct worker *w, const struct sockaddr *address, socklen_t len,
                        dial_made_cb *made, void *arg)
{
	struct bed *b = LIST_ENTRY(io, struct bed, io);
	const struct place *place = find_place(b, address);
	struct making *m;

	ck_assert_uint_eq(len, address->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	if (place != NULL && place->at_once) {
		errno = place->error;
		return NULL;
	}
	m = mem_new(sizeof(*m));
	*m = (struct making){ .bed = b, .timer.fire = on_making, .place = place, .made = made, .arg = arg };
	b->making++;
	if (place == NULL || !place->is_silent)
		worker_timer_start(w, &m->timer, place != NULL ? place->delay_ms : 1);
	return m;
}

static void fake_stop(const struct dial_io *io, void *making)
{
	struct making *m = making;

	(void)io;
	worker_timer_stop(&m->bed->sim.worker, &m->timer);
	m->bed->making--;
	free(m);
}

static void on_connected(void *owner, const struct srv_target *target, int fd, const char *address)
{
	struct bed *b = owner;

	close(fd);
	b->connected++;
	b->at = b->sim.now - b->start;
	b->target = *target;
	dial_tlsa(b->dial, &b->tlsa_count);
	snprintf(b->address, sizeof(b->address), "%s", address);
	if (b->free_in_callback) {
		dial_free(b->dial);
		b->dial = NULL;
	}
}

static void on_failed(void *owner, enum dial_failure failure, const char *text)
{
	struct bed *b = owner;

	b->failed++;
	b->at = b->sim.now - b->start;
	b->failure = failure;
	snprintf(b->text, sizeof(b->text), "%s", text);
	if (b->free_in_callback) {
		dial_free(b->dial);
		b->dial = NULL;
	}
}

static void note(void *owner, const char *line)
{
	struct bed *b = owner;
	size_t len = strlen(b->trace);

	snprintf(b->trace + len, sizeof(b->trace) - len, "%llu %s\n", (unsigned long long)(b->sim.now - b->start), line);
}

static const struct dial_events events = { on_connected, on_failed, note };

static void bed_init(struct bed *b, const struct zone_row *rows, const struct place *places)
{
	const struct dns_settings settings = {
		.cache_entries = 100, .cache_bytes = 1 << 20, .max_ttl_ms = 3600000, .negative_ttl_ms = 60000, .max_records = 64,
		.is_trusted = true,
	};

	memset(b, 0, sizeof(*b));
	net_sim_init(&b->sim);
	zone_source_init(&b->zone, &b->sim, rows);
	b->zone.dns = b->dns = dns_new_with(&b->sim.worker, &settings, &b->zone.source);
	b->io = (struct dial_io){ fake_begin, fake_stop };
	b->places = places;
	b->settings = (struct dial_settings){ .connect_ms = 10000, .total_ms = 40000, .io = &b->io };
}

static void bed_deinit(struct bed *b)
{
	dial_free(b->dial);
	ck_assert_uint_eq(b->making, 0);
	dns_free(b->dns);
	net_sim_deinit(&b->sim);
}

static void begin(struct bed *b, const struct dial_plan *plan)
{
	dial_free(b->dial);
	b->connected = b->failed = 0;
	b->trace[0] = '\0';
	b->start = b->sim.now;
	b->dial = dial_start(&b->sim.worker, b->dns, &b->settings, plan, &events, b);
	ck_assert_uint_eq(b->connected + b->failed, 0);
	ck_assert_str_eq(b->trace, "");
}

static void dial_domain(struct bed *b, const char *domain)
{
	begin(b, &(struct dial_plan){ .domain = domain });
	net_sim_run(&b->sim, 100000);
	ck_assert_uint_eq(b->connected + b->failed, 1);
}

static void expect_failure(struct bed *b, const char *domain, enum dial_failure failure, const char *text)
{
	dial_domain(b, domain);
	ck_assert_uint_eq(b->failed, 1);
	ck_assert_str_eq(b->text, text);
	ck_assert_int_eq(b->failure, failure);
}

static void expect_address(struct bed *b, const char *domain, const char *address, unsigned port)
{
	dial_domain(b, domain);
	ck_assert_msg(b->connected == 1, "%s", b->text);
	ck_assert_str_eq(b->address, address);
	ck_assert_uint_eq(b->target.port, port);
}

#define PLAIN "_xmpp-server._tcp."
#define DIRECT "_xmpps-server._tcp."

static const struct place places[] = {
	{ "192.0.2.1", .delay_ms = 20 },
	{ "192.0.2.2", .is_silent = true },
	{ "192.0.2.3", .error = EHOSTUNREACH, .delay_ms = 30 },
	{ "192.0.2.4", .delay_ms = 400 },
	{ "2001:db8::1", .delay_ms = 20 },
	{ "2001:db8::2", .is_silent = true },
	{ "2001:db8::3", .error = ENETUNREACH, .at_once = true },
	{ "2001:db8::4", .delay_ms = 300 },
	{ "::1", .delay_ms = 1 },
	{ 0 },
};

/* ---- what DNS says of certificates ---- */

static const struct zone_row signed_rows[] = {
	{ DNS_SRV, PLAIN "good.example", .records = "0 0 5269 a.example", .is_authentic = true },
	{ DNS_SRV, PLAIN "late.example", .records = "0 0 5270 a.example", .is_authentic = true },
	{ DNS_SRV, PLAIN "slow.example", .records = "0 0 5271 a.example", .is_authentic = true },
	{ DNS_SRV, PLAIN "none.example", .records = "0 0 5272 a.example", .is_authentic = true },
	{ DNS_SRV, PLAIN "doubtful.example", .records = "0 0 5273 a.example", .is_authentic = true },
	{ DNS_SRV, PLAIN "unsigned.example", .records = "0 0 5269 a.example" },
	{ DNS_SRV, PLAIN "outside.example", .records = "0 0 5269 b.example", .is_authentic = true },
	{ DNS_SRV, PLAIN "self.example", .result = DNS_NO_DATA, .is_authentic = true },
	{ DNS_SRV, PLAIN "next.example", .records = "0 0 5269 c.example;1 0 5272 a.example", .is_authentic = true },
	{ DNS_A, "a.example", .records = "192.0.2.1", .is_authentic = true },
	{ DNS_A, "b.example", .records = "192.0.2.1" },
	{ DNS_A, "c.example", .records = "192.0.2.1", .is_authentic = true },
	{ DNS_A, "self.example", .records = "192.0.2.1", .is_authentic = true },
	{ DNS_TLSA, "_5269._tcp.a.example", .records = "3 1 1 00;3 1 1 01", .delay_ms = 40, .is_authentic = true },
	{ DNS_TLSA, "_5270._tcp.a.example", .records = "3 1 1 00", .delay_ms = 250, .is_authentic = true },
	{ DNS_TLSA, "_5271._tcp.a.example", .records = "3 1 1 00", .delay_ms = 900, .ttl = 3600, .is_authentic = true },
	{ DNS_TLSA, "_5272._tcp.a.example", .result = DNS_NO_DATA, .is_authentic = true },
	{ DNS_TLSA, "_5273._tcp.a.example", .records = "3 1 1 00" },
	{ DNS_TLSA, "_5269._tcp.b.example", .records = "3 1 1 00", .delay_ms = 900, .is_authentic = true },
	{ DNS_TLSA, "_5269._tcp.c.example", .records = "3 1 1 00", .is_authentic = true },
	{ DNS_TLSA, "_5269._tcp.self.example", .records = "3 1 1 00", .is_authentic = true },
	{ 0 },
};

static void expect_tlsa(struct bed *b, const char *domain, size_t count, uint64_t at)
{
	dial_domain(b, domain);
	ck_assert_msg(b->connected == 1, "%s", b->text);
	ck_assert_msg(b->tlsa_count == count, "%s: %zu\n%s", domain, b->tlsa_count, b->trace);
	ck_assert_msg(b->at <= at, "%s: %llu\n%s", domain, (unsigned long long)b->at, b->trace);
}

START_TEST(tells_what_dns_says_of_certificates)
{
	struct bed b;

	bed_init(&b, signed_rows, places);
	b.settings.dane = true;
	expect_tlsa(&b, "good.example", 2, 90);
	ck_assert_ptr_nonnull(strstr(b.trace, "looked up TLSA _5269._tcp of a.example: 2 found"));
	expect_tlsa(&b, "late.example", 1, 300);
	expect_tlsa(&b, "none.example", 0, 90);
	expect_tlsa(&b, "self.example", 1, 90);
	/* What DNSSEC does not prove is nothing, and not waited for. */
	expect_tlsa(&b, "unsigned.example", 0, 90);
	ck_assert_ptr_null(strstr(b.trace, "TLSA"));
	expect_tlsa(&b, "outside.example", 0, 90);
	expect_tlsa(&b, "doubtful.example", 0, 90);
	ck_assert_ptr_nonnull(strstr(b.trace, "not checked by DNSSEC"));
	bed_deinit(&b);
}
END_TEST

START_TEST(does_not_wait_long_for_certificates)
{
	struct bed b;

	bed_init(&b, signed_rows, places);
	b.settings.dane = true;
	expect_tlsa(&b, "slow.example", 0, 400);
	ck_assert_uint_ge(b.at, 300);
	ck_assert_ptr_nonnull(strstr(b.trace, "goes on without"));
	/* It came in the meantime, and is kept. */
	expect_tlsa(&b, "slow.example", 1, 90);
	bed_deinit(&b);
}
END_TEST

START_TEST(asks_nothing_of_certificates_unless_told)
{
	struct bed b;
	size_t count;

	bed_init(&b, signed_rows, places);
	expect_tlsa(&b, "good.example", 0, 90);
	ck_assert_ptr_null(strstr(b.trace, "TLSA"));
	b.settings.dane = true;
	begin(&b, &(struct dial_plan){ .domain = "good.example", .host = "a.example", .port = 5269 });
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.connected, 1);
	ck_assert_uint_eq(b.tlsa_count, 0);
	/* Those of one server are not those of the next. */
	begin(&b, &(struct dial_plan){ .domain = "next.example" });
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.tlsa_count, 1);
	dial_next(b.dial);
	ck_assert_ptr_null(dial_tlsa(b.dial, &count));
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.connected, 2);
	ck_assert_uint_eq(b.target.port, 5272);
	ck_assert_uint_eq(b.tlsa_count, 0);
	bed_deinit(&b);
}
END_TEST

START_TEST(closes_what_waits_for_certificates)
{
	struct bed b;

	bed_init(&b, signed_rows, places);
	b.settings.dane = true;
	for (uint64_t ms = 0; ms < 400; ms += 10) {
		dns_flush(b.dns, "");
		begin(&b, &(struct dial_plan){ .domain = "slow.example" });
		net_sim_run(&b.sim, ms);
	}
	b.free_in_callback = true;
	dns_flush(b.dns, "");
	dial_domain(&b, "late.example");
	dns_flush(b.dns, "");
	dial_domain(&b, "slow.example");
	bed_deinit(&b);
}
END_TEST

/* ---- where to ---- */

START_TEST(follows_services)
{
	static const struct zone_row rows[] = {
		{ DNS_SRV, PLAIN "x.example", .records = "2 0 5269 two.x.example;3 0 5299 three.x.example" },
		{ DNS_SRV, DIRECT "x.example", .records = "1 0 443 one.x.example" },
		{ DNS_A, "three.x.example", .records = "192.0.2.1" },
		{ DNS_A, "two.x.example", .records = "192.0.2.9" },
		{ DNS_AAAA, "one.x.example", .records = "2001:db8::3" },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	expect_address(&b, "x.example", "192.0.2.1", 5299);
	ck_assert(!b.target.is_direct_tls);
	ck_assert_str_eq(b.target.host, "three.x.example");
	ck_assert_str_eq(b.trace,
		"0 looked up SRV _xmpp-server._tcp of x.example: 2 found, after 0 ms\n"
		"0 looked up SRV _xmpps-server._tcp of x.example: 1 found, after 0 ms\n"
		"0 server 1: one.x.example port 443, direct TLS, priority 1, weight 0\n"
		"0 server 2: two.x.example port 5269, priority 2, weight 0\n"
		"0 server 3: three.x.example port 5299, priority 3, weight 0\n"
		"0 looked up AAAA of one.x.example: 1 found, after 0 ms\n"
		"0 connecting to 2001:db8::3 port 443, direct TLS\n"
		"0 2001:db8::3 port 443: Network is unreachable, after 0 ms\n"
		"1 looked up A of one.x.example: no such name, after 1 ms\n"
		"1 looked up A of two.x.example: 1 found, after 0 ms\n"
		"2 looked up AAAA of two.x.example: no such name, after 1 ms\n"
		"2 connecting to 192.0.2.9 port 5269\n"
		"3 192.0.2.9 port 5269: Connection refused, after 1 ms\n"
		"3 looked up A of three.x.example: 1 found, after 0 ms\n"
		"4 looked up AAAA of three.x.example: no such name, after 1 ms\n"
		"4 connecting to 192.0.2.1 port 5299\n"
		"24 connected to 192.0.2.1 port 5299 after 20 ms\n");
	bed_deinit(&b);
}
END_TEST

START_TEST(falls_back_to_the_domain)
{
	static const struct zone_row rows[] = {
		{ DNS_A, "x.example", .records = "192.0.2.1" },
		/* No direct TLS says nothing about the other kind. */
		{ DNS_SRV, DIRECT "y.example", .records = "0 0 0 ." },
		{ DNS_A, "y.example", .records = "192.0.2.1" },
		{ DNS_SRV, PLAIN "xn--bcher-kva.example", .result = DNS_NO_DATA },
		{ DNS_AAAA, "xn--bcher-kva.example", .records = "2001:db8::1" },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	expect_address(&b, "x.example", "192.0.2.1", 5269);
	expect_address(&b, "y.example", "192.0.2.1", 5269);
	expect_address(&b, "b\xc3\xbc" "cher.example", "2001:db8::1", 5269);
	bed_deinit(&b);
}
END_TEST

START_TEST(needs_no_dns_for_an_address)
{
	static const struct zone_row rows[] = { { 0 } };
	struct bed b;

	bed_init(&b, rows, places);
	expect_address(&b, "192.0.2.1", "192.0.2.1", 5269);
	expect_address(&b, "[2001:db8::1]", "2001:db8::1", 5269);
	expect_failure(&b, "192.0.2.9", DIAL_REFUSED, "192.0.2.9 (192.0.2.9) refused the connection to port 5269");
	ck_assert_uint_eq(b.zone.asked, 0);
	bed_deinit(&b);
}
END_TEST

START_TEST(goes_where_it_is_told)
{
	static const struct zone_row rows[] = { { DNS_A, "inner.example", .records = "192.0.2.1" }, { 0 } };
	struct dial_plan plan = { .domain = "\xff", .host = "inner.example", .port = 1234, .is_direct_tls = true };
	struct bed b;
	struct dns *dns;

	bed_init(&b, rows, places);
	begin(&b, &plan);
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.connected, 1);
	ck_assert_uint_eq(b.target.port, 1234);
	ck_assert(b.target.is_direct_tls);
	plan.domain = "x.example";
	plan.host = "absent.example";
	begin(&b, &plan);
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.failed, 1);
	ck_assert_int_eq(b.failure, DIAL_NO_ADDRESS);
	ck_assert_str_eq(b.text, "absent.example, the host that is configured for x.example, has no address");
	/* Without a resolver, addresses still work. */
	dns = b.dns;
	b.dns = NULL;
	begin(&b, &plan);
	net_sim_run(&b.sim, 1000);
	ck_assert_int_eq(b.failure, DIAL_DNS_FAILED);
	plan.host = "[2001:db8::1]";
	begin(&b, &plan);
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.connected, 1);
	b.dns = dns;
	bed_deinit(&b);
}
END_TEST

START_TEST(does_not_wait_long_for_the_other_kind)
{
	static const struct zone_row rows[] = {
		{ DNS_SRV, PLAIN "x.example", .records = "1 0 5269 a.example" },
		{ DNS_SRV, DIRECT "x.example", .result = DNS_TIMEOUT, .delay_ms = 9000 },
		{ DNS_SRV, PLAIN "y.example", .result = DNS_FAILED, .delay_ms = 10 },
		{ DNS_SRV, DIRECT "y.example", .records = "1 0 5270 a.example", .delay_ms = 20 },
		{ DNS_A, "a.example", .records = "192.0.2.1" },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	expect_address(&b, "x.example", "192.0.2.1", 5269);
	ck_assert_uint_lt(b.at, 1200);
	expect_address(&b, "y.example", "192.0.2.1", 5270);
	bed_deinit(&b);
}
END_TEST

/* ---- failures ---- */

START_TEST(says_what_is_wrong_with_dns)
{
	static const struct zone_row rows[] = {
		{ DNS_SRV, PLAIN "bare.example", .result = DNS_NO_DATA },
		{ DNS_A, "bare.example", .result = DNS_NO_DATA },
		{ DNS_AAAA, "bare.example", .result = DNS_NO_DATA },
		{ DNS_SRV, PLAIN "not.example", .records = "0 0 0 ." },
		{ DNS_SRV, PLAIN "nowhere.example", .records = "0 0 5269 gone.example" },
		{ DNS_SRV, PLAIN "late.example", .result = DNS_TIMEOUT, .delay_ms = 9000 },
		{ DNS_SRV, PLAIN "bad.example", .result = DNS_FAILED },
		{ DNS_SRV, PLAIN "garbage.example", .is_garbage = true },
		{ DNS_A, "late-host.example", .result = DNS_TIMEOUT, .delay_ms = 9000 },
		{ DNS_A, "bad-host.example", .result = DNS_FAILED },
		{ DNS_SRV, PLAIN "never.example", .result = DNS_TIMEOUT, .delay_ms = 90000 },
		{ DNS_A, "never-host.example", .result = DNS_TIMEOUT, .delay_ms = 90000 },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	expect_failure(&b, "absent.example", DIAL_NO_NAME, "the domain absent.example does not exist in DNS");
	expect_failure(&b, "bare.example", DIAL_NO_NAME,
	               "DNS knows neither an XMPP service nor an address of bare.example");
	expect_failure(&b, "not.example", DIAL_NO_SERVICE,
	               "not.example says in DNS that it has no XMPP service for other servers");
	expect_failure(&b, "nowhere.example", DIAL_NO_ADDRESS,
	               "gone.example, which DNS names as the server of nowhere.example, has no address");
	expect_failure(&b, "late.example", DIAL_DNS_TIMEOUT,
	               "the name servers did not answer in time when asked for the XMPP service of late.example");
	expect_failure(&b, "bad.example", DIAL_DNS_FAILED,
	               "the name servers gave no usable answer when asked for the XMPP service of bad.example");
	expect_failure(&b, "garbage.example", DIAL_DNS_FAILED,
	               "the name servers gave no usable answer when asked for the XMPP service of garbage.example");
	expect_failure(&b, "late-host.example", DIAL_DNS_TIMEOUT,
	               "the name servers did not answer in time when asked for the address of late-host.example");
	expect_failure(&b, "bad-host.example", DIAL_DNS_FAILED,
	               "the name servers gave no usable answer when asked for the address of bad-host.example");
	expect_failure(&b, "never.example", DIAL_DNS_TIMEOUT,
	               "the name servers did not tell the XMPP service of never.example within 40 s");
	expect_failure(&b, "never-host.example", DIAL_DNS_TIMEOUT,
	               "the name servers did not answer in time when asked for the address of never-host.example");
	ck_assert_uint_eq(b.at, 40000);
	expect_failure(&b, "a b", DIAL_NO_NAME, "a b cannot be a domain name in DNS");
	expect_failure(&b, "0123456789012345678901234567890123456789012345678.0123456789012345678901234567890123456789."
	               "0123456789012345678901234567890123456789012345678901234567.01234567890123456789012345678901234567."
	               "0123456789012345678901234567890123456789012345678", DIAL_NO_NAME,
	               "0123456789012345678901234567890123456789012345678.0123456789012345678901234567890123456789."
	               "0123456789012345678901234567890123456789012345678901234567.01234567890123456789012345678901234567."
	               "0123456789012345678901234567890123456789012345678 cannot be a domain name in DNS");
	bed_deinit(&b);
}
END_TEST

START_TEST(says_what_is_wrong_with_the_network)
{
	static const struct zone_row rows[] = {
		{ DNS_A, "refused.example", .records = "192.0.2.9" },
		{ DNS_A, "silent.example", .records = "192.0.2.2" },
		{ DNS_A, "cut.example", .records = "192.0.2.3" },
		/* That we have no IPv6 is not what is wrong. */
		{ DNS_A, "both.example", .records = "192.0.2.9;192.0.2.3" },
		{ DNS_AAAA, "both.example", .records = "2001:db8::3" },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	expect_failure(&b, "refused.example", DIAL_REFUSED,
	               "refused.example (192.0.2.9) refused the connection to port 5269");
	expect_failure(&b, "silent.example", DIAL_TIMEOUT, "silent.example (192.0.2.2) does not answer on port 5269");
	ck_assert_uint_ge(b.at, 10000);
	ck_assert_uint_lt(b.at, 10100);
	expect_failure(&b, "cut.example", DIAL_UNREACHABLE, "cut.example (192.0.2.3) cannot be reached: No route to host");
	expect_failure(&b, "both.example", DIAL_REFUSED,
	               "both.example (192.0.2.9) refused the connection to port 5269 (3 addresses were tried)");
	ck_assert(!dial_reached_any(b.dial));
	bed_deinit(&b);
}
END_TEST

START_TEST(ends_in_time)
{
	static const struct zone_row rows[] = {
		{ DNS_SRV, PLAIN "x.example",
		  .records = "0 0 1 a.example;1 0 2 a.example;2 0 3 a.example;3 0 4 a.example;4 0 5 a.example;5 0 6 a.example" },
		{ DNS_A, "a.example", .records = "192.0.2.2" },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	dial_domain(&b, "x.example");
	ck_assert_int_eq(b.failure, DIAL_TIMEOUT);
	ck_assert_uint_eq(b.at, 40000);
	ck_assert_str_eq(b.text, "a.example (192.0.2.2) does not answer on port 4 (4 addresses were tried)");
	bed_deinit(&b);
}
END_TEST

START_TEST(bounds_what_it_tries)
{
	struct zone_row rows[] = { { .kind = DNS_SRV, .name = PLAIN "x.example" }, { .kind = DNS_A, .name = "a.example" }, { 0 } };
	char *srv = mem_new(4000), *addresses = mem_new(4000);
	struct bed b;

	for (int i = 0; i < 60; i++) {
		sprintf(srv + strlen(srv), "%s0 0 %d a.example", i != 0 ? ";" : "", 1000 + i);
		sprintf(addresses + strlen(addresses), "%s198.51.100.%d", i != 0 ? ";" : "", i);
	}
	rows[0].records = srv;
	rows[1].records = addresses;
	bed_init(&b, rows, places);
	dial_domain(&b, "x.example");
	ck_assert_int_eq(b.failure, DIAL_REFUSED);
	ck_assert_ptr_nonnull(strstr(b.text, " (256 addresses were tried)"));
	ck_assert_uint_lt(b.at, 1000);
	bed_deinit(&b);
	free(srv);
	free(addresses);
}
END_TEST

/* ---- RFC 8305 ---- */

START_TEST(prefers_ipv6)
{
	static const struct zone_row rows[] = {
		{ DNS_A, "x.example", .records = "192.0.2.1" },
		{ DNS_AAAA, "x.example", .records = "2001:db8::1", .delay_ms = 40 },
		/* Too late for that. */
		{ DNS_A, "y.example", .records = "192.0.2.1" },
		{ DNS_AAAA, "y.example", .records = "2001:db8::1", .delay_ms = 400 },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	expect_address(&b, "x.example", "2001:db8::1", 5269);
	ck_assert_uint_lt(b.at, 65);
	expect_address(&b, "y.example", "192.0.2.1", 5269);
	ck_assert_uint_lt(b.at, 100);
	bed_deinit(&b);
}
END_TEST

START_TEST(does_not_wait_for_a_silent_address)
{
	static const struct zone_row rows[] = {
		{ DNS_A, "x.example", .records = "192.0.2.2;192.0.2.1" },
		{ DNS_AAAA, "x.example", .records = "2001:db8::2;2001:db8::2" },
		/* A failure is not waited for either. */
		{ DNS_A, "y.example", .records = "192.0.2.1" },
		{ DNS_AAAA, "y.example", .records = "2001:db8::9;2001:db8::3;2001:db8::8" },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	/* Six, four, six, four, each 250 ms after the one before. */
	expect_address(&b, "x.example", "192.0.2.1", 5269);
	ck_assert_uint_ge(b.at, 770);
	ck_assert_uint_lt(b.at, 780);
	ck_assert_uint_eq(b.making, 0);
	expect_address(&b, "y.example", "192.0.2.1", 5269);
	ck_assert_uint_lt(b.at, 50);
	b.settings.stagger_ms = 100;
	expect_address(&b, "x.example", "192.0.2.1", 5269);
	ck_assert_uint_lt(b.at, 330);
	bed_deinit(&b);
}
END_TEST

/* ---- going on, and ending ---- */

START_TEST(goes_on_when_one_was_no_good)
{
	static const struct zone_row rows[] = {
		{ DNS_SRV, PLAIN "x.example", .records = "1 0 5269 a.example;2 0 5270 b.example" },
		{ DNS_A, "a.example", .records = "192.0.2.1;192.0.2.9" },
		/* Slower than the next, and so given up first. */
		{ DNS_AAAA, "a.example", .records = "2001:db8::4" },
		{ DNS_A, "b.example", .records = "192.0.2.4" },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	begin(&b, &(struct dial_plan){ .domain = "x.example" });
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.connected, 1);
	ck_assert_str_eq(b.address, "192.0.2.1");
	dial_next(b.dial);
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.connected, 2);
	ck_assert_str_eq(b.address, "2001:db8::4");
	dial_next(b.dial);
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.connected, 3);
	ck_assert_str_eq(b.address, "192.0.2.4");
	ck_assert_uint_eq(b.target.port, 5270);
	ck_assert(dial_reached_any(b.dial));
	dial_next(b.dial);
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.failed, 1);
	bed_deinit(&b);
}
END_TEST

START_TEST(does_not_disturb_what_was_reached)
{
	static const struct zone_row rows[] = {
		{ DNS_A, "x.example", .records = "192.0.2.1;192.0.2.4" },
		{ DNS_AAAA, "x.example", .records = "2001:db8::1", .delay_ms = 1000 },
		{ 0 },
	};
	struct bed b;

	bed_init(&b, rows, places);
	dial_domain(&b, "x.example");
	net_sim_run(&b.sim, 100000);
	ck_assert_uint_eq(b.connected, 1);
	ck_assert_uint_eq(b.failed, 0);
	/* But there is no time for another one. */
	dial_next(b.dial);
	net_sim_run(&b.sim, 1000);
	ck_assert_uint_eq(b.failed, 1);
	bed_deinit(&b);
}
END_TEST

START_TEST(may_be_freed_at_any_time)
{
	static const struct zone_row rows[] = {
		{ DNS_SRV, PLAIN "x.example", .records = "1 0 1 a.example;2 0 2 b.example", .delay_ms = 30 },
		{ DNS_SRV, DIRECT "x.example", .records = "3 0 3 c.example", .delay_ms = 60 },
		{ DNS_A, "a.example", .records = "192.0.2.2;192.0.2.3", .delay_ms = 30 },
		{ DNS_AAAA, "a.example", .records = "2001:db8::2;2001:db8::3", .delay_ms = 60 },
		{ DNS_A, "b.example", .records = "192.0.2.9" },
		{ DNS_AAAA, "c.example", .records = "2001:db8::4" },
		{ 0 },
	};

	for (uint64_t ms = 0; ms < 13000; ms += ms < 1000 ? 7 : 211) {
		struct bed b;

		bed_init(&b, rows, places);
		begin(&b, &(struct dial_plan){ .domain = "x.example" });
		net_sim_run(&b.sim, ms);
		dial_free(b.dial);
		b.dial = NULL;
		ck_assert_uint_eq(b.making, 0);
		bed_deinit(&b);
	}
}
END_TEST

START_TEST(may_be_freed_out_of_its_callbacks)
{
	static const struct zone_row rows[] = {
		{ DNS_A, "good.example", .records = "192.0.2.1;192.0.2.4" },
		{ DNS_AAAA, "good.example", .records = "2001:db8::1", .delay_ms = 1000 },
		{ DNS_AAAA, "cut.example", .records = "2001:db8::3;2001:db8::3" },
		{ DNS_A, "silent.example", .records = "192.0.2.2" },
		{ DNS_SRV, PLAIN "not.example", .records = "0 0 0 ." },
		{ DNS_SRV, PLAIN "slow.example", .result = DNS_TIMEOUT, .delay_ms = 90000 },
		{ 0 },
	};
	static const char *const domains[] = {
		"good.example", "cut.example", "silent.example", "not.example", "slow.example", "absent.example", "a b",
		"192.0.2.9", "2001:db8::3",
	};
	struct bed b;

	bed_init(&b, rows, places);
	b.free_in_callback = true;
	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		dial_domain(&b, domains[i]);
		ck_assert_ptr_null(b.dial);
	}
	bed_deinit(&b);
}
END_TEST

/* ---- real sockets ---- */

struct live_bed {
	struct live live;
	struct zone_server server;
	struct zone_row rows[8];
	struct dns *dns;
	struct dial_settings settings;
	struct dial_plan plan;
	struct dial *dial;
	sem_t done;
	int fd;
	char address[64];
	enum dial_failure failure;
	char text[512];
};

static void on_live_connected(void *owner, const struct srv_target *target, int fd, const char *address)
{
	struct live_bed *b = owner;

	(void)target;
	b->fd = fd;
	snprintf(b->address, sizeof(b->address), "%s", address);
	sem_post(&b->done);
}

static void on_live_failed(void *owner, enum dial_failure failure, const char *text)
{
	struct live_bed *b = owner;

	b->failure = failure;
	snprintf(b->text, sizeof(b->text), "%s", text);
	sem_post(&b->done);
}

static void on_live_note(void *owner, const char *line)
{
	(void)owner, (void)line;
}

static const struct dial_events live_events = { on_live_connected, on_live_failed, on_live_note };

static void live_make(void *arg)
{
	struct live_bed *b = arg;
	const struct dns_settings settings = {
		.servers = b->server.address, .timeout_ms = 1000, .tries = 2, .cache_entries = 100, .cache_bytes = 1 << 20, .max_ttl_ms = 60000,
		.negative_ttl_ms = 60000, .max_records = 16,
	};
	struct err_text et;

	ck_assert_int_eq(dns_new(&b->live.worker, &settings, &b->dns, &et), 0);
}

static void live_begin(void *arg)
{
	struct live_bed *b = arg;

	b->dial = dial_start(&b->live.worker, b->dns, &b->settings, &b->plan, &live_events, b);
}

static void live_next(void *arg)
{
	dial_next(((struct live_bed *)arg)->dial);
}

static void live_end(void *arg)
{
	struct live_bed *b = arg;

	dial_free(b->dial);
	dns_free(b->dns);
}

static void live_bed_init(struct live_bed *b)
{
	memset(b, 0, sizeof(*b));
	sem_init(&b->done, 0, 0);
	b->settings = (struct dial_settings){ .connect_ms = 400, .total_ms = 10000 };
	b->fd = -1;
}

static void live_bed_start(struct live_bed *b)
{
	zone_server_start(&b->server, b->rows);
	live_init(&b->live);
	live_call(&b->live, live_make, b);
	live_call(&b->live, live_begin, b);
	sem_wait(&b->done);
}

static void live_bed_deinit(struct live_bed *b)
{
	live_call(&b->live, live_end, b);
	live_deinit(&b->live);
	zone_server_stop(&b->server);
	sem_destroy(&b->done);
	if (b->fd >= 0)
		close(b->fd);
}

/* A listener; -1 when the system has no such address. */
static int listen_at(const char *address, uint16_t *port, int backlog)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(*port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(*port) };
	bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
	int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr *at = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	socklen_t len = is_v6 ? sizeof(v6) : sizeof(v4);

	inet_pton(AF_INET, address, &v4.sin_addr);
	if (fd < 0 || bind(fd, at, len) != 0 || listen(fd, backlog) != 0 || getsockname(fd, at, &len) != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	*port = ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
	return fd;
}

START_TEST(connects_real_sockets)
{
	char services[64];
	struct live_bed b;
	uint16_t port = 0;
	int v4 = listen_at("127.0.0.1", &port, 8), v6 = listen_at("::1", &port, 8), flags;

	ck_assert_int_ge(v4, 0);
	live_bed_init(&b);
	snprintf(services, sizeof(services), "0 0 %u host.example", port);
	b.rows[0] = (struct zone_row){ .kind = DNS_SRV, .name = PLAIN "x.example", .records = services };
	b.rows[1] = (struct zone_row){ .kind = DNS_A, .name = "host.example", .records = "127.0.0.1" };
	b.rows[2] = (struct zone_row){ .kind = DNS_AAAA, .name = "host.example", .records = "::1" };
	b.plan.domain = "x.example";
	live_bed_start(&b);
	ck_assert_int_ge(b.fd, 0);
	ck_assert_str_eq(b.address, v6 >= 0 ? "::1" : "127.0.0.1");
	flags = fcntl(b.fd, F_GETFL);
	ck_assert((flags & O_NONBLOCK) != 0 && (fcntl(b.fd, F_GETFD) & FD_CLOEXEC) != 0);
	if (v6 >= 0) {
		close(b.fd);
		b.fd = -1;
		live_call(&b.live, live_next, &b);
		sem_wait(&b.done);
		ck_assert_str_eq(b.address, "127.0.0.1");
		close(v6);
	}
	live_bed_deinit(&b);
	close(v4);
}
END_TEST

START_TEST(falls_back_from_a_refused_real_socket)
{
	struct live_bed b;
	uint16_t port = 0;
	int v4 = listen_at("127.0.0.1", &port, 8);

	ck_assert_int_ge(v4, 0);
	live_bed_init(&b);
	b.rows[0] = (struct zone_row){ .kind = DNS_A, .name = "host.example", .records = "127.0.0.1" };
	b.rows[1] = (struct zone_row){ .kind = DNS_AAAA, .name = "host.example", .records = "::1" };
	b.plan = (struct dial_plan){ .domain = "x.example", .host = "host.example", .port = port };
	live_bed_start(&b);
	ck_assert_int_ge(b.fd, 0);
	ck_assert_str_eq(b.address, "127.0.0.1");
	live_bed_deinit(&b);
	close(v4);
}
END_TEST

START_TEST(notices_a_refused_real_socket)
{
	struct live_bed b;
	uint16_t port = 0;

	close(listen_at("127.0.0.1", &port, 8));
	live_bed_init(&b);
	b.plan = (struct dial_plan){ .domain = "x.example", .host = "127.0.0.1", .port = port };
	live_bed_start(&b);
	ck_assert_int_lt(b.fd, 0);
	ck_assert_int_eq(b.failure, DIAL_REFUSED);
	ck_assert_ptr_nonnull(strstr(b.text, "127.0.0.1"));
	live_bed_deinit(&b);
}
END_TEST

/* A listener that nobody accepts from, and whose queue is full, is as silent as a firewall. */
START_TEST(notices_a_silent_real_socket)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct live_bed b;
	uint16_t port = 0;
	int listener = listen_at("127.0.0.1", &port, 0), fill[4];

	at.sin_port = htons(port);
	for (int i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ck_assert(connect(fill[i], (struct sockaddr *)&at, sizeof(at)) == 0 || errno == EINPROGRESS);
	}
	live_bed_init(&b);
	b.plan = (struct dial_plan){ .domain = "x.example", .host = "127.0.0.1", .port = port };
	live_bed_start(&b);
	ck_assert_int_lt(b.fd, 0);
	ck_assert_int_eq(b.failure, DIAL_TIMEOUT);
	live_bed_deinit(&b);
	for (int i = 0; i < 4; i++)
		close(fill[i]);
	close(listener);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, tells_what_dns_says_of_certificates);
	tcase_add_test(tc, does_not_wait_long_for_certificates);
	tcase_add_test(tc, asks_nothing_of_certificates_unless_told);
	tcase_add_test(tc, closes_what_waits_for_certificates);
	tcase_add_test(tc, follows_services);
	tcase_add_test(tc, falls_back_to_the_domain);
	tcase_add_test(tc, needs_no_dns_for_an_address);
	tcase_add_test(tc, goes_where_it_is_told);
	tcase_add_test(tc, does_not_wait_long_for_the_other_kind);
	tcase_add_test(tc, says_what_is_wrong_with_dns);
	tcase_add_test(tc, says_what_is_wrong_with_the_network);
	tcase_add_test(tc, ends_in_time);
	tcase_add_test(tc, bounds_what_it_tries);
	tcase_add_test(tc, prefers_ipv6);
	tcase_add_test(tc, does_not_wait_for_a_silent_address);
	tcase_add_test(tc, goes_on_when_one_was_no_good);
	tcase_add_test(tc, does_not_disturb_what_was_reached);
	tcase_add_test(tc, may_be_freed_at_any_time);
	tcase_add_test(tc, may_be_freed_out_of_its_callbacks);
	tcase_add_test(tc, connects_real_sockets);
	tcase_add_test(tc, falls_back_from_a_refused_real_socket);
	tcase_add_test(tc, notices_a_refused_real_socket);
	tcase_add_test(tc, notices_a_silent_real_socket);
}

UNIT_SUITE(dial);
