/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_daemon.c - going to the background and ending by a signal, with failing system calls
 *
 * Both sides of the fork run in this process (--wrap): the parent's _exit() returns here with its code.
 * mount/life/life.sh and mount/life/messages.sh do the same with real processes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chronfs.h"
#include "mount/daemon.h"
#include "shared/log_queue.h"

#define CHILD 4711

static struct chronfs fs;
static jmp_buf exited;

static struct {
	bool on;                                /* otherwise all calls are the real ones */
	pid_t child;                            /* of fork(); -1: it fails */
	int reads;                              /* bytes that the parent gets from the child */
	int looks;                              /* calls of stat() */
	bool unmounted;                         /* the second stat() finds no mount */
	int read_error, stat_error, wait_error; /* of the first call */
	int status;
	int signal;      /* comes while the parent waits until the child is ready, */
	int signal_late; /* while it asks the mount, */
	int signal_last; /* or while it exits */
	int killed;      /* the signal that the child got */
	int calls;       /* of the functions that fail once */
	int setsid_error, chdir_error, null_error, write_error, mask_error;
	int action_error; /* of the signal `action` */
	int action;
	int closed_streams; /* these standard streams are not open */
	int wait_signals;   /* sigwait() fails so many times */
	int syslog;         /* so many times the log was switched to syslog */
	char said[512];
} made;

static sem_t ended; /* fuse_session_exit() was called */

static int setup(void **state)
{
	static char queue[] = "/q", point[] = "/m";
	sigset_t ends;

	(void)state;
	memset(&fs, 0, sizeof fs);
	memset(&made, 0, sizeof made);
	fs.options.queue = queue;
	fs.options.mountpoint = point;
	fs.ready_fd = -1;
	made.on = true;
	made.child = CHILD;
	made.reads = 1;
	/* a parent that has exited with success has left them blocked */
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &ends, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	made.on = false;
	return 0;
}

/* ---- replacements ---- */

#define REPLACED(type, name, parameters) \
	type __real_##name parameters;   \
	type __wrap_##name parameters;   \
	type __wrap_##name parameters

REPLACED(void, chronfs_log_queue_to_syslog, (struct chronfs_log_queue * log))
{
	assert_null(log);
	made.syslog++;
}

static int failing(int error)
{
	errno = error;
	return error ? -1 : 0;
}

REPLACED(pid_t, fork, (void))
{
	errno = EAGAIN;
	return made.on ? made.child : __real_fork();
}

REPLACED(ssize_t, read, (int fd, void *buffer, size_t size))
{
	if (!made.on)
		return __real_read(fd, buffer, size);
	if (made.signal)
		assert_int_equal(raise(made.signal), 0);
	if (made.read_error && made.calls++ == 0)
		return failing(made.read_error);
	return made.reads;
}

REPLACED(int, kill, (pid_t child, int number))
{
	if (!made.on)
		return __real_kill(child, number);
	assert_int_equal(child, CHILD);
	made.killed = number;
	return 0;
}

REPLACED(int, stat64, (const char *path, struct stat *st))
{
	memset(st, 0, sizeof *st);
	assert_string_equal(path, "/m");
	made.looks++;
	st->st_dev = made.looks > 1 && !made.unmounted ? 2 : 1;
	if (made.looks == 1) /* before the fork */
		return 0;
	if (made.signal_late)
		assert_int_equal(raise(made.signal_late), 0);
	return failing(made.stat_error);
}

REPLACED(pid_t, waitpid, (pid_t child, int *status, int flags))
{
	assert_int_equal(child, CHILD);
	assert_int_equal(flags, 0);
	if (made.wait_error && made.calls++ == 0)
		return failing(made.wait_error);
	*status = made.status;
	return child;
}

void __wrap__exit(int code) __attribute__((noreturn));

void __wrap__exit(int code)
{
	if (made.signal_last)
		assert_int_equal(raise(made.signal_last), 0);
	longjmp(exited, code + 1);
}

REPLACED(pid_t, setsid, (void))
{
	return failing(made.setsid_error);
}

REPLACED(int, chdir, (const char *path))
{
	assert_string_equal(path, "/");
	return failing(made.chdir_error);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

int __wrap_open64(const char *path, int flags, ...)
{
	if (!made.on || strcmp(path, "/dev/null") != 0)
		return __real_open64(path, flags, 0600); /* the file of a coverage profile */
	return made.null_error ? failing(made.null_error) : __real_open64(path, flags);
}

/* This process keeps its own streams. */
REPLACED(int, dup2, (int old, int new))
{
	return made.on ? new : __real_dup2(old, new);
}

REPLACED(ssize_t, write, (int fd, const void *bytes, size_t size))
{
	return made.on && fd == fs.ready_fd && made.write_error ? failing(made.write_error)
	                                                        : __real_write(fd, bytes, size);
}

int __wrap_fcntl64(int fd, int command, ...);

int __wrap_fcntl64(int fd, int command, ...)
{
	assert_int_equal(command, F_GETFD);
	return failing(fd < made.closed_streams ? EBADF : 0);
}

REPLACED(int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *old))
{
	return made.on && made.mask_error ? made.mask_error : __real_pthread_sigmask(how, set, old);
}

