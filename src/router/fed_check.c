/* SPDX-License-Identifier: MIT */
/* Dialback keys of those who connect to us, which their domain's own server is asked about (XEP-0220 2.2). */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/peers.h"
#include "router/fed.h"
#include "router/router.h"

/* A dialback key that came on a stream and waits for its domain's server to know it. */
struct fed_check {
	struct list link;
	struct s2s *stream;    /* with a reference */
	char *id, *key;
	struct quota_holder *of;   /* the address that it came from */
	uint64_t since;
	bool is_asked;
};

/* Of the keys that may be verified at a time, one address may hold one in so many. */
#define ADDRESS_PART 10

const char *fed_refuse_check(const struct federation *f, const struct s2s *s)
{
	size_t most = f->router->settings->fed.verifications, part = most / ADDRESS_PART;
	char room[PEERS_NETWORK_MAX];

	if (quota_held(&f->checkers, peers_network(s->conn->address, room)) >= (part != 0 ? part : 1))
		return "too many dialback keys of your address are being verified";
	return f->check_count >= most ? "too many dialback keys are being verified" : NULL;
}

static void check_free(struct federation *f, struct fed_check *c)
{
	f->check_count--;
	quota_return(&f->checkers, &c->of);
	s2s_unref(c->stream);
	free(c->id);
	free(c->key);
	free(c);
}

void link_ask_checks(struct fed_link *l)
{
	LIST_EACH(p, next, &l->checks) {
		struct fed_check *c = LIST_ENTRY(p, struct fed_check, link);

		if (!c->is_asked)
			s2s_ask_verify(l->out, &(struct dialback_check){ l->local, l->remote, c->id, c->key });
		c->is_asked = true;
	}
}

static void end_check(struct fed_link *l, struct fed_check *c, enum dialback_answer answer, enum comity_cond cond,
                      const char *text)
{
	list_remove(&c->link);
	s2s_verified(c->stream, l->local, l->remote, answer, cond, text);
	check_free(l->fed, c);
}

void link_end_checks_before(struct fed_link *l, uint64_t moment, enum comity_cond cond, const char *text)
{
	while (!list_empty(&l->checks)) {
		struct fed_check *c = LIST_ENTRY(l->checks.next, struct fed_check, link);

		if (c->since > moment)
			return;
		end_check(l, c, DIALBACK_ERROR, cond, text);
	}
}

uint64_t link_oldest_check(const struct fed_link *l)
{
	return list_empty(&l->checks) ? UINT64_MAX : LIST_ENTRY(l->checks.next, struct fed_check, link)->since;
}

void link_drop_checks(struct fed_link *l)
{
	for (struct list *i; (i = list_shift(&l->checks)) != NULL;)
		check_free(l->fed, LIST_ENTRY(i, struct fed_check, link));
}

void link_verify(struct fed_link *l, struct s2s *s, const char *key)
{
	struct fed_check *c = mem_new(sizeof(*c));
	char room[PEERS_NETWORK_MAX];

	c->of = quota_take(&l->fed->checkers, peers_network(s->conn->address, room));
	c->stream = s2s_ref(s);
	c->id = mem_strdup(s->id);
	c->key = mem_strdup(key);
	c->since = worker_now(link_worker(l));
	list_init(&c->link);
	list_append(&l->checks, &c->link);
	l->fed->check_count++;
	/* Whoever connects to us lives, so there is no waiting for the next try. */
	if (l->state == LINK_WAITING)
		l->state = LINK_IDLE;
	if (l->out != NULL && l->out->step == S2S_USABLE)
		link_ask_checks(l);
	else if (l->out == NULL && l->state != LINK_DIALING)
		link_open(l);
	link_schedule(l);
}

void link_on_verify_answer(struct fed_link *l, const struct dialback_check *check, enum dialback_answer answer,
                           const char *text)
{
	LIST_EACH(p, next, &l->checks) {
		struct fed_check *c = LIST_ENTRY(p, struct fed_check, link);

		if (strcmp(c->id, check->id) != 0 || strcmp(l->local, check->local) != 0 ||
		    strcmp(l->remote, check->remote) != 0)
			continue;
		end_check(l, c, answer, COMITY_REMOTE_SERVER_TIMEOUT, text);
		break;
	}
	link_schedule(l);
}
