/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_skip.c - a writer of a replica leaves out numbers whose records do not exist any more
 *
 * Readers meet the gap as any other; a crash leaves the whole gap or none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define LENGTH 10U
#define BEFORE 40U   /* records, in two segments */
#define SEQ 1000U    /* the number behind the gap */
#define STREAM 5000U /* its position */

static void open_replica(struct qs *q)
{
	memset(q->config.replica_of, 7, sizeof q->config.replica_of);
	qs_open(q);
}

static void append(struct qs *q, unsigned count)
{
	char text[LENGTH + 1];

	for (unsigned i = 0; i < count; i++) {
		snprintf(text, sizeof text, "%010u", (unsigned)qs_stats(q->writer).next_seq);
		assert_int_equal(cq_writer_append(q->writer, 1, text, LENGTH, NULL), 0);
	}
}

static void next_is(struct qs *q, uint64_t seq, uint64_t stream)
{
	assert_int_equal(qs_stats(q->writer).next_seq, seq);
	assert_int_equal(qs_stats(q->writer).stream_end, stream);
}

static void no_damage(void *arg, const struct cq_finding *finding)
{
	if (finding->damage)
		fail_msg("%s", finding->text);
	if (arg && strstr(finding->text, " are missing before this segment"))
		snprintf(arg, 100, "%s", finding->text);
}

static void no_step(void *arg, const struct cq_repair_step *step)
{
	(void)arg;
	if (step->action != CQ_REPAIR_INDEX) /* a killed writer has not made all */
		fail_msg("%s: %s", step->file, step->text);
}

/* Nothing is wrong, and so many records are missing in so many places.  text: the last of the notes; NULL: it is not looked
 * at, and the files are not checked by the other program, which takes long to start. */
static void verified(struct qs *q, uint64_t gaps, uint64_t missing, const char *text)
{
	const struct cq_repair_config repair = { .size = sizeof repair, .step = no_step };
	struct cq_repair_result repaired = CQ_SIZED(repaired);
	struct cq_verify_result result = CQ_SIZED(result);
	char found[100] = "";

	assert_int_equal(cq_verify(q->dir, no_damage, found, &result), 0);
	assert_int_equal(result.damage, 0);
	assert_int_equal(result.gaps, gaps);
	assert_int_equal(result.gap_records, missing);
	if (text)
		assert_string_equal(found, text);
	if (q->writer)
		return;
	assert_int_equal(cq_repair(q->dir, &repair, &repaired), 0);
	assert_int_equal(repaired.losses, 0);
	if (text)
		qs_format_check(q->dir, "--closed");
}

static cq_reader *reader_at(struct qs *q, const char *name, enum cq_start start)
{
	cq_reader *reader;

	assert_int_equal(cq_reader_open(q->dir, name, start, 0, &reader), 0);
	return reader;
}

static void take(cq_reader *reader, uint64_t seq, uint64_t stream)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, seq);
	assert_int_equal(record.stream_offset, stream);
}

/* The gap, once. */
static void take_gap(cq_reader *reader, uint64_t missing)
{
	struct cq_reader_stats stats = CQ_SIZED(stats);
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), -ENODATA);
	assert_int_equal(cq_reader_stats(reader, &stats), 0);
	assert_int_equal(stats.gaps, 1);
	assert_int_equal(stats.gap_records, missing);
}

static void nothing(cq_reader *reader)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 0);
}

static void seek(struct qs *q, uint64_t seq, uint64_t found, uint64_t stream)
{
	cq_reader *reader = reader_at(q, NULL, CQ_START_OLDEST);

	assert_int_equal(cq_reader_seek_seq(reader, seq), 0);
	take(reader, found, stream);
	cq_reader_close(reader);
}

/* The stream of another process's handle, and the writer's own. */
static void streams_end(struct qs *q, cq_stream *stream, uint64_t end)
{
	uint64_t from, to, at;
	char byte;

	assert_int_equal(cq_stream_extent(stream, &from, &to), 0);
	assert_int_equal(to, end);
	(void)q;
	if (end <= STREAM)
		return;
	assert_int_equal(cq_stream_pread(stream, &byte, 1, BEFORE * LENGTH), -ENODATA);
	assert_int_equal(cq_stream_next_data(stream, BEFORE * LENGTH, &at), 0);
	assert_int_equal(at, STREAM);
	assert_int_equal(cq_stream_pread(stream, &byte, 1, STREAM), 1);
}

