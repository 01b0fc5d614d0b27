/* SPDX-License-Identifier: Apache-2.0 */
/* test_readers.c - the named readers of a queue: where they are, how far behind */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/reader_file.h"
#include "os/clock.h"
#include "os/fault.h"
#include "queue_support.h"

#define AT(record) (64 + (uint64_t)(record)*128) /* of a segment that holds 31 */
#define END AT(31)

struct seen {
	struct cq_reader_position readers[8];
	unsigned count;
};

static void see(void *arg, const struct cq_reader_position *position)
{
	struct seen *seen = arg;

	assert_true(seen->count < 8);
	seen->readers[seen->count++] = *position;
}

static struct seen look(cq_queue *queue)
{
	struct seen seen = { .count = 0 };

	assert_int_equal(cq_queue_readers(queue, see, &seen), 0);
	return seen;
}

static const struct cq_reader_position *find(const struct seen *seen, const char *name)
{
	static const struct cq_reader_position nobody;

	for (unsigned i = 0; i < seen->count; i++)
		if (strcmp(seen->readers[i].name, name) == 0)
			return &seen->readers[i];
	fail_msg("no reader %s", name);
	return &nobody;
}

static void place(struct qs *q, const char *name, uint64_t segment, uint64_t offset)
{
	struct cq_reader_file cursor = { .segment = segment,
		                         .offset = offset,
		                         .heartbeat_ns = 12345 };
	int fd;

	assert_int_equal(cq_reader_file_open(q->dirfd, name, true, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &cursor), 0);
	close(fd);
}

static void none(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	assert_int_equal(look(cq_writer_queue(q->writer)).count, 0);
	assert_int_equal(mkdirat(q->dirfd, "readers", 0750), 0);
	assert_int_equal(look(cq_writer_queue(q->writer)).count, 0);
	qs_write_file(q->dir, "readers/bad.meta", "rubbish", 7);
	assert_int_equal(look(cq_writer_queue(q->writer)).count, 0);
}

/* A reader follows: no lag; then some records of it, then segments. */
static void distance(void **state)
{
	const uint64_t before = cq_realtime_ns();
	struct qs *q = *state;
	const struct cq_reader_position *p;
	struct cq_record record;
	cq_reader *reader;
	cq_queue *queue;
	struct seen seen;

	qs_open(q);
	qs_append(q->writer, 0, 10);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_OLDEST, 0, &reader), 0);
	seen = look(queue); /* an open commits where the reader begins */
	assert_int_equal(find(&seen, "r")->offset, AT(0));
	assert_int_equal(find(&seen, "r")->lag_bytes, 10 * 128);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(cq_reader_commit(reader), 0);
	seen = look(queue);
	p = find(&seen, "r");
	assert_int_equal(p->segment, 0);
	assert_int_equal(p->offset, AT(10));
	assert_int_equal(p->lag_bytes, 0);
	assert_true(p->heartbeat_ns >= before && p->heartbeat_ns <= cq_realtime_ns());
	qs_append(q->writer, 10, 5);
	seen = look(queue);
	assert_int_equal(find(&seen, "r")->lag_bytes, 5 * 128);
	qs_append(q->writer, 15, 3 * 31); /* three segments further, the same place in them */
	seen = look(cq_writer_queue(q->writer));
	assert_int_equal(find(&seen, "r")->lag_bytes, 3 * QS_SIZE + 5 * 128);
	cq_reader_close(reader);
	qs_close(q);
	seen = look(queue); /* also without a writer */
	assert_int_equal(find(&seen, "r")->lag_bytes, 3 * QS_SIZE + 5 * 128);
	assert_int_equal(unlinkat(q->dirfd, "control.meta", 0), 0);
	seen = look(queue); /* and when control.meta does not say where the writer was */
	assert_int_equal(find(&seen, "r")->lag_bytes, 0);
	assert_int_equal(find(&seen, "r")->offset, AT(10));
	cq_queue_close(queue);
}

