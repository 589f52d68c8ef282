/* SPDX-License-Identifier: MIT */
/* A whole life: clients, another server, a store that fails, stops and starts; and a clean end. */
#include "stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stage_play(data, size, SCENE_REMOTE | SCENE_STORE | SCENE_ENDS, NULL);
	return 0;
}
