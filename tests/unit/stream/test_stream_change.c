/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stream_change.c - an open stream, while others delete, replace, damage and add the queue's
 * last segments
 */
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

#include "chronq-fs.h"
#include "chronq.h"
#include "format/format.h"
#include "format/record.h"
#include "os/fault.h"
#include "places.h"
#include "stream/stream.h"
#include "stream_support.h"
#include "support.h"

#define RECORD(i) (64 + 1088ULL * (i))

static struct mixture four = { .kinds = { OURS, OURS, OURS, OURS, MISSING, MISSING, MISSING,
	                                  MISSING } };

static void open_four(struct stream_fixture *f)
{
	places_make(f);
	places_put(f, &four);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, 4 * PER);
}

static void remove_file(struct stream_fixture *f, const char *name)
{
	char path[PATH_SIZE];

	support_path(path, f->dir, name);
	assert_int_equal(unlink(path), 0);
}

/* The last segment is deleted, then the one before it, and so on: the stream never shrinks, and continues
 * with what comes. */
static void last_ones_go(void **state)
{
	static const char *const names[] = { "000000003.q", "000000002.q", "000000001.q",
		                             "000000000.q" };
	struct stream_fixture *f = *state;
	struct mixture m = four;
	uint8_t byte;

	open_four(f);
	for (uint32_t i = 0; i < 4; i++) {
		remove_file(f, names[i]);
		stream_expect_extent(f->view.stream, i < 3 ? 0 : 4 * PER, 4 * PER);
		stream_expect_error(f->view.stream, (3 - i) * PER, 4 * PER, ENODATA);
		if (i < 3)
			stream_expect(f->view.stream, NULL, 0, (3 - i) * PER, PER);
	}
	/* looked at again, with nothing there */
	stream_expect_extent(f->view.stream, 4 * PER, 4 * PER);
	assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, 0), -ENODATA);
	for (uint32_t id = 0; id < SEGMENTS; id++)
		m.kinds[id] = id < 4 ? MISSING : OURS;
	places_put(f, &m);
	stream_expect_extent(f->view.stream, 4 * PER, 8 * PER);
	stream_expect(f->view.stream, NULL, 4 * PER, 8 * PER, PER);
}

static struct mixture ours_then_theirs[2] = {
	{ .kinds = { MISSING, MISSING, OURS, OURS, MISSING, MISSING, MISSING, MISSING } },
	{ .kinds = { MISSING, MISSING, THEIRS, THEIRS, MISSING, MISSING, MISSING, MISSING } },
};

/* Another queue with the same ids takes the place of this one while no stream is open: whatever the queue
 * handle has seen of the first one, a new stream is the second one's. */
static void queue_is_replaced(void **state)
{
	struct stream_fixture *f = *state;
	struct cq_segment_attr attr;
	uint8_t byte;

	places_make(f);
	for (int seen_by_stream = 0; seen_by_stream < 2; seen_by_stream++) {
		places_put(f, &ours_then_theirs[0]);
		stream_reopen(f);
		for (uint32_t id = 2; id < 4; id++) {
			assert_int_equal(cq_queue_segment_attr(f->view.queue, id, NULL, &attr), 0);
			assert_true(attr.have_content);
		}
		if (seen_by_stream)
			stream_expect(f->view.stream, NULL, 2 * PER, 4 * PER, PER);
		cq_stream_close(f->view.stream);
		places_put(f, &ours_then_theirs[1]);
		assert_int_equal(cq_stream_open(f->view.queue, &f->view.stream), 0);
		stream_expect_extent(f->view.stream, 0, 2 * PER);
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, PER), 1);
		assert_int_equal(byte, stream_byte(3 * PER));
	}
}

/* A copy takes the last segment's name (cp, then mv): the stream follows the copy, not the file that has
 * no name any more. */
