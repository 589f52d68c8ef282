/* SPDX-License-Identifier: MIT */
/* Look-ups: what is registered here, and what peers know. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "directory.h"

/* Look-ups that wait for peers, per worker. */
#define WAITING_MAX 2000
#define PEERS_MAX 16
#define VIA_LEN_MAX 2048
#define TOKEN_MS 10000
/* What remains for a peer of the time that the asker has, in eighths. */
#define SHARE_OF_PEER 7

/* One question, until it is answered. */
struct lookup {
	struct comity_rq *rq;
	struct comity_jid *domain, *asker;   /* asker: for whom it is */
	unsigned asked;              /* peers that have not answered */
	bool is_answered;
	bool is_refused;             /* by a peer */
};

static const char *domain_of(const struct lookup *l)
{
	return comity_jid_domain(l->domain);
}

static const char *name_of_asker(const struct lookup *l)
{
	return comity_jid_domain(l->asker);
}

static void end(struct lookup *l)
{
	comity_rq_release(l->rq);
	comity_jid_unref(l->domain);
	comity_jid_unref(l->asker);
	free(l);
}

static void refuse(struct comity_mod *m, struct lookup *l, enum comity_cond cond, const char *text)
{
	comity_log(m, COMITY_DEBUG, "lookup domain=%s for=%s: %s", domain_of(l), name_of_asker(l), text);
	comity_reply_error(l->rq, cond, text);
	l->is_answered = true;
}

static void answer(struct comity_mod *m, struct lookup *l, const struct comity_route *route)
{
	struct comity_stanza *st = comity_reply_new(l->rq);
	struct comity_elem *e = comity_elem_add(comity_stanza_edit(st), COMITY_NS_DIRECTORY, "route");

	comity_log(m, COMITY_DEBUG, "lookup domain=%s for=%s: %s port %u", domain_of(l), name_of_asker(l), route->host,
	           route->port);
	comity_elem_set(e, "domain", domain_of(l));
	comity_route_write(e, route);
	comity_reply_with(l->rq, &st);
	l->is_answered = true;
}

static void refuse_unknown(struct comity_mod *m, struct lookup *l)
{
	char text[1200];

	if (l->is_refused) {
		refuse(m, l, COMITY_FORBIDDEN, "another directory refuses to tell you where that domain is");
		return;
	}
	snprintf(text, sizeof(text), "no directory knows %.1000s", domain_of(l));
	refuse(m, l, COMITY_ITEM_NOT_FOUND, text);
}

/* ---- tokens: has it been here? ---- */

static bool saw_token(struct comity_mod *m, const char *token)
{
	struct directory *d = comity_host_data(m);
	struct directory_token *slot;

	for (size_t i = 0; i < TOKENS; i++)
		if (d->tokens[i].until > comity_now(m) && strcmp(d->tokens[i].text, token) == 0)
			return true;
	slot = &d->tokens[d->next_token];
	d->next_token = (d->next_token + 1) % TOKENS;
	snprintf(slot->text, sizeof(slot->text), "%s", token);
	slot->until = comity_now(m) + TOKEN_MS;
	return false;
}

static bool has_word(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = words; (at = strstr(at, word)) != NULL; at++)
		if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

/* ---- peers ---- */

/* What is passed on of a question. */
struct question {
	int64_t hops;
	uint64_t wait_ms;
	char token[TOKEN_LEN_MAX + 1];
	char via[VIA_LEN_MAX];
};

static int64_t number_attr(const struct comity_elem *e, const char *name, int64_t otherwise)
{
	const char *text = comity_elem_attr(e, name);
	long n = text != NULL ? strtol(text, NULL, 10) : -1;

	return n >= 0 && n < otherwise ? n : otherwise;
}

