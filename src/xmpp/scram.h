/* SPDX-License-Identifier: MIT */
/* SCRAM keys (RFC 5802, RFC 7677): what is stored instead of passwords. */
#ifndef XMPP_SCRAM_H
#define XMPP_SCRAM_H

#include <stdbool.h>
#include <stddef.h>

#define SCRAM_SALT_SIZE 16
#define SCRAM_SECRET_MAX 256 /* text of a secret, with its NUL */

enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256, SCRAM_HASH_COUNT };

/* "SCRAM-SHA-1", ...: the mechanism, which is also the key of the stored row. */
const char *scram_mechanism(enum scram_hash hash);

/* Prepares a password by OpaqueString (RFC 8265); NULL when it is empty or not allowed. Free the result
 * with scram_password_free(), which wipes it. */
char *scram_password_prepare(const char *password);
void scram_password_free(char *password);

/* Writes "MECHANISM$iterations:salt$StoredKey:ServerKey" for a prepared password. Takes milliseconds:
 * call it on a job thread. */
void scram_make_secret(enum scram_hash hash, const char *password, const unsigned char *salt, unsigned iterations,
                       char *out);
/* A secret that no password fits, the same for the same name, for users that do not exist. */
void scram_make_fake(enum scram_hash hash, const unsigned char *server_key, size_t key_len, const char *name,
                     unsigned iterations, char *out);
/* True when the prepared password fits the secret. Takes milliseconds too. */
bool scram_check(const char *secret, const char *password);

#endif
