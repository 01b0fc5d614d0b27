/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - the queue that is shipped; see source.h */
#include "ship/source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "shared/cli.h"

#define BATCH_BYTES (4U << 20)

static int find_committed(struct source *source)
{
	struct cq_reader_info info = CQ_SIZED(info);
	int r = cq_queue_reader(source->queue, SOURCE_READER, &info);

	/* hidden by damage: before the oldest record, as a commit may go back but must not go too far */
	if (r == 0)
		source->committed = info.have_seq ? info.seq : 0;
	return r;
}

int source_open(struct source *source, const char *dir, bool visible)
{
	struct cq_queue_info info = CQ_SIZED(info);
	uint32_t segment;
	int r;

	source->dir = dir;
	source->visible = visible;
	r = cq_queue_open(dir, &source->queue);
	if (r < 0)
		return cli_fail(dir, r);
	r = cq_reader_open(dir, SOURCE_READER, CQ_START_RESUME_OR_OLDEST, 0, &source->named);
	if (r < 0) {
		cli_fail_reader(dir, SOURCE_READER, r);
		goto close_queue;
	}
	r = cq_reader_open(dir, NULL, CQ_START_OLDEST, 0, &source->reader);
	if (r < 0) {
		cli_fail(dir, r);
		goto close_named;
	}
	r = cq_queue_info(source->queue, &info);
	if (r == 0)
		r = find_committed(source);
	if (r < 0) {
		cli_fail(dir, r);
		goto close_reader;
	}
	if (!info.have_identity || (!visible && !info.have_durable)) {
		cli_note("%s: no writer of this version has opened the queue yet", dir);
		goto close_reader;
	}
	r = source_check_numbers(source->queue, &segment);
	if (r == -EILSEQ) {
		cli_note(
			"%s: segment %09" PRIu32
			" has numbers that were given before: chronicle-rs wrote it, and a stream needs "
			"numbers that ascend (chronq import --renumber makes such a queue)",
			dir, segment);
		goto close_reader;
	}
	if (r < 0) {
		cli_fail(dir, r);
		goto close_reader;
	}
	memcpy(source->identity, info.identity, sizeof source->identity);
	source->segment_size = info.segment_size;
	return CLI_OK;

close_reader:
	cq_reader_close(source->reader);
close_named:
	cq_reader_close(source->named);
close_queue:
	cq_queue_close(source->queue);
	return CLI_IO;
}

void source_close(struct source *source)
{
	cq_reader_close(source->reader);
	cq_reader_close(source->named);
	cq_queue_close(source->queue);
}

uint32_t source_crc(const struct cq_record *record)
{
	const struct wire_record r = {
		.seq = record->seq,
		.time_ns = record->time_ns,
		.payload = record->payload,
		.length = record->length,
		.type = record->type,
	};

	return wire_crc(&r);
}

/* The next batch begins where the reader is. */
static void drop_batch(struct source *source)
{
	source->at = source->count = 0;
	source->hole_end = 0;
	source->damaged = false;
}

/* The oldest record's number, where the queue itself does not tell. */
static int find_first(struct source *source, uint64_t *ret_first)
{
	struct cq_record record = { .seq = 0 };
	int r = cq_reader_seek_oldest(source->reader);

	while (r == 0 && (r = cq_reader_next(source->reader, &record)) == -ENODATA)
		r = 0;
	if (r < 0)
		return r;
	*ret_first = r == 1 ? record.seq : source->limit;
	return 0;
}

static int find_record(struct source *source, uint64_t seq, struct resume_queue *queue)
{
	struct cq_record record = { .seq = 0 };
	int r = cq_reader_seek_seq(source->reader, seq);

	if (r == 0)
		r = cq_reader_next(source->reader, &record);
	if (r == 1 && record.seq == seq) {
		queue->have_record = true;
		queue->record = (struct wire_fingerprint){
			.epoch = record.have_stream ? record.epoch : 0,
			.crc = source_crc(&record),
			.time_ns = record.time_ns,
		};
		queue->record_length = record.length;
	}
	/* a record that is missing or damaged has no fingerprint */
	return r == 1 || r == -ENODATA || r == -EIO ? 0 : r;
}

