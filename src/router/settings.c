/* SPDX-License-Identifier: MIT */
/* The life of a configuration. */
#include <stdatomic.h>
#include <stdlib.h>

#include "router/router.h"

struct settings *settings_ref(struct settings *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void settings_unref(struct settings *s)
{
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	for (size_t i = 0; i < s->host_count; i++) {
		stream_host_unref(s->hosts[i].stream);
		free(s->hosts[i].modules);
	}
	free(s->hosts);
	for (size_t i = 0; i < s->fed.route_count; i++)
		trust_unref(s->fed.routes[i].policy.trust);
	free(s->fed.routes);
	trust_unref(s->fed.policy.trust);
	if (s->free_conf != NULL)
		s->free_conf(s->conf);
	free(s);
}
