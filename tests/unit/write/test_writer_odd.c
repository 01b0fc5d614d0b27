/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_writer_odd.c - a writer at odd moments: empty batches, segments without room for a byte, a file cut
 * during a store, other files with the name of the next segment, a segment of padding alone, a segment
 * that is in use
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

#include "files/dir.h"
#include "format/format.h"
#include "format/record.h"
#include "kernel.h"
#include "messages/log.h"
#include "os/fault.h"
#include "queue_support.h"
#include "read/reader.h"
#include "write/writer.h"

#define NAME(id) "00000000" #id ".q"

static void is_sound(struct qs *q)
{
	struct cq_verify_result result = CQ_SIZED(result);

	assert_int_equal(cq_verify(q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
}

/* More messages than the result can count, and none at all. */
static void odd_batches(void **state)
{
	struct qs *q = *state;
	struct cq_stats before = CQ_SIZED(before), after = CQ_SIZED(after);
	struct cq_appended in = { .count = 9 };

	q->config.sync = CQ_SYNC_ALWAYS;
	qs_open(q);
	qs_append(q->writer, 0, 1);
	before = qs_stats(q->writer);
	assert_int_equal(cq_writer_append_batch(q->writer, NULL, SIZE_MAX, &in), -EINVAL);
	assert_int_equal(in.count, 0);
	assert_int_equal(cq_writer_append_batch(q->writer, NULL, 0, &in), 0);
	assert_int_equal(in.count, 0);
	assert_false(in.durable);
	after = qs_stats(q->writer); /* no sync for nothing */
	assert_memory_equal(&before, &after, sizeof before);
}

/* Records whose sync fails exist, are not known to be durable, and are the last that the writer takes: the
 * caller gets both facts. */
static void records_without_their_sync(void **state)
{
	const struct cq_message messages[] = { { "record 0", 8, 1 }, { "record 1", 8, 1 } };
	struct cq_appended in = { 0 };
	struct qs *q = *state;

	q->config.sync = CQ_SYNC_ALWAYS;
	for (int batch = 0; batch < 2; batch++) {
		const unsigned count = batch ? 2 : 1;

		qs_anew(q);
		qs_open(q);
		kernel_refuse("fdatasync", EIO, 0, 1);
		if (batch)
			assert_int_equal(cq_writer_append_batch(q->writer, messages, 2, &in), -EIO);
		else
			assert_int_equal(cq_writer_append(q->writer, 1, "record 0", 8, &in), -EIO);
		kernel_refuse(NULL, 0, 0, 0);
		assert_int_equal(in.count, count);
		assert_int_equal(in.seq, 0);
		assert_false(in.durable);
		qs_expect(q->dir, 0, count);
		assert_int_equal(cq_writer_append_batch(q->writer, messages, 2, &in), -EIO);
		assert_int_equal(in.count, 0);
		assert_int_equal(cq_writer_append(q->writer, 1, "x", 1, &in), -EIO);
		assert_int_equal(in.count, 0);
		assert_int_equal(cq_writer_room(q->writer, 1), -EIO);
		assert_int_equal(cq_writer_roll(q->writer), -EIO);
		assert_int_equal(cq_flush_sealed(q->writer), -EIO);
		assert_int_equal(cq_writer_close(q->writer), -EIO);
		q->writer = NULL;
		qs_expect(q->dir, 0, count);
	}
}

/* A batch stops in its middle, and its sync fails as well. A caller that continues behind the appended ones
 * repeats and skips none, also with a new writer. */
static void going_on_after_an_error(void **state)
{
	static const char large[QS_SIZE] = "too long";
	struct cq_message messages[] = { { "record 0", 8, 1 },
		                         { "record 1", 8, 1 },
		                         { large, sizeof large, 1 },
		                         { "record 2", 8, 1 } };
	struct cq_appended in = { 0 };
	struct qs *q = *state;

	q->config.sync = CQ_SYNC_ALWAYS;
	qs_open(q);
	kernel_refuse("fdatasync", EIO, 0, 1);
	assert_int_equal(cq_writer_append_batch(q->writer, messages, 4, &in), -EIO);
	kernel_refuse(NULL, 0, 0, 0);
	assert_int_equal(in.count, 2);
	assert_false(in.durable);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	qs_open(q);
	assert_int_equal(cq_writer_append_batch(q->writer, messages + 2, 2, &in), -EMSGSIZE);
	assert_int_equal(in.count, 0);
	assert_int_equal(cq_writer_append_batch(q->writer, messages + 3, 1, &in), 1);
	assert_int_equal(in.seq, 2);
	assert_true(in.durable);
	assert_int_equal(cq_writer_append(q->writer, 1, "record 3", 8, &in), 0);
	assert_int_equal(in.count, 1);
	assert_true(in.durable);
	qs_close(q);
	qs_expect(q->dir, 0, 4);
}

/* The smallest segments of the format hold one record, and of its payload 0, 64, 128 bytes. */
static void smallest_segments(void **state)
{
	static const char bytes[129];
	struct qs *q = *state;

	for (uint64_t size = 128; size <= 256; size += 64) {
		const size_t most = (size_t)size - 128;
		const struct cq_message messages[] = { { bytes, most, 1 }, { bytes, most + 1, 1 } };
		struct cq_appended in = { .count = 9 };

		qs_anew(q);
		qs_make_segment(q->dir, 0, size);
		q->config.segment_size = 0;
		assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
		assert_int_equal(cq_writer_max_payload(q->writer), most);
		assert_int_equal(cq_writer_append(q->writer, 1, bytes, most + 1, &in), -EMSGSIZE);
		assert_int_equal(cq_writer_room(q->writer, most + 1), -EMSGSIZE);
		assert_int_equal(cq_writer_append_batch(q->writer, messages + 1, 1, &in),
		                 -EMSGSIZE);
		assert_int_equal(in.count, 0);
		assert_int_equal(qs_stats(q->writer).records, 0);
		/* a record that fits is taken, even an empty one */
		assert_int_equal(cq_writer_append(q->writer, 1, bytes, most, &in), 0);
		assert_int_equal(in.seq, 0);
		assert_int_equal(cq_writer_append_batch(q->writer, messages, 2, &in), 1);
		assert_int_equal(in.seq, 1);
		assert_int_equal(cq_writer_close(q->writer), 0);
		q->writer = NULL;
		is_sound(q);
	}
}

/* ---- the next segment ---- */

/* The file with the next segment's name holds a record: it is not written to, and once it is gone the same
 * append succeeds. */
static void next_segment_in_use(void **state)
{
	static const uint32_t commit = 1;
	struct qs *q = *state;
	struct qs_snapshot before;

	qs_open(q);
	qs_append(q->writer, 0, 62);
	qs_make_segment(q->dir, 2, QS_SIZE);
	support_poke(q->dir, NAME(2), 64, &commit, sizeof commit);
	qs_snapshot(q->dir, &before);
	assert_int_equal(cq_writer_append(q->writer, 1, "record 62", 9, NULL), -EBADMSG);
	qs_unchanged(q->dir, &before);
	assert_int_equal(unlinkat(q->dirfd, NAME(2), 0), 0);
	qs_append(q->writer, 62, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 63);
}

/* A directory has the temp name: it is no leftover of ours, and stays. */
static void directory_under_a_temp_name(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, 62);
	assert_int_equal(mkdirat(q->dirfd, NAME(2) ".new.tmp", 0700), 0);
	assert_int_equal(cq_writer_append(q->writer, 1, "record 62", 9, NULL), -EBADMSG);
	assert_true(support_exists(q->dir, NAME(2) ".new.tmp"));
	assert_int_equal(unlinkat(q->dirfd, NAME(2) ".new.tmp", AT_REMOVEDIR), 0);
	qs_append(q->writer, 62, 1);
	qs_close(q);
	qs_expect(q->dir, 0, 63);
}

/* chronicle-rs pads a segment to its end; this one holds only padding. A roll leaves it like any other; it
 * has no index, and no reader misses a record. */
static void segment_of_padding(void **state)
{
	static const struct cq_record_header pad = { .commit = 3072 - 64 + 1,
		                                     .version = CQ_RECORD_VERSION,
		                                     .type = CQ_TYPE_PAD };
	static char large[2000];
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	qs_make_segment(q->dir, 0, QS_SIZE);
	support_poke(q->dir, NAME(0), 64, &pad, sizeof pad);
	qs_open(q);
	assert_int_equal(qs_stats(q->writer).offset, 64 + 3072);
	assert_int_equal(cq_writer_append(q->writer, 1, large, sizeof large, NULL), 0);
	assert_int_equal(cq_writer_append(q->writer, 1, large, sizeof large, NULL), 0);
	assert_int_equal(qs_stats(q->writer).segment, 2);
	qs_close(q);
	assert_false(support_exists(q->dir, "000000000.idx"));
	assert_true(support_exists(q->dir, "000000001.idx"));
	is_sound(q);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (uint64_t seq = 0; seq < 2; seq++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, seq);
	}
	assert_int_equal(cq_reader_next(reader, &record), 0);
	cq_reader_close(reader);
}

