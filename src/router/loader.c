/* SPDX-License-Identifier: MIT */
/* Module files. */
#include "router/loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"

#define PREFIX "mod_"
#define SUFFIX ".so"

struct loaded {
	void *handle;
	const struct comity_module *def;
};

struct loader {
	char *dir;
	struct map modules;
};

struct loader *loader_new(const char *dir)
{
	struct loader *l = mem_new(sizeof(*l));

	l->dir = mem_strdup(dir);
	return l;
}

void loader_free(struct loader *l)
{
	size_t pos = 0;

	if (l == NULL)
		return;
	for (struct loaded *m; (m = map_next(&l->modules, &pos)) != NULL;) {
		dlclose(m->handle);
		free(m);
	}
	map_deinit(&l->modules);
	free(l->dir);
	free(l);
}

static int check(const struct comity_module *def, const char *name, const char *path, struct err_text *et)
{
	if (def == NULL) {
		err_text_set(et, "%s is not a module of this server", path);
		return -ERR_INVALID;
	}
	if (def->abi != COMITY_MODULE_ABI) {
		err_text_set(et, "%s was built for module ABI %u, this server has %u: build it anew", path,
		             (unsigned)def->abi, COMITY_MODULE_ABI);
		return -ERR_UNSUPPORTED;
	}
	if (def->name == NULL || strcmp(def->name, name) != 0) {
		err_text_set(et, "%s calls itself \"%s\"", path, def->name != NULL ? def->name : "");
		return -ERR_INVALID;
	}
	return 0;
}

const struct comity_module *loader_get(struct loader *l, const char *name, struct err_text *et)
{
	struct loaded *m = map_find(&l->modules, name, strlen(name));
	const struct comity_module *def;
	char *path;
	void *handle;

	if (m != NULL)
		return m->def;
	if (*name == '\0' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(name)) {
		err_text_set(et, "\"%s\" is not a module name", name);
		return NULL;
	}
	path = mem_printf("%s/" PREFIX "%s" SUFFIX, l->dir, name);
	if (access(path, R_OK) != 0) {
		err_text_set(et, "there is no module \"%s\": %s: %s", name, path, strerror(errno));
		free(path);
		return NULL;
	}
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL) {
		err_text_set(et, "cannot load module \"%s\": %s", name, dlerror());
		free(path);
		return NULL;
	}
	def = dlsym(handle, "comity_module");
	if (check(def, name, path, et) != 0) {
		dlclose(handle);
		free(path);
		return NULL;
	}
	free(path);
	m = mem_new(sizeof(*m));
	m->handle = handle;
	m->def = def;
	map_put(&l->modules, def->name, strlen(def->name), m);
	return def;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **loader_list(const struct loader *l)
{
	char **names = mem_array(1, sizeof(char *));
	DIR *dir = opendir(l->dir);
	size_t count = 0;

	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
		size_t len = strlen(e->d_name);

		if (len <= strlen(PREFIX SUFFIX) || strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 ||
		    strcmp(e->d_name + len - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		names = mem_resize(names, (count + 2) * sizeof(char *));
		names[count++] = mem_dup(e->d_name + strlen(PREFIX), len - strlen(PREFIX SUFFIX));
	}
	names[count] = NULL;
	if (dir != NULL)
		closedir(dir);
	qsort(names, count, sizeof(char *), compare_names);
	return names;
}

void loader_free_names(char **names)
{
	for (char **n = names; n != NULL && *n != NULL; n++)
		free(*n);
	free(names);
}
