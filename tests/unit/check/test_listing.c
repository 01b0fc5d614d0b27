/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_listing.c - an open that takes the list of segments from durable.meta decides as one that reads the
 * directory
 *
 * A copy of a queue has the same files and no list that holds, because it is another directory.  So each case
 * does the same to a queue whose list holds and to its copy, opens both, and compares: result, messages, numbers,
 * files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "files/fs_probe.h"
#include "files/listing.h"
#include "os/fault.h"
#include "os/io.h"
#include "queue_support.h"

#define AT offsetof(struct cq_durable_file, listing)

/* ---- what is counted and changed ---- */

static unsigned listings;
static uint64_t clock_ns; /* 0: the system's */
static bool whole_seconds, before_1970, known_nowhere;

int __real_cq_io_list(int dirfd, DIR **ret_dir);
int __wrap_cq_io_list(int dirfd, DIR **ret_dir);
int __real_cq_io_stat(int fd, struct stat *ret_stat);
int __wrap_cq_io_stat(int fd, struct stat *ret_stat);
bool __real_cq_fs_is_known(int dirfd);
bool __wrap_cq_fs_is_known(int dirfd);
int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);

int __wrap_cq_io_list(int dirfd, DIR **ret_dir)
{
	listings++;
	return __real_cq_io_list(dirfd, ret_dir);
}

int __wrap_cq_io_stat(int fd, struct stat *ret_stat)
{
	int r = __real_cq_io_stat(fd, ret_stat);

	if (r == 0 && whole_seconds)
		ret_stat->st_ctim.tv_nsec = 0;
	if (r == 0 && before_1970)
		ret_stat->st_ctim.tv_sec = -1;
	return r;
}

bool __wrap_cq_fs_is_known(int dirfd)
{
	return !known_nowhere && __real_cq_fs_is_known(dirfd);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int r = __real_clock_gettime(clock, ret_time);

	if (clock == CLOCK_REALTIME && clock_ns > 0) {
		ret_time->tv_sec = (time_t)(clock_ns / 1000000000U);
		ret_time->tv_nsec = (long)(clock_ns % 1000000000U);
	}
	return r;
}

static int setup(void **state)
{
	clock_ns = 0;
	whole_seconds = before_1970 = known_nowhere = false;
	support_in_memory();
	return qs_setup(state);
}

#define LISTING_TEST(test) cmocka_unit_test_setup_teardown(test, setup, qs_teardown)

/* ---- queues ---- */

/* How often an open that succeeds reads the directory. */
static unsigned open_and_close(struct qs *q)
{
	unsigned count;

	listings = 0;
	qs_open(q);
	count = listings;
	qs_close(q);
	return count;
}

/* Returns when the list in durable.meta holds.  That takes as long as the directory has just changed. */
static void remember(struct qs *q)
{
	struct stat st;

	assert_int_equal(fstat(q->dirfd, &st), 0);
	if (!cq_fs_is_known(q->dirfd) || st.st_ctim.tv_nsec == 0)
		skip(); /* no list is kept here */
	while (open_and_close(q) > 0)
		;
	q->log[0] = '\0';
	q->log_length = 0;
}

/* Segments 0 to 4 are full, and below the watermark, which is at the end of 4; a spare follows. */
static void make(struct qs *q)
{
	qs_open_synced(q, 5);
	qs_close(q);
	remember(q);
}

static struct qs copy_of(const struct qs *q)
{
	struct qs copy = { .config = q->config };

