/* SPDX-License-Identifier: MIT */
/* A client's stream: life, input, timers. */
#include "stream/c2s.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "xml/elem.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

struct stream_host *stream_host_new(const char *name, struct comity_jid *jid)
{
	struct stream_host *h = mem_new(sizeof(*h));

	atomic_init(&h->refs, 1);
	h->name = mem_strdup(name);
	h->jid = comity_jid_ref(jid);
	return h;
}

struct stream_host *stream_host_ref(struct stream_host *h)
{
	if (h != NULL)
		atomic_fetch_add(&h->refs, 1);
	return h;
}

void stream_host_unref(struct stream_host *h)
{
	if (h == NULL || atomic_fetch_sub(&h->refs, 1) != 1)
		return;
	tls_context_unref(h->tls);
	comity_jid_unref(h->jid);
	free(h->name);
	free(h);
}

static void describe_c2s(const struct log_ctx *ctx, struct buf *out)
{
	const struct c2s *c = LIST_ENTRY(ctx, struct c2s, log);

	buf_printf(out, "c2s");
	if (c->conn != NULL)
		buf_printf(out, " id=%llu peer=%s", (unsigned long long)c->conn->id, c->conn->address);
	if (c->user != NULL)
		buf_printf(out, " jid=%s", comity_jid_text(c->user));
}

struct c2s *c2s_ref(struct c2s *c)
{
	c->refs++;
	return c;
}

void c2s_unref(struct c2s *c)
{
	if (c == NULL || --c->refs != 0)
		return;
	stream_host_unref(c->host);
	comity_jid_unref(c->user);
	free(c->lang);
	free(c->bind_id);
	free(c->bind_resource);
	free(c->resume_id);
	free(c);
}

bool c2s_is_open(const struct c2s *c)
{
	return c->conn != NULL && !c->has_failed;
}

bool c2s_can_reach(const struct c2s *c)
{
	return c2s_is_open(c) && !c->conn->is_broken && !c->conn->is_deaf;
}

static void forget_conn(struct c2s *c, const char *reason)
{
	struct conn *conn = c->conn;

	if (conn == NULL)
		return;
	worker_timer_stop(conn->worker, &c->timer);
	worker_timer_stop(conn->worker, &c->shape);
	sasl_abandon(c);
	c->phase = C2S_CLOSED;
	log_info(&c->log, "closed%s%s", reason != NULL ? ": " : "", reason != NULL ? reason : "");
	list_remove(&c->link);
	c->shared->closed(c, reason);
	c->conn = NULL;
	input_deinit(&c->in);
	c2s_unref(c);
}

/* ---- output ---- */

void c2s_send_text(struct c2s *c, const char *text)
{
	if (c->conn != NULL)
		conn_write(c->conn, text, strlen(text));
}

static void touch(struct c2s *c)
{
	metrics_add(&c->conn->worker->metrics, METRIC_STANZAS_OUT, 1);
	if (conn_touch(c->conn) == -ERR_LIMIT)
		c->has_failed = true;
}

void c2s_write(struct c2s *c, const struct comity_stanza *st, const char *from, const char *to,
               const struct comity_elem *stamps)
{
	if (c->conn == NULL || c->has_failed)
		return;
	stanza_write(conn_out(c->conn), st, from, to, stamps);
	touch(c);
}

void c2s_write_text(struct c2s *c, const char *bytes, size_t len)
{
	if (c->conn == NULL || c->has_failed)
		return;
	buf_add(conn_out(c->conn), bytes, len);
	touch(c);
}

void c2s_tell_drained(struct c2s *c)
{
	if (c->conn != NULL)
		conn_tell_drained(c->conn);
}

