/* SPDX-License-Identifier: Apache-2.0 */
/* recover.c - what an opening writer does with what it finds; see recover.h */
#include "recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "io.h"
#include "log.h"
#include "record.h"
#include "recovery.h"
#include "repair.h"
#include "segdir.h"

static int act_on(struct cq_recovery *v, struct cq_candidate *c)
{
	char aside[CQ_NAME_MAX];
	uint64_t bytes;
	int r;

	if (c->act == CQ_ACT_SET_ASIDE) {
		r = cq_repair_set_aside(v->dirfd, c->id, aside);
		if (r == 0)
			cq_log(v->config, CQ_WARNING, "segment %09u set aside as %s: %s", c->id,
			       aside,
			       c->kind == CQ_KIND_BAD || c->kind == CQ_KIND_UNWRITTEN
			               ? "it is not a sound segment"
			               : "records before it are missing");
		return r;
	}
	if (c->act == CQ_ACT_KEEP)
		return 0;
	r = cq_repair_tail(v->dirfd, c->segment, c->survey.tail, &bytes);
	if (r < 0)
		return r;
	if (bytes > 0)
		cq_log(v->config, CQ_NOTICE,
		       "segment %09u: what an unfinished write left behind offset %" PRIu64
		       " is now in " CQ_SEGMENT_BROKEN,
		       c->id, c->survey.tail, c->id);
	return 0;
}

/* The numbers that hold at the beginning of segment `id`, from what is before it. */
static int find_beginning(struct cq_recovery *v, uint32_t id, uint64_t *ret_seq, uint64_t *ret_base)
{
	uint64_t seq = 0, behind = 0;

	for (size_t i = v->count; i-- > 0;) {
		struct cq_candidate c = { .id = v->ids[i] };
		struct cq_survey s;
		char name[CQ_NAME_MAX];
		int fd, r;

		if (c.id >= id)
			continue;
		r = cq_recover_look_at(v, &c);
		if (r == -ENOENT || c.kind == CQ_KIND_BAD || c.kind == CQ_KIND_UNWRITTEN)
			continue; /* set aside, or missing */
		if (r < 0)
			return r;
		if (c.kind == CQ_KIND_SEALED && cq_segment_ext_valid(&c.header)) {
			uint64_t next = c.header.first_seq + c.header.records;

			*ret_seq = next > seq ? next : seq;
			*ret_base = c.header.stream_base + c.header.payload_bytes + behind;
			return 0;
		}
		cq_segment_name(name, c.id);
		r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
		if (r < 0)
			return r;
		r = cq_survey(fd, v->segment_size, &c.header, NULL, &s);
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
	*ret_seq = seq;
	*ret_base = behind;
	return 0;
}

/* Gives a counted segment the numbers that it began with. */
static int number(struct cq_recovery *v, struct cq_candidate *c, uint64_t *ret_end_seq)
{
	struct cq_active *s = c->segment;
	uint64_t seq, base;
	int r;

	if (cq_segment_ext_valid(&c->header)) {
		seq = c->header.first_seq;
		base = c->header.stream_base;
	} else {
		r = find_beginning(v, c->id, &seq, &base);
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
			s->mixed = true;
	}
	cq_segment_take(s, seq, base);
	return 0;
}

static int act(struct cq_recovery *v, struct cq_recovered *out)
{
	struct cq_candidate *current = NULL;
	struct cq_candidate fresh = { .id = v->active_id, .kind = CQ_KIND_FRESH };
	uint64_t end_seq;
	int r;

	out->segments = v->count;
	for (size_t i = 0; i < v->candidate_count; i++) {
		struct cq_candidate *c = &v->candidates[i];

		r = act_on(v, c);
		if (r < 0)
			return r;
		out->segments -= c->act == CQ_ACT_SET_ASIDE;
		if (c->act == CQ_ACT_SEAL || c->act == CQ_ACT_CUT_AND_SEAL) {
			r = number(v, c, &end_seq);
			if (r < 0)
				return r;
			cq_segment_seal(c->segment);
			r = cq_io_sync_data(c->segment->map.fd);
			if (r < 0)
				return r;
			if (v->active_id == c->id)
				v->active_id++; /* cut short: go on behind it */
			fresh.id = v->active_id;
		} else if (c->act == CQ_ACT_CONTINUE) {
			current = c;
		}
	}
	cq_point("recover.repaired");
	if (!current) {
		if (fresh.id > CQ_SEGMENT_ID_MAX)
			return -EOVERFLOW;
		r = cq_segment_open_or_create(v->dirfd, fresh.id, v->segment_size, CQ_BY_WRITER,
		                              &fresh.segment);
		if (r < 0)
			return r;
		out->segments += fresh.segment->populated > 0; /* made, not opened */
		fresh.header = *cq_active_header(fresh.segment);
		fresh.survey.tail = sizeof(struct cq_segment_header);
		fresh.act = CQ_ACT_CONTINUE;
		current = &fresh;
		/* older records may stand behind a first page that never came to the disk */
		r = cq_segment_is_fresh(fresh.segment) ? act_on(v, &fresh) : -EBADMSG;
	}
	if (r == 0)
		r = number(v, current, &end_seq);
	if (r < 0) {
		if (current == &fresh)
			cq_segment_free(fresh.segment);
		return r;
	}
	out->active = current->segment;
	current->segment = NULL;
	out->next_seq = end_seq;
	out->stream_end = out->active->stream_base + out->active->payload_bytes;
	out->last_time = current->survey.last_time;
	return 0;
}

static void report_loss(struct cq_recovery *v)
{
	const enum cq_level level = v->config->accept_loss ? CQ_WARNING : CQ_ERROR;
	uint64_t first = v->end_seq, base;

	if (v->end_seq_known || (v->tail == sizeof(struct cq_segment_header) &&
	                         find_beginning(v, v->active_id, &first, &base) == 0))
		cq_log(v->config, level,
		       "durable records %" PRIu64 " to %" PRIu64
		       " are missing or damaged, from segment "
		       "%09u offset %" PRIu64 " on",
		       first, v->mark.seq - 1, v->active_id, v->tail);
	else
		cq_log(v->config, level,
		       "durable records up to %" PRIu64
		       " are missing or damaged, from segment %09u "
		       "offset %" PRIu64 " on",
		       v->mark.seq - 1, v->active_id, v->tail);
}

/* The loss is accepted: what remained is what was durable.  Else a kill before the next flush would
 * have it accepted again. */
static int lower_mark(const struct cq_recovery *v, struct cq_durable_slot mark)
{
	struct cq_durable durable;
	int r;

	r = cq_durable_open(&durable, v->dirfd);
	if (r < 0)
		return r;
	r = cq_durable_store(&durable, mark);
	cq_durable_close(&durable);
	return r;
}

static void free_recovery(struct cq_recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++)
		cq_segment_free(v->candidates[i].segment);
	free(v->candidates);
	free(v->ids);
}

