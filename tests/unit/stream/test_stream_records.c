/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stream_records.c - the records of a segment by number, against a second implementation: qs_records(),
 * which reads the files by itself
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/index.h"
#include "format/format.h"
#include "format/record.h"
#include "queue_support.h"
#include "stream/stream.h"
#include "stream_support.h"

#define SPAN 128U                   /* of a record of up to 64 bytes */
#define LARGE (2U << 20)            /* a segment that has an index worth asking */
#define FULL ((LARGE - 64U) / SPAN) /* records in it */

/* ---- the reference ---- */

/* The part of all records that is in one segment. */
struct part {
	const struct qs_record *records;
	size_t count;
	uint64_t begin; /* in the stream */
};

static struct part part_of(const struct qs_record *records, size_t count, uint32_t segment)
{
	struct part part = { .records = records };

	while (count > 0 && part.records->segment < segment) {
		part.begin += part.records->length;
		part.records++;
		count--;
	}
	while (part.count < count && part.records[part.count].segment == segment)
		part.count++;
	return part;
}

static void expect_one(const struct cq_record_info *got, const struct qs_record *wanted,
                       uint64_t stream_offset)
{
	assert_int_equal(got->seq, wanted->seq);
	assert_int_equal(got->time_ns, wanted->time_ns);
	assert_int_equal(got->stream_offset, stream_offset);
	assert_int_equal(got->length, wanted->length);
	assert_int_equal(got->type, wanted->type);
}

/* Records `number` and behind it, up to `most`. */
static void expect_some(cq_stream *stream, uint32_t id, const struct part *part, size_t number,
                        size_t most)
{
	struct cq_record_info *got = malloc(most * sizeof *got);
	uint64_t at = part->begin;
	size_t left = number < part->count ? part->count - number : 0;

	assert_non_null(got);
	if (left > most)
		left = most;
	assert_int_equal(cq_stream_segment_read_records(stream, id, number, got, most), left);
	for (size_t i = 0; i < number && i < part->count; i++)
		at += part->records[i].length;
	for (size_t i = 0; i < left; i++) {
		expect_one(&got[i], &part->records[number + i], at);
		at += part->records[number + i].length;
	}
	free(got);
}

static void expect_segment(cq_stream *stream, uint32_t id, const struct part *part,
                           uint64_t *sequence)
{
	uint64_t records;

	assert_int_equal(cq_stream_segment_records(stream, id, &records), 0);
	assert_int_equal(records, part->count);
	for (int i = 0; i < 20; i++)
		expect_some(stream, id, part, stream_random(sequence, part->count + 2),
		            1 + stream_random(sequence, 20));
	expect_some(stream, id, part, 0, part->count + 1);
	for (size_t at = 0; at <= part->count; at += 7)
		expect_some(stream, id, part, at, 7);
	expect_some(stream, id, part, part->count, 1);
	expect_some(stream, id, part, SIZE_MAX, 1);
}

/* Every segment of the queue. */
static void expect_all(struct stream_fixture *f, cq_stream *stream, const char *dir)
{
	struct qs_record *records;
	uint32_t oldest, newest;
	cq_queue *queue;
	size_t count;

	count = qs_records(dir, &records);
	assert_int_equal(cq_queue_open(dir, &queue), 0);
	assert_int_equal(cq_queue_ends(queue, &oldest, &newest), 0);
	cq_queue_close(queue);
	for (uint32_t id = oldest; id <= newest; id++) {
		const struct part part = part_of(records, count, id);

		expect_segment(stream, id, &part, &f->sequence);
	}
	assert_int_equal(cq_stream_segment_records(stream, newest + 100, &(uint64_t){ 0 }),
	                 -ENOENT);
	assert_int_equal(cq_stream_segment_read_records(stream, newest + 100, 0,
	                                                &(struct cq_record_info){ 0 }, 1),
	                 -ENOENT);
	free(records);
}

/* ---- at rest, and while it grows ---- */

