/* SPDX-License-Identifier: Apache-2.0 */
/* test_summary.c - the content of a segment without reading it is the same as by reading it */
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

#include "catalog/queue.h"
#include "files/dir.h"
#include "format/record.h"
#include "look_support.h"
#include "os/fault.h"
#include "os/io.h"

static void same_content(const struct cq_segment_info *a, const struct cq_segment_info *b)
{
	assert_int_equal(a->records, b->records);
	assert_int_equal(a->payload_bytes, b->payload_bytes);
	assert_int_equal(a->used, b->used);
	assert_int_equal(a->damaged, b->damaged);
	if (a->records == 0)
		return;
	assert_int_equal(a->first_seq, b->first_seq);
	assert_int_equal(a->last_seq, b->last_seq);
	assert_int_equal(a->first_time_ns, b->first_time_ns);
	assert_int_equal(a->last_time_ns, b->last_time_ns);
}

/* Returns the content that both give. */
static struct cq_segment_info summary_is_content(cq_queue *queue, uint32_t id)
{
	struct cq_segment_info summary = CQ_SIZED(summary), content = CQ_SIZED(content);
	cq_segment *segment;

	assert_int_equal(cq_segment_open(queue, id, &segment), 0);
	assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_RECORDS, &content), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_CONTENT, &summary), 0);
		same_content(&summary, &content);
	}
	cq_segment_close(segment);
	return content;
}

static void all_summaries_of(const char *dir)
{
	cq_queue *queue = look_open(dir);
	uint32_t *ids;
	size_t count;

	assert_int_equal(cq_queue_list(queue, &ids, &count), 0);
	assert_true(count > 0);
	for (size_t i = 0; i < count; i++) {
		struct cq_segment_info content = summary_is_content(queue, ids[i]);
		struct cq_segment_attr attr = look_attr(queue, ids[i]);

		/* a content that was counted is known from then on */
		if (attr.sealed) {
			assert_true(attr.have_content);
			assert_int_equal(attr.payload_bytes, content.payload_bytes);
		}
	}
	free(ids);
	cq_queue_close(queue);
}

static void summaries_of_all_kinds(void **state)
{
	static const char *const golden[] = { "v1-small",  "v2-killed",   "v2-mixed",
		                              "v2-reader", "v2-reopened", "v2-small" };
	struct qs *q = *state;
	char path[PATH_SIZE];

	look_make(q, 12);
	all_summaries_of(q->dir);
	for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
		/* chronicle-rs's; then continued by us, so that segments of both kinds are there */
		qs_anew(q);
		support_golden(path, golden[i]);
		support_copy(path, q->dir);
		all_summaries_of(q->dir);
		q->config.segment_size = 0;
		qs_open(q);
		for (unsigned n = 0; n < 3; n++) {
			qs_append(q->writer, n * 5, 5);
			assert_int_equal(cq_writer_roll(q->writer), 0);
		}
		qs_close(q);
		all_summaries_of(q->dir);
	}
}

/* Damages a record in the middle: a read of all records notices. */
static void damage(struct qs *q, uint32_t id)
{
	char name[CQ_NAME_MAX];

	cq_segment_name(name, id);
	support_poke(q->dir, name, 64 + 128 * 10 + 64, "XXXX", 4);
}

static void keep_times(const char *dir, uint32_t id, struct stat *st, bool put_back)
{
	char name[CQ_NAME_MAX], path[PATH_SIZE];

	cq_segment_name(name, id);
	support_path(path, dir, name);
	if (put_back)
		assert_int_equal(utimensat(AT_FDCWD, path,
		                           (struct timespec[]){ st->st_atim, st->st_mtim }, 0),
		                 0);
	else
		assert_int_equal(stat(path, st), 0);
}

/* True if CQ_SEGMENT_CONTENT reads the segment's records. */
static bool is_read(struct qs *q, uint32_t id)
{
	struct cq_segment_info content = CQ_SIZED(content);
	cq_queue *queue = look_open(q->dir);
	cq_segment *segment;

	assert_int_equal(cq_segment_open(queue, id, &segment), 0);
	assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_CONTENT, &content), 0);
	assert_int_equal(content.records, content.damaged ? 10 : LOOK_PER_SEGMENT);
	cq_segment_close(segment);
	cq_queue_close(queue);
	return content.damaged;
}

