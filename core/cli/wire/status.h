/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h - the file of metrics that ship and fetch write for node_exporter's textfile collector (--status FILE)
 *
 * The file always has a whole set of metrics: each write makes a temp file in the same folder, ".NAME.tmp", and renames
 * it.  A write that fails removes the temp file and leaves the metrics of before; the caller says it once, and continues.
 * The temp file of a process that was killed in the middle is replaced by the next one.
 */
#ifndef CHRONQ_STATUS_H
#define CHRONQ_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATUS_UNKNOWN UINT64_MAX /* of any number below: the metric is left out */

struct status_ship {
	uint64_t
		shipped_records; /* published, also again; since this process began, as the other counters */
	uint64_t acked_records, acked_bytes;
	uint64_t lag_records, lag_bytes; /* may be shipped, and are not acknowledged */
	uint64_t lag_ns;                 /* age of the oldest of them; none: 0 */
	uint64_t resyncs;
	bool connected;
	uint64_t last_ack_ns;   /* since 1970 */
	const char *last_error; /* NULL or "": none */
};

struct status_fetch {
	uint64_t records, bytes; /* appended */
	uint64_t gap_records;
	uint64_t lag_messages; /* in the stream, and not appended */
	uint64_t
		lag_ns; /* between now and the time of the last record, while lag_messages is not 0 */
	uint64_t resyncs;
	bool connected;
	uint64_t last_record_ns; /* when it was appended, since 1970 */
	const char *last_error;
};

struct status;

/* Also removes what a killed process left.  queue, stream: the labels of each metric.  -EINVAL: path names no file. */
int status_open(const char *path, const char *queue, const char *stream,
                struct status **ret_status);
/* The file stays. */
void status_close(struct status *status);

/* Whether a second has passed since the last try; monotonic time.  False for NULL. */
bool status_is_due(const struct status *status, uint64_t now_ns);
/* Writes the file, due or not.  Returns 1: done; a negative errno that is to be said; or 0: it has failed as it did the last
 * time, and that has been said.  NULL: does nothing and returns 1. */
int status_write_ship(struct status *status, const struct status_ship *values, uint64_t now_ns);
int status_write_fetch(struct status *status, const struct status_fetch *values, uint64_t now_ns);

#endif