static void as_the_files_have_them(void **state)
{
	static const struct {
		uint64_t segment;
		size_t most;
		unsigned count;
	} queues[] = { { 4096, 4096 - 128, 300 }, { 4096, 100, 2000 }, { 1 << 20, 300000, 60 } };
	struct stream_fixture *f = *state;

	for (size_t q = 0; q < sizeof queues / sizeof *queues; q++) {
		cq_writer *writer;
		uint64_t end = 0;

		for (int i = 0; i < 3; i++) {
			stream_writer(f->dir, queues[q].segment, &writer);
			stream_append_many(writer, &end, queues[q].count / 3, queues[q].most,
			                   &f->sequence);
			assert_int_equal(cq_writer_close(writer), 0);
		}
		stream_reopen(f);
		expect_all(f, f->view.stream, f->dir);
		stream_anew(f);
	}
}

static void golden_queues(void **state)
{
	static const char *const golden[] = { "v2-small", "v1-small",  "v2-reopened",
		                              "v2-mixed", "v2-reader", "v2-killed" };
	struct stream_fixture *f = *state;

	for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
		char path[PATH_SIZE];
		cq_writer *writer;
		cq_stream *own;
		uint64_t begin, end;

		support_golden(path, golden[i]);
		support_copy(path, f->dir);
		stream_reopen(f);
		expect_all(f, f->view.stream, f->dir);
		/* continued by our writer: seen by its process and by another */
		stream_writer(f->dir, 0, &writer);
		assert_int_equal(cq_stream_open(cq_writer_queue(writer), &own), 0);
		assert_int_equal(cq_stream_extent(own, &begin, &end), 0);
		stream_append_many(writer, &end, 100, 700, &f->sequence);
		expect_all(f, own, f->dir);
		expect_all(f, f->view.stream, f->dir);
		stream_reopen(f);
		expect_all(f, f->view.stream, f->dir);
		cq_stream_close(own);
		assert_int_equal(cq_writer_close(writer), 0);
		stream_anew(f);
	}
}

/* Each record is there at once, for its writer's process and for another. */
static void while_it_grows(void **state)
{
	struct stream_fixture *f = *state;
	cq_writer *writer;
	cq_stream *own;
	uint64_t end = 0, records;

	stream_writer(f->dir, 4096, &writer);
	assert_int_equal(cq_stream_open(cq_writer_queue(writer), &own), 0);
	stream_reopen(f);
	for (unsigned i = 0; i < 70; i++) {
		const uint32_t id = i / 31;
		cq_stream *const streams[] = { own, f->view.stream };
		struct cq_record_info info;

		stream_append(writer, &end, 10);
		for (int s = 0; s < 2; s++) {
			assert_int_equal(cq_stream_segment_records(streams[s], id, &records), 0);
			assert_int_equal(records, i % 31 + 1);
			assert_int_equal(cq_stream_segment_read_records(streams[s], id, records - 1,
			                                                &info, 1),
			                 1);
			assert_int_equal(info.seq, i);
			assert_int_equal(info.stream_offset, i * 10);
			assert_int_equal(
				cq_stream_segment_read_records(streams[s], id, records, &info, 1),
				0);
		}
	}
	/* one that is prepared has none */
	assert_int_equal(cq_writer_roll(writer), 0);
	assert_int_equal(cq_stream_segment_records(f->view.stream, 3, &records), 0);
	assert_int_equal(records, 0);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 3, 0,
	                                                &(struct cq_record_info){ 0 }, 1),
	                 0);
	cq_stream_close(own);
	assert_int_equal(cq_writer_close(writer), 0);
}

/* ---- the index ---- */

/* So many segments are sealed and full of records of one size. */
static void fill_large(struct stream_fixture *f, unsigned segments)
{
	cq_writer *writer;
	uint64_t end = 0;

	stream_writer(f->dir, LARGE, &writer);
	for (unsigned i = 0; i < segments * FULL; i++)
		stream_append(writer, &end, 10);
	assert_int_equal(cq_writer_roll(writer), 0);
	assert_int_equal(cq_writer_close(writer), 0);
}

static size_t sparse_entries(struct stream_fixture *f)
{
	struct cq_segment_bytes *segment;
	size_t count;

	assert_int_equal(cq_mapping_cache_take(&f->view.stream->cache, 0, &segment), 0);
	count = segment->sparse_count;
	cq_mapping_cache_put(&f->view.stream->cache, segment);
	return count;
}

static void expect_in(cq_stream *stream, uint32_t id, uint64_t number, uint64_t seq)
{
	struct cq_record_info info;

	assert_int_equal(cq_stream_segment_read_records(stream, id, number, &info, 1), 1);
	assert_int_equal(info.seq, seq);
	assert_int_equal(info.stream_offset, (id * FULL + number) * 10);
}

