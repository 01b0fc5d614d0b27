/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mkqueue.c - a queue of many sealed segments, made fast
 *
 *   mkqueue DIR SEGMENTS [SEGMENT_SIZE]
 *
 * Each segment holds one record, "record N\n", and is sparse but for that; headers, summaries and
 * indexes are what a writer leaves, and so are sequence numbers, stream offsets and the times of the
 * files.  The files are written directly; then a writer opens the queue and closes it, which does the
 * rest and shows that it can be opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chronq.h"
#include "files/dir.h"
#include "format/format.h"
#include "format/record.h"
#include "meta/control.h"
#include "meta/watermark.h"

#define FIRST_TIME_NS \
	1700000000000000000U /* of the first record; the others follow by the second */

struct numbers {
	uint32_t id;
	uint64_t seq;
	uint64_t time_ns;
	uint64_t stream_offset;
};

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* All of a file, with the times that its last record gives it. */
static void write_file(int dirfd, const char *name, const void *bytes, size_t length, uint64_t size,
                       uint64_t time_ns)
{
	const struct timespec when = { .tv_sec = (time_t)(time_ns / 1000000000U),
		                       .tv_nsec = (long)(time_ns % 1000000000U) };
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	if (fd < 0 || write(fd, bytes, length) != (ssize_t)length ||
	    ftruncate(fd, (off_t)size) < 0 || futimens(fd, (struct timespec[]){ when, when }) < 0 ||
	    close(fd) < 0)
		fail(name);
}

static void write_index(int dirfd, const struct numbers *n, uint64_t size)
{
	const struct {
		struct cq_index_header header;
		struct cq_index_entry first;
	} index = {
		.header = {
			.magic = CQ_INDEX_MAGIC,
			.version = CQ_INDEX_VERSION,
			.header_length = sizeof index.header,
			.segment = n->id,
			.segment_size = size,
			.data_offset = sizeof(struct cq_segment_header),
			.stride = CQ_INDEX_STRIDE,
			.min_seq = n->seq,
			.max_seq = n->seq,
			.min_time_ns = n->time_ns,
			.max_time_ns = n->time_ns,
			.entries = 1,
		},
		.first = {
			.seq = n->seq,
			.time_ns = n->time_ns,
			.offset = sizeof(struct cq_segment_header),
		},
	};
	char name[CQ_NAME_MAX];

	cq_index_name(name, n->id);
	write_file(dirfd, name, &index, sizeof index, sizeof index, n->time_ns);
}

/* One sealed segment with one record; returns the bytes of its payload. */
static uint64_t write_segment(int dirfd, const struct numbers *n, uint64_t size)
{
	struct {
		struct cq_segment_header header;
		struct cq_record_header record;
		char payload[CQ_ALIGN];
	} start;
	char name[CQ_NAME_MAX];
	uint64_t length;

	memset(&start, 0, sizeof start);
	length = (uint64_t)snprintf(start.payload, sizeof start.payload, "record %" PRIu64 "\n",
	                            n->seq);
	start.record.commit = (uint32_t)length + 1;
	start.record.version = CQ_RECORD_VERSION;
	start.record.seq = n->seq;
	start.record.time_ns = n->time_ns;
	start.record.type = CQ_TYPE_DEFAULT;
	start.record.payload_crc = cq_crc32(0, start.payload, length);
	start.record.ext = 1;
	start.record.stream_offset = n->stream_offset;
	start.record.epoch = 1;
	start.record.header_crc = cq_record_header_crc(&start.record, start.record.commit);

	start.header.magic = CQ_SEGMENT_MAGIC;
	start.header.version = CQ_SEGMENT_VERSION;
	start.header.id = n->id;
	start.header.flags = CQ_SEALED;
	start.header.ext = 1;
	start.header.stream_base = n->stream_offset;
	start.header.first_seq = n->seq;
	start.header.records = 1;
	start.header.used = sizeof start;
	start.header.payload_bytes = length;
	start.header.ext_crc = cq_segment_ext_crc(&start.header);

	cq_segment_name(name, n->id);
	write_file(dirfd, name, &start, sizeof start, size, n->time_ns);
	return length;
}

/* What a writer would have found out about the end of the queue. */
static void write_ends(int dirfd, const struct numbers *end, uint64_t size)
{
	const struct cq_position position = { end->id, sizeof(struct cq_segment_header) };
	struct cq_control control;
	struct cq_watermark durable;

	if (cq_control_establish(&control, dirfd, size, 1, position) < 0)
		fail("control.meta");
	cq_control_close(&control);
	if (cq_watermark_open(&durable, dirfd) < 0 ||
	    cq_watermark_store(&durable, (struct cq_watermark_slot){ .segment = end->id,
	                                                             .offset = position.offset,
	                                                             .seq = end->seq,
	                                                             .epoch = 1 }) < 0)
		fail("durable.meta");
	cq_watermark_close(&durable);
}

static uint64_t number(const char *text, uint64_t most)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value > most) {
		fprintf(stderr, "mkqueue: not a possible number: %s\n", text);
		exit(1);
	}
	return value;
}

int main(int argc, char **argv)
{
	struct numbers n = { .time_ns = FIRST_TIME_NS };
	uint64_t size = CQ_SEGMENT_SIZE_MIN, count;
	cq_writer *writer;
	int dirfd, r;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: mkqueue DIR SEGMENTS [SEGMENT_SIZE]\n");
		return 1;
	}
	count = number(argv[2], CQ_SEGMENT_ID_MAX - 1);
	if (argc == 4)
		size = number(argv[3], CQ_SEGMENT_SIZE_MAX);
	if (mkdir(argv[1], 0750) < 0)
		fail(argv[1]);
	dirfd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		fail(argv[1]);
	while (n.seq < count) {
		n.stream_offset += write_segment(dirfd, &n, size);
		write_index(dirfd, &n, size);
		n.id++;
		n.seq++;
		n.time_ns += 1000000000U;
	}
	write_ends(dirfd, &n, size);
	close(dirfd);
	r = cq_writer_open(argv[1], NULL, &writer);
	if (r == 0)
		r = cq_writer_close(writer);
	if (r < 0) {
		fprintf(stderr, "mkqueue: %s: %s\n", argv[1], strerror(-r));
		return 1;
	}
	return 0;
}
