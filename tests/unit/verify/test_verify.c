/* SPDX-License-Identifier: Apache-2.0 */
/* test_verify.c - cq_verify: silent about what is sound, and never about what is not */
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

#include "check/check.h"
#include "format/format.h"
#include "format/record.h"
#include "meta/reader_file.h"
#include "verify_support.h"

#define SPAN 128 /* of a record of support_append() */

static void use_golden(struct vs *f, const char *name)
{
	char golden[PATH_SIZE];

	support_remove(f->dir);
	assert_int_equal(mkdir(f->dir, 0700), 0);
	support_golden(golden, name);
	support_copy(golden, f->dir);
}

/* Sealed 0 and 1, active 2 with five records, and a spare, whether or not the writer came to it. */
static void make_queue(struct vs *f)
{
	static const union {
		struct cq_segment_header header;
		uint8_t bytes[4096];
	} spare = { .header = { CQ_SEGMENT_MAGIC, CQ_SEGMENT_VERSION, 3, 0, 0, 0, 0, 0, 0, 0, 0 } };
	char path[PATH_SIZE];

	support_append(f->dir, 0, 2 * SUPPORT_PER_SEGMENT + 5);
	if (!support_exists(f->dir, "000000003.q")) {
		support_path(path, f->dir, "000000003.q");
		close(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
		support_poke(f->dir, "000000003.q", 0, &spare, sizeof spare);
	}
	assert_int_equal(vs_verify(f), 0);
	assert_int_equal(f->result.segments, 4);
	assert_int_equal(f->result.records, 2 * SUPPORT_PER_SEGMENT + 5);
}

/* ---- what is sound ---- */

static void golden_queues(void **state)
{
	static const struct {
		const char *name;
		uint64_t records, notes;
	} queues[] = {
		{ "v1-small", 40, 0 },  { "v2-small", 40, 0 },  { "v2-reopened", 40, 1 },
		{ "v2-mixed", 600, 0 }, { "v2-reader", 40, 0 }, { "v2-killed", 19929, 0 },
	};
	struct vs *f = *state;

	for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
		use_golden(f, queues[i].name);
		assert_int_equal(vs_verify_live(f), queues[i].notes);
		assert_int_equal(f->result.records, queues[i].records);
	}
}

/* A queue that chronicle-rs began and this library continues. */
static void continued_queues(void **state)
{
	struct vs *f = *state;

	use_golden(f, "v2-reopened");
	support_append(f->dir, 0, 2 * SUPPORT_PER_SEGMENT);
	assert_int_equal(vs_verify(f), 1);
	use_golden(f, "v1-small");
	support_append(f->dir, 0, 2 * SUPPORT_PER_SEGMENT);
	assert_int_equal(vs_verify(f), 0);
	assert_int_equal(f->result.records, 40 + 2 * SUPPORT_PER_SEGMENT);
}

static void not_a_queue(void **state)
{
	struct vs *f = *state;
	char path[PATH_SIZE];

	assert_int_equal(vs_verify(f), 1); /* empty: control.meta is missing */
	support_path(path, f->dir, "none");
	assert_int_equal(cq_verify(path, vs_note, f, &f->result), -ENOENT);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(cq_verify(f->dir, vs_note, f, &f->result), -ENOTEMPTY);
}

static void trimmed_queue(void **state)
{
	struct vs *f = *state;

	make_queue(f);
	vs_delete(f, "000000000.q");
	vs_delete(f, "000000000.idx");
	assert_int_equal(vs_verify(f), 0);
	assert_int_equal(f->result.records, SUPPORT_PER_SEGMENT + 5);
	vs_delete(f, "000000001.q");
	assert_int_equal(vs_verify(f), 0);
}

static void hints_may_be_missing(void **state)
{
	struct vs *f = *state;

	make_queue(f);
	vs_delete(f, "000000000.idx");
	vs_delete(f, "index.meta");
	vs_delete(f, "durable.meta");
	assert_int_equal(vs_verify(f), 0);
	vs_delete(f, "control.meta");
	assert_int_equal(vs_verify(f), 1);
	assert_string_equal(f->text, "control.meta is missing");
}

