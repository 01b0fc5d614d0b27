/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what the files of this room share; check.h says which file does what */
#ifndef CQ_CHECK_INTERNAL_H
#define CQ_CHECK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "catalog/queue.h"
#include "check/segment.h"
#include "chronq.h"
#include "files/index.h"
#include "files/wsegment.h"
#include "format/walk.h"
#include "format/window.h"
#include "messages/meter.h"
#include "meta/control.h"
#include "meta/identity.h"
#include "meta/watermark.h"

/* ---- sound records behind the place where the records end (behind.c) ----
 *
 * Records behind one that is damaged or missing are no part of the queue any more, because the records
 * that survive are a prefix.  How many they are, and which, shows whether something was lost: a killed
 * writer leaves none, because it commits in order.  So they are looked for at each place where a record
 * can begin, and from a sound one on from record to record.
 *
 * Only records of this library are found: the 64 bits of both checksums, and numbers that can follow
 * those at the end, distinguish them from payload that looks like a record.
 */

/* What has been found so far. */
struct cq_behind {
	uint64_t records;
	uint64_t first_seq, last_seq; /* valid when records > 0, as the next two */
	struct cq_record_at first;
	bool one_run; /* they follow one another, with one time: all may be of one run (write/run.c) */
};

/* Where to look from, and what a record there has to have. */
struct cq_behind_from {
	uint64_t offset;
	uint64_t seq;   /* at least; 0: any */
	uint32_t epoch; /* at least */
	bool placed;    /* record `seq`, with its payload at `stream`, was to begin at `offset` */
	uint64_t stream;
};

/* From this offset on, where the next record was to be as `order` says. */
struct cq_behind_from cq_behind_start(const struct cq_order *order, uint64_t offset);

/*
 * Adds to *behind what is found in the file fd of a segment, of which `size` bytes are there; sets
 * from->seq and from->epoch for the next segment.  *ret_first: the first byte there that is not zero;
 * `size`: there is none.  Reads the data in the file once, unless somebody has made up headers of payloads
 * that are not there.  -EIO: the file cannot be read to its end; what was found counts.
 * meter, if not NULL, hears of the progress and may end the search (-ECANCELED).
 */
int cq_behind_count(int fd, uint64_t size, struct cq_behind_from *from, struct cq_meter *meter,
                    struct cq_behind *behind, uint64_t *ret_first);

/*
 * They are the rest of a run (write/run.c) that a writer was killed in, or is at work on: no record of it was
 * ever visible.  `end` is the header at `offset`, where the records end: the run's first record, which
 * lacks nothing but its commit word.
 */
bool cq_behind_is_unfinished(const struct cq_behind *behind, const struct cq_record_header *end,
                             uint64_t offset, uint64_t size);

/* ---- an opening writer, and a repair ---- */

/* What is to be done with a segment.  Where others follow one that is set aside, a placeholder is made. */
enum cq_act { CQ_ACT_KEEP, CQ_ACT_SEAL, CQ_ACT_CUT_AND_SEAL, CQ_ACT_CONTINUE, CQ_ACT_SET_ASIDE };

struct cq_candidate {
	uint32_t id;
	enum cq_kind kind;
	uint64_t size; /* of the file */
	struct cq_segment_header header;
	bool trusted; /* an opening writer does not read it, and does not write to it */
	enum cq_act act;
	struct cq_wsegment *
		segment; /* opened and counted; CQ_ACT_SEAL, CQ_ACT_CUT_AND_SEAL, CQ_ACT_CONTINUE */
	bool scanned;
	struct cq_contents contents; /* valid when scanned */
	uint64_t residue;  /* first byte behind its records that is not zero; 0: not looked for */
	bool sound_behind; /* there are sound records behind its records */
	bool lost;         /* a repair gives up its records */
	bool index_wrong;  /* its index is to be rebuilt, or removed if the segment is not sealed */
};

