/* SPDX-License-Identifier: Apache-2.0 */
/* test_proc.c - what /proc says of a process */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <unistd.h>

#include "held/proc.h"

#define NOBODY INT_MAX /* above every process's number */

static void fields(void **state)
{
	(void)state;
	assert_int_equal(chronfs_proc_stat_field(getpid(), 4), getppid());
	assert_int_equal(chronfs_proc_stat_field(getpid(), 3), 0); /* a letter */
	assert_int_equal(chronfs_proc_stat_field(getpid(), 1000), 0);
	assert_int_equal(chronfs_proc_stat_field(NOBODY, 4), 0);
}

static void not_killed(void **state)
{
	(void)state;
	assert_false(chronfs_proc_is_killed(getpid()));
	assert_false(chronfs_proc_is_killed(NOBODY));
	assert_false(chronfs_proc_is_killed(0)); /* the kernel's own request */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(not_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
