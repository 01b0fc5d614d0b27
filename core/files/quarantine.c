/* SPDX-License-Identifier: Apache-2.0 */
/* quarantine.c - sets damaged bytes and segments aside, makes placeholders; see quarantine.h */
#include "files/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/index.h"
#include "format/record.h"
#include "format/window.h"
#include "os/fault.h"
#include "os/io.h"

#define BLOCK 65536U
#define MOST_SET_ASIDE 999U

/* The name of the nth file that is set aside for this segment: .q.corrupt for the whole segment, else
 * .q.broken; the second one has .2 behind it, and so on. */
static void aside_name(char name[CQ_NAME_MAX], bool whole, uint32_t id, unsigned n)
{
	const int length =
		snprintf(name, CQ_NAME_MAX, whole ? CQ_SEGMENT_CORRUPT : CQ_SEGMENT_BROKEN, id);

	if (n > 1)
		snprintf(name + length, CQ_NAME_MAX - (size_t)length, ".%u", n);
}

/* ---- what is behind the tail ---- */

struct mover {
	int from, to;
	uint8_t *block; /* of the segment */
	uint8_t *there; /* the same place of .q.broken */
	uint64_t bytes;
	bool conflict;
	struct cq_extent *pieces; /* of the segment, in order */
	size_t piece_count, piece_capacity;
};

/* Reads `length` bytes of .q.broken into m->there; behind its end they are zero. */
static int read_aside(struct mover *m, uint64_t offset, size_t length)
{
	ssize_t n = cq_io_pread(m->to, m->there, length, offset);

	if (n < 0)
		return (int)n;
	memset(m->there + n, 0, length - (size_t)n);
	return 0;
}

static int count_block(struct mover *m, uint64_t offset, size_t length)
{
	(void)offset;
	m->bytes += length;
	return 0;
}

/* Notes whether copying would overwrite another byte that was set aside before. */
static int compare_block(struct mover *m, uint64_t offset, size_t length)
{
	int r = read_aside(m, offset, length);

	for (size_t i = 0; r == 0 && i < length && !m->conflict; i++)
		m->conflict = m->there[i] != 0 && m->block[i] != 0 && m->there[i] != m->block[i];
	return r;
}

/* A zero in the segment may come from a repair that was cut off, and the byte be set aside already. */
static int copy_block(struct mover *m, uint64_t offset, size_t length)
{
	int r = read_aside(m, offset, length);

	if (r < 0)
		return r;
	for (size_t i = 0; i < length; i++)
		if (m->block[i] != 0)
			m->there[i] = m->block[i];
	m->bytes += length;
	r = cq_io_pwrite(m->to, m->there, length, offset);
	cq_point("recover.block_copied");
	return r;
}

static int note_piece(struct mover *m, uint64_t offset, size_t length)
{
	struct cq_extent *more;
	size_t capacity;

	if (m->piece_count == m->piece_capacity) {
		capacity = m->piece_capacity ? m->piece_capacity * 2 : 16;
		more = realloc(m->pieces, capacity * sizeof *more);
		if (!more)
			return -ENOMEM;
		m->pieces = more;
		m->piece_capacity = capacity;
	}
	m->pieces[m->piece_count++] = (struct cq_extent){ .begin = offset, .end = offset + length };
	return 0;
}

/* The last piece first: so what a kill leaves is a beginning of what was there.  The rest of a run
 * (write/run.c) without its beginning would look like records behind some that are missing. */
static int zero_pieces(struct mover *m)
{
	int r = 0;

	memset(m->there, 0, BLOCK);
	while (r == 0 && m->piece_count > 0) {
		const struct cq_extent *piece = &m->pieces[--m->piece_count];

		r = cq_io_pwrite(m->from, m->there, (size_t)(piece->end - piece->begin),
		                 piece->begin);
		cq_point("recover.block_zeroed");
	}
	return r;
}

/* Calls visit for pieces of the segment behind tail that hold all bytes that are not zero; each
 * begins and ends with one. */
static int each_block(struct mover *m,
                      int (*visit)(struct mover *m, uint64_t offset, size_t length), uint64_t tail,
                      uint64_t size)
{
	struct cq_window scan;
	uint64_t at;
	int r;

	r = cq_window_init(&scan, m->from, size);
	if (r < 0)
		return r;
	for (r = cq_window_residue(&scan, tail, &at); r == 0 && at < size;
	     r = cq_window_more_residue(&scan, at, &at)) {
		size_t length = BLOCK;
		ssize_t n;

		if (length > size - at)
			length = (size_t)(size - at);
		n = cq_io_pread(m->from, m->block, length, at);
		if (n <= 0) {
			r = n < 0 ? (int)n : -EIO;
			break;
		}
		for (length = (size_t)n; length > 1 && m->block[length - 1] == 0;)
			length--;
		r = visit(m, at, length);
		if (r < 0)
			break;
		at += (uint64_t)n;
	}
	cq_window_fini(&scan);
	return r < 0 ? r : 0;
}

