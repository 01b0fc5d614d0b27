/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.h - a writer that is killed, and what must be true of its queue then (test_crash.c)
 *
 * Three parties share one block of memory, which outlives each of them:
 *   crash_write.c   a process that writes, and says there what it is about to do and what was
 *                   acknowledged, before and after each call; killed at any moment, it has said
 *                   all that it knows
 *   crash_read.c    a process that reads all the time, through every kill and every recovery
 *   crash_check.c   the test itself, when the writer is dead: compares the queue with what was said
 *
 * What a record must hold follows from the seed of the queue, the round that wrote it, and its
 * sequence number.  So no process has to remember records, and no wrong one passes: altered, repeated,
 * moved, or from an earlier round that was killed before it was committed.
 */
#ifndef CQ_TEST_CRASH_H
#define CQ_TEST_CRASH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "chronq.h"
#include "support.h"

#define CRASH_SEGMENT_MOST 16384U
#define CRASH_ROUNDS_MOST 512U /* of one queue */
#define CRASH_PLACES 128U

struct crash_place {
	char name[40];
	unsigned passes;
};

struct crash_shared {
	/* the queue's */
	char dir[PATH_SIZE];
	uint64_t seed;
	uint64_t segment_size;

	/* The writer says.  `begun` before the call, the others after it. */
	_Atomic uint64_t begun;   /* no record from this number on can be there */
	_Atomic uint64_t acked;   /* all records below are there */
	_Atomic uint64_t durable; /* and these survive a power cut, too */
	_Atomic uint64_t trimmed; /* it has asked that records below this be deleted, */
	_Atomic unsigned trims;   /* in so many segments of this round, at most */
	_Atomic unsigned keeps;   /* this round's retention keeps as many */
	_Atomic uint64_t refused;
	/* Rounds that came to write, each with the number of its first record; the count is stored
	 * last. */
	struct crash_start {
		uint64_t seq;
		uint32_t round;
	} starts[CRASH_ROUNDS_MOST];
	_Atomic uint32_t start_count;
	/* the places that this round has passed */
	struct crash_place places[CRASH_PLACES];
	_Atomic unsigned place_count;
	_Atomic unsigned passes; /* of all */

	/* The checker says. */
	_Atomic uint64_t end;     /* committed when the last writer had died */
	_Atomic uint64_t present; /* the same, 0 if no record is left */
	uint32_t oldest;          /* segment with a record, then */

	/* The reader says. */
	_Atomic uint64_t seen; /* it has had all below that it could get */
	_Atomic uint64_t read; /* records */

	_Atomic bool failed;
	char problem[400]; /* the first; written by the process that has set `failed` */
};

/* Says what is wrong; false, for the caller to return. */
bool crash_problem(struct crash_shared *shared, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- what is written ---- */

struct crash_random {
	uint64_t state;
};
uint64_t crash_next(struct crash_random *random);
/* 0 to below - 1 */
unsigned crash_below(struct crash_random *random, unsigned below);

/* The round that wrote the committed record with this number. */
uint32_t crash_round_of(const struct crash_shared *shared, uint64_t seq);

struct crash_message {
	uint16_t type;
	size_t length;
	uint64_t bytes[CRASH_SEGMENT_MOST / 8];
};
void crash_message(const struct crash_shared *shared, uint32_t round, uint64_t seq, bool refused,
                   struct crash_message *ret_message);
/* It is the record that was written there. */
bool crash_matches(struct crash_shared *shared, const struct cq_record *record);

/* ---- the writer ---- */

struct crash_round {
	uint32_t number;
	bool threads;   /* the writer has its threads; else their work is done between the calls */
	unsigned steps; /* how many calls */
	const char *place; /* to be killed at, NULL: none */
	unsigned pass;     /* at which pass of it; without a place: of all places.  0: not */
};

/* Writes, and ends the process: with 0 having closed the queue, with 1 and a problem, or killed. */
void crash_write(struct crash_shared *shared, const struct crash_round *round)
	__attribute__((noreturn));

/* How often this round has passed it. */
unsigned crash_passes(const struct crash_shared *shared, const char *place);

/* ---- the reader ---- */

/* Reads until it is killed; a problem ends it with 1. */
void crash_read(struct crash_shared *shared) __attribute__((noreturn));

/* ---- the checks ---- */

/* Of the files as the dead writer has left them, before anybody opens them for writing. */
bool crash_check_files(struct crash_shared *shared);
/* What a reader gets of them: nothing acknowledged is missing, nothing else is there. */
bool crash_check_records(struct crash_shared *shared);
/* Recovers: no temp file is left, the numbering goes on, and `chronq verify` finds no damage. */
bool crash_check_recovery(struct crash_shared *shared);

#endif
