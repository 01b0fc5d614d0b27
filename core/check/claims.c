/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claims.c - the files that point into the segments: control.meta, index.meta, durable.meta,
 * readers/NAME.meta
 *
 * Invariant that keeps a running writer from being taken for damage: the marks are read first, the
 * writer's position after them, the segments last.  So each mark is at or before that position, and
 * whatever stands before it was complete before the walk began.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check/internal.h"
#include "files/dir.h"
#include "format/place.h"
#include "meta/reader_file.h"
#include "meta/watermark.h"
#include "os/io.h"

#define DATA_START sizeof(struct cq_segment_header)

static int compare_marks(const void *a, const void *b, void *arg)
{
	const struct cq_mark *x = a, *y = b;
	const struct cq_verify *v = arg;

	return cq_place_compare(x->segment, x->offset, y->segment, y->offset, v->segment_size);
}

static int add_mark(struct cq_verify *v, enum cq_mark_kind kind, const char *name, uint64_t segment,
                    uint64_t offset)
{
	struct cq_mark *marks;
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	marks = realloc(v->marks, (v->mark_count + 1) * sizeof *marks);
	if (!marks) {
		free(copy);
		return -ENOMEM;
	}
	v->marks = marks;
	marks[v->mark_count++] = (struct cq_mark){
		.kind = kind, .name = copy, .segment = segment, .offset = offset
	};
	return 0;
}

void cq_verify_free_marks(struct cq_verify *v)
{
	for (size_t i = 0; i < v->mark_count; i++)
		free(v->marks[i].name);
	free(v->marks);
}

/* ---- a writer at work ---- */

/* Changes with each writer that takes the lock: it writes its name into the file. */
static struct timespec lock_stamp(const struct cq_verify *v)
{
	struct stat st;

	if (cq_io_stat_at(v->queue->dirfd, CQ_LOCK_NAME, &st) < 0)
		return (struct timespec){ 0 };
	return st.st_mtim;
}

/* What is no file has no holder, and keeps every writer out. */
static bool lock_held(struct cq_verify *v)
{
	struct cq_holder holder = CQ_SIZED(holder);
	int r = cq_queue_holder(v->queue, &holder);

	if (r == -ELOOP || r == -EBADMSG) {
		cq_verify_report(v, true, UINT32_MAX, 0,
		                 CQ_LOCK_NAME " is no regular file: no writer can open the queue");
		return false;
	}
	/* a lock that cannot be looked at may be held */
	return r < 0 || holder.locked;
}

static bool is_behind(const struct cq_verify *v, uint64_t segment, uint64_t offset)
{
	return !v->have_position || cq_place_compare(segment, offset, v->position.segment,
	                                             v->position.offset, v->segment_size) >= 0;
}

bool cq_verify_unsettled(const struct cq_verify *v, uint64_t segment, uint64_t offset)
{
	return v->live && is_behind(v, segment, offset);
}

bool cq_verify_came(struct cq_verify *v, uint64_t segment, uint64_t offset)
{
	struct timespec now;

	if (!v->came) {
		/* it may even have gone again */
		now = lock_stamp(v);
		v->came = now.tv_sec != v->stamp.tv_sec || now.tv_nsec != v->stamp.tv_nsec;
		v->live |= v->came;
	}
	return v->came && is_behind(v, segment, offset);
}

bool cq_verify_moving(struct cq_verify *v, uint64_t segment, uint64_t offset)
{
	return cq_verify_came(v, segment, offset) || cq_verify_unsettled(v, segment, offset);
}

bool cq_verify_short_of_means(struct cq_verify *v, int error)
{
	if (error != -EMFILE && error != -ENFILE && error != -ENOMEM && error != -ECANCELED)
		return false;
	if (v->error == 0)
		v->error = error;
	return true;
}

/* ---- before the walk ---- */

/* Reads at most `size` bytes of a small file.  *ret_blank: it holds nothing, or zeros only, as
 * a file does whose contents a power cut kept from the disk. */
