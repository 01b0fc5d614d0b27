/* SPDX-License-Identifier: Apache-2.0 */
/* test_window.c - walks over a segment, and the bytes behind its records: damage, files cut short, a live writer */
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
#include <unistd.h>

#include "format/walk.h"
#include "format/window.h"
#include "support.h"

struct fixture {
	char dir[PATH_SIZE];
	uint8_t *bytes; /* of the segment */
	uint64_t size;
	uint64_t end; /* behind the last record put */
	int fd;
	struct cq_window window;
	struct cq_walk walk;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	support_temp_dir(f->dir);
	f->fd = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cq_window_fini(&f->window);
	if (f->fd >= 0)
		close(f->fd);
	free(f->bytes);
	support_remove(f->dir);
	free(f);
	return 0;
}

static void begin(struct fixture *f, uint64_t size)
{
	f->size = size;
	f->bytes = calloc(1, size);
	f->end = 64;
}

static struct cq_record_header *put(struct fixture *f, uint64_t length, uint16_t type, uint32_t ext)
{
	struct cq_record_header *h = (struct cq_record_header *)(void *)(f->bytes + f->end);

	for (uint64_t i = 0; i < length; i++)
		f->bytes[f->end + 64 + i] = (uint8_t)(i * 31 + f->end);
	h->version = CQ_RECORD_VERSION;
	h->seq = f->end;
	h->type = type;
	h->payload_crc = cq_crc32(0, f->bytes + f->end + 64, length);
	h->ext = ext;
	if (ext)
		h->header_crc = cq_record_header_crc(h, (uint32_t)length + 1);
	h->commit = (uint32_t)length + 1;
	f->end += cq_record_span(length);
	return h;
}

static void store(struct fixture *f, uint64_t length)
{
	char path[PATH_SIZE];

	support_path(path, f->dir, "segment");
	if (f->fd < 0)
		f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(f->fd >= 0);
	assert_int_equal(pwrite(f->fd, f->bytes, length, 0), (ssize_t)length);
	assert_int_equal(ftruncate(f->fd, (off_t)length), 0);
}

static void start(struct fixture *f)
{
	cq_window_fini(&f->window);
	assert_int_equal(cq_window_init(&f->window, f->fd, f->size), 0);
	f->walk = cq_walk_file(&f->window);
}

/* Records larger than the window, padding, both kinds of headers. */
static void walks_everything(void **state)
{
	static const uint64_t lengths[] = { 0, 1, 64, 65, 300000, 4096, 700001, 0, 12 };
	struct fixture *f = *state;
	struct cq_record_at r;
	uint64_t offset = 64;

	begin(f, 2 << 20);
	for (size_t i = 0; i < 9; i++)
		put(f, lengths[i], i == 4 ? CQ_TYPE_PAD : 1, i % 2);
	store(f, f->size);
	start(f);
	for (size_t i = 0; i < 9; i++) {
		assert_int_equal(cq_walk_step(&f->walk, &r), 1);
		assert_int_equal(r.offset, offset);
		assert_int_equal(r.header.seq, offset);
		assert_int_equal(r.length, lengths[i]);
		assert_int_equal(r.header.type == CQ_TYPE_PAD, i == 4);
		offset += (64 + lengths[i] + 63) / 64 * 64;
		assert_int_equal(r.end, offset);
	}
	assert_int_equal(cq_walk_step(&f->walk, &r), 0);
	assert_int_equal(cq_walk_step(&f->walk, &r), 0);
	assert_int_equal(f->walk.offset, f->end);
}

static void ends_where_no_record_fits(void **state)
{
	struct fixture *f = *state;
	struct cq_record_at r;

	begin(f, 4096);
	put(f, 4096 - 128, 1, 1);
	store(f, f->size);
	start(f);
	assert_int_equal(cq_walk_step(&f->walk, &r), 1);
	assert_int_equal(r.end, 4096);
	assert_int_equal(cq_walk_step(&f->walk, &r), 0);
	cq_window_fini(&f->window);
	assert_int_equal(cq_window_init(&f->window, f->fd, 64), -EINVAL);
	assert_int_equal(cq_window_init(&f->window, f->fd, 4097), -EINVAL);
	assert_int_equal(cq_window_init(&f->window, f->fd, 4ULL << 30), -EINVAL);
}

static void expect_bad(struct fixture *f, enum cq_record_state expected)
{
	struct cq_record_at r;

	store(f, f->size);
	start(f);
	assert_int_equal(cq_walk_step(&f->walk, &r), 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(cq_walk_step(&f->walk, &r), -EIO);
		assert_int_equal(f->walk.state, expected);
	}
	assert_int_equal(f->walk.offset, 128);
}

