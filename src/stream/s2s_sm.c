/* SPDX-License-Identifier: MIT */
/* Stream management between servers (XEP-0198). */
#include "stream/s2s_sm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stream/s2s.h"
#include "xml/elem.h"
#include "xml/writer.h"
#include "xmpp/ns.h"

/* A peer's own id of a stream; a longer one is not worth keeping. */
#define PEER_ID_MAX 1024
/* After a question for an acknowledgement the next one comes when so many stanzas wait, or so many
 * milliseconds later: one answer does for many stanzas. */
#define ASK_STANZAS 64
#define ASK_MS 20
/* A peer that asks is answered after this time at the latest. */
#define OWE_MS 1000

static void pay(struct s2s_sm *sm);
static void hurry(struct s2s *s);

struct s2s_sm *sm_new(void)
{
	struct s2s_sm *sm = mem_new(sizeof(*sm));

	sm->refs = 1;
	list_init(&sm->unacked);
	list_init(&sm->holds);
	return sm;
}

void sm_free(struct s2s_sm *sm)
{
	if (sm == NULL || --sm->refs != 0)
		return;
	free(sm->id);
	free(sm);
}

void *sm_shift(struct s2s_sm *sm)
{
	struct list *l = list_shift(&sm->unacked);
	struct s2s_sm_item *item;
	void *token;

	if (l == NULL)
		return NULL;
	item = LIST_ENTRY(l, struct s2s_sm_item, link);
	token = item->token;
	sm->unacked_count--;
	free(item);
	return token;
}

static void keep(struct s2s_sm *sm, void *token)
{
	struct s2s_sm_item *item = mem_new(sizeof(*item));

	item->token = token;
	list_append(&sm->unacked, &item->link);
	sm->unacked_count++;
}

static void ask_in_time(struct s2s *s)
{
	if (s->sm->unacked_count >= ASK_STANZAS || !timer_is_running(&s->ask))
		sm_ask(s);
}

void sm_note_sent(struct s2s *s, void *token)
{
	keep(s->sm, token);
	ask_in_time(s);
}

void sm_note_received(struct s2s *s)
{
	if (s->sm != NULL)
		s->sm->received++;
}

bool sm_hold(struct s2s *s, struct s2s_hold *hold)
{
	if (s->sm == NULL || s->is_outgoing)
		return false;
	hold->sm = s->sm;
	s->sm->refs++;
	hold->number = s->sm->received;
	list_init(&hold->link);
	list_append(&s->sm->holds, &hold->link);
	return true;
}

/* What is safe without a gap: h. */
static uint32_t count_safe(const struct s2s_sm *sm)
{
	return list_empty(&sm->holds) ? sm->received : LIST_ENTRY(sm->holds.next, struct s2s_hold, link)->number - 1;
}

void sm_hush(struct s2s *s)
{
	if (s->conn != NULL && s->sm != NULL && !s->is_outgoing)
		conn_stop(s->conn, CONN_STOP_END);
}

bool sm_is_unsafe(const struct s2s *s)
{
	return !s->is_outgoing && s->sm != NULL && count_safe(s->sm) != s->sm->received;
}

void sm_ask(struct s2s *s)
{
	if (s->conn == NULL || s->sm == NULL || s->sm->is_asked || s->sm->unacked_count == 0)
		return;
	s->sm->is_asked = true;
	s->sm->asked_at = worker_now(s->conn->worker);
	s2s_send_text(s, "<r xmlns='" NS_SM "'/>");
	worker_timer_start(s->conn->worker, &s->ask, ASK_MS);
	/* With input awaited the timer comes round before that by itself. */
	if (!s->is_awake)
		worker_timer_start(s->conn->worker, &s->timer, s->shared->limits->dead_ms);
}

uint64_t sm_patience(const struct s2s *s, uint64_t now)
{
	uint64_t waited;

	if (s->sm == NULL || !s->sm->is_asked)
		return UINT64_MAX;
	waited = now - s->sm->asked_at;
	return waited < s->shared->limits->dead_ms ? s->shared->limits->dead_ms - waited : 0;
}

void sm_on_timer(struct worker *w, struct timer *t)
{
	struct s2s *s = LIST_ENTRY(t, struct s2s, ask);

	(void)w;
	if (s->is_outgoing)
		sm_ask(s);
	else if (s->sm == NULL || s->sm->owed != s)
		;
	else if (s->sm->is_resuming)
		hurry(s);
	else
		pay(s->sm);
}

/* ---- elements ---- */

static bool read_count(const struct comity_elem *e, uint32_t *h)
{
	const char *text = comity_elem_attr(e, "h");
	char *end;
	unsigned long n;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	n = strtoul(text, &end, 10);
	*h = (uint32_t)n;
	return *end == '\0' && n <= UINT32_MAX;
}