int source_describe(struct source *source, bool have_last, uint64_t last,
                    struct resume_queue *ret_queue)
{
	struct cq_queue_info info = CQ_SIZED(info);
	struct resume_queue queue = { .committed = source->committed };
	int r = cq_queue_info(source->queue, &info);

	if (r < 0)
		return r;
	drop_batch(source);
	memcpy(queue.identity, source->identity, sizeof queue.identity);
	source->limit = source->visible ? UINT64_MAX : info.durable_seq;
	if (info.have_bounds) {
		queue.first_seq = info.first_seq;
		queue.next_seq = info.next_seq < source->limit ? info.next_seq : source->limit;
	} else {
		queue.next_seq = info.durable_seq;
		r = find_first(source, &queue.first_seq);
	}
	if (queue.first_seq >
	    queue.next_seq) /* retention has deleted what is not known to be durable */
		queue.next_seq = queue.first_seq;
	if (r == 0 && have_last)
		r = find_record(source, last, &queue);
	if (r == 0)
		*ret_queue = queue;
	return r;
}

/* Damage hides the place of record `*seq`: moves to one before it, whose number it is then, or 0. */
static int seek_before(cq_reader *reader, uint64_t *seq)
{
	uint64_t end = *seq, step = 1;
	int r;

	do {
		*seq = step < end ? end - step : 0;
		r = *seq > 0 ? cq_reader_seek_seq(reader, *seq) : cq_reader_seek_oldest(reader);
		step *= 2;
	} while (r == -EIO && *seq > 0);
	return r;
}

int source_seek(struct source *source, uint64_t seq)
{
	int r;

	drop_batch(source);
	source->next = seq;
	source->before.known = false;
	r = cq_reader_seek_seq(source->reader, seq);
	source->passing = r == -EIO; /* source_peek() passes what is between */
	if (r == -EIO)
		r = seek_before(source->reader, &seq);
	if (r < 0)
		return r;
	return source->next < source->committed ? source_commit(source, source->next) : 0;
}

/* After -EIO or -EBADMSG of the reader: where sound records follow.  -ENODATA: at hole_end; or the error: not known
 * yet, as the writer has not left that segment. */
static int pass_damage(struct source *source, int error)
{
	struct cq_record record;
	int r = 0;

	source->damaged = true;
	if (error == -EIO)
		r = cq_reader_skip_record(source->reader, &record);
	if (r == 1 && record.seq >= source->next) {
		source->hole_end = record.seq + 1;
		return -ENODATA;
	}
	if (r == 0)
		r = cq_reader_skip_segment(source->reader);
	return r == 1 ? 0 : r < 0 ? r : error;
}

/* 1: record `seq` is durable, or does not have to be; 0: not yet. */
static int await_durable(struct source *source, uint64_t seq, int timeout_ms)
{
	if (source->visible || seq < source->limit)
		return 1;
	return cq_queue_wait_durable(source->queue, seq + 1, timeout_ms, &source->limit);
}

/* Reads what follows.  1: there is a batch; 0: none now. */
static int read_batch(struct source *source)
{
	ssize_t n;
	int r;

	source->at = source->count = 0;
	source->at_end = false;
	r = await_durable(source, source->next, 0);
	if (r <= 0)
		return r;
	for (;;) {
		const uint64_t left = source->limit - source->next;

		n = cq_reader_next_batch(source->reader, source->batch,
		                         left < SOURCE_BATCH ? (size_t)left : SOURCE_BATCH,
		                         BATCH_BYTES);
		if (n >= 0)
			break;
		if (n == -ENODATA)
			continue; /* the record behind the hole tells how large it is */
		if (n != -EIO && n != -EBADMSG)
			return (int)n;
		r = pass_damage(source, (int)n);
		if (r < 0)
			return r;
	}
	source->count = (size_t)n;
	source->at_end = n == 0;
	return n > 0;
}

/* The record is of another opening of the queue than the one before it.  Between them the queue may have lost the end that
 * was taken, and have given its numbers again up to this one: then the one before is another one now. */
