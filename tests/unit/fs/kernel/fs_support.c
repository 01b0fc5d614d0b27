/* SPDX-License-Identifier: Apache-2.0 */
/* fs_support.c - the mount's handlers on a real queue, without a kernel; see fs_support.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs_support.h"
#include "kernel/dispatch.h"
#include "mount/queue.h"
#include "shared/user_limits.h"
#include "support.h"

struct chronfs fs;
struct request requests[4];
int handles_destroyed, handles_told;
char said[1024];

char fs_queue[PATH_SIZE];
static char base[PATH_SIZE];
static bool mounted;

/* ---- replies ---- */

void *__wrap_fuse_req_userdata(fuse_req_t req);
const struct fuse_ctx *__wrap_fuse_req_ctx(fuse_req_t req);
void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data);
int __wrap_fuse_req_interrupted(fuse_req_t req);
int __wrap_fuse_req_getgroups(fuse_req_t req, int size, gid_t *list);
int __wrap_fuse_reply_err(fuse_req_t req, int error);
void __wrap_fuse_reply_none(fuse_req_t req);
int __wrap_fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *entry);
int __wrap_fuse_reply_attr(fuse_req_t req, const struct stat *attr, double timeout);
int __wrap_fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi);
int __wrap_fuse_reply_write(fuse_req_t req, size_t count);
int __wrap_fuse_reply_buf(fuse_req_t req, const char *bytes, size_t size);
int __wrap_fuse_reply_statfs(fuse_req_t req, const struct statvfs *st);
int __wrap_fuse_reply_xattr(fuse_req_t req, size_t size);
int __wrap_fuse_reply_lock(fuse_req_t req, const struct flock *lock);
int __wrap_fuse_reply_poll(fuse_req_t req, unsigned events);
int __wrap_fuse_reply_lseek(fuse_req_t req, off_t offset);
int __wrap_fuse_reply_ioctl(fuse_req_t req, int result, const void *bytes, size_t size);
void __wrap_fuse_pollhandle_destroy(struct fuse_pollhandle *handle);
int __wrap_fuse_lowlevel_notify_poll(struct fuse_pollhandle *handle);
void __wrap_chronfs_log(struct chronfs *of, enum cq_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static struct request *of(fuse_req_t req)
{
	return (struct request *)(void *)req;
}

/* Last, since the flusher replies from its own thread. */
static int answered(fuse_req_t req, int error)
{
	of(req)->error = error;
	__atomic_add_fetch(&of(req)->replies, 1, __ATOMIC_RELEASE);
	return 0;
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

void __wrap_fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data)
{
	of(req)->func = func;
	of(req)->data = data;
}

int __wrap_fuse_req_interrupted(fuse_req_t req)
{
	return of(req)->interrupted;
}

int __wrap_fuse_req_getgroups(fuse_req_t req, int size, gid_t *list)
{
	const int count = of(req)->group_count;

	for (int i = 0; i < count && i < size; i++)
		list[i] = i + 1 == count ? of(req)->last_group : FS_NO_GROUP;
	return count;
}

int __wrap_fuse_reply_err(fuse_req_t req, int error)
{
	return answered(req, error);
}

void __wrap_fuse_reply_none(fuse_req_t req)
{
	(void)answered(req, 0);
}

int __wrap_fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *entry)
{
	of(req)->entry = *entry;
	return answered(req, 0);
}

int __wrap_fuse_reply_attr(fuse_req_t req, const struct stat *attr, double timeout)
{
	(void)timeout;
	of(req)->attr = *attr;
	return answered(req, 0);
}

int __wrap_fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	of(req)->opened = *fi;
	(void)answered(req, 0);
	return of(req)->lost ? -ENOENT : 0;
}

int __wrap_fuse_reply_write(fuse_req_t req, size_t count)
{
	of(req)->size = count;
	return answered(req, 0);
}

void *__real_malloc(size_t size);

int __wrap_fuse_reply_buf(fuse_req_t req, const char *bytes, size_t size)
{
	of(req)->bytes = __real_malloc(size + 1);
	assert_non_null(of(req)->bytes);
	if (size > 0)
		memcpy(of(req)->bytes, bytes, size);
	of(req)->size = size;
	if (of(req)->when_read) {
		of(req)->when_read();
		assert_memory_equal(of(req)->bytes, bytes, size);
	}
	return answered(req, 0);
}

int __wrap_fuse_reply_statfs(fuse_req_t req, const struct statvfs *st)
{
	(void)st;
	return answered(req, 0);
}

int __wrap_fuse_reply_xattr(fuse_req_t req, size_t size)
{
	of(req)->size = size;
	return answered(req, 0);
}

int __wrap_fuse_reply_lock(fuse_req_t req, const struct flock *lock)
{
	of(req)->lock = *lock;
	return answered(req, 0);
}

int __wrap_fuse_reply_poll(fuse_req_t req, unsigned events)
{
	of(req)->events = events;
	return answered(req, 0);
}

