/* SPDX-License-Identifier: MIT */
/* Accounts on disk: their keys, creation, removal. */
#ifndef ROUTER_CREDENTIALS_H
#define ROUTER_CREDENTIALS_H

#include "router/router.h"

typedef void account_cb(void *arg, int status);

/* Each answers later on the caller's worker. Status: 0, -ERR_INVALID for a password that cannot be
 * used, -ERR_EXISTS, -ERR_NOT_FOUND, or another failure of the store. jid is bare and local. */
void account_create(struct router *r, const struct comity_jid *jid, const char *password, account_cb *cb, void *arg);
void account_set_password(struct router *r, const struct comity_jid *jid, const char *password, account_cb *cb,
                          void *arg);
void account_delete(struct router *r, const struct comity_jid *jid, account_cb *cb, void *arg);

/* Reads the secrets of a user for a login; fakes when there is no such user. Answers the stream. */
void credentials_fetch(struct c2s *c, const char *user);

#endif