static void expect_number(cq_stream *stream, uint64_t number, uint64_t seq)
{
	expect_in(stream, 0, number, seq);
}

/* A seek walks from the nearest record of the index; without an index, or with one that claims other numbers
 * than the summary, from the first. */
static void an_index_leads_there(void **state)
{
	const uint64_t wrong = FULL + 1;
	const uint32_t partial = CQ_INDEX_PARTIAL;
	struct stream_fixture *f = *state;
	uint8_t byte;

	fill_large(f, 2);
	stream_reopen(f);
	expect_in(f->view.stream, 1, 15000, FULL + 15000);
	stream_reopen(f);
	assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, (FULL + 14000) * 10), 1);
	expect_in(f->view.stream, 1, 14001, FULL + 14001);
	for (int index = 0; index < 4; index++) {
		if (index == 1)
			support_poke(f->dir, "000000000.idx",
			             offsetof(struct cq_index_header, max_seq), &wrong,
			             sizeof wrong);
		else if (index == 2)
			support_poke(f->dir, "000000000.idx",
			             offsetof(struct cq_index_header, flags), &partial,
			             sizeof partial);
		else if (index == 3)
			support_poke(f->dir, "000000000.idx", 0, "none", 4);
		stream_reopen(f);
		expect_number(f->view.stream, 15000, 15000);
		if (index == 0) /* 2712 records of the way, and the one at which it began */
			assert_in_range(sparse_entries(f), 1, 24);
		else
			assert_in_range(sparse_entries(f), 110, 128);
		/* a read by position has left behind what a read by number uses, and the other way */
		stream_reopen(f);
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, 150000), 1);
		assert_int_equal(byte, stream_byte(150000));
		expect_number(f->view.stream, 15000, 15000);
		expect_number(f->view.stream, 12287, 12287);
		expect_number(f->view.stream, 0, 0);
		expect_number(f->view.stream, FULL - 1, FULL - 1);
		assert_int_equal(cq_stream_pread(f->view.stream, &byte, 1, 10 * FULL - 1), 1);
		assert_int_equal(byte, stream_byte(10 * FULL - 1));
	}
}

/* Gives record `number` of segment 0 another sequence number, with a right checksum. */
static void renumber(struct stream_fixture *f, unsigned number, uint64_t seq)
{
	const uint64_t offset = 64 + (uint64_t)number * SPAN;
	struct cq_record_header h;

	support_peek(f->dir, "000000000.q", offset, &h, sizeof h);
	h.seq = seq;
	h.header_crc = cq_record_header_crc(&h, h.commit);
	support_poke(f->dir, "000000000.q", offset, &h, sizeof h);
}

/* Where a writer has continued what chronicle-rs wrote, a sequence number does not tell the number of a record.
 * A repair has made an index of such a segment. */
static void numbers_that_begin_again(void **state)
{
	struct stream_fixture *f = *state;
	struct cq_index index;
	char path[PATH_SIZE];
	int dirfd, fd;

	fill_large(f, 1);
	for (unsigned i = 100; i < FULL; i++)
		renumber(f, i, i - 100);
	support_path(path, f->dir, "000000000.q");
	dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(dirfd >= 0 && fd >= 0);
	assert_int_equal(cq_index_build(fd, 0, LARGE, NULL, &index), 0);
	assert_int_equal(cq_index_write(dirfd, &index), 0);
	cq_index_fini(&index);
	close(fd);
	close(dirfd);
	for (unsigned number = 4000; number < FULL; number += 4095) {
		stream_reopen(f);
		expect_number(f->view.stream, number, number - 100);
	}
}

/* ---- damage ---- */

static void flip(struct stream_fixture *f, uint64_t offset)
{
	uint8_t byte;

	support_peek(f->dir, "000000000.q", offset, &byte, 1);
	byte ^= 1;
	support_poke(f->dir, "000000000.q", offset, &byte, 1);
}

/* A record whose payload is damaged is there.  One whose header is damaged gives EIO, and so do those behind it,
 * up to the next one that the index names. */
