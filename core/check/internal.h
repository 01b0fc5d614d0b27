/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h - inside of recover.c: what a recovery looks at, and what it decides
 *
 * inspect.c looks, plan.c decides, behind.c finds what was committed and is given
 * up, and ready.c what would stop the rest half way; none of them changes anything.
 * apply.c acts.
 * number.c finds the numbers of what is sealed and gone on with; readers.c moves named
 * readers whose place is gone.
 *
 * A repair (cq_repair()) is a recovery that takes nothing on trust: plan_repair.c judges what an
 * opening writer does not read, metadata.c the small files and indexes, and report.c tells
 * what all of them have decided, before anything is done.
 */
#ifndef CQ_CHECK_INTERNAL_H
#define CQ_CHECK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "catalog/queue.h"
#include "check/contents.h"
#include "chronq.h"
#include "files/index.h"
#include "files/wsegment.h"
#include "format/walk.h"
#include "format/window.h"
#include "messages/meter.h"
#include "meta/control.h"
#include "meta/watermark.h"

/* ---- behind the end ---- */

/*
 * Sound records behind the place where the records end.
 *
 * Where a record is damaged, or missing, those behind it are no part of the queue any more: what
 * survives is a prefix.  How many they are, and which, tells whether something was lost: a killed writer
 * leaves none, for it commits in order.  So they are looked for at each place where a record can begin,
 * and from one that is sound on from record to record.
 *
 * Only records of this library are found: the 64 bits of both checksums, and numbers that can follow
 * those at the end, tell them from payload that looks like one.
 */
/* What has been found so far. */
struct cq_beyond {
	uint64_t records;
	uint64_t first_seq, last_seq; /* valid when records > 0 */
};

/* Where to look from, and what a record there has to have. */
struct cq_beyond_from {
	uint64_t offset;
	uint64_t seq;   /* at least; 0: any */
	uint32_t epoch; /* at least */
	bool placed;    /* record `seq`, with its payload at `stream`, was to begin at `offset` */
	uint64_t stream;
};

/*
 * Adds to *beyond what is found in the file fd of a segment, of which `size` bytes are there; and sets
 * from->seq and from->epoch for the segment behind it.  *ret_first: the first byte there that is not
 * zero; `size`: there is none.  Reads what is data in the file once, as long as nobody has made up headers
 * of payloads that are not there.  -EIO: it cannot be read to its end; what was found counts.
 * meter, if not NULL, is told of the way and may end it (-ECANCELED).
 */
int cq_beyond_add(int fd, uint64_t size, struct cq_beyond_from *from, struct cq_meter *meter,
                  struct cq_beyond *beyond, uint64_t *ret_first);

/* ---- of an opening writer, and of a repair ---- */

/* What a segment file is, by its first bytes. */
enum cq_kind {
	CQ_KIND_FRESH, /* published, no record yet */
	CQ_KIND_OPEN,  /* holds records, not sealed */
	CQ_KIND_SEALED,
	CQ_KIND_UNWRITTEN, /* its name is there, its first bytes never reached the disk */
	CQ_KIND_BAD,       /* anything else: wrong size, header, ... */
};

/* What is to be done with it.  A set-aside one that others follow gets a stand-in. */
enum cq_act { CQ_ACT_KEEP, CQ_ACT_SEAL, CQ_ACT_CUT_AND_SEAL, CQ_ACT_CONTINUE, CQ_ACT_SET_ASIDE };

struct cq_candidate {
	uint32_t id;
	enum cq_kind kind;
	enum cq_act act;
	struct cq_segment_header header;
	struct cq_wsegment *
		segment; /* opened and counted; CQ_ACT_SEAL, CQ_ACT_CUT_AND_SEAL, CQ_ACT_CONTINUE */
	struct cq_segment_scan survey;
	bool surveyed;
	uint64_t residue; /* first byte behind its records that is not zero; 0: not looked for */
	bool rest;        /* sound records do */
	bool lost;        /* a repair gives up what it holds */
	bool index;       /* its index is to be built anew, or removed if it is not sealed */
};

/* Ids that have no segment, or have one no more, with segments on both sides. */
struct cq_gap {
	uint32_t first, last;
};

/* What a repair adds to a recovery. */
struct cq_repairer {
	const struct cq_repair_config *config;
	struct cq_repair_result result;
	bool stopped; /* the caller has ended it; else ECANCELED says that there is nothing to do */
};

struct cq_recovery {
	int dirfd;
	const struct cq_config *config;
	uint64_t segment_size;
	uint32_t *ids; /* all that are published */
	size_t count;
	bool marked;    /* the watermark is known */
	bool adrift;    /* it was, but is ahead of all that is there: no place to go on at */
	bool same_boot; /* the machine has not been started anew since the last writer opened it */
	bool have_position; /* control.meta tells */
	struct cq_position position;
	unsigned doubt;    /* damaged slots of durable.meta, as bits: the mark is a lower bound */
	bool seal_missing; /* the segment that ends at the watermark is not sealed */
	struct cq_watermark_slot mark;
	uint64_t epoch;               /* highest seen */
	bool leftovers;               /* there are temp files */
	struct cq_repairer *repairer; /* NULL: a writer opens */
	struct cq_meter meter;

	struct cq_candidate *candidates; /* of a repair: all; else from the watermark on */
	size_t candidate_count;
	size_t trusted; /* so many of them are below the watermark */

