/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_run.c - large records, and runs of a batch's records, which are written by pwrite (write/run.c)
 *
 * The sizes from which on that is done are lowered, so that small queues have many of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "chronq-fs.h"
#include "format/format.h"
#include "kernel.h"
#include "os/fault.h"
#include "queue_support.h"
#include "write/writer.h"

#define NAME(id) "00000000" #id ".q"
#define SIZE 65536U
#define PIECE 8192U
#define MOST 64U

/* ---- a queue, and what is in it ---- */

static bool stable; /* the payloads are written without a copy */

static void open_small_pieces(struct qs *q)
{
	q->config.segment_size = SIZE;
	qs_open(q);
	q->writer->run.piece = PIECE;
	q->writer->run.least_record = 1000;
	q->writer->run.least_batch = 300;
	if (stable)
		cq_writer_payloads_are_stable(q->writer);
}

static uint8_t byte_of(uint64_t seq, size_t at)
{
	return (uint8_t)(seq * 131 + at * 7 + at / 251);
}

static void fill(uint8_t *payload, size_t length, uint64_t seq)
{
	for (size_t i = 0; i < length; i++)
		payload[i] = byte_of(seq, i);
}

/* The queue holds records 0 to count-1, with the payloads of fill() and these lengths. */
static void expect(const char *dir, const size_t *lengths, size_t count)
{
	struct cq_record record;
	cq_reader *reader;

	assert_int_equal(cq_reader_open(dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (uint64_t seq = 0; seq < count; seq++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, seq);
		assert_int_equal(record.length, lengths[seq]);
		for (size_t i = 0; i < record.length; i++)
			assert_int_equal(((const uint8_t *)record.payload)[i], byte_of(seq, i));
	}
	assert_int_equal(cq_reader_next(reader, &record), 0);
	cq_reader_close(reader);
}

static void forget(void *arg, const struct cq_finding *finding)
{
	(void)arg;
	(void)finding;
}

/* How much is damaged. */
static uint64_t verify(const char *dir)
{
	struct cq_verify_result result = CQ_SIZED(result);

	assert_int_equal(cq_verify(dir, forget, NULL, &result), 0);
	return result.damage;
}

/* One batch, numbered from `first` on. */
static ssize_t append_batch(cq_writer *w, uint64_t first, const size_t *lengths, size_t count)
{
	static uint8_t payloads[MOST][SIZE];
	struct cq_message messages[MOST];

	assert_in_range(count, 1, MOST);
	for (size_t i = 0; i < count; i++) {
		fill(payloads[i], lengths[i], first + i);
		messages[i] = (struct cq_message){ payloads[i], lengths[i], CQ_TYPE_DEFAULT };
	}
	return cq_writer_append_batch(w, messages, count, NULL);
}

static int append_large(cq_writer *w, uint64_t seq, size_t length)
{
	static uint8_t payload[SIZE];

	fill(payload, length, seq);
	return cq_writer_append(w, CQ_TYPE_DEFAULT, payload, length, NULL);
}

/* ---- what is written ---- */

/* Batches of all kinds of lengths, over many segments; some of their records are large, or fill a piece. */
static void batches(void **state)
{
	static const size_t shapes[] = {
		0,    1,    63,   64,          65,   127, 500, 2000, 7,
		8000, 8128, 8129, PIECE - 128, 9000, 0,   0,   64,   30000
	};
	static size_t lengths[20 * MOST];
	struct qs *q = *state;
	size_t count = 0;

	open_small_pieces(q);
	for (size_t round = 0; round < 20; round++) {
		const size_t n = 1 + (round * 7) % MOST;

		for (size_t i = 0; i < n; i++)
			lengths[count + i] = shapes[(round + i * (1 + round % 5)) %
			                            (sizeof shapes / sizeof *shapes)];
		assert_int_equal(append_batch(q->writer, count, lengths + count, n), n);
		count += n;
		qs_prepare(q->writer);
	}
	assert_true(qs_stats(q->writer).segment > 10);
	expect(q->dir, lengths, count);
	assert_int_equal(verify(q->dir), 0);
	qs_close(q);
	expect(q->dir, lengths, count);
	assert_int_equal(verify(q->dir), 0);
	qs_format_check(q->dir, "--closed");
}

/* Payloads of several parts, in pieces, up to the largest, which fills its segment to the last byte. */
static void large_records(void **state)
{
	static const size_t lengths[] = { 999,        1000,       8064,     8065,       16320,
		                          30000,      PIECE * 3,  SIZE / 2, SIZE - 128, SIZE - 129,
		                          SIZE - 192, SIZE - 191, 1001,     SIZE - 128 };
	const size_t count = sizeof lengths / sizeof *lengths;
	static uint8_t payload[SIZE];
	struct qs *q = *state;

	open_small_pieces(q);
	for (size_t seq = 0; seq < count; seq++) {
		const size_t a = lengths[seq] / 3, b = lengths[seq] / 2;
		const struct iovec iov[] = { { payload, a },
			                     { payload + a, 0 },
			                     { payload + a, b - a },
			                     { payload + b, lengths[seq] - b } };

		fill(payload, lengths[seq], seq);
		assert_int_equal(cq_writer_appendv(q->writer, CQ_TYPE_DEFAULT, iov, 4, NULL), 0);
		qs_prepare(q->writer);
	}
	expect(q->dir, lengths, count);
	qs_close(q);
	assert_int_equal(verify(q->dir), 0);
	qs_format_check(q->dir, "--closed");
}

/* The last piece of a record is the segment's last 64 bytes: no pwrite reaches those. */
static void last_piece_at_the_end(void **state)
{
	static const size_t lengths[] = { SIZE - 128 };
	struct qs *q = *state;

	open_small_pieces(q);
	q->writer->run.piece = SIZE - 64;
	assert_int_equal(append_large(q->writer, 0, SIZE - 128), 0);
	expect(q->dir, lengths, 1);
	qs_close(q);
	assert_int_equal(verify(q->dir), 0);
}

/* In a segment of version 1 a large record and those of a run have version 0. */
static void version_1(void **state)
{
	static const size_t lengths[] = { 2000, 200, 200, 2000 };
	const uint32_t version = CQ_SEGMENT_VERSION_1;
	struct qs *q = *state;
	struct qs_record *records;

	open_small_pieces(q);
	qs_close(q);
	support_poke(q->dir, NAME(0), offsetof(struct cq_segment_header, version), &version,
	             sizeof version);
	open_small_pieces(q);
	assert_int_equal(append_large(q->writer, 0, 2000), 0);
	assert_int_equal(append_batch(q->writer, 1, lengths + 1, 2), 2);
	assert_int_equal(append_large(q->writer, 3, 2000), 0);
	expect(q->dir, lengths, 4);
	qs_close(q);
	assert_int_equal(qs_peek32(q->dir, NAME(0), 4), CQ_SEGMENT_VERSION_1);
	assert_int_equal(qs_records(q->dir, &records), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(records[i].version, 0);
	free(records);
	assert_int_equal(verify(q->dir), 0);
}

/* Where the numbers or the stream offsets come to their end, the records of a batch are appended one by one. */
static void at_the_last_number(void **state)
{
	static const char payload[400];
	const struct cq_message messages[] = { { payload, 400, CQ_TYPE_DEFAULT },
		                               { payload, 400, CQ_TYPE_DEFAULT } };
	struct qs *q = *state;
	bool run;

	open_small_pieces(q);
	assert_int_equal(cq_run_choose(q->writer, messages, 2, &run), 2);
	assert_true(run);
	q->writer->next_seq = CQ_COUNT_MAX - 1;
	assert_int_equal(cq_run_choose(q->writer, messages, 2, &run), 2);
	assert_false(run);
	assert_int_equal(cq_writer_append_batch(q->writer, messages, 2, NULL), 1);
	q->writer->next_seq = 1;
	q->writer->stream_end = CQ_COUNT_MAX - 400;
	assert_int_equal(cq_run_choose(q->writer, messages, 2, &run), 2);
	assert_false(run);
	assert_int_equal(cq_writer_append_batch(q->writer, messages, 2, NULL), 1);
}

/* A message that is refused ends the batch before it, as in batches of a few bytes. */
static void refused_in_a_batch(void **state)
{
	static const size_t lengths[] = { 400, 400, 400, 400 };
	static const char payload[SIZE];
	struct qs *q = *state;
	struct cq_message messages[] = { { payload, 400, CQ_TYPE_DEFAULT },
		                         { payload, 400, CQ_TYPE_DEFAULT },
		                         { payload, 400, CQ_TYPE_PAD },
		                         { payload, 400, CQ_TYPE_DEFAULT } };

	open_small_pieces(q);
	assert_int_equal(append_batch(q->writer, 0, lengths, 4), 4);
	assert_int_equal(cq_writer_append_batch(q->writer, messages, 4, NULL), 2);
	messages[0].length = SIZE;
	assert_int_equal(cq_writer_append_batch(q->writer, messages, 4, NULL), -EMSGSIZE);
	assert_int_equal(qs_stats(q->writer).next_seq, 6);
}

/* ---- what the system refuses ---- */

/* Whatever a pwrite says, the record is in the queue and the writer goes on. */
static void refused_writes(void **state)
{
	static const int errors[] = { ENOSPC, EIO, EDQUOT, EFBIG, EINTR, ENOMEM };
	static const size_t batch[] = { 500, 64, 0, 900, 3000 };
	struct qs *q = *state;
	size_t lengths[100], count = 0;

	open_small_pieces(q);
	for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
		for (unsigned skip = 0; skip < 3; skip++) {
			kernel_refuse("pwritev", errors[e], skip, 3 - skip);
			assert_int_equal(append_large(q->writer, count, 20000), 0);
			assert_int_equal(kernel_refused(), 3 - skip);
			lengths[count++] = 20000;
		}
		kernel_refuse("pwritev", errors[e], 0, 1);
		assert_int_equal(append_batch(q->writer, count, batch, 2), 2);
		assert_int_equal(kernel_refused(), 1);
		memcpy(lengths + count, batch, 2 * sizeof *batch);
		count += 2;
	}
	kernel_refuse(NULL, 0, 0, 0);
	expect(q->dir, lengths, count);
	qs_close(q);
	assert_int_equal(verify(q->dir), 0);
}

/* The limit ends in the middle of what is written: that is no error, for the segment's bytes are there. */
static void beyond_the_file_size_limit(struct qs *q)
{
	const struct rlimit limit = { 10000, RLIM_INFINITY };
	static const size_t lengths[] = { 9000, 20000, 700, 700, 4000, 10 };

	CHILD(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
	q->config.segment_size = SIZE;
	CHILD(cq_writer_open(q->dir, &q->config, &q->writer) == 0);
	q->writer->run.piece = PIECE;
	q->writer->run.least_record = 1000;
	q->writer->run.least_batch = 300;
	CHILD(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	CHILD(append_large(q->writer, 0, lengths[0]) == 0);
	CHILD(append_large(q->writer, 1, lengths[1]) == 0);
	CHILD(append_batch(q->writer, 2, lengths + 2, 3) == 3);
	CHILD(append_large(q->writer, 5, lengths[5]) == 0);
	CHILD(cq_writer_sync(q->writer) == 0);
	kill(getpid(), SIGKILL);
}

static void file_size_limit(void **state)
{
	static const size_t lengths[] = { 9000, 20000, 700, 700, 4000, 10 };
	struct qs *q = *state;

	qs_run_killed(beyond_the_file_size_limit, q);
	expect(q->dir, lengths, 6);
	assert_int_equal(verify(q->dir), 0);
}

/* ---- a file that was cut short ---- */

static int append_run(cq_writer *w)
{
	static const size_t lengths[] = { 500, 600, 700 };
	const ssize_t n = append_batch(w, 2, lengths, 3);

	return n < 0 ? (int)n : 0;
}

static int append_pieces(cq_writer *w)
{
	return append_large(w, 2, 20000);
}

/* It fills the segment to the last byte. */
static int append_to_the_end(cq_writer *w)
{
	return append_large(w, 2, SIZE - (size_t)qs_stats(w).offset - 64);
}

static int append_run_to_the_end(cq_writer *w)
{
	size_t lengths[] = { 500, 600, 0 };
	ssize_t n;

	w->run.piece = SIZE;
	lengths[2] = SIZE - (size_t)qs_stats(w).offset - (64 + 512) - (64 + 640) - 64;
	n = append_batch(w, 2, lengths, 3);
	return n < 0 ? (int)n : 0;
}

/* Nothing is in the queue of what was appended then, and the writer takes nothing more. */
static void cut_short(void **state)
{
	static int (*const appends[])(cq_writer * w) = { append_run, append_pieces,
		                                         append_to_the_end, append_run_to_the_end };
	static const off_t cuts[] = { 0,     64,    100,         4096,      9000,
		                      12288, 32768, SIZE - 4096, SIZE - 64, SIZE - 1 };
	static const size_t before[] = { 5000, 5000 };
	struct qs *q = *state;
	char path[PATH_SIZE];

	for (size_t a = 0; a < sizeof appends / sizeof *appends; a++) {
		for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
			struct cq_stats stats;

			qs_anew(q);
			open_small_pieces(q);
			assert_int_equal(append_batch(q->writer, 0, before, 2), 2);
			support_path(path, q->dir, NAME(0));
			assert_int_equal(truncate(path, cuts[c]), 0);
			assert_int_equal(appends[a](q->writer), -EIO);
			stats = qs_stats(q->writer);
			assert_int_equal(stats.next_seq, 2);
			assert_int_equal(stats.bytes, 10000);
			assert_int_equal(append_large(q->writer, 2, 1), -EIO);
			assert_int_equal(append_run(q->writer), -EIO);
			assert_int_equal(cq_writer_sync(q->writer), -EIO);
			qs_flush(q->writer);
			assert_true(qs_logged(q, "was cut short"));
			assert_int_equal(cq_writer_close(q->writer), -EIO);
			q->writer = NULL;
		}
	}
}

/* The size cannot be asked for: no reason to refuse anything. */
static void size_is_not_known(void **state)
{
	static const size_t lengths[] = { 20000, 500, 600 };
	struct qs *q = *state;

	open_small_pieces(q);
	kernel_refuse("fstat", EIO, 0, 1);
	assert_int_equal(append_large(q->writer, 0, 20000), 0);
	assert_int_equal(kernel_refused(), 1);
	kernel_refuse("fstat", ENOMEM, 0, 1);
	assert_int_equal(append_batch(q->writer, 1, lengths + 1, 2), 2);
	assert_int_equal(kernel_refused(), 1);
	expect(q->dir, lengths, 3);
}

/* ---- without a copy ---- */

static void without_a_copy(void **state)
{
	static void (*const again[])(void **) = { batches, large_records, refused_writes,
		                                  cut_short };

	stable = true;
	for (size_t i = 0; i < sizeof again / sizeof *again; i++) {
		qs_anew(*state);
		again[i](state);
	}
	stable = false;
}

#ifdef CQ_FAULTS
/* ---- at places on the way ---- */

static struct {
	const char *place;
	struct qs *q;
	cq_reader *reader;
	uint8_t *payload;
	unsigned times, seen;
	uint64_t damage;
} heard;

static void nothing_to_read(const char *place)
{
	struct cq_record record;

	if (strncmp(place, "run.", 4) != 0 && strncmp(place, "large.", 6) != 0)
		return;
	if (strcmp(strchr(place, '.'), ".advanced") == 0 ||
	    strcmp(strchr(place, '.'), ".committed") == 0)
		return;
	/* no check here: one that fails would leave the writer's lock taken */
	heard.times++;
	heard.seen += cq_reader_next(heard.reader, &record) != 0;
	heard.damage += verify(heard.q->dir);
}

/* Until the one store of the commit word a reader sees nothing, and a verification no damage; then all. */
static void visible_at_once(void **state)
{
	static const size_t lengths[] = { 300, 300, 4000, 20000, 0, 600 };
	struct qs *q = *state;

	open_small_pieces(q);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &heard.reader), 0);
	heard.q = q;
	heard.times = heard.seen = 0;
	heard.damage = 0;
	cq_point_heard = nothing_to_read;
	assert_int_equal(append_batch(q->writer, 0, lengths, 3), 3);
	cq_point_heard = NULL;
	assert_int_equal(heard.times, 2);
	assert_int_equal(heard.seen, 0);
	assert_int_equal(heard.damage, 0);
	for (unsigned i = 0; i < 3; i++) {
		struct cq_record record;

		assert_int_equal(cq_reader_next(heard.reader, &record), 1);
	}
	cq_point_heard = nothing_to_read;
	assert_int_equal(append_large(q->writer, 3, 20000), 0);
	cq_point_heard = NULL;
	assert_int_equal(heard.times, 2 + 4);
	assert_int_equal(heard.seen, 0);
	assert_int_equal(heard.damage, 0);
	assert_int_equal(append_batch(q->writer, 4, lengths + 4, 2), 2);
	cq_reader_close(heard.reader);
	expect(q->dir, lengths, 6);
}

