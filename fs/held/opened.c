/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opened.c - open files that have to be found by their node
 *
 * The kernel asks for the attributes of an open file by its node alone.  Of a segment that has been
 * deleted since, only an open file still knows them; and which copies of `stream` are open decides to
 * which one its name leads.  What was appended through an open sink is asked for by its node, too.
 *
 * There may be many thousands, and a lookup of `stream` may ask for each of its copies: so they are in a
 * table by the node's hash; and those of `stream` in another, by the process that opened them
 * (streambegin.c).
 *
 * Invariant: a file is in fs->opened from its open to its release, and only under the lock taken out
 * of it; so what was found stays as long as that is held.
 */
#include "held/opened.h"

#include "chronfs.h"
#include "shared/kind.h"

/* Where in a table what has this key is. */
static struct chronfs_opened **bucket(struct chronfs_opened **table, uint64_t key)
{
	/* A node's low bits are its kind: multiplied, the high ones depend on all. */
	return &table[key * 0x9e3779b97f4a7c15 >> (64 - CHRONFS_OPENED_BITS)];
}

static void table_add(struct chronfs_opened **table, struct chronfs_opened *file)
{
	struct chronfs_opened **first = bucket(table, file->node);

	file->next = *first;
	file->link = first;
	if (file->next)
		file->next->link = &file->next;
	*first = file;
}

void chronfs_opened_add(struct chronfs *fs, struct chronfs_opened *file)
{
	table_add(fs->opened.files, file);
}

void chronfs_holder_add(struct chronfs *fs, struct chronfs_opened *holder)
{
	table_add(fs->opened.holders, holder);
}

void chronfs_opened_remove(struct chronfs_opened *file)
{
	*file->link = file->next;
	if (file->next)
		file->next->link = file->link;
}

static struct chronfs_opened *find_from(struct chronfs_opened *file, uint64_t node)
{
	while (file && file->node != node)
		file = file->next;
	return file;
}

struct chronfs_opened *chronfs_opened_find(struct chronfs *fs, uint64_t node)
{
	return find_from(*bucket(fs->opened.files, node), node);
}

struct chronfs_opened *chronfs_holder_find(struct chronfs *fs, uint64_t process)
{
	return find_from(*bucket(fs->opened.holders, process), process);
}

struct chronfs_opened *chronfs_opened_next(const struct chronfs_opened *file)
{
	return find_from(file->next, file->node);
}

void chronfs_opened_init(struct chronfs *fs)
{
	pthread_mutex_init(&fs->opened.lock, NULL);
}

void chronfs_opened_fini(struct chronfs *fs)
{
	for (size_t i = 0; i < CHRONFS_OPENED_BUCKETS; i++) {
		while (fs->opened.files[i]) {
			const uint64_t node = fs->opened.files[i]->node;
			struct fuse_file_info fi = { .fh = (uintptr_t)fs->opened.files[i] };

			chronfs_kind_of(node)->release(fs, node, &fi);
		}
	}
	pthread_mutex_destroy(&fs->opened.lock);
}