/* Ids without a segment, or whose segment is set aside, with segments on both sides. */
struct cq_gap {
	uint32_t first, last;
};

/* What a repair adds to a recovery. */
struct cq_repair_job {
	const struct cq_repair_config *config;
	struct cq_repair_result result;
	bool stopped; /* the caller has ended it; else ECANCELED says that there is nothing to do */
};

struct cq_recovery {
	int dirfd;
	const struct cq_config *config;
	struct cq_repair_job *repair; /* NULL: a writer opens */
	struct cq_meter meter;

	/* the queue */
	uint8_t boot_id[CQ_BOOT_ID_SIZE]; /* of now; all zero: not known */
	uint64_t segment_size;
	uint32_t *ids; /* all that are published */
	size_t count;
	uint64_t epoch;     /* highest seen */
	bool leftovers;     /* there are temp files */
	bool same_boot;     /* the machine has not been rebooted since the last writer opened it */
	bool have_position; /* control.meta has one */
	struct cq_position position;

	/* identity.meta (recover.c) */
	bool have_identity;
	bool identity_damaged;
	struct cq_identity identity;

	/* the watermark */
	bool have_watermark_file;
	bool have_watermark; /* there is one, and it names a place to go on at */
	bool watermark_ahead; /* there is one, but it is ahead of all segments: no place to go on at */
	unsigned damaged_slots; /* of durable.meta, as bits: the watermark is a lower bound */
	bool seal_missing;      /* the segment that ends at the watermark is not sealed */
	struct cq_watermark_slot watermark;

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
	bool durable_lost; /* it sets aside, or misses, what an opening writer trusts */

	/* what was committed behind the end */
	struct cq_behind behind;
	bool end_damaged; /* the first record there is not sound */
};

/* inspect.c: what is there; nothing is changed */

/* Lists the segments and finds their size, the watermark, and the segments that matter: v->candidates. */
int cq_inspect(struct cq_recovery *v);

/* Tells what segment c->id is: c->kind, c->header.  EPROTONOSUPPORT, with a message in the log: it is of a
 * later version of the format. */
int cq_inspect_segment(const struct cq_recovery *v, struct cq_candidate *c);

/* Opens a segment for writing and counts what it holds.  meter NULL: files have been changed already, so
 * the caller hears of no progress, and cannot end it. */
int cq_inspect_contents(struct cq_recovery *v, struct cq_candidate *c, struct cq_meter *meter);

/* Counts what a segment holds without opening it for writing.  What cannot be read becomes CQ_KIND_BAD. */
int cq_inspect_read(struct cq_recovery *v, struct cq_candidate *c);

bool cq_inspect_is_placeholder(const struct cq_candidate *c);

/* A sealed segment's summary is right, or it has none and no damage. */
bool cq_inspect_summary_agrees(const struct cq_candidate *c);

/* The sequence numbers that segment c begins with and that follow it, if it has them.  chronicle-rs's
 * count from 0 after each open of its writer, so they do not say what was before them. */
bool cq_inspect_first_seq(const struct cq_candidate *c, uint64_t *ret_seq);
bool cq_inspect_end_seq(const struct cq_candidate *c, uint64_t *ret_seq);

/* plan.c, plan_repair.c: what is to be done */

/* Decides what to do with each candidate, and where the queue ends. */
int cq_plan(struct cq_recovery *v);

/* Of a repair: reads what an opening writer trusts, and decides about that. */
int cq_plan_repair(struct cq_recovery *v);

/*
 * Nothing that is there prevents the plan; else, with a message in the log:
 *   EOVERFLOW  the segment to go on in would be behind the last id
 *   EEXIST     every name is taken under which something is to be set aside (quarantine.h)
 *   EBADMSG    of a repair: a directory has the name of an index
 *   EPROTONOSUPPORT, EIO, ...  a segment below the candidates, of which numbers are needed, is of a later
 *              version of the format, or cannot be read
 */
