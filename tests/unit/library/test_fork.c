/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fork.c - handles of the library in a process that was forked after they were opened
 *
 * Every call on such a handle is refused and changes nothing, and the parent's handles work as before.  A handle
 * that the child opens itself works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chronq-fs.h"
#include "kernel.h"
#include "queue_support.h"
#include "write/writer.h"

#define RECORDS 40 /* more than a segment's, so that one is sealed */

struct handles {
	cq_writer *writer;
	cq_queue *queue;
	cq_segment *segment;
	cq_reader *reader;
	cq_stream *stream;
};

/* ---- every call ---- */

/* Arguments of the calls, and results that they must not touch. */
static char bytes[64] = "text";
static const struct iovec pieces[1] = { { bytes, 4 } };
static const struct cq_message messages[1] = { { bytes, 4, CQ_TYPE_DEFAULT } };
static struct cq_appended appended;
static struct cq_stats stats = CQ_SIZED(stats);
static struct cq_holder holder = CQ_SIZED(holder);
static struct cq_queue_info queue_info = CQ_SIZED(queue_info);
static struct cq_segment_info segment_info = CQ_SIZED(segment_info);
static struct cq_segment_times times;
static struct cq_segment_attr attr;
static struct cq_reader_stats reader_stats = CQ_SIZED(reader_stats);
static struct cq_reader_info reader_info = CQ_SIZED(reader_info);
static struct cq_reader_position reader_position;
static struct cq_record record;
static struct cq_span span;
static cq_segment *segment;
static cq_stream *stream;
static uint32_t *ids;
static size_t count;
static uint32_t oldest, newest;
static uint64_t first, second;
static struct cq_record_info of_record;

static void visit(void *arg, const struct cq_reader_position *position)
{
	(void)arg;
	(void)position;
	CHILD(false); /* no reader is visited */
}

static void visit_name(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	CHILD(false);
}

#define CALLS(CALL)                                                                  \
	CALL(cq_writer_append, (h->writer, 1, bytes, 4, &appended))                  \
	CALL(cq_writer_appendv, (h->writer, 1, pieces, 1, &appended))                \
	CALL(cq_writer_append_batch, (h->writer, messages, 1, &appended))            \
	CALL(cq_writer_append_at, (h->writer, 1, 5, bytes, 4, &appended))            \
	CALL(cq_writer_append_batch_at, (h->writer, messages, &first, 1, &appended)) \
	CALL(cq_writer_room, (h->writer, 4))                                         \
	CALL(cq_writer_roll, (h->writer))                                            \
	CALL(cq_writer_skip, (h->writer, 9, 0))                                      \
	CALL(cq_writer_sync, (h->writer))                                            \
	CALL(cq_writer_trim, (h->writer, UINT64_MAX, 1))                             \
	CALL(cq_writer_remove, (h->writer, 0))                                       \
	CALL(cq_writer_stats, (h->writer, &stats))                                   \
	CALL(cq_writer_close, (h->writer))                                           \
	CALL(cq_writer_discard, (h->writer))                                         \
	CALL(cq_queue_holder, (h->queue, &holder))                                   \
	CALL(cq_queue_await_release, (h->queue, UINT32_MAX, &holder))                \
	CALL(cq_queue_await_closing, (h->queue, UINT32_MAX, NULL, NULL, &holder))    \
	CALL(cq_queue_info, (h->queue, &queue_info))                                 \
	CALL(cq_queue_wait_durable, (h->queue, 1, -1, &first))                       \
	CALL(cq_queue_position, (h->queue, &queue_info))                             \
	CALL(cq_queue_check_version, (h->queue))                                     \
	CALL(cq_queue_ends, (h->queue, &oldest, &newest))                            \
	CALL(cq_queue_readers, (h->queue, visit, NULL))                              \
	CALL(cq_queue_reader, (h->queue, "name", &reader_info))                      \
	CALL(cq_queue_reader_names, (h->queue, visit_name, NULL))                    \
	CALL(cq_queue_reader_position, (h->queue, "name", &reader_position))         \
	CALL(cq_queue_list, (h->queue, &ids, &count))                                \
	CALL(cq_queue_segment_attr, (h->queue, 0, NULL, &attr))                      \
	CALL(cq_segment_open, (h->queue, 0, &segment))                               \
	CALL(cq_segment_info, (h->segment, CQ_SEGMENT_HEADER, &segment_info))        \
	CALL(cq_segment_times, (h->segment, &times))                                 \
	CALL(cq_segment_pread, (h->segment, bytes, sizeof bytes, 0))                 \
	CALL(cq_segment_fd, (h->segment))                                            \
	CALL(cq_stream_open, (h->queue, &stream))                                    \
	CALL(cq_stream_extent, (h->stream, &first, &second))                         \
	CALL(cq_stream_extent_now, (h->stream, &first, &second))                     \
	CALL(cq_stream_pread, (h->stream, bytes, sizeof bytes, 0))                   \
	CALL(cq_stream_next_data, (h->stream, 0, &first))                            \
	CALL(cq_stream_next_hole, (h->stream, 0, &first))                            \
	CALL(cq_stream_segment, (h->stream, 0, &span))                               \
	CALL(cq_stream_segment_pread, (h->stream, 0, bytes, sizeof bytes, 0))        \
	CALL(cq_stream_segment_records, (h->stream, 0, &first))                      \
	CALL(cq_stream_segment_read_records, (h->stream, 0, 0, &of_record, 1))       \
	CALL(cq_reader_next, (h->reader, &record))                                   \
	CALL(cq_reader_next_batch, (h->reader, &record, 1, 0))                       \
	CALL(cq_reader_skip_record, (h->reader, &record))                            \
	CALL(cq_reader_skip_segment, (h->reader))                                    \
	CALL(cq_reader_fd, (h->reader))                                              \
	CALL(cq_reader_wait, (h->reader, -1))                                        \
	CALL(cq_reader_seek_seq, (h->reader, 1))                                     \
	CALL(cq_reader_seek_time, (h->reader, 0))                                    \
	CALL(cq_reader_seek_stream, (h->reader, 0, &first))                          \
	CALL(cq_reader_seek_oldest, (h->reader))                                     \
	CALL(cq_reader_seek_end, (h->reader))                                        \
	CALL(cq_reader_commit, (h->reader))                                          \
	CALL(cq_reader_commit_seq, (h->reader, 0))                                   \
	CALL(cq_reader_stats, (h->reader, &reader_stats))