static void says_what_is_wrong(void **state)
{
	struct fixture *f = *state;
	struct cq_record_header *h, good;

	begin(f, 8192);
	put(f, 0, 1, 1);
	h = put(f, 100, 1, 1);
	good = *h;
	h->commit = 0xFFFFFFFF;
	expect_bad(f, CQ_RECORD_BOUNDS);
	h->commit = 8192 - 128 - 64 + 2; /* one byte too long */
	expect_bad(f, CQ_RECORD_BOUNDS);
	*h = good;
	h->seq ^= 1;
	expect_bad(f, CQ_RECORD_HEADER);
	*h = good;
	h->commit--; /* the checksum covers the commit word as well */
	expect_bad(f, CQ_RECORD_HEADER);
	*h = good;
	h->version = 2;
	expect_bad(f, CQ_RECORD_HEADER);
	*h = good;
	h->ext = 2;
	expect_bad(f, CQ_RECORD_HEADER);
	*h = good;
	f->bytes[128 + 64 + 99] ^= 0x80;
	expect_bad(f, CQ_RECORD_PAYLOAD);
}

static void short_file_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct cq_record_at r;
	uint64_t residue;

	begin(f, 8192);
	put(f, 0, 1, 1);
	put(f, 1000, 1, 1);
	store(f, 700);
	start(f);
	assert_int_equal(cq_walk_step(&f->walk, &r), 1);
	assert_int_equal(cq_walk_step(&f->walk, &r), -EIO);
	assert_int_equal(f->walk.state, CQ_RECORD_OK);
	store(f, 150);
	start(f);
	assert_int_equal(cq_walk_step(&f->walk, &r), 1);
	assert_int_equal(cq_walk_step(&f->walk, &r), -EIO);
	assert_int_equal(f->walk.state, CQ_RECORD_OK);
	assert_int_equal(cq_window_residue(&f->window, 192, &residue), -EIO);
}

/* The window is a copy: records that are committed later are found nevertheless. */
static void sees_what_a_live_writer_adds(void **state)
{
	struct fixture *f = *state;
	struct cq_record_at r;

	begin(f, 8192);
	put(f, 10, 1, 1);
	put(f, 10, 1, 1);
	/* in the copy the second record has a header, but no payload and no commit word yet */
	memset(f->bytes + 64 + 128 + 64, 0, 64);
	store(f, f->size);
	start(f);
	assert_int_equal(cq_walk_step(&f->walk, &r), 1);
	f->end = 64 + 128;
	put(f, 10, 1, 1);
	put(f, 20, 1, 1);
	store(f, f->size);
	assert_int_equal(cq_walk_step(&f->walk, &r), 1);
	assert_int_equal(cq_walk_step(&f->walk, &r), 1);
	assert_int_equal(r.length, 20);
	assert_int_equal(cq_walk_step(&f->walk, &r), 0);
	put(f, 30, 1, 1);
	store(f, f->size);
	assert_int_equal(cq_walk_step(&f->walk, &r), 1);
	assert_int_equal(r.length, 30);
}

static void residue(void **state)
{
	static const uint64_t places[] = {
		1048575, 1048568, 700001, 262144, 262143, 192, 191, 129
	};
	struct fixture *f = *state;
	uint64_t at;

	begin(f, 1 << 20);
	put(f, 0, 1, 1);
	store(f, f->size);
	start(f);
	assert_int_equal(cq_window_residue(&f->window, 128, &at), 0);
	assert_int_equal(at, f->size);
	assert_int_equal(cq_window_residue(&f->window, f->size, &at), 0);
	assert_int_equal(at, f->size);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		f->bytes[places[i]] = 1;
		store(f, f->size);
		assert_int_equal(cq_window_residue(&f->window, 128, &at), 0);
		assert_int_equal(at, places[i]);
	}
	/* a file of holes only */
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(ftruncate(f->fd, (off_t)f->size), 0);
	assert_int_equal(cq_window_residue(&f->window, 64, &at), 0);
	assert_int_equal(at, f->size);
}

/* A file of one hole. */
static void make_hole(struct fixture *f, uint64_t size)
{
	char path[PATH_SIZE];

	f->size = size;
	support_path(path, f->dir, "segment");
	f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, (off_t)size), 0);
}

/* Holes are not read. */
static void residue_behind_a_hole(void **state)
{
	struct fixture *f = *state;
	uint64_t at = 0;

	make_hole(f, 1U << 20);
	assert_int_equal(pwrite(f->fd, "x", 1, 600001), 1);
	assert_int_equal(cq_window_init(&f->window, f->fd, f->size), 0);
	assert_int_equal(cq_window_residue(&f->window, 128, &at), 0);
	assert_int_equal(at, 600001);
	assert_int_equal(cq_window_residue(&f->window, 600002, &at), 0);
	assert_int_equal(at, f->size);
}

/* More pieces of data than the list has room for at first; all but the last are zeros.  Then the file is cut
 * within a piece that is listed, and before the list is made. */
