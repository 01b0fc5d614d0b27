/* SPDX-License-Identifier: Apache-2.0 */
/* number.c - the sequence numbers and stream offsets with which a recovered queue continues; see check.h */
#include "check/internal.h"

#include <errno.h>
#include <unistd.h>

#include "format/record.h"

/* The lowest sequence number that segment `id` can have by the watermark, whatever damage has left of
 * segment `before`: what is behind the watermark has no lower number than its own.  (The segment that the
 * watermark is in may have been cut below it, with the caller's consent.) */
static uint64_t lowest_by_watermark(const struct cq_recovery *v, uint32_t id, uint32_t before)
{
	const struct cq_watermark_slot *w = &v->watermark;

	if (before >= w->segment || id < w->segment ||
	    (id == w->segment && w->offset > sizeof(struct cq_segment_header)))
		return 0;
	return w->seq;
}

int cq_number_at(struct cq_recovery *v, uint32_t id, uint64_t *ret_seq, uint64_t *ret_base)
{
	uint64_t seq = 0, behind = 0;

	for (size_t i = v->count; i-- > 0;) {
		struct cq_candidate c = { .id = v->ids[i] };
		struct cq_contents s;
		int fd, r;

		if (c.id >= id)
			continue;
		r = cq_inspect_segment(v, &c);
		if (r < 0 && r != -ENOENT)
			return r;
		if (lowest_by_watermark(v, id, c.id) > seq)
			seq = v->watermark.seq;
		if (r == -ENOENT || !cq_kind_is_sound(c.kind))
			continue; /* set aside, or missing */
		if (c.kind == CQ_KIND_SEALED && cq_segment_ext_valid(&c.header)) {
			uint64_t next = c.header.first_seq + c.header.records;

			/* a watermark at its end says the same */
			if (c.id + 1 == id && !cq_inspect_is_placeholder(&c))
				seq = 0;
			*ret_seq = next > seq ? next : seq;
			*ret_base = c.header.stream_base + c.header.payload_bytes + behind;
			return 0;
		}
		r = cq_segment_open_named(v->dirfd, c.id, &fd);
		if (r < 0)
			return r;
		r = cq_contents_scan(fd, v->segment_size, &c.header, NULL, &s);
		close(fd);
		if (r < 0)
			return r;
		if (s.records > 0 && s.max_seq + 1 > seq)
			seq = s.max_seq + 1;
		if (s.has_stream_offset || cq_segment_ext_valid(&c.header)) {
			*ret_seq = seq > c.header.first_seq ? seq : c.header.first_seq;
			*ret_base = behind + (s.has_stream_offset
			                              ? s.stream_end
			                              : c.header.stream_base + s.payload_bytes);
			return 0;
		}
		behind += s.payload_bytes;
	}
	/* All segments that had numbers are gone; the watermark says which were given. */
	*ret_seq = v->watermark.seq > seq ? v->watermark.seq : seq;
	*ret_base = behind;
	return 0;
}

int cq_number_segment(struct cq_recovery *v, struct cq_candidate *c, uint64_t *ret_end_seq)
{
	struct cq_wsegment *s = c->segment;
	uint64_t seq, base;
	int r;

	if (cq_segment_ext_valid(&c->header)) {
		seq = c->header.first_seq;
		base = c->header.stream_base;
	} else {
		r = cq_number_at(v, c->id, &seq, &base);
		if (r < 0)
			return r;
	}
	if (c->contents.has_stream_offset)
		base = c->contents.stream_end - c->contents.payload_bytes;
	*ret_end_seq = seq;
	if (c->contents.records > 0) {
		if (c->contents.max_seq + 1 > seq)
			*ret_end_seq = c->contents.max_seq + 1;
		seq = c->contents.first_seq;
		/* earlier segments had higher numbers: counting from first_seq would be wrong */
		if (seq + c->contents.records != *ret_end_seq)
			s->discontiguous = true;
	}
	cq_wsegment_take(s, seq, base);
	return 0;
}
