/* SPDX-License-Identifier: MIT */
/* A whole server in this process. */
#include "sim.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf_internal.h"
#include "net/conn.h"
#include "sim_internal.h"
#include "stream/sasl_engine.h"
#include "xml/intern.h"

#define TURNS_MAX 10000

struct sim_client {
	struct sim *sim;
	struct conn *conn;      /* NULL once the server closed it */
	const char *in;
	size_t in_len;
	bool is_cut;
	struct buf out;
	char address[256];
};

/* ---- the outside world ---- */

static uint64_t sim_mono(struct comity_env *env)
{
	return LIST_ENTRY(env, struct sim, env)->now_ms;
}

static int64_t sim_wall(struct comity_env *env)
{
	return 1700000000000000 + (int64_t)sim_mono(env) * 1000;
}

static void sim_random(struct comity_env *env, void *bytes, size_t len)
{
	struct sim *s = LIST_ENTRY(env, struct sim, env);
	unsigned char *at = bytes;

	while (len-- != 0) {
		s->chance = s->chance * 1664525 + 1013904223;
		*at++ = (unsigned char)(s->chance >> 24);
	}
}

static void no_log(struct log *log, enum log_level level, const char *line)
{
	(void)log, (void)level, (void)line;
}

static ssize_t sim_recv(struct conn *c, void *bytes, size_t room)
{
	struct sim_client *client = c->io_data;
	size_t n = client->in_len < room ? client->in_len : room;

	if (n == 0 && client->is_cut)
		return 0;
	if (n == 0) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(bytes, client->in, n);
	client->in += n;
	client->in_len -= n;
	return (ssize_t)n;
}

static ssize_t sim_sent(struct conn *c, const void *bytes, size_t len)
{
	struct sim_client *client = c->io_data;

	buf_add(&client->out, bytes, len);
	return (ssize_t)len;
}

static void sim_watch(struct conn *c, bool readable, bool writable)
{
	(void)c, (void)readable, (void)writable;
}

static void sim_shut(struct conn *c)
{
	(void)c;
}

static void sim_close(struct conn *c)
{
	((struct sim_client *)c->io_data)->conn = NULL;
}

static const struct conn_io sim_io = {
	.recv = sim_recv, .send = sim_sent, .watch = sim_watch, .shut_write = sim_shut, .close = sim_close,
};

/* ---- the server ---- */

static void remove_folder(const char *folder)
{
	static const char *const names[] = { "store", "store-wal", "store-shm", "store.lock" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char *path = mem_printf("%s/%s", folder, names[i]);

		unlink(path);
		free(path);
	}
	rmdir(folder);
}

static void fill_limits(struct c2s_limits *l)
{
	l->before_auth = (struct xml_limits){ 16384, 16384, 64, 64, 256, 10000 };
	l->after_auth = (struct xml_limits){ 16384, 65536, 64, 64, 256, 10000 };
	l->out_bytes = 1 << 20;
	l->login_ms = 60000;
	l->idle_ms = 600000;
	l->probe_ms = 60000;
	l->parser_rest_ms = 5000;
	l->tries = 5;
	l->failure_window_ms = 1000;
	l->failures_free = UINT32_MAX;
	l->early_elements = 100;
	l->peers = (struct peers_limits){ .waiting = 1000, .waiting_in_all = 1000 };
}

static void fill_fed(struct fed_settings *f, const struct c2s_limits *l)
{
	f->limits.before_auth = l->before_auth;
	f->limits.after_auth = l->after_auth;
	f->limits.out_bytes = l->out_bytes;
	f->limits.negotiate_ms = f->limits.verify_ms = 20000;
	f->limits.idle_ms = f->limits.resume_ms = 600000;
	f->limits.parser_rest_ms = l->parser_rest_ms;
	f->limits.pairs = 5;
	f->limits.bidi = true;
	f->policy.security = S2S_INSECURE;
	f->queue_bytes = f->total_bytes = 100000;
	f->queue_stanzas = 100;
	f->presence_bytes = f->presence_total = 100000;
	f->queue_age_ms = 1000;
	f->retry_min_ms = f->retry_max_ms = 100;
	f->links = 20;
	f->verifications = 10;
}

