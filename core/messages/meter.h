/* SPDX-License-Identifier: Apache-2.0 */
/* meter.h - the progress of a walk over many segments: reported to the caller, who may end it */
#ifndef CQ_METER_H
#define CQ_METER_H

#include "chronq.h"

struct cq_meter {
	cq_progress_fn report; /* NULL: no reports */
	void *arg;
	uint64_t segment_size;
	struct cq_progress now;
	bool stopped; /* by the caller */
};

/* Begins a phase that reads this number of segments. */
void cq_meter_begin(struct cq_meter *meter, enum cq_phase phase, uint64_t segments,
                    uint64_t segment_size);

/* The walk is at this offset of the current segment.  0; ECANCELED: the walk is to end.  meter NULL: 0. */
int cq_meter_at(struct cq_meter *meter, uint64_t offset);

/* The current segment is done. */
void cq_meter_next(struct cq_meter *meter);

#endif
