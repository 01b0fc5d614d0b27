/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c - what ship writes into the file of metrics (--status)
 *
 * How many records the queue has, and how large they are, takes a look at its segments: at most a hundredth of the
 * time is spent with that.
 */
#include <errno.h>
#include <time.h>

#include "shared/cli.h"
#include "ship/ship.h"

#define LOOK_SHARE 100
#define LOOK_MS 1000

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int ship_metrics_begin(struct ship *ship)
{
	const char *path = ship->settings->ship.status;
	int r;

	ship->metrics.end_seq = ship->metrics.end_stream = STATUS_UNKNOWN;
	if (!path)
		return 0;
	r = status_open(path, ship->source.dir, ship->stream, &ship->metrics.status);
	return r < 0 ? cli_fail(path, r) : 0;
}

static void look(struct ship *ship)
{
	struct ship_metrics *metrics = &ship->metrics;
	const uint64_t begin = ship_now_ms();

	if (begin < metrics->look_at)
		return;
	if (source_look(&ship->source, &metrics->end_seq, &metrics->end_stream) < 0)
		metrics->end_seq = metrics->end_stream = STATUS_UNKNOWN;
	metrics->look_at = ship_now_ms();
	metrics->look_at += LOOK_MS + LOOK_SHARE * (metrics->look_at - begin);
}

static uint64_t difference(uint64_t end, uint64_t begin)
{
	return end == STATUS_UNKNOWN ? STATUS_UNKNOWN : end > begin ? end - begin : 0;
}

/* Of a record whose time is not known: for how long there has been one. */
static uint64_t lag_without_record(struct ship_metrics *metrics)
{
	const uint64_t now = ship_now_ms();

	if (metrics->lag_since == 0)
		metrics->lag_since = now;
	return (now - metrics->lag_since) * 1000000;
}

static void fill_lag(struct ship *ship, uint64_t acked_next, struct status_ship *values)
{
	struct ship_metrics *metrics = &ship->metrics;
	const uint64_t now = now_ns(CLOCK_REALTIME);
	struct publish_oldest oldest;

	look(ship);
	values->lag_records = difference(metrics->end_seq, acked_next);
	values->lag_bytes = STATUS_UNKNOWN;
	if (publish_oldest(ship->publish, &oldest) ||
	    (ship->ready && compose_oldest(&ship->compose, &oldest))) {
		values->lag_ns = oldest.time_ns < now ? now - oldest.time_ns : 0;
		if (oldest.have_stream)
			values->lag_bytes = difference(metrics->end_stream, oldest.stream);
	} else if (ship->ready || values->lag_records == 0) {
		values->lag_records = values->lag_bytes = values->lag_ns = 0;
	} else if (values->lag_records == STATUS_UNKNOWN) {
		values->lag_ns = STATUS_UNKNOWN;
	} else {
		values->lag_ns = lag_without_record(metrics);
		return;
	}
	metrics->lag_since = 0;
}

void ship_metrics(struct ship *ship, bool last)
{
	struct ship_metrics *metrics = &ship->metrics;
	const uint64_t now = now_ns(CLOCK_MONOTONIC);
	struct publish_state state = { 0 };
	struct status_ship values = { 0 };
	struct jet_state jet;
	int r;

	if (!metrics->status || (!last && !status_is_due(metrics->status, now)))
		return;
	publish_state(ship->publish, &state);
	values.shipped_records = state.sent_records;
	values.acked_records = state.acked_records;
	values.acked_bytes = state.acked_bytes;
	values.resyncs = ship->resyncs;
	values.last_ack_ns = (uint64_t)state.acked_at * 1000000000;
	values.last_error = ship->waits_for;
	if (ship->jet) {
		jet_state(ship->jet, &jet);
		values.connected = jet.connected;
	}
	fill_lag(ship, ship->resyncs > 0 ? state.acked_next : ship->source.committed, &values);
	r = status_write_ship(metrics->status, &values, now);
	if (r < 0)
		cli_note("%s: %s: metrics are not written", ship->settings->ship.status,
		         cq_strerror(r));
}
