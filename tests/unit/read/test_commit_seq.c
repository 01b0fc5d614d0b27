/* SPDX-License-Identifier: Apache-2.0 */
/* test_commit_seq.c - cq_reader_commit_seq(): the position behind a record, while the reader is further */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chronq.h"
#include "os/fault.h"
#include "queue_support.h"

#define AT(record) (64 + (uint64_t)(record)*128) /* of a segment that holds 31 */

struct cq_at {
	uint32_t segment;
	uint64_t offset;
};

static cq_reader *open_reader(struct qs *q, enum cq_start start)
{
	cq_reader *reader = NULL;

	assert_int_equal(cq_reader_open(q->dir, "r", start, 0, &reader), 0);
	return reader;
}

static void take(cq_reader *reader, uint64_t first, unsigned count)
{
	struct cq_record record;

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, first + i);
	}
}

static void see(void *arg, const struct cq_reader_position *position)
{
	*(struct cq_at *)arg = (struct cq_at){ position->segment, position->offset };
}

static struct cq_at committed(struct qs *q)
{
	struct cq_at at = { 0 };
	cq_queue *queue;

	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_queue_readers(queue, see, &at), 0);
	cq_queue_close(queue);
	return at;
}

/* The first record that another open of the reader gets. */
static void expect_next(struct qs *q, uint64_t seq)
{
	cq_reader *reader = open_reader(q, CQ_START_RESUME);

	take(reader, seq, 1);
	cq_reader_close(reader);
}

/* In any order, each number gives the position that a commit had right behind that record. */
static void as_a_commit_there(void **state)
{
	enum { RECORDS = 200 };
	struct qs *q = *state;
	struct cq_at places[RECORDS], now;
	uint8_t payload[900] = { 0 };
	struct cq_record record;
	unsigned seed = 7;
	cq_reader *reader;

	qs_open(q);
	for (unsigned i = 0; i < RECORDS; i++) {
		qs_prepare(q->writer);
		assert_int_equal(cq_writer_append(q->writer, 1, payload,
		                                  (size_t)rand_r(&seed) % sizeof payload, NULL),
		                 0);
	}
	qs_flush(q->writer);
	reader = open_reader(q, CQ_START_OLDEST);
	for (unsigned i = 0; i < RECORDS; i++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(cq_reader_commit(reader), 0);
		places[i] = committed(q);
	}
	for (unsigned i = 0; i < 2 * RECORDS; i++) {
		const unsigned seq = i < RECORDS ? i : (unsigned)rand_r(&seed) % RECORDS;

		assert_int_equal(cq_reader_commit_seq(reader, seq), 0);
		now = committed(q);
		assert_int_equal(now.segment, places[seq].segment);
		assert_int_equal(now.offset, places[seq].offset);
		if (i % 3 == 0)
			assert_int_equal(cq_reader_commit_seq(reader, seq), 0);
	}
	assert_int_equal(cq_reader_next(reader, &record), 0); /* the reader has not moved */
	cq_reader_close(reader);
}

/* A program that is some records ahead of what it commits, over rolls, beside a writer. */
static void ahead_of_its_commits(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_open(q);
	qs_append(q->writer, 0, 40);
	reader = open_reader(q, CQ_START_OLDEST);
	take(reader, 0, 40);
	for (unsigned i = 40; i < 200; i++) {
		struct cq_at at;

		qs_append(q->writer, i, 1);
		take(reader, i, 1);
		assert_int_equal(cq_reader_commit_seq(reader, i - 40), 0);
		at = committed(q);
		assert_int_equal(at.segment * 31 + (at.offset - 64) / 128, i - 39);
	}
	cq_reader_close(reader);
	expect_next(q, 160);
}

static void not_passed_yet(void **state)
{
	struct qs *q = *state;
	cq_reader *reader, *nameless;

	qs_write(q, 0, 60);
	reader = open_reader(q, CQ_START_OLDEST);
	assert_int_equal(cq_reader_commit_seq(reader, 0), -ERANGE);
	take(reader, 0, 20);
	assert_int_equal(cq_reader_commit_seq(reader, 20), -ERANGE);
	assert_int_equal(cq_reader_commit_seq(reader, 1000), -ERANGE);
	assert_int_equal(cq_reader_commit_seq(reader, UINT64_MAX), -ERANGE);
	assert_int_equal(committed(q).offset, AT(0));
	assert_int_equal(cq_reader_commit_seq(reader, 19), 0);
	assert_int_equal(committed(q).offset, AT(20));
	/* after a seek nothing is known of what was taken: the place alone counts */
	assert_int_equal(cq_reader_seek_seq(reader, 50), 0);
	assert_int_equal(cq_reader_commit_seq(reader, 50), -ERANGE);
	assert_int_equal(cq_reader_commit_seq(reader, 49), 0);
	assert_int_equal(cq_reader_seek_end(reader), 0);
	assert_int_equal(cq_reader_commit_seq(reader, 60), -ERANGE);
	assert_int_equal(cq_reader_commit_seq(reader, 59), 0);
	assert_int_equal(cq_reader_seek_seq(reader, 10), 0);
	assert_int_equal(cq_reader_commit_seq(reader, 30), -ERANGE);
	assert_int_equal(cq_reader_commit_seq(reader, 5), 0); /* back */
	cq_reader_close(reader);
	expect_next(q, 6);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &nameless), 0);
	assert_int_equal(cq_reader_commit_seq(nameless, 0), -EINVAL);
	assert_int_equal(cq_reader_commit(nameless), -EINVAL);
	cq_reader_close(nameless);
}