static void last_one_is_replaced(void **state)
{
	struct mixture begun = { .kinds = { OURS, BEGUN, MISSING, MISSING, MISSING, MISSING,
		                            MISSING, MISSING } };
	char from[PATH_SIZE], to[PATH_SIZE];
	struct stream_fixture *f = *state;
	struct mixture two = begun;
	size_t size;
	char *whole;
	FILE *copy;

	two.kinds[1] = OURS;
	places_make(f);
	places_put(f, &two);
	support_path(to, f->dir, "000000001.q");
	support_path(from, f->dir, "copy");
	whole = support_slurp(to, &size);
	places_put(f, &begun);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, PER + EACH);
	copy = fopen(from, "w");
	assert_non_null(copy);
	assert_int_equal(fwrite(whole, 1, size, copy), size);
	assert_int_equal(fclose(copy), 0);
	free(whole);
	assert_int_equal(rename(from, to), 0);
	stream_expect_extent(f->view.stream, 0, 2 * PER);
	stream_expect(f->view.stream, NULL, 0, 2 * PER, PER);
}

/* A segment with one record that its writer left behind, its second one damaged. */
static void left_damaged(void **state)
{
	struct mixture begun = { .kinds = { OURS, BEGUN, MISSING, MISSING, MISSING, MISSING,
		                            MISSING, MISSING } };
	struct stream_fixture *f = *state;
	const uint32_t commit = 5000, sealed = CQ_SEALED;
	struct mixture m = begun;

	places_make(f);
	places_put(f, &begun);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, PER + EACH);
	m.kinds[2] = OURS;
	places_put(f, &m);
	/* sealed, without a summary, with a record that leads out of it */
	support_poke(f->dir, "000000001.q", RECORD(1), &commit, sizeof commit);
	support_poke(f->dir, "000000001.q", offsetof(struct cq_segment_header, flags), &sealed,
	             sizeof sealed);
	stream_expect_extent(f->view.stream, 0, 3 * PER);
	stream_expect_error(f->view.stream, PER + EACH, 2 * PER, EIO);
	stream_expect(f->view.stream, NULL, 2 * PER, 3 * PER, PER);
}

/* The stream does not go on to a prepared segment behind a gap: only its first record tells how much is
 * missing. */
static void prepared_behind_a_gap(void **state)
{
	struct mixture m = { .kinds = { OURS, OURS, MISSING, MISSING, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;
	struct cq_span span;
	char path[PATH_SIZE];

	places_make(f);
	places_put(f, &m);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, 2 * PER);
	m.kinds[4] = UNUSED;
	places_put(f, &m);
	stream_expect_extent(f->view.stream, 0, 2 * PER);
	assert_int_equal(cq_stream_segment(f->view.stream, 4, &span), 0);
	assert_int_equal(span.begin, 2 * PER);
	assert_int_equal(span.bytes, 0);
	/* a file of another size does not belong to this queue */
	support_path(path, f->dir, "000000004.q");
	assert_int_equal(truncate(path, 8192), 0);
	assert_int_equal(cq_stream_segment(f->view.stream, 4, &span), -EBADMSG);
	stream_expect_extent(f->view.stream, 0, 2 * PER);
	assert_int_equal(truncate(path, 4096), 0);
	m.kinds[4] = OURS;
	places_put(f, &m);
	stream_expect_extent(f->view.stream, 0, 5 * PER);
	stream_expect_error(f->view.stream, 2 * PER, 4 * PER, ENODATA);
	stream_expect(f->view.stream, NULL, 4 * PER, 5 * PER, PER);
}

/* A sealed segment is not followed record by record, unless its summary is impossible. */
static void lying_summary_of_the_last(void **state)
{
	static const struct {
		uint64_t used, records, payload_bytes;
	} lies[] = {
		{ 8192, 3, PER },
		{ 8192, 3, 8000 },
		{ 64, 0, 0 },
		{ RECORD(3) + 8, 3, PER },
	};
	struct mixture begun = { .kinds = { OURS, OURS, OURS, BEGUN, MISSING, MISSING, MISSING,
		                            MISSING } };
	struct stream_fixture *f = *state;
	struct cq_segment_header h;

	places_make(f);
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		places_put(f, &begun);
		stream_reopen(f);
		stream_expect_extent(f->view.stream, 0, 3 * PER + EACH);
		places_put(f, &four);
		support_peek(f->dir, "000000003.q", 0, &h, sizeof h);
		h.flags = CQ_SEALED;
		h.used = lies[i].used;
		h.records = lies[i].records;
		h.payload_bytes = lies[i].payload_bytes;
		h.ext_crc = cq_segment_ext_crc(&h);
		support_poke(f->dir, "000000003.q", 0, &h, sizeof h);
		stream_expect_extent(f->view.stream, 0, 4 * PER);
		assert_int_equal(cq_stream_next_data(f->view.stream, 4 * PER, &h.used), 0);
		stream_expect(f->view.stream, NULL, 3 * PER, 4 * PER, PER);
	}
}

