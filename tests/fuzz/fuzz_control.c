/* SPDX-License-Identifier: MIT */
/* Clients, another server, and an administrator who asks and intervenes. */
#include "control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stage_play(data, size, SCENE_REMOTE, control_act);
	control_end();
	return 0;
}
