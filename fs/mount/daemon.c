/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.c - going to the background, the signals that end the mount
 *
 * Start: the process forks before it opens anything, since threads and the queue's lock belong to the
 * process that stays, the child.  The parent reads from a pipe.  One byte says that the mount is ready;
 * the end of the pipe says that the child failed, after it wrote the reason to the common stderr.  The
 * parent passes a signal that comes meanwhile on to the child, and waits for the child's end: a mount
 * that is about to end is not a success.
 *
 * Stop: a thread waits for the signals.  It makes the session exit, and interrupts the main thread
 * again and again until that has left the session's loop: a single interruption could come just before
 * the main thread goes to sleep.
 */
#include "mount/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chronfs.h"
#include "mount/notify.h"
#include "shared/log.h"
#include "shared/log_queue.h"

#define KICK_SIGNAL SIGUSR1
#define KICK_INTERVAL_NS 10000000L

/* ---- background ---- */

int chronfs_daemon_streams(void)
{
	/* Otherwise the queue's lock could be opened as number 0, and be closed when we leave our
	 * standard streams.  Without O_CLOEXEC, since fusermount3 inherits them. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", O_RDWR) < 0) // NOLINT(android-cloexec-open): see above
			return -errno;
	}
	return 0;
}

static const int end_signals[] = { SIGTERM, SIGINT, SIGHUP };
#define END_SIGNALS (sizeof end_signals / sizeof end_signals[0])

static void end_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < END_SIGNALS; i++)
		sigaddset(set, end_signals[i]);
}

/* Only in the parent. */
static volatile pid_t waited_for;
static volatile sig_atomic_t passed_on; /* a signal was: the child ends, ready or not */

static void pass_on(int number)
{
	passed_on = 1;
	(void)kill(waited_for, number);
}

/* A signal that ends the parent also has to end the child, which is in a session of its own. */
static void pass_signals_on(pid_t child, const sigset_t *mask)
{
	struct sigaction action = { .sa_handler = pass_on }, before;

	waited_for = child;
	passed_on = 0;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < END_SIGNALS; i++)
		if (sigaction(end_signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			(void)sigaction(end_signals[i], &action, NULL);
	(void)pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/* Whether the mount serves requests: stat(2) is the first.  below: the device of the mount point
 * before; the same one again means that the mount is gone already. */
static bool mount_answers(const char *mountpoint, dev_t below)
{
	struct stat st;

	if (stat(mountpoint, &st) < 0)
		return errno != ENOTCONN && errno != ECONNABORTED;
	return st.st_dev != below;
}

/* In the parent: exits with the code that its caller sees.  After the decision no signal is passed on
 * any more, so a mount that is reported stays. */
static _Noreturn void await_child(pid_t child, int fd, dev_t below,
                                  const struct chronfs_options *options)
{
	sigset_t ends, mask;
	bool answers;
	ssize_t n;
	int status;
	char byte;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	answers = n == 1 && mount_answers(options->mountpoint, below);
	end_set(&ends);
	(void)pthread_sigmask(SIG_BLOCK, &ends, &mask);
	if (answers && !passed_on) {
		if (options->verbose)
			chronfs_print("chronfs: %s mounted at %s", options->queue,
			              options->mountpoint);
		_exit(CHRONFS_EXIT_OK);
	}
	(void)pthread_sigmask(SIG_SETMASK, &mask, NULL);

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(CHRONFS_EXIT_DAEMON);
	if (WIFEXITED(status) && WEXITSTATUS(status) != CHRONFS_EXIT_OK) {
		if (n == 1 && !passed_on) /* it logs to syslog by then */
			chronfs_print_error("%s: the mount ended at once; syslog has the reason",
			                    options->queue);
		_exit(WEXITSTATUS(status));
	}
	if (WIFEXITED(status) && passed_on) {
		chronfs_print_error("%s: stopped by a signal", options->queue);
		_exit(CHRONFS_EXIT_STOPPED);
	}
	chronfs_print_error("%s: the mount ended before it was ready", options->queue);
	_exit(CHRONFS_EXIT_DAEMON);
}

int chronfs_daemon_fork(struct chronfs *fs)
{
	struct stat below = { 0 };
	sigset_t ends, before;
	int fds[2];
	pid_t child;

	(void)stat(fs->options.mountpoint, &below); /* without it any device is another */
	if (pipe2(fds, O_CLOEXEC) < 0)
		goto failed;
	end_set(&ends);
	(void)pthread_sigmask(SIG_BLOCK, &ends, &before);
	child = fork();
	if (child < 0) {
		close(fds[0]);
		close(fds[1]);
		goto failed;
	}
	if (child > 0) {
		close(fds[1]);
		pass_signals_on(child, &before);
		await_child(child, fds[0], below.st_dev, &fs->options);
	}
	close(fds[0]);
	if (setsid() < 0 || chdir("/") < 0)
		goto failed;
	fs->ready_fd = fds[1];
	return CHRONFS_EXIT_OK;
failed:
	chronfs_log(fs, CQ_ERROR, "cannot go to the background: %s", strerrordesc_np(errno));
	return CHRONFS_EXIT_DAEMON;
}

void chronfs_daemon_ready(struct chronfs *fs)
{
	int null;

	chronfs_notify("READY=1\nSTATUS=Serving requests");
	if (fs->ready_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	chronfs_log_queue_to_syslog(fs->log_queue);
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		close(null); /* not one of the three: chronfs_daemon_streams() */
	}
	if (write(fs->ready_fd, "", 1) != 1)
		chronfs_log(fs, CQ_WARNING, "the process that started the mount is gone");
	close(fs->ready_fd);
	fs->ready_fd = -1;
}

/* ---- signals ---- */

struct chronfs_signals {
	pthread_t thread;
	pthread_t main;
	struct fuse_session *session;
};

static void kicked(int number)
{
	(void)number; /* it only has to interrupt a system call */
}

int chronfs_signals_block(void)
{
	struct sigaction action = { .sa_handler = kicked };
	sigset_t set;
	int r;

	end_set(&set);
	r = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (r != 0)
		return -r;
	sigemptyset(&action.sa_mask);
	if (sigaction(KICK_SIGNAL, &action, NULL) < 0)
		return -errno;
	action.sa_handler = SIG_IGN;
	/* without SIGXFSZ a file beyond RLIMIT_FSIZE is an error of the call, EFBIG */
	if (sigaction(SIGPIPE, &action, NULL) < 0 || sigaction(SIGXFSZ, &action, NULL) < 0)
		return -errno;
	return 0;
}

bool chronfs_signals_pending(void)
{
	sigset_t set;

	sigemptyset(&set);
	(void)sigpending(&set); /* it fails only without a set */
	for (size_t i = 0; i < END_SIGNALS; i++)
		if (sigismember(&set, end_signals[i]) == 1)
			return true;
	return false;
}

static void *await_signal(void *arg)
{
	struct chronfs_signals *signals = arg;
	const struct timespec interval = { .tv_nsec = KICK_INTERVAL_NS };
	sigset_t set;
	int number;

	end_set(&set);
	while (sigwait(&set, &number) != 0)
		;
	fuse_session_exit(signals->session);
	for (;;) { /* until chronfs_signals_stop() cancels us */
		pthread_kill(signals->main, KICK_SIGNAL);
		nanosleep(&interval, NULL);
	}
	return NULL;
}

int chronfs_signals_start(struct fuse_session *session, struct chronfs_signals **ret_signals)
{
	struct chronfs_signals *signals;
	int r;

	signals = calloc(1, sizeof *signals);
	if (!signals)
		return -ENOMEM;
	signals->main = pthread_self();
	signals->session = session;
	r = pthread_create(&signals->thread, NULL, await_signal, signals);
	if (r != 0) {
		free(signals);
		return -r;
	}
	*ret_signals = signals;
	return 0;
}

void chronfs_signals_stop(struct chronfs_signals *signals)
{
	if (!signals)
		return;
	pthread_cancel(signals->thread);
	pthread_join(signals->thread, NULL);
	free(signals);
}
