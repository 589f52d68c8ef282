/* SPDX-License-Identifier: MIT */
/* Text for people that strangers had a hand in. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

/* Makes a text fit for XML, JSON and a terminal, in place: what is no character, or one that controls something other
 * than lines and tabs, becomes question marks; a character at the end that is not there as a whole goes. */
void text_clean(char *text);

#endif
