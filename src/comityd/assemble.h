/* SPDX-License-Identifier: MIT */
/* From a configuration file to settings that workers can take over. */
#ifndef COMITYD_ASSEMBLE_H
#define COMITYD_ASSEMBLE_H

#include "comityd/options.h"
#include "router/loader.h"
#include "router/router.h"

/* What outlives a configuration and goes into every one. */
struct assembly {
	struct comity_env *env;
	struct loader *loader;
	unsigned char secret[32];     /* for fake credentials; kept in the store */
};

/* Reads the file alone; conf_unref() the result. When *loader is NULL it is made first, for the folder
 * that the file's module_dir names. */
int assemble_read(const char *path, struct loader **loader, struct conf **conf, struct conf_errors *errors);
const struct server_conf *assemble_server_conf(const struct conf *conf);
/* Loads certificates and modules; takes a reference to conf. */
int assemble_settings(struct assembly *a, struct conf *conf, struct settings **settings, struct err_text *et);
/* The part of federation (assemble_fed.c); borrows from conf. */
int assemble_fed(struct conf *conf, struct fed_settings *f, struct err_text *et);

#endif
