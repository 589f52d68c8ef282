/* SPDX-License-Identifier: MIT */
/* Streams between servers: life, input, timers, pairs. */
#include "stream/s2s.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "xml/elem.h"
#include "xml/writer.h"
#include "xmpp/ns.h"
#include "xmpp/stanza.h"

#define NOTE_MAX 512

/* ---- life ---- */

static void describe_s2s(const struct log_ctx *ctx, struct buf *out)
{
	const struct s2s *s = LIST_ENTRY(ctx, struct s2s, log);

	buf_printf(out, s->is_outgoing ? "s2s-out" : "s2s-in");
	if (s->conn != NULL)
		buf_printf(out, " id=%llu peer=%s", (unsigned long long)s->conn->id, s->conn->address);
	if (s->host != NULL)
		buf_printf(out, " local=%s", s->host->name);
	if (s->remote != NULL)
		buf_printf(out, " remote=%s", s->remote);
}

struct s2s *s2s_ref(struct s2s *s)
{
	s->refs++;
	return s;
}

void s2s_unref(struct s2s *s)
{
	if (s == NULL || --s->refs != 0)
		return;
	stream_host_unref(s->host);
	free(s->tlsa);
	free(s->tlsa_host);
	free(s->remote);
	free(s->lang);
	free(s->id);
	free(s);
}

