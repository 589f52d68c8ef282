/* SPDX-License-Identifier: MIT */
/* PRECIS profiles that addresses need (RFC 8264, RFC 8265), over libunistring. */
#ifndef XMPP_PRECIS_H
#define XMPP_PRECIS_H

#include <stddef.h>

/* Each prepares len bytes of UTF-8 into out (room bytes with the final NUL) and returns the length, or
 * -ERR_INVALID, or -ERR_TOO_LONG. */
int precis_username_case_mapped(const char *text, size_t len, char *out, size_t room); /* RFC 8265 3.3 */
int precis_opaque_string(const char *text, size_t len, char *out, size_t room);        /* RFC 8265 4.2 */

#endif
