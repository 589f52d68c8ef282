/* SPDX-License-Identifier: MIT */
/* What mod_disco offers to other modules: comity_module_api(m, "disco", NULL, &disco). */
#ifndef COMITY_DISCO_H
#define COMITY_DISCO_H

struct comity_elem;
struct comity_mod;

struct comity_disco_api {
	/* Adds identities, features and forms of the host to a query element; disco is the instance that
	 * comity_module_api gave. */
	void (*fill_host)(struct comity_mod *disco, struct comity_elem *query);
};

#endif
