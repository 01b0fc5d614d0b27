/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - appends by pwrite: a large record, or the records of a batch
 *
 * A store to a page that the process has not touched yet faults, and the kernel clears the page that is then
 * overwritten.  A pwrite fills whole pages without either.  So the bytes of a large record, and those of a
 * run (records of a batch, one behind the other), are put together in a buffer that stays in the cache, and
 * are written from there.  The checksums are of the buffer: nobody else can change it.  A caller that promises
 * not to change a payload either (chronq-fs.h) saves the copy of a large one.
 *
 * Crash contract: all bytes of a run or a large record are in the file, with 64 zero bytes behind them where
 * they fit, before the first commit word is stored, through the mapping.  In a run the later commit words
 * are among the bytes: the first one makes the whole run visible.  After a kill before that, the bytes lie
 * behind the tail, where recovery removes them.  Among them may be whole records of the run: readers,
 * recovery and verification stop at the zero commit word before them.  All records of a run have one time
 * and follow one another without a gap, by which verification knows them (check/verify_records.c).
 *
 * Invariants
 *   No bytes of a run stay behind the tail of a writer that goes on.  What pwrite refuses, or begins and does
 *   not end (RLIMIT_FSIZE, an error of the disk), is stored through the mapping, as small records are.  So
 *   an append never fails for it, and the bytes that a failed pwrite has left are overwritten.
 *   A pwrite could make a file grow again that somebody has cut short.  So it never reaches the segment's last
 *   64 bytes, and the file's size is asked for before the commit word is stored: a file that was cut
 *   short at any time before is still too short then.
 */
#include "write/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chronq-fs.h"
#include "format/put.h"
#include "format/record.h"
#include "os/fault.h"
#include "os/io.h"

/* Below these sizes stores are faster, if the pages are there and a second processor has made them.  A piece
 * leaves room in the second-level cache for what it is copied from. */
#define PIECE (256U << 10)
#define LEAST_RECORD (512U << 10)
#define LEAST_BATCH (128U << 10)
#define PAGE 4096U

int cq_run_init(struct cq_run *run)
{
	run->buffer = malloc(PIECE);
	run->piece = PIECE;
	run->least_record = LEAST_RECORD;
	run->least_batch = LEAST_BATCH;
	return run->buffer ? 0 : -ENOMEM;
}

void cq_writer_payloads_are_stable(cq_writer *w)
{
	cq_mutex_lock(&w->lock);
	w->run.stable = true;
	cq_mutex_unlock(&w->lock);
}

void cq_run_fini(struct cq_run *run)
{
	free(run->buffer);
}

/* How many of `length` bytes at `offset` are before `end`. */
static size_t before(uint64_t end, uint64_t offset, size_t length)
{
	if (offset >= end)
		return 0;
	return length < end - offset ? length : (size_t)(end - offset);
}

/* Stores these bytes, and zeros behind them. */
static void store(struct cq_wsegment *s, uint64_t offset, const uint8_t *bytes, size_t length,
                  size_t zeros)
{
	static const uint8_t zero[2 * CQ_ALIGN];
	const uint64_t end = s->map.size - (cq_planted("cut_file_grows") ? 0 : CQ_ALIGN);
	size_t written = before(end, offset, length);
	size_t cleared = before(end, offset + length, zeros);

	if (written > 0 && cq_io_pwrite_two(s->map.fd, bytes, written, zero, cleared, offset) < 0)
		written = cleared = 0;
	memcpy(s->map.base + offset + written, bytes + written, length - written);
	memset(s->map.base + offset + length + cleared, 0, zeros - cleared);
}

/* From `offset` to the end of the last record, `next`, and the commit word there. */
static size_t zeros_behind(const cq_writer *w, uint64_t offset, uint64_t next)
{
	return (size_t)(next - offset) + (cq_record_fits(w->segment_size, next) ? CQ_ALIGN : 0);
}

/* Everything but the commit word of the record at the tail is stored: makes the records visible. */
static int commit(cq_writer *w, uint32_t word)
{
	struct cq_wsegment *s = w->current;

	if (cq_mapping_shortened(&s->map))
		return cq_writer_cut_short(w);
	cq_commit_store(s->map.base + s->used, word);
	if (cq_mapping_cut(&s->map)) /* since: the commit word is in no file */
		return cq_writer_cut_short(w);
	return 0;
}

/* Committed: nothing can fail from here on. */
static void count_record(cq_writer *w, size_t length, uint64_t time_ns)
{
	const uint64_t at = w->current->used;

	cq_wsegment_count(w->current, at, w->next_seq, time_ns, length);
	w->next_seq++;
	cq_writer_landmark(w, at);
	w->stream_end += length;
	w->records++;
	w->bytes += length;
}

static void count_all(cq_writer *w, struct cq_stamp stamp)
{
	w->last_time = stamp.time_ns;
	cq_control_advance(&w->control, w->current->used, stamp.clock_ns);
	w->unannounced = true;
}

static uint8_t record_version(const cq_writer *w)
{
	return (uint8_t)(w->current->version == CQ_SEGMENT_VERSION_1 ? 0 : CQ_RECORD_VERSION);
}

/* ---- a large record ---- */

struct source {
	const struct iovec *iov;
	size_t done; /* of the first of them */
};

