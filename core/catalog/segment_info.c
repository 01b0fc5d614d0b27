/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_info.c - what a segment is and what it holds
 *
 * A sealed segment of ours says what it holds in its summary and its index.  The records are counted
 * only of a segment that another process is writing, and of all of chronicle-rs's; the count of a
 * sealed segment is remembered (catalog.h).
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

/* ---- the header ---- */

static void from_header(const struct cq_segment_header *header, struct cq_segment_info *info)
{
	info->version = header->version;
	info->sealed = (header->flags & CQ_SEALED) != 0;
	info->have_summary = cq_segment_summary_possible(header, info->file_bytes);
	if (info->have_summary) {
		info->first_seq = header->first_seq;
		info->stream_base = header->stream_base;
	}
	if (info->have_summary && info->sealed) {
		info->have_content = true;
		info->records = header->records;
		info->used = header->used;
		info->payload_bytes = header->payload_bytes;
		info->last_seq = header->records > 0 ? header->first_seq + header->records - 1 : 0;
	}
}

/* ---- all records ---- */

static void count(struct cq_segment_info *info, const struct cq_record_at *record)
{
	if (info->records == 0) {
		info->first_seq = record->header.seq;
		info->first_time_ns = record->header.time_ns;
	}
	info->last_seq = record->header.seq;
	info->last_time_ns = record->header.time_ns;
	info->records++;
	info->payload_bytes += record->length;
}

static int count_all(cq_segment *segment, struct cq_segment_info *info)
{
	struct cq_record_at record;
	struct cq_window scan;
	struct cq_walk walk;
	int r;

	r = cq_window_init(&scan, segment->fd, segment->size);
	if (r < 0)
		return r;
	info->have_content = true;
	info->records = 0;
	info->payload_bytes = 0;
	info->last_seq = 0;
	walk = cq_walk_file(&scan);
	while ((r = cq_walk_next(&walk, &record)) > 0)
		count(info, &record);
	cq_window_fini(&scan);
	info->used = walk.offset;
	info->damaged = walk.state != CQ_RECORD_OK;
	return r < 0 && !info->damaged ? r : 0;
}

/* ---- without reading all ---- */

static void from_writer(const struct cq_segment_counts *counts, struct cq_segment_info *info)
{
	info->have_content = true;
	info->records = counts->records;
	info->payload_bytes = counts->payload_bytes;
	info->used = counts->used;
	info->last_seq = counts->last_seq;
	info->first_time_ns = counts->first_time_ns;
	info->last_time_ns = counts->last_time_ns;
	if (counts->records > 0)
		info->first_seq = counts->first_seq;
}

/* The record of the first index entry is there, and has the first number of the summary. */
static bool begins_with(cq_segment *segment, const struct cq_index_entry *first, uint64_t first_seq)
{
	struct cq_record_header h;

	return cq_segment_pread(segment, &h, sizeof h, first->offset) == (ssize_t)sizeof h &&
	       h.commit != 0 && h.ext == 1 && h.seq == first_seq && h.time_ns == first->time_ns &&
	       cq_record_check_header(&h, h.commit, first->offset, segment->size) == CQ_RECORD_OK;
}

/*
 * Adds the times of the first and the last record to what the summary says, if the index belongs to
 * it; false: they do not tell all.
 *
 * The index knows the highest time, which is the last record's unless a clock was set back.  The
 * file's modification time is the last record's unless somebody has copied the file.  If both are the
 * same, that is the last record's time.
 */
static bool add_times(cq_segment *segment, struct cq_file_id file, struct cq_segment_info *info)
{
	struct cq_index index;
	bool all;

	if (info->records == 0)
		return true;
	if (cq_index_read(segment->queue->dirfd, segment->id, segment->size, &index) < 0)
		return false;
	all = !(index.header.flags & CQ_INDEX_PARTIAL) && index.header.entries > 0 &&
	      index.header.min_seq == info->first_seq && index.header.max_seq == info->last_seq &&
	      index.header.max_time_ns == file.modified_ns &&
	      begins_with(segment, &index.entries[0], info->first_seq);
	if (all) {
		info->first_time_ns = index.entries[0].time_ns;
		info->last_time_ns = index.header.max_time_ns;
	}
	cq_index_fini(&index);
	return all;
}

/* ---- lowest and highest time ---- */

/* By the index, if it is of all records that the summary counts. */
static bool times_by_index(cq_segment *segment, const struct cq_segment_info *info,
                           struct cq_segment_times *times)
{
	struct cq_index index;
	bool all;

	if (cq_index_read(segment->queue->dirfd, segment->id, segment->size, &index) < 0)
		return false;
	all = !(index.header.flags & CQ_INDEX_PARTIAL) && index.header.entries > 0 &&
	      index.header.min_seq == info->first_seq && index.header.max_seq == info->last_seq &&
	      begins_with(segment, &index.entries[0], info->first_seq);
	if (all) {
		times->records = info->records;
		times->lowest_ns = index.header.min_time_ns;
		times->highest_ns = index.header.max_time_ns;
	}
	cq_index_fini(&index);
	return all;
}

