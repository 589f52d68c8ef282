/* SPDX-License-Identifier: MIT */
/* Routes of directories as XML has them. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comity/directory.h"
#include "comity/elem.h"

/* Nothing is promised for longer than a year. */
#define EXPIRES_MAX (366ull * 86400)

/* A whole number from 1 to max. */
static bool read_number(const char *text, uint64_t max, uint64_t *n)
{
	char *end;

	if (*text < '1' || *text > '9' || strlen(text) > 12)
		return false;
	*n = strtoull(text, &end, 10);
	return *end == '\0' && *n <= max;
}

static bool is_host(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len >= sizeof(((struct comity_route *)0)->host))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && strchr(".-:_", text[i]) == NULL)
			return false;
	return true;
}

/* Hexadecimal with or without colons, spaces between several. */
static bool read_pins(const char *text, char *pins)
{
	size_t digits = 0, count = 0, n = 0;

	for (; *text != '\0'; text++) {
		if (*text == ':' && digits != 0 && digits != 64)
			continue;
		if (*text == ' ' && digits == 64) {
			digits = 0;
			continue;
		}
		if (!isxdigit((unsigned char)*text) || digits == 64)
			return false;
		if (digits++ == 0) {
			if (count++ == COMITY_ROUTE_PINS)
				return false;
			if (count > 1)
				pins[n++] = ' ';
		}
		pins[n++] = (char)tolower((unsigned char)*text);
	}
	pins[n] = '\0';
	return digits == 64 || count == 0;
}

static bool read_bool(const char *text, bool *value)
{
	*value = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
	return *value || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

const char *comity_route_read(const struct comity_elem *e, struct comity_route *route)
{
	const char *host = comity_elem_attr(e, "host"), *port = comity_elem_attr(e, "port");
	const char *tls = comity_elem_attr(e, "direct-tls"), *pins = comity_elem_attr(e, "fingerprint");
	const char *expires = comity_elem_attr(e, "expires");
	uint64_t n = 0;

	memset(route, 0, sizeof(*route));
	if (host == NULL || !is_host(host))
		return "host must be a name or an address";
	if (port == NULL || !read_number(port, 65535, &n))
		return "port must be a number from 1 to 65535";
	if (tls != NULL && !read_bool(tls, &route->is_direct_tls))
		return "direct-tls must be true or false";
	if (pins != NULL && !read_pins(pins, route->pins))
		return "fingerprint must be the SHA-256 of the certificate in hexadecimal";
	if (expires != NULL && !read_number(expires, EXPIRES_MAX, &route->expires_s))
		return "expires must be a number of seconds";
	snprintf(route->host, sizeof(route->host), "%s", host);
	route->port = (unsigned)n;
	return NULL;
}

static void set_number(struct comity_elem *e, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	comity_elem_set(e, name, text);
}

void comity_route_write(struct comity_elem *e, const struct comity_route *route)
{
	comity_elem_set(e, "host", route->host);
	set_number(e, "port", route->port);
	comity_elem_set(e, "direct-tls", route->is_direct_tls ? "true" : "false");
	comity_elem_set(e, "fingerprint", *route->pins != '\0' ? route->pins : NULL);
	if (route->expires_s != 0)
		set_number(e, "expires", route->expires_s);
}
