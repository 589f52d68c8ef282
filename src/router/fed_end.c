/* SPDX-License-Identifier: MIT */
/* How federation ends: when the server is stopped, and for a host that is served no more. */
#include <string.h>

#include "router/fed.h"
#include "router/ask.h"
#include "router/router.h"
#include "router/session_sm.h"
#include "stream/s2s_sm.h"

void fed_hush(struct federation *f)
{
	LIST_EACH(l, next, &f->streams)
		sm_hush(LIST_ENTRY(l, struct s2s, link));
	journal_hurry(f->router);
}

bool fed_has_unsafe(const struct federation *f)
{
	LIST_EACH(l, next, &f->streams)
		if (sm_is_unsafe(LIST_ENTRY(l, struct s2s, link)))
			return true;
	return false;
}

bool fed_is_reaching(const struct federation *f)
{
	size_t pos = 0;

	for (const struct fed_link *l; (l = map_next(&f->links, &pos)) != NULL;)
		if (!list_empty(&l->queue) && (l->state == LINK_DIALING || l->state == LINK_NEGOTIATING))
			return true;
	return false;
}

void fed_stop(struct federation *f)
{
	f->is_stopping = true;
	asks_stop(f->router->asks);
	LIST_EACH(l, next, &f->probes)
		link_end(LIST_ENTRY(l, struct fed_link, probe), S2S_CLOSED_BY_US, "this server is being stopped");
	LIST_EACH(l, next, &f->streams)
		s2s_fail(LIST_ENTRY(l, struct s2s, link), STREAM_SYSTEM_SHUTDOWN, NULL);
}

void fed_forget_queues(struct federation *f)
{
	size_t pos = 0;

	f->is_over = true;
	for (struct fed_link *l; (l = map_next(&f->links, &pos)) != NULL;) {
		link_drop_queue(l);
		l->queue_bytes = l->queue_count = 0;
	}
	f->queued_bytes = 0;
}

void fed_end_host(struct federation *f, const char *local)
{
	size_t pos = 0;

	LIST_EACH(l, next, &f->streams) {
		struct s2s *s = LIST_ENTRY(l, struct s2s, link);

		if (s->host != NULL && strcmp(s->host->name, local) == 0)
			s2s_fail(s, STREAM_HOST_GONE, NULL);
	}
	for (struct fed_link *l; (l = map_next(&f->links, &pos)) != NULL;)
		if (strcmp(l->local, local) == 0)
			link_end(l, S2S_POLICY, "the domain of the sender is no longer served here");
}