static void in_all_ways(struct qs *q)
{
	struct cq_queue_info info = CQ_SIZED(info);
	cq_stream *stream;
	uint64_t skip = 9;
	cq_reader *reader = reader_at(q, NULL, CQ_START_OLDEST);
	cq_queue *queue;

	for (unsigned i = 0; i < BEFORE; i++)
		take(reader, i, i * LENGTH);
	take_gap(reader, SEQ - BEFORE);
	for (unsigned i = 0; i < BEFORE; i++)
		take(reader, SEQ + i, STREAM + i * LENGTH);
	nothing(reader);
	assert_int_equal(cq_reader_seek_stream(reader, BEFORE * LENGTH, &skip), -ENODATA);
	take(reader, SEQ, STREAM);
	assert_int_equal(cq_reader_seek_stream(reader, STREAM + LENGTH + 3, &skip), 0);
	assert_int_equal(skip, 3);
	take(reader, SEQ + 1, STREAM + LENGTH);
	cq_reader_close(reader);
	seek(q, BEFORE - 1, BEFORE - 1, (BEFORE - 1) * LENGTH);
	seek(q, BEFORE, SEQ, STREAM);
	seek(q, SEQ - 1, SEQ, STREAM);
	seek(q, SEQ, SEQ, STREAM);
	seek(q, SEQ + BEFORE - 1, SEQ + BEFORE - 1, STREAM + (BEFORE - 1) * LENGTH);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_queue_info(queue, &info), 0);
	assert_true(info.have_bounds);
	assert_int_equal(info.first_seq, 0);
	assert_int_equal(info.next_seq, SEQ + BEFORE);
	assert_int_equal(info.stream_end, STREAM + BEFORE * LENGTH);
	assert_int_equal(cq_stream_open(queue, &stream), 0);
	streams_end(q, stream, STREAM + BEFORE * LENGTH);
	cq_stream_close(stream);
	cq_queue_close(queue);
}

static void records(void **state)
{
	struct qs *q = *state;
	cq_stream *stream, *own;
	cq_queue *queue;

	open_replica(q);
	append(q, BEFORE);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_stream_open(queue, &stream), 0);
	assert_int_equal(cq_stream_open(cq_writer_queue(q->writer), &own), 0);
	streams_end(q, stream, BEFORE * LENGTH);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	next_is(q, SEQ, STREAM);
	assert_int_equal(qs_stats(q->writer).records, BEFORE);
	verified(q, 1, SEQ - BEFORE, "records 40 to 999 are missing before this segment: 960");
	assert_int_equal(cq_writer_sync(q->writer), 0);
	assert_int_equal(qs_stats(q->writer).durable_seq, SEQ);
	append(q, BEFORE);
	streams_end(q, stream, STREAM + BEFORE * LENGTH);
	streams_end(q, own, STREAM + BEFORE * LENGTH);
	in_all_ways(q);
	cq_stream_close(own);
	cq_stream_close(stream);
	cq_queue_close(queue);
	qs_close(q);
	verified(q, 1, SEQ - BEFORE, "records 40 to 999 are missing before this segment: 960");
	in_all_ways(q);
	open_replica(q);
	next_is(q, SEQ + BEFORE, STREAM + BEFORE * LENGTH);
	qs_close(q);
}

/* The position in the stream is not known: it goes on. */
static void stream_unknown(void **state)
{
	struct qs *q = *state;

	open_replica(q);
	append(q, 3);
	assert_int_equal(cq_writer_skip(q->writer, 9, 0), 0);
	next_is(q, 9, 3 * LENGTH);
	append(q, 1);
	qs_close(q);
	verified(q, 1, 6, "records 3 to 8 are missing before this segment: 6");
	seek(q, 9, 9, 3 * LENGTH);
}

/* No record has come behind the gap: the queue goes on there all the same, without the small files, too. */
static void empty_behind(void **state)
{
	static const char *const files[] = { "durable.meta", "control.meta", "index.meta" };
	struct qs *q = *state;
	cq_reader *reader;

	open_replica(q);
	append(q, BEFORE);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	qs_close(q);
	verified(q, 1, SEQ - BEFORE, "records 40 to 999 are missing before this segment: 960");
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		assert_int_equal(unlinkat(q->dirfd, files[i], 0), 0);
		open_replica(q);
		next_is(q, SEQ, STREAM);
		qs_close(q);
		verified(q, 1, SEQ - BEFORE, NULL);
	}
	reader = reader_at(q, NULL, CQ_START_LATEST);
	open_replica(q);
	append(q, BEFORE);
	take(reader, SEQ, STREAM); /* it began behind the gap */
	cq_reader_close(reader);
	qs_close(q);
	in_all_ways(q);
}