	memcpy(copy.base, q->base, sizeof copy.base);
	support_path(copy.dir, q->base, "copy");
	assert_int_equal(mkdir(copy.dir, 0750), 0);
	support_copy(q->dir, copy.dir);
	copy.dirfd = open(copy.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(copy.dirfd >= 0);
	return copy;
}

/* ---- changes ---- */

static void segment_path(char path[PATH_SIZE], const char *dir, uint32_t id)
{
	char name[32];

	snprintf(name, sizeof name, "%09u.q", id);
	support_path(path, dir, name);
}

static void gone(const char *dir, uint32_t id)
{
	char path[PATH_SIZE];

	segment_path(path, dir, id);
	assert_int_equal(unlink(path), 0);
}

static void duplicate(const char *dir, uint32_t from, uint32_t to)
{
	char path[PATH_SIZE];
	size_t size;
	char *bytes;

	segment_path(path, dir, from);
	bytes = support_slurp(path, &size);
	segment_path(path, dir, to);
	qs_write_file(dir, path + strlen(dir) + 1, bytes, size);
	free(bytes);
}

static void renamed(const char *dir, uint32_t from, uint32_t to)
{
	char source[PATH_SIZE], target[PATH_SIZE];

	segment_path(source, dir, from);
	segment_path(target, dir, to);
	assert_int_equal(rename(source, target), 0);
}

static void oldest_deleted(const char *dir)
{
	gone(dir, 0);
}

static void hole_made(const char *dir)
{
	gone(dir, 2);
}

static void before_current_deleted(const char *dir)
{
	gone(dir, 3);
}

static void current_deleted(const char *dir)
{
	gone(dir, 4);
}

static void newest_three_deleted(const char *dir)
{
	gone(dir, 3);
	gone(dir, 4);
	gone(dir, 5);
}

static void all_deleted(const char *dir)
{
	for (uint32_t id = 0; id <= 5; id++)
		gone(dir, id);
}

static void spare_deleted(const char *dir)
{
	gone(dir, 5);
}

static void spare_added(const char *dir)
{
	qs_make_segment(dir, 6, QS_SIZE);
}

static void spare_behind_a_gap(const char *dir)
{
	qs_make_segment(dir, 8, QS_SIZE);
}

static void records_behind_a_gap(const char *dir)
{
	duplicate(dir, 1, 9);
}

static void older_one_added(const char *dir)
{
	gone(dir, 0);
	gone(dir, 1);
	duplicate(dir, 2, 0);
}

static void sealed_one_renamed(const char *dir)
{
	renamed(dir, 2, 7);
}

static void spare_renamed(const char *dir)
{
	renamed(dir, 5, 6);
}

/* The names are the same as before. */
static void current_replaced(const char *dir)
{
	duplicate(dir, 3, 100);
	renamed(dir, 100, 4);
}

static void current_is_a_link(const char *dir)
{
	char path[PATH_SIZE];

	gone(dir, 4);
	segment_path(path, dir, 4);
	assert_int_equal(symlink("000000003.q", path), 0);
}

static void temp_file_left(const char *dir)
{
	qs_write_file(dir, "000000006.q.tmp", "x", 1);
}

static void directory_in_a_temp_place(const char *dir)
{
	char path[PATH_SIZE];

	support_path(path, dir, "000000006.q.new.tmp");
	assert_int_equal(mkdir(path, 0700), 0);
}

static void control_deleted(const char *dir)
{
	char path[PATH_SIZE];

	support_path(path, dir, "control.meta");
	assert_int_equal(unlink(path), 0);
}

/* Whoever sets the directory's times back cannot set back the time of the change. */
static void hole_made_and_times_set_back(const char *dir)
{
	struct timespec times[2];
	struct stat st;

	assert_int_equal(stat(dir, &st), 0);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	gone(dir, 2);
	assert_int_equal(utimensat(AT_FDCWD, dir, times, 0), 0);
}

/* ---- the same verdict ---- */

static int is_segment_file(const struct dirent *entry)
{
	return strstr(entry->d_name, ".q") || strstr(entry->d_name, ".idx") ||
	       strstr(entry->d_name, ".tmp");
}

/* The names, and what the files hold that are not small ones of the queue. */
static void compare_files(const char *dir, const char *other)
{
	struct dirent **entries;
	int count = scandir(dir, &entries, is_segment_file, alphasort);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		char path[PATH_SIZE], path_there[PATH_SIZE], *bytes, *bytes_there;
		size_t size, size_there;
		struct stat st, there;

		support_path(path, dir, entries[i]->d_name);
		support_path(path_there, other, entries[i]->d_name);
		assert_int_equal(lstat(path, &st), 0);
		assert_int_equal(lstat(path_there, &there), 0);
		assert_int_equal(st.st_mode, there.st_mode);
		free(entries[i]);
		if (!S_ISREG(st.st_mode))
			continue;
		bytes = support_slurp(path, &size);
		bytes_there = support_slurp(path_there, &size_there);
		assert_int_equal(size, size_there);
		assert_memory_equal(bytes, bytes_there, size);
		free(bytes);
		free(bytes_there);
	}
	free(entries);
	assert_int_equal(qs_count_names(dir, ""), qs_count_names(other, ""));
}