static void add_modules(struct sim *s, struct host_settings *host)
{
	char **names = loader_list(s->loader);
	size_t count = 0;

	while (names[count] != NULL)
		count++;
	host->modules = mem_array(count + 1, sizeof(*host->modules));
	for (char **name = names; *name != NULL; name++) {
		struct err_text et;
		const struct comity_module *def = loader_get(s->loader, *name, &et);
		void *conf;

		if (def == NULL) {
			fprintf(stderr, "%s\n", et.text);
			exit(2);
		}
		/* Options as a configuration that says nothing has them. */
		conf = mem_new(def->conf_size != 0 ? def->conf_size : 1);
		conf_values_init(def->options, conf, "");
		host->modules[host->module_count++] = (struct module_settings){ def, conf };
	}
	loader_free_names(names);
}

static struct settings *make_settings(struct sim *s)
{
	struct settings *settings = mem_new(sizeof(*settings));
	struct comity_jid *jid = comity_jid_parse("localhost");
	struct host_settings *host = mem_array(1, sizeof(*host));

	atomic_init(&settings->refs, 1);
	fill_limits(&settings->limits);
	fill_fed(&settings->fed, &settings->limits);
	host->stream = stream_host_new("localhost", jid);
	host->stream->allow_anonymous = true;
	host->stream->allow_plain = true;
	host->stream->scram_iterations = 4096;
	host->max_sessions = 10;
	host->federates = true;
	add_modules(s, host);
	settings->hosts = host;
	settings->host_count = 1;
	settings->idle_accounts = 10;
	settings->waiting_stanzas = 100;
	comity_jid_unref(jid);
	return settings;
}

void sim_fail(const char *text)
{
	fprintf(stderr, "simulation: %s\n", text);
	exit(2);
}

struct sim *sim_prepare(const char *module_dir)
{
	struct sim *s = mem_new(sizeof(*s));
	struct err_text et = { "" };

	s->env = (struct comity_env){ sim_mono, sim_wall, sim_random, &s->log, true };
	s->log.write = no_log;
	atomic_store(&s->log.level, LOG_LEVEL_ERROR);
	s->now_ms = 1000;
	gnutls_global_init();
	map_seed(1);
	xml_intern_init();
	if (sasl_engine_start(&et) != 0)
		sim_fail(et.text);
	s->server = (struct server){ .env = &s->env, .workers = s->workers, .peers = peers_new(),
	                             .jobs = jobs_new(&s->env, 0), .tls = tls_shared_new() };
	s->loader = loader_new(module_dir);
	s->settings = make_settings(s);
	return s;
}

void sim_start_workers(struct sim *s, unsigned workers)
{
	struct err_text et = { "" };

	s->server.worker_count = workers;
	for (unsigned i = 0; i < workers; i++) {
		s->workers[i] = &s->worker[i];
		worker_init(&s->worker[i], i, &s->env, s->workers, workers, 100000);
	}
	for (unsigned i = 0; i < workers; i++) {
		router_new(&s->server, &s->worker[i]);
		if (router_configure(router_of(&s->worker[i]), s->settings, &et) != 0)
			sim_fail(et.text);
	}
}

struct sim *sim_new(unsigned workers, const char *module_dir)
{
	struct sim *s = sim_prepare(module_dir);
	struct err_text et = { "" };
	struct store_conf conf = { .readers = 1, .commit_rows = 1 };
	char folder[] = "/tmp/comity-fuzz-XXXXXX", *path;

	if (mkdtemp(folder) == NULL)
		exit(2);
	path = mem_printf("%s/store", folder);
	conf.path = path;
	if (store_open(&s->env, &conf, &s->server.store, &et) != 0)
		sim_fail(et.text);
	/* The open files are enough; nothing is left behind. */
	remove_folder(folder);
	free(path);
	sim_start_workers(s, workers);
	return s;
}

struct sim *sim_get(void)
{
	static struct sim *only;

	if (only == NULL)
		only = sim_new(1, FUZZ_MODULE_DIR);
	return only;
}

static void run(struct sim *s)
{
	bool busy = true;

	for (int i = 0; i < TURNS_MAX && busy; i++) {
		busy = false;
		for (unsigned n = 0; n < s->server.worker_count; n++)
			busy = worker_turn(&s->worker[n]) || busy;
		s->now_ms += busy;
	}
}

/* ---- clients ---- */

struct sim_client *sim_connect(struct sim *s)
{
	struct sim_client *c = mem_new(sizeof(*c));

