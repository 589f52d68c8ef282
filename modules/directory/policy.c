/* SPDX-License-Identifier: MIT */
/* Who may register, who may ask, and who may be found by whom. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "directory.h"

#define RULE_LEN_MAX 512

static bool is_listed(const struct comity_list *list, const char *domain)
{
	for (size_t i = 0; i < list->count; i++)
		if (comity_domain_matches(list->items[i], domain))
			return true;
	return false;
}

bool directory_may_register(const struct directory_conf *conf, const char *domain)
{
	return is_listed(&conf->register_allow, domain) && !is_listed(&conf->register_deny, domain);
}

bool directory_is_peer(const struct directory_conf *conf, const char *domain)
{
	for (size_t i = 0; i < conf->peers.count; i++)
		if (strcasecmp(conf->peers.items[i], domain) == 0)
			return true;
	return false;
}

bool directory_may_ask(const struct directory_conf *conf, const char *domain)
{
	if (is_listed(&conf->ask_deny, domain))
		return false;
	if (directory_is_peer(conf, domain))
		return true;
	return conf->ask_allow.count != 0 ? is_listed(&conf->ask_allow, domain) : directory_may_register(conf, domain);
}

/* "DOMAIN" or "DOMAIN ASKER" in two strings that end; false when it is longer or has more words. */
static bool split_rule(const char *rule, char *domain, const char **asker)
{
	char *space;

	if (strlen(rule) >= RULE_LEN_MAX)
		return false;
	snprintf(domain, RULE_LEN_MAX, "%s", rule);
	space = strchr(domain, ' ');
	*asker = NULL;
	if (space != NULL) {
		*space = '\0';
		*asker = space + 1;
	}
	return *domain != '\0' && (*asker == NULL || (**asker != '\0' && strchr(*asker, ' ') == NULL));
}

bool directory_may_find(const struct directory_conf *conf, const char *asker, const char *domain)
{
	bool is_restricted = false;

	for (size_t i = 0; i < conf->restricted.count; i++) {
		char pattern[RULE_LEN_MAX];
		const char *by;

		if (!split_rule(conf->restricted.items[i], pattern, &by) || !comity_domain_matches(pattern, domain))
			continue;
		is_restricted = true;
		if (by != NULL && comity_domain_matches(by, asker))
			return true;
	}
	return !is_restricted;
}

const char *directory_bad_rule(const struct directory_conf *conf)
{
	char pattern[RULE_LEN_MAX];
	const char *by;

	for (size_t i = 0; i < conf->restricted.count; i++)
		if (!split_rule(conf->restricted.items[i], pattern, &by))
			return conf->restricted.items[i];
	return NULL;
}
