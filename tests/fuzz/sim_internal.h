/* SPDX-License-Identifier: MIT */
/* What the simulation is made of, for the files that let its server end and start again. */
#ifndef TESTS_FUZZ_SIM_INTERNAL_H
#define TESTS_FUZZ_SIM_INTERNAL_H

#include "router/loader.h"
#include "router/router.h"
#include "sim.h"

struct sim {
	struct comity_env env;
	struct log log;
	struct server server;
	struct worker worker[SIM_WORKERS];
	struct worker *workers[SIM_WORKERS];
	struct loader *loader;
	struct settings *settings;
	uint64_t now_ms;
	uint32_t chance;
};

/* All but the store and the workers. */
struct sim *sim_prepare(const char *module_dir);
/* Workers with routers, that serve from now on. */
void sim_start_workers(struct sim *s, unsigned workers);
void sim_fail(const char *text) __attribute__((noreturn));

#endif
