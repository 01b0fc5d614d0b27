/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ship_source_calls.c - ship and a queue that is damaged, trimmed meanwhile, or cannot be read
 *
 * source.c and numbers.c alone; the library is played here.  The queue has the records 100 to 119.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/cli.h"
#include "ship/source.h"

#define SEGMENTS 3U
#define FIRST 100U
#define END 120U

/* What the next call of cq_reader_next_batch() gives: records from `first` on, or an error. */
struct step {
	ssize_t result;
	uint64_t first;
};

static struct {
	/* results of calls */
	int queue_open, named_open, reader_open, look, reader_look, list, durable, commit, wait;
	int seek_oldest, skip_record, skip_segment;
	int seek_error; /* of cq_reader_seek_seq() to the records from hidden_from to hidden_to - 1 */
	uint64_t hidden_from, hidden_to;
	struct cq_queue_info info;
	bool have_seq;
	struct {
		int open, header, records;
		struct cq_segment_info info;
	} segments[SEGMENTS];
	unsigned segment; /* that is open */
	const struct step *batches;
	uint64_t skipped; /* the record that cq_reader_skip_record() passes */
	uint64_t at;      /* the next record of cq_reader_next() */
	int next_error;   /* of cq_reader_next(), in front of the record next_error_at */
	uint64_t next_error_at;
	uint64_t other_time; /* is added to the time of each record that cq_reader_next() gives */
	/* what ship did */
	int open; /* handles that are open now */
	uint64_t sought;
	char text[512];
} world;

static struct source source;

/* ---- played ---- */

int cq_queue_open(const char *dir, cq_queue **ret_queue)
{
	assert_string_equal(dir, "q");
	*ret_queue = world.queue_open == 0 ? (cq_queue *)&world : NULL;
	world.open += world.queue_open == 0;
	return world.queue_open;
}

void cq_queue_close(cq_queue *queue)
{
	world.open -= queue != NULL;
}

int cq_queue_info(cq_queue *queue, struct cq_queue_info *ret_info)
{
	const size_t size = ret_info->size;

	assert_ptr_equal(queue, &world);
	*ret_info = world.info;
	ret_info->size = size;
	return world.look;
}

int cq_queue_reader(cq_queue *queue, const char *name, struct cq_reader_info *ret_info)
{
	assert_ptr_equal(queue, &world);
	assert_string_equal(name, "ship");
	ret_info->have_seq = world.have_seq;
	ret_info->seq = 105;
	return world.reader_look;
}

int cq_queue_wait_durable(cq_queue *queue, uint64_t seq, int timeout_ms, uint64_t *ret_durable)
{
	assert_ptr_equal(queue, &world);
	(void)timeout_ms;
	if (world.durable < 0)
		return world.durable;
	*ret_durable = world.info.durable_seq;
	return world.info.durable_seq >= seq;
}

int cq_queue_list(cq_queue *queue, uint32_t **ret_ids, size_t *ret_count)
{
	assert_ptr_equal(queue, &world);
	if (world.list < 0)
		return world.list;
	*ret_ids = calloc(SEGMENTS, sizeof **ret_ids);
	assert_non_null(*ret_ids);
	for (uint32_t i = 0; i < SEGMENTS; i++)
		(*ret_ids)[i] = i;
	*ret_count = SEGMENTS;
	return 0;
}

int cq_segment_open(cq_queue *queue, uint32_t id, cq_segment **ret_segment)
{
	assert_ptr_equal(queue, &world);
	world.segment = id;
	if (world.segments[id].open < 0)
		return world.segments[id].open;
	*ret_segment = (cq_segment *)&world;
	world.open++;
	return 0;
}

int cq_segment_info(cq_segment *segment, enum cq_segment_source from,
                    struct cq_segment_info *ret_info)
{
	const size_t size = ret_info->size;

	assert_ptr_equal(segment, &world);
	*ret_info = world.segments[world.segment].info;
	ret_info->size = size;
	if (from == CQ_SEGMENT_HEADER)
		return world.segments[world.segment].header;
	ret_info->have_content = true;
	return world.segments[world.segment].records;
}

void cq_segment_close(cq_segment *segment)
{
	assert_ptr_equal(segment, &world);
	world.open--;
}

