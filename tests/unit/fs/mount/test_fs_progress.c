/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_progress.c - reports of a recovery: to a terminal, a log, the service manager, and how often
 *
 * The clock, the terminal and the signals are made up (--wrap); the service manager is a socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "chronfs.h"
#include "mount/notify.h"
#include "mount/progress.h"

#define SEGMENTS 41U
#define SIZE (128ULL << 20)

static struct chronfs fs;
static struct {
	bool on;
	time_t now;
	bool terminal, signal;
	unsigned said;
	char text[256];
} made;
static int manager = -1; /* the socket of NOTIFY_SOCKET */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_isatty(int fd);
bool __wrap_chronfs_signals_pending(void);
void __wrap_chronfs_log(struct chronfs *mount, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!made.on)
		return __real_clock_gettime(clock, now);
	*now = (struct timespec){ .tv_sec = made.now, .tv_nsec = 999999999 };
	return 0;
}

int __wrap_isatty(int fd)
{
	assert_int_equal(fd, STDERR_FILENO);
	return made.terminal;
}

bool __wrap_chronfs_signals_pending(void)
{
	return made.signal;
}

void __wrap_chronfs_log(struct chronfs *mount, enum cq_level level, const char *format, ...)
{
	va_list args;

	assert_ptr_equal(mount, &fs);
	assert_int_equal(level, CQ_NOTICE);
	va_start(args, format);
	(void)vsnprintf(made.text, sizeof made.text, format, args);
	va_end(args);
	made.said++;
}

