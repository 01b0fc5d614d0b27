/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c - what an opening writer says in the log of a loss, and the steps of a repair; see check.h
 *
 * Everything is reported before anything is changed.
 */
#include "check/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "files/dir.h"
#include "files/quarantine.h"
#include "format/record.h"
#include "messages/log.h"

/* ---- the log ---- */

/* The next sequence number at the end of the queue; UINT64_MAX: not known. */
static uint64_t seq_at_end(struct cq_recovery *v)
{
	uint64_t seq = v->end_seq, base;

	if (v->end_seq_known || (v->tail == sizeof(struct cq_segment_header) &&
	                         cq_number_at(v, v->active_id, &seq, &base) == 0))
		return seq;
	return UINT64_MAX;
}

void cq_report_loss(struct cq_recovery *v)
{
	const uint64_t first = seq_at_end(v), end = v->watermark.seq;
	char numbers[64] = "";

	if (first < end)
		snprintf(numbers, sizeof numbers, " %" PRIu64 " to %" PRIu64, first, end - 1);
	else if (end > 0 && !v->end_seq_known) /* else it does not agree with the numbers there */
		snprintf(numbers, sizeof numbers, " up to %" PRIu64, end - 1);
	cq_log(v->config, v->config->accept_loss ? CQ_WARNING : CQ_ERROR,
	       "durable records%s are missing or damaged, from segment %09u offset %" PRIu64 " on",
	       numbers, v->active_id, v->tail);
}

void cq_report_behind(struct cq_recovery *v)
{
	const bool refused = cq_behind_is_loss(v) && !v->config->accept_loss;
	const bool one = v->behind.records == 1;
	char numbers[80], sound[100] = "", why[100] = "";
	uint64_t first, last;

	cq_behind_lost_numbers(v, &first, &last);
	if (first == UINT64_MAX)
		snprintf(numbers, sizeof numbers, "committed records are");
	else if (last > first)
		snprintf(numbers, sizeof numbers, "records %" PRIu64 " to %" PRIu64 " are", first,
		         last);
	else
		snprintf(numbers, sizeof numbers, "record %" PRIu64 " is", first);
	if (v->behind.records > 0)
		snprintf(sound, sizeof sound, "; %" PRIu64 " of them %s sound, and %s set aside",
		         v->behind.records, one ? "is" : "are",
		         refused ? "would be"
		         : one   ? "is"
		                 : "are");
	if (v->same_boot)
		snprintf(why, sizeof why, "; no power cut has come since the writer was at work");
	else if (v->damaged_slots != 0)
		snprintf(why, sizeof why,
		         "; slot %s of durable.meta is damaged: what was durable is not known",
		         v->damaged_slots == 1   ? "0"
		         : v->damaged_slots == 2 ? "1"
		                                 : "0 and slot 1");
	cq_log(v->config, refused ? CQ_ERROR : CQ_WARNING,
	       "%s missing or damaged, from segment %09u offset %" PRIu64 " on%s%s", numbers,
	       v->active_id, v->tail, sound, why);
}

/* ---- steps ---- */

static void take_step(struct cq_recovery *v, const struct cq_repair_step *step)
{
	const struct cq_repair_config *config = v->repair->config;
	struct cq_repair_result *result = &v->repair->result;

	if (step->action == CQ_REPAIR_LOSS)
		result->losses++;
	else
		result->steps++;
	if (step->action == CQ_REPAIR_SET_ASIDE || step->action == CQ_REPAIR_CUT)
		result->bytes += step->bytes;
	if (config->step)
		config->step(config->step_arg, step);
}

void cq_report_step(struct cq_recovery *v, enum cq_repair_action action, const char *file,
                    const char *why)
{
	if (why)
		take_step(v,
		          &(struct cq_repair_step){ .action = action, .file = file, .text = why });
}

static void report_segment_step(struct cq_recovery *v, enum cq_repair_action action, uint32_t id,
                                const char *why)
{
	char name[CQ_NAME_MAX];

	cq_segment_name(name, id);
	cq_report_step(v, action, name, why);
}

static int report_temp(void *arg, const char *name)
{
	cq_report_step(arg, CQ_REPAIR_REMOVE, name, "a dead writer left it half prepared");
	return 0;
}

static int report_residue(struct cq_recovery *v, uint32_t id, uint64_t tail)
{
	struct cq_repair_step step = {
		.action = CQ_REPAIR_CUT,
		.text = "they are behind the last sound record",
	};
	char name[CQ_NAME_MAX];
	int fd, r;

	r = cq_segment_open_named(v->dirfd, id, &fd);
	if (r < 0)
		return r;
	r = cq_quarantine_residue(fd, v->segment_size, tail, &step.offset, &step.bytes);
	close(fd);
	cq_segment_name(name, id);
	step.file = name;
	if (r == 0 && step.bytes > 0)
		take_step(v, &step);
	return r;
}

static void report_aside(struct cq_recovery *v, const struct cq_candidate *c)
{
	char name[CQ_NAME_MAX];

	cq_segment_name(name, c->id);
	take_step(v, &(struct cq_repair_step){ .action = CQ_REPAIR_SET_ASIDE,
	                                       .file = name,
	                                       .bytes = c->size,
	                                       .text = cq_plan_why_aside(c) });
}

