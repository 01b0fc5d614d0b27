/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stale.c - streams and readers of which the knowledge about the queue is out of date, or cannot be
 * had: segments that are deleted between two looks, files that contradict everything else
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronq.h"
#include "format/format.h"
#include "format/record.h"
#include "os/fault.h"
#include "places.h"
#include "stream_support.h"
#include "support.h"

#define RECORD(i) (64 + 1088ULL * (i))

static void path_of(char path[PATH_SIZE], struct stream_fixture *f, const char *name)
{
	support_path(path, f->dir, name);
}

static void drop(struct stream_fixture *f, const char *name)
{
	char path[PATH_SIZE];

	path_of(path, f, name);
	assert_int_equal(unlink(path), 0);
}

static void cut(struct stream_fixture *f, const char *name, off_t size)
{
	char path[PATH_SIZE];

	path_of(path, f, name);
	assert_int_equal(truncate(path, size), 0);
}

static cq_reader *open_reader(struct stream_fixture *f)
{
	cq_reader *reader;

	assert_int_equal(cq_reader_open(f->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	return reader;
}

static void expect_record(cq_reader *reader, unsigned number)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.length, EACH);
	assert_true(stream_right(record.payload, EACH, (uint64_t)number * EACH));
}

static void expect_next(cq_reader *reader, int result)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), result);
}

/* ---- files that contradict everything else ---- */

/* Without control.meta, and with one file whose header never reached the disk, nothing tells the segment
 * size.  A reader waits at the file if its size is possible; else it is no segment. */
static void sizes_that_nothing_tells(void **state)
{
	static const struct {
		off_t size;
		int result;
	} files[] = {
		{ 4096, 0 },    { 64, -EBADMSG },        { 4100, -EBADMSG },
		{ 1 << 20, 0 }, { 5LL << 30, -EBADMSG },
	};
	struct stream_fixture *f = *state;
	uint64_t begin, end;
	cq_reader *reader;
	char path[PATH_SIZE];
	int fd;

	path_of(path, f, "000000000.q");
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, files[i].size), 0);
		close(fd);
		reader = open_reader(f);
		expect_next(reader, files[i].result);
		cq_reader_close(reader);
		stream_open(f->dir, &f->view);
		assert_int_equal(cq_stream_extent(f->view.stream, &begin, &end), 0);
		assert_int_equal(end, 0);
		stream_close(&f->view);
	}
}

