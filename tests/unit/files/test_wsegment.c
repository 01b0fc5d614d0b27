/* SPDX-License-Identifier: Apache-2.0 */
/* test_wsegment.c - prepare, publish, open or create, take, seal; what failures leave behind */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files/dir.h"
#include "files/wsegment.h"
#include "format/record.h"
#include "os/fault.h"
#include "os/mapping.h"
#include "queue_support.h"

#define TEMP "000000007.q.tmp"
#define TEMP_FALLBACK "000000007.q.new.tmp"
#define NAME "000000007.q"

static struct cq_wsegment *prepared(struct qs *q, enum cq_preparer by)
{
	struct cq_wsegment *s = NULL;

	assert_int_equal(cq_wsegment_prepare(q->dirfd, 7, QS_SIZE, by, &s), 0);
	return s;
}

/* The header of a segment that no writer has taken: all but magic, version and id is zero. */
static void expect_empty_segment(struct qs *q, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(q->dirfd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_size, QS_SIZE);
	assert_true(st.st_blocks * 512 >= QS_SIZE); /* its blocks are allocated */
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(qs_peek32(q->dir, name, 0), 0x53454730);
	assert_int_equal(qs_peek32(q->dir, name, 4), 2);
	assert_int_equal(qs_peek32(q->dir, name, 8), 7);
	assert_true(qs_all_zero(q->dir, name, 12, QS_SIZE));
}

static void prepare_then_publish(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *s = prepared(q, CQ_BY_PREPARER), *again;

	assert_false(s->published);
	expect_empty_segment(q, TEMP);
	assert_false(support_exists(q->dir, NAME));
	assert_int_equal(cq_wsegment_publish(q->dirfd, s), 0);
	assert_true(s->published);
	expect_empty_segment(q, NAME);
	assert_false(support_exists(q->dir, TEMP));
	cq_wsegment_discard(q->dirfd, s); /* published: stays */
	assert_true(cq_wsegment_is_fresh(s));
	assert_int_equal(cq_wsegment_open(q->dirfd, 7, QS_SIZE, &again), 0);
	s->map.base[QS_SIZE - 1] = 'S';
	assert_int_equal(again->map.base[QS_SIZE - 1], 'S');
	cq_wsegment_free(again);
	cq_wsegment_free(s);
	assert_true(support_exists(q->dir, NAME));
}

static void preparers_have_names_of_their_own(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *a = prepared(q, CQ_BY_PREPARER), *b = prepared(q, CQ_BY_ROLL);

	assert_true(support_exists(q->dir, TEMP));
	assert_true(support_exists(q->dir, TEMP_FALLBACK));
	assert_int_equal(cq_wsegment_publish(q->dirfd, b), 0);
	assert_int_equal(cq_wsegment_publish(q->dirfd, a), -EEXIST);
	cq_wsegment_discard(q->dirfd, a);
	cq_wsegment_free(a);
	cq_wsegment_free(b);
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
	assert_true(support_exists(q->dir, NAME));
}

static void prepare_replaces_a_leftover(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *s;

	qs_write_file(q->dir, TEMP, "left over", 9);
	s = prepared(q, CQ_BY_PREPARER);
	expect_empty_segment(q, TEMP);
	cq_wsegment_discard(q->dirfd, s);
	cq_wsegment_free(s);
	assert_int_equal(qs_count_names(q->dir, ""), 2); /* . and .. */
}

static void publish_over_an_existing_name(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *s = prepared(q, CQ_BY_PREPARER);
	struct qs_snapshot before;
	struct stat a, b;

	qs_make_segment(q->dir, 7, QS_SIZE);
	support_poke(q->dir, NAME, 2000, "final", 5);
	support_poke(q->dir, TEMP, 3000, "temporary", 9);
	assert_int_equal(fstatat(q->dirfd, NAME, &a, 0), 0);
	qs_snapshot(q->dir, &before);
	assert_int_equal(cq_wsegment_publish(q->dirfd, s), -EEXIST);
	assert_false(s->published);
	assert_int_equal(fstatat(q->dirfd, NAME, &b, 0), 0);
	assert_true(a.st_ino == b.st_ino);
	qs_unchanged(q->dir, &before);
	cq_wsegment_free(s);
}

/* A segment of this id, with a byte of its own. */
static void make_existing(struct qs *q, struct qs_snapshot *ret_before)
{
	qs_make_segment(q->dir, 7, QS_SIZE);
	support_poke(q->dir, NAME, 4001, "S", 1);
	qs_snapshot(q->dir, ret_before);
}

