/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.c - a position in a queue: open, next, close
 *
 * cq_reader_next() is the hot path: while records follow one another in a segment it makes no system
 * call, reads no clock and takes no lock.  It does not prefetch: measurements say that this costs more
 * than it saves.  follow.c does the rest.
 *
 * Invariant: the reader moves past a record only after its commit word (acquire) was within bounds
 * and both checksums were right, and past a segment only when its writer has left it.
 */
#include "read/reader.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/locate.h"
#include "format/place.h"
#include "messages/sized.h"
#include "meta/reader_lock.h"
#include "os/fault.h"
#include "os/process.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* ---- next ---- */

enum { TAKEN = 1, PASSED = 2 };

/*
 * The sequence number is not next_seq.  Inside a segment that is damage: this library leaves no gap.
 * Behind a boundary a higher number tells how many records are missing, and a lower one that its writer
 * began to count again.
 */
static int seq_differs(cq_reader *reader, uint64_t seq)
{
	const enum cq_seq_state state = reader->seq_state;

	if (state == CQ_SEQ_NEXT)
		return -EIO;
	reader->seq_state = CQ_SEQ_UNKNOWN;
	if (state == CQ_SEQ_UNKNOWN || seq < reader->next_seq)
		return 0;
	reader->stats.gap_records += seq - reader->next_seq;
	if (state == CQ_SEQ_GAP)
		return 0;
	reader->stats.gaps++;
	return -ENODATA;
}

/* The next record, if there is one: else 0. */
static inline int take(cq_reader *reader, struct cq_record *ret_record)
{
	const uint64_t offset = reader->offset;
	enum cq_record_state state;
	struct cq_record_header h;
	const uint8_t *at;
	uint64_t length;
	int r;

	r = cq_record_load(reader->base, reader->size, offset, &h, &state);
	if (unlikely(r <= 0))
		return r;
	at = reader->base + offset;
	length = (uint64_t)h.commit - 1;
	if (unlikely(h.type == CQ_TYPE_PAD)) {
		reader->offset = offset + cq_record_span(length);
		return PASSED;
	}
	if (unlikely(cq_crc32(0, at + sizeof h, length) != h.payload_crc) &&
	    !cq_planted("payload_crc_ignored"))
		return -EIO;
	if (likely(h.ext == 1)) {
		if (unlikely(h.seq != reader->next_seq || reader->seq_state == CQ_SEQ_UNKNOWN)) {
			r = seq_differs(reader, h.seq);
			if (r < 0)
				return r;
		}
		reader->seq_state = CQ_SEQ_NEXT;
		reader->next_seq = h.seq + 1;
	} else {
		reader->seq_state = CQ_SEQ_UNKNOWN;
	}
	reader->offset = offset + cq_record_span(length);
	reader->stats.records++;
	reader->stats.bytes += length;
	*ret_record = (struct cq_record){
		.seq = h.seq,
		.time_ns = h.time_ns,
		.payload = at + sizeof h,
		.length = length,
		.type = h.type,
		.have_stream = h.ext == 1,
		.epoch = h.epoch,
		.stream_offset = h.stream_offset,
		.segment = reader->segment,
		.offset = offset,
	};
	return TAKEN;
}

int cq_reader_next(cq_reader *reader, struct cq_record *ret_record)
{
	int r;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	if (unlikely(reader->pending != 0)) {
		r = reader->pending;
		reader->pending = 0;
		return r;
	}
	for (;;) {
		r = take(reader, ret_record);
		if (unlikely(r == 0))
			r = cq_reader_follow(reader);
		else if (likely(r != PASSED))
			return r;
		if (r == 0 && reader->bridge)
			cq_bridge_arm(reader);
		if (r <= 0)
			return r;
	}
}

/* The next record, if it is in the same segment and not longer than that. */
static bool take_more(cq_reader *reader, struct cq_record *ret_record, size_t most_bytes)
{
	struct cq_record_header h;
	enum cq_record_state state;
	int r;

	do {
		r = cq_record_load(reader->base, reader->size, reader->offset, &h, &state);
		if (r > 0 && h.type != CQ_TYPE_PAD && h.commit - 1 > most_bytes)
			return false;
		/* no boundary between two records of one segment: an error has moved and counted nothing */
		r = take(reader, ret_record);
	} while (r == PASSED);
	return r == TAKEN;
}