static void damaged(void **state)
{
	struct cq_record_info info[20];
	struct stream_fixture *f = *state;
	uint64_t records;

	fill_large(f, 1);
	flip(f, 64 + 5000 * SPAN + 64);
	stream_reopen(f);
	expect_number(f->view.stream, 5000, 5000);
	expect_number(f->view.stream, 5001, 5001);
	flip(f, 64 + 6000 * SPAN + 8);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(cq_stream_segment_records(f->view.stream, 0, &records), 0);
		assert_int_equal(records, FULL);
		assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, 5990, info, 20),
		                 10);
		assert_int_equal(info[9].seq, 5999);
		assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, 6000, info, 20),
		                 -EIO);
		assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, 8191, info, 20),
		                 -EIO);
		stream_reopen(f);
		expect_number(f->view.stream, 8192, 8192);
		expect_number(f->view.stream, FULL - 1, FULL - 1);
	}
	flip(f, 64 + 6000 * SPAN + 8);
	expect_number(f->view.stream, 6000, 6000);
	flip(f, 64 + 12287 * SPAN + 8); /* next to one that the index names, and to the end */
	stream_reopen(f);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, 12287, info, 20), -EIO);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, 12280, info, 20), 7);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, 12287, info, 20), -EIO);
	expect_number(f->view.stream, 12288, 12288);
}

/* What is not sealed, and not in use any more, ends at its first damaged record; nobody knows how many records
 * there are. */
static void damaged_without_a_summary(void **state)
{
	struct stream_fixture *f = *state;
	struct cq_record_info info[40];
	char path[PATH_SIZE];
	uint64_t records;

	support_golden(path, "v2-small");
	support_copy(path, f->dir);
	flip(f, 64 + 10 * SPAN + 5); /* a reserved byte of chronicle-rs's record is no damage */
	stream_reopen(f);
	assert_int_equal(cq_stream_segment_records(f->view.stream, 0, &records), 0);
	assert_int_equal(records, 31);
	flip(f, 64 + 10 * SPAN + 3); /* its length is */
	stream_reopen(f);
	assert_int_equal(cq_stream_segment_records(f->view.stream, 0, &records), -EIO);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, 0, info, 40), 10);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, 10, info, 40), -EIO);
	assert_int_equal(cq_stream_segment_records(f->view.stream, 1, &records), 0);
}

/* A summary that counts more records than there are: EIO, and not an end. */
static void fewer_than_the_summary_says(void **state)
{
	struct cq_segment_header header;
	struct stream_fixture *f = *state;
	struct cq_record_info info;
	uint64_t records;

	fill_large(f, 1);
	support_peek(f->dir, "000000000.q", 0, &header, sizeof header);
	header.records++;
	header.ext_crc = cq_segment_ext_crc(&header);
	support_poke(f->dir, "000000000.q", 0, &header, sizeof header);
	stream_reopen(f);
	assert_int_equal(cq_stream_segment_records(f->view.stream, 0, &records), 0);
	assert_int_equal(records, FULL + 1);
	expect_number(f->view.stream, FULL - 1, FULL - 1);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, FULL, &info, 1), -EIO);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, FULL + 1, &info, 1), 0);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 0, FULL, &info, 0), 0);
}

/* ---- what is gone ---- */

static void deleted_and_cut(void **state)
{
	struct stream_fixture *f = *state;
	struct cq_record_info info[40];
	char path[PATH_SIZE];
	uint64_t records;

	for (int cut = 0; cut < 2; cut++) {
		support_append(f->dir, 0, 5 * SUPPORT_PER_SEGMENT);
		stream_reopen(f);
		for (uint32_t id = 0; id < 5; id++) /* all are mapped now */
			assert_int_equal(
				cq_stream_segment_read_records(f->view.stream, id, 0, info, 40),
				SUPPORT_PER_SEGMENT);
		support_path(path, f->dir, "000000002.q");
		assert_int_equal(cut ? truncate(path, 1000) : unlink(path), 0);
		assert_int_equal(cq_stream_segment_read_records(f->view.stream, 2, 0, info, 40),
		                 cut ? -EIO : -ENOENT);
		assert_int_equal(cq_stream_segment_read_records(f->view.stream, 2, 0, info, 40),
		                 cut ? -EIO : -ENOENT);
		assert_int_equal(cq_stream_segment_read_records(f->view.stream, 3, 0, info, 40),
		                 SUPPORT_PER_SEGMENT);
		assert_int_equal(info[0].seq, 3 * SUPPORT_PER_SEGMENT);
		stream_reopen(f);
		assert_int_equal(cq_stream_segment_records(f->view.stream, 2, &records),
		                 cut ? 0 : -ENOENT); /* its summary is there */
		assert_int_equal(cq_stream_segment_read_records(f->view.stream, 2, 0, info, 40),
		                 cut ? -EIO : -ENOENT);
		stream_anew(f);
	}
}

