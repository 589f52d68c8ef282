/* SPDX-License-Identifier: MIT */
/* Stands in for libFuzzer: feeds the files named by the arguments to the fuzz target it is linked with. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path, uint8_t *room)
{
	FILE *f = fopen(path, "rb");
	uint8_t *input;
	size_t size;

	if (f == NULL) {
		fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
		return -1;
	}
	size = fread(room, 1, INPUT_MAX, f);
	fclose(f);
	/* A copy of just this size, so that a sanitizer sees a read behind its end. */
	input = malloc(size);
	if (input == NULL && size != 0)
		return -1;
	if (size != 0)
		memcpy(input, room, size);
	LLVMFuzzerTestOneInput(input, size);
	free(input);
	return 0;
}

int main(int argc, char **argv)
{
	uint8_t *room = malloc(INPUT_MAX);
	int failed = argc < 2 || room == NULL;

	for (int i = 1; i < argc && room != NULL; i++) {
		/* The last name in the log is the input that ended the process. */
		printf("%s\n", argv[i]);
		fflush(stdout);
		failed |= replay(argv[i], room) != 0;
	}
	free(room);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