static void cut_and_hide_it(const char *place)
{
	char path[PATH_SIZE];

	if (strcmp(place, "run.stored") != 0)
		return;
	heard.times++;
	support_path(path, heard.q->dir, NAME(0));
	heard.damage += truncate(path, 0) != 0;
	kernel_refuse("fstat", EIO, 0, 1);
}

/* The file is cut short just before the commit word is stored, and its size cannot be asked for: the store shows
 * it. */
static void cut_at_the_commit(void **state)
{
	static const size_t lengths[] = { 500, 600 };
	struct qs *q = *state;

	open_small_pieces(q);
	heard.q = q;
	heard.times = 0;
	heard.damage = 0;
	cq_point_heard = cut_and_hide_it;
	assert_int_equal(append_batch(q->writer, 0, lengths, 2), -EIO);
	cq_point_heard = NULL;
	assert_int_equal(kernel_refused(), 1);
	kernel_refuse(NULL, 0, 0, 0);
	assert_int_equal(heard.times, 1);
	assert_int_equal(heard.damage, 0);
	assert_int_equal(qs_stats(q->writer).next_seq, 0);
	assert_int_equal(append_run(q->writer), -EIO);
	qs_flush(q->writer);
	assert_true(qs_logged(q, "was cut short"));
	assert_int_equal(cq_writer_close(q->writer), -EIO);
	q->writer = NULL;
}