#define DEFINE(name, arguments)                             \
	static ssize_t call_##name(const struct handles *h) \
	{                                                   \
		return name arguments;                      \
	}
CALLS(DEFINE)

static const struct {
	const char *name;
	ssize_t (*call)(const struct handles *h);
} calls[] = {
#define ENTRY(name, arguments) { #name, call_##name },
	CALLS(ENTRY)
};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* These return no error; what_returns_no_error() calls them. */
static const char *const without_error[] = { "cq_writer_sync_async", "cq_writer_max_payload",
	                                     "cq_writer_queue",      "cq_queue_close",
	                                     "cq_segment_close",     "cq_stream_close",
	                                     "cq_reader_close" };
/* These take no handle. */
static const char *const without_handle[] = { "cq_writer_open", "cq_queue_open", "cq_reader_open",
	                                      "cq_reader_set", "cq_reader_delete" };

static int answered;

static void answer(struct cq_sync_request *request, int result)
{
	(void)request;
	answered = result;
}

static void what_returns_no_error(const struct handles *h)
{
	struct cq_sync_request request = { .done = answer };

	cq_writer_sync_async(h->writer, &request);
	CHILD(answered == -ECHILD); /* at once: no thread of the library is here to do it later */
	CHILD(cq_writer_max_payload(h->writer) == QS_SIZE - 128);
	CHILD(cq_queue_info(cq_writer_queue(h->writer), &queue_info) == -ECHILD);
	cq_segment_close(h->segment);
	cq_stream_close(h->stream);
	cq_reader_close(h->reader);
	cq_queue_close(h->queue);
	cq_queue_close(cq_writer_queue(h->writer));
}

static void all_are_refused(const struct handles *h)
{
	for (size_t i = 0; i < COUNT(calls); i++) {
		ssize_t r;

		appended = (struct cq_appended){ .count = 1, .seq = 1, .durable = true };
		r = calls[i].call(h);
		if (r != -ECHILD) {
			fprintf(stderr, "%s: %zd\n", calls[i].name, r);
			_exit(98);
		}
		if (strncmp(calls[i].name, "cq_writer_append", 16) == 0)
			CHILD(appended.count == 0 && appended.seq == 0 && !appended.durable);
	}
	what_returns_no_error(h);
}

static void child_ends_well(pid_t child)
{
	int how = 0;

	assert_int_equal(waitpid(child, &how, 0), child);
	assert_int_equal(how, 0);
}

/* ---- the parent's handles ---- */

