/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - opens and closes the mount's queue, and logs why that fails
 *
 * The library logs what it found (which process holds the lock, which value does not fit, what is
 * damaged).  We add one line that says what it means for the mount.
 */
#include "mount/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "chronfs.h"
#include "held/background.h"
#include "mount/daemon.h"
#include "mount/namespaces.h"
#include "mount/progress.h"
#include "shared/log.h"

#define LOCK_WAIT_MS 1000      /* for a daemon that is ending, and may not show that yet */
#define CLOSING_STALL_MS 30000 /* for a daemon that closes the queue and makes no progress */

/* A process as people read it: its number and name. */
static void name_process(pid_t pid, char *text, size_t size)
{
	char path[64], name[64] = "";
	FILE *comm;

	(void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	comm = fopen(path, "re");
	if (comm) {
		if (fgets(name, sizeof name, comm)) /* GCOV_EXCL_BR_LINE: it has ended */
			name[strcspn(name, "\n")] = '\0';
		(void)fclose(comm);
	}
	(void)snprintf(text, size, "process %d (%s)", (int)pid, *name ? name : "name unknown");
}

/* Logs which process has the queue, and what follows from that. */
static void say_holder(struct chronfs *fs, enum cq_level level, const char *has,
                       const struct cq_holder *holder, const char *so)
{
	char process[96] = "another process";

	if (holder->pid != 0)
		name_process(holder->pid, process, sizeof process);
	chronfs_log(fs, level, "%s by %s%s", has, process, so);
}

/* Logs that a process has the queue and does not close it. */
static void say_in_use(struct chronfs *fs, const struct cq_holder *holder)
{
	char process[96], so[256] = "; -o ro reads it";
	pid_t there;

	if (chronfs_mounted_elsewhere(fs, &there)) {
		name_process(there, process, sizeof process);
		(void)snprintf(
			so, sizeof so,
			"; its mount was unmounted here and is left in the mount namespace of %s: "
			"end that process, or unmount it there",
			process);
	}
	say_holder(fs, CQ_ERROR, "in use", holder, so);
}

/* Waits a little for a writer that has the queue, and longer for one that is closing it.
 *   EBUSY      the writer keeps the queue; logged
 *   ECANCELED  a signal came meanwhile; logged */
static int await_holder(struct chronfs *fs)
{
	struct cq_holder holder = CQ_SIZED(holder);
	cq_queue *queue;
	int r;

	if (cq_queue_open(fs->options.queue, &queue) < 0)
		return 0; /* a new queue, or cq_writer_open() finds out what is wrong */
	r = cq_queue_await_release(queue, LOCK_WAIT_MS, &holder);
	if (r == 0 && holder.locked && holder.closing) {
		say_holder(fs, CQ_NOTICE, "being closed", &holder, "; waiting for it");
		r = cq_queue_await_closing(queue, CLOSING_STALL_MS, chronfs_progress_waiting, fs,
		                           &holder);
	}
	cq_queue_close(queue);
	if (r < 0 || !holder.locked)
		return 0;
	if (chronfs_signals_pending()) {
		chronfs_log(fs, CQ_ERROR, "stopped by a signal; nothing was changed");
		return -ECANCELED;
	}
	if (holder.closing)
		say_holder(fs, CQ_ERROR, "in use", &holder,
		           ", which is closing it and makes no progress");
	else
		say_in_use(fs, &holder);
	return -EBUSY;
}

static int exit_code(int error)
{
	switch (-error) {
	case EBUSY:
		return CHRONFS_EXIT_LOCKED;
	case EBADMSG:
		return CHRONFS_EXIT_CORRUPT;
	case EPROTONOSUPPORT:
		return CHRONFS_EXIT_VERSION;
	case EINVAL:
		return CHRONFS_EXIT_OPTIONS;
	case ECANCELED:
		return CHRONFS_EXIT_STOPPED;
	default:
		return CHRONFS_EXIT_SETUP;
	}
}

/* Why the queue did not open, in words that help more than the errno's. */
static const char *open_error(const struct chronfs *fs, int error)
{
	switch (-error) {
	case EBADMSG:
		return "the queue is damaged (chronq verify tells more; -o accept_loss opens it)";
	case EINVAL:
		return "the queue cannot have these options"; /* the log said which */
	case EREMOTE:
		return "the queue is a replica (-o ro reads it; chronq promote makes it an ordinary queue)";
	case EROFS:
		return "the file system is read-only (-o ro reads the queue)";
	case EACCES:
		return fs->options.read_only
		               ? "no permission to read there"
		               : "no permission to write there (-o ro reads the queue)";
	case ENOSPC:
	case EDQUOT:
		return "no room for the first segment (a new queue can have smaller ones: segment_size=)";
	case EFBIG:
		return "File too large: no segment may be so large (ulimit -f; segment_size= of a new queue)";
	case EAGAIN:
		return "Resource temporarily unavailable: no thread can be started (ulimit -u)";
	case EMFILE:
		return "Too many open files (ulimit -n)";
	case ECANCELED:
		return "stopped by a signal; nothing was changed";
	default:
		return cq_strerror(error); /* the library has often logged more */
	}
}

/* A cq_config.space: segments were deleted. */
static void room_made(void *arg)
{
	chronfs_background_wake(arg);
}

/* A cq_config.log. */
static void log_from_library(void *arg, enum cq_level level, const char *message)
{
	chronfs_progress_clear(arg);
	chronfs_log_from_library(arg, level, message);
}

int chronfs_queue_open(struct chronfs *fs)
{
	struct cq_config *config = &fs->options.queue_config;
	int r;

	if (fs->options.read_only) {
		r = cq_queue_open(fs->options.queue, &fs->queue);
		if (r == 0) /* without it a queue of a newer version would look empty */
			r = cq_queue_check_version(fs->queue);
	} else {
		config->log = log_from_library;
		config->log_arg = fs;
		config->progress = chronfs_progress;
		config->progress_arg = fs;
		config->space = room_made;
		config->space_arg = fs;
		chronfs_progress_begin(fs);
		r = await_holder(fs);
		if (r < 0)
			return exit_code(r);
		r = cq_writer_open(fs->options.queue, config, &fs->writer);
		chronfs_progress_clear(fs);
		if (r == 0)
			cq_writer_payloads_are_stable(fs->writer); /* each is in a buffer of ours */
		if (r == 0)
			fs->queue = cq_writer_queue(fs->writer);
	}
	if (r == 0)
		r = cq_stream_open(fs->queue, &fs->stream);
	if (r < 0) {
		chronfs_log(fs, CQ_ERROR, "%s", r == -EBUSY ? "in use" : open_error(fs, r));
		return exit_code(r);
	}
	fs->queue_fd = open(fs->options.queue, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs->queue_fd < 0) {
		r = -errno;
		chronfs_log(fs, CQ_ERROR, "%s", open_error(fs, r));
		return exit_code(r);
	}
	return CHRONFS_EXIT_OK;
}

int chronfs_queue_close(struct chronfs *fs, bool served)
{
	int r = 0;

	chronfs_fini(fs);
	cq_stream_close(fs->stream);
	if (fs->queue_fd >= 0)
		close(fs->queue_fd);
	if (fs->writer)
		r = served ? cq_writer_close(fs->writer) : cq_writer_discard(fs->writer);
	else
		cq_queue_close(fs->queue);
	if (r < 0)
		chronfs_log(fs, CQ_ERROR, "not everything could be flushed: %s",
		            strerrordesc_np(-r));
	return r;
}
