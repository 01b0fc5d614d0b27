/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_flips.c - every byte of every file of a small queue changed, every file cut at every length
 *
 * In turn the lowest bit of a byte is changed, or all of its bits, or some of them at random; all three with
 * FLIPS_ALL=1.  The contents of all records are known.  After each damage a reader, the stream and
 * verification read the queue, then a writer opens it.  No record that they deliver is altered, delivered
 * twice or out of order, and all missing records are reported.
 *
 * FLIPS_SEED gives the random bits, FLIPS_STRIDE=N tries every Nth case only (the first of them
 * chosen by the seed).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gather.h"
#include "held.h"
#include "meta/control.h"
#include "queue_support.h"
#include "write/writer.h"

#define CASE_SECONDS 120 /* a case takes some hundred microseconds; SIGALRM ends one that hangs */

/* Smaller than the segments of a new queue, but accepted in an existing one: so all bytes of several segments can
 * be tried, and there is another field or border every few bytes. */
#define SEGMENT_SIZE 512U
#define LAST_SEGMENT 3U /* three are sealed, one of them with room left, a fifth is prepared */

/* Payload lengths: two segments are filled to their last byte. */
static const uint8_t lengths[] = { 30, 0, 64, 1, /**/ 100, 127, /**/ 200, 1, /**/ 40, 0 };
#define RECORDS (sizeof lengths)
#define READER_AT 5U /* records that the named reader has taken */
#define SYNCED_AT 7U /* records that were appended before the last sync */

static struct {
	struct held held;        /* the queue undamaged */
	struct gathered records; /* of it */
	struct gathered_stream stream;
	struct cq_position mark; /* records before it are durable */
} known;

static struct gathered before, after;
static struct gathered_stream stream;
static struct gathered_findings found, found_after;

static struct {
	uint64_t seed, state;
	unsigned long stride, turn;
	bool one_each; /* each byte is changed in one of the three ways */
	unsigned long cases, refused, accepted, opened;
} run;

static uint64_t next_random(void)
{
	/* splitmix64 */
	uint64_t z = run.state += 0x9E3779B97F4A7C15U;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
	z = (z ^ z >> 27) * 0x94D049BB133111EBU;
	return z ^ z >> 31;
}

/* ---- the queue ---- */

static size_t payload(unsigned n, uint8_t bytes[SEGMENT_SIZE])
{
	for (size_t i = 0; i < lengths[n]; i++)
		bytes[i] = (uint8_t)(17 * n + 3 * i + 1);
	return lengths[n];
}

static void append(cq_writer *w, unsigned n)
{
	uint8_t bytes[SEGMENT_SIZE];

	assert_int_equal(cq_writer_append(w, (uint16_t)(n % 5), bytes, payload(n, bytes), NULL), 0);
}

