/* SPDX-License-Identifier: Apache-2.0 */
/* gather.c - what a reader, the stream and verification say; see gather.h */
#include "gather.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/queue.h"
#include "check/check.h"
#include "held.h"

#define MOST_STEPS (4 * GATHER_RECORDS)

static void add_record(struct gathered *g, const struct cq_record *record)
{
	HELD_CHECK(g->count < GATHER_RECORDS);
	HELD_CHECK(record->length <= sizeof g->bytes - g->used);
	g->records[g->count++] = (struct gathered_record){
		.seq = record->seq,
		.time_ns = record->time_ns,
		.type = record->type,
		.segment = record->segment,
		.offset = record->offset,
		.at = g->used,
		.length = record->length,
	};
	if (record->length > 0)
		memcpy(g->bytes + g->used, record->payload, record->length);
	g->used += record->length;
}

void gather_records(const char *dir, struct gathered *g)
{
	struct cq_record record;
	cq_reader *reader;
	unsigned steps = 0;
	int r;

	g->count = 0;
	g->used = 0;
	g->complaints = 0;
	g->error = cq_reader_open(dir, NULL, CQ_START_OLDEST, CQ_READER_PASSIVE, &reader);
	if (g->error < 0)
		return;
	do {
		HELD_CHECK(steps++ < MOST_STEPS);
		r = cq_reader_next(reader, &record);
		if (r > 0) {
			add_record(g, &record);
		} else if (r < 0) {
			g->complaints++;
			if (r != -ENODATA)
				r = cq_reader_skip_segment(reader);
		}
	} while (r > 0 || r == -ENODATA);
	cq_reader_close(reader);
}

/* All bytes from *at to the next that cannot be read. */
static ssize_t read_on(cq_stream *stream, struct gathered_stream *s, uint64_t *at, uint64_t end)
{
	const size_t from = (size_t)(*at - s->begin);
	ssize_t n = cq_stream_pread(stream, s->bytes + from, (size_t)(end - *at), *at);

	if (n > 0) {
		memset(s->there + from, true, (size_t)n);
		*at += (uint64_t)n;
	}
	return n;
}

/* Each record of each segment by its number: whatever the files hold, none that was counted is missing without
 * an error, and where one ends the next begins. */
static void look_at_records(cq_queue *queue, cq_stream *stream)
{
	struct cq_record_info info[16];
	uint32_t *ids;
	size_t count;

	if (cq_queue_list(queue, &ids, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		uint64_t records, number = 0, at = 0;
		ssize_t n = 0;

		if (cq_stream_segment_records(stream, ids[i], &records) < 0)
			continue;
		do {
			n = cq_stream_segment_read_records(stream, ids[i], number, info, 16);
			for (ssize_t k = 0; k < n; k++) {
				HELD_CHECK(number + (uint64_t)k == 0 ||
				           info[k].stream_offset == at);
				at = info[k].stream_offset + info[k].length;
			}
			if (n > 0)
				number += (uint64_t)n;
			HELD_CHECK(number <= GATHER_BYTES);
		} while (n > 0);
		HELD_CHECK(n < 0 || number >= records);
	}
	free(ids);
}

void gather_stream(const char *dir, struct gathered_stream *s)
{
	uint64_t at, end, next, step = 1;
	unsigned steps = 0;
	cq_stream *stream;
	cq_queue *queue;
	ssize_t n;

	s->begin = s->end = 0;
	s->complaints = 0;
	s->error = cq_queue_open(dir, &queue);
	if (s->error < 0)
		return;
	s->error = cq_stream_open(queue, &stream);
	if (s->error < 0)
		goto close_queue;
	s->error = cq_stream_extent(stream, &s->begin, &s->end);
	if (s->error < 0)
		goto close_stream;
	HELD_CHECK(s->begin <= s->end);
	end = s->end - s->begin < sizeof s->bytes ? s->end : s->begin + sizeof s->bytes;
	memset(s->there, false, (size_t)(end - s->begin));
	for (at = s->begin; at < end;) {
		HELD_CHECK(steps++ < MOST_STEPS);
		n = read_on(stream, s, &at, end);
		if (n > 0) {
			step = 1;
			continue;
		}
		s->complaints++;
		if (n == 0)
			break; /* it has become shorter */
		/* a damaged record is there, and none of its bytes can be read */
		if (cq_stream_next_data(stream, at + step, &next) < 0)
			break;
		HELD_CHECK(next > at);
		at = next;
		step *= 2;
	}
	look_at_records(queue, stream);
close_stream:
	cq_stream_close(stream);
close_queue:
	cq_queue_close(queue);
}

static void add_finding(void *arg, const struct cq_finding *finding)
{
	struct gathered_findings *f = arg;
	int n;

	if (!finding->damage)
		return;
	if (finding->segment < f->lowest)
		f->lowest = finding->segment;
	n = snprintf(f->text + f->used, sizeof f->text - f->used,
	             "segment %" PRIu32 " at %" PRIu64 ": %s\n", finding->segment, finding->offset,
	             finding->text);
	if (n > 0 && (size_t)n < sizeof f->text - f->used)
		f->used += (size_t)n;
}

void gather_findings(const char *dir, struct gathered_findings *f)
{
	cq_queue *queue;

	f->used = 0;
	f->text[0] = '\0';
	f->lowest = UINT32_MAX;
	f->result = (struct cq_verify_result){ 0 };
	f->error = cq_queue_open(dir, &queue);
	if (f->error < 0)
		return;
	f->error = cq_verify_queue(queue, true, add_finding, f, &f->result);
	cq_queue_close(queue);
}