int cq_recover(int dirfd, const struct cq_config *config, struct cq_recovered *ret_recovered)
{
	struct cq_recovery v = { .dirfd = dirfd, .config = config };
	struct cq_recovered out = { 0 };
	struct cq_durable_slot remains;
	bool loss;
	int r;

	r = cq_segdir_sweep(dirfd, &v.ids, &v.count);
	if (r < 0)
		return r;
	r = cq_recover_geometry(&v);
	if (r < 0)
		goto out;
	r = cq_durable_read(dirfd, &v.mark);
	if (r < 0 && r != -ENOENT && r != -EIO)
		goto out;
	v.marked = r == 0;
	if (v.marked && v.mark.epoch > v.epoch)
		v.epoch = v.mark.epoch;
	r = cq_recover_look(&v);
	if (r == 0)
		r = cq_recover_decide(&v);
	if (r < 0)
		goto out;
	loss = cq_recover_is_loss(&v);
	remains = (struct cq_durable_slot){ .segment = v.active_id,
		                            .offset = v.tail,
		                            .epoch = v.mark.epoch };
	if (loss) {
		report_loss(&v);
		r = -EBADMSG;
		if (!config->accept_loss)
			goto out;
	} else if (!v.marked && v.hole && !config->accept_loss) {
		cq_log(config, CQ_ERROR, "segment %09u is not a sound segment", v.active_id);
		r = -EBADMSG;
		goto out;
	}
	out.unsynced_from = v.marked ? (uint32_t)v.mark.segment : 0;
	r = act(&v, &out);
	if (r < 0)
		goto out;
	remains.seq = out.next_seq;
	r = loss ? lower_mark(&v, remains) : 0;
	if (r < 0) {
		cq_segment_free(out.active);
		goto out;
	}
	out.segment_size = v.segment_size;
	out.epoch = (uint32_t)v.epoch + 1;
	out.created = v.count == 0 && !v.marked;
	out.oldest = v.count > 0 ? v.ids[0] : out.active->id;
	*ret_recovered = out;
out:
	free_recovery(&v);
	return r;
}
