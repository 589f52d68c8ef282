/* SPDX-License-Identifier: MIT */
/* Calls of sockets that fail, by a generator of their own: seeds without them are what they were before. */
#ifndef TESTS_SIM_FAULTS_H
#define TESTS_SIM_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct faults {
	uint64_t state;
	unsigned one_in;           /* of the calls; 0: none fails */
	uint64_t count;            /* of those that did */
};

enum faulty_call { FAULTY_RECV, FAULTY_SEND, FAULTY_CONNECT };

/* Below a bound that is not 0. */
uint32_t faults_draw(struct faults *f, uint32_t below);
/* Whether a call fails now. */
bool faults_strike(struct faults *f);
/* An error that the call may have when there is no hope for the connection. */
int faults_errno(struct faults *f, enum faulty_call call);
/* Before a recv or send of *len bytes: false, with errno, when it fails. Otherwise *len may be less than it was. With
 * is_gentle the connection survives. */
bool faults_pass(struct faults *f, enum faulty_call call, size_t *len, bool is_gentle);

#endif