int __wrap_fuse_reply_lseek(fuse_req_t req, off_t offset)
{
	of(req)->offset = offset;
	return answered(req, 0);
}

int __wrap_fuse_reply_ioctl(fuse_req_t req, int result, const void *bytes, size_t size)
{
	(void)bytes;
	of(req)->size = size;
	return answered(req, result);
}

void __wrap_fuse_pollhandle_destroy(struct fuse_pollhandle *handle)
{
	(void)handle;
	handles_destroyed++;
}

int __wrap_fuse_lowlevel_notify_poll(struct fuse_pollhandle *handle)
{
	(void)handle;
	handles_told++;
	return 0;
}

void __wrap_chronfs_log(struct chronfs *mount, enum cq_level level, const char *format, ...)
{
	va_list args;

	(void)mount;
	(void)level;
	va_start(args, format);
	(void)vsnprintf(said, sizeof said, format, args);
	va_end(args);
}

/* ---- requests ---- */

fuse_req_t fs_request(int i, uid_t from)
{
	free(requests[i].bytes);
	requests[i] = (struct request){ .from = { .uid = from, .pid = getpid() } };
	return REQ(i);
}

void fs_expect(int i, int error)
{
	assert_int_equal(requests[i].replies, 1);
	assert_int_equal(requests[i].error, error);
}

void fs_interrupt(int i)
{
	requests[i].interrupted = true;
	if (requests[i].func)
		requests[i].func(REQ(i), requests[i].data);
}

uint64_t fs_node(const char *path)
{
	const char *slash = strchr(path, '/');
	char dir[64];
	uint64_t parent;

	if (*path == '\0')
		return CHRONFS_NODE_ROOT;
	(void)snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 0, path);
	parent = fs_node(dir);
	chronfs_ops.lookup(fs_request(3, 0), parent, slash ? slash + 1 : path);
	fs_expect(3, 0);
	return requests[3].entry.ino;
}

struct fuse_file_info fs_open(uint64_t node, int flags)
{
	struct fuse_file_info fi = { .flags = flags };

	chronfs_ops.open(fs_request(3, 0), node, &fi);
	fs_expect(3, 0);
	return requests[3].opened;
}

void fs_release(uint64_t node, struct fuse_file_info *fi)
{
	chronfs_ops.release(fs_request(3, 0), node, fi);
	fs_expect(3, 0);
}

bool fs_nothing_is_open(void)
{
	for (size_t i = 0; i < CHRONFS_OPEN_FILES_BUCKETS; i++)
		if (fs.open_files.files[i])
			return false;
	return true;
}

/* ---- the mount ---- */

int fs_mount(char *queue, bool read_only)
{
	int code;

	chronfs_init(&fs);
	fs.uid = FS_MOUNTER;
	fs.options.access = (struct chronfs_access){ FS_OWNER, FS_GROUP, 022, false, 0 };
	fs.options.queue = queue;
	fs.options.read_only = read_only;
	fs.options.max_open = 16;
	fs.write_limit = FS_LIMIT;
	fs.mount_time = (struct timespec){ .tv_sec = 1 };
	cq_config_init(&fs.options.queue_config);
	fs.options.queue_config.segment_size = CQ_SEGMENT_SIZE_MIN;
	chronfs_user_limits_init(&fs);
	code = chronfs_queue_open(&fs);
	mounted = true;
	if (code != CHRONFS_EXIT_OK)
		fs_end();
	return code;
}

int fs_setup(void **state)
{
	static const char payload[FS_PAYLOAD] = "payload";

	(void)state;
	fs_calls_init();
	handles_destroyed = handles_told = 0;
	said[0] = '\0';
	support_temp_dir(base);
	support_path(fs_queue, base, "queue");
	assert_int_equal(fs_mount(fs_queue, false), CHRONFS_EXIT_OK);
	for (int i = 0; i < 3 * FS_SEGMENTS; i++)
		assert_int_equal(
			cq_writer_append(fs.writer, CQ_TYPE_DEFAULT, payload, sizeof payload, NULL),
			0);
	assert_int_equal(cq_writer_sync(fs.writer), 0);
	assert_int_equal(cq_reader_set(fs_queue, "some", CQ_PLACE_LATEST, 0), 0);
	assert_int_equal(cq_reader_set(fs_queue, "other-reader", CQ_PLACE_LATEST, 0), 0);
	return 0;
}

int fs_setup_read_only(void **state)
{
	fs_setup(state);
	fs_end();
	assert_int_equal(fs_mount(fs_queue, true), CHRONFS_EXIT_OK);
	return 0;
}

void fs_end(void)
{
	assert_int_equal(chronfs_queue_close(&fs, true), 0);
	mounted = false;
}

int fs_teardown(void **state)
{
	(void)state;
	fs_calls_end();
	if (mounted)
		fs_end();
	for (int i = 0; i < 4; i++)
		fs_request(i, 0);
	support_remove(base);
	return 0;
}
