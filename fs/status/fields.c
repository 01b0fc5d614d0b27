/* SPDX-License-Identifier: Apache-2.0 */
/* fields.c - the one list of the status fields of a mount; see stats.h */
#include "status/stats.h"

#include <assert.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define MOUNT .source = CHRONFS_FROM_MOUNT
#define WRITER .source = CHRONFS_FROM_WRITER
#define FILES .source = CHRONFS_FROM_FILES
#define POSITION .source = CHRONFS_FROM_POSITION
#define STREAM .source = CHRONFS_FROM_STREAM
#define READERS .source = CHRONFS_FROM_READERS
#define COUNTER .counter = true
#define UNLESS_ZERO .unless_zero = true

#define COUNT(value) .type = CHRONFS_COUNT, .number = (value)
#define NS(value) .type = CHRONFS_NS, .number = (value)
#define MS(value) .type = CHRONFS_MS, .number = (value)
#define FLAG(value) .type = CHRONFS_FLAG, .number = (value)
#define ERROR(value) .type = CHRONFS_ERROR, .number = (uint64_t) - (value)
#define TEXT(value) .type = CHRONFS_TEXT, .text = (value)
#define LATENCY(value) .type = CHRONFS_LATENCY, .latency = (value)

/* Copies the fields, and says which of them are known and have a meaning. */
static size_t give(const struct chronfs_field *fields, size_t count, unsigned sources,
                   struct chronfs_field *ret_fields)
{
	for (size_t i = 0; i < count; i++) {
		ret_fields[i] = fields[i];
		ret_fields[i].shown = (sources & fields[i].source) &&
		                      !(fields[i].unless_zero && fields[i].number == 0);
	}
	return count;
}

