/* SPDX-License-Identifier: MIT */
/* What a stream between servers has proved, and what its peer's certificate is worth. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "stream/s2s.h"

/* ---- pairs ---- */

struct s2s_pair *s2s_find_pair(const struct s2s *s, const char *local, const char *remote)
{
	LIST_EACH(l, next, &s->pairs) {
		struct s2s_pair *p = LIST_ENTRY(l, struct s2s_pair, link);

		if (strcmp(p->local, local) == 0 && strcmp(p->remote, remote) == 0)
			return p;
	}
	return NULL;
}

struct s2s_pair *s2s_add_pair(struct s2s *s, const char *local, const char *remote)
{
	struct s2s_pair *p = s2s_find_pair(s, local, remote);
	size_t local_size = strlen(local) + 1, remote_size = strlen(remote) + 1;

	if (p != NULL)
		return p;
	if (s->pair_count >= s->shared->limits->pairs)
		return NULL;
	p = mem_new(sizeof(*p) + local_size + remote_size);
	p->local = (char *)(p + 1);
	p->remote = p->local + local_size;
	memcpy(p->local, local, local_size);
	memcpy(p->remote, remote, remote_size);
	list_init(&p->link);
	list_append(&s->pairs, &p->link);
	s->pair_count++;
	s->asked_count++;
	return p;
}

void s2s_drop_pair(struct s2s *s, struct s2s_pair *p)
{
	if (!p->is_proved)
		s->asked_count--;
	s->pair_count--;
	list_remove(&p->link);
	free(p);
}

void s2s_set_proved(struct s2s *s, struct s2s_pair *p)
{
	bool was_proved = p->is_proved;

	if (!was_proved)
		s->asked_count--;
	p->is_proved = true;
	/* The one used last stands first. */
	list_remove(&p->link);
	list_prepend(&s->pairs, &p->link);
	conn_introduce(s->conn, s->shared->limits->out_bytes);
	xml_parser_set_limits(s->in.parser, &s->shared->limits->after_auth);
	if (was_proved)
		return;
	s->last_stanza = worker_now(s->conn->worker);
	if (!s->is_awake) {
		s->is_awake = true;
		worker_timer_start(s->conn->worker, &s->timer, s->shared->limits->parser_rest_ms);
	}
	log_info(&s->log, "proved local=%s remote=%s%s%s", p->local, p->remote,
	         s->is_authenticated ? " by certificate" : " by dialback", s->is_bidi ? ", both directions" : "");
	s->shared->proved(s, p);
}

/* ---- certificates ---- */

bool s2s_needs_tls(const struct s2s_policy *policy)
{
	return policy->security != S2S_INSECURE;
}

const struct cert_judgement *s2s_judge(struct s2s *s, const char *remote)
{
	const struct s2s_policy *policy = s->shared->policy(s->conn->worker, remote);

	if (s->conn->tls == NULL || !s->conn->is_secured)
		s->cert = (struct cert_judgement){ CERT_NONE, "there is no encryption" };
	else
		trust_judge(policy->trust, s->conn->tls, remote, &s->cert);
	return &s->cert;
}

bool s2s_is_certified(struct s2s *s, const struct s2s_policy *policy, const char *remote)
{
	enum s2s_vouched vouched;

	if (s->conn->tls == NULL || !s->conn->is_secured)
		return s2s_judge(s, remote)->fault == CERT_FINE;
	if (policy->pin != NULL) {
		if (trust_is_pinned(s->conn->tls, policy->pin))
			return true;
		s->cert = (struct cert_judgement){ CERT_UNTRUSTED, "its certificate is not the one that is pinned here" };
		return false;
	}
	vouched = s->shared->vouched != NULL ? s->shared->vouched(s, remote) : S2S_VOUCHED_NOTHING;
	if (vouched == S2S_VOUCHED_NO)
		s->cert = (struct cert_judgement){ CERT_UNTRUSTED, "its certificate is not the one that the directory named" };
	else if (vouched == S2S_VOUCHED_YES)
		s->cert = (struct cert_judgement){ CERT_FINE, "" };
	if (vouched != S2S_VOUCHED_NOTHING)
		return vouched == S2S_VOUCHED_YES;
	return s2s_judge(s, remote)->fault == CERT_FINE;
}
