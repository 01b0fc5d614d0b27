/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_recover_cost.c - what recovery reads is the segment in use, not the queue
 *
 * Counted by the kernel: system calls that read, and their bytes (/proc/self/io), while a queue is
 * opened whose writer was killed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "queue_support.h"
#include "writer.h"

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

static const struct CMUnitTest tests[] = {
	QS_TEST(three_segments_or_three_hundred),
};

QS_MAIN(tests)
