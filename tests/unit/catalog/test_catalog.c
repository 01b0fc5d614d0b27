/* SPDX-License-Identifier: Apache-2.0 */
/* test_catalog.c - the segment catalogue: entries against a plain array, listed ids, the last contents */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "catalog/catalog.h"

#define IDS 20000U
#define CHUNK_BYTES (64 * sizeof(struct cq_catalog_entry) + 2 * sizeof(size_t))

struct fixture {
	struct cq_catalog catalog;
	uint32_t model[IDS]; /* 0: not there; else the generation that was put last */
	uint32_t seed;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	cq_catalog_init(&f->catalog);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cq_catalog_fini(&f->catalog);
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
	const struct cq_catalog_entry entry = {
		.file = file_of(id, generation),
		.bytes = id * 1000U + generation,
		.records = id * 10U + generation,
		.id = id,
		.flags = CQ_ENTRY_COUNTED,
	};

	cq_catalog_learn_sealed(&f->catalog, &entry, oldest);
	f->model[id] = generation;
}

static void is_known(struct fixture *f, uint32_t id, bool known)
{
	const uint32_t generation = known ? f->model[id] : 1;
	struct cq_catalog_entry entry;

	assert_int_equal(cq_catalog_get_sealed(&f->catalog, id, file_of(id, generation), &entry),
	                 known);
	if (known) {
		assert_int_equal(entry.id, id);
		assert_int_equal(entry.bytes, id * 1000U + generation);
		assert_int_equal(entry.records, id * 10U + generation);
	}
}

static void as_in_the_model(struct fixture *f)
{
	for (uint32_t id = 0; id < IDS; id++)
		is_known(f, id, f->model[id] != 0);
}

static size_t bytes(const struct fixture *f)
{
	return f->catalog.chunk_count * CHUNK_BYTES + f->catalog.chunk_capacity * sizeof(void *);
}

static void ascending(void **state)
{
	struct fixture *f = *state;

	for (uint32_t id = 0; id < IDS; id++)
		put(f, id, 1, 0);
	as_in_the_model(f);
	assert_true(bytes(f) <= (size_t)IDS * 50);
}

/* Where a position is, among segments of which only few are placed, as a search through all of them says. */
static void around_among_unplaced(void **state)
{
	struct fixture *f = *state;
	uint32_t *ids = malloc(IDS * sizeof *ids);
	bool *placed = calloc(IDS, sizeof *placed);

	assert_non_null(ids);
	assert_non_null(placed);
	for (uint32_t id = 0; id < IDS; id++)
		ids[id] = id;
	assert_int_equal(cq_catalog_list(&f->catalog, ids, IDS), 0);
	for (uint32_t id = 0; id < IDS; id++)
		put(f, id, 1, 0); /* without a place */
	for (unsigned round = 0; round < 300; round++) {
		const uint32_t id = any(f, IDS), position = any(f, IDS);
		struct cq_catalog_entry entry = { .id = id, .base = id };
		struct cq_neighbours around;
		uint32_t before = position, behind = position + 1;

		if (round % 3 < 2) {
			assert_int_equal(cq_catalog_learn(&f->catalog, &entry), 0);
			placed[id] = true;
		} else {
			cq_catalog_remove(&f->catalog, id);
			placed[id] = false;
		}
		while (before > 0 && !placed[before])
			before--;
		while (behind < IDS && !placed[behind])
			behind++;
		cq_catalog_around(&f->catalog, position, &around);
		assert_int_equal(around.have_before, placed[before]);
		assert_int_equal(around.have_behind, behind < IDS);
		if (around.have_before)
			assert_int_equal(around.before.id, before);
		if (around.have_behind)
			assert_int_equal(around.behind.id, behind);
	}
	free(ids);
	free(placed);
}

static void descending(void **state)
{
	struct fixture *f = *state;

	for (uint32_t id = IDS; id-- > 0;)
		put(f, id, 1, 0);
	as_in_the_model(f);
	assert_true(bytes(f) <= (size_t)IDS * 50);
}

/* Whole chunks at both sides; what comes between them comes in descending order. */
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
	assert_true(bytes(f) <= (size_t)IDS * 50);
}

