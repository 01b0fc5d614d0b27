/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roll.c - the step from a full segment into the next one, and when it is refused
 *
 * A roll takes the segment that the preparer has made, without a call on a file.  Where there is none, the
 * roll opens what is published under the next id or, if a file can be reserved (quota.h), makes it: the
 * counted fallback.  A failed roll has changed nothing: the record that needed it is refused, smaller
 * records still find room in the current segment, and the next roll tries again at once.  A refusal by the
 * limit wakes the flusher, which deletes what may be deleted; a refusal by the disk wakes the preparer,
 * which tries until there is room.
 *
 * A skip leaves out numbers: it makes a placeholder of the current segment, which is empty, and continues in the
 * next one, whose header has the numbers behind the gap.  To everybody that is as if a segment between had been
 * lost and replaced by a repair.
 *
 * Crash contract of a skip: that header is the commit.  A kill before it leaves a placeholder behind which nothing
 * is missing.  A power cut may keep the header from the disk until a flush has covered it; no watermark names
 * the place behind the placeholder before that (flush.c).  So there never are numbers without the gap before
 * them, nor records of which only a part of the queue has the numbers.
 */
#include "write/writer.h"

#include <errno.h>

#include "format/record.h"
#include "meta/identity.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/process.h"

/* For the limit.  The flusher may make room. */
static int refuse_for_limit(cq_writer *w)
{
	const uint64_t now = cq_boottime_ms();
	const uint64_t last = atomic_exchange(&w->quota.refused_ms, now);

	/* after a pause the flusher sleeps for longer, too (retire.c) */
	if (!atomic_exchange(&w->quota.at_limit, true) || now - last > 1000)
		cq_worker_kick(&w->flusher);
	return -EDQUOT;
}

/* For any error of the disk; EDQUOT is the disk's here.  The preparer finds out when there is room. */
static int refuse_for_disk(cq_writer *w, int r)
{
	if ((r == -ENOSPC || r == -EDQUOT) && !atomic_exchange(&w->quota.disk_full, true))
		cq_worker_kick(&w->preparer);
	return r;
}

/* No segment was prepared: this thread opens what is published or else, with a reservation, makes it. */
static int make_segment(cq_writer *w, uint32_t id, bool reserved, struct cq_wsegment **ret_segment)
{
	struct cq_wsegment *s;
	int r;

	r = cq_owner_check(w);
	if (r == 0 && reserved)
		r = cq_wsegment_open_or_create(w->dirfd, id, w->segment_size, &s);
	else if (r == 0)
		r = cq_wsegment_open(w->dirfd, id, w->segment_size, &s);
	if (reserved)
		cq_quota_settle(&w->quota, r == 0 && s->created);
	if (r == 0 && !cq_wsegment_is_fresh(s)) {
		cq_wsegment_free(s);
		r = -EBADMSG;
	}
	if (r == -ENOENT && !reserved) {
		w->refused++;
		return refuse_for_limit(w);
	}
	if (r < 0) {
		cq_prealloc_expect(&w->prealloc, id, r);
		return refuse_for_disk(w, r);
	}
	cq_prealloc_expect(&w->prealloc, id + 1, 0);
	atomic_fetch_add(&w->prealloc.published, 1);
	w->rolls_fallback++;
	*ret_segment = s;
	return 0;
}

/* The next segment: the prepared one, or one that this thread opens or makes now. */
static int next_segment(cq_writer *w, struct cq_wsegment **ret_segment)
{
	const uint32_t id = w->current->id + 1;
	struct cq_taken taken;
	int r;

	if (id > CQ_SEGMENT_ID_MAX)
		return -EOVERFLOW;
	r = cq_prealloc_take(&w->prealloc, id, w->config.prealloc_wait_ms,
	                     w->config.require_prealloc, &taken);
	if (r < 0) {
		cq_worker_kick(&w->preparer);
		return refuse_for_disk(w, r);
	}
	if (r == 0)
		return make_segment(w, id, taken.reserved, ret_segment);
	if (taken.waited)
		w->rolls_waited++;
	else
		w->rolls_ready++;
	*ret_segment = taken.segment;
	return 0;
}

