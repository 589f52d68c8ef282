/* SPDX-License-Identifier: MIT */
/* Sessions as the journal knows them: reading the bodies of its records. What cannot be read is said in is_bad, and
 * changes nothing. */
#ifndef ROUTER_IMAGE_READ_H
#define ROUTER_IMAGE_READ_H

#include "router/image.h"

struct image_reader {
	const char *at, *end;
	bool is_bad;
};

/* 0 when there is not so much. */
uint32_t image_read_u32(struct image_reader *r);
uint64_t image_read_u64(struct image_reader *r);
/* The body of RECORD_SESSION behind the key; NULL when it is bad. */
struct image *image_read(uint64_t key, struct image_reader *r);
/* The bodies of RECORD_PRESENCE, RECORD_KEPT, RECORD_SENT and RECORD_HANDLED behind the key. */
void image_read_presence(struct image *i, struct image_reader *r);
void image_read_kept(struct image *i, struct image_reader *r);
void image_read_item(struct image *i, struct image_reader *r);
struct image_handled image_read_handled(struct image_reader *r);

#endif