static void change_payload(const char *place)
{
	if (strcmp(place, "large.piece") != 0)
		return;
	heard.times++;
	memset(heard.payload, (int)heard.times, 20000);
}

/* Its owner changes the payload meanwhile: the record has some of its bytes, and their checksum. */
static void payload_that_changes(void **state)
{
	static uint8_t payload[20000];
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	open_small_pieces(q);
	heard.payload = payload;
	heard.times = 0;
	cq_point_heard = change_payload;
	assert_int_equal(
		cq_writer_append(q->writer, CQ_TYPE_DEFAULT, payload, sizeof payload, NULL), 0);
	cq_point_heard = NULL;
	assert_int_equal(heard.times, 3);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.length, sizeof payload);
	assert_int_equal(((const uint8_t *)record.payload)[19999], 2);
	cq_reader_close(reader);
	assert_int_equal(verify(q->dir), 0);
}

/* ---- killed in a run ---- */

static void killed_in_a_run(struct qs *q)
{
	size_t lengths[MOST];

	for (size_t i = 0; i < MOST; i++)
		lengths[i] = 50;
	open_small_pieces(q);
	CHILD(append_batch(q->writer, qs_stats(q->writer).next_seq, lengths, 1) == 1);
	(void)setenv("CHRONQ_KILL", "run.stored", 1);
	(void)append_batch(q->writer, qs_stats(q->writer).next_seq, lengths, MOST);
}

