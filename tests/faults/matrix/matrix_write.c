/* SPDX-License-Identifier: Apache-2.0 */
/* matrix_write.c - the writer's operations; see matrix.h */
#include "matrix.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "os/fault.h"
#include "write/writer.h"

/* ---- open ---- */

static int open_writer(struct mx *m)
{
	return qs_try_open(m->q);
}

static void accept_loss(struct mx *m)
{
	m->q->config.accept_loss = true;
}

struct mx_op mx_open_absent = { MX_NO_DIRECTORY, 0, NULL, open_writer, NULL };
struct mx_op mx_open_new = { MX_EMPTY, 0, NULL, open_writer, NULL };
struct mx_op mx_open_closed = { MX_CLOSED, 0, NULL, open_writer, NULL };
struct mx_op mx_open_torn = { MX_TORN, 0, NULL, open_writer, NULL };
struct mx_op mx_open_several = { MX_SEVERAL, 0, NULL, open_writer, NULL };
struct mx_op mx_open_damaged = { MX_DAMAGED, MX_LOSES, NULL, open_writer, NULL };
struct mx_op mx_open_accept_loss = { MX_DAMAGED, 0, accept_loss, open_writer, NULL };

/* ---- prepare ---- */

/* A writer in a fresh segment; the next one is not prepared. */
static void fresh_segment(struct mx *m)
{
	qs_open(m->q);
	mx_fill(m);
}

/* The same, and the next one's name is there, unknown to the writer: it has made the last one itself,
 * so it looks for none. */
static void fresh_and_taken(struct mx *m)
{
	fresh_segment(m);
	qs_prepare(m->q->writer);
	mx_fill(m);
	qs_make_segment(m->q->dir, qs_stats(m->q->writer).segment + 1, QS_SIZE);
}

static int prepare(struct mx *m)
{
	qs_prepare(m->q->writer);
	return 0;
}

struct mx_op mx_prepare = { MX_CLOSED, 0, fresh_segment, prepare, NULL };
struct mx_op mx_prepare_taken = { MX_CLOSED, 0, fresh_and_taken, prepare, NULL };

/* ---- append ---- */

static void always(struct mx *m)
{
	m->q->config.sync = CQ_SYNC_ALWAYS;
	qs_open(m->q);
}

static int append_one(struct mx *m)
{
	return mx_append(m);
}

/* Over three segments: the first is prepared, the appending thread makes the second. */
static int append_batch(struct mx *m)
{
	return mx_append_batch(m, 80);
}

static void just_open(struct mx *m)
{
	qs_open(m->q);
}

/* What is large enough for a pwrite is small here (run.c). */
static void open_for_large(struct mx *m)
{
	qs_open(m->q);
	m->q->writer->run.least_record = 1;
}

static void open_for_runs(struct mx *m)
{
	qs_open(m->q);
	m->q->writer->run.piece = 2048;
	m->q->writer->run.least_batch = 1024;
}

struct mx_op mx_append_large = { MX_CLOSED, 0, open_for_large, append_one, NULL };
struct mx_op mx_runs = { MX_CLOSED, 0, open_for_runs, append_batch, NULL };
struct mx_op mx_append_fits = { MX_CLOSED, 0, just_open, append_one, NULL };
struct mx_op mx_append_always = { MX_CLOSED, MX_SYNCS, always, append_one, NULL };
struct mx_op mx_batch = { MX_CLOSED, 0, just_open, append_batch, NULL };

/* ---- roll ---- */

static int roll(struct mx *m)
{
	return cq_writer_roll(m->q->writer);
}

struct mx_op mx_roll_ready = { MX_CLOSED, 0, just_open, roll, NULL };
struct mx_op mx_roll_fallback = { MX_CLOSED, 0, fresh_segment, roll, NULL };
struct mx_op mx_roll_taken = { MX_CLOSED, 0, fresh_and_taken, roll, NULL };

/* ---- sync ---- */

/* One segment is sealed and as old as the flusher likes it. */
static void old_sealed(struct mx *m)
{
	fresh_segment(m);
	m->q->writer->flush.unsynced->sealed_ms = 0;
}

static int flush(struct mx *m)
{
	qs_flush(m->q->writer);
	return qs_stats(m->q->writer).error;
}

static int sync_all(struct mx *m)
{
	int r = cq_writer_sync(m->q->writer);

	qs_flush(m->q->writer); /* closes what it has synced */
	return r;
}

#define REQUESTS 3

static struct mx *asking;
static struct cq_sync_request requests[REQUESTS];

static void answered(struct cq_sync_request *request, int result)
{
	(void)request;
	asking->answers++;
	asking->answer = result;
}

