/* SPDX-License-Identifier: MIT */
/* A whole server in this process: workers without loops, time that stands still, connections over
 * memory. */
#ifndef TESTS_FUZZ_SIM_H
#define TESTS_FUZZ_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;

/* Made once per process; host is "localhost", logins are anonymous or SCRAM, without TLS. */
struct sim *sim_get(void);
/* Another one, with up to SIM_WORKERS workers (which take turns) and the modules of a folder. */
#define SIM_WORKERS 2
struct sim *sim_new(unsigned workers, const char *module_dir);

/* A client of the simulation. */
struct sim_client;
struct sim_client *sim_connect(struct sim *s);
/* Another server, remote.test, that connects; with proved it may send for that domain. */
struct sim_client *sim_connect_server(struct sim *s, bool proved);
/* Logs in anonymously and binds a resource; false when the server would not. */
bool sim_login(struct sim_client *c);
/* From now on it counts as one who has a password: sessions that it makes can be resumed, and the journal has them. */
void sim_make_known(struct sim_client *c);
/* Feeds bytes in pieces of at most piece bytes and lets the server run after each. */
void sim_send(struct sim_client *c, const char *bytes, size_t len, size_t piece);
/* The number of the worker that serves it. */
unsigned sim_worker(const struct sim_client *c);
/* Its full address, once it has logged in. */
const char *sim_address(const struct sim_client *c);
/* True when the text came in since the last call of sim_forget. */
bool sim_got(const struct sim_client *c, const char *text);
void sim_forget(struct sim_client *c);
/* Cuts the connection and frees the client. */
void sim_disconnect(struct sim_client *c);

#endif
