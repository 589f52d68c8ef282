/* SPDX-License-Identifier: MIT */
/* The outside world as it is handed to the code: time, chance, log. Sockets and disk are reached
 * through src/net and src/store only, which take their world from here too. */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log;

struct comity_env {
	/* Milliseconds that never go back; the base of all time-outs. */
	uint64_t (*mono_ms)(struct comity_env *env);
	/* Microseconds since 1970 UTC; for stamps only, it may jump. */
	int64_t (*wall_us)(struct comity_env *env);
	/* Bytes fit for keys. Ends the process when the system has none. */
	void (*random)(struct comity_env *env, void *bytes, size_t len);
	struct log *log;
	/* In a simulation jobs run at once on the caller's thread, so that a run can be replayed. */
	bool inline_jobs;
};

/* The real world: system clocks, GnuTLS's random numbers. */
void env_init_system(struct comity_env *env, struct log *log);

#endif
