/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire_resume.c - where shipping continues, for each state of a queue and a stream; pauses between tries */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "wire/resume.h"

static struct {
	struct resume_queue queue;
	struct resume_stream stream;
	struct resume_options options;
} now;

/* The queue has the records 100 to 199; the stream has 40 messages, of which the last has record 149; 130 to 149 are
 * acknowledged and not committed. */
static void usual(void)
{
	memset(&now, 0, sizeof now);
	now.queue.identity[3] = now.stream.about.identity[3] = 7;
	now.queue.first_seq = 100;
	now.queue.next_seq = 200;
	now.queue.committed = 130;
	now.queue.have_record = true;
	now.queue.record =
		(struct wire_fingerprint){ .epoch = 3, .crc = 0xc0ffee, .time_ns = 1000 };
	now.stream.exists = true;
	now.stream.about.first = 90;
	now.stream.last_sequence = 60;
	now.stream.messages = 40;
	now.stream.have_last = true;
	now.stream.last.kind = WIRE_FRAME;
	now.stream.last.first = 145;
	now.stream.last.next = 150;
	now.stream.last.last = now.queue.record;
	now.stream.last_size = 777;
}

/* The last message is a part of record 150: bytes from 1000, of 5000. */
static void usual_part(size_t size)
{
	usual();
	now.stream.last.kind = WIRE_PART;
	now.stream.last.first = 150;
	now.stream.last.next = 150 + (size == 4000);
	now.stream.last.part_offset = 1000;
	now.stream.last.part_length = now.queue.record_length = 5000;
	now.stream.last_size = size;
}

static struct resume_plan decide(void)
{
	struct resume_plan plan;

	memset(&plan, 0x5a, sizeof plan);
	resume_decide(&now.queue, &now.stream, &now.options, &plan);
	return plan;
}

static void ships(uint64_t seq, uint64_t part_offset)
{
	const struct resume_plan plan = decide();

	assert_int_equal(plan.action, RESUME_SHIP);
	assert_int_equal(plan.seq, seq);
	assert_int_equal(plan.gap_first, seq);
	assert_int_equal(plan.part_offset, part_offset);
	assert_int_equal(plan.expected_last, now.stream.last_sequence);
}

static void stops(int code, uint64_t first, uint64_t next, const char *why)
{
	const struct resume_plan plan = decide();

	assert_int_equal(plan.action, RESUME_STOP);
	assert_int_equal(plan.code, code);
	assert_int_equal(plan.gap_first, first);
	assert_int_equal(plan.seq, next);
	if (!strstr(plan.why, why))
		fail_msg("%s: not %s", plan.why, why);
}

/* No option lets anything be written. */
static void stops_always(int code, uint64_t first, uint64_t next, const char *why)
{
	for (unsigned options = 0; options < 8; options++) {
		now.options.create = options & 1;
		now.options.accept_gap = options & 2;
		now.options.had_stream = options & 4;
		stops(code, first, next, why);
	}
	now.options.create = now.options.accept_gap = now.options.had_stream = false;
}

/* [first, next) are gone: stops, and continues behind a marker if that was accepted. */
static void misses(uint64_t first, uint64_t next, const char *why)
{
	struct resume_plan plan;

	now.options.create = true;
	stops(SHIP_MISSING, first, next, why);
	now.options.accept_gap = true;
	plan = decide();
	assert_int_equal(plan.action, RESUME_GAP);
	assert_int_equal(plan.gap_first, first);
	assert_int_equal(plan.seq, next);
	assert_int_equal(plan.part_offset, 0);
	assert_int_equal(plan.expected_last, now.stream.last_sequence);
}