static int open_mover(struct mover *ret_mover, int fd)
{
	struct mover m = { .from = fd, .to = -1 };

	m.block = malloc((size_t)2 * BLOCK);
	if (!m.block)
		return -ENOMEM;
	m.there = m.block + BLOCK;
	*ret_mover = m;
	return 0;
}

static void close_mover(struct mover *m)
{
	if (m->to >= 0)
		close(m->to);
	free(m->block);
	free(m->pieces);
}

int cq_quarantine_first_residue(int fd, uint64_t size, uint64_t tail, uint64_t *ret_first)
{
	struct cq_window scan;
	int r;

	r = cq_window_init(&scan, fd, size);
	if (r < 0)
		return r;
	/* A program that has read the unused rest (a copy of the file, an earlier recovery) has left pages of
	 * zeros in the cache, which would count as data.  Nobody writes here now. */
	cq_io_drop_clean(fd, tail);
	r = cq_window_residue(&scan, tail, ret_first);
	cq_window_fini(&scan);
	return r;
}

int cq_quarantine_residue(int fd, uint64_t size, uint64_t tail, uint64_t *ret_first,
                          uint64_t *ret_bytes)
{
	struct mover m;
	uint64_t first = size;
	int r;

	r = open_mover(&m, fd);
	if (r < 0)
		return r;
	r = cq_quarantine_first_residue(fd, size, tail, &first);
	if (r == 0)
		r = each_block(&m, count_block, first, size);
	close_mover(&m);
	if (r < 0)
		return r;
	*ret_first = first;
	*ret_bytes = m.bytes;
	return 0;
}

/* Another kind of file has the name, or one that we do not write to. */
static bool is_in_the_way(int error)
{
	return error == -ELOOP || error == -EBADMSG || error == -EPERM;
}

/* Opens the first of .q.broken, .q.broken.2, ... that the bytes from `first` on can be put into
 * without a loss of what it holds.  `make`: that may be a new one; else -ENOENT says that it would be. */
static int open_broken(struct mover *m, int dirfd, uint32_t id, uint64_t first, uint64_t size,
                       bool make)
{
	char name[CQ_NAME_MAX];
	int r;

	for (unsigned n = 1; n <= MOST_SET_ASIDE; n++) {
		aside_name(name, false, id, n);
		r = cq_io_open(dirfd, name, O_RDWR, &m->to);
		if (r == -ENOENT)
			return make ? cq_io_create_new(dirfd, name, 0640, &m->to) : r;
		if (r < 0 && !is_in_the_way(r))
			return r;
		if (r < 0)
			continue;
		m->conflict = false;
		r = each_block(m, compare_block, first, size);
		if (r < 0 || !m->conflict)
			return r;
		close(m->to);
		m->to = -1;
	}
	return -EEXIST;
}

