/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line_leftover.c - the open lines of closed files
 *
 * The open line of a file that is closed becomes a record.  If that fails, the line is a leftover:
 * the file lives on and waits for room (wait_for_room.c), so that nothing is lost while it may
 * still be appended.  The leftover keeps the reference that the open file had.
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

static int leftover_attempt(struct chronfs *fs, struct chronfs_room_wait *wait)
{
	struct chronfs_lines_file *file = leftover_file(wait);
	int r;

	pthread_mutex_lock(&file->lock);
	r = chronfs_lines_commit(fs, file, false);
	pthread_mutex_unlock(&file->lock);
	return r;
}

static void leftover_finish(struct chronfs *fs, struct chronfs_parked *parked, int result)
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
	file->leftover.attempt = leftover_attempt;
	file->leftover.parked.finish = leftover_finish;
	if (leftover_attempt(fs, &file->leftover) == 0)
		chronfs_lines_unref(fs, file);
	else
		chronfs_room_wait_park(fs, &file->leftover);
}
