/* SPDX-License-Identifier: Apache-2.0 */
/* segment.c - one segment file judged; see segment.h */
#include "check/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/quarantine.h"
#include "format/walk.h"
#include "format/window.h"
#include "os/io.h"

int cq_segment_open_named(int dirfd, uint32_t id, int *ret_fd)
{
	char name[CQ_NAME_MAX];

	cq_segment_name(name, id);
	return cq_io_open(dirfd, name, O_RDONLY, ret_fd);
}

int cq_segment_look(int dirfd, uint32_t id, uint64_t segment_size,
                    struct cq_segment_start *ret_start)
{
	struct {
		struct cq_segment_header header;
		uint32_t commit;
	} first = { .commit = 0 };
	static const struct cq_segment_header zero;
	struct cq_segment_start start = { .kind = CQ_KIND_BAD };
	const struct cq_segment_header *h = &first.header;
	struct stat st;
	ssize_t n;
	int fd, r;

	r = cq_segment_open_named(dirfd, id, &fd);
	if (r == -ELOOP || r == -EBADMSG) {
		*ret_start = (struct cq_segment_start){ .kind = CQ_KIND_NO_FILE };
		return 0;
	}
	if (r < 0)
		return r;
	r = cq_io_stat(fd, &st);
	n = r;
	if (r == 0)
		n = cq_io_pread(fd, &first, sizeof first.header + sizeof first.commit, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	start.size = (uint64_t)st.st_size;
	start.header = *h;
	if (memcmp(h, &zero, sizeof zero) == 0 && first.commit == 0)
		start.kind = CQ_KIND_UNWRITTEN;
	else if (start.size != segment_size)
		start.kind = CQ_KIND_BAD;
	else if (h->magic == CQ_SEGMENT_MAGIC && h->version > CQ_SEGMENT_VERSION)
		start.kind = CQ_KIND_TOO_NEW;
	else if (!cq_segment_header_valid(h, id))
		start.kind = CQ_KIND_BAD;
	else if (h->flags & CQ_SEALED)
		start.kind = CQ_KIND_SEALED;
	else
		start.kind = first.commit == 0 ? CQ_KIND_FRESH : CQ_KIND_OPEN;
	*ret_start = start;
	return 0;
}

void cq_order_begin(struct cq_order *order, const struct cq_segment_header *header)
{
	if (!cq_segment_ext_valid(header))
		return;
	order->known = true;
	order->exact = !cq_placeholder_is(header);
	order->next_seq = header->first_seq;
	order->stream = header->stream_base;
}

static unsigned judge_ours(struct cq_order *order, const struct cq_record_header *h)
{
	unsigned faults = 0;

	if (order->known ? h->seq != order->next_seq : h->seq < order->next_seq)
		faults |= CQ_ORDER_SEQ;
	if (order->known && h->stream_offset != order->stream)
		faults |= CQ_ORDER_STREAM;
	if (h->epoch < order->epoch)
		faults |= CQ_ORDER_EPOCH;
	order->known = true;
	order->stream = h->stream_offset;
	order->epoch = h->epoch;
	return faults;
}

static unsigned judge_foreign(const struct cq_order *order, const struct cq_record_header *h)
{
	if (!order->run_known || h->seq == order->run_seq)
		return 0;
	return h->seq == 0 ? CQ_ORDER_RESTART : CQ_ORDER_RUN;
}

unsigned cq_order_next(struct cq_order *order, const struct cq_record_header *record)
{
	const bool ours = record->ext == 1;
	const uint64_t seq = record->seq;
	const unsigned faults = ours ? judge_ours(order, record) : judge_foreign(order, record);

	order->exact = ours;
	order->stream += record->commit - 1;
	order->run_known = faults != CQ_ORDER_RUN;
	if (!order->run_known)
		return faults;
	order->run_seq = seq + 1;
	/* What this library counted is the truth from here on, so that one fault is reported once.  A
	 * number that chronicle-rs cannot have counted up to is no number to go on from. */
	if (ours || (order->next_seq <= seq && seq < CQ_COUNT_MAX))
		order->next_seq = seq + 1;
	return faults;
}

void cq_contents_add(struct cq_contents *contents, const struct cq_record_at *record)
{
	const struct cq_record_header *h = &record->header;
	const uint64_t seq = h->seq < CQ_COUNT_MAX ? h->seq : 0; /* as in cq_order_next() */

	if (contents->records == 0) {
		contents->first_seq = h->seq;
		contents->first_foreign = h->ext != 1;
		contents->max_seq = seq;
	}
	if (seq > contents->max_seq)
		contents->max_seq = seq;
	if (h->ext == 1) {
		contents->has_stream_offset = true;
		contents->stream_end = h->stream_offset;
	}
	if (contents->has_stream_offset)
		contents->stream_end += record->length;
	contents->last_time = h->time_ns;
	contents->records++;
	contents->payload_bytes += record->length;
}

int cq_contents_scan(int fd, uint64_t size, const struct cq_segment_header *header,
                     const struct cq_scan_wish *wish, struct cq_contents *ret_contents)
{
	static const struct cq_scan_wish none;
	struct cq_contents c = { .records = 0 };
	struct cq_record_at record;
	struct cq_order order;
	struct cq_window scan;
	struct cq_walk walk;
	int r;

	r = cq_window_init(&scan, fd, size);
	if (r < 0)
		return r;
	if (!wish)
		wish = &none;
	scan.meter = wish->meter;
	cq_order_begin(&c.order, header);
	for (walk = cq_walk_file(&scan);; c.order = order) {
		if (walk.offset == wish->place) {
			c.place_found = true;
			c.place_order = c.order;
		}
		c.tail = walk.offset;
		order = c.order;
		r = cq_walk_step(&walk, &record);
		if (r <= 0)
			break;
		if (record.header.type == CQ_TYPE_PAD)
			continue;
		if (cq_order_next(&order, &record.header) & (CQ_ORDER_SEQ | CQ_ORDER_EPOCH))
			break;
		if (wish->count && c.records == 0)
			wish->count->first_seq = record.header.seq;
		if (wish->count)
			cq_wsegment_count(wish->count, record.offset, record.header.seq,
			                  record.header.time_ns, record.length);
		cq_contents_add(&c, &record);
	}
	cq_window_fini(&scan);
	c.damaged = r > 0 || walk.state != CQ_RECORD_OK;
	if (r < 0 && !c.damaged)
		return r;
	if (wish->count)
		wish->count->used = c.tail;
	*ret_contents = c;
	return 0;
}

bool cq_contents_match_summary(const struct cq_contents *contents,
                               const struct cq_segment_header *header)
{
	return header->used == contents->tail && header->records == contents->records &&
	       header->payload_bytes == contents->payload_bytes;
}
