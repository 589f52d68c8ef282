/* SPDX-License-Identifier: MIT */
/* Workers and name servers for tests. */
#include "net_fixture.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- simulated time ---- */

static uint64_t sim_mono_ms(struct comity_env *env)
{
	return LIST_ENTRY(env, struct net_sim, env)->now;
}

static int64_t sim_wall_us(struct comity_env *env)
{
	return (int64_t)sim_mono_ms(env) * 1000;
}

/* xorshift64: the same numbers in each run. */
static void sim_random(struct comity_env *env, void *bytes, size_t len)
{
	struct net_sim *s = LIST_ENTRY(env, struct net_sim, env);

	for (size_t i = 0; i < len; i++) {
		s->random ^= s->random << 13;
		s->random ^= s->random >> 7;
		s->random ^= s->random << 17;
		((unsigned char *)bytes)[i] = (unsigned char)(s->random >> 24);
	}
}

void net_sim_init(struct net_sim *s)
{
	memset(s, 0, sizeof(*s));
	s->now = 1000000;
	s->random = 88172645463325252u;
	s->env = (struct comity_env){ .mono_ms = sim_mono_ms, .wall_us = sim_wall_us, .random = sim_random };
	s->peers[0] = &s->worker;
	worker_init(&s->worker, 0, &s->env, s->peers, 1, 1000);
}

void net_sim_run(struct net_sim *s, uint64_t ms)
{
	uint64_t end = s->now + ms;

	for (;;) {
		uint64_t due;

		while (worker_turn(&s->worker))
			;
		due = worker_next_due(&s->worker);
		if (due > end)
			break;
		s->now = due;
	}
	s->now = end;
}

void net_sim_deinit(struct net_sim *s)
{
	ck_assert_uint_eq(worker_next_due(&s->worker), UINT64_MAX);
	worker_deinit(&s->worker);
}

/* ---- messages ---- */

struct writer {
	unsigned char *at, *end;
};

static void put(struct writer *w, const void *bytes, size_t len)
{
	ck_assert((size_t)(w->end - w->at) >= len);
	memcpy(w->at, bytes, len);
	w->at += len;
}

static void put_16(struct writer *w, unsigned n)
{
	put(w, (unsigned char[]){ (unsigned char)(n >> 8), (unsigned char)n }, 2);
}

static void put_32(struct writer *w, uint32_t n)
{
	put_16(w, n >> 16);
	put_16(w, n & 0xffff);
}

static void put_name(struct writer *w, const char *name)
{
	while (*name != '\0' && strcmp(name, ".") != 0) {
		size_t len = strcspn(name, ".");
		unsigned char size = (unsigned char)len;

		put(w, &size, 1);
		put(w, name, len);
		name += len + (name[len] == '.');
	}
	put(w, "", 1);
}

static void put_head(struct writer *w, unsigned type, uint32_t ttl)
{
	put_16(w, 0xc00c);   /* the name of the question */
	put_16(w, type);
	put_16(w, 1);
	put_32(w, ttl);
}

static void put_tlsa(struct writer *w, const char *text)
{
	unsigned usage, selector, matching, byte;
	char hex[2048] = "";
	size_t size;

	ck_assert_int_ge(sscanf(text, "%u %u %u %2047[0-9a-f]", &usage, &selector, &matching, hex), 3);
	size = strlen(hex) / 2;
	put_16(w, (unsigned)(3 + size));
	put(w, (unsigned char[]){ (unsigned char)usage, (unsigned char)selector, (unsigned char)matching }, 3);
	for (size_t i = 0; i < size; i++) {
		ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
		put(w, &(unsigned char){ (unsigned char)byte }, 1);
	}
}