static int check_before(struct source *source)
{
	struct cq_record record = { .seq = 0 };
	cq_reader *reader;
	bool same;
	int r;

	r = cq_reader_open(source->dir, NULL, CQ_START_LATEST, CQ_READER_PASSIVE, &reader);
	if (r < 0)
		return r;
	r = cq_reader_seek_seq(reader, source->next - 1);
	if (r == 0)
		r = cq_reader_next(reader, &record);
	/* deleted or damaged meanwhile: nothing says that it was another one */
	same = r != 1 || record.seq != source->next - 1 ||
	       (record.epoch == source->before.epoch && record.time_ns == source->before.time_ns &&
	        record.length == source->before.length);
	cq_reader_close(reader);
	if (same)
		source->before.known = false;
	return same ? 0 : -EILSEQ;
}

int source_peek(struct source *source, const struct cq_record **ret_record)
{
	const struct cq_record *record;
	int r;

	if (source->hole_end != 0)
		return -ENODATA;
	do {
		if (source->at == source->count) {
			r = read_batch(source);
			if (r <= 0)
				return r;
		}
		record = &source->batch[source->at];
	} while (source->passing && record->seq < source->next && ++source->at > 0);
	source->passing = false;
	if (record->seq < source->next) {
		source->back_to = record->seq;
		return -EILSEQ;
	}
	/* behind a hole the batch has more than is durable */
	r = await_durable(source, record->seq, 0);
	if (r <= 0)
		return r;
	if (record->seq > source->next) {
		source->hole_end = record->seq;
		return -ENODATA;
	}
	if (source->before.known && record->epoch != source->before.epoch) {
		source->back_to = source->next - 1;
		r = check_before(source);
		if (r < 0)
			return r;
	}
	*ret_record = record;
	return 1;
}

void source_advance(struct source *source)
{
	const struct cq_record *record = &source->batch[source->at];

	source->before.known = record->have_stream;
	source->before.epoch = record->epoch;
	source->before.time_ns = record->time_ns;
	source->before.length = record->length;
	source->at++;
	source->next++;
}

void source_pass_hole(struct source *source)
{
	source->next = source->hole_end;
	source->before.known = false;
	source->hole_end = 0;
	source->damaged = false;
}

int source_wait(struct source *source, int timeout_ms)
{
	const uint64_t seq =
		source->at < source->count ? source->batch[source->at].seq : source->next;
	int r = await_durable(source, seq, timeout_ms);

	if (r > 0 && source->at == source->count)
		r = cq_reader_wait(source->reader, timeout_ms);
	return r < 0 && r != -EINTR ? r : 0;
}

int source_look(struct source *source, uint64_t *ret_next_seq, uint64_t *ret_stream_end)
{
	struct cq_queue_info info = CQ_SIZED(info);
	int r = cq_queue_info(source->queue, &info);

	if (r < 0 || !info.have_bounds)
		return r < 0 ? r : -ENODATA;
	if (!source->visible && info.durable_seq > source->limit)
		source->limit = info.durable_seq;
	*ret_next_seq = info.next_seq < source->limit ? info.next_seq : source->limit;
	*ret_stream_end = info.stream_end;
	return 0;
}

/* Damage hides the place of record `seq` from seeks: the named reader goes there record by record, or as far as there is no
 * damage.  *seq: the record that it is before. */
static int walk_named(struct source *source, uint64_t *seq)
{
	uint64_t at = source->committed;
	struct cq_record record;

	while (at < *seq && cq_reader_next(source->named, &record) == 1)
		at = record.seq + 1;
	if (at == source->committed)
		return -EIO;
	*seq = at;
	return 0;
}

int source_commit(struct source *source, uint64_t seq)
{
	int r = 0;

	if (seq != source->committed)
		r = cq_reader_seek_seq(source->named, seq);
	if (r == -EIO)
		r = seq > source->committed ? walk_named(source, &seq)
		                            : seek_before(source->named, &seq);
	if (r == 0)
		r = cq_reader_commit(source->named);
	if (r == 0)
		source->committed = seq;
	return r;
}
