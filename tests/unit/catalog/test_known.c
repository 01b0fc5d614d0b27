/* SPDX-License-Identifier: Apache-2.0 */
/* test_known.c - the table of sealed segments, against a plain array; the last contents */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "catalog/known.h"

#define IDS 20000U
#define CHUNK_BYTES (128 * sizeof(struct cq_known_segment) + sizeof(size_t))

struct fixture {
	struct cq_known known;
	uint32_t model[IDS]; /* 0: not there; else the generation that was put last */
	uint32_t seed;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	cq_known_init(&f->known);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cq_known_fini(&f->known);
	free(f);
	return 0;
}

static uint32_t any(struct fixture *f, uint32_t below)
{
	f->seed = f->seed * 1664525U + 1013904223U;
	return (uint32_t)((uint64_t)f->seed * below >> 32);
}

static struct cq_file_id file_of(uint32_t id, uint32_t generation)
{
	return (struct cq_file_id){ .inode = id + 7U, .modified_ns = generation, .changed_ns = 3 };
}

static void put(struct fixture *f, uint32_t id, uint32_t generation, uint32_t oldest)
{
	const struct cq_known_segment segment = {
		.file = file_of(id, generation),
		.payload_bytes = (uint64_t)id * 1000 + generation,
		.id = id,
		.have_payload = true,
	};

	cq_known_put(&f->known, &segment, oldest);
	f->model[id] = generation;
}

static void is_known(struct fixture *f, uint32_t id, bool known)
{
	const uint32_t generation = known ? f->model[id] : 1;
	struct cq_known_segment segment;

	assert_int_equal(cq_known_get(&f->known, id, file_of(id, generation), &segment), known);
	if (known) {
		assert_int_equal(segment.id, id);
		assert_int_equal(segment.payload_bytes, (uint64_t)id * 1000 + generation);
	}
}

static void as_in_the_model(struct fixture *f)
{
	for (uint32_t id = 0; id < IDS; id++)
		is_known(f, id, f->model[id] != 0);
}

static size_t bytes(const struct fixture *f)
{
	return f->known.count * CHUNK_BYTES + f->known.capacity * sizeof(void *);
}

static void ascending(void **state)
{
	struct fixture *f = *state;

	for (uint32_t id = 0; id < IDS; id++)
		put(f, id, 1, 0);
	as_in_the_model(f);
	assert_true(bytes(f) <= (size_t)IDS * 42);
}

static void descending(void **state)
{
	struct fixture *f = *state;

	for (uint32_t id = IDS; id-- > 0;)
		put(f, id, 1, 0);
	as_in_the_model(f);
	assert_true(bytes(f) <= (size_t)IDS * 90);
}

/* Whole chunks at both sides: what comes between them in descending order shares chunks, too. */
static void into_a_gap(void **state)
{
	struct fixture *f = *state;

	for (uint32_t id = 0; id < 128; id++)
		put(f, id, 1, 0);
	for (uint32_t id = IDS - 128; id < IDS; id++)
		put(f, id, 1, 0);
	for (uint32_t id = IDS - 129; id >= 128; id--)
		put(f, id, 1, 0);
	as_in_the_model(f);
	assert_true(bytes(f) <= (size_t)IDS * 90);
}

static void in_any_order(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 200000; i++) {
		const uint32_t id = any(f, IDS);

		if (any(f, 3) > 0) {
			put(f, id, i + 1, 0);
		} else {
			cq_known_forget(&f->known, id);
			f->model[id] = 0;
		}
	}
	as_in_the_model(f);
	for (uint32_t id = 0; id < IDS; id++)
		cq_known_forget(&f->known, id);
	assert_int_equal(f->known.count, 0);
}

static void another_file(void **state)
{
	const struct cq_file_id file = file_of(5, 1);
	struct cq_file_id others[3] = { file, file, file };
	struct fixture *f = *state;
	struct cq_known_segment segment;

	others[0].inode++;
	others[1].modified_ns++;
	others[2].changed_ns++;
	for (int i = 0; i < 3; i++) {
		put(f, 5, 1, 0);
		is_known(f, 5, true);
		assert_false(cq_known_get(&f->known, 5, others[i], &segment));
		is_known(f, 5, false); /* and it has been forgotten */
	}
}

static void payload_is_kept(void **state)
{
	struct fixture *f = *state;
	struct cq_known_segment segment = { .file = file_of(5, 1), .id = 5 };

	put(f, 5, 1, 0);
	cq_known_put(&f->known, &segment, 0); /* the same file, its payload not counted */
	is_known(f, 5, true);
	segment.file = file_of(5, 2); /* another file: what was counted is not its */
	cq_known_put(&f->known, &segment, 0);
	assert_true(cq_known_get(&f->known, 5, segment.file, &segment));
	assert_false(segment.have_payload);
}

/* A window that moves on: what falls out of it does not pile up. */
static void trimmed(void **state)
{
	struct fixture *f = *state;
	size_t most = 0;

	for (uint32_t id = 0; id < IDS; id++) {
		put(f, id, 1, id > 1000 ? id - 1000 : 0);
		if (bytes(f) > most)
			most = bytes(f);
	}
	for (uint32_t id = IDS - 1000; id < IDS; id++)
		is_known(f, id, true);
	is_known(f, IDS - 1500, false);
	assert_true(most <= (size_t)1300 * 42);
}

static bool has_content(struct fixture *f, uint32_t id, uint32_t generation, uint64_t records)
{
	struct cq_segment_content content = CQ_SIZED(content);

	if (!cq_known_get_content(&f->known, id, file_of(id, generation), &content))
		return false;
	assert_int_equal(content.records, records);
	return true;
}

static void last_contents(void **state)
{
	struct fixture *f = *state;

	assert_false(has_content(f, 0, 0, 0));
	for (uint32_t id = 0; id < CQ_KNOWN_CONTENTS; id++) {
		const struct cq_segment_content content = { .size = sizeof content, .records = id };

		cq_known_put_content(&f->known, id, file_of(id, 1), &content);
	}
	assert_true(has_content(f, 0, 1, 0)); /* so 1 is the one that was not asked for longest */
	assert_false(has_content(f, 2, 2, 0));
	cq_known_put_content(&f->known, 100, file_of(100, 1),
	                     &(struct cq_segment_content){
				     .size = sizeof(struct cq_segment_content), .records = 9 });
	assert_true(has_content(f, 100, 1, 9));
	assert_true(has_content(f, 0, 1, 0));
	assert_false(has_content(f, 1, 1, 1));
	assert_true(has_content(f, 2, 1, 2));
	/* of another file by that name: takes the place of the old one */
	cq_known_put_content(&f->known, 2, file_of(2, 2),
	                     &(struct cq_segment_content){
				     .size = sizeof(struct cq_segment_content), .records = 22 });
	assert_true(has_content(f, 2, 2, 22));
	assert_false(has_content(f, 2, 1, 2));
	assert_true(has_content(f, 3, 1, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ascending, setup, teardown),
		cmocka_unit_test_setup_teardown(descending, setup, teardown),
		cmocka_unit_test_setup_teardown(into_a_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(in_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(another_file, setup, teardown),
		cmocka_unit_test_setup_teardown(payload_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(trimmed, setup, teardown),
		cmocka_unit_test_setup_teardown(last_contents, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
