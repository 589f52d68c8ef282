/* SPDX-License-Identifier: MIT */
/* Names and namespaces that the server knows, one pointer each. */
#ifndef XML_INTERN_H
#define XML_INTERN_H

#include <stddef.h>

/* Fills the table; once, before threads start. */
void xml_intern_init(void);
/* The one pointer for a known string; NULL for others. */
const char *xml_intern(const char *s, size_t len);

#endif