void c2s_fail(struct c2s *c, enum stream_cond cond, const char *text)
{
	struct buf out = { 0 };

	if (c->conn == NULL || c->has_failed)
		return;
	/* RFC 6120 4.9.1.2: the header comes first, even when the peer's was wrong. */
	if (!c->is_header_sent)
		c2s_write_header(c);
	stream_error_write(&out, cond, NULL, text);
	buf_add_str(&out, "</stream:stream>");
	conn_write(c->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
	c->has_failed = true;
	metrics_add(&c->conn->worker->metrics, METRIC_STREAM_ERRORS, 1);
	log_info(&c->log, "stream error %s%s%s", stream_cond_name(cond), text != NULL ? ": " : "",
	         text != NULL ? text : "");
	conn_close(c->conn);
}

void c2s_close(struct c2s *c)
{
	if (c->conn == NULL || c->has_failed)
		return;
	c->has_failed = true;
	if (c->is_header_sent)
		c2s_send_text(c, "</stream:stream>");
	conn_close(c->conn);
}

void c2s_cut(struct c2s *c)
{
	if (c->conn == NULL || c->has_failed)
		return;
	c->has_failed = true;
	c->is_cut = true;
	conn_close(c->conn);
}

/* ---- input ---- */

void c2s_restart(struct c2s *c, bool keep_rest)
{
	const struct c2s_limits *limits = c->shared->limits;

	input_restart(&c->in, c->phase == C2S_NEGOTIATING ? &limits->before_auth : &limits->after_auth, keep_rest);
	c->is_header_sent = false;
}

/* RFC 6120 8.1.5: the language of the stream is that of stanzas that name none. */
static void take_stanza(struct c2s *c, struct xml_doc **doc)
{
	struct comity_stanza *st;

	if (c->lang != NULL && comity_elem_lang((*doc)->root) == NULL)
		comity_elem_set_lang((*doc)->root, c->lang);
	st = stanza_from_doc(doc);
	metrics_add(&c->conn->worker->metrics, METRIC_STANZAS_IN, 1);
	if (c->phase == C2S_BOUND) {
		c->shared->stanza(c, st);
	} else if (c->phase != C2S_NEGOTIATING || st->kind != COMITY_IQ || !c->shared->early_iq(c, st)) {
		comity_stanza_unref(st);
		c2s_fail(c, STREAM_NOT_AUTHORIZED, "log in and bind a resource first");
	}
}

static bool manage(struct c2s *c, const struct comity_elem *e)
{
	if (!comity_elem_is(e, NS_SM, e->name) || (c->phase != C2S_LOGGED_IN && c->phase != C2S_BOUND))
		return false;
	c->shared->manage(c, e);
	return true;
}

/* Elements of negotiation cost more than they weigh: a client that is not there yet has only so many. */
static bool count_early(struct c2s *c)
{
	if (c->phase == C2S_BOUND || ++c->early_elements <= c->shared->limits->early_elements)
		return true;
	c2s_fail(c, STREAM_POLICY_VIOLATION, "too many elements before a resource is bound");
	return false;
}

/* ---- rates ---- */

/* What goes to many counts for its sender: so many recipients are one stanza, and so many bytes one byte. Presence for
 * 1,000 contacts is 64 of the 1,000 stanzas of a second then, which nobody feels who changes it now and then; and who
 * does nothing else has no more written than with messages for accounts of many resources. */
#define SPREAD_SHARE 16
/* After so many bytes what was written is sent, and others are served, before more is read; contacts may have many
 * resources with long names, so that each time counts for more than is seen here. */
#define SPREAD_TURN 65536
#define SPREAD_LEAST 1024
/* A timer that is due at once would fire again in the same turn, before anything is sent. */
#define SPREAD_PAUSE_MS 1

void c2s_charge(struct c2s *c, size_t count, size_t bytes)
{
	c->rate.stanzas -= (int64_t)((count + SPREAD_SHARE - 1) / SPREAD_SHARE);
	c->rate.bytes -= (int64_t)(bytes / SPREAD_SHARE);
	c->spread += bytes + SPREAD_LEAST;
}

static void on_shape(struct worker *w, struct timer *t)
{
	struct c2s *c = LIST_ENTRY(t, struct c2s, shape);

	(void)w;
	c->spread = 0;
	if (c->conn != NULL)
		conn_resume(c->conn, CONN_STOP_RATE);
}

/* A bound client that sends faster than allowed is read later: TCP slows it down. */
static void shape(struct c2s *c, size_t bytes, uint64_t now)
{
	const struct c2s_limits *limits = c->shared->limits;
	uint64_t wait;

	if (c->phase != C2S_BOUND)
		return;
	wait = rate_take(&c->rate, limits->bytes_per_s, limits->stanzas_per_s, bytes, now);
	if (*c->shared->pressure >= PRESSURE_MESSAGES && bytes != 0 && wait < PRESSURE_READ_PAUSE_MS)
		wait = PRESSURE_READ_PAUSE_MS;
	if (c->spread >= SPREAD_TURN && wait < SPREAD_PAUSE_MS)
		wait = SPREAD_PAUSE_MS;
	if (wait == 0)
		return;
	conn_stop(c->conn, CONN_STOP_RATE);
	worker_timer_start(c->conn->worker, &c->shape, wait);
}

/* Whether the rest of a piece of input has to wait. */
static bool is_spent(const struct c2s *c)
{
	const struct c2s_limits *limits = c->shared->limits;

	return c->spread >= SPREAD_TURN || (limits->stanzas_per_s != 0 && c->rate.stanzas < 0) ||
	       (limits->bytes_per_s != 0 && c->rate.bytes < 0);
}

/* ---- elements ---- */

static void on_element(struct c2s *c, struct xml_doc *doc)
{
	const struct comity_elem *e = doc->root;
	bool handled;

	c->rate.stanzas--;
	handled = !count_early(c) || starttls_on_element(c, e) || sasl_on_element(c, e) || bind_on_element(c, e) || manage(c, e);
	if (!handled && stanza_is_element(e) && strcmp(e->ns, NS_CLIENT) != 0)
		c2s_fail(c, STREAM_INVALID_NAMESPACE, NULL);
	else if (!handled && stanza_is_element(e))
		take_stanza(c, &doc);
	else if (!handled && (c->phase != C2S_BOUND || !c->shared->element(c, e)))
		c2s_fail(c, STREAM_UNSUPPORTED_STANZA_TYPE, NULL);
	xml_doc_free(doc);
	if (is_spent(c) && c2s_is_open(c))
		shape(c, 0, worker_now(c->conn->worker));
}

static bool handle_event(void *owner, enum xml_event event, struct xml_doc *doc)
{
	struct c2s *c = owner;
	char text[128];

	switch (event) {
	case XML_EVENT_OPEN:
		c2s_on_open(c, doc->root);
		xml_doc_free(doc);
		break;
	case XML_EVENT_ELEMENT:
		on_element(c, doc);
		break;
	case XML_EVENT_CLOSE:
		c2s_close(c);
		break;
	default:
		c2s_fail(c, input_error(event), input_error_text(&c->in, event, text, sizeof(text)));
		break;
	}
	return !c->has_failed && c->conn != NULL;
}

/* ---- timers ---- */

static void probe(struct c2s *c)
{
	char text[160];

	c->is_probed = true;
	if (c->is_managed) {
		c2s_send_text(c, "<r xmlns='" NS_SM "'/>");
		return;
	}
	/* Any answer will do, even an error. */
	snprintf(text, sizeof(text), "<iq type='get' id='probe-%llu' from='",
	         (unsigned long long)(c->last_in & 0xffffff));
	c2s_send_text(c, text);
	c2s_send_text(c, c->host->name);
	c2s_send_text(c, "'><ping xmlns='urn:xmpp:ping'/></iq>");
}

/* A session that can be resumed is cut off, others are told. */
static void give_up(struct c2s *c)
{
	if (c->is_managed)
		conn_abort(c->conn, "no answer to a ping");
	else
		c2s_fail(c, STREAM_CONNECTION_TIMEOUT, "no answer to a ping");
}

static void watch_idle(struct c2s *c, struct worker *w)
{
	const struct c2s_limits *limits = c->shared->limits;
	uint64_t idle = worker_now(w) - c->last_in;

	if (c->is_awake && idle < limits->parser_rest_ms) {
		worker_timer_start(w, &c->timer, limits->parser_rest_ms - idle);
		return;
	}
	if (c->is_awake) {
		xml_parser_rest_now(c->in.parser);
		input_note(&c->in, c->conn, sizeof(*c));
		c->is_awake = false;
	}
	if (idle < limits->idle_ms) {
		worker_timer_start(w, &c->timer, limits->idle_ms - idle);
	} else if (!conn_is_read(c->conn)) {
		/* Neither silent nor without an answer: it is not listened to. */
		worker_timer_start(w, &c->timer, CONN_READ_MS);
	} else if (!c->is_probed) {
		probe(c);
		worker_timer_start(w, &c->timer, limits->probe_ms);
	} else {
		give_up(c);
	}
}

static void on_timer(struct worker *w, struct timer *t)
{
	struct c2s *c = LIST_ENTRY(t, struct c2s, timer);

	if (c->conn == NULL)
		return;
	if (c->phase == C2S_BOUND)
		watch_idle(c, w);
	else if (c->is_header_sent)
		c2s_fail(c, STREAM_CONNECTION_TIMEOUT, "login took too long");
	else
		conn_abort(c->conn, "login took too long");
}

static void note_input(struct c2s *c)
{
	c->last_in = worker_now(c->conn->worker);
	c->is_probed = false;
	if (c->phase == C2S_BOUND && !c->is_awake) {
		c->is_awake = true;
		worker_timer_start(c->conn->worker, &c->timer, c->shared->limits->parser_rest_ms);
	}
}

/* ---- what the connection tells ---- */

static size_t on_data(struct conn *conn, void *owner, const char *bytes, size_t len)
{
	struct c2s *c = c2s_ref(owner);
	size_t used;

	if (len != 0)
		note_input(c);
	if (!c->is_header_sent && c->host == NULL && input_is_utf16(bytes, len)) {
		c2s_fail(c, STREAM_UNSUPPORTED_ENCODING, NULL);
		used = len;
	} else {
		used = input_feed(&c->in, conn, bytes, len, handle_event, c);
		if (c->conn != NULL && !c->has_failed)
			shape(c, used, len != 0 ? c->last_in : worker_now(conn->worker));
	}
	if (c->conn != NULL)
		input_note(&c->in, c->conn, sizeof(*c));
	c2s_unref(c);
	return used;
}

static void on_secured(struct conn *conn, void *owner)
{
	struct c2s *c = owner;

	(void)conn;
	c2s_restart(c, false);
}

static void on_closed(struct conn *conn, void *owner, const char *reason)
{
	(void)conn;
	forget_conn(owner, reason);
}

static void on_moved(struct conn *conn, void *owner)
{
	struct c2s *c = owner;

	c->log.parent = &conn->worker->log;
	c->shared = c->shared->of_worker(conn->worker);
	list_append(c->shared->streams, &c->link);
	/* It may be refused what it wants to bind or resume, and has to go on. */
	worker_timer_start(conn->worker, &c->timer, c->shared->limits->login_ms);
	c->shared->arrived(c);
}

static void on_drained(struct conn *conn, void *owner)
{
	struct c2s *c = owner;

	(void)conn;
	c->shared->drained(c);
}

static const struct conn_events events = {
	.on_data = on_data,
	.on_secured = on_secured,
	.on_closed = on_closed,
	.on_moved = on_moved,
	.on_drained = on_drained,
};

/* SNI decides; without it the host of the stream header, and for direct TLS the first host. */
static struct tls_context *choose_tls(void *arg, const char *sni)
{
	struct c2s *c = arg;
	struct stream_host *h;
	struct tls_context *tls;

	if (sni == NULL && c->host != NULL)
		return tls_context_ref(c->host->tls);
	h = c->shared->find_host(c->conn->worker, sni);
	if (h == NULL)
		return NULL;
	tls = tls_context_ref(h->tls);
	stream_host_unref(h);
	return tls;
}

void c2s_accept(struct worker *w, const struct c2s_shared *shared, struct conn *conn, bool direct_tls)
{
	struct c2s *c = mem_new(sizeof(*c));

	c->refs = 1;
	c->conn = conn;
	c->shared = shared;
	c->chooser = (struct tls_chooser){
		.choose = choose_tls, .arg = c, .alpn = direct_tls ? "xmpp-client" : NULL, .shared = shared->tls
	};
	c->timer.fire = on_timer;
	c->shape.fire = on_shape;
	c->is_direct_tls = direct_tls;
	conn_set_stranger(conn, shared->peers, false);
	log_ctx_init(&c->log, &w->log, describe_c2s);
	list_init(&c->link);
	list_append(shared->streams, &c->link);
	conn_set_owner(conn, &events, c);
	c2s_restart(c, false);
	c->last_in = worker_now(w);
	worker_timer_start(w, &c->timer, shared->limits->login_ms);
	log_debug(&c->log, "connected");
	if (direct_tls)
		conn_start_tls(conn, &c->chooser);
	input_note(&c->in, c->conn, sizeof(*c));
}

void c2s_move(struct c2s *c, struct worker *to)
{
	worker_timer_stop(c->conn->worker, &c->timer);
	worker_timer_stop(c->conn->worker, &c->shape);
	list_remove(&c->link);
	conn_move(c->conn, to);
}

static void become_bound(struct c2s *c, struct comity_jid *full, void *session)
{
	const struct c2s_limits *limits = c->shared->limits;
	struct worker *w = c->conn->worker;

	conn_introduce(c->conn, limits->out_bytes);
	c->phase = C2S_BOUND;
	c->session = session;
	rate_init(&c->rate, limits->bytes_per_s, limits->stanzas_per_s, worker_now(w));
	c->is_awake = true;
	worker_timer_start(w, &c->timer, limits->parser_rest_ms);
	comity_jid_unref(c->user);
	c->user = comity_jid_ref(full);
}

void c2s_bound(struct c2s *c, struct comity_jid *full, void *session)
{
	become_bound(c, full, session);
	log_info(&c->log, "bound");
	bind_answer(c);
	conn_resume(c->conn, CONN_STOP_LOGIN);
}

void c2s_await_resume(struct c2s *c, const char *id)
{
	free(c->resume_id);
	c->resume_id = mem_strdup(id);
	c->phase = C2S_BINDING;
	conn_stop(c->conn, CONN_STOP_LOGIN);
	c->shared->bind(c);
}

void c2s_resumed(struct c2s *c, struct comity_jid *full, void *session)
{
	become_bound(c, full, session);
	log_info(&c->log, "resumed");
}

void c2s_read_on(struct c2s *c)
{
	if (c->conn != NULL)
		conn_resume(c->conn, CONN_STOP_LOGIN);
}

void c2s_resume_failed(struct c2s *c)
{
	free(c->resume_id);
	c->resume_id = NULL;
	c->phase = C2S_LOGGED_IN;
	conn_resume(c->conn, CONN_STOP_LOGIN);
}
