/* SPDX-License-Identifier: Apache-2.0 */
/* recover.c - what an opening writer does with what it finds; see check.h */
#include "check/check.h"

#include <errno.h>
#include <stdlib.h>

#include "check/internal.h"
#include "files/dir.h"
#include "files/fs_probe.h"
#include "files/trust.h"
#include "messages/log.h"
#include "meta/lock.h"
#include "os/fault.h"
#include "os/io.h"

static int store_mark(const struct cq_recovery *v, struct cq_watermark_slot mark)
{
	struct cq_watermark durable;
	int r;

	r = cq_watermark_open(&durable, v->dirfd);
	if (r < 0)
		return r;
	r = cq_watermark_store(&durable, mark);
	if (r == 0 && !cq_planted("consent_unsynced"))
		r = cq_io_sync_data(durable.fd);
	cq_watermark_close(&durable);
	return r;
}

/* Retention took the segment that the watermark names, and nothing is left of the next one: were this
 * cut off when that is set aside, it would look like a loss. */
static int pass_deleted(const struct cq_recovery *v, bool loss)
{
	const struct cq_candidate *first = v->candidates;
	struct cq_watermark_slot mark = v->mark;

	if (mark.generation == 0 || loss || v->candidate_count == 0 || first->id <= mark.segment ||
	    first->id != v->ids[0] || first->act != CQ_ACT_SET_ASIDE)
		return 0;
	mark.segment = first->id;
	mark.offset = sizeof(struct cq_segment_header);
	return store_mark(v, mark);
}

static void free_recovery(struct cq_recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++)
		cq_wsegment_free(v->candidates[i].segment);
	free(v->candidates);
	free(v->gaps);
	free(v->ids);
}

/*
 * A watermark at the beginning of a segment, or behind the newest, is that of a flush after a roll:
 * the segment before it was sealed.  One that is not sealed is left without its seal where the mark is
 * its end; plan.c judges by the records whether it holds all that was durable.  If it is
 * empty, if the mark is further away, or if no segment could be where the mark is, the mark tells that
 * something is lost and not where to go on: readers would wait in that segment for ever.
 */
static int look_behind(struct cq_recovery *v)
{
	struct cq_candidate before = { 0 };
	size_t n = v->count;
	bool newest, next;
	int r;

	while (n > 0 && v->ids[n - 1] >= v->mark.segment)
		n--;
	if (!v->marked || n == 0)
		return 0;
	before.id = v->ids[n - 1];
	newest = n == v->count;
	next = v->mark.segment == before.id + 1ULL &&
	       v->mark.offset <= sizeof(struct cq_segment_header) &&
	       v->mark.segment <= CQ_SEGMENT_ID_MAX;
	if (!newest && !next)
		return 0;
	r = cq_recover_look_at(v, &before);
	if (r < 0)
		return r;
	v->seal_missing = next && before.kind == CQ_KIND_OPEN;
	v->adrift = !v->seal_missing &&
	            (before.kind == CQ_KIND_OPEN || before.kind == CQ_KIND_FRESH ||
	             (v->mark.segment > CQ_SEGMENT_ID_MAX && before.id < CQ_SEGMENT_ID_MAX));
	v->marked = !v->adrift;
	return 0;
}

static int check_temp(void *arg, const char *name)
{
	const struct cq_recovery *v = arg;

	return cq_trust_no_directory(v->dirfd, name, v->config);
}

static int plan(struct cq_recovery *v)
{
	struct cq_watermark_state mark;
	int r;

	r = cq_dir_list_temps_too(v->dirfd, &v->ids, &v->count, &v->leftovers);
	if (r == 0 && v->leftovers)
		r = cq_dir_each_temp(v->dirfd, check_temp, v);
	if (r < 0)
		return r;
	r = cq_recover_geometry(v);
	if (r < 0)
		return r;
	r = cq_watermark_look(v->dirfd, &mark);
	if (r < 0 && r != -ENOENT) /* who cannot read it cannot know that nothing is missing */
		return r;
	v->marked = r == 0 && mark.found;
	v->doubt = r == 0 && !cq_planted("slot_not_missed") ? mark.damaged : 0;
	if (v->marked)
		v->mark = mark.slot;
	if (v->marked && v->mark.epoch > v->epoch)
		v->epoch = v->mark.epoch;
	r = look_behind(v);
	if (r < 0)
		return r;
	r = cq_recover_look(v);
	if (r == 0)
		r = cq_recover_expect(v);
	if (r == 0)
		r = cq_recover_decide(v);
	if (r == 0 && v->repairer)
		r = cq_recover_audit(v);
	if (r == 0)
		r = cq_recover_count_beyond(v);
	return r;
}

