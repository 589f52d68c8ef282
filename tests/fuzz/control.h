/* SPDX-License-Identifier: MIT */
/* An administrator: commands of comityctl to a server on the stage. */
#ifndef TESTS_FUZZ_CONTROL_H
#define TESTS_FUZZ_CONTROL_H

#include "stage.h"

/* One command, and what comityctl would show of the answer; ends the process when that makes no sense. */
void control_act(struct stage *s);
/* Forgets what commands have left. */
void control_end(void);

#endif
