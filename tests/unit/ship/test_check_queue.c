/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_check_queue.c - chronq ship --check reads a queue that is damaged, trimmed meanwhile, or not one of ours
 *
 * queue_side.c alone; the library is played here: its reader gives what a script says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check/queue_side.h"
#include "shared/cli.h"

/* What the next call of cq_reader_next_batch() gives: records from `first` on, or an error. */
struct step {
	ssize_t result;
	uint64_t first;
};

static struct {
	struct cq_queue_info info;
	int open, look, reader_open, seek; /* errors */
	const struct step *script;
	/* after an error: results of skipping, and the record that is skipped */
	int skip_record, skip_segment;
	uint64_t skipped;
	bool have_named, have_seq;
	uint64_t named_seq, sought;
	char text[256];
} world;

static struct queue_side side;
static const uint8_t identity[CQ_IDENTITY_SIZE] = { 7, 7 };

/* ---- played ---- */

int cq_queue_open(const char *dir, cq_queue **ret_queue)
{
	assert_string_equal(dir, "q");
	if (world.open == 0)
		*ret_queue = (cq_queue *)&world;
	return world.open;
}

void cq_queue_close(cq_queue *queue)
{
	assert_true(!queue || queue == (cq_queue *)&world);
}

int cq_queue_info(cq_queue *queue, struct cq_queue_info *ret_info)
{
	const size_t size = ret_info->size;

	assert_ptr_equal(queue, &world);
	if (world.look < 0)
		return world.look;
	*ret_info = world.info;
	ret_info->size = size;
	return 0;
}

int cq_queue_reader(cq_queue *queue, const char *name, struct cq_reader_info *ret_info)
{
	assert_ptr_equal(queue, &world);
	assert_string_equal(name, "ship");
	if (!world.have_named)
		return -ENOENT;
	ret_info->have_seq = world.have_seq;
	ret_info->seq = world.named_seq;
	return 0;
}

int cq_reader_open(const char *dir, const char *name, enum cq_start start, unsigned flags,
                   cq_reader **ret_reader)
{
	assert_string_equal(dir, "q");
	assert_null(name);
	assert_int_equal(start, CQ_START_OLDEST);
	assert_int_equal(flags, CQ_READER_PASSIVE); /* nothing is changed */
	if (world.reader_open == 0)
		*ret_reader = (cq_reader *)&world;
	return world.reader_open;
}

void cq_reader_close(cq_reader *reader)
{
	assert_true(!reader || reader == (cq_reader *)&world);
}

int cq_reader_seek_seq(cq_reader *reader, uint64_t seq)
{
	assert_ptr_equal(reader, &world);
	world.sought = seq;
	return world.seek;
}

ssize_t cq_reader_next_batch(cq_reader *reader, struct cq_record *ret_records, size_t most,
                             size_t max_bytes)
{
	const struct step step = *world.script++;

	assert_ptr_equal(reader, &world);
	assert_true(step.result <= (ssize_t)most && max_bytes > 0);
	for (ssize_t i = 0; i < step.result; i++)
		ret_records[i] =
			(struct cq_record){ .seq = step.first + (uint64_t)i, .payload = "" };
	return step.result;
}

int cq_reader_skip_record(cq_reader *reader, struct cq_record *ret_record)
{
	assert_ptr_equal(reader, &world);
	ret_record->seq = world.skipped;
	return world.skip_record;
}

int cq_reader_skip_segment(cq_reader *reader)
{
	assert_ptr_equal(reader, &world);
	return world.skip_segment;
}

void cli_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(world.text, sizeof world.text, format, arguments);
	va_end(arguments);
}

int cli_fail(const char *subject, int error)
{
	cli_note("%s: error %d", subject, -error);
	return CLI_IO;
}

/* ---- the tests ---- */

static int begin_test(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	memset(&side, 0, sizeof side);
	world.info = (struct cq_queue_info){
		.have_identity = true,
		.have_bounds = true,
		.first_seq = 100,
		.next_seq = 120,
		.have_durable = true,
		.durable_seq = 115,
	};
	memcpy(world.info.identity, identity, sizeof identity);
	return 0;
}

static int end_test(void **state)
{
	(void)state;
	queue_side_close(&side);
	return 0;
}

