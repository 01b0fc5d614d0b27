/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - what a repair is going to do, and what is lost, step by step; see internal.h */
#include "check/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/quarantine.h"
#include "format/record.h"
#include "format/walk.h"
#include "format/window.h"
#include "meta/watermark.h"
#include "os/io.h"

void cq_recover_step(struct cq_recovery *v, const struct cq_repair_step *step)
{
	const struct cq_repair_config *config = v->repairer->config;
	struct cq_repair_result *result = &v->repairer->result;

	if (step->action == CQ_REPAIR_LOSS)
		result->losses++;
	else
		result->steps++;
	if (step->action == CQ_REPAIR_SET_ASIDE || step->action == CQ_REPAIR_CUT)
		result->bytes += step->bytes;
	if (config->step)
		config->step(config->step_arg, step);
}

bool cq_recover_stays_sealed(const struct cq_candidate *c)
{
	return c->act == CQ_ACT_SEAL || c->act == CQ_ACT_CUT_AND_SEAL ||
	       (c->act == CQ_ACT_KEEP && c->kind == CQ_KIND_SEALED);
}

uint64_t cq_recover_offset(const struct cq_recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++)
		if (v->candidates[i].act == CQ_ACT_CONTINUE)
			return v->candidates[i].survey.tail;
	return sizeof(struct cq_segment_header);
}

/* ---- files ---- */

static int tell_temp(void *arg, const char *name)
{
	cq_recover_step(arg, &(struct cq_repair_step){
				     .action = CQ_REPAIR_REMOVE,
				     .file = name,
				     .text = "a dead writer left it half prepared",
			     });
	return 0;
}

static int tell_residue(struct cq_recovery *v, uint32_t id, uint64_t tail)
{
	char name[CQ_NAME_MAX];
	uint64_t first, bytes;
	int fd, r;

	cq_segment_name(name, id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_quarantine_residue(fd, v->segment_size, tail, &first, &bytes);
	close(fd);
	if (r == 0 && bytes > 0)
		cq_recover_step(v, &(struct cq_repair_step){
					   .action = CQ_REPAIR_CUT,
					   .file = name,
					   .offset = first,
					   .bytes = bytes,
					   .text = "they stand behind the last sound record",
				   });
	return r;
}

static int tell_segment(struct cq_recovery *v, const struct cq_candidate *c)
{
	char name[CQ_NAME_MAX];
	struct stat st;
	int r;

	cq_segment_name(name, c->id);
	switch (c->act) { /* GCOV_EXCL_BR_LINE: no other value */
	case CQ_ACT_SET_ASIDE:
		r = cq_io_stat_at(v->dirfd, name, &st);
		if (r < 0)
			return r;
		cq_recover_step(v, &(struct cq_repair_step){
					   .action = CQ_REPAIR_SET_ASIDE,
					   .file = name,
					   .bytes = (uint64_t)st.st_size,
					   .text = cq_recover_why_aside(c),
				   });
		return 0;
	case CQ_ACT_SEAL:
	case CQ_ACT_CUT_AND_SEAL:
		r = tell_residue(v, c->id, c->survey.tail);
		if (r == 0)
			cq_recover_step(v, &(struct cq_repair_step){
						   .action = CQ_REPAIR_SEAL,
						   .file = name,
						   .text = c->kind == CQ_KIND_SEALED
			                                           ? "its summary is not right"
			                                           : "others follow it",
					   });
		return r;
	case CQ_ACT_CONTINUE:
		return tell_residue(v, c->id, c->survey.tail);
	case CQ_ACT_KEEP:
		break;
	}
	return 0;
}

/* The segment to go on in, if it is an empty one. */
static int tell_current(struct cq_recovery *v)
{
	const uint32_t id = cq_recover_current(v);
	char name[CQ_NAME_MAX];

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		if (c->act == CQ_ACT_CONTINUE)
			return 0;
		if (c->id == id && c->act == CQ_ACT_KEEP)
			return tell_residue(v, id, sizeof(struct cq_segment_header));
	}
	if (id > CQ_SEGMENT_ID_MAX) /* plan.c says so */
		return 0;
	cq_segment_name(name, id);
	cq_recover_step(v, &(struct cq_repair_step){
				   .action = CQ_REPAIR_MAKE,
				   .file = name,
				   .text = "there is no segment to go on in",
			   });
	return 0;
}

