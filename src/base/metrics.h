/* SPDX-License-Identifier: MIT */
/* Counters, one set per worker, summed when read. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

/* One row per counter: identifier, name that administrators see, meaning. */
#define METRICS(X) \
	X(CONNECTIONS_OPENED, "connections_opened", "connections accepted") \
	X(CONNECTIONS_CLOSED, "connections_closed", "connections ended") \
	X(CONNECTIONS_REFUSED, "connections_refused", "connections turned away by a limit") \
	X(ACCEPT_PAUSES, "accept_pauses", "times accepting stopped for want of file descriptors") \
	X(BYTES_IN, "bytes_in", "bytes read from sockets") \
	X(BYTES_OUT, "bytes_out", "bytes written to sockets") \
	X(TLS_HANDSHAKES, "tls_handshakes", "TLS handshakes completed") \
	X(TLS_RESUMED, "tls_resumed", "TLS handshakes that resumed a session") \
	X(TLS_FAILURES, "tls_failures", "TLS handshakes that failed") \
	X(LOGINS, "logins", "successful logins") \
	X(LOGIN_FAILURES, "login_failures", "refused logins") \
	X(SESSIONS_BOUND, "sessions_bound", "resources bound") \
	X(SESSIONS_CLOSED, "sessions_closed", "bound sessions ended") \
	X(STANZAS_IN, "stanzas_in", "stanzas received") \
	X(STANZAS_OUT, "stanzas_out", "stanzas sent") \
	X(S2S_STANZAS_IN, "s2s_stanzas_in", "stanzas received from other servers") \
	X(S2S_STANZAS_OUT, "s2s_stanzas_out", "stanzas sent to other servers") \
	X(S2S_BOUNCED, "s2s_bounced", "stanzas for other servers that were returned to their senders") \
	X(MESSAGES_STORED, "messages_stored", "messages kept for accounts that were offline") \
	X(STREAM_ERRORS, "stream_errors", "streams closed with an error") \
	X(MAILBOX_PAUSES, "mailbox_pauses", "times a source was paused because a mailbox was full") \
	X(SHED_LOGINS, "shed_logins", "connections, logins and bindings refused for want of memory") \
	X(SHED_PRESENCE, "shed_presence", "presence not passed on for want of memory") \
	X(SHED_STANZAS, "shed_stanzas", "messages and requests refused for want of memory") \
	X(ACCOUNTS_ACTIVATED, "accounts_activated", "accounts read into memory") \
	X(ACCOUNTS_EVICTED, "accounts_evicted", "idle accounts dropped from memory")

#define METRICS_ENUM(ID, NAME, HELP) METRIC_##ID,
enum metric { METRICS(METRICS_ENUM) METRIC_COUNT };
#undef METRICS_ENUM

/* Written by one worker, read by any thread. */
struct metrics {
	_Atomic uint64_t values[METRIC_COUNT];
};

void metrics_add(struct metrics *m, enum metric metric, uint64_t n);
uint64_t metrics_get(const struct metrics *m, enum metric metric);
const char *metric_name(enum metric metric);
const char *metric_help(enum metric metric);

#endif