static void put_data(struct writer *w, enum dns_kind kind, const char *text)
{
	unsigned priority, weight, port;
	char target[256];
	unsigned char bytes[16];

	if (kind == DNS_SRV) {
		ck_assert_int_eq(sscanf(text, "%u %u %u %255[^;]", &priority, &weight, &port, target), 4);
		put_16(w, (unsigned)(6 + (strcmp(target, ".") == 0 ? 1 : strlen(target) + 2)));
		put_16(w, priority);
		put_16(w, weight);
		put_16(w, port);
		put_name(w, target);
		return;
	}
	if (kind == DNS_TLSA) {
		put_tlsa(w, text);
		return;
	}
	ck_assert_int_eq(inet_pton(kind == DNS_A ? AF_INET : AF_INET6, text, bytes), 1);
	put_16(w, kind == DNS_A ? 4 : 16);
	put(w, bytes, kind == DNS_A ? 4 : 16);
}

static void put_soa(struct writer *w, uint32_t ttl)
{
	put_head(w, 6, ttl + 1);
	put_16(w, 2 + 20);
	put_name(w, "");
	put_name(w, "");
	for (int i = 0; i < 4; i++)
		put_32(w, 1);
	put_32(w, ttl);
}

static unsigned type_of(enum dns_kind kind)
{
	return kind == DNS_SRV ? 33 : kind == DNS_A ? 1 : kind == DNS_TLSA ? 52 : 28;
}

static unsigned put_records(struct writer *w, const struct zone_row *row, uint32_t ttl)
{
	char *copy = mem_strdup(row->records), *rest = copy;
	unsigned count = 0;

	for (char *record; (record = strsep(&rest, ";")) != NULL; count++) {
		put_head(w, type_of(row->kind), ttl);
		put_data(w, row->kind, record);
	}
	free(copy);
	return count;
}

size_t zone_message(const struct zone_row *row, enum dns_kind kind, const char *name, uint16_t id,
                    unsigned char out[ZONE_MESSAGE_MAX])
{
	static const unsigned codes[] = { [DNS_NO_NAME] = 3, [DNS_FAILED] = 2 };
	enum dns_result result = row != NULL ? row->result : DNS_NO_NAME;
	struct writer w = { out, out + ZONE_MESSAGE_MAX };
	uint32_t ttl = row != NULL && row->ttl != 0 ? row->ttl : 60;
	unsigned count = 0;

	put_16(&w, id);
	put_16(&w, 0x8180 | (row != NULL && row->is_authentic ? 0x20 : 0) | (result < sizeof(codes) / sizeof(codes[0]) ? codes[result] : 0));
	put_16(&w, 1);
	put_32(&w, 0);
	put_16(&w, 0);
	put_name(&w, name);
	put_16(&w, type_of(kind));
	put_16(&w, 1);
	if (result == DNS_FOUND && row->records != NULL)
		count = put_records(&w, row, ttl);
	else if (result == DNS_NO_NAME || result == DNS_NO_DATA)
		put_soa(&w, ttl);
	out[6] = (unsigned char)(count >> 8);
	out[7] = (unsigned char)count;
	out[9] = result == DNS_NO_NAME || result == DNS_NO_DATA;
	return (size_t)(w.at - out);
}

static const struct zone_row *find_row(const struct zone_row *rows, enum dns_kind kind, const char *name)
{
	const struct zone_row *row = rows;

	while (row->name != NULL && (row->kind != kind || strcasecmp(row->name, name) != 0))
		row++;
	return row->name != NULL ? row : NULL;
}

/* ---- the simulated source ---- */

struct pending {
	struct list link;
	struct timer timer;
	struct zone_source *zone;
	const struct zone_row *row;
	enum dns_kind kind;
	char name[DNS_NAME_MAX];
	void *token;
};