	c->sim = s;
	peers_admit(s->server.peers, "192.0.2.1", &(struct peers_limits){ UINT32_MAX, UINT32_MAX, 0 });
	c->conn = conn_new(&s->worker[0], -1, &sim_io, c, "192.0.2.1", 1 << 20);
	c2s_accept(&s->worker[0], &router_of(&s->worker[0])->c2s, c->conn, false);
	run(s);
	return c;
}

#define SERVER_HEADER "<stream:stream from='remote.test' to='localhost' version='1.0' xmlns='jabber:server'" \
	" xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>"

struct sim_client *sim_connect_server(struct sim *s, bool proved)
{
	struct federation *f = router_of(&s->worker[0])->fed;
	struct sim_client *c = mem_new(sizeof(*c));
	struct s2s *stream;

	c->sim = s;
	peers_admit(s->server.peers, "192.0.2.2", &(struct peers_limits){ UINT32_MAX, UINT32_MAX, 0 });
	c->conn = conn_new(&s->worker[0], -1, &sim_io, c, "192.0.2.2", 1 << 20);
	s2s_accept(&s->worker[0], &f->shared, c->conn, false);
	run(s);
	if (!proved)
		return c;
	stream = c->conn->owner;
	sim_send(c, SERVER_HEADER, strlen(SERVER_HEADER), SIZE_MAX);
	s2s_set_proved(stream, s2s_add_pair(stream, "localhost", "remote.test"));
	run(s);
	return c;
}

void sim_send(struct sim_client *c, const char *bytes, size_t len, size_t piece)
{
	while (len != 0 && c->conn != NULL) {
		size_t n = len < piece ? len : piece;

		c->in = bytes;
		c->in_len = n;
		while (c->conn != NULL && c->in_len != 0 && !conn_is_stopped(c->conn))
			conn_on_ready(c->conn, true, false);
		run(c->sim);
		bytes += n;
		len -= n;
	}
}

unsigned sim_worker(const struct sim_client *c)
{
	return c->conn->worker->id;
}

const char *sim_address(const struct sim_client *c)
{
	return c->address;
}

bool sim_got(const struct sim_client *c, const char *text)
{
	return buf_size(&c->out) != 0 && memmem(buf_bytes(&c->out), buf_size(&c->out), text, strlen(text)) != NULL;
}

void sim_forget(struct sim_client *c)
{
	buf_clear(&c->out);
}

#define HEADER "<stream:stream to='localhost' version='1.0' xmlns='jabber:client'" \
	" xmlns:stream='http://etherx.jabber.org/streams'>"

static bool say(struct sim_client *c, const char *text, const char *wanted)
{
	sim_forget(c);
	sim_send(c, text, strlen(text), SIZE_MAX);
	if (!sim_got(c, wanted))
		fprintf(stderr, "simulation: sent %s, got %.*s\n", text, (int)buf_size(&c->out),
		        buf_size(&c->out) != 0 ? buf_bytes(&c->out) : "");
	return sim_got(c, wanted);
}

/* From the answer to bind. */
static bool take_address(struct sim_client *c)
{
	const char *at = memmem(buf_bytes(&c->out), buf_size(&c->out), "<jid>", 5);
	size_t len = (size_t)(buf_bytes(&c->out) + buf_size(&c->out) - at) - 5, end = 0;

	while (end < len && end < sizeof(c->address) - 1 && at[5 + end] != '<')
		end++;
	memcpy(c->address, at + 5, end);
	c->address[end] = '\0';
	return true;
}

bool sim_login(struct sim_client *c)
{
	return say(c, HEADER, "ANONYMOUS") &&
	       say(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>", "<success") &&
	       say(c, HEADER, "<bind") &&
	       say(c, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind>"
	              "</iq>", "<jid>") &&
	       take_address(c) &&
	       say(c, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>", "id='r'");
}

void sim_make_known(struct sim_client *c)
{
	((struct c2s *)c->conn->owner)->is_anonymous = false;
}

void sim_disconnect(struct sim_client *c)
{
	c->is_cut = true;
	c->in_len = 0;
	if (c->conn != NULL)
		conn_break(c->conn);
	run(c->sim);
	if (c->conn != NULL)
		abort(); /* a connection that was cut must go */
	buf_deinit(&c->out);
	free(c);
}
