/* SPDX-License-Identifier: MIT */
/* How much memory the process uses: measured by a thread of its own, judged against memory_limit. */
#ifndef COMITYD_MEMORY_H
#define COMITYD_MEMORY_H

#include <stdint.h>

#include "base/err.h"

struct daemon;
struct memory_watch;

/* Reads from /proc/self/statm, which is open, what of the memory belongs to this process alone, as the kernel counts it.
 * Returns 0, or minus an errno; then *bytes is as before. */
int memory_read_statm(int fd, uint64_t *bytes);

/* Starts to measure: workers are told when the level of pressure changes. Every now and then unused memory goes back
 * to the system. Fails where nothing can be measured, as memory_limit would be a limit in name only. */
int memory_watch_start(struct daemon *d, struct memory_watch **out, struct err_text *et);
/* Ends the thread; w may be NULL. */
void memory_watch_stop(struct memory_watch **w);
/* Takes over memory_limit; 0: three quarters of what the machine or the control group has. */
void memory_watch_set_limit(struct daemon *d, uint64_t bytes);

#endif