/* One gap after another, at an empty segment, at the very beginning; readers get one of them. */
static void again(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	open_replica(q);
	assert_int_equal(cq_writer_skip(q->writer, 5, 50), 0);
	append(q, 31); /* a full segment */
	assert_int_equal(cq_writer_roll(q->writer), 0);
	assert_int_equal(cq_writer_skip(q->writer, 100, 1000), 0);
	assert_int_equal(cq_writer_skip(q->writer, 100, 1000), 0);
	assert_int_equal(cq_writer_skip(q->writer, 100, 0), 0);
	assert_int_equal(cq_writer_skip(q->writer, 200, 2000), 0);
	append(q, 1);
	qs_close(q);
	verified(q, 3, 5 + 64 + 100, "records 100 to 199 are missing before this segment: 100");
	reader = reader_at(q, NULL, CQ_START_OLDEST);
	assert_int_equal(cq_reader_seek_seq(reader, 35), 0);
	take(reader, 35, 350);
	take_gap(reader, 164);
	take(reader, 200, 2000);
	cq_reader_close(reader);
	/* the first one stays in its segment */
	open_replica(q);
	assert_int_equal(cq_writer_trim(q->writer, 36, 2), 2);
	qs_close(q);
	verified(q, 2, 164, "records 100 to 199 are missing before this segment: 100");
	seek(q, 0, 200, 2000);
}

/* A reader that waits at the end is not told of the gap before there is a record; one that begins at
 * a place that it had committed there learns of the gap, too. */
static void readers(void **state)
{
	struct cq_reader_info info = CQ_SIZED(info);
	struct qs *q = *state;
	cq_reader *reader, *named;

	open_replica(q);
	append(q, 31);
	named = reader_at(q, "a", CQ_START_LATEST);
	reader = reader_at(q, NULL, CQ_START_OLDEST);
	for (unsigned i = 0; i < 31; i++)
		take(reader, i, i * LENGTH);
	cq_reader_close(named);
	assert_int_equal(cq_reader_wait(reader, 0), 0);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	assert_int_equal(cq_reader_wait(reader, 0), 0);
	nothing(reader);
	append(q, 2);
	assert_int_equal(cq_reader_wait(reader, 0), 1);
	take_gap(reader, SEQ - 31);
	assert_int_equal(cq_queue_reader(cq_writer_queue(q->writer), "a", &info), 0);
	assert_true(info.missing);
	assert_int_equal(info.seq, SEQ);
	assert_int_equal(info.lag_records, 2);
	named = reader_at(q, "a", CQ_START_RESUME);
	take_gap(named, SEQ - 31);
	take(named, SEQ, STREAM);
	/* of records that are missing: the place is before the next one */
	assert_int_equal(cq_reader_commit_seq(named, SEQ - 1), 0);
	cq_reader_close(named);
	named = reader_at(q, "a", CQ_START_RESUME);
	take(named, SEQ, STREAM);
	cq_reader_close(named);
	cq_reader_close(reader);
}

/* Also one that has taken no record: it waits in the segment that becomes the placeholder. */
static void reader_at_an_empty_end(void **state)
{
	struct qs *q = *state;
	cq_reader *there, *before;

	open_replica(q);
	append(q, 31);
	before = reader_at(q, NULL, CQ_START_LATEST);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	nothing(before); /* it moves into the new segment */
	there = reader_at(q, NULL, CQ_START_LATEST);
	nothing(there);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	nothing(there);
	append(q, 1);
	take_gap(there, SEQ - 31);
	take(there, SEQ, STREAM);
	take_gap(before, SEQ - 31);
	take(before, SEQ, STREAM);
	cq_reader_close(there);
	cq_reader_close(before);
}

