/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_xattr.c - extended attributes of segments and payloads: what the segment holds
 *
 * All are decimal numbers.  Those of the first and the last record exist, and are listed, once the
 * segment holds a record.
 */
#include "read/segment_xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chronfs.h"
#include "shared/node_ops.h"

#define PREFIX "user.chronfs."
#define OF_ANY PREFIX "sealed\0" PREFIX "records\0" PREFIX "payload_bytes\0"
#define OF_RECORDS \
	PREFIX "first_seq\0" PREFIX "last_seq\0" PREFIX "first_time\0" PREFIX "last_time\0"

static int content(struct chronfs *fs, uint64_t node, struct cq_segment_info *ret_info)
{
	cq_segment *segment;
	int r;

	r = cq_segment_open(fs->queue, chronfs_node_segment(node), &segment);
	if (r < 0)
		return r == -EBADMSG ? -ENOENT : r;
	r = cq_segment_info(segment, CQ_SEGMENT_CONTENT, ret_info);
	cq_segment_close(segment);
	return r;
}

static ssize_t sealed_value(struct chronfs *fs, uint64_t node, char *value)
{
	struct cq_segment_attr attr;
	int r;

	r = cq_queue_segment_attr(fs->queue, chronfs_node_segment(node), NULL, &attr);
	if (r < 0)
		return r == -EBADMSG ? -ENOENT : r;
	return snprintf(value, CHRONFS_XATTR_MAX, "%d", attr.sealed);
}

ssize_t chronfs_segment_xattr(struct chronfs *fs, uint64_t node, const char *name, char *value)
{
	struct cq_segment_info info = CQ_SIZED(info);
	int r;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return -ENODATA;
	name += strlen(PREFIX);
	if (strcmp(name, "sealed") == 0)
		return sealed_value(fs, node, value);
	r = content(fs, node, &info);
	if (r < 0)
		return r;

	const struct {
		const char *name;
		uint64_t value;
		bool of_records;
	} numbers[] = {
		{ "records", info.records, false },
		{ "payload_bytes", info.payload_bytes, false },
		{ "first_seq", info.first_seq, true },
		{ "last_seq", info.last_seq, true },
		{ "first_time", info.first_time_ns, true },
		{ "last_time", info.last_time_ns, true },
	};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		if (strcmp(name, numbers[i].name) == 0 &&
		    (info.records > 0 || !numbers[i].of_records))
			return snprintf(value, CHRONFS_XATTR_MAX, "%" PRIu64, numbers[i].value);
	return -ENODATA;
}

const char *chronfs_segment_xattr_list(struct chronfs *fs, uint64_t node, size_t *ret_size)
{
	static const char names[] = OF_ANY OF_RECORDS;
	struct cq_segment_info info = CQ_SIZED(info);

	if (content(fs, node, &info) == 0 && info.records > 0)
		*ret_size = sizeof names - 1;
	else
		*ret_size = sizeof OF_ANY - 1;
	return names;
}
