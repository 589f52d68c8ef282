/* SPDX-License-Identifier: MIT */
/* The real world behind struct comity_env. */
#include "base/env.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t system_mono_ms(struct comity_env *env)
{
	struct timespec ts;

	(void)env;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int64_t system_wall_us(struct comity_env *env)
{
	struct timespec ts;

	(void)env;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void system_random(struct comity_env *env, void *bytes, size_t len)
{
	(void)env;
	if (gnutls_rnd(GNUTLS_RND_KEY, bytes, len) != 0) {
		fputs("comity: the system gives no random numbers\n", stderr);
		abort();
	}
}

void env_init_system(struct comity_env *env, struct log *log)
{
	*env = (struct comity_env){
		.mono_ms = system_mono_ms,
		.wall_us = system_wall_us,
		.random = system_random,
		.log = log,
	};
}
