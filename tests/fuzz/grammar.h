/* SPDX-License-Identifier: MIT */
/* A grammar of what clients and servers say: bytes of a fuzzer are choices, so that changed bytes are other sentences
 * and not noise. */
#ifndef TESTS_FUZZ_GRAMMAR_H
#define TESTS_FUZZ_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "choices.h"

/* What a speaker knows of the world. Strings are borrowed and may hold no quotes. */
#define GRAMMAR_OTHERS 8
struct grammar {
	struct choices *in;
	const char *ns;                        /* of stanzas: jabber:client or jabber:server */
	const char *own_bare, *own_full;
	const char *others[GRAMMAR_OTHERS];    /* full addresses of sessions, also of other servers; NULL: none */
	const char *host;                      /* of the server that is tested */
	const char *remote;                    /* a domain elsewhere */
	const char *last_id;                   /* of the last iq that came in; NULL: none */
	uint32_t h;                            /* stanzas that came in, for acknowledgements */
	unsigned serial;                       /* of ids; goes up */
	unsigned depth;                        /* inside: stanzas in stanzas */
};

/* What was said. */
struct said {
	char id[16];           /* "qN" of an iq get or set that must be answered; "" of all else */
	bool is_exact;         /* by the server itself, or by what it does when nobody is there */
	bool is_raw;           /* bytes that mean anything */
	bool is_lie;           /* an h that is not true */
	bool is_stanza;
};

/* One stanza. */
void grammar_stanza(struct grammar *g, struct buf *out, struct said *said);
/* One element that is no stanza, of a client or (is_server) of a server, the end of the stream among them. */
void grammar_nonza(struct grammar *g, struct buf *out, bool is_server, struct said *said);
/* Anything, well-formed or not, for readers of XML. */
void grammar_xml(struct choices *in, struct buf *out);

#endif
