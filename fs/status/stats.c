/* SPDX-License-Identifier: Apache-2.0 */
/* stats.c - taking the state of a mount; see stats.h */
#include "status/stats.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "append/lines.h"
#include "append/wait_for_room.h"
#include "chronfs.h"
#include "read/passthrough.h"
#include "shared/user_limits.h"
#include "stream/stream.h"

#define NS_PER_S 1000000000

static uint64_t nanoseconds(struct timespec t)
{
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* JSON and metrics are UTF-8, a path may not be: then its bytes above 0x7f are replaced. */
static void take_queue_path(const char *path, char text[PATH_MAX])
{
	json_t *string = json_string(path);

	(void)snprintf(text, PATH_MAX, "%s", path);
	if (!string)
		for (char *p = text; *p; p++)
			if ((unsigned char)*p >= 0x80)
				*p = '?';
	json_decref(string);
}

static uint64_t count_of(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void take_counters(const struct chronfs_counters *from, struct chronfs_counters *ret)
{
	*ret = (struct chronfs_counters){
		.too_long = count_of(&from->too_long),
		.full = count_of(&from->full),
		.no_space = count_of(&from->no_space),
		.interrupted = count_of(&from->interrupted),
		.failed = count_of(&from->failed),
		.waited = count_of(&from->waited),
		.partials = count_of(&from->partials),
		.partials_lost = count_of(&from->partials_lost),
		.read_errors = count_of(&from->read_errors),
	};
}

static void take_mount(struct chronfs *fs, struct chronfs_stats *s)
{
	static const char *const modes[] = {
		[CHRONFS_SYNC_NONE] = "none",
		[CHRONFS_SYNC_INTERVAL] = "interval",
		[CHRONFS_SYNC_ALWAYS] = "always",
	};

	take_queue_path(fs->options.queue, s->queue);
	s->version = cq_version();
	s->libfuse_version = fuse_pkgversion();
	s->sync_mode = modes[fs->options.sync];
	s->pid = (uint64_t)getpid();
	s->mount_time_ns = nanoseconds(fs->mount_time);
	s->record_limit = fs->write_limit;
	s->read_only = fs->writer == NULL;
	s->passthrough = chronfs_passthrough_on(fs);
	s->config = fs->options.queue_config;
	s->open_files = chronfs_user_limit_read(&fs->user_limits.open_files);
	s->open_dirs = chronfs_user_limit_read(&fs->user_limits.open_dirs);
	s->open_segments = chronfs_user_limit_read(&fs->user_limits.open_segments);
	s->locks = chronfs_user_limit_read(&fs->user_limits.locks);
	chronfs_room_wait_count(fs, &s->waiting_writes, &s->waiting_bytes);
	chronfs_lines_count(fs, &s->open_lines, &s->open_line_bytes);
	take_counters(&fs->counters, &s->counters);
	s->sources = CHRONFS_FROM_MOUNT;
}

static void take_writer(struct chronfs *fs, struct chronfs_stats *s)
{
	struct cq_stats *w = &s->writer;

	w->size = sizeof *w;
	cq_writer_stats(fs->writer, w);
	s->files = w->file_bytes / w->segment_size;
	s->sync_mean_ns = w->syncs > 0 ? w->sync_ns_total / w->syncs : 0;
	s->sync.count = w->syncs;
	s->sync.total_ns = w->sync_ns_total;
	s->sync.max_ns = w->sync_ns_max;
	memcpy(s->sync.within, w->sync_within, sizeof s->sync.within);
	s->sources |= CHRONFS_FROM_WRITER | CHRONFS_FROM_FILES | CHRONFS_FROM_POSITION;
}

/* What the files show of a writer in another process.  Without a listing, since there may be very many. */
static void take_files(struct chronfs *fs, struct chronfs_stats *s)
{
	struct cq_stats *w = &s->writer;
	struct cq_queue_info position = CQ_SIZED(position);
	struct cq_segment_attr attr;
	uint32_t newest;

	if (cq_queue_ends(fs->queue, &w->oldest, &newest) == 0 &&
	    cq_queue_segment_attr(fs->queue, newest, NULL, &attr) == 0) {
		w->segment_size = (uint64_t)attr.stat.st_size;
		s->files = (uint64_t)newest - w->oldest + 1;
		w->file_bytes = s->files * w->segment_size;
		s->sources |= CHRONFS_FROM_FILES;
	}
	if (cq_queue_position(fs->queue, &position) == 0) {
		w->segment = position.current;
		w->offset = position.offset;
		w->epoch = (uint32_t)position.epoch;
		s->sources |= CHRONFS_FROM_POSITION;
	}
}

struct readers_seen {
	struct chronfs_stats *stats;
	uint64_t now_ns;
};

/* A cq_reader_visit_fn.  Keeps the readers that lag most, sorted; the list is short. */
static void see_reader(void *arg, const struct cq_reader_position *position)
{
	const struct readers_seen *seen = arg;
	struct chronfs_stats *s = seen->stats;
	const uint64_t heartbeat = position->heartbeat_ns;
	size_t i;

	s->readers++;
	if (s->readers_shown < CHRONFS_READERS_SHOWN)
		s->readers_shown++;
	else if (s->reader[CHRONFS_READERS_SHOWN - 1].position.lag_bytes >= position->lag_bytes)
		return;
	for (i = s->readers_shown - 1;
	     i > 0 && s->reader[i - 1].position.lag_bytes < position->lag_bytes; i--)
		s->reader[i] = s->reader[i - 1];
	s->reader[i].position = *position;
	s->reader[i].heartbeat_age_ns = 0;
	if (heartbeat > 0) /* in the future, if the clock was set back: counts as just now */
		s->reader[i].heartbeat_age_ns =
			seen->now_ns > heartbeat ? seen->now_ns - heartbeat : 1;
}

static void take_readers(struct chronfs *fs, struct chronfs_stats *s)
{
	struct readers_seen seen = { .stats = s };
	struct timespec now;
	int r;

	clock_gettime(CLOCK_REALTIME, &now);
	seen.now_ns = nanoseconds(now);
	r = cq_queue_readers(fs->queue, see_reader, &seen);
	if (r == 0 || r == -ENOENT) /* -ENOENT: there has never been a reader */
		s->sources |= CHRONFS_FROM_READERS;
}

void chronfs_stats_take(struct chronfs *fs, struct chronfs_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof *ret_stats);
	take_mount(fs, ret_stats);
	if (fs->writer)
		take_writer(fs, ret_stats);
	else
		take_files(fs, ret_stats);
	if (chronfs_stream_bounds(fs, &ret_stats->stream_begin, &ret_stats->stream_end) == 0)
		ret_stats->sources |= CHRONFS_FROM_STREAM;
	take_readers(fs, ret_stats);
}