/* Order: the successor exists; the seal; the successor's beginning into its header; the position moves;
 * only then the first record.  (docs/format.md, Roll)  seq, stream: of that record; if they are not those that come
 * next, the current segment is empty. */
static int roll_to(cq_writer *w, uint64_t seq, uint64_t stream)
{
	struct cq_wsegment *old = w->current, *next = NULL;
	int r;

	cq_writer_announce(w); /* the first part of a batch: finding a segment may take a while */
	r = next_segment(w, &next);
	if (r < 0)
		return r;
	if (cq_planted("control_before_seal"))
		cq_control_move(&w->control, (struct cq_position){ next->id, next->used });
	cq_point("roll.taken");
	if (seq != w->next_seq && !cq_planted("skip_without_placeholder")) {
		cq_wsegment_pad(old);
		old->last_time = w->last_time;
	}
	if (!cq_planted("seal_after_first_append"))
		cq_wsegment_seal(old);
	if (cq_mapping_cut(&old->map)) { /* the seal is in no file */
		cq_wsegment_free(next);
		return cq_writer_cut_short(w);
	}
	cq_point("roll.sealed");
	old->end_seq = w->next_seq;
	w->next_seq = seq;
	w->stream_end = stream;
	cq_wsegment_take(next, seq, stream);
	cq_point("roll.numbered");
	w->current = next;
	cq_prefault_follow(&w->prefault, next);
	cq_control_move(&w->control, (struct cq_position){ next->id, next->used });
	cq_point("roll.moved");
	cq_control_notify(&w->control);
	cq_sealed_add(w, old);
	cq_point("roll.handed_over");
	if (cq_quota_note_room(&w->quota))
		cq_worker_kick(&w->flusher);
	cq_worker_kick(&w->preparer); /* which wakes the flusher where that is due */
	return 0;
}

int cq_writer_roll_locked(cq_writer *w)
{
	return roll_to(w, w->next_seq, w->stream_end);
}

int cq_writer_roll(cq_writer *w)
{
	int r;

	if (cq_process_forked(w->process))
		return -ECHILD;
	cq_mutex_lock(&w->lock);
	r = atomic_load(&w->error);
	if (r == 0 && w->current->records > 0)
		r = cq_writer_roll_locked(w);
	cq_mutex_unlock(&w->lock);
	return r;
}

/* Under the writer lock. */
static int skip_to(cq_writer *w, uint64_t seq, uint64_t stream)
{
	int r = atomic_load(&w->error);

	if (r < 0)
		return r;
	if (seq < w->next_seq || stream < w->stream_end)
		return -ERANGE;
	if (seq == w->next_seq)
		return stream == w->stream_end ? 0 : -ERANGE;
	if (!cq_wsegment_is_empty(w->current))
		r = cq_writer_roll_locked(w);
	cq_point("skip.rolled");
	return r < 0 ? r : roll_to(w, seq, stream);
}

int cq_writer_skip(cq_writer *w, uint64_t seq, uint64_t stream)
{
	int r;

	if (cq_process_forked(w->process))
		return -ECHILD;
	if (cq_identity_is_none(w->config.replica_of))
		return -ENOLINK;
	if (seq >= CQ_COUNT_MAX || stream > CQ_COUNT_MAX)
		return -EOVERFLOW;
	cq_mutex_lock(&w->lock);
	r = skip_to(w, seq, stream > 0 ? stream : w->stream_end);
	cq_mutex_unlock(&w->lock);
	return r == 0 && w->config.sync == CQ_SYNC_ALWAYS ? cq_flush_upto(w, seq) : r;
}

int cq_writer_room(cq_writer *w, size_t length)
{
	int r;

	if (cq_process_forked(w->process))
		return -ECHILD;
	cq_mutex_lock(&w->lock);
	r = atomic_load(&w->error);
	if (r == 0 && length > cq_record_max_payload(w->segment_size))
		r = -EMSGSIZE;
	if (r == 0 && cq_record_span(length) > w->segment_size - w->current->used &&
	    !cq_prealloc_possible(&w->prealloc, w->current->id + 1))
		r = refuse_for_limit(w); /* the caller waits for config.space */
	cq_mutex_unlock(&w->lock);
	return r;
}
