/* SPDX-License-Identifier: MIT */
/* Dropping root and confining the process. */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sanitizers.h"
#include "comityd/daemon.h"

int privileges_drop(const char *user, const char *group, int file, struct err_text *et)
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
	if (file >= 0 && fchown(file, pw->pw_uid, gid) != 0) {
		err_text_set(et, "cannot give the log file to user \"%s\": %s", user, strerror(errno));
		return -ERR_DENIED;
	}
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_change_id((int)pw->pw_uid, (int)gid, CAPNG_INIT_SUPP_GRP | CAPNG_CLEAR_BOUNDING) != 0) {
		err_text_set(et, "cannot become user \"%s\": %s", user, strerror(errno));
		return -ERR_DENIED;
	}
	return 0;
}

/* What a server of streams never asks the kernel for, but who has broken into one would. */
static const int refused_calls[] = {
#if !IS_SANITIZED
	/* Sanitizers start a program to name functions, and trace to look for leaks. */
	SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
#endif
	SCMP_SYS(process_vm_writev), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
	SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(reboot),
	SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname), SCMP_SYS(name_to_handle_at), SCMP_SYS(open_by_handle_at), SCMP_SYS(iopl), SCMP_SYS(ioperm),
	SCMP_SYS(personality), SCMP_SYS(vhangup), SCMP_SYS(syslog), SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount),
	SCMP_SYS(fspick), SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(mount_setattr), SCMP_SYS(kcmp),
	SCMP_SYS(pidfd_getfd), SCMP_SYS(process_madvise), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_register),
	SCMP_SYS(io_uring_enter),
};

#ifdef __s390__
#define CLONE_FLAGS 1   /* the argument that has them: there the stack comes first */
#else
#define CLONE_FLAGS 0
#endif

/* Threads are cloned, new namespaces are not: in one of its own of users, whoever has broken in would have all
 * capabilities again. A filter cannot look at what clone3 points to; who calls it falls back to clone. */
static int refuse_namespaces(scmp_filter_ctx filter)
{
	static const unsigned kinds[] = {
		CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET,
	};
	int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	for (size_t i = 0; rc == 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
		                      SCMP_CMP(CLONE_FLAGS, SCMP_CMP_MASKED_EQ, kinds[i], kinds[i]));
	return rc;
}

/* Minus an errno. Threads that are there already are bound too. */
static int refuse_calls(const struct log_ctx *log)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int rc = filter != NULL ? seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < sizeof(refused_calls) / sizeof(refused_calls[0]); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused_calls[i], 0);
	if (rc == 0)
		rc = refuse_namespaces(filter);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	/* The kernel has no filters, or a filter around this process lets it set no other: no worse than before. */
	if (rc != -ECANCELED && rc != -EOPNOTSUPP)
		return rc;
	log_warning(log, "no filter of system calls: %s", strerror(-rc));
	return 0;
}

/* What root has beyond its name, and what systemd gave for low ports: they are bound by now. Minus an errno. */
static int give_up_capabilities(void)
{
	capng_select_t what = CAPNG_SELECT_CAPS;

	if (capng_get_caps_process() != 0)
		return -errno;
	/* Only who may set capabilities can take them from programs that are yet to be started. */
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		what = CAPNG_SELECT_BOTH;
	capng_clear(CAPNG_SELECT_BOTH);
	return capng_apply(what) == 0 ? 0 : -EPERM;
}

int privileges_confine(const struct log_ctx *log, struct err_text *et)
{
	int rc = give_up_capabilities();

	if (rc == 0)
		rc = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? refuse_calls(log) : -errno;
	if (rc == 0)
		return 0;
	err_text_set(et, "cannot give up privileges: %s", strerror(-rc));
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