static int read_small(int dirfd, const char *name, void *buffer, size_t size, size_t *ret_length,
                      bool *ret_blank)
{
	const uint8_t *bytes = buffer;
	bool blank = true;
	ssize_t n;
	int fd, r;

	r = cq_io_open(dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	n = cq_io_pread(fd, buffer, size, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	for (ssize_t i = 0; i < n; i++)
		blank = blank && bytes[i] == 0;
	*ret_length = (size_t)n;
	*ret_blank = blank;
	return 0;
}

/* A file that should say something and does not; error: what came of reading it, or 0. */
static void report_useless(struct cq_verify *v, int dirfd, const char *name, int error)
{
	uint8_t bytes[sizeof(struct cq_control_page)];
	size_t length = 0;
	bool blank = true;
	int r;

	if (cq_verify_short_of_means(v, error))
		return;
	r = read_small(dirfd, name, bytes, sizeof bytes, &length, &blank);
	if (cq_verify_short_of_means(v, r))
		return;
	if (r == 0 && error != -ENOENT && error != -EBADMSG) /* it was another reason, just now */
		r = error;
	if (r < 0)
		cq_verify_report(v, true, UINT32_MAX, 0, "%s cannot be read: %s", name,
		                 strerrordesc_np(-r));
	else if (blank)
		cq_verify_report(v, false, UINT32_MAX, 0, "%s is empty", name);
	else
		cq_verify_report(v, true, UINT32_MAX, 0, "%s is damaged", name);
}

static int collect_index(struct cq_verify *v)
{
	struct cq_position_file file;
	size_t length = 0;
	bool blank = true;
	int r;

	r = read_small(v->queue->dirfd, CQ_POSITION_NAME, &file, sizeof file, &length, &blank);
	if (r == -ENOENT)
		return 0;
	if (r == 0 && length == sizeof file && !blank)
		return add_mark(v, CQ_MARK_INDEX, CQ_POSITION_NAME, file.current_segment,
		                file.write_offset);
	report_useless(v, v->queue->dirfd, CQ_POSITION_NAME, r);
	return 0;
}

static int collect_durable(struct cq_verify *v)
{
	struct cq_watermark_state state;
	struct stat st;
	int r;

	r = cq_watermark_look(v->queue->dirfd, &state);
	if (r == 0 && state.found) {
		if (state.damaged != 0)
			cq_verify_report(v, true, UINT32_MAX, 0,
			                 CQ_DURABLE_NAME
			                 ": slot %u is damaged; what was durable may "
			                 "be more than the other one says",
			                 state.damaged == 1 ? 0U : 1U);
		r = add_mark(v, CQ_MARK_DURABLE, CQ_DURABLE_NAME, state.slot.segment,
		             state.slot.offset);
		if (r == 0)
			v->marks[v->mark_count - 1].seq = state.slot.seq;
		return r;
	}
	if (r == 0)
		r = -ENOENT;
	if (cq_io_stat_at(v->queue->dirfd, CQ_DURABLE_NAME, &st) != -ENOENT)
		report_useless(v, v->queue->dirfd, CQ_DURABLE_NAME, r);
	return 0;
}

struct reader_visit {
	struct cq_verify *v;
	int result;
};

static void visit_reader(void *arg, const char *name, const struct cq_reader_file *cursor)
{
	struct reader_visit *visit = arg;

	if (cursor->damaged != 0)
		cq_verify_report(visit->v, true, UINT32_MAX, 0,
		                 CQ_READERS_DIR "/%s" CQ_READER_SUFFIX
		                                ": slot %u is damaged; its reader may have been "
		                                "further than the other one says",
		                 name, cursor->damaged - 1);
	if (visit->result == 0)
		visit->result =
			add_mark(visit->v, CQ_MARK_READER, name, cursor->segment, cursor->offset);
}

static bool is_marked_reader(const struct cq_verify *v, const char *name)
{
	for (size_t i = 0; i < v->mark_count; i++)
		if (v->marks[i].kind == CQ_MARK_READER && /* GCOV_EXCL_BR_LINE: no others yet */
		    strcmp(v->marks[i].name, name) == 0)
			return true;
	return false;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t length = strlen(name), tail = strlen(suffix);

	return length > tail && strcmp(name + length - tail, suffix) == 0;
}

/* Reader files that held no position, and files that only look like them. */
static int report_bad_readers(struct cq_verify *v)
{
	char name[CQ_READER_NAME_MAX + 1];
	const char *file;
	DIR *stream;
	int dirfd, r;

	r = cq_io_open_dir(v->queue->dirfd, CQ_READERS_DIR, &dirfd);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = cq_io_list(dirfd, &stream);
	if (r < 0)
		goto close_dir;
	while ((r = cq_io_next_name(stream, &file)) > 0)
		if (!cq_reader_file_name_parse(name, file)) {
			if (ends_in(file, CQ_READER_SUFFIX))
				cq_verify_report(v, false, UINT32_MAX, 0,
				                 "no reader can have the name of %s", file);
		} else if (!is_marked_reader(v, name)) {
			report_useless(v, dirfd, file, 0);
		}
	closedir(stream);
close_dir:
	close(dirfd);
	return r;
}

static int collect_readers(struct cq_verify *v)
{
	struct reader_visit visit = { .v = v };
	int r;

	r = cq_reader_file_each(v->queue->dirfd, visit_reader, &visit);
	if (r == 0 && visit.result == 0)
		r = report_bad_readers(v);
	if (visit.result < 0)
		return visit.result;
	if (r < 0 && !cq_verify_short_of_means(v, r))
		cq_verify_report(v, true, UINT32_MAX, 0, CQ_READERS_DIR " cannot be read: %s",
		                 strerrordesc_np(-r));
	return 0;
}

static int collect_control(struct cq_verify *v)
{
	struct cq_control control;
	uint64_t segment_size;
	int r;

	r = cq_control_open(&control, v->queue->dirfd, false);
	if (r == -ENOENT)
		cq_verify_report(v, false, UINT32_MAX, 0, CQ_CONTROL_NAME " is missing");
	else if (r < 0)
		report_useless(v, v->queue->dirfd, CQ_CONTROL_NAME, r);
	if (r < 0)
		return 0;
	segment_size = control.page->segment_size;
	v->have_position = cq_control_position(&control, &v->position) == 0;
	cq_control_close(&control);
	if (v->segment_size != 0 && segment_size != v->segment_size)
		cq_verify_report(v, true, UINT32_MAX, 0,
		                 CQ_CONTROL_NAME " says segments of %" PRIu64
		                                 " bytes, but they have %" PRIu64,
		                 segment_size, v->segment_size);
	if (!v->have_position) {
		cq_verify_report(v, false, UINT32_MAX, 0,
		                 CQ_CONTROL_NAME " was left in the middle of a roll");
		return 0;
	}
	return add_mark(v, CQ_MARK_CONTROL, CQ_CONTROL_NAME, v->position.segment,
	                v->position.offset);
}

int cq_verify_collect(struct cq_verify *v)
{
	int r;

	v->stamp = lock_stamp(v);
	v->live = !v->at_rest && lock_held(v);
	r = collect_readers(v);
	if (r == 0)
		r = collect_durable(v);
	if (r == 0)
		r = collect_index(v);
	if (r == 0)
		r = collect_control(v);
	if (r == 0 && v->mark_count > 0)
		qsort_r(v->marks, v->mark_count, sizeof *v->marks, compare_marks, v);
	return r;
}

/* ---- during the walk ---- */

void cq_verify_pass(struct cq_verify *v, const struct cq_verify_order *order, uint32_t segment,
                    uint64_t offset)
{
	for (; v->mark_next < v->mark_count; v->mark_next++) {
		struct cq_mark *mark = &v->marks[v->mark_next];
		int compared = cq_place_compare(mark->segment, mark->offset, segment, offset,
		                                v->segment_size);

		if (compared > 0)
			return;
		mark->on_boundary = compared == 0;
		mark->seq_there = order->next_seq;
		mark->seq_differs = mark->on_boundary && mark->kind == CQ_MARK_DURABLE &&
		                    order->exact && mark->seq != order->next_seq;
	}
}

void cq_verify_excuse(struct cq_verify *v, uint32_t segment)
{
	for (; v->mark_next < v->mark_count; v->mark_next++) {
		if (v->marks[v->mark_next].segment > segment)
			return;
		v->marks[v->mark_next].on_boundary = v->marks[v->mark_next].segment == segment;
	}
}

/* ---- after the walk ---- */

static void judge_stale(struct cq_verify *v, const struct cq_mark *mark)
{
	/* a reader stands where it likes and the watermark lags by its nature */
	if (mark->kind == CQ_MARK_DURABLE || mark->kind == CQ_MARK_READER || !v->have_tail ||
	    cq_verify_moving(v, UINT64_MAX, 0))
		return;
	cq_verify_report(
		v, false, mark->segment, mark->offset,
		"%s is behind the last record, as of a writer that did not close the queue",
		mark->name);
}

static void judge(struct cq_verify *v, const struct cq_mark *mark)
{
	int to_tail;

	if (cq_place_compare(mark->segment, mark->offset, v->oldest, 0, v->segment_size) < 0) {
		if (mark->kind == CQ_MARK_READER)
			cq_verify_report(v, false, mark->segment, mark->offset,
			                 "reader %s stands before the oldest segment: what it had "
			                 "still to read is gone",
			                 mark->name);
		else
			judge_stale(v, mark);
		return;
	}
	to_tail = cq_place_compare(mark->segment, mark->offset, v->tail.segment, v->tail.offset,
	                           v->segment_size);
	if (mark->seq_differs)
		cq_verify_report(v, true, mark->segment, mark->offset,
		                 "%s says that record %" PRIu64
		                 " comes next here, and it is %" PRIu64,
		                 mark->name, mark->seq, mark->seq_there);
	if (mark->on_boundary) {
		if (to_tail < 0)
			judge_stale(v, mark);
		return;
	}
	if (cq_verify_moving(v, mark->segment, mark->offset))
		return;
	if (!v->have_tail || to_tail < 0)
		cq_verify_report(v, true, mark->segment, mark->offset,
		                 "%s%s stands where no record begins",
		                 mark->kind == CQ_MARK_READER ? "reader " : "", mark->name);
	else if (mark->segment == v->tail.segment + 1ULL && mark->offset <= DATA_START)
		/* a power cut took the empty successor's name, and no record with it */
		cq_verify_report(v, false, mark->segment, mark->offset,
		                 "%s names the next segment, which is not there", mark->name);
	else if (mark->kind == CQ_MARK_READER)
		cq_verify_report(v, true, mark->segment, mark->offset,
		                 "reader %s stands behind the last record", mark->name);
	else
		cq_verify_report(v, true, mark->segment, mark->offset, "records are missing: %s%s",
		                 mark->name,
		                 mark->kind == CQ_MARK_DURABLE
		                         ? " says that they were durable up to here"
		                         : " says that they went up to here");
}

static void report_set_aside(struct cq_verify *v)
{
	const char *name;
	DIR *stream;
	uint32_t id;

	if (cq_io_list(v->queue->dirfd, &stream) < 0)
		return;
	while (cq_io_next_name(stream, &name) > 0)
		if (cq_aside_name_parse(name, &id))
			cq_verify_report(v, false, id, 0, "recovery has set bytes aside: %s", name);
	closedir(stream);
}

void cq_verify_judge(struct cq_verify *v)
{
	for (size_t i = 0; i < v->mark_count; i++)
		judge(v, &v->marks[i]);
	report_set_aside(v);
}
