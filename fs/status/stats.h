/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.h - the state of a mount, and the list of status fields that show it
 *
 * chronfs_stats_take() (stats.c) fills the struct.  chronfs_fields() (fields.c) names each field
 * once, with its type, unit and value, as it is called in stats.json and in metrics.  json.c and
 * prometheus.c write what that list has, and know no field by name.  So a new field is a member of
 * the struct and a line of the list; semantics.md lists the fields, and test_fs_queue.c checks them.
 */
#ifndef CHRONFS_STATS_H
#define CHRONFS_STATS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronfs.h"

#define CHRONFS_READERS_SHOWN \
	50 /* those that lag most; a limit, so stats.json has a constant size */

/* Where fields come from.  Fields of a source that is missing are not shown. */
enum chronfs_source {
	CHRONFS_FROM_MOUNT = 1 << 0,    /* always */
	CHRONFS_FROM_WRITER = 1 << 1,   /* not on a read-only mount */
	CHRONFS_FROM_FILES = 1 << 2,    /* there is a segment */
	CHRONFS_FROM_POSITION = 1 << 3, /* the position of the queue's writer is known */
	CHRONFS_FROM_STREAM = 1 << 4,
	CHRONFS_FROM_READERS = 1 << 5,
};

struct chronfs_latency {
	uint64_t count;
	uint64_t total_ns;
	uint64_t max_ns;
	uint64_t within[CQ_SYNC_BUCKETS]; /* cumulative, bounds CQ_SYNC_BUCKET_NS(i) */
};

struct chronfs_reader_stats {
	struct cq_reader_position position;
	uint64_t heartbeat_age_ns; /* 0: unknown */
};

struct chronfs_stats {
	unsigned sources; /* of enum chronfs_source: those that are not missing */

	char queue[PATH_MAX]; /* its path; UTF-8, whatever the file system says */
	const char *version;
	const char *libfuse_version;
	const char *sync_mode; /* as the option names it */
	uint64_t pid;
	uint64_t mount_time_ns;
	uint64_t record_limit; /* bytes */
	bool read_only;
	bool passthrough;

	struct cq_stats writer; /* without a writer: only what FILES and POSITION say */
	struct cq_config config;
	uint64_t files; /* published segments */
	uint64_t stream_begin, stream_end;

	uint64_t sync_mean_ns;
	struct chronfs_latency sync;

	struct chronfs_user_limit open_files, open_dirs, open_segments, locks;
	uint64_t waiting_writes, waiting_bytes;
	uint64_t open_lines, open_line_bytes;
	struct chronfs_counters counters;

	uint64_t readers; /* how many there are */
	size_t readers_shown;
	struct chronfs_reader_stats reader[CHRONFS_READERS_SHOWN]; /* the worst lag first */
};

/* Type and unit.  stats.json has the unit that the key names; metrics have seconds and bytes. */
enum chronfs_field_type {
	CHRONFS_COUNT,   /* a number without a unit, or of bytes */
	CHRONFS_NS,      /* nanoseconds; metrics: seconds */
	CHRONFS_MS,      /* milliseconds; metrics: seconds */
	CHRONFS_FLAG,    /* true or false; metrics: 1 or 0 */
	CHRONFS_ERROR,   /* an errno, shown by its name, or 0; metrics: 1 or 0 */
	CHRONFS_TEXT,    /* metrics: a label of chronfs_info */
	CHRONFS_LATENCY, /* metrics: a histogram */
};

struct chronfs_field {
	const char *group; /* JSON object that it is in; NULL: the outermost one */
	const char *key;
	const char *metric; /* its fields are neighbours; NULL: in JSON only, or a label */
	const char *label;  /* NAME="VALUE" of this field of the metric; NULL: none */
	const char *help;   /* of the metric; in its first field */
	bool counter;       /* it only grows while the queue is mounted */
	bool unless_zero;   /* 0 means that there is none: not shown */
	bool shown;         /* its value is known and has a meaning */
	enum chronfs_source source;
	enum chronfs_field_type type;
	uint64_t number; /* of all types but the last two */
	const char *text;
	const struct chronfs_latency *latency;
};

#define CHRONFS_FIELDS_MAX 96
#define CHRONFS_READER_FIELDS 5

/* All fields, and how many there are; texts and latencies belong to the arguments. */
size_t chronfs_fields(const struct chronfs_stats *stats,
                      struct chronfs_field ret_fields[CHRONFS_FIELDS_MAX]);
/* The same of one reader; the first field is its name. */
size_t chronfs_reader_fields(const struct chronfs_reader_stats *reader,
                             struct chronfs_field ret_fields[CHRONFS_READER_FIELDS]);

void chronfs_stats_take(struct chronfs *fs, struct chronfs_stats *ret_stats);

/* ---- json.c ---- */

/* Size of stats.json, which no rendering exceeds. */
size_t chronfs_json_size(const struct chronfs *fs);
/* -ENOMEM.  *ret_text is the caller's to free(); it has `size` bytes, and no zero behind them. */
int chronfs_json_render(const struct chronfs_stats *stats, size_t size, char **ret_text);

/* ---- prometheus.c ---- */

/* The same for metrics, whose length varies. */
int chronfs_prometheus_render(const struct chronfs_stats *stats, char **ret_text,
                              size_t *ret_length);

#endif
