/* SPDX-License-Identifier: MIT */
/* Servers that do not speak the protocol of directories, and are found by the configuration. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "directory.h"

#define ENTRY_LEN_MAX 1024
/* Seconds for which askers may keep it, at most. */
#define FIXED_EXPIRES_MAX 3600

/* Takes the next word out of what is left; NULL at the end. */
static char *next_word(char **rest)
{
	char *word = *rest, *end = word + strcspn(word, " ");

	if (*word == '\0')
		return NULL;
	*rest = *end != '\0' ? end + 1 : end;
	*end = '\0';
	return word;
}

/* "DOMAIN HOST PORT", then perhaps "direct-tls" and fingerprints. words is changed, and domain lies in it. */
static bool read_entry(char *words, const char **domain, struct comity_route *route)
{
	struct comity_stanza *st = comity_stanza_new(COMITY_MESSAGE, COMITY_TYPE_NORMAL);
	struct comity_elem *e = comity_elem_add(comity_stanza_edit(st), COMITY_NS_DIRECTORY, "route");
	char pins[ENTRY_LEN_MAX] = "", *word;
	bool ok;

	*domain = next_word(&words);
	comity_elem_set(e, "host", next_word(&words));
	comity_elem_set(e, "port", next_word(&words));
	while ((word = next_word(&words)) != NULL) {
		if (strcmp(word, "direct-tls") == 0)
			comity_elem_set(e, "direct-tls", "true");
		else
			snprintf(pins + strlen(pins), sizeof(pins) - strlen(pins), "%s%s", *pins != '\0' ? " " : "", word);
	}
	comity_elem_set(e, "fingerprint", *pins != '\0' ? pins : NULL);
	ok = *domain != NULL && comity_route_read(e, route) == NULL;
	comity_stanza_unref(st);
	return ok;
}

static bool copy_entry(const char *entry, char *words)
{
	return snprintf(words, ENTRY_LEN_MAX, "%s", entry) < ENTRY_LEN_MAX;
}

bool directory_find_fixed(const struct directory_conf *conf, const char *domain, struct comity_route *route)
{
	uint64_t expires = conf->max_expiry / 1000;
	size_t len = strlen(domain);
	char words[ENTRY_LEN_MAX];
	const char *named;

	for (size_t i = 0; i < conf->fixed.count; i++) {
		const char *entry = conf->fixed.items[i];

		if (strncasecmp(entry, domain, len) != 0 || entry[len] != ' ' || !copy_entry(entry, words) ||
		    !read_entry(words, &named, route))
			continue;
		route->expires_s = expires < FIXED_EXPIRES_MAX ? expires : FIXED_EXPIRES_MAX;
		return true;
	}
	return false;
}

const char *directory_bad_fixed(const struct directory_conf *conf)
{
	struct comity_route route;
	char words[ENTRY_LEN_MAX];
	const char *named;

	for (size_t i = 0; i < conf->fixed.count; i++)
		if (!copy_entry(conf->fixed.items[i], words) || !read_entry(words, &named, &route))
			return conf->fixed.items[i];
	return NULL;
}
