/* SPDX-License-Identifier: Apache-2.0 */
/* test_fs_readers.c - readers/, without a kernel: names, texts, readers that go */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "fs_support.h"
#include "kernel/dispatch.h"

static int look_up(const char *name, int failing)
{
	const uint64_t dir = fs_node("readers");

	fs_request(0, 0);
	fs_calls_begin(failing);
	chronfs_ops.lookup(REQ(0), dir, name);
	fs_calls_end();
	assert_int_equal(requests[0].replies, 1);
	return requests[0].error;
}

static void names(void **state)
{
	static const char *const none[] = { "none", "some.meta", "..", ".", "", "../some", "a b" };
	char longest[300];

	(void)state;
	assert_int_equal(look_up("some", 0), 0);
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		assert_int_equal(look_up(none[i], 0), ENOENT);
	memset(longest, 'a', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	assert_int_equal(look_up(longest, 0), ENOENT);
	assert_int_equal(look_up("some", 1), EIO);
	library_error = EBADMSG; /* its name belongs to something else */
	assert_int_equal(look_up("some", 1), ENOENT);
	library_error = EIO;
}

/* Pieces of any size are the whole text, which has the size that is shown. */
static void pieces(void **state)
{
	const uint64_t node = fs_node("readers/some");
	struct fuse_file_info fi = fs_open(node, O_RDONLY);
	size_t length;
	char *whole;

	(void)state;
	chronfs_ops.read(fs_request(0, 0), node, 4096, 0, &fi);
	fs_expect(0, 0);
	length = requests[0].size;
	whole = malloc(length);
	assert_non_null(whole);
	memcpy(whole, requests[0].bytes, length);
	chronfs_ops.getattr(fs_request(1, 0), node, NULL);
	fs_expect(1, 0);
	assert_int_equal(requests[1].attr.st_size, length);
	for (size_t at = 0; at < length + 100; at += 37) {
		const size_t left = at < length ? length - at : 0;

		chronfs_ops.read(fs_request(0, 0), node, 37, (off_t)at, &fi);
		fs_expect(0, 0);
		assert_int_equal(requests[0].size, left < 37 ? left : 37);
		if (left > 0)
			assert_memory_equal(requests[0].bytes, whole + at, requests[0].size);
	}
	free(whole);
	fs_release(node, &fi);
}

static uint64_t closed_node;
static struct fuse_file_info closed_file;

static void close_it(void)
{
	fs_release(closed_node, &closed_file);
	for (size_t size = 16; size <= 4096; size += 16) { /* somebody else gets what was freed */
		void *other = malloc(size);

		assert_non_null(other);
		explicit_bzero(other, size);
		free(other);
	}
}

/* A process that has its bytes may close the file before the reply returns: the bytes of the reply are not
 * those of the open file. */
static void closed_at_once(void **state)
{
	static const char *const names_of[] = { "readers/some", "stats.json", "metrics" };

	(void)state;
	for (size_t i = 0; i < sizeof names_of / sizeof names_of[0]; i++) {
		closed_node = fs_node(names_of[i]);
		closed_file = fs_open(closed_node, O_RDONLY);
		fs_request(0, 0);
		requests[0].when_read = close_it;
		chronfs_ops.read(REQ(0), closed_node, 4096, 0, &closed_file);
		fs_expect(0, 0);
		assert_true(requests[0].size > 0);
		assert_true(fs_nothing_is_open());
	}
}

/* So to read all files takes a time in proportion to their number. */
static void only_its_own_file(void **state)
{
	char event[sizeof(struct inotify_event) + 256], path[512];
	struct fuse_file_info fi;
	uint64_t node;
	int watch;

	(void)state;
	watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	assert_true(watch >= 0);
	(void)snprintf(path, sizeof path, "%s/readers/other-reader.meta", fs_queue);
	assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);
	node = fs_node("readers/some");
	fi = fs_open(node, O_RDONLY);
	fs_release(node, &fi);
	assert_int_equal(read(watch, event, sizeof event), -1);
	assert_int_equal(errno, EAGAIN);
	node = fs_node("readers/other-reader");
	assert_true(read(watch, event, sizeof event) > 0);
	close(watch);
}

/* A file that has a reader's name and holds no position comes in its place. */
static void no_position(void **state)
{
	const uint64_t node = fs_node("readers/some");
	struct fuse_file_info fi = { .flags = O_RDONLY };
	char path[512], link[512];

	(void)state;
	(void)snprintf(path, sizeof path, "%s/readers/some.meta", fs_queue);
	(void)snprintf(link, sizeof link, "%s/readers/second", fs_queue);
	assert_int_equal(rename(path, link), 0);
	assert_int_equal(symlink("other-reader.meta", path), 0);
	chronfs_ops.open(fs_request(0, 0), node, &fi);
	fs_expect(0, ENOENT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(link, path), 0);
	fi = fs_open(node, O_RDONLY);
	fs_release(node, &fi);
}

