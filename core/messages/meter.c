/* SPDX-License-Identifier: Apache-2.0 */
/* meter.c - see meter.h */
#include "messages/meter.h"

#include <errno.h>

void cq_meter_begin(struct cq_meter *meter, enum cq_phase phase, uint64_t segments,
                    uint64_t segment_size)
{
	meter->segment_size = segment_size;
	meter->now = (struct cq_progress){
		.phase = phase,
		.segments = segments,
		.bytes = segments * segment_size,
	};
}

int cq_meter_at(struct cq_meter *meter, uint64_t offset)
{
	if (!meter || !meter->report)
		return 0;
	if (meter->stopped)
		return -ECANCELED;
	meter->now.bytes_done = meter->now.segments_done * meter->segment_size + offset;
	meter->stopped = meter->report(meter->arg, &meter->now) != 0;
	return meter->stopped ? -ECANCELED : 0;
}

void cq_meter_next(struct cq_meter *meter)
{
	meter->now.segments_done++;
}