static void in_any_order(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 200000; i++) {
		const uint32_t id = any(f, IDS);

		if (any(f, 3) > 0) {
			put(f, id, i + 1, 0);
		} else {
			cq_catalog_forget_file(&f->catalog, id);
			f->model[id] = 0;
		}
	}
	as_in_the_model(f);
	for (uint32_t id = 0; id < IDS; id++)
		cq_catalog_forget_file(&f->catalog, id);
	assert_int_equal(f->catalog.chunk_count, 0);
}

static void another_file(void **state)
{
	const struct cq_file_id file = file_of(5, 1);
	struct cq_file_id others[3] = { file, file, file };
	struct fixture *f = *state;
	struct cq_catalog_entry entry;

	others[0].inode++;
	others[1].modified_ns++;
	others[2].changed_ns++;
	for (int i = 0; i < 3; i++) {
		put(f, 5, 1, 0);
		is_known(f, 5, true);
		assert_false(cq_catalog_get_sealed(&f->catalog, 5, others[i], &entry));
		is_known(f, 5, false); /* and it has been forgotten */
	}
}

static void payload_is_kept(void **state)
{
	struct fixture *f = *state;
	struct cq_catalog_entry entry = { .file = file_of(5, 1), .id = 5 };

	put(f, 5, 1, 0);
	cq_catalog_learn_sealed(&f->catalog, &entry, 0); /* the same file, without a count */
	is_known(f, 5, true);
	entry.file = file_of(5, 2); /* another file: the count is not of this one */
	cq_catalog_learn_sealed(&f->catalog, &entry, 0);
	assert_true(cq_catalog_get_sealed(&f->catalog, 5, entry.file, &entry));
	assert_false(entry.flags & CQ_ENTRY_COUNTED);
}

/* A window that moves on: entries that fall out of it are freed. */
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
	assert_true(most <= (size_t)1300 * 50);
}

/* ---- which segments there are, and where they begin ---- */

static void place(struct fixture *f, uint32_t id, uint64_t base, unsigned flags, uint32_t bytes)
{
	const struct cq_catalog_entry entry = {
		.id = id, .base = base, .flags = flags, .bytes = bytes
	};

	assert_int_equal(cq_catalog_learn(&f->catalog, &entry), 0);
}

static void list(struct fixture *f, uint32_t first, uint32_t last, uint32_t but)
{
	uint32_t ids[1000];
	size_t count = 0;

	for (uint32_t id = first; id <= last; id++)
		if (id != but)
			ids[count++] = id;
	assert_int_equal(cq_catalog_list(&f->catalog, ids, count), 0);
}

/* The segment that holds a position, if that is known; else UINT32_MAX. */
static uint32_t at(struct fixture *f, uint64_t position)
{
	struct cq_catalog_entry entry;

	return cq_catalog_lookup(&f->catalog, position, &entry) ? entry.id : UINT32_MAX;
}

/* What is known of the file comes and goes; where the segment begins stays. */
static void place_and_file(void **state)
{
	struct fixture *f = *state;
	struct cq_catalog_entry entry;

	list(f, 0, 9, UINT32_MAX);
	place(f, 3, 300, CQ_ENTRY_COUNTED, 100);
	assert_int_equal(at(f, 350), 3);
	put(f, 3, 1, 0);
	is_known(f, 3, true);
	assert_int_equal(at(f, 350), 3);
	assert_false(cq_catalog_get_sealed(&f->catalog, 3, file_of(3, 2), &entry));
	assert_true(cq_catalog_get(&f->catalog, 3, &entry));
	assert_int_equal(entry.base, 300);
	is_known(f, 3, false);

	/* the other way round: what the file told is kept when the segment is placed */
	put(f, 5, 1, 0);
	assert_false(cq_catalog_get(&f->catalog, 5, &entry));
	place(f, 5, 600, 0, 0);
	is_known(f, 5, true);
	assert_true(cq_catalog_get(&f->catalog, 5, &entry));
	assert_int_equal(entry.base, 600);
	assert_true(entry.flags & CQ_ENTRY_COUNTED);

	/* a header that says something else does not move it */
	entry = (struct cq_catalog_entry){
		.id = 5, .base = 7, .flags = CQ_ENTRY_PLACED, .file = file_of(5, 1)
	};
	cq_catalog_learn_sealed(&f->catalog, &entry, 0);
	assert_true(cq_catalog_get(&f->catalog, 5, &entry));
	assert_int_equal(entry.base, 600);
}