static void several(void **state)
{
	const uint64_t both[2] = { 1, 1280 };
	char longest[CQ_READER_NAME_MAX + 1];
	struct qs *q = *state;
	struct seen seen;

	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	qs_open(q);
	qs_append(q->writer, 0, 3 * 31);
	place(q, "a", 0, 64);
	place(q, longest, 2, 64);
	place(q, "ahead", 999999999, 64); /* a position that no writer has reached */
	qs_write_file(q->dir, "readers/old.meta", both, sizeof both);
	seen = look(cq_writer_queue(q->writer));
	assert_int_equal(seen.count, 4);
	assert_int_equal(find(&seen, "a")->lag_bytes, 2 * QS_SIZE + END - 64);
	assert_int_equal(find(&seen, "a")->heartbeat_ns, 12345);
	assert_int_equal(find(&seen, longest)->lag_bytes, END - 64);
	assert_int_equal(find(&seen, "ahead")->lag_bytes, 0);
	assert_int_equal(find(&seen, "ahead")->segment, 999999999);
	assert_int_equal(find(&seen, "old")->lag_bytes, QS_SIZE + END - 1280);
	assert_int_equal(find(&seen, "old")->heartbeat_ns, 0);
#ifdef CQ_FAULTS
	cq_fault_set("list", EMFILE, 0, -1);
	assert_int_equal(cq_queue_readers(cq_writer_queue(q->writer), see, &seen), -EMFILE);
	cq_fault_set(NULL, 0, 0, 0);
#endif
}

/* A power cut took what the readers had read.  Readers do not take what is appended next for that. */
static void moved_to_the_end(void **state)
{
	static const char *const moved[] = { "behind", "far", "at", "old" };
	const uint64_t both[2] = { 0, AT(20) };
	struct cq_record record;
	struct qs *q = *state;
	cq_reader *reader;
	struct seen seen;
	bool own;

	qs_write(q, 0, 10);
	place(q, "behind", 0, AT(15));
	place(q, "far", 3, AT(2));
	place(q, "at", 0, AT(10));
	place(q, "before", 0, AT(5));
	place(q, "stranger", 0, AT(15));
	/* a file of another user (where we may make one) is not written to */
	own = fchownat(q->dirfd, "readers/stranger.meta", 65534, 65534, 0) < 0;
	qs_write_file(q->dir, "readers/old.meta", both, sizeof both);
	qs_write_file(q->dir, "readers/bad.meta", "rubbish", 7);
	qs_open(q);
	seen = look(cq_writer_queue(q->writer));
	assert_int_equal(seen.count, 6);
	for (unsigned i = 0; i < sizeof moved / sizeof moved[0]; i++) {
		assert_int_equal(find(&seen, moved[i])->segment, 0);
		assert_int_equal(find(&seen, moved[i])->offset, AT(10));
	}
	assert_int_equal(find(&seen, "behind")->heartbeat_ns, 12345);
	assert_int_equal(find(&seen, "before")->offset, AT(5));
	assert_int_equal(find(&seen, "stranger")->offset, own ? AT(10) : AT(15));
	qs_append(q->writer, 10, 10); /* past its position */
	assert_int_equal(cq_reader_open(q->dir, "behind", CQ_START_RESUME, 0, &reader), 0);
	for (unsigned i = 10; i < 20; i++) {
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.seq, i);
	}
	assert_int_equal(cq_reader_next(reader, &record), 0);
	cq_reader_close(reader);
}

#ifdef CQ_FAULTS

static struct qs *heard_queue;

static void commit_elsewhere(const char *place_name)
{
	if (strcmp(place_name, "recover.reader_misplaced") == 0)
		place(heard_queue, "behind", 0, AT(4));
}

/* A reader commits a place with records just when recovery is about to move it: the commit counts. */
static void commits_while_it_is_moved(void **state)
{
	struct qs *q = *state;
	struct seen seen;

	qs_write(q, 0, 10);
	place(q, "behind", 0, AT(15));
	heard_queue = q;
	cq_point_heard = commit_elsewhere;
	qs_open(q);
	cq_point_heard = NULL;
	seen = look(cq_writer_queue(q->writer));
	assert_int_equal(find(&seen, "behind")->offset, AT(4));
	assert_false(qs_logged(q, "behind"));
}

#endif

static void take(cq_reader *reader, uint64_t seq)
{
	struct cq_record record;

	assert_int_equal(cq_reader_next(reader, &record), 1);
	assert_int_equal(record.seq, seq);
}

