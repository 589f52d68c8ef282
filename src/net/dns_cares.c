/* SPDX-License-Identifier: MIT */
/* Name servers, asked by c-ares on the worker's loop. */
#include <ares.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "net/dns.h"
#include "net/watch.h"

/* How often c-ares looks at its time-outs while questions are under way. */
#define TICK_MS 100
#define SOCKETS_MAX 64
#define CLASS_IN 1
/* In byte 3 of a message: asks for and tells of a check by DNSSEC (RFC 6840 5.7). */
#define AD_BIT 0x20
/* Where the system names its servers, and how often it is looked at while there are questions. */
#define SYSTEM_FILE "/etc/resolv.conf"
#define LOOK_MS 1000

struct cares_socket {
	struct cares *owner;
	ares_socket_t fd;
	struct watch *watch;           /* NULL: the system had no room for it; on_tick() tries again */
	bool is_used, reads, writes;
};

struct cares {
	struct dns_source source;
	struct worker *worker;
	struct dns *dns;
	ares_channel channel;
	struct timer tick;
	uint64_t timeout_ms;
	unsigned tries;
	unsigned under_way;
	unsigned inside;               /* calls of c-ares that have not returned: it must not be ended in them */
	bool asks_authentic;
	bool is_ending;
	bool asks_system;              /* the servers that SYSTEM_FILE names */
	struct stat system;            /* of that file, when it was read */
	uint64_t looked_ms;
	struct cares_socket sockets[SOCKETS_MAX];
};

struct question {
	struct cares *owner;
	void *token;
};

/* ---- sockets ---- */

static void process(struct cares *c, ares_socket_t readable, ares_socket_t writable)
{
	c->inside++;
	ares_process_fd(c->channel, readable, writable);
	c->inside--;
}

static void on_ready(void *arg, bool readable, bool writable)
{
	const struct cares_socket *s = arg;

	process(s->owner, readable ? s->fd : ARES_SOCKET_BAD, writable ? s->fd : ARES_SOCKET_BAD);
}

static struct cares_socket *find_socket(struct cares *c, ares_socket_t fd)
{
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		if (c->sockets[i].is_used && c->sockets[i].fd == fd)
			return &c->sockets[i];
	return NULL;
}

static struct cares_socket *add_socket(struct cares *c, ares_socket_t fd)
{
	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		struct cares_socket *s = &c->sockets[i];

		if (s->is_used)
			continue;
		*s = (struct cares_socket){ .owner = c, .fd = fd, .is_used = true };
		return s;
	}
	return NULL;   /* its questions time out */
}

static void watch_socket(struct cares_socket *s)
{
	if (s->watch == NULL)
		s->watch = watch_new(s->owner->worker, s->fd, on_ready, s);
	if (s->watch != NULL)
		watch_set(s->watch, s->reads, s->writes);
}

/* Called before c-ares closes a socket, too. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct cares *c = arg;
	struct cares_socket *s = find_socket(c, fd);

	if (!readable && !writable) {
		if (s != NULL) {
			watch_free(s->watch);
			*s = (struct cares_socket){ 0 };
		}
		return;
	}
	if (s == NULL)
		s = add_socket(c, fd);
	if (s == NULL)
		return;
	s->reads = readable != 0;
	s->writes = writable != 0;
	watch_socket(s);
}

/* c-ares keeps a socket while there are questions: one that nobody reads would leave all of them without answers. */
static void watch_again(struct cares *c)
{
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		if (c->sockets[i].is_used && c->sockets[i].watch == NULL)
			watch_socket(&c->sockets[i]);
}

/* ---- channels ---- */

static int open_channel(struct cares *c, ares_channel *channel)
{
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.timeout = (int)c->timeout_ms,
		.tries = (int)c->tries,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = c,
	};

	if (c->asks_system && stat(SYSTEM_FILE, &c->system) != 0)
		c->system = (struct stat){ 0 };
	return ares_init_options(channel, &options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
	                                            ARES_OPT_SOCK_STATE_CB);
}

static bool has_system_changed(const struct cares *c)
{
	const struct stat *old = &c->system;
	struct stat now;

	return stat(SYSTEM_FILE, &now) == 0 &&
	       (now.st_dev != old->st_dev || now.st_ino != old->st_ino || now.st_size != old->st_size ||
	        now.st_mtim.tv_sec != old->st_mtim.tv_sec || now.st_mtim.tv_nsec != old->st_mtim.tv_nsec);
}

/* c-ares reads the file once. What the servers of before have not answered yet fails, and is asked again by who waits
 * for it. */
