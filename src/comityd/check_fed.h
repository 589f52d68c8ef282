/* SPDX-License-Identifier: MIT */
/* comityd --check --federation: the own hosts as another server would find them. */
#ifndef COMITYD_CHECK_FED_H
#define COMITYD_CHECK_FED_H

#include <stdbool.h>

#include "comityd/daemon.h"

/* Looks up every host that federates, connects to what is found, and judges the certificate there; prints
 * each step and a sentence for each host. True when all can be reached and believed. */
bool check_federation(struct daemon *d, struct settings *settings);

#endif
