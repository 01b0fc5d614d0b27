/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - what a segment holds, counted by walking its records
 *
 * For segments without a summary: the one being written, and all of chronicle-rs's.
 */
#include <errno.h>

#include "chronq.h"
#include "queue.h"
#include "scan.h"

static void count(struct cq_segment_content *content, const struct cq_scan_record *record)
{
	if (content->records == 0) {
		content->first_seq = record->header.seq;
		content->first_time_ns = record->header.time_ns;
	}
	content->last_seq = record->header.seq;
	content->last_time_ns = record->header.time_ns;
	content->records++;
	content->payload_bytes += record->payload_length;
}

int cq_segment_content(cq_segment *segment, struct cq_segment_content *ret_content)
{
	struct cq_segment_content content = { 0 };
	struct cq_scan_record record;
	enum cq_record_state state;
	struct cq_scan scan;
	int r;

	r = cq_scan_init(&scan, cq_segment_fd(segment), cq_segment_size(segment));
	if (r < 0)
		return r;
	while ((r = cq_scan_next(&scan, &record, &state)) > 0)
		if (!record.pad)
			count(&content, &record);
	content.used = scan.offset;
	cq_scan_fini(&scan);
	content.damaged = r == -EBADMSG;
	if (r < 0 && r != -EBADMSG)
		return r;
	*ret_content = content;
	return 0;
}
