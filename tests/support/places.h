/* SPDX-License-Identifier: Apache-2.0 */
/*
 * places.h - queues of a few segments of which only some have a stream offset, and the rules of catalog.h
 * for the offsets of the others, written down a second time
 */
#ifndef CQ_TEST_PLACES_H
#define CQ_TEST_PLACES_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "stream_support.h"

#define SEGMENTS 8U
#define EACH 1000U /* bytes of a record */
#define PER 3000U  /* of the three in a segment */

enum kind {
	OURS,
	THEIRS,    /* as chronicle-rs writes it: no ext anywhere */
	CONTINUED, /* theirs but for the last record */
	MISSING,
	KINDS,
	BEGUN,  /* ours, with one record, not sealed */
	UNUSED, /* prepared */
};

struct mixture {
	enum kind kinds[SEGMENTS];
	uint64_t base[SEGMENTS]; /* its stream offset, by the rules */
	uint64_t begin, end;
};

/* A writer makes the queue from which the mixtures are made. */
void places_make(struct stream_fixture *f);
/* Makes the queue this mixture, and fills in the other fields.  An open stream stays open. */
void places_put(struct stream_fixture *f, struct mixture *m);
/* Fills in the stream offsets of a mixture without BEGUN and UNUSED. */
void places_by_rule(struct mixture *m);

#define WRONG (-EILSEQ) /* an answer that is not by the rules */

/* Asks the stream `times` questions.  Returns the error of the first call that fails, or WRONG for a wrong answer. */
int places_ask(cq_stream *stream, const struct mixture *m, uint64_t *sequence, unsigned times);

void places_print(const struct mixture *m, uint64_t sequence);

#endif