static void kill_in_a_run(struct qs *q)
{
	qs_run_killed(killed_in_a_run, q);
	/* they are there but for the first one */
	assert_int_equal(qs_peek32(q->dir, NAME(0), 64 + 128), 0);
	assert_int_equal(qs_peek32(q->dir, NAME(0), 64 + 128 + 128), 51);
}

/* The rest of a run is no damage and no loss, and is gone when the queue is open; shorter records that follow
 * do not bring the end of it back, and neither does a second run that is not finished. */
static void rest_of_a_run(void **state)
{
	static const size_t lengths[] = { 50, 50, 0, 50 };
	struct qs *q = *state;

	kill_in_a_run(q);
	assert_int_equal(verify(q->dir), 0);
	expect(q->dir, lengths, 1);
	open_small_pieces(q);
	assert_false(qs_logged(q, "given up"));
	assert_true(qs_all_zero(q->dir, NAME(0), 64 + 128, SIZE));
	assert_int_equal(qs_stats(q->writer).next_seq, 1);
	assert_int_equal(append_batch(q->writer, 1, lengths + 1, 2), 2);
	assert_int_equal(verify(q->dir), 0);
	expect(q->dir, lengths, 3);
	qs_close(q);
	qs_run_killed(killed_in_a_run, q);
	assert_int_equal(verify(q->dir), 0);
	expect(q->dir, lengths, 4);
	open_small_pieces(q);
	assert_int_equal(qs_stats(q->writer).next_seq, 4);
	qs_close(q);
	expect(q->dir, lengths, 4);
	assert_int_equal(verify(q->dir), 0);
}