static void compare_stats(struct qs *q, struct qs *copy)
{
	const struct cq_stats here = qs_stats(q->writer), there = qs_stats(copy->writer);

	assert_int_equal(here.next_seq, there.next_seq);
	assert_int_equal(here.segment, there.segment);
	assert_int_equal(here.offset, there.offset);
	assert_int_equal(here.stream_end, there.stream_end);
	assert_int_equal(here.epoch, there.epoch);
	assert_int_equal(here.oldest, there.oldest);
	assert_int_equal(here.file_bytes, there.file_bytes);
}

/* Opens the queue, which is changed, and its copy, which is changed in the same way. */
static void same_verdict(struct qs *q, struct qs *copy, int expected)
{
	int r, there;

	listings = 0;
	r = qs_try_open(q);
	assert_true(listings > 0);
	copy->config.log_arg = copy;
	there = qs_try_open(copy);
	assert_int_equal(r, there);
	assert_int_equal(r, expected);
	assert_string_equal(q->log, copy->log);
	if (r == 0) {
		compare_stats(q, copy);
		qs_close(q);
		qs_close(copy);
	}
	compare_files(q->dir, copy->dir);
}

static void changed_directories(void **state)
{
	static const struct {
		const char *name;
		void (*change)(const char *dir);
		int open, open_accepting;
	} cases[] = {
		{ "oldest_deleted", oldest_deleted, 0, 0 },
		{ "hole_made", hole_made, 0, 0 },
		{ "before_current_deleted", before_current_deleted, 0, 0 },
		{ "current_deleted", current_deleted, -EBADMSG, 0 },
		{ "newest_three_deleted", newest_three_deleted, -EBADMSG, 0 },
		{ "all_deleted", all_deleted, -EBADMSG, 0 },
		{ "spare_deleted", spare_deleted, 0, 0 },
		{ "spare_added", spare_added, 0, 0 },
		{ "spare_behind_a_gap", spare_behind_a_gap, 0, 0 },
		{ "records_behind_a_gap", records_behind_a_gap, 0, 0 },
		{ "older_one_added", older_one_added, 0, 0 },
		{ "sealed_one_renamed", sealed_one_renamed, 0, 0 },
		{ "spare_renamed", spare_renamed, 0, 0 },
		{ "current_replaced", current_replaced, -EBADMSG, 0 },
		{ "current_is_a_link", current_is_a_link, -EBADMSG, 0 },
		{ "temp_file_left", temp_file_left, 0, 0 },
		{ "directory_in_a_temp_place", directory_in_a_temp_place, -EBADMSG, -EBADMSG },
		{ "control_deleted", control_deleted, 0, 0 },
		{ "hole_made_and_times_set_back", hole_made_and_times_set_back, 0, 0 },
	};
	struct qs *q = *state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (int accept = 0; accept < 2; accept++) {
			struct qs_snapshot before;
			struct qs copy;

			print_message("# %s%s\n", cases[i].name, accept ? ", loss accepted" : "");
			qs_anew(q);
			q->config.accept_loss = accept;
			make(q);
			copy = copy_of(q);
			cases[i].change(q->dir);
			cases[i].change(copy.dir);
			qs_snapshot(q->dir, &before);
			same_verdict(q, &copy, accept ? cases[i].open_accepting : cases[i].open);
			if (!accept && cases[i].open < 0)
				qs_unchanged(q->dir, &before);
			else
				free(before.bytes);
			close(copy.dirfd);
			support_remove(copy.dir);
		}
	}
}