int cq_quarantine_may_cut(int dirfd, uint32_t id, uint64_t size, uint64_t tail)
{
	char name[CQ_NAME_MAX];
	struct mover m;
	struct stat st;
	uint64_t first;
	int fd, r;

	/* names are taken in order: while the last one is free, there is one */
	aside_name(name, false, id, MOST_SET_ASIDE);
	r = cq_io_stat_at(dirfd, name, &st);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	cq_segment_name(name, id);
	r = cq_io_open(dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = open_mover(&m, fd);
	if (r < 0)
		goto close_segment;
	r = cq_quarantine_first_residue(fd, size, tail, &first);
	if (r == 0 && first < size)
		r = open_broken(&m, dirfd, id, first, size, false);
	close_mover(&m);
close_segment:
	close(fd);
	return r == -ENOENT ? 0 : r;
}

int cq_quarantine_tail(int dirfd, struct cq_wsegment *segment, uint64_t tail, uint64_t *ret_bytes)
{
	const uint64_t size = segment->map.size;
	struct mover m;
	uint64_t first;
	int r;

	r = cq_quarantine_first_residue(segment->map.fd, size, tail, &first);
	if (r < 0)
		return r;
	if (first >= size) {
		*ret_bytes = 0;
		return 0;
	}
	r = open_mover(&m, segment->map.fd);
	if (r < 0)
		return r;
	r = open_broken(&m, dirfd, segment->id, first, size, true);
	if (r < 0)
		goto out;
	cq_point("recover.broken_opened");
	if (!cq_planted("residue_not_copied"))
		r = each_block(&m, copy_block, first, size);
	if (r == 0 && !cq_planted("copy_unsynced"))
		r = cq_io_sync_data(m.to);
	cq_point("recover.copy_synced");
	if (r == 0)
		r = cq_io_sync_dir(dirfd);
	if (r < 0)
		goto out;
	cq_point("recover.residue_copied");
	if (!cq_planted("residue_not_zeroed"))
		r = each_block(&m, note_piece, first, size);
	if (r == 0)
		r = zero_pieces(&m);
	cq_point("recover.zeroes_written");
	if (r == 0)
		r = cq_io_sync_data(m.from);
	if (r == 0)
		*ret_bytes = m.bytes;
	cq_point("recover.residue_zeroed");
out:
	close_mover(&m);
	return r;
}

/* ---- whole segments ---- */

int cq_quarantine_drop_index(int dirfd, uint32_t id)
{
	int r = cq_index_remove(dirfd, id);

	cq_point("recover.index_dropped");
	return r;
}

/* The index goes first: left without its segment, it would become the index of the next one with this id. */
int cq_quarantine_segment(int dirfd, uint32_t id, char *ret_name)
{
	char name[CQ_NAME_MAX];
	int r;

	r = cq_quarantine_drop_index(dirfd, id);
	if (r < 0)
		return r;
	cq_segment_name(name, id);
	r = -EEXIST;
	for (unsigned n = 1; r == -EEXIST && n <= MOST_SET_ASIDE; n++) {
		aside_name(ret_name, true, id, n);
		r = cq_io_rename_noreplace(dirfd, name, ret_name);
	}
	if (r < 0)
		return r;
	cq_point("recover.aside_renamed");
	return cq_io_sync_dir(dirfd);
}

int cq_quarantine_may_take_segment(int dirfd, uint32_t id)
{
	char name[CQ_NAME_MAX];
	struct stat st;
	int r = 0;

	for (unsigned n = 1; r == 0 && n <= MOST_SET_ASIDE; n++) {
		aside_name(name, true, id, n);
		r = cq_io_stat_at(dirfd, name, &st);
	}
	return r == 0 ? -EEXIST : r == -ENOENT ? 0 : r;
}

bool cq_placeholder_is(const struct cq_segment_header *header)
{
	return cq_segment_ext_valid(header) && header->records == 0 &&
	       header->used == CQ_PLACEHOLDER_USED;
}

int cq_placeholder_publish(int dirfd, uint32_t id, uint64_t size, uint64_t first_seq,
                           uint64_t stream_base)
{
	struct {
		struct cq_segment_header header;
		struct cq_record_header pad;
	} start = {
		.header = {
			.magic = CQ_SEGMENT_MAGIC,
			.version = CQ_SEGMENT_VERSION,
			.id = id,
			.flags = CQ_SEALED,
			.ext = 1,
			.stream_base = stream_base,
			.first_seq = first_seq,
			.used = CQ_PLACEHOLDER_USED,
		},
		.pad = { .commit = 1, .version = CQ_RECORD_VERSION, .type = CQ_TYPE_PAD },
	};
	char temp[CQ_NAME_MAX], name[CQ_NAME_MAX];
	int fd, r;

	static_assert(sizeof start == CQ_PLACEHOLDER_USED, "a placeholder is a header and a PAD");
	start.header.ext_crc = cq_segment_ext_crc(&start.header);
	snprintf(temp, sizeof temp, CQ_SEGMENT_TEMP_FALLBACK, id);
	cq_segment_name(name, id);
	r = cq_io_create_new(dirfd, temp, 0640, &fd);
	if (r < 0)
		return r;
	/* it needs no blocks, because nothing will be stored in it */
	r = cq_io_truncate(fd, size);
	if (r == 0)
		r = cq_io_pwrite(fd, &start, sizeof start, 0);
	if (r == 0)
		r = cq_io_sync_data(fd);
	close(fd);
	cq_point("repair.stand_in_written");
	if (r == 0)
		r = cq_io_rename_noreplace(dirfd, temp, name);
	if (r < 0) {
		(void)cq_io_unlink(dirfd, temp);
		return r;
	}
	cq_point("repair.stand_in_named");
	return cq_io_sync_dir(dirfd);
}