/* Neither more hops nor more time than the asker and this directory grant. False when it cannot go on. */
static bool read_question(struct comity_mod *m, const struct comity_elem *e, struct question *q)
{
	const struct directory_conf *conf = comity_conf(m);
	const char *token = comity_elem_attr(e, "token"), *via = comity_elem_attr(e, "via");
	unsigned char secret[16];
	int n;

	q->hops = number_attr(e, "hops", conf->hops);
	q->wait_ms = (uint64_t)number_attr(e, "wait", (int64_t)conf->lookup_timeout) * SHARE_OF_PEER / 8;
	n = snprintf(q->via, sizeof(q->via), "%s%s%s", via != NULL ? via : "", via != NULL ? " " : "", comity_host_name(m));
	if (token != NULL) {
		snprintf(q->token, sizeof(q->token), "%s", token);
	} else {
		comity_random(m, secret, sizeof(secret));
		for (size_t i = 0; i < sizeof(secret); i++)
			snprintf(q->token + 2 * i, 3, "%02x", secret[i]);
	}
	return n > 0 && (size_t)n < sizeof(q->via) && q->hops > 0 && q->wait_ms > 0;
}

static bool is_refusal(const struct comity_rq *rq)
{
	const struct comity_elem *error = comity_elem_find(comity_rq_root(rq), NULL, "error");

	return error != NULL && comity_elem_find(error, NULL, "forbidden") != NULL;
}

/* Whether a peer gave a route that can be passed on. */
static bool read_answer(struct lookup *l, const struct comity_rq *rq, struct comity_route *route)
{
	const struct comity_elem *e = comity_rq_payload(rq);
	const char *domain = e != NULL ? comity_elem_attr(e, "domain") : NULL;

	return comity_rq_type(rq) == COMITY_TYPE_RESULT && e != NULL && comity_elem_is(e, COMITY_NS_DIRECTORY, "route") &&
	       domain != NULL && strcmp(domain, domain_of(l)) == 0 && comity_route_read(e, route) == NULL &&
	       route->expires_s != 0;
}

static void on_peer(struct comity_mod *m, void *arg, const struct comity_rq *rq)
{
	struct directory *d = comity_host_data(m);
	struct lookup *l = arg;
	struct comity_route route;

	l->asked--;
	if (rq != NULL && !l->is_answered && read_answer(l, rq, &route))
		answer(m, l, &route);
	else if (rq != NULL && is_refusal(rq))
		l->is_refused = true;
	if (l->asked != 0)
		return;
	if (!l->is_answered)
		refuse_unknown(m, l);
	d->waiting--;
	end(l);
}

static void ask_peer(struct comity_mod *m, struct lookup *l, const struct question *q, const char *peer)
{
	struct comity_jid *to = comity_jid_parse(peer);
	struct comity_stanza *st;
	struct comity_elem *e;
	char number[24];

	if (to == NULL)
		return;
	st = comity_stanza_new(COMITY_IQ, COMITY_TYPE_GET);
	e = comity_elem_add(comity_stanza_edit(st), COMITY_NS_DIRECTORY, "lookup");
	comity_elem_set(e, "domain", domain_of(l));
	comity_elem_set(e, "for", name_of_asker(l));
	comity_elem_set(e, "token", q->token);
	comity_elem_set(e, "via", q->via);
	snprintf(number, sizeof(number), "%lld", (long long)q->hops - 1);
	comity_elem_set(e, "hops", number);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)q->wait_ms);
	comity_elem_set(e, "wait", number);
	if (comity_ask(m, &st, to, q->wait_ms, on_peer, l))
		l->asked++;
	comity_jid_unref(to);
}

/* True when some peer is asked. */
static bool ask_peers(struct comity_mod *m, struct lookup *l)
{
	const struct directory_conf *conf = comity_conf(m);
	struct directory *d = comity_host_data(m);
	struct question q;

	if (conf->peers.count == 0 || d->waiting >= WAITING_MAX || !read_question(m, comity_rq_payload(l->rq), &q))
		return false;
	for (size_t i = 0; i < conf->peers.count && i < PEERS_MAX; i++)
		if (!has_word(q.via, conf->peers.items[i]) && strcasecmp(conf->peers.items[i], directory_asker(l->rq)) != 0)
			ask_peer(m, l, &q, conf->peers.items[i]);
	d->waiting += l->asked != 0;
	return l->asked != 0;
}

