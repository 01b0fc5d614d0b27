/* SPDX-License-Identifier: Apache-2.0 */
/* number.c - sequence numbers and stream offsets of what recovery takes up; see internal.h */
#include "check/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "files/dir.h"
#include "format/record.h"
#include "os/io.h"

/* What stands behind the watermark has no number below its own, whatever damage has left of segment
 * `before`.  One that the watermark stands in may have been cut below it, which somebody has accepted. */
static uint64_t given(const struct cq_recovery *v, uint32_t id, uint32_t before)
{
	const struct cq_watermark_slot *mark = &v->mark;

	if (before >= mark->segment || id < mark->segment ||
	    (id == mark->segment && mark->offset > sizeof(struct cq_segment_header)))
		return 0;
	return mark->seq;
}

int cq_recover_beginning(struct cq_recovery *v, uint32_t id, uint64_t *ret_seq, uint64_t *ret_base)
{
	uint64_t seq = 0, behind = 0;

	for (size_t i = v->count; i-- > 0;) {
		struct cq_candidate c = { .id = v->ids[i] };
		struct cq_segment_scan s;
		char name[CQ_NAME_MAX];
		int fd, r;

		if (c.id >= id)
			continue;
		r = cq_recover_look_at(v, &c);
		if (r < 0 && r != -ENOENT)
			return r;
		if (given(v, id, c.id) > seq)
			seq = v->mark.seq;
		if (r == -ENOENT || c.kind == CQ_KIND_BAD || c.kind == CQ_KIND_UNWRITTEN)
			continue; /* set aside, or missing */
		if (c.kind == CQ_KIND_SEALED && cq_segment_ext_valid(&c.header)) {
			uint64_t next = c.header.first_seq + c.header.records;

			/* a watermark at its end can say nothing else */
			if (c.id + 1 == id && !cq_recover_is_stand_in(&c))
				seq = 0;
			*ret_seq = next > seq ? next : seq;
			*ret_base = c.header.stream_base + c.header.payload_bytes + behind;
			return 0;
		}
		cq_segment_name(name, c.id);
		r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
		if (r < 0)
			return r;
		r = cq_segment_scan_file(fd, v->segment_size, &c.header, NULL, NULL, &s);
		close(fd);
		if (r < 0)
			return r;
		if (s.records > 0 && s.max_seq + 1 > seq)
			seq = s.max_seq + 1;
		if (s.anchored || cq_segment_ext_valid(&c.header)) {
			*ret_seq = seq > c.header.first_seq ? seq : c.header.first_seq;
			*ret_base = behind + (s.anchored ? s.stream_end
			                                 : c.header.stream_base + s.payload_bytes);
			return 0;
		}
		behind += s.payload_bytes;
	}
	/* All segments that told are gone; the watermark tells which numbers were given. */
	*ret_seq = v->mark.seq > seq ? v->mark.seq : seq;
	*ret_base = behind;
	return 0;
}

int cq_recover_number(struct cq_recovery *v, struct cq_candidate *c, uint64_t *ret_end_seq)
{
	struct cq_wsegment *s = c->segment;
	uint64_t seq, base;
	int r;

	if (cq_segment_ext_valid(&c->header)) {
		seq = c->header.first_seq;
		base = c->header.stream_base;
	} else {
		r = cq_recover_beginning(v, c->id, &seq, &base);
		if (r < 0)
			return r;
	}
	if (c->survey.anchored)
		base = c->survey.stream_end - c->survey.payload_bytes;
	*ret_end_seq = seq;
	if (c->survey.records > 0) {
		if (c->survey.max_seq + 1 > seq)
			*ret_end_seq = c->survey.max_seq + 1;
		seq = c->survey.first_seq;
		/* earlier segments went further: counting from here would not show it */
		if (seq + c->survey.records != *ret_end_seq)
			s->discontiguous = true;
	}
	cq_wsegment_take(s, seq, base);
	return 0;
}