static int sync_async(struct mx *m)
{
	asking = m;
	for (int i = 0; i < REQUESTS; i++) {
		requests[i] = (struct cq_sync_request){ .done = answered };
		cq_writer_sync_async(m->q->writer, &requests[i]);
	}
	qs_flush(m->q->writer);
	assert_int_equal(m->answers, REQUESTS);
	return m->answer;
}

static void interval(struct mx *m)
{
	m->q->config.sync = CQ_SYNC_INTERVAL;
	m->q->config.sync_interval_ms = 60000;
	fresh_segment(m);
	m->q->writer->last_interval_ms = 0; /* it is due */
}

struct mx_op mx_seal = { MX_CLOSED, MX_SYNCS, old_sealed, flush, NULL };
struct mx_op mx_sync = { MX_CLOSED, MX_SYNCS, fresh_segment, sync_all, NULL };
struct mx_op mx_sync_async = { MX_CLOSED, MX_SYNCS, fresh_segment, sync_async, NULL };
struct mx_op mx_sync_interval = { MX_CLOSED, MX_SYNCS, interval, flush, NULL };

/* ---- deleting ---- */

/* A reader whose file is gone is gone.  A look for it that fails for want of memory or descriptors proves nothing. */
static bool reader_may_be_lost(const struct mx *m)
{
	if (!m->call || m->error == EMFILE || m->error == ENFILE || m->error == ENOMEM)
		return false;
	return strcmp(m->call, "open") == 0 || strcmp(m->call, "stat") == 0 ||
	       strcmp(m->call, "pread") == 0;
}

static void retain(struct mx *m)
{
	m->deletable = 3 * SUPPORT_PER_SEGMENT;
	m->q->config.reader_max_lag_bytes = 1; /* no reader is that near */
	m->q->config.retain_segments = 1;
	fresh_segment(m);
}

static void retain_held(struct mx *m)
{
	m->q->config.retain_segments = 1;
	fresh_segment(m);
}

static void retain_all(struct mx *m)
{
	m->q->writer->config.retain_segments = 0;
}

static int retire_held(struct mx *m)
{
	if (reader_may_be_lost(m))
		m->deletable = 3 * SUPPORT_PER_SEGMENT;
	return flush(m);
}

static void no_reader(struct mx *m)
{
	m->q->config.reader_max_lag_bytes = 1;
	qs_open(m->q);
}

static int trim(struct mx *m)
{
	int r = cq_writer_trim(m->q->writer, 2 * SUPPORT_PER_SEGMENT, 10);

	m->deletable = 2 * SUPPORT_PER_SEGMENT;
	return r < 0 ? r : 0;
}

static int remove_oldest(struct mx *m)
{
	m->deletable = SUPPORT_PER_SEGMENT;
	return cq_writer_remove(m->q->writer, 0);
}

struct mx_op mx_retention = { MX_CLOSED, 0, retain, flush, retain_all };
struct mx_op mx_retention_held = { MX_CLOSED, 0, retain_held, retire_held, NULL };
struct mx_op mx_trim = { MX_CLOSED, 0, no_reader, trim, NULL };
struct mx_op mx_remove = { MX_CLOSED, 0, no_reader, remove_oldest, NULL };

/* ---- close ---- */

static void request_pending(struct mx *m)
{
	fresh_segment(m);
	asking = m;
	requests[0] = (struct cq_sync_request){ .done = answered };
	cq_writer_sync_async(m->q->writer, &requests[0]);
}

static int close_writer(struct mx *m)
{
	cq_writer *w = m->q->writer;
	int r;

	m->q->writer = NULL;
	r = cq_writer_close(w);
	assert_int_equal(m->answers, 1);
	assert_int_equal(m->answer, r);
	return r;
}

struct mx_op mx_close = { MX_CLOSED, MX_SYNCS, request_pending, close_writer, NULL };

/* ---- a life with its threads ---- */

/* Which calls are made when is the threads' business here: nothing is counted, see test_matrix.c. */
static int live(struct mx *m)
{
	int r;

	m->q->config.prealloc_wait_ms = 20;
	r = cq_writer_open(m->q->dir, &m->q->config, &m->q->writer);
	for (int i = 0; r == 0 && i < 2; i++) {
		for (int n = 0; n < 50; n++)
			(void)mx_append(m);
		r = cq_writer_sync(m->q->writer);
	}
	m->q->config.prealloc_wait_ms = 0;
	if (m->q->writer) {
		cq_writer *w = m->q->writer;
		int closed;

		m->q->writer = NULL;
		closed = cq_writer_close(w);
		r = r < 0 ? r : closed;
	}
	return r;
}

struct mx_op mx_threads = { MX_CLOSED, 0, NULL, live, NULL };
