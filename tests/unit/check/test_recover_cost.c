/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_recover_cost.c - what recovery reads are the records of the segment in use: not the queue, and
 * not the unused rest of that segment
 *
 * The first test lets the kernel count the system calls that read, and their bytes (/proc/self/io).
 * The others count pread() and lseek() themselves: the kernel does not count the latter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "queue_support.h"
#include "write/writer.h"

#define PER_SEGMENT 31

struct reads {
	uint64_t calls, bytes;
};

/* False: this kernel does not count. */
static bool count_reads(struct reads *ret_reads)
{
	FILE *file = fopen("/proc/self/io", "re");
	int found;

	if (!file)
		return false;
	found = fscanf(file, "rchar: %" SCNu64 " wchar: %*u syscr: %" SCNu64, &ret_reads->bytes,
	               &ret_reads->calls);
	fclose(file);
	return found == 2;
}

static unsigned to_append;

static void write_flush_and_die(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, to_append);
	qs_flush(q->writer);
	CHILD(cq_writer_sync(q->writer) == 0);
	qs_append(q->writer, to_append, 5);
	kill(getpid(), SIGKILL);
}

/* What it takes to open a queue of so many full segments and one that was in use. */
static struct reads open_after_kill(struct qs *q, unsigned segments)
{
	struct reads before, after;

	qs_anew(q);
	to_append = segments * PER_SEGMENT;
	qs_run_killed(write_flush_and_die, q);
	assert_true(count_reads(&before));
	qs_open(q);
	assert_true(count_reads(&after));
	assert_int_equal(qs_stats(q->writer).next_seq, to_append + 5);
	qs_close(q);
	qs_expect(q->dir, 0, to_append + 5);
	return (struct reads){ after.calls - before.calls, after.bytes - before.bytes };
}

static void three_segments_or_three_hundred(void **state)
{
	struct qs *q = *state;
	struct reads few, many;

	if (!count_reads(&few))
		NOT_HERE("this kernel does not count reads");
	few = open_after_kill(q, 3);
	many = open_after_kill(q, 300);
	print_message("# reads of 3 segments: %" PRIu64 ", %" PRIu64 " bytes; of 300: %" PRIu64
	              ", %" PRIu64 " bytes\n",
	              few.calls, few.bytes, many.calls, many.bytes);
	assert_int_equal(many.calls, few.calls);
	/* texts differ: process ids, numbers */
	assert_true(many.bytes < few.bytes + 100);
	assert_true(many.bytes < 8 * (uint64_t)QS_SIZE);
}

/* ---- the unused rest of a segment ---- */

#define MIB ((uint64_t)1 << 20)

static struct {
	unsigned preads, lseeks;
	uint64_t bytes;
} counted;

ssize_t __real_pread64(int fd, void *to, size_t length, off_t offset);
ssize_t __wrap_pread64(int fd, void *to, size_t length, off_t offset);
off_t __real_lseek64(int fd, off_t offset, int whence);
off_t __wrap_lseek64(int fd, off_t offset, int whence);

ssize_t __wrap_pread64(int fd, void *to, size_t length, off_t offset)
{
	counted.preads++;
	counted.bytes += length;
	return __real_pread64(fd, to, length, offset);
}

off_t __wrap_lseek64(int fd, off_t offset, int whence)
{
	counted.lseeks++;
	return __real_lseek64(fd, offset, whence);
}

static void one_record(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 1);
	qs_prepare(q->writer);
	qs_flush(q->writer);
	CHILD(cq_writer_close(q->writer) == 0);
	_exit(0);
}

static void some_and_die(struct qs *q)
{
	static const char large[100000] = "begins";

	qs_open(q);
	qs_prepare(q->writer);
	qs_append(q->writer, 0, 100);
	for (unsigned i = 0; i < 5; i++)
		CHILD(cq_writer_append(q->writer, 1, large, sizeof large - i, NULL) == 0);
	qs_prepare(q->writer);
	kill(getpid(), SIGKILL);
}

/* Leaves what is no record in the middle of the unused rest. */
static void torn_far_behind(struct qs *q)
{
	int fd;

	qs_open(q);
	qs_append(q->writer, 0, 100);
	qs_prepare(q->writer);
	fd = openat(q->dirfd, "000000000.q", O_WRONLY | O_CLOEXEC);
	CHILD(pwrite(fd, "x", 1, (off_t)(q->config.segment_size / 2 + 12345)) == 1);
	close(fd);
	kill(getpid(), SIGKILL);
}

