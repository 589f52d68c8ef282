/* SPDX-License-Identifier: MIT */
/* TLS over memory: credentials per host, chosen by SNI, and sessions that never touch a socket. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct tls_context;
struct tls_session;

/* What a certificate and its policy are made from. */
struct tls_conf {
	const char *certificate;      /* PEM chain, the own certificate first */
	const char *key;              /* PEM */
	const char *certificate2;     /* a second one of another key type; NULL: none */
	const char *key2;
	const char *client_ca;        /* PEM; set: client certificates are asked for and checked */
	const char *priorities;       /* GnuTLS priority string; NULL: the default of this file */
};

/* Loads and checks; the text of an error names the file. Immutable and reference-counted. */
int tls_context_new(const struct tls_conf *conf, struct tls_context **ctx, struct err_text *et);
struct tls_context *tls_context_ref(struct tls_context *ctx);
void tls_context_unref(struct tls_context *ctx);
/* SHA-256 of the own certificates in hexadecimal, spaces between; as many as there is room for. */
void tls_context_fingerprints(const struct tls_context *ctx, char *out, size_t room);
/* Days until the certificate expires; negative when it has. */
int tls_context_days_left(const struct tls_context *ctx, int64_t wall_us);

/* How a session begins; the part of its owner in the handshake, on the worker of the connection. */
struct tls_chooser {
	/* Gives the context for a name from SNI (NULL when the client sent none), with a reference for the
	 * caller; NULL ends the handshake with unrecognized_name. When this side is the client, it is asked
	 * at the start, without a name, for what the peer may see of us. */
	struct tls_context *(*choose)(void *arg, const char *sni);
	void *arg;
	const char *alpn;         /* as server: required when the client offers any; as client: offered */
	const struct tls_shared *shared;
	const char *server_name;  /* set: this side is the client, of the server with this name */
	bool asks_certificate;    /* as server: the peer's is asked for, and judged by the owner alone */
};

/* What all sessions of the process share: the key of their tickets, and the policy of versions and
 * ciphers, which would take 5 kB in each. */
struct tls_shared;
struct tls_shared *tls_shared_new(void);
void tls_shared_free(struct tls_shared *s);

/* About what a session costs in GnuTLS once its handshake is done, measured. */
#define TLS_SESSION_COST 10500

enum tls_state { TLS_HANDSHAKE, TLS_READY, TLS_FAILED };

struct tls_session *tls_session_new(const struct tls_chooser *chooser);
void tls_session_free(struct tls_session *s);
/* Cipher text from the peer goes in here; the bytes are borrowed until tls_session_run/read used them up. */
void tls_session_put(struct tls_session *s, const char *bytes, size_t len);
/* Cipher text that could not be used yet is copied, because the borrowed bytes go away. */
void tls_session_keep(struct tls_session *s);
/* Bytes of that. */
size_t tls_session_kept(const struct tls_session *s);
bool tls_session_has_input(const struct tls_session *s);
/* Steps the handshake; what is to be sent is appended to out. et gets the cause of a failure. */
enum tls_state tls_session_run(struct tls_session *s, struct buf *out, struct err_text *et);
/* Decrypts: bytes read, 0 for none now, -ERR_CLOSED at the end, -ERR_INVALID for a broken record or when the
 * peer complains, with the cause in et. */
int tls_session_read(struct tls_session *s, char *bytes, size_t room, struct buf *out, struct err_text *et);
/* Encrypts all into out as few records as possible. */
int tls_session_write(struct tls_session *s, const char *bytes, size_t len, struct buf *out);
/* Appends close_notify. */
void tls_session_bye(struct tls_session *s, struct buf *out);

/* Facts of a session that is ready. */
const char *tls_session_version(const struct tls_session *s);
const char *tls_session_cipher(const struct tls_session *s);
bool tls_session_resumed(const struct tls_session *s);
bool tls_session_is_1_3(const struct tls_session *s);
/* "tls-exporter", "tls-unique", "tls-server-end-point". Returns the length or -ERR_UNSUPPORTED. */
int tls_session_binding(const struct tls_session *s, const char *type, unsigned char *out, size_t room);
/* What the peer sent, for trust_judge: count gnutls_datum_t of DER, its own certificate first; NULL for none. */
const void *tls_session_peer_chain(const struct tls_session *s, unsigned *count);
/* True when the peer sent a certificate that client_ca of this context vouches for: the one whose name TLS was asked for
 * may be of another host than the one that the peer is going to talk to. */
bool tls_session_peer_is_trusted(const struct tls_session *s, const struct tls_context *by);
/* Calls each for every XmppAddr in the peer's certificate (RFC 6120 13.7.1.4). */
void tls_session_each_xmpp_addr(const struct tls_session *s, void (*each)(void *arg, const char *addr, size_t len),
                                void *arg);

#endif
