/* SPDX-License-Identifier: Apache-2.0 */
/* chronfs.c - the state of a mount before it begins; see chronfs.h */
#include "chronfs.h"

#include <unistd.h>

#include "append/ctl.h"
#include "append/waiting.h"
#include "held/locks.h"

void chronfs_init(struct chronfs *fs)
{
	*fs = (struct chronfs){
		.queue_fd = -1,
		.ready_fd = -1,
		.uid = getuid(),
		.gid = getgid(),
		.publish_lock = PTHREAD_MUTEX_INITIALIZER,
		.opened_lock = PTHREAD_MUTEX_INITIALIZER,
		.sinks_lock = PTHREAD_MUTEX_INITIALIZER,
		.lines_memory = { .most = CHRONFS_LINES_MEMORY },
		.pollers_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	chronfs_locks_init(fs);
	chronfs_waiting_init(fs);
	chronfs_ctl_init(fs);
}