static void tell_gaps(struct cq_recovery *v)
{
	char name[CQ_NAME_MAX];

	for (size_t i = 0; i < v->gap_count; i++) {
		for (uint32_t id = v->gaps[i].first; id <= v->gaps[i].last; id++) {
			cq_segment_name(name, id);
			cq_recover_step(v, &(struct cq_repair_step){
						   .action = CQ_REPAIR_STAND_IN,
						   .file = name,
						   .text = "others follow it, and it is gone",
					   });
		}
	}
}

static void tell_indexes(struct cq_recovery *v)
{
	char name[CQ_NAME_MAX];

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];
		const bool sealed = cq_recover_stays_sealed(c);

		if (!c->index)
			continue;
		cq_index_name(name, c->id);
		cq_recover_step(v, &(struct cq_repair_step){
					   .action = sealed ? CQ_REPAIR_INDEX : CQ_REPAIR_REMOVE,
					   .file = name,
					   .text = sealed ? "it is missing, or not of its segment"
		                                          : "it is not of its segment",
				   });
	}
}

/* ---- the small files ----
 *
 * None of them decides anything, and every writer that opens and closes sets them right.
 */

/* Reads up to `length` bytes of a small file; *ret_size: how many it has. */
static int read_small(int dirfd, const char *name, void *bytes, size_t length, uint64_t *ret_size)
{
	struct stat st;
	ssize_t n;
	int fd, r;

	memset(bytes, 0, length);
	r = cq_io_open(dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_io_stat(fd, &st);
	n = r < 0 ? r : cq_io_pread(fd, bytes, length, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* Behind the last segment that there can be nothing goes on: where a file says the queue ends is then
 * as good as any. */
static bool ends_at(const struct cq_recovery *v, uint64_t segment, uint64_t offset)
{
	return cq_recover_current(v) > CQ_SEGMENT_ID_MAX ||
	       (segment == cq_recover_current(v) && offset == cq_recover_offset(v));
}

/* Why control.meta has to be written anew; NULL: it need not. */
static const char *control_wrong(const struct cq_recovery *v, const struct cq_control_page *page,
                                 uint64_t size)
{
	if (size != sizeof *page || page->magic != CQ_CONTROL_MAGIC ||
	    page->version != CQ_CONTROL_VERSION || page->init_state != CQ_CONTROL_READY)
		return "it is damaged";
	if (page->segment_size != v->segment_size)
		return "it says another size of segments";
	if (page->segment_gen & 1)
		return "it was left in the middle of a roll";
	if (!ends_at(v, page->current_segment, page->write_offset))
		return "it does not say where the queue ends";
	return NULL;
}

static const char *position_wrong(const struct cq_recovery *v,
                                  const struct cq_position_file *position, uint64_t size)
{
	if (size != sizeof *position)
		return "it is damaged";
	if (!ends_at(v, position->current_segment, position->write_offset))
		return "it does not say where the queue ends";
	return NULL;
}

static const char *mark_wrong(const struct cq_watermark_slot *slots, uint64_t size)
{
	static const struct cq_watermark_slot none;
	bool any = false;

	if (size < 2 * sizeof *slots)
		return "it is cut short";
	for (int i = 0; i < 2; i++) {
		if (memcmp(&slots[i], &none, sizeof none) == 0)
			continue;
		if (!cq_watermark_slot_valid(&slots[i]))
			return i == 0 ? "slot 0 is damaged" : "slot 1 is damaged";
		any = true;
	}
	return any ? NULL : "it says nothing";
}

/*
 * What comes at the watermark's place in segment c: whether a record begins there or the records end, and
 * the number that is next, where one of ours tells.
 */
struct there {
	bool boundary;
	bool seq_known;
	uint64_t seq;
};

static int look_there(const struct cq_recovery *v, const struct cq_candidate *c, uint64_t offset,
                      struct there *ret_there)
{
	struct there there = { .seq_known = cq_segment_ext_valid(&c->header) &&
		                            !cq_recover_is_stand_in(c),
		               .seq = c->header.first_seq };
	struct cq_record_at record;
	char name[CQ_NAME_MAX];
	struct cq_window scan;
	struct cq_walk walk;
	int fd, r;

	cq_segment_name(name, c->id);
	r = cq_io_open(v->dirfd, name, O_RDONLY, &fd);
	if (r < 0)
		return r;
	r = cq_window_init(&scan, fd, v->segment_size);
	if (r < 0)
		goto close_segment;
	walk = cq_walk_file(&scan);
	while (walk.offset < offset && (r = cq_walk_step(&walk, &record)) > 0) {
		if (record.header.type == CQ_TYPE_PAD)
			continue;
		there.seq_known = record.header.ext == 1;
		there.seq = record.header.seq + 1;
	}
	there.boundary = walk.offset == offset;
	cq_window_fini(&scan);
	if (r >= 0 || walk.state != CQ_RECORD_OK) {
		*ret_there = there;
		r = 0;
	}
close_segment:
	close(fd);
	return r;
}

/* The segment that the watermark stands in; or the one that it stands at the end of. */
static const struct cq_candidate *marked_one(const struct cq_recovery *v, uint64_t *ret_offset)
{
	const struct cq_watermark_slot *mark = &v->mark;
	const struct cq_candidate *before = NULL;

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		if (c->act == CQ_ACT_SET_ASIDE)
			continue;
		if (c->id == mark->segment && c->kind != CQ_KIND_FRESH) {
			*ret_offset = mark->offset;
			return c;
		}
		if ((uint64_t)c->id + 1 == mark->segment &&
		    mark->offset == sizeof(struct cq_segment_header) && c->surveyed)
			before = c;
	}
	if (before)
		*ret_offset = before->survey.tail;
	return before;
}

/* Why a sound durable.meta has to be written anew all the same: what it says cannot be. */
static int mark_misplaced(const struct cq_recovery *v, const char **ret_why)
{
	const struct cq_candidate *c;
	struct there there;
	uint64_t offset;
	int r;

	*ret_why = NULL;
	c = v->mark.generation == 0 || cq_recover_is_loss(v) ? NULL : marked_one(v, &offset);
	if (!c)
		return 0;
	r = look_there(v, c, offset, &there);
	if (r < 0)
		return r;
	if (!there.boundary)
		*ret_why = "it names a place where no record begins";
	else if (there.seq_known && there.seq != v->mark.seq)
		*ret_why = "it says another sequence number than the records";
	return 0;
}

/* Something in the queue was written by this library, so it had a watermark. */
static bool is_ours(const struct cq_recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++)
		if (cq_segment_ext_valid(&v->candidates[i].header))
			return true;
	return false;
}

static void tell_rewrite(struct cq_recovery *v, const char *name, const char *why)
{
	if (why)
		cq_recover_step(v, &(struct cq_repair_step){
					   .action = CQ_REPAIR_REWRITE,
					   .file = name,
					   .text = why,
				   });
}

int cq_recover_tell_hints(struct cq_recovery *v)
{
	struct cq_control_page page;
	struct cq_position_file position;
	struct cq_watermark_slot slots[2];
	const char *why;
	uint64_t size = 0;
	int r;

	r = read_small(v->dirfd, CQ_CONTROL_NAME, &page, sizeof page, &size);
	if (r < 0 && r != -ENOENT)
		return r;
	tell_rewrite(v, CQ_CONTROL_NAME, r < 0 ? "it is missing" : control_wrong(v, &page, size));
	r = read_small(v->dirfd, CQ_POSITION_NAME, &position, sizeof position, &size);
	if (r < 0 && r != -ENOENT)
		return r;
	tell_rewrite(v, CQ_POSITION_NAME,
	             r < 0 ? "it is missing" : position_wrong(v, &position, size));
	r = read_small(v->dirfd, CQ_DURABLE_NAME, slots, sizeof slots, &size);
	if (r < 0 && r != -ENOENT)
		return r;
	why = r == 0 ? mark_wrong(slots, size) : is_ours(v) ? "it is missing" : NULL;
	r = r == 0 && !why ? mark_misplaced(v, &why) : 0;
	tell_rewrite(v, CQ_DURABLE_NAME, why);
	return r;
}

/* ---- losses ---- */

/* Where records begin or end, by number and by payload bytes; UINT64_MAX: not known. */
struct border {
	uint64_t seq, stream;
};
static const struct border unknown = { UINT64_MAX, UINT64_MAX };

static struct border border_before(const struct cq_candidate *c)
{
	struct border b = unknown;

	if (!cq_recover_first_seq(c, &b.seq))
		b.seq = UINT64_MAX;
	if (cq_segment_ext_valid(&c->header))
		b.stream = c->header.stream_base;
	return b;
}

static struct border border_behind(const struct cq_candidate *c)
{
	struct border b = unknown;

	if (!cq_recover_end_seq(c, &b.seq))
		return unknown;
	if (c->survey.anchored)
		b.stream = c->survey.stream_end;
	else /* without a record, its header tells */
		b.stream = c->header.stream_base + c->survey.payload_bytes;
	return b;
}

/* What stands between these two is not there any more. */
static void tell_loss(struct cq_recovery *v, uint32_t from, uint32_t to, struct border begin,
                      struct border end)
{
	char name[CQ_NAME_MAX], text[100];
	uint64_t bytes = 0;

	if (begin.seq != UINT64_MAX && begin.seq == end.seq)
		return;
	if (begin.seq != UINT64_MAX && end.seq < begin.seq) /* one of them is wrong */
		end = unknown;
	if (begin.stream < end.stream && end.stream != UINT64_MAX)
		bytes = end.stream - begin.stream;
	cq_segment_name(name, from);
	if (to > from)
		snprintf(text, sizeof text, "in the segments %09" PRIu32 " to %09" PRIu32, from,
		         to);
	else
		snprintf(text, sizeof text, "in the segment %09" PRIu32, from);
	cq_recover_step(v, &(struct cq_repair_step){
				   .action = CQ_REPAIR_LOSS,
				   .file = name,
				   .bytes = bytes,
				   .first_seq = begin.seq,
				   .last_seq = end.seq == UINT64_MAX ? UINT64_MAX : end.seq - 1,
				   .text = text,
			   });
}

/* Between segments that stay: by what they say of themselves.  What stands between two of them is
 * set aside, or not there. */
static void tell_losses_between(struct cq_recovery *v)
{
	const uint32_t current = cq_recover_current(v);
	uint32_t from = v->count > 0 ? v->ids[0] : current; /* none left: retention took them */
	struct border end = unknown;                        /* of the last one that stays */
	bool lost = false;

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		if (c->act == CQ_ACT_SET_ASIDE || c->id > current) {
			lost |= c->lost;
			if (c->lost && i == 0)
				end = border_before(c);
			continue;
		}
		if (c->id > from)
			tell_loss(v, from, c->id - 1, end, border_before(c));
		lost = false;
		from = c->id + 1;
		end = border_behind(c);
	}
	if (lost || current > from) /* GCOV_EXCL_BR_LINE: a gap here is of lost ones */
		tell_loss(v, from, current > from ? current - 1 : from, end, unknown);
}

