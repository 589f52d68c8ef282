/* SPDX-License-Identifier: MIT */
/* How answers are shown: aligned columns for people, JSON for programs. */
#ifndef COMITYCTL_TABLE_H
#define COMITYCTL_TABLE_H

#include <jansson.h>
#include <stdio.h>

/* Rows (arrays of strings, numbers, booleans and nulls) under a header, columns as wide as they need,
 * numbers to the right; "none" when there are no rows. Control characters are shown as \xNN. */
void table_print(const json_t *columns, const json_t *rows, FILE *to);
/* The rows as a JSON array of objects, keyed by column. */
void table_print_json(const json_t *columns, const json_t *rows, FILE *to);

#endif