static void behind_the_last_record(void **state)
{
	(void)state;
	usual();
	ships(150, 0);
	now.stream.last.kind = WIRE_RECORD;
	ships(150, 0);
	now.options.create = now.options.accept_gap = now.options.had_stream = true;
	ships(150, 0);
	/* whatever the reader has committed */
	now.queue.committed = 100;
	ships(150, 0);
	now.queue.committed = 200;
	ships(150, 0);
	/* nothing new in the queue */
	now.queue.next_seq = 150;
	ships(150, 0);
	/* the record is there, but may not be shipped yet: it came with --visible */
	now.queue.next_seq = 145;
	ships(150, 0);
	/* the stream's record is the queue's oldest; then it was deleted, and all behind it are there */
	usual();
	now.queue.first_seq = 149;
	ships(150, 0);
	now.queue.first_seq = 150;
	now.queue.have_record = false;
	ships(150, 0);
	/* a queue that was emptied, and knows where it ends */
	now.queue.next_seq = 150;
	ships(150, 0);
}

static void numbers_may_be_large(void **state)
{
	(void)state;
	usual();
	now.queue.first_seq = UINT64_MAX - 9;
	now.queue.next_seq = UINT64_MAX;
	now.stream.last.first = now.stream.last.next = UINT64_MAX - 1;
	now.stream.last_sequence = UINT64_MAX - 1;
	ships(UINT64_MAX - 1, 0);
	usual_part(4000);
	now.stream.last.part_offset = UINT64_MAX - 2000;
	now.stream.last.part_length = now.queue.record_length = UINT64_MAX;
	now.stream.last.next = 150;
	ships(150, 0);
}

static void other_fingerprints(void **state)
{
	(void)state;
	usual();
	now.queue.record.epoch = 4;
	stops_always(SHIP_DIFFERS, 149, 150, "another one");
	usual();
	now.queue.record.time_ns++;
	stops_always(SHIP_DIFFERS, 149, 150, "another one");
	usual();
	now.queue.record.crc ^= 1;
	stops_always(SHIP_DIFFERS, 149, 150, "another one");
	now.queue.next_seq = 149; /* not durable: came with --visible before a power cut */
	stops_always(SHIP_DIFFERS, 149, 150, "another one");
	usual_part(1000);
	now.queue.record.crc ^= 1;
	stops_always(SHIP_DIFFERS, 150, 151, "another one");
	usual_part(4000);
	now.queue.record.crc ^= 1;
	stops_always(SHIP_DIFFERS, 150, 151, "another one");
	/* somebody else's part: ship would send bytes behind the record */
	usual_part(1000);
	now.queue.record_length = 1500;
	stops_always(SHIP_DIFFERS, 150, 151, "another one");
	usual_part(4000);
	now.queue.record_length = 5001;
	stops_always(SHIP_DIFFERS, 150, 151, "another one");
}

/* Records of chronicle-rs have no epoch. */
static void unknown_epochs(void **state)
{
	(void)state;
	usual();
	now.queue.record.epoch = 0;
	ships(150, 0);
	now.stream.last.last.epoch = 0;
	ships(150, 0);
	now.queue.record.epoch = 3;
	ships(150, 0);
	now.queue.record.time_ns++;
	stops(SHIP_DIFFERS, 149, 150, "another one");
	now.queue.record.time_ns--;
	now.queue.record.crc++;
	stops(SHIP_DIFFERS, 149, 150, "another one");
}

static void inside_a_record(void **state)
{
	(void)state;
	usual_part(1000);
	ships(150, 2000);
	usual_part(3999);
	ships(150, 4999);
	now.stream.last.part_offset = 0;
	ships(150, 3999);
	/* the last part completes it */
	usual_part(4000);
	ships(151, 0);
	/* what does not fit is sent from its beginning */
	usual_part(1000);
	now.stream.last_size = 0;
	ships(150, 0);
	now.stream.last_size = 4000;
	ships(150, 0);
	now.stream.last_size = 9000;
	ships(150, 0);
	now.stream.last_size = SIZE_MAX;
	ships(150, 0);
	/* the record was deleted meanwhile */
	usual_part(1000);
	now.queue.first_seq = 151;
	now.queue.have_record = false;
	misses(150, 151, "deleted");
	/* the queue has lost it */
	usual_part(1000);
	now.queue.next_seq = 150;
	now.queue.have_record = false;
	stops_always(SHIP_DIFFERS, 150, 151, "lost");
	/* it is damaged: ship meets it, and marks the gap */
	usual_part(1000);
	now.queue.have_record = false;
	stops(SHIP_DAMAGED, 150, 151, "damaged");
	now.options.accept_gap = true;
	ships(150, 0);
}

