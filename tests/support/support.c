/* SPDX-License-Identifier: Apache-2.0 */
/* support.c - see support.h; a failure here fails the test */
#include "support.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronq.h"
#include "format/format.h"

void support_temp_dir(char path[PATH_SIZE])
{
	const char *base = getenv("TMPDIR");

	snprintf(path, PATH_SIZE, "%s/chronq-test-XXXXXX", base && base[0] ? base : "/tmp");
	assert_non_null(mkdtemp(path));
}

void support_in_memory(void)
{
	if (access("/dev/shm", W_OK) == 0)
		(void)setenv("TMPDIR", "/dev/shm", 0);
}

int support_setup(void **state, size_t size)
{
	*state = calloc(1, size);
	assert_non_null(*state);
	support_temp_dir(*state);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void support_remove(const char *path)
{
	assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int support_dir_setup(void **state)
{
	struct support_dir *d;

	if (support_setup(state, sizeof *d) != 0)
		return 1;
	d = *state;
	d->dirfd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->dirfd < 0;
}

int support_dir_teardown(void **state)
{
	struct support_dir *d = *state;

	close(d->dirfd);
	support_remove(d->dir);
	free(d);
	return 0;
}

void support_path(char path[PATH_SIZE], const char *dir, const char *name)
{
	int n = snprintf(path, PATH_SIZE, "%s/%s", dir, name);

	assert_true(n > 0 && n < PATH_SIZE);
}

void support_golden(char path[PATH_SIZE], const char *name)
{
	const char *golden = getenv("GOLDEN");

	assert_non_null(golden);
	support_path(path, golden, name);
}

static void write_file(const char *path, const char *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	close(fd);
}

void support_copy(const char *from, const char *to)
{
	char source[PATH_SIZE], target[PATH_SIZE];
	struct dirent *entry;
	DIR *dir = opendir(from);
	size_t size;
	char *bytes;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		support_path(source, from, entry->d_name);
		support_path(target, to, entry->d_name);
		if (entry->d_type == DT_DIR) {
			assert_int_equal(mkdir(target, 0750), 0);
			support_copy(source, target);
			continue;
		}
		bytes = support_slurp(source, &size);
		write_file(target, bytes, size);
		free(bytes);
	}
	closedir(dir);
}

char *support_slurp(const char *path, size_t *ret_size)
{
	struct stat st;
	char *bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	bytes[st.st_size] = '\0';
	close(fd);
	*ret_size = (size_t)st.st_size;
	return bytes;
}

static int open_file(const char *dir, const char *name, int flags)
{
	char path[PATH_SIZE];
	int fd;

	support_path(path, dir, name);
	fd = open(path, flags | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

void support_peek(const char *dir, const char *name, uint64_t offset, void *bytes, size_t length)
{
	const int fd = open_file(dir, name, O_RDONLY);

	assert_int_equal(pread(fd, bytes, length, (off_t)offset), (ssize_t)length);
	close(fd);
}

void support_poke(const char *dir, const char *name, uint64_t offset, const void *bytes,
                  size_t length)
{
	const int fd = open_file(dir, name, O_WRONLY);

	assert_int_equal(pwrite(fd, bytes, length, (off_t)offset), (ssize_t)length);
	close(fd);
}

void support_set_current(const char *dir, uint32_t id)
{
	support_poke(dir, CQ_CONTROL_NAME, offsetof(struct cq_control_page, current_segment), &id,
	             sizeof id);
}

void support_unfinish(const char *dir, uint64_t offset, size_t size, struct support_unfinished *ret)
{
	static const uint8_t zero[sizeof ret->last];

	assert_true(size <= sizeof ret->last);
	support_peek(dir, "000000000.q", 0, ret->header, sizeof ret->header);
	assert_true(ret->header[offsetof(struct cq_segment_header, flags)] & CQ_SEALED);
	support_peek(dir, "000000000.q", offset, ret->last, size);
	support_poke(dir, "000000000.q", offset, zero, size);
	support_poke(dir, "000000000.q", 12, zero, 52); /* the flags, and all behind them */
	support_set_current(dir, 0);
}

bool support_exists(const char *dir, const char *name)
{
	char path[PATH_SIZE];
	struct stat st;

	support_path(path, dir, name);
	return lstat(path, &st) == 0;
}

void support_append(const char *dir, unsigned first, unsigned count)
{
	struct cq_config config;
	cq_writer *writer;
	char text[32];

	cq_config_init(&config);
	config.segment_size = 4096;
	assert_int_equal(cq_writer_open(dir, &config, &writer), 0);
	for (unsigned i = first; i < first + count; i++) {
		int n = snprintf(text, sizeof text, "record %u", i);

		assert_int_equal(cq_writer_append(writer, CQ_TYPE_DEFAULT, text, (size_t)n, NULL),
		                 0);
	}
	assert_int_equal(cq_writer_close(writer), 0);
}

pid_t support_fork(void)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
	}
	return pid;
}
