/* SPDX-License-Identifier: Apache-2.0 */
/* test_seek_live.c - seeks beside a writer find what is appended while they run */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "chronq.h"
#include "format/format.h"
#include "os/clock.h"
#include "os/mapping.h"
#include "queue_support.h"

#define BEFORE (2 * SUPPORT_PER_SEGMENT + 9) /* records when a seek begins */

/* The seek calls this at the end of a segment's records, if it has found none: then the writer appends. */
static struct {
	struct qs *q;
	uint32_t segment;
	unsigned next, count;
} coming;

bool __real_cq_mapping_shortened(const struct cq_mapping *mapping);
bool __wrap_cq_mapping_shortened(const struct cq_mapping *mapping);
bool __wrap_cq_mapping_shortened(const struct cq_mapping *mapping)
{
	const struct cq_segment_header *h = (const void *)mapping->base;
	const unsigned count = coming.count;

	if (count > 0 && h->id == coming.segment) {
		coming.count = 0;
		qs_append(coming.q->writer, coming.next, count);
		coming.next += count;
	}
	return __real_cq_mapping_shortened(mapping);
}

/* Each seeks the record that the writer appends next. */
static int by_seq(cq_reader *reader)
{
	return cq_reader_seek_seq(reader, qs_stats(coming.q->writer).next_seq);
}

static int by_time(cq_reader *reader)
{
	return cq_reader_seek_time(reader, cq_realtime_ns());
}

static int by_stream(cq_reader *reader)
{
	uint64_t skip = 1;
	int r = cq_reader_seek_stream(reader, qs_stats(coming.q->writer).stream_end, &skip);

	assert_int_equal(skip, 0);
	return r;
}

static int to_end(cq_reader *reader)
{
	return cq_reader_seek_end(reader);
}

static int (*const seeks[])(cq_reader *reader) = { by_seq, by_time, by_stream, to_end };

/* From here on the reader gets all that has come. */
static void gets(cq_reader *reader, unsigned first, unsigned last)
{
	struct cq_record record;
	char text[64];

	for (unsigned i = first; i <= last; i++) {
		(void)snprintf(text, sizeof text, "record %u", i);
		assert_int_equal(cq_reader_next(reader, &record), 1);
		assert_int_equal(record.length, strlen(text));
		assert_memory_equal(record.payload, text, record.length);
	}
	assert_int_equal(cq_reader_next(reader, &record), 0);
}

/* One record, or so many that the writer continues in other segments. */
static void seek_beside(struct qs *q, unsigned first)
{
	static const unsigned counts[] = { 1, 3 * SUPPORT_PER_SEGMENT };
	cq_reader *reader;

	coming.q = q;
	coming.next = first;
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), 0);
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		for (size_t k = 0; k < sizeof seeks / sizeof seeks[0]; k++) {
			const unsigned from = coming.next;

			coming.segment = qs_stats(q->writer).segment;
			coming.count = counts[i];
			assert_int_equal(seeks[k](reader), 0);
			assert_int_equal(coming.count, 0);
			gets(reader, from, coming.next - 1);
			/* there is room for more behind it, and a record in this segment */
			qs_append(q->writer, coming.next, 1);
			gets(reader, coming.next, coming.next);
			coming.next++;
		}
	}
	cq_reader_close(reader);
}

static void appended_while_it_seeks(void **state)
{
	struct qs *q = *state;

	qs_open(q);
	qs_append(q->writer, 0, BEFORE);
	seek_beside(q, BEFORE);
}

/* If headers do not tell the first number, the seek looks at all segments, the newest first. */
static void appended_behind_records_of_chronicle_rs(void **state)
{
	char golden[PATH_SIZE];
	struct qs *q = *state;

	support_golden(golden, "v2-small");
	support_copy(golden, q->dir);
	qs_open(q);
	qs_append(q->writer, 0, BEFORE);
	seek_beside(q, BEFORE);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(appended_while_it_seeks),
	QS_TEST(appended_behind_records_of_chronicle_rs),
};

QS_MAIN(tests)
