/* SPDX-License-Identifier: Apache-2.0 */
/*
 * named.c - named readers, seen and changed from outside: where one is, setting it, deleting it
 *
 * Whoever sets or deletes a reader holds its lock (meta/reader_lock.h), and so meets no reader at work.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/locate.h"
#include "catalog/queue.h"
#include "catalog/successor.h"
#include "messages/sized.h"
#include "meta/reader_lock.h"
#include "os/process.h"
#include "read/reader.h"

void cq_reader_scout(cq_reader *ret_scout, cq_queue *queue)
{
	memset(ret_scout, 0, sizeof *ret_scout);
	ret_scout->process = queue->process;
	ret_scout->mapped = CQ_MAPPED_NONE;
	ret_scout->committed_fd = -1;
	ret_scout->passive = true;
	ret_scout->queue = queue;
	cq_reader_unplace(ret_scout);
	cq_reader_control(ret_scout);
}

void cq_reader_scout_end(cq_reader *scout)
{
	cq_mapped_close(&scout->mapped);
	if (scout->control.page)
		cq_control_close(&scout->control);
}

/* ---- where a reader is ---- */

/* 1 with the number that follows the last one of a segment, by its summary or by a walk; 0: it has none. */
static int number_behind(const cq_reader *scout, uint32_t id, uint64_t *ret_seq)
{
	struct cq_segment_counts counts;
	struct cq_segment_header summary;
	struct cq_record_at record;
	struct cq_mapped mapped;
	struct cq_walk walk;
	uint64_t landmark;
	bool known;
	int r;

	if (cq_queue_writer_counts(scout->queue, id, &counts) && counts.records > 0) {
		*ret_seq = counts.last_seq + 1;
		return 1;
	}
	r = cq_mapped_of(scout->queue, id, &mapped);
	if (r < 0)
		return r == -EAGAIN ? 0 : r;
	known = cq_mapped_summary(&mapped, &summary);
	if (known)
		*ret_seq = summary.first_seq;
	if (known && cq_mapped_sealed(&mapped)) {
		*ret_seq += summary.records;
		goto close;
	}
	walk = cq_walk_mapped(&mapped.map, sizeof summary);
	if (scout->base && scout->segment == id && scout->seq_state == CQ_SEQ_NEXT) {
		walk.offset = scout->offset;
		*ret_seq = scout->next_seq;
		known = true;
	}
	landmark = cq_locate_landmark(&scout->control, &mapped, UINT64_MAX);
	if (landmark > walk.offset)
		walk.offset = landmark;
	while ((r = cq_walk_next(&walk, &record)) == 1) {
		*ret_seq = record.header.seq + 1;
		known = true;
	}
close:
	cq_mapped_close(&mapped);
	return r < 0 ? r : known;
}

/* The number that the next record of the queue will get, in the segment that the writer is in or the last one
 * before it that has a record. */
static int next_number(const cq_reader *scout, uint64_t *ret_seq)
{
	uint32_t *ids;
	size_t count;
	int r;

	if (scout->control.page) {
		r = number_behind(scout, cq_successor_current(&scout->control), ret_seq);
		if (r > 0)
			return r;
	}
	r = cq_queue_list(scout->queue, &ids, &count);
	if (r < 0)
		return r;
	while (r == 0 && count > 0)
		r = number_behind(scout, ids[--count], ret_seq);
	free(ids);
	return r;
}

/* What the reader will take next.  Damage hides the numbers, and is no error here. */
static void look_ahead(cq_reader *scout, struct cq_reader_info *info)
{
	struct cq_record record;
	uint64_t end;
	int r;

	while ((r = cq_reader_next(scout, &record)) == -ENODATA)
		info->missing = true;
	if (r == -EIO)
		r = cq_reader_skip_record(scout, &record) > 0 ? 1 : -EIO;
	if (r < 0)
		return;
	if (r > 0) {
		info->have_seq = true;
		info->seq = record.seq;
		info->next_time_ns = record.time_ns;
	}
	if (next_number(scout, &end) <= 0)
		return;
	if (r == 0) {
		info->have_seq = true;
		info->seq = end;
	}
	/* chronicle-rs begins to count again */
	info->have_lag_records = end >= info->seq;
	info->lag_records = info->have_lag_records ? end - info->seq : 0;
}

int cq_queue_reader(cq_queue *queue, const char *name, struct cq_reader_info *ret_info)
{
	struct cq_reader_info info = { 0 };
	struct cq_reader_position position;
	struct cq_reader scout;
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	r = cq_sized_check(ret_info);
	if (r == 0 && !cq_reader_name_valid(name))
		r = -EINVAL;
	if (r == 0)
		r = cq_reader_lock_holder(queue->dirfd, name, &info.in_use, &info.pid);
	if (r == 0)
		r = cq_queue_reader_position(queue, name, &position);
	if (r < 0)
		return r;
	info.segment = position.segment;
	info.offset = position.offset;
	info.heartbeat_ns = position.heartbeat_ns;
	info.lag_bytes = position.lag_bytes;
	cq_reader_scout(&scout, queue);
	if (cq_reader_resume(&scout, position.segment, position.offset) == 0)
		look_ahead(&scout, &info);
	cq_reader_scout_end(&scout);
	cq_sized_give(ret_info, &info, sizeof info);
	return 0;
}

/* ---- changes ---- */

static int seek(cq_reader *reader, enum cq_place place, uint64_t value)
{
	switch (place) {
	case CQ_PLACE_SEQ:
		return cq_reader_seek_seq(reader, value);
	case CQ_PLACE_TIME:
		return cq_reader_seek_time(reader, value);
	case CQ_PLACE_OLDEST:
		return cq_reader_seek_oldest(reader);
	case CQ_PLACE_LATEST:
		return cq_reader_seek_end(reader);
	default:
		return -EINVAL;
	}
}

int cq_reader_set(const char *dir, const char *name, enum cq_place place, uint64_t value)
{
	cq_reader *reader;
	int r;

	if (!name)
		return -EINVAL;
	r = cq_reader_open_unstored(dir, name, CQ_START_OLDEST, 0, &reader);
	if (r < 0)
		return r;
	r = seek(reader, place, value);
	if (r == 0)
		r = cq_reader_commit(reader);
	cq_reader_close(reader);
	return r;
}

int cq_reader_delete(const char *dir, const char *name)
{
	cq_queue *queue;
	int fd, r;

	if (!name || !cq_reader_name_valid(name))
		return -EINVAL;
	r = cq_queue_open(dir, &queue);
	if (r < 0)
		return r;
	r = cq_reader_lock_open(queue->dirfd, name, false, &fd);
	if (r == 0) {
		r = cq_reader_lock_delete(queue->dirfd, name, fd);
		cq_reader_lock_close(queue->dirfd, name, fd);
	}
	cq_queue_close(queue);
	return r;
}
