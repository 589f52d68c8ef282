/* SPDX-License-Identifier: MIT */
/* What mod_blocking offers to other modules: comity_module_api(m, "blocking", a, &blocking). */
#ifndef COMITY_BLOCKING_H
#define COMITY_BLOCKING_H

#include <stdbool.h>

struct comity_account;
struct comity_jid;
struct comity_mod;

struct comity_blocking_api {
	/* True when the account has blocked this address (XEP-0191 5); never for its own address, nor for that of its
	 * host. blocking is the instance that comity_module_api gave. Hooks need not ask: what a blocked address
	 * sends does not get beyond COMITY_FILTER. */
	bool (*is_blocked)(struct comity_mod *blocking, struct comity_account *a, const struct comity_jid *other);
};

#endif