/* open_or_create() opens it, and changes nothing. */
static void expect_opened(struct qs *q, struct qs_snapshot *before)
{
	struct cq_wsegment *s;

	assert_int_equal(cq_wsegment_open_or_create(q->dirfd, 7, QS_SIZE, &s), 0);
	assert_int_equal(s->map.base[4001], 'S');
	assert_true(s->published);
	qs_unchanged(q->dir, before);
	cq_wsegment_free(s);
}

static void open_or_create_opens_what_exists(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;

	make_existing(q, &before);
	expect_opened(q, &before);
}

static void open_or_create_creates_what_is_missing(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *s;

	assert_int_equal(cq_wsegment_open_or_create(q->dirfd, 7, QS_SIZE, &s), 0);
	assert_true(s->published);
	expect_empty_segment(q, NAME);
	assert_int_equal(qs_count_names(q->dir, ".tmp"), 0);
	cq_wsegment_free(s);
}

static void create_new_refuses_an_existing_file(void **state)
{
	struct qs *q = *state;
	struct cq_mapping m = CQ_MAPPING_NONE;
	struct qs_snapshot before;

	qs_write_file(q->dir, "file", "precious", 8);
	assert_int_equal(symlinkat("nowhere", q->dirfd, "dangling"), 0);
	qs_snapshot(q->dir, &before);
	assert_int_equal(cq_mapping_create_new(&m, q->dirfd, "file", QS_SIZE), -EEXIST);
	assert_int_equal(cq_mapping_create_new(&m, q->dirfd, "dangling", QS_SIZE), -EEXIST);
	assert_null(m.base);
	assert_int_equal(m.fd, -1);
	qs_unchanged(q->dir, &before);
}

/* Pages are made present up to the end of the file. */
static void populate_ends_with_the_file(void **state)
{
	struct qs *q = *state;
	struct cq_mapping m = CQ_MAPPING_NONE;

	assert_int_equal(cq_mapping_create_new(&m, q->dirfd, "file", 2 * (size_t)QS_SIZE), 0);
	assert_int_equal(cq_mapping_populate(&m, 100, 2 * (size_t)QS_SIZE), 0);
	assert_int_equal(cq_mapping_populate(&m, QS_SIZE, SIZE_MAX), 0);
	assert_int_equal(cq_mapping_populate(&m, 1U << 20, 1), 0);
	cq_mapping_close(&m);
}

static void what_is_no_segment_is_not_opened(void **state)
{
	const uint32_t wrong[] = { 0x53454731, 3, 8 }, right[] = { 0x53454730, 2, 7 };
	struct qs *q = *state;
	struct qs_snapshot before;
	struct cq_wsegment *s = NULL;

	assert_int_equal(cq_wsegment_open(q->dirfd, 7, QS_SIZE, &s), -ENOENT);
	qs_make_segment(q->dir, 7, QS_SIZE);
	for (uint64_t i = 0; i < 3; i++) { /* magic, version, id */
		support_poke(q->dir, NAME, i * 4, &wrong[i], 4);
		qs_snapshot(q->dir, &before);
		assert_int_equal(cq_wsegment_open_or_create(q->dirfd, 7, QS_SIZE, &s), -EBADMSG);
		qs_unchanged(q->dir, &before);
		support_poke(q->dir, NAME, i * 4, &right[i], 4);
	}
	qs_snapshot(q->dir, &before);
	assert_int_equal(cq_wsegment_open(q->dirfd, 7, QS_SIZE * 2, &s), -EBADMSG);
	assert_int_equal(cq_wsegment_open(q->dirfd, 7, QS_SIZE / 2, &s), -EBADMSG);
	qs_unchanged(q->dir, &before);
	assert_int_equal(renameat(q->dirfd, NAME, q->dirfd, "other"), 0);
	assert_int_equal(symlinkat("other", q->dirfd, NAME), 0);
	assert_int_equal(cq_wsegment_open_or_create(q->dirfd, 7, QS_SIZE, &s), -ELOOP);
	assert_int_equal(unlinkat(q->dirfd, NAME, 0), 0);
	assert_int_equal(mkfifoat(q->dirfd, NAME, 0600), 0);
	assert_int_equal(cq_wsegment_open_or_create(q->dirfd, 7, QS_SIZE, &s), -EBADMSG);
	assert_null(s);
}

