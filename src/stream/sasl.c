/* SPDX-License-Identifier: MIT */
/* SASL negotiation (RFC 6120 6): what is offered, the exchange, refusals and their delay. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stream/c2s.h"
#include "stream/sasl_message.h"
#include "xml/writer.h"
#include "xmpp/ns.h"

enum mechanism { SCRAM_256_PLUS, SCRAM_1_PLUS, SCRAM_256, SCRAM_1, PLAIN, EXTERNAL, ANONYMOUS, MECHANISM_COUNT };

static const struct {
	const char *name;
	const char *engine_name;   /* libsasl2 has no names of their own for the -PLUS forms */
	bool is_scram, is_plus;
} mechanisms[MECHANISM_COUNT] = {
	[SCRAM_256_PLUS] = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", true, true },
	[SCRAM_1_PLUS] = { "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", true, true },
	[SCRAM_256] = { "SCRAM-SHA-256", "SCRAM-SHA-256", true, false },
	[SCRAM_1] = { "SCRAM-SHA-1", "SCRAM-SHA-1", true, false },
	[PLAIN] = { "PLAIN", "PLAIN", false, false },
	[EXTERNAL] = { "EXTERNAL", "EXTERNAL", false, false },
	[ANONYMOUS] = { "ANONYMOUS", NULL, false, false },
};

/* The order is that of XEP-0440's advice; tls-unique is offered on TLS 1.2 only, where it exists. */
static const char *const binding_types[] = { "tls-exporter", "tls-unique", "tls-server-end-point" };

enum step { STEP_FIRST, STEP_SECRETS, STEP_HASHING, STEP_RESPONSE, STEP_REFUSED };

/* One login under way; owned by its stream until it is done, by its job while that runs. */
struct sasl_attempt {
	struct job job;                /* must be first: PLAIN runs on a job thread */
	struct c2s *c;                 /* NULL once the stream is gone */
	enum mechanism mechanism;
	enum step step;
	struct sasl_exchange *exchange;
	struct sasl_first first;
	char user[JID_PART_MAX + 1];   /* prepared */
	char *message;                 /* the client's first message */
	size_t message_len;
	enum sasl_result result;       /* of the job */
	struct timer delay;
	const char *condition;         /* to be sent when the delay is over */
};

/* ---- what is offered ---- */

static void note_addr(void *arg, const char *addr, size_t len)
{
	(void)addr, (void)len;
	*(bool *)arg = true;
}

static bool has_client_address(const struct c2s *c)
{
	bool found = false;

	if (!c->host->allow_external || !c->conn->is_secured || !tls_session_peer_is_trusted(c->conn->tls, c->host->tls))
		return false;
	tls_session_each_xmpp_addr(c->conn->tls, note_addr, &found);
	return found;
}

static bool is_offered(const struct c2s *c, enum mechanism m)
{
	bool secured = c->conn->is_secured;

	if (!secured && c->host->require_tls)
		return false;
	switch (m) {
	case SCRAM_256_PLUS:
	case SCRAM_1_PLUS:
		return secured && c->host->channel_binding;
	case PLAIN:
		return secured && c->host->allow_plain;
	case EXTERNAL:
		return has_client_address(c);
	case ANONYMOUS:
		return c->host->allow_anonymous;
	default:
		return true;
	}
}

static bool has_binding(const struct c2s *c, const char *type)
{
	unsigned char data[64];

	return tls_session_binding(c->conn->tls, type, data, sizeof(data)) > 0;
}

void sasl_write_feature(struct c2s *c, struct buf *out)
{
	bool any = false;

	for (enum mechanism m = 0; m < MECHANISM_COUNT; m++) {
		if (!is_offered(c, m))
			continue;
		buf_printf(out, "%s<mechanism>%s</mechanism>", any ? "" : "<mechanisms xmlns='" NS_SASL "'>",
		           mechanisms[m].name);
		any = true;
	}
	if (any)
		buf_add_str(out, "</mechanisms>");
	if (!is_offered(c, SCRAM_256_PLUS))
		return;
	buf_add_str(out, "<sasl-channel-binding xmlns='" NS_SASL_CB "'>");
	for (size_t i = 0; i < sizeof(binding_types) / sizeof(binding_types[0]); i++)
		if (has_binding(c, binding_types[i]))
			buf_printf(out, "<channel-binding type='%s'/>", binding_types[i]);
	buf_add_str(out, "</sasl-channel-binding>");
}

