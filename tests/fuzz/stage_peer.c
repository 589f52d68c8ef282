/* SPDX-License-Identifier: MIT */
/* The other server on the stage, in both directions. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/peers.h"
#include "router/fed.h"
#include "router/router.h"
#include "stage.h"
#include "stream/s2s.h"
#include "xml/writer.h"
#include "xmpp/ns.h"

#define NAMESPACES " version='1.0' xmlns='" NS_SERVER "' xmlns:db='" NS_DIALBACK "' xmlns:stream='" NS_STREAM "'>"
#define ADDRESS "192.0.2.1"
/* No descriptor has this number: who would use it is told so. */
#define NO_FD 1000000
#define CONNECT_MS 1000

/* Bits of remote_manner; 0 is a server as it should be, without extensions. */
#define HAS_SM 1
#define HAS_BIDI 2
#define REFUSES_KEYS 4
#define SAYS_NOTHING 8       /* to dialback */
#define ACKS_NOTHING 16
#define RESUMES_NOTHING 32
#define ANSWERS_NOTHING 64   /* to an iq */
#define CUTS 128             /* a connection that was just made */

static struct stage *stage_of_dials;

/* ---- as a receiving server ---- */

static void on_open(struct peer *p)
{
	uint8_t manner = p->stage->remote_manner;

	p->is_open = true;
	if (!p->is_dialed)
		return;
	line_say(&p->line, "<stream:stream from='" REMOTE "' to='" HOST "' id='s%u'" NAMESPACES "<stream:features>"
	         "<dialback xmlns='" NS_DIALBACK_FEATURE "'><errors/></dialback>%s%s</stream:features>", ++p->stage->serial,
	         (manner & HAS_SM) != 0 ? "<sm xmlns='" NS_SM "'/>" : "",
	         (manner & HAS_BIDI) != 0 ? "<bidi xmlns='" NS_BIDI_FEATURE "'/>" : "");
}

