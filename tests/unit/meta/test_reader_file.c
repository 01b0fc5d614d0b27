/* SPDX-License-Identifier: Apache-2.0 */
/* test_reader_file.c - readers/NAME.meta: slots, older files, files without a position */
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
#include "format/record.h"
#include "meta/reader_file.h"
#include "os/fault.h"
#include "support.h"

static void make_file(struct support_dir *f, const char *name, const void *bytes, size_t length)
{
	char path[PATH_SIZE];
	int fd;

	(void)mkdirat(f->dirfd, "readers", 0750);
	support_path(path, f->dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), (ssize_t)length);
	close(fd);
}

static void names(void **state)
{
	char longest[66];

	(void)state;
	memset(longest, 'x', sizeof longest);
	longest[64] = '\0';
	assert_true(cq_reader_name_valid(longest));
	longest[64] = 'x';
	longest[65] = '\0';
	assert_false(cq_reader_name_valid(longest));
	assert_true(cq_reader_name_valid("a.B_9-"));
	assert_false(cq_reader_name_valid(""));
	assert_false(cq_reader_name_valid(".a"));
	assert_false(cq_reader_name_valid("a/b"));
	assert_false(cq_reader_name_valid("../../x"));
	assert_false(cq_reader_name_valid("a\xc3\xa4"));
}

static void golden_alpha(void **state)
{
	char dir[PATH_SIZE];
	struct cq_reader_file cursor;
	int dirfd, fd;

	(void)state;
	support_golden(dir, "v2-reader");
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(cq_reader_file_open(dirfd, "alpha", false, &fd), 0);
	assert_int_equal(cq_reader_file_read(fd, &cursor), 0);
	assert_int_equal(cursor.segment, 1);
	assert_int_equal(cursor.offset, 0x4c0);
	assert_int_equal(cursor.generation, 2);
	close(fd);
	close(dirfd);
}

/* A file with a second name, or something that is no file, is neither read nor written. */
static void names_that_are_not_its_own(void **state)
{
	struct support_dir *f = *state;
	struct cq_reader_file c = { .offset = 64 }, got;
	int fd;

	assert_int_equal(cq_reader_file_read_named(f->dirfd, "a", &got), -ENOENT);
	assert_int_equal(cq_reader_file_open(f->dirfd, "a", true, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &c), 0);
	close(fd);
	assert_int_equal(cq_reader_file_read_named(f->dirfd, "a", &got), 0);
	assert_int_equal(linkat(f->dirfd, "readers/a.meta", f->dirfd, "second", 0), 0);
	assert_int_equal(cq_reader_file_read_named(f->dirfd, "a", &got), -EBADMSG);
	assert_int_equal(cq_reader_file_open(f->dirfd, "a", true, &fd), -EPERM);
	assert_int_equal(renameat(f->dirfd, "readers", f->dirfd, "away"), 0);
	assert_int_equal(renameat(f->dirfd, "second", f->dirfd, "readers"), 0);
	assert_true(cq_reader_file_open(f->dirfd, "a", true, &fd) < 0);
}

/* The highest generation is followed by 1. */
static void counted_from_1_in_a_fresh_file(void **state)
{
	struct support_dir *f = *state;
	struct cq_reader_file c = { .offset = 64, .generation = UINT64_MAX - 1 }, got;
	int fd;

	assert_int_equal(cq_reader_file_open(f->dirfd, "a", true, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &c), 0);
	assert_int_equal(cq_reader_file_read(fd, &got), 0);
	assert_int_equal(got.generation, 1);
	assert_int_equal(got.offset, 64);
	close(fd);
}

