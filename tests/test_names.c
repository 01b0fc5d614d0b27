/* SPDX-License-Identifier: Apache-2.0 */
/* test_names.c - opening a queue without listing its directory, and never when it has changed */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format.h"
#include "look_support.h"
#include "names.h"
#include "writer.h"

/* A closed queue of 5 sealed segments, its current one and perhaps a spare, with its names stored:
 * what a close does for large ones. */
static void make_closed(struct qs *q)
{
	look_make(q, 5);
	cq_names_store(q->dirfd);
}

static bool known(struct qs *q)
{
	uint32_t *ids = NULL;
	size_t count = 0;
	int r = cq_names_read(q->dirfd, &ids, &count);

	assert_true(r == 0 || r == 1);
	if (r == 1) {
		assert_true(count >= 6);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(ids[i], i);
		free(ids);
	}
	return r == 1;
}

/* Opens and closes the queue; returns how often its directory was listed for the opening. */
static unsigned listings_of_open(struct qs *q)
{
	int events = look_watch(q->dir);
	unsigned listings;

	qs_open(q);
	listings = look_opened(events, 0).listings;
	close(events);
	qs_close(q);
	assert_true(listings > 0);
	return listings - 1; /* the opening itself */
}

static void file(const char *dir, const char *name)
{
	qs_write_file(dir, name, "x", 1);
}

static void closed_and_opened(void **state)
{
	struct qs *q = *state;

	assert_false(known(q));
	make_closed(q);
	assert_true(known(q));
	qs_format_check(q->dir, "--closed");
	assert_int_equal(listings_of_open(q), 0);
	qs_expect(q->dir, 0, 5 * LOOK_PER_SEGMENT + 5);
}

static void what_ends_it(void **state)
{
	struct qs *q = *state;
	char from[PATH_SIZE], to[PATH_SIZE];

	make_closed(q);
	file(q->dir, "000000007.q.tmp");
	assert_false(known(q));
	assert_true(listings_of_open(q) > 0);
	assert_false(support_exists(q->dir, "000000007.q.tmp"));

	cq_names_store(q->dirfd);
	assert_true(known(q));
	look_delete(q->dir, 2, 3);
	assert_false(known(q));
	cq_names_store(q->dirfd); /* an id is missing */
	assert_false(known(q));

	qs_anew(q);
	make_closed(q);
	support_path(from, q->dir, "000000002.q");
	support_path(to, q->dir, "set-aside");
	assert_int_equal(rename(from, to), 0);
	assert_false(known(q));
	assert_int_equal(rename(to, from), 0); /* the same names, but who knows what happened */
	assert_false(known(q));

	cq_names_store(q->dirfd);
	assert_true(known(q));
	assert_int_equal(utimensat(AT_FDCWD, q->dir, NULL, 0), 0);
	assert_false(known(q));
}

/* What a program changes in the same tick as it was stored shows all the same. */
static void changed_at_once(void **state)
{
	struct qs *q = *state;

	make_closed(q);
	for (int i = 0; i < 50; i++) {
		cq_names_store(q->dirfd);
		file(q->dir, "other");
		assert_false(known(q));
		cq_names_store(q->dirfd);
		look_delete_name(q->dir, "other");
		assert_false(known(q));
	}
}

static void wrong_records(void **state)
{
	static const struct {
		uint64_t at;
		uint32_t value;
	} wrong[] = {
		{ 24, 1 }, { 28, 9 }, { 32, 0 }, { 0, 1 }, { 8, 1 }, { 16, 1 },
	};
	struct qs *q = *state;
	struct cq_names_record record, broken;

	make_closed(q);
	support_peek(q->dir, CQ_DURABLE_NAME, CQ_NAMES_OFFSET, &record, sizeof record);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		support_poke(q->dir, CQ_DURABLE_NAME, CQ_NAMES_OFFSET + wrong[i].at,
		             &wrong[i].value, 4);
		assert_false(known(q));
		support_poke(q->dir, CQ_DURABLE_NAME, CQ_NAMES_OFFSET, &record, sizeof record);
		assert_true(known(q));
	}
	/* a sound CRC over what cannot be */
	for (int i = 0; i < 3; i++) {
		broken = record;
		broken.oldest = i == 0 ? 3 : 0;
		broken.newest = i == 0 ? 2 : i == 1 ? 9 : 1000000000;
		broken.crc = qs_crc32(&broken, 32);
		support_poke(q->dir, CQ_DURABLE_NAME, CQ_NAMES_OFFSET, &broken, sizeof broken);
		assert_false(known(q));
	}
	support_poke(q->dir, CQ_DURABLE_NAME, CQ_NAMES_OFFSET, &record, sizeof record);
	assert_true(known(q));
}

static void append_and_die(struct qs *q)
{
	qs_killed_writer(q, 5 * LOOK_PER_SEGMENT + 5, 3 * LOOK_PER_SEGMENT);
}

/* A writer that was killed has made segments, and perhaps left a temp file. */
static void killed_afterwards(void **state)
{
	struct qs *q = *state;

	make_closed(q);
	append_and_die(q);
	assert_false(known(q));
	assert_true(listings_of_open(q) > 0);
	qs_expect(q->dir, 0, 8 * LOOK_PER_SEGMENT + 5);
}

static void a_copy_is_listed(void **state)
{
	struct qs *q = *state;
	char original[PATH_SIZE];
	struct stat st;

	make_closed(q);
	assert_int_equal(stat(q->dir, &st), 0);
	support_path(original, q->base, "original");
	assert_int_equal(rename(q->dir, original), 0);
	assert_int_equal(mkdir(q->dir, 0750), 0);
	support_copy(original, q->dir);
	look_delete(q->dir, 1, 2);
	assert_int_equal(
		utimensat(AT_FDCWD, q->dir, (struct timespec[]){ st.st_atim, st.st_mtim }, 0), 0);
	close(q->dirfd);
	q->dirfd = open(q->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(q->dirfd >= 0);
	assert_false(known(q));
}

/* A close of a queue that is large enough. */
static void large_queue(void **state)
{
	struct qs *q = *state;

	q->config.retain_segments = CQ_NAMES_MANY + 20;
	assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
	for (unsigned i = 0; i < CQ_NAMES_MANY + 50; i++) {
		qs_append(q->writer, i, 1);
		assert_int_equal(cq_writer_roll(q->writer), 0);
		if (i == CQ_NAMES_MANY - 10) {
			qs_close(q);
			assert_true(listings_of_open(q) > 0); /* not yet */
			assert_int_equal(cq_writer_open(q->dir, &q->config, &q->writer), 0);
		}
	}
	qs_close(q);
	assert_int_equal(listings_of_open(q), 0);
	qs_open(q);
	qs_append(q->writer, CQ_NAMES_MANY + 50, 1);
	qs_close(q);
	assert_int_equal(listings_of_open(q), 0);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(closed_and_opened), QS_TEST(what_ends_it),      QS_TEST(changed_at_once),
	QS_TEST(wrong_records),     QS_TEST(killed_afterwards), QS_TEST(a_copy_is_listed),
	QS_TEST(large_queue),
};

QS_MAIN(tests)
