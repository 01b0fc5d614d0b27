/* SPDX-License-Identifier: Apache-2.0 */
/* search.c - sound records behind the place where the records end; see search.h */
#include "check/search.h"

#include "format/window.h"

/* Can this record have been appended behind those that come before from->offset? */
static bool follows(void *arg, const struct cq_record_header *h, uint64_t offset)
{
	const struct cq_beyond_from *from = arg;
	uint64_t gap = offset - from->offset, records, bytes;

	if (h->epoch < from->epoch || h->seq < from->seq)
		return false;
	if (!from->placed || gap == 0)
		return true;
	/* between them is room for those that are missing: it does not lie in the payload of one */
	records = h->seq - from->seq;
	bytes = h->stream_offset - from->stream;
	return records > 0 && records <= gap / sizeof *h && h->stream_offset >= from->stream &&
	       bytes <= gap - records * sizeof *h;
}

int cq_beyond_add(int fd, uint64_t size, struct cq_beyond_from *from, struct cq_meter *meter,
                  struct cq_beyond *beyond, uint64_t *ret_first)
{
	struct cq_record_at record;
	struct cq_window scan;
	uint64_t at = 0;
	int r;

	r = cq_window_init(&scan, fd, size);
	if (r < 0)
		return r;
	scan.meter = meter;
	r = cq_window_residue(&scan, from->offset, &at);
	if (r == 0)
		*ret_first = at;
	at -= at % CQ_ALIGN;
	while (r == 0 && (r = cq_window_find(&scan, at, follows, from, &record)) > 0) {
		const struct cq_record_header *h = &record.header;

		if (beyond->records == 0)
			beyond->first_seq = h->seq;
		beyond->last_seq = h->seq;
		beyond->records++;
		*from = (struct cq_beyond_from){
			.offset = record.end,
			.seq = h->seq + 1,
			.epoch = h->epoch,
			.placed = true,
			.stream = h->stream_offset + record.length,
		};
		at = record.end;
		r = 0;
	}
	cq_window_fini(&scan);
	from->placed = false;
	return r;
}
