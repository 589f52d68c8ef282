/* SPDX-License-Identifier: MIT */
/* A confined process has no capabilities, and the kernel refuses it what the filter names. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "comityd/daemon.h"
#include "unit.h"

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

/* 0 when all is as it should be, else the number of what is not. */
static int try_all(void)
{
	struct err_text et;

	/* Both need no privilege: what refuses them later can only be the filter. */
	if (!can_unshare())
		return 1;
	if (!can_write_into_processes())
		return 2;
	if (privileges_confine(&et) != 0)
		return 3;
	if (can_unshare() || errno != EPERM)
		return 4;
	if (can_write_into_processes() || errno != EPERM)
		return 5;
	/* All else goes on. */
	return getppid() > 0 && close(dup(0)) == 0 ? 0 : 6;
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
		struct err_text et;

		if (privileges_confine(&et) != 0)
			_exit(1);
		/* Root may without capabilities not become another user; others never could. */
		_exit(setuid(getuid() + 1) == 0 ? 2 : 0);
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
