/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_verify_damage.c - what cq_verify says of one wrong value, with all that is around it right
 *
 * And of a disk that cannot be read, and of a queue that changes while it is looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check/check.h"
#include "files/index.h"
#include "meta/lock.h"
#include "meta/reader_file.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define NAME(id) "00000000" #id ".q"
#define AT(record) (64 + (uint64_t)((record) % 31) * 128)

typedef void (*damage_fn)(struct qs *q);

/* ---- what was found ---- */

struct found {
	char text[4096]; /* "damage SEGMENT:OFFSET text\n", or "note ..." */
	size_t length;
	struct cq_verify_result result;
	const char *drops; /* deleted at the first finding, in the middle of the walk */
	void (*meanwhile)(struct qs *q); /* done then */
	struct qs *q;
};

static void hear(void *arg, const struct cq_finding *finding)
{
	struct found *f = arg;
	int n = snprintf(f->text + f->length, sizeof f->text - f->length, "%s %d:%llu %s\n",
	                 finding->damage ? "damage" : "note", (int)finding->segment,
	                 (unsigned long long)finding->offset, finding->text);

	if (n > 0 && (size_t)n < sizeof f->text - f->length)
		f->length += (size_t)n;
	if (f->drops)
		assert_int_equal(unlinkat(f->q->dirfd, f->drops, 0), 0);
	f->drops = NULL;
	if (f->meanwhile)
		f->meanwhile(f->q);
	f->meanwhile = NULL;
}

static int look(struct qs *q, bool at_rest, struct found *f)
{
	cq_queue *queue;
	int r;

	r = cq_queue_open(q->dir, &queue);
	if (r < 0)
		return r;
	r = cq_verify_queue(queue, at_rest, hear, f, &f->result);
	cq_queue_close(queue);
	return r;
}

/* drops: a file that is deleted meanwhile, or NULL. */
static int verify(struct qs *q, bool at_rest, const char *drops, struct found *f)
{
	*f = (struct found){ .drops = drops, .q = q };
	return look(q, at_rest, f);
}

/* These are all the findings. */
static void finds(struct qs *q, const char *text)
{
	struct found f;

	assert_int_equal(verify(q, true, NULL, &f), 0);
	assert_string_equal(f.text, text);
}

/* This one is among them. */
static void finds_also(struct qs *q, const char *text)
{
	struct found f;

	assert_int_equal(verify(q, true, NULL, &f), 0);
	if (!strstr(f.text, text))
		print_error("%s", f.text);
	assert_non_null(strstr(f.text, text));
}

/* ---- queues ---- */

/* Segments 0 and 1 with 31 records each, 2 with five; closed. */
static void make(struct qs *q)
{
	qs_open(q);
	qs_append(q->writer, 0, 67);
	qs_flush(q->writer);
	qs_close(q);
	finds(q, "");
}

static void drop(struct qs *q, const char *name)
{
	assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
}

/* chronicle-rs's, 40 records, from number 0 on; its records' headers have no checksum. */
static void make_foreign(struct qs *q)
{
	char golden[PATH_SIZE];

	qs_anew(q);
	support_golden(golden, "v1-small");
	support_copy(golden, q->dir);
	finds(q, "");
}

/* Changes a segment's header, and its checksum with it. */
static void set_header(struct qs *q, const char *name, uint64_t offset, uint64_t value)
{
	struct cq_segment_header h;

	support_poke(q->dir, name, offset, &value, sizeof value);
	support_peek(q->dir, name, 0, &h, sizeof h);
	h.ext_crc = qs_crc32(&h.stream_base, 40);
	support_poke(q->dir, name, 0, &h, sizeof h);
}

/* ---- one value ---- */

