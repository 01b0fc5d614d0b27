/* SPDX-License-Identifier: Apache-2.0 */
/* support.h - what tests of core share: temporary directories, golden queues, small queues */
#ifndef CQ_TEST_SUPPORT_H
#define CQ_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define PATH_SIZE 512

/* Makes an empty directory.  support_remove() deletes a directory and everything in it. */
void support_temp_dir(char path[PATH_SIZE]);
/* From now on these directories are in /dev/shm, if that exists and TMPDIR is not set. */
void support_in_memory(void);
void support_remove(const char *path);
/* For cmocka: allocates a zeroed structure of this size, whose first member is `char dir[PATH_SIZE]`, and makes
 * that directory. */
int support_setup(void **state, size_t size);
/* A fixture that is such a directory, and open. */
struct support_dir {
	char dir[PATH_SIZE];
	int dirfd;
};
int support_dir_setup(void **state);
int support_dir_teardown(void **state);

/* path = dir/name; name may be empty. */
void support_path(char path[PATH_SIZE], const char *dir, const char *name);
/* A file or queue of the golden data ($GOLDEN). */
void support_golden(char path[PATH_SIZE], const char *name);
/* Copies a directory of files and directories of files. */
void support_copy(const char *from, const char *to);

/* The whole file, with a zero byte behind it; to be freed. */
char *support_slurp(const char *path, size_t *ret_size);
void support_peek(const char *dir, const char *name, uint64_t offset, void *bytes, size_t length);
void support_poke(const char *dir, const char *name, uint64_t offset, const void *bytes,
                  size_t length);
/* control.meta says that the writer is in this segment. */
void support_set_current(const char *dir, uint32_t id);
/* Puts segment 0, which is sealed, back to what it was before its last record, of `size` bytes at `offset`, and
 * control.meta back to it; what is taken away is kept. */
struct support_unfinished {
	uint8_t header[64];
	uint8_t last[1088];
};
void support_unfinish(const char *dir, uint64_t offset, size_t size,
                      struct support_unfinished *ret);

bool support_exists(const char *dir, const char *name);

/* fork(); the kernel kills the child when its parent ends, so that no test leaves a process behind. */
pid_t support_fork(void);

/* Appends `count` records "record FIRST", "record FIRST+1" and so on with a writer of 4096-byte
 * segments; 31 of them fill one.  Closes it. */
#define SUPPORT_PER_SEGMENT 31
void support_append(const char *dir, unsigned first, unsigned count);

/* Returns from a test that is not possible here, and prints why.  (The skip() of cmocka 1.1.5 writes "not ok",
 * which is a failure in TAP.) */
#define NOT_HERE(reason)                                             \
	do {                                                         \
		printf("# not tried: %s: %s\n", __func__, (reason)); \
		return;                                              \
	} while (0)

/* Runs all tests, or the one that the command line names. */
#define SUPPORT_MAIN(tests) SUPPORT_MAIN_AFTER((void)0, tests)
/* The same in memory (support_in_memory()): for thousands of small queues, in tests that do not depend on the
 * syncs of a disk; a kill loses nothing in memory. */
#define SUPPORT_MAIN_IN_MEMORY(tests) SUPPORT_MAIN_AFTER(support_in_memory(), tests)
#define SUPPORT_MAIN_AFTER(first, tests)                          \
	int main(int argc, char **argv)                           \
	{                                                         \
		first;                                            \
		if (argc > 1)                                     \
			cmocka_set_test_filter(argv[1]);          \
		return cmocka_run_group_tests(tests, NULL, NULL); \
	}

#endif
