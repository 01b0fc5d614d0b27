/* SPDX-License-Identifier: Apache-2.0 */
/* test_rules.c - which segments may go */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "retention/rules.h"

#define NOW 1000000U

static const struct cq_reader_seen reader_at_5 = { .segment = 5, .changed_ms = NOW - 500 };
static const struct cq_reader_seen reader_at_2 = { .segment = 2, .changed_ms = NOW - 500 };

/* Segments of 1000 bytes, 2 to 9, the current one being 9. */
static const struct {
	const char *what;
	struct cq_config config;
	uint64_t oldest_age_ms;
	const struct cq_reader_seen *reader;
	uint32_t keep_from;
} cases[] = {
	{ "no limit", { .retain_segments = 0 }, 1U << 30, NULL, 2 },
	{ "as many as allowed", { .retain_segments = 8 }, 0, NULL, 2 },
	{ "one too many", { .retain_segments = 7 }, 0, NULL, 3 },
	{ "only the current one", { .retain_segments = 1 }, 0, NULL, 9 },
	{ "as many bytes as allowed", { .retain_bytes = 8000 }, 0, NULL, 2 },
	{ "a byte too many", { .retain_bytes = 7999 }, 0, NULL, 3 },
	{ "fewer bytes than one segment", { .retain_bytes = 1 }, 0, NULL, 9 },
	{ "the stricter one counts", { .retain_segments = 6, .retain_bytes = 4000 }, 0, NULL, 6 },
	{ "and the other way round", { .retain_segments = 3, .retain_bytes = 6000 }, 0, NULL, 7 },
	{ "too old", { .retain_age_ms = 100 }, 101, NULL, 3 },
	{ "not yet too old", { .retain_age_ms = 100 }, 100, NULL, 2 },
	{ "many, but young", { .retain_segments = 5, .retain_age_ms = 100 }, 0, NULL, 5 },
	{ "too old, and too many", { .retain_segments = 5, .retain_age_ms = 100 }, 101, NULL, 5 },
	{ "a reader in the middle", { .retain_segments = 1 }, 0, &reader_at_5, 5 },
	{ "a reader at the oldest", { .retain_segments = 1 }, 0, &reader_at_2, 2 },
	{ "a reader and age", { .retain_age_ms = 1 }, 5, &reader_at_2, 2 },
	{ "a live reader", { .retain_segments = 1, .reader_ttl_ms = 500 }, 0, &reader_at_5, 5 },
	{ "a dead reader", { .retain_segments = 1, .reader_ttl_ms = 499 }, 0, &reader_at_5, 9 },
	{ "not too far behind",
	  { .retain_segments = 1, .reader_max_lag_bytes = 4000 },
	  0,
	  &reader_at_5,
	  5 },
	{ "too far behind",
	  { .retain_segments = 1, .reader_max_lag_bytes = 3999 },
	  0,
	  &reader_at_5,
	  9 },
};

static void what_may_go(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct cq_situation situation = {
			.oldest = 2,
			.current = 9,
			.segment_size = 1000,
			.oldest_age_ms = cases[i].oldest_age_ms,
			.now_ms = NOW,
			.readers = cases[i].reader,
			.reader_count = cases[i].reader ? 1 : 0,
		};
		uint32_t keep = cq_rules_keep_from(&cases[i].config, &situation);

		if (keep != cases[i].keep_from)
			print_error("%s\n", cases[i].what);
		assert_int_equal(keep, cases[i].keep_from);
	}
}

/* However old it is. */
static void the_current_one_stays(void **state)
{
	const struct cq_config config = { .retain_age_ms = 1 };
	const struct cq_situation situation = {
		.oldest = 9, .current = 9, .segment_size = 1000, .oldest_age_ms = 1000
	};

	(void)state;
	assert_int_equal(cq_rules_keep_from(&config, &situation), 9);
}

static void several_readers(void **state)
{
	const struct cq_reader_seen readers[] = {
		{ .segment = 8, .changed_ms = NOW },
		{ .segment = 4, .changed_ms = NOW },
		{ .segment = 3, .changed_ms = NOW - 5000 },
		{ .segment = 700, .changed_ms = NOW },
	};
	const struct cq_situation situation = { .oldest = 2,
		                                .current = 9,
		                                .segment_size = 1000,
		                                .now_ms = NOW,
		                                .readers = readers,
		                                .reader_count = 4 };
	struct cq_config config = { .retain_segments = 1, .reader_ttl_ms = 1000 };

	(void)state;
	assert_int_equal(cq_rules_keep_from(&config, &situation), 4);
	config.reader_ttl_ms = 0; /* always live */
	assert_int_equal(cq_rules_keep_from(&config, &situation), 3);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(what_may_go),
	cmocka_unit_test(the_current_one_stays),
	cmocka_unit_test(several_readers),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
