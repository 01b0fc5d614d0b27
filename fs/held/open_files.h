/* SPDX-License-Identifier: Apache-2.0 */
/* open_files.h - open files that are found by their node; see open_files.c */
#ifndef CHRONFS_OPEN_FILES_H
#define CHRONFS_OPEN_FILES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct chronfs;
struct chronfs_open_file;

#define CHRONFS_OPEN_FILES_BITS 12
#define CHRONFS_OPEN_FILES_BUCKETS (1U << CHRONFS_OPEN_FILES_BITS)

struct chronfs_open_files {
	pthread_mutex_t lock; /* also of struct chronfs_stream_inodes */
	/* Hash tables: open files by node, and holders of `stream` by process; under lock. */
	struct chronfs_open_file *files[CHRONFS_OPEN_FILES_BUCKETS];
	struct chronfs_open_file *holders[CHRONFS_OPEN_FILES_BUCKETS];
	size_t holder_count;
};

/* The first member of an open file of any kind; fi->fh is its address. */
struct chronfs_open_file {
	struct chronfs_open_file *next, **link; /* in a table; under fs->open_files.lock */
	uint64_t node;                          /* constant while it is in a table */
};

void chronfs_open_files_init(struct chronfs *fs);
/* After the last request: releases the files that are still open. */
void chronfs_open_files_fini(struct chronfs *fs);

/* After an open of `node`, and before the release. */
void chronfs_open_files_add(struct chronfs *fs, struct chronfs_open_file *file, uint64_t node);
void chronfs_open_files_remove(struct chronfs *fs, struct chronfs_open_file *file);

/* The caller of the rest holds fs->open_files.lock. */
void chronfs_open_files_add_locked(struct chronfs *fs, struct chronfs_open_file *file);
void chronfs_open_files_remove_locked(struct chronfs_open_file *file);
/* An open file of the node, and the next one of the same node.  NULL: there is none, or no more. */
struct chronfs_open_file *chronfs_open_files_find(struct chronfs *fs, uint64_t node);
struct chronfs_open_file *chronfs_open_files_next(const struct chronfs_open_file *file);
/* The same for struct chronfs_stream_holder, whose `node` is a process. */
void chronfs_open_files_add_holder(struct chronfs *fs, struct chronfs_open_file *holder);
void chronfs_open_files_remove_holder(struct chronfs *fs, struct chronfs_open_file *holder);
struct chronfs_open_file *chronfs_open_files_find_holder(struct chronfs *fs, uint64_t process);

#endif
