/* SPDX-License-Identifier: Apache-2.0 */
/* recover.c - opens a queue for its writer, or repairs it; see check.h */
#include "check/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check/internal.h"
#include "files/dir.h"
#include "files/fs_probe.h"
#include "messages/log.h"
#include "messages/room.h"
#include "meta/identity.h"
#include "meta/lock.h"
#include "os/fault.h"
#include "os/io.h"

static int store_watermark(const struct cq_recovery *v, struct cq_watermark_slot slot)
{
	struct cq_watermark durable;
	int r;

	r = cq_watermark_open(&durable, v->dirfd);
	if (r < 0)
		return r;
	r = cq_watermark_store(&durable, slot);
	if (r == 0 && !cq_planted("consent_unsynced"))
		r = cq_io_sync_data(durable.fd);
	cq_watermark_close(&durable);
	return r;
}

/* Where retention took the segment that the watermark names, and the next one is set aside: moves the
 * watermark first.  Otherwise a kill just behind that would leave what looks like a loss. */
static int pass_deleted(const struct cq_recovery *v, bool loss)
{
	const struct cq_candidate *first = v->candidates;
	struct cq_watermark_slot slot = v->watermark;

	if (slot.generation == 0 || loss || v->candidate_count == 0 || first->id <= slot.segment ||
	    first->id != v->ids[0] || first->act != CQ_ACT_SET_ASIDE)
		return 0;
	slot.segment = first->id;
	slot.offset = sizeof(struct cq_segment_header);
	return store_watermark(v, slot);
}

static void free_recovery(struct cq_recovery *v)
{
	for (size_t i = 0; i < v->candidate_count; i++)
		cq_wsegment_free(v->candidates[i].segment);
	free(v->candidates);
	free(v->gaps);
	free(v->ids);
}

/* There is no segment, and there has been none. */
static bool is_new(const struct cq_recovery *v)
{
	return v->count == 0 && !v->have_watermark && v->damaged_slots == 0;
}

/* Only a new queue begins where the caller says. */
static int check_begin(const struct cq_recovery *v)
{
	if (v->config->begin_seq == 0 || is_new(v))
		return 0;
	cq_log(v->config, CQ_ERROR,
	       "the queue is there already: only a new one can begin at record %" PRIu64,
	       v->config->begin_seq);
	return -EEXIST;
}

/*
 * Invariant: whoever appends to a replica is a writer of its source's records.  So a writer opens a replica only
 * if it names the source, and a writer that names one opens only that source's replica, or makes one.  The mark
 * is on the disk before there is a segment.
 */
static int check_replica(const struct cq_recovery *v)
{
	const uint8_t *source = v->config->replica_of;
	const bool replica = v->have_identity && !cq_identity_is_none(v->identity.source);
	char text[CQ_IDENTITY_TEXT];

	if (v->repair)
		return 0;
	if (cq_identity_is_none(source)) {
		if (!replica || cq_planted("replica_unmarked"))
			return 0;
		cq_identity_print(text, v->identity.source);
		cq_log(v->config, CQ_ERROR,
		       "the queue is a replica of queue %s, and only that one's records are appended to "
		       "it (chronq promote makes it an ordinary queue)",
		       text);
		return -EREMOTE;
	}
	if (v->have_identity ? memcmp(source, v->identity.source, sizeof v->identity.source) == 0
	                     : is_new(v) || v->identity_damaged)
		return 0;
	cq_identity_print(text, source);
	cq_log(v->config, CQ_ERROR, "the queue is there already, and is no replica of queue %s%s",
	       text, replica ? " but of another one" : "");
	return -ENOLINK;
}

/* Reads identity.meta, which a crash never leaves damaged. */
static int identify(struct cq_recovery *v)
{
	const int r = cq_identity_read(v->dirfd, &v->identity);

	v->have_identity = r == 0 && !cq_planted("identity_made_again");
	v->identity_damaged = r == -EBADMSG;
	return r == -ENOENT || r == -EBADMSG ? 0 : r;
}

/* Gives the queue its identity, if it has none; also one that an older version or chronicle-rs made.  Where
 * there is no room for the file, the next writer makes it: a full queue can still be opened. */
static int establish_identity(const struct cq_recovery *v)
{
	int r;

	if (v->have_identity)
		return v->identity.settled ? 0 : cq_identity_settle(v->dirfd);
	r = cq_identity_make(v->dirfd, v->config->replica_of,
	                     v->identity_damaged || cq_planted("identity_made_again"));
	if (!cq_room_lacks(r) || is_new(v) || !cq_identity_is_none(v->config->replica_of))
		return r;
	cq_log(v->config, CQ_WARNING, CQ_IDENTITY_NAME " not made: %s", strerrordesc_np(-r));
	return 0;
}