static void fails_to_open(const char *text)
{
	assert_int_equal(queue_side_open(&side, "q", false), CLI_IO);
	assert_string_equal(world.text, text);
	queue_side_close(&side);
	memset(&side, 0, sizeof side);
}

static void item_is(enum compare_state state, uint64_t first, uint64_t next)
{
	struct compare_item item;

	assert_int_equal(side.side.next(side.side.arg, &item), 1);
	assert_int_equal(item.state, state);
	assert_int_equal(item.first, first);
	assert_int_equal(item.next, next);
}

static void records_are(uint64_t first, uint64_t next)
{
	for (uint64_t seq = first; seq < next; seq++)
		item_is(COMPARE_RECORD, seq, seq + 1);
}

static void ends_with(int r)
{
	struct compare_item item;

	assert_int_equal(side.side.next(side.side.arg, &item), r);
	assert_int_equal(side.error, r);
}

/* Opens it, and begins at its first record. */
static void begin(const struct step *script)
{
	world.script = script;
	assert_int_equal(queue_side_open(&side, "q", true), CLI_OK);
	assert_int_equal(queue_side_begin(&side, 0, side.expected), 0);
	assert_int_equal(world.sought, 100);
}

static void queues_that_cannot_be_opened(void **state)
{
	(void)state;
	world.open = -ENOENT;
	fails_to_open("q: error 2");
	world.open = 0;
	world.look = -EIO;
	fails_to_open("q: error 5");
	world.look = 0;
	world.reader_open = -EMFILE;
	fails_to_open("q: error 24");
	world.info.have_bounds = false;
	fails_to_open("q: damage hides which records the queue has (chronq verify)");
	world.info.have_identity = false;
	fails_to_open("q: no writer of this version has opened the queue yet");
}

static void what_is_expected_in_the_stream(void **state)
{
	(void)state;
	assert_int_equal(queue_side_open(&side, "q", false), CLI_OK);
	assert_memory_equal(side.identity, identity, sizeof identity);
	assert_int_equal(side.side.begins, 100);
	assert_int_equal(side.expected, 115);
	world.info.replica = true;
	memset(world.info.source, 9, sizeof world.info.source);
	assert_int_equal(queue_side_open(&side, "q", false), CLI_OK);
	assert_memory_equal(side.identity, identity, sizeof identity);
	assert_true(side.replica);
	assert_int_equal(side.source[0], 9);
	assert_int_equal(side.committed, UINT64_MAX);
	world.have_named = true;
	assert_int_equal(queue_side_open(&side, "q", true), CLI_OK);
	assert_int_equal(side.expected, 120);
	assert_int_equal(side.committed, UINT64_MAX); /* its place is hidden */
	world.have_seq = true;
	world.named_seq = 110;
	world.info.have_durable = false;
	assert_int_equal(queue_side_open(&side, "q", false), CLI_OK);
	assert_int_equal(side.expected, 120);
	assert_int_equal(side.committed, 110);
	world.info.have_durable = true;
	world.info.durable_seq = 90; /* retention has deleted what is not known to be durable */
	assert_int_equal(queue_side_open(&side, "q", false), CLI_OK);
	assert_int_equal(side.expected, 100);
	world.info.durable_seq = 130;
	assert_int_equal(queue_side_open(&side, "q", false), CLI_OK);
	assert_int_equal(side.expected, 120);
}

static void all_records(void **state)
{
	static const struct step script[] = { { 12, 100 }, { 8, 112 }, { 0, 0 } };

	(void)state;
	begin(script);
	records_are(100, 120);
	ends_with(0);
}

static void not_beyond_the_limit(void **state)
{
	static const struct step script[] = { { 12, 100 }, { 0, 0 } };

	(void)state;
	begin(script);
	side.limit = 103;
	records_are(100, 103);
	ends_with(0);
	begin(script);
	side.limit = 103;
	side.next = 102;
	side.at = side.count = 0;
	world.script = (const struct step[]){ { 5, 110 } }; /* the next one is behind the limit */
	ends_with(0);
}

