/* SPDX-License-Identifier: MIT */
/* Stream errors, all made in one place (RFC 6120 4.9.3). */
#ifndef STREAM_STREAM_ERROR_H
#define STREAM_STREAM_ERROR_H

#include "base/buf.h"

enum stream_cond {
	STREAM_BAD_FORMAT,
	STREAM_BAD_NAMESPACE_PREFIX,
	STREAM_CONFLICT,
	STREAM_CONNECTION_TIMEOUT,
	STREAM_HOST_GONE,
	STREAM_HOST_UNKNOWN,
	STREAM_IMPROPER_ADDRESSING,
	STREAM_INTERNAL_SERVER_ERROR,
	STREAM_INVALID_FROM,
	STREAM_INVALID_NAMESPACE,
	STREAM_INVALID_XML,
	STREAM_NOT_AUTHORIZED,
	STREAM_NOT_WELL_FORMED,
	STREAM_POLICY_VIOLATION,
	STREAM_REMOTE_CONNECTION_FAILED,
	STREAM_RESET,
	STREAM_RESOURCE_CONSTRAINT,
	STREAM_RESTRICTED_XML,
	STREAM_SEE_OTHER_HOST,
	STREAM_SYSTEM_SHUTDOWN,
	STREAM_UNDEFINED_CONDITION,
	STREAM_UNSUPPORTED_ENCODING,
	STREAM_UNSUPPORTED_FEATURE,
	STREAM_UNSUPPORTED_STANZA_TYPE,
	STREAM_UNSUPPORTED_VERSION,
	STREAM_COND_COUNT
};

const char *stream_cond_name(enum stream_cond cond);
/* <stream:error/>; value is the content of the condition (see-other-host) or NULL, text for people or NULL. */
void stream_error_write(struct buf *out, enum stream_cond cond, const char *value, const char *text);

/* A whole stream that is over: a header for clients or servers (ns), the error and the end. */
void stream_refusal_write(struct buf *out, const char *ns, const char *id, enum stream_cond cond, const char *text);

#endif
