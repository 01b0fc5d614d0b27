/* SPDX-License-Identifier: Apache-2.0 */
/* fields.c - the table that names the figures of a mount; see stats.h */
#include "status/stats.h"

#include <string.h>

/* ---- the table ---- */

#define MEMBER(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)
#define IN(member) MEMBER(struct chronfs_stats, member)
#define OF_READER(member) MEMBER(struct chronfs_reader_stats, member)

#define MOUNT .source = CHRONFS_FROM_MOUNT
#define WRITER .source = CHRONFS_FROM_WRITER
#define FILES .source = CHRONFS_FROM_FILES
#define POSITION .source = CHRONFS_FROM_POSITION
#define STREAM .source = CHRONFS_FROM_STREAM
#define READERS .source = CHRONFS_FROM_READERS
#define COUNTER .counter = true
#define UNLESS_ZERO .unless_zero = true

/* clang-format off */
const struct chronfs_figure chronfs_figures[] = {
	{ NULL, "queue", .form = CHRONFS_ARRAY, MOUNT, IN(queue) },
	{ NULL, "version", .form = CHRONFS_TEXT, MOUNT, IN(version) },
	{ NULL, "libfuse_version", .form = CHRONFS_TEXT, MOUNT, IN(libfuse_version) },
	{ NULL, "sync", .form = CHRONFS_TEXT, WRITER, IN(sync_mode) },
	{ NULL, "pid", .form = CHRONFS_COUNT, MOUNT, IN(pid) },
	{ NULL, "mount_time_ns", "chronfs_mount_time_seconds", NULL,
	  "When the queue was mounted, since 1970.", .form = CHRONFS_NS, MOUNT, IN(mount_time_ns) },
	{ NULL, "read_only", "chronfs_read_only", NULL,
	  "1 on a mount that only looks.", .form = CHRONFS_FLAG, MOUNT, IN(read_only) },
	{ NULL, "passthrough", "chronfs_passthrough", NULL,
	  "1 if the kernel reads segment files by itself.", .form = CHRONFS_FLAG, MOUNT,
	  IN(passthrough) },
	{ NULL, "writer_error", "chronfs_writer_error", NULL,
	  "1 if the queue accepts nothing any more because a flush failed.", .form = CHRONFS_ERRNO,
	  WRITER, IN(writer.error) },

	{ "limits", "record_bytes", "chronfs_record_limit_bytes", NULL,
	  "The largest record.", WRITER, IN(record_limit) },
	{ "limits", "segment_size_bytes", "chronfs_segment_size_bytes", NULL,
	  "Size of a segment file.", FILES, IN(writer.segment_size) },
	{ "limits", "max_bytes", "chronfs_max_bytes", NULL,
	  "The most that the segment files may take.", UNLESS_ZERO, WRITER, IN(writer.max_bytes) },

	{ "limits", "open_files", "chronfs_held_limit", "kind=\"open_files\"",
	  "The most that there may be of what chronfs_held counts; users get half.", MOUNT,
	  IN(open_files.most) },
	{ "limits", "open_directories", "chronfs_held_limit", "kind=\"open_directories\"", NULL, MOUNT,
	  IN(open_dirs.most) },
	{ "limits", "open_segments", "chronfs_held_limit", "kind=\"open_segments\"", NULL, MOUNT,
	  IN(open_segments.most) },
	{ "limits", "locks", "chronfs_held_limit", "kind=\"locks\"", NULL, MOUNT, IN(locks.most) },

	{ "held", "open_files", "chronfs_held", "kind=\"open_files\"",
	  "Files, directories and segment files that are open; locks and requests for one.", MOUNT,
	  IN(open_files.used) },
	{ "held", "open_directories", "chronfs_held", "kind=\"open_directories\"", NULL, MOUNT,
	  IN(open_dirs.used) },
	{ "held", "open_segments", "chronfs_held", "kind=\"open_segments\"", NULL, MOUNT,
	  IN(open_segments.used) },
	{ "held", "locks", "chronfs_held", "kind=\"locks\"", NULL, MOUNT, IN(locks.used) },

	{ "position", "segment", "chronfs_segment", NULL,
	  "Segment that is being written.", POSITION, IN(writer.segment) },
	{ "position", "offset_bytes", "chronfs_segment_offset_bytes", NULL,
	  "Where in it the next record goes.", POSITION, IN(writer.offset) },
	{ "position", "epoch", "chronfs_epoch", NULL,
	  "How many times the queue was opened for writing.", POSITION, IN(writer.epoch) },
	{ "position", "next_seq", "chronfs_next_seq", NULL,
	  "Sequence number that the next record gets.", WRITER, IN(writer.next_seq) },
	{ "position", "durable_seq", "chronfs_durable_seq", NULL,
	  "Records below this sequence number survive a power cut.", WRITER,
	  IN(writer.durable_seq) },
	{ "position", "last_record_time_ns", "chronfs_last_record_time_seconds", NULL,
	  "When the newest record was appended, since 1970.", .form = CHRONFS_NS, UNLESS_ZERO,
	  WRITER, IN(writer.last_time_ns) },

	{ "appended", "records", "chronfs_appended_records_total", NULL,
	  "Records appended since the mount.", COUNTER, WRITER, IN(writer.records) },
	{ "appended", "payload_bytes", "chronfs_appended_bytes_total", NULL,
	  "Payload bytes appended since the mount.", COUNTER, WRITER, IN(writer.bytes) },

	{ "segments", "count", "chronfs_segments", NULL,
	  "Segment files from the oldest to the newest, prepared ones included.", FILES, IN(files) },
	{ "segments", "bytes", "chronfs_segment_files_bytes", NULL,
	  "Their size.", FILES, IN(writer.file_bytes) },
	{ "segments", "oldest", "chronfs_oldest_segment", NULL,
	  "The oldest of them.", FILES, IN(writer.oldest) },
	{ "segments", "unsynced", "chronfs_unsynced_segments", NULL,
	  "Sealed segments that wait for their flush.", WRITER, IN(writer.unsynced) },

	{ "stream", "begin_bytes", "chronfs_stream_begin_bytes", NULL,
	  "Payload bytes before the oldest that there is.", STREAM, IN(stream_begin) },
	{ "stream", "end_bytes", "chronfs_stream_end_bytes", NULL,
	  "Payload bytes up to the newest, deleted ones included.", STREAM, IN(stream_end) },

	{ "rolls", "ready", "chronfs_rolls_total", "kind=\"ready\"",
	  "Segments begun: with one prepared, after waiting for it, with one made on the spot.",
	  COUNTER, WRITER, IN(writer.rolls_ready) },
	{ "rolls", "waited", "chronfs_rolls_total", "kind=\"waited\"", NULL, COUNTER, WRITER,
	  IN(writer.rolls_waited) },
	{ "rolls", "fallback", "chronfs_rolls_total", "kind=\"fallback\"", NULL, COUNTER, WRITER,
	  IN(writer.rolls_fallback) },

	{ "prealloc", "made", "chronfs_prealloc_made_total", NULL,
	  "Segments prepared ahead.", COUNTER, WRITER, IN(writer.prealloc_made) },
	{ "prealloc", "stale", "chronfs_prealloc_stale_total", NULL,
	  "Of these, not used because the writer had gone past them.", COUNTER, WRITER,
	  IN(writer.prealloc_stale) },
	{ "prealloc", "failed", "chronfs_prealloc_failed_total", NULL,
	  "Preparations that failed.", COUNTER, WRITER, IN(writer.prealloc_failed) },

	{ "syncs", "count", WRITER, IN(writer.syncs) },
	{ "syncs", "requests", "chronfs_sync_requests_total", NULL,
	  "Requests for durability that were answered.", COUNTER, WRITER,
	  IN(writer.sync_requests) },
	{ "syncs", "latency_mean_ns", .form = CHRONFS_NS, WRITER, IN(sync_mean_ns) },
	{ "syncs", "latency_max_ns", "chronfs_sync_max_seconds", NULL,
	  "The longest flush since the mount.", .form = CHRONFS_NS, WRITER, IN(sync.max_ns) },
	{ "syncs", "latency_buckets", "chronfs_sync_seconds", NULL,
	  "How long flushes took.", .form = CHRONFS_LATENCY, WRITER, IN(sync) },

	{ "retention", "retain_segments", "chronfs_retain_segments", NULL,
	  "The most segments to be kept.", UNLESS_ZERO, WRITER, IN(config.retain_segments) },
	{ "retention", "retain_bytes", "chronfs_retain_bytes", NULL,
	  "The most bytes of segment files to be kept.", UNLESS_ZERO, WRITER,
	  IN(config.retain_bytes) },
	{ "retention", "retain_age_ms", "chronfs_retain_age_seconds", NULL,
	  "How old records may become.", .form = CHRONFS_MS, UNLESS_ZERO, WRITER,
	  IN(config.retain_age_ms) },
	{ "retention", "reader_ttl_ms", "chronfs_reader_ttl_seconds", NULL,
	  "After which a silent reader protects nothing.", .form = CHRONFS_MS, UNLESS_ZERO, WRITER,
	  IN(config.reader_ttl_ms) },
	{ "retention", "reader_max_lag_bytes", "chronfs_reader_max_lag_bytes", NULL,
	  "Lag with which a reader protects nothing.", UNLESS_ZERO, WRITER,
	  IN(config.reader_max_lag_bytes) },
	{ "retention", "deleted_segments", "chronfs_deleted_segments_total", NULL,
	  "Segments deleted, by retention or on request.", COUNTER, WRITER, IN(writer.retired) },

	{ "waiting", "writes", "chronfs_waiting_writes", NULL,
	  "Writes that wait for room in the queue now.", WRITER, IN(waiting_writes) },
	{ "waiting", "bytes", "chronfs_waiting_bytes", NULL,
	  "Bytes that they hold.", WRITER, IN(waiting_bytes) },
	{ "waiting", "waited", "chronfs_waited_writes_total", NULL,
	  "Writes that have waited for room.", COUNTER, WRITER, IN(counters.waited) },

	{ "lines", "open_files", "chronfs_open_lines", NULL,
	  "Open files whose last line has no newline yet.", WRITER, IN(open_lines) },
	{ "lines", "open_bytes", "chronfs_open_line_bytes", NULL,
	  "Bytes of these lines.", WRITER, IN(open_line_bytes) },
	{ "lines", "partials", "chronfs_partial_records_total", NULL,
	  "Lines that became records without a newline.", COUNTER, WRITER, IN(counters.partials) },
	{ "lines", "partials_lost", "chronfs_partials_lost_total", NULL,
	  "Lines that could not be appended when their file was closed.", COUNTER, WRITER,
	  IN(counters.partials_lost) },

	{ "errors", "too_long", "chronfs_write_errors_total", "kind=\"too_long\"",
	  "Writes that failed: record too long, queue full, disk full, interrupted, other.",
	  COUNTER, WRITER, IN(counters.too_long) },
	{ "errors", "full", "chronfs_write_errors_total", "kind=\"full\"", NULL, COUNTER, WRITER,
	  IN(counters.full) },
	{ "errors", "no_space", "chronfs_write_errors_total", "kind=\"no_space\"", NULL, COUNTER,
	  WRITER, IN(counters.no_space) },
	{ "errors", "interrupted", "chronfs_write_errors_total", "kind=\"interrupted\"", NULL,
	  COUNTER, WRITER, IN(counters.interrupted) },
	{ "errors", "failed", "chronfs_write_errors_total", "kind=\"failed\"", NULL, COUNTER,
	  WRITER, IN(counters.failed) },
	{ "errors", "read", "chronfs_read_errors_total", NULL,
	  "Reads that failed because of damage.", COUNTER, MOUNT, IN(counters.read_errors) },

	{ "readers", "count", "chronfs_readers", NULL,
	  "Named readers; those that lag most are listed.", READERS, IN(readers) },
};
const size_t chronfs_figure_count = sizeof chronfs_figures / sizeof chronfs_figures[0];

