/* SPDX-License-Identifier: MIT */
/* Memory of SQLite and c-ares that is not to be had. */
#ifndef TESTS_SIM_MEMORY_H
#define TESTS_SIM_MEMORY_H

#include "faults.h"

/* Before they are used first. Each allocation of theirs may fail from then on, as f says at that moment. */
void memory_fail(struct faults *f);

#endif
