/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_files.c - open files that are found by their node
 *
 * The kernel asks for the attributes of an open file by the file's node alone.  After a segment was
 * deleted, only an open file still knows the attributes.  Which inodes of `stream` are open decides
 * to which one the name leads.  The kernel also asks by the node what was appended through an open
 * sink.
 *
 * There may be many thousands of open files, and a lookup of `stream` may ask for each of its
 * inodes.  So a hash table has the open files by their nodes, and another one has those of `stream`
 * by the process that opened them (stream_begin.c).
 *
 * Invariant: a file is in the table from its open to its release, and leaves it only under the
 * lock; so a file that was found stays while the caller holds the lock.
 */
#include "held/open_files.h"

#include "chronfs.h"
#include "shared/node_ops.h"

static struct chronfs_open_file **bucket(struct chronfs_open_file **table, uint64_t key)
{
	/* a node's low bits are its kind; the high bits of the product depend on all bits */
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

void chronfs_open_files_add_locked(struct chronfs *fs, struct chronfs_open_file *file)
{
	table_add(fs->open_files.files, file);
}

void chronfs_open_files_add_holder(struct chronfs *fs, struct chronfs_open_file *holder)
{
	table_add(fs->open_files.holders, holder);
	fs->open_files.holder_count++;
}

void chronfs_open_files_remove_holder(struct chronfs *fs, struct chronfs_open_file *holder)
{
	chronfs_open_files_remove_locked(holder);
	fs->open_files.holder_count--;
}

void chronfs_open_files_remove_locked(struct chronfs_open_file *file)
{
	*file->link = file->next;
	if (file->next)
		file->next->link = file->link;
}

void chronfs_open_files_add(struct chronfs *fs, struct chronfs_open_file *file, uint64_t node)
{
	file->node = node;
	pthread_mutex_lock(&fs->open_files.lock);
	chronfs_open_files_add_locked(fs, file);
	pthread_mutex_unlock(&fs->open_files.lock);
}

void chronfs_open_files_remove(struct chronfs *fs, struct chronfs_open_file *file)
{
	pthread_mutex_lock(&fs->open_files.lock);
	chronfs_open_files_remove_locked(file);
	pthread_mutex_unlock(&fs->open_files.lock);
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