static void summaries(void **state)
{
	static const uint64_t payload_bytes = 56, used = 48, records = 40;
	struct qs *q = *state;

	make(q);
	set_header(q, NAME(1), payload_bytes, 280);
	finds(q,
	      "damage 1:40 the header counts 31 records of 280 bytes up to offset 4032, the segment "
	      "has 31 of 279 up to 4032\n");
	set_header(q, NAME(1), payload_bytes, 279);
	/* in the segment in use nothing is filled in before the seal */
	set_header(q, NAME(2), used, 576);
	set_header(q, NAME(2), records, 4);
	finds(q,
	      "damage 2:40 the header counts 4 records of 0 bytes up to offset 576, the segment has "
	      "5 of 45 up to 704\n");
}

static void index_values(void **state)
{
	struct cq_index index, right;
	struct qs *q = *state;

	make(q);
	assert_int_equal(cq_index_read(q->dirfd, 1, QS_SIZE, &right), 0);
	index.header = right.header;
	for (int what = 0; what < 7; what++) {
		struct cq_index_entry entry = right.entries[0];

		index.header = right.header;
		index.entries = &entry;
		if (what == 0)
			index.header.min_seq--;
		else if (what == 1)
			index.header.max_seq++;
		else if (what == 2)
			index.header.min_time_ns--;
		else if (what == 3)
			index.header.max_time_ns++;
		else if (what == 4)
			entry.seq++;
		else if (what == 5)
			entry.time_ns = right.header.max_time_ns;
		else
			entry.offset += 64;
		assert_int_equal(cq_index_write(q->dirfd, &index), 0);
		if (what < 4)
			finds(q,
			      "damage 1:0 the index does not cover the records of the segment\n");
		else
			finds(q, what < 6 ? "damage 1:64 the index has an entry that is not of a "
			                    "record here\n"
			                  : "damage 1:128 the index has an entry that is not of a "
			                    "record here\n");
	}
	assert_int_equal(cq_index_write(q->dirfd, &right), 0);
	finds(q, "");
	cq_index_fini(&right);
}

/* Its one entry is of the second record: seeks that begin there would miss the first. */
static void index_of_another_record(void **state)
{
	struct cq_record_header second;
	struct cq_index index;
	struct qs *q = *state;

	make(q);
	assert_int_equal(cq_index_read(q->dirfd, 1, QS_SIZE, &index), 0);
	support_peek(q->dir, NAME(1), AT(1), &second, sizeof second);
	index.entries[0] = (struct cq_index_entry){
		.seq = second.seq,
		.time_ns = second.time_ns,
		.offset = AT(1),
	};
	assert_int_equal(cq_index_write(q->dirfd, &index), 0);
	cq_index_fini(&index);
	finds(q, "damage 1:0 the index does not cover the records of the segment\n");
}

/* An entry behind the last record, where one could be. */
static void index_of_more_records(void **state)
{
	struct cq_index_entry entries[2];
	struct cq_index index;
	struct qs *q = *state;

	q->config.segment_size = 1U << 20;
	qs_open(q);
	qs_append(q->writer, 0, 5);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	qs_flush(q->writer);
	qs_close(q);
	finds(q, "");
	assert_int_equal(cq_index_read(q->dirfd, 0, 1U << 20, &index), 0);
	assert_int_equal(index.header.entries, 1);
	entries[0] = entries[1] = index.entries[0];
	entries[1].offset = 64 + 4096 * 128;
	cq_index_fini(&index);
	index.entries = entries;
	index.header.entries = 2;
	assert_int_equal(cq_index_write(q->dirfd, &index), 0);
	finds(q, "damage 0:704 the index has an entry that is not of a record here\n");
}