/* A reader that is deleted after its name was looked up is not opened; who has it open reads on. */
static void deleted(void **state)
{
	const uint64_t node = fs_node("readers/some");
	struct fuse_file_info fi = fs_open(node, O_RDONLY), other = { .flags = O_RDONLY };

	(void)state;
	assert_int_equal(cq_reader_delete(fs_queue, "some"), 0);
	chronfs_ops.open(fs_request(0, 0), node, &other);
	fs_expect(0, ENOENT);
	assert_int_equal(look_up("some", 0), ENOENT);
	chronfs_ops.read(fs_request(0, 0), node, 4096, 0, &fi);
	fs_expect(0, 0);
	assert_true(requests[0].size > 0);
	fs_release(node, &fi);
	assert_true(fs_nothing_is_open());
}

/* ---- what the text says where something is unknown ---- */

static void of_the_future(struct cq_reader_info *info)
{
	info->next_time_ns = UINT64_MAX;
	info->heartbeat_ns = 0;
	info->pid = 0;
}

static void from_the_past(struct cq_reader_info *info)
{
	info->next_time_ns = 1;
	info->heartbeat_ns = 1000000001;
	info->pid = 77;
}

/* The value of this line of a reader's file. */
static const char *value_of(const char *key)
{
	static char value[64];
	const uint64_t node = fs_node("readers/some");
	struct fuse_file_info fi = fs_open(node, O_RDONLY);
	const char *line;

	chronfs_ops.read(fs_request(0, 0), node, 4096, 0, &fi);
	fs_expect(0, 0);
	fs_release(node, &fi);
	requests[0].bytes[requests[0].size] = '\0';
	line = strstr(requests[0].bytes, key);
	assert_non_null(line);
	assert_int_equal(sscanf(line + strlen(key), "%63s", value), 1);
	return value;
}

/* A record from after a clock that was set back has waited for no time; a reader that never said when it was
 * alive was not seen. */
static void what_is_not_known(void **state)
{
	(void)state;
	made_up.reader = of_the_future;
	assert_string_equal(value_of("lag_seconds"), "0.000000000");
	assert_string_equal(value_of("last_seen"), "-");
	assert_string_equal(value_of("pid"), "-");
	made_up.reader = from_the_past;
	assert_true(strtoull(value_of("lag_seconds"), NULL, 10) > 1000000000);
	assert_string_equal(value_of("last_seen"), "1970-01-01T00:00:01.000000001Z");
	assert_string_equal(value_of("pid"), "77");
}

/* ---- more readers than have room ---- */

#define MANY 40 /* the list of names grows twice */

static int many(cq_reader_visit_fn visit, void *arg)
{
	struct cq_reader_position position = { .segment = 0 };

	for (int i = MANY; i-- > 0;) {
		(void)snprintf(position.name, sizeof position.name, "reader%02d", i);
		visit(arg, &position);
	}
	return 0;
}

/* A listing without memory for a longer list of names fails; one that has it gives all, in order. */
static void no_memory_for_the_names(void **state)
{
	const uint64_t node = fs_node("readers");
	struct fuse_file_info fi = { 0 };
	int refused = 0;
	const char *at;
	char name[16];

	(void)state;
	made_up.readers = many;
	for (int failing = 1; failing < 100; failing++) {
		chronfs_ops.opendir(fs_request(1, 0), node, &fi);
		fs_expect(1, 0);
		fi = requests[1].opened;
		fs_request(0, 0);
		fs_calls_begin(failing);
		chronfs_ops.readdir(REQ(0), node, 8192, 0, &fi);
		fs_calls_end();
		chronfs_ops.releasedir(fs_request(1, 0), node, &fi);
		fs_expect(1, 0);
		assert_int_equal(requests[0].replies, 1);
		if (calls.error == 0)
			break;
		if (strcmp(calls.name, "realloc") == 0) {
			assert_int_equal(requests[0].error, ENOMEM);
			refused++;
		}
	}
	assert_int_equal(refused, 3);
	fs_expect(0, 0);
	at = requests[0].bytes;
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "reader%02d", i);
		at = memmem(at, requests[0].size - (size_t)(at - requests[0].bytes), name,
		            strlen(name));
		assert_non_null(at);
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(names, fs_setup, fs_teardown),
	cmocka_unit_test_setup_teardown(pieces, fs_setup, fs_teardown),
	cmocka_unit_test_setup_teardown(closed_at_once, fs_setup, fs_teardown),
	cmocka_unit_test_setup_teardown(only_its_own_file, fs_setup, fs_teardown),
	cmocka_unit_test_setup_teardown(no_position, fs_setup, fs_teardown),
	cmocka_unit_test_setup_teardown(what_is_not_known, fs_setup, fs_teardown),
	cmocka_unit_test_setup_teardown(no_memory_for_the_names, fs_setup, fs_teardown),
	cmocka_unit_test_setup_teardown(deleted, fs_setup_read_only, fs_teardown),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