/* Lets go of what the peer has; false when it claims more than was sent: nothing is on a stream of theirs. */
static bool take_ack(struct s2s *s, struct s2s_sm *sm, uint32_t h)
{
	uint32_t count = h - sm->acked;

	if (count > (s->is_outgoing ? sm->unacked_count : 0))
		return false;
	sm->acked = h;
	for (; count != 0; count--)
		s->shared->acked(s, sm_shift(sm));
	return true;
}

static void on_ack(struct s2s *s, const struct comity_elem *e)
{
	uint32_t h;

	if (s->sm == NULL || !read_count(e, &h) || !take_ack(s, s->sm, h)) {
		s2s_fail(s, STREAM_UNDEFINED_CONDITION, "acknowledged more stanzas than were sent");
		return;
	}
	s->sm->is_asked = false;
	ask_in_time(s);
}

static void send_element(struct s2s *s, const char *name, const char *attr, const char *value, long long h)
{
	struct buf out = { 0 };

	buf_printf(&out, "<%s xmlns='" NS_SM "'", name);
	if (value != NULL)
		xml_write_attr(&out, attr, value);
	if (h >= 0)
		buf_printf(&out, " h='%lld'", h);
	buf_add_str(&out, "/>");
	conn_write(s->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
}

/* ---- receiving ---- */

void sm_say_handled(struct s2s *s)
{
	if (!s->is_outgoing && s->sm != NULL)
		send_element(s, "a", NULL, NULL, count_safe(s->sm));
}

static void send_resumed(struct s2s *s)
{
	s->sm->is_resuming = false;
	send_element(s, "resumed", "previd", s->sm->id, s->sm->owed_for);
	log_info(&s->log, "resumed");
}

static void pay(struct s2s_sm *sm)
{
	struct s2s *s = sm->owed;

	sm->owed = NULL;
	worker_timer_stop(s->conn->worker, &s->ask);
	if (sm->is_resuming)
		send_resumed(s);
	else
		send_element(s, "a", NULL, NULL, count_safe(sm));
}

static void hurry(struct s2s *s)
{
	s->shared->hurry(s);
	worker_timer_start(s->conn->worker, &s->ask, OWE_MS);
}

void sm_let_go(struct s2s_hold *hold)
{
	struct s2s_sm *sm = hold->sm;

	list_remove(&hold->link);
	if (sm->owed != NULL && (int32_t)(count_safe(sm) - sm->owed_for) >= 0)
		pay(sm);
	sm_free(sm);
}

void sm_forget_stream(struct s2s *s)
{
	if (s->sm != NULL && s->sm->owed == s)
		s->sm->owed = NULL;
}

/* The answer waits a little for what is about to be safe. */
static void answer_asked(struct s2s *s)
{
	if (s->sm->is_resuming)
		return;
	if (count_safe(s->sm) == s->sm->received || s->is_outgoing) {
		send_element(s, "a", NULL, NULL, count_safe(s->sm));
		return;
	}
	s->sm->owed_for = s->sm->received;
	if (s->sm->owed == s) {
		s->shared->hurry(s);
		return;
	}
	s->sm->owed = s;
	hurry(s);
}

static void refuse(struct s2s *s, const char *cond)
{
	struct buf out = { 0 };

	buf_printf(&out, "<failed xmlns='" NS_SM "'><%s xmlns='" NS_STANZA_ERRORS "'/></failed>", cond);
	conn_write(s->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
}

static bool may_manage(const struct s2s *s)
{
	return !s->is_outgoing && s->sm == NULL && s->pair_count > s->asked_count && !s->is_bidi &&
	       s->shared->limits->resume_ms != 0;
}

static char *make_id(struct s2s *s)
{
	char id[STREAM_ID_SIZE];

	stream_make_id(s->conn->worker->env, id);
	return mem_strdup(id);
}

static void on_enable(struct s2s *s, const struct comity_elem *e)
{
	const char *resume = comity_elem_attr(e, "resume");
	struct buf out = { 0 };

	if (!may_manage(s)) {
		refuse(s, "unexpected-request");
		return;
	}
	s->sm = sm_new();
	buf_add_str(&out, "<enabled xmlns='" NS_SM "'");
	if (resume != NULL && (strcmp(resume, "true") == 0 || strcmp(resume, "1") == 0)) {
		s->sm->id = make_id(s);
		xml_write_attr(&out, "id", s->sm->id);
		buf_printf(&out, " resume='true' max='%llu'", (unsigned long long)(s->shared->limits->resume_ms / 1000));
	}
	buf_add_str(&out, "/>");
	conn_write(s->conn, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
}

static void on_resume(struct s2s *s, const struct comity_elem *e)
{
	const char *previd = comity_elem_attr(e, "previd");

	if (!may_manage(s) || previd == NULL) {
		refuse(s, "unexpected-request");
		return;
	}
	s->sm = s->shared->find_suspended(s, previd);
	if (s->sm == NULL) {
		refuse(s, "item-not-found");
		s2s_count_refusal(s);
		return;
	}
	/* The peer forgets what the count covers, and would send again what it does not, though it came: so all that came
	 * has to be safe first, however long that takes. */
	s->sm->owed_for = s->sm->received;
	s->sm->is_resuming = count_safe(s->sm) != s->sm->received;
	s->sm->owed = s->sm->is_resuming ? s : NULL;
	if (s->sm->is_resuming)
		hurry(s);
	else
		send_resumed(s);
}

/* ---- initiating ---- */

static void give_back(struct s2s *s, struct s2s_sm *sm)
{
	for (void *token; sm != NULL && (token = sm_shift(sm)) != NULL;)
		s->shared->unacked(s, token);
	sm_free(sm);
}

/* The answer has the time that negotiation has. */
static void await_management(struct s2s *s)
{
	s->is_managing = true;
	worker_timer_start(s->conn->worker, &s->timer, s->shared->limits->negotiate_ms);
}

static void ask_to_enable(struct s2s *s)
{
	await_management(s);
	s2s_send_text(s, "<enable xmlns='" NS_SM "' resume='true'/>");
}

void sm_begin(struct s2s *s, struct s2s_sm *sm)
{
	bool can_manage = s->has_sm && !s->is_bidi && s->shared->limits->resume_ms != 0;

	if (can_manage && sm != NULL && sm->id != NULL) {
		await_management(s);
		s->sm = sm;
		send_element(s, "resume", "previd", sm->id, sm->received);
		return;
	}
	give_back(s, sm);
	if (can_manage)
		ask_to_enable(s);
	else
		s->shared->managed(s);
}

static void end_management(struct s2s *s)
{
	s->is_managing = false;
	s->is_awake = true;
	worker_timer_start(s->conn->worker, &s->timer, s->shared->limits->parser_rest_ms);
}

static void on_enabled(struct s2s *s, const struct comity_elem *e)
{
	const char *id = comity_elem_attr(e, "id"), *resume = comity_elem_attr(e, "resume");
	bool can_resume = id != NULL && strlen(id) <= PEER_ID_MAX && resume != NULL &&
	                  (strcmp(resume, "true") == 0 || strcmp(resume, "1") == 0);

	end_management(s);
	s->sm = sm_new();
	s->sm->id = can_resume ? mem_strdup(id) : NULL;
	s->shared->managed(s);
}

/* Sends again what the peer does not have. */
static void on_resumed(struct s2s *s, const struct comity_elem *e)
{
	uint32_t h;

	end_management(s);
	if (!read_count(e, &h) || !take_ack(s, s->sm, h)) {
		s2s_fail(s, STREAM_UNDEFINED_CONDITION, "acknowledged more stanzas than were sent");
		return;
	}
	log_info(&s->log, "resumed, %u stanzas sent again", s->sm->unacked_count);
	LIST_EACH(l, next, &s->sm->unacked)
		s->shared->rewrite(s, LIST_ENTRY(l, struct s2s_sm_item, link)->token);
	s->sm->is_asked = false;
	sm_ask(s);
	s->shared->managed(s);
}

/* The peer knows nothing of the old stream, but may say how much of it arrived. */
static void on_failed(struct s2s *s, const struct comity_elem *e)
{
	struct s2s_sm *old = s->sm;
	uint32_t h;

	end_management(s);
	s->sm = NULL;
	if (old != NULL && read_count(e, &h))
		take_ack(s, old, h);
	give_back(s, old);
	if (old != NULL)
		ask_to_enable(s);
	else
		s->shared->managed(s);
}

/* ---- elements ---- */

bool sm_on_element(struct s2s *s, const struct comity_elem *e)
{
	if (!comity_elem_is(e, NS_SM, e->name))
		return false;
	if (comity_elem_is(e, NULL, "r") && s->sm != NULL)
		answer_asked(s);
	else if (comity_elem_is(e, NULL, "a"))
		on_ack(s, e);
	else if (comity_elem_is(e, NULL, "enable"))
		on_enable(s, e);
	else if (comity_elem_is(e, NULL, "resume"))
		on_resume(s, e);
	else if (comity_elem_is(e, NULL, "enabled") && s->is_managing && s->sm == NULL)
		on_enabled(s, e);
	else if (comity_elem_is(e, NULL, "resumed") && s->is_managing && s->sm != NULL)
		on_resumed(s, e);
	else if (comity_elem_is(e, NULL, "failed") && s->is_managing)
		on_failed(s, e);
	else
		s2s_fail(s, STREAM_UNSUPPORTED_STANZA_TYPE, "stream management is not as far as that");
	return true;
}
