/* SPDX-License-Identifier: MIT */
/* How much memory the process uses: measured by a thread of its own, judged against memory_limit. */
#ifndef COMITYD_MEMORY_H
#define COMITYD_MEMORY_H

#include <stdint.h>

#include "base/err.h"

struct daemon;
struct memory_watch;

/* Starts to measure: workers are told when the level of pressure changes. Every now and then unused memory goes back
 * to the system. */
int memory_watch_start(struct daemon *d, struct memory_watch **out, struct err_text *et);
/* Ends the thread; w may be NULL. */
void memory_watch_stop(struct memory_watch **w);
/* Takes over memory_limit; 0: three quarters of what the machine or the control group has. */
void memory_watch_set_limit(struct daemon *d, uint64_t bytes);

#endif