/* ---- what is not ---- */

/* Every bit of every byte of the segments counts: each flip is found, and is damage where records are, or
 * where the segment is sealed. */
static void every_flipped_byte_is_found(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xFF };
	struct vs *f = *state;
	char name[CQ_NAME_MAX];

	make_queue(f);
	for (unsigned id = 0; id < 4; id++) {
		uint64_t used = id < 2 ? 4096 : id == 2 ? 64 + 5 * SPAN : 64;

		snprintf(name, sizeof name, CQ_SEGMENT_NAME, id);
		for (uint64_t at = 0; at < 4096; at++) {
			uint8_t mask = masks[at % 3];

			vs_flip(f, name, at, mask);
			if (vs_verify(f) == 0 || (at < used && f->result.damage == 0))
				fail_msg("%s offset %llu: %llu damage, %llu notes", name,
				         (unsigned long long)at,
				         (unsigned long long)f->result.damage,
				         (unsigned long long)f->result.information);
			vs_flip(f, name, at, mask);
		}
	}
	assert_int_equal(vs_verify(f), 0);
}

static void every_shorter_file_is_found(void **state)
{
	struct vs *f = *state;
	char *bytes, path[PATH_SIZE], name[CQ_NAME_MAX];
	size_t size;

	make_queue(f);
	for (unsigned id = 0; id < 4; id++) {
		snprintf(name, sizeof name, CQ_SEGMENT_NAME, id);
		support_path(path, f->dir, name);
		bytes = support_slurp(path, &size);
		for (off_t length = 0; length < 4096; length += 61) {
			vs_cut(f, name, length);
			assert_true(vs_verify(f) >= 10);
			support_poke(f->dir, name, 0, bytes, size);
		}
		free(bytes);
	}
	assert_int_equal(vs_verify(f), 0);
}

static void one_fault_is_told_once(void **state)
{
	struct vs *f = *state;
	struct cq_record_header header;
	uint64_t at = 64 + 3 * SPAN;

	make_queue(f);
	vs_flip(f, "000000000.q", at + 64, 1); /* payload: the next record can still be found */
	assert_int_equal(vs_verify(f), 10);
	assert_int_equal(f->last.segment, 0);
	assert_int_equal(f->last.offset, at);
	assert_true(f->last.damage);
	assert_int_equal(f->result.records, 2 * SUPPORT_PER_SEGMENT + 5);
	vs_flip(f, "000000000.q", at + 64, 1);

	vs_flip(f, "000000000.q", at + 8, 1); /* header: it cannot */
	assert_int_equal(vs_verify(f), 10);
	assert_int_equal(f->last.offset, at);
	vs_flip(f, "000000000.q", at + 8, 1);

	/* well-formed records that do not follow on each other */
	support_peek(f->dir, "000000001.q", at, &header, sizeof header);
	header.stream_offset += 3;
	header.header_crc = cq_record_header_crc(&header, header.commit);
	support_poke(f->dir, "000000001.q", at, &header, sizeof header);
	assert_int_equal(vs_verify(f), 20); /* there, and back again */
	header.stream_offset -= 3;
	header.seq += 5;
	header.header_crc = cq_record_header_crc(&header, header.commit);
	support_poke(f->dir, "000000001.q", at, &header, sizeof header);
	assert_int_equal(vs_verify(f), 20);
}

static void epoch_going_back(void **state)
{
	struct vs *f = *state;
	struct cq_record_header header;
	uint64_t at = 64 + 2 * SPAN;

	support_append(f->dir, 0, 2);
	support_append(f->dir, 2, 2);
	assert_int_equal(vs_verify(f), 0);
	support_peek(f->dir, "000000000.q", at, &header, sizeof header);
	assert_int_equal(header.epoch, 2);
	header.epoch = 0;
	header.header_crc = cq_record_header_crc(&header, header.commit);
	support_poke(f->dir, "000000000.q", at, &header, sizeof header);
	assert_int_equal(vs_verify(f), 10);
	assert_string_equal(f->text, "epoch 0 after 1");
}

