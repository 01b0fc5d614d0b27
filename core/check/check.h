/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - what is wrong with a queue, and how it is set right
 *
 * An opening writer, a repair and a verification judge by the same functions: segment.c says what a segment
 * file is, whether its records follow one another and whether its summary counts them; files/index.c
 * says whether an index fits.
 *
 * cq_recover() (recover.c) opens a queue for its writer.  A repair is the same, and takes nothing on trust.
 *   inspect  lists the segments; finds their size, the watermark, what each file is     inspect.c
 *            (the list: the last close's, if the directory has not changed)            files/listing.c
 *   plan     reads the segments from the watermark on and decides about each            plan.c
 *            of a repair: reads and judges the others, and the indexes                  plan_repair.c
 *            counts the committed records that the plan gives up                        behind.c
 *   report   says in the log what is lost; of a repair: every step                      report.c
 *   refuse   a loss that the caller does not accept, a replica, or what would fail
 *            half way                                                                   recover.c, plan.c
 *            Up to here nothing has been changed.
 *   identity gives the queue its identity, if it has none                               meta/identity.c
 *   apply    seals, cuts, sets aside, makes, and continues the numbers                  apply.c, number.c
 *   readers  moves named readers that are behind the end                                metadata.c
 * Killed anywhere, the next run comes to the same end.
 *
 * cq_verify() (verify.c) changes nothing and takes no lock; a writer may be at work.
 *   collect  reads the places that control.meta, index.meta, durable.meta and readers claim     claims.c
 *   walk     goes through all segments (verify.c) and their records (verify_records.c)
 *   judge    compares the claims with the places where records begin                            claims.c
 * It has its own walk, because it goes on behind damage and carries the numbers from segment to segment,
 * where the others stop; and because it asks before each finding whether a writer is the cause.
 */
#ifndef CQ_CHECK_H
#define CQ_CHECK_H

#include "catalog/queue.h"
#include "chronq.h"
#include "files/wsegment.h"
#include "meta/lock.h"

struct cq_recover_result {
	uint64_t segment_size;
	struct cq_wsegment *active; /* the caller's */
	uint64_t next_seq, stream_end;
	uint64_t last_time; /* of the newest record in the active segment; 0: none */
	uint32_t epoch;     /* for this writer: higher than any before */
	bool created;       /* there was nothing before */
	bool have_watermark;
	uint32_t oldest;        /* lowest published id */
	uint64_t segments;      /* published files */
	uint32_t unsynced_from; /* segments below it are on stable storage */
};

/* Under the writer's lock.  Errors as cq_writer_open(); with EBADMSG, EINVAL and EPROTONOSUPPORT nothing
 * has been changed.  repair (internal.h): NULL for a writer that opens.  ECANCELED: nothing to repair. */
struct cq_repair_job;
int cq_recover(int dirfd, const struct cq_lock *lock, const struct cq_config *config,
               struct cq_repair_job *repair, struct cq_recover_result *ret_recovered);

/* cq_verify() on an open queue.  no_writer: no need to look for one, which takes some 20 ms. */
int cq_verify_queue(cq_queue *queue, bool no_writer, cq_finding_fn finding, void *arg,
                    struct cq_verify_result *ret_result);

#endif
