/* SPDX-License-Identifier: MIT */
/* Bytes of a client that has bound a resource, while another one is there to hear of it. */
#include <stdlib.h>
#include <string.h>

#include "sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char alive[] = "<iq type='get' id='alive'><query xmlns='jabber:iq:roster'/></iq>";
	struct sim_client *c, *other;

	if (size < 2)
		return 0;
	c = sim_connect(sim_get());
	other = sim_connect(sim_get());
	if (!sim_login(c) || !sim_login(other))
		abort(); /* one bad stream must not keep others out */
	sim_send(c, (const char *)data + 1, size - 1, data[0] < 128 ? data[0] + 1u : size);
	sim_disconnect(c);
	/* The server still serves. */
	sim_forget(other);
	sim_send(other, alive, strlen(alive), strlen(alive));
	if (!sim_got(other, "id='alive'"))
		abort();
	sim_disconnect(other);
	return 0;
}
