/* SPDX-License-Identifier: MIT */
/* What TLS sessions need of their credentials; nothing outside src/net includes this. */
#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H

#include <gnutls/gnutls.h>
#include <stdbool.h>

struct tls_context;

struct tls_shared;

/* Versions, ciphers and tickets, before the hello is read. */
void tls_shared_apply(const struct tls_shared *s, gnutls_session_t g, bool is_server);
/* Credentials, once the host is known; ask: for the peer's certificate, whatever the context says. Returns
 * 0 or a GnuTLS error. */
int tls_context_apply(struct tls_context *ctx, gnutls_session_t g, bool ask);
/* The channel binding tls-server-end-point (RFC 5929 4) of one of the own certificates. Returns its length;
 * -ERR_UNSUPPORTED when it has none, or does not fit. */
int tls_context_end_point(const struct tls_context *ctx, const gnutls_datum_t *own, unsigned char *out, size_t room);
/* True when its client_ca vouches for a chain of so many certificates, the peer's own first. */
bool tls_context_vouches_for(const struct tls_context *ctx, const gnutls_datum_t *der, unsigned sent);

#endif
