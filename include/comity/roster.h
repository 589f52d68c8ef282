/* SPDX-License-Identifier: MIT */
/* What mod_roster offers to other modules: comity_module_api(m, "roster", a, &roster). */
#ifndef COMITY_ROSTER_H
#define COMITY_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct comity_account;
struct comity_jid;
struct comity_mod;

/* RFC 6121 2.1.2.5; the bits say whose presence is seen: TO: the user sees the contact. */
enum comity_subscription { COMITY_SUB_NONE = 0, COMITY_SUB_TO = 1, COMITY_SUB_FROM = 2, COMITY_SUB_BOTH = 3 };

struct comity_roster_item {
	struct comity_jid *jid;      /* bare */
	enum comity_subscription subscription;
	bool ask;                    /* the user's request is pending */
	bool asked;                  /* the contact's request is pending: not in the roster as clients see it
	                              * unless something else is set */
	bool approved;               /* pre-approved (RFC 6121 3.4) */
	bool is_listed;              /* in the roster as clients see it */
	char *name;                  /* NULL: none */
	char **groups;
	size_t group_count;
	char *request;               /* the contact's pending request as XML; NULL unless asked */
	uint64_t version;            /* of the last change since the account was loaded; 0: none to be seen */
};

struct comity_roster_api {
	/* NULL when there is none. roster is the instance that comity_module_api gave. */
	const struct comity_roster_item *(*find)(struct comity_mod *roster, struct comity_account *a,
	                                         const struct comity_jid *contact);
	/* Steps through all items: start with *pos = 0; NULL at the end. */
	const struct comity_roster_item *(*next)(struct comity_mod *roster, struct comity_account *a, size_t *pos);
};

#endif