static void missing_segments(void **state)
{
	struct vs *f = *state;

	make_queue(f);
	vs_delete(f, "000000001.q");
	assert_int_equal(vs_verify(f), 10);
	assert_int_equal(f->last.segment, 1);
	use_golden(f, "v2-mixed");
	vs_delete(f, "000000005.q");
	vs_delete(f, "000000006.q");
	assert_true(vs_verify(f) >= 10); /* control.meta says that there was more */
	use_golden(f, "v2-mixed");
	vs_flip(f, "000000005.q", 64, 0xFF); /* its first record vanishes, and all behind it */
	assert_true(vs_verify(f) >= 10);
}

static void records_behind_the_watermark_are_missing(void **state)
{
	struct vs *f = *state;

	make_queue(f);
	vs_delete(f, "control.meta");
	vs_delete(f, "index.meta");
	vs_delete(f, "000000003.q");
	vs_delete(f, "000000002.q");
	assert_int_equal(vs_verify(f), 11);
	assert_non_null(strstr(f->text, "durable.meta says that they were durable"));
}

static void index_against_its_segment(void **state)
{
	struct vs *f = *state;

	make_queue(f);
	vs_flip(f, "000000001.idx", sizeof(struct cq_index_header), 1); /* seq of the entry */
	assert_int_equal(vs_verify(f), 10);
	vs_flip(f, "000000001.idx", sizeof(struct cq_index_header), 1);
	vs_flip(f, "000000001.idx", offsetof(struct cq_index_header, max_time_ns), 1);
	assert_int_equal(vs_verify(f), 10);
	vs_flip(f, "000000001.idx", offsetof(struct cq_index_header, max_time_ns), 1);
	vs_flip(f, "000000001.idx", 0, 1);
	assert_int_equal(vs_verify(f), 10);
	vs_cut(f, "000000001.idx", 0);
	assert_int_equal(vs_verify(f), 1);
}

static void control_and_index_positions(void **state)
{
	struct vs *f = *state;
	struct cq_position_file position = { 1, 64 };
	uint64_t offset = 64;

	make_queue(f);
	support_poke(f->dir, "index.meta", 0, &position, sizeof position);
	assert_int_equal(vs_verify(f), 1); /* stale */
	position.write_offset = 96;
	support_poke(f->dir, "index.meta", 0, &position, sizeof position);
	assert_int_equal(vs_verify(f), 10);
	position = (struct cq_position_file){ 2, 4032 };
	support_poke(f->dir, "index.meta", 0, &position, sizeof position);
	assert_int_equal(vs_verify(f), 10);
	position = (struct cq_position_file){ UINT64_MAX, UINT64_MAX };
	support_poke(f->dir, "index.meta", 0, &position, sizeof position);
	assert_int_equal(vs_verify(f), 10);
	vs_delete(f, "index.meta");

	support_poke(f->dir, "control.meta", offsetof(struct cq_control_page, write_offset),
	             &offset, sizeof offset);
	assert_int_equal(vs_verify(f), 1);
	offset = 4032;
	support_poke(f->dir, "control.meta", offsetof(struct cq_control_page, write_offset),
	             &offset, sizeof offset);
	assert_int_equal(vs_verify(f), 10);
	offset = 8192;
	support_poke(f->dir, "control.meta", offsetof(struct cq_control_page, segment_size),
	             &offset, sizeof offset);
	assert_int_equal(vs_verify(f), 20);
	vs_flip(f, "control.meta", 0, 1);
	assert_int_equal(vs_verify(f), 10);
	vs_cut(f, "control.meta", 0);
	assert_int_equal(vs_verify(f), 1);
}