static void follow_system(struct cares *c)
{
	ares_channel channel, old = c->channel;
	const struct stat before = c->system;
	uint64_t now = worker_now(c->worker);

	if (!c->asks_system || c->inside != 0 || now - c->looked_ms < LOOK_MS)
		return;
	c->looked_ms = now;
	if (!has_system_changed(c))
		return;
	if (open_channel(c, &channel) != ARES_SUCCESS) {
		c->system = before;
		return;
	}
	log_info(&c->worker->log, SYSTEM_FILE " has changed: asking the name servers that it names now");
	c->channel = channel;
	c->inside++;
	ares_destroy(old);
	c->inside--;
}

static void on_tick(struct worker *w, struct timer *t)
{
	struct cares *c = LIST_ENTRY(t, struct cares, tick);

	follow_system(c);
	watch_again(c);
	process(c, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	if (c->under_way != 0)
		worker_timer_start(w, t, TICK_MS);
}

/* ---- questions ---- */

static enum dns_result result_of(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return DNS_NO_NAME;
	case ARES_ENODATA:
		return DNS_NO_DATA;
	case ARES_ETIMEOUT:
		return DNS_TIMEOUT;
	default:
		return DNS_FAILED;
	}
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	struct question *q = arg;
	struct cares *c = q->owner;

	(void)timeouts;
	c->under_way--;
	if (!c->is_ending) {
		/* Of what is not there, the message says for how long. */
		if (message != NULL && (status == ARES_SUCCESS || status == ARES_ENOTFOUND || status == ARES_ENODATA))
			dns_source_answer(c->dns, q->token, DNS_FOUND, message, (size_t)len);
		else
			dns_source_answer(c->dns, q->token, result_of(status), NULL, 0);
	}
	free(q);
}

static void cares_ask(struct dns_source *source, enum dns_kind kind, const char *name, void *token)
{
	static const int types[] = { [DNS_SRV] = 33, [DNS_A] = 1, [DNS_AAAA] = 28, [DNS_TLSA] = 52 };
	struct cares *c = LIST_ENTRY(source, struct cares, source);
	struct question *q = mem_new(sizeof(*q));
	unsigned char *message = NULL;
	uint16_t id;
	int len = 0, rc;

	/* Else on_tick() does: nobody is told of a failure while he asks something. */
	if (c->under_way == 0)
		follow_system(c);
	q->owner = c;
	q->token = token;
	c->under_way++;
	/* Who forges an answer has to guess it. */
	c->worker->env->random(c->worker->env, &id, sizeof(id));
	rc = ares_create_query(name, CLASS_IN, types[kind], id, 1, &message, &len, 0);
	if (rc == ARES_SUCCESS) {
		if (c->asks_authentic)
			message[3] |= AD_BIT;
		c->inside++;
		ares_send(c->channel, message, len, on_answer, q);
		c->inside--;
		ares_free_string(message);
	} else {
		on_answer(q, rc, 0, NULL, 0);
	}
	if (c->under_way != 0 && !timer_is_running(&c->tick))
		worker_timer_start(c->worker, &c->tick, TICK_MS);
}

/* ---- life ---- */

static void cares_free(struct dns_source *source)
{
	struct cares *c = LIST_ENTRY(source, struct cares, source);

	c->is_ending = true;
	worker_timer_stop(c->worker, &c->tick);
	ares_destroy(c->channel);
	free(c);
}

/* c-ares wants commas. */
static int set_servers(ares_channel channel, const char *servers)
{
	char *csv = mem_strdup(servers);
	int rc;

	for (char *at = csv; *at != '\0'; at++)
		if (*at == ' ')
			*at = ',';
	rc = ares_set_servers_ports_csv(channel, csv);
	free(csv);
	return rc;
}

int dns_cares_new(struct worker *w, struct dns *d, const struct dns_settings *settings, struct dns_source **source,
                  struct err_text *et)
{
	struct cares *c = mem_new(sizeof(*c));
	bool has_servers = settings->servers != NULL && *settings->servers != '\0';
	int rc;

	c->timeout_ms = settings->timeout_ms;
	c->tries = settings->tries;
	c->asks_system = !has_servers;
	rc = open_channel(c, &c->channel);
	if (rc != ARES_SUCCESS) {
		err_text_set(et, "the resolver cannot be started: %s", ares_strerror(rc));
		free(c);
		return -ERR_IO;
	}
	if (has_servers)
		rc = set_servers(c->channel, settings->servers);
	if (rc != ARES_SUCCESS) {
		err_text_set(et, "dns_servers: \"%s\" is not understood: %s", settings->servers, ares_strerror(rc));
		ares_destroy(c->channel);
		free(c);
		return -ERR_INVALID;
	}
	c->source = (struct dns_source){ .ask = cares_ask, .free = cares_free };
	c->worker = w;
	c->dns = d;
	c->asks_authentic = settings->is_trusted;
	c->tick.fire = on_tick;
	*source = &c->source;
	return 0;
}