/* The list counts the files for max_bytes, too. */
static void limit_by_the_list(void **state)
{
	struct qs *q = *state;

	make(q);
	q->config.max_bytes = 7 * (uint64_t)QS_SIZE;
	listings = 0;
	qs_open(q);
	assert_int_equal(listings, 0);
	assert_int_equal(qs_stats(q->writer).file_bytes, 6 * QS_SIZE);
	assert_int_equal(qs_stats(q->writer).oldest, 0);
	qs_append(q->writer, 155, 31); /* rolls; the next spare is the seventh file */
	qs_prepare(q->writer);
	assert_int_equal(qs_stats(q->writer).file_bytes, 7 * QS_SIZE);
	qs_append(q->writer, 186, 31);
	assert_int_equal(cq_writer_append(q->writer, CQ_TYPE_DEFAULT, "x", 1, NULL), -EDQUOT);
	qs_close(q);
}

/* ---- when the list holds, and when not ---- */

static void nothing_has_changed(void **state)
{
	struct qs *q = *state;

	qs_write(q, 0, 70);
	remember(q);
	qs_write(q, 70, 5);
	assert_int_equal(open_and_close(q), 0);
	/* a kill changes nothing either */
	qs_killed_writer(q, 75, 5);
	assert_int_equal(open_and_close(q), 0);
	/* segments beside those of the list; the close makes the next list, or the next open reads */
	qs_write(q, 80, 100);
	(void)open_and_close(q);
	qs_expect(q->dir, 0, 180);
	remember(q);
	qs_expect(q->dir, 0, 180);
	qs_format_check(q->dir, "--closed");
}

static void other_directories(void **state)
{
	struct qs *q = *state, copy;
	char moved[PATH_SIZE];

	make(q);
	copy = copy_of(q);
	assert_true(open_and_close(&copy) > 0);
	close(copy.dirfd);
	/* the copy in the queue's place */
	support_path(moved, q->base, "moved");
	assert_int_equal(rename(q->dir, moved), 0);
	assert_int_equal(rename(copy.dir, q->dir), 0);
	assert_true(open_and_close(q) > 0);
	qs_expect(q->dir, 0, 155);
}

/* The file of an older state in the place of the newer one; and one of another queue. */
static void older_durable_file(void **state)
{
	uint8_t older[sizeof(struct cq_durable_file)];
	struct qs *q = *state;

	make(q);
	support_peek(q->dir, "durable.meta", 0, older, sizeof older);
	qs_write(q, 155, 62);
	remember(q);
	support_poke(q->dir, "durable.meta", AT, older + AT, sizeof older - AT);
	assert_true(open_and_close(q) > 0);
	assert_int_equal(open_and_close(q), 0);
	qs_expect(q->dir, 0, 217);
}

static void store(struct qs *q, struct cq_listing_record record)
{
	record.crc = qs_crc32(&record, offsetof(struct cq_listing_record, crc));
	support_poke(q->dir, "durable.meta", AT, &record, sizeof record);
}

static void another_state_of_the_machine(void **state)
{
	struct cq_listing_record record, other;
	struct qs *q = *state;

	make(q);
	support_peek(q->dir, "durable.meta", AT, &record, sizeof record);
	for (int i = 0; i < 4; i++) {
		other = record;
		other.boot_id[7] ^= i == 0;
		other.device += i == 1;
		other.inode += i == 2;
		other.changed_ns -= i == 3;
		store(q, other);
		assert_true(open_and_close(q) > 0);
		assert_int_equal(open_and_close(q), 0);
	}
}

static void damaged_lists(void **state)
{
	struct qs *q = *state;

	make(q);
	for (size_t i = 0; i < offsetof(struct cq_listing_record, reserved); i++) {
		uint8_t byte;

		support_peek(q->dir, "durable.meta", AT + i, &byte, 1);
		byte ^= 0x10;
		support_poke(q->dir, "durable.meta", AT + i, &byte, 1);
		assert_true(open_and_close(q) > 0);
		qs_expect(q->dir, 0, 155);
	}
	assert_false(qs_logged(q, "missing"));
	assert_int_equal(open_and_close(q), 0);
}