/* A file that is seen before its segment is listed does not place it: the file may be another queue's when
 * the stream comes to it. */
static void file_before_the_listing(void **state)
{
	struct fixture *f = *state;
	struct cq_catalog_entry entry = { .flags = CQ_ENTRY_PLACED };

	for (entry.id = 0; entry.id < 300; entry.id++) {
		entry.base = entry.id;
		entry.file = file_of(entry.id, 1);
		cq_catalog_learn_sealed(&f->catalog, &entry, 0);
		assert_true(cq_catalog_get_sealed(&f->catalog, entry.id, entry.file, &entry));
	}
	list(f, 0, 99, UINT32_MAX);
	assert_int_equal(cq_catalog_add(&f->catalog, 100, 299), 0);
	for (uint32_t id = 0; id < 300; id++) {
		assert_false(cq_catalog_get(&f->catalog, id, &entry));
		assert_false(cq_catalog_get_sealed(&f->catalog, id, file_of(id, 1), &entry));
	}
	entry = (struct cq_catalog_entry){
		.id = 5, .base = 500, .flags = CQ_ENTRY_PLACED, .file = file_of(5, 1)
	};
	cq_catalog_learn_sealed(&f->catalog, &entry, 0);
	assert_true(cq_catalog_get(&f->catalog, 5, &entry));
	assert_int_equal(entry.base, 500);
}

static void all_is_forgotten(void **state)
{
	struct fixture *f = *state;

	list(f, 0, 299, UINT32_MAX);
	place(f, 3, 300, CQ_ENTRY_COUNTED, 100);
	put(f, 200, 1, 0);
	f->catalog.origin = 7;
	cq_catalog_forget_all(&f->catalog);
	is_known(f, 200, false);
	assert_int_equal(at(f, 350), UINT32_MAX);
	assert_int_equal(f->catalog.id_count, 0);
	assert_int_equal(f->catalog.chunk_count, 0);
	assert_int_equal(f->catalog.origin, 0);
	cq_catalog_forget_all(&f->catalog);
}

/* A segment that is not listed holds no position, also if its place is known. */
static void listed_ones_alone(void **state)
{
	struct fixture *f = *state;
	struct cq_catalog_entry entry = { .flags = CQ_ENTRY_PLACED | CQ_ENTRY_COUNTED,
		                          .bytes = 10 };

	for (entry.id = 0; entry.id < 400; entry.id++) {
		entry.base = entry.id * 10;
		assert_int_equal(cq_catalog_learn(&f->catalog, &entry), 0);
	}
	assert_int_equal(at(f, 1005), UINT32_MAX); /* none is listed */
	list(f, 90, 299, 200);
	assert_int_equal(at(f, 1005), UINT32_MAX); /* none was when it was learned */
	for (entry.id = 0; entry.id < 400; entry.id++) {
		entry.base = entry.id * 10;
		assert_int_equal(cq_catalog_learn(&f->catalog, &entry), 0);
	}
	for (uint32_t id = 90; id < 300; id++)
		if (id != 199 && id != 200)
			assert_int_equal(at(f, id * 10 + 5), id);
	assert_int_equal(at(f, 1995), 199);
	assert_int_equal(at(f, 2005),
	                 199); /* which ends before that position: its bytes are missing */
	assert_int_equal(at(f, 895), UINT32_MAX);
	assert_int_equal(at(f, 3005), 299); /* the last one, whatever it will hold */
	assert_int_equal(cq_catalog_add(&f->catalog, 300, 300), 0);
	assert_int_equal(at(f, 3005), UINT32_MAX);
	place(f, 300, 3000, 0, 0);
	assert_int_equal(at(f, 3005), 300);
	assert_int_equal(cq_catalog_add(&f->catalog, 299, 300), 0); /* they are listed already */
	assert_int_equal(at(f, 3005), 300);
	cq_catalog_drop_below(&f->catalog, 150);
	assert_int_equal(at(f, 1495), UINT32_MAX);
	assert_int_equal(at(f, 1505), 150);
	assert_false(cq_catalog_get(&f->catalog, 149, &entry));
	cq_catalog_remove(&f->catalog, 160);
	assert_int_equal(at(f, 1605), 159);
	assert_int_equal(at(f, 1595), 159);
}

