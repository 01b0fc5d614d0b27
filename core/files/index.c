/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - NNNNNNNNN.idx: read, build, check, write
 *
 * chronicle-rs's writer indexes the records that it has appended itself.  Where it found records in the
 * segment, it flags the index as partial, and the first entry is of its own first record.  It also writes
 * an index for the unsealed segment that it closes, so an index that is not partial may end early.  An
 * index that is built here has all records.
 */
#include "files/index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "format/walk.h"
#include "format/window.h"
#include "os/io.h"

/* One for the first record and one after each further 4096. */
static uint64_t max_entries(uint64_t segment_size)
{
	return segment_size / sizeof(struct cq_record_header) / CQ_INDEX_STRIDE + 1;
}

static bool header_valid(const struct cq_index_header *header, uint32_t id, uint64_t segment_size)
{
	return memcmp(header->magic, CQ_INDEX_MAGIC, sizeof header->magic) == 0 &&
	       header->version == CQ_INDEX_VERSION && header->header_length == sizeof *header &&
	       (header->flags & ~CQ_INDEX_PARTIAL) == 0 && header->segment == id &&
	       header->segment_size == segment_size &&
	       header->data_offset == sizeof(struct cq_segment_header) &&
	       header->stride == CQ_INDEX_STRIDE && header->min_seq <= header->max_seq &&
	       header->min_time_ns <= header->max_time_ns &&
	       header->entries <= max_entries(segment_size);
}

/* Every offset can be a record's, and each next one is further on by at least the records between. */
static bool entries_valid(const struct cq_index_header *header,
                          const struct cq_index_entry *entries)
{
	uint64_t end = header->segment_size - sizeof(struct cq_record_header);
	uint64_t least = header->data_offset;
	uint64_t i;

	for (i = 0; i < header->entries; i++) {
		const struct cq_index_entry *e = &entries[i];

		if (e->offset < least || e->offset > end || e->offset % CQ_ALIGN != 0 ||
		    e->seq < header->min_seq || e->seq > header->max_seq ||
		    e->time_ns < header->min_time_ns || e->time_ns > header->max_time_ns)
			return false;
		least = e->offset + (uint64_t)CQ_INDEX_STRIDE * CQ_ALIGN;
	}
	return true;
}

