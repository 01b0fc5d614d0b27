/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - what a segment holds: counted by walking its records, or known without that
 *
 * A sealed segment of ours says it in its summary and its index.  The walk remains for the one that
 * another process is writing, and for all of chronicle-rs's; what it gave for a sealed one is
 * remembered (catalog.h).
 */
#include <errno.h>

#include "catalog/queue.h"
#include "chronq.h"
#include "files/index.h"
#include "format/record.h"
#include "format/walk.h"
#include "format/window.h"
#include "messages/sized.h"
#include "os/io.h"
#include "os/process.h"

static void count(struct cq_segment_content *content, const struct cq_record_at *record)
{
	if (content->records == 0) {
		content->first_seq = record->header.seq;
		content->first_time_ns = record->header.time_ns;
	}
	content->last_seq = record->header.seq;
	content->last_time_ns = record->header.time_ns;
	content->records++;
	content->payload_bytes += record->length;
}

static int count_all(cq_segment *segment, struct cq_segment_content *ret_content)
{
	struct cq_segment_content content = { 0 };
	struct cq_record_at record;
	struct cq_window scan;
	struct cq_walk walk;
	int r;

	r = cq_window_init(&scan, cq_segment_fd(segment), cq_segment_size(segment));
	if (r < 0)
		return r;
	walk = cq_walk_file(&scan);
	while ((r = cq_walk_next(&walk, &record)) > 0)
		count(&content, &record);
	cq_window_fini(&scan);
	content.used = walk.offset;
	content.damaged = walk.state != CQ_RECORD_OK;
	if (r < 0 && !content.damaged)
		return r;
	*ret_content = content;
	return 0;
}

int cq_segment_content(cq_segment *segment, struct cq_segment_content *ret_content)
{
	struct cq_segment_content content;
	int r;

	if (cq_process_forked(segment->process))
		return -ECHILD;
	r = cq_sized_check(ret_content);
	if (r == 0)
		r = count_all(segment, &content);
	if (r == 0)
		cq_sized_give(ret_content, &content, sizeof content);
	return r;
}

/* ---- without the walk ---- */

static struct cq_segment_content content_of_live(const struct cq_segment_counts *live)
{
	return (struct cq_segment_content){
		.records = live->records,
		.payload_bytes = live->payload_bytes,
		.used = live->used,
		.first_seq = live->first_seq,
		.last_seq = live->last_seq,
		.first_time_ns = live->first_time_ns,
		.last_time_ns = live->last_time_ns,
	};
}

/* The record that the index begins with is there, and is the first of the summary's. */
static bool begins_with(cq_segment *segment, const struct cq_index_entry *first, uint64_t first_seq)
{
	struct cq_record_header h;

	return cq_segment_pread(segment, &h, sizeof h, first->offset) == (ssize_t)sizeof h &&
	       h.commit != 0 && h.ext == 1 && h.seq == first_seq && h.time_ns == first->time_ns &&
	       cq_record_check_header(&h, h.commit, first->offset, segment->size) == CQ_RECORD_OK;
}

/*
 * From a summary and an index that belong together; false: they do not tell all.
 *
 * The index knows the highest time, which is the last record's unless a clock was set back.  The
 * file's modification time is the last record's unless somebody has copied the file.  Where they are
 * the same there is no doubt.
 */
static bool content_of_summary(cq_segment *segment, const struct cq_segment_info *info,
                               struct cq_file_id file, struct cq_segment_content *ret_content)
{
	struct cq_segment_content content = {
		.records = info->records,
		.payload_bytes = info->payload_bytes,
		.used = info->used,
	};
	struct cq_index index;
	bool all;

	if (content.records > 0) {
		content.first_seq = info->first_seq;
		content.last_seq = info->first_seq + info->records - 1;
		if (cq_index_read(segment->queue->dirfd, segment->id, segment->size, &index) < 0)
			return false;
		all = !(index.header.flags & CQ_INDEX_PARTIAL) && index.header.entries > 0 &&
		      index.header.min_seq == content.first_seq &&
		      index.header.max_seq == content.last_seq &&
		      index.header.max_time_ns == file.modified_ns &&
		      begins_with(segment, &index.entries[0], content.first_seq);
		if (all) {
			content.first_time_ns = index.entries[0].time_ns;
			content.last_time_ns = index.header.max_time_ns;
		}
		cq_index_fini(&index);
		if (!all)
			return false;
	}
	*ret_content = content;
	return true;
}

/* Not live, and sealed when `info` was read. */
static int sealed_content(cq_segment *segment, const struct cq_segment_info *info,
                          struct cq_segment_content *ret_content)
{
	struct cq_catalog *catalog = &segment->queue->catalog;
	struct cq_catalog_entry counted = { .id = segment->id };
	struct cq_segment_content content;
	struct stat st;
	int r;

	r = cq_io_stat(segment->fd, &st);
	if (r < 0)
		return r;
	counted.file = cq_file_id(&st);
	if (cq_catalog_get_content(catalog, segment->id, counted.file, ret_content))
		return 0;
	if (!info->have_summary || !content_of_summary(segment, info, counted.file, &content)) {
		r = count_all(segment, &content);
		if (r < 0)
			return r;
		if (!content.damaged) {
			counted.flags = CQ_ENTRY_COUNTED;
			counted.bytes = content.payload_bytes;
			cq_catalog_learn_sealed(catalog, &counted, cq_queue_oldest(segment->queue));
		}
	}
	cq_catalog_put_content(catalog, segment->id, counted.file, &content);
	*ret_content = content;
	return 0;
}

int cq_segment_summary(cq_segment *segment, struct cq_segment_content *ret_content)
{
	struct cq_segment_info info = CQ_SIZED(info);
	struct cq_segment_content content;
	struct cq_segment_counts live;
	int r;

	if (cq_process_forked(segment->process))
		return -ECHILD;
	r = cq_sized_check(ret_content);
	if (r == 0)
		r = cq_segment_info(segment, &info);
	if (r < 0)
		return r;
	if (cq_queue_writer_counts(segment->queue, segment->id, &live))
		content = content_of_live(&live);
	else if (info.sealed)
		r = sealed_content(segment, &info, &content);
	else
		r = count_all(segment, &content);
	if (r == 0)
		cq_sized_give(ret_content, &content, sizeof content);
	return r;
}
