/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream.c - the stream of payload bytes of queues that nobody writes, and how much it reads */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronq.h"
#include "files/dir.h"
#include "format/format.h"
#include "stream/stream.h"
#include "stream_support.h"
#include "support.h"

/* Each segment's part of the stream; they fill it. */
static void expect_segments(struct stream_fixture *f, uint64_t begin, uint64_t end)
{
	uint64_t at = begin;
	struct cq_span span;
	uint32_t *ids;
	size_t count;

	assert_int_equal(cq_queue_list(f->view.queue, &ids, &count), 0);
	for (size_t i = 0; i < count; i++) {
		uint8_t *bytes, *same, more;

		assert_int_equal(cq_stream_segment(f->view.stream, ids[i], &span), 0);
		assert_int_equal(span.begin, at);
		bytes = malloc(span.bytes + 1);
		same = malloc(span.bytes + 1);
		assert_int_equal(
			cq_stream_segment_pread(f->view.stream, ids[i], bytes, span.bytes + 1, 0),
			span.bytes);
		assert_int_equal(
			cq_stream_segment_pread(f->view.stream, ids[i], &more, 1, span.bytes), 0);
		if (span.bytes > 0)
			assert_int_equal(cq_stream_pread(f->view.stream, same, span.bytes, at),
			                 span.bytes);
		assert_memory_equal(bytes, same, span.bytes);
		free(bytes);
		free(same);
		at += span.bytes;
	}
	assert_int_equal(at, end);
	assert_int_equal(cq_stream_segment(f->view.stream, ids[count - 1] + 1, &span), -ENOENT);
	free(ids);
}

/* ---- equality ---- */

/* Records of 0 to as many bytes as fit, small segments and large ones, by several writers. */
static void as_a_reader_reads_it(void **state)
{
	static const struct {
		uint64_t segment;
		size_t most;
		unsigned count;
	} queues[] = { { 4096, 4096 - 128, 300 },
		       { 4096, 100, 2000 },
		       { 65536, 65536 - 128, 100 },
		       { 65536, 10, 5000 },
		       { 1 << 20, 300000, 60 } };
	struct stream_fixture *f = *state;

	for (size_t q = 0; q < sizeof queues / sizeof *queues; q++) {
		uint8_t *reference;
		cq_writer *writer;
		uint64_t end = 0;
		size_t size;

		for (int i = 0; i < 3; i++) {
			stream_writer(f->dir, queues[q].segment, &writer);
			stream_append_many(writer, &end, queues[q].count / 3, queues[q].most,
			                   &f->sequence);
			if (i == 1)
				assert_int_equal(cq_writer_roll(writer), 0);
			assert_int_equal(cq_writer_close(writer), 0);
		}
		reference = stream_reference(f->dir, &size);
		assert_int_equal(size, end);
		stream_reopen(f);
		stream_expect(f->view.stream, reference, 0, end, 1000);
		stream_reopen(f);
		stream_expect(f->view.stream, NULL, 0, end, 200000);
		stream_expect_extent(f->view.stream, 0, end);
		expect_segments(f, 0, end);
		free(reference);
		stream_anew(f);
	}
}

static const char *const golden[] = { "v2-small", "v1-small",  "v2-reopened",
	                              "v2-mixed", "v2-reader", "v2-killed" };

static void golden_queues(void **state)
{
	struct stream_fixture *f = *state;

	for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
		char path[PATH_SIZE];
		uint8_t *reference;
		size_t size;

		support_golden(path, golden[i]);
		support_copy(path, f->dir);
		reference = stream_reference(f->dir, &size);
		stream_reopen(f);
		stream_expect(f->view.stream, reference, 0, size, 3000);
		stream_expect_extent(f->view.stream, 0, size);
		expect_segments(f, 0, size);
		/* the last byte first */
		stream_reopen(f);
		assert_int_equal(cq_stream_pread(f->view.stream, path, 2, size - 1), 1);
		assert_int_equal(path[0], (char)reference[size - 1]);
		free(reference);
		stream_anew(f);
	}
}

