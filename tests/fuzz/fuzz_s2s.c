/* SPDX-License-Identifier: MIT */
/* Bytes of another server. The first byte says whether it has proved its domain, and in pieces of which size
 * they come. */
#include "sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sim_client *user, *server;
	struct sim *s = sim_get();
	unsigned piece;

	if (size < 2)
		return 0;
	piece = data[0] & 63;
	/* Somebody to talk to, whose answers go back. */
	user = sim_connect(s);
	if (!sim_login(user))
		__builtin_trap();
	server = sim_connect_server(s, (data[0] & 128) != 0);
	sim_send(server, (const char *)data + 1, size - 1, piece != 0 ? piece : size);
	sim_disconnect(server);
	sim_disconnect(user);
	return 0;
}