/* The newest segment tells whether a queue is too new: a file that only has its name does not. */
static void version_of_what_is_no_segment(void **state)
{
	struct stream_fixture *f = *state;
	char path[PATH_SIZE];
	cq_queue *queue;

	places_make(f);
	assert_int_equal(cq_queue_open(f->dir, &queue), 0);
#ifdef CQ_FAULTS
	/* nor are there no readers when readers/ cannot be listed */
	path_of(path, f, "readers");
	assert_int_equal(mkdir(path, 0700), 0);
	cq_fault_set("list", EMFILE, 0, 1);
	assert_int_equal(cq_queue_readers(queue, NULL, NULL), -EMFILE);
	cq_fault_set(NULL, 0, 0, 0);
#endif
	path_of(path, f, "000000009.q");
	assert_int_equal(symlink("000000000.q", path), 0);
	assert_int_equal(cq_queue_check_version(queue), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(cq_queue_check_version(queue), 0);
#ifdef CQ_FAULTS
	cq_fault_set("open", ENOENT, 0, 1); /* it has just been deleted */
	assert_int_equal(cq_queue_check_version(queue), 0);
	cq_fault_set("open", EACCES, 0, 1);
	assert_int_equal(cq_queue_check_version(queue), -EACCES);
	cq_fault_set("list", EMFILE, 0, 1);
	assert_int_equal(cq_queue_check_version(queue), -EMFILE);
	assert_int_equal(unlink(path), 0);
	cq_fault_set("pread", EIO, 0, 1);
	assert_int_equal(cq_queue_check_version(queue), -EIO);
	cq_fault_set(NULL, 0, 0, 0);
#else
	assert_int_equal(unlink(path), 0);
#endif
	cq_queue_close(queue);
}

/* A segment of chronicle-rs's is cut short behind its header: its bytes are an error, and those of the
 * others stay where they were. */
static void cut_short_and_untold(void **state)
{
	struct mixture m = { .kinds = { OURS, THEIRS, OURS, OURS, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;
	uint64_t at;

	places_make(f);
	places_put(f, &m);
	cut(f, "000000001.q", 2048);
	stream_open(f->dir, &f->view);
	stream_expect_extent(f->view.stream, 0, 4 * PER);
	stream_expect_error(f->view.stream, PER, 2 * PER, EIO);
	stream_expect(f->view.stream, NULL, 0, PER, PER);
	stream_expect(f->view.stream, NULL, 2 * PER, 4 * PER, PER);
	assert_int_equal(cq_stream_next_data(f->view.stream, PER, &at), 0);
	assert_int_equal(at, PER);
	/* the first one, of which nothing tells how much it held: one byte takes its place */
	m.kinds[0] = THEIRS;
	m.kinds[1] = OURS;
	places_put(f, &m);
	cut(f, "000000000.q", 2048);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, PER - 1, 4 * PER);
	stream_expect_error(f->view.stream, PER - 1, PER, EIO);
	stream_expect(f->view.stream, NULL, PER, 4 * PER, PER);
}

/* Wrong sums in a summary: more bytes than there are, which only a read finds out; more than fit beside
 * the headers of the records, or into the file, which the header alone shows. */
static void summaries_of_too_much(void **state)
{
	static const uint64_t lies[] = { PER + 40, PER + 300, 8000 };
	struct mixture m = { .kinds = { OURS, OURS, OURS, OURS, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;
	struct cq_segment_header h;
	uint8_t bytes[PER];
	ssize_t n;

	places_make(f);
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		places_put(f, &m);
		support_peek(f->dir, "000000001.q", 0, &h, sizeof h);
		h.payload_bytes = lies[i];
		h.records -= i == 0;
		h.used = i < 2 ? h.used : lies[i] + 64;
		h.ext_crc = cq_segment_ext_crc(&h);
		support_poke(f->dir, "000000001.q", 0, &h, sizeof h);
		stream_reopen(f);
		stream_expect_extent(f->view.stream, 0, 4 * PER);
		/* a byte that it claims too much is the next segment's: that byte, or an error */
		n = cq_stream_pread(f->view.stream, bytes, 1, 2 * PER + 10);
		assert_true(n == -EIO || (n == 1 && stream_right(bytes, 1, 2 * PER + 10)));
		for (uint32_t id = 0; id < 4; id++)
			if (id != 2) {
				assert_int_equal(
					cq_stream_segment_pread(f->view.stream, id, bytes, PER, 0),
					PER);
				assert_true(stream_right(bytes, PER, (uint64_t)id * PER));
			}
		drop(f, "000000002.q");
		stream_reopen(f);
		assert_int_equal(cq_stream_pread(f->view.stream, bytes, 1, 2 * PER + 10),
		                 i == 0 ? -EIO : -ENODATA);
	}
}

/* If a segment's header does not tell where it begins, its first record does, if that is sound and holds
 * bytes. */
static void first_records_that_do_not_tell(void **state)
{
	static const uint8_t none[48];
	struct mixture m = { .kinds = { THEIRS, THEIRS, OURS, MISSING, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;
	struct cq_record_header h;

	places_make(f);
	for (int i = 0; i < 3; i++) {
		places_put(f, &m);
		support_poke(f->dir, "000000002.q", offsetof(struct cq_segment_header, ext), none,
		             sizeof none);
		support_peek(f->dir, "000000002.q", RECORD(0), &h, sizeof h);
		h.stream_offset = 50 * PER; /* so that the test sees whether this was believed */
		if (i == 1)
			h.type = CQ_TYPE_PAD;
		h.header_crc = cq_record_header_crc(&h, h.commit) + (i == 2);
		support_poke(f->dir, "000000002.q", RECORD(0), &h, sizeof h);
		stream_reopen(f);
		if (i == 0)
			stream_expect_extent(f->view.stream, 48 * PER, 51 * PER);
		else if (i == 1) /* the second record tells, as if the first had no byte */
			stream_expect_extent(f->view.stream, EACH, 3 * PER);
		else
			stream_expect(f->view.stream, NULL, 0, 2 * PER, PER);
	}
}

/* ---- segments that are deleted between two looks ---- */

/* Holes and data are found by the catalogue, in which the deleted segments still are: each is found
 * out. */
static void deleted_and_still_listed(void **state)
{
	struct mixture m = { .kinds = { OURS, OURS, OURS, MISSING, OURS, OURS, MISSING, OURS } };
	struct stream_fixture *f = *state;
	uint64_t at;

	places_make(f);
	/* the last one before a hole: the hole begins earlier */
	places_put(f, &m);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, 8 * PER);
	drop(f, "000000002.q");
	assert_int_equal(cq_stream_next_hole(f->view.stream, 10, &at), 0);
	assert_int_equal(at, 2 * PER);
	/* all between two holes: one hole, and data behind it */
	places_put(f, &m);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, 8 * PER);
	drop(f, "000000004.q");
	drop(f, "000000005.q");
	assert_int_equal(cq_stream_next_hole(f->view.stream, 10, &at), 0);
	assert_int_equal(at, 3 * PER);
	assert_int_equal(cq_stream_next_data(f->view.stream, 3 * PER + 1, &at), 0);
	assert_int_equal(at, 7 * PER);
	/* the last of all, too: nothing follows */
	drop(f, "000000007.q");
	assert_int_equal(cq_stream_next_data(f->view.stream, 3 * PER + 1, &at), 0);
	assert_int_equal(at, 8 * PER);
	stream_expect(f->view.stream, NULL, 0, 3 * PER, PER);
}

/* The only segment becomes readable, and no name changes: the stream notices. */
static void readable_again(void **state)
{
	static const struct timespec old[2] = { { .tv_sec = 1000000000 },
		                                { .tv_sec = 1000000000 } };
	struct mixture one = { .kinds = { OURS, MISSING, MISSING, MISSING, MISSING, MISSING,
		                          MISSING, MISSING } };
	struct stream_fixture *f = *state;

	places_make(f);
	places_put(f, &one);
	cut(f, "000000000.q", 100);
	assert_int_equal(utimensat(AT_FDCWD, f->dir, old, 0), 0);
	stream_open(f->dir, &f->view);
	for (int i = 0; i < 3; i++)
		stream_expect_extent(f->view.stream, 0, 0);
	places_put(f, &one);
	assert_int_equal(utimensat(AT_FDCWD, f->dir, old, 0), 0);
	stream_expect_extent(f->view.stream, 0, PER);
	stream_expect(f->view.stream, NULL, 0, PER, PER);
}

/* Behind a gap comes a segment that has a record and does not tell where it begins: it begins as if
 * nothing were missing. */
static void untold_behind_a_gap(void **state)
{
	struct mixture m = { .kinds = { OURS, BEGUN, MISSING, MISSING, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;

	places_make(f);
	places_put(f, &m);
	stream_open(f->dir, &f->view);
	stream_expect_extent(f->view.stream, 0, PER + EACH);
	m.kinds[1] = OURS;
	m.kinds[3] = THEIRS;
	places_put(f, &m);
	stream_expect_extent(f->view.stream, 0, 3 * PER);
	assert_int_equal(places_ask(f->view.stream, &m, &f->sequence, 40), 0);
}

/* ---- readers ---- */

/* The numbers of our records begin again behind a boundary: the reader gets all, and no gap is reported. */
static void numbers_begin_anew(void **state)
{
	struct mixture m = { .kinds = { MISSING, MISSING, OURS, MISSING, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;
	const uint32_t id = 3;
	struct cq_reader_stats stats = CQ_SIZED(stats);
	char bytes[4096], path[PATH_SIZE];
	cq_reader *reader;
	int fd;

	places_make(f);
	support_peek(f->dir, "000000001.q", 0, bytes, sizeof bytes);
	places_put(f, &m);
	path_of(path, f, "000000003.q");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	memcpy(bytes + offsetof(struct cq_segment_header, id), &id, sizeof id);
	assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), (ssize_t)sizeof bytes);
	close(fd);
	reader = open_reader(f);
	for (unsigned i = 6; i < 9; i++)
		expect_record(reader, i);
	for (unsigned i = 3; i < 6; i++)
		expect_record(reader, i);
	expect_next(reader, 0);
	cq_reader_stats(reader, &stats);
	assert_int_equal(stats.gaps, 0);
	assert_int_equal(stats.gap_records, 0);
	cq_reader_close(reader);
}

/* A segment has been left, and nothing is behind it: a skip does not move, until something comes. */
static void skips_when_there_is_something(void **state)
{
	struct mixture m = { .kinds = { OURS, OURS, MISSING, MISSING, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;
	cq_reader *reader;

	places_make(f);
	places_put(f, &m);
	reader = open_reader(f);
	for (unsigned i = 0; i < 4; i++)
		expect_record(reader, i);
	assert_int_equal(cq_reader_skip_segment(reader), 0);
	expect_record(reader, 4);
	m.kinds[2] = m.kinds[3] = OURS;
	places_put(f, &m);
#ifdef CQ_FAULTS
	cq_fault_set("list", EMFILE, 0, 1);
	cq_fault_add("stat_at", EMFILE, 0, 1);
	assert_int_equal(cq_reader_skip_segment(reader), -EMFILE);
	/* the next one is deleted when it is to be opened */
	cq_fault_set("open", ENOENT, 0, 1);
	assert_int_equal(cq_reader_skip_segment(reader), 1);
	cq_fault_set(NULL, 0, 0, 0);
	expect_record(reader, 9);
#else
	assert_int_equal(cq_reader_skip_segment(reader), 1);
	expect_record(reader, 6);
#endif
	cq_reader_close(reader);
}

/* The segment to which a named reader committed has been replaced by a file that is none. */
static void committed_to_what_is_no_segment(void **state)
{
	struct mixture m = { .kinds = { OURS, OURS, OURS, OURS, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;
	cq_reader *reader;

	places_make(f);
	places_put(f, &m);
	assert_int_equal(cq_reader_open(f->dir, "name", CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 4; i++)
		expect_record(reader, i);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	/* it was cut short when the reader was opened; then it is something else */
	cut(f, "000000001.q", 100);
	assert_int_equal(cq_reader_open(f->dir, "name", CQ_START_RESUME, 0, &reader), 0);
	expect_next(reader, -EIO);
	places_put(f, &m);
	support_poke(f->dir, "000000001.q", 0, "x", 1);
	expect_next(reader, -EBADMSG);
	cq_reader_close(reader);
	assert_int_equal(cq_reader_open(f->dir, "name", CQ_START_RESUME, 0, &reader), 0);
	expect_next(reader, -EBADMSG);
#ifdef CQ_FAULTS
	cq_fault_set("list", EMFILE, 0, 1);
	cq_fault_add("stat_at", EMFILE, 0, 1);
	expect_next(reader, -EMFILE);
	cq_fault_set(NULL, 0, 0, 0);
#endif
	expect_next(reader, -EBADMSG);
	assert_int_equal(cq_reader_skip_segment(reader), 1);
	expect_record(reader, 6);
	cq_reader_close(reader);
}

static const struct CMUnitTest tests[] = {
	STREAM_TEST(sizes_that_nothing_tells),
	STREAM_TEST(version_of_what_is_no_segment),
	STREAM_TEST(cut_short_and_untold),
	STREAM_TEST(summaries_of_too_much),
	STREAM_TEST(first_records_that_do_not_tell),
	STREAM_TEST(deleted_and_still_listed),
	STREAM_TEST(readable_again),
	STREAM_TEST(untold_behind_a_gap),
	STREAM_TEST(numbers_begin_anew),
	STREAM_TEST(skips_when_there_is_something),
	STREAM_TEST(committed_to_what_is_no_segment),
};

SUPPORT_MAIN(tests)