ssize_t cq_reader_next_batch(cq_reader *reader, struct cq_record *ret_records, size_t most,
                             size_t max_bytes)
{
	size_t rest = max_bytes == 0 ? SIZE_MAX : max_bytes, n = 1;
	int r;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	if (most == 0 || most > SSIZE_MAX)
		return -EINVAL;
	r = cq_reader_next(reader, ret_records);
	if (r <= 0)
		return r;
	cq_landmarks_note(reader, ret_records);
	if (ret_records->length > rest)
		return 1;
	rest -= ret_records->length;
	for (; n < most && take_more(reader, &ret_records[n], rest); n++)
		rest -= ret_records[n].length;
	return (ssize_t)n;
}

/* ---- position ---- */

void cq_reader_place(cq_reader *reader, const struct cq_mapped *mapped, uint64_t offset)
{
	cq_mapped_close(&reader->mapped);
	reader->mapped = *mapped;
	reader->base = mapped->map.base;
	reader->size = mapped->map.size;
	reader->segment = mapped->id;
	reader->offset = offset;
	reader->seq_state = CQ_SEQ_UNKNOWN;
	reader->pending = 0;
	if (reader->bridge)
		cq_bridge_moved(reader);
}

void cq_reader_unplace(cq_reader *reader)
{
	cq_mapped_close(&reader->mapped);
	reader->base = NULL;
	reader->size = sizeof(struct cq_segment_header); /* has no record */
	reader->segment = 0;
	reader->exact = false;
	reader->offset = sizeof(struct cq_segment_header);
	reader->seq_state = CQ_SEQ_UNKNOWN;
	reader->pending = 0;
	if (reader->bridge)
		cq_bridge_moved(reader);
}

/* If the position is behind the last record, a power cut took the records before it: a reader that waited there
 * would miss those that are written in their place.  Offset 0: the beginning. */
static uint64_t end_of_read(const cq_reader *reader, const struct cq_mapped *mapped,
                            uint64_t offset)
{
	struct cq_segment_counts counts;

	if (offset < sizeof(struct cq_segment_header))
		return sizeof(struct cq_segment_header);
	/* this process's writer appends right there: no way has to be walked */
	if (cq_queue_writer_counts(reader->queue, mapped->id, &counts) && counts.used == offset)
		return offset;
	return cq_locate_end(mapped, offset);
}

int cq_reader_place_committed(cq_reader *reader, uint32_t segment, uint64_t offset)
{
	struct cq_mapped mapped;
	int r;

	r = cq_reader_mapped(reader, segment, &mapped);
	if (r < 0)
		return r;
	cq_reader_place(reader, &mapped, end_of_read(reader, &mapped, offset));
	if (reader->offset == sizeof(struct cq_segment_header))
		cq_reader_expect(reader);
	return 0;
}

int cq_reader_resume(cq_reader *reader, uint32_t segment, uint64_t offset)
{
	uint64_t id = segment, size;
	int r;

	r = cq_reader_place_committed(reader, segment, offset);
	/* a full segment that was read to its end may have been deleted: nothing is missing */
	if (r == -ENOENT && cq_queue_segment_size(reader->queue, &size) == 0) {
		cq_place_level(&id, &offset, size);
		if (id != segment && id <= CQ_SEGMENT_ID_MAX) {
			segment = (uint32_t)id;
			r = cq_reader_place_committed(reader, segment, offset);
		}
	}
	if (r == -ENOENT || r == -EAGAIN || r == -EBADMSG || r == -EIO) {
		cq_reader_unplace(reader);
		reader->segment = segment;
		reader->exact = true;
		/* the segment may be readable later: then the reader goes on behind what it has read */
		if (r == -EIO && offset > sizeof(struct cq_segment_header))
			reader->offset = offset;
		r = 0;
	}
	return r;
}