/* Reports the plan.  EBADMSG: the caller does not accept the loss; ECANCELED: there is nothing to do. */
static int consent(struct cq_recovery *v, bool loss)
{
	const bool accepted = v->config->accept_loss;
	int r;

	if (loss)
		cq_report_loss(v);
	else if (!v->have_watermark && v->hole && !accepted)
		cq_log(v->config, CQ_ERROR, "segment %09u is not a sound segment", v->active_id);
	if (v->behind.records > 0 || cq_behind_is_loss(v))
		cq_report_behind(v);
	if (v->identity_damaged)
		cq_log(v->config, accepted ? CQ_WARNING : CQ_ERROR,
		       CQ_IDENTITY_NAME " is damaged: %s another identity, and %s",
		       accepted ? "the queue gets" : "if that is accepted, the queue gets",
		       cq_identity_is_none(v->config->replica_of)
		               ? "no replica any more"
		               : "is a replica of the source that is named");
	if (v->repair) {
		r = cq_report_plan(v, loss);
		if (r < 0)
			return r;
	}
	if ((loss || v->durable_lost || cq_behind_is_loss(v) || (!v->have_watermark && v->hole) ||
	     v->identity_damaged) &&
	    !accepted) {
		if (v->repair)
			v->repair->result.refused = true;
		return -EBADMSG;
	}
	if (v->repair && v->repair->result.steps == 0)
		return -ECANCELED;
	r = cq_planted("refused_too_late") ? 0 : cq_plan_check(v);
	return r == 0 && v->repair && v->repair->config->dry_run ? -ECANCELED : r;
}

/* Files change from here on.  The first is the lock's text, which names the writer; temp files follow; then
 * the file system shows whether it can hold a queue.  The identity comes before the first segment. */
static int begin(const struct cq_recovery *v, const struct cq_lock *lock)
{
	int r;

	r = cq_lock_describe(lock, 0);
	if (r == 0 && v->leftovers) {
		r = cq_dir_sweep(v->dirfd);
		cq_point("recover.swept");
	}
	if (r == 0)
		r = cq_fs_probe(v->dirfd);
	return r < 0 ? r : establish_identity(v);
}

int cq_recover(int dirfd, const struct cq_lock *lock, const struct cq_config *config,
               struct cq_repair_job *repair, struct cq_recover_result *ret_recovered)
{
	struct cq_recovery v = {
		.dirfd = dirfd,
		.config = config,
		.repair = repair,
		.meter = { .report = config->progress, .arg = config->progress_arg },
	};
	struct cq_recover_result out = { 0 };
	struct cq_watermark_slot remains;
	bool loss;
	int r;

	r = cq_inspect(&v);
	if (r == 0)
		r = identify(&v);
	if (r == 0)
		r = check_replica(&v);
	if (r == 0)
		r = check_begin(&v);
	if (r == 0)
		r = cq_plan(&v);
	if (r == 0 && repair)
		r = cq_plan_repair(&v);
	if (r == 0)
		r = cq_behind_count_all(&v);
	if (r < 0)
		goto out;
	loss = cq_plan_is_loss(&v);
	r = consent(&v, loss);
	if (r == 0)
		r = begin(&v, lock);
	if (r < 0)
		goto out;
	remains = (struct cq_watermark_slot){ .segment = v.active_id,
		                              .offset = v.tail,
		                              .epoch = v.watermark.epoch };
	r = pass_deleted(&v, loss);
	if (r < 0)
		goto out;
	out.unsynced_from = v.have_watermark ? (uint32_t)v.watermark.segment : 0;
	r = cq_apply(&v, &out);
	if (r < 0)
		goto out;
	remains.seq = out.next_seq;
	/* only what is left was durable; with the old watermark, a kill before the next flush would need the
	 * caller's consent again */
	if (loss)
		r = store_watermark(&v, remains);
	else if (v.have_watermark && v.damaged_slots != 0) /* replaces the damaged slot */
		r = store_watermark(&v, v.watermark);
	cq_point("recover.mark_lowered");
	if (r == 0)
		r = cq_metadata_move_readers(&v, out.active->id, out.active->used);
	if (r < 0) {
		cq_wsegment_free(out.active);
		goto out;
	}
	out.segment_size = v.segment_size;
	out.epoch = v.epoch < UINT32_MAX ? (uint32_t)v.epoch + 1 : UINT32_MAX; /* never lower */
	if (cq_planted("epoch_not_bumped"))
		out.epoch = v.epoch > 0 ? (uint32_t)v.epoch : 1;
	out.created = v.count == 0 && !v.have_watermark;
	out.have_watermark = v.have_watermark || loss;
	out.oldest = v.count > 0 ? v.ids[0] : out.active->id;
	*ret_recovered = out;
out:
	if (repair)
		repair->stopped = v.meter.stopped;
	free_recovery(&v);
	return r;
}