/* Makes a service manager with this name; '@' is the zero byte of an abstract one. */
static void make_manager(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const size_t length = strlen(name);

	memcpy(address.sun_path, name, length);
	if (*name == '@')
		address.sun_path[0] = '\0';
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(manager >= 0);
	assert_int_equal(bind(manager, (const struct sockaddr *)&address,
	                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)),
	                 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

/* Its next message; "": none. */
static const char *received(void)
{
	static char text[512];
	ssize_t n = recv(manager, text, sizeof text - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int setup(void **state)
{
	(void)state;
	memset(&fs, 0, sizeof fs);
	memset(&made, 0, sizeof made);
	made.on = true;
	made.now = 1000;
	return unsetenv("NOTIFY_SOCKET");
}

static int teardown(void **state)
{
	(void)state;
	made.on = false;
	if (manager >= 0)
		close(manager);
	manager = -1;
	return unsetenv("NOTIFY_SOCKET");
}

static int at(uint64_t done)
{
	const struct cq_progress p = {
		.phase = CQ_PHASE_RECOVER,
		.segments_done = done,
		.segments = SEGMENTS,
		.bytes_done = done * SIZE + (1 << 20),
		.bytes = SEGMENTS * SIZE,
	};

	return chronfs_progress(&fs, &p);
}

/* One line in so many seconds, however often there is progress. */
static void fewer_in_a_log(void **state)
{
	const time_t interval = 5;

	(void)state;
	chronfs_progress_begin(&fs);
	for (int i = 0; i < 100; i++)
		assert_int_equal(at(0), 0);
	assert_int_equal(made.said, 0);
	for (unsigned n = 0; n < 3; n++) {
		made.now += interval - 1;
		assert_int_equal(at(n), 0);
		assert_int_equal(made.said, n);
		made.now++;
		assert_int_equal(at(n), 0);
		assert_int_equal(at(n), 0);
		assert_int_equal(made.said, n + 1);
	}
	assert_string_equal(made.text, "recovery: 2 of 41 segments, 4 %, 17 MiB/s, 4 min left");
}

/* What a run of this writes to stderr; to be freed. */
static char *on_stderr(void (*run)(void))
{
	const int before = dup(STDERR_FILENO);
	FILE *file = tmpfile();
	char *text = calloc(1, 4096);

	assert_true(before >= 0 && file && text);
	assert_int_equal(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
	run();
	(void)fflush(stderr);
	assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
	close(before);
	rewind(file);
	assert_true(fread(text, 1, 4095, file) > 0);
	(void)fclose(file);
	return text;
}

static void two_seconds(void)
{
	made.terminal = true;
	chronfs_progress_begin(&fs);
	chronfs_progress_clear(&fs);
	for (int i = 0; i < 10; i++)
		(void)at(0);
	for (unsigned n = 1; n < 3; n++) {
		made.now++;
		(void)at(n);
		(void)at(n);
	}
	chronfs_progress_clear(&fs);
	chronfs_progress_clear(&fs);
}

/* It changes each second, is removed once, and is no message. */
static void one_line_on_a_terminal(void **state)
{
	char *text;

	(void)state;
	text = on_stderr(two_seconds);
	assert_string_equal(text,
	                    "\rchronfs: recovery: 1 of 41 segments, 2 %, 129 MiB/s, 40 s left\033[K"
	                    "\rchronfs: recovery: 2 of 41 segments, 4 %, 128 MiB/s, 39 s left\033[K"
	                    "\r\033[K");
	free(text);
	assert_int_equal(made.said, 0);
}

static void more_time_is_asked_for(void **state)
{
	static const char *const names[] = { "@chronfs-test-progress", "/tmp/chronfs-test-XXXXXX" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		char name[64];

		(void)snprintf(name, sizeof name, "%s", names[i]);
		if (*name == '/') {
			assert_non_null(mkdtemp(name));
			(void)strcat(name, "/socket");
		} else {
			(void)snprintf(name + strlen(name), 16, "%d", (int)getpid());
		}
		make_manager(name);
		chronfs_progress_begin(&fs);
		assert_int_equal(at(1), 0);
		assert_string_equal(received(), "");
		for (int n = 0; n < 3; n++) {
			made.now++;
			assert_int_equal(at(1), 0);
			assert_string_equal(
				received(),
				n == 0   ? "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=recovery: 1 of 41 "
					   "segments, 2 %, 129 MiB/s, 40 s left"
				: n == 1 ? "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=recovery: 1 of 41 "
					   "segments, 2 %, 64 MiB/s, 79 s left"
					 : "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=recovery: 1 of 41 "
					   "segments, 2 %, 43 MiB/s, 119 s left");
			assert_string_equal(received(), "");
		}
		chronfs_notify("READY=%d", 1);
		assert_string_equal(received(), "READY=1");
		close(manager);
		manager = -1;
		if (*name == '/') {
			assert_int_equal(unlink(name), 0);
			*strrchr(name, '/') = '\0';
			assert_int_equal(rmdir(name), 0);
		}
	}
}

/* A service manager that does not exist, or is another file, is no error. */
static void nobody_to_notify(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'x', sizeof name);
	name[0] = '/';
	name[sizeof name - 1] = '\0';
	for (int i = 0; i < 5; i++) {
		static const char *const names[] = { "", "/", "vsock:1:2", "/nowhere/socket" };

		assert_int_equal(setenv("NOTIFY_SOCKET", i < 4 ? names[i] : name, 1), 0);
		errno = 0;
		chronfs_notify("READY=1");
	}
}

/* Without a descriptor for the socket nothing is told, and later messages are. */
static void no_descriptor_to_notify(void **state)
{
	struct rlimit own, none;
	char name[64];

	(void)state;
	(void)snprintf(name, sizeof name, "@chronfs-test-none-left%d", (int)getpid());
	make_manager(name);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
	none = own;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	chronfs_notify("READY=1");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &own), 0);
	assert_string_equal(received(), "");
	chronfs_notify("READY=1");
	assert_string_equal(received(), "READY=1");
}

static void a_signal_ends_it(void **state)
{
	(void)state;
	chronfs_progress_begin(&fs);
	assert_int_equal(at(0), 0);
	made.signal = true;
	assert_int_not_equal(at(0), 0);
}

/* While another process closes the queue, too, and no log tells of it: each second. */
static void more_time_while_waiting(void **state)
{
	char name[64];

	(void)state;
	(void)snprintf(name, sizeof name, "@chronfs-test-waiting%d", (int)getpid());
	make_manager(name);
	chronfs_progress_begin(&fs);
	for (int n = 0; n < 3; n++) {
		assert_false(chronfs_progress_waiting(&fs));
		assert_string_equal(received(), "");
		made.now++;
		assert_false(chronfs_progress_waiting(&fs));
		assert_string_equal(received(),
		                    "EXTEND_TIMEOUT_USEC=60000000\n"
		                    "STATUS=Waiting for another process to close the queue");
	}
	assert_int_equal(made.said, 0);
	made.signal = true;
	assert_true(chronfs_progress_waiting(&fs));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_line_on_a_terminal),  TEST(fewer_in_a_log),
		TEST(more_time_is_asked_for),  TEST(nobody_to_notify),
		TEST(a_signal_ends_it),        TEST(no_descriptor_to_notify),
		TEST(more_time_while_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