/* A write of one slot may be torn: the other one still counts. */
static void slots_alternate(void **state)
{
	static const uint8_t rubbish[40] = { 1, 2, 3 };
	struct support_dir *f = *state;
	struct cq_reader_file c = { .segment = 3, .offset = 64, .heartbeat_ns = 7 }, got;
	struct stat st;
	int fd;

	assert_int_equal(cq_reader_file_open(f->dirfd, "a", false, &fd), -ENOENT);
	assert_false(support_exists(f->dir, "readers"));
	assert_int_equal(cq_reader_file_open(f->dirfd, "a", true, &fd), 0);
	assert_int_equal(cq_reader_file_read(fd, &got), -ENOENT);
	for (uint64_t i = 1; i <= 9; i++) {
		c.offset = 64 * i;
		assert_int_equal(cq_reader_file_write(fd, &c), 0);
		assert_int_equal(c.generation, i);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size, 80);
		assert_int_equal(cq_reader_file_read(fd, &got), 0);
		assert_memory_equal(&got, &c, offsetof(struct cq_reader_file, damaged));
		assert_int_equal(got.damaged, 0);
	}
	/* generation 9 is in slot 1: a torn write */
	support_poke(f->dir, "readers/a.meta", 40, rubbish, 13);
	assert_int_equal(cq_reader_file_read(fd, &got), 0);
	assert_int_equal(got.generation, 8);
	assert_int_equal(got.damaged, 2);
	assert_int_equal(got.offset, 64 * 8);
	support_poke(f->dir, "readers/a.meta", 0, rubbish, 13);
	assert_int_equal(cq_reader_file_read(fd, &got), -ENOENT);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640 & ~(unsigned)umask(umask(0)));
	close(fd);
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct support_dir *f = *state;
	struct cq_reader_file c = { .segment = 3, .offset = 128, .heartbeat_ns = 7 }, got;
	uint8_t byte;
	int fd;

	assert_int_equal(cq_reader_file_open(f->dirfd, "a", true, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &c), 0);
	c.segment = 4;
	assert_int_equal(cq_reader_file_write(fd, &c), 0); /* generation 2, in slot 0 */
	for (uint64_t bit = 0; bit < 36 * 8; bit++) {
		support_peek(f->dir, "readers/a.meta", bit / 8, &byte, 1);
		byte ^= (uint8_t)(1 << bit % 8);
		support_poke(f->dir, "readers/a.meta", bit / 8, &byte, 1);
		assert_int_equal(cq_reader_file_read(fd, &got), 0);
		assert_int_equal(got.segment, 3);
		byte ^= (uint8_t)(1 << bit % 8);
		support_poke(f->dir, "readers/a.meta", bit / 8, &byte, 1);
	}
	assert_int_equal(cq_reader_file_read(fd, &got), 0);
	assert_int_equal(got.segment, 4);
	close(fd);
}

static void older_files(void **state)
{
	struct support_dir *f = *state;
	const uint64_t offset = 640, both[2] = { 5, 1280 }, odd[2] = { 5, 1281 };
	struct cq_reader_file cursor;
	int fd;

	make_file(f, "readers/eight.meta", &offset, sizeof offset);
	make_file(f, "readers/sixteen.meta", both, sizeof both);
	make_file(f, "readers/odd.meta", odd, sizeof odd);
	make_file(f, "readers/short.meta", both, 7);
	make_file(f, "readers/empty.meta", both, 0);
	assert_int_equal(cq_reader_file_read_named(f->dirfd, "eight", &cursor), 0);
	assert_int_equal(cursor.segment, 0);
	assert_int_equal(cursor.offset, 640);
	assert_int_equal(cq_reader_file_read_named(f->dirfd, "sixteen", &cursor), 0);
	assert_int_equal(cursor.segment, 5);
	assert_int_equal(cursor.offset, 1280);
	assert_int_equal(cq_reader_file_read_named(f->dirfd, "odd", &cursor), -ENOENT);
	assert_int_equal(cq_reader_file_read_named(f->dirfd, "short", &cursor), -ENOENT);
	assert_int_equal(cq_reader_file_read_named(f->dirfd, "empty", &cursor), -ENOENT);
	/* the first write gives it today's form */
	assert_int_equal(cq_reader_file_open(f->dirfd, "sixteen", true, &fd), 0);
	assert_int_equal(cq_reader_file_read(fd, &cursor), 0);
	cursor.offset = 1344;
	assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
	close(fd);
	assert_int_equal(cq_reader_file_read_named(f->dirfd, "sixteen", &cursor), 0);
	assert_int_equal(cursor.segment, 5);
	assert_int_equal(cursor.offset, 1344);
	assert_int_equal(cursor.generation, 1);
}