static void behind_a_gap(void **state)
{
	(void)state;
	usual();
	now.stream.last = (struct wire_head){ .kind = WIRE_GAP, .first = 120, .next = 150 };
	now.queue.have_record = false;
	now.stream.last_size = 0;
	ships(150, 0);
	now.queue.next_seq = 150;
	ships(150, 0);
	now.queue.first_seq = 150;
	ships(150, 0);
	now.queue.first_seq = now.queue.next_seq = 160;
	misses(150, 160, "deleted");
	usual();
	now.stream.last = (struct wire_head){ .kind = WIRE_GAP, .first = 120, .next = 150 };
	now.queue.have_record = false;
	now.queue.next_seq = 149;
	stops_always(SHIP_DIFFERS, 149, 150, "lost");
}

static void the_queue_has_less(void **state)
{
	(void)state;
	/* records were lost at the source */
	usual();
	now.queue.next_seq = 149;
	now.queue.have_record = false;
	stops_always(SHIP_DIFFERS, 149, 150, "lost");
	now.queue.next_seq = 120;
	stops_always(SHIP_DIFFERS, 120, 150, "lost");
	now.queue.first_seq = now.queue.next_seq = now.queue.committed = 0;
	stops_always(SHIP_DIFFERS, 0, 150, "lost");
	/* records were deleted that the stream does not have */
	usual();
	now.queue.have_record = false;
	now.queue.first_seq = 151;
	misses(150, 151, "deleted");
	usual();
	now.queue.have_record = false;
	now.queue.first_seq = now.queue.next_seq = 200;
	misses(150, 200, "deleted");
	/* the very record is damaged */
	usual();
	now.queue.have_record = false;
	now.options.create = true;
	stops(SHIP_DAMAGED, 149, 150, "damaged");
	now.options.accept_gap = true;
	ships(150, 0);
}

static void streams_without_messages(void **state)
{
	(void)state;
	/* made, and never written to */
	usual();
	now.stream.last_sequence = now.stream.messages = 0;
	now.stream.have_last = now.queue.have_record = false;
	now.stream.about.first = 100;
	ships(100, 0);
	now.queue.next_seq = 100;
	ships(100, 0);
	now.queue.first_seq =
		0; /* records from before the stream's first are none of the stream's */
	ships(100, 0);
	now.queue.first_seq = now.queue.next_seq = now.queue.committed = 0;
	stops_always(SHIP_DIFFERS, 0, 100, "lost");
	now.stream.about.first = 0; /* of an empty queue */
	ships(0, 0);
	now.queue.first_seq = now.queue.committed = 5;
	now.queue.next_seq = 9;
	misses(0, 5, "deleted");
}

static void expired_streams(void **state)
{
	(void)state;
	usual();
	now.stream.messages = 0;
	now.stream.have_last = now.queue.have_record = false;
	ships(130, 0);
	now.queue.committed = 200;
	ships(200, 0);
	now.queue.committed = 201;
	stops_always(SHIP_DIFFERS, 200, 201, "lost");
	now.queue.committed = 99;
	misses(99, 100, "deleted");
	/* the last message was deleted, those before it are there */
	usual();
	now.stream.have_last = false;
	stops_always(SHIP_DIFFERS, 130, 130, "last message was deleted");
}