int cq_reader_open(const char *dir, const char *name, enum cq_start start, unsigned flags,
                   cq_reader **ret_reader)
{
	const int r = name ? world.named_open : world.reader_open;

	assert_string_equal(dir, "q");
	(void)start;
	(void)flags;
	*ret_reader = r == 0 ? (cq_reader *)&world : NULL;
	world.open += r == 0;
	return r;
}

void cq_reader_close(cq_reader *reader)
{
	world.open -= reader != NULL;
}

int cq_reader_seek_seq(cq_reader *reader, uint64_t seq)
{
	assert_ptr_equal(reader, &world);
	if (seq >= world.hidden_from && seq < world.hidden_to)
		return world.seek_error;
	world.sought = world.at = seq;
	return 0;
}

int cq_reader_seek_oldest(cq_reader *reader)
{
	assert_ptr_equal(reader, &world);
	world.sought = world.at = FIRST;
	return world.seek_oldest;
}

static struct cq_record record_of(uint64_t seq)
{
	return (struct cq_record){
		.seq = seq, .payload = "", .have_stream = true, .epoch = 1, .time_ns = seq
	};
}

int cq_reader_next(cq_reader *reader, struct cq_record *ret_record)
{
	int r = world.next_error;

	assert_ptr_equal(reader, &world);
	if (r != 0 && world.at == world.next_error_at) {
		if (r == -ENODATA) /* once */
			world.next_error = 0;
		return r;
	}
	if (world.at >= END)
		return 0;
	*ret_record = record_of(world.at++);
	ret_record->time_ns += world.other_time;
	return 1;
}

