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
 *   ENOENT, EBADMSG  as cq_segment_open()
 */
struct cq_segment_attr {
	struct stat stat; /* as cq_segment_stat() */
	bool sealed;
	bool have_payload; /* payload_bytes is known without reading all of the segment */
	uint64_t payload_bytes;
};
int cq_queue_segment_attr(cq_queue *queue, uint32_t id, struct cq_segment_attr *ret_attr);

/* Its file descriptor (read-only), for passing on to the kernel.  Stays the segment's. */
int cq_segment_fd(const cq_segment *segment);

#endif