/* Names gone without a change of the directory's time, as after fsck: what recovery needs is not there. */
static void wrong_lists(void **state)
{
	struct cq_listing_record record, wrong;
	struct qs *q = *state;

	make(q);
	gone(q->dir, 0);
	remember(q);
	support_peek(q->dir, "durable.meta", AT, &record, sizeof record);
	assert_int_equal(record.oldest, 1);
	assert_int_equal(record.newest, 5);
	for (int i = 0; i < 2; i++) {
		wrong = record;
		wrong.oldest -= i == 0;
		wrong.newest += i == 1;
		store(q, wrong);
		assert_true(open_and_close(q) > 0);
		qs_expect(q->dir, 31, 124);
		store(q, record);
	}
}

/* A right checksum is not enough. */
static void impossible_numbers(void **state)
{
	struct cq_listing_record record, wrong;
	struct qs *q = *state;

	make(q);
	support_peek(q->dir, "durable.meta", AT, &record, sizeof record);
	for (int i = 0; i < 2; i++) {
		wrong = record;
		wrong.oldest = i == 0 ? record.newest + 1 : CQ_SEGMENT_ID_MAX;
		wrong.newest = i == 0 ? record.newest : CQ_SEGMENT_ID_MAX + 1;
		store(q, wrong);
		assert_true(open_and_close(q) > 0);
		qs_expect(q->dir, 0, 155);
		store(q, record);
		assert_int_equal(open_and_close(q), 0);
	}
}

/* No list says that there is no segment, or that there is a temp name. */
static void nothing_to_list(void **state)
{
	static const char *const temps[] = { NULL, "000000007.q.tmp", NULL };
	struct qs *q = *state;
	char dir[PATH_SIZE], path[PATH_SIZE];
	int dirfd, fd;

	make(q);
	support_path(dir, q->base, "other");
	support_path(path, q->base, "durable");
	assert_int_equal(mkdir(dir, 0750), 0);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(dirfd >= 0 && fd >= 0);
	for (size_t i = 0; i < 3; i++) {
		struct cq_listing_record record = { .newest = 0 };

		if (i > 0)
			qs_write_file(dir, "000000006.q", "x", 1);
		if (temps[i])
			qs_write_file(dir, temps[i], "x", 1);
		clock_ns = UINT64_MAX / 2;
		listings = 0;
		cq_listing_store(dirfd, fd);
		clock_ns = 0;
		assert_true(listings > 0);
		(void)!pread(fd, &record, sizeof record, AT);
		assert_int_equal(record.newest, i == 2 ? 6 : 0);
		if (temps[i])
			assert_int_equal(unlinkat(dirfd, temps[i], 0), 0);
	}
	close(dirfd);
	close(fd);
}

static struct cq_listing_record stored_at(struct qs *q, uint64_t since_the_change)
{
	static const struct cq_listing_record none;
	struct cq_listing_record record;
	struct stat st;

	support_poke(q->dir, "durable.meta", AT, &none, sizeof none);
	qs_open(q);
	assert_int_equal(fstat(q->dirfd, &st), 0);
	clock_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000U + (uint64_t)st.st_ctim.tv_nsec +
	           since_the_change;
	qs_close(q);
	clock_ns = 0;
	support_peek(q->dir, "durable.meta", AT, &record, sizeof record);
	return record;
}

/* Another change may have the same time; or the clock was set back. */
static void directory_that_has_just_changed(void **state)
{
	struct qs *q = *state;

	make(q);
	assert_int_equal(stored_at(q, 0).changed_ns, 0);
	assert_int_equal(stored_at(q, 10000000).changed_ns, 0); /* a tick of 100 Hz */
	assert_int_equal(stored_at(q, UINT64_MAX - 1000000000).changed_ns, 0);
	assert_int_not_equal(stored_at(q, 30000000).changed_ns, 0);
}