/* Many segments of which only the file is known are between those that are placed. */
static void unplaced_between(void **state)
{
	struct fixture *f = *state;

	list(f, 0, 999, UINT32_MAX);
	for (uint32_t id = 0; id < 1000; id++)
		put(f, id, 1, 0);
	assert_int_equal(at(f, 0), UINT32_MAX);
	place(f, 10, 100, CQ_ENTRY_COUNTED, 10);
	assert_int_equal(at(f, 105), 10);
	place(f, 700, 7000, CQ_ENTRY_COUNTED, 10);
	place(f, 990, 9900, CQ_ENTRY_COUNTED, 10);
	assert_int_equal(at(f, 99), UINT32_MAX);
	assert_int_equal(at(f, 105), 10);
	assert_int_equal(at(f, 110), UINT32_MAX);
	assert_int_equal(at(f, 6999), UINT32_MAX);
	assert_int_equal(at(f, 7009), 700);
	assert_int_equal(at(f, 9905), 990);
	assert_int_equal(at(f, 9910), UINT32_MAX);
}

/* ---- contents ---- */

static bool has_content(struct fixture *f, uint32_t id, uint32_t generation, uint64_t records)
{
	struct cq_segment_info content = CQ_SIZED(content);

	if (!cq_catalog_get_content(&f->catalog, id, file_of(id, generation), &content))
		return false;
	assert_int_equal(content.records, records);
	return true;
}

static void last_contents(void **state)
{
	struct fixture *f = *state;

	assert_false(has_content(f, 0, 0, 0));
	for (uint32_t id = 0; id < CQ_CATALOG_CONTENTS; id++) {
		const struct cq_segment_info content = { .size = sizeof content, .records = id };

		cq_catalog_put_content(&f->catalog, id, file_of(id, 1), &content);
	}
	assert_true(has_content(f, 0, 1, 0)); /* so 1 is the one that was asked for longest ago */
	assert_false(has_content(f, 2, 2, 0));
	cq_catalog_put_content(
		&f->catalog, 100, file_of(100, 1),
		&(struct cq_segment_info){ .size = sizeof(struct cq_segment_info), .records = 9 });
	assert_true(has_content(f, 100, 1, 9));
	assert_true(has_content(f, 0, 1, 0));
	assert_false(has_content(f, 1, 1, 1));
	assert_true(has_content(f, 2, 1, 2));
	/* of another file by that name: takes the place of the old one */
	cq_catalog_put_content(
		&f->catalog, 2, file_of(2, 2),
		&(struct cq_segment_info){ .size = sizeof(struct cq_segment_info), .records = 22 });
	assert_true(has_content(f, 2, 2, 22));
	assert_false(has_content(f, 2, 1, 2));
	assert_true(has_content(f, 3, 1, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ascending, setup, teardown),
		cmocka_unit_test_setup_teardown(descending, setup, teardown),
		cmocka_unit_test_setup_teardown(around_among_unplaced, setup, teardown),
		cmocka_unit_test_setup_teardown(into_a_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(in_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(another_file, setup, teardown),
		cmocka_unit_test_setup_teardown(payload_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(trimmed, setup, teardown),
		cmocka_unit_test_setup_teardown(place_and_file, setup, teardown),
		cmocka_unit_test_setup_teardown(file_before_the_listing, setup, teardown),
		cmocka_unit_test_setup_teardown(all_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(listed_ones_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(unplaced_between, setup, teardown),
		cmocka_unit_test_setup_teardown(last_contents, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
