/* SPDX-License-Identifier: MIT */
/* Elements as soon as they are complete, whatever expat is there. */
#ifndef COMITY_XML_EXPAT_HOLDS_H
#define COMITY_XML_EXPAT_HOLDS_H

#include <expat.h>

/* Since 2.6.0, and in Debian since 2.5.0-1+deb12u2, expat holds complete elements back to save work on large tokens
 * (CVE-2023-52425); on a stream they would wait for the next one. Without that nothing is held back. */
static inline void expat_holds_nothing_back(XML_Parser parser)
{
#ifdef EXPAT_CAN_HOLD_BACK
	XML_SetReparseDeferralEnabled(parser, XML_FALSE);
#else
	(void)parser;
#endif
}

#endif
