/* SPDX-License-Identifier: MIT */
/* A hash that is the same in every process: for checksums and for what is written to disk. Tables that peers
 * fill use map_hash() instead. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 bits. bytes may be NULL when len is 0. */
uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed);

#endif