/* A batch ends at the gap. */
static void batches(void **state)
{
	struct cq_record some[9];
	struct qs *q = *state;
	cq_reader *reader;

	open_replica(q);
	append(q, 3);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	append(q, 3);
	reader = reader_at(q, NULL, CQ_START_OLDEST);
	assert_int_equal(cq_reader_next_batch(reader, some, 9, 0), 3);
	assert_int_equal(cq_reader_next_batch(reader, some, 9, 0), -ENODATA);
	assert_int_equal(cq_reader_next_batch(reader, some, 9, 0), 3);
	assert_int_equal(some[0].seq, SEQ);
	cq_reader_close(reader);
}

static void refused(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	assert_int_equal(cq_writer_skip(q->writer, 10, 0), -ENOLINK);
	qs_close(q);
	qs_anew(q);
	open_replica(q);
	append(q, 3);
	assert_int_equal(cq_writer_skip(q->writer, 2, 0), -ERANGE);
	assert_int_equal(cq_writer_skip(q->writer, 9, 3 * LENGTH - 1), -ERANGE);
	assert_int_equal(cq_writer_skip(q->writer, 3, 3 * LENGTH + 1), -ERANGE);
	assert_int_equal(cq_writer_skip(q->writer, 1ULL << 62, 0), -EOVERFLOW);
	assert_int_equal(cq_writer_skip(q->writer, 9, (1ULL << 62) + 1), -EOVERFLOW);
	assert_int_equal(cq_writer_skip(q->writer, 3, 3 * LENGTH), 0);
	next_is(q, 3, 3 * LENGTH);
	assert_int_equal(qs_stats(q->writer).segment, 0);
	assert_int_equal(cq_writer_skip(q->writer, (1ULL << 62) - 1, 1ULL << 62), 0);
	assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, NULL), -EOVERFLOW);
	assert_int_equal(cq_writer_append(q->writer, 1, NULL, 0, NULL), 0);
	qs_close(q);
	verified(q, 1, (1ULL << 62) - 4, NULL);
}

/* Without room nothing is left out; later it is. */
static void no_room(void **state)
{
	struct qs *q = *state;

	q->config.max_bytes = 2ULL * QS_SIZE;
	open_replica(q);
	append(q, 3);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), -EDQUOT);
	next_is(q, 3, 3 * LENGTH);
	append(q, 1);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), -EDQUOT);
	qs_close(q);
	verified(q, 0, 0, NULL);
	q->config.max_bytes = 0;
	open_replica(q);
	next_is(q, 4, 4 * LENGTH);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	append(q, 1);
	qs_close(q);
	verified(q, 1, SEQ - 4, NULL);
}

/* It takes no blocks, and its time is that of the record before it. */
static void costs_nothing(void **state)
{
	char name[] = "000000001.q";
	struct qs *q = *state;
	struct stat st;

	q->config.segment_size = 1 << 20;
	open_replica(q);
	assert_int_equal(cq_writer_append_at(q->writer, 1, 7777000000000, "x", 1, NULL), 0);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	append(q, 1);
	qs_close(q);
	assert_int_equal(fstatat(q->dirfd, name, &st, 0), 0);
	assert_int_equal(st.st_size, 1 << 20);
	assert_in_range(st.st_blocks, 0, 64);
	assert_int_equal(qs_mtime_ns(q->dir, name), 7777000000000);
	verified(q, 1, SEQ - 1, NULL);
	q->config.segment_size = QS_SIZE;
}

/* With CQ_SYNC_ALWAYS it is durable when the call returns. */
static void at_once(void **state)
{
	struct qs *q = *state;

	q->config.sync = CQ_SYNC_ALWAYS;
	open_replica(q);
	append(q, 3);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	qs_expect_watermark(q, 2, 64, SEQ);
	qs_close(q);
}

/* The placeholder is durable alone: nothing says yet that the numbers behind it are. */
static void placeholder_synced(void **state)
{
	struct qs *q = *state;

	open_replica(q);
	append(q, 3);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	for (struct cq_wsegment *s = q->writer->flush.unsynced; s; s = s->next)
		s->sealed_ms = 0;
	assert_int_equal(cq_flush_sealed(q->writer), 1);
	qs_expect_watermark(q, 1, 64, 3);
	assert_int_equal(qs_stats(q->writer).durable_seq, 3);
	verified(q, 1, SEQ - 3, NULL);
	qs_close(q);
	assert_int_equal(qs_watermark(q->dirfd).segment, 2);
	assert_int_equal(qs_watermark(q->dirfd).seq, SEQ);
	verified(q, 1, SEQ - 3, NULL);
}