/* ---- ends ---- */

static void attempt_free(struct sasl_attempt *a)
{
	sasl_exchange_free(a->exchange);
	if (a->message != NULL)
		mem_wipe(a->message, a->message_len);
	free(a->message);
	free(a);
}

/* Per address. Returns how many there were of late. */
static unsigned count_failure(struct c2s *c, const struct sasl_attempt *a, const char *what)
{
	struct worker *w = c->conn->worker;
	unsigned failures = peers_add_failure(c->shared->peers, c->conn->address, worker_now(w),
	                                      c->shared->limits->failure_window_ms);

	metrics_add(&w->metrics, METRIC_LOGIN_FAILURES, 1);
	log_info(&c->log, "login refused user=%s mechanism=%s: %s (%u from this address)", a->first.user,
	         mechanisms[a->mechanism].name, what, failures);
	return failures;
}

void sasl_abandon(struct c2s *c)
{
	struct sasl_attempt *a = c->attempt;

	if (a == NULL)
		return;
	c->attempt = NULL;
	worker_timer_stop(c->conn->worker, &a->delay);
	a->c = NULL;
	/* A guess is one even when nobody waits for what comes of it. */
	if (a->step == STEP_HASHING)
		count_failure(c, a, "given up");
	if (a->step != STEP_HASHING || jobs_cancel(c->shared->jobs, &a->job)) /* else the job's end frees it */
		attempt_free(a);
}

static void end_attempt(struct c2s *c, const char *condition)
{
	char text[160];

	snprintf(text, sizeof(text), "<failure xmlns='" NS_SASL "'><%s/></failure>", condition);
	c2s_send_text(c, text);
	sasl_abandon(c);
}

static void send_failure(struct c2s *c, const char *condition)
{
	end_attempt(c, condition);
	if (++c->refused >= c->shared->limits->tries)
		c2s_fail(c, STREAM_POLICY_VIOLATION, "too many refused logins");
	else
		conn_resume(c->conn, CONN_STOP_LOGIN);
}

static void on_delay(struct worker *w, struct timer *t)
{
	struct sasl_attempt *a = LIST_ENTRY(t, struct sasl_attempt, delay);

	(void)w;
	send_failure(a->c, a->condition);
}

/* Wrong credentials: counted per address, and answered ever more slowly. */
static void refuse(struct c2s *c, struct sasl_attempt *a, const char *condition)
{
	const struct c2s_limits *limits = c->shared->limits;
	struct worker *w = c->conn->worker;
	uint64_t delay = limits->failure_delay_ms;
	unsigned failures = count_failure(c, a, condition);

	if (failures <= limits->failures_free || delay == 0) {
		send_failure(c, condition);
		return;
	}
	for (unsigned i = limits->failures_free + 1; i < failures && delay < limits->failure_delay_max_ms; i++)
		delay *= 2;
	if (delay > limits->failure_delay_max_ms)
		delay = limits->failure_delay_max_ms;
	a->step = STEP_REFUSED;
	a->condition = condition;
	a->delay.fire = on_delay;
	conn_stop(c->conn, CONN_STOP_LOGIN);
	worker_timer_start(w, &a->delay, delay);
}

static void succeed(struct c2s *c, struct sasl_attempt *a, const char *out, size_t len)
{
	struct comity_jid *user = comity_jid_make(a->user, c->host->name, NULL);
	char *data = sasl_encode(out, len);

	if (user == NULL) {
		free(data);
		refuse(c, a, "not-authorized");
		return;
	}
	c2s_send_text(c, "<success xmlns='" NS_SASL "'>");
	c2s_send_text(c, data);
	c2s_send_text(c, "</success>");
	free(data);
	c->user = user;
	c->is_anonymous = a->mechanism == ANONYMOUS;
	c->phase = C2S_LOGGED_IN;
	metrics_add(&c->conn->worker->metrics, METRIC_LOGINS, 1);
	log_info(&c->log, "logged in mechanism=%s tls=%s", mechanisms[a->mechanism].name,
	         c->conn->is_secured ? tls_session_version(c->conn->tls) : "none");
	sasl_abandon(c);
	c2s_restart(c, true);
	conn_resume(c->conn, CONN_STOP_LOGIN);
}

