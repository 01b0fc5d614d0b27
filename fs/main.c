/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the life of a mount
 *
 * Start: options > session (libfuse checks its options) > fork > queue > mount > loop.  The queue is
 * opened before the mount, so that a mount that fails leaves nothing behind.
 * Stop, by signal or unmount: loop > writer closed (parked requests are answered, all is flushed) >
 * unmount > session.
 */
#include "chronfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Threads that serve requests.  A second one lets a read go on beside an append that has to wait for
 * a new segment file; docs/benchmarks.md has the measurement. */
#ifndef CHRONFS_THREADS
#define CHRONFS_THREADS 2
#endif

/* An unmount is over for the user before its daemon has flushed: a mount that follows at once waits
 * for it so long before it says that the queue is in use. */
#define LOCK_WAIT_MS 1000
#define LOCK_POLL_MS 20

/* Says who has the queue. */
static void say_holder(struct chronfs *fs, const struct cq_holder *holder)
{
	char path[64], name[64] = "";
	FILE *comm;

	if (holder->pid == 0) {
		chronfs_say(fs, CQ_ERROR, "in use by another process");
		return;
	}
	(void)snprintf(path, sizeof path, "/proc/%d/comm", (int)holder->pid);
	comm = fopen(path, "re");
	if (comm) {
		if (fgets(name, sizeof name, comm))
			name[strcspn(name, "\n")] = '\0';
		(void)fclose(comm);
	}
	chronfs_say(fs, CQ_ERROR, "in use by process %d (%s)", (int)holder->pid,
	            *name ? name : "name unknown");
}

/* Waits a little for a writer that has the queue.  -EBUSY: it keeps it. */
static int await_holder(struct chronfs *fs)
{
	const struct timespec interval = { .tv_nsec = LOCK_POLL_MS * 1000000L };
	struct cq_holder holder = { 0 };
	cq_queue *queue;

	if (cq_queue_open(fs->options.queue, &queue) < 0)
		return 0; /* a new queue, or cq_writer_open() tells what is wrong */
	for (int waited = 0;; waited += LOCK_POLL_MS) {
		if (cq_queue_holder(queue, &holder) < 0)
			holder.locked = false;
		if (!holder.locked || waited >= LOCK_WAIT_MS)
			break;
		nanosleep(&interval, NULL);
	}
	cq_queue_close(queue);
	if (!holder.locked)
		return 0;
	say_holder(fs, &holder);
	return -EBUSY;
}

static int exit_code(int error)
{
	switch (-error) {
	case 0:
		return CHRONFS_EXIT_OK;
	case EBUSY:
		return CHRONFS_EXIT_LOCKED;
	case EBADMSG:
		return CHRONFS_EXIT_CORRUPT;
	case EPROTONOSUPPORT:
		return CHRONFS_EXIT_VERSION;
	case EINVAL:
		return CHRONFS_EXIT_OPTIONS;
	default:
		return CHRONFS_EXIT_SETUP;
	}
}

/* Why the queue did not open, where the errno alone would not tell a person. */
static const char *open_error(int error)
{
	switch (-error) {
	case EBADMSG:
		return "the queue is damaged (chronq verify tells more; -o accept_loss goes on)";
	case EPROTONOSUPPORT:
		return "the queue's format is newer than this program";
	case EINVAL:
		return "segment_size has to be a multiple of 4096, and that of an existing queue";
	case ENOTEMPTY:
		return "the directory holds files, but no queue";
	case EOPNOTSUPP:
		return "the file system lacks what a queue needs (fallocate, rename without replacing)";
	default:
		return strerrordesc_np(-error);
	}
}

static int open_queue(struct chronfs *fs)
{
	struct cq_config *config = &fs->options.queue_config;
	int r;

	if (fs->options.read_only) {
		r = cq_queue_open(fs->options.queue, &fs->queue);
	} else {
		config->log = chronfs_log;
		config->log_arg = fs;
		r = await_holder(fs);
		if (r < 0)
			return exit_code(r);
		r = cq_writer_open(fs->options.queue, config, &fs->writer);
		if (r == 0)
			fs->queue = cq_writer_queue(fs->writer);
	}
	if (r < 0) {
		chronfs_say(fs, CQ_ERROR, "%s", r == -EBUSY ? "in use" : open_error(r));
		return exit_code(r);
	}
	fs->queue_fd = open(fs->options.queue, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs->queue_fd < 0) {
		chronfs_say(fs, CQ_ERROR, "%s", strerrordesc_np(errno));
		return CHRONFS_EXIT_SETUP;
	}
	return CHRONFS_EXIT_OK;
}