/* An ordinary queue has no more gaps; those that there are stay. */
static void promoted(void **state)
{
	struct qs *q = *state;

	open_replica(q);
	append(q, 3);
	assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
	qs_close(q);
	assert_int_equal(cq_promote(q->dir, NULL), 0);
	memset(q->config.replica_of, 0, sizeof q->config.replica_of);
	qs_open(q);
	next_is(q, SEQ, STREAM);
	assert_int_equal(cq_writer_skip(q->writer, SEQ + 5, 0), -ENOLINK);
	append(q, 3);
	qs_close(q);
	verified(q, 1, SEQ - 3, NULL);
}

#ifdef CQ_FAULTS
/* ---- killed on the way ---- */

static unsigned before;   /* records; without one the current segment is empty */
static unsigned left;     /* places that the skip passes */
static bool close_before; /* the queue is closed, and opened again */

static void die(const char *name)
{
	(void)name;
	if (left-- == 0)
		kill(getpid(), SIGKILL);
}

static void die_in_skip(struct qs *q)
{
	open_replica(q);
	append(q, before);
	if (close_before) {
		qs_close(q);
		open_replica(q);
	}
	cq_point_heard = die;
	CHILD(cq_writer_skip(q->writer, SEQ, STREAM) == 0);
	_exit(0);
}

/* Opened again, the queue has the gap or not; another try leaves it. */
static void expect_gap(struct qs *q, unsigned *without, unsigned *with)
{
	open_replica(q);
	if (qs_stats(q->writer).next_seq == before) {
		next_is(q, before, before * LENGTH);
		assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
		++*without;
	} else {
		++*with;
	}
	next_is(q, SEQ, STREAM);
	append(q, 2);
	qs_close(q);
	verified(q, 1, SEQ - before, NULL);
	seek(q, SEQ + 1, SEQ + 1, STREAM + LENGTH);
}

static void killed_everywhere(struct qs *q)
{
	unsigned without = 0, with = 0;

	for (unsigned n = 0;; n++) {
		int status;

		qs_anew(q);
		left = n;
		status = qs_child(die_in_skip, q);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			break;
		}
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		expect_gap(q, &without, &with);
	}
	assert_true(without > 5 && with > 2);
}

/* Killed anywhere, it leaves the gap or not. */
static void killed(void **state)
{
	struct qs *q = *state;

	before = 3;
	killed_everywhere(q);
	before = 31;
	killed_everywhere(q);
	before = 0;
	killed_everywhere(q);
	close_before = true;
	before = 3;
	killed_everywhere(q);
	close_before = false;
}

/* A call fails: nothing is left out, and another try does it. */
static void calls_fail(void **state)
{
	static const char *const calls[] = { "create_new", "allocate", "map", "rename_noreplace",
		                             "populate",   "stat_at",  "open" };
	struct qs *q = *state;
	unsigned failed = 0;

	before = 3;
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		bool given = true;

		for (int skip = 0; given; skip++) {
			int r;

			qs_anew(q);
			open_replica(q);
			append(q, before);
			cq_fault_forget();
			cq_fault_set(calls[i], ENOMEM, skip, 1);
			r = cq_writer_skip(q->writer, SEQ, STREAM);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			assert_true(r == 0 || (given && r == -ENOMEM));
			failed += r < 0;
			if (r < 0) {
				next_is(q, before, before * LENGTH);
				assert_int_equal(cq_writer_skip(q->writer, SEQ, STREAM), 0);
			}
			append(q, 1);
			qs_close(q);
			verified(q, 1, SEQ - before, NULL);
		}
	}
	assert_true(failed > 3);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(records),
	QS_TEST(stream_unknown),
	QS_TEST(empty_behind),
	QS_TEST(again),
	QS_TEST(readers),
	QS_TEST(reader_at_an_empty_end),
	QS_TEST(batches),
	QS_TEST(refused),
	QS_TEST(no_room),
	QS_TEST(costs_nothing),
	QS_TEST(at_once),
	QS_TEST(placeholder_synced),
	QS_TEST(promoted),
#ifdef CQ_FAULTS
	QS_TEST(killed),
	QS_TEST(calls_fail),
#endif
};

QS_MAIN(tests)
