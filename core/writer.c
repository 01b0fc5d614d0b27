/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer.c - append, batch, roll, sync, statistics
 *
 * The way of a record: cq_writer_append() > append_locked() > place_record().  Under the writer lock
 * nothing allocates and nothing calls the system, but for the wake-up of a waiting reader and, once
 * in a segment or a prefault window, of the preparer; the one exception is the counted fallback of a
 * roll that found no segment prepared.
 *
 * Crash contract of place_record(): the commit word behind the record is zero before the record's
 * bytes are stored, and the record's own commit word is stored last.  Killed in between, the bytes
 * lie behind the tail, where recovery removes them.
 */
#include "writer.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "clock.h"
#include "fault.h"
#include "record.h"

/* Copies in pieces that stay in the cache until their checksum is taken.  The checksum is of what
 * was stored, not of memory that its owner may be changing. */
static uint32_t copy_payload(uint8_t *to, const struct iovec *iov, int iovcnt)
{
	const size_t piece = 32U << 10;
	uint32_t crc = 0;

	for (int i = 0; i < iovcnt; i++) {
		const uint8_t *from = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left > 0) {
			size_t n = left < piece ? left : piece;

			memcpy(to, from, n);
			crc = cq_crc32(crc, to, n);
			to += n;
			from += n;
			left -= n;
		}
	}
	return crc;
}

/* The record fits behind the tail of the active segment. */
static void place_record(cq_writer *w, uint16_t type, const struct iovec *iov, int iovcnt,
                         size_t length, uint64_t now_ns)
{
	struct cq_active *s = w->active;
	const uint64_t at = s->used;
	const uint64_t next = at + cq_record_span(length);
	uint8_t *p = s->map.base + at;
	struct cq_record_header h = {
		.commit = (uint32_t)length + 1,
		.version = (uint8_t)(s->version == CQ_SEGMENT_VERSION_1 ? 0 : CQ_RECORD_VERSION),
		.seq = w->next_seq,
		.time_ns = now_ns,
		.type = type,
		.ext = 1,
		.stream_offset = w->stream_end,
		.epoch = w->epoch,
	};

	if (next <= s->map.size - sizeof h && cq_commit_load(s->map.base + next) != 0)
		cq_commit_store(s->map.base + next, 0);
	h.payload_crc = copy_payload(p + sizeof h, iov, iovcnt);
	h.header_crc = cq_crc32(0, &h, sizeof h);
	memcpy(p + sizeof h.commit, (const uint8_t *)&h + sizeof h.commit, sizeof h - sizeof h.commit);
	cq_point("append.before_commit");
	cq_commit_store(p, h.commit);
	/* Committed: from here on nothing can fail. */
	cq_segment_count(s, at, w->next_seq, now_ns, length);
	w->next_seq++;
	w->stream_end += length;
	w->last_time = now_ns;
	w->records++;
	w->bytes += length;
	cq_control_advance(&w->control, next, now_ns);
	cq_control_notify(&w->control);
	if (cq_prefault_due(&w->prefault, next))
		cq_worker_kick(&w->preparer);
}

/* The next segment: the prepared one, or one that this thread opens or makes now. */
static int next_segment(cq_writer *w, struct cq_active **ret_segment)
{
	const uint32_t id = w->active->id + 1;
	bool waited;
	int r;

	if (id > CQ_SEGMENT_ID_MAX)
		return -EOVERFLOW;
	r = cq_prealloc_take(&w->prealloc, id, w->config.prealloc_wait_ms, ret_segment, &waited);
	if (r > 0) {
		if (waited)
			w->rolls_waited++;
		else
			w->rolls_ready++;
		return 0;
	}
	if (w->config.require_prealloc) {
		cq_prealloc_expect(&w->prealloc, id);
		cq_worker_kick(&w->preparer);
		return -EAGAIN;
	}
	r = cq_segment_open_or_create(w->dirfd, id, w->segment_size, CQ_BY_WRITER, ret_segment);
	if (r == 0 && !cq_segment_is_fresh(*ret_segment)) {
		cq_segment_free(*ret_segment);
		r = -EBADMSG;
	}
	if (r < 0) {
		cq_prealloc_expect(&w->prealloc, id);
		return r;
	}
	atomic_fetch_add(&w->prealloc.published, 1);
	w->rolls_fallback++;
	return 0;
}

/* Order: the successor is there; seal; position moves; only then the first record. */
static int roll_locked(cq_writer *w)
{
	struct cq_active *old = w->active, *next;
	int r;

	r = next_segment(w, &next);
	if (r < 0)
		return r;
	cq_segment_seal(old);
	cq_point("roll.sealed");
	cq_segment_take(next, w->next_seq, w->stream_end);
	w->active = next;
	cq_prefault_follow(&w->prefault, next);
	cq_control_move(&w->control, (struct cq_position){ next->id, next->used });
	cq_point("roll.moved");
	cq_control_notify(&w->control);
	old->end_seq = w->next_seq;
	cq_flush_add_sealed(w, old);
	cq_worker_kick(&w->preparer); /* which wakes the flusher where that is due */
	return 0;
}

static int append_locked(cq_writer *w, uint16_t type, const struct iovec *iov, int iovcnt,
                         size_t length, uint64_t now_ns)
{
	int r = atomic_load_explicit(&w->error, memory_order_relaxed);

	if (r < 0)
		return r;
	if (type > CQ_TYPE_MAX)
		return -EINVAL;
	if (length > cq_record_max_payload(w->segment_size))
		return -EMSGSIZE;
	if (cq_record_span(length) > w->segment_size - w->active->used) {
		r = roll_locked(w);
		if (r < 0)
			return r;
	}
	place_record(w, type, iov, iovcnt, length, now_ns);
	return 0;
}