/* Copies the next bytes, and continues the checksum with the copy. */
static uint32_t take(struct source *from, uint8_t *to, size_t length, uint32_t crc)
{
	while (length > 0) {
		const uint8_t *base = (const uint8_t *)from->iov->iov_base + from->done;
		const size_t rest = from->iov->iov_len - from->done;
		const size_t n = length < rest ? length : rest;

		if (cq_planted("checksum_of_the_source"))
			memcpy(to, base, n);
		else
			crc = cq_crc32_copy(crc, to, base, n);
		to += n;
		length -= n;
		from->done += n;
		if (n == rest)
			*from = (struct source){ .iov = from->iov + 1 };
	}
	return crc;
}

/* The same of bytes that do not change, and are all in one place: without a copy. */
static uint32_t use(struct source *from, const uint8_t **ret_bytes, size_t length, uint32_t crc)
{
	*ret_bytes = (const uint8_t *)from->iov->iov_base + from->done;
	from->done += length;
	if (from->done == from->iov->iov_len)
		*from = (struct source){ .iov = from->iov + 1 };
	return cq_crc32(crc, *ret_bytes, length);
}

int cq_run_place(cq_writer *w, uint16_t type, const struct iovec *iov, size_t length,
                 struct cq_stamp stamp)
{
	struct cq_wsegment *s = w->current;
	const uint64_t at = s->used, next = at + cq_record_span(length);
	const uint32_t word = (uint32_t)length + 1;
	struct source from = { .iov = iov };
	uint64_t to = at + sizeof(struct cq_record_header);
	uint32_t crc = 0;
	int r;

	if (cq_planted("commit_before_payload"))
		cq_commit_store(s->map.base + at, word);
	for (size_t left = length, n; left > 0; to += n) {
		const uint8_t *bytes = w->run.buffer;

		n = w->run.piece - to % PAGE; /* so that the next piece begins with a page */
		if (n > left)
			n = left;
		if (w->run.stable && n <= from.iov->iov_len - from.done)
			crc = use(&from, &bytes, n, crc);
		else
			crc = take(&from, w->run.buffer, n, crc);
		left -= n;
		store(s, to, bytes, n, left > 0 ? 0 : zeros_behind(w, to + n, next));
		cq_point("large.piece");
	}
	if (cq_planted("checksum_of_the_source"))
		for (size_t i = 0, left = length; left > 0; left -= iov[i++].iov_len)
			crc = cq_crc32(crc, iov[i].iov_base, iov[i].iov_len);
	cq_put_header(s->map.base + at, word, record_version(w), w->next_seq, stamp.time_ns, type,
	              crc, w->stream_end, w->epoch);
	cq_point("large.before_commit");
	r = commit(w, word);
	if (r < 0)
		return r;
	cq_point("large.committed");
	count_record(w, length, stamp.time_ns);
	count_all(w, stamp);
	cq_point("large.advanced");
	return 0;
}

/* ---- the records of a batch ---- */

size_t cq_run_choose(const cq_writer *w, const struct cq_message *messages, size_t count,
                     bool *ret_run)
{
	const uint64_t room = w->segment_size - w->current->used;
	const uint64_t most = room < w->run.piece ? room : w->run.piece;
	uint64_t span = 0;
	size_t n = 0;

	/* a message that is refused is the next call's */
	while (n < count && messages[n].type <= CQ_TYPE_MAX && messages[n].length < most &&
	       cq_record_span(messages[n].length) <= most - span)
		span += cq_record_span(messages[n++].length);
	*ret_run = n > 1 && span >= w->run.least_batch && w->next_seq < CQ_COUNT_MAX - n &&
	           w->stream_end < CQ_COUNT_MAX - span;
	return n > 0 ? n : 1;
}

/* A record of the run, at this place of the buffer, its commit word too. */
static void put(const cq_writer *w, uint8_t *at, const struct cq_message *message, uint64_t seq,
                uint64_t stream, uint64_t time_ns, uint32_t word)
{
	/* first, and always as many bytes: behind the payload are at most so many */
	memset(at + cq_record_span(message->length) - CQ_ALIGN, 0, CQ_ALIGN);
	cq_put_record(at, record_version(w), seq, time_ns, message->type, stream, w->epoch,
	              message->payload, message->length);
	cq_commit_store(at, word);
}

int cq_run_append(cq_writer *w, const struct cq_message *messages, size_t count,
                  struct cq_stamp stamp)
{
	struct cq_wsegment *s = w->current;
	const uint64_t at = s->used;
	const uint32_t first = (uint32_t)messages[0].length + 1;
	uint64_t stream = w->stream_end;
	size_t length = 0;
	int r = atomic_load_explicit(&w->error, memory_order_relaxed);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		put(w, w->run.buffer + length, &messages[i], w->next_seq + i, stream, stamp.time_ns,
		    i == 0 ? 0 : (uint32_t)messages[i].length + 1);
		length += (size_t)cq_record_span(messages[i].length);
		stream += messages[i].length;
	}
	if (cq_planted("run_before_its_bytes"))
		cq_commit_store(s->map.base + at, first);
	cq_point("run.built");
	store(s, at, w->run.buffer, length, zeros_behind(w, at + length, at + length));
	cq_point("run.stored");
	r = commit(w, first);
	if (r < 0)
		return r;
	cq_point("run.committed");
	for (size_t i = 0; i < count; i++)
		count_record(w, messages[i].length, stamp.time_ns);
	count_all(w, stamp);
	cq_point("run.advanced");
	return 0;
}