/* A power cut leaves sectors of zeros; anything else in a place that no index has is damage. */
static void sectors_of_an_index(void **state)
{
	static const char damaged[] =
		"damage 1:0 the index 000000001.idx cannot be used: it is damaged\n";
	static const char hollow[] =
		"note 1:0 the index 000000001.idx has not come to the disk whole\n";
	struct qs *q = *state;
	char bytes[1536];

	make(q);
	memset(bytes, 'X', sizeof bytes);
	qs_write_file(q->dir, "000000001.idx", bytes, 512);
	finds(q, damaged);
	qs_write_file(q->dir, "000000001.idx", bytes, 700);
	finds(q, damaged);
	qs_write_file(q->dir, "000000001.idx", bytes, 1024);
	finds(q, damaged);
	memset(bytes + 512, 0, 512);
	qs_write_file(q->dir, "000000001.idx", bytes, 1536);
	finds(q, hollow);
}

/* Behind a gap the records themselves say where they belong. */
static void header_without_extension_behind_a_gap(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 98);
	qs_flush(q->writer);
	qs_close(q);
	drop(q, NAME(1));
	qs_zero(q->dir, NAME(2), 16, 64);
	finds(q, "damage 1:0 missing: there is no segment from 000000001 to 000000001\n");
}

static void sequence_of_chronicle_rs(void **state)
{
	static const uint64_t five = 5;
	struct qs *q = *state;

	make_foreign(q);
	support_poke(q->dir, NAME(0), AT(3) + 8, &five, sizeof five);
	finds(q, "damage 0:448 sequence number 5 where 3 should be\n");
}

/* It counts from 0 again in the middle of a segment: no damage, whatever the numbers are then. */
static void sequence_starts_again(void **state)
{
	struct qs *q = *state;

	make_foreign(q);
	for (uint64_t i = 4; i < 9; i++) {
		const uint64_t seq = i - 4;

		support_poke(q->dir, NAME(1), AT(i) + 8, &seq, sizeof seq);
	}
	finds(q,
	      "note 1:576 sequence numbers start again at 0: chronicle-rs opened the queue here\n");
}

/* A record's version is that of its segment. */
static void version_of_a_record(void **state)
{
	struct cq_record_header h;
	struct qs *q = *state;

	make(q);
	support_peek(q->dir, NAME(1), AT(3), &h, sizeof h);
	h.version = 0;
	h.header_crc = 0;
	h.header_crc = qs_crc32(&h, sizeof h);
	support_poke(q->dir, NAME(1), AT(3), &h, sizeof h);
	finds(q, "damage 1:448 record version 0 in a segment of version 2\n");
}

/* Bytes that nothing protects and nobody uses are zero. */
static void reserved_bytes(void **state)
{
	static const uint64_t offsets[] = { 5, 26 };
	struct cq_record_header h;
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
		make_foreign(q);
		support_poke(q->dir, NAME(0), AT(3) + offsets[i], "\2", 1);
		finds_also(q, "damage 0:448 reserved bytes of the record header are not zero\n");
	}
	qs_anew(q);
	make(q);
	support_peek(q->dir, NAME(1), AT(3), &h, sizeof h);
	h.reserved1[3] = 1;
	h.header_crc = 0;
	h.header_crc = qs_crc32(&h, sizeof h);
	support_poke(q->dir, NAME(1), AT(3), &h, sizeof h);
	finds(q, "damage 1:448 reserved bytes of the record header are not zero\n");
}

/* ---- files ---- */

/* There is only the first segment: nothing says how large it should be. */
static void no_sound_segment(void **state)
{
	struct qs *q = *state;

	qs_write_file(q->dir, NAME(0), "rubbish", 7);
	finds(q, "note -1:0 control.meta is missing\ndamage 0:0 the segment header is damaged\n");
	qs_write_file(q->dir, NAME(0), "", 0);
	finds(q, "note -1:0 control.meta is missing\ndamage 0:0 the segment header is damaged\n");
}

static void position_of_zeros(void **state)
{
	struct qs *q = *state;

	make(q);
	qs_zero(q->dir, "index.meta", 0, 16);
	finds(q, "note -1:0 index.meta is empty\n");
}

