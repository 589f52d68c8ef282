/* SPDX-License-Identifier: MIT */
/* What is left of the files of a folder when the power goes: what was synced, and by chance more. The program is
 * linked so that the server's fdatasync, fsync, unlink, write and pwrite come here first. */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t disk_chance(void *arg, uint32_t below);

/* From now on, one folder without subfolders, and a file in its parent that is written in place. */
void disk_watch(const char *folder, const char *file);
/* Empties it, and removes the file. */
void disk_reset(void);
/* How much of a write to that file is done before it fails; len: all, and it does not. */
void disk_set_gate(size_t (*gate)(void *arg, size_t len), void *arg);
/* The power goes: the folder is as the disk has it. */
void disk_lose_power(disk_chance *chance, void *arg);
/* Remembers the sizes; what was written since is cut somewhere. */
void disk_mark(void);
void disk_tear(disk_chance *chance, void *arg);

/* From now on there is room for so many bytes, and syncing may find none. */
void disk_fill(size_t room, disk_chance *chance, void *arg);
void disk_make_room(void);

#endif
