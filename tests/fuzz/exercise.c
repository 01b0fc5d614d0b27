/* SPDX-License-Identifier: Apache-2.0 */
/* exercise.c - all that a program can do with a queue, on a hostile one; see fuzz.h */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chronq-fs.h"
#include "fuzz.h"
#include "write/writer.h"

#define APPENDED 3U

static struct gathered before, after;
static struct gathered_stream stream;
static struct gathered_findings found, found_after;

/* ---- reading ---- */

/* In a sound queue each way of reading gives all of it. */
static void check_sound(void)
{
	HELD_CHECK(before.error == 0 && before.complaints == 0);
	HELD_CHECK(before.count == found.result.records);
	HELD_CHECK(before.used == found.result.payload_bytes);
	HELD_CHECK(stream.error == 0 && stream.complaints == 0);
	HELD_CHECK(stream.end - stream.begin == before.used);
	HELD_CHECK(before.used == 0 || memcmp(stream.bytes, before.bytes, before.used) == 0);
}

static void seek(cq_reader *reader, const struct gathered_record *record, bool sound)
{
	struct cq_record got;
	uint64_t skip;

	if (cq_reader_seek_seq(reader, record->seq) == 0 && cq_reader_next(reader, &got) == 1 &&
	    sound)
		HELD_CHECK(got.seq >= record->seq);
	if (cq_reader_seek_time(reader, record->time_ns) == 0)
		(void)cq_reader_next(reader, &got);
	if (cq_reader_seek_stream(reader, stream.begin + record->at, &skip) == 0 &&
	    cq_reader_next(reader, &got) == 1 && sound && record->length > 0)
		HELD_CHECK(got.segment == record->segment && got.offset == record->offset);
}

static void seek_about(const char *dir, bool sound)
{
	const size_t step = before.count / 4 + 1;
	cq_reader *reader;

	if (cq_reader_open(dir, "some", CQ_START_RESUME_OR_OLDEST, 0, &reader) == 0) {
		struct cq_record record;

		for (unsigned i = 0; i < 8; i++)
			if (cq_reader_next(reader, &record) <= 0)
				(void)cq_reader_skip_segment(reader);
		(void)cq_reader_wait(reader, 0);
		cq_reader_close(reader);
	}
	if (cq_reader_open(dir, NULL, CQ_START_LATEST, CQ_READER_PASSIVE, &reader) < 0)
		return;
	for (size_t i = 0; i < before.count; i += step)
		seek(reader, &before.records[i], sound);
	(void)cq_reader_seek_seq(reader, UINT64_MAX);
	(void)cq_reader_seek_time(reader, 0);
	cq_reader_close(reader);
}

static void visit_reader(void *arg, const struct cq_reader_position *position)
{
	(void)arg;
	HELD_CHECK(strlen(position->name) <= CQ_READER_NAME_MAX);
}

static void ask_segment(cq_queue *queue, cq_stream *whole, uint32_t id)
{
	struct cq_segment_info info = CQ_SIZED(info);
	struct cq_segment_attr attr;
	cq_segment *segment;
	struct cq_span span;
	char bytes[64];

	(void)cq_queue_segment_attr(queue, id, NULL, &attr);
	(void)cq_stream_segment(whole, id, &span);
	(void)cq_stream_segment_pread(whole, id, bytes, sizeof bytes, 0);
	if (cq_segment_open(queue, id, &segment) < 0)
		return;
	(void)cq_segment_info(segment, CQ_SEGMENT_HEADER, &info);
	(void)cq_segment_info(segment, CQ_SEGMENT_CONTENT, &info);
	(void)cq_segment_info(segment, CQ_SEGMENT_RECORDS, &info);
	cq_segment_close(segment);
}

static void ask(const char *dir)
{
	struct cq_queue_info info = CQ_SIZED(info);
	uint32_t *ids, first, last;
	cq_stream *whole;
	cq_queue *queue;
	uint64_t hole;
	size_t count;

	if (cq_queue_open(dir, &queue) < 0)
		return;
	(void)cq_queue_info(queue, &info);
	(void)cq_queue_check_version(queue);
	(void)cq_queue_ends(queue, &first, &last);
	(void)cq_queue_readers(queue, visit_reader, NULL);
	if (cq_stream_open(queue, &whole) == 0) {
		(void)cq_stream_next_hole(whole, stream.begin, &hole);
		if (cq_queue_list(queue, &ids, &count) == 0) {
			for (size_t i = 0; i < count; i++)
				ask_segment(queue, whole, ids[i]);
			free(ids);
		}
		cq_stream_close(whole);
	}
	cq_queue_close(queue);
}