static void streams_that_are_not_ours(void **state)
{
	(void)state;
	usual();
	now.stream.foreign = true;
	memset(&now.stream.about, 0, sizeof now.stream.about);
	stops_always(SHIP_FOREIGN, 0, 0, "not made by chronq ship");
	now.stream.last_sequence = now.stream.messages = 0; /* an empty one neither */
	now.stream.have_last = false;
	stops_always(SHIP_FOREIGN, 0, 0, "not made by chronq ship");
	usual();
	now.stream.about.identity[15] ^= 1;
	stops_always(SHIP_FOREIGN, 0, 0, "another queue");
	usual();
	now.options.format = STREAM_RECORDS;
	stops_always(SHIP_FOREIGN, 0, 0, "--frame");
	usual();
	now.stream.about.format = STREAM_RECORDS;
	stops_always(SHIP_FOREIGN, 0, 0, "--per-record");
	now.options.format = STREAM_RECORDS;
	ships(150, 0);
	now.options.format = STREAM_FRAMES;
	now.options.any_format = true;
	ships(150, 0);
	/* frames end where the stream's frames end */
	usual();
	now.stream.about.frame_size = 65536;
	ships(150, 0);
	now.options.frame_size = 65536;
	ships(150, 0);
	now.options.frame_size = 65535;
	stops_always(SHIP_FOREIGN, 0, 0, "frames of another size");
	now.stream.about.frame_size = 0;
	ships(150, 0);
	/* without an identity anything could be ours */
	usual();
	memset(now.queue.identity, 0, sizeof now.queue.identity);
	memset(now.stream.about.identity, 0, sizeof now.queue.identity);
	stops_always(SHIP_FOREIGN, 0, 0, "no identity");
	now.stream.exists = false;
	stops_always(SHIP_FOREIGN, 0, 0, "no identity");
}

static void no_stream(void **state)
{
	struct resume_plan plan;

	(void)state;
	usual();
	memset(&now.stream, 0, sizeof now.stream);
	now.queue.have_record = false;
	stops(SHIP_NO_STREAM, 0, 0, "no stream");
	now.options.accept_gap = true;
	stops(SHIP_NO_STREAM, 0, 0, "no stream");
	now.options.create = true;
	plan = decide();
	assert_int_equal(plan.action, RESUME_CREATE);
	assert_int_equal(plan.seq, 100); /* all that the queue has, whatever was committed */
	assert_int_equal(plan.part_offset, 0);
	assert_int_equal(plan.expected_last, 0);
	now.options.had_stream = true;
	stops(SHIP_NO_STREAM, 0, 0, "was deleted");
	now.options.create = false;
	stops(SHIP_NO_STREAM, 0, 0, "was deleted");
}

static void pauses(void **state)
{
	static const uint32_t expected[] = { 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000 };
	struct backoff backoff = { 0 };

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
			uint32_t least = UINT32_MAX, most = 0;

			for (uint32_t random = 0; random < 3000; random++) {
				struct backoff copy = backoff;
				const uint32_t pause = backoff_next_ms(&copy, random);

				least = pause < least ? pause : least;
				most = pause > most ? pause : most;
			}
			assert_int_equal(least, expected[i] * 9 / 10);
			assert_int_equal(most, expected[i] * 11 / 10);
			(void)backoff_next_ms(&backoff, UINT32_MAX);
		}
		backoff = (struct backoff){ 0 };
	}
	backoff.tries = UINT32_MAX;
	assert_in_range(backoff_next_ms(&backoff, 0), 4500, 5500);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(behind_the_last_record),
		cmocka_unit_test(numbers_may_be_large),
		cmocka_unit_test(other_fingerprints),
		cmocka_unit_test(unknown_epochs),
		cmocka_unit_test(inside_a_record),
		cmocka_unit_test(behind_a_gap),
		cmocka_unit_test(the_queue_has_less),
		cmocka_unit_test(streams_without_messages),
		cmocka_unit_test(expired_streams),
		cmocka_unit_test(streams_that_are_not_ours),
		cmocka_unit_test(no_stream),
		cmocka_unit_test(pauses),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
