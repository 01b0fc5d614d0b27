/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_whole.c - the operations on a whole queue: promoted, repaired, verified beside a writer, asked for the times
 * of its segments; see matrix.h */
#include "matrix.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/format.h"

/* ---- promoted ---- */

static void make_replica(struct mx *m)
{
	struct cq_config *config = &m->q->config;

	memset(config->replica_of, 7, sizeof config->replica_of);
	qs_open(m->q);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(mx_append(m), 0);
	qs_close(m->q);
	memset(config->replica_of, 0, sizeof config->replica_of);
}

/* The writer that made it was killed right then. */
static void make_unsettled(struct mx *m)
{
	static const uint32_t no;

	make_replica(m);
	support_poke(m->q->dir, "identity.meta", offsetof(struct cq_identity_file, settled), &no,
	             sizeof no);
}

static int promote(struct mx *m)
{
	int r = cq_promote(m->q->dir, &m->q->config);

	m->read = r == 0;
	return r;
}

/* It is a replica as before, or promoted; after a success it is promoted. */
static void promoted(struct mx *m)
{
	struct cq_queue_info info = CQ_SIZED(info);
	int r = cq_promote(m->q->dir, &m->q->config);

	assert_true(r == -ENOLINK || (r == 0 && !m->read));
	assert_int_equal(cq_queue_open(m->q->dir, &m->queue), 0);
	assert_int_equal(cq_queue_info(m->queue, &info), 0);
	assert_true(info.have_identity);
	assert_false(info.replica);
	cq_queue_close(m->queue);
	m->queue = NULL;
}

struct mx_op mx_promote = { MX_EMPTY, 0, make_replica, promote, promoted };
struct mx_op mx_promote_unsettled = { MX_EMPTY, 0, make_unsettled, promote, promoted };

/* ---- asked first ---- */

/* A fresh handle of a queue whose control.meta is lost: even the size of the segments has to be found out. */
static void open_lost(struct mx *m)
{
	char path[PATH_SIZE];

	assert_int_equal(cq_queue_open(m->q->dir, &m->queue), 0);
	support_path(path, m->q->dir, "control.meta");
	assert_int_equal(unlink(path), 0);
}

static int open_segment(struct mx *m)
{
	cq_segment *segment;
	int r = cq_segment_open(m->queue, 1, &segment);

	if (r == 0)
		cq_segment_close(segment);
	return r;
}

static void opens_segment(struct mx *m)
{
	assert_int_equal(open_segment(m), 0);
	cq_queue_close(m->queue);
	m->queue = NULL;
}

static int ask_attr(struct mx *m)
{
	struct cq_segment_attr attr = { .sealed = false };
	int r = cq_queue_segment_attr(m->queue, 1, NULL, &attr);

	assert_true(r < 0 || attr.sealed);
	return r;
}

static int open_a_reader(struct mx *m)
{
	struct cq_record record;
	cq_reader *reader;
	int r = cq_reader_open(m->q->dir, MX_READER, CQ_START_RESUME, 0, &reader);

	if (r < 0)
		return r;
	r = cq_reader_next(reader, &record);
	if (r > 0)
		assert_int_equal(record.seq, MX_COMMITTED);
	cq_reader_close(reader);
	return r < 0 ? r : 0;
}

struct mx_op mx_segment_lost = { MX_CLOSED, 0, open_lost, open_segment, opens_segment };
struct mx_op mx_attr_lost = { MX_CLOSED, 0, open_lost, ask_attr, opens_segment };
struct mx_op mx_reader_lost = { MX_CLOSED, 0, open_lost, open_a_reader, opens_segment };

/* ---- repaired ---- */

static int repair_with(struct mx *m, bool dry_run)
{
	struct cq_repair_config config = CQ_SIZED(config);
	struct cq_repair_result result = CQ_SIZED(result);
	int r;

	config.accept_loss = true;
	config.dry_run = dry_run;
	r = cq_repair(m->q->dir, &config, &result);
	if (r == 0 && m->error == 0)
		assert_true(result.steps > 0 && result.done == !dry_run);
	return r;
}

static int repair(struct mx *m)
{
	return repair_with(m, false);
}

/* What a failure has stopped, the next repair ends; then the queue is sound, without a writer's help. */
static void repaired(struct mx *m)
{
	struct cq_verify_result result = CQ_SIZED(result);

	m->error = 1;
	assert_int_equal(repair_with(m, false), 0);
	assert_int_equal(cq_verify(m->q->dir, NULL, NULL, &result), 0);
	assert_int_equal(result.damage, 0);
	m->damaged = false;
}

static struct qs_snapshot before;

static void remember(struct mx *m)
{
	qs_snapshot(m->q->dir, &before);
}

static int look_only(struct mx *m)
{
	return repair_with(m, true);
}

static void nothing_changed(struct mx *m)
{
	qs_unchanged(m->q->dir, &before);
	repaired(m);
}

struct mx_op mx_repair_several = { MX_SEVERAL, 0, NULL, repair, repaired };
struct mx_op mx_repair_torn = { MX_TORN, 0, NULL, repair, repaired };
struct mx_op mx_repair_look = { MX_DAMAGED, 0, remember, look_only, nothing_changed };

/* ---- verified beside its writer ---- */

static void write_on(struct mx *m)
{
	qs_open(m->q);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(mx_append(m), 0);
}

/* What gives EIO may be called damaged; but want of means says nothing about a queue. */
static int verify(struct mx *m)
{
	const bool no_sign =
		m->error == 0 || m->error == EMFILE || m->error == ENFILE || m->error == ENOMEM;
	struct cq_verify_result result = CQ_SIZED(result);
	int r = cq_verify(m->q->dir, NULL, NULL, &result);

	if (r == 0 && no_sign)
		assert_int_equal(result.damage, 0);
	return r;
}

struct mx_op mx_verify_live = { MX_CLOSED, 0, write_on, verify, NULL };

/* ---- the times of its segments ---- */

static struct qs_record *records;
static size_t record_count;

static void know_times(struct mx *m)
{
	record_count = qs_records(m->q->dir, &records);
	assert_int_equal(cq_queue_open(m->q->dir, &m->queue), 0);
}

static void expect_times(uint32_t id, const struct cq_segment_times *times)
{
	uint64_t lowest = UINT64_MAX, highest = 0, count = 0;

	for (size_t i = 0; i < record_count; i++) {
		if (records[i].segment != id)
			continue;
		if (records[i].time_ns < lowest)
			lowest = records[i].time_ns;
		if (records[i].time_ns > highest)
			highest = records[i].time_ns;
		count++;
	}
	assert_int_equal(times->records, count);
	assert_int_equal(times->lowest_ns, lowest);
	assert_int_equal(times->highest_ns, highest);
}

/* Right, or an error. */
static int ask_times(struct mx *m)
{
	struct cq_segment_times times;
	cq_segment *segment;
	int r = 0;

	for (uint32_t id = 0; r == 0 && id < 3; id++) {
		r = cq_segment_open(m->queue, id, &segment);
		if (r < 0)
			return r;
		r = cq_segment_times(segment, &times);
		if (r == 0)
			expect_times(id, &times);
		cq_segment_close(segment);
	}
	return r;
}

static void times_known(struct mx *m)
{
	assert_int_equal(ask_times(m), 0);
	cq_queue_close(m->queue);
	m->queue = NULL;
	free(records);
}

struct mx_op mx_segment_times = { MX_CLOSED, 0, know_times, ask_times, times_known };