/* Everything is flushed when this returns, and parked requests are answered. */
static int close_queue(struct chronfs *fs)
{
	int r = 0;

	if (fs->queue_fd >= 0)
		close(fs->queue_fd);
	if (fs->writer)
		r = cq_writer_close(fs->writer);
	else
		cq_queue_close(fs->queue);
	if (r < 0)
		chronfs_say(fs, CQ_ERROR, "not everything could be flushed: %s",
		            strerrordesc_np(-r));
	return r;
}

/* Serves requests until the session ends. */
static int serve(struct chronfs *fs)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	struct chronfs_signals *signals;
	int r;

	if (!config)
		return CHRONFS_EXIT_LOOP;
	fuse_loop_cfg_set_max_threads(config, CHRONFS_THREADS);
	fuse_loop_cfg_set_idle_threads(config, CHRONFS_THREADS);
	r = chronfs_signals_start(fs->session, &signals);
	if (r < 0) {
		chronfs_say(fs, CQ_ERROR, "signals: %s", strerrordesc_np(-r));
		fuse_loop_cfg_destroy(config);
		return CHRONFS_EXIT_SIGNALS;
	}
	r = fuse_session_loop_mt(fs->session, config);
	chronfs_signals_stop(signals);
	fuse_loop_cfg_destroy(config);
	if (r != 0)
		chronfs_say(fs, CQ_ERROR, "serving requests: %s",
		            r < 0 ? strerrordesc_np(-r) : "failed");
	return r == 0 ? CHRONFS_EXIT_OK : CHRONFS_EXIT_LOOP;
}

/* All that the process does which keeps the mount; its exit code. */
static int run(struct chronfs *fs)
{
	int code, r;

	r = chronfs_signals_block();
	if (r < 0) {
		chronfs_say(fs, CQ_ERROR, "signals: %s", strerrordesc_np(-r));
		return CHRONFS_EXIT_SIGNALS;
	}
	code = open_queue(fs);
	if (code != CHRONFS_EXIT_OK)
		goto close;
	if (fuse_session_mount(fs->session, fs->options.mountpoint) != 0) {
		code = CHRONFS_EXIT_MOUNT; /* libfuse has said why */
		goto close;
	}
	code = serve(fs);
close:
	if (close_queue(fs) < 0 && code == CHRONFS_EXIT_OK)
		code = CHRONFS_EXIT_LOOP;
	chronfs_locks_fini(fs);
	fuse_session_unmount(fs->session);
	return code;
}

static void print_version(void)
{
	printf("chronfs %s, libfuse %s\n", CHRONFS_VERSION, fuse_pkgversion());
}

int main(int argc, char **argv)
{
	struct chronfs fs = {
		.queue_fd = -1,
		.ready_fd = -1,
		.uid = getuid(),
		.gid = getgid(),
		.publish_lock = PTHREAD_MUTEX_INITIALIZER,
		.locks_lock = PTHREAD_MUTEX_INITIALIZER,
	};
	int code;

	code = chronfs_options_parse(&fs.options, argc, argv);
	if (code != CHRONFS_EXIT_OK)
		return code;
	if (fs.options.help || fs.options.version) {
		if (fs.options.help)
			chronfs_options_help(argv[0]);
		else
			print_version();
		goto out;
	}
	clock_gettime(CLOCK_REALTIME, &fs.mount_time);

	fs.session = fuse_session_new(&fs.options.args, &chronfs_ops, sizeof chronfs_ops, &fs);
	if (!fs.session) {
		code = CHRONFS_EXIT_OPTIONS; /* libfuse has said which it does not know */
		goto out;
	}
	if (!fs.options.foreground)
		code = chronfs_daemon_fork(fs.options.mountpoint, &fs.ready_fd);
	if (code == CHRONFS_EXIT_OK)
		code = run(&fs);
	fuse_session_destroy(fs.session);
out:
	chronfs_options_fini(&fs.options);
	return code;
}
