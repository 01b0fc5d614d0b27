/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.h - inside of cq_verify(): what the walk over the segments (verify.c) and the check of the
 * files that point into them (claims.c) share
 */
#ifndef CQ_VERIFY_H
#define CQ_VERIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "catalog/queue.h"
#include "files/index.h"
#include "format/walk.h"
#include "format/window.h"
#include "meta/control.h"

/* A position that some file claims: it has to be where a record begins or the records end. */
enum cq_mark_kind { CQ_MARK_CONTROL, CQ_MARK_INDEX, CQ_MARK_DURABLE, CQ_MARK_READER };

struct cq_mark {
	enum cq_mark_kind kind;
	char *name; /* of the file */
	uint64_t segment;
	uint64_t offset;
	bool on_boundary; /* the walk came by, or cannot tell */
	bool seq_differs; /* the watermark's: what it says comes next here does not */
	uint64_t seq;
	uint64_t seq_there;
};

struct cq_verify_order;

struct cq_verify {
	cq_queue *queue;
	cq_finding_fn finding;
	void *arg;
	bool at_rest; /* the caller knows that there is no writer */
	struct cq_verify_result result;
	uint64_t segment_size;
	int error; /* the first thing that could not be read at all */

	/* The state before anything else was read.  What stands before `position` was complete
	 * then and does not change; behind it a writer may be at work, since then or from any
	 * moment on. */
	bool live; /* there is one, or has been one since */
	bool came; /* it has come since */
	bool have_position;
	struct cq_position position;
	struct timespec stamp; /* of the lock file, taken first of all */

	struct cq_mark *marks; /* sorted by segment, offset */
	size_t mark_count;
	size_t mark_next; /* the first one that the walk has not passed */

	/* found by the walk: the oldest segment, and the end of the records */
	uint32_t oldest;
	bool have_tail;
	struct cq_position tail;
};

/* What the next record has to be. */
struct cq_verify_order {
	bool anchored;     /* this library's next record has exactly next_seq, else at least that */
	bool exact;        /* and no record of chronicle-rs has come between */
	uint64_t next_seq; /* the highest sequence number seen, plus 1 */
	bool in_run;       /* chronicle-rs's next record has run_seq, or 0 after a restart */
	uint64_t run_seq;
	bool in_stream;
	uint64_t stream;
	uint32_t epoch;
};

/* The walk over all segments. */
struct cq_verify_walk {
	struct cq_verify v;
	struct cq_meter meter;
	struct cq_verify_order order;

	/* the segment at hand */
	uint32_t id;
	cq_segment *segment;
	struct cq_segment_header header;
	bool sealed;
	bool broken; /* its rest could not be read */
	bool told;   /* what stands behind the first damaged record of an unsealed one */
	struct cq_window scan;
	struct cq_walk walk;
	uint64_t records;
	uint64_t payload_bytes;
	uint64_t min_seq, max_seq, min_time, max_time; /* valid when records > 0 */
	struct cq_index index;
	bool have_index;
	uint64_t index_next; /* entry that the walk comes by next */

	/* over all segments */
	bool have_unsealed;
	struct cq_position unsealed; /* end of the last unsealed one */
};

/* cq_verify() on an open queue; `at_rest`: no need to look for a writer, which takes some 20 ms. */
int cq_verify_queue(cq_queue *queue, bool at_rest, cq_finding_fn finding, void *arg,
                    struct cq_verify_result *ret_result);

/* Counts and hands on one finding; printf-like. */
void cq_verify_report(struct cq_verify *v, bool damage, uint64_t segment, uint64_t offset,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A writer is known to be at work, and this place of an unsealed segment is behind `position`. */
bool cq_verify_unsettled(const struct cq_verify *v, uint64_t segment, uint64_t offset);

/* The same, after looking for a writer that has come since: before a finding is believed. */
bool cq_verify_moving(struct cq_verify *v, uint64_t segment, uint64_t offset);

/* A writer has opened the queue since the verification began, and this place is behind `position`. */
bool cq_verify_came(struct cq_verify *v, uint64_t segment, uint64_t offset);

/* Before the walk: looks for a writer, collects the marks, then the writer's position. */
int cq_verify_collect(struct cq_verify *v);

/* The walk comes by a boundary of records; order: what the next one has to be. */
void cq_verify_pass(struct cq_verify *v, const struct cq_verify_order *order, uint32_t segment,
                    uint64_t offset);

/* The walk cannot tell the boundaries in the rest of this segment. */
void cq_verify_excuse(struct cq_verify *v, uint32_t segment);

/* After the walk: judges the marks, names what recovery has set aside. */
void cq_verify_judge(struct cq_verify *v);

void cq_verify_free_marks(struct cq_verify *v);

/* Nothing is known any more of what comes next. */
void cq_verify_lose_track(struct cq_verify_walk *w);

/* The error of a call was want of descriptors or memory, or the caller wants no more: that says nothing
 * about the queue, and is the result of the whole verification. */
bool cq_verify_short_of_means(struct cq_verify *v, int error);

/* The rest of this segment cannot be read. */
void cq_verify_unreadable(struct cq_verify_walk *w, uint64_t offset, int error);

/* Goes with w->walk over the records of the segment; w->walk.offset is then where they end. */
void cq_verify_records(struct cq_verify_walk *w);

bool cq_verify_all_zero(const void *bytes, size_t length);

/* Findings in the segment at hand. */
#define CQ_DAMAGE(w, offset, ...) cq_verify_report(&(w)->v, true, (w)->id, offset, __VA_ARGS__)
#define CQ_NOTE(w, offset, ...) cq_verify_report(&(w)->v, false, (w)->id, offset, __VA_ARGS__)

#endif
