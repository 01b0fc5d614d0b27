/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matrix.h - the failpoint matrix: operation x failing call x error x when
 *
 * An operation is made once undisturbed, which counts its calls (fault.h).  Then each of these calls
 * fails, with each error that it can give, the first time, the next, ..., for ever; each time on a
 * queue of its own, and each time everything that the library promises is checked afterwards
 * (matrix_check.c).  So a new call on a file is in the matrix as soon as it is made, and one without
 * errors in the table (matrix_errors.c) fails the test.
 */
#ifndef CQ_TEST_MATRIX_H
#define CQ_TEST_MATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronq-fs.h"
#include "queue_support.h"

#ifndef CQ_FAULTS
#error "the matrix belongs to builds with -Dplanted_faults=true"
#endif

#define MX_MOST 400        /* records of one run */
#define MX_READER "reader" /* a named reader, in some of the queues */
#define MX_COMMITTED 10U   /* its position */

/* The queues that operations begin with: made once, copied for each run. */
enum mx_queue {
	MX_NO_DIRECTORY,
	MX_EMPTY,
	MX_CLOSED,  /* 70 records in three segments, closed; and a named reader that has read ten */
	MX_TORN,    /* 40 records, killed; bytes behind the tail */
	MX_SEVERAL, /* 100 records, killed; two segments without their seals */
	MX_DAMAGED, /* as MX_CLOSED, but record 65, which was durable, is damaged */
	MX_QUEUES
};

/* One run. */
struct mx {
	struct qs *q;
	unsigned
		acked[MX_MOST]; /* the records that there have to be, by the number in their text */
	unsigned count;
	unsigned next;      /* number of the next attempt */
	unsigned deletable; /* this many of the oldest may go */
	bool damaged;       /* the queue says EBADMSG before the loss is accepted */
	/* what the operation has open, and what it has seen */
	cq_reader *reader;
	cq_queue *queue;
	cq_stream *stream;
	unsigned read;    /* records, or bytes, that were delivered */
	unsigned answers; /* to requests for a sync */
	int answer;       /* the last one */
	/* what fails */
	const char *call;
	int error;
	bool failed; /* it was made, and did fail */
	bool untidy; /* unlink fails as well, so nothing can be cleaned up */
};

enum {
	MX_SYNCS = 1, /* it says 0 only if everything is synced */
	MX_LOSES = 2, /* it never succeeds: it would give up durable records */
};

struct mx_op {
	enum mx_queue queue;
	unsigned flags;
	void (*setup)(struct mx *m); /* undisturbed; or NULL */
	int (*run)(struct mx *m);    /* with calls that fail */
	void (*after)(struct mx *m); /* undisturbed again, before the writer goes on; or NULL */
};

/* ---- matrix.c ---- */

/* The state of a cmocka test: at first the operation, from mx_setup() on this. */
struct mx_state {
	const struct mx_op *op;
	struct qs *q;
};
void mx_test(void **state);
void mx_test_threads(void **state);
int mx_setup(void **state);
int mx_teardown(void **state);

/* ---- matrix_queues.c ---- */

/* Makes the queues that runs begin with, below `base`. */
void mx_make_queues(struct qs *q);
/* Puts one in place of q's directory; m knows what it holds. */
void mx_begin(struct mx *m, enum mx_queue queue);

/* ---- matrix_check.c ---- */

/* Appends the next record, or a batch; knows afterwards whether it has to be there. */
int mx_append(struct mx *m);
int mx_append_batch(struct mx *m, unsigned count);
/* Appends until the writer has gone on into the next segment; without failures. */
void mx_fill(struct mx *m);

/* What is open and mapped of this process. */
struct mx_held {
	unsigned descriptors;
	unsigned mappings; /* of files in the queue's directory */
};
struct mx_held mx_held(const struct mx *m);
/* No call fails any more: everything promised is true.  `before`: what was open before the run. */
void mx_check(struct mx *m, const struct mx_op *op, struct mx_held before, int result);

/* ---- matrix_errors.c ---- */

/* What the call can fail with, ended by 0; NULL: an unknown call. */
const int *mx_errors(const char *call);
/* All calls; NULL behind the last. */
const char *mx_call(size_t nth);

/* ---- the operations: matrix_write.c, matrix_read.c, matrix_named.c, matrix_whole.c ---- */

extern struct mx_op mx_open_absent, mx_open_new, mx_open_closed, mx_open_torn, mx_open_several,
	mx_open_damaged, mx_open_accept_loss, mx_prepare, mx_prepare_taken, mx_append_fits,
	mx_append_always, mx_append_large, mx_batch, mx_runs, mx_roll_ready, mx_roll_fallback,
	mx_roll_taken, mx_seal, mx_sync, mx_sync_async, mx_sync_interval, mx_retention,
	mx_retention_held, mx_trim, mx_remove, mx_close, mx_threads;
extern struct mx_op mx_reader_open, mx_reader_next, mx_reader_seek_seq, mx_reader_seek_time,
	mx_reader_seek_stream, mx_reader_seek_end, mx_reader_commit, mx_reader_commit_first,
	mx_reader_make, mx_reader_set, mx_reader_delete, mx_reader_commit_seq,
	mx_reader_commit_seq_on, mx_reader_fd, mx_queue_reader, mx_queue_reader_lost,
	mx_queue_readers, mx_stream_read, mx_stream_ends, mx_stream_records,
	mx_stream_records_first, mx_queue_look, mx_verify;
extern struct mx_op mx_promote, mx_promote_unsettled, mx_repair_several, mx_repair_torn,
	mx_repair_look, mx_verify_live, mx_segment_lost, mx_attr_lost, mx_reader_lost,
	mx_segment_times;

#endif