static void on_pending(struct worker *w, struct timer *t)
{
	struct pending *p = LIST_ENTRY(t, struct pending, timer);
	unsigned char *message = mem_new(ZONE_MESSAGE_MAX);
	enum dns_result result = p->row != NULL ? p->row->result : DNS_NO_NAME;
	size_t len = 5;

	(void)w;
	list_remove(&p->link);
	if (p->row == NULL || !p->row->is_garbage)
		len = zone_message(p->row, p->kind, p->name, 0, message);
	if (result == DNS_TIMEOUT || result == DNS_FAILED)
		dns_source_answer(p->zone->dns, p->token, result, NULL, 0);
	else
		dns_source_answer(p->zone->dns, p->token, DNS_FOUND, message, len);
	free(message);
	free(p);
}

static void zone_ask(struct dns_source *source, enum dns_kind kind, const char *name, void *token)
{
	struct zone_source *z = LIST_ENTRY(source, struct zone_source, source);
	struct pending *p = mem_new(sizeof(*p));

	p->zone = z;
	p->row = find_row(z->rows, kind, name);
	p->kind = kind;
	p->token = token;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->timer.fire = on_pending;
	list_init(&p->link);
	list_append(&z->pending, &p->link);
	z->asked++;
	worker_timer_start(&z->sim->worker, &p->timer, p->row != NULL ? p->row->delay_ms : 1);
}

static void zone_free(struct dns_source *source)
{
	struct zone_source *z = LIST_ENTRY(source, struct zone_source, source);

	for (struct list *l; (l = list_shift(&z->pending)) != NULL;) {
		struct pending *p = LIST_ENTRY(l, struct pending, link);

		worker_timer_stop(&z->sim->worker, &p->timer);
		free(p);
	}
	z->is_freed = true;
}

void zone_source_init(struct zone_source *z, struct net_sim *s, const struct zone_row *rows)
{
	*z = (struct zone_source){ .source = { zone_ask, zone_free }, .sim = s, .rows = rows };
	list_init(&z->pending);
}

/* ---- the real worker ---- */

void live_init(struct live *l)
{
	struct err_text et;

	memset(l, 0, sizeof(*l));
	env_init_system(&l->env, NULL);
	l->peers[0] = &l->worker;
	worker_init(&l->worker, 0, &l->env, l->peers, 1, 1000);
	ck_assert_int_eq(worker_start(&l->worker, &et), 0);
}

struct call {
	struct mail mail;
	void (*run)(void *arg);
	void *arg;
	sem_t done;
};

static void run_call(struct worker *w, struct mail *mail)
{
	struct call *c = LIST_ENTRY(mail, struct call, mail);

	(void)w;
	c->run(c->arg);
	sem_post(&c->done);
}

void live_call(struct live *l, void (*run)(void *arg), void *arg)
{
	struct call c = { .mail = { .run = run_call }, .run = run, .arg = arg };

	sem_init(&c.done, 0, 0);
	worker_post(&l->worker, &c.mail);
	sem_wait(&c.done);
	sem_destroy(&c.done);
}

void live_deinit(struct live *l)
{
	worker_stop(&l->worker);
	worker_deinit(&l->worker);
}

/* ---- the real name server ---- */

/* The name of the question, and its kind. */
static bool read_question(const unsigned char *in, size_t len, char *name, enum dns_kind *kind)
{
	size_t at = 12, out = 0;

	while (at < len && in[at] != 0) {
		if (at + 1 + in[at] >= len || out + in[at] + 2 > DNS_NAME_MAX)
			return false;
		if (out != 0)
			name[out++] = '.';
		memcpy(name + out, in + at + 1, in[at]);
		out += in[at];
		at += 1u + in[at];
	}
	name[out] = '\0';
	if (at + 3 > len)
		return false;
	*kind = in[at + 2] == 33 ? DNS_SRV : in[at + 2] == 1 ? DNS_A : in[at + 2] == 52 ? DNS_TLSA : DNS_AAAA;
	return true;
}