/* The end of a full segment and the beginning of the next one are one place: a reader may be at either. */
static void at_the_end_of_a_full_segment(void **state)
{
	static char payload[QS_SIZE - 128];
	struct cq_record record;
	struct qs *q = *state;
	cq_queue *queue;
	cq_reader *reader;
	struct seen seen;

	qs_open(q);
	assert_int_equal(cq_writer_append(q->writer, 1, payload, sizeof payload, NULL), 0);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_RESUME_OR_OLDEST, 0, &reader), 0);
	take(reader, 0);
	assert_int_equal(cq_reader_next(reader, &record), 0); /* which goes to the next segment */
	assert_int_equal(cq_reader_commit(reader), 0);
	place(q, "full", 0, QS_SIZE);
	place(q, "next", 1, 64);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	seen = look(queue);
	for (unsigned i = 0; i < seen.count; i++)
		assert_int_equal(seen.readers[i].lag_bytes, 0);
	cq_queue_close(queue);
	/* whatever the file says */
	qs_close(q);
	qs_unseal(q->dir, 0);
	qs_open(q);
	assert_false(qs_logged(q, "reader"));
	qs_append(q->writer, 1, 6);
	take(reader, 1);
	take(reader, 2);
	assert_int_equal(cq_reader_commit(reader), 0);
	cq_reader_close(reader);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_RESUME, 0, &reader), 0);
	take(reader, 3);
	cq_reader_close(reader);
	/* it has read all of the full segment, which may go */
	assert_int_equal(unlinkat(q->dirfd, "readers/next.meta", 0), 0);
	assert_int_equal(cq_writer_trim(q->writer, 1, 10), 1);
	assert_int_equal(cq_reader_open(q->dir, "full", CQ_START_RESUME, 0, &reader), 0);
	take(reader, 1);
	cq_reader_close(reader);
}

/* A reader reads on while recovery moves its file: the next commit counts. */
static void commits_after_a_move(void **state)
{
	struct cq_reader_file moved = { .offset = AT(1), .generation = 7 };
	struct qs *q = *state;
	cq_reader *reader;
	struct seen seen;
	int fd;

	qs_write(q, 0, 10);
	assert_int_equal(cq_reader_open(q->dir, "r", CQ_START_RESUME_OR_OLDEST, 0, &reader), 0);
	for (unsigned i = 0; i < 5; i++)
		take(reader, i);
	assert_int_equal(cq_reader_commit(reader), 0);
	assert_int_equal(cq_reader_file_open(q->dirfd, "r", false, &fd), 0);
	assert_int_equal(cq_reader_file_write(fd, &moved), 0);
	assert_int_equal(cq_reader_file_write(fd, &moved), 0);
	close(fd);
	take(reader, 5);
	assert_int_equal(cq_reader_commit(reader), 0);
	qs_open(q);
	seen = look(cq_writer_queue(q->writer));
	assert_int_equal(find(&seen, "r")->offset, AT(6));
	cq_reader_close(reader);
}

/* ---- who may not commit ---- */

static void refused_at_open(struct qs *q, const char *name, int error)
{
	static const enum cq_start starts[] = { CQ_START_OLDEST, CQ_START_LATEST,
		                                CQ_START_RESUME_OR_OLDEST };
	cq_reader *reader;

	for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
		CHILD(cq_reader_open(q->dir, name, starts[i], 0, &reader) == error);
}

/* Another user may read the files: without a name reading works, and so does a look at readers. */
static void as_another_user(struct qs *q)
{
	struct cq_record record;
	cq_reader *reader;
	cq_queue *queue;
	struct seen seen;

	CHILD(setgid(4343) == 0 && setuid(4343) == 0);
	refused_at_open(q, "there", -EACCES);
	refused_at_open(q, "new", -EACCES);
	CHILD(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader) == 0);
	CHILD(cq_reader_next(reader, &record) == 1);
	cq_reader_close(reader);
	CHILD(cq_queue_open(q->dir, &queue) == 0);
	seen = look(queue);
	CHILD(seen.count == 1 && seen.readers[0].offset == AT(5));
	cq_queue_close(queue);
}

/* The same before anybody has committed. */
static void first_as_another_user(struct qs *q)
{
	CHILD(setgid(4343) == 0 && setuid(4343) == 0);
	refused_at_open(q, "new", -EACCES);
}

