/* SPDX-License-Identifier: Apache-2.0 */
/*
 * writer.c - append, batch, sync, statistics
 *
 * The way of a record: cq_writer_append() > append_locked() > place_record(), and cq_writer_roll_locked()
 * (roll.c) before that where the record does not fit.  Large records, and those of a batch, are written by
 * pwrite (run.c).  Under the writer lock nothing allocates, and nothing else calls the system, with three
 * exceptions: the wake-up of a waiting reader; once in a segment or a prefault window, the wake-up of the
 * preparer; and a roll that found no segment prepared.
 *
 * Crash contract of place_record(): the commit word behind the record is zero before the record's
 * bytes are stored, and the record's own commit word is stored last.  After a kill in between, the bytes
 * lie behind the tail, where recovery removes them.
 */
#include "write/writer.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "catalog/queue.h"
#include "format/put.h"
#include "format/record.h"
#include "messages/sized.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/process.h"

static uint32_t copy_payload(uint8_t *to, const struct iovec *iov, int iovcnt)
{
	uint32_t crc = 0;

	for (int i = 0; i < iovcnt; i++) {
		crc = cq_crc32_copy(crc, to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	return crc;
}

bool cq_writer_poison(cq_writer *w)
{
	int none = 0;

	return atomic_compare_exchange_strong(&w->error, &none, -EIO);
}

int cq_writer_cut_short(cq_writer *w)
{
	if (cq_writer_poison(w))
		atomic_store(&w->cut_short, true);
	cq_worker_kick(&w->flusher); /* which writes to the log */
	return -EIO;
}

/* So far behind a record that the lines are in the cache when a small record is stored there. */
#define PREFETCH_AHEAD 1024U

/* Fetches the two cache lines that a record of 64 bytes takes.  Larger ones follow by themselves: the processor
 * recognises the run of stores. */
static void prefetch_lines(const struct cq_mapping *map, uint64_t at)
{
	if (at + 2 * CQ_ALIGN > map->size)
		return;
	__builtin_prefetch(map->base + at, 1);
	__builtin_prefetch(map->base + at + CQ_ALIGN, 1);
}

/* The record fits behind the tail of the current segment. */
static int place_record(cq_writer *w, uint16_t type, const struct iovec *iov, int iovcnt,
                        size_t length, struct cq_stamp stamp)
{
	struct cq_wsegment *s = w->current;
	const uint64_t at = s->used;
	const uint64_t next = at + cq_record_span(length);
	uint8_t *p = s->map.base + at;
	const uint32_t commit = (uint32_t)length + 1;
	const uint8_t version =
		(uint8_t)(s->version == CQ_SEGMENT_VERSION_1 ? 0 : CQ_RECORD_VERSION);
	uint32_t payload_crc;

	if (cq_record_fits(s->map.size, next) && cq_commit_load(s->map.base + next) != 0)
		cq_commit_store(s->map.base + next, 0);
	prefetch_lines(&s->map, next + PREFETCH_AHEAD);
	cq_point("append.cleared");
	if (cq_planted("commit_before_payload"))
		cq_commit_store(p, commit);
	if (iovcnt == 1) {
		cq_put_record(p, version, w->next_seq, stamp.time_ns, type, w->stream_end, w->epoch,
		              iov[0].iov_base, length);
	} else {
		payload_crc = copy_payload(p + sizeof(struct cq_record_header), iov, iovcnt);
		cq_point("append.payload");
		cq_put_header(p, commit, version, w->next_seq, stamp.time_ns, type, payload_crc,
		              w->stream_end, w->epoch);
	}
	cq_point("append.before_commit");
	if (cq_mapping_cut(&s->map))
		return cq_writer_cut_short(w);
	cq_commit_store(p, commit);
	if (cq_mapping_cut(&s->map)) /* since: the commit word is in no file */
		return cq_writer_cut_short(w);
	cq_point("append.committed");
	/* Committed: nothing can fail from here on. */
	cq_wsegment_count(s, at, w->next_seq, stamp.time_ns, length);
	w->next_seq++;
	w->stream_end += length;
	w->last_time = stamp.time_ns;
	w->records++;
	w->bytes += length;
	cq_control_advance(&w->control, next, stamp.clock_ns);
	cq_writer_landmark(w, at);
	w->unannounced = true;
	cq_point("append.advanced");
	if (cq_prefault_due(&w->prefault, next))
		cq_worker_kick(&w->preparer);
	return 0;
}

void cq_writer_announce(cq_writer *w)
{
	if (!w->unannounced)
		return;
	w->unannounced = false;
	cq_control_notify(&w->control);
}

/* Releases the writer lock, which is the barrier between the two halves of a notification.  Readers that wait
 * are woken under the lock. */
static void unlock_and_announce(cq_writer *w)
{
	const bool announce = w->unannounced;
	bool whole = false;

	w->unannounced = false;
	if (announce)
		whole = cq_control_count(&w->control);
	cq_mutex_unlock(&w->lock);
	if (announce && (whole || cq_control_awaited(&w->control))) {
		cq_mutex_lock(&w->lock);
		cq_control_notify(&w->control);
		cq_mutex_unlock(&w->lock);
	}
}

/* The times of a record, under the writer lock; time_ns: the one that the caller gives it, or NULL.  The clock
 * was read before the lock was taken, as the processor then waits for both at once.  Another thread may have
 * appended meanwhile, with a later time. */
static struct cq_stamp stamp_at(const cq_writer *w, uint64_t before_ns, const uint64_t *time_ns)
{
	const uint64_t clock_ns =
		time_ns || before_ns >= w->last_time ? before_ns : cq_realtime_ns();

	return (struct cq_stamp){ time_ns ? *time_ns : clock_ns, clock_ns };
}

/* The caller announces the record. */
static int append_locked(cq_writer *w, uint16_t type, const struct iovec *iov, int iovcnt,
                         size_t length, struct cq_stamp stamp)
{
	int r = atomic_load_explicit(&w->error, memory_order_relaxed);
	struct cq_wsegment *left = w->current;

	if (r < 0)
		return r;
	if (type > CQ_TYPE_MAX)
		return -EINVAL;
	if (length > cq_record_max_payload(w->segment_size))
		return -EMSGSIZE;
	if (w->next_seq >= CQ_COUNT_MAX || w->stream_end > CQ_COUNT_MAX - length)
		return -EOVERFLOW;
	if (cq_record_span(length) > w->segment_size - w->current->used) {
		r = cq_writer_roll_locked(w);
		if (r < 0)
			return r;
	}
	if (length >= w->run.least_record)
		r = cq_run_place(w, type, iov, length, stamp);
	else
		r = place_record(w, type, iov, iovcnt, length, stamp);
	if (left != w->current && cq_planted("seal_after_first_append"))
		cq_wsegment_seal(left);
	if (left != w->current && w->rolls_fallback > 0 && cq_planted("error_after_commit"))
		r = -EIO;
	return r;
}

/* Without the writer lock: the sync that CQ_SYNC_ALWAYS asks for.  Fills in *ret_appended. */
static int finish_append(cq_writer *w, struct cq_appended appended,
                         struct cq_appended *ret_appended)
{
	int r = 0;

	if (w->config.sync == CQ_SYNC_ALWAYS && appended.count > 0) {
		r = cq_flush_upto(w, appended.seq + appended.count);
		appended.durable = r == 0;
	}
	if (ret_appended)
		*ret_appended = appended;
	return r;
}

/* As cq_writer_appendv(); time_ns: the record's time, or NULL. */
static int append_one(cq_writer *w, uint16_t type, const uint64_t *time_ns, const struct iovec *iov,
                      int iovcnt, struct cq_appended *ret_appended)
{
	struct cq_appended appended = { 0 };
	size_t length = 0;
	int r = cq_process_forked(w->process) ? -ECHILD : 0, synced;
	const uint64_t now_ns = cq_realtime_ns();

	for (int i = 0; i < iovcnt && r == 0; i++) {
		if (iov[i].iov_len > UINT32_MAX - length)
			r = -EMSGSIZE;
		else
			length += iov[i].iov_len;
	}
	if (r == 0) {
		cq_mutex_lock(&w->lock);
		appended.seq = w->next_seq;
		r = append_locked(w, type, iov, iovcnt, length, stamp_at(w, now_ns, time_ns));
		unlock_and_announce(w);
		appended.count = r == 0;
	}
	synced = finish_append(w, appended, ret_appended);
	return r < 0 ? r : synced;
}

int cq_writer_appendv(cq_writer *w, uint16_t type, const struct iovec *iov, int iovcnt,
                      struct cq_appended *ret_appended)
{
	return append_one(w, type, NULL, iov, iovcnt, ret_appended);
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
                     struct cq_appended *ret_appended)
{
	const struct iovec iov = readonly_iovec(payload, length);

	return append_one(w, type, NULL, &iov, 1, ret_appended);
}

int cq_writer_append_at(cq_writer *w, uint16_t type, uint64_t time_ns, const void *payload,
                        size_t length, struct cq_appended *ret_appended)
{
	const struct iovec iov = readonly_iovec(payload, length);

	if (!cq_process_forked(w->process))
		atomic_store(&w->times_given, true);
	return append_one(w, type, &time_ns, &iov, 1, ret_appended);
}

/* Under the writer lock, as the next.  Counts in *count what it has appended. */
static int append_each(cq_writer *w, const struct cq_message *messages, size_t n,
                       struct cq_stamp stamp, size_t *count)
{
	for (size_t i = 0; i < n; i++) {
		const struct iovec iov = readonly_iovec(messages[i].payload, messages[i].length);
		const int r = append_locked(w, messages[i].type, &iov, 1, iov.iov_len, stamp);

		if (r < 0)
			return r;
		++*count;
		cq_point("batch.appended");
	}
	return 0;
}

static int append_run(cq_writer *w, const struct cq_message *messages, size_t n,
                      struct cq_stamp stamp, size_t *count)
{
	const int r = cq_run_append(w, messages, n, stamp);

	if (r == 0)
		*count += n;
	return r;
}

/* How many of the messages, at least one, get one time: a run has one time (format.md, Append). */
static size_t of_one_time(const uint64_t *times_ns, size_t count)
{
	size_t n = 1;

	while (n < count && times_ns[n] == times_ns[0])
		n++;
	return n;
}

/* As cq_writer_append_batch(); times_ns: those of the records, or NULL. */
static ssize_t append_all(cq_writer *w, const struct cq_message *messages, const uint64_t *times_ns,
                          size_t count, struct cq_appended *ret_appended)
{
	const uint64_t now_ns = cq_realtime_ns();
	struct cq_appended appended = { 0 };
	int r = count > SSIZE_MAX ? -EINVAL : 0, synced;
	struct cq_stamp stamp;
	size_t same, n;
	bool run;

	if (cq_process_forked(w->process)) {
		(void)finish_append(w, appended, ret_appended);
		return -ECHILD;
	}
	if (times_ns)
		atomic_store(&w->times_given, true);
	cq_mutex_lock(&w->lock);
	appended.seq = w->next_seq;
	stamp = stamp_at(w, now_ns, NULL);
	for (same = times_ns ? 0 : count; r == 0 && appended.count < count; same -= n) {
		const struct cq_message *next = &messages[appended.count];

		if (same == 0) {
			same = of_one_time(&times_ns[appended.count], count - appended.count);
			stamp.time_ns = times_ns[appended.count];
		}
		n = cq_run_choose(w, next, same, &run);
		if (run)
			r = append_run(w, next, n, stamp, &appended.count);
		else
			r = append_each(w, next, n, stamp, &appended.count);
	}
	unlock_and_announce(w);
	synced = finish_append(w, appended, ret_appended);
	if (synced < 0)
		return synced;
	return appended.count > 0 || r == 0 ? (ssize_t)appended.count : r;
}

ssize_t cq_writer_append_batch(cq_writer *w, const struct cq_message *messages, size_t count,
                               struct cq_appended *ret_appended)
{
	return append_all(w, messages, NULL, count, ret_appended);
}

ssize_t cq_writer_append_batch_at(cq_writer *w, const struct cq_message *messages,
                                  const uint64_t *times_ns, size_t count,
                                  struct cq_appended *ret_appended)
{
	return append_all(w, messages, times_ns, count, ret_appended);
}

/* ---- durability ---- */

uint64_t cq_writer_appended(cq_writer *w)
{
	uint64_t seq;

	cq_mutex_lock(&w->lock);
	seq = w->next_seq;
	cq_mutex_unlock(&w->lock);
	return seq;
}

int cq_writer_sync(cq_writer *w)
{
	if (cq_process_forked(w->process))
		return -ECHILD;
	return cq_flush_upto(w, cq_writer_appended(w));
}

void cq_writer_sync_async(cq_writer *w, struct cq_sync_request *request)
{
	if (cq_process_forked(w->process)) {
		request->done(request, -ECHILD);
		return;
	}
	request->upto = cq_writer_appended(w);
	pthread_mutex_lock(&w->flush.lock);
	request->next = w->flush.queue;
	w->flush.queue = request;
	pthread_mutex_unlock(&w->flush.lock);
	cq_worker_kick(&w->flusher);
}

/* ---- questions ---- */

size_t cq_writer_max_payload(const cq_writer *w)
{
	return (size_t)cq_record_max_payload(w->segment_size);
}

cq_queue *cq_writer_queue(cq_writer *w)
{
	return w->queue;
}

int cq_writer_stats(cq_writer *w, struct cq_stats *ret_stats)
{
	struct cq_stats s = { .segment_size = w->segment_size,
		              .epoch = w->epoch,
		              .max_bytes = w->config.max_bytes };
	struct cq_prealloc *p = &w->prealloc;
	struct cq_flush *f = &w->flush;
	int r;

	if (cq_process_forked(w->process))
		return -ECHILD;
	r = cq_sized_check(ret_stats);
	if (r < 0)
		return r;
	cq_mutex_lock(&w->lock);
	s.next_seq = w->next_seq;
	s.records = w->records;
	s.bytes = w->bytes;
	s.last_time_ns = w->last_time;
	s.segment = w->current->id;
	s.offset = w->current->used;
	s.stream_end = w->stream_end;
	s.rolls_ready = w->rolls_ready;
	s.rolls_waited = w->rolls_waited;
	s.rolls_fallback = w->rolls_fallback;
	s.full = w->refused;
	cq_mutex_unlock(&w->lock);
	pthread_mutex_lock(&p->lock);
	s.prealloc_made = p->made;
	s.prealloc_stale = p->stale;
	s.prealloc_failed = p->failed;
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_lock(&f->lock);
	s.durable_seq = f->durable_seq;
	s.unsynced = f->unsynced_count;
	s.syncs = f->count;
	s.sync_requests = f->requests;
	s.sync_ns_total = f->ns_total;
	s.sync_ns_max = f->ns_max;
	memcpy(s.sync_within, f->within, sizeof s.sync_within);
	pthread_mutex_unlock(&f->lock);
	s.retired = atomic_load(&w->retention.retired);
	s.oldest = atomic_load(&w->oldest);
	s.file_bytes = cq_quota_files(&w->quota) * w->segment_size;
	s.error = atomic_load(&w->error);
	cq_sized_give(ret_stats, &s, sizeof s);
	return 0;
}

/* For cq_queue (queue.h).  A roll hands a segment over to the flush before it releases the lock, so a segment
 * is always in one of the two. */
bool cq_writer_counts(void *writer, uint32_t id, struct cq_segment_counts *ret_counts)
{
	cq_writer *w = writer;
	bool found;

	cq_mutex_lock(&w->lock);
	found = w->current->id == id;
	if (found)
		cq_wsegment_get_counts(w->current, false, ret_counts);
	cq_mutex_unlock(&w->lock);
	return found || cq_sealed_counts(w, id, ret_counts);
}

void cq_writer_bounds(void *writer, struct cq_queue_bounds *ret_bounds)
{
	cq_writer *w = writer;

	cq_mutex_lock(&w->lock);
	ret_bounds->active = w->current->id;
	ret_bounds->stream_end = w->stream_end;
	cq_mutex_unlock(&w->lock);
	ret_bounds->oldest = atomic_load(&w->oldest);
}