static void links_are_not_followed(void **state)
{
	struct support_dir *f = *state;
	char path[PATH_SIZE];
	int fd;

	make_file(f, "victim", "12345678", 8);
	assert_int_equal(mkdirat(f->dirfd, "readers", 0750), -1);
	support_path(path, f->dir, "victim");
	assert_int_equal(symlinkat(path, f->dirfd, "readers/soft.meta"), 0);
	assert_int_equal(linkat(f->dirfd, "victim", f->dirfd, "readers/hard.meta", 0), 0);
	assert_int_equal(mkfifoat(f->dirfd, "readers/fifo.meta", 0600), 0);
	assert_int_equal(mkdirat(f->dirfd, "readers/dir.meta", 0700), 0);
	assert_int_equal(cq_reader_file_open(f->dirfd, "soft", true, &fd), -ELOOP);
	assert_int_equal(cq_reader_file_open(f->dirfd, "hard", true, &fd), -EPERM);
	assert_int_equal(cq_reader_file_open(f->dirfd, "fifo", true, &fd), -EBADMSG);
	assert_int_equal(cq_reader_file_open(f->dirfd, "dir", true, &fd), -EBADMSG);
	assert_int_equal(cq_reader_file_open(f->dirfd, "../victim", true, &fd), -EINVAL);
	support_path(path, f->dir, "readers");
	assert_int_equal(renameat(f->dirfd, "readers", f->dirfd, "elsewhere"), 0);
	assert_int_equal(symlinkat("elsewhere", f->dirfd, "readers"), 0);
	assert_true(cq_reader_file_open(f->dirfd, "new", true, &fd) < 0);
	assert_false(support_exists(f->dir, "elsewhere/new.meta"));
}

/* Impossible positions and generations do not count, also with the right checksum. */
static void impossible_positions(void **state)
{
	static const struct cq_reader_slot wrong[] = {
		{ .segment = CQ_SEGMENT_ID_MAX + 1ULL, .offset = 64, .generation = 1 },
		{ .segment = 1, .offset = 65, .generation = 1 },
		{ .segment = 1, .offset = CQ_FORMAT_SIZE_MAX + 64, .generation = 1 },
		{ .segment = 1, .offset = 64, .generation = UINT64_MAX },
	};
	struct support_dir *f = *state;
	struct cq_reader_file cursor;

	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		const uint64_t both[2] = { wrong[i].segment, wrong[i].offset };
		struct cq_reader_slot slots[2] = { wrong[i], { .segment = 7, .generation = 3 } };

		for (int k = 0; k < 2; k++)
			slots[k].crc = cq_crc32(0, &slots[k], offsetof(struct cq_reader_slot, crc));
		make_file(f, "readers/a.meta", slots, sizeof slots[0]);
		assert_int_equal(cq_reader_file_read_named(f->dirfd, "a", &cursor), -ENOENT);
		/* the other slot counts */
		make_file(f, "readers/a.meta", slots, sizeof slots);
		assert_int_equal(cq_reader_file_read_named(f->dirfd, "a", &cursor), 0);
		assert_int_equal(cursor.segment, 7);
		if (wrong[i].generation == UINT64_MAX)
			continue;
		make_file(f, "readers/a.meta", both, sizeof both);
		assert_int_equal(cq_reader_file_read_named(f->dirfd, "a", &cursor), -ENOENT);
	}
}

#ifdef CQ_FAULTS

/* Another process makes the directory or the file at the same moment, or the file must not be written. */
static void others_were_faster(void **state)
{
	struct cq_reader_file c = { .segment = 9, .offset = 64 };
	struct support_dir *f = *state;
	int fd;

	cq_fault_set("mkdir", EROFS, 0, 1);
	assert_int_equal(cq_reader_file_open(f->dirfd, "a", true, &fd), -EROFS);
	cq_fault_set(NULL, 0, 0, 0);
	assert_int_equal(cq_reader_file_open(f->dirfd, "a", true, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &c), 0);
	close(fd);
	/* they exist, but the first open does not find them */
	cq_fault_set("open_dir", ENOENT, 0, 1);
	cq_fault_add("open", ENOENT, 0, 1);
	assert_int_equal(cq_reader_file_open(f->dirfd, "a", true, &fd), 0);
	cq_fault_set(NULL, 0, 0, 0);
	c.segment = 0;
	assert_int_equal(cq_reader_file_read(fd, &c), 0);
	assert_int_equal(c.segment, 9);
	close(fd);
	for (int i = 0; i < 3; i++) {
		static const int errors[] = { EACCES, EPERM, EROFS };

		cq_fault_set("open", errors[i], 0, 1);
		assert_int_equal(cq_reader_file_read_named(f->dirfd, "a", &c), -errors[i]);
		cq_fault_set("open", errors[i], 0, 1);
		assert_int_equal(cq_reader_file_open(f->dirfd, "a", true, &fd), -errors[i]);
		cq_fault_set(NULL, 0, 0, 0);
	}
}