/* ---- a segment behind a roll ---- */

/* A prefault uses the segment while it is sealed and synced: it stays mapped and open until the prefault is
 * done; later segments do not wait. */
static void segment_in_use(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *s;

	qs_open(q);
	s = q->writer->current;
	__atomic_fetch_add(&s->mapping_users, 1, __ATOMIC_ACQ_REL);
	qs_append(q->writer, 0, 70);
	assert_int_equal(cq_writer_sync(q->writer), 0);
	while (cq_sealed_finalize_one(q->writer))
		;
	assert_non_null(s->map.base);
	assert_int_equal(atomic_load(&q->writer->flush.open_count), 1);
	assert_false(support_exists(q->dir, "000000000.idx"));
	assert_true(support_exists(q->dir, "000000001.idx"));
	__atomic_fetch_sub(&s->mapping_users, 1, __ATOMIC_ACQ_REL);
	assert_true(cq_sealed_finalize_one(q->writer));
	assert_int_equal(atomic_load(&q->writer->flush.open_count), 0);
	assert_true(support_exists(q->dir, "000000000.idx"));
}

/* On a slow disk with quick rolls there is always something to sync. Segments that need no sync, or have had
 * it, are closed meanwhile, or the process would run out of descriptors. */
static void closed_while_there_is_more_to_sync(void **state)
{
	const uint32_t most = CQ_SEALED_OPEN_MAX;
	struct qs *q = *state;
	char name[CQ_NAME_MAX];
	cq_writer *w;

	qs_open(q);
	w = q->writer;
	qs_append(w, 0, (most + 3) * 31);
	for (uint32_t id = 0; id < most + 2; id++) {
		cq_segment_name(name, id);
		assert_int_equal(unlinkat(q->dirfd, name, 0), 0);
	}
	assert_int_equal(cq_flush_sealed(w), 1);
	qs_append(w, (most + 3) * 31, 2 * 31);
	assert_int_equal(atomic_load(&w->flush.open_count), most + 4);
	for (struct cq_wsegment *s = w->flush.unsynced; s; s = s->next)
		s->sealed_ms -= 1000; /* due */
	for (uint32_t open = most + 4; open > most; open--) {
		assert_int_equal(atomic_load(&w->flush.open_count), open);
		assert_int_equal(cq_flush_step(w), 0);
	}
	assert_int_equal(qs_stats(w).unsynced, 2);
	assert_int_equal(cq_flush_step(w), 0);
	assert_int_equal(qs_stats(w).unsynced, 0);
	assert_int_equal(atomic_load(&w->flush.open_count), most);
}