/* The mark says another number than the records have there. */
static void mark_of_another_number(void **state)
{
	struct qs *q = *state;
	struct found f = { .q = q };

	make(q);
	qs_mark(q->dir, 0, AT(10), 12);
	assert_int_equal(verify(q, true, NULL, &f), 0);
	assert_true(f.result.damage > 0);
	assert_non_null(
		strstr(f.text, "durable.meta says that record 12 comes next here, and it is 10"));
}

static void successor_that_is_not_there(void **state)
{
	static const struct cq_position_file next = { 3, 64 };
	struct qs *q = *state;

	make(q);
	support_poke(q->dir, "index.meta", 0, &next, sizeof next);
	finds(q, "note 3:64 index.meta names the next segment, which is not there\n");
}

/* No segment, and control.meta does not know how large one is: nothing to compare it with. */
static void control_alone(void **state)
{
	static const uint64_t none = 0;
	struct qs *q = *state;

	make(q);
	drop(q, NAME(0));
	drop(q, NAME(1));
	drop(q, NAME(2));
	drop(q, "index.meta");
	drop(q, "durable.meta");
	support_poke(q->dir, "control.meta", offsetof(struct cq_control_page, segment_size), &none,
	             sizeof none);
	finds(q, "damage 2:704 records are missing: control.meta says that they went up to here\n");
}

