/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_files.c - open files that have to be found by their node
 *
 * The kernel asks for the attributes of an open file by its node alone.  Of a segment that has been
 * deleted since, only an open file still knows them; and which inodes of `stream` are open decides to
 * which one its name leads.  What was appended through an open sink is asked for by its node, too.
 *
 * There may be many thousands, and a lookup of `stream` may ask for each of its inodes: so they are in a
 * table by the node's hash; and those of `stream` in another, by the process that opened them
 * (stream_begin.c).
 *
 * Invariant: a file is in fs->open_files from its open to its release, and only under the lock taken out
 * of it; so what was found stays as long as that is held.
 */
#include "held/open_files.h"

#include "chronfs.h"
#include "shared/node_ops.h"

/* Where in a table what has this key is. */
static struct chronfs_open_file **bucket(struct chronfs_open_file **table, uint64_t key)
{
	/* A node's low bits are its kind: multiplied, the high ones depend on all. */
	return &table[key * 0x9e3779b97f4a7c15 >> (64 - CHRONFS_OPEN_FILES_BITS)];
}

static void table_add(struct chronfs_open_file **table, struct chronfs_open_file *file)
{
	struct chronfs_open_file **first = bucket(table, file->node);

	file->next = *first;
	file->link = first;
	if (file->next)
		file->next->link = &file->next;
	*first = file;
}

void chronfs_open_files_add(struct chronfs *fs, struct chronfs_open_file *file)
{
	table_add(fs->open_files.files, file);
}

void chronfs_open_files_add_holder(struct chronfs *fs, struct chronfs_open_file *holder)
{
	table_add(fs->open_files.holders, holder);
}

void chronfs_open_files_remove(struct chronfs_open_file *file)
{
	*file->link = file->next;
	if (file->next)
		file->next->link = file->link;
}

static struct chronfs_open_file *find_from(struct chronfs_open_file *file, uint64_t node)
{
	while (file && file->node != node)
		file = file->next;
	return file;
}

struct chronfs_open_file *chronfs_open_files_find(struct chronfs *fs, uint64_t node)
{
	return find_from(*bucket(fs->open_files.files, node), node);
}

struct chronfs_open_file *chronfs_open_files_find_holder(struct chronfs *fs, uint64_t process)
{
	return find_from(*bucket(fs->open_files.holders, process), process);
}

struct chronfs_open_file *chronfs_open_files_next(const struct chronfs_open_file *file)
{
	return find_from(file->next, file->node);
}

void chronfs_open_files_init(struct chronfs *fs)
{
	pthread_mutex_init(&fs->open_files.lock, NULL);
}

void chronfs_open_files_fini(struct chronfs *fs)
{
	for (size_t i = 0; i < CHRONFS_OPEN_FILES_BUCKETS; i++) {
		while (fs->open_files.files[i]) {
			const uint64_t node = fs->open_files.files[i]->node;
			struct fuse_file_info fi = { .fh = (uintptr_t)fs->open_files.files[i] };

			chronfs_ops_of_node(node)->release(fs, node, &fi);
		}
	}
	pthread_mutex_destroy(&fs->open_files.lock);
}
