/* SPDX-License-Identifier: MIT */
/* Where log lines go: stderr, syslog or a file. */
#ifndef COMITYD_LOGGER_H
#define COMITYD_LOGGER_H

#include <pthread.h>

#include "base/err.h"
#include "base/log.h"
#include "base/log_limit.h"

struct logger {
	struct log log;        /* must be first */
	pthread_mutex_t lock;  /* of the limits */
	struct log_limit infos, warnings;
	int fd;                /* -1: syslog */
	char *path;            /* of the file; NULL: it is none */
	bool is_new;           /* the file was made by logger_open */
	bool is_journal;       /* stderr goes to journald, which stamps lines itself */
};

/* to: "stderr", "syslog" or a path. */
int logger_open(struct logger *l, const char *to, enum log_level level, struct err_text *et);
/* Makes or opens the file of that name anew, for who has renamed the one that was open; the other places stay. When it
 * cannot be opened the old file stays. Other threads may write meanwhile. */
int logger_reopen(struct logger *l, struct err_text *et);
void logger_close(struct logger *l);

#endif
