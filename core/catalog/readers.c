/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers.c - the named readers of a queue, and how far they are behind its writer
 *
 * A position is a place in a segment file.  The distance between two is in bytes of segment files,
 * headers included: reader_max_lag_bytes limits the space on the disk.
 */
#include <errno.h>
#include <stdio.h>

#include "catalog/queue.h"
#include "format/place.h"
#include "meta/control.h"
#include "meta/reader_file.h"
#include "os/process.h"

struct visit {
	cq_reader_visit_fn visit;
	void *arg;
	bool have_writer; /* the two below are known */
	struct cq_position writer;
	uint64_t segment_size;
};

static uint64_t lag(const struct visit *v, const struct cq_reader_file *file)
{
	uint64_t segment = file->segment, offset = file->offset;
	uint64_t to_segment = v->writer.segment, to_offset = v->writer.offset;

	if (!v->have_writer ||
	    cq_place_compare(segment, offset, to_segment, to_offset, v->segment_size) >= 0)
		return 0;
	cq_place_level(&segment, &offset, v->segment_size);
	cq_place_level(&to_segment, &to_offset, v->segment_size);
	/* below 2^30 segments of below 2^32 bytes: no overflow */
	return (to_segment - segment) * v->segment_size + to_offset - offset;
}

static struct cq_reader_position position(const struct visit *v, const char *name,
                                          const struct cq_reader_file *file)
{
	struct cq_reader_position position = {
		.segment = (uint32_t)file->segment,
		.offset = file->offset,
		.heartbeat_ns = file->heartbeat_ns,
		.lag_bytes = lag(v, file),
	};

	(void)snprintf(position.name, sizeof position.name, "%s", name);
	return position;
}

static void see(void *arg, const char *name, const struct cq_reader_file *file)
{
	const struct visit *v = arg;
	const struct cq_reader_position seen = position(v, name, file);

	v->visit(v->arg, &seen);
}

/* Where the writer is, if that is known. */
static int look_at_writer(cq_queue *queue, struct visit *v)
{
	struct cq_control control;
	int r;

	r = cq_queue_segment_size(queue, &v->segment_size);
	if (r < 0)
		return r;
	if (v->segment_size > 0 && cq_control_open(&control, queue->dirfd, false) == 0) {
		v->have_writer = cq_control_position(&control, &v->writer) == 0;
		cq_control_close(&control);
	}
	return 0;
}

int cq_queue_readers(cq_queue *queue, cq_reader_visit_fn visit, void *arg)
{
	struct visit v = { .visit = visit, .arg = arg };
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	r = look_at_writer(queue, &v);
	return r < 0 ? r : cq_reader_file_each(queue->dirfd, see, NULL, &v);
}

int cq_queue_reader_names(cq_queue *queue, cq_reader_name_fn visit, void *arg)
{
	if (cq_process_forked(queue->process))
		return -ECHILD;
	return cq_reader_file_each_name(queue->dirfd, visit, arg);
}

int cq_queue_reader_position(cq_queue *queue, const char *name,
                             struct cq_reader_position *ret_position)
{
	struct cq_reader_file file;
	struct visit v = { 0 };
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	if (!cq_reader_name_valid(name))
		return -EINVAL;
	r = look_at_writer(queue, &v);
	if (r == 0)
		r = cq_reader_file_read_named(queue->dirfd, name, &file);
	if (r == 0)
		*ret_position = position(&v, name, &file);
	return r;
}
