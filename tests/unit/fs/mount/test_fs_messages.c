/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_messages.c - the messages of a mount: each is one line, whatever it holds, from us or libfuse
 *
 * Messages go through the log's thread to syslog(3), which the test replaces (--wrap), or to stderr,
 * which is a file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <fuse_log.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "chronfs.h"
#include "shared/log.h"
#include "shared/log_queue.h"

static struct chronfs fs;
static char queue[PATH_MAX];
static struct {
	int count;
	int priority;
	char text[8 * PATH_MAX];
} logged;

/* A log that is stuck: each message waits in syslog() until the test releases it. */
static bool stuck;
static sem_t reached, let_go;

static bool no_memory;
static int thread_error; /* of the next thread */
static int write_error;  /* of the next write */

/* ---- replacements ---- */

void __wrap_syslog(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap___syslog_chk(int priority, int flag, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

__attribute__((format(printf, 2, 0))) static void log_it(int priority, const char *format,
                                                         va_list args)
{
	if (stuck) {
		(void)sem_post(&reached);
		while (sem_wait(&let_go) != 0)
			;
	}
	logged.count++;
	logged.priority = priority;
	(void)vsnprintf(logged.text, sizeof logged.text, format, args);
}

void __wrap_syslog(int priority, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_it(priority, format, args);
	va_end(args);
}

/* Its name with _FORTIFY_SOURCE. */
void __wrap___syslog_chk(int priority, int flag, const char *format, ...)
{
	va_list args;

	(void)flag;
	va_start(args, format);
	log_it(priority, format, args);
	va_end(args);
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
}

int __real_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg);

int __wrap_pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg)
{
	return thread_error ? thread_error
	                    : __real_pthread_create(ret_thread, attributes, run, arg);
}

ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);

ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
	const int error = write_error;

	if (error == 0)
		return __real_write(fd, bytes, length);
	write_error = 0;
	errno = error;
	return -1;
}

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	(void)sem_post(&reached);
	return __real_poll(fds, count, timeout);
}

static int setup(void **state)
{
	(void)state;
	memset(&fs, 0, sizeof fs);
	memset(&logged, 0, sizeof logged);
	(void)strcpy(queue, "/q");
	fs.options.queue = queue;
	assert_int_equal(chronfs_log_queue_start(&fs.log_queue), 0);
	chronfs_log_queue_to_syslog(fs.log_queue);
	chronfs_log_take_fuse(&fs);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	chronfs_log_take_fuse(NULL);
	chronfs_log_queue_stop(fs.log_queue);
	return 0;
}

/* This is the only message since the last check; NULL: there was none. */
static void expect(int priority, const char *text)
{
	chronfs_log_queue_to_syslog(fs.log_queue); /* all is written now */
	assert_int_equal(logged.count, text != NULL);
	if (text) {
		assert_int_equal(logged.priority, priority);
		assert_string_equal(logged.text, text);
	}
	logged.count = 0;
}

/* ---- tests ---- */

static void each_has_its_level(void **state)
{
	(void)state;
	chronfs_log(&fs, CQ_ERROR, "an %s", "error");
	expect(LOG_ERR, "/q: an error");
	chronfs_log_from_library(&fs, CQ_NOTICE, "the library's");
	expect(LOG_NOTICE, "/q: the library's");
	fuse_log(FUSE_LOG_ERR, "fuse: an error\n");
	expect(LOG_ERR, "/q: fuse: an error");
	fuse_log(FUSE_LOG_CRIT, "worse\n");
	expect(LOG_ERR, "/q: worse");
	fuse_log(FUSE_LOG_WARNING, "a warning\n");
	expect(LOG_WARNING, "/q: a warning");
	fuse_log(FUSE_LOG_NOTICE, "a notice\n");
	expect(LOG_NOTICE, "/q: a notice");
}

/* libfuse gives some messages in several pieces; a line that never ends is one message, cut off. */
static void pieces_become_lines(void **state)
{
	char piece[301], all[520] = "/q: ";

	(void)state;
	fuse_log(FUSE_LOG_ERR, "one ");
	fuse_log(FUSE_LOG_ERR, "%s", "");
	expect(0, NULL);
	fuse_log(FUSE_LOG_ERR, "two\n");
	expect(LOG_ERR, "/q: one two");

	memset(piece, 'x', sizeof piece - 1);
	piece[sizeof piece - 1] = '\0';
	fuse_log(FUSE_LOG_ERR, "%s", piece);
	expect(0, NULL);
	fuse_log(FUSE_LOG_ERR, "%s", piece);
	memset(all + 4, 'x', 511);
	expect(LOG_ERR, all);
	fuse_log(FUSE_LOG_ERR, "the next\n");
	expect(LOG_ERR, "/q: the next");
}

