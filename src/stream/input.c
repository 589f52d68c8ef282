/* SPDX-License-Identifier: MIT */
/* Input of streams: pieces to the parser, events to the stream, and how fast. */
#include "stream/input.h"

#include <stdio.h>
#include <stdlib.h>

/* Shaping allows this much of a second's ration at once. */
#define BURST_S 2
/* Buckets are filled at most this often. */
#define REFILL_MS 50
#define REFILL_MOST_MS 60000

void input_restart(struct stream_input *in, const struct xml_limits *limits, bool keep_rest)
{
	if (in->parser != NULL && keep_rest)
		buf_add(&in->carry, xml_parser_rest_bytes(in->parser), xml_parser_rest(in->parser));
	xml_parser_free(in->parser);
	in->parser = xml_parser_new(limits);
}

void input_deinit(struct stream_input *in)
{
	xml_parser_free(in->parser);
	in->parser = NULL;
	buf_deinit(&in->carry);
}

void input_note(const struct stream_input *in, struct conn *conn, size_t owner)
{
	conn_note_stream(conn, owner + in->carry.cap + (in->parser != NULL ? xml_parser_size(in->parser) : 0));
}

bool input_is_utf16(const char *bytes, size_t len)
{
	const unsigned char *b = (const unsigned char *)bytes;

	return len >= 2 && ((b[0] == 0xfe && b[1] == 0xff) || (b[0] == 0xff && b[1] == 0xfe) ||
	                    (b[0] == '<' && b[1] == 0) || (b[0] == 0 && b[1] == '<'));
}

/* Gives the parser its next piece, of what was carried over first; false when there is none. */
static bool push_piece(struct stream_input *in, const char *bytes, size_t len, size_t *used)
{
	size_t n;

	if (buf_size(&in->carry) != 0) {
		n = buf_size(&in->carry) < XML_PUSH_MAX ? buf_size(&in->carry) : XML_PUSH_MAX;
		xml_parser_push(in->parser, buf_bytes(&in->carry), n);
		xml_parser_keep(in->parser);
		buf_consume(&in->carry, n);
		if (buf_size(&in->carry) == 0)
			buf_deinit(&in->carry);
		return true;
	}
	if (*used == len)
		return false;
	n = len - *used < XML_PUSH_MAX ? len - *used : XML_PUSH_MAX;
	xml_parser_push(in->parser, bytes + *used, n);
	*used += n;
	return true;
}

size_t input_feed(struct stream_input *in, struct conn *conn, const char *bytes, size_t len, input_handler *handle,
                  void *owner)
{
	struct tls_session *tls = conn->tls;
	struct xml_doc *doc;
	enum xml_event event;
	size_t used = 0;

	while (!conn_is_stopped(conn) && !conn->is_broken) {
		doc = NULL;
		event = xml_parser_next(in->parser, &doc);
		if (event != XML_EVENT_NONE) {
			if (!handle(owner, event, doc))
				return len;
			if (conn->tls != tls)
				return len;   /* what came in the clear behind <starttls/> is not looked at */
		} else if (!push_piece(in, bytes, len, &used)) {
			break;
		}
	}
	xml_parser_keep(in->parser);
	return used;
}

enum stream_cond input_error(enum xml_event event)
{
	switch (event) {
	case XML_EVENT_RESTRICTED:
		return STREAM_RESTRICTED_XML;
	case XML_EVENT_BAD_ENCODING:
		return STREAM_UNSUPPORTED_ENCODING;
	case XML_EVENT_TOO_BIG:
		return STREAM_POLICY_VIOLATION;
	default:
		return STREAM_NOT_WELL_FORMED;
	}
}

const char *input_error_text(const struct stream_input *in, enum xml_event event, char *text, size_t room)
{
	if (event != XML_EVENT_TOO_BIG)
		return NULL;
	snprintf(text, room, "too many %s", xml_parser_limit(in->parser));
	return text;
}

/* ---- rate ---- */

void rate_init(struct stream_rate *r, uint64_t bytes_per_s, uint64_t stanzas_per_s, uint64_t now)
{
	r->bytes = (int64_t)bytes_per_s * BURST_S;
	r->stanzas = (int64_t)stanzas_per_s * BURST_S;
	r->at = now;
}

static int64_t refill(int64_t tokens, uint64_t rate, uint64_t elapsed_ms)
{
	int64_t most = (int64_t)(rate * BURST_S);

	tokens += (int64_t)(rate * elapsed_ms / 1000);
	return tokens < most ? tokens : most;
}

static uint64_t wait_for(int64_t tokens, uint64_t rate)
{
	return rate != 0 && tokens < 0 ? (uint64_t)-tokens * 1000 / rate + REFILL_MS : 0;
}

uint64_t rate_take(struct stream_rate *r, uint64_t bytes_per_s, uint64_t stanzas_per_s, size_t bytes, uint64_t now)
{
	uint64_t for_bytes, for_stanzas, elapsed = now > r->at ? now - r->at : 0;

	if (bytes_per_s == 0 && stanzas_per_s == 0)
		return 0;
	r->bytes -= (int64_t)bytes;
	if (r->bytes >= 0 && r->stanzas >= 0)
		return 0;
	if (elapsed >= REFILL_MS) {
		elapsed = elapsed < REFILL_MOST_MS ? elapsed : REFILL_MOST_MS;
		r->bytes = refill(r->bytes, bytes_per_s, elapsed);
		r->stanzas = refill(r->stanzas, stanzas_per_s, elapsed);
		r->at = now;
	}
	for_bytes = wait_for(r->bytes, bytes_per_s);
	for_stanzas = wait_for(r->stanzas, stanzas_per_s);
	return for_bytes > for_stanzas ? for_bytes : for_stanzas;
}

/* ---- headers ---- */

void stream_make_id(struct comity_env *env, char id[STREAM_ID_SIZE])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
	unsigned char random[STREAM_ID_SIZE - 1];

	env->random(env, random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		id[i] = letters[random[i] & 63];
	id[sizeof(random)] = '\0';
}

bool stream_is_version_1(const char *version)
{
	char *end;

	if (version == NULL || *version < '0' || *version > '9')
		return false;
	return strtoul(version, &end, 10) >= 1 && (*end == '.' || *end == '\0');
}