/* Bytes to send for a question, none when it is not to be answered. */
static size_t make_answer(const struct zone_server *z, const unsigned char *in, size_t len, unsigned char *out)
{
	char name[DNS_NAME_MAX];
	const struct zone_row *row;
	enum dns_kind kind;
	size_t size;

	if (len <= 12 || !read_question(in, len, name, &kind))
		return 0;
	row = find_row(z->rows, kind, name);
	if (row != NULL && row->result == DNS_TIMEOUT)
		return 0;
	size = zone_message(row, kind, name, (uint16_t)(in[0] << 8 | in[1]), out);
	/* Who does not ask is not told. */
	out[3] &= (unsigned char)(in[3] | ~0x20);
	if (row != NULL && row->is_garbage) {
		out[7] = 1;
		memset(out + size, 0xff, 40);
		size += 40;
	}
	return size;
}

static void answer_datagram(const struct zone_server *z)
{
	unsigned char in[512], *out = mem_new(ZONE_MESSAGE_MAX);
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t len = recvfrom(z->fd, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len);
	size_t size = len > 0 ? make_answer(z, in, (size_t)len, out) : 0;

	/* What is too long is cut behind the question and marked, so that it is asked for over TCP. */
	if (size > 512) {
		out[2] |= 2;
		out[6] = out[7] = 0;
		size = (size_t)len;
	}
	if (size != 0)
		sendto(z->fd, out, size, 0, (struct sockaddr *)&from, from_len);
	free(out);
}

static void answer_stream(const struct zone_server *z)
{
	unsigned char in[514], *out = mem_new(ZONE_MESSAGE_MAX + 2);
	int fd = accept(z->listener, NULL, NULL);
	ssize_t len = recv(fd, in, sizeof(in), 0);
	size_t size = len > 2 ? make_answer(z, in + 2, (size_t)len - 2, out + 2) : 0;

	out[0] = (unsigned char)(size >> 8);
	out[1] = (unsigned char)size;
	if (size != 0)
		send(fd, out, size + 2, MSG_NOSIGNAL);
	close(fd);
	free(out);
}

static void *serve(void *arg)
{
	const struct zone_server *z = arg;
	struct pollfd fds[] = { { z->fd, POLLIN, 0 }, { z->listener, POLLIN, 0 }, { z->stop[0], POLLIN, 0 } };

	while (poll(fds, 3, -1) > 0 && (fds[2].revents & POLLIN) == 0) {
		if (fds[0].revents & POLLIN)
			answer_datagram(z);
		if (fds[1].revents & POLLIN)
			answer_stream(z);
	}
	return NULL;
}

/* One port number for both kinds of socket; false when it is taken for one of them. */
static bool bind_both(struct zone_server *z, struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);

	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	z->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	z->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(z->fd, 0);
	ck_assert_int_ge(z->listener, 0);
	ck_assert_int_eq(bind(z->fd, (struct sockaddr *)at, sizeof(*at)), 0);
	ck_assert_int_eq(getsockname(z->fd, (struct sockaddr *)at, &len), 0);
	if (bind(z->listener, (struct sockaddr *)at, sizeof(*at)) == 0 && listen(z->listener, 8) == 0)
		return true;
	close(z->fd);
	close(z->listener);
	return false;
}

void zone_server_start(struct zone_server *z, const struct zone_row *rows)
{
	struct sockaddr_in at;
	int tries = 100;

	z->rows = rows;
	while (!bind_both(z, &at))
		ck_assert_int_gt(--tries, 0);
	snprintf(z->address, sizeof(z->address), "127.0.0.1:%u", ntohs(at.sin_port));
	ck_assert_int_eq(pipe(z->stop), 0);
	ck_assert_int_eq(pthread_create(&z->thread, NULL, serve, z), 0);
}

void zone_server_stop(struct zone_server *z)
{
	ck_assert_int_eq((int)write(z->stop[1], "x", 1), 1);
	pthread_join(z->thread, NULL);
	close(z->fd);
	close(z->listener);
	close(z->stop[0]);
	close(z->stop[1]);
}