int cq_writer_appendv(cq_writer *w, uint16_t type, const struct iovec *iov, int iovcnt,
                      uint64_t *ret_seq)
{
	size_t length = 0;
	uint64_t seq;
	int r;

	for (int i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len > UINT32_MAX - length)
			return -EMSGSIZE;
		length += iov[i].iov_len;
	}
	pthread_mutex_lock(&w->lock);
	seq = w->next_seq;
	r = append_locked(w, type, iov, iovcnt, length, cq_realtime_ns());
	pthread_mutex_unlock(&w->lock);
	if (r < 0)
		return r;
	if (ret_seq)
		*ret_seq = seq;
	if (w->config.sync == CQ_SYNC_ALWAYS)
		return cq_flush_upto(w, seq + 1);
	return 0;
}

/* An iovec over bytes that are only read. */
static struct iovec readonly_iovec(const void *base, size_t length)
{
	union {
		const void *from;
		void *to;
	} pointer = { .from = base };

	return (struct iovec){ .iov_base = pointer.to, .iov_len = length };
}

int cq_writer_append(cq_writer *w, uint16_t type, const void *payload, size_t length,
                     uint64_t *ret_seq)
{
	const struct iovec iov = readonly_iovec(payload, length);

	return cq_writer_appendv(w, type, &iov, 1, ret_seq);
}

ssize_t cq_writer_append_batch(cq_writer *w, const struct cq_message *messages, size_t count,
                               uint64_t *ret_first_seq)
{
	const uint64_t now_ns = cq_realtime_ns();
	uint64_t first;
	size_t done;
	int r = 0;

	if (count > SSIZE_MAX)
		return -EINVAL;
	pthread_mutex_lock(&w->lock);
	first = w->next_seq;
	for (done = 0; done < count; done++) {
		const struct iovec iov = readonly_iovec(messages[done].payload,
		                                        messages[done].length);

		r = append_locked(w, messages[done].type, &iov, 1, iov.iov_len, now_ns);
		if (r < 0)
			break;
	}
	pthread_mutex_unlock(&w->lock);
	if (done == 0 && r < 0)
		return r;
	if (ret_first_seq)
		*ret_first_seq = first;
	if (w->config.sync == CQ_SYNC_ALWAYS && done > 0) {
		r = cq_flush_upto(w, first + done);
		if (r < 0)
			return r;
	}
	return (ssize_t)done;
}

int cq_writer_roll(cq_writer *w)
{
	int r;

	pthread_mutex_lock(&w->lock);
	r = atomic_load(&w->error);
	if (r == 0 && w->active->records > 0)
		r = roll_locked(w);
	pthread_mutex_unlock(&w->lock);
	return r;
}

/* ---- durability ---- */

uint64_t cq_writer_appended(cq_writer *w)
{
	uint64_t seq;

	pthread_mutex_lock(&w->lock);
	seq = w->next_seq;
	pthread_mutex_unlock(&w->lock);
	return seq;
}

int cq_writer_sync(cq_writer *w)
{
	return cq_flush_upto(w, cq_writer_appended(w));
}

void cq_writer_sync_async(cq_writer *w, struct cq_sync_request *request)
{
	request->upto = cq_writer_appended(w);
	pthread_mutex_lock(&w->flush.lock);
	request->next = w->flush.queue;
	w->flush.queue = request;
	pthread_mutex_unlock(&w->flush.lock);
	cq_worker_kick(&w->flusher);
}

/* ---- looking ---- */

size_t cq_writer_max_payload(const cq_writer *w)
{
	return (size_t)cq_record_max_payload(w->segment_size);
}

cq_queue *cq_writer_queue(cq_writer *w)
{
	return w->queue;
}

void cq_writer_stats(cq_writer *w, struct cq_stats *ret_stats)
{
	struct cq_stats s = { .segment_size = w->segment_size, .epoch = w->epoch };
	struct cq_prealloc *p = &w->prealloc;
	struct cq_flush *f = &w->flush;

	pthread_mutex_lock(&w->lock);
	s.next_seq = w->next_seq;
	s.records = w->records;
	s.bytes = w->bytes;
	s.last_time_ns = w->last_time;
	s.segment = w->active->id;
	s.offset = w->active->used;
	s.stream_end = w->stream_end;
	s.rolls_ready = w->rolls_ready;
	s.rolls_waited = w->rolls_waited;
	s.rolls_fallback = w->rolls_fallback;
	pthread_mutex_unlock(&w->lock);
	pthread_mutex_lock(&p->lock);
	s.prealloc_made = p->made;
	s.prealloc_stale = p->stale;
	s.prealloc_failed = p->failed;
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_lock(&f->lock);
	s.durable_seq = f->durable_seq;
	s.syncs = f->count;
	s.sync_requests = f->requests;
	s.sync_ns_total = f->ns_total;
	s.sync_ns_max = f->ns_max;
	pthread_mutex_unlock(&f->lock);
	s.unsynced = cq_flush_unsynced(w);
	s.retired = atomic_load(&w->retention.retired);
	s.error = atomic_load(&w->error);
	*ret_stats = s;
}

/* cq_queue's question (queue.h).  A segment goes from here to the flush before it is not here. */
bool cq_writer_live_time(void *writer, uint32_t id, uint64_t *ret_time_ns)
{
	cq_writer *w = writer;
	bool found = false;

	pthread_mutex_lock(&w->lock);
	if (w->active->id == id && w->active->records > 0) {
		*ret_time_ns = w->active->last_time;
		found = true;
	}
	pthread_mutex_unlock(&w->lock);
	return found || cq_flush_live_time(w, id, ret_time_ns);
}