static void other_file_systems(void **state)
{
	struct qs *q = *state;

	make(q);
	whole_seconds = true;
	assert_true(open_and_close(q) > 0);
	assert_true(open_and_close(q) > 0);
	whole_seconds = false;
	assert_int_equal(open_and_close(q), 0);
	before_1970 = true;
	assert_true(open_and_close(q) > 0);
	assert_true(open_and_close(q) > 0);
	before_1970 = false;
	assert_int_equal(open_and_close(q), 0);
	known_nowhere = true;
	assert_true(open_and_close(q) > 0);
	assert_true(open_and_close(q) > 0);
	gone(q->dir, 1);
	assert_true(open_and_close(q) > 0);
	assert_true(qs_logged(q, "segments 000000001 to 000000001 are missing"));
}

/* Each open names what is missing. */
static void hole_is_reported_each_time(void **state)
{
	struct qs *q = *state;

	make(q);
	gone(q->dir, 2);
	for (int i = 0; i < 3; i++) {
		q->log[0] = '\0';
		q->log_length = 0;
		assert_true(open_and_close(q) > 0);
		assert_true(qs_logged(q, "segments 000000002 to 000000002 are missing"));
		(void)stored_at(q, 1000000000);
	}
}

static void repair_reads_the_directory(void **state)
{
	struct cq_repair_config config = CQ_SIZED(config);
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs *q = *state;

	make(q);
	config.dry_run = true;
	listings = 0;
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	assert_true(listings > 0);
	assert_int_equal(result.steps, 0);
}

#ifdef CQ_FAULTS
static const char *kill_at;

static void close_and_die(struct qs *q)
{
	CHILD(setenv("CHRONQ_KILL", kill_at, 1) == 0);
	(void)stored_at(q, 1000000000);
}

static void killed_beside_the_store(void **state)
{
	static const char *const places[] = { "listing.read", "listing.stored" };
	struct qs *q = *state;

	make(q);
	for (uint32_t i = 0; i < 2; i++) {
		gone(q->dir, i);
		kill_at = places[i];
		qs_run_killed(close_and_die, q);
		if (i == 0)
			assert_true(open_and_close(q) > 0);
		else
			assert_int_equal(open_and_close(q), 0);
		qs_expect(q->dir, 31 * (i + 1), 155 - 31 * (i + 1));
		assert_false(qs_logged(q, "missing"));
	}
}

/* A close that cannot leave a list is a good close, and the next open reads the directory. */
static void list_that_cannot_be_made(void **state)
{
	static const char *const calls[] = { "list", "next_name", "pwrite" };
	struct qs *q = *state;

	make(q);
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
		gone(q->dir, (uint32_t)i);
		qs_open(q);
		cq_fault_set(calls[i], EIO, 0, -1);
		clock_ns = UINT64_MAX / 2;
		qs_close(q);
		clock_ns = 0;
		assert_true(cq_fault_given() > 0);
		cq_fault_set(NULL, 0, 0, 0);
		cq_fault_forget();
		assert_true(open_and_close(q) > 0);
		qs_expect(q->dir, 31 * (unsigned)(i + 1), 155 - 31 * (unsigned)(i + 1));
	}
}
#endif

static const struct CMUnitTest tests[] = {
	LISTING_TEST(changed_directories),
	LISTING_TEST(limit_by_the_list),
	LISTING_TEST(nothing_has_changed),
	LISTING_TEST(other_directories),
	LISTING_TEST(older_durable_file),
	LISTING_TEST(another_state_of_the_machine),
	LISTING_TEST(damaged_lists),
	LISTING_TEST(wrong_lists),
	LISTING_TEST(impossible_numbers),
	LISTING_TEST(nothing_to_list),
	LISTING_TEST(directory_that_has_just_changed),
	LISTING_TEST(other_file_systems),
	LISTING_TEST(hole_is_reported_each_time),
	LISTING_TEST(repair_reads_the_directory),
#ifdef CQ_FAULTS
	LISTING_TEST(killed_beside_the_store),
	LISTING_TEST(list_that_cannot_be_made),
#endif
};

QS_MAIN(tests)
