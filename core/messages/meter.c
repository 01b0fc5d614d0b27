/* SPDX-License-Identifier: Apache-2.0 */
/* meter.c - see meter.h */
#include "messages/meter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define RATE_MS 200 /* a rate over less is no rate */
#define PIECE 32

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

/* ---- for people ---- */

/* With one unit that keeps two digits or more. */
static void bytes_text(char text[PIECE], uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	size_t unit = 0;

	for (; unit < 4 && bytes >= 10240; unit++)
		bytes >>= 10;
	(void)snprintf(text, PIECE, "%" PRIu64 " %s", bytes, units[unit]);
}

static void span_text(char text[PIECE], uint64_t seconds)
{
	if (seconds < 120)
		(void)snprintf(text, PIECE, "%" PRIu64 " s", seconds);
	else if (seconds < 7200)
		(void)snprintf(text, PIECE, "%" PRIu64 " min", seconds / 60);
	else
		(void)snprintf(text, PIECE, "%" PRIu64 " h", seconds / 3600);
}

void cq_progress_text(char *text, size_t size, uint64_t done, uint64_t total, uint64_t elapsed_ms)
{
	char amount[PIECE], rate[PIECE], left[PIECE];
	const double per_second =
		elapsed_ms >= RATE_MS ? (double)done * 1000 / (double)elapsed_ms : 0;

	if (done > total && total > 0) /* it has grown since */
		done = total;
	if (total > 0)
		(void)snprintf(amount, sizeof amount, "%u %%",
		               (unsigned)((double)done * 100 / (double)total));
	else
		bytes_text(amount, done);
	bytes_text(rate, (uint64_t)per_second);
	if (per_second < 1) {
		(void)snprintf(text, size, "%s", amount);
	} else if (total == 0) {
		(void)snprintf(text, size, "%s, %s/s", amount, rate);
	} else {
		span_text(left, (uint64_t)((double)(total - done) / per_second + 0.5));
		(void)snprintf(text, size, "%s, %s/s, %s left", amount, rate, left);
	}
}