static void take_count_seal(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *s = prepared(q, CQ_BY_ROLL);
	const struct cq_segment_header *h = cq_wsegment_header(s);

	cq_wsegment_take(s, 100, 5000);
	assert_true(cq_segment_ext_valid(h));
	assert_int_equal(h->first_seq, 100);
	assert_int_equal(h->stream_base, 5000);
	assert_int_equal(h->records | h->used | h->payload_bytes | h->flags, 0);
	cq_wsegment_count(s, 64, 100, 9000, 1);
	cq_wsegment_count(s, 192, 101, 8000, 65); /* the clock may go back */
	assert_int_equal(s->used, 192 + 192);
	assert_int_equal(s->min_time, 8000);
	assert_int_equal(s->max_time, 9000);
	assert_int_equal(s->last_time, 8000);
	assert_int_equal(s->index_count, 1);
	assert_int_equal(h->used, 0);
	cq_wsegment_seal(s);
	assert_true(cq_segment_ext_valid(h));
	assert_int_equal(h->flags, CQ_SEALED);
	assert_int_equal(h->records, 2);
	assert_int_equal(h->used, 384);
	assert_int_equal(h->payload_bytes, 66);
	assert_false(cq_wsegment_is_fresh(s));
	cq_wsegment_free(s);
}

/* The numbers of a chronicle-rs that began again at 0: no summary could be true. */
static void discontiguous_numbers_get_no_summary(void **state)
{
	struct qs *q = *state;
	struct cq_wsegment *s = prepared(q, CQ_BY_ROLL);

	cq_wsegment_take(s, 100, 5000);
	cq_wsegment_count(s, 64, 100, 9000, 1);
	cq_wsegment_count(s, 192, 0, 9000, 1);
	cq_wsegment_seal(s);
	assert_int_equal(qs_peek32(q->dir, TEMP_FALLBACK, 12), CQ_SEALED);
	assert_true(qs_all_zero(q->dir, TEMP_FALLBACK, 16, 64));
	cq_wsegment_free(s);
}

#ifdef CQ_FAULTS
static void failures_leave_no_file(void **state)
{
	static const struct {
		const char *name;
		int error, result;
	} faults[] = {
		{ "create_new", EACCES, -EACCES },
		{ "allocate", ENOSPC, -ENOSPC },
		{ "allocate", EOPNOTSUPP, -EOPNOTSUPP },
		{ "map", ENOMEM, -ENOMEM },
		{ "populate", EFAULT, -EFAULT },
		{ "populate", ENOMEM, -ENOMEM },
		{ "rename_noreplace", EXDEV, -EXDEV },
		{ "rename_noreplace", EINVAL, -EOPNOTSUPP },
		{ "rename_noreplace", ENOSYS, -EOPNOTSUPP },
		{ "rename_noreplace", EIO, -EIO },
	};
	struct qs *q = *state;
	struct cq_wsegment *s = NULL;

	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		cq_fault_set(faults[i].name, faults[i].error, 0, -1);
		assert_int_equal(cq_wsegment_open_or_create(q->dirfd, 7, QS_SIZE, &s),
		                 faults[i].result);
		assert_null(s);
		assert_int_equal(qs_count_names(q->dir, ""), 2); /* . and .. */
	}
	/* Linux before 5.14 has no MADV_POPULATE_WRITE: that is slower, and no failure */
	cq_fault_set("populate", EINVAL, 0, -1);
	assert_int_equal(cq_wsegment_open_or_create(q->dirfd, 7, QS_SIZE, &s), 0);
	cq_wsegment_free(s);
	cq_fault_set(NULL, 0, 0, 0);
}

/* The file is missing at the open and exists at the publish: that file is used. */
static void open_or_create_opens_what_appeared_meanwhile(void **state)
{
	struct qs *q = *state;
	struct qs_snapshot before;

	make_existing(q, &before);
	cq_fault_set("open", ENOENT, 0, 1);
	expect_opened(q, &before);
	cq_fault_set(NULL, 0, 0, 0);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(prepare_then_publish),
	QS_TEST(preparers_have_names_of_their_own),
	QS_TEST(prepare_replaces_a_leftover),
	QS_TEST(publish_over_an_existing_name),
	QS_TEST(open_or_create_opens_what_exists),
	QS_TEST(open_or_create_creates_what_is_missing),
	QS_TEST(create_new_refuses_an_existing_file),
	QS_TEST(populate_ends_with_the_file),
	QS_TEST(what_is_no_segment_is_not_opened),
	QS_TEST(take_count_seal),
	QS_TEST(discontiguous_numbers_get_no_summary),
#ifdef CQ_FAULTS
	QS_TEST(failures_leave_no_file),
	QS_TEST(open_or_create_opens_what_appeared_meanwhile),
#endif
};

QS_MAIN(tests)