static void killed_in_a_long_run(struct qs *q)
{
	size_t lengths[MOST];

	for (size_t i = 0; i < MOST; i++)
		lengths[i] = 3000;
	qs_open(q);
	(void)setenv("CHRONQ_KILL", "run.stored", 1);
	(void)append_batch(q->writer, 0, lengths, MOST);
}

static void killed_while_zeroing(struct qs *q)
{
	(void)setenv("CHRONQ_KILL", "recover.block_zeroed", 1);
	qs_open(q);
}

/* A recovery that is killed while it removes the rest of a run leaves no damage, either. */
static void rest_of_a_run_half_removed(void **state)
{
	struct qs *q = *state;

	q->config.segment_size = 1U << 20;
	qs_run_killed(killed_in_a_long_run, q);
	assert_int_equal(verify(q->dir), 0);
	for (int i = 0; i < 2; i++) { /* it has more pieces than that */
		qs_run_killed(killed_while_zeroing, q);
		assert_false(qs_all_zero(q->dir, NAME(0), 64, 1U << 20));
		assert_int_equal(verify(q->dir), 0);
	}
	qs_open(q);
	assert_false(qs_logged(q, "given up"));
	assert_true(qs_all_zero(q->dir, NAME(0), 64, 1U << 20));
	assert_int_equal(qs_stats(q->writer).next_seq, 0);
	qs_close(q);
	assert_int_equal(verify(q->dir), 0);
}

