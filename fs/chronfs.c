/* SPDX-License-Identifier: Apache-2.0 */
/* chronfs.c - the modules of a mount: how they start and end; see chronfs.h */
#include "chronfs.h"

#include <unistd.h>

#include "read/passthrough.h"

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
	chronfs_lines_init(fs);
	chronfs_room_wait_init(fs);
	chronfs_ctl_init(fs);
}

void chronfs_fini(struct chronfs *fs)
{
	chronfs_room_wait_end_requests(fs);
	chronfs_open_files_fini(fs); /* the last line of a file may be a leftover */
	chronfs_room_wait_fini(fs);
	chronfs_lines_fini(fs);
	chronfs_ctl_fini(fs);
	chronfs_poll_fini(fs);
	chronfs_file_locks_fini(fs);
	chronfs_directory_fini(fs);
	chronfs_passthrough_fini(fs);
}
