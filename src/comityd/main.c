/* SPDX-License-Identifier: MIT */
/* comityd: start, signals, stop. The one place that knows all parts. */
#include <errno.h>
#include <gnutls/crypto.h>
#include <fcntl.h>
#include <getopt.h>
#include <gnutls/gnutls.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "comityd/check_fed.h"
#include "comityd/daemon.h"
#include "stream/sasl_engine.h"
#include "xml/intern.h"

/* Exit codes, comityd(8). */
enum { EXIT_OK = 0, EXIT_START = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

#define SECRET_OWNER "server"
/* Without descriptors clients of the control socket are looked at again after this. */
#define CONTROL_RETRY_MS 200

static void print_usage(FILE *to)
{
	fputs("usage: comityd [-c FILE] [--check [--federation]] [--help] [--version]\n"
	      "  -c, --config FILE   read FILE instead of " COMITY_CONF_DIR "/comity.conf\n"
	      "      --check         check the configuration, certificates and modules, and end\n"
	      "      --federation    with --check: see whether other servers can reach the own hosts\n"
	      "See comityd(8).\n", to);
}

/* ---- configuration ---- */

static int read_config(struct daemon *d)
{
	struct conf_errors errors = { 0 };
	int rc = assemble_read(d->config_path, &d->assembly.loader, &d->conf, &errors);

	for (size_t i = 0; i < errors.count; i++)
		fprintf(stderr, "comityd: %s\n", errors.items[i]);
	conf_errors_deinit(&errors);
	return rc;
}

static int check_config(struct daemon *d, bool federation)
{
	bool is_reachable = true;
	struct settings *settings = NULL;
	struct err_text et = { "" };
	int rc = read_config(d);

	if (rc == 0) {
		rc = assemble_settings(&d->assembly, d->conf, &settings, &et);
		if (rc != 0)
			fprintf(stderr, "comityd: %s: %s\n", d->config_path, et.text);
	}
	if (rc == 0)
		printf("%s is sound: %zu host%s\n", d->config_path, settings->host_count,
		       settings->host_count == 1 ? "" : "s");
	if (rc == 0 && federation)
		is_reachable = check_federation(d, settings);
	settings_unref(settings);
	conf_unref(d->conf);
	loader_free(d->assembly.loader);
	return rc != 0 ? EXIT_CONFIG : is_reachable ? EXIT_OK : EXIT_START;
}

/* ---- start ---- */

static void raise_file_limit(struct daemon *d)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warning(&d->log, "cannot raise the limit of open files: %s", strerror(errno));
}

static int open_signals(struct daemon *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a full file is an error of its write */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	/* Before threads exist, so that all of them leave signals to this one. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return d->signal_fd >= 0 ? 0 : -ERR_IO;
}

static int open_store(struct daemon *d, struct err_text *et)
{
	const struct server_conf *c = assemble_server_conf(d->conf);
	char *path;
	struct store_conf conf = {
		.readers = (unsigned)c->store_readers,
		.commit_ms = (unsigned)c->store_commit_delay,
		.lazy_ms = (unsigned)c->store_lazy_delay,
		.commit_rows = (unsigned)c->store_commit_rows,
		.log_bytes = (size_t)c->store_log_size,
		.log_ms = (unsigned)c->store_log_delay,
	};
	int rc;

	if (mkdir(c->data_dir, 0750) != 0 && errno != EEXIST) {
		err_text_set(et, "cannot create data_dir %s: %s", c->data_dir, strerror(errno));
		return -ERR_IO;
	}
	path = mem_printf("%s/comity.sqlite", c->data_dir);
	conf.path = path;
	rc = store_open(&d->env, &conf, &d->server.store, et);
	free(path);
	return rc;
}

/* ---- the server's secret, from which fake credentials are made: the same over restarts ---- */

struct secret_read {
	struct daemon *d;
	struct waiter *waiter;
	int status;
};

static void on_secret_written(void *arg, int status)
{
	struct secret_read *r = arg;

	r->status = status;
	waiter_done(r->waiter);
}

static void on_secret_read(void *arg, const struct store_result *result)
{
	struct secret_read *r = arg;
	unsigned char *secret = r->d->assembly.secret;
	struct store_row row = { "server", "secret", secret, sizeof(r->d->assembly.secret) };

	if (result->status == 0 && result->count == 1 && result->rows[0].len == row.len) {
		memcpy(secret, result->rows[0].value, row.len);
		waiter_done(r->waiter);
		return;
	}
	r->d->env.random(&r->d->env, secret, row.len);
	store_map_put(r->d->server.store, r->d->server.workers[0], SECRET_OWNER, &row, 1, on_secret_written, r);
}

static void start_secret(struct worker *w, struct waiter *waiter)
{
	struct secret_read *r = waiter_arg(waiter);

	r->waiter = waiter;
	store_map_get(r->d->server.store, w, SECRET_OWNER, "server", "secret", on_secret_read, r);
}

/* The same over restarts too, so that keys under way stay good. */
static void derive_dialback_secret(struct daemon *d)
{
	static const char label[] = "dialback";

	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, d->assembly.secret, sizeof(d->assembly.secret), label, strlen(label),
	                     d->server.dialback_secret) != 0)
		abort();
}