int cq_reader_stats(const cq_reader *reader, struct cq_reader_stats *ret_stats)
{
	struct cq_reader_stats stats = reader->stats;
	int r;

	if (cq_process_forked(reader->process))
		return -ECHILD;
	r = cq_sized_check(ret_stats);
	if (r < 0)
		return r;
	stats.segment = reader->segment;
	stats.offset = reader->offset;
	cq_sized_give(ret_stats, &stats, sizeof stats);
	return 0;
}

/* ---- open and close ---- */

/* Locks the reader's file, which is made unless the reader has to be there, and reads the committed position.  A
 * file that holds none counts as no file. */
static int load_committed(cq_reader *reader, bool create)
{
	int r;

	r = cq_reader_lock_open(reader->queue->dirfd, reader->name, create, &reader->committed_fd);
	if (r < 0)
		return r;
	r = cq_reader_file_read(reader->committed_fd, &reader->committed);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	reader->have_committed = true;
	return 0;
}

static int start_at(cq_reader *reader, enum cq_start start)
{
	switch (start) {
	case CQ_START_LATEST:
		return cq_reader_seek_end(reader);
	case CQ_START_RESUME:
		if (!reader->have_committed)
			return -ENOENT;
		break;
	case CQ_START_RESUME_OR_OLDEST:
		if (reader->have_committed)
			break;
		return cq_reader_seek_oldest(reader);
	case CQ_START_OLDEST:
	default: /* GCOV_EXCL_BR_LINE: start_valid() refuses others */
		return cq_reader_seek_oldest(reader);
	}
	return cq_reader_resume(reader, (uint32_t)reader->committed.segment,
	                        reader->committed.offset);
}

static bool start_valid(enum cq_start start)
{
	return start == CQ_START_OLDEST || start == CQ_START_LATEST || start == CQ_START_RESUME ||
	       start == CQ_START_RESUME_OR_OLDEST;
}

int cq_reader_open_unstored(const char *dir, const char *name, enum cq_start start, unsigned flags,
                            cq_reader **ret_reader)
{
	cq_reader *reader;
	uint64_t process;
	int r;

	if (!start_valid(start) || (flags & ~CQ_READER_PASSIVE) != 0 || (name && flags != 0) ||
	    (name && !cq_reader_name_valid(name)))
		return -EINVAL;
	r = cq_process_number(&process);
	if (r < 0)
		return r;
	reader = calloc(1, sizeof *reader);
	if (!reader)
		return -ENOMEM;
	reader->process = process;
	reader->mapped = CQ_MAPPED_NONE;
	reader->committed_fd = -1;
	cq_reader_unplace(reader);
	reader->passive = (flags & CQ_READER_PASSIVE) != 0;
	r = cq_queue_open(dir, &reader->queue);
	if (r < 0)
		goto fail;
	cq_reader_control(reader);
	if (name) {
		memcpy(reader->name, name, strlen(name) + 1);
		r = load_committed(reader, start != CQ_START_RESUME);
		if (r < 0)
			goto fail;
	}
	r = start_at(reader, start);
	if (r < 0)
		goto fail;
	*ret_reader = reader;
	return 0;
fail:
	cq_reader_close(reader);
	return r;
}

int cq_reader_open(const char *dir, const char *name, enum cq_start start, unsigned flags,
                   cq_reader **ret_reader)
{
	cq_reader *reader;
	int r;

	r = cq_reader_open_unstored(dir, name, start, flags, &reader);
	if (r < 0)
		return r;
	/* from now on retention waits for a new reader */
	if (name && !reader->have_committed)
		r = cq_reader_commit(reader);
	if (r < 0) {
		cq_reader_close(reader);
		return r;
	}
	*ret_reader = reader;
	return 0;
}

void cq_reader_close(cq_reader *reader)
{
	if (!reader || cq_process_forked(reader->process))
		return;
	cq_bridge_close(reader);
	cq_mapped_close(&reader->mapped);
	if (reader->control.page)
		cq_control_close(&reader->control);
	if (reader->committed_fd >= 0)
		cq_reader_lock_close(reader->queue->dirfd, reader->name, reader->committed_fd);
	cq_queue_close(reader->queue);
	free(reader);
}
