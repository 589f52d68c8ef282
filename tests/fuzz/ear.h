/* SPDX-License-Identifier: MIT */
/* Listens to what the server says: it must be well-formed XML with namespaces, element by element, to the end. */
#ifndef TESTS_FUZZ_EAR_H
#define TESTS_FUZZ_EAR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct ear;

enum heard_what { HEARD_OPEN, HEARD_ELEMENT, HEARD_CLOSE };

/* The header of the stream, or an element below it. Borrowed. */
struct heard {
	enum heard_what what;
	const char *ns, *name;
	const char **attrs;            /* pairs; names as expat gives them */
	const char *child_ns, *child;  /* the first element inside; "" when there is none */
	const char *text;              /* of the element and all inside */
	size_t text_len;
};

/* NULL when it has none of that name. */
const char *heard_attr(const struct heard *h, const char *name);
bool heard_is(const struct heard *h, const char *ns, const char *name);
bool heard_is_stanza(const struct heard *h);

struct ear *ear_new(void (*heard)(void *owner, const struct heard *h), void *owner);
void ear_free(struct ear *e);
/* Ends the process when it is no XML, or when something comes behind the end. */
void ear_hear(struct ear *e, const char *bytes, size_t len);
bool ear_is_closed(const struct ear *e);

/* The finding: says what, and ends the process. */
void finding(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