/* Continued by our writer, seen by its process and by another. */
static void golden_queues_continued(void **state)
{
	struct stream_fixture *f = *state;

	for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
		char path[PATH_SIZE];
		uint8_t *reference;
		cq_stream *own;
		cq_writer *writer;
		uint64_t end;
		size_t size;

		support_golden(path, golden[i]);
		support_copy(path, f->dir);
		reference = stream_reference(f->dir, &size);
		free(reference);
		end = size;
		stream_writer(f->dir, 0, &writer);
		assert_int_equal(cq_stream_open(cq_writer_queue(writer), &own), 0);
		stream_expect_extent(own, 0, size);
		stream_append_many(writer, &end, 100, 700, &f->sequence);
		reference = stream_reference(f->dir, &size);
		assert_int_equal(size, end);
		stream_expect(own, reference, 0, end, 2000);
		stream_expect_extent(own, 0, end);
		stream_reopen(f);
		stream_expect(f->view.stream, reference, 0, end, 2000);
		stream_expect_extent(f->view.stream, 0, end);
		cq_stream_close(own);
		assert_int_equal(cq_writer_close(writer), 0);
		expect_segments(f, 0, end);
		free(reference);
		stream_anew(f);
	}
}

/* Padding holds no byte, wherever it is. */
static void padding_is_passed_over(void **state)
{
	const uint16_t pad = CQ_TYPE_PAD;
	struct stream_fixture *f = *state;
	char path[PATH_SIZE];
	uint8_t *reference;
	size_t size;

	support_golden(path, "v2-small");
	support_copy(path, f->dir);
	for (unsigned i = 0; i < 31; i += 10)
		support_poke(f->dir, "000000000.q", 64 + 128 * i + 24, &pad, sizeof pad);
	reference = stream_reference(f->dir, &size);
	stream_reopen(f);
	stream_expect(f->view.stream, reference, 0, size, 20);
	stream_expect_extent(f->view.stream, 0, size);
	free(reference);
}

static void nothing_at_all(void **state)
{
	struct stream_fixture *f = *state;
	struct cq_span span;
	cq_writer *writer;
	uint64_t end = 0, at;

	stream_reopen(f);
	stream_expect_extent(f->view.stream, 0, 0);
	assert_int_equal(cq_stream_segment(f->view.stream, 0, &span), -ENOENT);
	assert_int_equal(cq_stream_next_data(f->view.stream, 0, &at), 0);
	assert_int_equal(at, 0);
	stream_writer(f->dir, 4096, &writer);
	stream_expect_extent(f->view.stream, 0, 0);
	assert_int_equal(cq_stream_segment(f->view.stream, 0, &span), 0);
	assert_int_equal(span.bytes, 0);
	stream_append(writer, &end, 0);
	stream_expect_extent(f->view.stream, 0, 0);
	stream_append(writer, &end, 3);
	stream_expect_extent(f->view.stream, 0, 3);
	stream_expect(f->view.stream, NULL, 0, 3, 10);
	assert_int_equal(cq_writer_close(writer), 0);
}

/* ---- how much is read ---- */

/* A record is checked before the first of its bytes is given, and not again for those behind it. */
static void checked_once(void **state)
{
	struct stream_fixture *f = *state;
	uint8_t bytes[4096], bad;
	uint64_t end = 0;
	cq_writer *writer;

	stream_writer(f->dir, 2 << 20, &writer);
	stream_append(writer, &end, 100);
	stream_append(writer, &end, 1 << 20);
	assert_int_equal(cq_writer_close(writer), 0);
	stream_reopen(f);
	assert_int_equal(cq_stream_pread(f->view.stream, bytes, sizeof bytes, 200), sizeof bytes);
	support_peek(f->dir, "000000000.q", 900000, &bad, 1);
	bad ^= 1;
	support_poke(f->dir, "000000000.q", 900000, &bad, 1);
	for (uint64_t at = 200 + sizeof bytes; at < 800000; at += sizeof bytes) {
		assert_int_equal(cq_stream_pread(f->view.stream, bytes, sizeof bytes, at),
		                 sizeof bytes);
		assert_true(stream_right(bytes, sizeof bytes, at));
	}
	stream_reopen(f);
	assert_int_equal(cq_stream_pread(f->view.stream, bytes, sizeof bytes, 200), -EIO);
}

