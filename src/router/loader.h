/* SPDX-License-Identifier: MIT */
/* Module files. */
#ifndef ROUTER_LOADER_H
#define ROUTER_LOADER_H

#include "base/err.h"
#include "comity/module.h"

struct loader;

/* dir is where mod_<name>.so lie. */
struct loader *loader_new(const char *dir);
/* Closes all modules: nothing of theirs may be in use any more. */
void loader_free(struct loader *l);
/* The descriptor of a module, loaded at the first call. NULL with the cause in et. */
const struct comity_module *loader_get(struct loader *l, const char *name, struct err_text *et);
/* The names of all module files there, sorted; ends with NULL; the caller frees with loader_free_names. */
char **loader_list(const struct loader *l);
void loader_free_names(char **names);

#endif
