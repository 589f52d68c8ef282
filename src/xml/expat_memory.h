/* SPDX-License-Identifier: MIT */
/* Where an expat parser lives: in pages of its own, given back whole, and counted. */
#ifndef XML_EXPAT_MEMORY_H
#define XML_EXPAT_MEMORY_H

#include <expat.h>
#include <stddef.h>

/* A parser takes two dozen pieces, while its session takes others that stay for hours. Freed out of one
 * heap, the parsers of a thousand logins would leave holes between what stays: 11 KiB for each session.
 * Zeroed it is empty. */
struct expat_memory {
	char *pages;          /* NULL until the first piece, or when the system gives none */
	size_t used;          /* of the pages */
	char *newest;         /* piece in the pages, the only one that can grow and be given back */
	size_t outside;       /* bytes of pieces that found no room in the pages */
};

/* For XML_ParserCreate_MM. expat does not say for which parser it asks, so every call of expat that may
 * allocate or free stands between these two. What enter returns is for leave. */
extern const XML_Memory_Handling_Suite expat_memory_suite;
struct expat_memory *expat_memory_enter(struct expat_memory *m);
void expat_memory_leave(struct expat_memory *before);

/* Bytes in use. expat remembers each name of an element, attribute or prefix for as long as it lives. */
size_t expat_memory_size(const struct expat_memory *m);
/* After XML_ParserFree. */
void expat_memory_deinit(struct expat_memory *m);

#endif
