/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fs_messages.c - what a mount says: one line for each message, whatever is in it, whoever says it
 *
 * Messages go to syslog(3), which is replaced by ours (--wrap); where they are to go to stderr that is
 * a file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fuse_log.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "chronfs.h"

static struct chronfs fs;
static char queue[PATH_MAX];
static struct {
	int count;
	int priority;
	char text[4 * PATH_MAX];
} logged;

/* ---- replacements ---- */

void __wrap_syslog(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
void __wrap___syslog_chk(int priority, int flag, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

__attribute__((format(printf, 2, 0))) static void log_it(int priority, const char *format,
                                                         va_list args)
{
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

/* What it is called with _FORTIFY_SOURCE. */
void __wrap___syslog_chk(int priority, int flag, const char *format, ...)
{
	va_list args;

	(void)flag;
	va_start(args, format);
	log_it(priority, format, args);
	va_end(args);
}

static int setup(void **state)
{
	(void)state;
	memset(&fs, 0, sizeof fs);
	memset(&logged, 0, sizeof logged);
	(void)strcpy(queue, "/q");
	fs.options.queue = queue;
	fs.use_syslog = true;
	chronfs_log_fuse(&fs);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	chronfs_log_fuse(NULL);
	return 0;
}

/* Since the last look this was said, and nothing else; NULL: nothing was. */
static void expect(int priority, const char *text)
{
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
	chronfs_say(&fs, CQ_ERROR, "an %s", "error");
	expect(LOG_ERR, "/q: an error");
	chronfs_log(&fs, CQ_NOTICE, "the library's");
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

/* libfuse says some in several pieces; what never ends is one, too, as far as it goes. */
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

/* What -d shows is not for the log, and not one line for each message. */
static void debugging_goes_to_stderr(void **state)
{
	FILE *file = tmpfile();
	char text[64] = "";
	int saved;

	(void)state;
	assert_non_null(file);
	(void)fflush(stderr);
	saved = dup(STDERR_FILENO);
	assert_true(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
	fuse_log(FUSE_LOG_DEBUG, "unique: %d, ", 7);
	fuse_log(FUSE_LOG_INFO, "opcode\n");
	fs.use_syslog = false;
	chronfs_say(&fs, CQ_WARNING, "in the foreground");
	(void)fflush(stderr);
	(void)dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	assert_int_equal(fread(text, 1, sizeof text - 1, file),
	                 strlen("unique: 7, opcode\nchronfs: /q: in the foreground\n"));
	assert_string_equal(text, "unique: 7, opcode\nchronfs: /q: in the foreground\n");
	(void)fclose(file);
	expect(0, NULL);
}

/* A control character is never written as it is, in UTF-8 neither; other characters are. */
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
		  "/q: \xc2"
		  "A\xc2" }, /* not UTF-8 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		chronfs_say(&fs, CQ_ERROR, "%s", cases[i].said);
		expect(LOG_ERR, cases[i].written);
	}
}

/* The longest path, each byte of it escaped: what does not fit is left out, and it is one line. */
static void the_longest_message(void **state)
{
	size_t length;

	(void)state;
	memset(queue, '\n', sizeof queue - 1);
	chronfs_say(&fs, CQ_ERROR, "unseen");
	assert_int_equal(logged.count, 1);
	length = strlen(logged.text);
	assert_in_range(length, PATH_MAX, 2 * (PATH_MAX + 2048) - 1);
	assert_int_equal(length % 4, 0);
	for (size_t i = 0; i < length; i += 4)
		assert_memory_equal(logged.text + i, "\\x0a", 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_has_its_level),       TEST(pieces_become_lines),
		TEST(debugging_goes_to_stderr), TEST(control_characters_are_escaped),
		TEST(the_longest_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