static void what_is_told_is_not_read(void **state)
{
	struct qs *q = *state;
	uint64_t highest;
	struct stat st;

	look_make(q, 4);
	for (uint32_t id = 0; id < 4; id++) {
		keep_times(q->dir, id, &st, false);
		damage(q, id);
		keep_times(q->dir, id, &st, true);
	}
	assert_false(is_read(q, 0));

	/* the index does not tell for certain the time of the last record, or of the first */
	st.st_mtim.tv_nsec ^= 1;
	keep_times(q->dir, 0, &st, true);
	assert_true(is_read(q, 0));
	look_delete_name(q->dir, "000000001.idx");
	assert_true(is_read(q, 1));
	support_poke(q->dir, "000000002.idx", 40, &(uint64_t){ 1 }, 8); /* lowest seq */
	assert_true(is_read(q, 2));
	highest = qs_peek64(q->dir, "000000003.idx", 64);
	assert_int_not_equal(highest, qs_peek64(q->dir, "000000003.idx", 80 + 8));
	support_poke(q->dir, "000000003.idx", 80 + 8, &highest, 8); /* time of the first record */
	assert_true(is_read(q, 3));
}

static void poke_and_look(struct qs *q, const char *name, uint64_t at, const void *bytes,
                          size_t length)
{
	cq_queue *queue;
	struct stat st;

	keep_times(q->dir, 0, &st, false);
	support_poke(q->dir, name, at, bytes, length);
	keep_times(q->dir, 0, &st, true);
	queue = look_open(q->dir);
	(void)summary_is_content(queue, 0);
	cq_queue_close(queue);
}

/* Any word of an index has any value, and a summary with a right checksum is impossible: the content is
 * still the true one. */
static void what_lies_is_not_told(void **state)
{
	struct qs *q = *state;
	struct cq_segment_header right, h;
	struct cq_record_header record;

	look_make(q, 2);
	for (uint64_t at = 0; at < 80 + 24; at += 4) {
		const uint32_t word = qs_peek32(q->dir, "000000000.idx", at);
		const uint32_t wrong[] = { word + 1, word - 1, 0, 1, UINT32_MAX, word };

		for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
			poke_and_look(q, "000000000.idx", at, &wrong[i], sizeof wrong[i]);
	}
	support_peek(q->dir, "000000000.q", 0, &right, sizeof right);
	for (int i = 0; i < 6; i++) {
		h = right;
		if (i == 0)
			h.used = h.records = h.payload_bytes = 0;
		else if (i == 1)
			h.used = QS_SIZE + 64;
		else if (i == 2)
			h.used -= 8;
		else if (i == 3)
			h.records = h.used / 64;
		else if (i == 4)
			h.payload_bytes = h.used - 64;
		h.ext_crc = cq_segment_ext_crc(&h);
		poke_and_look(q, "000000000.q", 0, &h, sizeof h);
	}
	/* nor is the first record's time, if the record has another number or is damaged */
	support_peek(q->dir, "000000000.q", 64, &record, sizeof record);
	record.seq++;
	record.header_crc = cq_record_header_crc(&record, record.commit);
	poke_and_look(q, "000000000.q", 64, &record, sizeof record);
	record.seq--;
	poke_and_look(q, "000000000.q", 64, &record, sizeof record);
	record.commit = 0;
	poke_and_look(q, "000000000.q", 64, &record, sizeof record);
}

/* Segments that hold little: an empty placeholder for lost records, an index without an entry, padding
 * that ends the records. */
static void little_in_them(void **state)
{
	const struct cq_repair_config config = { .size = sizeof config, .accept_loss = true };
	struct cq_segment_info content = CQ_SIZED(content);
	struct cq_repair_result result = CQ_SIZED(result);
	struct cq_record_header record;
	static const uint64_t none;
	char path[PATH_SIZE];
	struct qs *q = *state;
	cq_queue *queue;

	look_make(q, 3);
	look_delete(q->dir, 1, 2);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(result.done);
	support_poke(q->dir, "000000002.idx", 72, &none, sizeof none);
	support_path(path, q->dir, "000000002.idx");
	assert_int_equal(truncate(path, 80), 0);
	support_peek(q->dir, "000000003.q", 64 + 4 * 128, &record, sizeof record);
	record.type = CQ_TYPE_PAD;
	record.header_crc = cq_record_header_crc(&record, record.commit);
	support_poke(q->dir, "000000003.q", 64 + 4 * 128, &record, sizeof record);
	all_summaries_of(q->dir);
	queue = look_open(q->dir);
	content = summary_is_content(queue, 1);
	assert_int_equal(content.records, 0);
	content = summary_is_content(queue, 2);
	assert_int_equal(content.records, LOOK_PER_SEGMENT);
	content = summary_is_content(queue, 3);
	assert_int_equal(content.records, 4);
	cq_queue_close(queue);
}