static int times_by_records(cq_segment *segment, struct cq_segment_times *times)
{
	struct cq_record_at record;
	struct cq_window scan;
	struct cq_walk walk;
	int r;

	r = cq_window_init(&scan, segment->fd, segment->size);
	if (r < 0)
		return r;
	walk = cq_walk_file(&scan);
	while ((r = cq_walk_next(&walk, &record)) > 0) {
		const uint64_t time_ns = record.header.time_ns;

		if (times->records == 0 || time_ns < times->lowest_ns)
			times->lowest_ns = time_ns;
		if (times->records == 0 || time_ns > times->highest_ns)
			times->highest_ns = time_ns;
		times->records++;
	}
	cq_window_fini(&scan);
	return r;
}

int cq_segment_times(cq_segment *segment, struct cq_segment_times *ret_times)
{
	struct cq_segment_info info = { .file_bytes = segment->size };
	struct cq_segment_times times = { .records = 0 };
	struct cq_segment_header header;
	int r;

	if (cq_process_forked(segment->process))
		return -ECHILD;
	r = cq_segment_read_header(segment, &header);
	if (r < 0)
		return r;
	from_header(&header, &info);
	if (!info.have_content || (info.records > 0 && !times_by_index(segment, &info, &times)))
		r = times_by_records(segment, &times);
	if (r == 0)
		*ret_times = times;
	return r;
}

/* ---- remembered counts ---- */

bool cq_catalog_get_content(struct cq_catalog *c, uint32_t id, struct cq_file_id file,
                            struct cq_segment_info *ret_content)
{
	bool found = false;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < CQ_CATALOG_CONTENTS && !found; i++) {
		struct cq_catalog_content *one = &c->contents[i];

		if (one->asked == 0 || one->id != id || !cq_same_file(one->file, file))
			continue;
		one->asked = ++c->questions;
		*ret_content = one->content;
		found = true;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

void cq_catalog_put_content(struct cq_catalog *c, uint32_t id, struct cq_file_id file,
                            const struct cq_segment_info *content)
{
	struct cq_catalog_content *to = &c->contents[0];

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < CQ_CATALOG_CONTENTS; i++) {
		struct cq_catalog_content *one = &c->contents[i];

		if (one->asked != 0 && one->id == id) {
			to = one;
			break;
		}
		if (one->asked < to->asked)
			to = one;
	}
	*to = (struct cq_catalog_content){
		.file = file, .asked = ++c->questions, .id = id, .content = *content
	};
	pthread_mutex_unlock(&c->lock);
}

/* ---- all of it ---- */

/* The content of a sealed segment that this process does not write. */
static int sealed_content(cq_segment *segment, struct cq_file_id file, struct cq_segment_info *info)
{
	struct cq_catalog *catalog = &segment->queue->catalog;
	struct cq_catalog_entry counted = { .id = segment->id, .file = file };
	int r;

	if (cq_catalog_get_content(catalog, segment->id, file, info))
		return 0;
	if (!info->have_content || !add_times(segment, file, info)) {
		r = count_all(segment, info);
		if (r < 0)
			return r;
		if (!info->damaged) {
			counted.flags = CQ_ENTRY_COUNTED;
			counted.bytes = (uint32_t)info->payload_bytes;
			counted.records = (uint32_t)info->records;
			cq_catalog_learn_sealed(catalog, &counted, cq_queue_oldest(segment->queue));
		}
	}
	cq_catalog_put_content(catalog, segment->id, file, info);
	return 0;
}

/* The seal is read before the writer is asked, and the file's times after that: see cq_counts_fn. */
int cq_segment_info(cq_segment *segment, enum cq_segment_source source,
                    struct cq_segment_info *ret_info)
{
	struct cq_segment_info info = { .id = segment->id, .file_bytes = segment->size };
	struct cq_segment_header header;
	struct cq_segment_counts counts;
	struct cq_file_id file;
	struct stat st;
	bool is_written;
	int r;

	if (cq_process_forked(segment->process))
		return -ECHILD;
	r = cq_sized_check(ret_info);
	if (r < 0)
		return r;
	r = cq_segment_read_header(segment, &header);
	if (r < 0)
		return r;
	is_written = cq_queue_writer_counts(segment->queue, segment->id, &counts);
	r = cq_io_stat(segment->fd, &st);
	if (r < 0)
		return r;
	if ((uint64_t)st.st_size != segment->size)
		return -EIO;
	from_header(&header, &info);
	file = cq_file_id_of(&st);
	info.modified_ns =
		is_written && counts.records > 0 ? counts.last_time_ns : file.modified_ns;
	if (source == CQ_SEGMENT_RECORDS)
		r = count_all(segment, &info);
	else if (source == CQ_SEGMENT_CONTENT && is_written)
		from_writer(&counts, &info);
	else if (source == CQ_SEGMENT_CONTENT && info.sealed)
		r = sealed_content(segment, file, &info);
	else if (source == CQ_SEGMENT_CONTENT)
		r = count_all(segment, &info);
	if (r == 0)
		cq_sized_give(ret_info, &info, sizeof info);
	return r;
}
