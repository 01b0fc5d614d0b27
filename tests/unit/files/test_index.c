/* SPDX-License-Identifier: Apache-2.0 */
/* test_index.c - NNNNNNNNN.idx: the golden ones byte for byte, stride, wrong files */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronq.h"
#include "files/dir.h"
#include "files/index.h"
#include "support.h"

static int build(int dirfd, uint32_t id, uint64_t size, struct cq_index *index)
{
	char name[CQ_NAME_MAX];
	int fd, r;

	cq_segment_name(name, id);
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	r = cq_index_build(fd, id, size, NULL, index);
	close(fd);
	return r;
}

static unsigned check_golden(struct support_dir *f, const char *queue, uint64_t size)
{
	char dir[PATH_SIZE], theirs[PATH_SIZE], ours[PATH_SIZE], name[CQ_NAME_MAX];
	unsigned count = 0;
	int dirfd;

	support_golden(dir, queue);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd >= 0);
	for (uint32_t id = 0;; id++, count++) {
		struct cq_index index, read;
		size_t n, m;
		char *a, *b;

		cq_index_name(name, id);
		if (!support_exists(dir, name))
			break;
		assert_int_equal(build(dirfd, id, size, &index), 0);
		assert_int_equal(cq_index_write(f->dirfd, &index), 0);
		support_path(theirs, dir, name);
		support_path(ours, f->dir, name);
		a = support_slurp(theirs, &n);
		b = support_slurp(ours, &m);
		assert_int_equal(cq_index_read(dirfd, id, size, &read), 0);
		if (read.header.flags & CQ_INDEX_PARTIAL) {
			/* of the records of its writer, without the 25 that were there before */
			assert_string_equal(queue, "v2-reopened");
			assert_int_equal(read.entries[0].offset, 64 + 25 * 128);
		} else {
			assert_int_equal(n, m);
			assert_memory_equal(a, b, n);
			assert_memory_equal(&read.header, &index.header, sizeof read.header);
			assert_memory_equal(read.entries, index.entries,
			                    read.header.entries * sizeof *read.entries);
		}
		cq_index_fini(&read);
		cq_index_fini(&index);
		free(a);
		free(b);
	}
	close(dirfd);
	return count;
}

static void golden_indexes_byte_for_byte(void **state)
{
	struct support_dir *f = *state;

	assert_int_equal(check_golden(f, "v2-small", 4096), 2);
	assert_int_equal(check_golden(f, "v2-reader", 4096), 2);
	assert_int_equal(check_golden(f, "v2-reopened", 4096), 2);
	assert_int_equal(check_golden(f, "v2-mixed", 65536), 6);
	assert_int_equal(check_golden(f, "v2-killed", 65536), 39);
}

#define BIG (2ULL << 20)

/* 2 MiB of empty records: an entry for each 4096th. */
static void write_big(struct support_dir *f)
{
	struct cq_config config;
	cq_writer *writer;

	cq_config_init(&config);
	config.segment_size = BIG;
	assert_int_equal(cq_writer_open(f->dir, &config, &writer), 0);
	for (unsigned i = 0; i < 40000; i++)
		assert_int_equal(cq_writer_append(writer, 1, "", 0, NULL), 0);
	assert_int_equal(cq_writer_close(writer), 0);
}

static void one_entry_per_4096_records(void **state)
{
	struct cq_index index, file;
	struct support_dir *f = *state;

	write_big(f);
	assert_int_equal(build(f->dirfd, 0, BIG, &index), 0);
	assert_int_equal(index.header.entries, 8);
	assert_int_equal(index.header.flags, 0);
	for (uint64_t i = 0; i < index.header.entries; i++) {
		assert_int_equal(index.entries[i].seq, 4096 * i);
		assert_int_equal(index.entries[i].offset, 64 + 64 * 4096 * i);
	}
	assert_int_equal(index.header.max_seq, BIG / 64 - 2);
	/* the index that the writer built while it appended is the same */
	assert_int_equal(cq_index_read(f->dirfd, 0, BIG, &file), 0);
	assert_memory_equal(&file.header, &index.header, sizeof file.header);
	assert_memory_equal(file.entries, index.entries, 8 * sizeof *file.entries);
	cq_index_fini(&file);
	cq_index_fini(&index);
	assert_int_equal(build(f->dirfd, 1, BIG, &index), 0);
	assert_int_equal(index.header.entries, 2);
	cq_index_fini(&index);
}