/* At the end of the queue: by what stands behind it. */
static void tell_loss_beyond(struct cq_recovery *v)
{
	struct border begin = unknown, end = unknown;

	cq_recover_lost_numbers(v, &begin.seq, &end.seq);
	if (end.seq != UINT64_MAX)
		end.seq++;
	tell_loss(v, v->active_id, v->active_id, begin, end);
}

/* The same by the watermark, and by what stands behind that. */
static void tell_loss_at_end(struct cq_recovery *v)
{
	const bool more = v->beyond.records > 0 && v->beyond.last_seq >= v->mark.seq;
	const struct border end = { more ? v->beyond.last_seq + 1 : v->mark.seq, UINT64_MAX };
	struct border begin = { v->end_seq, UINT64_MAX };
	uint64_t base;

	if (!v->end_seq_known && (v->tail != sizeof(struct cq_segment_header) ||
	                          cq_recover_beginning(v, v->active_id, &begin.seq, &base) < 0))
		begin = unknown;
	cq_recover_step(v, &(struct cq_repair_step){
				   .action = CQ_REPAIR_REWRITE,
				   .file = CQ_DURABLE_NAME,
				   .text = "it says that more was durable than there is",
			   });
	tell_loss(v, v->active_id, v->active_id, begin, end);
}

int cq_recover_tell(struct cq_recovery *v, bool loss)
{
	int r = 0;

	if (v->leftovers)
		r = cq_dir_each_temp(v->dirfd, tell_temp, v);
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++)
		r = tell_segment(v, &v->candidates[i]);
	if (r < 0)
		return r;
	tell_gaps(v);
	r = tell_current(v);
	if (r < 0)
		return r;
	tell_indexes(v);
	r = cq_recover_tell_hints(v);
	if (r == 0)
		r = cq_recover_tell_readers(v);
	if (r < 0)
		return r;
	tell_losses_between(v);
	if (loss)
		tell_loss_at_end(v);
	else if (v->beyond.records > 0 || cq_recover_gives_up(v))
		tell_loss_beyond(v);
	return 0;
}