#ifdef CQ_FAULTS
/* A read fails: the answer is right, or that error. */
static void failing_reads(void **state)
{
	struct cq_segment_info content = CQ_SIZED(content);
	struct qs *q = *state;
	cq_segment *segment;
	unsigned failed = 0;
	cq_queue *queue;
	int r;

	look_make(q, 1);
	for (int nth = 0; nth < 8; nth++) {
		queue = look_open(q->dir);
		assert_int_equal(cq_segment_open(queue, 0, &segment), 0);
		cq_fault_set("pread", EIO, nth, 1);
		r = cq_segment_info(segment, CQ_SEGMENT_CONTENT, &content);
		cq_fault_set(NULL, 0, 0, 0);
		assert_true(r == 0 || r == -EIO);
		if (r == 0)
			assert_int_equal(content.records, LOOK_PER_SEGMENT);
		failed += r < 0;
		assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_CONTENT, &content), 0);
		assert_int_equal(content.records, LOOK_PER_SEGMENT);
		cq_segment_close(segment);
		cq_queue_close(queue);
	}
	assert_true(failed > 0);
}
#endif

static void counted_ones_are_remembered(void **state)
{
	struct qs *q = *state;
	cq_queue *queue;
	char golden[PATH_SIZE];
	struct cq_segment_info content = CQ_SIZED(content);
	cq_segment *segment;
	struct stat st;

	support_golden(golden, "v2-small");
	qs_anew(q);
	support_copy(golden, q->dir);
	queue = look_open(q->dir);
	assert_false(look_attr(queue, 0).have_content);
	assert_int_equal(cq_segment_open(queue, 0, &segment), 0);
	assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_CONTENT, &content), 0);
	assert_true(look_attr(queue, 0).have_content);
	assert_int_equal(cq_io_stat(segment->fd, &st), 0);
	memset(&content, 0, sizeof content);
	assert_true(cq_catalog_get_content(&queue->catalog, 0, cq_file_id_of(&st), &content));
	assert_int_equal(content.records, LOOK_PER_SEGMENT);
	content.size = sizeof content;
	damage(q, 0); /* by its times it is another file */
	assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_CONTENT, &content), 0);
	assert_true(content.damaged);
	assert_false(look_attr(queue, 0).have_content); /* the end of its payload is not known */
	cq_segment_close(segment);
	cq_queue_close(queue);
}

static void summaries_of_live_ones(void **state)
{
	struct qs *q = *state;
	cq_queue *queue;

	qs_open(q);
	queue = cq_writer_queue(q->writer);
	(void)summary_is_content(queue, 0);
	for (unsigned i = 0; i < 3 * LOOK_PER_SEGMENT; i++) {
		qs_append(q->writer, i, 1);
		for (uint32_t id = 0; id <= i / LOOK_PER_SEGMENT; id++)
			(void)summary_is_content(queue, id);
	}
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	for (uint32_t id = 0; id < 3; id++)
		(void)summary_is_content(queue, id);
	qs_close(q);
	qs_open(q); /* the last one is continued */
	queue = cq_writer_queue(q->writer);
	qs_append(q->writer, 3 * LOOK_PER_SEGMENT, 3);
	for (uint32_t id = 0; id < 4; id++)
		(void)summary_is_content(queue, id);
}

/* The times of the segments are the lowest and the highest of the records that are in the files. */
static void expect_times(const char *dir)
{
	cq_queue *queue = look_open(dir);
	struct qs_record *records;
	size_t count = qs_records(dir, &records), ids_count;
	uint32_t *ids;

	assert_int_equal(cq_queue_list(queue, &ids, &ids_count), 0);
	for (size_t i = 0; i < ids_count; i++) {
		struct cq_segment_times wanted = { .lowest_ns = UINT64_MAX }, times;
		cq_segment *segment;

		for (size_t n = 0; n < count; n++) {
			if (records[n].segment != ids[i])
				continue;
			wanted.records++;
			if (records[n].time_ns < wanted.lowest_ns)
				wanted.lowest_ns = records[n].time_ns;
			if (records[n].time_ns > wanted.highest_ns)
				wanted.highest_ns = records[n].time_ns;
		}
		assert_int_equal(cq_segment_open(queue, ids[i], &segment), 0);
		assert_int_equal(cq_segment_times(segment, &times), 0);
		assert_int_equal(times.records, wanted.records);
		if (wanted.records > 0) {
			assert_int_equal(times.lowest_ns, wanted.lowest_ns);
			assert_int_equal(times.highest_ns, wanted.highest_ns);
		}
		cq_segment_close(segment);
	}
	free(ids);
	free(records);
	cq_queue_close(queue);
}

