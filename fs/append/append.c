/* SPDX-License-Identifier: Apache-2.0 */
/* append.c - how the files that take records begin and end; see append.h */
#include "append/append.h"

#include "append/ctl.h"
#include "append/lines.h"
#include "append/waiting.h"
#include "held/opened.h"

void chronfs_append_init(struct chronfs *fs)
{
	chronfs_lines_init(fs);
	chronfs_waiting_init(fs);
	chronfs_ctl_init(fs);
}

void chronfs_append_fini(struct chronfs *fs)
{
	chronfs_waiting_end(fs);
	chronfs_opened_fini(fs); /* may leave orphans */
	chronfs_waiting_fini(fs);
	chronfs_lines_fini(fs);
	chronfs_ctl_fini(fs);
}
