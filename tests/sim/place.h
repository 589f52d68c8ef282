/* SPDX-License-Identifier: MIT */
/* A file that is written in place, and what a disk has of it. */
#ifndef TESTS_SIM_PLACE_H
#define TESTS_SIM_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#include "disk.h"

/* What a disk writes as a whole. */
#define SECTOR 32

void place_watch(const char *path);
bool place_is(int fd);
bool place_has_path(const char *path);
/* It is synced; its folder is. */
void place_sync(void);
void place_sync_folder(void);
/* What was removed may come back, if its folder was not synced. */
void place_lose_power(disk_chance *chance, void *arg);
void place_reset(void);

#endif