/* An authorization identity has to be the user's own bare address (RFC 6120 6.3.8). */
static bool is_own_authzid(const struct c2s *c, const struct sasl_attempt *a)
{
	struct comity_jid *own, *asked;
	bool ok;

	if (*a->first.authzid == '\0')
		return true;
	own = comity_jid_make(a->user, c->host->name, NULL);
	asked = comity_jid_parse(a->first.authzid);
	ok = own != NULL && asked != NULL && comity_jid_equal(own, asked);
	comity_jid_unref(own);
	comity_jid_unref(asked);
	return ok;
}

static void judge(struct c2s *c, struct sasl_attempt *a, enum sasl_result result, const char *out, size_t len)
{
	char *data;

	switch (result) {
	case SASL_RESULT_MORE:
		data = sasl_encode(out, len);
		c2s_send_text(c, "<challenge xmlns='" NS_SASL "'>");
		c2s_send_text(c, data);
		c2s_send_text(c, "</challenge>");
		free(data);
		a->step = STEP_RESPONSE;
		conn_resume(c->conn, CONN_STOP_LOGIN);
		break;
	case SASL_RESULT_DONE:
		if (is_own_authzid(c, a))
			succeed(c, a, out, len);
		else
			refuse(c, a, "invalid-authzid");
		break;
	case SASL_RESULT_MALFORMED:
		/* libsasl2 says this of wrong binding data too. */
		refuse(c, a, mechanisms[a->mechanism].is_plus ? "not-authorized" : "malformed-request");
		break;
	case SASL_RESULT_BROKEN:
		log_error(&c->log, "libsasl2 failed mechanism=%s", mechanisms[a->mechanism].name);
		send_failure(c, "temporary-auth-failure");
		break;
	default:
		refuse(c, a, "not-authorized");
		break;
	}
}

/* ---- the exchange ---- */

static void start_exchange(struct sasl_attempt *a, struct job *job)
{
	const char *out = NULL;
	size_t len = 0;

	(void)job;
	a->result = sasl_exchange_start(a->exchange, mechanisms[a->mechanism].engine_name, a->message, a->message_len, &out,
	                                &len);
	if (a->step != STEP_HASHING)
		judge(a->c, a, a->result, out, len);
}

static void work_plain(struct job *job)
{
	start_exchange((struct sasl_attempt *)(void *)job, job);
}

static void done_plain(struct worker *w, struct job *job)
{
	struct sasl_attempt *a = (struct sasl_attempt *)(void *)job;

	(void)w;
	if (a->c == NULL) {
		attempt_free(a);
		return;
	}
	a->step = STEP_RESPONSE;
	judge(a->c, a, a->result, NULL, 0);
}

static void hash(struct c2s *c, struct sasl_attempt *a)
{
	a->step = STEP_HASHING;
	a->job.work = work_plain;
	a->job.done = done_plain;
	if (jobs_try_run(c->shared->jobs, c->conn->worker, &a->job) == 0)
		return;
	a->step = STEP_SECRETS;
	log_info(&c->log, "login put off user=%s: %d passwords wait to be hashed", a->first.user, JOBS_WAITING_MAX);
	/* The client has done nothing wrong, and may try again. */
	end_attempt(c, "temporary-auth-failure");
	conn_resume(c->conn, CONN_STOP_LOGIN);
}

