/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire_status_calls.c - the file of metrics when calls of the system fail: what there was stays, and it is said */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"
#include "wire/status.h"

#define S 1000000000ULL

/* ---- calls that fail ---- */

static struct {
	const char *call; /* its next call fails; NULL: none does */
	int error;        /* errno; 0: a write that stores nothing */
} failing;

static bool fails(const char *call)
{
	if (!failing.call || strcmp(failing.call, call) != 0)
		return false;
	failing.call = NULL;
	errno = failing.error;
	return true;
}

FILE *__real_open_memstream(char **text, size_t *size);
FILE *__wrap_open_memstream(char **text, size_t *size);
int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
ssize_t __real_write(int fd, const void *bytes, size_t size);
ssize_t __wrap_write(int fd, const void *bytes, size_t size);
int __real_close(int fd);
int __wrap_close(int fd);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

FILE *__wrap_open_memstream(char **text, size_t *size)
{
	return fails("open_memstream") ? NULL : __real_open_memstream(text, size);
}

int __wrap_fclose(FILE *file)
{
	const int r = __real_fclose(file);

	return fails("fclose") ? EOF : r;
}

int __wrap_fchmod(int fd, mode_t mode)
{
	return fails("fchmod") ? -1 : __real_fchmod(fd, mode);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t size)
{
	if (!fails("write"))
		return __real_write(fd, bytes, size);
	return failing.error != 0 ? -1 : 0;
}

int __wrap_close(int fd)
{
	const int r = __real_close(fd);

	return fails("close") ? -1 : r;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails("calloc") ? NULL : __real_calloc(count, size);
}

char *__wrap_strdup(const char *text)
{
	return fails("strdup") ? NULL : __real_strdup(text);
}

static void fail_next(const char *call, int error)
{
	failing.call = call;
	failing.error = error;
}

/* ---- tests ---- */

struct fixture {
	char dir[PATH_SIZE], path[PATH_SIZE], temp[PATH_SIZE];
};

static int setup(void **state)
{
	static struct fixture f;

	failing.call = NULL;
	support_temp_dir(f.dir);
	support_path(f.path, f.dir, "chronq.prom");
	support_path(f.temp, f.dir, ".chronq.prom.tmp");
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	const struct fixture *f = *state;

	failing.call = NULL;
	support_remove(f->dir);
	return 0;
}

static bool has(const char *path, const char *line)
{
	static char text[16384];
	FILE *file = fopen(path, "r");
	size_t size;

	assert_non_null(file);
	size = fread(text, 1, sizeof text - 1, file);
	text[size] = '\0';
	assert_int_equal(fclose(file), 0);
	return strstr(text, line) != NULL;
}

/* The metrics of before stay, no temp file is left, it is said once, and the next write is a whole one. */
static void writes(void **state)
{
	static const struct {
		const char *call;
		int error, result;
	} cases[] = {
		{ "open_memstream", ENOMEM, -ENOMEM },
		{ "fclose", ENOMEM, -ENOMEM },
		{ "fchmod", EPERM, -EPERM },
		{ "write", ENOSPC, -ENOSPC },
		{ "write", 0, -EIO },
		{ "close", EDQUOT, -EDQUOT },
	};
	const struct fixture *f = *state;
	struct status_fetch v = { .records = 12 };
	struct status *status;

	assert_int_equal(status_open(f->path, "/q", "S", &status), 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		v.records = 12;
		assert_int_equal(status_write_fetch(status, &v, S), 1);
		v.records = 345;
		fail_next(cases[i].call, cases[i].error);
		assert_int_equal(status_write_fetch(status, &v, 2 * S), cases[i].result);
		fail_next(cases[i].call, cases[i].error);
		assert_int_equal(status_write_fetch(status, &v, 3 * S), 0);
		assert_int_equal(access(f->temp, F_OK), -1);
		assert_true(has(f->path, "} 12\n"));
		assert_int_equal(status_write_fetch(status, &v, 4 * S), 1);
		assert_true(has(f->path, "} 345\n"));
	}
	status_close(status);
}

/* The first error is told, not that of closing the file. */
static void two_errors(void **state)
{
	const struct fixture *f = *state;
	const struct status_ship v = { .acked_records = 1 };
	struct status *status;

	assert_int_equal(status_open(f->path, "/q", "S", &status), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
	fail_next("close", EIO);
	assert_int_equal(status_write_ship(status, &v, S), -EIO);
	assert_int_equal(status_write_ship(status, &v, 2 * S), -EISDIR);
	assert_int_equal(rmdir(f->path), 0);
	/* a signal that comes in the middle is no error */
	fail_next("write", EINTR);
	assert_int_equal(status_write_ship(status, &v, 3 * S), 1);
	assert_true(has(f->path, "} 1\n"));
	status_close(status);
}

static void no_memory_for_it(void **state)
{
	static const char *const calls[] = { "calloc", "strdup", "open_memstream", "fclose" };
	const struct fixture *f = *state;
	struct status *status = NULL;

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		fail_next(calls[i], ENOMEM);
		assert_int_equal(status_open(f->path, "/q", "S", &status), -ENOMEM);
		assert_null(status);
	}
}

/* An error that has no text is none; and without --status nothing is written. */
static void nothing_to_say(void **state)
{
	const struct fixture *f = *state;
	struct status_fetch v = { .records = 12, .last_error = "" };
	struct status *status;

	assert_int_equal(status_open(f->path, "/q", "S", &status), 0);
	assert_int_equal(status_write_fetch(status, &v, S), 1);
	assert_false(has(f->path, "last_error"));
	v.last_error = "no leader";
	assert_int_equal(status_write_fetch(status, &v, 2 * S), 1);
	assert_true(has(f->path, ",text=\"no leader\"} 1\n"));
	status_close(status);
	assert_int_equal(status_write_fetch(NULL, &v, 3 * S), 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes, setup, teardown),
		cmocka_unit_test_setup_teardown(two_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory_for_it, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_to_say, setup, teardown),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