size_t chronfs_fields(const struct chronfs_stats *s,
                      struct chronfs_field ret_fields[CHRONFS_FIELDS_MAX])
{
	/* clang-format off */
	const struct chronfs_field fields[] = {
		{ NULL, "queue", MOUNT, TEXT(s->queue) },
		{ NULL, "version", MOUNT, TEXT(s->version) },
		{ NULL, "libfuse_version", MOUNT, TEXT(s->libfuse_version) },
		{ NULL, "sync", WRITER, TEXT(s->sync_mode) },
		{ NULL, "pid", MOUNT, COUNT(s->pid) },
		{ NULL, "mount_time_ns", "chronfs_mount_time_seconds", NULL,
		  "When the queue was mounted, since 1970.", MOUNT, NS(s->mount_time_ns) },
		{ NULL, "read_only", "chronfs_read_only", NULL, "1 on a read-only mount.", MOUNT,
		  FLAG(s->read_only) },
		{ NULL, "passthrough", "chronfs_passthrough", NULL,
		  "1 if the kernel reads segment files by itself.", MOUNT, FLAG(s->passthrough) },
		{ NULL, "writer_error", "chronfs_writer_error", NULL,
		  "1 if the queue refuses appends because a flush failed.", WRITER,
		  ERROR(s->writer.error) },

		{ "limits", "record_bytes", "chronfs_record_limit_bytes", NULL,
		  "The largest record.", WRITER, COUNT(s->record_limit) },
		{ "limits", "segment_size_bytes", "chronfs_segment_size_bytes", NULL,
		  "Size of a segment file.", FILES, COUNT(s->writer.segment_size) },
		{ "limits", "max_bytes", "chronfs_max_bytes", NULL,
		  "The most that the segment files may take.", UNLESS_ZERO, WRITER,
		  COUNT(s->writer.max_bytes) },

		{ "limits", "open_files", "chronfs_held_limit", "kind=\"open_files\"",
		  "The most that chronfs_held may be. Users get half of each.",
		  MOUNT, COUNT(s->open_files.most) },
		{ "limits", "open_directories", "chronfs_held_limit", "kind=\"open_directories\"",
		  NULL, MOUNT, COUNT(s->open_dirs.most) },
		{ "limits", "open_segments", "chronfs_held_limit", "kind=\"open_segments\"", NULL,
		  MOUNT, COUNT(s->open_segments.most) },
		{ "limits", "locks", "chronfs_held_limit", "kind=\"locks\"", NULL, MOUNT,
		  COUNT(s->locks.most) },

		{ "held", "open_files", "chronfs_held", "kind=\"open_files\"",
		  "Open files, directories and segment files; locks and requests that wait for one.",
		  MOUNT, COUNT(s->open_files.used) },
		{ "held", "open_directories", "chronfs_held", "kind=\"open_directories\"", NULL,
		  MOUNT, COUNT(s->open_dirs.used) },
		{ "held", "open_segments", "chronfs_held", "kind=\"open_segments\"", NULL, MOUNT,
		  COUNT(s->open_segments.used) },
		{ "held", "locks", "chronfs_held", "kind=\"locks\"", NULL, MOUNT,
		  COUNT(s->locks.used) },

		{ "position", "segment", "chronfs_segment", NULL,
		  "Segment that the writer appends to.", POSITION, COUNT(s->writer.segment) },
		{ "position", "offset_bytes", "chronfs_segment_offset_bytes", NULL,
		  "Offset of the next record in that segment.", POSITION, COUNT(s->writer.offset) },
		{ "position", "epoch", "chronfs_epoch", NULL,
		  "How many times the queue was opened for writing.", POSITION,
		  COUNT(s->writer.epoch) },
		{ "position", "next_seq", "chronfs_next_seq", NULL,
		  "Sequence number of the next record.", WRITER, COUNT(s->writer.next_seq) },
		{ "position", "durable_seq", "chronfs_durable_seq", NULL,
		  "Records below this sequence number survive a power cut.", WRITER,
		  COUNT(s->writer.durable_seq) },
		{ "position", "last_record_time_ns", "chronfs_last_record_time_seconds", NULL,
		  "When the newest record was appended, since 1970.", UNLESS_ZERO, WRITER,
		  NS(s->writer.last_time_ns) },

		{ "appended", "records", "chronfs_appended_records_total", NULL,
		  "Records appended since the mount.", COUNTER, WRITER, COUNT(s->writer.records) },
		{ "appended", "payload_bytes", "chronfs_appended_bytes_total", NULL,
		  "Payload bytes appended since the mount.", COUNTER, WRITER, COUNT(s->writer.bytes)
		  },

		{ "segments", "count", "chronfs_segments", NULL,
		  "Segment files from the oldest to the newest, including prepared ones.", FILES,
		  COUNT(s->files) },
		{ "segments", "bytes", "chronfs_segment_files_bytes", NULL,
		  "Size of all segment files.", FILES, COUNT(s->writer.file_bytes) },
		{ "segments", "oldest", "chronfs_oldest_segment", NULL, "The oldest segment.",
		  FILES, COUNT(s->writer.oldest) },
		{ "segments", "unsynced", "chronfs_unsynced_segments", NULL,
		  "Sealed segments that wait for their flush.", WRITER, COUNT(s->writer.unsynced) },

		{ "stream", "begin_bytes", "chronfs_stream_begin_bytes", NULL,
		  "Payload bytes before the oldest record.", STREAM, COUNT(s->stream_begin) },
		{ "stream", "end_bytes", "chronfs_stream_end_bytes", NULL,
		  "Payload bytes up to the newest record, including deleted ones.", STREAM,
		  COUNT(s->stream_end) },

		{ "rolls", "ready", "chronfs_rolls_total", "kind=\"ready\"",
		  "New segments: ready, ready after a wait, or made by the append (fallback).",
		  COUNTER, WRITER, COUNT(s->writer.rolls_ready) },
		{ "rolls", "waited", "chronfs_rolls_total", "kind=\"waited\"", NULL, COUNTER,
		  WRITER, COUNT(s->writer.rolls_waited) },
		{ "rolls", "fallback", "chronfs_rolls_total", "kind=\"fallback\"", NULL, COUNTER,
		  WRITER, COUNT(s->writer.rolls_fallback) },

		{ "prealloc", "made", "chronfs_prealloc_made_total", NULL,
		  "Segments prepared ahead.", COUNTER, WRITER, COUNT(s->writer.prealloc_made) },
		{ "prealloc", "stale", "chronfs_prealloc_stale_total", NULL,
		  "Prepared segments that were not used because the writer had gone past them.",
		  COUNTER, WRITER, COUNT(s->writer.prealloc_stale) },
		{ "prealloc", "failed", "chronfs_prealloc_failed_total", NULL,
		  "Preparations that failed.", COUNTER, WRITER, COUNT(s->writer.prealloc_failed) },

		{ "syncs", "count", WRITER, COUNT(s->writer.syncs) },
		{ "syncs", "requests", "chronfs_sync_requests_total", NULL,
		  "Sync requests that were answered.", COUNTER, WRITER,
		  COUNT(s->writer.sync_requests) },
		{ "syncs", "latency_mean_ns", WRITER, NS(s->sync_mean_ns) },
		{ "syncs", "latency_max_ns", "chronfs_sync_max_seconds", NULL,
		  "The longest flush since the mount.", WRITER, NS(s->sync.max_ns) },
		{ "syncs", "latency_buckets", "chronfs_sync_seconds", NULL,
		  "How long flushes took.", WRITER, LATENCY(&s->sync) },

		{ "retention", "retain_segments", "chronfs_retain_segments", NULL,
		  "The most segments that retention keeps.", UNLESS_ZERO, WRITER,
		  COUNT(s->config.retain_segments) },
		{ "retention", "retain_bytes", "chronfs_retain_bytes", NULL,
		  "The most bytes of segment files that retention keeps.", UNLESS_ZERO, WRITER,
		  COUNT(s->config.retain_bytes) },
		{ "retention", "retain_age_ms", "chronfs_retain_age_seconds", NULL,
		  "The age at which retention deletes records.", UNLESS_ZERO, WRITER,
		  MS(s->config.retain_age_ms) },
		{ "retention", "reader_ttl_ms", "chronfs_reader_ttl_seconds", NULL,
		  "Time after which a silent reader protects no segment.", UNLESS_ZERO, WRITER,
		  MS(s->config.reader_ttl_ms) },
		{ "retention", "reader_max_lag_bytes", "chronfs_reader_max_lag_bytes", NULL,
		  "Lag beyond which a reader protects no segment.", UNLESS_ZERO, WRITER,
		  COUNT(s->config.reader_max_lag_bytes) },
		{ "retention", "deleted_segments", "chronfs_deleted_segments_total", NULL,
		  "Segments deleted by retention or on request.", COUNTER, WRITER,
		  COUNT(s->writer.retired) },

		{ "waiting", "writes", "chronfs_waiting_writes", NULL,
		  "Writes that wait for room in the queue.", WRITER, COUNT(s->waiting_writes) },
		{ "waiting", "bytes", "chronfs_waiting_bytes", NULL,
		  "Bytes of the writes that wait for room.", WRITER, COUNT(s->waiting_bytes) },
		{ "waiting", "waited", "chronfs_waited_writes_total", NULL,
		  "Writes that have waited for room.", COUNTER, WRITER, COUNT(s->counters.waited) },

		{ "lines", "open_files", "chronfs_open_lines", NULL,
		  "Open files whose last line has no newline yet.", WRITER, COUNT(s->open_lines) },
		{ "lines", "open_bytes", "chronfs_open_line_bytes", NULL,
		  "Bytes of the lines that have no newline yet.", WRITER, COUNT(s->open_line_bytes)
		  },
		{ "lines", "partials", "chronfs_partial_records_total", NULL,
		  "Lines that became records without a newline.", COUNTER, WRITER,
		  COUNT(s->counters.partials) },
		{ "lines", "partials_lost", "chronfs_partials_lost_total", NULL,
		  "Lines that could not be appended when their file was closed.", COUNTER, WRITER,
		  COUNT(s->counters.partials_lost) },

		{ "errors", "too_long", "chronfs_write_errors_total", "kind=\"too_long\"",
		  "Writes that failed: record too long, queue full, disk full, interrupted, other.",
		  COUNTER, WRITER, COUNT(s->counters.too_long) },
		{ "errors", "full", "chronfs_write_errors_total", "kind=\"full\"", NULL, COUNTER,
		  WRITER, COUNT(s->counters.full) },
		{ "errors", "no_space", "chronfs_write_errors_total", "kind=\"no_space\"", NULL,
		  COUNTER, WRITER, COUNT(s->counters.no_space) },
		{ "errors", "interrupted", "chronfs_write_errors_total", "kind=\"interrupted\"",
		  NULL, COUNTER, WRITER, COUNT(s->counters.interrupted) },
		{ "errors", "failed", "chronfs_write_errors_total", "kind=\"failed\"", NULL,
		  COUNTER, WRITER, COUNT(s->counters.failed) },
		{ "errors", "read", "chronfs_read_errors_total", NULL,
		  "Reads that failed because of damage.", COUNTER, MOUNT,
		  COUNT(s->counters.read_errors) },

		{ "readers", "count", "chronfs_readers", NULL,
		  "Named readers. Those that lag most are listed.", READERS, COUNT(s->readers) },
	};
	/* clang-format on */