	/* the plan */
	uint32_t active_id;
	uint64_t tail;    /* where the queue ends, in active_id */
	bool hole;        /* something before a later segment is missing */
	uint64_t end_seq; /* next sequence number at that point, where known */
	bool end_seq_known;
	struct cq_gap *gaps; /* a repair's */
	size_t gap_count;
	bool given_up; /* it sets aside, or misses, what an opening writer trusts */

	/* what was committed behind the end */
	struct cq_beyond beyond;
	bool broken; /* the first record there is no sound one */
};

/* Finds v->segment_size: what the files agree on, else control.meta, else the caller's wish. */
int cq_recover_geometry(struct cq_recovery *v);

/* Tells what segment c->id is, by its header and its first commit word. */
int cq_recover_look_at(struct cq_recovery *v, struct cq_candidate *c);

/* The same for all segments that matter: v->candidates.  Reports missing ids. */
int cq_recover_look(struct cq_recovery *v);

/* Tells the caller how much is going to be read. */
int cq_recover_expect(struct cq_recovery *v);

/* An opening writer takes it as it is, and does not write to it. */
bool cq_recover_is_trusted(const struct cq_recovery *v, const struct cq_candidate *c);

/* Opens a segment and counts what it holds.  meter NULL: files have been changed, so nobody is told of
 * it, and may end it. */
int cq_recover_survey(struct cq_recovery *v, struct cq_candidate *c, struct cq_meter *meter);

/* What to do with each candidate, and where the queue ends. */
int cq_recover_decide(struct cq_recovery *v);

/* By that end, something that was durable is gone. */
bool cq_recover_is_loss(const struct cq_recovery *v);

/* Says so in the log. */
void cq_recover_report_loss(struct cq_recovery *v);

/*
 * Nothing that is there stands in the way of what is decided; else, with a word in the log:
 *   EOVERFLOW  the segment to go on in would be behind the last id
 *   EEXIST     every name is taken under which something is to be set aside (repair.h)
 *   EBADMSG    of a repair: a directory has the name of an index
 */
int cq_recover_ready(struct cq_recovery *v);

/* Finds what was committed behind that end: v->beyond, v->broken.  After the decision, and the audit. */
int cq_recover_count_beyond(struct cq_recovery *v);

/* Some was, and that is a loss. */
bool cq_recover_gives_up(const struct cq_recovery *v);

/* The first and the last number of the records that are given up; UINT64_MAX: not known. */
void cq_recover_lost_numbers(const struct cq_recovery *v, uint64_t *ret_first, uint64_t *ret_last);

/* Says in the log what is given up, and why that is a loss, if it is one. */
void cq_recover_report_beyond(struct cq_recovery *v);

/* Does what is decided.  Fills in of *out what the segment to go on in tells, and how many there are. */
struct cq_recovered;
int cq_recover_act(struct cq_recovery *v, struct cq_recovered *out);

/* What a sealed segment's summary says is what it holds. */
bool cq_recover_summary_agrees(const struct cq_candidate *c);

/* Moves named readers that stand behind the end, which is there, or in a segment that is gone.  After
 * the other acts. */
int cq_recover_move_readers(struct cq_recovery *v, uint32_t segment, uint64_t offset);

/* Why a segment is set aside, for people. */
const char *cq_recover_why_aside(const struct cq_candidate *c);

/* The numbers that hold at the beginning of segment `id`, from what is before it. */
int cq_recover_beginning(struct cq_recovery *v, uint32_t id, uint64_t *ret_seq, uint64_t *ret_base);

/* Gives a counted segment the numbers that it began with; *ret_end_seq: those that follow it. */
int cq_recover_number(struct cq_recovery *v, struct cq_candidate *c, uint64_t *ret_end_seq);

/* ---- of a repair ---- */

/* Reads what the others have trusted, and decides about it. */
int cq_recover_audit(struct cq_recovery *v);

/* The sequence numbers that segment c begins with and that follow it, if it tells. */
bool cq_recover_first_seq(const struct cq_candidate *c, uint64_t *ret_seq);
bool cq_recover_end_seq(const struct cq_candidate *c, uint64_t *ret_seq);

/* An empty sealed segment, as a repair leaves it in the place of one that is gone. */
bool cq_recover_is_stand_in(const struct cq_candidate *c);

/* Where the queue will go on: in this segment, at this offset. */
uint32_t cq_recover_current(const struct cq_recovery *v);
uint64_t cq_recover_offset(const struct cq_recovery *v);

/* It is, or will be, a sealed segment of the queue. */
bool cq_recover_stays_sealed(const struct cq_candidate *c);

/* Marks the candidates whose index is wrong or missing. */
int cq_recover_check_indexes(struct cq_recovery *v);
/* Does what cq_recover_check_indexes() has found necessary.  After the other acts. */
int cq_recover_build_indexes(struct cq_recovery *v);

/* Tells, as steps, which of the small files are wrong. */
int cq_recover_tell_hints(struct cq_recovery *v);

/* And which of the readers' files. */
int cq_recover_tell_readers(struct cq_recovery *v);

/* Tells all that is decided, as steps; counts them and the losses in v->repairer->result. */
int cq_recover_tell(struct cq_recovery *v, bool loss);

/* Counts one step and hands it on. */
void cq_recover_step(struct cq_recovery *v, const struct cq_repair_step *step);

/* ---- of verification ---- */

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