static int report_segment(struct cq_recovery *v, const struct cq_candidate *c)
{
	int r;

	if (c->act == CQ_ACT_SET_ASIDE)
		report_aside(v, c);
	if (c->act == CQ_ACT_SET_ASIDE || c->act == CQ_ACT_KEEP)
		return 0;
	r = report_residue(v, c->id, c->contents.tail);
	if (r == 0 && c->act != CQ_ACT_CONTINUE)
		report_segment_step(v, CQ_REPAIR_SEAL, c->id,
		                    c->kind == CQ_KIND_SEALED ? "its summary is not right"
		                                              : "others follow it");
	return r;
}

/* The segment to go on in, if it is an empty one. */
static int report_current(struct cq_recovery *v)
{
	const uint32_t id = cq_plan_current(v);

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		if (c->act == CQ_ACT_CONTINUE)
			return 0;
		if (c->id == id && c->act == CQ_ACT_KEEP)
			return report_residue(v, id, sizeof(struct cq_segment_header));
	}
	if (id <= CQ_SEGMENT_ID_MAX) /* else cq_plan_check() refuses */
		report_segment_step(v, CQ_REPAIR_MAKE, id, "there is no segment to go on in");
	return 0;
}

static void report_gaps(struct cq_recovery *v)
{
	for (size_t i = 0; i < v->gap_count; i++)
		for (uint32_t id = v->gaps[i].first; id <= v->gaps[i].last; id++)
			report_segment_step(v, CQ_REPAIR_STAND_IN, id,
			                    "others follow it, and it is gone");
}

static void report_indexes(struct cq_recovery *v)
{
	char name[CQ_NAME_MAX];

	for (size_t i = 0; i < v->candidate_count; i++) {
		const struct cq_candidate *c = &v->candidates[i];

		cq_index_name(name, c->id);
		if (c->index_wrong && cq_plan_stays_sealed(c))
			cq_report_step(v, CQ_REPAIR_INDEX, name,
			               "it is missing, or not of its segment");
		else if (c->index_wrong)
			cq_report_step(v, CQ_REPAIR_REMOVE, name, "it is not of its segment");
	}
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

	if (!cq_inspect_first_seq(c, &b.seq))
		b.seq = UINT64_MAX;
	if (cq_segment_ext_valid(&c->header))
		b.stream = c->header.stream_base;
	return b;
}

static struct border border_behind(const struct cq_candidate *c)
{
	struct border b = unknown;

	if (!cq_inspect_end_seq(c, &b.seq))
		return unknown;
	if (c->contents.has_stream_offset)
		b.stream = c->contents.stream_end;
	else /* it holds no record: its header says it */
		b.stream = c->header.stream_base + c->contents.payload_bytes;
	return b;
}

/* What was between these two borders is lost. */
static void report_lost(struct cq_recovery *v, uint32_t from, uint32_t to, struct border begin,
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
	take_step(v, &(struct cq_repair_step){
			     .action = CQ_REPAIR_LOSS,
			     .file = name,
			     .bytes = bytes,
			     .first_seq = begin.seq,
			     .last_seq = end.seq == UINT64_MAX ? UINT64_MAX : end.seq - 1,
			     .text = text,
		     });
}

/* Between segments that stay, by their own numbers.  What is between two of them is set aside or missing. */
static void report_losses_between(struct cq_recovery *v)
{
	const uint32_t current = cq_plan_current(v);
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
			report_lost(v, from, c->id - 1, end, border_before(c));
		lost = false;
		from = c->id + 1;
		end = border_behind(c);
	}
	if (lost || current > from) /* GCOV_EXCL_BR_LINE: a gap here is of lost ones */
		report_lost(v, from, current > from ? current - 1 : from, end, unknown);
}

/* At the end of the queue: by what is behind it. */
static void report_loss_behind(struct cq_recovery *v)
{
	struct border begin = unknown, end = unknown;

	cq_behind_lost_numbers(v, &begin.seq, &end.seq);
	if (end.seq != UINT64_MAX)
		end.seq++;
	report_lost(v, v->active_id, v->active_id, begin, end);
}

/* The same by the watermark, and by what is behind that. */
static void report_loss_at_end(struct cq_recovery *v)
{
	const bool more = v->behind.records > 0 && v->behind.last_seq >= v->watermark.seq;
	const struct border begin = { seq_at_end(v), UINT64_MAX };
	const struct border end = { more ? v->behind.last_seq + 1 : v->watermark.seq, UINT64_MAX };

	cq_report_step(v, CQ_REPAIR_REWRITE, CQ_DURABLE_NAME,
	               "it says that more was durable than there is");
	report_lost(v, v->active_id, v->active_id, begin, end);
}

int cq_report_plan(struct cq_recovery *v, bool loss)
{
	int r = 0;

	if (v->leftovers)
		r = cq_dir_each_temp(v->dirfd, report_temp, v);
	for (size_t i = 0; r == 0 && i < v->candidate_count; i++)
		r = report_segment(v, &v->candidates[i]);
	if (r < 0)
		return r;
	report_gaps(v);
	r = report_current(v);
	if (r < 0)
		return r;
	report_indexes(v);
	r = cq_metadata_report(v);
	if (r < 0)
		return r;
	report_losses_between(v);
	if (loss)
		report_loss_at_end(v);
	else if (v->behind.records > 0 || cq_behind_is_loss(v))
		report_loss_behind(v);
	return 0;
}