/* ---- writing ---- */

static bool refusal_known(int r)
{
	/* EFBIG: this program's limit for the size of a file */
	return r == -EBADMSG || r == -EPROTONOSUPPORT || r == -EINVAL || r == -ENOTEMPTY ||
	       r == -EOVERFLOW || r == -EFBIG;
}

/* Returns how many records were appended; *ret_first is the first one's sequence number. */
static unsigned append(cq_writer *writer, uint64_t *ret_first)
{
	const size_t most = cq_writer_max_payload(writer);
	struct cq_appended appended;
	unsigned n;
	int r;

	for (n = 0; n < APPENDED; n++) {
		const size_t length = n == 0 ? 0 : n == 1 ? most : 10 < most ? 10 : most;
		uint8_t *bytes = calloc(1, length + 1);

		HELD_CHECK(bytes != NULL);
		memset(bytes, 'a' + (int)n, length);
		r = cq_writer_append(writer, CQ_TYPE_DEFAULT, bytes, length, &appended);
		free(bytes);
		if (r < 0) {
			HELD_CHECK(refusal_known(r));
			return n;
		}
		if (n == 0)
			*ret_first = appended.seq;
		HELD_CHECK(appended.seq == *ret_first + n);
	}
	return n;
}

/* Prints the failed check, which libFuzzer's report lacks. */
static void tell(const char *when, const struct gathered *g, const struct gathered_findings *f)
{
	(void)fprintf(stderr, "%s: %zu records, %u complaints; %s", when, g->count, g->complaints,
	              f->text);
	for (size_t i = 0; i < g->count; i++)
		(void)fprintf(stderr, " %u+%llu:%llu", g->records[i].segment,
		              (unsigned long long)g->records[i].offset,
		              (unsigned long long)g->records[i].seq);
	(void)fprintf(stderr, "\n");
}

static bool appended_last(unsigned count, uint64_t first)
{
	if (after.error < 0 || after.count < count)
		return false;
	for (unsigned n = 0; n < count; n++) {
		const struct gathered_record *record = &after.records[after.count - count + n];

		if (record->seq != first + n)
			return false;
		for (size_t i = 0; i < record->length; i++)
			if (after.bytes[record->at + i] != 'a' + n)
				return false;
	}
	return true;
}

/* The appended records are the last ones. */
static void check_appended(unsigned count, uint64_t first)
{
	const bool sound = appended_last(count, first);

	if (!sound) {
		tell("before", &before, &found);
		tell("after", &after, &found_after);
	}
	HELD_CHECK(sound);
}

static void write_some(const char *dir, unsigned flags)
{
	struct cq_config config;
	uint64_t first = 0;
	cq_writer *writer;
	unsigned count;
	int r;

	cq_config_init(&config);
	config.prealloc_wait_ms = 0;
	config.accept_loss = (flags & FUZZ_ACCEPT_LOSS) != 0;
	r = cq_writer_open_with(dir, &config, false, &writer);
	if (r < 0) {
		HELD_CHECK(refusal_known(r));
		return;
	}
	count = append(writer, &first);
	while (cq_writer_prepare_step(writer) == 0)
		;
	HELD_CHECK(cq_writer_close(writer) == 0);
	gather_records(dir, &after);
	gather_findings(dir, &found_after);
	check_appended(count, first);
	HELD_CHECK(found_after.error == 0 || found.error < 0);
	HELD_CHECK(found_after.result.damage == 0 || found.result.damage > 0 || found.error < 0);
}

void fuzz_exercise(const struct held *held, unsigned flags)
{
	const char *dir = fuzz_dir();
	bool sound;

	held_put(held, dir);
	gather_records(dir, &before);
	gather_stream(dir, &stream);
	gather_findings(dir, &found);
	sound = found.error == 0 && found.result.damage == 0 && found.result.information == 0;
	if (sound)
		check_sound();
	seek_about(dir, sound);
	ask(dir);
	write_some(dir, flags);
}
