/* SPDX-License-Identifier: MIT */
/* The first messages of mechanisms, read before libsasl2 sees them. */
#ifndef STREAM_SASL_MESSAGE_H
#define STREAM_SASL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#define SASL_NAME_MAX 1023

/* What a first message says; the names are not prepared yet. */
struct sasl_first {
	char user[SASL_NAME_MAX + 1];
	char authzid[2 * SASL_NAME_MAX + 2];  /* "" when not given */
	char binding_flag;                    /* SCRAM: 'n', 'y' or 'p' */
	char binding_type[32];                /* with 'p' */
};

/* RFC 5802 7: gs2-header and client-first-message-bare. 0 or -ERR_INVALID. */
int sasl_read_scram(const char *text, size_t len, struct sasl_first *first);
/* RFC 4616 2: the password is not copied. */
int sasl_read_plain(const char *text, size_t len, struct sasl_first *first);
/* Base64 of RFC 4648 4 without white space; "=" means empty (RFC 6120 6.4.2). The caller frees the
 * result, which ends with a NUL that *len does not count; NULL when it is not base64. */
char *sasl_decode(const char *text, size_t *len);
/* The caller frees the result. */
char *sasl_encode(const char *bytes, size_t len);

#endif
