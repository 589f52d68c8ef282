/* SPDX-License-Identifier: MIT */
/* Stands in for libFuzzer: feeds the files named by the arguments to the fuzz target it is linked with; or, with
 * --seeds FIRST LAST, what chance makes of each of these numbers. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sim/random.h"

#define INPUT_MAX (1024 * 1024)
#define CHANCE_MAX 800

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int play(const uint8_t *bytes, size_t size)
{
	/* A copy of just this size, so that a sanitizer sees a read behind its end. */
	uint8_t *input = malloc(size);

	if (input == NULL && size != 0)
		return -1;
	if (size != 0)
		memcpy(input, bytes, size);
	LLVMFuzzerTestOneInput(input, size);
	free(input);
	return 0;
}

static int play_seed(uint64_t seed, uint8_t *room)
{
	uint64_t state = seed;
	size_t size = random_below(&state, CHANCE_MAX);

	for (size_t i = 0; i < size; i++)
		room[i] = (uint8_t)random_below(&state, 256);
	return play(room, size);
}

static int replay(const char *path, uint8_t *room)
{
	FILE *f = fopen(path, "rb");
	size_t size;

	if (f == NULL) {
		fprintf(stderr, "cannot read %s: %s\n", path, strerror(errno));
		return -1;
	}
	size = fread(room, 1, INPUT_MAX, f);
	fclose(f);
	return play(room, size);
}

/* The last name in the log is the input that ended the process. */
static void announce(const char *name)
{
	printf("%s\n", name);
	fflush(stdout);
}

static int play_seeds(uint64_t first, uint64_t last, uint8_t *room)
{
	char name[32];
	int failed = first > last;

	for (uint64_t seed = first; seed <= last && !failed; seed++) {
		snprintf(name, sizeof(name), "seed %llu", (unsigned long long)seed);
		announce(name);
		failed = play_seed(seed, room) != 0;
	}
	return failed;
}

int main(int argc, char **argv)
{
	uint8_t *room = malloc(INPUT_MAX);
	int failed = argc < 2 || room == NULL;

	if (argc == 4 && strcmp(argv[1], "--seeds") == 0 && room != NULL) {
		failed = play_seeds(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10), room);
		argc = 0;
	}
	for (int i = 1; i < argc && room != NULL; i++) {
		announce(argv[i]);
		failed |= replay(argv[i], room) != 0;
	}
	free(room);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