static void put_reader(struct vs *f, const char *name, uint64_t segment, uint64_t offset)
{
	struct cq_reader_file cursor = { .segment = segment, .offset = offset };
	int dirfd, fd;

	dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dirfd >= 0);
	assert_int_equal(cq_reader_file_open(dirfd, name, true, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
	close(fd);
	close(dirfd);
}

static void positions_of_readers(void **state)
{
	struct vs *f = *state;
	char path[PATH_SIZE];
	FILE *foreign;

	make_queue(f);
	put_reader(f, "begin", 0, 64);
	put_reader(f, "middle", 1, 64 + 7 * SPAN);
	put_reader(f, "sealed", 1, 4032);
	put_reader(f, "tail", 2, 64 + 5 * SPAN);
	put_reader(f, "spare", 3, 64);
	assert_int_equal(vs_verify(f), 0);
	put_reader(f, "wrong", 1, 64 + 7 * SPAN + 64);
	assert_int_equal(vs_verify(f), 10);
	put_reader(f, "wrong", 2, 64 + 6 * SPAN);
	assert_int_equal(vs_verify(f), 10);
	put_reader(f, "wrong", 77, 64);
	assert_int_equal(vs_verify(f), 10);
	put_reader(f, "wrong", 0, 64);
	assert_int_equal(vs_verify(f), 0);

	vs_delete(f, "000000000.q");
	assert_int_equal(vs_verify(f), 2); /* begin and wrong */
	vs_delete(f, "readers/begin.meta");
	vs_cut(f, "readers/wrong.meta", 0);
	assert_int_equal(vs_verify(f), 1);
	vs_cut(f, "readers/wrong.meta", 17);
	assert_int_equal(vs_verify(f), 1);
	vs_flip(f, "readers/wrong.meta", 3, 1);
	assert_int_equal(vs_verify(f), 10);
	vs_delete(f, "readers/wrong.meta");
	/* no name of a reader's: a note */
	support_path(path, f->dir, "readers/a copy.meta");
	foreign = fopen(path, "we");
	assert_non_null(foreign);
	assert_int_equal(fputs("x", foreign), 1);
	assert_int_equal(fclose(foreign), 0);
	assert_int_equal(vs_verify(f), 1);
}

/* What a killed writer leaves is a note, whether there is a position or not: bytes without a commit word.
 * A record that has one and is not sound is damage. */
static void residue_of_a_killed_writer(void **state)
{
	struct vs *f = *state;
	struct cq_record_header torn = { .commit = 40, .version = CQ_RECORD_VERSION, .seq = 67 };
	uint64_t tail = 64 + 5 * SPAN;

	make_queue(f);
	support_poke(f->dir, "000000002.q", tail + 64, "half a payload", 14);
	assert_int_equal(vs_verify(f), 1);
	assert_int_equal(f->last.offset, tail + 64);
	vs_delete(f, "control.meta");
	assert_int_equal(vs_verify(f), 2);
	support_poke(f->dir, "000000002.q", tail, &torn, sizeof torn);
	assert_int_equal(vs_verify(f), 12); /* index.meta names a place before it */
	support_append(f->dir, 0, 1);
	assert_int_equal(vs_verify(f), 1); /* recovery has set it aside */
	assert_non_null(strstr(f->text, "set bytes aside"));
}

static void unsealed_segment_that_was_left(void **state)
{
	struct vs *f = *state;

	use_golden(f, "v2-mixed");
	vs_flip(f, "000000002.q", offsetof(struct cq_segment_header, flags), CQ_SEALED);
	assert_int_equal(vs_verify(f), 10);
	assert_int_equal(f->last.segment, 2);
}

static void header_lost_in_a_power_cut(void **state)
{
	static const uint8_t zeros[4096];
	struct vs *f = *state;

	make_queue(f);
	support_poke(f->dir, "000000003.q", 0, zeros, sizeof zeros);
	assert_int_equal(vs_verify(f), 1);
	support_poke(f->dir, "000000002.q", 0, zeros, sizeof zeros);
	assert_true(vs_verify(f) >= 10);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, vs_setup, vs_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(golden_queues),
		WITH(continued_queues),
		WITH(not_a_queue),
		WITH(trimmed_queue),
		WITH(hints_may_be_missing),
		WITH(every_flipped_byte_is_found),
		WITH(every_shorter_file_is_found),
		WITH(one_fault_is_told_once),
		WITH(epoch_going_back),
		WITH(missing_segments),
		WITH(records_behind_the_watermark_are_missing),
		WITH(index_against_its_segment),
		WITH(control_and_index_positions),
		WITH(positions_of_readers),
		WITH(residue_of_a_killed_writer),
		WITH(unsealed_segment_that_was_left),
		WITH(header_lost_in_a_power_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
