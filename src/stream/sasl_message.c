/* SPDX-License-Identifier: MIT */
/* The first messages of mechanisms, read before libsasl2 sees them. */
#include "stream/sasl_message.h"

#include <gnutls/gnutls.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Copies [from, end) if it fits and holds no NUL. */
static int copy_part(const char *from, const char *end, char *out, size_t room)
{
	size_t len = (size_t)(end - from);

	if (len >= room || memchr(from, '\0', len) != NULL)
		return -ERR_INVALID;
	memcpy(out, from, len);
	out[len] = '\0';
	return 0;
}

/* saslname of RFC 5802: "=2C" is a comma, "=3D" an equals sign, no other "=" is allowed. */
static int decode_saslname(char *name)
{
	char *to = name;

	for (const char *from = name; *from != '\0'; from++) {
		if (*from != '=') {
			*to++ = *from;
		} else if (strncmp(from, "=2C", 3) == 0 || strncmp(from, "=3D", 3) == 0) {
			*to++ = from[2] == 'C' ? ',' : '=';
			from += 2;
		} else {
			return -ERR_INVALID;
		}
	}
	*to = '\0';
	return to == name ? -ERR_INVALID : 0;
}

int sasl_read_scram(const char *text, size_t len, struct sasl_first *first)
{
	const char *end = text + len, *comma, *at = text;

	memset(first, 0, sizeof(*first));
	comma = memchr(at, ',', len);
	if (comma == NULL || (*at != 'n' && *at != 'y' && *at != 'p'))
		return -ERR_INVALID;
	first->binding_flag = *at;
	if (*at == 'p') {
		if (comma - at < 3 || at[1] != '=' || copy_part(at + 2, comma, first->binding_type, sizeof(first->binding_type)) != 0)
			return -ERR_INVALID;
	} else if (comma - at != 1) {
		return -ERR_INVALID;
	}
	at = comma + 1;
	comma = memchr(at, ',', (size_t)(end - at));
	if (comma == NULL)
		return -ERR_INVALID;
	if (comma != at && (comma - at < 3 || strncmp(at, "a=", 2) != 0 ||
	                    copy_part(at + 2, comma, first->authzid, sizeof(first->authzid)) != 0 ||
	                    decode_saslname(first->authzid) != 0))
		return -ERR_INVALID;
	at = comma + 1;
	/* "m=" would be a mandatory extension: none is known. */
	comma = memchr(at, ',', (size_t)(end - at));
	if (comma == NULL || comma - at < 3 || strncmp(at, "n=", 2) != 0)
		return -ERR_INVALID;
	if (copy_part(at + 2, comma, first->user, sizeof(first->user)) != 0)
		return -ERR_INVALID;
	return decode_saslname(first->user);
}

int sasl_read_plain(const char *text, size_t len, struct sasl_first *first)
{
	const char *end = text + len, *user, *password;

	memset(first, 0, sizeof(*first));
	user = memchr(text, '\0', len);
	if (user == NULL || copy_part(text, user, first->authzid, sizeof(first->authzid)) != 0)
		return -ERR_INVALID;
	user++;
	password = memchr(user, '\0', (size_t)(end - user));
	if (password == NULL || password == user || copy_part(user, password, first->user, sizeof(first->user)) != 0)
		return -ERR_INVALID;
	password++;
	return password == end || memchr(password, '\0', (size_t)(end - password)) != NULL ? -ERR_INVALID : 0;
}

static bool is_base64(const char *text, size_t len)
{
	size_t body = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

	return len % 4 == 0 && len - body <= 2 && strspn(text + body, "=") == len - body;
}

char *sasl_decode(const char *text, size_t *len)
{
	gnutls_datum_t in = { (void *)(size_t)text, (unsigned)strlen(text) }, out = { 0 };
	char *copy;

	*len = 0;
	if (in.size == 0 || strcmp(text, "=") == 0)
		return mem_strdup("");
	if (!is_base64(text, in.size) || gnutls_base64_decode2(&in, &out) != 0)
		return NULL;
	copy = mem_dup(out.data, out.size);
	*len = out.size;
	mem_wipe(out.data, out.size);
	gnutls_free(out.data);
	return copy;
}

char *sasl_encode(const char *bytes, size_t len)
{
	gnutls_datum_t in = { (void *)(size_t)bytes, (unsigned)len }, out = { 0 };
	char *copy;

	if (len == 0 || gnutls_base64_encode2(&in, &out) != 0)
		return mem_strdup("");
	copy = mem_dup(out.data, out.size);
	gnutls_free(out.data);
	return copy;
}