/* ---- messages and readers ---- */

/* A message of control characters alone is cut where the text has no more room. */
static void long_messages(void **state)
{
	char text[10];

	(void)state;
	cq_printable(text, sizeof text, "\001\002\003");
	assert_string_equal(text, "\\x01\\x02");
	cq_printable(text, sizeof text, "abcdefghijkl");
	assert_string_equal(text, "abcdef");
}

/* A reader whose sign of life cannot be written still waits, and its commits still count. */
static void reader_without_a_heartbeat(void **state)
{
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	qs_open(q);
	qs_append(q->writer, 0, 2);
	assert_int_equal(cq_reader_open(q->dir, "log", CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(cq_reader_commit(reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	reader->committed.heartbeat_ns = 1; /* long ago */
	kernel_refuse("pwrite", EIO, 0, 1);
	assert_int_equal(cq_reader_wait(reader, 1), 0);
	assert_int_equal(kernel_refused(), 1);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	qs_append(q->writer, 2, 1);
	assert_int_equal(cq_reader_open(q->dir, "log", CQ_START_RESUME, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, 2);
	cq_reader_close(reader);
}

#ifdef CQ_FAULTS
static struct qs *heard_by;

static void cut_the_file(const char *place)
{
	char path[PATH_SIZE];

	if (strcmp(place, "append.before_commit") != 0)
		return;
	support_path(path, heard_by->dir, NAME(0));
	assert_int_equal(truncate(path, 0), 0);
}

/* The file is cut short just before the commit word is stored: that store is in no file, so the append
 * fails. */
static void cut_in_the_very_store(void **state)
{
	struct qs *q = *state;
	struct cq_stats before = CQ_SIZED(before), after = CQ_SIZED(after);

	qs_open(q);
	qs_append(q->writer, 0, 3);
	before = qs_stats(q->writer);
	heard_by = q;
	cq_point_heard = cut_the_file;
	assert_int_equal(cq_writer_append(q->writer, 1, "lost", 4, NULL), -EIO);
	cq_point_heard = NULL;
	after = qs_stats(q->writer);
	assert_int_equal(after.next_seq, before.next_seq);
	assert_int_equal(after.bytes, before.bytes);
	assert_int_equal(cq_writer_append(q->writer, 1, "more", 4, NULL), -EIO);
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
}

static void put_a_segment(const char *place)
{
	static const uint32_t commit = 1;

	if (strcmp(place, "open.marked") != 0)
		return;
	qs_make_segment(heard_by->dir, 1, QS_SIZE);
	support_poke(heard_by->dir, NAME(1), 64, &commit, sizeof commit);
}

/* The same for an open: a file that got the next name after recovery looked is not taken for this queue's. */
static void next_segment_in_use_at_open(void **state)
{
	struct qs *q = *state;

	heard_by = q;
	cq_point_heard = put_a_segment;
	assert_int_equal(qs_try_open(q), -EBADMSG);
	cq_point_heard = NULL;
	assert_int_equal(qs_peek32(q->dir, NAME(1), 64), 1);
	assert_int_equal(unlinkat(q->dirfd, NAME(1), 0), 0);
	qs_open(q);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(odd_batches),
	QS_TEST(records_without_their_sync),
	QS_TEST(going_on_after_an_error),
	QS_TEST(smallest_segments),
	QS_TEST(next_segment_in_use),
	QS_TEST(directory_under_a_temp_name),
	QS_TEST(segment_of_padding),
	QS_TEST(segment_in_use),
	QS_TEST(closed_while_there_is_more_to_sync),
	QS_TEST(long_messages),
	QS_TEST(reader_without_a_heartbeat),
#ifdef CQ_FAULTS
	QS_TEST(cut_in_the_very_store),
	QS_TEST(next_segment_in_use_at_open),
#endif
};

QS_MAIN(tests)
