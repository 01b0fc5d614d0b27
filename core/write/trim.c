/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trim.c - deleting segments on request
 *
 * As retention does (retire.c), a trim deletes only the oldest segment, never the current one, and never
 * one that a live named reader still needs.  The retention lock keeps other deletions out between the look
 * and the deletion; config.space is called without it.
 */
#include <errno.h>
#include <limits.h>

#include "catalog/queue.h"
#include "check/segment.h"
#include "files/dir.h"
#include "os/io.h"
#include "os/process.h"
#include "write/writer.h"

static uint64_t behind(uint64_t first, uint64_t count)
{
	return count <= UINT64_MAX - first ? first + count : UINT64_MAX;
}

/* For a segment without a summary.  The last number need not be the highest: a chronicle-rs may have begun
 * again at 0.  EBADMSG: damage hides what follows it. */
static int end_by_reading(cq_segment *segment, uint64_t *ret_end)
{
	struct cq_segment_header header;
	struct cq_contents contents;
	int r;

	r = cq_segment_read_header(segment, &header);
	if (r == 0)
		r = cq_contents_scan(cq_segment_fd(segment), cq_segment_size(segment), &header,
		                     NULL, &contents);
	if (r == 0 && contents.damaged)
		r = -EBADMSG;
	if (r == 0)
		*ret_end = contents.records > 0 ? behind(contents.max_seq, 1) : 0;
	return r;
}

/* The same, remembered: while the rules keep such a segment, each trim asks about it. */
static int end_by_reading_once(cq_segment *segment, struct cq_trim_read *read, uint64_t *ret_end)
{
	struct cq_file_id file;
	struct stat st;
	int r;

	r = cq_io_stat(cq_segment_fd(segment), &st);
	if (r < 0)
		return r;
	file = cq_file_id_of(&st);
	if (!read->valid || read->id != segment->id || !cq_same_file(read->file, file)) {
		read->valid = false;
		read->id = segment->id;
		read->file = file;
		read->result = end_by_reading(segment, &read->end);
		if (read->result < 0 && read->result != -EBADMSG)
			return read->result;
		read->valid = true;
	}
	if (read->result == 0)
		*ret_end = read->end;
	return read->result;
}

/* All records of the segment are below *ret_end.  EBADMSG, EIO: it does not say. */
static int own_end(cq_queue *queue, struct cq_trim_read *read, uint32_t id, uint64_t *ret_end)
{
	struct cq_segment_info info = CQ_SIZED(info);
	cq_segment *segment;
	int r;

	r = cq_segment_open(queue, id, &segment);
	if (r < 0)
		return r;
	r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
	if (r == 0 && info.have_content)
		*ret_end = info.records > 0 ? behind(info.first_seq, info.records) : 0;
	else if (r == 0)
		r = end_by_reading_once(segment, read, ret_end);
	cq_segment_close(segment);
	return r;
}

/* The same for a damaged segment, by its successor, which begins behind its records. */
static int end_by_successor(cq_writer *w, uint32_t id, uint64_t *ret_end)
{
	struct cq_segment_info info = CQ_SIZED(info);
	cq_segment *segment;
	uint32_t next;
	int r;

	r = cq_dir_next(w->dirfd, id + 1, &next);
	if (r == 0)
		r = cq_segment_open(w->queue, next, &segment);
	if (r < 0)
		return r;
	r = cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
	cq_segment_close(segment);
	if (r < 0)
		return r;
	if (!info.have_summary)
		return -EBADMSG;
	*ret_end = info.first_seq;
	return 0;
}

/* 1: all its records are below seq.  ENOENT: it is gone. */
static int all_below(cq_writer *w, uint32_t id, uint64_t seq)
{
	uint64_t end = 0;
	int r;

	r = own_end(w->queue, &w->retention.trim_read, id, &end);
	if (r == -EBADMSG || r == -EIO)
		r = end_by_successor(w, id, &end);
	return r < 0 ? r : end <= seq;
}

/* Under the retention lock. */
static int trim_locked(cq_writer *w, uint64_t seq, unsigned most)
{
	struct cq_situation situation;
	unsigned done = 0;
	uint64_t needed;
	int r;

	r = cq_retire_look(w, &situation);
	if (r < 0)
		return r;
	needed = cq_rules_needed_from(&w->config, &situation);
	while (done < most) {
		r = cq_retire_find_oldest(w, &situation.oldest);
		if (r < 0 || situation.oldest >= situation.current)
			break;
		r = all_below(w, situation.oldest, seq);
		if (r == -ENOENT) /* deleted externally */
			continue;
		if (r <= 0)
			break;
		r = situation.oldest < needed ? cq_retire_delete(w, situation.oldest) : -EBUSY;
		if (r < 0)
			break;
		done++;
	}
	return done > 0 || r >= 0 ? (int)done : r;
}

int cq_writer_trim(cq_writer *w, uint64_t seq, unsigned most)
{
	int r;

	if (cq_process_forked(w->process))
		return -ECHILD;
	pthread_mutex_lock(&w->retention.lock);
	r = trim_locked(w, seq, most < INT_MAX ? most : INT_MAX);
	pthread_mutex_unlock(&w->retention.lock);
	cq_writer_call_space(w);
	return r;
}

/* Under the retention lock. */
static int remove_locked(cq_writer *w, uint32_t id)
{
	struct cq_situation situation;
	char name[CQ_NAME_MAX];
	struct stat st;
	int r;

	cq_segment_name(name, id);
	r = cq_io_stat_at(w->dirfd, name, &st);
	if (r == 0)
		r = cq_retire_look(w, &situation);
	if (r < 0)
		return r;
	if (id != situation.oldest || id >= situation.current ||
	    id >= cq_rules_needed_from(&w->config, &situation))
		return -EBUSY;
	return cq_retire_delete(w, id);
}

int cq_writer_remove(cq_writer *w, uint32_t id)
{
	int r;

	if (cq_process_forked(w->process))
		return -ECHILD;
	if (id > CQ_SEGMENT_ID_MAX)
		return -ENOENT;
	pthread_mutex_lock(&w->retention.lock);
	r = remove_locked(w, id);
	pthread_mutex_unlock(&w->retention.lock);
	cq_writer_call_space(w);
	return r;
}
