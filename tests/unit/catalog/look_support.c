/* SPDX-License-Identifier: Apache-2.0 */
/* look_support.c - see look_support.h */
#include "look_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "files/dir.h"

cq_queue *look_open(const char *dir)
{
	cq_queue *queue;

	assert_int_equal(cq_queue_open(dir, &queue), 0);
	return queue;
}

struct cq_segment_attr look_attr(cq_queue *queue, uint32_t id)
{
	struct cq_segment_attr attr;

	assert_int_equal(cq_queue_segment_attr(queue, id, NULL, &attr), 0);
	return attr;
}

uint64_t look_time(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * 1000000000U + (uint64_t)st->st_mtim.tv_nsec;
}

void look_agrees(cq_queue *queue, uint32_t id)
{
	const struct cq_segment_attr attr = look_attr(queue, id);
	struct cq_segment_info counted = CQ_SIZED(counted), info = CQ_SIZED(info);
	struct cq_segment_attr of_open;
	cq_segment *segment;

	assert_int_equal(cq_segment_open(queue, id, &segment), 0);
	assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_HEADER, &info), 0);
	assert_int_equal(cq_queue_segment_attr(queue, id, segment, &of_open), 0);
	assert_int_equal(cq_segment_info(segment, CQ_SEGMENT_RECORDS, &counted), 0);
	cq_segment_close(segment);
	assert_int_equal(attr.sealed, info.sealed);
	assert_int_equal(attr.stat.st_ino, of_open.stat.st_ino);
	assert_int_equal(attr.stat.st_size, of_open.stat.st_size);
	assert_int_equal(attr.stat.st_blocks, of_open.stat.st_blocks);
	assert_int_equal(look_time(&attr.stat), look_time(&of_open.stat));
	assert_int_equal(info.modified_ns, look_time(&attr.stat));
	assert_memory_equal(&attr.stat.st_ctim, &of_open.stat.st_ctim, sizeof attr.stat.st_ctim);
	if (attr.have_content) {
		assert_int_equal(attr.payload_bytes, counted.payload_bytes);
		assert_int_equal(attr.records, counted.records);
	}
}

int look_watch(const char *dir)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	assert_true(fd >= 0);
	assert_true(inotify_add_watch(fd, dir, IN_OPEN | IN_CLOSE) >= 0);
	return fd;
}

struct look_opened look_opened(int fd, uint32_t below)
{
	_Alignas(struct inotify_event) char buffer[65536];
	struct look_opened count = { 0 };
	ssize_t n;

	while ((n = read(fd, buffer, sizeof buffer)) > 0) {
		for (const char *p = buffer; p < buffer + n;) {
			const struct inotify_event *e =
				(const struct inotify_event *)(const void *)p;
			uint32_t id;

			if ((e->mask & IN_OPEN) && e->len == 0)
				count.listings++;
			else if ((e->mask & IN_OPEN) && cq_segment_name_parse(e->name, &id) &&
			         id < below)
				count.files++;
			p += sizeof *e + e->len;
		}
	}
	return count;
}

unsigned look_opens(int fd, uint32_t below)
{
	return look_opened(fd, below).files;
}

void look_make(struct qs *q, unsigned sealed)
{
	qs_write(q, 0, sealed * LOOK_PER_SEGMENT + 5);
}

void look_delete_name(const char *dir, const char *name)
{
	char path[PATH_SIZE];

	support_path(path, dir, name);
	assert_int_equal(unlink(path), 0);
}

void look_delete(const char *dir, uint32_t from, uint32_t to)
{
	char name[CQ_NAME_MAX];

	for (uint32_t id = from; id < to; id++) {
		cq_segment_name(name, id);
		look_delete_name(dir, name);
	}
}
