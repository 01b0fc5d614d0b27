/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog_ask.c - what one segment tells of its place in the stream; see catalog.h
 *
 * Nothing on the disk is trusted: a position is accepted only if sums with it cannot overflow, and a
 * count only if that many bytes fit into the segment.
 */
#include "catalog/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "catalog/mapped.h"
#include "catalog/queue.h"
#include "files/dir.h"
#include "format/record.h"
#include "os/io.h"

#define HEAD_TRIES 100

/* Positions are file offsets; a header may hold anything. */
#define POSITION_MAX ((uint64_t)INT64_MAX / 2)

/* The beginning of a segment file. */
struct head {
	struct cq_segment_header segment;
	struct cq_record_header record;
};

static int read_head(const cq_queue *queue, uint32_t id, struct head *ret_head)
{
	static const struct cq_segment_header zero;
	struct head head = { 0 };
	char name[CQ_NAME_MAX];
	ssize_t n = 0;
	int fd, r;

	cq_segment_name(name, id);
	r = cq_io_open(queue->dirfd, name, O_RDONLY, &fd);
	if (r == -ELOOP) /* a symbolic link */
		return -EBADMSG;
	if (r < 0)
		return r;
	for (int i = 0; i < HEAD_TRIES; i++) {
		n = cq_io_pread(fd, &head, sizeof head, 0);
		/* its writer may be filling the header in: then read it again */
		if (n < 0 || head.segment.ext == 0 || cq_segment_ext_valid(&head.segment))
			break;
	}
	close(fd);
	if (n < 0)
		return (int)n;
	if ((size_t)n < sizeof head.segment)
		return -EBADMSG;
	if (!cq_segment_header_valid(&head.segment, id))
		return memcmp(&head.segment, &zero, sizeof zero) == 0 ? -EAGAIN : -EBADMSG;
	*ret_head = head;
	return 0;
}

static bool record_tells(const struct cq_record_header *h, uint64_t size)
{
	/* the checksum is wrong if the record was read while its writer wrote it */
	return h->commit != 0 && h->ext == 1 && h->type != CQ_TYPE_PAD &&
	       cq_record_check_header(h, h->commit, sizeof(struct cq_segment_header), size) ==
	               CQ_RECORD_OK;
}

void cq_catalog_from_header(const struct cq_segment_header *header, uint64_t size,
                            struct cq_catalog_entry *entry)
{
	if (!cq_segment_ext_valid(header) || header->stream_base > POSITION_MAX)
		return;
	entry->base = header->stream_base;
	entry->flags |= CQ_ENTRY_PLACED;
	if ((header->flags & CQ_SEALED) && cq_segment_summary_possible(header, size)) {
		entry->bytes = (uint32_t)header->payload_bytes;
		entry->records = (uint32_t)header->records;
		entry->flags |= CQ_ENTRY_COUNTED;
	}
}

int cq_catalog_ask(cq_queue *queue, uint32_t id, struct cq_catalog_entry *ret_entry)
{
	struct cq_catalog_entry entry = { .id = id };
	struct cq_segment_counts counts;
	struct head head;
	uint64_t size;
	int r;

	if (cq_queue_writer_counts(queue, id, &counts)) {
		entry.base = counts.stream_base;
		entry.bytes = (uint32_t)counts.payload_bytes;
		entry.records = (uint32_t)counts.records;
		entry.flags = CQ_ENTRY_PLACED | (counts.sealed ? CQ_ENTRY_COUNTED : 0);
		*ret_entry = entry;
		return 1;
	}
	r = cq_queue_segment_size(queue, &size);
	if (r < 0)
		return r;
	r = read_head(queue, id, &head);
	if (r < 0)
		return r;
	cq_catalog_from_header(&head.segment, size, &entry);
	if (!cq_segment_ext_valid(&head.segment) && record_tells(&head.record, size) &&
	    head.record.stream_offset <= POSITION_MAX) {
		entry.base = head.record.stream_offset;
		entry.flags = CQ_ENTRY_PLACED;
	}
	if (!(entry.flags & CQ_ENTRY_PLACED))
		return 0;
	*ret_entry = entry;
	return 1;
}

int cq_catalog_walk(cq_queue *queue, uint32_t id, struct cq_walk_count *ret_count)
{
	struct cq_walk_count count = { 0 };
	struct cq_record_at record;
	struct cq_mapped mapped;
	struct cq_walk walk;
	int r;

	r = cq_mapped_or_damage(queue, id, &mapped);
	if (r > 0) {
		*ret_count = (struct cq_walk_count){ .damaged = true };
		return 0;
	}
	if (r < 0)
		return r;
	walk = cq_walk_mapped(&mapped.map, sizeof(struct cq_segment_header));
	while ((r = cq_walk_next(&walk, &record)) == 1) {
		const struct cq_record_header *h = &record.header;

		if (h->ext == 1 && !count.told && h->stream_offset >= count.bytes &&
		    h->stream_offset - count.bytes <= POSITION_MAX) {
			count.base = h->stream_offset - count.bytes;
			count.told = true;
		}
		count.bytes += record.length;
		count.records++;
	}
	count.damaged = r < 0;
	cq_mapped_close(&mapped);
	*ret_count = count;
	return 0;
}
