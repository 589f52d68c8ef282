/* SPDX-License-Identifier: MIT */
/* Elements as soon as they are complete, whatever expat is there. */
#ifndef XML_EXPAT_HOLDS_H
#define XML_EXPAT_HOLDS_H

#include <expat.h>

/* Since 2.6.0, and in Debian since 2.5.0-1+deb12u2, expat holds complete elements back to save work on large tokens
 * (CVE-2023-52425); on a stream they would wait for the next one. An older one has no such function, neither when this
 * is built nor when it runs, and holds nothing back. */
XML_Bool XML_SetReparseDeferralEnabled(XML_Parser parser, XML_Bool enabled) __attribute__((weak));

static inline void expat_holds_nothing_back(XML_Parser parser)
{
	if (XML_SetReparseDeferralEnabled != NULL)
		XML_SetReparseDeferralEnabled(parser, XML_FALSE);
}

#endif