static void open_handles(struct qs *q, bool threads, struct handles *h)
{
	struct cq_record taken;

	assert_int_equal(cq_writer_open_with(q->dir, &q->config, threads, &h->writer), 0);
	q->writer = h->writer;
	if (!threads)
		qs_prepare(h->writer);
	qs_append(h->writer, 0, RECORDS);
	assert_int_equal(cq_queue_open(q->dir, &h->queue), 0);
	assert_int_equal(cq_segment_open(h->queue, 0, &h->segment), 0);
	assert_int_equal(cq_stream_open(h->queue, &h->stream), 0);
	assert_int_equal(cq_reader_open(q->dir, "name", CQ_START_OLDEST, 0, &h->reader), 0);
	assert_int_equal(cq_reader_next(h->reader, &taken), 1);
	assert_int_equal(cq_reader_commit(h->reader), 0);
}

/* Each works as before; then all are closed. */
static void they_work(struct qs *q, const struct handles *h)
{
	struct cq_verify_result verified = CQ_SIZED(verified);
	struct cq_record taken;
	struct cq_holder now = CQ_SIZED(now);
	char text[sizeof "record 0"] = "";
	cq_writer *another;

	assert_int_equal(cq_queue_holder(h->queue, &now), 0);
	assert_true(now.locked && !now.closing);
	assert_int_equal(now.pid, getpid());
	assert_int_equal(cq_writer_open(q->dir, &q->config, &another), -EBUSY);
	assert_int_equal(cq_segment_info(h->segment, CQ_SEGMENT_HEADER, &segment_info), 0);
	assert_true(segment_info.sealed);
	assert_int_equal(cq_stream_pread(h->stream, text, 8, 0), 8);
	assert_string_equal(text, "record 0");
	assert_int_equal(cq_reader_next(h->reader, &taken), 1);
	assert_int_equal(taken.seq, 1);
	qs_append(h->writer, RECORDS, RECORDS);
	assert_int_equal(cq_writer_sync(h->writer), 0);
	while (taken.seq + 1 < 2 * RECORDS)
		assert_int_equal(cq_reader_next(h->reader, &taken), 1);
	assert_int_equal(cq_reader_commit(h->reader), 0);
	cq_segment_close(h->segment);
	cq_stream_close(h->stream);
	cq_reader_close(h->reader);
	cq_queue_close(h->queue);
	qs_close(q);
	qs_expect(q->dir, 0, 2 * RECORDS);
	assert_int_equal(cq_verify(q->dir, NULL, NULL, &verified), 0);
	assert_int_equal(verified.damage, 0);
}

/* ---- tests ---- */

/* The first open of a process maps a page.  This is the first test: the page stays for the others. */
static void a_kernel_that_refuses(void **state)
{
	struct qs *q = *state;
	cq_reader *reader;
	cq_queue *queue;

	kernel_refuse("mmap", ENOMEM, 0, 1);
	assert_int_equal(cq_queue_open(q->dir, &queue), -ENOMEM);
	kernel_refuse("mmap", ENOMEM, 0, 1);
	assert_int_equal(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader), -ENOMEM);
	kernel_refuse("mmap", ENOMEM, 0, 1);
	assert_int_equal(qs_try_open(q), -ENOMEM);
	assert_int_equal(qs_count_names(q->dir, ".lock"), 0);
	kernel_refuse(NULL, 0, 0, 0);
	assert_int_equal(cq_queue_open(q->dir, &queue), 0);
	cq_queue_close(queue);
}

static bool is_listed(const char *name, size_t length)
{
	for (size_t i = 0; i < COUNT(calls); i++)
		if (strlen(calls[i].name) == length && memcmp(calls[i].name, name, length) == 0)
			return true;
	for (size_t i = 0; i < COUNT(without_error); i++)
		if (strlen(without_error[i]) == length &&
		    memcmp(without_error[i], name, length) == 0)
			return true;
	for (size_t i = 0; i < COUNT(without_handle); i++)
		if (strlen(without_handle[i]) == length &&
		    memcmp(without_handle[i], name, length) == 0)
			return true;
	return false;
}

/* No call that chronq.h declares for a handle is missing above. */
static void every_call_is_here(void **state)
{
	static const char *const of[] = { "cq_writer_", "cq_queue_", "cq_segment_", "cq_reader_",
		                          "cq_stream_" };
	unsigned found = 0;
	size_t size;
	char *header = support_slurp(getenv("CHRONQ_H"), &size);

	(void)state;
	for (const char *at = header; (at = strstr(at, "\nCQ_API ")) != NULL;) {
		const char *end = at += strcspn(at, "(");

		while (isalnum((unsigned char)at[-1]) || at[-1] == '_')
			at--;
		for (size_t i = 0; i < COUNT(of); i++) {
			if (strncmp(at, of[i], strlen(of[i])) != 0)
				continue;
			found++;
			if (!is_listed(at, (size_t)(end - at)))
				fail_msg("%.*s is not tried", (int)(end - at), at);
		}
	}
	free(header);
	assert_true(found > 45);
}