/* Four segments and one that is not full, with times that do not ascend. */
static void write_times(struct qs *q)
{
	qs_open(q);
	for (unsigned i = 0; i < 4 * LOOK_PER_SEGMENT + 5; i++)
		assert_int_equal(cq_writer_append_at(q->writer, 1, 1000 + i * 7919 % 1009, "record",
		                                     6, NULL),
		                 0);
}

static void times_that_do_not_ascend(void **state)
{
	struct qs *q = *state;

	write_times(q);
	expect_times(q->dir);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	qs_flush(q->writer);
	qs_close(q);
	expect_times(q->dir); /* by the indexes */
	assert_int_equal(unlinkat(q->dirfd, "000000001.idx", 0), 0);
	expect_times(q->dir);
}

/* The index is asked, not the records; without a right index damage is found. */
static void times_by_the_index(void **state)
{
	struct qs *q = *state;
	struct cq_segment_times times = { .records = 77 };
	char path[PATH_SIZE];
	cq_segment *segment;
	cq_queue *queue;

	write_times(q);
	qs_flush(q->writer);
	qs_close(q);
	damage(q, 1);
	queue = look_open(q->dir);
	assert_int_equal(cq_segment_open(queue, 1, &segment), 0);
	assert_int_equal(cq_segment_times(segment, &times), 0);
	assert_int_equal(times.records, LOOK_PER_SEGMENT);
	/* its first entry has another time than the record; there is none */
	support_poke(q->dir, "000000001.idx", 88, "X", 1);
	assert_int_equal(cq_segment_times(segment, &times), -EIO);
	assert_int_equal(times.records, LOOK_PER_SEGMENT);
	assert_int_equal(unlinkat(q->dirfd, "000000001.idx", 0), 0);
	assert_int_equal(cq_segment_times(segment, &times), -EIO);
	cq_segment_close(segment);
	assert_int_equal(cq_segment_open(queue, 2, &segment), 0);
	assert_int_equal(cq_segment_times(segment, &times), 0);
	/* one that is not of all records */
	support_poke(q->dir, "000000002.idx", 12, "\1", 1);
	assert_int_equal(cq_segment_times(segment, &times), 0);
	support_path(path, q->dir, "000000002.q");
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(cq_segment_times(segment, &times), -EIO);
	assert_int_equal(truncate(path, 30), 0);
	assert_int_equal(cq_segment_times(segment, &times), -EIO);
	cq_segment_close(segment);
	cq_queue_close(queue);
}

/* An index that does not belong to the segment, and segments that hold nothing: the times are those of the
 * records. */
static void times_beside_wrong_indexes(void **state)
{
	static const uint64_t offsets[] = { 12, 40, 48, 80, 88 }; /* but the times themselves */
	const struct cq_repair_config config = { .size = sizeof config, .accept_loss = true };
	struct cq_repair_result result = CQ_SIZED(result);
	static const uint64_t none;
	struct qs *q = *state;
	char path[PATH_SIZE];

	look_make(q, 3);
	for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
		const uint32_t word = qs_peek32(q->dir, "000000000.idx", offsets[i]);
		const uint32_t wrong[] = { word + 1, word - 1, word };

		for (size_t k = 0; k < 3; k++) {
			support_poke(q->dir, "000000000.idx", offsets[i], &wrong[k],
			             sizeof wrong[k]);
			expect_times(q->dir);
		}
	}
	look_delete(q->dir, 1, 2);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	support_poke(q->dir, "000000002.idx", 72, &none, sizeof none);
	support_path(path, q->dir, "000000002.idx");
	assert_int_equal(truncate(path, 80), 0);
	expect_times(q->dir);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(times_that_do_not_ascend),
	QS_TEST(times_by_the_index),
	QS_TEST(times_beside_wrong_indexes),
	QS_TEST(summaries_of_all_kinds),
	QS_TEST(what_is_told_is_not_read),
	QS_TEST(what_lies_is_not_told),
	QS_TEST(little_in_them),
#ifdef CQ_FAULTS
	QS_TEST(failing_reads),
#endif
	QS_TEST(counted_ones_are_remembered),
	QS_TEST(summaries_of_live_ones),
};

QS_MAIN(tests)