static void take_some(const char *dir)
{
	struct cq_record record;
	cq_reader *reader;

	assert_int_equal(cq_reader_open(dir, "some", CQ_START_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < READER_AT; i++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		if (i % 2 == 0) /* both slots of its file */
			assert_int_equal(cq_reader_commit(reader), 0);
	}
	cq_reader_close(reader);
}

/* A closed queue, or one that a killed writer has left. */
static void make(struct qs *q, bool closed)
{
	struct cq_watermark_slot mark;

	qs_make_segment(q->dir, 0, SEGMENT_SIZE);
	q->config.segment_size = 0; /* the existing one */
	qs_open(q);
	for (unsigned n = 0; n < RECORDS; n++) {
		append(q->writer, n);
		qs_prepare(q->writer);
		qs_flush(q->writer);
		if (n + 1 == READER_AT)
			take_some(q->dir);
		if (n + 1 == SYNCED_AT)
			assert_int_equal(cq_writer_sync(q->writer), 0);
	}
	qs_flush(q->writer);
	if (closed)
		qs_close(q);
	held_load(&known.held, q->dir);
	if (!closed)
		qs_close(q);
	held_put(&known.held, q->dir);
	mark = qs_watermark(q->dirfd);
	known.mark = (struct cq_position){ (uint32_t)mark.segment, mark.offset };
}

static void know(struct qs *q)
{
	uint8_t bytes[SEGMENT_SIZE];

	gather_records(q->dir, &known.records);
	gather_stream(q->dir, &known.stream);
	gather_findings(q->dir, &found);
	print_message("# %s", found.text);
	assert_int_equal(found.error, 0);
	assert_int_equal(found.result.damage, 0);
	assert_int_equal(known.records.error, 0);
	assert_int_equal(known.records.complaints, 0);
	assert_int_equal(known.records.count, RECORDS);
	for (unsigned n = 0; n < RECORDS; n++) {
		const struct gathered_record *record = &known.records.records[n];

		assert_int_equal(record->seq, n);
		assert_int_equal(record->type, n % 5);
		assert_int_equal(record->length, payload(n, bytes));
		assert_memory_equal(known.records.bytes + record->at, bytes, record->length);
	}
	assert_int_equal(known.stream.begin, 0);
	assert_int_equal(known.stream.end, known.records.used);
	assert_memory_equal(known.stream.bytes, known.records.bytes, known.records.used);
	assert_int_equal(known.records.records[RECORDS - 1].segment, LAST_SEGMENT);
	assert_non_null(held_find(&known.held, "000000004.q"));
	assert_non_null(held_find(&known.held, "000000000.idx"));
	assert_non_null(held_find(&known.held, "readers/some.meta"));
}

/* ---- one case ---- */

static char label[160];

#define EXPECT(condition)                                                                      \
	do {                                                                                   \
		if (!(condition)) {                                                            \
			print_error("%s\nwriter: %sverify: %d\n%s"                             \
			            "verify behind the writer: %d\n%s",                        \
			            label, q->log, found.error, found.text, found_after.error, \
			            found_after.text);                                         \
			fail_msg("%s", #condition);                                            \
		}                                                                              \
	} while (0)

/* The one of the known records that this is, or RECORDS. */
static size_t recognise(const struct gathered *g, size_t i)
{
	const struct gathered_record *record = &g->records[i], *original;

	if (record->seq >= RECORDS)
		return RECORDS;
	original = &known.records.records[record->seq];
	if (record->time_ns != original->time_ns || record->type != original->type ||
	    record->segment != original->segment || record->offset != original->offset ||
	    record->length != original->length ||
	    memcmp(g->bytes + record->at, known.records.bytes + original->at, original->length) !=
	            0)
		return RECORDS;
	return (size_t)record->seq;
}

/* The first `count` delivered records are known ones, in order, none twice. */
static void check_records(struct qs *q, const struct gathered *g, size_t count, bool *ret_there)
{
	size_t next = 0;

	memset(ret_there, 0, RECORDS * sizeof *ret_there);
	for (size_t i = 0; i < count; i++) {
		size_t n = recognise(g, i);

		EXPECT(n < RECORDS);
		EXPECT(n >= next);
		next = n + 1;
		ret_there[n] = true;
	}
}

static void check_stream(struct qs *q)
{
	/* a damaged header may change the ends of the stream, but no byte of it */
	for (uint64_t at = stream.begin; at < stream.end && at - stream.begin < GATHER_BYTES;
	     at++) {
		if (!stream.there[at - stream.begin])
			continue;
		EXPECT(at < known.stream.end);
		EXPECT(stream.bytes[at - stream.begin] == known.stream.bytes[at]);
	}
}

static bool stream_complete(void)
{
	if (stream.error < 0 || stream.begin != 0 || stream.end < known.stream.end)
		return false;
	for (uint64_t at = 0; at < known.stream.end; at++)
		if (!stream.there[at])
			return false;
	return true;
}

static void look(struct qs *q, bool there[RECORDS])
{
	bool said;

	gather_records(q->dir, &before);
	gather_stream(q->dir, &stream);
	gather_findings(q->dir, &found);
	said = found.error < 0 || found.result.damage > 0;
	check_records(q, &before, before.count, there);
	check_stream(q);
	EXPECT(before.count == RECORDS || said);
	EXPECT(stream_complete() || said);
	/* leftovers of a killed append are no damage */
	said |= found.result.information > 0;
	EXPECT((before.complaints == 0 && stream.complaints == 0) || said);
}

/* Records before this place that were delivered before still are. */
static void check_kept(struct qs *q, const bool was[RECORDS], const bool is[RECORDS],
                       struct cq_position end)
{
	for (size_t n = 0; n < RECORDS; n++) {
		const struct gathered_record *record = &known.records.records[n];

		if (record->segment < end.segment ||
		    (record->segment == end.segment && record->offset < end.offset))
			EXPECT(is[n] || !was[n]);
	}
}

/* The writer is open: one more record. */
static void go_on(struct qs *q, const bool was[RECORDS], bool is[RECORDS])
{
	const char text[] = "one more";
	const struct gathered_record *last;

	EXPECT(cq_writer_append(q->writer, CQ_TYPE_DEFAULT, text, sizeof text, NULL) == 0);
	qs_flush(q->writer);
	EXPECT(cq_writer_close(q->writer) == 0);
	q->writer = NULL;
	gather_records(q->dir, &after);
	gather_findings(q->dir, &found_after);
	EXPECT(after.error == 0 && after.count > 0);
	last = &after.records[after.count - 1];
	EXPECT(last->length == sizeof text);
	EXPECT(memcmp(after.bytes + last->at, text, sizeof text) == 0);
	check_records(q, &after, after.count - 1, is);
	if (after.count > 1)
		EXPECT(last->seq > after.records[after.count - 2].seq);
	for (size_t n = 0; n < RECORDS; n++)
		EXPECT(was[n] || !is[n] || found.result.damage > 0);
	/* damage that is left was there before, and was reported */
	EXPECT(found_after.error == 0);
	EXPECT(found_after.result.damage == 0 || found.result.damage > 0);
}

static void recover(struct qs *q, const bool was[RECORDS], struct cq_position damage)
{
	bool is[RECORDS];
	size_t missing = 0;
	int r;

	q->config.accept_loss = false;
	r = qs_try_open(q);
	if (r == 0) {
		run.opened++;
		go_on(q, was, is);
		check_kept(q, was, is, known.mark);
		for (size_t n = 0; n < RECORDS; n++)
			missing += !is[n];
		EXPECT(missing == 0 || q->log_length > 0 || found_after.result.damage > 0);
		return;
	}
	run.refused++;
	EXPECT(r == -EBADMSG || r == -EPROTONOSUPPORT || r == -EINVAL || r == -EOVERFLOW);
	EXPECT(q->log_length > 0);
	gather_records(q->dir, &after);
	check_records(q, &after, after.count, is);
	check_kept(q, was, is, (struct cq_position){ UINT32_MAX, 0 });
	q->config.accept_loss = true;
	if (qs_try_open(q) < 0)
		return;
	run.accepted++;
	go_on(q, was, is);
	check_kept(q, was, is, damage);
}

static void one_case(struct qs *q, struct cq_position damage)
{
	bool there[RECORDS];

	alarm(CASE_SECONDS);
	run.cases++;
	q->log[0] = '\0';
	q->log_length = 0;
	found_after = (struct gathered_findings){ .error = 0 };
	held_put(&known.held, q->dir);
	look(q, there);
	recover(q, there, damage);
}

/* ---- all of them ---- */

static bool skipped(void)
{
	return run.turn++ % run.stride != 0;
}

/* Damage in this file can hit records from this place on. */
static struct cq_position place(const struct held_file *file, size_t at)
{
	struct cq_position p = { UINT32_MAX, 0 };

	if (strcmp(file->name + 9, ".q") == 0) {
		p.segment = (uint32_t)strtoul(file->name, NULL, 10);
		for (size_t n = 0; n < RECORDS; n++) {
			const struct gathered_record *record = &known.records.records[n];

			if (record->segment == p.segment && record->offset <= at)
				p.offset = record->offset;
		}
	}
	return p;
}

static void flip_bytes(struct qs *q, struct held_file *file)
{
	for (size_t at = 0; at < file->size; at++) {
		const uint8_t masks[] = { 1, 0xFF, (uint8_t)(2 + next_random() % 253) };

		for (size_t i = 0; i < sizeof masks; i++) {
			if ((run.one_each && i != at % 3) || skipped())
				continue;
			snprintf(label, sizeof label, "%s: byte %zu changed by %#x", file->name, at,
			         masks[i]);
			file->bytes[at] ^= masks[i];
			one_case(q, place(file, at));
			file->bytes[at] ^= masks[i];
		}
	}
}

static void truncate_file(struct qs *q, struct held_file *file)
{
	const size_t size = file->size;

	for (size_t cut = 0; cut < size; cut++) {
		if (skipped())
			continue;
		snprintf(label, sizeof label, "%s: cut to %zu bytes", file->name, cut);
		file->size = cut;
		one_case(q, place(file, 0));
	}
	file->size = size;
}

static unsigned long number_from(const char *variable, unsigned long otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

static void damage_all(struct qs *q, bool closed,
                       void (*damage)(struct qs *q, struct held_file *file))
{
	memset(&run, 0, sizeof run);
	run.one_each = number_from("FLIPS_ALL", 0) == 0;
	run.seed = run.state = number_from("FLIPS_SEED", 1);
	run.stride = number_from("FLIPS_STRIDE", 1);
	run.turn = next_random() % run.stride;
	make(q, closed);
	know(q);
	for (size_t i = 0; i < known.held.count; i++)
		if (strcmp(known.held.files[i].name, "writer.lock") != 0)
			damage(q, &known.held.files[i]);
	alarm(0);
	held_free(&known.held);
	print_message("# %lu cases (FLIPS_SEED=%llu FLIPS_STRIDE=%lu): %lu queues opened, %lu "
	              "refused, of these %lu opened with accept_loss\n",
	              run.cases, (unsigned long long)run.seed, run.stride, run.opened, run.refused,
	              run.accepted);
}

static void flips_of_a_closed_queue(void **state)
{
	damage_all(*state, true, flip_bytes);
}

static void truncations_of_a_closed_queue(void **state)
{
	damage_all(*state, true, truncate_file);
}

static void flips_of_a_killed_writers_queue(void **state)
{
	damage_all(*state, false, flip_bytes);
}

static void truncations_of_a_killed_writers_queue(void **state)
{
	damage_all(*state, false, truncate_file);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(flips_of_a_closed_queue),
	QS_TEST(truncations_of_a_closed_queue),
	QS_TEST(flips_of_a_killed_writers_queue),
	QS_TEST(truncations_of_a_killed_writers_queue),
};

SUPPORT_MAIN_IN_MEMORY(tests)
