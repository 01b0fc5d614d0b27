/* SPDX-License-Identifier: Apache-2.0 */
/* last_change.c - when the queue was last written to; see last_change.h */
#include "shared/last_change.h"

#include "chronfs.h"

#define NS_PER_S 1000000000

/* Of a queue that no writer of ours has open. */
static int files_change(cq_queue *queue, struct timespec *ret_time)
{
	struct cq_segment_attr attr;
	struct cq_queue_info info = CQ_SIZED(info);
	uint32_t oldest;
	int r;

	r = cq_queue_position(queue, &info);
	if (r < 0)
		r = cq_queue_ends(queue, &oldest, &info.current);
	if (r == 0)
		r = cq_queue_segment_attr(queue, info.current, NULL, &attr);
	if (r == 0)
		*ret_time = attr.stat.st_mtim;
	return r;
}

struct timespec chronfs_last_change(struct chronfs *fs)
{
	struct timespec when = fs->mount_time;
	struct cq_stats stats = CQ_SIZED(stats);

	if (!fs->writer) {
		(void)files_change(fs->queue, &when);
		return when;
	}
	cq_writer_stats(fs->writer, &stats);
	if (stats.last_time_ns > 0) {
		when.tv_sec = (time_t)(stats.last_time_ns / NS_PER_S);
		when.tv_nsec = (long)(stats.last_time_ns % NS_PER_S);
	}
	return when;
}