#endif

struct seen {
	unsigned count;
	uint64_t segments;
};

static void see(void *arg, const char *name, const struct cq_reader_file *cursor)
{
	struct seen *seen = arg;

	assert_true(strcmp(name, "good") == 0 || strcmp(name, "old") == 0);
	seen->count++;
	seen->segments += cursor->segment;
}

/* A bad file does not hide the others. */
static void each_skips_what_is_no_position(void **state)
{
	const uint64_t both[2] = { 5, 1280 };
	struct cq_reader_file c = { .segment = 9, .offset = 64 };
	struct support_dir *f = *state;
	struct seen seen = { 0 };
	char name[200];
	int fd;

	assert_int_equal(cq_reader_file_each(f->dirfd, see, NULL, &seen), 0);
	assert_int_equal(cq_reader_file_open(f->dirfd, "good", true, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &c), 0);
	close(fd);
	make_file(f, "readers/old.meta", both, sizeof both);
	make_file(f, "readers/bad.meta", "rubbish", 7);
	make_file(f, "readers/.hidden.meta", both, sizeof both);
	make_file(f, "readers/notes.txt", both, sizeof both);
	make_file(f, "readers/.meta", both, sizeof both);
	snprintf(name, sizeof name, "readers/%0*d.meta", (int)CQ_READER_NAME_MAX + 1, 0);
	make_file(f, name, both, sizeof both);
	assert_int_equal(symlinkat("good.meta", f->dirfd, "readers/soft.meta"), 0);
	assert_int_equal(mkdirat(f->dirfd, "readers/dir.meta", 0700), 0);
	assert_int_equal(cq_reader_file_each(f->dirfd, see, NULL, &seen), 0);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.segments, 14);
}

/* A write never overwrites the newest slot, also if that is in the wrong place for its generation: a reader that
 * is killed in its write keeps its position. */
static void slot_that_counts_is_kept(void **state)
{
	struct support_dir *f = *state;

	for (uint64_t generation = 3; generation < 5; generation++) {
		for (unsigned at = 0; at < 2; at++) {
			struct cq_reader_slot slots[2] = { 0 }, after[2];
			struct cq_reader_file next = { .segment = 9,
				                       .offset = 64,
				                       .generation = generation };
			struct cq_reader_file got;
			int fd;

			slots[at].segment = 5;
			slots[at].offset = 64;
			slots[at].generation = generation;
			slots[at].crc =
				cq_crc32(0, &slots[at], offsetof(struct cq_reader_slot, crc));
			make_file(f, "readers/kept.meta", slots, sizeof slots);
			assert_int_equal(cq_reader_file_open(f->dirfd, "kept", false, &fd), 0);
			assert_int_equal(cq_reader_file_write(fd, &next), 0);
			assert_int_equal(pread(fd, after, sizeof after, 0), (ssize_t)sizeof after);
			assert_memory_equal(&after[at], &slots[at], sizeof slots[at]);
			assert_int_equal(cq_reader_file_read(fd, &got), 0);
			assert_int_equal(got.segment, 9);
			close(fd);
		}
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, support_dir_setup, support_dir_teardown)

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(names),
	cmocka_unit_test(golden_alpha),
	WITH(slots_alternate),
	WITH(every_flipped_bit_is_noticed),
	WITH(older_files),
	WITH(links_are_not_followed),
	WITH(impossible_positions),
#ifdef CQ_FAULTS
	WITH(others_were_faster),
#endif
	WITH(each_skips_what_is_no_position),
	WITH(slot_that_counts_is_kept),
	WITH(names_that_are_not_its_own),
	WITH(counted_from_1_in_a_fresh_file),
};

SUPPORT_MAIN(tests)
