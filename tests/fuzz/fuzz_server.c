/* SPDX-License-Identifier: MIT */
/* Another server that has proved its domain says what the grammar has, to clients that answer. */
#include "stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stage_play(data, size, SCENE_REMOTE, NULL);
	return 0;
}
