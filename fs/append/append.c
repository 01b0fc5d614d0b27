/* SPDX-License-Identifier: Apache-2.0 */
/* append.c - how the files that take records begin and end; see append.h */
#include "append/append.h"

#include "append/ctl.h"
#include "append/lines.h"
#include "append/wait_for_room.h"
#include "held/open_files.h"

void chronfs_append_init(struct chronfs *fs)
{
	chronfs_lines_init(fs);
	chronfs_room_wait_init(fs);
	chronfs_ctl_init(fs);
}

void chronfs_append_fini(struct chronfs *fs)
{
	chronfs_room_wait_end_requests(fs);
	chronfs_open_files_fini(fs); /* may leave leftovers */
	chronfs_room_wait_fini(fs);
	chronfs_lines_fini(fs);
	chronfs_ctl_fini(fs);
}