REPLACED(int, sigaction, (int number, const struct sigaction *action, struct sigaction *old))
{
	return made.on && number == made.action ? failing(made.action_error)
	                                        : __real_sigaction(number, action, old);
}

REPLACED(int, sigwait, (const sigset_t *set, int *number))
{
	assert_true(sigismember(set, SIGTERM) && sigismember(set, SIGINT) &&
	            sigismember(set, SIGHUP) && !sigismember(set, SIGUSR1));
	*number = SIGTERM;
	return made.wait_signals-- > 0 ? EINTR : 0;
}

REPLACED(void, fuse_session_exit, (struct fuse_session * session))
{
	assert_ptr_equal(session, &fs);
	assert_int_equal(made.wait_signals, -1);
	sem_post(&ended);
}

void __wrap_chronfs_log(struct chronfs *mount, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void __wrap_chronfs_log(struct chronfs *mount, enum cq_level level, const char *format, ...)
{
	va_list args;

	(void)mount;
	(void)level;
	va_start(args, format);
	(void)vsnprintf(made.said, sizeof made.said, format, args);
	va_end(args);
}

/* ---- the parent ---- */

/* The exit code of the process that started the mount. */
static int started(void)
{
	int code = setjmp(exited);

	if (code == 0) {
		(void)chronfs_daemon_fork(&fs);
		fail_msg("the parent goes on as the daemon");
	}
	return code - 1;
}

/* The parent reports success when the child is ready and its mount answers. */
static void the_child_is_ready(void **state)
{
	(void)state;
	assert_int_equal(started(), CHRONFS_EXIT_OK);
	setup(state);
	made.read_error = EINTR;
	assert_int_equal(started(), CHRONFS_EXIT_OK);
	setup(state);
	made.stat_error = EACCES; /* a mount that the parent may not stat */
	assert_int_equal(started(), CHRONFS_EXIT_OK);
	setup(state);
	made.stat_error = ENOTCONN;
	made.status = SIGKILL;
	assert_int_equal(started(), CHRONFS_EXIT_DAEMON);
	setup(state); /* it died while the parent's stat() waited for it */
	made.stat_error = ECONNABORTED;
	made.status = SIGKILL;
	assert_int_equal(started(), CHRONFS_EXIT_DAEMON);
	setup(state); /* it could not serve, and has unmounted again */
	made.unmounted = true;
	made.status = CHRONFS_EXIT_LOOP << 8;
	assert_int_equal(started(), CHRONFS_EXIT_LOOP);
}

/* The parent exits with the child's code. */
static void the_child_has_failed(void **state)
{
	static const struct {
		int reads, read_error, wait_error, status, code;
	} cases[] = {
		{ 0, 0, 0, CHRONFS_EXIT_CORRUPT << 8, CHRONFS_EXIT_CORRUPT },
		{ 0, 0, EINTR, CHRONFS_EXIT_MOUNT << 8, CHRONFS_EXIT_MOUNT },
		{ 0, EIO, 0, CHRONFS_EXIT_LOCKED << 8, CHRONFS_EXIT_LOCKED },
		{ 0, 0, 0, SIGSEGV, CHRONFS_EXIT_DAEMON },
		{ 0, 0, 0, CHRONFS_EXIT_OK, CHRONFS_EXIT_DAEMON }, /* it ended too early */
		{ 0, 0, ECHILD, 0, CHRONFS_EXIT_DAEMON },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		setup(state);
		made.reads = cases[i].reads;
		made.read_error = cases[i].read_error;
		made.wait_error = cases[i].wait_error;
		made.status = cases[i].status;
		assert_int_equal(started(), cases[i].code);
	}
}

/* A signal while the child starts ends the child, ready or not: no mount is left when the parent exits. */
static void a_signal_is_passed_on(void **state)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		for (int ready = 0; ready < 2; ready++) {
			setup(state);
			made.signal = numbers[i];
			made.reads = ready;
			made.status = ready ? 0 : CHRONFS_EXIT_STOPPED << 8;
			assert_int_equal(started(), CHRONFS_EXIT_STOPPED);
			assert_int_equal(made.killed, numbers[i]);
		}
	}
	setup(state); /* one that cannot be taken leaves the others as they are */
	made.action = SIGHUP;
	made.action_error = EINVAL;
	made.reads = 0;
	made.signal = SIGTERM;
	made.status = CHRONFS_EXIT_STOPPED << 8;
	assert_int_equal(started(), CHRONFS_EXIT_STOPPED);
	assert_int_equal(made.killed, SIGTERM);
	setup(state);
	made.signal_late = SIGTERM;
	assert_int_equal(started(), CHRONFS_EXIT_STOPPED);
	assert_int_equal(made.killed, SIGTERM);
	setup(state); /* its last flush failed; or it died of another signal */
	made.signal = SIGTERM;
	made.status = CHRONFS_EXIT_LOOP << 8;
	assert_int_equal(started(), CHRONFS_EXIT_LOOP);
	setup(state);
	made.signal = SIGTERM;
	made.status = SIGSEGV;
	assert_int_equal(started(), CHRONFS_EXIT_DAEMON);
}