static const struct {
	const char *what;
	void (*write)(struct qs *q);
	bool killed;
	unsigned records;
} beginnings[] = {
	{ "closed with one record", one_record, false, 1 },
	{ "killed in the middle", some_and_die, true, 105 },
	{ "killed, with damage in the middle", torn_far_behind, true, 100 },
};

/* What the calls of an open and of a verification may cost, whatever the size. */
#define CALLS_MOST 120U
#define BYTES_MOST (32 * MIB)

static void expect_few(const char *what, const char *who, uint64_t size)
{
	const unsigned calls = counted.preads + counted.lseeks;

	print_message("# %s: %s at %" PRIu64 " MiB: %u preads of %" PRIu64 " KiB, %u lseeks\n",
	              what, who, size / MIB, counted.preads, counted.bytes >> 10, counted.lseeks);
	assert_in_range(calls, 1, CALLS_MOST);
	assert_in_range(counted.bytes, 1, BYTES_MOST);
	memset(&counted, 0, sizeof counted);
}

/* A backup reads each file to its end. */
static void copy_away(struct qs *q)
{
	static const char *const names[] = { "000000000.q", "000000001.q" };
	static char bytes[MIB];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		int fd = openat(q->dirfd, names[i], O_RDONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		while (read(fd, bytes, sizeof bytes) > 0)
			;
		close(fd);
	}
}

static void count_opens(struct qs *q, size_t which, uint64_t size)
{
	struct cq_verify_result result = CQ_SIZED(result);

	q->config.segment_size = size;
	qs_anew(q);
	(beginnings[which].killed ? qs_run_killed : qs_run)(beginnings[which].write, q);
	/* the second one meets what the first has left in the page cache, the last one all of it */
	for (unsigned i = 0; i < 4; i++) {
		if (i == 3 && size <= 128 * MIB)
			copy_away(q);
		memset(&counted, 0, sizeof counted);
		qs_open(q);
		expect_few(beginnings[which].what, i == 0 ? "open" : "open again", size);
		assert_int_equal(qs_stats(q->writer).next_seq, beginnings[which].records);
		qs_prepare(q->writer);
		qs_close(q);
	}
	if (size <= 128 * MIB)
		copy_away(q);
	memset(&counted, 0, sizeof counted);
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	expect_few(beginnings[which].what, "verify", size);
}

/* Segments of these sizes, in files that have all their blocks, in this directory. */
static void of_sizes(struct qs *q, const char *dir, const uint64_t *sizes, size_t count)
{
	struct statvfs fs;

	assert_int_equal(statvfs(dir, &fs), 0);
	/* the one in use, its spare, and one being made */
	if (fs.f_bavail * fs.f_frsize < 3 * sizes[count - 1])
		NOT_HERE("no room");
	for (size_t which = 0; which < sizeof beginnings / sizeof beginnings[0]; which++)
		for (size_t i = 0; i < count; i++)
			count_opens(q, which, sizes[i]);
}

static bool is_in_memory(const char *dir)
{
	struct statfs fs;

	return statfs(dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

static const uint64_t in_memory[] = { 16 * MIB, 256 * MIB };

static void an_open_costs_the_same_whatever_the_size(void **state)
{
	static const uint64_t on_disk[] = { 128 * MIB, 2048 * MIB };
	struct qs *q = *state;

	of_sizes(q, q->dir, is_in_memory(q->dir) ? in_memory : on_disk, 2);
}

/* SEEK_DATA gives other answers for the same files there. */
static void in_memory_too(void **state)
{
	char template[] = "/dev/shm/chronq-cost-XXXXXX";
	struct qs *q = *state;

	if (!is_in_memory("/dev/shm") || !mkdtemp(template))
		NOT_HERE("no tmpfs at /dev/shm");
	support_remove(q->base);
	strcpy(q->base, template);
	support_path(q->dir, q->base, "q");
	assert_int_equal(mkdir(q->dir, 0750), 0);
	of_sizes(q, q->base, in_memory, 2);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(three_segments_or_three_hundred),
	QS_TEST(an_open_costs_the_same_whatever_the_size),
	QS_TEST(in_memory_too),
};

QS_MAIN(tests)