static void on_dialback(struct peer *p, const struct heard *h)
{
	uint8_t manner = p->stage->remote_manner;
	const char *type = heard_attr(h, "type"), *id = heard_attr(h, "id"), *to = heard_attr(h, "to");
	struct buf out = { 0 };

	if (type != NULL) {
		if (strcmp(h->name, "result") == 0 && strcmp(type, "valid") == 0)
			p->is_proved = true;
		return;
	}
	if ((manner & SAYS_NOTHING) != 0)
		return;
	buf_printf(&out, "<db:%s to='" HOST "' type='%s'", h->name, (manner & REFUSES_KEYS) != 0 ? "invalid" : "valid");
	/* All domains are on this server. */
	if (to != NULL)
		xml_write_attr(&out, "from", to);
	if (id != NULL)
		xml_write_attr(&out, "id", id);
	buf_add_str(&out, "/>");
	line_add(&p->line, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
}

static void on_managed(struct peer *p, const struct heard *h)
{
	uint8_t manner = p->stage->remote_manner;
	const char *id = heard_attr(h, "id");

	if (strcmp(h->name, "r") == 0 && (manner & ACKS_NOTHING) == 0) {
		line_say(&p->line, "<a xmlns='" NS_SM "' h='%u'/>", p->received);
	} else if (strcmp(h->name, "enable") == 0) {
		p->received = 0;
		p->is_managed = true;
		line_say(&p->line, "<enabled xmlns='" NS_SM "' id='p1' resume='true'/>");
	} else if (strcmp(h->name, "resume") == 0 && (manner & RESUMES_NOTHING) == 0) {
		line_say(&p->line, "<resumed xmlns='" NS_SM "' previd='p1' h='%u'/>", p->received);
	} else if (strcmp(h->name, "resume") == 0) {
		line_say(&p->line, "<failed xmlns='" NS_SM "'><item-not-found xmlns='" NS_STANZA_ERRORS "'/></failed>");
	} else if (strcmp(h->name, "enabled") == 0) {
		p->is_managed = true;
		p->received = 0;
		snprintf(p->sm_id, sizeof(p->sm_id), "%s", id != NULL ? id : "");
	} else if (strcmp(h->name, "failed") == 0) {
		p->sm_id[0] = '\0';
	}
}

/* ---- stanzas ---- */

/* Where the other server may say something: its own stream, or one that goes both ways. */
static struct peer *find_way(struct peer *p)
{
	for (unsigned i = 0; i < PEERS; i++) {
		struct peer *other = &p->stage->peers[i];

		if (line_is_up(&other->line) && other->is_proved && (!other->is_dialed || other->is_bidi))
			return other;
	}
	return NULL;
}

static void on_stanza(struct peer *p, const struct heard *h)
{
	const char *type = heard_attr(h, "type"), *id = heard_attr(h, "id");
	const char *from = heard_attr(h, "from"), *to = heard_attr(h, "to");
	struct peer *way = find_way(p);
	struct buf out = { 0 };

	if (strcmp(h->ns, NS_SERVER) != 0)
		finding("the other server got a stanza of the namespace '%s'", h->ns);
	if (from == NULL || to == NULL)
		finding("the other server got a stanza without addresses");
	p->received++;
	if (id != NULL)
		snprintf(p->last_id, sizeof(p->last_id), "%s", strpbrk(id, "'<&") == NULL ? id : "i0");
	if (strcmp(h->name, "iq") != 0 || type == NULL || (*type != 'g' && *type != 's') || way == NULL ||
	    (p->stage->remote_manner & ANSWERS_NOTHING) != 0)
		return;
	buf_add_str(&out, "<iq type='result'");
	if (id != NULL)
		xml_write_attr(&out, "id", id);
	xml_write_attr(&out, "from", to);
	xml_write_attr(&out, "to", from);
	buf_add_str(&out, "/>");
	line_add(&way->line, buf_bytes(&out), buf_size(&out));
	buf_deinit(&out);
}

static void on_heard(void *owner, const struct heard *h)
{
	struct peer *p = owner;

	if (h->what == HEARD_OPEN)
		on_open(p);
	else if (h->what == HEARD_CLOSE)
		;
	else if (heard_is_stanza(h))
		on_stanza(p, h);
	else if (strcmp(h->ns, NS_DIALBACK) == 0)
		on_dialback(p, h);
	else if (strcmp(h->ns, NS_SM) == 0)
		on_managed(p, h);
	else if (heard_is(h, NS_BIDI, "bidi"))
		p->is_bidi = true;
	else if (strcmp(h->ns, NS_STREAM) != 0 && strcmp(h->name, "failure") != 0)
		finding("the other server heard <%s xmlns='%s'/>", h->name, h->ns);
}

/* ---- the server connects ---- */

struct making {
	struct timer timer;
	struct worker *worker;
	dial_made_cb *made;
	void *arg;
	int error;                 /* 0: what the other server makes of it */
};

static struct peer *free_peer(struct stage *s)
{
	for (unsigned i = PEERS; i-- != 0;)
		if (s->peers[i].line.conn == NULL && !s->peers[i].is_leaving)
			return &s->peers[i];
	return NULL;
}

static void on_making(struct worker *w, struct timer *t)
{
	struct making m = *LIST_ENTRY(t, struct making, timer);
	struct stage *s = stage_of_dials;

	(void)w;
	free(LIST_ENTRY(t, struct making, timer));
	if (m.error == 0 && (s->is_remote_down || free_peer(s) == NULL))
		m.error = ECONNREFUSED;
	m.made(m.arg, m.error == 0 ? NO_FD : -1, m.error);
}

/* In trouble it fails at once or later, or takes longer, perhaps than anybody waits. */
static void *begin(const struct dial_io *io, struct worker *w, const struct sockaddr *address, socklen_t len,
                   dial_made_cb *made, void *arg)
{
	static const uint64_t delays[] = { 1, 900, 2 * CONNECT_MS };
	struct faults *f = &stage_of_dials->faults;
	bool has_trouble = faults_strike(f);
	unsigned how = has_trouble ? faults_draw(f, 4) : 0;
	struct making *m;

	(void)io, (void)address, (void)len;
	if (how == 3) {
		errno = faults_errno(f, FAULTY_CONNECT);
		return NULL;
	}
	m = mem_new(sizeof(*m));
	*m = (struct making){ .timer.fire = on_making, .worker = w, .made = made, .arg = arg };
	if (has_trouble && how == 0)
		m->error = faults_errno(f, FAULTY_CONNECT);
	worker_timer_start(w, &m->timer, delays[how]);
	return m;
}

static void stop(const struct dial_io *io, void *making)
{
	struct making *m = making;

	(void)io;
	worker_timer_stop(m->worker, &m->timer);
	free(m);
}

static const struct dial_io dial_io = { .begin = begin, .stop = stop };

void stage_set_dialed(struct stage *s)
{
	stage_of_dials = s;
	s->life.sim->settings->fed.dial = (struct dial_settings){ .connect_ms = CONNECT_MS, .total_ms = 3000, .io = &dial_io };
}

struct conn *__real_conn_new(struct worker *w, int fd, const struct conn_io *io, void *io_data, const char *address,
                             size_t out_limit);
struct conn *__wrap_conn_new(struct worker *w, int fd, const struct conn_io *io, void *io_data, const char *address,
                             size_t out_limit);

/* The program is linked so that what connects comes here: then the other end of the socket is a line. */
struct conn *__wrap_conn_new(struct worker *w, int fd, const struct conn_io *io, void *io_data, const char *address,
                             size_t out_limit)
{
	struct stage *s = stage_of_dials;
	struct peer *p;

	if (fd != NO_FD)
		return __real_conn_new(w, fd, io, io_data, address, out_limit);
	p = free_peer(s);
	peer_leave(p);
	*p = (struct peer){ .stage = s, .is_dialed = true, .received = p->received };
	line_open(&p->line, s, on_heard, p);
	p->line.is_deaf = s->is_remote_deaf;
	line_make_conn(&p->line, w->id);
	if ((s->remote_manner & CUTS) != 0)
		line_cut(&p->line);
	return p->line.conn;
}

/* ---- the other server connects ---- */

static void come(struct peer *p)
{
	struct stage *s = p->stage;
	struct choices *in = &s->in;
	uint32_t how = choose(in, 64);
	unsigned worker = choose(in, 2) % s->life.workers;
	struct worker *w = s->life.sim->workers[worker];
	char sm_id[sizeof(p->sm_id)];

	memcpy(sm_id, p->sm_id, sizeof(sm_id));
	*p = (struct peer){ .stage = s, .received = p->received };
	line_open(&p->line, s, on_heard, p);
	p->line.is_deaf = s->is_remote_deaf;
	peers_admit(s->life.sim->server.peers, ADDRESS, &(struct peers_limits){ UINT32_MAX, UINT32_MAX, 0 });
	s2s_accept(w, &router_of(w)->fed->shared, line_make_conn(&p->line, worker), false);
	line_say(&p->line, "<stream:stream%s to='" HOST "'" NAMESPACES, (how & 1) != 0 ? "" : " from='" REMOTE "'");
	stage_run(s);
	if ((how & 2) != 0) {
		line_say(&p->line, "<bidi xmlns='" NS_BIDI "'/>");
		p->is_bidi = true;
	}
	line_say(&p->line, "<db:result from='" REMOTE "' to='" HOST "'>key%u</db:result>", how);
	stage_run(s);
	stage_pass(s, 100);
	if ((how & 12) == 4)
		line_say(&p->line, "<enable xmlns='" NS_SM "'%s/>", (how & 16) != 0 ? " resume='true'" : "");
	else if ((how & 12) == 8 && sm_id[0] != '\0')
		line_say(&p->line, "<resume xmlns='" NS_SM "' previd='%s' h='%u'/>", sm_id, p->received);
	stage_run(s);
}

void peer_leave(struct peer *p)
{
	if (p->line.conn != NULL) {
		/* The server may connect anew at once, though not here. */
		p->is_leaving = true;
		p->line.is_deaf = false;
		line_cut(&p->line);
		stage_run(p->stage);
		p->is_leaving = false;
	}
	line_close(&p->line);
	p->is_open = p->is_proved = p->is_bidi = p->is_managed = p->is_dialed = false;
}

static void speak(struct peer *p, bool is_stanza, bool is_torn)
{
	struct stage *s = p->stage;
	struct grammar g = { .in = &s->in, .ns = NS_SERVER, .own_bare = "romeo@" REMOTE, .own_full = "romeo@" REMOTE "/orchard",
	                     .host = HOST, .remote = REMOTE, .last_id = p->last_id[0] != '\0' ? p->last_id : NULL,
	                     .h = p->received, .serial = s->serial };
	struct buf out = { 0 };
	struct said said;

	for (unsigned i = 0; i < CLIENTS; i++)
		if (s->clients[i].is_bound)
			g.others[i] = s->clients[i].full;
	if (is_stanza)
		grammar_stanza(&g, &out, &said);
	else
		grammar_nonza(&g, &out, true, &said);
	s->serial = g.serial;
	line_add(&p->line, buf_bytes(&out), is_torn ? choose(&s->in, 256) * buf_size(&out) / 256 : buf_size(&out));
	buf_deinit(&out);
	if (is_torn)
		peer_leave(p);
	else
		stage_run(s);
}

void peer_act(struct peer *p)
{
	uint32_t what = choose(&p->stage->in, 32);

	if (!line_is_up(&p->line) || ear_is_closed(p->line.ear)) {
		peer_leave(p);
		come(p);
	} else if (what < 24) {
		speak(p, true, false);
	} else if (what < 28) {
		speak(p, false, false);
	} else if (what == 28) {
		speak(p, true, true);
	} else if (what == 29) {
		peer_leave(p);
	} else if (what == 30) {
		line_say(&p->line, "</stream:stream>");
		stage_run(p->stage);
	} else {
		line_say(&p->line, "<db:result from='%s' to='" HOST "'>k</db:result>", choose(&p->stage->in, 2) != 0 ? REMOTE :
		         "nobody.test");
		stage_run(p->stage);
	}
}
