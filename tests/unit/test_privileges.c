/* SPDX-License-Identifier: MIT */
/* A confined process has no capabilities, and the kernel refuses it what the filter names. */
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sanitizers.h"
#include "comityd/daemon.h"
#include "unit.h"

static int confine(void)
{
	struct log log = { .level = LOG_LEVEL_ERROR };
	struct log_ctx ctx;
	struct err_text et;

	log_ctx_init(&ctx, NULL, NULL);
	ctx.log = &log;
	return privileges_confine(&ctx, &et);
}

static bool can_unshare(void)
{
	return unshare(0) == 0;
}

static bool can_write_into_processes(void)
{
	char from = 'x', to = 'y';
	struct iovec source = { &from, 1 }, target = { &to, 1 };

	return process_vm_writev(getpid(), &source, 1, &target, 1, 0) == 1 && to == 'x';
}

/* With these words it does nothing and fails, but not with EPERM. */
static bool can_make_rings(void)
{
	return syscall(SYS_io_uring_setup, 0, NULL) == 0 || errno != EPERM;
}

/* No kernel clones a thread without its signals, so that none of these makes anything; what is not refused by the filter
 * is invalid. Where flags are the second argument, the first is as good as any. */
static bool can_clone_into(unsigned long flag)
{
	return syscall(SYS_clone, flag | CLONE_THREAD, flag | CLONE_THREAD, 0, 0, 0) >= 0 || errno != EPERM;
}

/* How many kinds of new namespaces, of those there are. */
static int count_namespaces(void)
{
	static const unsigned long flags[] = {
		CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET,
	};
	int count = 0;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		count += can_clone_into(flags[i]);
	return count;
}

/* Without arguments it does nothing and fails, but not as if it were not there. */
static bool has_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS;
}

static void *say_yes(void *arg)
{
	*(bool *)arg = true;
	return NULL;
}

static bool can_start_threads(void)
{
	bool has_run = false;
	pthread_t thread;

	return pthread_create(&thread, NULL, say_yes, &has_run) == 0 && pthread_join(thread, NULL) == 0 && has_run;
}

/* Only where no sanitizer has to start programs. */
static bool can_start_programs(void)
{
	static char *const words[] = { (char *)(size_t)"false", NULL };

	return !IS_SANITIZED && (execve("/bin/false", words, NULL) == 0 || errno != EPERM);
}

/* 0 when all is as it should be, else the number of what is not. */
static int try_all(void)
{
	/* All of these need no privilege: what refuses them later can only be the filter. */
	if (!can_unshare())
		return 1;
	if (!can_write_into_processes())
		return 2;
	if (count_namespaces() == 0)
		return 9;
	if (confine() != 0)
		return 3;
	if (can_unshare() || errno != EPERM)
		return 4;
	if (can_write_into_processes() || errno != EPERM)
		return 5;
	if (can_make_rings())
		return 6;
	if (can_start_programs())
		return 7;
	if (count_namespaces() != 0)
		return 10;
	if (has_clone3())
		return 11;
	if (!can_start_threads())
		return 12;
	/* All else goes on. */
	return getppid() > 0 && close(dup(0)) == 0 ? 0 : 8;
}

START_TEST(calls_outside_the_filter_are_refused)
{
	int status = -1;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0)
		_exit(try_all());
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(capabilities_are_given_up)
{
	int status = -1;
	pid_t child = fork();

	ck_assert_int_ge(child, 0);
	if (child == 0) {
		bool had = prctl(PR_CAPBSET_READ, CAP_SETPCAP) == 1 && geteuid() == 0;

		if (confine() != 0)
			_exit(1);
		/* Nor may a program have them that it starts. */
		if (had && prctl(PR_CAPBSET_READ, CAP_SETUID) != 0)
			_exit(2);
		/* Root may without capabilities not become another user; others never could. */
		_exit(setuid(getuid() + 1) == 0 ? 3 : 0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, calls_outside_the_filter_are_refused);
	tcase_add_test(tc, capabilities_are_given_up);
}

UNIT_SUITE(privileges);
