/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_attr.c - attributes of segments by id
 *
 * For a sealed segment whose times are final, the catalogue (catalog.h) and one fstatat() have all
 * attributes.  For a segment that this process writes, its writer has the rest (queue.h).  Only other
 * segments are opened.
 *
 * The times of a sealed segment must never move once a caller has seen them.  So the order is: read the
 * seal, then ask the writer, and take the file's times only if the writer says no: then they are final.
 */
#include <errno.h>

#include "catalog/queue.h"
#include "files/dir.h"
#include "format/format.h"
#include "os/io.h"
#include "os/process.h"

/* Completes attr, whose stat is the file's own: of a segment that this process writes. */
static void attr_from_writer(const struct cq_segment_counts *counts, uint64_t size,
                             struct cq_segment_attr *attr)
{
	cq_segment_show(&attr->stat, size, counts);
	attr->sealed = counts->sealed;
	attr->have_content = true;
	attr->payload_bytes = counts->payload_bytes;
	attr->records = counts->records;
}

/* The same of any other segment. */
static void attr_from_file(const struct cq_catalog_entry *entry, bool sealed, uint64_t size,
                           struct cq_segment_attr *attr)
{
	cq_segment_show(&attr->stat, size, NULL);
	attr->sealed = sealed;
	attr->have_content =
		(entry->flags & CQ_ENTRY_COUNTED) && !(entry->flags & CQ_ENTRY_DAMAGED);
	attr->payload_bytes = entry->bytes;
	attr->records = entry->records;
}

static int look_inside(cq_queue *queue, uint32_t id, struct cq_segment_attr *ret_attr)
{
	struct cq_catalog_entry found = { .id = id };
	struct cq_segment_attr attr;
	struct cq_segment_header header;
	cq_segment *segment;
	struct cq_segment_counts counts;
	bool is_written;
	int r;

	r = cq_segment_open(queue, id, &segment);
	if (r < 0)
		return r;
	r = cq_segment_read_header(segment, &header);
	if (r < 0)
		goto close_segment;
	is_written = cq_queue_writer_counts(queue, id, &counts);
	r = cq_io_stat(segment->fd, &attr.stat);
	if (r < 0)
		goto close_segment;
	if (is_written) { /* the writer has begun it meanwhile */
		attr_from_writer(&counts, segment->size, &attr);
	} else {
		const bool sealed = (header.flags & CQ_SEALED) != 0;

		found.file = cq_file_id_of(&attr.stat);
		cq_catalog_from_header(&header, segment->size, &found);
		if (sealed)
			cq_catalog_learn_sealed(&queue->catalog, &found, cq_queue_oldest(queue));
		attr_from_file(&found, sealed, segment->size, &attr);
	}
	*ret_attr = attr;
close_segment:
	cq_segment_close(segment);
	return r;
}

/* The file is open, and may have been deleted. */
static int look_at_open(const cq_segment *segment, struct cq_segment_attr *ret_attr)
{
	static const struct cq_catalog_entry unknown;
	struct cq_segment_attr attr;
	struct cq_segment_counts counts;
	bool is_written;
	int r;

	is_written = cq_queue_writer_counts(segment->queue, segment->id, &counts);
	r = cq_io_stat(segment->fd, &attr.stat);
	if (r < 0)
		return r;
	if (is_written)
		attr_from_writer(&counts, segment->size, &attr);
	else
		attr_from_file(&unknown, false, segment->size, &attr);
	*ret_attr = attr;
	return 0;
}

int cq_queue_segment_attr(cq_queue *queue, uint32_t id, const cq_segment *open,
                          struct cq_segment_attr *ret_attr)
{
	struct cq_catalog_entry known;
	struct cq_segment_attr attr;
	char name[CQ_NAME_MAX];
	struct cq_segment_counts counts;
	uint64_t size;
	int r;

	if (cq_process_forked(queue->process))
		return -ECHILD;
	if (open)
		return look_at_open(open, ret_attr);
	if (id > CQ_SEGMENT_ID_MAX)
		return -ENOENT;
	r = cq_queue_segment_size(queue, &size);
	if (r < 0)
		return r;
	cq_segment_name(name, id);
	r = cq_io_stat_at(queue->dirfd, name, &attr.stat);
	if (r == -ENOENT)
		cq_catalog_forget_file(&queue->catalog, id);
	if (r < 0)
		return r;
	if (!S_ISREG(attr.stat.st_mode) || (uint64_t)attr.stat.st_size != size)
		return -EBADMSG;
	if (cq_catalog_get_sealed(&queue->catalog, id, cq_file_id_of(&attr.stat), &known))
		attr_from_file(&known, true, size, &attr);
	else if (cq_queue_writer_counts(queue, id, &counts))
		attr_from_writer(&counts, size, &attr);
	else
		return look_inside(queue, id, ret_attr);
	*ret_attr = attr;
	return 0;
}