void c2s_got_secrets(struct c2s *c, const struct sasl_secrets *secrets, bool store_failed)
{
	struct sasl_attempt *a = c->attempt;
	unsigned char binding[64];
	const char *type = NULL;
	int binding_len = 0;

	if (a == NULL || a->step != STEP_SECRETS)
		return;
	if (store_failed) {
		send_failure(c, "temporary-auth-failure");
		return;
	}
	if (mechanisms[a->mechanism].is_plus) {
		type = a->first.binding_type;
		binding_len = tls_session_binding(c->conn->tls, type, binding, sizeof(binding));
	}
	a->exchange = binding_len >= 0 ? sasl_exchange_new(a->user, secrets, type, binding, (size_t)binding_len) : NULL;
	if (a->exchange == NULL) {
		send_failure(c, "temporary-auth-failure");
	} else if (a->mechanism == PLAIN) {
		hash(c, a);
	} else {
		if (a->mechanism == EXTERNAL)
			sasl_exchange_set_external(a->exchange, a->user);
		start_exchange(a, NULL);
	}
}

/* RFC 5802 6: the flag must fit the mechanism and what was offered. */
static bool is_binding_sound(const struct c2s *c, const struct sasl_attempt *a)
{
	bool plus = mechanisms[a->mechanism].is_plus;

	if (a->first.binding_flag == 'p')
		return plus && has_binding(c, a->first.binding_type);
	/* 'y' says "you do not offer it": when we do, someone took the offer away on the way. */
	return !plus && (a->first.binding_flag == 'n' || !is_offered(c, SCRAM_256_PLUS));
}

static void fetch(struct c2s *c, struct sasl_attempt *a)
{
	if (jid_prepare_local(a->first.user, strlen(a->first.user), a->user) < 0) {
		refuse(c, a, "not-authorized");
	} else {
		a->step = STEP_SECRETS;
		conn_stop(c->conn, CONN_STOP_LOGIN);
		c->shared->fetch_secrets(c, a->user);
	}
}

struct external_search {
	const struct c2s *c;
	struct comity_jid *asked, *found;
	unsigned count;
};

static void match_address(void *arg, const char *addr, size_t len)
{
	struct external_search *s = arg;
	struct comity_jid *jid = comity_jid_new(addr, len);

	if (jid != NULL && comity_jid_has_local(jid) && comity_jid_is_bare(jid) &&
	    strcmp(comity_jid_domain(jid), s->c->host->name) == 0 &&
	    (s->asked == NULL || comity_jid_equal(jid, s->asked))) {
		comity_jid_unref(s->found);
		s->found = comity_jid_ref(jid);
		s->count++;
	}
	comity_jid_unref(jid);
}

/* XEP-0178 3: the address comes from the certificate, chosen by the authorization identity if there
 * are several. */
static void begin_external(struct c2s *c, struct sasl_attempt *a)
{
	struct external_search s = { .c = c };
	size_t len = 0;
	const char *local;

	if (a->message_len != 0)
		s.asked = comity_jid_new(a->message, a->message_len);
	if (a->message_len == 0 || s.asked != NULL)
		tls_session_each_xmpp_addr(c->conn->tls, match_address, &s);
	comity_jid_unref(s.asked);
	if (s.count != 1) {
		comity_jid_unref(s.found);
		refuse(c, a, "invalid-authzid");
		return;
	}
	local = comity_jid_local(s.found, &len);
	memcpy(a->first.user, local, len);
	comity_jid_unref(s.found);
	/* libsasl2 compares the identities as they come: both are the localpart then. */
	free(a->message);
	a->message = mem_strdup("");
	a->message_len = 0;
	fetch(c, a);
}