ssize_t cq_reader_next_batch(cq_reader *reader, struct cq_record *ret_records, size_t most,
                             size_t max_bytes)
{
	const struct step step = *world.batches;

	assert_ptr_equal(reader, &world);
	assert_true(step.result <= (ssize_t)most && max_bytes > 0);
	if (step.result != 0)
		world.batches++;
	for (ssize_t i = 0; i < step.result; i++)
		ret_records[i] = record_of(step.first + (uint64_t)i);
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

int cq_reader_wait(cq_reader *reader, int timeout_ms)
{
	assert_ptr_equal(reader, &world);
	(void)timeout_ms;
	return world.wait;
}

int cq_reader_commit(cq_reader *reader)
{
	assert_ptr_equal(reader, &world);
	return world.commit;
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

int cli_fail_reader(const char *dir, const char *name, int error)
{
	cli_note("%s: reader %s: error %d", dir, name, -error);
	return CLI_IO;
}

/* ---- tests ---- */

static int setup(void **state)
{
	static const struct step none[] = { { 0, 0 } };

	(void)state;
	memset(&world, 0, sizeof world);
	memset(&source, 0, sizeof source);
	world.info = (struct cq_queue_info){
		.have_identity = true,
		.have_bounds = true,
		.first_seq = FIRST,
		.next_seq = END,
		.have_durable = true,
		.durable_seq = END,
		.stream_end = 777,
	};
	world.have_seq = true;
	world.seek_error = -EIO;
	world.batches = none;
	for (unsigned i = 0; i < SEGMENTS; i++) {
		struct cq_segment_info *info = &world.segments[i].info;

		info->have_content = true;
		info->records = 10;
		info->first_seq = FIRST + 10 * i;
		info->last_seq = info->first_seq + 9;
	}
	return 0;
}

static void opens(void)
{
	assert_int_equal(source_open(&source, "q", false), CLI_OK);
	assert_int_equal(world.open, 3);
	source.limit = END;
	source.next = FIRST;
}

static int teardown(void **state)
{
	(void)state;
	if (world.open > 0)
		source_close(&source);
	assert_int_equal(world.open, 0);
	return 0;
}

static void fails_to_open(bool visible, const char *text)
{
	assert_int_equal(source_open(&source, "q", visible), CLI_IO);
	assert_string_equal(world.text, text);
	assert_int_equal(world.open, 0);
	setup(NULL);
}

static void queues_that_cannot_be_opened(void **state)
{
	static const char no_writer[] = "q: no writer of this version has opened the queue yet";

	(void)state;
	world.queue_open = -ENOENT;
	fails_to_open(false, "q: error 2");
	world.named_open = -EBUSY;
	fails_to_open(false, "q: reader ship: error 16");
	world.reader_open = -EMFILE;
	fails_to_open(false, "q: error 24");
	world.look = -EACCES;
	fails_to_open(false, "q: error 13");
	world.reader_look = -EIO;
	fails_to_open(false, "q: error 5");
	world.info.have_identity = false;
	fails_to_open(true, no_writer);
	world.info.have_durable = false;
	fails_to_open(false, no_writer);
	world.list = -ENOMEM;
	fails_to_open(false, "q: error 12");
	world.segments[1].open = -EMFILE;
	fails_to_open(false, "q: error 24");
	world.info.have_durable = false; /* no matter with --visible */
	assert_int_equal(source_open(&source, "q", true), CLI_OK);
}

static void what_is_committed(void **state)
{
	(void)state;
	opens();
	assert_int_equal(source.committed, 105);
	source_close(&source);
	world.have_seq = false; /* damage hides it */
	opens();
	assert_int_equal(source.committed, 0);
}

static void numbers_are(int r, uint32_t segment)
{
	uint32_t found = UINT32_MAX;

	assert_int_equal(source_check_numbers((cq_queue *)&world, &found), r);
	assert_int_equal(found, segment);
	assert_int_equal(world.open, 0);
	setup(NULL);
}

/* Segments that are damaged, empty or deleted tell nothing of the numbers. */
static void numbers_of_segments(void **state)
{
	(void)state;
	numbers_are(0, UINT32_MAX);
	world.segments[1].open = -EBADMSG;
	numbers_are(0, UINT32_MAX);
	world.segments[0].open = -ENOENT;
	numbers_are(0, UINT32_MAX);
	world.segments[1].header = -EIO;
	numbers_are(0, UINT32_MAX);
	world.segments[1].header = -EACCES;
	numbers_are(-EACCES, UINT32_MAX);
	world.segments[1].info.have_content = false;
	numbers_are(0, UINT32_MAX);
	world.segments[1].info.have_content = false;
	world.segments[1].records = -EIO;
	numbers_are(0, UINT32_MAX);
	world.segments[1].info = (struct cq_segment_info){ .have_content = true };
	numbers_are(0, UINT32_MAX);
	world.segments[2].info.first_seq = 0; /* chronicle-rs has counted from 0 again */
	world.segments[2].info.last_seq = 9;
	numbers_are(-EILSEQ, 2);
	world.segments[1].info.records = 12; /* in the middle of a segment */
	numbers_are(-EILSEQ, 1);
	world.segments[1].info.records = 8; /* two are damaged */
	world.segments[1].info.damaged = true;
	numbers_are(0, UINT32_MAX);
}

static void says_of_open(const char *text)
{
	assert_int_equal(source_open(&source, "q", false), CLI_IO);
	assert_non_null(strstr(world.text, text));
	assert_int_equal(world.open, 0);
}

static void numbers_that_were_given_before(void **state)
{
	(void)state;
	world.segments[2].info.first_seq = 0;
	world.segments[2].info.last_seq = 9;
	says_of_open("q: segment 000000002 has numbers that were given before");
}

static void what_the_queue_has(void **state)
{
	struct resume_queue queue;

	(void)state;
	opens();
	world.info.durable_seq = 110;
	assert_int_equal(source_describe(&source, true, 104, &queue), 0);
	assert_int_equal(queue.first_seq, FIRST);
	assert_int_equal(queue.next_seq, 110);
	assert_int_equal(queue.committed, 105);
	assert_true(queue.have_record);
	assert_int_equal(queue.record.time_ns, 104);
	world.info.durable_seq = 90; /* retention has deleted what is not known to be durable */
	assert_int_equal(source_describe(&source, false, 0, &queue), 0);
	assert_int_equal(queue.next_seq, FIRST);
	assert_false(queue.have_record);
	/* a record that is not there, or hidden by damage, has no fingerprint */
	world.hidden_from = 104;
	world.hidden_to = 105;
	assert_int_equal(source_describe(&source, true, 104, &queue), 0);
	assert_false(queue.have_record);
	assert_int_equal(source_describe(&source, true, END, &queue), 0);
	assert_false(queue.have_record);
	world.next_error = -ENODATA;
	world.next_error_at = 107;
	assert_int_equal(source_describe(&source, true, 107, &queue), 0);
	assert_false(queue.have_record);
	world.seek_error = -EMFILE;
	assert_int_equal(source_describe(&source, true, 104, &queue), -EMFILE);
	world.look = -EACCES;
	assert_int_equal(source_describe(&source, false, 0, &queue), -EACCES);
}

/* Damage hides the ends of the queue: the reader finds the first record. */
static void the_ends_are_hidden(void **state)
{
	struct resume_queue queue;

	(void)state;
	opens();
	world.info.have_bounds = false;
	assert_int_equal(source_describe(&source, false, 0, &queue), 0);
	assert_int_equal(queue.first_seq, FIRST);
	assert_int_equal(queue.next_seq, END);
	world.next_error = -ENODATA;
	world.next_error_at = FIRST;
	assert_int_equal(source_describe(&source, false, 0, &queue), 0);
	assert_int_equal(queue.first_seq, FIRST);
	world.next_error = -EBADMSG;
	assert_int_equal(source_describe(&source, true, 104, &queue), -EBADMSG);
	world.next_error = 0;
	world.seek_oldest = -EMFILE;
	assert_int_equal(source_describe(&source, false, 0, &queue), -EMFILE);
}

/* Damage hides the place from which shipping goes on: what is before it is passed over. */
static void a_place_that_damage_hides(void **state)
{
	static const struct step before[] = { { 8, 104 }, { 8, 112 }, { 0, 0 } };
	const struct cq_record *record;

	(void)state;
	world.have_seq = false;
	opens();
	world.hidden_from = 106;
	world.hidden_to = 112;
	assert_int_equal(source_seek(&source, 112), 0);
	assert_int_equal(world.sought, 112);
	assert_int_equal(source_seek(&source, 110), 0);
	assert_true(world.sought < 106);
	world.batches = before;
	assert_int_equal(source_peek(&source, &record), 1);
	assert_int_equal(record->seq, 110);
	/* nothing before it is found either */
	world.hidden_from = 0;
	assert_int_equal(source_seek(&source, 110), 0);
	assert_int_equal(world.sought, FIRST);
	assert_int_equal(source_seek(&source, 1), 0);
	assert_int_equal(world.sought, FIRST);
	world.seek_error = -EMFILE;
	assert_int_equal(source_seek(&source, 110), -EMFILE);
}

/* The stream has less than was committed: the reader goes back. */
static void a_commit_that_is_taken_back(void **state)
{
	(void)state;
	opens();
	assert_int_equal(source_seek(&source, 103), 0);
	assert_int_equal(source.committed, 103);
	world.commit = -EROFS;
	assert_int_equal(source_seek(&source, 102), -EROFS);
	assert_int_equal(source.committed, 103);
}

static void peek_gives(const struct step *batches, int r)
{
	const struct cq_record *record;

	source.hole_end = 0;
	source.at = source.count = 0;
	source.next = FIRST;
	world.batches = batches;
	assert_int_equal(source_peek(&source, &record), r);
}

static void damage(void **state)
{
	static const struct step bytes[] = { { -EIO, 0 }, { 5, 105 }, { 0, 0 } };
	static const struct step header[] = { { -EBADMSG, 0 }, { 5, 105 }, { 0, 0 } };
	static const struct step missing[] = { { -ENODATA, 0 }, { 5, 105 }, { 0, 0 } };
	static const struct step memory[] = { { -ENOMEM, 0 }, { 0, 0 } };

	(void)state;
	opens();
	world.skip_record = 1;
	world.skipped = 103; /* its number is known */
	peek_gives(bytes, -ENODATA);
	assert_int_equal(source.hole_end, 104);
	assert_true(source.damaged);
	world.skipped = 99; /* it was before the one that is due */
	peek_gives(bytes, -ENODATA);
	assert_int_equal(source.hole_end, 105);
	world.skip_record = 0;
	world.skip_segment = 1;
	peek_gives(bytes, -ENODATA);
	assert_int_equal(source.hole_end, 105);
	peek_gives(header, -ENODATA);
	assert_int_equal(source.hole_end, 105);
	world.skip_segment = 0; /* the writer has not left the segment */
	peek_gives(bytes, -EIO);
	peek_gives(header, -EBADMSG);
	world.skip_segment = -EMFILE;
	peek_gives(header, -EMFILE);
	world.skip_record = -ENFILE;
	peek_gives(bytes, -ENFILE);
	source.damaged = false;
	peek_gives(missing, -ENODATA);
	assert_int_equal(source.hole_end, 105);
	assert_false(source.damaged);
	peek_gives(memory, -ENOMEM);
	source.limit = FIRST;
	world.durable = -EIO;
	peek_gives(memory, -EIO);
}

/* Behind a hole the batch has a record that is not known to be durable. */
static void not_durable_behind_a_hole(void **state)
{
	static const struct step behind[] = { { 5, 105 }, { 0, 0 } };

	(void)state;
	opens();
	source.limit = 105;
	world.info.durable_seq = 105;
	peek_gives(behind, 0);
	world.durable = -EIO;
	peek_gives(behind, -EIO);
}

/* Another opening of the queue follows.  Whether it has lost what was taken is looked up; 0: it has not. */
static void looks_back(int r)
{
	static const struct step more[] = { { 5, 105 }, { 0, 0 } };
	const struct cq_record *record;

	source.at = source.count = 0;
	source.next = 105;
	source.before.known = true;
	source.before.epoch = 0;
	world.batches = more;
	assert_int_equal(source_peek(&source, &record), r);
}

static void another_opening(void **state)
{
	(void)state;
	opens();
	looks_back(-EILSEQ); /* record 104 is of another opening now */
	assert_int_equal(source.back_to, 104);
	world.next_error = -EIO; /* nothing says that it was another one */
	world.next_error_at = 104;
	looks_back(1);
	assert_false(source.before.known);
	world.next_error = 0;
	world.hidden_from = 104;
	world.hidden_to = 105;
	looks_back(1);
	world.hidden_from = world.hidden_to = 0;
	world.reader_open = -EMFILE;
	looks_back(-EMFILE);
	assert_int_equal(world.open, 3);
}

static void waits(void **state)
{
	(void)state;
	opens();
	world.wait = 1;
	assert_int_equal(source_wait(&source, 0), 0);
	world.wait = -EINTR;
	assert_int_equal(source_wait(&source, 0), 0);
	world.wait = -EBADMSG;
	assert_int_equal(source_wait(&source, 0), -EBADMSG);
	source.limit = FIRST;
	world.durable = -EIO;
	assert_int_equal(source_wait(&source, 0), -EIO);
}

static void looks(void **state)
{
	uint64_t next = 0, end = 0;

	(void)state;
	opens();
	source.limit = 105;
	world.info.durable_seq = 110;
	assert_int_equal(source_look(&source, &next, &end), 0);
	assert_int_equal(next, 110);
	assert_int_equal(end, 777);
	assert_int_equal(source.limit, 110);
	source.limit = UINT64_MAX;
	source.visible = true;
	assert_int_equal(source_look(&source, &next, &end), 0);
	assert_int_equal(next, END);
	world.info.have_bounds = false;
	assert_int_equal(source_look(&source, &next, &end), -ENODATA);
	world.look = -EIO;
	assert_int_equal(source_look(&source, &next, &end), -EIO);
}

/* Damage hides the place of a commit: the reader goes there record by record, or as far as it gets. */
static void commits_into_damage(void **state)
{
	(void)state;
	opens();
	world.at = 105;
	world.hidden_from = 108;
	world.hidden_to = 112;
	assert_int_equal(source_commit(&source, 110), 0);
	assert_int_equal(source.committed, 110);
	world.next_error = -EIO;
	world.next_error_at = 111;
	world.hidden_to = END;
	assert_int_equal(source_commit(&source, 115), 0);
	assert_int_equal(source.committed, 111);
	assert_int_equal(source_commit(&source, 115), -EIO);
	assert_int_equal(source.committed, 111);
	assert_int_equal(source_commit(&source, 108), 0); /* back: before it */
	assert_int_equal(source.committed, 107);
	assert_int_equal(source_commit(&source, 107), 0); /* a sign of life */
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(queues_that_cannot_be_opened),
		TEST(what_is_committed),
		TEST(numbers_of_segments),
		TEST(numbers_that_were_given_before),
		TEST(what_the_queue_has),
		TEST(the_ends_are_hidden),
		TEST(a_place_that_damage_hides),
		TEST(a_commit_that_is_taken_back),
		TEST(damage),
		TEST(not_durable_behind_a_hole),
		TEST(another_opening),
		TEST(waits),
		TEST(looks),
		TEST(commits_into_damage),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
