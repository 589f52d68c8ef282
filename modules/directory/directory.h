/* SPDX-License-Identifier: MIT */
/* Between the files of mod_directory: its options, who may do what, and look-ups. */
#ifndef MODULES_DIRECTORY_H
#define MODULES_DIRECTORY_H

#include <comity/directory.h>
#include <comity/module.h>

/* The map of registrations, of the directory's own address; keys are domains. */
#define DIRECTORY_STORE "directory"

struct directory_conf {
	struct comity_list register_allow, register_deny, ask_allow, ask_deny, restricted, peers, fixed;
	int64_t max_entries, hops;
	uint64_t min_expiry, max_expiry, lookup_timeout;
};

#define TOKEN_LEN_MAX 64
#define TOKENS 512

/* A look-up that came by, to know it when it comes again. */
struct directory_token {
	char text[TOKEN_LEN_MAX + 1];
	uint64_t until;
};

/* Per host and worker. */
struct directory {
	struct directory_token tokens[TOKENS];   /* a ring */
	size_t next_token;
	size_t waiting;                          /* look-ups that wait for peers */
	int64_t members;                         /* when they were counted, and those that were let in since */
	uint64_t counted_at;                     /* 0: never */
};

/* ---- who may (policy.c) ---- */

bool directory_may_register(const struct directory_conf *conf, const char *domain);
/* Peers may, and whoever may register unless ask_allow says otherwise. */
bool directory_may_ask(const struct directory_conf *conf, const char *domain);
bool directory_is_peer(const struct directory_conf *conf, const char *domain);
/* True when asker may be told where domain is. */
bool directory_may_find(const struct directory_conf *conf, const char *asker, const char *domain);
/* The rules of the list restricted; NULL, or the first that is none. */
const char *directory_bad_rule(const struct directory_conf *conf);

/* ---- those who cannot register (fixed.c) ---- */

/* What the list fixed says of a domain; false: nothing. */
bool directory_find_fixed(const struct directory_conf *conf, const char *domain, struct comity_route *route);
/* NULL, or the first of its entries that is wrong. */
const char *directory_bad_fixed(const struct directory_conf *conf);

/* ---- look-ups (lookup.c) ---- */

/* <lookup/>, an iq get to the host. */
int directory_on_lookup(struct comity_mod *m, struct comity_rq *rq);

/* ---- what is stored (mod_directory.c) ---- */

/* What a row says and still holds; false: nothing. Sets what is left of the time. */
bool directory_read_row(const struct comity_mod *m, const struct store_row *row, struct comity_route *route);
/* The address of the server that asks; NULL when it is a user. */
const char *directory_asker(const struct comity_rq *rq);

#endif
