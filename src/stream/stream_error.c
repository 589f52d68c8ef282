/* SPDX-License-Identifier: MIT */
/* Stream errors, all made in one place (RFC 6120 4.9.3). */
#include "stream/stream_error.h"

#include <string.h>

#include "xml/writer.h"
#include "xmpp/ns.h"

static const char *const names[STREAM_COND_COUNT] = {
	[STREAM_BAD_FORMAT] = "bad-format",
	[STREAM_BAD_NAMESPACE_PREFIX] = "bad-namespace-prefix",
	[STREAM_CONFLICT] = "conflict",
	[STREAM_CONNECTION_TIMEOUT] = "connection-timeout",
	[STREAM_HOST_GONE] = "host-gone",
	[STREAM_HOST_UNKNOWN] = "host-unknown",
	[STREAM_IMPROPER_ADDRESSING] = "improper-addressing",
	[STREAM_INTERNAL_SERVER_ERROR] = "internal-server-error",
	[STREAM_INVALID_FROM] = "invalid-from",
	[STREAM_INVALID_NAMESPACE] = "invalid-namespace",
	[STREAM_INVALID_XML] = "invalid-xml",
	[STREAM_NOT_AUTHORIZED] = "not-authorized",
	[STREAM_NOT_WELL_FORMED] = "not-well-formed",
	[STREAM_POLICY_VIOLATION] = "policy-violation",
	[STREAM_REMOTE_CONNECTION_FAILED] = "remote-connection-failed",
	[STREAM_RESET] = "reset",
	[STREAM_RESOURCE_CONSTRAINT] = "resource-constraint",
	[STREAM_RESTRICTED_XML] = "restricted-xml",
	[STREAM_SEE_OTHER_HOST] = "see-other-host",
	[STREAM_SYSTEM_SHUTDOWN] = "system-shutdown",
	[STREAM_UNDEFINED_CONDITION] = "undefined-condition",
	[STREAM_UNSUPPORTED_ENCODING] = "unsupported-encoding",
	[STREAM_UNSUPPORTED_FEATURE] = "unsupported-feature",
	[STREAM_UNSUPPORTED_STANZA_TYPE] = "unsupported-stanza-type",
	[STREAM_UNSUPPORTED_VERSION] = "unsupported-version",
};

const char *stream_cond_name(enum stream_cond cond)
{
	return names[cond];
}

void stream_error_write(struct buf *out, enum stream_cond cond, const char *value, const char *text)
{
	buf_printf(out, "<stream:error><%s xmlns='" NS_STREAM_ERRORS "'", names[cond]);
	if (value != NULL) {
		buf_add(out, ">", 1);
		xml_write_text(out, value, strlen(value));
		buf_printf(out, "</%s>", names[cond]);
	} else {
		buf_add(out, "/>", 2);
	}
	if (text != NULL) {
		buf_add_str(out, "<text xmlns='" NS_STREAM_ERRORS "' xml:lang='en'>");
		xml_write_words(out, text);
		buf_add_str(out, "</text>");
	}
	buf_add_str(out, "</stream:error>");
}

void stream_refusal_write(struct buf *out, const char *ns, const char *id, enum stream_cond cond, const char *text)
{
	buf_printf(out, "<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='" NS_STREAM "' id='%s' version='1.0'>", ns, id);
	stream_error_write(out, cond, NULL, text);
	buf_add_str(out, "</stream:stream>");
}
