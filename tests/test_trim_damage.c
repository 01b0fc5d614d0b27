/* SPDX-License-Identifier: Apache-2.0 */
/* test_trim_damage.c - trims, where the oldest segment does not tell what is in it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "queue_support.h"
#include "writer.h"

#define OLDEST "000000000.q"

/* chronicle-rs's: of what its segments hold their headers say nothing. */
static void make_foreign(struct qs *q, const char *name)
{
	char golden[PATH_SIZE];

	qs_anew(q);
	q->config.segment_size = 0;
	support_golden(golden, name);
	support_copy(golden, q->dir);
}

/* Neither it nor the next one tells: nothing is deleted on suspicion. */
static void nobody_tells(void **state)
{
	struct qs *q = *state;

	make_foreign(q, "v2-killed");
	support_poke(q->dir, OLDEST, 64 + 64, "X", 1);
	qs_open(q);
	assert_int_equal(cq_writer_trim(q->writer, 10000, 10), -EBADMSG);
	assert_true(support_exists(q->dir, OLDEST));
}

/* Sealed without a record: below every number. */
static void empty_one(void **state)
{
	static const uint32_t sealed = 1;
	struct qs *q = *state;

	make_foreign(q, "v1-small");
	qs_zero(q->dir, OLDEST, 64, 4096);
	support_poke(q->dir, OLDEST, 12, &sealed, sizeof sealed);
	qs_open(q);
	assert_int_equal(cq_writer_trim(q->writer, 1, 10), 1);
	assert_false(support_exists(q->dir, OLDEST));
}

#ifdef CQ_FAULTS
/* Whatever call fails: it goes as a whole or stays, the answer is true, and the next trim is as good. */
static void calls_fail(void **state)
{
	static const char *const calls[] = { "open", "pread", "stat", "stat_at", "list",
		                             "next_name", "unlink", "seek_data" };
	static const uint64_t odd = 5;
	struct qs *q = *state;
	unsigned failed = 0;

	for (size_t i = 0; i < 4 * sizeof calls / sizeof calls[0]; i++) {
		const int error = i % 4 < 2 ? EIO : ENOMEM;
		bool given = true;

		for (int skip = 0; given; skip++) {
			int r;

			make_foreign(q, "v1-small"); /* 31 records, and 9 */
			if (i % 2) /* the last number is not the highest: all are looked at */
				support_poke(q->dir, OLDEST, 64 + 30 * 128 + 8, &odd, sizeof odd);
			qs_open(q);
			cq_fault_forget();
			cq_fault_set(calls[i / 4], error, skip, 1);
			r = cq_writer_trim(q->writer, 31, 10);
			cq_fault_set(NULL, 0, 0, 0);
			given = cq_fault_given() > 0;
			failed += r < 0;
			assert_true(r == 1 || (r < 0 && given));
			assert_int_equal(support_exists(q->dir, OLDEST), r < 0);
			assert_int_equal(cq_writer_trim(q->writer, 31, 10), r < 0);
			assert_false(support_exists(q->dir, OLDEST));
			qs_close(q);
		}
	}
	assert_true(failed > 10);
}
#endif

static const struct CMUnitTest tests[] = {
	QS_TEST(nobody_tells),
	QS_TEST(empty_one),
#ifdef CQ_FAULTS
	QS_TEST(calls_fail),
#endif
};

QS_MAIN(tests)