int cq_plan_check(struct cq_recovery *v);

/* The plan ends the queue before the watermark: something that was durable is gone. */
bool cq_plan_is_loss(const struct cq_recovery *v);

/* Where the queue will go on: in this segment, at this offset. */
uint32_t cq_plan_current(const struct cq_recovery *v);
uint64_t cq_plan_offset(const struct cq_recovery *v);

/* It is, or will be, a sealed segment of the queue. */
bool cq_plan_stays_sealed(const struct cq_candidate *c);

/* Why a segment is set aside, for people. */
const char *cq_plan_why_aside(const struct cq_candidate *c);

/* behind.c */

/* Finds what was committed behind the end: v->behind, v->end_damaged.  After cq_plan_repair(). */
int cq_behind_count_all(struct cq_recovery *v);

/* Some was, and that is a loss. */
bool cq_behind_is_loss(const struct cq_recovery *v);

/* The first and the last number of the records that are given up; UINT64_MAX: not known. */
void cq_behind_lost_numbers(const struct cq_recovery *v, uint64_t *ret_first, uint64_t *ret_last);

/* report.c */

/* Says in the log that durable records are gone; what is given up behind the end, and why that is a loss,
 * if it is one. */
void cq_report_loss(struct cq_recovery *v);
void cq_report_behind(struct cq_recovery *v);

/* Of a repair: reports the whole plan as steps; counts them and the losses in v->repair->result. */
int cq_report_plan(struct cq_recovery *v, bool loss);

/* Counts one step and hands it on, unless there is no reason for it: why NULL. */
void cq_report_step(struct cq_recovery *v, enum cq_repair_action action, const char *file,
                    const char *why);

/* apply.c: does what is planned */

/* Fills in of *out what the segment to go on in says, and how many segments there are. */
struct cq_recover_result;
int cq_apply(struct cq_recovery *v, struct cq_recover_result *out);

/* number.c */

/* The numbers that hold at the beginning of segment `id`, from what is before it. */
int cq_number_at(struct cq_recovery *v, uint32_t id, uint64_t *ret_seq, uint64_t *ret_base);

/* Gives a counted segment the numbers that it began with; *ret_end_seq: those that follow it. */
int cq_number_segment(struct cq_recovery *v, struct cq_candidate *c, uint64_t *ret_end_seq);

/* metadata.c: the small files */

/* Moves named readers that are behind the end, which is given, or in a segment that is gone.  After
 * cq_apply(). */
int cq_metadata_move_readers(struct cq_recovery *v, uint32_t segment, uint64_t offset);

/* Of a repair: reports, as steps, which small files are going to be written. */
int cq_metadata_report(struct cq_recovery *v);

/* What index.meta says; EBADMSG: it is too short. */
int cq_metadata_read_position(int dirfd, struct cq_position_file *ret_position);

/* Of a verification: reports a file that claims no place; error: the result of reading it, or 0. */
struct cq_verifier;
void cq_metadata_report_useless(struct cq_verifier *v, int dirfd, const char *name, int error);

/* ---- a verification ---- */

/* A place that some file claims: a record must begin there, or the records end. */
enum cq_claimant { CQ_CLAIM_CONTROL, CQ_CLAIM_POSITION, CQ_CLAIM_DURABLE, CQ_CLAIM_READER };

struct cq_claim {
	enum cq_claimant by;
	char *name; /* of the file, or of the reader */
	uint64_t segment;
	uint64_t offset;
	bool on_boundary; /* it is right: the walk was there, or could not go there */
	bool seq_differs; /* the watermark's: the number that it says comes next does not */
	uint64_t seq;
	uint64_t seq_there;
};

struct cq_verifier {
	cq_queue *queue;
	cq_finding_fn finding;
	void *finding_arg;
	struct cq_verify_result result;
	struct cq_meter meter;
	uint64_t segment_size;
	int error; /* the first thing that could not be read at all */