static void on_row(struct comity_mod *m, void *arg, const struct store_result *result)
{
	struct lookup *l = arg;
	struct comity_route route;

	if (result->status == 0 && result->count != 0 && directory_read_row(m, &result->rows[0], &route))
		answer(m, l, &route);
	else if (ask_peers(m, l))
		return;
	else
		refuse_unknown(m, l);
	end(l);
}

/* ---- the question ---- */

/* The directory itself looks for its members, to answer them. */
static bool is_own(const struct comity_mod *m, const char *domain)
{
	return strcmp(domain, comity_host_name(m)) == 0;
}

/* For whom it is asked: peers ask for others. */
static struct comity_jid *asker_of(struct comity_mod *m, const struct comity_rq *rq)
{
	const char *other = comity_elem_attr(comity_rq_payload(rq), "for");
	struct comity_jid *jid = NULL;

	if (other != NULL && directory_is_peer(comity_conf(m), directory_asker(rq)))
		jid = comity_jid_parse(other);
	return jid != NULL ? jid : comity_jid_ref(comity_rq_from(rq));
}

static const char *check(struct comity_mod *m, const struct lookup *l, enum comity_cond *cond)
{
	const struct directory_conf *conf = comity_conf(m);
	const struct comity_elem *e = comity_rq_payload(l->rq);
	const char *token = comity_elem_attr(e, "token"), *via = comity_elem_attr(e, "via");

	*cond = COMITY_BAD_REQUEST;
	if (token != NULL && strlen(token) > TOKEN_LEN_MAX)
		return "the token of this question is too long";
	*cond = COMITY_FORBIDDEN;
	if (!is_own(m, directory_asker(l->rq)) && !directory_may_find(conf, name_of_asker(l), domain_of(l)))
		return "this directory may not tell you where that domain is";
	*cond = COMITY_ITEM_NOT_FOUND;
	if ((via != NULL && has_word(via, comity_host_name(m))) || (token != NULL && saw_token(m, token)))
		return "this directory was asked the same already";
	return NULL;
}

int directory_on_lookup(struct comity_mod *m, struct comity_rq *rq)
{
	const char *from = directory_asker(rq), *domain = comity_elem_attr(comity_rq_payload(rq), "domain"), *problem;
	struct comity_jid *jid = domain != NULL ? comity_jid_parse(domain) : NULL;
	struct comity_route route;
	enum comity_cond cond;
	struct lookup *l;

	if (from == NULL || (!is_own(m, from) && !directory_may_ask(comity_conf(m), from))) {
		comity_jid_unref(jid);
		comity_log(m, COMITY_INFO, "lookup from=%s refused", comity_jid_text(comity_rq_from(rq)));
		return comity_reply_error(rq, COMITY_FORBIDDEN, "your domain may not ask this directory");
	}
	l = jid != NULL && !comity_jid_has_local(jid) && comity_jid_is_bare(jid) ? calloc(1, sizeof(*l)) : NULL;
	if (l == NULL) {
		comity_jid_unref(jid);
		return comity_reply_error(rq, COMITY_BAD_REQUEST, "this is not the name of a domain");
	}
	l->rq = comity_rq_hold(rq);
	l->domain = jid;
	l->asker = asker_of(m, rq);
	problem = check(m, l, &cond);
	if (problem == NULL && directory_find_fixed(comity_conf(m), comity_jid_domain(jid), &route)) {
		answer(m, l, &route);
		end(l);
		return COMITY_DONE;
	}
	if (problem == NULL) {
		comity_map_get(m, comity_host_jid(m), DIRECTORY_STORE, comity_jid_domain(jid), on_row, l);
		return COMITY_LATER;
	}
	refuse(m, l, cond, problem);
	end(l);
	return COMITY_DONE;
}
