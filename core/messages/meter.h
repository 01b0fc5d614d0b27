/* SPDX-License-Identifier: Apache-2.0 */
/* meter.h - how far a walk over many segments is: tells the caller, and asks whether to go on */
#ifndef CQ_METER_H
#define CQ_METER_H

#include "chronq.h"

struct cq_meter {
	cq_progress_fn tell; /* NULL: nobody asks */
	void *arg;
	uint64_t segment_size;
	struct cq_progress now;
	bool stopped; /* the caller wants no more */
};

/* Begins a phase that reads so many segments. */
void cq_meter_begin(struct cq_meter *meter, enum cq_phase phase, uint64_t segments,
                    uint64_t segment_size);

/* The walk is at this offset of the current segment.  0, or ECANCELED: it is to end.  meter NULL: 0. */
int cq_meter_at(struct cq_meter *meter, uint64_t offset);

/* The current segment is done. */
void cq_meter_next(struct cq_meter *meter);

#endif
