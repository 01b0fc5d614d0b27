/* SPDX-License-Identifier: Apache-2.0 */
/* chronfs.c - the state of a mount before it begins; see chronfs.h */
#include "chronfs.h"

#include <unistd.h>

#include "append/append.h"

#include "append/ctl.h"
#include "append/lines.h"
#include "append/wait_for_room.h"
#include "held/file_locks.h"
#include "held/open_files.h"
#include "held/poll.h"
#include "shared/directory.h"

void chronfs_init(struct chronfs *fs)
{
	*fs = (struct chronfs){
		.queue_fd = -1,
		.ready_fd = -1,
		.uid = getuid(),
		.gid = getgid(),
	};
	chronfs_directory_init(fs);
	chronfs_open_files_init(fs);
	chronfs_file_locks_init(fs);
	chronfs_poll_init(fs);
	chronfs_append_init(fs);
}
