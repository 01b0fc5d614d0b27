/* SPDX-License-Identifier: Apache-2.0 */
/* fs_calls.c - calls of the mount's handlers that fail, or that give made-up answers; see fs_support.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs_support.h"

struct fs_calls calls;
int library_error;
struct fs_made_up made_up;
static pthread_t test_thread;

/* ---- failing calls ---- */

/* Calls inside the library are not counted: it has tests of its own. */
static _Thread_local int inside;

static bool fails(const char *name, int error)
{
	if (inside > 0 || !pthread_equal(test_thread, pthread_self()) || !calls.counting ||
	    ++calls.made != calls.failing)
		return false;
	calls.name = name;
	calls.error = error;
	errno = error;
	return true;
}

#define REPLACED(type, name, parameters) \
	type __real_##name parameters;   \
	type __wrap_##name parameters;   \
	type __wrap_##name parameters

#define CALL(type, name, parameters, arguments, error, bad)                   \
	REPLACED(type, name, parameters)                                      \
	{                                                                     \
		return fails(#name, error) ? (bad) : __real_##name arguments; \
	}

#define INSIDE(r, call)       \
	do {                  \
		inside++;     \
		(r) = (call); \
		inside--;     \
	} while (0)

#define LIBRARY_CALL(type, name, parameters, arguments)     \
	REPLACED(type, name, parameters)                    \
	{                                                   \
		type r = -library_error;                    \
                                                            \
		if (!fails(#name, library_error))           \
			INSIDE(r, __real_##name arguments); \
		return r;                                   \
	}

/* The same for a call that `made` replaces, if it is set. */
#define MADE_UP_CALL(name, parameters, arguments, made, made_arguments) \
	REPLACED(int, name, parameters)                                 \
	{                                                               \
		int r = -library_error;                                 \
                                                                        \
		if (made)                                               \
			r = made made_arguments;                        \
		else if (!fails(#name, library_error))                  \
			INSIDE(r, __real_##name arguments);             \
		return r;                                               \
	}

CALL(void *, malloc, (size_t size), (size), ENOMEM, NULL)
CALL(void *, calloc, (size_t count, size_t size), (count, size), ENOMEM, NULL)
CALL(void *, realloc, (void *old, size_t size), (old, size), ENOMEM, NULL)
CALL(FILE *, open_memstream, (char **text, size_t *size), (text, size), ENOMEM, NULL)
/* The names of these calls with 64-bit offsets. */
CALL(int, fstat64, (int fd, struct stat *st), (fd, st), EIO, -1)
CALL(int, fstatvfs64, (int fd, struct statvfs *st), (fd, st), EIO, -1)
CALL(int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg),
     (thread, attr, run, arg), EAGAIN, EAGAIN)
CALL(int, setrlimit64, (__rlimit_resource_t which, const struct rlimit *limit), (which, limit),
     EPERM, -1)

LIBRARY_CALL(ssize_t, cq_stream_pread,
             (cq_stream * stream, void *buffer, size_t length, uint64_t position),
             (stream, buffer, length, position))
LIBRARY_CALL(int, cq_stream_segment, (cq_stream * stream, uint32_t id, struct cq_span *ret_span),
             (stream, id, ret_span))
LIBRARY_CALL(ssize_t, cq_stream_segment_pread,
             (cq_stream * stream, uint32_t id, void *buffer, size_t length, uint64_t position),
             (stream, id, buffer, length, position))
LIBRARY_CALL(int, cq_stream_segment_records,
             (cq_stream * stream, uint32_t id, uint64_t *ret_records), (stream, id, ret_records))
LIBRARY_CALL(ssize_t, cq_stream_segment_read_records,
             (cq_stream * stream, uint32_t id, uint64_t number, struct cq_record_info *records,
              size_t count),
             (stream, id, number, records, count))
LIBRARY_CALL(int, cq_queue_ends, (cq_queue * queue, uint32_t *ret_oldest, uint32_t *ret_newest),
             (queue, ret_oldest, ret_newest))
LIBRARY_CALL(int, cq_queue_list, (cq_queue * queue, uint32_t **ret_ids, size_t *ret_count),
             (queue, ret_ids, ret_count))
LIBRARY_CALL(int, cq_queue_position, (cq_queue * queue, struct cq_queue_info *ret_info),
             (queue, ret_info))
LIBRARY_CALL(int, cq_queue_segment_attr,
             (cq_queue * queue, uint32_t id, const cq_segment *open,
              struct cq_segment_attr *ret_attr),
             (queue, id, open, ret_attr))
LIBRARY_CALL(int, cq_segment_open, (cq_queue * queue, uint32_t id, cq_segment **ret_segment),
             (queue, id, ret_segment))
LIBRARY_CALL(int, cq_segment_info,
             (cq_segment * segment, enum cq_segment_source source,
              struct cq_segment_info *ret_info),
             (segment, source, ret_info))
LIBRARY_CALL(ssize_t, cq_segment_pread,
             (cq_segment * segment, void *buffer, size_t length, uint64_t offset),
             (segment, buffer, length, offset))

/* ---- calls with made-up answers ---- */

MADE_UP_CALL(cq_stream_extent, (cq_stream * stream, uint64_t *ret_begin, uint64_t *ret_end),
             (stream, ret_begin, ret_end), made_up.extent, (ret_begin, ret_end))
/* Then cq_stream_extent() is asked, which can fail. */
REPLACED(int, cq_stream_extent_now, (cq_stream * stream, uint64_t *ret_begin, uint64_t *ret_end))
{
	(void)stream;
	(void)ret_begin;
	(void)ret_end;
	return -EAGAIN;
}

MADE_UP_CALL(cq_stream_next_data, (cq_stream * stream, uint64_t position, uint64_t *ret_position),
             (stream, position, ret_position), made_up.next_data, (position, ret_position))
MADE_UP_CALL(cq_stream_next_hole, (cq_stream * stream, uint64_t position, uint64_t *ret_position),
             (stream, position, ret_position), made_up.next_hole, (position, ret_position))
MADE_UP_CALL(cq_queue_readers, (cq_queue * queue, cq_reader_visit_fn visit, void *arg),
             (queue, visit, arg), made_up.readers, (visit, arg))
REPLACED(int, cq_queue_reader,
         (cq_queue * queue, const char *name, struct cq_reader_info *ret_info))
{
	int r = -library_error;

	if (!fails("cq_queue_reader", library_error))
		INSIDE(r, __real_cq_queue_reader(queue, name, ret_info));
	if (r == 0 && made_up.reader)
		made_up.reader(ret_info);
	return r;
}

LIBRARY_CALL(int, cq_queue_reader_names, (cq_queue * queue, cq_reader_name_fn visit, void *arg),
             (queue, visit, arg))
LIBRARY_CALL(int, cq_queue_reader_position,
             (cq_queue * queue, const char *name, struct cq_reader_position *ret_position),
             (queue, name, ret_position))

REPLACED(int, cq_writer_open,
         (const char *dir, const struct cq_config *config, cq_writer **ret_writer))
{
	return made_up.open_error ? -made_up.open_error
	                          : __real_cq_writer_open(dir, config, ret_writer);
}

REPLACED(int, cq_writer_append,
         (cq_writer * writer, uint16_t type, const void *payload, size_t size,
          struct cq_appended *ret_appended))
{
	return made_up.append_error
	               ? -made_up.append_error
	               : __real_cq_writer_append(writer, type, payload, size, ret_appended);
}

REPLACED(ssize_t, cq_writer_append_batch,
         (cq_writer * writer, const struct cq_message *messages, size_t count,
          struct cq_appended *ret_appended))
{
	return made_up.append_error
	               ? -made_up.append_error
	               : __real_cq_writer_append_batch(writer, messages, count, ret_appended);
}

REPLACED(int, cq_queue_open, (const char *dir, cq_queue **ret_queue))
{
	return made_up.open_error ? -made_up.open_error : __real_cq_queue_open(dir, ret_queue);
}

REPLACED(int, cq_queue_await_closing,
         (cq_queue * queue, uint32_t stall_ms, bool (*stop)(void *arg), void *arg,
          struct cq_holder *ret_holder))
{
	if (!made_up.holder)
		return __real_cq_queue_await_closing(queue, stall_ms, stop, arg, ret_holder);
	*ret_holder = *made_up.holder;
	return 0;
}

REPLACED(int, cq_queue_await_release,
         (cq_queue * queue, uint32_t timeout_ms, struct cq_holder *ret_holder))
{
	if (made_up.holder) {
		*ret_holder = *made_up.holder;
		return 0;
	}
	return __real_cq_queue_await_release(queue, made_up.no_wait ? 0 : timeout_ms, ret_holder);
}

/* The close of a stream in memory may find too little memory. */
REPLACED(int, fclose, (FILE * file))
{
	int r = __real_fclose(file);

	return fails("fclose", ENOMEM) ? EOF : r;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

/* A file with this text; "none": no such file. */
static int made_up_file(const char *text)
{
	int fd;

	if (strcmp(text, "none") == 0) {
		errno = ENOENT;
		return -1;
	}
	fd = memfd_create("made up", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
	return fd;
}

/* No caller creates a file. */
int __wrap_open64(const char *path, int flags, ...)
{
	assert_int_equal(flags & O_CREAT, 0);
	if (made_up.max_pages && strcmp(path, "/proc/sys/fs/fuse/max_pages_limit") == 0)
		return made_up_file(made_up.max_pages);
	return fails("open", EMFILE) ? -1 : __real_open64(path, flags);
}

REPLACED(int, getrlimit64, (__rlimit_resource_t which, struct rlimit *limit))
{
	if (fails("getrlimit", EINVAL))
		return -1;
	if (made_up.descriptors == 0)
		return __real_getrlimit64(which, limit);
	*limit = (struct rlimit){ made_up.descriptors, made_up.descriptors_max };
	return 0;
}

void fs_calls_begin(int failing)
{
	calls = (struct fs_calls){ .failing = failing, .counting = true };
}

void fs_calls_end(void)
{
	calls.counting = false;
}

void fs_calls_init(void)
{
	memset(&calls, 0, sizeof calls);
	memset(&made_up, 0, sizeof made_up);
	library_error = EIO;
	test_thread = pthread_self();
}
