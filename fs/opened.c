/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opened.c - open files that have to be found by their node
 *
 * The kernel asks for the attributes of an open file by its node alone.  Of a segment that has been
 * deleted since, only an open file still knows them; and which copies of `stream` are open decides to
 * which one its name leads.
 *
 * Invariant: a file is in fs->opened from its open to its release, and only under opened_lock taken out
 * of it; so what was found stays as long as that is held.
 */
#include "chronfs.h"

void chronfs_opened_add(struct chronfs *fs, struct chronfs_opened *file)
{
	file->next = fs->opened;
	file->link = &fs->opened;
	if (file->next)
		file->next->link = &file->next;
	fs->opened = file;
}

void chronfs_opened_remove(struct chronfs_opened *file)
{
	*file->link = file->next;
	if (file->next)
		file->next->link = file->link;
}

struct chronfs_opened *chronfs_opened_find(const struct chronfs *fs, uint64_t node)
{
	struct chronfs_opened *file = fs->opened;

	while (file && file->node != node)
		file = file->next;
	return file;
}

void chronfs_opened_fini(struct chronfs *fs)
{
	while (fs->opened) {
		const uint64_t node = fs->opened->node;
		struct fuse_file_info fi = { .fh = (uintptr_t)fs->opened };

		chronfs_kind_of(node)->release(fs, node, &fi);
	}
}
