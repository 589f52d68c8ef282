/* SPDX-License-Identifier: MIT */
/* Bytes of a client that has not logged in; the first byte says in pieces of which size they come. */
#include "sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sim_client *c;

	if (size < 2)
		return 0;
	c = sim_connect(sim_get());
	sim_send(c, (const char *)data + 1, size - 1, data[0] < 128 ? data[0] + 1u : size);
	sim_disconnect(c);
	return 0;
}
