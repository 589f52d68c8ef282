/* SPDX-License-Identifier: MIT */
/* Calls of sockets that fail. */
#include "faults.h"

#include <errno.h>

#include "random.h"

uint32_t faults_draw(struct faults *f, uint32_t below)
{
	return random_below(&f->state, below);
}

bool faults_strike(struct faults *f)
{
	if (f->one_in == 0 || faults_draw(f, f->one_in) != 0)
		return false;
	f->count++;
	return true;
}

int faults_errno(struct faults *f, enum faulty_call call)
{
	static const int errors[][4] = {
		[FAULTY_RECV] = { ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOMEM },
		[FAULTY_SEND] = { ECONNRESET, EPIPE, ENOBUFS, ENOMEM },
		[FAULTY_CONNECT] = { ECONNREFUSED, ENETUNREACH, ETIMEDOUT, EADDRNOTAVAIL },
	};

	return errors[call][faults_draw(f, 4)];
}

bool faults_pass(struct faults *f, enum faulty_call call, size_t *len, bool is_gentle)
{
	unsigned how;

	if (!faults_strike(f))
		return true;
	how = faults_draw(f, is_gentle ? 6 : 8);
	if (how < 2) {
		if (*len != 0)
			*len = 1 + faults_draw(f, (uint32_t)*len);
		return true;
	}
	errno = how < 4 ? EINTR : how < 6 ? EAGAIN : faults_errno(f, call);
	return false;
}
