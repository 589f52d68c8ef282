/* SPDX-License-Identifier: MIT */
/* Clients that are logged in, with several sessions each, say what the grammar has. */
#include "stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	stage_play(data, size, 0, NULL);
	return 0;
}
