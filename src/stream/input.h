/* SPDX-License-Identifier: MIT */
/* From bytes of a connection to events of XML, for every kind of stream; and the rate at which it is read. */
#ifndef STREAM_INPUT_H
#define STREAM_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/env.h"
#include "net/conn.h"
#include "stream/stream_error.h"
#include "xml/parser.h"

#define STREAM_ID_SIZE 24

struct stream_input {
	struct xml_parser *parser;
	struct buf carry;                /* input that is to be read before what comes next */
};

/* Handles one event and owns doc (NULL for events without); false when the stream wants no more. */
typedef bool input_handler(void *owner, enum xml_event event, struct xml_doc *doc);

/* The next bytes are a new stream header. What came behind the last element belongs to the new stream
 * (after login), or is thrown away (after TLS). */
void input_restart(struct stream_input *in, const struct xml_limits *limits, bool keep_rest);
void input_deinit(struct stream_input *in);
/* Parses and handles until the bytes are used up, the stream ends, or delivery is stopped; returns how
 * many were used. */
size_t input_feed(struct stream_input *in, struct conn *conn, const char *bytes, size_t len, input_handler *handle,
                  void *owner);
/* Counts what it holds, and its owner's bytes, for the connection. */
void input_note(const struct stream_input *in, struct conn *conn, size_t owner);
/* RFC 6120 11.6: expat would call UTF-16 not well-formed. For the first bytes of a stream. */
bool input_is_utf16(const char *bytes, size_t len);

/* The stream error for one of the error events of the parser. */
enum stream_cond input_error(enum xml_event event);
/* Its text for people; NULL when the condition says all. room should be about 128 bytes. */
const char *input_error_text(const struct stream_input *in, enum xml_event event, char *text, size_t room);

/* ---- rate ---- */

/* A token bucket each for bytes and stanzas. */
struct stream_rate {
	int64_t bytes, stanzas;
	uint64_t at;
};

void rate_init(struct stream_rate *r, uint64_t bytes_per_s, uint64_t stanzas_per_s, uint64_t now);
/* Takes bytes that were read (stanzas the owner has taken off itself); returns milliseconds to wait
 * before reading on, 0 for none. Rates of 0: no limit. */
uint64_t rate_take(struct stream_rate *r, uint64_t bytes_per_s, uint64_t stanzas_per_s, size_t bytes, uint64_t now);

/* ---- headers ---- */

/* Unpredictable and never the same, RFC 6120 4.7.3. */
void stream_make_id(struct comity_env *env, char id[STREAM_ID_SIZE]);
/* RFC 6120 4.7.5: the version is a decimal with a dot; before 1.0 there are no features. */
bool stream_is_version_1(const char *version);

#endif
