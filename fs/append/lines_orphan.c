/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines_orphan.c - open lines of closed files
 *
 * The open line of a file that is closed becomes a record.  If it cannot be appended the file lives on as
 * an orphan that waits for room (waiting.c), so that nothing is lost while there is a chance.  The orphan
 * has the reference that the open file had.
 */
#include "chronfs.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "append/lines.h"
#include "append/waiting.h"
#include "shared/counters.h"
#include "shared/messages.h"

static struct chronfs_lines_file *orphan_file(struct chronfs_waiting *waiting)
{
	return (struct chronfs_lines_file *)((char *)waiting -
	                                     offsetof(struct chronfs_lines_file, orphan));
}

static int commit_orphan(struct chronfs *fs, struct chronfs_waiting *waiting)
{
	struct chronfs_lines_file *file = orphan_file(waiting);
	int r;

	pthread_mutex_lock(&file->lock);
	r = chronfs_lines_commit(fs, file, false);
	pthread_mutex_unlock(&file->lock);
	return r;
}

static void finish_orphan(struct chronfs *fs, struct chronfs_parked *parked, int result)
{
	struct chronfs_lines_file *file = orphan_file((struct chronfs_waiting *)parked);

	if (result < 0) {
		chronfs_count(&fs->counters.partials_lost);
		chronfs_say(
			fs, CQ_ERROR,
			"append.lines: %zu bytes that were written without a newline are lost: %s%s",
			file->framer.used, strerrordesc_np(-result),
			result == -EDQUOT && fs->options.queue_config.max_bytes != 0
				? " (max_bytes= is reached)"
				: "");
	}
	chronfs_lines_put(fs, file);
}

void chronfs_lines_close(struct chronfs *fs, struct chronfs_lines_file *file)
{
	file->orphan.attempt = commit_orphan;
	file->orphan.parked.finish = finish_orphan;
	if (commit_orphan(fs, &file->orphan) == 0)
		chronfs_lines_put(fs, file);
	else
		chronfs_waiting_park(fs, &file->orphan);
}
