/* SPDX-License-Identifier: MIT */
/* What the configuration says about a remote domain. */
#include <string.h>
#include <strings.h>

#include "router/fed.h"

bool fed_pattern_covers(const char *pattern, const char *domain)
{
	size_t len = strlen(domain), tail;

	if (strcmp(pattern, "*") == 0)
		return true;
	if (strncmp(pattern, "*.", 2) != 0)
		return strcasecmp(pattern, domain) == 0;
	tail = strlen(pattern) - 1;
	return len > tail && strcasecmp(domain + len - tail, pattern + 1) == 0;
}

bool comity_domain_matches(const char *pattern, const char *domain)
{
	return fed_pattern_covers(pattern, domain);
}

/* The longer pattern says more; an exact name says most. */
static size_t weigh(const char *pattern)
{
	return *pattern == '*' ? strlen(pattern) : 1000 + strlen(pattern);
}

const struct fed_route *fed_find_route(const struct fed_settings *f, const char *remote)
{
	const struct fed_route *best = NULL;

	for (size_t i = 0; i < f->route_count; i++)
		if (fed_pattern_covers(f->routes[i].domain, remote) &&
		    (best == NULL || weigh(f->routes[i].domain) > weigh(best->domain)))
			best = &f->routes[i];
	return best;
}

static bool is_listed(const struct comity_list *list, const char *remote)
{
	for (size_t i = 0; list != NULL && i < list->count; i++)
		if (fed_pattern_covers(list->items[i], remote))
			return true;
	return false;
}

const struct s2s_policy *fed_find_policy(const struct fed_settings *f, const char *remote)
{
	static const struct s2s_policy refused = { .is_refused = true };
	const struct fed_route *route = fed_find_route(f, remote);

	if (is_listed(f->deny, remote) || (f->allow != NULL && f->allow->count != 0 && !is_listed(f->allow, remote)))
		return &refused;
	return route != NULL ? &route->policy : &f->policy;
}
