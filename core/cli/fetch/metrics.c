/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c - what fetch writes into the file of metrics (--status) */
#include <time.h>

#include "fetch/fetch.h"
#include "shared/cli.h"

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int fetch_metrics_begin(struct fetch *fetch)
{
	const char *path = fetch->options->ship.status;
	int r;

	if (!path)
		return 0;
	r = status_open(path, fetch->replica.dir, fetch->stream, &fetch->status);
	return r < 0 ? cli_fail(path, r) : 0;
}

static bool is_connected(const struct fetch *fetch)
{
	struct jet_state state = { .connected = false };

	if (fetch->jet)
		jet_state(fetch->jet, &state);
	return state.connected;
}

void fetch_metrics(struct fetch *fetch, bool now)
{
	const struct replica *replica = &fetch->replica;
	uint64_t monotonic, real;
	int r;

	if (!fetch->status)
		return;
	monotonic = now_ns(CLOCK_MONOTONIC);
	if (!now && !status_is_due(fetch->status, monotonic))
		return;
	real = now_ns(CLOCK_REALTIME);
	r = status_write_fetch(
		fetch->status,
		&(struct status_fetch){
			.records = replica->appended,
			.bytes = replica->bytes,
			.gap_records = replica->gaps,
			.lag_messages = fetch->attaches > 0 ? fetch->pending : STATUS_UNKNOWN,
			.lag_ns = replica->appended == 0      ? STATUS_UNKNOWN
	                          : fetch->pending == 0       ? 0
	                          : real > replica->newest_ns ? real - replica->newest_ns
	                                                      : 0,
			.resyncs = fetch->attaches > 0 ? fetch->attaches - 1 : 0,
			.connected = is_connected(fetch),
			.last_record_ns =
				replica->appended > 0 ? replica->appended_ns : STATUS_UNKNOWN,
			.last_error = fetch->wait != WAIT_NONE ? fetch->said : NULL,
		},
		monotonic);
	if (r < 0)
		cli_note("%s: %s: metrics are not written", fetch->options->ship.status,
		         cq_strerror(r));
}

void fetch_metrics_end(struct fetch *fetch)
{
	fetch_metrics(fetch, true);
	status_close(fetch->status);
}