/* New names are noticed by the directory's time, whatever the file system's clock says. */
static void old_directory_times(void **state)
{
	struct timespec times[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	struct stream_fixture *f = *state;
	struct mixture m = four;

	open_four(f);
	for (uint32_t id = 4; id < SEGMENTS; id++) {
		/* long ago: no later change can be hidden in the same time */
		assert_int_equal(utimensat(AT_FDCWD, f->dir, times, 0), 0);
		stream_expect_extent(f->view.stream, 0, id * PER);
		stream_expect_extent(f->view.stream, 0, id * PER);
		m.kinds[id] = OURS;
		places_put(f, &m);
		times[1].tv_nsec += id % 2; /* within a second, or later */
		times[1].tv_sec += id % 2 == 0;
		assert_int_equal(utimensat(AT_FDCWD, f->dir, times, 0), 0);
		stream_expect_extent(f->view.stream, 0, (id + 1) * PER);
	}
	/* from the future */
	times[1].tv_sec = 4000000000;
	assert_int_equal(utimensat(AT_FDCWD, f->dir, times, 0), 0);
	stream_expect_extent(f->view.stream, 0, SEGMENTS * PER);
	remove_file(f, "000000000.q");
	assert_int_equal(utimensat(AT_FDCWD, f->dir, times, 0), 0);
	stream_expect_extent(f->view.stream, PER, SEGMENTS * PER);
	/* all segments are deleted */
	for (uint32_t id = 0; id < SEGMENTS; id++)
		m.kinds[id] = MISSING;
	places_put(f, &m);
	times[1].tv_sec = 1000000000;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(utimensat(AT_FDCWD, f->dir, times, 0), 0);
		stream_expect_extent(f->view.stream, SEGMENTS * PER, SEGMENTS * PER);
	}
}

/* No segment can be read: an empty stream, until one can. */
static void only_segment_cut_short(void **state)
{
	struct mixture one = { .kinds = { OURS, MISSING, MISSING, MISSING, MISSING, MISSING,
		                          MISSING, MISSING } };
	struct stream_fixture *f = *state;
	char path[PATH_SIZE];
	uint8_t bytes[PER];

	places_make(f);
	places_put(f, &one);
	support_path(path, f->dir, "000000000.q");
	assert_int_equal(truncate(path, 100), 0);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, 0);
	places_put(f, &one);
	stream_expect_extent(f->view.stream, 0, PER);
	stream_expect(f->view.stream, NULL, 0, PER, PER);
	/* however much is asked for */
	assert_int_equal(cq_stream_segment_pread(f->view.stream, 0, bytes, SIZE_MAX / 2 + 2, 0),
	                 PER);
	assert_true(stream_right(bytes, PER, 0));
}

static void make_strange(struct stream_fixture *f, int how)
{
	static const struct cq_segment_header zero;
	struct cq_segment_header h;
	char path[PATH_SIZE];

	support_path(path, f->dir, "000000002.q");
	switch (how) {
	case 0: /* another segment's */
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink("000000001.q", path), 0);
		break;
	case 1: /* as a power cut leaves it */
		support_poke(f->dir, "000000002.q", 0, &zero, sizeof zero);
		break;
	case 2:
		support_peek(f->dir, "000000002.q", 0, &h, sizeof h);
		h.id = 1;
		support_poke(f->dir, "000000002.q", 0, &h, sizeof h);
		break;
	case 3:
		assert_int_equal(truncate(path, 8192), 0);
		break;
	case 4:
		assert_int_equal(truncate(path, 20), 0);
		break;
	case 5:
		assert_int_equal(truncate(path, 0), 0);
		break;
	default:
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkdir(path, 0750), 0);
		break;
	}
}

