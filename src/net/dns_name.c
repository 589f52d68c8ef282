/* SPDX-License-Identifier: MIT */
/* Names of hosts as DNS wants them (RFC 1123 2.1, RFC 5891). */
#include <arpa/inet.h>
#include <ctype.h>
#include <idn2.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/dns.h"

#define LABEL_MAX 63
#define WIRE_NAME_MAX 253

bool dns_is_literal(const char *name)
{
	unsigned char bytes[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static bool is_ascii(const char *name)
{
	for (; *name != '\0'; name++)
		if ((unsigned char)*name >= 128)
			return false;
	return true;
}

/* Letters, digits, hyphens and, as services have them, underscores. */
static bool is_host_name(const char *name)
{
	size_t label = 0, len = strlen(name);

	if (len == 0 || len > WIRE_NAME_MAX)
		return false;
	for (; *name != '\0'; name++) {
		if (*name == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (++label > LABEL_MAX || (!isalnum((unsigned char)*name) && *name != '-' && *name != '_'))
			return false;
	}
	return label != 0;
}

/* What is ASCII stays as it is: names that IDNA would refuse, such as "a--b", are in use. */
static char *to_lower_ascii(const char *name)
{
	char *copy = NULL, *ascii = NULL;

	if (is_ascii(name)) {
		copy = mem_strdup(name);
	} else if (idn2_to_ascii_8z(name, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) == IDN2_OK) {
		copy = mem_strdup(ascii);
		idn2_free(ascii);
	}
	for (char *c = copy; c != NULL && *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

char *dns_to_ascii(const char *name)
{
	size_t len = strlen(name);
	char *copy;

	if (len > 2 && name[0] == '[' && name[len - 1] == ']') {
		copy = mem_dup(name + 1, len - 2);
		if (dns_is_literal(copy))
			return copy;
		free(copy);
		return NULL;
	}
	if (dns_is_literal(name))
		return mem_strdup(name);
	copy = to_lower_ascii(name);
	if (copy == NULL)
		return NULL;
	len = strlen(copy);
	if (len > 1 && copy[len - 1] == '.')
		copy[len - 1] = '\0';
	if (is_host_name(copy))
		return copy;
	free(copy);
	return NULL;
}
