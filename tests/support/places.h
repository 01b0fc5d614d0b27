/* SPDX-License-Identifier: Apache-2.0 */
/*
 * places.h - queues of a few segments of which only some tell where they stand in the stream, and
 * the rules of catalog.h for where they then stand, written down a second time
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
	uint64_t base[SEGMENTS]; /* where it stands, by the rules */
	uint64_t begin, end;
};

/* Lets a writer make the queue that mixtures are made from. */
void places_make(struct stream_fixture *f);
/* Makes the queue such a mixture; a stream that is open stays so.  Fills in the rest of it. */
void places_put(struct stream_fixture *f, struct mixture *m);
/* Fills in where the segments of a mixture without BEGUN and UNUSED stand. */
void places_by_rule(struct mixture *m);

#define WRONG (-EILSEQ) /* an answer that is not by the rules */

/* Asks the stream in so many ways, until a call fails (gives its error), or is WRONG. */
int places_ask(cq_stream *stream, const struct mixture *m, uint64_t *sequence, unsigned times);

void places_print(const struct mixture *m, uint64_t sequence);

#endif