const struct chronfs_figure chronfs_reader_figures[] = {
	{ NULL, "name", .form = CHRONFS_ARRAY, READERS, OF_READER(position.name) },
	{ NULL, "segment", "chronfs_reader_segment", NULL,
	  "Segment that a named reader has committed to.", READERS, OF_READER(position.segment) },
	{ NULL, "offset_bytes", "chronfs_reader_offset_bytes", NULL,
	  "Where in it.", READERS, OF_READER(position.offset) },
	{ NULL, "lag_bytes", "chronfs_reader_lag_bytes", NULL,
	  "Bytes of segment files between it and the writer.", READERS,
	  OF_READER(position.lag_bytes) },
	{ NULL, "heartbeat_age_ns", "chronfs_reader_heartbeat_age_seconds", NULL,
	  "How long ago it committed or waited.", .form = CHRONFS_NS, UNLESS_ZERO, READERS,
	  OF_READER(heartbeat_age_ns) },
};
const size_t chronfs_reader_figure_count =
	sizeof chronfs_reader_figures / sizeof chronfs_reader_figures[0];
/* clang-format on */

/* ---- looking up ---- */

static const char *at(const struct chronfs_figure *figure, const void *base)
{
	return (const char *)base + figure->offset;
}

uint64_t chronfs_figure_number(const struct chronfs_figure *figure, const void *base)
{
	const char *member = at(figure, base);
	uint64_t u64;
	uint32_t u32;
	bool flag;
	int error;

	if (figure->form == CHRONFS_FLAG) {
		memcpy(&flag, member, sizeof flag);
		return flag;
	}
	if (figure->form == CHRONFS_ERRNO) {
		memcpy(&error, member, sizeof error);
		return error != 0;
	}
	if (figure->size == sizeof u32) {
		memcpy(&u32, member, sizeof u32);
		return u32;
	}
	memcpy(&u64, member, sizeof u64);
	return u64;
}

const char *chronfs_figure_text(const struct chronfs_figure *figure, const void *base)
{
	const char *member = at(figure, base), *text;

	if (figure->form == CHRONFS_ARRAY)
		return member;
	memcpy(&text, member, sizeof text);
	return text;
}

bool chronfs_figure_shown(const struct chronfs_figure *figure, unsigned sources, const void *base)
{
	return (sources & figure->source) &&
	       !(figure->unless_zero && chronfs_figure_number(figure, base) == 0);
}