/* Without control.meta, too; and in a segment that has nothing else. */
static void rest_of_a_run_alone(void **state)
{
	struct qs *q = *state;

	kill_in_a_run(q);
	assert_int_equal(unlinkat(q->dirfd, "control.meta", 0), 0);
	assert_int_equal(verify(q->dir), 0);
	qs_zero(q->dir, NAME(0), 64 + 128 + 128 * 3, SIZE);
	assert_int_equal(verify(q->dir), 0);
}

/* The same bytes are damage where the run was finished: something of another time follows it; or its first
 * record lacks more than the commit word. */
static void damaged_run(void **state)
{
	static const size_t lengths[] = { 50, 50, 50, 50, 50, 50, 50 };
	struct qs *q = *state;

	open_small_pieces(q);
	assert_int_equal(append_batch(q->writer, 0, lengths, 6), 6);
	assert_int_equal(append_large(q->writer, 6, 50), 0);
	qs_close(q);
	assert_int_equal(unlinkat(q->dirfd, "control.meta", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "index.meta", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "durable.meta", 0), 0);
	assert_int_equal(verify(q->dir), 0);
	qs_zero(q->dir, NAME(0), 64, 68);
	assert_int_equal(verify(q->dir), 1);
	qs_zero(q->dir, NAME(0), 64 + 6 * 128, 64 + 7 * 128);
	assert_int_equal(verify(q->dir), 0);
	qs_zero(q->dir, NAME(0), 64, 128);
	assert_int_equal(verify(q->dir), 1);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(batches),
	QS_TEST(large_records),
	QS_TEST(last_piece_at_the_end),
	QS_TEST(version_1),
	QS_TEST(at_the_last_number),
	QS_TEST(refused_in_a_batch),
	QS_TEST(refused_writes),
	QS_TEST(file_size_limit),
	QS_TEST(cut_short),
	QS_TEST(size_is_not_known),
	QS_TEST(without_a_copy),
#ifdef CQ_FAULTS
	QS_TEST(cut_at_the_commit),
	QS_TEST(visible_at_once),
	QS_TEST(payload_that_changes),
	QS_TEST(rest_of_a_run),
	QS_TEST(rest_of_a_run_half_removed),
	QS_TEST(rest_of_a_run_alone),
	QS_TEST(damaged_run),
#endif
};

QS_MAIN(tests)
