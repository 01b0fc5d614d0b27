/* SPDX-License-Identifier: Apache-2.0 */
/* sink_support.c - append and append.lines without a mount; see sink_support.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/dispatch.h"
#include "sink_support.h"

struct chronfs fs;
struct request requests[8];
struct queue queue;

/* ---- replacements ---- */

void *__wrap_fuse_req_userdata(fuse_req_t req);
const struct fuse_ctx *__wrap_fuse_req_ctx(fuse_req_t req);
int __wrap_fuse_reply_err(fuse_req_t req, int error);
int __wrap_fuse_reply_write(fuse_req_t req, size_t count);
int __wrap_fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi);
int __wrap_fuse_reply_poll(fuse_req_t req, unsigned events);
void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data);
int __wrap_fuse_req_interrupted(fuse_req_t req);
int __wrap_cq_writer_append(cq_writer *writer, uint16_t type, const void *payload, size_t length,
                            struct cq_appended *ret_appended);
ssize_t __wrap_cq_writer_append_batch(cq_writer *writer, const struct cq_message *messages,
                                      size_t count, struct cq_appended *ret_appended);
int __wrap_cq_writer_room(cq_writer *writer, size_t length);
void __wrap_cq_writer_sync_async(cq_writer *writer, struct cq_sync_request *sync);
struct chronfs_sync_wait *__wrap_chronfs_sync_wait_new(fuse_req_t req);
struct chronfs_sync_wait *__real_chronfs_sync_wait_new(fuse_req_t req);
void __wrap_chronfs_log(struct chronfs *of, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static struct request *of(fuse_req_t req)
{
	return (struct request *)(void *)req;
}

void *__wrap_fuse_req_userdata(fuse_req_t req)
{
	(void)req;
	return &fs;
}

const struct fuse_ctx *__wrap_fuse_req_ctx(fuse_req_t req)
{
	return &of(req)->from;
}

int __wrap_fuse_reply_err(fuse_req_t req, int error)
{
	of(req)->replies++;
	of(req)->result = error;
	return 0;
}

int __wrap_fuse_reply_write(fuse_req_t req, size_t count)
{
	of(req)->replies++;
	of(req)->result = 0;
	of(req)->written = count;
	return 0;
}

int __wrap_fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	assert_true(fi->direct_io && !fi->keep_cache);
	of(req)->replies++;
	return of(req)->interrupted ? -ENOENT : 0;
}

int __wrap_fuse_reply_poll(fuse_req_t req, unsigned events)
{
	of(req)->replies++;
	of(req)->result = 0;
	of(req)->written = events;
	return 0;
}

void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	of(req)->func = func;
	of(req)->data = data;
	if (of(req)->interrupted && func)
		func(req, data);
}

int __wrap_fuse_req_interrupted(fuse_req_t req)
{
	return of(req)->interrupted;
}

ssize_t __wrap_cq_writer_append_batch(cq_writer *writer, const struct cq_message *messages,
                                      size_t count, struct cq_appended *ret_appended)
{
	size_t done = 0;

	const int late = queue.interrupt;

	assert_ptr_equal(writer, fs.writer);
	queue.interrupt = NONE;
	if (late != NONE)
		interrupt(late);
	ret_appended->seq = queue.count;
	for (; done < count && queue.room > 0; done++) {
		assert_int_equal(messages[done].type, CQ_TYPE_DEFAULT);
		assert_in_range(messages[done].length, 1, LIMIT);
		assert_true(queue.count < MOST_RECORDS);
		memcpy(queue.records[queue.count], messages[done].payload, messages[done].length);
		queue.records[queue.count][messages[done].length] = '\0';
		queue.count++;
		queue.room--;
	}
	ret_appended->count = done;
	ret_appended->durable = false;
	return done > 0 ? (ssize_t)done : queue.error;
}

int __wrap_cq_writer_append(cq_writer *writer, uint16_t type, const void *payload, size_t length,
                            struct cq_appended *ret_appended)
{
	const struct cq_message message = { .payload = payload, .length = length, .type = type };
	ssize_t n;

	n = __wrap_cq_writer_append_batch(writer, &message, 1, ret_appended);
	return n < 0 ? (int)n : 0;
}

int __wrap_cq_writer_room(cq_writer *writer, size_t length)
{
	assert_ptr_equal(writer, fs.writer);
	assert_int_equal(length, LIMIT);
	return queue.room > 0 ? 0 : queue.error;
}

void __wrap_cq_writer_sync_async(cq_writer *writer, struct cq_sync_request *sync)
{
	assert_ptr_equal(writer, fs.writer);
	assert_null(queue.sync);
	queue.sync = sync;
}

