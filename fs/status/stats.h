/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats.h - the figures of a mount: what they are, and one table that names them
 *
 * chronfs_stats_take() (stats.c) fills the struct; chronfs_figures (fields.c) says of each member how
 * it is called in stats.json and in metrics.  json.c and prometheus.c go through that table and know
 * no figure by name: one is added in the struct and in the table, and nowhere else.
 */
#ifndef CHRONFS_STATS_H
#define CHRONFS_STATS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronfs.h"

#define CHRONFS_READERS_SHOWN 50 /* those that lag most: so that stats.json has a constant size */

/* Where figures come from; what is not there is shown nowhere. */
enum chronfs_source {
	CHRONFS_FROM_MOUNT = 1 << 0,    /* always */
	CHRONFS_FROM_WRITER = 1 << 1,   /* not on a read-only mount */
	CHRONFS_FROM_FILES = 1 << 2,    /* there is a segment */
	CHRONFS_FROM_POSITION = 1 << 3, /* where the queue's writer stands is known */
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
	unsigned sources; /* of enum chronfs_source: those that were there */

	char queue[PATH_MAX]; /* its path; UTF-8, whatever the file system says */
	const char *version;
	const char *libfuse_version;
	const char *sync_mode; /* as the option is called */
	uint64_t pid;
	uint64_t mount_time_ns;
	uint64_t record_limit; /* bytes */
	bool read_only;
	bool passthrough;

	struct cq_stats writer; /* without one: segment_size, and what POSITION and FILES say */
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

/* How a member is stored, and so how it is written. */
enum chronfs_form {
	CHRONFS_COUNT, /* unsigned integer of any size */
	CHRONFS_NS,    /* the same; metrics have seconds, as of the next */
	CHRONFS_MS,
	CHRONFS_FLAG,    /* bool; metrics have 0 or 1 */
	CHRONFS_TEXT,    /* const char *; metrics have a label of chronfs_info */
	CHRONFS_ARRAY,   /* char[], shown as text */
	CHRONFS_ERRNO,   /* int, 0 or negative: 0 or its name; metrics have 0 or 1 */
	CHRONFS_LATENCY, /* struct chronfs_latency; metrics have a histogram */
};

struct chronfs_figure {
	const char *group; /* JSON object that it stands in; NULL: the outermost one */
	const char *key;
	const char *metric; /* NULL: in JSON only, or a label.  One metric's rows stand together. */
	const char *label;  /* NAME="VALUE" of this row of the metric; NULL: none */
	const char *help;   /* of the metric; in its first row */
	bool counter;       /* it only grows while we are mounted */
	bool unless_zero;   /* 0 says that there is none: not shown */
	enum chronfs_form form;
	enum chronfs_source source;
	size_t offset; /* in struct chronfs_stats */
	size_t size;
};
extern const struct chronfs_figure chronfs_figures[];
extern const size_t chronfs_figure_count;

/* Figures of one reader: offsets in struct chronfs_reader_stats; the first is its name. */
extern const struct chronfs_figure chronfs_reader_figures[];
extern const size_t chronfs_reader_figure_count;

void chronfs_stats_take(struct chronfs *fs, struct chronfs_stats *ret_stats);

/* Whether a figure is known and has a meaning; `base` is the struct that it lies in. */
bool chronfs_figure_shown(const struct chronfs_figure *figure, unsigned sources, const void *base);
/* Value of a figure of form COUNT, NS, MS, FLAG (0 or 1) or ERRNO (0 or 1). */
uint64_t chronfs_figure_number(const struct chronfs_figure *figure, const void *base);
/* Text of one of form TEXT or ARRAY. */
const char *chronfs_figure_text(const struct chronfs_figure *figure, const void *base);

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