static void residue_behind_many_holes(void **state)
{
	static const uint8_t zeros[4096];
	struct fixture *f = *state;
	uint64_t at = 0, last = 0;

	make_hole(f, 1U << 20);
	for (int i = 0; i < 40; i++) {
		last = (uint64_t)i * 16384;
		assert_int_equal(pwrite(f->fd, zeros, sizeof zeros, (off_t)last), sizeof zeros);
	}
	assert_int_equal(pwrite(f->fd, "x", 1, (off_t)last + 100), 1);
	assert_int_equal(cq_window_init(&f->window, f->fd, f->size), 0);
	assert_int_equal(cq_window_residue(&f->window, 128, &at), 0);
	assert_int_equal(at, last + 100);
	assert_int_equal(cq_window_more_residue(&f->window, 128, &at), 0);
	assert_int_equal(at, last + 100);
	assert_int_equal(ftruncate(f->fd, (off_t)last + 50), 0);
	f->window.length = 0;
	assert_int_equal(cq_window_more_residue(&f->window, last, &at), -EIO);
	assert_int_equal(cq_window_residue(&f->window, last + 4096, &at), -EIO);
}

static bool any_record(void *arg, const struct cq_record_header *header, uint64_t offset)
{
	(void)arg;
	(void)header;
	(void)offset;
	return true;
}

/* A search finds sound records behind others and behind damage, from any place.  A file that ends early is an
 * error, not an end. */
static void records_behind_a_place(void **state)
{
	struct fixture *f = *state;
	struct cq_record_at r;
	uint64_t damaged, whole;

	begin(f, 8192);
	put(f, 10, 1, 1);
	damaged = f->end;
	put(f, 100, 1, 1);
	whole = f->end;
	put(f, 20, 1, 1);
	f->bytes[damaged + 64]++;
	store(f, f->size);
	start(f);
	assert_int_equal(cq_window_find(&f->window, damaged, any_record, NULL, &r), 1);
	assert_int_equal(r.offset, whole);
	assert_int_equal(cq_window_find(&f->window, 64, any_record, NULL, &r), 1);
	assert_int_equal(r.offset, 64);
	assert_int_equal(cq_window_find(&f->window, f->end, any_record, NULL, &r), 0);
	start(f);
	assert_int_equal(ftruncate(f->fd, (off_t)whole), 0);
	assert_int_equal(cq_window_find(&f->window, damaged, any_record, NULL, &r), -EIO);
	start(f);
	assert_int_equal(cq_window_find(&f->window, whole, any_record, NULL, &r), -EIO);
}

/* A walk over a mapping stops at the same places, while the file gets records, a seal, damage, and is cut. */
static void walks_a_mapping(void **state)
{
	struct fixture *f = *state;
	struct cq_segment_header *h;
	struct cq_mapping map;
	struct cq_record_at r;
	struct cq_walk walk;
	int dirfd;

	begin(f, 8192);
	put(f, 10, 1, 1);
	put(f, 20, CQ_TYPE_PAD, 0);
	store(f, f->size);
	dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(cq_mapping_open(&map, dirfd, "segment", 0, false), 0);
	close(dirfd);
	walk = cq_walk_mapped(&map, 64);
	assert_int_equal(cq_walk_next(&walk, &r), 1);
	assert_int_equal(r.offset, 64);
	assert_int_equal(r.length, 10);
	assert_int_equal(cq_walk_next(&walk, &r), 0);
	assert_int_equal(walk.offset, f->end);
	assert_false(walk.sealed);

	h = (struct cq_segment_header *)(void *)f->bytes;
	h->flags = CQ_SEALED;
	put(f, 30, 1, 1);
	f->bytes[f->end - 64] ^= 1; /* its payload, which this walk does not check */
	put(f, 40, 1, 1)->seq++;
	store(f, f->size);
	assert_int_equal(cq_walk_next(&walk, &r), 1);
	assert_int_equal(r.length, 30);
	assert_int_equal(cq_walk_next(&walk, &r), -EIO);
	assert_int_equal(walk.state, CQ_RECORD_HEADER);
	assert_int_equal(walk.offset, r.end);
	memset(f->bytes + r.end, 0, 64);
	store(f, f->size);
	assert_int_equal(cq_walk_next(&walk, &r), 0);
	assert_true(walk.sealed);
	assert_int_equal(ftruncate(f->fd, 4096), 0);
	walk = cq_walk_mapped(&map, 64);
	assert_int_equal(cq_walk_next(&walk, &r), 1);
	assert_int_equal(cq_walk_next(&walk, &r), 1);
	assert_int_equal(cq_walk_next(&walk, &r), -EIO);
	assert_int_equal(walk.state, CQ_RECORD_OK);
	cq_mapping_close(&map);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static const struct CMUnitTest tests[] = {
	WITH(walks_everything),
	WITH(ends_where_no_record_fits),
	WITH(says_what_is_wrong),
	WITH(short_file_is_an_error),
	WITH(sees_what_a_live_writer_adds),
	WITH(residue),
	WITH(residue_behind_a_hole),
	WITH(residue_behind_many_holes),
	WITH(records_behind_a_place),
	WITH(walks_a_mapping),
};

SUPPORT_MAIN(tests)