	/* The state before anything else was read.  What is before `position` was complete then and
	 * does not change; a writer may be at work behind it, since then or from any moment on. */
	bool no_writer;   /* the caller knows that there is none */
	bool live;        /* there is one, or has been one since */
	bool writer_came; /* it has come since */
	bool have_position;
	struct cq_position position;
	struct timespec lock_time; /* of the lock file, taken first of all */

	struct cq_claim *claims; /* sorted by segment, offset */
	size_t claim_count;
	size_t claim_next; /* the first one that the walk has not passed */

	/* the walk over all segments */
	struct cq_order order;
	uint32_t oldest;
	bool have_tail;
	struct cq_position tail; /* where the records end */
	bool at_gap; /* behind a placeholder, before order.next_seq or a higher number */
	bool have_unsealed;
	struct cq_position unsealed; /* end of the last segment that is not sealed */

	/* the segment at hand */
	uint32_t id;
	cq_segment *segment;
	struct cq_segment_header header;
	bool sealed;
	bool unreadable;      /* its rest could not be read */
	bool behind_reported; /* the sound records behind its first damaged record are reported */
	struct cq_window window;
	struct cq_walk walk;
	struct cq_contents contents;
	bool have_index;
	struct cq_index index;
	struct cq_index_check index_check;
};

/* Counts and hands on one finding; printf-like. */
void cq_verify_report(struct cq_verifier *v, bool damage, uint64_t segment, uint64_t offset,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Findings in the segment at hand. */
#define CQ_DAMAGE(v, offset, ...) cq_verify_report(v, true, (v)->id, offset, __VA_ARGS__)
#define CQ_NOTE(v, offset, ...) cq_verify_report(v, false, (v)->id, offset, __VA_ARGS__)
/* A finding in no segment. */
#define CQ_QUEUE_FINDING(v, damage, ...) cq_verify_report(v, damage, UINT32_MAX, 0, __VA_ARGS__)

/* The error of a call was want of descriptors or memory, or the caller wants no more: that says nothing
 * about the queue, and is the result of the whole verification. */
bool cq_verify_short_of_means(struct cq_verifier *v, int error);

/* verify_records.c */

/* Nothing is known any more of what comes next. */
void cq_verify_forget_order(struct cq_verifier *v);

/* The rest of the segment at hand cannot be read. */
void cq_verify_unreadable(struct cq_verifier *v, uint64_t offset, int error);

/* Behind a placeholder the queue continues with this number: notes what is missing. */
void cq_verify_gap(struct cq_verifier *v, uint64_t seq);

/* Goes with v->walk over the records of the segment; v->walk.offset is then where they end. */
void cq_verify_records(struct cq_verifier *v);

bool cq_verify_all_zero(const void *bytes, size_t length);

/* claims.c: writers at work */

/* A writer is known to be at work, and this place of an unsealed segment is behind `position`. */
bool cq_verify_unsettled(const struct cq_verifier *v, uint64_t segment, uint64_t offset);

/* The same, after looking for a writer that has come since: before a finding is believed. */
bool cq_verify_moving(struct cq_verifier *v, uint64_t segment, uint64_t offset);

/* A writer has opened the queue since the verification began, and this place is behind `position`. */
bool cq_verify_writer_came(struct cq_verifier *v, uint64_t segment, uint64_t offset);

/* claims.c: the claims */

/* Before the walk: looks for a writer, collects the claims, then the writer's position. */
int cq_claims_collect(struct cq_verifier *v);

/* The walk is at a boundary of records; v->order: what the next one has to be. */
void cq_claims_pass(struct cq_verifier *v, uint32_t segment, uint64_t offset);

/* The walk skips the rest of this segment: no claim about it is wrong. */
void cq_claims_skip(struct cq_verifier *v, uint32_t segment);

/* After the walk: judges the claims. */
void cq_claims_judge(struct cq_verifier *v);

void cq_claims_free(struct cq_verifier *v);

#endif