/* A segment that the stream does not list says itself where it begins, if it is one of ours. */
static void not_listed(void **state)
{
	struct stream_fixture *f = *state;
	struct cq_record_info info;
	uint64_t begin, end;

	support_append(f->dir, 0, 3 * SUPPORT_PER_SEGMENT);
	stream_reopen(f);
	assert_int_equal(cq_stream_extent(f->view.stream, &begin, &end), 0);
	pthread_mutex_lock(&f->view.queue->catalog.refresh);
	cq_catalog_remove(&f->view.queue->catalog, 1);
	pthread_mutex_unlock(&f->view.queue->catalog.refresh);
	assert_int_equal(cq_stream_segment_read_records(f->view.stream, 1, 30, &info, 1), 1);
	assert_int_equal(info.seq, 61);
	assert_int_equal(info.stream_offset, 10 * 8 + 51 * 9);
}

/* ---- many threads ---- */

struct crowd {
	cq_stream *stream;
	atomic_uint last; /* the segment that was begun last */
	atomic_bool over;
	atomic_uint reads, wrong;
};

/* In each segment there are 31 records of 10 bytes. */
static void *reads(void *arg)
{
	struct cq_record_info info[8];
	struct crowd *c = arg;
	uint64_t sequence = (uint64_t)(uintptr_t)info, records;

	while (!atomic_load(&c->over) && atomic_load(&c->wrong) == 0) {
		const unsigned last = atomic_load(&c->last);
		const uint32_t id = last - (uint32_t)stream_random(&sequence, last + 1);
		const uint64_t number = stream_random(&sequence, 31);
		ssize_t n;
		int r;

		r = cq_stream_segment_records(c->stream, id, &records);
		n = cq_stream_segment_read_records(c->stream, id, number, info, 8);
		/* nothing that was counted is missing */
		if (r < 0 || n < 0 || (number < records && n == 0))
			atomic_fetch_add(&c->wrong, 1);
		for (ssize_t i = 0; i < n; i++)
			if (info[i].seq != id * 31U + number + (uint64_t)i ||
			    info[i].stream_offset != info[i].seq * 10 || info[i].length != 10)
				atomic_fetch_add(&c->wrong, 1);
		atomic_fetch_add(&c->reads, 1);
	}
	return NULL;
}

static void crowd(struct stream_fixture *f, bool own)
{
	struct crowd c = { .stream = NULL };
	pthread_t threads[4];
	cq_writer *writer;
	uint64_t end = 0;
	unsigned i = 0;

	stream_writer(f->dir, 4096, &writer);
	stream_reopen(f);
	c.stream = f->view.stream;
	if (own)
		assert_int_equal(cq_stream_open(cq_writer_queue(writer), &c.stream), 0);
	for (int t = 0; t < 4; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, reads, &c), 0);
	while ((i < 3000 || atomic_load(&c.reads) < 2000) && atomic_load(&c.wrong) == 0) {
		stream_append(writer, &end, 10);
		atomic_store(&c.last, i++ / 31);
	}
	atomic_store(&c.over, true);
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], NULL);
	assert_int_equal(atomic_load(&c.wrong), 0);
	if (own)
		cq_stream_close(c.stream);
	assert_int_equal(cq_writer_close(writer), 0);
}

static void many_threads_beside_the_writer(void **state)
{
	crowd(*state, true);
}

static void many_threads_beside_another_writer(void **state)
{
	crowd(*state, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(as_the_files_have_them),
		STREAM_TEST(golden_queues),
		STREAM_TEST(while_it_grows),
		STREAM_TEST(an_index_leads_there),
		STREAM_TEST(numbers_that_begin_again),
		STREAM_TEST(damaged),
		STREAM_TEST(damaged_without_a_summary),
		STREAM_TEST(fewer_than_the_summary_says),
		STREAM_TEST(deleted_and_cut),
		STREAM_TEST(not_listed),
		STREAM_TEST(many_threads_beside_the_writer),
		STREAM_TEST(many_threads_beside_another_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