/* A file that is no such segment has a segment's name: its bytes are missing or an error, and all others
 * are where they were. */
static void strange_segments(void **state)
{
	static const enum kind kinds[] = { OURS, THEIRS };
	struct stream_fixture *f = *state;
	char path[PATH_SIZE];
	uint8_t bytes[PER];

	places_make(f);
	support_path(path, f->dir, "000000002.q");
	for (int how = 0; how < 14; how++) {
		struct mixture m = four;

		m.kinds[2] = kinds[how % 2];
		places_put(f, &m);
		stream_reopen(f);
		for (int open = 0; open < 2; open++) {
			if (open == 0) /* the end is known, and nothing about that segment */
				stream_expect_extent(f->view.stream, 0, 4 * PER);
			if (open == 0)
				make_strange(f, how / 2);
			else
				stream_reopen(f);
			for (uint64_t at = 2 * PER; at < 3 * PER; at += 700) {
				ssize_t n = cq_stream_pread(f->view.stream, bytes, 1, at);

				if (n != -ENODATA && n != -EIO)
					fail_msg("kind %d at %u: %d", how, (unsigned)at, (int)n);
			}
			assert_true(cq_stream_segment_pread(f->view.stream, 2, bytes, PER, 0) < 0);
			stream_expect(f->view.stream, NULL, 0, 2 * PER, PER);
			stream_expect(f->view.stream, NULL, 3 * PER, 4 * PER, PER);
			stream_expect_extent(f->view.stream, 0, 4 * PER);
		}
		stream_close(&f->view);
		if (unlink(path) < 0)
			assert_int_equal(rmdir(path), 0);
	}
}

/* Behind segments of chronicle-rs, a segment claims an impossible place: it is not believed. */
static void impossible_positions(void **state)
{
	static const uint8_t none[48];
	struct mixture m = { .kinds = { THEIRS, THEIRS, OURS, MISSING, MISSING, MISSING, MISSING,
		                        MISSING } };
	struct stream_fixture *f = *state;
	struct cq_record_header h;
	struct cq_segment_header s;

	places_make(f);
	/* a record's position, with a right checksum: beyond the highest, or before its segment begins */
	for (int i = 0; i < 2; i++) {
		const uint64_t record = RECORD(i == 0 ? 0 : 2);

		m.kinds[2] = i == 0 ? OURS : CONTINUED;
		places_put(f, &m);
		support_poke(f->dir, "000000002.q", offsetof(struct cq_segment_header, ext), none,
		             sizeof none);
		support_peek(f->dir, "000000002.q", record, &h, sizeof h);
		h.stream_offset = i == 0 ? CQ_COUNT_MAX : EACH;
		h.header_crc = cq_record_header_crc(&h, h.commit);
		support_poke(f->dir, "000000002.q", record, &h, sizeof h);
		stream_reopen(f);
		stream_expect_extent(f->view.stream, 0, 3 * PER);
		stream_expect(f->view.stream, NULL, 0, 3 * PER, PER);
	}
	/* a segment's position: it begins where the one before it ends */
	m = four;
	places_put(f, &m);
	support_peek(f->dir, "000000001.q", 0, &s, sizeof s);
	s.stream_base = CQ_COUNT_MAX;
	s.ext_crc = cq_segment_ext_crc(&s);
	support_poke(f->dir, "000000001.q", 0, &s, sizeof s);
	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, 4 * PER);
	stream_expect(f->view.stream, NULL, 0, 4 * PER, PER);
}

static const struct CMUnitTest tests[] = {
	STREAM_TEST(last_ones_go),          STREAM_TEST(queue_is_replaced),
	STREAM_TEST(last_one_is_replaced),  STREAM_TEST(left_damaged),
	STREAM_TEST(prepared_behind_a_gap), STREAM_TEST(lying_summary_of_the_last),
	STREAM_TEST(old_directory_times),   STREAM_TEST(only_segment_cut_short),
	STREAM_TEST(strange_segments),      STREAM_TEST(impossible_positions),
};

SUPPORT_MAIN(tests)