static int read_secret(struct daemon *d, struct err_text *et)
{
	struct secret_read *r = mem_new(sizeof(*r));
	int rc;

	r->d = d;
	if (!crew_await(d, d->server.workers[0], start_secret, r, 60)) {
		err_text_set(et, "the store does not answer");
		return -ERR_TIMEOUT; /* r stays with whoever still writes to it */
	}
	rc = r->status;
	if (rc != 0)
		err_text_set(et, "cannot write to the store: %s", err_name(rc));
	derive_dialback_secret(d);
	free(r);
	return rc;
}

/* Written whole or not at all: whoever waits for it reads it at once. */
static int write_ready_file(struct daemon *d, struct err_text *et)
{
	const struct server_conf *c = assemble_server_conf(d->conf);
	char *part;
	FILE *f;
	int rc = 0;

	if (c->ready_file == NULL)
		return 0;
	part = mem_printf("%s.part", c->ready_file);
	f = fopen(part, "we");
	if (f != NULL) {
		fprintf(f, "pid=%d\nc2s=%u\nc2s_tls=%u\ns2s=%u\ns2s_tls=%u\nca=%s\nconfig=%s\ncontrol=%s\n", (int)getpid(), d->c2s_port,
		        d->c2s_tls_port, d->s2s_port, d->s2s_tls_port, c->ca_file != NULL ? c->ca_file : "", d->config_path,
		        d->control_path);
		if (fclose(f) != 0 || rename(part, c->ready_file) != 0)
			f = NULL;
	}
	if (f == NULL) {
		err_text_set(et, "cannot write ready_file %s: %s", c->ready_file, strerror(errno));
		rc = -ERR_IO;
	} else {
		d->ready_path = mem_strdup(c->ready_file);
	}
	free(part);
	return rc;
}

static int start(struct daemon *d, struct err_text *et)
{
	const struct server_conf *c = assemble_server_conf(d->conf);
	int rc;

	crew_init(d);
	rc = crew_listen(d, et);
	if (rc == 0)
		rc = privileges_drop(c->user, c->group, d->logger.is_new ? d->logger.fd : -1, et);
	if (rc == 0)
		rc = privileges_confine(&d->log, et);
	if (rc == 0)
		rc = sasl_engine_start(et);
	if (rc == 0)
		rc = open_store(d, et);
	if (rc == 0)
		rc = crew_start(d, et);
	if (rc == 0)
		rc = read_secret(d, et);
	if (rc == 0)
		rc = assemble_settings(&d->assembly, d->conf, &d->settings, et);
	if (rc == 0)
		rc = crew_configure(d, d->settings, et);
	memory_watch_set_limit(d, c->memory_limit);
	if (rc == 0)
		rc = crew_restore(d, et);
	if (rc == 0)
		rc = control_open(d, et);
	if (rc == 0)
		rc = memory_watch_start(d, &d->memory, et);
	if (rc != 0)
		return rc;
	crew_accept(d);
	return write_ready_file(d, et);
}

/* ---- running ---- */