/* A mount that was reported stays. */
static void a_signal_that_comes_too_late(void **state)
{
	const struct timespec now = { 0 };
	sigset_t ends;

	(void)state;
	made.signal_last = SIGTERM;
	assert_int_equal(started(), CHRONFS_EXIT_OK);
	assert_int_equal(made.killed, 0);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	assert_int_equal(sigtimedwait(&ends, NULL, &now), SIGTERM);
}

static void no_child(void **state)
{
	(void)state;
	made.child = -1;
	assert_int_equal(chronfs_daemon_fork(&fs), CHRONFS_EXIT_DAEMON);
	assert_string_equal(made.said,
	                    "cannot go to the background: Resource temporarily unavailable");
}

/* ---- the child ---- */

static void no_session_or_directory_of_its_own(void **state)
{
	(void)state;
	made.child = 0;
	made.setsid_error = EPERM;
	assert_int_equal(chronfs_daemon_fork(&fs), CHRONFS_EXIT_DAEMON);
	assert_non_null(strstr(made.said, "Operation not permitted"));
	assert_int_equal(fs.ready_fd, -1);
	setup(state);
	made.child = 0;
	made.chdir_error = ENOENT;
	assert_int_equal(chronfs_daemon_fork(&fs), CHRONFS_EXIT_DAEMON);
	assert_non_null(strstr(made.said, "No such file"));
	assert_int_equal(fs.ready_fd, -1);
}

/* The mount works without the process that started it, and without /dev/null. */
static void nobody_to_tell(void **state)
{
	(void)state;
	made.child = 0;
	made.null_error = EMFILE;
	made.write_error = EPIPE;
	assert_int_equal(chronfs_daemon_fork(&fs), CHRONFS_EXIT_OK);
	assert_true(fs.ready_fd >= 0);
	chronfs_daemon_ready(&fs);
	assert_int_equal(fs.ready_fd, -1);
	assert_int_equal(made.syslog, 1);
	assert_string_equal(made.said, "the process that started the mount is gone");
	made.said[0] = '\0';
	chronfs_daemon_ready(&fs); /* once */
	assert_string_equal(made.said, "");
}

static void no_standard_streams(void **state)
{
	(void)state;
	made.null_error = ENOENT;
	assert_int_equal(chronfs_daemon_streams(), 0);
	made.closed_streams = 1;
	assert_int_equal(chronfs_daemon_streams(), -ENOENT);
}

/* ---- signals ---- */

static void signals_that_cannot_be_set(void **state)
{
	static const int numbers[] = { SIGUSR1, SIGPIPE, SIGXFSZ };

	(void)state;
	made.mask_error = EINVAL;
	assert_int_equal(chronfs_signals_block(), -EINVAL);
	made.mask_error = 0;
	made.action_error = EINVAL;
	for (int i = 0; i < 3; i++) {
		made.action = numbers[i];
		assert_int_equal(chronfs_signals_block(), -EINVAL);
	}
}

/* The session ends by a signal, also after sigwait() has failed, and not before. */
static void a_signal_ends_the_session(void **state)
{
	struct chronfs_signals *signals;

	(void)state;
	made.wait_signals = 2;
	assert_int_equal(sem_init(&ended, 0, 0), 0);
	assert_int_equal(chronfs_signals_block(), 0);
	assert_int_equal(chronfs_signals_start((struct fuse_session *)(void *)&fs, &signals), 0);
	while (sem_wait(&ended) < 0)
		assert_int_equal(errno, EINTR); /* the main thread is interrupted */
	chronfs_signals_stop(signals);
	sem_destroy(&ended);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_child_is_ready),
		TEST(the_child_has_failed),
		TEST(a_signal_is_passed_on),
		TEST(a_signal_that_comes_too_late),
		TEST(no_child),
		TEST(no_session_or_directory_of_its_own),
		TEST(nobody_to_tell),
		TEST(no_standard_streams),
		TEST(signals_that_cannot_be_set),
		TEST(a_signal_ends_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