void s2s_note(struct s2s *s, const char *fmt, ...)
{
	char line[NOTE_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	log_debug(&s->log, "%s", line);
	s->shared->note(s, line);
}

void s2s_count_refusal(struct s2s *s)
{
	if (++s->refused_count > s->shared->limits->pairs)
		s2s_fail(s, STREAM_POLICY_VIOLATION, "too many refused dialback keys, logins or resumptions");
}

/* What ended it, when no step has said so. */
static void settle_cause(struct s2s *s, const char *reason)
{
	const char *who = s->remote != NULL ? s->remote : "the peer", *address = s->conn->address;
	bool in_handshake = s->conn->tls != NULL && !s->conn->is_secured;

	if (s->cause != S2S_CAUSE_NONE)
		return;
	if (reason == NULL) {
		s->cause = S2S_CLOSED_BY_US;
		snprintf(s->why, sizeof(s->why), "the stream was closed");
	} else if (in_handshake && strncmp(reason, "TLS", 3) == 0) {
		s->cause = S2S_NO_TLS;
		snprintf(s->why, sizeof(s->why), "encryption with %s (%s) could not be agreed on: %s", who, address, reason);
	} else {
		s->cause = S2S_LOST;
		snprintf(s->why, sizeof(s->why), "the connection with %s (%s) was lost%s: %s", who, address,
		         in_handshake ? " in the TLS handshake" :
		         s->pair_count > s->asked_count ? "" : " before the servers had agreed", reason);
	}
}

static void forget_conn(struct s2s *s, const char *reason)
{
	struct conn *conn = s->conn;

	if (conn == NULL)
		return;
	settle_cause(s, reason);
	worker_timer_stop(conn->worker, &s->timer);
	worker_timer_stop(conn->worker, &s->shape);
	worker_timer_stop(conn->worker, &s->ask);
	sm_forget_stream(s);
	log_info(&s->log, "closed: %s", s->why);
	list_remove(&s->link);
	s->last_step = s->step;
	s->step = S2S_CLOSED;
	s->has_failed = true;
	s->shared->closed(s, s->cause, s->why);
	s->conn = NULL;
	LIST_EACH(l, next, &s->pairs)
		s2s_drop_pair(s, LIST_ENTRY(l, struct s2s_pair, link));
	input_deinit(&s->in);
	sm_free(s->sm);
	s->sm = NULL;
	s2s_unref(s);
}

/* ---- output ---- */

void s2s_send_text(struct s2s *s, const char *text)
{
	if (s->conn != NULL && !s->is_parting)
		conn_write(s->conn, text, strlen(text));
}

void s2s_write_header(struct s2s *s)
{
	struct buf out = { 0 };

	buf_add_str(&out, "<?xml version='1.0'?><stream:stream xmlns='" NS_SERVER "' xmlns:stream='" NS_STREAM
	                  "' xmlns:db='" NS_DIALBACK "'");
	if (!s->is_outgoing && s->id != NULL)
		xml_write_attr(&out, "id", s->id);
	if (s->host != NULL)
		xml_write_attr(&out, "from", s->host->name);
	if (s->remote != NULL)
		xml_write_attr(&out, "to", s->remote);
	/* A peer of before 1.0 must not wait for features (RFC 6120 4.7.5). */
	if (s->is_outgoing || s->is_version_1 || s->step == S2S_OPENING)
		buf_add_str(&out, " version='1.0'");
	/* No language: it would become that of every message that names none. */
	buf_add_str(&out, ">");
	conn_write(s->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
	s->is_header_sent = true;
}

bool s2s_write(struct s2s *s, const struct comity_stanza *st, const char *from, const char *to,
               const struct comity_elem *stamps)
{
	if (!s2s_is_open(s))
		return false;
	s->last_stanza = worker_now(s->conn->worker);
	stanza_write_server(conn_out(s->conn), st, from, to, stamps);
	metrics_add(&s->conn->worker->metrics, METRIC_S2S_STANZAS_OUT, 1);
	switch (conn_touch(s->conn)) {
	case 0:
		return true;
	case -ERR_LIMIT:
		s2s_give_up(s, S2S_LOST, "%s does not read: %zu bytes wait", s->remote, conn_queued(s->conn));
		return false;
	default:
		/* The connection is lost, of which the stream hears later in the turn. */
		return false;
	}
}

/* ---- input ---- */

void s2s_restart(struct s2s *s, bool keep_rest)
{
	const struct s2s_limits *limits = s->shared->limits;

	input_restart(&s->in, s->is_authenticated ? &limits->after_auth : &limits->before_auth, keep_rest);
	s->is_header_sent = false;
	s->step = S2S_OPENING;
}

/* Stanzas speak jabber:client inside, whatever stream they came by, so that nobody has to know two names
 * for one thing. Bytes that name the other namespace are not to be sent on as they are. */
static void adopt_namespace(struct xml_doc *doc, struct comity_elem *e)
{
	if (strcmp(e->ns, NS_SERVER) == 0)
		e->ns = NS_CLIENT;
	for (struct xml_node *n = e->first; n != NULL; n = n->next)
		if (n->text == NULL)
			adopt_namespace(doc, (struct comity_elem *)n);
	if (e == doc->root && doc->inner_names_content)
		doc->inner_usable = false;
}

/* RFC 6120 8.1.1.2, 8.1.2.2: both addresses, and only those that were proved. */
static void take_stanza(struct s2s *s, struct xml_doc **doc)
{
	const char *from_text = comity_elem_attr((*doc)->root, "from"), *to_text = comity_elem_attr((*doc)->root, "to");
	struct jid_cache *jids = s->conn->worker->jids;
	struct comity_jid *from, *to;
	struct s2s_pair *pair = NULL;

	if (from_text == NULL || to_text == NULL) {
		s2s_fail(s, STREAM_IMPROPER_ADDRESSING, "a stanza between servers needs 'from' and 'to'");
		return;
	}
	from = jid_cache_get(jids, from_text, strlen(from_text));
	to = jid_cache_get(jids, to_text, strlen(to_text));
	if (from != NULL && to != NULL)
		pair = s2s_find_pair(s, comity_jid_domain(to), comity_jid_domain(from));
	if (from == NULL || to == NULL) {
		s2s_fail(s, STREAM_IMPROPER_ADDRESSING, from == NULL ? "'from' is not an address" : "'to' is not an address");
	} else if (pair == NULL || !pair->is_proved || (s->is_outgoing && !s->is_bidi)) {
		s2s_fail(s, STREAM_INVALID_FROM, "this stream has not proved that it speaks for the domain of 'from'");
	} else {
		struct comity_stanza *st;

		adopt_namespace(*doc, (*doc)->root);
		if (s->lang != NULL && comity_elem_lang((*doc)->root) == NULL)
			comity_elem_set_lang((*doc)->root, s->lang);
		st = stanza_from_doc(doc);
		metrics_add(&s->conn->worker->metrics, METRIC_S2S_STANZAS_IN, 1);
		s->last_stanza = s->last_in;
		sm_note_received(s);
		s->shared->stanza(s, st, from, to);
	}
	comity_jid_unref(from);
	comity_jid_unref(to);
}

static void on_stream_error(struct s2s *s, const struct comity_elem *e)
{
	const struct comity_elem *text = comity_elem_find(e, NS_STREAM_ERRORS, "text");
	const char *cond = "an error";

	for (const struct comity_elem *c = comity_elem_first(e); c != NULL; c = comity_elem_next(c))
		if (comity_elem_is(c, NS_STREAM_ERRORS, c->name) && !comity_elem_is(c, NULL, "text"))
			cond = c->name;
	s2s_give_up(s, S2S_STREAM_ERROR, "%s (%s) ended the stream with %.60s%s%.200s",
	            s->remote != NULL ? s->remote : "the peer", s->conn->address, cond, text != NULL ? ": " : "",
	            text != NULL ? comity_elem_text(text) : "");
}

static void on_element(struct s2s *s, struct xml_doc *doc)
{
	const struct comity_elem *e = doc->root;

	if (comity_elem_is(e, NS_STREAM, "error"))
		on_stream_error(s, e);
	else if (dialback_on_element(s, e) || sm_on_element(s, e))
		;
	else if (s->is_outgoing ? s2s_out_on_element(s, e) : s2s_in_on_element(s, e))
		;
	else if (stanza_is_element(e) && strcmp(e->ns, NS_SERVER) != 0)
		s2s_fail(s, STREAM_INVALID_NAMESPACE, NULL);
	else if (stanza_is_element(e))
		take_stanza(s, &doc);
	else
		s2s_fail(s, STREAM_UNSUPPORTED_STANZA_TYPE, NULL);
	xml_doc_free(doc);
}

static bool check_header(struct s2s *s, const struct comity_elem *root)
{
	if (strcmp(root->ns, NS_STREAM) != 0 || strcmp(xml_parser_default_ns(s->in.parser), NS_SERVER) != 0) {
		s2s_fail(s, STREAM_INVALID_NAMESPACE, NULL);
		return false;
	}
	if (strcmp(root->name, "stream") != 0) {
		s2s_fail(s, STREAM_BAD_FORMAT, NULL);
		return false;
	}
	s->is_version_1 = stream_is_version_1(comity_elem_attr(root, "version"));
	return true;
}

/* Longer language tags are not taken over (BCP 47 has none as long). */
#define LANG_MAX 64

static void on_open(struct s2s *s, const struct comity_elem *root)
{
	const char *lang = comity_elem_lang(root);

	if (!check_header(s, root))
		return;
	free(s->lang);
	s->lang = lang != NULL && *lang != '\0' && strlen(lang) <= LANG_MAX ? mem_strdup(lang) : NULL;
	if (s->is_outgoing)
		s2s_out_on_open(s, root);
	else
		s2s_in_on_open(s, root);
}

/* Nothing can be answered on the stream any more: only stanzas are of use. */
static void hear_last(struct s2s *s, enum xml_event event, struct xml_doc *doc)
{
	if (event != XML_EVENT_ELEMENT)
		s2s_close_now(s);
	else if (stanza_is_element(doc->root) && strcmp(doc->root->ns, NS_SERVER) == 0)
		take_stanza(s, &doc);
	xml_doc_free(doc);
}

static bool handle_event(void *owner, enum xml_event event, struct xml_doc *doc)
{
	struct s2s *s = owner;
	char text[128];

	s->rate.stanzas -= event == XML_EVENT_ELEMENT;
	if (s->is_parting) {
		hear_last(s, event, doc);
		return s2s_is_connected(s);
	}
	switch (event) {
	case XML_EVENT_OPEN:
		on_open(s, doc->root);
		xml_doc_free(doc);
		break;
	case XML_EVENT_ELEMENT:
		on_element(s, doc);
		break;
	case XML_EVENT_CLOSE:
		s2s_give_up(s, S2S_LOST, "%s (%s) closed the stream", s->remote != NULL ? s->remote : "the peer",
		            s->conn->address);
		break;
	default:
		s2s_fail(s, input_error(event), input_error_text(&s->in, event, text, sizeof(text)));
		break;
	}
	return s2s_is_connected(s);
}

/* ---- rates and timers ---- */

static void on_shape(struct worker *w, struct timer *t)
{
	struct s2s *s = LIST_ENTRY(t, struct s2s, shape);

	(void)w;
	if (s->conn != NULL)
		conn_resume(s->conn, CONN_STOP_RATE);
}

static void shape(struct s2s *s, size_t bytes, uint64_t now)
{
	const struct s2s_limits *limits = s->shared->limits;
	uint64_t wait = rate_take(&s->rate, limits->bytes_per_s, limits->stanzas_per_s, bytes, now);

	if (*s->shared->pressure >= PRESSURE_MESSAGES && bytes != 0 && wait < PRESSURE_READ_PAUSE_MS)
		wait = PRESSURE_READ_PAUSE_MS;
	if (wait == 0)
		return;
	conn_stop(s->conn, CONN_STOP_RATE);
	worker_timer_start(s->conn->worker, &s->shape, wait);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void watch_idle(struct s2s *s, struct worker *w)
{
	const struct s2s_limits *limits = s->shared->limits;
	uint64_t now = worker_now(w), idle = now - s->last_stanza, patience = sm_patience(s, now);
	uint64_t next;

	if (patience == 0) {
		s2s_give_up(s, S2S_LOST, "%s (%s) acknowledged nothing for %llu s", s->remote != NULL ? s->remote : "the peer",
		            s->conn->address, (unsigned long long)(limits->dead_ms / 1000));
		return;
	}
	if (idle >= limits->idle_ms && patience == UINT64_MAX) {
		s2s_leave(s, "nothing was sent for %llu s", (unsigned long long)(idle / 1000));
		return;
	}
	next = sooner(patience, idle < limits->idle_ms ? limits->idle_ms - idle : UINT64_MAX);
	if (s->is_awake && now - s->last_in < limits->parser_rest_ms) {
		worker_timer_start(w, &s->timer, sooner(next, limits->parser_rest_ms - (now - s->last_in)));
		return;
	}
	if (s->is_awake)
		xml_parser_rest_now(s->in.parser);
	input_note(&s->in, s->conn, sizeof(*s));
	s->is_awake = false;
	worker_timer_start(w, &s->timer, next);
}

static void on_timer(struct worker *w, struct timer *t)
{
	struct s2s *s = LIST_ENTRY(t, struct s2s, timer);
	const char *who = s->remote != NULL ? s->remote : "the peer";

	if (s->conn == NULL)
		return;
	if (s->is_parting) {
		s2s_close_now(s);
		return;
	}
	if ((s2s_has_proof(s) && !s->is_managing) || (s->is_outgoing && s->step == S2S_USABLE && s->pair_count == 0)) {
		watch_idle(s, w);
		return;
	}
	if (s->step == S2S_OPENING && !s->conn->is_secured)
		s2s_give_up(s, S2S_TIMEOUT, "%s (%s) accepted the connection and then said nothing", who, s->conn->address);
	else if (s->asked_count != 0)
		s2s_give_up(s, S2S_TIMEOUT, "%s (%s) did not answer the dialback request", who, s->conn->address);
	else
		s2s_give_up(s, S2S_TIMEOUT, "%s (%s) stopped answering while the stream was negotiated", who,
		            s->conn->address);
}

/* ---- what the connection tells ---- */

static size_t on_data(struct conn *conn, void *owner, const char *bytes, size_t len)
{
	struct s2s *s = s2s_ref(owner);
	size_t used;

	if (len != 0) {
		s->last_in = worker_now(conn->worker);
		if (s2s_has_proof(s) && !s->is_awake) {
			s->is_awake = true;
			worker_timer_start(conn->worker, &s->timer, s->shared->limits->parser_rest_ms);
		}
	}
	if (s->step == S2S_OPENING && !s->is_header_sent && input_is_utf16(bytes, len)) {
		s2s_fail(s, STREAM_UNSUPPORTED_ENCODING, NULL);
		used = len;
	} else {
		used = input_feed(&s->in, conn, bytes, len, handle_event, s);
		/* The header may have sent it to another worker, whose timers are not ours. */
		if (s->conn != NULL && !s->has_failed && !s->is_moving)
			shape(s, used, len != 0 ? s->last_in : worker_now(conn->worker));
	}
	if (s->conn != NULL)
		input_note(&s->in, s->conn, sizeof(*s));
	s2s_unref(s);
	return used;
}

static void on_secured(struct conn *conn, void *owner)
{
	struct s2s *s = owner;

	s2s_restart(s, false);
	s2s_note(s, "TLS is up: %s, %s", tls_session_version(conn->tls), tls_session_cipher(conn->tls));
	if (s->is_outgoing)
		s2s_write_header(s);
}

static void on_closed(struct conn *conn, void *owner, const char *reason)
{
	(void)conn;
	forget_conn(owner, reason);
}

static void on_moved(struct conn *conn, void *owner)
{
	struct s2s *s = owner;

	s->log.parent = &conn->worker->log;
	s->shared = s->shared->of_worker(conn->worker);
	list_append(s->shared->streams, &s->link);
	s->is_moving = false;
	worker_timer_start(conn->worker, &s->timer, s->shared->limits->negotiate_ms);
	s2s_in_begin(s);
}

static const struct conn_events events = {
	.on_data = on_data,
	.on_secured = on_secured,
	.on_closed = on_closed,
	.on_moved = on_moved,
};

/* As server SNI names the host, else the header did, else it is the first; as client it is the one we are. */
static struct tls_context *choose_tls(void *arg, const char *sni)
{
	struct s2s *s = arg;
	struct stream_host *h;
	struct tls_context *tls;

	if (s->host != NULL && (sni == NULL || s->is_outgoing))
		return tls_context_ref(s->host->tls);
	h = s->shared->find_host(s->conn->worker, sni);
	if (h == NULL)
		return NULL;
	tls = tls_context_ref(h->tls);
	stream_host_unref(h);
	return tls;
}

static struct s2s *s2s_new(struct worker *w, const struct s2s_shared *shared, struct conn *conn)
{
	struct s2s *s = mem_new(sizeof(*s));

	s->refs = 1;
	s->conn = conn;
	s->shared = shared;
	s->timer.fire = on_timer;
	s->shape.fire = on_shape;
	s->ask.fire = sm_on_timer;
	s->chooser = (struct tls_chooser){ .choose = choose_tls, .arg = s, .shared = shared->tls };
	s->last_in = s->last_stanza = worker_now(w);
	list_init(&s->link);
	list_init(&s->pairs);
	list_append(shared->streams, &s->link);
	log_ctx_init(&s->log, &w->log, describe_s2s);
	rate_init(&s->rate, shared->limits->bytes_per_s, shared->limits->stanzas_per_s, s->last_in);
	conn_set_owner(conn, &events, s);
	worker_timer_start(w, &s->timer, shared->limits->negotiate_ms);
	return s;
}

void s2s_accept(struct worker *w, const struct s2s_shared *shared, struct conn *conn, bool direct_tls)
{
	struct s2s *s = s2s_new(w, shared, conn);

	s->is_direct_tls = direct_tls;
	conn_set_stranger(conn, shared->peers, shared->limits->peers.streams != 0);
	s->chooser.asks_certificate = true;
	s->chooser.alpn = direct_tls ? "xmpp-server" : NULL;
	s2s_restart(s, false);
	log_debug(&s->log, "connected");
	if (direct_tls)
		conn_start_tls(conn, &s->chooser);
}

struct s2s *s2s_connect(struct worker *w, const struct s2s_shared *shared, struct conn *conn,
                        const struct s2s_start *start)
{
	struct s2s *s = s2s_new(w, shared, conn);

	s->is_outgoing = true;
	s->is_direct_tls = start->is_direct_tls;
	s->no_external = start->no_external;
	s->wants_proof = start->wants_proof;
	s->wants_bidi = start->wants_bidi;
	s->owner = start->owner;
	s->host = stream_host_ref(start->host);
	s->remote = mem_strdup(start->remote);
	if (start->tlsa_count != 0) {
		s->tlsa = mem_array(start->tlsa_count, sizeof(*s->tlsa));
		memcpy(s->tlsa, start->tlsa, start->tlsa_count * sizeof(*s->tlsa));
		s->tlsa_count = start->tlsa_count;
		s->tlsa_host = mem_strdup(start->tlsa_host);
	}
	s->chooser.server_name = s->remote;
	s->chooser.alpn = start->is_direct_tls ? "xmpp-server" : NULL;
	s2s_restart(s, false);
	return s;
}

void s2s_begin(struct s2s *s)
{
	if (s->is_direct_tls)
		conn_start_tls(s->conn, &s->chooser);
	else
		s2s_write_header(s);
}