/* libsasl2 would call every one "anonymous" and log what the client says of itself. */
static void begin_anonymous(struct c2s *c, struct sasl_attempt *a)
{
	unsigned char random[12];
	struct worker *w = c->conn->worker;

	w->env->random(w->env, random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(a->user + 2 * i, 3, "%02x", random[i]);
	succeed(c, a, NULL, 0);
}

/* Nothing was guessed, so the address is not held to account: clients that know only tls-unique end
 * here on TLS 1.3 and go on to another mechanism. */
static void refuse_binding(struct c2s *c, struct sasl_attempt *a)
{
	log_info(&c->log, "login refused user=%s mechanism=%s: channel binding flag %c%s%s does not fit the offer",
	         a->first.user, mechanisms[a->mechanism].name, a->first.binding_flag,
	         a->first.binding_flag == 'p' ? " type " : "", a->first.binding_type);
	send_failure(c, "not-authorized");
}

/* The first message is complete. */
static void begin(struct c2s *c, struct sasl_attempt *a)
{
	if (mechanisms[a->mechanism].is_scram) {
		if (sasl_read_scram(a->message, a->message_len, &a->first) != 0)
			refuse(c, a, "malformed-request");
		else if (!is_binding_sound(c, a))
			refuse_binding(c, a);
		else
			fetch(c, a);
	} else if (a->mechanism == PLAIN) {
		if (sasl_read_plain(a->message, a->message_len, &a->first) != 0)
			refuse(c, a, "malformed-request");
		else
			fetch(c, a);
	} else if (a->mechanism == EXTERNAL) {
		begin_external(c, a);
	} else {
		begin_anonymous(c, a);
	}
}

static void take_first(struct c2s *c, struct sasl_attempt *a, const char *text)
{
	a->message = sasl_decode(text, &a->message_len);
	if (a->message == NULL)
		refuse(c, a, "incorrect-encoding");
	else
		begin(c, a);
}

/* ---- elements ---- */

static void on_auth(struct c2s *c, const struct comity_elem *e)
{
	const char *name = comity_elem_attr(e, "mechanism"), *text = comity_elem_text(e);
	struct sasl_attempt *a;
	enum mechanism m;

	for (m = 0; m < MECHANISM_COUNT; m++)
		if (name != NULL && strcmp(mechanisms[m].name, name) == 0 && is_offered(c, m))
			break;
	if (m == MECHANISM_COUNT) {
		send_failure(c, !c->conn->is_secured && c->host->tls != NULL ? "encryption-required" : "invalid-mechanism");
		return;
	}
	a = mem_new(sizeof(*a));
	a->c = c;
	a->mechanism = m;
	c->attempt = a;
	/* Without an initial response the server asks for it; ANONYMOUS needs none. */
	if (*text == '\0' && m != ANONYMOUS) {
		c2s_send_text(c, "<challenge xmlns='" NS_SASL "'/>");
		return;
	}
	take_first(c, a, text);
}

static void on_response(struct c2s *c, const struct comity_elem *e)
{
	struct sasl_attempt *a = c->attempt;
	const char *out = NULL;
	size_t len = 0, out_len = 0;
	char *message;

	if (a->step == STEP_FIRST) {
		take_first(c, a, comity_elem_text(e));
		return;
	}
	if (a->step != STEP_RESPONSE) {
		send_failure(c, "malformed-request");
		return;
	}
	message = sasl_decode(comity_elem_text(e), &len);
	if (message == NULL) {
		refuse(c, a, "incorrect-encoding");
		return;
	}
	a->result = sasl_exchange_step(a->exchange, message, len, &out, &out_len);
	free(message);
	judge(c, a, a->result, out, out_len);
}

/* Not the fault of who wants to log in: RFC 6120 6.5.11. */
static void refuse_for_now(struct c2s *c)
{
	c2s_send_text(c, "<failure xmlns='" NS_SASL "'><temporary-auth-failure/><text xml:lang='en'>" PRESSURE_TEXT
	                 "</text></failure>");
	metrics_add(&c->conn->worker->metrics, METRIC_SHED_LOGINS, 1);
	sasl_abandon(c);
}

bool sasl_on_element(struct c2s *c, const struct comity_elem *e)
{
	if (c->phase != C2S_NEGOTIATING || strcmp(comity_elem_ns(e), NS_SASL) != 0)
		return false;
	if (*c->shared->pressure >= PRESSURE_LOGINS && comity_elem_is(e, NS_SASL, "auth")) {
		refuse_for_now(c);
		return true;
	}
	if (comity_elem_is(e, NS_SASL, "auth") && c->attempt == NULL)
		on_auth(c, e);
	else if (comity_elem_is(e, NS_SASL, "response") && c->attempt != NULL)
		on_response(c, e);
	else if (comity_elem_is(e, NS_SASL, "abort"))
		send_failure(c, "aborted");
	else if (comity_elem_is(e, NS_SASL, "auth") || comity_elem_is(e, NS_SASL, "response"))
		send_failure(c, "malformed-request");
	else
		return false;
	return true;
}