/* What speaks against acting: a loss that nobody has accepted, or that there is nothing to do. */
static int consent(struct cq_recovery *v, bool loss)
{
	const bool accepted = v->config->accept_loss;
	int r;

	if (loss)
		cq_recover_report_loss(v);
	else if (!v->marked && v->hole && !accepted)
		cq_log(v->config, CQ_ERROR, "segment %09u is not a sound segment", v->active_id);
	if (v->beyond.records > 0 || cq_recover_gives_up(v))
		cq_recover_report_beyond(v);
	if (v->repairer) {
		r = cq_recover_tell(v, loss);
		if (r < 0)
			return r;
	}
	if ((loss || v->given_up || cq_recover_gives_up(v) || (!v->marked && v->hole)) &&
	    !accepted) {
		if (v->repairer)
			v->repairer->result.refused = true;
		return -EBADMSG;
	}
	if (v->repairer && v->repairer->result.steps == 0)
		return -ECANCELED;
	r = cq_planted("refused_too_late") ? 0 : cq_recover_ready(v);
	return r == 0 && v->repairer && v->repairer->config->dry_run ? -ECANCELED : r;
}

/* From here on files change: the lock's text says who does it.  Before more than that and temp files do,
 * the file system shows what it can. */
static int begin(struct cq_recovery *v, const struct cq_lock *lock)
{
	int r;

	r = cq_lock_describe(lock, 0);
	if (r == 0 && v->leftovers) {
		r = cq_dir_sweep(v->dirfd);
		cq_point("recover.swept");
	}
	return r < 0 ? r : cq_fs_probe(v->dirfd);
}

int cq_recover(int dirfd, const struct cq_lock *lock, const struct cq_config *config,
               struct cq_repairer *repairer, struct cq_recovered *ret_recovered)
{
	struct cq_recovery v = {
		.dirfd = dirfd,
		.config = config,
		.repairer = repairer,
		.meter = { .tell = config->progress, .arg = config->progress_arg },
	};
	struct cq_recovered out = { 0 };
	struct cq_watermark_slot remains;
	bool loss;
	int r;

	r = plan(&v);
	if (r < 0)
		goto out;
	loss = cq_recover_is_loss(&v);
	r = consent(&v, loss);
	if (r == 0)
		r = begin(&v, lock);
	if (r < 0)
		goto out;
	remains = (struct cq_watermark_slot){ .segment = v.active_id,
		                              .offset = v.tail,
		                              .epoch = v.mark.epoch };
	r = pass_deleted(&v, loss);
	if (r < 0)
		goto out;
	out.unsynced_from = v.marked ? (uint32_t)v.mark.segment : 0;
	r = cq_recover_act(&v, &out);
	if (r < 0)
		goto out;
	remains.seq = out.next_seq;
	/* what remained is what was durable; else a kill before the next flush would have the loss accepted
	 * again */
	if (loss)
		r = store_mark(&v, remains);
	else if (v.marked && v.doubt != 0) /* over the damaged slot */
		r = store_mark(&v, v.mark);
	cq_point("recover.mark_lowered");
	if (r == 0)
		r = cq_recover_move_readers(&v, out.active->id, out.active->used);
	if (r < 0) {
		cq_wsegment_free(out.active);
		goto out;
	}
	out.segment_size = v.segment_size;
	out.epoch = v.epoch < UINT32_MAX ? (uint32_t)v.epoch + 1 : UINT32_MAX; /* never lower */
	if (cq_planted("epoch_not_bumped"))
		out.epoch = v.epoch > 0 ? (uint32_t)v.epoch : 1;
	out.created = v.count == 0 && !v.marked;
	out.marked = v.marked || loss;
	out.oldest = v.count > 0 ? v.ids[0] : out.active->id;
	*ret_recovered = out;
out:
	if (repairer)
		repairer->stopped = v.meter.stopped;
	free_recovery(&v);
	return r;
}