	static_assert(COUNT_OF(fields) <= CHRONFS_FIELDS_MAX, "all have room");
	return give(fields, COUNT_OF(fields), s->sources, ret_fields);
}

size_t chronfs_reader_fields(const struct chronfs_reader_stats *reader,
                             struct chronfs_field ret_fields[CHRONFS_READER_FIELDS])
{
	/* clang-format off */
	const struct chronfs_field fields[] = {
		{ NULL, "name", READERS, TEXT(reader->position.name) },
		{ NULL, "segment", "chronfs_reader_segment", NULL,
		  "Segment of the position that a named reader has committed.", READERS,
		  COUNT(reader->position.segment) },
		{ NULL, "offset_bytes", "chronfs_reader_offset_bytes", NULL,
		  "Offset of that position in the segment.", READERS, COUNT(reader->position.offset)
		  },
		{ NULL, "lag_bytes", "chronfs_reader_lag_bytes", NULL,
		  "Bytes of segment files between the reader and the writer.", READERS,
		  COUNT(reader->position.lag_bytes) },
		{ NULL, "heartbeat_age_ns", "chronfs_reader_heartbeat_age_seconds", NULL,
		  "Time since the reader committed or waited.", UNLESS_ZERO, READERS,
		  NS(reader->heartbeat_age_ns) },
	};
	/* clang-format on */

	static_assert(COUNT_OF(fields) == CHRONFS_READER_FIELDS, "as many as the header says");
	return give(fields, COUNT_OF(fields), CHRONFS_FROM_READERS, ret_fields);
}