/* The directory belongs to another user, readers/ to the one who reads. */
static void with_a_directory_of_his_own(struct qs *q)
{
	struct cq_record record;
	cq_reader *reader;

	CHILD(setgid(4343) == 0 && setuid(4343) == 0);
	refused_at_open(q, "there", -EACCES);
	CHILD(cq_reader_open(q->dir, "new", CQ_START_OLDEST, 0, &reader) == 0);
	CHILD(cq_reader_next(reader, &record) == 1);
	CHILD(cq_reader_commit(reader) == 0);
	cq_reader_close(reader);
}

static void who_cannot_commit(void **state)
{
	static const char *const names[] = { "000000000.q", "000000001.q", "control.meta" };
	struct qs *q = *state;

	if (geteuid() != 0)
		NOT_HERE("needs root");
	qs_write(q, 0, 10);
	assert_int_equal(chmod(q->base, 0755), 0);
	assert_int_equal(chmod(q->dir, 0755), 0);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_int_equal(fchmodat(q->dirfd, names[i], 0644, 0), 0);
	qs_run(first_as_another_user, q);
	place(q, "there", 0, AT(5));
	assert_int_equal(fchmodat(q->dirfd, "readers", 0755, 0), 0);
	assert_int_equal(fchmodat(q->dirfd, "readers/there.meta", 0644, 0), 0);
	qs_run(as_another_user, q);
	assert_int_equal(fchownat(q->dirfd, "readers", 4343, 4343, 0), 0);
	qs_run(with_a_directory_of_his_own, q);
}

#ifdef CQ_FAULTS

/* One open with a reader behind the end, the nth call of this name failing.  False: there is none. */
static bool move_with(struct qs *q, const char *call, unsigned nth, int error, unsigned *told)
{
	static const char *const reading[] = { "open", "stat", "pread" };
	bool excused = false;
	struct seen seen;
	unsigned given;
	int r;

	(void)unlinkat(q->dirfd, "readers/behind.meta", 0);
	(void)unlinkat(q->dirfd, "readers/second.meta", 0);
	place(q, "behind", 0, AT(15));
	place(q, "second", 0, AT(16));
	q->log_length = 0;
	q->log[0] = '\0';
	cq_fault_forget();
	cq_fault_set(call, error, (int)nth, 1);
	r = qs_try_open(q);
	given = cq_fault_given();
	cq_fault_set(NULL, 0, 0, 0);
	if (r == 0) {
		seen = look(cq_writer_queue(q->writer));
		qs_close(q);
		for (size_t i = 0; i < sizeof reading / sizeof reading[0]; i++)
			excused |= strcmp(call, reading[i]) == 0;
		if (qs_logged(q, "behind is at a place without") ||
		    qs_logged(q, "readers cannot be looked at"))
			++*told;
		else if (!excused || error != EIO)
			assert_int_equal(find(&seen, "behind")->offset, AT(10));
	}
	qs_open(q); /* the next open moves it, whatever failed in this one */
	seen = look(cq_writer_queue(q->writer));
	qs_close(q);
	assert_int_equal(find(&seen, "behind")->offset, AT(10));
	return given > 0;
}

/* The reader is moved, or the open fails, or the log says that it was not moved.  If its file cannot be
 * read, its position is not known. */
static void moving_fails(void **state)
{
	static const char *const calls[] = { "open",      "open_dir", "stat",   "list",
		                             "next_name", "pread",    "pwrite", "sync_data" };
	static const int errors[] = { EIO, EMFILE, ENOMEM };
	unsigned runs = 0, told = 0;
	struct qs *q = *state;

	qs_write(q, 0, 10);
	for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++)
		for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++)
			for (unsigned nth = 0; move_with(q, calls[c], nth, errors[e], &told); nth++)
				runs++;
	print_message("# %u runs, %u of them told of\n", runs, told);
	assert_true(runs > 60);
	/* opening it, either slot, the sync; the directory, its listing, each name */
	assert_true(told >= 7);
}

#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(none),
	QS_TEST(distance),
	QS_TEST(several),
	QS_TEST(moved_to_the_end),
	QS_TEST(at_the_end_of_a_full_segment),
	QS_TEST(commits_after_a_move),
	QS_TEST(who_cannot_commit),
#ifdef CQ_FAULTS
	QS_TEST(commits_while_it_is_moved),
	QS_TEST(moving_fails),
#endif
};

QS_MAIN(tests)
