/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_powercut_recovery.c - power cuts in a recovery after which nothing is appended (powercut.h)
 *
 * In every state of the disk, what the recovery moves is in its old place or in its new one; and
 * once an open or a repair has returned, it is in the new one, even if nothing else was synced.  The flushes
 * of a writer that continues would make up for a missing sync, so here no writer continues.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/dir.h"
#include "format/format.h"
#include "powercut.h"
#include "queue_support.h"

#define SIZE 16384U /* of a segment: four pages */
#define PIECES 6U   /* of each kind of disk that has several */

/* What a disk has to hold; `done` after the recovery has returned.  NULL, or what is wrong. */
typedef const char *(*check_fn)(const struct pc_disk *disk, bool done);

static char *original[3]; /* the segments as they were before it */

static const struct pc_disk_file *file_of(const struct pc_disk *disk, const char *name)
{
	for (size_t i = 0; i < disk->count; i++)
		if (strcmp(disk->files[i].name, name) == 0)
			return &disk->files[i];
	return NULL;
}

static bool holds(const struct pc_disk *disk, const char *name, const char *bytes)
{
	const struct pc_disk_file *file = file_of(disk, name);

	return file && file->size == SIZE && memcmp(file->bytes, bytes, SIZE) == 0;
}

/* Disks of every kind that cuts at each event may leave: how many. */
static unsigned each_disk(const struct pc_trace *t, unsigned returned, check_fn check)
{
	unsigned disks = 0;

	for (unsigned event = 0; event <= t->events; event++)
		for (unsigned kind = 0; kind < PC_KINDS; kind++)
			for (unsigned piece = 0; piece < PIECES; piece++) {
				const struct pc_choice choice = { event, (enum pc_kind)kind,
					                          piece };
				struct pc_disk disk;
				const char *wrong;

				pc_disk_make(t, choice, &disk);
				wrong = check(&disk, event >= returned);
				pc_disk_free(&disk);
				disks++;
				if (wrong)
					print_message("# event %u of %u (returned: %u), kind %u, "
					              "piece %u: %s\n",
					              event, t->events, returned, kind, piece,
					              wrong);
				assert_null(wrong);
			}
	return disks;
}

/* Records the opening of the queue, cuts it everywhere, and lets the writer go. */
static void cut_open(struct qs *q, check_fn check)
{
	struct pc_trace trace;
	unsigned returned;

	pc_begin(&trace, q->base);
	qs_open(q);
	returned = trace.events;
	pc_end(&trace);
	qs_close(q);
	print_message("# %u disks\n", each_disk(&trace, returned, check));
	pc_free(&trace);
}

/* Three segments, all records durable; `original` are their bytes. */
static void make_three(struct qs *q)
{
	char name[CQ_NAME_MAX], path[PATH_SIZE];
	size_t size;

	q->config.segment_size = SIZE;
	qs_write(q, 0, 300);
	for (uint32_t id = 0; id < 3; id++) {
		cq_segment_name(name, id);
		support_path(path, q->dir, name);
		original[id] = support_slurp(path, &size);
		assert_int_equal(size, SIZE);
	}
}

static int teardown(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		free(original[i]);
		original[i] = NULL;
	}
	return qs_teardown(state);
}

/* ---- what is behind the tail ---- */

static const uint64_t residue[] = { 2000, 5000, 9000, 13000 };
#define RESIDUES (sizeof residue / sizeof residue[0])

static const char *residue_is_kept(const struct pc_disk *disk, bool done)
{
	const struct pc_disk_file *segment = file_of(disk, "000000000.q");
	const struct pc_disk_file *aside = file_of(disk, "000000000.q.broken");

	if (!segment || segment->size != SIZE)
		return "no segment";
	for (size_t i = 0; i < RESIDUES; i++) {
		const uint64_t at = residue[i];
		const bool there = segment->bytes[at] == 'r';
		const bool copied = aside && at < aside->size && aside->bytes[at] == 'r';

		if (!there && !copied)
			return "residue is gone";
		if (done && there)
			return "residue can come back";
	}
	return NULL;
}

static void residue_is_copied_first(void **state)
{
	struct qs *q = *state;

	q->config.segment_size = SIZE;
	qs_write(q, 0, 3);
	for (size_t i = 0; i < RESIDUES; i++)
		support_poke(q->dir, "000000000.q", residue[i], "r", 1);
	cut_open(q, residue_is_kept);
}

/* ---- a segment that was left unsealed ---- */

static const char *first_is_sealed(const struct pc_disk *disk, bool done)
{
	const struct pc_disk_file *segment = file_of(disk, "000000000.q");

	if (!segment || segment->size != SIZE)
		return "no segment";
	if (done && !(segment->bytes[offsetof(struct cq_segment_header, flags)] & CQ_SEALED))
		return "not sealed";
	return NULL;
}

