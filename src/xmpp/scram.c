/* SPDX-License-Identifier: MIT */
/* SCRAM keys (RFC 5802, RFC 7677). */
#include "xmpp/scram.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define KEY_MAX 32

static const struct {
	const char *mechanism;
	gnutls_mac_algorithm_t mac;
	gnutls_digest_algorithm_t digest;
	unsigned size;
} hashes[SCRAM_HASH_COUNT] = {
	[SCRAM_SHA_1] = { "SCRAM-SHA-1", GNUTLS_MAC_SHA1, GNUTLS_DIG_SHA1, 20 },
	[SCRAM_SHA_256] = { "SCRAM-SHA-256", GNUTLS_MAC_SHA256, GNUTLS_DIG_SHA256, 32 },
};

const char *scram_mechanism(enum scram_hash hash)
{
	return hashes[hash].mechanism;
}

char *scram_password_prepare(const char *password)
{
	gnutls_datum_t out = { 0 };
	char *copy;

	if (*password == '\0' || strlen(password) > 1023 ||
	    gnutls_utf8_password_normalize((const unsigned char *)password, (unsigned)strlen(password), &out, 0) != 0)
		return NULL;
	copy = mem_dup(out.data, out.size);
	mem_wipe(out.data, out.size);
	gnutls_free(out.data);
	if (*copy == '\0') {
		free(copy);
		return NULL;
	}
	return copy;
}

void scram_password_free(char *password)
{
	if (password == NULL)
		return;
	mem_wipe(password, strlen(password));
	free(password);
}

static void append_base64(char *out, const unsigned char *bytes, unsigned len)
{
	gnutls_datum_t in = { (void *)(size_t)bytes, len }, text = { 0 };
	size_t used = strlen(out);

	if (gnutls_base64_encode2(&in, &text) != 0)
		abort();
	snprintf(out + used, SCRAM_SECRET_MAX - used, "%.*s", (int)text.size, (const char *)text.data);
	gnutls_free(text.data);
}

static void write_secret(enum scram_hash hash, unsigned iterations, const unsigned char *salt,
                         const unsigned char *stored_key, const unsigned char *server_key, char *out)
{
	size_t used;

	snprintf(out, SCRAM_SECRET_MAX, "%s$%u:", hashes[hash].mechanism, iterations);
	append_base64(out, salt, SCRAM_SALT_SIZE);
	used = strlen(out);
	snprintf(out + used, SCRAM_SECRET_MAX - used, "$");
	append_base64(out, stored_key, hashes[hash].size);
	used = strlen(out);
	snprintf(out + used, SCRAM_SECRET_MAX - used, ":");
	append_base64(out, server_key, hashes[hash].size);
}

/* The two keys of a password. */
static void derive(enum scram_hash hash, const char *password, const unsigned char *salt, size_t salt_len,
                   unsigned iterations, unsigned char *stored_key, unsigned char *server_key)
{
	gnutls_datum_t key = { (void *)(size_t)password, (unsigned)strlen(password) };
	gnutls_datum_t salt_datum = { (void *)(size_t)salt, (unsigned)salt_len };
	unsigned char salted[KEY_MAX], client_key[KEY_MAX];
	unsigned size = hashes[hash].size;

	if (gnutls_pbkdf2(hashes[hash].mac, &key, &salt_datum, iterations, salted, size) != 0 ||
	    gnutls_hmac_fast(hashes[hash].mac, salted, size, "Client Key", 10, client_key) != 0 ||
	    gnutls_hash_fast(hashes[hash].digest, client_key, size, stored_key) != 0 ||
	    gnutls_hmac_fast(hashes[hash].mac, salted, size, "Server Key", 10, server_key) != 0)
		abort();
	mem_wipe(salted, sizeof(salted));
	mem_wipe(client_key, sizeof(client_key));
}

void scram_make_secret(enum scram_hash hash, const char *password, const unsigned char *salt, unsigned iterations,
                       char *out)
{
	unsigned char stored_key[KEY_MAX], server_key[KEY_MAX];

	derive(hash, password, salt, SCRAM_SALT_SIZE, iterations, stored_key, server_key);
	write_secret(hash, iterations, salt, stored_key, server_key, out);
}

void scram_make_fake(enum scram_hash hash, const unsigned char *server_key, size_t key_len, const char *name,
                     unsigned iterations, char *out)
{
	unsigned char parts[3][KEY_MAX];
	char *label;

	for (int i = 0; i < 3; i++) {
		label = mem_printf("%s %d %s", hashes[hash].mechanism, i, name);
		if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, server_key, key_len, label, strlen(label), parts[i]) != 0)
			abort();
		free(label);
	}
	write_secret(hash, iterations, parts[0], parts[1], parts[2], out);
}

static int decode_part(const char *text, size_t len, unsigned char *out, size_t room)
{
	gnutls_datum_t in = { (void *)(size_t)text, (unsigned)len }, bytes = { 0 };
	int n = -1;

	if (gnutls_base64_decode2(&in, &bytes) != 0)
		return -1;
	if (bytes.size <= room) {
		memcpy(out, bytes.data, bytes.size);
		n = (int)bytes.size;
	}
	gnutls_free(bytes.data);
	return n;
}

bool scram_check(const char *secret, const char *password)
{
	unsigned char salt[64], wanted[KEY_MAX], stored_key[KEY_MAX], server_key[KEY_MAX];
	const char *p = strchr(secret, '$'), *salt_end, *key_end;
	enum scram_hash hash;
	unsigned iterations;
	char *colon;
	int salt_len;

	if (p == NULL)
		return false;
	for (hash = 0; hash < SCRAM_HASH_COUNT; hash++)
		if (strlen(hashes[hash].mechanism) == (size_t)(p - secret) &&
		    memcmp(hashes[hash].mechanism, secret, (size_t)(p - secret)) == 0)
			break;
	iterations = (unsigned)strtoul(p + 1, &colon, 10);
	salt_end = strchr(colon, '$');
	key_end = salt_end != NULL ? strchr(salt_end, ':') : NULL;
	if (hash == SCRAM_HASH_COUNT || *colon != ':' || iterations == 0 || key_end == NULL)
		return false;
	salt_len = decode_part(colon + 1, (size_t)(salt_end - colon - 1), salt, sizeof(salt));
	if (salt_len <= 0 || decode_part(salt_end + 1, (size_t)(key_end - salt_end - 1), wanted, sizeof(wanted)) !=
	    (int)hashes[hash].size)
		return false;
	derive(hash, password, salt, (size_t)salt_len, iterations, stored_key, server_key);
	return gnutls_memcmp(stored_key, wanted, hashes[hash].size) == 0;
}