/* A name that begins like another's is not that one's. */
static void bad_reader_beside_a_good_one(void **state)
{
	struct cq_record record;
	struct qs *q = *state;
	char path[PATH_SIZE];
	cq_reader *reader;

	make(q);
	assert_int_equal(cq_reader_open(q->dir, "log", CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	finds(q, "");
	support_path(path, q->dir, "readers");
	qs_write_file(path, "log2.meta", "rubbish", 7);
	qs_write_file(path, "a-file-of-somebody", "rubbish", 7);
	finds(q, "damage -1:0 log2.meta is damaged\n");
}

/* Where the records end is not known; that no record begins there is. */
static void reader_between_records(void **state)
{
	struct cq_reader_file cursor = { .segment = 0, .offset = AT(3) + 64 };
	struct qs *q = *state;
	int fd;

	make(q);
	assert_int_equal(cq_reader_file_open(q->dirfd, "log", true, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
	close(fd);
	finds(q, "damage 0:512 reader log is at a place where no record begins\n");
	support_poke(q->dir, NAME(2), 0, "X", 1);
	finds_also(q, "damage 0:512 reader log is at a place where no record begins\n");
}

/* ---- while it is looked at ---- */

/* A segment that goes at that moment was trimmed only if it is older than what is left. */
static void deleted_in_the_middle(void **state)
{
	struct qs *q = *state;
	struct found f;

	make(q);
	support_poke(q->dir, NAME(0), AT(0) + 64, "RECORD", 6);
	assert_int_equal(verify(q, true, NAME(1), &f), -ENOENT);
	assert_non_null(strstr(f.text, "damage 1:0 cannot be read: No such file or directory\n"));
}

/* A writer that is in the middle of a roll for so long that its position cannot be had: all that is
 * committed is looked at. */
static void writer_without_a_position(void **state)
{
	const uint32_t odd = 7;
	struct qs *q = *state;
	struct found f;
	struct cq_lock lock;

	make(q);
	support_poke(q->dir, "control.meta", 128, &odd, sizeof odd);
	assert_int_equal(cq_lock_acquire(q->dirfd, &lock), 0);
	assert_int_equal(verify(q, false, NULL, &f), 0);
	assert_string_equal(f.text, "note -1:0 control.meta was left in the middle of a roll\n");
	assert_int_equal(f.result.records, 67);
	support_poke(q->dir, NAME(0), AT(3) + 64, "RECORD", 6);
	assert_int_equal(verify(q, false, NULL, &f), 0);
	assert_int_equal(f.result.damage, 1);
	cq_lock_release(&lock);
	assert_int_equal(verify(q, false, NULL, &f), 0);
	assert_int_equal(f.result.records, 67);
}

/* A writer takes the lock, and is gone again. */
static void writer_comes_by(struct qs *q)
{
	qs_write_file(q->dir, "writer.lock", "somebody's text\n", 16);
}

static void unsealed_goes_on(struct qs *q)
{
	qs_unseal(q->dir, 1);
}

static void damaged_header(struct qs *q)
{
	support_poke(q->dir, NAME(2), AT(2) + 8, "X", 1);
}

/* A record is missing, and the next one is there. */
static void hole(struct qs *q)
{
	qs_zero(q->dir, NAME(2), AT(2), AT(3));
}

static void summary_of_an_unsealed(struct qs *q)
{
	set_header(q, NAME(2), 48, AT(4));
	set_header(q, NAME(2), 40, 4);
}

/* What is damage in a queue at rest may be the work of a writer that was not there when the walk
 * began: where one has come since, nothing is said of what it may be writing. */
static void writer_comes_in_the_middle(void **state)
{
	static const damage_fn damages[] = { unsealed_goes_on, damaged_header,
		                             summary_of_an_unsealed };
	struct qs *q = *state;
	struct found f;

	for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
		qs_anew(q);
		make(q);
		drop(q, "control.meta"); /* reported before the walk */
		drop(q, "index.meta");
		damages[i](q);
		assert_int_equal(verify(q, false, NULL, &f), 0);
		assert_int_equal(f.result.damage, 1);
		f = (struct found){ .meanwhile = writer_comes_by, .q = q };
		assert_int_equal(look(q, false, &f), 0);
		assert_string_equal(f.text, "note -1:0 control.meta is missing\n");
	}
}

/* No writer at work leaves a place out. */
static void hole_beside_a_writer(void **state)
{
	struct qs *q = *state;
	struct found f;
	struct cq_lock lock;

	make(q);
	hole(q);
	assert_int_equal(cq_lock_acquire(q->dirfd, &lock), 0);
	assert_int_equal(verify(q, false, NULL, &f), 0);
	cq_lock_release(&lock);
	assert_non_null(strstr(f.text, "those between are missing; 2 sound records, 65 to 66, are "
	                               "behind it\n"));
}

/* Without the oldest segment nothing says what number the first record has. */
static void damage_where_no_number_is_known(void **state)
{
	static const uint32_t too_long = UINT32_MAX;
	struct qs *q = *state;

	make_foreign(q);
	drop(q, NAME(0));
	support_poke(q->dir, NAME(1), AT(3), &too_long, sizeof too_long);
	finds_also(q, "damage 1:448 a record length that leads out of the segment: the rest of the "
	              "segment cannot be read\n");
}

static void drop_all(struct qs *q)
{
	drop(q, NAME(0));
	drop(q, NAME(1));
	drop(q, NAME(2));
}

/* Nothing is there but what a writer has, which has not made a segment yet. */
static void writer_without_a_segment(void **state)
{
	struct qs *q = *state;
	struct found f;
	struct cq_lock lock;

	make(q);
	drop_all(q);
	drop(q, "control.meta");
	drop(q, "index.meta");
	drop(q, "durable.meta");
	assert_int_equal(cq_lock_acquire(q->dirfd, &lock), 0);
	assert_int_equal(verify(q, false, NULL, &f), 0);
	cq_lock_release(&lock);
	assert_int_equal(f.result.damage, 0);
	assert_int_equal(f.result.records, 0);
}

/* No retention takes the last segment. */
static void all_go_in_the_middle(void **state)
{
	struct qs *q = *state;
	struct found f = { .meanwhile = drop_all, .q = q };

	make(q);
	support_poke(q->dir, NAME(0), AT(0) + 64, "RECORD", 6);
	assert_int_equal(look(q, true, &f), -ENOENT);
	assert_non_null(strstr(f.text, "damage 1:0 cannot be read: No such file or directory\n"));
}

#ifdef CQ_FAULTS
/* Any call that fails, on a queue that has damage of several kinds: it is never called sound. */
static void each_call_fails(struct qs *q, uint64_t least, uint64_t all)
{
	static const struct {
		const char *name;
		int error;
	} calls[] = { { "open", EMFILE },     { "open", EIO },   { "pread", EIO },
		      { "pread", ENOMEM },    { "stat", EIO },   { "stat_at", EIO },
		      { "seek_data", EIO },   { "list", EIO },   { "next_name", EIO },
		      { "open_dir", EMFILE }, { "map", ENOMEM }, { "list", EMFILE } };
	struct found f;

	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		for (int count = 1; count >= -1; count -= 2) {
			int r, skip = 0;

			do {
				cq_fault_forget();
				cq_fault_set(calls[i].name, calls[i].error, skip++, count);
				r = verify(q, false, NULL, &f);
				cq_fault_set(NULL, 0, 0, 0);
				assert_true(r < 0 || f.result.damage >= least / 2);
				/* want of means is nobody's damage, and is said */
				if (calls[i].error == EMFILE && r == 0)
					assert_in_range(f.result.damage, least, all);
			} while (cq_fault_given() > 0);
			assert_int_equal(r, 0);
		}
	}
}

static void nothing_is_sound_that_cannot_be_read(void **state)
{
	struct qs *q = *state;
	char path[PATH_SIZE];

	make(q);
	support_path(path, q->dir, NAME(0));
	assert_int_equal(truncate(path, 2048), 0);
	qs_write_file(q->dir, "000000001.idx", "rubbish", 7);
	qs_write_file(q->dir, "index.meta", "short", 5);
	assert_int_equal(mkdirat(q->dirfd, "readers", 0700), 0);
	support_path(path, q->dir, "readers");
	qs_write_file(path, "log.meta", "rubbish", 7);
	each_call_fails(q, 4, 4);
}

/* The same of damaged and missing records, with records behind them, at rest and beside a writer. */
static void nor_what_has_damaged_records(void **state)
{
	struct qs *q = *state;
	struct cq_lock lock;
	struct found f;

	make(q);
	support_poke(q->dir, NAME(0), AT(3) + 64, "RECORD", 6);
	support_poke(q->dir, NAME(1), AT(3) + 8, "X", 1);
	hole(q);
	assert_int_equal(verify(q, false, NULL, &f), 0);
	each_call_fails(q, 2, f.result.damage);
	assert_int_equal(cq_lock_acquire(q->dirfd, &lock), 0);
	assert_int_equal(verify(q, false, NULL, &f), 0);
	each_call_fails(q, 2, f.result.damage);
	cq_lock_release(&lock);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(summaries),
	QS_TEST(index_values),
	QS_TEST(index_of_another_record),
	QS_TEST(index_of_more_records),
	QS_TEST(sectors_of_an_index),
	QS_TEST(header_without_extension_behind_a_gap),
	QS_TEST(sequence_of_chronicle_rs),
	QS_TEST(sequence_starts_again),
	QS_TEST(version_of_a_record),
	QS_TEST(reserved_bytes),
	QS_TEST(no_sound_segment),
	QS_TEST(position_of_zeros),
	QS_TEST(mark_of_another_number),
	QS_TEST(successor_that_is_not_there),
	QS_TEST(control_alone),
	QS_TEST(bad_reader_beside_a_good_one),
	QS_TEST(reader_between_records),
	QS_TEST(deleted_in_the_middle),
	QS_TEST(writer_without_a_position),
	QS_TEST(writer_comes_in_the_middle),
	QS_TEST(hole_beside_a_writer),
	QS_TEST(writer_without_a_segment),
	QS_TEST(damage_where_no_number_is_known),
	QS_TEST(all_go_in_the_middle),
#ifdef CQ_FAULTS
	QS_TEST(nothing_is_sound_that_cannot_be_read),
	QS_TEST(nor_what_has_damaged_records),
#endif
};

QS_MAIN(tests)
