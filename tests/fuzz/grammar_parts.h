/* SPDX-License-Identifier: MIT */
/* Between the files of the grammar: what sentences are made of. */
#ifndef TESTS_FUZZ_GRAMMAR_PARTS_H
#define TESTS_FUZZ_GRAMMAR_PARTS_H

#include "grammar.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* True for one choice of n. */
bool grammar_one_in(struct grammar *g, uint32_t n);
/* Escaped; in_attribute: it stands between single quotes. */
void grammar_add_text(struct grammar *g, struct buf *out, bool in_attribute);
/* Returns true when it names an account of the server, the server, or nobody: then the server answers by itself. */
bool grammar_add_address(struct grammar *g, struct buf *out);
void grammar_add_odd_attribute(struct grammar *g, struct buf *out);
/* Whatever fits nowhere, at a depth of nesting; and up to three of it. */
void grammar_add_element(struct grammar *g, struct buf *out, unsigned depth);
void grammar_add_elements(struct grammar *g, struct buf *out, unsigned depth);
/* A sentence that is one element and begins with <NAME xmlns='...', perhaps with a prefix instead. In it stand for:
 * %j an address, %t text, %w a word, %n a number, %e elements, %a an odd attribute or nothing, %s a namespace,
 * %m a stanza, %i an id; %( ... %) several times or never. */
void grammar_add_payload(struct grammar *g, struct buf *out, const char *text);

#endif