static void seal_is_durable(void **state)
{
	struct qs *q = *state;

	make_three(q);
	qs_unseal(q->dir, 0);
	qs_mark(q->dir, 0, 64, 0);
	cut_open(q, first_is_sealed);
}

/* ---- segments that are set aside ---- */

static const char *segments_are_aside(const struct pc_disk *disk, bool done)
{
	static const char *const names[][2] = { { "000000001.q", "000000001.q.corrupt" },
		                                { "000000002.q", "000000002.q.corrupt" } };

	for (size_t i = 0; i < 2; i++) {
		const bool aside = holds(disk, names[i][1], original[i + 1]);
		const bool there = holds(disk, names[i][0], original[i + 1]);

		if (!aside && !there)
			return "a segment is gone";
		if (done && (there || !aside))
			return "a segment can come back";
	}
	return NULL;
}

static void set_aside_is_durable(void **state)
{
	struct qs *q = *state;

	make_three(q);
	original[1][0] = 'X'; /* no magic: behind it is a hole */
	support_poke(q->dir, "000000001.q", 0, "X", 1);
	qs_mark(q->dir, 0, 64, 0);
	cut_open(q, segments_are_aside);
}

/* ---- a next segment that had been numbered ---- */

static const char *spare_is_cleared(const struct pc_disk *disk, bool done)
{
	const struct pc_disk_file *spare = file_of(disk, "000000001.q");

	if (!spare || spare->size != SIZE)
		return "no spare";
	if (done && spare->bytes[offsetof(struct cq_segment_header, ext)] != 0)
		return "still numbered";
	return NULL;
}

static void clearing_is_durable(void **state)
{
	struct cq_segment_header header;
	struct qs *q = *state;

	q->config.segment_size = SIZE;
	qs_write(q, 0, 3);
	support_peek(q->dir, "000000001.q", 0, &header, sizeof header);
	header.ext = 1;
	header.first_seq = 99;
	header.ext_crc = qs_crc32((uint8_t *)&header + 24, sizeof header - 24);
	support_poke(q->dir, "000000001.q", 0, &header, sizeof header);
	cut_open(q, spare_is_cleared);
}

/* ---- a loss that was accepted ---- */

static struct qs *cut_queue; /* of the running test */

/* Nobody is asked again. */
static const char *opens_without_consent(const struct pc_disk *disk, bool done)
{
	struct qs *q = cut_queue;
	struct cq_config config = q->config;
	char base[PATH_SIZE], dir[PATH_SIZE];
	cq_writer *writer;
	int r;

	if (!done)
		return NULL;
	config.accept_loss = false;
	support_path(base, q->base, "disks");
	support_path(dir, base, PC_DIR);
	pc_disk_write(disk, base);
	r = cq_writer_open(dir, &config, &writer);
	if (r < 0)
		return "the loss has to be accepted again";
	(void)cq_writer_close(writer);
	return NULL;
}

static void consent_is_durable(void **state)
{
	struct qs *q = *state;
	char base[PATH_SIZE];

	cut_queue = q;
	support_path(base, q->base, "disks");
	assert_int_equal(mkdir(base, 0750), 0);
	q->config.segment_size = SIZE;
	qs_write(q, 0, 20);
	support_poke(q->dir, "000000000.q", 64 + 10 * 128 + 64, "X", 1);
	q->config.accept_loss = true;
	cut_open(q, opens_without_consent);
}

/* ---- a segment that a repair replaces by a placeholder ---- */

static const char *stand_in_is_there(const struct pc_disk *disk, bool done)
{
	const struct pc_disk_file *segment = file_of(disk, "000000001.q");
	static const struct cq_segment_header none;

	if (segment && (segment->size != SIZE || memcmp(segment->bytes, &none, 4) == 0))
		return "a name without its bytes";
	if (done && !segment)
		return "no placeholder";
	return NULL;
}

static void stand_in_is_durable(void **state)
{
	const struct cq_repair_config config = { .size = sizeof config, .accept_loss = true };
	struct cq_repair_result result = CQ_SIZED(result);
	struct qs *q = *state;
	struct pc_trace trace;
	unsigned returned;

	make_three(q);
	assert_int_equal(unlinkat(q->dirfd, "000000001.q", 0), 0);
	pc_begin(&trace, q->base);
	assert_int_equal(cq_repair(q->dir, &config, &result), 0);
	returned = trace.events;
	pc_end(&trace);
	print_message("# %u disks\n", each_disk(&trace, returned, stand_in_is_there));
	pc_free(&trace);
}

#define CUT_TEST(test) cmocka_unit_test_setup_teardown(test, qs_setup, teardown)

static const struct CMUnitTest tests[] = {
	CUT_TEST(residue_is_copied_first), CUT_TEST(seal_is_durable),
	CUT_TEST(set_aside_is_durable),    CUT_TEST(clearing_is_durable),
	CUT_TEST(consent_is_durable),      CUT_TEST(stand_in_is_durable),
};

SUPPORT_MAIN_IN_MEMORY(tests)
