/* SPDX-License-Identifier: MIT */
/* SASL mechanisms by libsasl2, with secrets handed in and everything else switched off. */
#ifndef STREAM_SASL_ENGINE_H
#define STREAM_SASL_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "xmpp/jid.h"
#include "xmpp/scram.h"

/* The stored secrets of one user, real ones or fakes. */
struct sasl_secrets {
	char scram[SCRAM_HASH_COUNT][SCRAM_SECRET_MAX];
	bool exists;                       /* false: fakes; PLAIN never succeeds */
};

/* Once per process, before threads; -ERR_UNSUPPORTED when libsasl2 or its SCRAM plugin is missing. */
int sasl_engine_start(struct err_text *et);
void sasl_engine_stop(void);

/* One attempt to log in. */
struct sasl_exchange;

enum sasl_result { SASL_RESULT_MORE, SASL_RESULT_DONE, SASL_RESULT_REFUSED, SASL_RESULT_MALFORMED, SASL_RESULT_BROKEN };

/* user is the prepared localpart. binding_type may be NULL: no channel binding; the data is copied. */
struct sasl_exchange *sasl_exchange_new(const char *user, const struct sasl_secrets *secrets, const char *binding_type,
                                        const void *binding, size_t binding_len);
void sasl_exchange_free(struct sasl_exchange *x);
/* The first message of a mechanism (without "-PLUS"). *out is borrowed until the next call; it is set
 * only for MORE and DONE. PLAIN takes milliseconds. */
enum sasl_result sasl_exchange_start(struct sasl_exchange *x, const char *mechanism, const char *in, size_t in_len,
                                     const char **out, size_t *out_len);
enum sasl_result sasl_exchange_step(struct sasl_exchange *x, const char *in, size_t in_len, const char **out,
                                    size_t *out_len);
/* For EXTERNAL: the identity that TLS proved. Before start. */
void sasl_exchange_set_external(struct sasl_exchange *x, const char *identity);

#endif
