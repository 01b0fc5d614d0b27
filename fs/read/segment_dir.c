/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_dir.c - segments/, payload/ and records/: directories whose names are made of segment ids
 *
 * A segment exists here if the queue has a file of exactly that name whose header is valid for the
 * id.  No other file of the queue's directory is shown.
 *
 * An open directory holds the ids that existed when its first entry was read.  The cookie of an entry
 * is made of its id, so a scan continues at the right place whatever is published or trimmed meanwhile.
 */
#include "read/segment_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chronfs.h"
#include "read/content.h"
#include "read/segment.h"
#include "shared/directory.h"
#include "shared/node_ops.h"

#define DIGITS 9
#define COOKIE_FIRST 3ULL /* of id 0: behind "." and ".." */

struct chronfs_segment_dir {
	pthread_mutex_t lock; /* guards all below */
	bool listed;
	uint32_t *ids; /* ascending */
	size_t count;
};

const struct chronfs_node_ops chronfs_segments_ops = {
	.stat = chronfs_directory_stat,
};
const struct chronfs_node_ops chronfs_payloads_ops = {
	.stat = chronfs_directory_stat,
};
const struct chronfs_node_ops chronfs_record_lists_ops = {
	.stat = chronfs_directory_stat,
};

/* The differences between the directories. */
struct naming {
	const char *suffix;
	enum chronfs_kind unsealed;
	int (*entry)(struct chronfs *fs, uint32_t id, bool listing,
	             struct fuse_entry_param *ret_entry);
};

static const struct naming *naming_of(uint64_t dir)
{
	const enum chronfs_kind kind = chronfs_node_kind(dir);
	static const struct naming segments = { ".q", CHRONFS_SEGMENT_UNSEALED,
		                                chronfs_segment_entry };
	static const struct naming payloads = { "", CHRONFS_PAYLOAD_UNSEALED,
		                                chronfs_payload_entry };
	static const struct naming records = { "", CHRONFS_RECORDS_UNSEALED,
		                               chronfs_records_entry };

	if (kind == CHRONFS_SEGMENTS)
		return &segments;
	return kind == CHRONFS_PAYLOADS ? &payloads : &records;
}

bool chronfs_segment_dir_parse(uint64_t dir, const char *name, uint32_t *ret_id)
{
	uint32_t id = 0;

	for (int i = 0; i < DIGITS; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		id = id * 10 + (uint32_t)(name[i] - '0');
	}
	if (strcmp(name + DIGITS, naming_of(dir)->suffix) != 0)
		return false;
	*ret_id = id;
	return true;
}

int chronfs_segment_dir_lookup(struct chronfs *fs, uint64_t dir, const char *name,
                               struct fuse_entry_param *ret_entry)
{
	uint32_t id;

	if (!chronfs_segment_dir_parse(dir, name, &id))
		return -ENOENT;
	return naming_of(dir)->entry(fs, id, false, ret_entry);
}

int chronfs_segment_dir_open(struct chronfs_segment_dir **ret_dir)
{
	struct chronfs_segment_dir *open;

	open = calloc(1, sizeof *open);
	if (!open)
		return -ENOMEM;
	pthread_mutex_init(&open->lock, NULL);
	*ret_dir = open;
	return 0;
}

void chronfs_segment_dir_close(struct chronfs_segment_dir *open)
{
	if (!open)
		return;
	pthread_mutex_destroy(&open->lock);
	free(open->ids);
	free(open);
}

/* Index of the first segment whose cookie is above `after`. */
static size_t first_above(const struct chronfs_segment_dir *open, uint64_t after)
{
	size_t low = 0, high = open->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (open->ids[middle] + COOKIE_FIRST > after)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int refresh(struct chronfs *fs, struct chronfs_segment_dir *open)
{
	uint32_t *ids;
	size_t count;
	int r;

	r = cq_queue_list(fs->queue, &ids, &count);
	if (r < 0)
		return r;
	free(open->ids);
	open->ids = ids;
	open->count = count;
	open->listed = true;
	return 0;
}

int chronfs_segment_dir_list(struct chronfs *fs, uint64_t dir, struct chronfs_segment_dir *open,
                             struct chronfs_listing *listing, uint64_t after)
{
	const struct naming *naming = naming_of(dir);
	struct fuse_entry_param entry;
	char name[16];
	int r = 0;

	pthread_mutex_lock(&open->lock);
	if (after == 0 || !open->listed)
		r = refresh(fs, open);
	for (size_t i = first_above(open, after); r == 0 && i < open->count; i++) {
		uint32_t id = open->ids[i];

		memset(&entry, 0, sizeof entry);
		if (listing->plus) {
			int found = naming->entry(fs, id, true, &entry);

			if (found == -ENOENT) /* trimmed meanwhile, or not a segment */
				continue;
			if (found < 0) /* a lookup will find out */
				memset(&entry, 0, sizeof entry);
		}
		if (entry.ino == 0) {
			entry.attr.st_ino = chronfs_node_ino(chronfs_node(naming->unsealed, id));
			entry.attr.st_mode = S_IFREG;
		}
		(void)snprintf(name, sizeof name, "%09u%s", id % 1000000000U, naming->suffix);
		if (!chronfs_listing_add(listing, name, &entry, id + COOKIE_FIRST))
			break;
	}
	pthread_mutex_unlock(&open->lock);
	return r;
}