struct chronfs_sync_wait *__wrap_chronfs_sync_wait_new(fuse_req_t req)
{
	return queue.no_memory ? NULL : __real_chronfs_sync_wait_new(req);
}

void __wrap_chronfs_log(struct chronfs *fs_, enum cq_level level, const char *format, ...)
{
	va_list args;

	(void)fs_;
	assert_int_equal(level, CQ_ERROR);
	va_start(args, format);
	(void)vsnprintf(queue.said, sizeof queue.said, format, args);
	va_end(args);
}

/* ---- the other side ---- */

void sink_mount(void)
{
	chronfs_init(&fs);
	fs.writer = (cq_writer *)(void *)&fs;
	fs.write_limit = LIMIT;
	fs.lines.memory.most = MEMORY;
	fs.user_limits.open_files.most = 1000;
}

int sink_setup(void **state)
{
	(void)state;
	memset(&queue, 0, sizeof queue);
	queue.room = MOST_RECORDS;
	queue.error = -EDQUOT;
	queue.interrupt = NONE;
	for (size_t i = 0; i < 8; i++)
		requests[i] = (struct request){ .result = NONE };
	sink_mount();
	return 0;
}

int sink_teardown(void **state)
{
	(void)state;
	chronfs_fini(&fs);
	return fs.lines.memory.used != 0 || fs.lines.open != 0 || fs.lines.bytes != 0;
}

struct fuse_file_info opened(uint64_t node)
{
	struct fuse_file_info fi = { .flags = O_WRONLY };
	struct request request = { .result = NONE };

	chronfs_ops.open((fuse_req_t)(void *)&request, node, &fi);
	assert_int_equal(request.replies, 1);
	return fi;
}

void released(uint64_t node, struct fuse_file_info *fi)
{
	struct request request = { .result = NONE };

	chronfs_ops.release((fuse_req_t)(void *)&request, node, fi);
	assert_int_equal(request.replies, 1);
	assert_int_equal(request.result, 0);
}

long reply_to(int i)
{
	const struct request *r = &requests[i];

	if (r->result == NONE) {
		assert_int_equal(r->replies, 0);
		return NONE;
	}
	assert_int_equal(r->replies, 1);
	return r->result > 0 ? ERROR(r->result) : (long)r->written;
}

long write_flags(int i, uint64_t node, const struct fuse_file_info *fi, const char *text,
                 uint64_t owner, int flags)
{
	struct fuse_file_info its = *fi;
	char *copy = strdup(text);

	assert_non_null(copy);
	requests[i] = (struct request){ .result = NONE, .interrupted = requests[i].interrupted };
	its.flags |= flags;
	its.lock_owner = owner;
	chronfs_ops.write(REQ(i), node, copy, strlen(text), 12345, &its);
	free(copy); /* the request's buffer ends with the call */
	return reply_to(i);
}

long write_text(int i, uint64_t node, const struct fuse_file_info *fi, const char *text)
{
	return write_flags(i, node, fi, text, 1, 0);
}

long flush(int i, const struct fuse_file_info *fi, uint64_t owner)
{
	struct fuse_file_info its = *fi;

	requests[i] = (struct request){ .result = NONE };
	its.lock_owner = owner;
	chronfs_ops.flush(REQ(i), LINES, &its);
	return reply_to(i);
}

long fsync_lines(int i, const struct fuse_file_info *fi)
{
	struct fuse_file_info its = *fi;

	requests[i] = (struct request){ .result = NONE };
	chronfs_ops.fsync(REQ(i), LINES, 1, &its);
	return reply_to(i);
}

long poll_sink(int i, uint64_t node, const struct fuse_file_info *fi, unsigned events)
{
	struct fuse_file_info its = *fi;

	requests[i] = (struct request){ .result = NONE };
	its.poll_events = events;
	chronfs_ops.poll(REQ(i), node, &its, NULL);
	return reply_to(i);
}

void interrupt(int i)
{
	requests[i].interrupted = true;
	if (requests[i].func)
		requests[i].func(REQ(i), requests[i].data);
}

void synced(int result)
{
	struct cq_sync_request *sync = queue.sync;

	assert_non_null(sync);
	queue.sync = NULL;
	sync->done(sync, result);
}

const char *records(void)
{
	static char all[sizeof queue.records];

	all[0] = '\0';
	for (size_t i = 0; i < queue.count; i++) {
		strcat(all, queue.records[i]);
		strcat(all, "|");
	}
	queue.count = 0;
	return all;
}
