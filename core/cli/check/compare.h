/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare.h - compares the records of a stream with those of a queue, by their numbers and CRCs.  Pure.
 *
 * Each side gives items in ascending order: a record, or numbers without a sound record.  Numbers that no item of a
 * side has are missing there.  What both sides say of a number is one finding; findings come out as ranges, which
 * are never kept: the memory does not depend on how many records or ranges there are.
 */
#ifndef CHRONQ_COMPARE_H
#define CHRONQ_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

enum compare_state {
	COMPARE_RECORD,  /* one record with a CRC */
	COMPARE_DAMAGED, /* these numbers cannot be read */
	COMPARE_GAP,     /* of a stream: it was accepted that these records are missing */
};

struct compare_item {
	enum compare_state state;
	uint64_t first, next;
	uint32_t
		crc; /* COMPARE_RECORD: wire_crc(), which covers number, time, type, length and payload */
};

struct compare_side {
	/* Returns 1 with the next item, 0 at the end, or a negative errno. */
	int (*next)(void *arg, struct compare_item *ret_item);
	void *arg;
	/* Records below it have been deleted, as retention does: they are not expected here.  next() may raise it. */
	uint64_t begins;
};

enum compare_finding {
	COMPARE_SAME,
	COMPARE_DIFFERENT,
	COMPARE_QUEUE_ONLY,
	COMPARE_STREAM_ONLY,
	COMPARE_NEITHER, /* missing on both sides */
	COMPARE_ACCEPTED, /* missing or damaged in the queue; the stream says that this was accepted */
	COMPARE_QUEUE_DAMAGED,  /* in the queue; the stream may have it */
	COMPARE_STREAM_DAMAGED, /* in the stream; the queue may have it */
	COMPARE_REPEATED,       /* in the stream, behind a higher number */
	COMPARE_FINDINGS,
};

struct compare_range {
	enum compare_finding finding;
	uint64_t first, next;
	bool expected; /* no fault: the same, accepted, or missing where retention has deleted older records */
};

struct compare_result {
	uint64_t numbers[COMPARE_FINDINGS]; /* how many of each */
	uint64_t faults;                    /* how many are not expected */
};

/* Compares all that both sides have.  range() is called for each range, in ascending order but for
 * COMPARE_REPEATED.  Returns 0, or next()'s error after the ranges so far; *result counts these, and is filled in
 * any case. */
int compare(struct compare_side *stream, struct compare_side *queue,
            void (*range)(void *arg, const struct compare_range *range), void *arg,
            struct compare_result *result);

/* What a finding is, as the end of a line: "the same". */
const char *compare_text(enum compare_finding finding);

#endif