static void wrong_files_are_refused(void **state)
{
	/* magic, version, header length, flags, segment, segment size, data offset, stride, entries,
	 * offset of an entry */
	static const uint64_t places[] = { 0, 8, 10, 13, 16, 24, 32, 36, 72, 80 + 24 + 16 };
	struct support_dir *f = *state;
	struct cq_index index = { .entries = NULL };
	char path[PATH_SIZE];
	uint8_t byte;

	write_big(f);
	assert_int_equal(cq_index_read(f->dirfd, 7, BIG, &index), -ENOENT);
	assert_int_equal(cq_index_read(f->dirfd, 0, BIG * 2, &index), -EBADMSG);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		support_peek(f->dir, "000000000.idx", places[i], &byte, 1);
		byte ^= 0x01;
		support_poke(f->dir, "000000000.idx", places[i], &byte, 1);
		assert_int_equal(cq_index_read(f->dirfd, 0, BIG, &index), -EBADMSG);
		byte ^= 0x01;
		support_poke(f->dir, "000000000.idx", places[i], &byte, 1);
	}
	support_path(path, f->dir, "000000000.idx");
	for (off_t length = 80 + 24 * 8 - 1; length >= 0; length -= 9) {
		assert_int_equal(truncate(path, length), 0);
		assert_int_equal(cq_index_read(f->dirfd, 0, BIG, &index), -EBADMSG);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(cq_index_read(f->dirfd, 0, BIG, &index), -EBADMSG);
	assert_null(index.entries);
}

static void damaged_segment_gives_no_index(void **state)
{
	struct support_dir *f = *state;
	struct cq_index index = { .entries = NULL };

	support_append(f->dir, 0, 40);
	support_poke(f->dir, "000000000.q", 64 + 128 * 3 + 64, "x", 1);
	assert_int_equal(build(f->dirfd, 0, 4096, &index), -EBADMSG);
	assert_int_equal(build(f->dirfd, 1, 4096, &index), 0);
	assert_int_equal(index.header.min_seq, SUPPORT_PER_SEGMENT);
	cq_index_fini(&index);
}

/* Numbers and times that go down: the index covers all of them. */
static void numbers_that_start_again(void **state)
{
	static const uint64_t seq = 7, time_ns = 1;
	struct support_dir *f = *state;
	struct cq_index index;
	char golden[PATH_SIZE];

	support_golden(golden, "v1-small"); /* its headers have no checksums */
	support_copy(golden, f->dir);
	support_poke(f->dir, "000000001.q", 64 + 128 * 3 + 8, &seq, sizeof seq);
	support_poke(f->dir, "000000001.q", 64 + 128 * 5 + 16, &time_ns, sizeof time_ns);
	assert_int_equal(build(f->dirfd, 1, 4096, &index), 0);
	assert_int_equal(index.header.min_seq, 7);
	assert_int_equal(index.header.max_seq, 39);
	assert_int_equal(index.header.min_time_ns, 1);
	assert_int_equal(index.entries[0].seq, 31);
	cq_index_fini(&index);
}

/* No index is built of a file that is no segment, or a segment with another id. */
static void no_segment_gives_no_index(void **state)
{
	struct support_dir *f = *state;
	struct cq_index index = { .entries = NULL };
	char path[PATH_SIZE];

	support_append(f->dir, 0, 40);
	assert_int_equal(renameat(f->dirfd, "000000000.q", f->dirfd, "000000009.q"), 0);
	assert_int_equal(build(f->dirfd, 9, 4096, &index), -EBADMSG);
	support_path(path, f->dir, "000000001.q");
	assert_int_equal(truncate(path, 63), 0);
	assert_int_equal(build(f->dirfd, 1, 4096, &index), -EBADMSG);
	assert_null(index.entries);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, support_dir_setup, support_dir_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(golden_indexes_byte_for_byte), WITH(one_entry_per_4096_records),
		WITH(wrong_files_are_refused),      WITH(damaged_segment_gives_no_index),
		WITH(numbers_that_start_again),     WITH(no_segment_gives_no_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