int cq_index_read(int dirfd, uint32_t id, uint64_t segment_size, struct cq_index *ret_index)
{
	struct cq_index index = { .entries = NULL };
	char name[CQ_NAME_MAX];
	struct stat st;
	uint64_t bytes;
	ssize_t n;
	int fd, r;

	cq_index_name(name, id);
	r = cq_io_open(dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_io_stat(fd, &st);
	if (r < 0)
		goto close_file;
	r = -EBADMSG;
	n = cq_io_pread(fd, &index.header, sizeof index.header, 0);
	if (n < 0) {
		r = (int)n;
		goto close_file;
	}
	if ((size_t)n != sizeof index.header || !header_valid(&index.header, id, segment_size))
		goto close_file;
	bytes = index.header.entries * sizeof *index.entries;
	if ((uint64_t)st.st_size != sizeof index.header + bytes)
		goto close_file;
	index.entries = malloc(bytes > 0 ? bytes : 1);
	if (!index.entries) {
		r = -ENOMEM;
		goto close_file;
	}
	n = cq_io_pread(fd, index.entries, bytes, sizeof index.header);
	if (n < 0)
		r = (int)n;
	else if ((uint64_t)n == bytes && /* GCOV_EXCL_BR_LINE: fstat() gave the size */
	         entries_valid(&index.header, index.entries))
		r = 0;
	if (r == 0)
		*ret_index = index;
	else
		free(index.entries);
close_file:
	close(fd);
	return r;
}

#define SECTOR 512U /* a disk writes it whole or not at all */

bool cq_index_is_torn(int dirfd, uint32_t id)
{
	static const uint8_t zero[SECTOR];
	uint8_t sector[SECTOR];
	char name[CQ_NAME_MAX];
	bool torn = false;
	uint64_t at = 0;
	ssize_t n;
	int fd;

	cq_index_name(name, id);
	if (cq_io_open(dirfd, name, O_RDONLY, &fd) < 0)
		return false;
	do {
		n = cq_io_pread(fd, sector, sizeof sector, at);
		torn = (n > 0 || at == 0) && n >= 0 && memcmp(sector, zero, (size_t)n) == 0;
		at += sizeof sector;
	} while (!torn && n == (ssize_t)sizeof sector);
	close(fd);
	return torn;
}

/* Counts the values of record number `nth` of a segment. */
static void count(struct cq_index_header *to, const struct cq_record_header *h, uint64_t nth)
{
	if (nth == 0 || h->seq < to->min_seq)
		to->min_seq = h->seq;
	if (nth == 0 || h->seq > to->max_seq)
		to->max_seq = h->seq;
	if (nth == 0 || h->time_ns < to->min_time_ns)
		to->min_time_ns = h->time_ns;
	if (nth == 0 || h->time_ns > to->max_time_ns)
		to->max_time_ns = h->time_ns;
}

const struct cq_index_entry *cq_index_check_record(struct cq_index_check *check,
                                                   const struct cq_record_at *record)
{
	const struct cq_index_header *h = &check->index->header;
	const struct cq_index_entry *entry = &check->index->entries[check->next];
	const uint64_t nth = check->records++;

	count(&check->seen, &record->header, nth);
	if (check->next >= h->entries || entry->offset > record->offset)
		return NULL;
	check->next++;
	if (entry->offset != record->offset || entry->seq != record->header.seq ||
	    entry->time_ns != record->header.time_ns)
		return entry;
	if (!(h->flags & CQ_INDEX_PARTIAL) && nth != (check->next - 1) * CQ_INDEX_STRIDE)
		check->entry_misplaced = true;
	return NULL;
}

enum cq_index_verdict cq_index_check_end(const struct cq_index_check *check, bool sealed)
{
	const struct cq_index_header *h = &check->index->header, *seen = &check->seen;

	if (check->next != h->entries)
		return CQ_INDEX_TOO_LONG;
	if (h->flags & CQ_INDEX_PARTIAL) /* begins in the middle: chronicle-rs's own */
		return CQ_INDEX_FITS;
	if (check->entry_misplaced || h->max_seq > seen->max_seq ||
	    h->max_time_ns > seen->max_time_ns)
		return CQ_INDEX_OTHER_RANGE;
	if (!sealed)
		return CQ_INDEX_FITS;
	return h->entries == (check->records + CQ_INDEX_STRIDE - 1) / CQ_INDEX_STRIDE &&
	                       h->min_seq == seen->min_seq && h->max_seq == seen->max_seq &&
	                       h->min_time_ns == seen->min_time_ns &&
	                       h->max_time_ns == seen->max_time_ns
	               ? CQ_INDEX_FITS
	               : CQ_INDEX_OTHER_RANGE;
}

int cq_index_fits(const struct cq_index *index, int segment_fd, bool sealed, struct cq_meter *meter,
                  bool *ret_fits)
{
	struct cq_index_check check = { .index = index };
	struct cq_record_at record;
	struct cq_window scan;
	struct cq_walk walk;
	bool wrong = false;
	int r;

	r = cq_window_init(&scan, segment_fd, index->header.segment_size);
	if (r < 0)
		return r;
	scan.meter = meter;
	walk = cq_walk_file(&scan);
	while ((r = cq_walk_next(&walk, &record)) > 0)
		wrong |= cq_index_check_record(&check, &record) != NULL;
	cq_window_fini(&scan);
	if (r < 0 && walk.state == CQ_RECORD_OK)
		return r;
	*ret_fits = r == 0 && !wrong && cq_index_check_end(&check, sealed) == CQ_INDEX_FITS;
	return 0;
}

int cq_index_build(int segment_fd, uint32_t id, uint64_t segment_size, struct cq_meter *meter,
                   struct cq_index *ret_index)
{
	struct cq_index index = {
		.header = {
			.magic = CQ_INDEX_MAGIC,
			.version = CQ_INDEX_VERSION,
			.header_length = sizeof index.header,
			.segment = id,
			.segment_size = segment_size,
			.data_offset = sizeof(struct cq_segment_header),
			.stride = CQ_INDEX_STRIDE,
		},
	};
	struct cq_segment_header segment;
	struct cq_record_at record;
	struct cq_window scan;
	struct cq_walk walk;
	uint64_t nth = 0;
	ssize_t n;
	int r;

	n = cq_io_pread(segment_fd, &segment, sizeof segment, 0);
	if (n < 0)
		return (int)n;
	if ((size_t)n != sizeof segment || !cq_segment_header_valid(&segment, id))
		return -EBADMSG;
	r = cq_window_init(&scan, segment_fd, segment_size);
	if (r < 0)
		return r;
	scan.meter = meter;
	index.entries = malloc(max_entries(segment_size) * sizeof *index.entries);
	if (!index.entries) {
		r = -ENOMEM;
		goto fini_scan;
	}
	walk = cq_walk_file(&scan);
	for (; (r = cq_walk_next(&walk, &record)) > 0; nth++) {
		count(&index.header, &record.header, nth);
		if (nth % CQ_INDEX_STRIDE == 0)
			index.entries[index.header.entries++] = (struct cq_index_entry){
				.seq = record.header.seq,
				.time_ns = record.header.time_ns,
				.offset = record.offset,
			};
	}
	if (walk.state != CQ_RECORD_OK)
		r = -EBADMSG;
	if (r < 0)
		free(index.entries);
	else
		*ret_index = index;
fini_scan:
	cq_window_fini(&scan);
	return r;
}

int cq_index_write(int dirfd, const struct cq_index *index)
{
	size_t bytes = (size_t)index->header.entries * sizeof *index->entries;
	char name[CQ_NAME_MAX], temp[CQ_NAME_MAX];
	uint8_t *buffer;
	int r;

	buffer = malloc(sizeof index->header + bytes);
	if (!buffer)
		return -ENOMEM;
	memcpy(buffer, &index->header, sizeof index->header);
	if (bytes > 0)
		memcpy(buffer + sizeof index->header, index->entries, bytes);
	cq_index_name(name, (uint32_t)index->header.segment);
	snprintf(temp, sizeof temp, CQ_INDEX_TEMP, (uint32_t)index->header.segment);
	r = cq_io_replace(dirfd, temp, name, buffer, sizeof index->header + bytes);
	free(buffer);
	return r;
}

int cq_index_remove(int dirfd, uint32_t id)
{
	char name[CQ_NAME_MAX];
	int r;

	cq_index_name(name, id);
	r = cq_io_unlink(dirfd, name);
	return r == -ENOENT || r == -EBADMSG ? 0 : r;
}

void cq_index_fini(struct cq_index *index)
{
	free(index->entries);
	index->entries = NULL;
}