/* False when it is time to stop. */
static bool take_signal(struct daemon *d)
{
	struct signalfd_siginfo info;
	struct err_text et;

	if (read(d->signal_fd, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo == SIGHUP) {
		daemon_reload(d, &et);
		return true;
	}
	log_info(&d->log, "stopping: signal %u", info.ssi_signo);
	return false;
}

/* Returns whether it went well. */
static bool take_client(struct daemon *d, bool went_well)
{
	bool ok = control_serve(d);

	if (!ok && went_well)
		log_error(&d->log, "cannot serve comityctl for now: %s", strerror(errno));
	return ok;
}

static void run(struct daemon *d)
{
	struct pollfd fds[2] = { { .fd = d->signal_fd, .events = POLLIN }, { .fd = d->control_fd, .events = POLLIN } };
	bool go_on = true, is_served = true;

	while (go_on) {
		/* Who cannot be let in stays in front of the door: it would be seen again at once. */
		fds[1].fd = is_served ? d->control_fd : -1;
		if (poll(fds, 2, is_served ? -1 : CONTROL_RETRY_MS) < 0) {
			if (errno != EINTR)
				break;
			continue;
		}
		if (!is_served || (fds[1].revents & POLLIN) != 0)
			is_served = take_client(d, is_served);
		if ((fds[0].revents & POLLIN) != 0)
			go_on = take_signal(d);
	}
}

static void stop(struct daemon *d)
{
	notify_systemd("STOPPING=1");
	control_close(d);
	memory_watch_stop(&d->memory);
	crew_stop(d);
	/* Only what was written here: that of a server which runs is still needed when a second start fails. */
	if (d->ready_path != NULL)
		unlink(d->ready_path);
	free(d->ready_path);
	settings_unref(d->settings);
	/* Option tables of modules lie in the modules: what was made by them goes first. */
	conf_unref(d->conf);
	loader_free(d->assembly.loader);
	sasl_engine_stop();
	log_info(&d->log, "stopped");
	close(d->signal_fd);
	mem_wipe(&d->assembly, sizeof(d->assembly));
}

static int serve(struct daemon *d)
{
	const struct server_conf *c;
	struct err_text et = { "" };
	int rc;

	if (read_config(d) != 0) {
		loader_free(d->assembly.loader);
		return EXIT_CONFIG;
	}
	c = assemble_server_conf(d->conf);
	if (logger_open(&d->logger, c->log_to, (enum log_level)c->log_level, &et) != 0) {
		fprintf(stderr, "comityd: %s\n", et.text);
		return EXIT_START;
	}
	log_ctx_init(&d->log, NULL, NULL);
	d->log.log = &d->logger.log;
	d->env.log = &d->logger.log;
	raise_file_limit(d);
	open_signals(d);
	rc = start(d, &et);
	if (rc == 0) {
		log_info(&d->log, "ready version=%s hosts=%zu workers=%u c2s=%u c2s_tls=%u", PACKAGE_VERSION,
		         d->settings->host_count, d->server.worker_count, d->c2s_port, d->c2s_tls_port);
		notify_systemd("READY=1");
		run(d);
	} else {
		log_error(&d->log, "cannot start: %s", et.text);
	}
	stop(d);
	logger_close(&d->logger);
	return rc == 0 ? EXIT_OK : EXIT_START;
}

static void init_process(struct daemon *d)
{
	uint64_t seed;

	umask(0027);
	gnutls_global_init();
	env_init_system(&d->env, NULL);
	d->env.random(&d->env, &seed, sizeof(seed));
	map_seed(seed);
	xml_intern_init();
	d->assembly.env = &d->env;
	d->control_fd = -1;
	list_init(&d->tasks);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'k' },
		{ "federation", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },         { "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct daemon d = { .config_path = COMITY_CONF_DIR "/comity.conf" };
	bool only_check = false, federation = false;
	int option, rc;

	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		if (option == 'c') {
			d.config_path = optarg;
		} else if (option == 'k') {
			only_check = true;
		} else if (option == 'f') {
			federation = true;
		} else if (option == 'V') {
			printf("comityd %s\n", PACKAGE_VERSION);
			return EXIT_OK;
		} else {
			print_usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? EXIT_OK : EXIT_USAGE;
		}
	}
	if (optind != argc || (federation && !only_check)) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	init_process(&d);
	rc = only_check ? check_config(&d, federation) : serve(&d);
	gnutls_global_deinit();
	return rc;
}
