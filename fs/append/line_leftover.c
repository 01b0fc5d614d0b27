/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_leftover.c - open lines of closed files
 *
 * The open line of a file that is closed becomes a record.  If it cannot be appended the file lives on as
 * a leftover that waits for room (wait_for_room.c), so that nothing is lost while there is a chance.  The leftover
 * has the reference that the open file had.
 */
#include "chronfs.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "append/lines.h"
#include "append/wait_for_room.h"
#include "shared/counters.h"
#include "shared/log.h"

static struct chronfs_lines_file *leftover_file(struct chronfs_room_wait *wait)
{
	return (struct chronfs_lines_file *)((char *)wait -
	                                     offsetof(struct chronfs_lines_file, leftover));
}

static int commit_leftover(struct chronfs *fs, struct chronfs_room_wait *wait)
{
	struct chronfs_lines_file *file = leftover_file(wait);
	int r;

	pthread_mutex_lock(&file->lock);
	r = chronfs_lines_commit(fs, file, false);
	pthread_mutex_unlock(&file->lock);
	return r;
}

static void finish_leftover(struct chronfs *fs, struct chronfs_parked *parked, int result)
{
	struct chronfs_lines_file *file = leftover_file((struct chronfs_room_wait *)parked);

	if (result < 0) {
		chronfs_count(&fs->counters.partials_lost);
		chronfs_log(
			fs, CQ_ERROR,
			"append.lines: %zu bytes that were written without a newline are lost: %s%s",
			file->splitter.used, strerrordesc_np(-result),
			result == -EDQUOT && fs->options.queue_config.max_bytes != 0
				? " (max_bytes= is reached)"
				: "");
	}
	chronfs_lines_unref(fs, file);
}

void chronfs_line_leftover_append(struct chronfs *fs, struct chronfs_lines_file *file)
{
	file->leftover.attempt = commit_leftover;
	file->leftover.parked.finish = finish_leftover;
	if (commit_leftover(fs, &file->leftover) == 0)
		chronfs_lines_unref(fs, file);
	else
		chronfs_room_wait_park(fs, &file->leftover);
}
