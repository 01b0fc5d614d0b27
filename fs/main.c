/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the life of a mount
 *
 * Start: options > session (libfuse checks its options) > mount point (removes a dead mount) > fork
 * > log queue > background thread > queue > mount > reply to INIT > message to the parent > loop.
 * The queue is opened before the mount, so that a mount that fails leaves nothing behind.
 *
 * Stop, by a signal or an unmount: loop > background thread > replies to parked requests, open
 * lines appended > writer closed (syncs everything, replies to requests that wait for a sync) >
 * unmount > session > log queue, which has two seconds to write its messages.
 */
#include "chronfs.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "append/ctl.h"
#include "append/lines.h"
#include "append/wait_for_room.h"
#include "held/background.h"
#include "held/poll.h"
#include "kernel/dispatch.h"
#include "kernel/loop.h"
#include "kernel/request.h"
#include "mount/daemon.h"
#include "mount/mountpoint.h"
#include "mount/notify.h"
#include "mount/queue.h"
#include "options/mount8.h"
#include "options/usage.h"
#include "shared/log.h"
#include "shared/log_queue.h"
#include "shared/user_limits.h"

/*
 * Serves INIT, the kernel's first request.  libfuse may refuse what the kernel offers, so this
 * comes before any process learns that the mount works.  The request can be read as soon as there
 * is a mount, so reading it takes no time.  Returns an exit code; libfuse has logged the reason.
 */
static int accept_mount(struct chronfs *fs)
{
	struct fuse_buf request = { 0 };
	int r;

	do
		r = fuse_session_receive_buf(fs->session, &request);
	while (r == -EINTR);
	if (r > 0)
		fuse_session_process_buf(fs->session, &request);
	free(request.mem);
	return r > 0 && !fuse_session_exited(fs->session) ? CHRONFS_EXIT_OK : CHRONFS_EXIT_MOUNT;
}

/* Reports that the mount is ready, and serves requests until the session ends. */
static int serve(struct chronfs *fs, bool *ret_served)
{
	struct chronfs_signals *signals;
	int r;

	r = chronfs_signals_start(fs->session, &signals);
	if (r < 0) {
		chronfs_log(fs, CQ_ERROR, "signals: %s", strerrordesc_np(-r));
		return CHRONFS_EXIT_SIGNALS;
	}
	chronfs_daemon_ready(fs);
	*ret_served = true;
	r = chronfs_loop(fs);
	chronfs_signals_stop(signals);
	/* a normal end: the last file of a lazy unmount was closed, or umount -f */
	if (r == -ECONNABORTED)
		r = 0;
	if (r < 0)
		chronfs_log(fs, CQ_ERROR, "serving requests: %s", strerrordesc_np(-r));
	return r == 0 ? CHRONFS_EXIT_OK : CHRONFS_EXIT_LOOP;
}

/* The step for pollers is the last: it sees what the others changed. */
static const chronfs_step_fn steps[] = {
	chronfs_room_wait_step,
	chronfs_line_timeout_step,
	chronfs_ctl_step,
	chronfs_poll_step,
	NULL,
};

/* Mounts, serves and unmounts, in the process that stays.  Returns its exit code. */
static int run(struct chronfs *fs)
{
	bool served = false;
	int code, r;

	r = chronfs_signals_block();
	if (r < 0) {
		chronfs_log(fs, CQ_ERROR, "signals: %s", strerrordesc_np(-r));
		return CHRONFS_EXIT_SIGNALS;
	}
	r = chronfs_log_queue_start(&fs->log_queue);
	if (r == 0)
		r = chronfs_background_start(fs, steps);
	if (r < 0) {
		chronfs_log(fs, CQ_ERROR, "thread: %s", strerrordesc_np(-r));
		return CHRONFS_EXIT_SETUP;
	}
	chronfs_user_limits_init(fs);
	code = chronfs_queue_open(fs);
	if (code != CHRONFS_EXIT_OK)
		goto close;
	if (chronfs_request_read_limit(fs) < 0 ||
	    fuse_session_mount(fs->session, fs->options.mountpoint) != 0) {
		code = CHRONFS_EXIT_MOUNT; /* we, or libfuse, have logged the reason */
		goto close;
	}
	code = accept_mount(fs);
	if (code != CHRONFS_EXIT_OK) {
		chronfs_log(fs, CQ_ERROR, "the kernel and libfuse have not agreed on a mount");
		goto close;
	}
	code = serve(fs, &served);
	chronfs_notify("STOPPING=1\nSTATUS=Flushing");
close:
	chronfs_background_stop(fs);
	if (chronfs_queue_close(fs, served) < 0 && code == CHRONFS_EXIT_OK)
		code = CHRONFS_EXIT_LOOP;
	chronfs_background_fini(fs);
	fuse_session_unmount(fs->session);
	return code;
}

/* After the command line. */
static int start(struct chronfs *fs)
{
	const struct chronfs_options *options = &fs->options;
	int code;

	clock_gettime(CLOCK_REALTIME, &fs->mount_time);
	fs->session = fuse_session_new(&fs->options.args, &chronfs_ops, sizeof chronfs_ops, fs);
	if (!fs->session)
		return CHRONFS_EXIT_OPTIONS; /* libfuse has logged the unknown option */
	code = chronfs_mountpoint_check(fs);
	if (code == CHRONFS_EXIT_OK && options->fake) {
		if (options->verbose)
			chronfs_print("chronfs: %s could be mounted at %s", options->queue,
			              options->mountpoint);
		goto out;
	}
	if (code == CHRONFS_EXIT_OK && !options->foreground)
		code = chronfs_daemon_fork(fs);
	if (code == CHRONFS_EXIT_OK)
		code = run(fs);
out:
	fuse_session_destroy(fs->session);
	return code;
}

/* Prints what the command line asks for, and returns an exit code. */
static int print_usage(const struct chronfs_options *options, const char *program, bool helper)
{
	if (options->version)
		chronfs_usage_print_version();
	else if (helper)
		chronfs_usage_print_mount8(program);
	else
		chronfs_usage_print(program);
	if (fflush(stdout) == 0)
		return CHRONFS_EXIT_OK;
	chronfs_print_error("standard output: %s", strerrordesc_np(errno));
	return CHRONFS_EXIT_SETUP;
}

int main(int argc, char **argv)
{
	struct chronfs fs;
	bool helper;
	int code, r;

#ifdef M_ARENA_MAX
	(void)mallopt(M_ARENA_MAX, 2); /* else each serving thread keeps what a listing took */
#endif
	chronfs_init(&fs);
	r = chronfs_daemon_streams();
	if (r < 0) {
		chronfs_print_error("/dev/null: %s", strerrordesc_np(-r));
		return CHRONFS_EXIT_DAEMON;
	}
	chronfs_log_take_fuse(&fs);
	helper = chronfs_mount8_called(argv[0]);
	code = helper ? chronfs_mount8_parse(&fs.options, argc, argv)
	              : chronfs_options_parse(&fs.options, argc, argv, false);
	if (code != CHRONFS_EXIT_OK)
		goto out;
	if (fs.options.version || fs.options.help)
		code = print_usage(&fs.options, argv[0], helper);
	else
		code = start(&fs);
	chronfs_options_fini(&fs.options);
out:
	chronfs_log_take_fuse(NULL);
	chronfs_log_queue_stop(fs.log_queue);
	return code;
}