/* The output of -d does not go to the log, and is not split into messages. */
static void debugging_goes_to_stderr(void **state)
{
	FILE *file = tmpfile();
	static const char wanted[] = "unique: 7, opcode\n"
				     "LOOKUP a\\x1b[2J\\x0ab\n"
				     "chronfs: /q: in the foreground\n"
				     "chronfs: /q: without a log\n";
	char text[256] = "";
	int saved;

	(void)state;
	assert_non_null(file);
	(void)fflush(stderr);
	saved = dup(STDERR_FILENO);
	assert_true(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
	fuse_log(FUSE_LOG_DEBUG, "unique: %d, ", 7);
	fuse_log(FUSE_LOG_INFO, "opcode\n");
	chronfs_log_queue_stop(fs.log_queue);
	assert_int_equal(chronfs_log_queue_start(&fs.log_queue), 0);
	fuse_log(FUSE_LOG_DEBUG, "LOOKUP a\033[2J\nb");
	fuse_log(FUSE_LOG_DEBUG, "%s", "");
	fuse_log(FUSE_LOG_DEBUG, "\n");
	chronfs_log(&fs, CQ_WARNING, "in the foreground");
	chronfs_log_queue_stop(fs.log_queue);
	fs.log_queue = NULL;
	chronfs_log(&fs, CQ_WARNING, "without a log");
	assert_int_equal(chronfs_log_queue_start(&fs.log_queue), 0);
	chronfs_log_queue_to_syslog(fs.log_queue);
	(void)dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	assert_true(fread(text, 1, sizeof text - 1, file) > 0);
	assert_string_equal(text, wanted);
	(void)fclose(file);
	expect(0, NULL);
}

/* A piece of debugging output that is too long is cut off, and what comes next is whole. */
static void long_debugging_is_cut(void **state)
{
	FILE *file = tmpfile();
	char piece[20000], text[20000] = "";
	int saved;

	(void)state;
	assert_non_null(file);
	memset(piece, 'x', sizeof piece - 1);
	piece[sizeof piece - 1] = '\0';
	(void)fflush(stderr);
	saved = dup(STDERR_FILENO);
	assert_true(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
	fuse_log(FUSE_LOG_DEBUG, "%s", piece);
	fuse_log(FUSE_LOG_DEBUG, "\nnext\n");
	chronfs_log_queue_stop(fs.log_queue);
	assert_int_equal(chronfs_log_queue_start(&fs.log_queue), 0);
	(void)dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	assert_true(fread(text, 1, sizeof text - 1, file) > 0);
	(void)fclose(file);
	assert_in_range(strspn(text, "x"), 500, sizeof piece - 2);
	assert_string_equal(text + strspn(text, "x"), "\\x0anext\n");
}

/* Before the command line is read there is no queue to name. */
static void before_there_is_a_queue(void **state)
{
	char *its = fs.options.queue;

	(void)state;
	fs.options.queue = NULL;
	chronfs_log(&fs, CQ_ERROR, "early");
	fs.options.queue = its;
	expect(LOG_ERR, "early");
}

/* Control characters are always escaped, also in UTF-8; other characters never. */
static void control_characters_are_escaped(void **state)
{
	static const struct {
		const char *said, *written;
	} cases[] = {
		{ "a\nb\x7f", "/q: a\\x0ab\\x7f" },
		{ "\xc2\x9b"
		  "2J",
		  "/q: \\xc2\\x9b2J" }, /* a terminal's CSI */
		{ "\xc2\xa9 \xc3\x85", "/q: \xc2\xa9 \xc3\x85" },
		{ "\xc2"
		  "A\xc2",
		  "/q: \\xc2A\\xc2" }, /* not UTF-8 */
		{ "\x9b[ \xff \xc0\x80 \xed\xa0\x80 \xf5\x80\x80\x80 \xe2\x82",
		  "/q: \\x9b[ \\xff \\xc0\\x80 \\xed\\xa0\\x80 \\xf5\\x80\\x80\\x80 \\xe2\\x82" },
		{ "\xe2\x82\xac \xf0\x9f\x90\x9f", "/q: \xe2\x82\xac \xf0\x9f\x90\x9f" },
		{ "a\xe2\x80\xae"
		  "b\xe2\x81\xa6\xe2\x80\xa8",
		  "/q: a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6\\xe2\\x80\\xa8" }, /* changes the direction of the text */
		{ "a\\x0ab", "/q: a\\x0ab" }, /* escaped by the library already */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		chronfs_log(&fs, CQ_ERROR, "%s", cases[i].said);
		expect(LOG_ERR, cases[i].written);
	}
}

/* The longest paths with every byte escaped: the message is one line, and what does not fit is left out. */
static void the_longest_message(void **state)
{
	char point[PATH_MAX] = "";
	char *separator;
	size_t length;

	(void)state;
	memset(queue, '\n', sizeof queue - 1);
	memset(point, '\n', sizeof point - 1);
	chronfs_log(&fs, CQ_ERROR, "%s unseen", point);
	chronfs_log_queue_to_syslog(fs.log_queue);
	assert_int_equal(logged.count, 1);
	length = strlen(logged.text);
	assert_in_range(length, PATH_MAX, sizeof logged.text - 2);
	assert_null(strstr(logged.text, "unseen"));
	separator = strstr(logged.text, ": ");
	assert_non_null(separator);
	memmove(separator, separator + 2, strlen(separator + 2) + 1);
	length -= 2;
	assert_int_equal(length % 4, 0);
	logged.count = 0;
	for (size_t i = 0; i < length; i += 4)
		assert_memory_equal(logged.text + i, "\\x0a", 4);
}

/* The longest queue and the longest mount point leave room for the rest of the message. */
static void long_paths(void **state)
{
	static const char reason[] = ": No such file or directory";
	char point[PATH_MAX] = "";

	(void)state;
	memset(queue, 'q', sizeof queue - 1);
	memset(point, 'm', sizeof point - 1);
	chronfs_log(&fs, CQ_ERROR, "mount point %s%s", point, reason);
	chronfs_log_queue_to_syslog(fs.log_queue);
	assert_int_equal(logged.count, 1);
	logged.count = 0;
	assert_true(strlen(logged.text) > 2 * (PATH_MAX - 1));
	assert_string_equal(logged.text + strlen(logged.text) - strlen(reason), reason);
}

/* ---- a log that no process reads ---- */

/* Releases all messages that wait in syslog(), and all later ones. */
static void release(int count)
{
	for (int i = 0; i < count; i++)
		(void)sem_post(&let_go);
}

/* Messages without room are counted, and the count is logged in their place; no caller waits. */
static void a_stuck_log_keeps_nobody(void **state)
{
	enum { MANY = 20000 };
	int kept, dropped;

	(void)state;
	assert_true(sem_init(&reached, 0, 0) == 0 && sem_init(&let_go, 0, 0) == 0);
	stuck = true;
	chronfs_log(&fs, CQ_ERROR, "the first");
	while (sem_wait(&reached) != 0)
		;
	for (int i = 0; i < MANY; i++) /* some megabytes */
		chronfs_log(&fs, CQ_ERROR, "%0200d", i);
	chronfs_log(&fs, CQ_ERROR, "the last");
	assert_int_equal(logged.count, 0);
	release(MANY + 3);
	for (int i = 0; i < 30; i++) /* each waits for two seconds at most */
		chronfs_log_queue_to_syslog(fs.log_queue);
	stuck = false;
	assert_int_equal(
		sscanf(logged.text, "messages dropped here because nobody read them: %d", &dropped),
		1);
	assert_int_equal(logged.priority, LOG_WARNING);
	kept = logged.count - 2; /* the first one, and this one */
	assert_int_equal(kept + dropped, MANY + 1);
	assert_in_range(kept, CHRONFS_LOG_BYTES / 400, CHRONFS_LOG_BYTES / 200);
	logged.count = 0;
	chronfs_log(&fs, CQ_ERROR, "and on");
	expect(LOG_ERR, "/q: and on");
}

/* A mount whose log is stuck ends all the same, also one in the foreground. */
static void the_end_does_not_wait_for_it(void **state)
{
	(void)state;
	assert_true(sem_init(&reached, 0, 0) == 0 && sem_init(&let_go, 0, 0) == 0);
	stuck = true;
	chronfs_log(&fs, CQ_ERROR, "stuck");
	while (sem_wait(&reached) != 0)
		;
	chronfs_log_queue_to_syslog(fs.log_queue);
	chronfs_log_queue_stop(fs.log_queue);
	assert_int_equal(logged.count, 0);
	release(1); /* the thread that was left behind still has its memory */
	assert_int_equal(chronfs_log_queue_start(&fs.log_queue), 0);
	chronfs_log_queue_to_syslog(fs.log_queue);
	stuck = false;
}

/* stderr is a full pipe that another process has made non-blocking: the log's thread waits for room, and
 * then writes the whole message.  It repeats an interrupted write; it leaves out a message that stderr
 * refuses, and continues with the next. */
static void stderr_that_takes_nothing(void **state)
{
	static const char wanted[] = "chronfs: /q: waits for room\n"
				     "chronfs: /q: interrupted\n"
				     "chronfs: /q: goes on\n";
	char block[4096], text[sizeof wanted] = "";
	int ends[2], saved;
	size_t length = 0;

	(void)state;
	chronfs_log_queue_stop(fs.log_queue);
	assert_true(sem_init(&reached, 0, 0) == 0);
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	memset(block, '.', sizeof block);
	while (__real_write(ends[1], block, sizeof block) > 0)
		;
	assert_int_equal(chronfs_log_queue_start(&fs.log_queue), 0);
	(void)fflush(stderr);
	saved = dup(STDERR_FILENO);
	assert_true(saved >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
	chronfs_log(&fs, CQ_ERROR, "waits for room");
	while (sem_wait(&reached) != 0)
		;
	/* the pipe is read until it is empty */
	while (length < sizeof wanted - 1) {
		ssize_t n = read(ends[0], block, sizeof block);
		const char *begin = n > 0 ? memchr(block, 'c', (size_t)n) : NULL;

		if (n < 0)
			(void)__real_poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1,
			                  -1);
		if (n <= 0 || !begin)
			continue;
		n -= begin - block;
		assert_true(length + (size_t)n < sizeof text);
		memcpy(text + length, begin, (size_t)n);
		length += (size_t)n;
		if (strcmp(text, "chronfs: /q: waits for room\n") != 0)
			continue;
		chronfs_log_queue_stop(fs.log_queue);
		assert_int_equal(chronfs_log_queue_start(&fs.log_queue), 0);
		write_error = EINTR;
		chronfs_log(&fs, CQ_ERROR, "interrupted");
		chronfs_log_queue_stop(fs.log_queue);
		assert_int_equal(chronfs_log_queue_start(&fs.log_queue), 0);
		write_error = EIO;
		chronfs_log(&fs, CQ_ERROR, "refused");
		chronfs_log(&fs, CQ_ERROR, "goes on");
	}
	(void)dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[0]);
	close(ends[1]);
	assert_string_equal(text, wanted);
}

/* A log that cannot start leaves nothing behind.  To stop a log that was not started is no error. */
static void no_log(void **state)
{
	struct chronfs_log_queue *log = NULL;

	(void)state;
	no_memory = true;
	assert_int_equal(chronfs_log_queue_start(&log), -ENOMEM);
	no_memory = false;
	thread_error = EAGAIN;
	assert_int_equal(chronfs_log_queue_start(&log), -EAGAIN);
	thread_error = 0;
	assert_null(log);
	chronfs_log_queue_to_syslog(log);
	chronfs_log_queue_stop(log);
}

static void no_memory_for_a_message(void **state)
{
	(void)state;
	no_memory = true;
	chronfs_log(&fs, CQ_ERROR, "a message");
	no_memory = false;
	expect(LOG_WARNING, "messages dropped here because nobody read them: 1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_has_its_level),
		TEST(pieces_become_lines),
		TEST(debugging_goes_to_stderr),
		TEST(long_debugging_is_cut),
		TEST(before_there_is_a_queue),
		TEST(control_characters_are_escaped),
		TEST(long_paths),
		TEST(the_longest_message),
		TEST(a_stuck_log_keeps_nobody),
		TEST(no_memory_for_a_message),
		TEST(stderr_that_takes_nothing),
		TEST(no_log),
		TEST(the_end_does_not_wait_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