/* The first record of a large segment is damaged: the bytes far behind it are given, and its own are not. */
static void far_behind_damage(void **state)
{
	struct stream_fixture *f = *state;
	uint8_t bytes[100];
	cq_writer *writer;
	uint64_t end = 0;

	stream_writer(f->dir, 2 << 20, &writer);
	for (unsigned i = 0; i < 9000; i++)
		stream_append(writer, &end, 100);
	assert_int_equal(cq_writer_roll(writer), 0);
	assert_int_equal(cq_writer_close(writer), 0);
	support_poke(f->dir, "000000000.q", 64 + 64, "wrong", 5);
	stream_reopen(f);
	assert_int_equal(cq_stream_pread(f->view.stream, bytes, sizeof bytes, 0), -EIO);
	for (uint64_t at = 850000; at > 450000; at -= 3000) {
		assert_int_equal(cq_stream_pread(f->view.stream, bytes, sizeof bytes, at),
		                 sizeof bytes);
		assert_true(stream_right(bytes, sizeof bytes, at));
	}
	assert_int_equal(cq_stream_pread(f->view.stream, bytes, sizeof bytes, 50), -EIO);
}

#define MANY 2000U

static unsigned placed(struct stream_fixture *f)
{
	struct cq_catalog_entry entry;
	unsigned count = 0;

	for (uint32_t id = 0; id <= MANY; id++)
		count += cq_catalog_get(&f->view.queue->catalog, id, &entry);
	return count;
}

/* A first read anywhere in a queue of any length asks few segments. */
static void found_without_a_scan(void **state)
{
	struct stream_fixture *f = *state;
	cq_writer *writer;
	uint64_t end = 0;
	uint8_t byte;

	stream_writer(f->dir, 4096, &writer);
	for (unsigned i = 0; i < MANY; i++) {
		stream_append(writer, &end, 10);
		assert_int_equal(cq_writer_roll(writer), 0);
	}
	assert_int_equal(cq_writer_close(writer), 0);
	for (uint64_t at = 5; at < end; at += 4999) {
		stream_reopen(f);
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, at), 1);
		assert_int_equal(byte, stream_byte(at));
		assert_in_range(placed(f), 2, 16);
	}
	/* and no segment is asked twice */
	for (uint64_t at = 0; at < end; at++)
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, at), 1);
	assert_in_range(placed(f), MANY, MANY + 1);
}

static void remove_index(struct stream_fixture *f, uint32_t id)
{
	char name[CQ_NAME_MAX], path[PATH_SIZE];

	cq_index_name(name, id);
	support_path(path, f->dir, name);
	assert_int_equal(unlink(path), 0);
}

static size_t sparse_entries_of(struct stream_fixture *f, uint32_t id)
{
	struct cq_segment_bytes *segment;
	size_t count;

	assert_int_equal(cq_mapping_cache_take(&f->view.stream->cache, id, &segment), 0);
	count = segment->sparse_count;
	cq_mapping_cache_put(&f->view.stream->cache, segment);
	return count;
}

/* Inside a large segment the index leads to the byte; without one, or with a wrong one, one walk does. */
static void inside_a_large_segment(void **state)
{
	const uint64_t wrong = 64 + 64, size = 8 << 20;
	struct stream_fixture *f = *state;
	uint64_t end = 0, part;
	cq_writer *writer;
	uint8_t byte;

	stream_writer(f->dir, size, &writer);
	while (end < size / 128 * 48)
		stream_append(writer, &end, 50 + end % 3);
	assert_int_equal(cq_writer_roll(writer), 0);
	assert_int_equal(cq_writer_close(writer), 0);
	part = end / 10 * 9;
	for (int index = 0; index < 3; index++) {
		if (index == 1)
			support_poke(f->dir, "000000000.idx", 80 + 24 * 8 + 16, &wrong, 8);
		else if (index == 2)
			remove_index(f, 0);
		stream_reopen(f);
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, part), 1);
		assert_int_equal(byte, stream_byte(part));
		if (index == 0)
			assert_in_range(sparse_entries_of(f, 0), 1, 40);
		else
			assert_in_range(sparse_entries_of(f, 0), 400, 512);
		stream_expect(f->view.stream, NULL, 0, end, 5000);
		assert_in_range(sparse_entries_of(f, 0), 400, 512);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(as_a_reader_reads_it),    STREAM_TEST(golden_queues),
		STREAM_TEST(golden_queues_continued), STREAM_TEST(padding_is_passed_over),
		STREAM_TEST(nothing_at_all),          STREAM_TEST(checked_once),
		STREAM_TEST(found_without_a_scan),    STREAM_TEST(inside_a_large_segment),
		STREAM_TEST(far_behind_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
