/* SPDX-License-Identifier: MIT */
/* Names and namespaces that the server knows, one pointer each. */
#ifndef XML_INTERN_H
#define XML_INTERN_H

#include <stddef.h>

/* Namespaces and names that are compared by pointer alone: an element that has one has this very pointer. */
extern const char xml_ns_carbons[], xml_ns_chat_markers[], xml_ns_chatstates[], xml_ns_conference[], xml_ns_hints[],
	xml_ns_muc_user[], xml_ns_receipts[], xml_ns_sid[];
extern const char xml_name_body[], xml_name_invite[], xml_name_no_copy[], xml_name_no_permanent_store[],
	xml_name_no_store[], xml_name_private[], xml_name_received[], xml_name_sent[], xml_name_stanza_id[],
	xml_name_store[], xml_name_thread[];

/* Fills the table; once, before threads start. */
void xml_intern_init(void);
/* The one pointer for a known string; NULL for others. */
const char *xml_intern(const char *s, size_t len);

#endif