static void what_the_stream_does_not_have_is_not_read(void **state)
{
	static const struct step script[] = { { 10, 110 }, { 0, 0 } };

	(void)state;
	world.script = script;
	assert_int_equal(queue_side_open(&side, "q", true), CLI_OK);
	assert_int_equal(queue_side_begin(&side, 110, 120), 0);
	assert_int_equal(world.sought, 110);
	item_is(COMPARE_RECORD, 100, 110);
	item_is(COMPARE_RECORD, 110, 111);
	assert_int_equal(queue_side_begin(&side, 500, 120), 0);
	assert_int_equal(world.sought, 120);
	item_is(COMPARE_RECORD, 100, 120);
	ends_with(0);
	world.seek = -EIO;
	assert_int_equal(queue_side_begin(&side, 110, 120), -EIO);
	assert_int_equal(queue_side_begin(&side, 0, 120), -EIO);
}

static void records_that_are_trimmed_meanwhile(void **state)
{
	static const struct step script[] = { { 3, 100 }, { -ENODATA, 0 }, { 10, 110 }, { 0, 0 } };

	(void)state;
	begin(script);
	records_are(100, 103);
	world.info.first_seq = 110;
	item_is(COMPARE_RECORD, 110, 111);
	assert_int_equal(side.side.begins, 110);
}

static void records_that_are_lost(void **state)
{
	static const struct step script[] = { { 3, 100 }, { -ENODATA, 0 }, { 10, 110 }, { 0, 0 } };

	(void)state;
	for (int unknown = 0; unknown < 3; unknown++) {
		begin_test(NULL);
		begin(script);
		records_are(100, 103);
		world.look = unknown == 1 ? -EIO : 0;
		world.info.have_bounds = unknown != 2;
		item_is(COMPARE_RECORD, 110, 111);
		assert_int_equal(side.side.begins, 100); /* not trimmed, as far as is known */
	}
}

static void a_damaged_record(void **state)
{
	static const struct step script[] = { { 3, 100 }, { -EIO, 0 }, { 16, 104 }, { 0, 0 } };

	(void)state;
	begin(script);
	world.skip_record = 1;
	world.skipped = 103;
	records_are(100, 103);
	item_is(COMPARE_DAMAGED, 103, 104);
	records_are(104, 120);
	ends_with(0);
}

static void a_damaged_segment(void **state)
{
	static const struct step script[] = { { 3, 100 }, { -EBADMSG, 0 }, { 5, 115 }, { 0, 0 } };
	static const struct step headers[] = { { 3, 100 }, { -EIO, 0 }, { 5, 115 }, { 0, 0 } };

	(void)state;
	for (int round = 0; round < 2; round++) {
		begin(round == 0 ? script : headers);
		world.skip_record = 0;
		world.skip_segment = 1;
		records_are(100, 103);
		item_is(COMPARE_DAMAGED, 103, 115);
		item_is(COMPARE_RECORD, 115, 116);
		side.at = side.count = 0;
		side.damaged = false;
	}
}

static void damage_at_the_end(void **state)
{
	static const struct step stuck[] = { { 3, 100 }, { -EIO, 0 } };
	static const struct step last[] = { { 19, 100 }, { -EIO, 0 }, { 0, 0 }, { 0, 0 } };

	(void)state;
	begin(stuck); /* the writer has not left the segment */
	records_are(100, 103);
	item_is(COMPARE_DAMAGED, 103, 120);
	ends_with(0);
	begin_test(NULL);
	begin(last);
	world.skip_record = 1;
	world.skipped = 119;
	records_are(100, 119);
	item_is(COMPARE_DAMAGED, 119, 120);
	ends_with(0);
}

static void errors_end_it(void **state)
{
	static const struct step no_memory[] = { { -ENOMEM, 0 } };
	static const struct step damage[] = { { -EIO, 0 } };
	static const struct step back[] = { { 5, 100 }, { 5, 102 } };

	(void)state;
	begin(no_memory);
	ends_with(-ENOMEM);
	begin_test(NULL);
	begin(damage);
	world.skip_record = -EMFILE;
	ends_with(-EMFILE);
	begin_test(NULL);
	begin(back); /* chronicle-rs has given numbers again */
	records_are(100, 105);
	ends_with(-EBADMSG);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin_test, end_test)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(queues_that_cannot_be_opened),
		TEST(what_is_expected_in_the_stream),
		TEST(all_records),
		TEST(not_beyond_the_limit),
		TEST(what_the_stream_does_not_have_is_not_read),
		TEST(records_that_are_trimmed_meanwhile),
		TEST(records_that_are_lost),
		TEST(a_damaged_record),
		TEST(a_damaged_segment),
		TEST(damage_at_the_end),
		TEST(errors_end_it),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
