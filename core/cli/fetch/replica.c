/* SPDX-License-Identifier: Apache-2.0 */
/* replica.c - the queue that fetch fills; see replica.h */
#include "fetch/replica.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "shared/cli.h"
#include "wire/fault.h"
#include "wire/resume.h"

static void log_message(void *arg, enum cq_level level, const char *message)
{
	(void)level;
	cli_note("%s: %s", (const char *)arg, message);
}

/* A queue that is no replica of the source that it should have. */
static int refuse(const struct replica *replica, bool is_replica)
{
	if (is_replica)
		cli_note("%s: the queue is a replica of another queue than the stream's",
		         replica->dir);
	else
		cli_note(
			"%s: the queue is no replica, or was promoted: fetch would mix its records "
			"with others (name a new directory)",
			replica->dir);
	return SHIP_PROMOTED;
}

int replica_look(struct replica *replica)
{
	struct cq_queue_info info = CQ_SIZED(info);
	cq_queue *queue;
	int r;

	replica->exists = false;
	r = cq_queue_open(replica->dir, &queue);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return cli_fail(replica->dir, r);
	r = cq_queue_info(queue, &info);
	cq_queue_close(queue);
	if (r < 0)
		return cli_fail(replica->dir, r);
	/* an empty directory, or what a killed open has left there: the next open begins again */
	if (info.segments == 0)
		return 0;
	if (!info.replica)
		return refuse(replica, false);
	replica->exists = true;
	memcpy(replica->source, info.source, sizeof replica->source);
	return 0;
}

static int fail_open(struct replica *replica, int error)
{
	switch (-error) {
	case ENOLINK:
		return replica_look(replica) == SHIP_PROMOTED ? SHIP_PROMOTED
		                                              : refuse(replica, true);
	case EINVAL:
		cli_note("%s: --segment-size must be that of the queue, or for a new queue a "
		         "multiple of %llu from %llu to %llu",
		         replica->dir, CQ_SEGMENT_SIZE_MIN, CQ_SEGMENT_SIZE_MIN,
		         CQ_SEGMENT_SIZE_MAX);
		return CLI_USAGE;
	case EBUSY:
		cli_note("%s: another writer has the queue", replica->dir);
		return CLI_IO;
	default:
		return cli_fail(replica->dir, error);
	}
}

int replica_open(struct replica *replica, const uint8_t source[CQ_IDENTITY_SIZE], uint64_t seq,
                 uint64_t stream)
{
	struct cq_stats stats = CQ_SIZED(stats);
	struct cq_config config = replica->config;
	int r;

	memcpy(config.replica_of, source, sizeof config.replica_of);
	config.log = log_message;
	config.log_arg = replica->dir;
	config.progress = cli_progress;
	config.progress_arg = replica->dir;
	if (replica->exists) {
		cli_await_release(replica->dir);
	} else if (seq > 0) {
		config.begin_seq = seq;
		config.begin_stream = stream;
	}
	r = cq_writer_open(replica->dir, &config, &replica->writer);
	if (r < 0)
		return fail_open(replica, r);
	r = cq_writer_stats(replica->writer, &stats);
	if (r < 0) { /* GCOV_EXCL_BR_LINE: only in a forked child */
		(void)replica_close(replica);
		return cli_fail(replica->dir, r);
	}
	memcpy(replica->source, source, sizeof replica->source);
	replica->exists = true;
	replica->next = stats.next_seq;
	replica->appended = replica->bytes = replica->gaps = 0;
	replica->have_last = false;
	return 0;
}

int replica_close(struct replica *replica)
{
	cq_writer *writer = replica->writer;
	int r;

	replica->writer = NULL;
	if (!writer)
		return 0;
	r = replica->appended + replica->gaps == 0 ? cq_writer_discard(writer)
	                                           : cq_writer_close(writer);
	return r < 0 ? cli_fail(replica->dir, r) : 0;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int replica_append(struct replica *replica, const struct wire_record *records, size_t count)
{
	struct cq_message messages[REPLICA_BATCH];
	uint64_t times[REPLICA_BATCH];
	size_t done = 0;

	for (size_t i = 0; i < count; i++) {
		messages[i] = (struct cq_message){ .payload = records[i].payload,
			                           .length = records[i].length,
			                           .type = records[i].type };
		times[i] = records[i].time_ns;
	}
	while (done < count) {
		struct cq_appended in = { .count = 0 };
		ssize_t n = cq_writer_append_batch_at(replica->writer, messages + done,
		                                      times + done, count - done, &in);

		for (size_t i = 0; i < in.count; i++)
			replica->bytes += messages[done + i].length;
		if (in.count > 0) {
			replica->have_last = false;
			replica->newest_ns = records[done + in.count - 1].time_ns;
			replica->appended_ns = now_ns();
		}
		done += in.count;
		replica->next += in.count;
		replica->appended += in.count;
		if (n < 0)
			return (int)n;
	}
	return 0;
}

/* Reads the last record, and remembers its fingerprint. */
static int read_last(struct replica *replica)
{
	struct wire_record record;
	struct cq_record last = { .seq = 0 };
	cq_reader *reader;
	int r;

	r = cq_reader_open(replica->dir, NULL, CQ_START_LATEST, CQ_READER_PASSIVE, &reader);
	if (r < 0)
		return r;
	r = cq_reader_seek_seq(reader, replica->next - 1);
	if (r == 0)
		r = cq_reader_next(reader, &last);
	if (r == 1 && last.seq == replica->next - 1) {
		record = (struct wire_record){ .seq = last.seq,
			                       .time_ns = last.time_ns,
			                       .payload = last.payload,
			                       .length = last.length,
			                       .type = last.type };
		replica->last = (struct wire_fingerprint){ .crc = wire_crc(&record),
			                                   .time_ns = last.time_ns };
		replica->have_last = true;
	}
	cq_reader_close(reader);
	return r;
}

bool replica_has_last(struct replica *replica, const struct wire_fingerprint *fingerprint)
{
	if (wire_planted("fetch_compares_nothing"))
		return true;
	if (!replica->have_last && replica->next > 0)
		(void)read_last(replica);
	return !replica->have_last || (replica->last.crc == fingerprint->crc &&
	                               replica->last.time_ns == fingerprint->time_ns);
}

int replica_skip(struct replica *replica, uint64_t next, uint64_t stream)
{
	uint64_t missing = next - replica->next;
	int r;

	r = cq_writer_skip(replica->writer, next, stream);
	if (r == -ERANGE &&
	    stream != 0) /* the replica's own positions are further: they continue */
		r = cq_writer_skip(replica->writer, next, 0);
	if (r < 0)
		return r;
	replica->gaps += missing;
	replica->next = next;
	replica->have_last = false;
	return 0;
}