static void a_child_may_call_nothing(void **state)
{
	struct qs *q = *state;

	for (int threads = 0; threads < 2; threads++) {
		struct qs_snapshot before;
		struct handles h;
		pid_t child;

		qs_anew(q);
		open_handles(q, threads, &h);
		if (!threads) /* those write a sign of life now and then */
			qs_snapshot(q->dir, &before);
		child = support_fork();
		if (child == 0) {
			all_are_refused(&h);
			_exit(0);
		}
		child_ends_well(child);
		if (!threads)
			qs_unchanged(q->dir, &before);
		they_work(q, &h);
	}
}

/* A child that was made by a bare system call, and a child of a child, which may use neither's handles. */
static void any_kind_of_child(void **state)
{
	struct qs *q = *state;
	struct handles h;
	pid_t child;

	open_handles(q, false, &h);
	child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (child == 0) {
		all_are_refused(&h);
		_exit(0);
	}
	child_ends_well(child);
	child = support_fork();
	if (child == 0) {
		struct handles own = h;
		pid_t grandchild;
		int how = 0;

		CHILD(cq_queue_open(q->dir, &own.queue) == 0);
		CHILD(cq_segment_open(own.queue, 0, &own.segment) == 0);
		CHILD(cq_stream_open(own.queue, &own.stream) == 0);
		CHILD(cq_reader_open(q->dir, "other", CQ_START_OLDEST, 0, &own.reader) == 0);
		all_are_refused(&h);
		grandchild = support_fork();
		if (grandchild == 0) {
			all_are_refused(&h);
			all_are_refused(&own);
			_exit(0);
		}
		CHILD(waitpid(grandchild, &how, 0) == grandchild && how == 0);
		CHILD(cq_reader_next(own.reader, &record) == 1 && record.seq == 0);
		_exit(0);
	}
	child_ends_well(child);
	they_work(q, &h);
}

/* A child opens its own handles: a writer of this queue is refused by the lock, one of another is not. */
static void a_child_opens_its_own(void **state)
{
	struct qs *q = *state;
	struct handles h;
	pid_t child;

	open_handles(q, false, &h);
	child = support_fork();
	if (child == 0) {
		char other[PATH_SIZE];
		cq_writer *writer;
		cq_reader *reader;

		CHILD(cq_writer_open_with(q->dir, &q->config, false, &writer) == -EBUSY);
		CHILD(cq_reader_open(q->dir, NULL, CQ_START_OLDEST, 0, &reader) == 0);
		for (unsigned i = 0; i < RECORDS; i++)
			CHILD(cq_reader_next(reader, &record) == 1 && record.seq == i);
		cq_reader_close(reader);
		support_path(other, q->base, "other");
		CHILD(cq_writer_open_with(other, &q->config, false, &writer) == 0);
		CHILD(cq_writer_append(writer, 1, bytes, 4, &appended) == 0);
		CHILD(cq_writer_sync(writer) == 0);
		CHILD(cq_reader_open(other, NULL, CQ_START_OLDEST, 0, &reader) == 0);
		CHILD(cq_reader_next(reader, &record) == 1);
		cq_reader_close(reader);
		CHILD(cq_writer_close(writer) == 0);
		_exit(0);
	}
	child_ends_well(child);
	they_work(q, &h);
}

/* A child keeps no lock, and can write the queue when the parent has closed it. */
static void a_child_takes_over(void **state)
{
	struct qs *q = *state;
	struct handles h;
	int go[2];
	pid_t child;
	char byte = 0;

	assert_int_equal(pipe(go), 0);
	open_handles(q, false, &h);
	child = support_fork();
	if (child == 0) {
		cq_writer *writer;

		CHILD(close(go[1]) == 0);
		CHILD(cq_writer_close(h.writer) == -ECHILD);
		CHILD(read(go[0], &byte, 1) == 0);
		CHILD(cq_writer_open_with(q->dir, &q->config, false, &writer) == 0);
		qs_append(writer, 2 * RECORDS, 1);
		CHILD(cq_writer_close(writer) == 0);
		_exit(0);
	}
	they_work(q, &h);
	assert_int_equal(close(go[0]), 0);
	assert_int_equal(close(go[1]), 0);
	child_ends_well(child);
	qs_expect(q->dir, 0, 2 * RECORDS + 1);
}

static const struct CMUnitTest tests[] = {
	QS_TEST(a_kernel_that_refuses),    cmocka_unit_test(every_call_is_here),
	QS_TEST(a_child_may_call_nothing), QS_TEST(any_kind_of_child),
	QS_TEST(a_child_opens_its_own),    QS_TEST(a_child_takes_over),
};

QS_MAIN(tests)
