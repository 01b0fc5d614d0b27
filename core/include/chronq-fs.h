/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chronq-fs.h - what only a file system needs of a queue, in addition to chronq.h
 *
 * Neither installed nor exported: it may change with every version, so only programs that are built
 * with the library, from one source, use it.  The conventions of chronq.h hold.
 */
#ifndef CHRONQ_FS_H
#define CHRONQ_FS_H

#include "chronq.h"

/*
 * Attributes of a published segment by its id.  What is known of a sealed segment is remembered in
 * the queue handle: its file is opened once, later calls only check that it is the same file.
 * open: NULL, or that segment, opened: then `stat` is that of its file, which may have been deleted
 * since, and the rest is known only if this process writes the segment.
 *   ENOENT, EBADMSG  as cq_segment_open()
 */
struct cq_segment_attr {
	/* st_size is the segment size, st_blocks the real blocks; st_mtim and st_ctim are modified_ns of
	 * struct cq_segment_info */
	struct stat stat;
	bool sealed;
	bool have_content; /* the next two are known without reading all of the segment */
	uint64_t payload_bytes;
	uint64_t records;
};
int cq_queue_segment_attr(cq_queue *queue, uint32_t id, const cq_segment *open,
                          struct cq_segment_attr *ret_attr);

/*
 * As cq_stream_extent() of a queue that this process writes, from memory: waits neither for a file nor
 * for a thread that reads one.  1: segments were deleted, and *ret_begin is where the stream began
 * before.
 *   EAGAIN  this process does not write the queue
 */
int cq_stream_extent_now(cq_stream *stream, uint64_t *ret_begin, uint64_t *ret_end);

/*
 * How many records segment `id` has, so far if it grows.
 *   ENOENT, EBADMSG, EIO  as cq_stream_segment()
 */
int cq_stream_segment_records(cq_stream *stream, uint32_t id, uint64_t *ret_records);

/* A record without its payload. */
struct cq_record_info {
	uint64_t seq;
	uint64_t time_ns;
	uint64_t stream_offset; /* of its payload: a position of cq_stream_pread() */
	uint32_t length;        /* of its payload */
	uint16_t type;
};

/*
 * Finds out about records of segment `id` from its record number `number` on (0 is the first), up to `count`
 * of them.  Returns how many: fewer at the end of the segment, or before a record that cannot be read (then
 * the next call gives the error); 0 at or behind the end.  Payloads are not read: a record whose payload is
 * damaged is one of them.  May be used by many threads at once; a record next to one that was read before is
 * found at once, any other of a sealed segment with an index by walking at most 4096 records.
 *   EIO     that record, or one on the way to it, is damaged, or the file was cut short
 *   ENOENT  the segment was deleted
 */
ssize_t cq_stream_segment_read_records(cq_stream *stream, uint32_t id, uint64_t number,
                                       struct cq_record_info *records, size_t count);

/* Calls visit for each name that may be a reader's, in no order: a file has it.  Whether that holds a position,
 * cq_queue_reader() tells. */
typedef void (*cq_reader_name_fn)(void *arg, const char *name);
int cq_queue_reader_names(cq_queue *queue, cq_reader_name_fn visit, void *arg);

/* The committed position of one named reader, without what cq_queue_reader() has to read records for.
 *   EINVAL, ENOENT, ELOOP, EBADMSG  as cq_queue_reader() */
int cq_queue_reader_position(cq_queue *queue, const char *name,
                             struct cq_reader_position *ret_position);

/* Its file descriptor (read-only), for passing on to the kernel.  Stays the segment's. */
int cq_segment_fd(const cq_segment *segment);

/*
 * From now on the memory of a payload does not change while it is appended: the caller promises that.  So large
 * payloads are written from there, without a copy.
 */
void cq_writer_payloads_are_stable(cq_writer *writer);

#endif
