/* SPDX-License-Identifier: MIT */
/* Dropping root and confining the process. */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <stdlib.h>
#include <unistd.h>

#include "comityd/daemon.h"

int privileges_drop(const char *user, const char *group, struct err_text *et)
{
	const struct passwd *pw;
	const struct group *gr;
	gid_t gid;

	if (user == NULL || geteuid() != 0)
		return 0;
	pw = getpwnam(user);
	if (pw == NULL) {
		err_text_set(et, "user: there is no user \"%s\" on this machine", user);
		return -ERR_NOT_FOUND;
	}
	gid = pw->pw_gid;
	if (group != NULL) {
		gr = getgrnam(group);
		if (gr == NULL) {
			err_text_set(et, "group: there is no group \"%s\" on this machine", group);
			return -ERR_NOT_FOUND;
		}
		gid = gr->gr_gid;
	}
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_change_id((int)pw->pw_uid, (int)gid, CAPNG_INIT_SUPP_GRP | CAPNG_CLEAR_BOUNDING) != 0) {
		err_text_set(et, "cannot become user \"%s\": %s", user, strerror(errno));
		return -ERR_DENIED;
	}
	return 0;
}

int privileges_confine(struct err_text *et)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		return 0;
	err_text_set(et, "cannot give up new privileges: %s", strerror(errno));
	return -ERR_DENIED;
}

void notify_systemd(const char *state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	socklen_t len;
	int fd;

	if (path == NULL || strlen(path) >= sizeof(a.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(a.sun_path, path, strlen(path));
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (*path == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a, len) < 0)
		unsetenv("NOTIFY_SOCKET"); /* nobody listens: do not try again */
	close(fd);
}
