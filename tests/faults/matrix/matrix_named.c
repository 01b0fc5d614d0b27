/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_named.c - the operations of named readers: made, set, deleted, looked at, committed to; see matrix.h */
#include "matrix.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define NEW "other" /* a reader that there is not yet */
#define PLACE 50U
#define NOWHERE UINT64_MAX /* there is no such reader */

/* The number of the record that a reader takes next. */
static uint64_t next_of(struct mx *m, const char *name)
{
	struct cq_record record;
	cq_reader *reader;
	uint64_t seq;
	int r = cq_reader_open(m->q->dir, name, CQ_START_RESUME, 0, &reader);

	if (r == -ENOENT)
		return NOWHERE;
	assert_int_equal(r, 0);
	assert_int_equal(cq_reader_next(reader, &record), 1);
	seq = record.seq;
	cq_reader_close(reader);
	return seq;
}

/* After a success the reader is there, else where it was before: nothing between. */
static void expect(struct mx *m, const char *name, uint64_t before, uint64_t after)
{
	const uint64_t seq = next_of(m, name);

	if (m->read ? seq != after : seq != before && seq != after)
		fail_msg("reader %s is at %llu", name, (unsigned long long)seq);
}

static int done(struct mx *m, int r)
{
	m->read = r == 0;
	return r;
}

/* ---- made by its first open ---- */

static int make(struct mx *m)
{
	return done(m, cq_reader_open(m->q->dir, NEW, CQ_START_OLDEST, 0, &m->reader));
}

static void made(struct mx *m)
{
	cq_reader_close(m->reader);
	m->reader = NULL;
	expect(m, NEW, NOWHERE, 0);
	/* a second try succeeds in any case */
	assert_int_equal(cq_reader_open(m->q->dir, NEW, CQ_START_OLDEST, 0, &m->reader), 0);
	cq_reader_close(m->reader);
	m->reader = NULL;
	assert_int_equal(next_of(m, NEW), 0);
	assert_int_equal(cq_reader_delete(m->q->dir, NEW), 0);
}

/* ---- set and deleted ---- */

static int set(struct mx *m)
{
	return done(m, cq_reader_set(m->q->dir, MX_READER, CQ_PLACE_SEQ, PLACE));
}

static void was_set(struct mx *m)
{
	expect(m, MX_READER, MX_COMMITTED, PLACE);
	assert_int_equal(cq_reader_set(m->q->dir, MX_READER, CQ_PLACE_SEQ, MX_COMMITTED), 0);
}

static int delete (struct mx *m)
{
	return done(m, cq_reader_delete(m->q->dir, MX_READER));
}

static void was_deleted(struct mx *m)
{
	expect(m, MX_READER, MX_COMMITTED, NOWHERE);
	assert_int_equal(cq_reader_set(m->q->dir, MX_READER, CQ_PLACE_SEQ, MX_COMMITTED), 0);
}

/* ---- committed up to a record ---- */

static void take_more(struct mx *m)
{
	struct cq_record record;

	assert_int_equal(cq_reader_open(m->q->dir, MX_READER, CQ_START_RESUME, 0, &m->reader), 0);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(cq_reader_next(m->reader, &record), 1);
}

static int commit_seq(struct mx *m)
{
	int r = cq_reader_commit_seq(m->reader, PLACE - 1);

	/* a segment that cannot be read is damaged, and hides the place */
	return done(m, r);
}

#define BEFORE 13U /* committed to before */

/* Goes on from such a commit. */
static void take_and_commit(struct mx *m)
{
	take_more(m);
	assert_int_equal(cq_reader_commit_seq(m->reader, BEFORE - 1), 0);
}

static void was_committed_on(struct mx *m)
{
	cq_reader_close(m->reader);
	m->reader = NULL;
	expect(m, MX_READER, BEFORE, PLACE);
}

static void was_committed(struct mx *m)
{
	cq_reader_close(m->reader);
	m->reader = NULL;
	expect(m, MX_READER, MX_COMMITTED, PLACE);
	assert_int_equal(cq_reader_set(m->q->dir, MX_READER, CQ_PLACE_SEQ, MX_COMMITTED), 0);
}

/* ---- looked at ---- */

static void open_queue(struct mx *m)
{
	assert_int_equal(cq_queue_open(m->q->dir, &m->queue), 0);
}

/* What cannot be read is unknown, never wrong. */
static int look(struct mx *m)
{
	struct cq_reader_info info = CQ_SIZED(info);
	int r = cq_queue_reader(m->queue, MX_READER, &info);

	if (r < 0)
		return r;
	if (info.have_seq && !info.missing)
		assert_int_equal(info.seq, MX_COMMITTED);
	if (info.have_lag_records && !info.missing)
		assert_int_equal(info.lag_records, m->count - MX_COMMITTED);
	assert_false(info.in_use);
	return info.have_seq && info.have_lag_records && !info.missing ? 0 : -m->error;
}

/* Where the writer is has to be found out. */
static void open_without_control(struct mx *m)
{
	char path[PATH_SIZE];

	open_queue(m);
	support_path(path, m->q->dir, "control.meta");
	assert_int_equal(unlink(path), 0);
}

static void see(void *arg, const struct cq_reader_position *position)
{
	struct mx *m = arg;

	assert_string_equal(position->name, MX_READER);
	m->read++;
}

/* What a new handle is asked first. */
static int look_at_all(struct mx *m)
{
	int r = cq_queue_readers(m->queue, see, m);

	if (r == 0 && m->error == 0)
		assert_int_equal(m->read, 1);
	return r;
}

static void close_queue(struct mx *m)
{
	assert_int_equal(look(m), 0);
	cq_queue_close(m->queue);
	m->queue = NULL;
}

struct mx_op mx_reader_make = { MX_CLOSED, 0, NULL, make, made };
struct mx_op mx_reader_set = { MX_CLOSED, 0, NULL, set, was_set };
struct mx_op mx_reader_delete = { MX_CLOSED, 0, NULL, delete, was_deleted };
struct mx_op mx_reader_commit_seq = { MX_CLOSED, 0, take_more, commit_seq, was_committed };
struct mx_op mx_reader_commit_seq_on = { MX_CLOSED, 0, take_and_commit, commit_seq,
	                                 was_committed_on };
struct mx_op mx_queue_reader_lost = { MX_CLOSED, 0, open_without_control, look, close_queue };
struct mx_op mx_queue_readers = { MX_CLOSED, 0, open_queue, look_at_all, close_queue };
struct mx_op mx_queue_reader = { MX_CLOSED, 0, open_queue, look, close_queue };
