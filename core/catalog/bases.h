/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bases.h - which segments there are, and where each begins in the stream of all payload bytes
 *
 * A table of the ids that there are, and of what has been found out about those segments that
 * somebody asked about: the position of their first byte, and how many bytes they hold.  What was
 * found out is remembered and stays as it is for as long as the segment is there.
 *
 * Where a segment begins is told, the first of these that can counting, by
 *   its own header or first record, if this library wrote them;
 *   a segment before it that is told, and what that and those between hold, if none is missing;
 *   a segment behind it, likewise;
 *   the nearest one before it, as if nothing were missing; and for the oldest one, `origin`.
 * So a queue of ours is searched by reading a few headers, and only what chronicle-rs wrote is
 * walked.
 *
 * Only one thread at a time changes a table, and reads it as it likes; who may is its owner's
 * business. The others call cq_bases_lookup().  The lock is held while memory is read or changed,
 * no longer.
 */
#ifndef CQ_BASES_H
#define CQ_BASES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronq.h"

#define CQ_BASE_COUNTED 1U /* `bytes` is what it holds: nothing will be added to it */
#define CQ_BASE_DAMAGED 2U /* ... before a damaged record that hides what follows it */

struct cq_base {
	uint32_t id;
	uint32_t flags;
	uint64_t base;  /* position of its first byte */
	uint64_t bytes; /* payload bytes in it, if counted */
};

/* Ids from first to last, none missing. */
struct cq_id_run {
	uint32_t first, last;
};

struct cq_bases {
	pthread_mutex_t lock;
	struct cq_id_run *runs; /* ascending, a gap before each next one */
	size_t run_count;
	struct cq_base *known; /* ascending ids, all of them in a run; from known_head on */
	size_t known_head, known_count, known_capacity;
	uint64_t origin; /* where the oldest begins if nothing tells */
	uint32_t failed; /* the segment that the last error of a call with a queue was about */
};

void cq_bases_init(struct cq_bases *bases);
void cq_bases_fini(struct cq_bases *bases);

/* ---- which segments there are ---- */

/* These are all, ascending.  What is known of others is forgotten. */
int cq_bases_list(struct cq_bases *bases, const uint32_t *ids, size_t count);
/* All of these ids are there, too; they are above all others. */
int cq_bases_add(struct cq_bases *bases, uint32_t first, uint32_t last);
int cq_bases_remove(struct cq_bases *bases, uint32_t id);
void cq_bases_drop_below(struct cq_bases *bases, uint32_t id);

/* The run that holds id, or else the first one above it; NULL if there is none. */
const struct cq_id_run *cq_bases_run(const struct cq_bases *bases, uint32_t id);
/* The nearest id at or above `from`, at or below `to`. */
bool cq_bases_next(const struct cq_bases *bases, uint32_t from, uint32_t *ret_id);
bool cq_bases_previous(const struct cq_bases *bases, uint32_t to, uint32_t *ret_id);

/* ---- what is known of them ---- */

int cq_bases_learn(struct cq_bases *bases, const struct cq_base *base);
const struct cq_base *cq_bases_known(const struct cq_bases *bases, uint32_t id);

/* The last known segment that begins at `position` or before, the first that begins behind it; NULL
 * where there is none. */
void cq_bases_around(const struct cq_bases *bases, uint64_t position,
                     const struct cq_base **ret_before, const struct cq_base **ret_behind);

/* Behind the last byte of a counted segment.  A damaged record takes the place of one byte: so
 * there is a position at which it is met. */
static inline uint64_t cq_base_end(const struct cq_base *base)
{
	return base->base + base->bytes + ((base->flags & CQ_BASE_DAMAGED) != 0);
}

/* As cq_bases_find(), if what is known suffices: for any thread. */
bool cq_bases_lookup(struct cq_bases *bases, uint64_t position, struct cq_base *ret_base);

/* ---- asking a segment (bases_ask.c); errors as cq_mapped_open() ---- */

/* Whether it tells by its beginning, or by its writer if that is this process, where it begins: 1
 * with *ret_base, counted if it tells that, too, else 0. */
int cq_bases_ask(cq_queue *queue, uint32_t id, struct cq_base *ret_base);

struct cq_base_count {
	uint64_t bytes;
	bool damaged;  /* they end before a damaged record, or the file was cut short */
	bool told;     /* by a record in it: */
	uint64_t base; /* where it begins */
};

/* Looks at all records of a segment that its writer has left. */
int cq_bases_walk(cq_queue *queue, uint32_t id, struct cq_base_count *ret_count);

/* ---- finding out (bases_find.c) ---- */

/*
 * The segment that holds the byte at `position`: the last one that begins there or before, counted
 * unless it is the last there is.  The first one there is, if that begins behind `position`.  1
 * with *ret_base, 0 when there is no segment.
 *
 * This and the following fail like cq_mapped_open() on the segment `failed`.  A damaged record or a
 * file cut short is no failure: see CQ_BASE_DAMAGED.
 */
int cq_bases_find(struct cq_bases *bases, cq_queue *queue, uint64_t position,
                  struct cq_base *ret_base);

/* Where segment `id` begins. */
int cq_bases_place(struct cq_bases *bases, cq_queue *queue, uint32_t id, struct cq_base *ret_base);

/* And what it holds: it has been left by its writer. */
int cq_bases_count(struct cq_bases *bases, cq_queue *queue, uint32_t id, struct cq_base *ret_base);

#endif