/* Records between are gone, or damaged. */
static void beside_gaps_and_damage(void **state)
{
	static const uint8_t rubbish[64] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	qs_write(q, 0, 120);
	reader = open_reader(q, CQ_START_OLDEST);
	take(reader, 0, 10);
	assert_int_equal(unlinkat(q->dirfd, "000000001.q", 0), 0);
	take(reader, 10, 21);
	assert_int_equal(cq_reader_next(reader, &record), -ENODATA);
	take(reader, 62, 5);
	/* one that is missing: before the next one */
	assert_int_equal(cq_reader_commit_seq(reader, 40), 0);
	assert_int_equal(committed(q).segment, 2);
	assert_int_equal(committed(q).offset, AT(0));
	assert_int_equal(cq_reader_commit_seq(reader, 64), 0);
	assert_int_equal(committed(q).offset, AT(3));
	take(reader, 67, 3);
	support_poke(q->dir, "000000002.q", AT(4), rubbish, sizeof rubbish);
	assert_int_equal(cq_reader_commit_seq(reader, 65), 0); /* right before the damage */
	assert_int_equal(committed(q).offset, AT(4));
	assert_int_equal(cq_reader_commit_seq(reader, 67), -EIO);
	assert_int_equal(committed(q).offset, AT(4));
	assert_int_equal(cq_reader_commit(reader), 0);
	assert_int_equal(committed(q).offset, AT(8));
	cq_reader_close(reader);
}

/* Nothing is there any more: then no number has been passed. */
static void nothing_there(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_write(q, 0, 10);
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	reader = open_reader(q, CQ_START_OLDEST);
	assert_int_equal(cq_reader_commit_seq(reader, 3), -ERANGE);
	cq_reader_close(reader);
}

/* The reader has taken all, and since then all of it was deleted: it still commits what it has taken, for its sign of
 * life, and nothing that is not there yet. */
static void all_deleted(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;

	qs_open(q);
	qs_append(q->writer, 0, 40);
	reader = open_reader(q, CQ_START_OLDEST);
	take(reader, 0, 40);
	assert_int_equal(cq_reader_commit_seq(reader, 39), 0);
	assert_int_equal(cq_writer_roll(q->writer), 0);
	/* as retention does when it does not wait for the reader any more */
	assert_int_equal(unlinkat(q->dirfd, "000000000.q", 0), 0);
	assert_int_equal(unlinkat(q->dirfd, "000000001.q", 0), 0);
	assert_int_equal(cq_reader_commit_seq(reader, 39), 0);
	assert_int_equal(cq_reader_commit_seq(reader, 30), 0);
	cq_reader_close(reader);
	reader = open_reader(q, CQ_START_RESUME);
	assert_int_equal(cq_reader_commit_seq(reader, 39), 0);
	assert_int_equal(cq_reader_commit_seq(reader, 30), 0);
	assert_int_equal(cq_reader_commit_seq(reader, 40), -ERANGE);
	cq_reader_close(reader);
	reader = open_reader(q, CQ_START_OLDEST);
	assert_int_equal(cq_reader_commit_seq(reader, 39), 0);
	assert_int_equal(cq_reader_commit_seq(reader, 40), -ERANGE);
	cq_reader_close(reader);
	qs_append(q->writer, 40, 1);
	expect_next(q, 40);
}

/* Numbers that a repair has given up, between two that are known: before the next one. */
static void numbers_given_up(void **state)
{
	const struct cq_repair_config config = { .size = sizeof config, .accept_loss = true };
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs *q = *state;
	struct cq_record record;
	cq_reader *reader;

	qs_write(q, 0, 120);
	assert_int_equal(unlinkat(q->dirfd, "000000001.q", 0), 0);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	reader = open_reader(q, CQ_START_OLDEST);
	take(reader, 0, 31);
	assert_int_equal(cq_reader_commit_seq(reader, 20), 0);
	assert_int_equal(cq_reader_next(reader, &record), -ENODATA);
	take(reader, 62, 5);
	assert_int_equal(cq_reader_commit_seq(reader, 40), 0);
	assert_int_equal(committed(q).segment, 2);
	assert_int_equal(committed(q).offset, AT(0));
	assert_int_equal(cq_reader_commit_seq(reader, 63), 0);
	assert_int_equal(committed(q).offset, AT(2));
	cq_reader_close(reader);
	expect_next(q, 64);
}

#ifdef CQ_FAULTS

static void die(const char *place)
{
	if (strcmp(place, "reader.slots_read") == 0)
		kill(getpid(), SIGKILL);
}

static void commit_and_die(struct qs *q)
{
	struct cq_record record;
	cq_reader *reader;

	CHILD(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader) == 0);
	for (int i = 0; i < 50; i++)
		CHILD(cq_reader_next(reader, &record) == 1);
	CHILD(cq_reader_commit_seq(reader, 19) == 0);
	cq_point_heard = die;
	(void)cq_reader_commit_seq(reader, 39);
}

/* Killed in the middle: the position before it. */
static void killed_in_it(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 60);
	qs_run_killed(commit_and_die, q);
	expect_next(q, 20);
}

#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(as_a_commit_there), QS_TEST(ahead_of_its_commits),
	QS_TEST(not_passed_yet),    QS_TEST(beside_gaps_and_damage),
	QS_TEST(numbers_given_up),  QS_TEST(nothing_there),
	QS_TEST(all_deleted),
#ifdef CQ_FAULTS
	QS_TEST(killed_in_it),
#endif
};

QS_MAIN(tests)
